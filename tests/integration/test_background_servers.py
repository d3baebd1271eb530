"""What becomes of background tasks when a real server stops.

| At SIGTERM uvicorn                        | A task that runs                           |
|-------------------------------------------|--------------------------------------------|
| waits, `--timeout-graceful-shutdown` long | ends, and the lifespan closes after it     |
| cancels what is left then                 | is named as cut off                        |
| runs the shutdown of the lifespan         | is awaited for the grace, and named then   |
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from threading import Timer
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.heavy

DEADLINE_SECONDS = 30.0
"""Several times what the slowest step needs on a busy machine."""

APP = """
import asyncio
import time
from contextlib import asynccontextmanager

from loguru import logger

from sturdyapi import BackgroundTasks, create_app


@asynccontextmanager
async def lifespan(app):
    yield
    logger.info("closed")


app = create_app(lifespan=lifespan)


async def one_second():
    logger.info("begun")
    await asyncio.sleep(1)
    logger.info("task has ended")


async def endless():
    logger.info("begun")
    await asyncio.sleep(600)


def endless_in_a_thread():
    logger.info("begun")
    time.sleep(600)


async def stubborn():
    logger.info("begun")
    try:
        await asyncio.sleep(600)
    except asyncio.CancelledError:
        await asyncio.sleep(600)


def mail():
    logger.info("mail is out")


@app.post("/{name}")
async def begin(name: str, tasks: BackgroundTasks) -> str:
    tasks.add_task(globals()[name])
    tasks.add_task(mail)
    return name
"""


class Server:
    """A server process, and the lines it has written so far."""

    def __init__(self, folder: Path, *options: str) -> None:
        (folder / "app.py").write_text(APP)
        environment = {**os.environ, "FASTAPI_ENV": "production", "SHUTDOWN_GRACE_SECONDS": "0.5"}
        environment.pop("ENVIRONMENT", None)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "app:app", "--port", "0", *options],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._killer = Timer(DEADLINE_SECONDS, self.process.kill)
        self._killer.start()
        self.texts: list[str] = []
        self.port = int(self.read_until(r"running on http://127\.0\.0\.1:(\d+)")[1])

    def read_until(self, pattern: str) -> re.Match[str]:
        """Read lines until one matches."""
        for text in self.process.stdout or ():
            self.texts.append(text.rstrip("\n"))
            if found := re.search(pattern, text):
                return found
        pytest.fail(f"no {pattern!r}; the server wrote:\n" + "\n".join(self.texts))

    def begin(self, task: str) -> None:
        """Add a task, and wait until it runs."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/{task}", method="POST", headers={"X-Request-ID": "r1"}
        )
        with urllib.request.urlopen(request, timeout=DEADLINE_SECONDS) as response:
            assert response.status == 200
        self.read_until('"begun"')

    def end(self) -> int:
        """End the process as a container platform does, and return its code."""
        self.process.send_signal(signal.SIGTERM)
        self.texts += [text.rstrip("\n") for text in self.process.stdout or ()]
        return self.process.wait(DEADLINE_SECONDS)

    def close(self) -> None:
        """Leave nothing behind."""
        self._killer.cancel()
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The JSON lines."""
        return [json.loads(text) for text in self.texts if text.startswith("{")]

    @property
    def messages(self) -> list[str]:
        """The texts of the JSON lines."""
        return [line["message"] for line in self.lines]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers that are killed at the end of the test if they have not ended."""
    servers: list[Server] = []

    def start_server(*options: str) -> Server:
        servers.append(Server(tmp_path, *options))
        return servers[-1]

    yield start_server
    for server in servers:
        server.close()


def test_a_running_task_ends_before_the_server(start: Callable[..., Server]) -> None:
    """Trap 18: a server that stops waits for the tasks that run and for those behind them."""
    server = start()
    server.begin("one_second")

    assert server.end() == -signal.SIGTERM
    told = [text for text in server.messages if text in ("task has ended", "mail is out", "closed")]
    assert told == ["task has ended", "mail is out", "closed"]


@pytest.mark.parametrize("task", ["endless", "endless_in_a_thread"])
def test_a_task_that_outlasts_the_servers_limit_is_named(
    task: str, start: Callable[..., Server]
) -> None:
    """What the server cancels, in the loop or in a thread, is named with its request."""
    server = start("--timeout-graceful-shutdown", "1")
    server.begin(task)

    assert server.end() == -signal.SIGTERM
    (line,) = [line for line in server.lines if line["logger"] == "sturdyapi.background"]
    assert (line["level"], line["request_id"], line["background_task"]) == ("ERROR", "r1", task)
    assert line["message"].startswith(f"Background task {task} was cut off after 1.")
    assert line["message"].endswith(" s by CancelledError; not started: mail")
    assert "closed" in server.messages


def test_a_task_that_outlasts_the_grace_is_named(start: Callable[..., Server]) -> None:
    """A task that does not let itself be cancelled is named when the grace has passed."""
    server = start("--timeout-graceful-shutdown", "1")
    server.begin("stubborn")

    assert server.end() == -signal.SIGTERM
    (line,) = [line for line in server.lines if line["logger"] == "sturdyapi.background"]
    assert line["level"] == "WARNING"
    assert line["message"].startswith("Stopping after a grace of 0.5 s")
    assert "stubborn of request r1, running for 1." in line["message"]
    assert "; not started: mail" in line["message"]
    assert server.messages.index(line["message"]) < server.messages.index("closed")
