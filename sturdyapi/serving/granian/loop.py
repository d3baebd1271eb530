"""Granian's place for somebody who wants a say in when a worker stops: its event loop."""

from __future__ import annotations

import asyncio
import signal
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVarTuple

import uvloop
from granian import loops

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LOOP", "DrainLoop", "Leaver", "register_loop"]

Ts = TypeVarTuple("Ts")

LOOP = "sturdyapi"
"""Name of our loop in Granian's register."""


class Leaver(Protocol):
    """Decides when a worker closes its sockets."""

    def leave(self, close_sockets: Callable[[], object]) -> None:
        """Take SIGTERM."""

    def cut_off(self, close_sockets: Callable[[], object]) -> None:
        """Take SIGQUIT."""


class DrainLoop(uvloop.Loop):
    """A uvloop that asks its leaver, if it has one, before it does what is due at SIGTERM.

    Granian stops a worker by a signal handler of the loop. The loop stands still for a moment
    between the start of the app and the first request, and uvloop would forget a signal that comes
    then; here it is kept.
    """

    leaver: Leaver | None = None

    def add_signal_handler(self, sig: int, callback: Callable[[*Ts], object], *args: *Ts) -> None:
        """Like any loop's, but for what Granian sets for SIGINT and SIGTERM."""
        if sig == signal.SIGTERM:
            close_sockets = partial(callback, *args)
            self._set_handler(signal.SIGTERM, lambda: self._leave(close_sockets))
            self._set_handler(signal.SIGQUIT, lambda: self._cut_off(close_sockets))
        elif sig == signal.SIGINT:
            # A terminal interrupts every process in front: the parent tells its workers. Not
            # ignored, since programs that a worker starts would inherit that.
            self._set_handler(signal.SIGINT, _do_nothing)
        else:
            super().add_signal_handler(sig, callback, *args)

    def _set_handler(self, sig: int, callback: Callable[[], object]) -> None:
        signal.signal(sig, lambda *_: self.call_soon_threadsafe(callback))

    def _leave(self, close_sockets: Callable[[], object]) -> None:
        if self.leaver is None:
            close_sockets()
        else:
            self.leaver.leave(close_sockets)

    def _cut_off(self, close_sockets: Callable[[], object]) -> None:
        if self.leaver is None:
            close_sockets()
        else:
            self.leaver.cut_off(close_sockets)


def register_loop() -> None:
    """Make the loop known to Granian, in this process and in the workers that it forks."""
    loops.register(LOOP)(_new_loop)


def _new_loop() -> DrainLoop:
    loop = DrainLoop()
    asyncio.set_event_loop(loop)
    return loop


def _do_nothing() -> None:
    pass
