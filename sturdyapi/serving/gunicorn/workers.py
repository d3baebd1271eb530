"""Gunicorn's workers that drain: `--worker-class` of `sturdyapi run`."""

from __future__ import annotations

import asyncio
import math
import signal
import sys
from logging import getLogger
from typing import TYPE_CHECKING, Any, ClassVar

from gunicorn.errors import AppImportError
from gunicorn.workers.base import Worker
from gunicorn.workers.gasgi import ASGIWorker
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn_worker import UvicornWorker  # type: ignore[import-untyped]

from sturdyapi import draining
from sturdyapi.exceptions import EX_CONFIG, EX_START
from sturdyapi.serving.app_import import importing_app
from sturdyapi.serving.asgi import DrainedApp
from sturdyapi.serving.shared import Shared
from sturdyapi.serving.uvicorn.server import Server

from .logger import SharedLogger

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from typing import NoReturn

__all__ = ["AsgiDrainWorker", "DrainWorker", "UvicornDrainWorker"]

_BEAT_SECONDS = 1.0
_NOTICE_SECONDS = 0.1
_IDLE_SECONDS = 3.0
"""Longer than Gunicorn keeps a connection that has been used."""
_log = getLogger("sturdyapi.serving")


class DrainWorker(Worker):
    """What both workers have in common.

    Attributes:
        shared: Made before the fork, so that the arbiter has it too.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.shared = Shared()
        super().__init__(*args, **kwargs)

    def notify(self) -> None:
        """Tell the arbiter that the loop turns; a worker does so from when it serves."""
        self.shared.is_ready = True
        super().notify()

    def load_wsgi(self) -> None:
        """Import the app; what goes wrong is one message, and ends the server."""
        server_log = self.log.server_log if isinstance(self.log, SharedLogger) else None
        try:
            with importing_app(server_log, AppImportError):
                super().load_wsgi()
        except SystemExit as ended:
            self.fail(ended.code)

    def fail(self, exit_code: object) -> NoReturn:
        """End the worker, and tell the arbiter that it could not start.

        Not by Gunicorn's own exit codes for this: two workers that fail side by side make it fail
        itself.
        """
        self.shared.failure = EX_CONFIG if exit_code == EX_CONFIG else EX_START
        sys.exit(1)

    @property
    def grace_seconds(self) -> float:
        """What requests get to finish if no app of ours says how much."""
        return float(max(0, self.cfg.graceful_timeout - draining.CLOSE_SECONDS))


class UvicornDrainWorker(DrainWorker, UvicornWorker):  # type: ignore[misc]
    """Uvicorn under Gunicorn."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        **UvicornWorker.CONFIG_KWARGS,
        "access_log": False,
        "server_header": False,
    }

    def run(self) -> None:
        """Serve until the arbiter says otherwise."""
        self.config.app = self.wsgi
        self.config.timeout_graceful_shutdown = math.ceil(self.grace_seconds)
        server = Server(
            self.config, supervised=True, leaves_service=lambda: self.shared.leaves_service
        )
        try:
            server.run(sockets=self._plain_sockets())
        except SystemExit as ended:
            if not server.started and ended.code:
                self.fail(ended.code)
            raise
        sys.exit(server.exit_code)

    def _plain_sockets(self) -> list[socket.socket]:
        # Gunicorn's wrappers complain that Uvicorn has closed them.
        wrapped: list[Any] = list(self.sockets)
        return [each.sock for each in wrapped]


class AsgiDrainWorker(DrainWorker, ASGIWorker):
    """Gunicorn's own ASGI worker."""

    asgi: Any
    loop: asyncio.AbstractEventLoop
    _leaving: asyncio.Task[None] | None = None

    def load_wsgi(self) -> None:
        """Import the app, and believe the proxies that are trusted, as Uvicorn does."""
        super().load_wsgi()
        self._drained = DrainedApp(self.asgi)
        app: Any = self._drained
        self.asgi = ProxyHeadersMiddleware(app, trusted_hosts=self.cfg.forwarded_allow_ips)

    def run(self) -> None:
        """Serve until the arbiter says otherwise."""
        try:
            super().run()
        except SystemExit as ended:
            if not self.shared.is_ready and ended.code:
                self.fail(ended.code)
            raise

    def init_signals(self) -> None:
        """Leave the interrupt of a terminal, which goes to every process, to the arbiter."""
        super().init_signals()
        for sig, handle in (
            (signal.SIGINT, lambda: None),
            (signal.SIGTERM, self.handle_exit_signal),
            (signal.SIGQUIT, self.handle_quit_signal),
        ):
            self._set_handler(sig, handle)

    def _set_handler(self, sig: int, handle: Callable[[], object]) -> None:
        # In both ways: in place of Gunicorn's handler, and because a uvloop that does not run yet
        # forgets what comes.
        self.loop.add_signal_handler(sig, handle)
        signal.signal(sig, lambda *_: self.loop.call_soon_threadsafe(handle))

    def handle_exit_signal(self) -> None:
        """Leave service first, and stop then."""
        if self._leaving is None:
            self._leaving = self.loop.create_task(self._leave())

    def handle_quit_signal(self) -> None:
        """Cut off what runs; the app is closed all the same, which Gunicorn leaves out."""
        self.cfg.set("graceful_timeout", 0)
        self.alive = False
        # What Gunicorn waits for.
        self.nr_conns = 0

    async def _leave(self) -> None:
        # A signal to all may be here before the arbiter has got it.
        await asyncio.sleep(_NOTICE_SECONDS)
        drain = draining.begin(
            grace_seconds=self.grace_seconds, leaves_service=self.shared.leaves_service
        )
        _log.info("SIGTERM: %s", drain)
        # Gunicorn means the workers and their arbiter alike: the workers have to be first.
        self.cfg.set("graceful_timeout", math.ceil(drain.grace_seconds))
        if self.shared.is_ready:
            await asyncio.sleep(drain.delay_seconds)
        self._drained.sockets.close()
        self.alive = False
        while True:
            self.notify()
            await asyncio.sleep(_BEAT_SECONDS)
            if self._drained.calls.idle_seconds > _IDLE_SECONDS:
                # Gunicorn waits for those who keep a connection and have never sent a request.
                self.nr_conns = 0
