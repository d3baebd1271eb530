"""What one log line says, before it has a form."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ACCESS", "ERROR", "WEBSOCKET", "Clock", "Entry", "Exchange", "ExchangeFacts", "Session"]

ACCESS = "sturdyapi.access"
WEBSOCKET = "sturdyapi.websocket"
ERROR = "sturdyapi.error"

_THREE_DIGITS = tuple(f"{number:03d}" for number in range(1000))


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line to be written."""

    time_seconds: float
    """Seconds since the epoch."""
    level: str
    """Name of the level, such as `INFO`."""
    severity: int
    """Number of the level, on the scale that loguru and the standard library share."""
    logger: str
    message: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    """What the user added: `bind()`, `logger.bind()`, `extra=`."""
    http: Mapping[str, Any] = field(default_factory=dict)
    """What an access line says of the request; own names, which no user field replaces."""
    error: BaseException | None = None
    origin: str = ""
    """Function and line that logged, such as `read_order:42`."""


ExchangeFacts: TypeAlias = tuple[str, str | None, str, int, float, str | None]
"""The members of an `Exchange`; a plain tuple is made in a quarter of the time."""


class Exchange(NamedTuple):
    """What an access line says about one request."""

    method: str
    route: str | None
    path: str
    status: int
    duration_seconds: float
    client: str | None

    @property
    def message(self) -> str:
        """Return the line for people, such as `GET /items/42 200`."""
        return f"{self.method} {self.path} {self.status}"

    def members(self) -> dict[str, Any]:
        """Return what stands in the line, by the names of our JSON."""
        return {
            "method": self.method,
            "route": self.route,
            "path": self.path,
            "status": self.status,
            "duration_ms": round(self.duration_seconds * 1000, 3),
            "client": self.client,
        }


class Session(NamedTuple):
    """What is said about one websocket when it closes."""

    route: str | None
    path: str
    code: int | None
    duration_seconds: float
    client: str | None

    @property
    def message(self) -> str:
        """Return the line for people, such as `websocket /chat closed 1000`."""
        code = "without a code" if self.code is None else self.code
        return f"websocket {self.path} closed {code}"

    def members(self) -> dict[str, Any]:
        """Return what stands in the line, by the names of our JSON."""
        return {
            "route": self.route,
            "path": self.path,
            "code": self.code,
            "duration_ms": round(self.duration_seconds * 1000, 3),
            "client": self.client,
        }


class Clock:
    """RFC 3339 times in UTC with microseconds; what stays the same is put into words once."""

    def __init__(self) -> None:
        self._second = (-1, "")

    def stamp(self, time_seconds: float) -> str:
        """Return a time such as `2026-11-22T12:00:00.123456Z`."""
        microseconds = int(time_seconds * 1_000_000)
        number = microseconds // 1_000_000
        second = self._second
        if second[0] != number:
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(number))
            # One assignment, since threads share the clock.
            second = self._second = (number, text)
        millis = _THREE_DIGITS[microseconds // 1000 % 1000]
        return f"{second[1]}.{millis}{_THREE_DIGITS[microseconds % 1000]}Z"
