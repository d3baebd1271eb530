"""Request lines for an app that keeps its own logging (`create_app(logs=False)`)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from .entry import ACCESS, ERROR, WEBSOCKET, Exchange, Session
from .values import free_name

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["StdlibLogs"]

_TAKEN = frozenset(vars(logging.makeLogRecord({}))) | {"asctime", "message"}


class StdlibLogs:
    """The request lines as records of the standard library; configures nothing.

    The loggers are `sturdyapi.access`, `sturdyapi.websocket` and `sturdyapi.error`. What the JSON
    lines have as members, the records have as attributes.
    """

    def __init__(self) -> None:
        self._access = logging.getLogger(ACCESS)
        self._websocket = logging.getLogger(WEBSOCKET)
        self._error = logging.getLogger(ERROR)

    def access(
        self,
        *,
        method: str,
        route: str | None,
        path: str,
        status: int,
        duration_seconds: float,
        client: str | None,
        fields: Mapping[str, Any],
    ) -> None:
        """Write the line of one request."""
        if self._access.isEnabledFor(logging.INFO):
            exchange = Exchange(method, route, path, status, duration_seconds, client)
            extra = _attributes({**fields, **exchange.members()})
            self._access.info("%s", exchange.message, extra=extra)

    def websocket(
        self,
        *,
        route: str | None,
        path: str,
        code: int | None,
        duration_seconds: float,
        client: str | None,
        fields: Mapping[str, Any],
    ) -> None:
        """Write the line of one websocket, at its close."""
        if self._websocket.isEnabledFor(logging.INFO):
            session = Session(route, path, code, duration_seconds, client)
            extra = _attributes({**fields, **session.members()})
            self._websocket.info("%s", session.message, extra=extra)

    def exception(self, error: BaseException, message: str, *, fields: Mapping[str, Any]) -> None:
        """Write which request failed; the traceback is in the server's own report of the error."""
        text = f"{message}: {type(error).__name__}"
        self._error.error("%s", text, extra=_attributes(fields))


def _attributes(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields by names that a record has not taken for itself."""
    attributes: dict[str, Any] = {}
    for name, value in dict(fields).items():
        attributes[free_name(name, _TAKEN | attributes.keys())] = value
    return attributes
