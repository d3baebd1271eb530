"""Processes of `sturdyapi run`, under each of its servers."""

from __future__ import annotations

import os
import shutil
import socket
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

import psutil
import pytest

from .guard import wait_for_end
from .process import DEADLINE_SECONDS, ServerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SERVICE = Path(__file__).parent / "service.py"


class Kind(NamedTuple):
    """A server, and with how many workers it is run."""

    server: str
    workers: int

    @property
    def options(self) -> tuple[str, ...]:
        """For the command line of `sturdyapi run`."""
        return ("--server", self.server, "--workers", str(self.workers))


SERVERS = {
    "uvicorn": Kind("uvicorn", 1),
    "uvicorn-workers": Kind("uvicorn", 2),
    "gunicorn": Kind("gunicorn", 2),
    "gunicorn-asgi": Kind("gunicorn-asgi", 2),
    "granian": Kind("granian", 2),
}
"""The matrix: every way to serve an app."""


def shutdown(*, delay_seconds: float = 0.0, grace_seconds: float = 20.0) -> dict[str, str]:
    """Return the settings of a stop."""
    return {
        "SHUTDOWN_DELAY_SECONDS": str(delay_seconds),
        "SHUTDOWN_GRACE_SECONDS": str(grace_seconds),
    }


def free_port() -> int:
    """Return a TCP port that nobody listens on."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Running(ServerProcess):
    """A process of `sturdyapi run` with `tests/servers/service.py`, unless another app is named."""

    def __init__(
        self,
        folder: Path,
        kind: Kind,
        *arguments: str,
        app: str = "service:app",
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Start it; it does not serve yet.

        Args:
            folder: Becomes the working directory, and the home directory.
            kind: The server.
            *arguments: More of the command line.
            app: What to serve; from the folder.
            port: A free one unless it is given.
            settings: More of the environment.
        """
        shutil.copy(SERVICE, folder)
        self.kind = kind
        wanted = port or free_port()
        command = ["sturdyapi", "run", app, *kind.options, "--port", str(wanted), *arguments]
        super().__init__(command, folder, {"HOME": str(folder), **(settings or {})})
        self.port = wanted

    def wait_until_ready(self) -> Self:
        """Wait until every worker serves, and return the process itself."""
        # Whatever the form of the lines.
        self.wait(lambda: self.output.count('"opened"') >= self.kind.workers)
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not self._is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the service is not ready; it wrote:\n{self.output}")
            time.sleep(0.02)
        return self

    def _is_ready(self) -> bool:
        try:
            return self.ask("GET", "/health/ready").status == 200
        except OSError:
            return False

    def members(self) -> list[psutil.Process]:
        """Return what runs of this process and of all that it has ever started."""
        return list(_members(self.process.pid))

    def survivors(self) -> list[str]:
        """Return what is left running after the end of the process, as text."""
        left = [process for process in self.members() if process.pid != self.process.pid]
        # The last worker may be a moment behind the process that has ended.
        wait_for_end(left, timeout_seconds=1.0)
        return [f"{process.pid} {process.status()}" for process in self.members()]


def _members(session: int) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            is_member = os.getsid(process.pid) == session
            if is_member and process.status() != psutil.STATUS_ZOMBIE:
                yield process
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
