"""The hooks of Gunicorn's parent process."""

from __future__ import annotations

import signal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from gunicorn.config import Config
from gunicorn.errors import HaltServer

from sturdyapi.serving.gunicorn import config
from sturdyapi.serving.gunicorn.arbiter import Stewardship
from sturdyapi.serving.shared import Shared

if TYPE_CHECKING:
    from collections.abc import Iterator


class Arbiter:
    """What the hooks need of Gunicorn's."""

    def __init__(self, *workers: Any) -> None:
        self.WORKERS = dict(enumerate(workers))
        self.queue: list[int] = []

    def signal(self, sig: int, frame: object) -> None:
        """Queue a signal."""
        del frame
        self.queue.append(sig)


def a_worker(*, is_ready: bool = False, failure: int = 0) -> Any:
    """Return a worker as its parent knows it."""
    shared = Shared()
    shared.is_ready, shared.failure = is_ready, failure
    return SimpleNamespace(shared=shared)


@pytest.fixture
def handlers() -> Iterator[None]:
    """Give the test's process its signal handlers back."""
    signals = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
    before = {sig: signal.getsignal(sig) for sig in signals}
    yield
    for sig, handler in before.items():
        signal.signal(sig, handler)


def test_a_worker_that_never_served_ends_the_start() -> None:
    """Gunicorn would start it again, for ever."""
    with pytest.raises(HaltServer) as halted:
        Stewardship().child_exit(Arbiter(), a_worker())
    assert halted.value.exit_status == 3


def test_the_exit_code_of_a_worker_is_the_server_s() -> None:
    """Wrong settings end the whole server with 78."""
    with pytest.raises(HaltServer) as halted:
        Stewardship().child_exit(Arbiter(a_worker(is_ready=True)), a_worker(failure=78))
    assert halted.value.exit_status == 78


def test_a_replacement_that_can_not_start_does_not_end_those_that_serve() -> None:
    """A resource that is away for a moment, when one worker is replaced, is no outage."""
    stewardship = Stewardship()
    arbiter = Arbiter(a_worker(is_ready=True))
    stewardship.child_exit(arbiter, a_worker(is_ready=True))
    for _ in range(3):
        replacement = a_worker(failure=3)
        stewardship.pre_fork(arbiter, replacement)
        stewardship.child_exit(arbiter, replacement)


def test_two_workers_that_fail_side_by_side_end_it_once() -> None:
    """The second one finds the server stopping, which Gunicorn itself does not bear."""
    stewardship = Stewardship()
    with pytest.raises(HaltServer):
        stewardship.child_exit(Arbiter(), a_worker())
    stewardship.child_exit(Arbiter(), a_worker())


def test_a_worker_that_served_is_replaced() -> None:
    """A worker that dies in service is Gunicorn's to start again."""
    stewardship = Stewardship()
    for _ in range(5):
        stewardship.child_exit(Arbiter(a_worker(is_ready=True)), a_worker(is_ready=True))


@pytest.mark.usefixtures("handlers")
def test_the_first_signal_is_graceful_whichever_it_is() -> None:
    """Ctrl-C lets requests finish, as SIGTERM does; Gunicorn by itself would cut them off."""
    for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        worker = a_worker(is_ready=True)
        arbiter = Arbiter(worker)
        Stewardship().when_ready(arbiter)
        signal.raise_signal(sig)
        assert arbiter.queue == [signal.SIGTERM]
        assert worker.shared.leaves_service


@pytest.mark.usefixtures("handlers")
def test_the_second_signal_does_not_wait() -> None:
    """Gunicorn ignores a second SIGTERM; here it ends the wait, and the exit code tells."""
    stewardship, arbiter = Stewardship(), Arbiter()
    stewardship.when_ready(arbiter)
    signal.raise_signal(signal.SIGTERM)
    stewardship.on_exit(arbiter)
    signal.raise_signal(signal.SIGTERM)

    assert arbiter.queue == [signal.SIGTERM, signal.SIGQUIT]
    with pytest.raises(SystemExit, match="143"):
        stewardship.on_exit(arbiter)


def test_every_public_name_of_the_configuration_is_a_setting() -> None:
    """Gunicorn takes any name of its own for a setting, also one that was not meant."""
    known = Config().settings
    # pytest adds some of its own, which are no words.
    names = {name for name in vars(config) if name[0].isalpha()}
    assert names <= set(known)
