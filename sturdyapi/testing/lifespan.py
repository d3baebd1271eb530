"""The lifespan of an app, run as a server runs it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from sturdyapi.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import ASGIApp, Message

__all__ = ["running"]


@asynccontextmanager
async def running(app: ASGIApp) -> AsyncIterator[dict[str, Any]]:
    """Run the lifespan of an app around the block, and give the state that it yields.

    The block may be left by another task than entered it, as fixtures do: the lifespan has a task
    of its own.

    Raises:
        Exception: Whatever the app raised while it started, and at the end, while it stopped.
    """
    lifespan = _Lifespan(app)
    await lifespan.start()
    try:
        yield lifespan.state
    finally:
        await lifespan.stop()


class _Lifespan:
    """The server's side of the lifespan protocol."""

    def __init__(self, app: ASGIApp) -> None:
        self.state: dict[str, Any] = {}
        self._app = app
        self._has_asked = False
        self._started = asyncio.get_running_loop().create_future()
        self._stopping = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name="lifespan")

    async def start(self) -> None:
        try:
            await asyncio.wait({self._started, self._task}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._task.cancel()
            await asyncio.wait({self._task})
            raise
        if not self._started.done():
            await self._task
            raise ConfigurationError(
                "The app has ended its lifespan without a word: a middleware keeps its start, or "
                "its error, for itself."
            )

    async def stop(self) -> None:
        self._stopping.set()
        await self._task

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": self.state}
        await self._app(scope, self._receive, self._send)

    async def _receive(self) -> Message:
        if not self._has_asked:
            self._has_asked = True
            return {"type": "lifespan.startup"}
        await self._stopping.wait()
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: Message) -> None:
        # After a failure the app raises its error, which says more than the message.
        if message["type"] == "lifespan.startup.complete":
            self._started.set_result(None)
