"""When workers that end before they served mean that the service can't start."""

from __future__ import annotations

import pytest

from sturdyapi.serving.boot import BootWatch, how_it_ended


@pytest.mark.parametrize("others_serve", [True, False])
def test_the_first_worker_that_fails_ends_the_start(others_serve: bool) -> None:
    """Until all workers have served, one that can't start is enough to give up."""
    assert BootWatch().must_stop(others_serve=others_serve)


def test_a_replacement_may_fail_while_others_serve() -> None:
    """A database that is away for a moment, when one worker is replaced, ends no service."""
    watch = BootWatch()
    watch.all_are_ready()
    assert not any(watch.must_stop(others_serve=True) for _ in range(10))


def test_a_service_without_workers_ends() -> None:
    """When no worker serves any more, and a new one can't start, it is over."""
    watch = BootWatch()
    watch.all_are_ready()
    assert watch.must_stop(others_serve=False)


@pytest.mark.parametrize(
    ("exit_code", "words"), [(-9, "signal 9"), (3, "exit code 3"), (None, "exit code 0")]
)
def test_the_end_of_a_process_in_words(exit_code: int | None, words: str) -> None:
    """A negative exit code is the number of a signal."""
    assert how_it_ended(exit_code) == words
