"""Uvicorn's server, told to stop by a signal: not ready first, the sockets later."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import threading
from logging import getLogger
from time import monotonic
from typing import TYPE_CHECKING

import uvicorn

from sturdyapi import draining, log
from sturdyapi.exceptions import EX_SIGNALLED, EX_START

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from types import FrameType

    from sturdyapi.draining import Drain

__all__ = ["Server"]

_TICK_SECONDS = 0.1
_FIRST_REQUEST_SECONDS = 1.0
"""From the opening of a connection to its request, on a slow line."""
_log = getLogger("sturdyapi.serving")


class Server(uvicorn.Server):
    """A `uvicorn.Server` that loses nothing when it stops.

    The first signal begins the drain: readiness is 503 and each response asks its client to come
    back by a new connection, while requests are still taken. When the apps' delay has passed the
    sockets close, and what runs gets its grace. A second signal cuts off what runs; resources are
    closed all the same. A process that has served its number of requests goes the same way, but
    stays ready meanwhile: others take over.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        supervised: bool = False,
        leaves_service: Callable[[], bool] = lambda: True,
        started: Callable[[], object] = lambda: None,
    ) -> None:
        """Make a server.

        Args:
            config: Uvicorn's.
            supervised: A parent process decides when to stop. Terminals and service managers send
                their signals to parent and children alike: here an interrupt counts for nothing,
                and SIGTERM once. The parent's second word is SIGQUIT.
            leaves_service: Tells, when a signal has come, whether other processes take over.
            started: Called when the server takes requests.
        """
        super().__init__(config)
        self._supervised = supervised
        self._leaves_service = leaves_service
        self._note_start = started
        self._parent = os.getppid()
        self._was_never_ready = False
        self._signals: list[int] = []
        self._has_noticed_signal = False
        self._is_used_up = False
        self._drain: Drain | None = None
        self._deadline: threading.Timer | None = None

    @property
    def exit_code(self) -> int:
        """What the process ends with; 0 if nothing was cut off."""
        if not self.started:
            return EX_START
        return EX_SIGNALLED + self._signals[-1] if self.is_cut_short else 0

    @property
    def is_cut_short(self) -> bool:
        """Whether somebody did not want to wait for what was running."""
        return len(self._signals) > 1

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Note a signal; what follows is done on the loop.

        Uvicorn is not told: it would end the process by the same signal, after a clean end.
        """
        del frame
        if self._supervised and (sig == signal.SIGINT or self._signals):
            return
        self._signals.append(sig)
        self._was_never_ready = not self.started
        if self.is_cut_short and not self.started:
            # Opening a resource may take long, and there is nothing to lose.
            raise SystemExit(EX_SIGNALLED + sig)

    def _handle_quit(self, sig: int, frame: FrameType | None) -> None:
        self._supervised = False
        self.handle_exit(sig, frame)
        self.handle_exit(sig, frame)

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve on a loop of its own, until a signal says otherwise."""
        try:
            super().run(sockets)
        finally:
            if self._deadline is not None:
                self._deadline.cancel()

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal says otherwise."""
        if threading.current_thread() is threading.main_thread():
            if self._supervised:
                signal.signal(signal.SIGQUIT, self._handle_quit)
            elif hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
                # There is nobody who could start a new process: it is one way to stop. Under nohup
                # it is ignored, and stays so.
                signal.signal(signal.SIGHUP, self.handle_exit)
        await super().serve(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the app and listen."""
        await super().startup(sockets)
        self._note_start()

    async def on_tick(self, counter: int) -> bool:
        """Do what Uvicorn does ten times a second; tell whether to close the sockets now."""
        self._note_served_requests()
        self._note_end_of_parent()
        if self._signals and not self._has_noticed_signal:
            # At the next tick: a signal to all may be here before the parent has got it.
            self._has_noticed_signal = True
        elif self._signals or self._is_used_up:
            self.should_exit = self._may_close()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the sockets, let requests finish, and close the app."""
        drain = self._begin_drain()
        await self._stop_listening()
        remaining = min(drain.grace_seconds, drain.remaining_seconds)
        self.config.timeout_graceful_shutdown = math.ceil(remaining)
        if not self._supervised:
            self._give_up_after(remaining + draining.CLOSE_SECONDS)
        attention = asyncio.create_task(self._attend())
        try:
            await super().shutdown(sockets)
        finally:
            attention.cancel()
        if self.force_exit:
            # Uvicorn leaves them open.
            await self.lifespan.shutdown()

    async def _stop_listening(self) -> None:
        """Take no new connections, and wait for the first request of those just taken.

        Uvicorn would close them at once, in the face of a request that is on its way.
        """
        for server in self.servers:
            server.close()
        deadline = monotonic() + _FIRST_REQUEST_SECONDS
        while self.server_state.connections and monotonic() < deadline:
            if self.is_cut_short:
                return
            await asyncio.sleep(_TICK_SECONDS / 2)

    def _note_served_requests(self) -> None:
        limit = self.limit_max_requests
        if limit is not None and self.server_state.total_requests >= limit:
            self._is_used_up = True
            # Uvicorn would close the sockets at once.
            self.limit_max_requests = None

    def _note_end_of_parent(self) -> None:
        if self._supervised and not self._signals and os.getppid() != self._parent:
            # Killed, or it would have told. An orphan would hold the address for ever.
            _log.error("The parent process is gone: stopping")
            self._signals.append(signal.SIGTERM)

    def _may_close(self) -> bool:
        is_first = self._drain is None
        drain = self._begin_drain()
        if is_first:
            served = f"{self.server_state.total_requests} requests served"
            reason = signal.Signals(self._signals[0]).name if self._signals else served
            _log.info("%s: %s", reason, drain)
        if self.is_cut_short or self._was_never_ready:
            return True
        return monotonic() >= drain.began_at + drain.delay_seconds

    def _begin_drain(self) -> Drain:
        if self._drain is None:
            self._drain = draining.begin(
                grace_seconds=self.config.timeout_graceful_shutdown or draining.GRACE_SECONDS,
                leaves_service=bool(self._signals) and self._leaves_service(),
            )
        return self._drain

    def _give_up_after(self, seconds: float) -> None:
        """End the process when a thread does not; a parent process would kill it."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = threading.Timer(seconds, self._give_up)
        self._deadline.daemon = True
        self._deadline.start()

    def _give_up(self) -> None:
        _log.error("Ending without what still runs in threads: they can't be stopped")
        if (logs := log.current()) is not None:
            logs.shutdown()
        os._exit(self.exit_code)

    async def _attend(self) -> None:
        """Do what Uvicorn leaves undone while it waits: heartbeats, and a second signal."""
        while not self.is_cut_short:
            if self.config.callback_notify is not None:
                await self.config.callback_notify()
            await asyncio.sleep(_TICK_SECONDS)
        running = len(self.server_state.tasks)
        _log.warning("Told to stop again: cutting off what is running (%d)", running)
        self.force_exit = True
        if not self._supervised:
            self._give_up_after(draining.CLOSE_SECONDS)
        for task in self.server_state.tasks:
            task.cancel()
