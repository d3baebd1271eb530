"""When workers that end before they served mean that the service can't start."""

from __future__ import annotations

from sturdyapi.serving.boot import BootWatch


def test_the_first_worker_that_fails_ends_the_start() -> None:
    """A service whose workers have not all served yet gives up at the first that ends."""
    assert BootWatch().must_stop()


def test_a_replacement_may_fail_twice() -> None:
    """Of a service that was up, the third worker in a row that fails to start ends it."""
    watch = BootWatch()
    watch.all_are_ready()
    assert [watch.must_stop() for _ in range(3)] == [False, False, True]


def test_a_replacement_that_serves_clears_the_count() -> None:
    """Failures count only in a row."""
    watch = BootWatch()
    for _ in range(3):
        watch.all_are_ready()
        assert [watch.must_stop() for _ in range(2)] == [False, False]
