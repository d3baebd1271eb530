"""What stands between a server and the app where the server lacks it."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Calls", "DrainedApp", "WebSockets", "layers_of", "nameless_send"]

_RESTART = 1012
"""What a websocket is closed with: the client is to come back."""

_MAX_LAYERS = 32


class Calls:
    """The requests and websockets that an app serves just now."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._idle_since = monotonic()

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def idle_seconds(self) -> float:
        """How long nothing has been running; 0 if something is."""
        return 0.0 if self._tasks else monotonic() - self._idle_since

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Count the task that runs the block, while it does."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("A call runs in a task.")
        self._tasks.add(task)
        self._is_idle.clear()
        try:
            yield
        finally:
            self._tasks.remove(task)
            if not self._tasks:
                self._idle_since = monotonic()
                self._is_idle.set()

    async def all_ended(self) -> None:
        """Wait until nothing runs."""
        await self._is_idle.wait()

    async def cancel(self, *, timeout_seconds: float) -> None:
        """Cut off what runs, and give it some time to clean up."""
        for task in self._tasks:
            task.cancel()
        with suppress(TimeoutError):
            await asyncio.wait_for(self.all_ended(), timeout_seconds)


class WebSockets:
    """The websockets that wait for a message of their clients, perhaps for days."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[Message]] = set()
        self._are_closed = False

    def receiver(self, receive: Receive, send: Send) -> Receive:
        """Return a way to receive that ends when the service does."""

        async def receive_until_end() -> Message:
            if not self._are_closed:
                message = asyncio.ensure_future(receive())
                self._waiting.add(message)
                try:
                    return await message
                except asyncio.CancelledError:
                    if not self._are_closed:
                        raise
                finally:
                    self._waiting.remove(message)
            with suppress(Exception):  # the client may have left in this moment
                await send({"type": "websocket.close", "code": _RESTART})
            return {"type": "websocket.disconnect", "code": _RESTART}

        return receive_until_end

    def close(self) -> None:
        """Tell clients and endpoints that the service restarts."""
        self._are_closed = True
        for message in self._waiting:
            # Granian can't send a last frame while it waits for one of the client's.
            message.cancel()


class DrainedApp:
    """An app that tells what it serves, and whose websockets end when the service does.

    Attributes:
        calls: What runs.
        sockets: The websockets.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.calls = Calls()
        self.sockets = WebSockets()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, a websocket, or the lifespan, which is no call."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] == "websocket":
            receive = self.sockets.receiver(receive, send)
        else:
            send = nameless_send(send)
        with self.calls.one_more():
            await self._app(scope, receive, send)


def layers_of(app: object) -> Iterator[Any]:
    """Yield an app and what is inside of it, as far as middleware tells: its `app`."""
    inner: Any = app
    for _ in range(_MAX_LAYERS):
        if inner is None:
            return
        yield inner
        inner = getattr(inner, "app", None)


def nameless_send(send: Send) -> Send:
    """Return a way to send that keeps the server from telling its name.

    For servers that add the header where there is none, so that there is one without a value.
    """

    async def send_nameless(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            if not any(name.lower() == b"server" for name, _ in headers):
                message = {**message, "headers": [*headers, (b"server", b"")]}
        await send(message)

    return send_nameless
