"""An app in a worker of Granian: what comes to an end, and in which order."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import pytest
from starlette.requests import ClientDisconnect
from starlette.websockets import WebSocketDisconnect

from sturdyapi import draining
from sturdyapi.exceptions import EX_START
from sturdyapi.serving.granian import served
from sturdyapi.serving.granian.served import ServedApp
from sturdyapi.serving.shared import Shared

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

pytestmark = pytest.mark.anyio

TIMEOUT_SECONDS = 10.0
"""Many times what the slowest step needs."""

HTTP = {"type": "http"}
WEBSOCKET = {"type": "websocket"}


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal is answered at once, and every test begins with no drain."""
    monkeypatch.setattr(served, "_NOTICE_SECONDS", 0)
    monkeypatch.setattr(draining, "_drain", None)


@pytest.fixture
def exit_codes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Codes with which the process would have ended."""
    codes: list[int] = []
    monkeypatch.setattr(sys, "exit", codes.append)
    return codes


class App:
    """An app that writes down what it sees, and runs until it is let go."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.may_end = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        self.seen.append("begun")
        try:
            await self.may_end.wait()
        finally:
            self.seen.append("ended")

    async def _live(self, receive: Receive, send: Send) -> None:
        for what in ("startup", "shutdown"):
            await receive()
            self.seen.append(what)
            await send({"type": f"lifespan.{what}.complete"})


class Server:
    """Granian's side."""

    def __init__(self, app: Any) -> None:
        self.shared = Shared()
        self.app = ServedApp(app, self.shared, grace_seconds=draining.GRACE_SECONDS)
        self.events: asyncio.Queue[Message] = asyncio.Queue()
        self.sent: asyncio.Queue[str] = asyncio.Queue()
        self.closed = 0
        self.tasks: list[asyncio.Task[None]] = []

    def call(self, scope: dict[str, Any], receive: Any = None, send: Any = None) -> Any:
        task = asyncio.ensure_future(
            self.app(scope, receive or self.events.get, send or self._send)
        )
        self.tasks.append(task)
        return task

    async def start(self) -> None:
        self.call({"type": "lifespan"})
        await self.tell("startup")
        assert self.sent.get_nowait() == "lifespan.startup.complete"

    async def tell(self, what: str) -> None:
        await self.events.put({"type": f"lifespan.{what}"})
        await _settle()

    def close_sockets(self) -> None:
        self.closed += 1

    async def _send(self, message: Message) -> None:
        await self.sent.put(message["type"])

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks, timeout=TIMEOUT_SECONDS)


async def _settle() -> None:
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_worker_is_ready_when_the_lifespan_has_begun() -> None:
    """The parent process sees a worker as ready from the end of its start on."""
    server = Server(App())
    server.call({"type": "lifespan"})
    await _settle()
    before = server.shared.is_ready
    await server.tell("startup")
    assert (before, server.shared.is_ready) == (False, True)
    await server.end()


async def test_the_lifespan_ends_after_what_runs() -> None:
    """What an app does after its response is waited for, which Granian does not."""
    app = App()
    server = Server(app)
    await server.start()
    server.call(HTTP)
    await _settle()
    await server.tell("shutdown")
    assert app.seen == ["startup", "begun"]
    app.may_end.set()
    await _settle()
    assert app.seen == ["startup", "begun", "ended", "shutdown"]
    await server.end()


async def test_the_sockets_are_closed_once() -> None:
    """However often a worker is told, it closes its sockets once."""
    server = Server(App())
    await server.start()
    for _ in range(3):
        server.app.leave(server.close_sockets)
        await asyncio.sleep(0.001)
    await _until(lambda: server.closed > 0)
    await _settle()
    assert server.closed == 1
    await server.end()


async def _until(condition: Any) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("leaves_service", [True, False])
async def test_the_apps_are_told_whether_others_take_over(*, leaves_service: bool) -> None:
    """A worker that is replaced stays ready; one whose service stops does not."""
    server = Server(App())
    await server.start()
    server.shared.leaves_service = leaves_service
    told: list[bool] = []

    def begin(*, leaves_service: bool) -> None:
        told.append(leaves_service)

    with draining.takes_part(begin, delay_seconds=0, grace_seconds=60):
        server.app.leave(server.close_sockets)
        await _until(lambda: server.closed > 0)
    assert told == [leaves_service]
    await server.end()


async def test_the_sockets_stay_open_for_the_delay(exit_codes: list[int]) -> None:
    """Requests are taken until the delay of the app has passed."""
    server = Server(App())
    await server.start()

    def begin(*, leaves_service: bool) -> None: ...

    with draining.takes_part(begin, delay_seconds=60, grace_seconds=60):
        server.app.leave(server.close_sockets)
        await _until(lambda: draining.current() is not None)
        await _settle()
        assert server.closed == 0
        server.app.cut_off(server.close_sockets)
        await _until(lambda: server.closed == 1)
        await _until(lambda: exit_codes)
    await server.end()


async def test_what_is_cut_off_cleans_up_first(exit_codes: list[int]) -> None:
    """A request that is cut off is cancelled; then the lifespan ends, and the process."""
    app = App()
    server = Server(app)
    await server.start()
    call = server.call(HTTP)
    await _settle()
    server.app.cut_off(server.close_sockets)
    await _until(lambda: exit_codes)
    assert app.seen == ["startup", "begun", "ended", "shutdown"]
    assert exit_codes == [0]
    assert not call.done()  # Granian would answer 500.
    await server.end()


async def test_a_grace_that_is_over_cuts_off(exit_codes: list[int]) -> None:
    """What outlasts the grace is cut off without another signal."""
    app = App()
    server = Server(app)
    await server.start()
    server.call(HTTP)
    await _settle()

    def begin(*, leaves_service: bool) -> None: ...

    with draining.takes_part(begin, delay_seconds=0, grace_seconds=0):
        server.app.leave(server.close_sockets)
        await _until(lambda: exit_codes)
    assert app.seen[-2:] == ["ended", "shutdown"]
    await server.end()


async def test_a_start_is_not_waited_for(exit_codes: list[int]) -> None:
    """A worker that is to be cut off while it starts ends at once."""
    server = Server(App())
    server.app.cut_off(server.close_sockets)
    assert exit_codes[:1] == [EX_START]
    await _until(lambda: server.closed == 1)


async def test_a_failed_start_ends_the_worker(exit_codes: list[int]) -> None:
    """A lifespan that fails ends the worker with the code of a start that fails."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    server = Server(app)
    server.call({"type": "lifespan"})
    await _until(lambda: exit_codes)
    assert exit_codes == [EX_START]
    assert server.sent.get_nowait() == "lifespan.startup.failed"  # Granian logs the message.
    assert not server.shared.is_ready
    await server.end()


async def test_an_app_without_a_lifespan_is_served() -> None:
    """An app that knows nothing of lifespans starts, and what it runs is waited for."""
    app = App()

    async def plain(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            raise AssertionError("unknown scope")
        await app(scope, receive, send)

    server = Server(plain)
    await server.start()
    assert server.shared.is_ready
    server.call(HTTP)
    await _settle()
    await server.tell("shutdown")
    assert server.sent.empty()
    app.may_end.set()
    await _settle()
    assert server.sent.get_nowait() == "lifespan.shutdown.complete"
    await server.end()


async def test_an_error_of_the_end_is_granians() -> None:
    """An error in the lifespan of an app that has served is not taken for a missing lifespan."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        raise RuntimeError("on purpose")

    server = Server(app)
    await server.start()
    await server.tell("shutdown")
    await _until(server.tasks[0].done)
    with pytest.raises(RuntimeError, match="on purpose"):
        server.tasks[0].result()


@pytest.mark.parametrize("error", [ClientDisconnect(), WebSocketDisconnect()])
async def test_a_client_that_leaves_is_no_error(error: Exception) -> None:
    """Granian is not told of errors that are none, or have their line already."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    assert await Server(app).call(HTTP) is None


async def test_an_error_that_nobody_has_told_is_granians() -> None:
    """An error without a line of its own goes on to Granian, which logs it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        await Server(app).call(HTTP)


class Sockets:
    """An app that takes messages until there are none, and its client."""

    def __init__(self) -> None:
        self.received: list[Message] = []
        self.sent: list[Message] = []
        self.pending: list[asyncio.Future[Message]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        while not self.received or self.received[-1]["type"] != "websocket.disconnect":
            self.received.append(await receive())

    def receive(self) -> asyncio.Future[Message]:
        self.pending.append(asyncio.get_running_loop().create_future())
        return self.pending[-1]

    async def send(self, message: Message) -> None:
        self.sent.append(message)


async def test_a_websocket_is_told_of_the_restart() -> None:
    """A websocket is closed with 1012 when the sockets close, and its app is told the same."""
    sockets = Sockets()
    server = Server(sockets)
    call = server.call(WEBSOCKET, sockets.receive, sockets.send)
    await _settle()
    sockets.pending[0].set_result({"type": "websocket.receive", "text": "hello"})
    await _settle()
    server.app.leave(server.close_sockets)
    await _until(call.done)
    assert sockets.sent == [{"type": "websocket.close", "code": 1012}]
    assert sockets.received == [
        {"type": "websocket.receive", "text": "hello"},
        {"type": "websocket.disconnect", "code": 1012},
    ]


async def test_a_late_websocket_is_told_at_once() -> None:
    """A websocket that asks for a message after the sockets have closed is told so."""
    sockets = Sockets()
    server = Server(sockets)
    server.app.leave(server.close_sockets)
    await _until(lambda: server.closed == 1)
    await _until(server.call(WEBSOCKET, sockets.receive, sockets.send).done)
    assert sockets.received == [{"type": "websocket.disconnect", "code": 1012}]
    assert sockets.pending == []


async def test_a_websocket_can_be_cancelled() -> None:
    """A cancelled websocket has not been closed by the service."""
    sockets = Sockets()
    call = Server(sockets).call(WEBSOCKET, sockets.receive, sockets.send)
    await _settle()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert sockets.received == []
