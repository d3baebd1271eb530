"""Log lines: one stream a process, JSON in production, text for people in development.

Write lines with `from loguru import logger`, or with the standard library's `logging`; both end up
here with the fields of the request in hand. To say something with user text in it, pass fields by
`logger.bind(...)`: loguru takes the message for a template as soon as it is given an argument.
"""

from __future__ import annotations

from .setup import LogFormat, Logs, configure, current, unconfigure
from .standard import StdlibLogs

__all__ = ["LogFormat", "Logs", "StdlibLogs", "configure", "current", "unconfigure"]
