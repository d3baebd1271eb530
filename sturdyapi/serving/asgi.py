"""What stands between a server and the app where the server lacks it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Calls", "WebSockets", "nameless", "nameless_send"]

_SERVICE_RESTART = 1012


class Calls:
    """Knows how many requests and websockets an app serves just now."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._running = 0
        self._idle_since = monotonic()

    @property
    def idle_seconds(self) -> float:
        """How long nothing has been running; 0 if something is."""
        return 0.0 if self._running else monotonic() - self._idle_since

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, a websocket, or the lifespan, which does not count."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        self._running += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._running -= 1
            self._idle_since = monotonic()


class WebSockets:
    """Ends the websockets of an app, which may stay open for days, when the service does."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._end = asyncio.Event()

    def close(self) -> None:
        """Tell clients and endpoints that the service restarts."""
        self._end.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, a websocket, or the lifespan."""
        if scope["type"] == "websocket":
            receive = self._until_end(receive, send)
        await self._app(scope, receive, send)

    def _until_end(self, receive: Receive, send: Send) -> Receive:
        async def receive_until_end() -> Message:
            message = asyncio.ensure_future(receive())
            end = asyncio.ensure_future(self._end.wait())
            try:
                await asyncio.wait([message, end], return_when=asyncio.FIRST_COMPLETED)
                if message.done():
                    return message.result()
            finally:
                message.cancel()
                end.cancel()
            with suppress(Exception):  # the client may have left in this moment
                await send({"type": "websocket.close", "code": _SERVICE_RESTART})
            return {"type": "websocket.disconnect", "code": _SERVICE_RESTART}

        return receive_until_end


def nameless(app: ASGIApp) -> ASGIApp:
    """Return an app whose responses keep the server from telling its name.

    For servers that add the header where there is none, so that there is one without a value.
    """

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, nameless_send(send) if scope["type"] == "http" else send)

    return serve


def nameless_send(send: Send) -> Send:
    """Return a way to send that adds an empty `Server` header where there is none."""

    async def send_nameless(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            if not any(name.lower() == b"server" for name, _ in headers):
                message = {**message, "headers": [*headers, (b"server", b"")]}
        await send(message)

    return send_nameless
