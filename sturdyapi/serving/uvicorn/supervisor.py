"""Several Uvicorn processes on one socket."""

from __future__ import annotations

import os
import signal
from ctypes import c_bool
from logging import getLogger
from time import monotonic, sleep
from typing import TYPE_CHECKING

from uvicorn._subprocess import spawn
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from sturdyapi.exceptions import EX_CONFIG, EX_SIGNALLED, EX_START
from sturdyapi.serving.boot import BootWatch, how_it_ended

from .server import Server

if TYPE_CHECKING:
    import socket

    from .config import Config

__all__ = ["Supervisor"]

_POLL_SECONDS = 0.1
_STOPPING = (signal.SIGTERM, signal.SIGINT)
_log = getLogger("sturdyapi.serving")


class _Worker(Process):
    """A process with a server that drains, and what it tells its parent."""

    def __init__(self, config: Config, sockets: list[socket.socket]) -> None:
        # Before the process is made, which takes them along.
        self._is_ready = spawn.Value(c_bool, lock=False)
        self._leaves_service = spawn.Value(c_bool, lock=False)
        super().__init__(config, sockets)

    @property
    def has_served(self) -> bool:
        """Whether it was ready, also when it has ended since."""
        return bool(self._is_ready.value)

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self.process.is_alive()

    @property
    def server(self) -> Server:
        """The server in the process; not for the parent."""
        if self._server is None:
            self._server = Server(
                self.config,
                supervised=True,
                leaves_service=lambda: bool(self._leaves_service.value),
                started=self._note_start,
            )
        return self._server  # type: ignore[return-value]

    def leave(self, *, leaves_service: bool) -> None:
        """Begin to stop."""
        self._leaves_service.value = c_bool(leaves_service)
        self.terminate()

    def cut_short(self) -> None:
        """Wait for nothing; SIGTERM it may have got from elsewhere as well."""
        if self.pid is not None and self.is_running:
            os.kill(self.pid, signal.SIGQUIT)

    def _note_start(self) -> None:
        self._is_ready.value = c_bool(1)


class Supervisor(Multiprocess):
    """Uvicorn's supervisor, with an exit code, and an end to a start that fails.

    Attributes:
        exit_code: What the process ends with.
    """

    processes: list[_Worker]  # type: ignore[assignment]
    config: Config

    def __init__(
        self, config: Config, *, sockets: list[socket.socket], kill_after_seconds: float
    ) -> None:
        """Make a supervisor.

        Args:
            config: Uvicorn's.
            sockets: Which every worker listens on.
            kill_after_seconds: Longest that workers may take to stop.
        """
        super().__init__(config, sockets)
        self.exit_code = 0
        self._kill_after_seconds = kill_after_seconds
        self._boots = BootWatch()
        self._leaving: dict[_Worker, float] = {}

    def init_processes(self) -> None:
        """Start the workers."""
        self.processes += [self._new_worker() for _ in range(self.processes_num)]

    def keep_subprocess_alive(self) -> None:
        """Replace what has ended, unless the service can't start."""
        self._end_what_leaves()
        if all(worker.has_served for worker in self.processes):
            self._boots.all_are_ready()
        for index, worker in enumerate(self.processes):
            if worker.is_running:
                continue
            worker.join()
            if self._is_beyond_help(worker):
                self.exit_code = EX_CONFIG if worker.exitcode == EX_CONFIG else EX_START
                self.should_exit.set()
                return
            _log.warning("Worker %s ended (%s): replacing it", worker.pid, _end_of(worker))
            self.processes[index] = self._new_worker()

    def restart_all(self) -> None:
        """Replace one worker after the other; each goes when its replacement is ready."""
        for index, old in enumerate(self.processes):
            new = self._new_worker()
            if not self._becomes_ready(new):
                self._leaving[new] = monotonic()
                new.process.terminate()
                return
            self.processes[index] = new
            self._retire(old)

    def handle_ttin(self) -> None:
        """Add a worker."""
        self.processes_num += 1
        self.processes.append(self._new_worker())

    def handle_ttou(self) -> None:
        """Take a worker away, unless it is the last one."""
        if self.processes_num > 1:
            self.processes_num -= 1
            self._retire(self.processes.pop())

    def terminate_all(self) -> None:
        """Let the workers leave service."""
        for worker in self.processes:
            worker.leave(leaves_service=True)
        # The workers still listen. With the parent they would go on to when they have closed
        # theirs, and whoever connected then would wait in vain.
        for each in self.sockets:
            each.close()

    def join_all(self) -> None:
        """Wait for the workers; a second signal is theirs as well."""
        deadline = monotonic() + self._kill_after_seconds
        workers = [*self.processes, *self._leaving]
        while running := [worker for worker in workers if worker.is_running]:
            if number := self._signal_to_stop():
                self.exit_code = EX_SIGNALLED + number
                self.signal_queue.clear()
                for worker in running:
                    worker.cut_short()
            if monotonic() > deadline:
                _log.error("Killing workers that did not stop in %g s", self._kill_after_seconds)
                for worker in running:
                    worker.process.kill()
            running[0].process.join(_POLL_SECONDS)
        for worker in workers:
            worker.join()

    def _new_worker(self) -> _Worker:
        worker = _Worker(self.config, self.sockets)
        worker.start()
        return worker

    def _becomes_ready(self, worker: _Worker) -> bool:
        """Wait until a worker is ready; not when it ends, or when everything is to stop."""
        deadline = monotonic() + self._kill_after_seconds
        while not worker.has_served:
            if self._signal_to_stop() is not None:
                return False
            if not worker.is_running or monotonic() > deadline:
                what = _end_of(worker) if not worker.is_running else "not ready in time"
                _log.error("A new worker can't start (%s): the old ones stay", what)
                return False
            sleep(_POLL_SECONDS)
        return True

    def _retire(self, worker: _Worker) -> None:
        worker.leave(leaves_service=False)
        self._leaving[worker] = monotonic() + self._kill_after_seconds

    def _end_what_leaves(self) -> None:
        for worker, deadline in list(self._leaving.items()):
            if not worker.is_running:
                worker.join()
                del self._leaving[worker]
            elif monotonic() > deadline:
                worker.process.kill()

    def _signal_to_stop(self) -> int | None:
        return next((number for number in self.signal_queue if number in _STOPPING), None)

    def _is_beyond_help(self, worker: _Worker) -> bool:
        if worker.has_served:
            return False
        others = [each for each in [*self.processes, *self._leaving] if each.is_running]
        if not self._boots.must_stop(others_serve=any(each.has_served for each in others)):
            return False
        _log.error("A worker can't start (%s): stopping", _end_of(worker))
        return True


def _end_of(worker: _Worker) -> str:
    return how_it_ended(worker.exitcode)
