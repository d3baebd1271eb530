"""A service on PostgreSQL behind a real server, and clients that can leave at any time."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.servers.polling import TIMEOUT_SECONDS, eventually

if TYPE_CHECKING:
    from pathlib import Path

SLACK = 5
"""How often a limit may pass before a test fails: the machine has other work too."""

POOL_SIZE = 5
WAIT_SECONDS = 1.0
"""Longest wait of the service for a connection, and for an answer of PostgreSQL."""

APP = f"""
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi.responses import StreamingResponse

from sturdyapi import BaseSettings, Dsn, create_app
from sturdyapi.contrib.postgres import Connection, Pool, Postgres


class Settings(BaseSettings):
    database_url: Dsn


pg = Postgres(
    setting="database_url",
    max_size={POOL_SIZE},
    acquire_timeout_seconds={WAIT_SECONDS},
    statement_timeout_seconds={WAIT_SECONDS},
)
Db = Annotated[Connection, pg.connection]
Transaction = Annotated[Connection, pg.transaction]
Streaming = Annotated[Connection, pg.streaming]
app = create_app(Settings, resources=[pg])


@app.post("/events/{{event_id}}")
async def write(event_id: int, db: Transaction) -> int:
    await db.execute("insert into events values ($1)", event_id)
    return event_id


@app.get("/sleep")
async def sleep(seconds: float, db: Db) -> int:
    row = await db.fetchrow("select pg_backend_pid() as pid, pg_sleep($1)", seconds)
    return row["pid"]


@app.get("/stream")
async def stream(db: Streaming) -> StreamingResponse:
    async def body() -> AsyncIterator[str]:
        async with db.transaction(readonly=True):
            query = "select repeat('x', 1000) from generate_series(1, 100000)"
            async for row in db.stream(query):
                yield row[0]

    return StreamingResponse(body())


@app.get("/connections")
async def connections(pool: Annotated[Pool, pg.value]) -> dict[str, int]:
    return pg.connections(pool)._asdict()
"""


class Answer(NamedTuple):
    """What a client got, and after how long."""

    status: int
    head: str
    body: bytes
    took_seconds: float

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


class Service:
    """A process of `uvicorn` that serves `APP`."""

    def __init__(self, folder: Path, database_url: str) -> None:
        (folder / "app.py").write_text(APP)
        self._log = folder / "log"
        environment = {**os.environ, "FASTAPI_ENV": "production", "DATABASE_URL": database_url}
        environment.pop("ENVIRONMENT", None)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "uvicorn", "app:app", "--port", "0"],
                cwd=folder,
                env=environment,
                stdout=log,
                stderr=log,
            )
        self.port = 0

    @property
    def output(self) -> str:
        """What the process has written so far."""
        return self._log.read_text()

    def wait_until_it_serves(self) -> Service:
        """Wait for the port, and return the service itself."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not (found := re.search(r"running on http://127\.0\.0\.1:(\d+)", self.output)):
            if self._process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the service did not start:\n{self.output}")
            time.sleep(0.02)
        self.port = int(found[1])
        return self

    def wait_for_end(self) -> int:
        """Wait for the end of the process, and return its code."""
        return self._process.wait(TIMEOUT_SECONDS)

    def end(self) -> None:
        """End the process as a container platform does; kill it if it does not."""
        self._process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(TIMEOUT_SECONDS)
        self._process.kill()
        self._process.wait()

    async def ask(self, path: str, *, method: str = "GET") -> Answer:
        """Send a request on a connection of its own, and read the whole answer."""
        started = time.monotonic()
        async with asyncio.timeout(TIMEOUT_SECONDS):
            reader, writer = await self.send(path, method=method)
            try:
                raw = await reader.read()
            finally:
                writer.close()
        head, _, body = raw.partition(b"\r\n\r\n")
        status = int(head.split()[1])
        return Answer(status, head.decode().lower(), body, time.monotonic() - started)

    async def send(
        self, path: str, *, method: str = "GET"
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Send a request, and return the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        writer.write(f"{head}Content-Length: 0\r\n\r\n".encode())
        return reader, writer

    async def wait_until_ready(self, expected: bool) -> float:
        """Wait for readiness to be green, or red, and return how many seconds that took."""

        async def is_as_expected() -> bool:
            return ((await self.ask("/health/ready")).status == 200) is expected

        return await eventually(is_as_expected)


def expect_outage(answer: Answer) -> None:
    """Fail unless an answer is an orderly refusal, given in time."""
    assert answer.status in (503, 504), answer
    assert "content-type: application/problem+json" in answer.head
    assert answer.json["status"] == answer.status
    assert answer.status == 504 or "retry-after: " in answer.head
    # One wait for a connection, and one for each statement: begin, the user's own, commit.
    assert answer.took_seconds < 4 * WAIT_SECONDS * SLACK
