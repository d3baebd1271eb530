"""Several Uvicorn processes on one socket."""

from __future__ import annotations

import os
import signal
from logging import getLogger
from time import monotonic
from typing import TYPE_CHECKING

from uvicorn.supervisors.multiprocess import Multiprocess, Process

from sturdyapi.exceptions import EX_CONFIG, EX_SIGNALLED, EX_START
from sturdyapi.serving.boot import BootWatch

from .server import Server

if TYPE_CHECKING:
    import socket

    import uvicorn

__all__ = ["Supervisor"]

_NO_RETRY = (EX_START, EX_CONFIG)
"""Exit codes of a worker that would fail the same way again."""
_POLL_SECONDS = 0.1
_log = getLogger("sturdyapi.serving")


class _Worker(Process):
    """A process with a server that drains."""

    was_ready = False

    def cut_short(self) -> None:
        """Let the worker wait for nothing; SIGTERM it may have got from elsewhere as well."""
        if self.pid is not None and self.process.is_alive():
            os.kill(self.pid, signal.SIGQUIT)

    @property
    def server(self) -> Server:
        if self._server is None:
            self._server = Server(self.config, supervised=True)
        return self._server  # type: ignore[return-value]


class Supervisor(Multiprocess):
    """Uvicorn's supervisor, with an exit code, and an end to a start that fails.

    Attributes:
        exit_code: What the process ends with.
    """

    processes: list[_Worker]  # type: ignore[assignment]

    def __init__(
        self, config: uvicorn.Config, *, sockets: list[socket.socket], kill_after_seconds: float
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

    def init_processes(self) -> None:
        """Start the workers."""
        self.processes += [self._new_worker() for _ in range(self.processes_num)]

    def keep_subprocess_alive(self) -> None:
        """Replace what has ended, unless the service can't start."""
        for index, worker in enumerate(self.processes):
            if self.should_exit.is_set():
                return
            if worker.is_alive(self.config.timeout_worker_healthcheck):
                worker.was_ready = worker.was_ready or worker.is_ready()
                continue
            worker.kill()  # It may hang.
            worker.join()
            if self._is_beyond_help(worker):
                self.exit_code = EX_CONFIG if worker.exitcode == EX_CONFIG else EX_START
                self.should_exit.set()
                return
            _log.warning("Worker %s ended (%s): replacing it", worker.pid, _end_of(worker))
            self.processes[index] = self._new_worker()
        if self.processes and all(worker.was_ready for worker in self.processes):
            self._boots.all_are_ready()

    def restart_all(self) -> None:
        """Replace one worker after the other; each goes when its replacement is ready."""
        for index, old in enumerate(self.processes):
            new = self._new_worker()
            if not new.wait_until_ready(self._kill_after_seconds, self.should_exit):
                new.kill()
                new.join()
                _log.error("A new worker was not ready in time: the old ones stay")
                return
            old.terminate()
            old.join()
            self.processes[index] = new

    def handle_ttin(self) -> None:
        """Add a worker."""
        self.processes_num += 1
        self.processes.append(self._new_worker())

    def join_all(self) -> None:
        """Wait for the workers; a second signal is theirs as well."""
        deadline = monotonic() + self._kill_after_seconds
        while any(worker.process.is_alive() for worker in self.processes):
            if self.signal_queue:
                self.exit_code = EX_SIGNALLED + self.signal_queue[-1]
                self.signal_queue.clear()
                for worker in self.processes:
                    worker.cut_short()
            if monotonic() > deadline:
                _log.error("Killing workers that did not stop in %g s", self._kill_after_seconds)
                for worker in self.processes:
                    worker.process.kill()
            self.processes[0].process.join(_POLL_SECONDS)
        super().join_all()

    def _new_worker(self) -> _Worker:
        worker = _Worker(self.config, self.sockets)
        worker.start()
        return worker

    def _is_beyond_help(self, worker: _Worker) -> bool:
        if worker.was_ready:
            return False
        if not (worker.exitcode in _NO_RETRY or self._boots.must_stop()):
            return False
        _log.error("A worker can't start (%s): stopping", _end_of(worker))
        return True


def _end_of(worker: _Worker) -> str:
    code = worker.exitcode or 0
    return f"signal {-code}" if code < 0 else f"exit code {code}"
