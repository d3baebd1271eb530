"""An app in a worker, and the steps in which it leaves service."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from logging import getLogger
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect
from starlette.websockets import WebSocketDisconnect

from sturdyapi import draining
from sturdyapi.exceptions import EX_START
from sturdyapi.log.errors import is_logged
from sturdyapi.serving.asgi import DrainedApp

from .loop import DrainLoop

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from sturdyapi.serving.shared import Shared

__all__ = ["ServedApp"]

_NOTICE_SECONDS = 0.1
"""A signal to a whole group may reach a worker before the parent, who knows what it is for."""
_CANCEL_SECONDS = 2.0
"""What cancelled requests get to clean up."""
_POLL_SECONDS = 1.0
_log = getLogger("sturdyapi.serving")


class ServedApp:
    """An ASGI app with what Granian leaves out when it stops.

    The first SIGTERM begins the drain; the sockets close when the apps' delay has passed. What
    runs, background tasks included, gets its grace, and is cut off then. The lifespan ends last,
    whoever is still connected.
    """

    def __init__(self, app: ASGIApp, shared: Shared, *, grace_seconds: float) -> None:
        """Make one.

        Args:
            app: What is served.
            shared: Memory in which the parent process reads that it is.
            grace_seconds: What requests get to finish if no app of ours says how much.
        """
        self._app = DrainedApp(app)
        self._shared = shared
        self._grace_seconds = grace_seconds
        self._leaving: asyncio.Task[None] | None = None
        self._is_cut_off = asyncio.Event()
        self._must_close = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, a websocket, or the lifespan."""
        if scope["type"] == "lifespan":
            await self._serve_lifespan(scope, receive, send)
        else:
            await self._serve(scope, receive, send)

    def leave(self, close_sockets: Callable[[], object]) -> None:
        """Begin the drain; a second time changes nothing."""
        if self._leaving is None:
            self._leaving = asyncio.ensure_future(self._leave(close_sockets))

    def cut_off(self, close_sockets: Callable[[], object]) -> None:
        """Leave without waiting for anybody."""
        if not self._shared.is_ready:
            # Opening a resource may take long, and there is nothing to lose.
            sys.exit(EX_START)
        self._is_cut_off.set()
        self.leave(close_sockets)

    async def _leave(self, close_sockets: Callable[[], object]) -> None:
        await self._pass(_NOTICE_SECONDS)
        drain = draining.begin(
            grace_seconds=self._grace_seconds, leaves_service=self._shared.leaves_service
        )
        _log.info("SIGTERM: %s", drain)
        await self._pass(drain.delay_seconds)
        self._app.sockets.close()
        close_sockets()
        await self._pass(drain.grace_seconds)
        await self._cut_off()

    async def _pass(self, seconds: float) -> None:
        """Let time pass, unless nobody wants to wait."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._is_cut_off.wait(), seconds)

    async def _cut_off(self) -> None:
        self._is_cut_off.set()
        _log.warning("Cutting off what is running (%d)", len(self._app.calls))
        await self._app.calls.cancel(timeout_seconds=_CANCEL_SECONDS)
        self._must_close.set()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except Exception as error:
            if not _is_told(error):
                raise
        finally:
            if self._is_cut_off.is_set():
                # Granian would answer 500, and a proxy would not try again elsewhere.
                await _for_ever()

    async def _serve_lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def receive_late() -> Message:
            return await (self._receive_end(receive) if self._shared.is_ready else receive())

        async def send_noted(message: Message) -> None:
            await send(message)
            await self._note(message["type"])

        loop = asyncio.get_running_loop()
        if isinstance(loop, DrainLoop):
            loop.leaver = self
        watch = asyncio.ensure_future(_end_without_parent(os.getppid()))
        try:
            await self._app(scope, receive_late, send_noted)
        except Exception:
            if self._shared.is_ready:
                raise
            _log.info("The app has no lifespan")
            await send_noted({"type": "lifespan.startup.complete"})
            await receive_late()
            await send_noted({"type": "lifespan.shutdown.complete"})
        finally:
            watch.cancel()

    async def _receive_end(self, receive: Receive) -> Message:
        """Return when the app is to close: nothing runs any more, or is waited for."""
        finished = asyncio.ensure_future(self._finished(receive))
        cut_off = asyncio.ensure_future(self._must_close.wait())
        await asyncio.wait([finished, cut_off], return_when=asyncio.FIRST_COMPLETED)
        finished.cancel()
        cut_off.cancel()
        return {"type": "lifespan.shutdown"}

    async def _finished(self, receive: Receive) -> None:
        while (await receive())["type"] != "lifespan.shutdown":
            pass  # an app without a lifespan has left the first message
        # Granian does not wait for what an app does after the response.
        await self._app.calls.all_ended()

    async def _note(self, kind: str) -> None:
        if kind == "lifespan.startup.complete":
            self._shared.is_ready = True
        elif kind == "lifespan.startup.failed":
            await _end_process(EX_START)
        elif self._must_close.is_set():
            # Granian would wait for whoever is still connected.
            await _end_process(0)


def _is_told(error: Exception) -> bool:
    """Tell whether there is a line for an error already, or none is due."""
    return isinstance(error, ClientDisconnect | WebSocketDisconnect) or is_logged(error)


async def _end_without_parent(parent: int) -> None:
    """Stop the worker when its parent has been killed: it would hold the address for ever."""
    while os.getppid() == parent:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(_POLL_SECONDS)
    _log.error("The parent process is gone: stopping")
    signal.raise_signal(signal.SIGTERM)


async def _end_process(exit_code: int) -> None:
    # Not from a task, whose error would be told.
    asyncio.get_running_loop().call_soon(sys.exit, exit_code)
    await _for_ever()


async def _for_ever() -> None:
    await asyncio.Event().wait()
