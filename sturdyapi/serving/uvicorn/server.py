"""Uvicorn's server, told to stop by a signal: not ready first, the sockets later."""

from __future__ import annotations

import asyncio
import math
import signal
import threading
from logging import getLogger
from time import monotonic
from typing import TYPE_CHECKING

import uvicorn

from sturdyapi import draining
from sturdyapi.exceptions import EX_SIGNALLED, EX_START

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from types import FrameType

    from sturdyapi.draining import Drain

__all__ = ["GRACE_SECONDS", "Server"]

GRACE_SECONDS = 20.0
"""What requests get to finish if no app of ours says how much."""
_TICK_SECONDS = 0.1
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
    ) -> None:
        """Make a server.

        Args:
            config: Uvicorn's.
            supervised: A parent process decides when to stop. Terminals and service managers send
                their signals to parent and children alike: here an interrupt counts for nothing,
                and SIGTERM once. The parent's second word is SIGQUIT.
            leaves_service: Tells, when a signal has come, whether other processes take over.
        """
        super().__init__(config)
        self._supervised = supervised
        self._leaves_service = leaves_service
        self._signals: list[int] = []
        self._has_noticed_signal = False
        self._is_used_up = False
        self._drain: Drain | None = None

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
        if self.is_cut_short and not self.started:
            # Opening a resource may take long, and there is nothing to lose.
            raise SystemExit(EX_SIGNALLED + sig)

    def _handle_quit(self, sig: int, frame: FrameType | None) -> None:
        self._supervised = False
        self.handle_exit(sig, frame)
        self.handle_exit(sig, frame)

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal says otherwise."""
        if self._supervised and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGQUIT, self._handle_quit)
        await super().serve(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Do what Uvicorn does ten times a second; tell whether to close the sockets now."""
        self._note_served_requests()
        if self._signals and not self._has_noticed_signal:
            # At the next tick: a signal to all may be here before the parent has got it.
            self._has_noticed_signal = True
        elif self._signals or self._is_used_up:
            self.should_exit = self._may_close()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the sockets, let requests finish, and close the app."""
        drain = self._begin_drain()
        self.config.timeout_graceful_shutdown = math.ceil(drain.grace_seconds)
        attention = asyncio.create_task(self._attend())
        try:
            await super().shutdown(sockets)
        finally:
            attention.cancel()
        if self.force_exit:
            # Uvicorn leaves them open.
            await self.lifespan.shutdown()

    def _note_served_requests(self) -> None:
        limit = self.limit_max_requests
        if limit is not None and self.server_state.total_requests >= limit:
            self._is_used_up = True
            # Uvicorn would close the sockets at once.
            self.limit_max_requests = None

    def _may_close(self) -> bool:
        is_first = self._drain is None
        drain = self._begin_drain()
        if is_first:
            served = f"{self.server_state.total_requests} requests served"
            reason = signal.Signals(self._signals[0]).name if self._signals else served
            _log.info("%s: %s", reason, drain)
        return self.is_cut_short or monotonic() >= drain.began_at + drain.delay_seconds

    def _begin_drain(self) -> Drain:
        if self._drain is None:
            self._drain = draining.begin(
                grace_seconds=self.config.timeout_graceful_shutdown or GRACE_SECONDS,
                leaves_service=bool(self._signals) and self._leaves_service(),
            )
        return self._drain

    async def _attend(self) -> None:
        """Do what Uvicorn leaves undone while it waits: heartbeats, and a second signal."""
        while not self.is_cut_short:
            if self.config.callback_notify is not None:
                await self.config.callback_notify()
            await asyncio.sleep(_TICK_SECONDS)
        running = len(self.server_state.tasks)
        _log.warning("Told to stop again: cutting off what is running (%d)", running)
        self.force_exit = True
        for task in self.server_state.tasks:
            task.cancel()
