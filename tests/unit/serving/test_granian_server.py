"""Granian's parent process: when it replaces a worker, and when it gives up."""

from __future__ import annotations

import logging
import os
import socket
from threading import Thread, Timer
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from sturdyapi.exceptions import EX_CONFIG, EX_START
from sturdyapi.serving.granian.server import Server
from sturdyapi.serving.shared import Shared

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT_SECONDS = 10.0
"""Many times what the slowest step needs."""


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that has not started; Granian's loggers are given back at the end."""
    names = ("_granian", "granian.access")
    loggers = [logging.getLogger(name) for name in names]
    before = [(each.handlers, each.propagate, each.level) for each in loggers]
    made: Any = Server("", respawn_failed_workers=False)
    yield made
    for worker in made.wrks:
        worker.close()
    for each, state in zip(loggers, before, strict=True):
        each.handlers, each.propagate, level = state
        each.setLevel(level)


class Worker:
    """A worker that may have ended."""

    def __init__(self, *, is_ready: bool, exit_code: int | None = None) -> None:
        self.shared = Shared()
        self.shared.is_ready = is_ready
        # As for a process: there is something to read from it when it has ended.
        self._end, sentinel = socket.socketpair()
        if exit_code is not None:
            self._end.close()
        self.inner = SimpleNamespace(exitcode=exit_code, sentinel=sentinel)

    def close(self) -> None:
        self._end.close()
        self.inner.sentinel.close()


def _end(server: Any, *workers: Worker) -> bool:
    """Let workers end, and tell whether they are replaced."""
    for worker in server.wrks:
        worker.close()
    server.wrks = list(workers)
    ended = [index for index, worker in enumerate(workers) if worker.inner.exitcode is not None]
    server.interrupt_children = ended
    return bool(server.respawn_failed_workers)


def _exit_code(server: Any, monkeypatch: pytest.MonkeyPatch) -> int:
    codes: list[int] = []
    monkeypatch.setattr("granian.server.mp.MPServer.shutdown", lambda _, code: codes.append(code))
    server.shutdown()
    return codes[0]


@pytest.mark.parametrize(
    ("end", "code"),
    [(EX_START, EX_START), (EX_CONFIG, EX_CONFIG), (-9, EX_START), (0, EX_START), (1, EX_START)],
)
def test_a_start_that_fails_is_not_tried_again(
    server: Server, end: int, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that ends while the service starts ends the service, whatever its own code."""
    starting, failed = Worker(is_ready=False), Worker(is_ready=False, exit_code=end)
    assert not _end(server, starting, failed)
    assert _exit_code(server, monkeypatch) == code


def test_a_worker_that_has_served_is_replaced(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once all have served, the end of one is not the end of the service."""
    assert _end(server, Worker(is_ready=True), Worker(is_ready=True, exit_code=-9))
    assert _exit_code(server, monkeypatch) == 0


def test_a_successor_is_tried_again_while_others_serve(server: Server) -> None:
    """What a new worker needs may be away for a moment, which is no reason to end the others."""
    _end(server, Worker(is_ready=True), Worker(is_ready=True, exit_code=-9))
    assert _end(server, Worker(is_ready=True), Worker(is_ready=False, exit_code=EX_START))


def test_a_service_without_a_worker_ends(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """When nobody serves any more, and a new worker can't start, the service ends."""
    _end(server, Worker(is_ready=True, exit_code=-9))
    assert not _end(server, Worker(is_ready=False, exit_code=EX_CONFIG))
    assert _exit_code(server, monkeypatch) == EX_CONFIG


def test_workers_that_stop_with_the_service_know(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers are told that nobody takes over from them."""
    server.wrks = [Worker(is_ready=True), Worker(is_ready=True)]
    _exit_code(server, monkeypatch)
    assert all(worker.shared.leaves_service for worker in server.wrks)


def test_a_signal_while_a_worker_is_made_is_kept(server: Any) -> None:
    """Signals come at any moment, even when a worker has no process yet."""
    server.pid = os.getpid()
    server.wrks = [Worker(is_ready=False)]
    server.wrks[0].inner.pid = None
    server.signal_handler_interrupt(15, None)
    server.signal_handler_interrupt(15, None)
    assert server.interrupt_signal


@pytest.mark.parametrize(
    "reason", ["interrupt_signal", "reload_signal", "lifetime_signal", "rss_signal"]
)
def test_what_is_to_be_done_is_not_forgotten(server: Any, reason: str) -> None:
    """Granian's parent process stays awake until it has seen to what it was woken for."""
    setattr(server, reason, True)
    server.main_loop_interrupt.clear()
    waiting = Thread(target=server.main_loop_interrupt.wait, daemon=True)
    waiting.start()
    waiting.join(TIMEOUT_SECONDS)
    assert not waiting.is_alive()


def test_the_end_of_a_worker_wakes_its_parent(server: Any) -> None:
    """The parent process sleeps until a worker ends, for one."""
    ended = Timer(0.01, server.interrupt_children.append, [0])
    ended.start()
    server.main_loop_interrupt.wait()
    ended.join()
    assert server.interrupt_children == [0]
    server.interrupt_children.clear()


def test_a_signal_in_a_worker_ends_the_worker(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker has its parent's handlers for a moment, and ends by them at once."""

    def end(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr(os, "_exit", end)
    server.pid = os.getppid()
    with pytest.raises(SystemExit) as ended:
        server.signal_handler_interrupt(15, None)
    assert ended.value.code == 128 + 15


def test_a_signal_to_the_whole_group_is_a_clean_end(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers that a signal has ended before the parent knew of it have not failed."""
    server.pid = os.getpid()
    server.wrks = [Worker(is_ready=False, exit_code=-15)]
    server.interrupt_children = [0]
    server.signal_handler_interrupt(15, None)
    assert _exit_code(server, monkeypatch) == 0
    assert server.interrupt_children == []
