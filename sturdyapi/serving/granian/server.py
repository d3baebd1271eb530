"""Granian's parent process: it ends when a start fails, and at a second signal."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from functools import partial
from logging import getLogger
from math import inf
from multiprocessing import connection
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Protocol, cast

from granian.server.mp import MPServer

from sturdyapi.exceptions import EX_CONFIG, EX_SIGNALLED, EX_START
from sturdyapi.serving.boot import BootWatch, how_it_ended
from sturdyapi.serving.shared import Shared

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing import Process
    from types import FrameType

    from granian.server.mp import WorkerProcess

__all__ = ["Server"]

_READY_SECONDS = 60.0
"""What a successor gets to start where no time is set for stopping."""
_POLL_SECONDS = 0.05
_log = getLogger("sturdyapi.serving")


class _Worker(Protocol):
    """Granian's `WorkerProcess`, with what it shares with this process."""

    inner: Process
    shared: Shared
    interrupt_by_parent: bool

    def start(self) -> None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...
    def join(self) -> None: ...


class Server(MPServer):
    """Granian with an end to a start that fails, and an exit code that tells it.

    A worker that has served and ends is replaced. A second signal does not wait for what runs.
    """

    wrks: list[_Worker]  # type: ignore[assignment]
    interrupt_children: list[int]
    pid: int | None  # type: ignore[assignment]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Make a server; the arguments are Granian's."""
        self._boots = BootWatch()
        self._signals: list[int] = []
        self._failure = 0
        super().__init__(*args, **kwargs)
        self.main_loop_interrupt = _Alarm(self)  # type: ignore[assignment]

    @property
    def respawn_failed_workers(self) -> bool:
        """Whether the workers that have ended just now are replaced; Granian asks each time."""
        if all(worker.shared.is_ready for worker in self.wrks):
            self._boots.all_are_ready()
        for index in self.interrupt_children:
            self._failure = self._failure or self._failure_of(self.wrks[index])
        return not self._failure

    @respawn_failed_workers.setter
    def respawn_failed_workers(self, value: bool) -> None:
        """Granian's own choice, which has no say."""

    def signal_handler_interrupt(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; the second time, let the workers cut off what they run.

        It may be called anywhere, in the middle of a fork as well, where an error would be lost.
        """
        if os.getpid() != self.pid:
            # A worker that has no handlers of its own yet, and nothing to lose.
            os._exit(EX_SIGNALLED + sig)
        self._signals.append(sig)
        if len(self._signals) > 1:
            for worker in self.wrks:
                _quit(worker)
        super().signal_handler_interrupt(sig, frame)  # type: ignore[no-untyped-call]

    def shutdown(self, exit_code: int = 0) -> None:
        """Stop the workers, and end with the code that tells why."""
        self._leave_service()
        if self._signals:
            # Workers that a signal has reached before it reached this process.
            self.interrupt_children.clear()
        super().shutdown(exit_code or self._failure)  # type: ignore[no-untyped-call]
        if len(self._signals) > 1:
            sys.exit(EX_SIGNALLED + self._signals[-1])

    def _spawn_worker(  # type: ignore[override]
        self, idx: int, target: Callable[..., None], callback_loader: Callable[..., Any]
    ) -> WorkerProcess:
        shared = Shared()
        worker = super()._spawn_worker(idx, target, partial(callback_loader, shared))
        cast("_Worker", worker).shared = shared
        return worker

    def _respawn_workers(
        self,
        workers: Sequence[int],
        spawn_target: Callable[..., None],
        target_loader: Callable[..., Any],
        delay: float = 0,
    ) -> None:
        """Replace workers one after the other; each goes when its successor serves.

        Granian itself waits for a fixed time, and stops the old one whatever becomes of the new.
        """
        del delay
        for index in workers:
            if self.interrupt_signal:
                return
            new = cast("_Worker", self._spawn_worker(index, spawn_target, target_loader))
            if _has_ended(self.wrks[index]):
                self.wrks[index] = new
                new.start()
            elif not self._hand_over(index, new):
                return
            self._metrics.incr_spawn(1)

    def _hand_over(self, index: int, new: _Worker) -> bool:
        """Put a worker in the place of one that serves; tell whether it could be done."""
        # In the list, so that a signal reaches it; its failure ends nothing, since others serve.
        self.wrks.append(new)
        new.interrupt_by_parent = True
        new.start()
        self._wait_until_ready(new)
        if self.interrupt_signal:
            return False
        # From here on its end is that of a worker in service.
        new.interrupt_by_parent = not new.shared.is_ready
        if new.interrupt_by_parent or _has_ended(new):
            _log.error("A new worker can't start: the old ones stay")
            self._end(new, timeout_seconds=0)
            return False
        old = self.wrks[index]
        self.wrks[index], self.wrks[-1] = new, old
        old.terminate()
        self._end(old, timeout_seconds=self.workers_kill_timeout)
        return True

    def _wait_until_ready(self, worker: _Worker) -> None:
        deadline = monotonic() + (self.workers_kill_timeout or _READY_SECONDS)
        while not (worker.shared.is_ready or self.interrupt_signal or monotonic() > deadline):
            if _has_ended(worker, timeout_seconds=_POLL_SECONDS):
                return

    def _end(self, worker: _Worker, *, timeout_seconds: float | None) -> None:
        """Wait for a worker to stop, and kill it then; if everything is to stop, leave it."""
        deadline = monotonic() + (inf if timeout_seconds is None else timeout_seconds)
        while not _has_ended(worker, timeout_seconds=_POLL_SECONDS):
            if self.interrupt_signal:
                return
            if monotonic() >= deadline:
                _log.error("Killing worker %s, which did not stop", worker.inner.pid)
                worker.kill()
        worker.join()
        self.wrks.remove(worker)

    def _leave_service(self) -> None:
        for worker in self.wrks:
            worker.shared.leaves_service = True

    def _failure_of(self, worker: _Worker) -> int:
        """Return the exit code for a worker that could not start; 0 if it could."""
        if worker.shared.is_ready:
            return 0
        others = [each for each in self.wrks if not _has_ended(each)]
        if not self._boots.must_stop(others_serve=any(each.shared.is_ready for each in others)):
            return 0
        code = worker.inner.exitcode
        _log.error("A worker can't start (%s): stopping", how_it_ended(code))
        return EX_CONFIG if code == EX_CONFIG else EX_START


class _Alarm:
    """Wakes Granian's parent process as long as there is something to do.

    In place of a `threading.Event`. A signal handler that sets one may wait for ever for the thread
    that it has interrupted, and Granian clears one that a second signal has set just now.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    def set(self) -> None:
        """Do nothing: who sets it has noted why."""

    def clear(self) -> None:
        """Do nothing: who clears it sees to what there is to do."""

    def wait(self) -> None:
        while not self._is_ringing():
            sleep(_POLL_SECONDS)

    def _is_ringing(self) -> bool:
        server = self._server
        is_asked = server.interrupt_signal or server.reload_signal
        is_due = server.lifetime_signal or server.rss_signal
        return bool(is_asked or is_due or server.interrupt_children)


def _quit(worker: _Worker) -> None:
    # It may have ended just now, or be about to start.
    with suppress(ProcessLookupError, ValueError):
        if worker.inner.pid is not None and not _has_ended(worker):
            os.kill(worker.inner.pid, signal.SIGQUIT)


def _has_ended(worker: _Worker, *, timeout_seconds: float | None = 0) -> bool:
    """Tell whether a process has ended, or ends in time.

    By its sentinel: a thread of Granian's waits for the same process, and one of two who wait is
    told that it is alive for a moment longer.
    """
    return bool(connection.wait([worker.inner.sentinel], timeout_seconds))
