"""A server process: what it has written so far, requests to it, and its end."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import closing, suppress
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

DEADLINE_SECONDS = 30.0
"""Several times what the slowest step needs on a busy machine."""

_OURS = ("FASTAPI_ENV", "ENVIRONMENT", "SECRETS_DIR")


class ServerProcess:
    """A Python module that runs as a server, in production, and the lines it has written so far.

    It leads a session of its own, so that whatever it starts can be found and ended.
    """

    def __init__(
        self, command: list[str], folder: Path, variables: Mapping[str, str] | None = None
    ) -> None:
        environment = {name: value for name, value in os.environ.items() if name not in _OURS}
        environment |= {"FASTAPI_ENV": "production", "PYTHONUNBUFFERED": "1", **(variables or {})}
        self.port = 0
        self.process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.texts: list[str] = []
        self._changed = Condition()
        self._reader = Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        output = self.process.stdout
        if output is None:
            return
        with output:
            for line in output:
                with self._changed:
                    self.texts.append(line.decode().rstrip("\n"))
                    self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    @property
    def output(self) -> str:
        """All that was written."""
        return "\n".join(self.texts)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The JSON lines."""
        return [json.loads(text) for text in list(self.texts) if text.startswith("{")]

    @property
    def messages(self) -> list[str]:
        """The texts of the JSON lines."""
        return [line["message"] for line in self.lines]

    def wait(self, condition: Callable[[], Any]) -> Any:
        """Wait for a line to make the condition true, and return what it gave."""
        with self._changed:
            self._changed.wait_for(lambda: condition() or not self._is_writing, DEADLINE_SECONDS)
            if not (found := condition()):
                why = "not in time" if self._is_writing else "the server has ended"
                pytest.fail(f"{why}; it wrote:\n{self.output}")
            return found

    @property
    def _is_writing(self) -> bool:
        return self.process.stdout is not None and not self.process.stdout.closed

    def line(self, request_id: str, logger: str = "sturdyapi.access") -> dict[str, Any]:
        """Wait for the line of a request, and return it; fail if there are two."""
        found = self.wait(lambda: self.lines_of(request_id, logger))
        assert len(found) == 1
        return found[0]  # type: ignore[no-any-return]

    def lines_of(self, request_id: str, logger: str) -> list[dict[str, Any]]:
        """Return the lines that a logger has written for a request so far."""
        return [
            line
            for line in self.lines
            if line.get("request_id") == request_id and line["logger"] == logger
        ]

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> http.client.HTTPResponse:
        """Send a request and return the response, its body read."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_SECONDS)
        with closing(connection):
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            response = connection.getresponse()
            response.body = response.read()  # type: ignore[attr-defined]
            return response

    def open(self) -> socket.socket:
        """Open a connection to write bytes to."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_SECONDS)

    def ask_raw(self, request: bytes) -> tuple[int, bytes]:
        """Send bytes, and return the status and the head of what comes back."""
        answer = b""
        with self.open() as connection:
            connection.sendall(request)
            with suppress(ConnectionResetError):
                while b"\r\n\r\n" not in answer and (part := connection.recv(65536)):
                    answer += part
        return int(answer.split()[1]) if answer else 0, answer.partition(b"\r\n\r\n")[0]

    def end(self) -> int:
        """End the process as a container platform does, and return its code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait_for_end()

    def wait_for_end(self) -> int:
        """Wait until the process ends by itself and its output is read, and return its code."""
        try:
            code = self.process.wait(DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the server did not end; it wrote:\n{self.output}")
        self._reader.join(DEADLINE_SECONDS)
        return code

    def kill(self) -> None:
        """End whatever has not ended, and the output."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join()
