"""What happens between SIGTERM and the end of the process, under each server.

| After SIGTERM                    | Readiness | New connections | What was running          |
|----------------------------------|-----------|-----------------|---------------------------|
| for `SHUTDOWN_DELAY_SECONDS`     | 503       | are taken       | goes on                   |
| for `SHUTDOWN_GRACE_SECONDS`     | none      | are refused     | goes on, then is cut off  |
| then                             | none      | are refused     | resources close           |
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.sync.client import connect

from tests.servers.load import ask, connected
from tests.servers.polling import eventually
from tests.servers.process import DEADLINE_SECONDS
from tests.servers.running import SERVERS, shutdown
from tests.servers.service import PARTS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.servers.load import Answer
    from tests.servers.running import Kind, Running

    Run = Callable[..., Running]

pytestmark = pytest.mark.heavy

SLACK = 5
"""How often a promised time may pass before a test fails: the machine has other work too."""

DELAY_SECONDS = 2.0
"""Long enough to send a few requests in, on a busy machine."""

LONGER_THAN_DELAY_SECONDS = 2 * DELAY_SECONDS


class Work:
    """A request, a stream and a background task that go on for longer than the delay."""

    def __init__(self, server: Running, file: Path) -> None:
        self._server = server
        self._file = file

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Begin, let the block run, and fail unless all of it has finished."""
        seconds = f"seconds={LONGER_THAN_DELAY_SECONDS}"
        port = self._server.port
        async with connected(port) as connection, asyncio.TaskGroup() as group:
            slow = group.create_task(ask(port, f"/slow?{seconds}"))
            stream = group.create_task(ask(port, f"/stream/part?{seconds}"))
            sent = await connection.ask("POST", f"/task?{seconds}&file={self._file}")
            begun = {"slow has begun", "stream has begun", "task has begun"}
            await asyncio.to_thread(
                self._server.wait, lambda: begun.issubset(self._server.messages)
            )
            yield
        assert sent.status == 200
        assert _parts(slow.result()) == (200, b'"slow"')
        assert _parts(stream.result()) == (200, b"part\n" * PARTS)


def _parts(answer: Answer | None) -> tuple[int, bytes]:
    assert answer is not None
    return answer.status, answer.body


@pytest.mark.anyio
async def test_a_stop_loses_nothing(run: Run, kind: Kind, tmp_path: Path) -> None:
    """Readiness turns 503 while requests are taken; the sockets close; what runs finishes."""
    server = run(kind, settings=shutdown(delay_seconds=DELAY_SECONDS))
    await asyncio.to_thread(server.wait_until_ready)

    async with Work(server, tmp_path / "task").running():
        server.process.send_signal(signal.SIGTERM)
        await eventually(lambda: _is_unready(server))
        late = [await ask(server.port, "/echo/late") for _ in range(4)]
        alive = await ask(server.port, "/health/live")
        unready = await ask(server.port, "/health/ready")
        await eventually(lambda: _is_closed(server))
        assert "GET /slow 200" not in server.messages
    code = await asyncio.to_thread(server.wait_for_end)

    assert [(answer.status, answer.closes) for answer in late if answer] == [(200, True)] * 4
    assert alive is not None
    assert alive.status == 200
    assert unready is not None
    assert unready.status == 503
    assert (tmp_path / "task").read_text() == "written"
    _expect_clean_end(server, code)


async def _is_unready(server: Running) -> bool:
    # Each worker notices by itself, within a tenth of a second.
    for _ in range(10):
        answer = await ask(server.port, "/health/ready")
        assert answer is not None, "the sockets were closed while the service was ready"
        if answer.status != 503:
            return False
        await asyncio.sleep(0.02)
    return True


async def _is_closed(server: Running) -> bool:
    try:
        async with connected(server.port):
            return False
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        return False  # It was closed with this one in its queue.


def _expect_clean_end(server: Running, code: int) -> None:
    messages = server.messages
    assert code == 0, server.output
    assert messages.count("closed") == server.kind.workers
    first_closed = messages.index("closed")
    last_closed = len(messages) - 1 - messages[::-1].index("closed")
    for ended in ("GET /slow 200", "stream has ended", "task has ended"):
        assert messages.index(ended) < last_closed
    if server.kind.workers == 1:
        assert messages.index("task has ended") < first_closed
    assert not [line for line in server.lines if line["level"] in ("ERROR", "CRITICAL")]
    assert server.survivors() == []


@asynccontextmanager
async def _slow_request(
    server: Running, *, seconds: float
) -> AsyncIterator[asyncio.Task[Answer | None]]:
    """Let the block run while a request does."""
    request = asyncio.create_task(ask(server.port, f"/slow?seconds={seconds}"))
    try:
        await asyncio.to_thread(server.wait, lambda: "slow has begun" in server.messages)
        yield request
    finally:
        request.cancel()
        await asyncio.gather(request, return_exceptions=True)


@pytest.mark.anyio
@pytest.mark.parametrize("name", [name for name in SERVERS if name != "granian"])
async def test_a_request_on_its_way_is_answered(run: Run, kind: Kind) -> None:
    """A connection that was taken is not closed in the face of the request that is to come.

    Granian closes it: it has no step between taking connections and closing the idle ones.
    """
    server = run(kind, settings=shutdown())
    await asyncio.to_thread(server.wait_until_ready)

    async with AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(connected(server.port)) for _ in range(20)]
        server.process.send_signal(signal.SIGTERM)
        answers = []
        for connection in connections:
            answers.append(await connection.ask("GET", "/echo/one"))
            await asyncio.sleep(0.01)

    assert [answer.status for answer in answers] == [200] * len(connections)
    assert await asyncio.to_thread(server.wait_for_end) == 0


@pytest.mark.anyio
async def test_what_outlasts_the_grace_is_cut_off(run: Run, kind: Kind) -> None:
    """A request longer than the grace is cut off; resources close, and the process ends."""
    grace_seconds = 1.0
    server = run(kind, settings=shutdown(grace_seconds=grace_seconds))
    await asyncio.to_thread(server.wait_until_ready)

    async with _slow_request(server, seconds=600):
        began = time.monotonic()
        await asyncio.to_thread(server.end)
        took_seconds = time.monotonic() - began

    assert took_seconds < grace_seconds * SLACK
    assert server.messages.count("closed") == kind.workers
    assert server.survivors() == []
    assert "GET /slow 200" not in server.messages


@pytest.mark.anyio
async def test_a_second_signal_cuts_the_drain_short(run: Run, kind: Kind) -> None:
    """Somebody who does not want to wait gets the end at once, and a code that says so."""
    server = run(kind, settings=shutdown(grace_seconds=600))
    await asyncio.to_thread(server.wait_until_ready)

    async with _slow_request(server, seconds=600):
        server.process.send_signal(signal.SIGTERM)
        await eventually(lambda: _is_closed(server))
        server.process.send_signal(signal.SIGINT)
        code = await asyncio.to_thread(server.wait_for_end)

    assert code == 128 + signal.SIGINT, server.output
    assert "CancelledError" not in server.output
    assert server.messages.count("closed") == kind.workers
    assert server.survivors() == []


@pytest.mark.anyio
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
async def test_a_signal_to_the_whole_group_is_one_signal(
    run: Run, kind: Kind, number: signal.Signals
) -> None:
    """A service manager tells every process of a service to end, a terminal all in front."""
    server = run(kind, settings=shutdown())
    await asyncio.to_thread(server.wait_until_ready)

    async with _slow_request(server, seconds=1) as request:
        os.killpg(server.process.pid, number)
        answer = await request
        code = await asyncio.to_thread(server.wait_for_end)

    assert _parts(answer) == (200, b'"slow"')
    assert code == 0, server.output
    assert server.survivors() == []


@pytest.mark.anyio
async def test_an_idle_connection_does_not_hold_up_the_end(run: Run, kind: Kind) -> None:
    """Clients that keep a connection open and send nothing are not waited for."""
    server = run(kind, settings=shutdown(grace_seconds=600))
    await asyncio.to_thread(server.wait_until_ready)
    async with connected(server.port), connected(server.port) as used:
        await used.ask("GET", "/echo/one")
        assert await asyncio.to_thread(server.end) == 0
    assert server.survivors() == []


def test_an_open_websocket_does_not_hold_up_the_end(run: Run, kind: Kind) -> None:
    """A websocket, which may stay open for days, is closed with a code that tells to come back."""
    server = run(kind, settings=shutdown(grace_seconds=600)).wait_until_ready()
    url = f"ws://127.0.0.1:{server.port}/listen"
    with connect(url, open_timeout=DEADLINE_SECONDS) as websocket:
        server.process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed):
            websocket.recv(DEADLINE_SECONDS)
        code = websocket.close_code

    assert server.wait_for_end() == 0
    assert code in (CloseCode.GOING_AWAY, CloseCode.SERVICE_RESTART)
    assert "listened" in server.messages
    assert server.survivors() == []
