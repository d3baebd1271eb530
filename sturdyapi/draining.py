"""Leaving service without losing a request: not ready first, the sockets later.

A server that is told to stop says so here, and the apps of the process turn their readiness to 503.
They take requests until the server closes its sockets, a delay later, when whoever spreads the load
has noticed.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CLOSE_SECONDS", "GRACE_SECONDS", "Drain", "begin", "current", "takes_part"]

GRACE_SECONDS = 20.0
"""What requests get to finish if nobody says how much."""
CLOSE_SECONDS = 4
"""For closing what an app has open, when nothing runs any more."""


@dataclass(frozen=True, slots=True)
class Drain:
    """The end of this process's service, from the moment its server was told to stop.

    Attributes:
        began_at: On the monotonic clock.
        delay_seconds: Until the server closes its sockets.
        grace_seconds: What is running then gets to finish.
    """

    began_at: float
    delay_seconds: float
    grace_seconds: float

    def __str__(self) -> str:
        finishing = f"up to {self.grace_seconds:g} s for what is running"
        if not self.delay_seconds:
            return finishing
        return f"requests are taken for {self.delay_seconds:g} s more, then {finishing}"

    @property
    def remaining_seconds(self) -> float:
        """What is left of the delay and the grace together."""
        end = self.began_at + self.delay_seconds + self.grace_seconds
        return max(0.0, end - monotonic())


class Begin(Protocol):
    """What an app does when its server is to stop."""

    def __call__(self, *, leaves_service: bool) -> None:
        """Begin to leave.

        Args:
            leaves_service: False if other processes take over, so that the service stays ready.
        """


@dataclass(frozen=True, slots=True)
class _Member:
    begin: Begin
    delay_seconds: float
    grace_seconds: float


_members: list[_Member] = []
_drain: Drain | None = None


@contextmanager
def takes_part(begin: Begin, *, delay_seconds: float, grace_seconds: float) -> Iterator[None]:
    """Let an app take part while the block runs; the drain is over when the last app has left.

    Args:
        begin: Called when the server was told to stop, on the event loop.
        delay_seconds: How long the app wants to be seen as not ready before the sockets close.
        grace_seconds: How long it lets requests finish after that.
    """
    global _drain  # noqa: PLW0603 - see `begin()`
    member = _Member(begin, delay_seconds, grace_seconds)
    _members.append(member)
    try:
        yield
    finally:
        _members.remove(member)
        if not _members:
            _drain = None


def begin(*, grace_seconds: float, leaves_service: bool = True) -> Drain:
    """Tell the apps of this process that their server is to stop; a second call changes nothing.

    Args:
        grace_seconds: What requests get when no app says how much.
        leaves_service: False if other processes take over from this one.

    Returns:
        How long to wait before closing, and for what runs then.
    """
    global _drain  # noqa: PLW0603 - a process has one server, which stops once
    if _drain is None:
        _drain = Drain(
            monotonic(),
            max((member.delay_seconds for member in _members), default=0.0),
            max((member.grace_seconds for member in _members), default=grace_seconds),
        )
        for member in tuple(_members):
            member.begin(leaves_service=leaves_service)
    return _drain


def current() -> Drain | None:
    """Return the drain of this process, if it has begun."""
    return _drain
