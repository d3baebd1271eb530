"""What stands between a server and the app where the server lacks it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from sturdyapi.serving.asgi import DrainedApp, layers_of

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

pytestmark = pytest.mark.anyio


async def _receive() -> Message:
    return {"type": "http.request"}


class Sent(list[Any]):
    """What has been sent."""

    async def __call__(self, message: Message) -> None:
        self.append(message)


class Slow:
    """An app that runs until it is let go."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.may_end.wait()


async def test_what_runs_is_counted() -> None:
    """A server knows how many calls there are, and how long there has been none."""
    slow = Slow()
    app = DrainedApp(slow)
    for _ in range(3):
        slow.may_end.clear()
        calls = [asyncio.create_task(app({"type": "http"}, _receive, Sent())) for _ in range(2)]
        await asyncio.sleep(0)
        assert (len(app.calls), app.calls.idle_seconds) == (2, 0)
        slow.may_end.set()
        await asyncio.gather(*calls)
        assert len(app.calls) == 0
        assert app.calls.idle_seconds >= 0


def test_an_app_around_itself_has_an_end() -> None:
    """Whatever an object calls its `app`, looking inside comes to an end."""

    class Odd:
        app: object

    odd = Odd()
    odd.app = odd
    assert list(layers_of(None)) == []
    assert 1 < len(list(layers_of(odd))) < 100


async def test_a_lifespan_is_no_call() -> None:
    """The lifespan lasts as long as the process, which it must not keep from ending."""
    slow = Slow()
    app = DrainedApp(slow)
    living = asyncio.create_task(app({"type": "lifespan"}, _receive, Sent()))
    await asyncio.sleep(0)
    assert len(app.calls) == 0
    slow.may_end.set()
    await living


async def test_a_waiting_websocket_ends_with_the_service() -> None:
    """An endpoint that waits for its client gets a disconnect, and the client code 1012."""
    received: list[Message] = []
    never: asyncio.Future[Message] = asyncio.get_running_loop().create_future()

    async def talk(scope: Scope, receive: Receive, send: Send) -> None:
        received.append(await receive())

    async def receive() -> Message:
        return await never

    app, sent = DrainedApp(talk), Sent()
    call = asyncio.create_task(app({"type": "websocket"}, receive, sent))
    await asyncio.sleep(0.01)
    app.sockets.close()
    await call
    assert sent == [{"type": "websocket.close", "code": 1012}]
    assert received == [{"type": "websocket.disconnect", "code": 1012}]


@pytest.mark.parametrize("given", [[], [(b"Server", b"shop")]])
async def test_a_server_does_not_tell_its_name(given: list[tuple[bytes, bytes]]) -> None:
    """A response without a `Server` header gets an empty one; an app's own stays."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": given})

    sent = Sent()
    await DrainedApp(answer)({"type": "http"}, _receive, sent)
    assert sent[0]["headers"] == (given or [(b"server", b"")])
