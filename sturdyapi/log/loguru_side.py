"""Our place in loguru: one handler, and whether anybody else is there."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from loguru import logger

from sturdyapi.context import context_fields

from .callers import is_called_from
from .entry import ACCESS, WEBSOCKET, Entry, Exchange, Session
from .values import free_name, merge_fields

if TYPE_CHECKING:
    from collections.abc import Callable

    from loguru import Message, Record

__all__ = ["LoguruSide", "entry_of", "inside_loguru"]

_REQUEST_LOGGERS = (ACCESS, WEBSOCKET)
_REQUEST_NAMES = frozenset(Exchange._fields + Session._fields) - {"duration_seconds"} | {
    "duration_ms"
}
_CORE_ATTRIBUTES = ("handlers", "patcher", "extra", "activation_list")

_default_handler_ids = [0]
"""Ids that loguru's default handler has had; it gets a new one when it is put back."""


class LoguruSide:
    """Our handler, and the way for lines of ours through loguru."""

    def __init__(self, sink: Callable[[Message], None], *, level: str) -> None:
        self._sink = sink
        self._level = level
        self._handler_id = -1
        self._took_default = False
        # Where loguru's private state has changed, every line of ours goes through it.
        core = getattr(logger, "_core", None)
        self._core: Any = core if all(hasattr(core, name) for name in _CORE_ATTRIBUTES) else None

    def install(self) -> None:
        """Take the place of loguru's default handler; handlers of the user stay."""
        if not _autoinit_is_off():
            with suppress(ValueError):  # the user has removed it
                logger.remove(_default_handler_ids[-1])
                self._took_default = True
        self._handler_id = logger.add(
            self._sink,
            level=self._level,
            format=_no_text,
            colorize=False,
            backtrace=False,
            diagnose=False,
        )

    def restore(self) -> None:
        """Remove our handler, and put back the default one."""
        with suppress(ValueError):  # the user has removed it
            logger.remove(self._handler_id)
        if self._took_default:
            _default_handler_ids.append(logger.add(_write_to_stderr))

    def is_ours_alone(self) -> bool:
        """Return whether a line through loguru would reach nobody but us, and unchanged."""
        core = self._core
        if core is None or core.patcher or core.extra or core.activation_list:
            return False
        return len(core.handlers) == 1 and self._handler_id in core.handlers

    def send(self, entry: Entry) -> None:
        """Send an entry to everybody who listens to loguru, us included."""
        extra = dict(entry.http)
        for name, value in dict(entry.fields).items():
            extra[free_name(name, extra)] = value

        def adopt(record: Record) -> None:
            record["name"] = entry.logger
            record["function"], _, line = entry.origin.partition(":")
            record["line"] = int(line or 0)

        # No arguments besides the message: with one, loguru would take the message for a template.
        sender = logger.opt(exception=entry.error).bind(**extra).patch(adopt)
        sender.log(_level_of(entry), entry.message)


def entry_of(record: Record) -> Entry:
    """Return one of loguru's records as an entry, with the fields of the request in hand."""
    name, extra = record["name"] or "", record["extra"]
    http: dict[str, Any] = {}
    if name in _REQUEST_LOGGERS:
        http = {key: extra[key] for key in extra if key in _REQUEST_NAMES}
        fields = {key: extra[key] for key in extra if key not in _REQUEST_NAMES}
    else:
        fields = merge_fields(context_fields(), extra)
    return Entry(
        time_seconds=record["time"].timestamp(),
        level=record["level"].name,
        severity=record["level"].no,
        logger=name,
        message=record["message"],
        fields=fields,
        http=http,
        error=record["exception"].value if record["exception"] else None,
        origin=f"{record['function']}:{record['line']}" if record["function"] else "",
    )


def _autoinit_is_off() -> bool:
    """Return whether loguru added no default handler: the one with id 0 is the user's then."""
    return os.environ.get("LOGURU_AUTOINIT", "").lower() in {"0", "false", "no", "off"}


def inside_loguru() -> bool:
    """Return whether a handler of loguru is at work here, and can't take another line now."""
    return is_called_from("loguru._handler")


def _level_of(entry: Entry) -> str | int:
    try:
        return logger.level(entry.level).name
    except ValueError:
        return entry.severity


def _write_to_stderr(message: Message) -> None:
    # Looked up for each line: the stream of the moment may be one that pytest closes.
    if sys.stderr is not None:
        sys.stderr.write(message)


def _no_text(record: Record) -> str:
    """Return nothing: our sink reads the record, so that no text of a user becomes a template."""
    del record
    return ""
