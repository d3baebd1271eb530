"""The lines of a server before there is an app, and where there is none: in the app's form."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, get_args

from sturdyapi import log
from sturdyapi.log.setup import LogFormat

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["FORMATS", "LogFormat", "ServerLog"]

FORMATS: Sequence[LogFormat] = get_args(LogFormat)


class ServerLog:
    """This process's log lines while no app has set them up."""

    def __init__(self, *, format: LogFormat, level: str) -> None:  # noqa: A002 - the setting's name
        self._format = format
        self._level = level

    def begin(self) -> None:
        """Write the server's lines as an app's would be; an app that has begun stays in charge."""
        if log.current() is None:
            environment = os.environ.get("FASTAPI_ENV") or os.environ.get("ENVIRONMENT")
            log.configure(
                environment=environment or "production", level=self._level, format=self._format
            )

    def end(self) -> None:
        """Write out what waits: another program takes the place of this one."""
        logs = log.current()
        if logs is not None:
            logs.shutdown()
