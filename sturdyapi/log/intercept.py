"""The standard library's logging and warnings, brought into our stream once each."""

from __future__ import annotations

import logging
import warnings
from asyncio import CancelledError
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from starlette.requests import ClientDisconnect
from starlette.websockets import WebSocketDisconnect

from sturdyapi import draining
from sturdyapi.context import context_fields

from .callers import is_called_from
from .entry import Entry
from .errors import is_logged
from .values import merge_fields, safe_text

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["StandardLogging"]

_ACCESS_LOGGERS = ("uvicorn.access", "gunicorn.access", "hypercorn.access", "granian.access")
"""Silenced: there is one access line a request, and it is ours."""

_SERVER_LOGGERS = (
    *_ACCESS_LOGGERS,
    "uvicorn",
    "uvicorn.error",
    "uvicorn.asgi",
    "gunicorn.error",
    "hypercorn.error",
    "_granian",
    "fastapi_cli",
)

_TALKATIVE_LOGGERS = {
    **dict.fromkeys(
        ("aiosqlite", "asyncio", "botocore", "hpack", "httpcore", "httpcore2"), logging.INFO
    ),
    **dict.fromkeys(("pymongo", "python_multipart", "urllib3", "websockets"), logging.INFO),
    # Whole URLs, with the tokens in them; and a line for each line that is written to a file.
    **dict.fromkeys(("httpx", "httpx2", "watchfiles"), logging.WARNING),
}
"""Libraries whose lines below this level say nothing to the app's author, some with whole queries.

A level that the user has set for one of them stays.
"""

_CONSOLE_FILES = ("/dev/stdout", "/dev/stderr", "/dev/fd/", "/proc/self/fd/")

_RECORD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {
    "asctime",
    "color_message",  # uvicorn's message once more, with colours
    "message",
    "taskName",
    "websocket",  # the connection object that the websockets library adds
}


class StandardLogging:
    """Redirects the standard library's logging to one function, and puts it back.

    Handlers that the user set stay. Servers' own console handlers go, since each of their lines
    would be there twice, in two forms.
    """

    def __init__(self, emit: Callable[[Entry], None], *, severity: int) -> None:
        self._handler = _Interceptor(emit)
        self._handler.setLevel(severity)
        self._severity = severity
        self._keeper = _Keeper(self.take_over)
        self._saved: dict[str, _State] = {}
        self._root_level: int | None = None
        self._warnings = _WarningsHook()

    def take_over(self) -> None:
        """Redirect whatever is not redirected yet.

        Servers configure their loggers at moments of their own: before the app is imported, or
        after, as `uvicorn.run(app)` does.
        """
        root = logging.getLogger()
        if self._handler not in root.handlers:
            root.addHandler(self._handler)
        if root.level > self._severity:
            self._root_level = root.level
            root.setLevel(self._severity)
        for name in _SERVER_LOGGERS:
            self._redirect(logging.getLogger(name))
        for name, level in _TALKATIVE_LOGGERS.items():
            self._quieten(logging.getLogger(name), level)
        self._warnings.install()

    def restore(self) -> None:
        """Undo every change."""
        for name, state in self._saved.items():
            logger = logging.getLogger(name)
            logger.removeFilter(self._keeper)
            logger.handlers = state.handlers
            logger.propagate = state.propagate
            logger.setLevel(state.level)
        root = logging.getLogger()
        root.removeHandler(self._handler)
        if self._root_level is not None and root.level == self._severity:
            root.setLevel(self._root_level)
        self._warnings.remove()

    def _redirect(self, logger: logging.Logger) -> None:
        self._remember(logger)
        if self._keeper not in logger.filters:
            logger.addFilter(self._keeper)
        # A new list: Gunicorn's uvicorn worker gives two loggers the same one.
        kept = [handler for handler in logger.handlers if not _is_console(handler)]
        if len(kept) < len(logger.handlers):
            logger.handlers = kept
        logger.propagate = logger.name not in _ACCESS_LOGGERS

    def _quieten(self, logger: logging.Logger, level: int) -> None:
        if logger.level == logging.NOTSET and level > self._severity:
            self._remember(logger)
            logger.setLevel(level)

    def _remember(self, logger: logging.Logger) -> None:
        state = _State(logger.handlers, logger.propagate, logger.level)
        self._saved.setdefault(logger.name, state)


class _State(NamedTuple):
    handlers: list[logging.Handler]
    propagate: bool
    level: int


class _Keeper(logging.Filter):
    """Redirects again when a server has configured its loggers in the meantime.

    A logger's filters outlive `dictConfig()`, and are asked before its handlers.
    """

    def __init__(self, take_over: Callable[[], None]) -> None:
        super().__init__()
        self._take_over = take_over

    def filter(self, record: logging.LogRecord) -> bool:
        del record
        self._take_over()
        return True


class _Interceptor(logging.Handler):
    """Gives every record of the standard library to our stream."""

    def __init__(self, emit: Callable[[Entry], None]) -> None:
        super().__init__()
        self._emit = emit

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if record.name in _SERVER_LOGGERS and _is_told_elsewhere(record, error):
            return
        if _was_propagated_by_loguru(record):
            return
        self._emit(_entry_of(record, error))


class _WarningsHook:
    """Sends warnings to the logger `py.warnings`, unless somebody records them."""

    def __init__(self) -> None:
        self._original = warnings.showwarning
        self._installed: Callable[..., None] | None = None

    def install(self) -> None:
        # Somebody else's way of showing warnings, `logging.captureWarnings()` included, stays.
        if getattr(warnings.showwarning, "__module__", None) != "warnings":
            return
        self._original = warnings.showwarning
        # Another bound method each time would not be found again.
        self._installed = self._show
        warnings.showwarning = self._installed

    def remove(self) -> None:
        if warnings.showwarning is self._installed:
            warnings.showwarning = self._original

    def _show(  # noqa: PLR0917 - the signature that `warnings` calls
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if file is not None or _warnings_are_recorded():
            self._original(message, category, filename, lineno, file, line)
            return
        logging.getLogger("py.warnings").warning(
            "%s: %s (%s:%d)", category.__name__, message, filename, lineno, stacklevel=2
        )


def _is_told_elsewhere(record: logging.LogRecord, error: BaseException | None) -> bool:
    # uvicorn's access lines of websockets, query string and all, come from its error logger.
    if error is None:
        return "WebSocket %s" in str(record.msg)
    # A stop has cut it off, and told so.
    if isinstance(error, CancelledError) and draining.current() is not None:
        return True
    # An endpoint that did not catch its client's leaving has not failed.
    return isinstance(error, ClientDisconnect | WebSocketDisconnect) or is_logged(error)


def _was_propagated_by_loguru(record: logging.LogRecord) -> bool:
    # A user's sink may hand loguru's lines to the standard library; ours has had them already.
    return isinstance(getattr(record, "extra", None), dict) and is_called_from(
        "loguru._simple_sinks"
    )


def _entry_of(record: logging.LogRecord, error: BaseException | None) -> Entry:
    return Entry(
        time_seconds=record.created,
        level=record.levelname,
        severity=record.levelno,
        logger=record.name,
        message=_message_of(record),
        fields=_fields_of(record),
        error=error,
        origin="" if record.name in _SERVER_LOGGERS else f"{record.funcName}:{record.lineno}",
    )


def _message_of(record: logging.LogRecord) -> str:
    try:
        return record.getMessage().rstrip("\n")
    except Exception:  # noqa: BLE001 - arguments that do not fit are a mistake, not a lost line
        return f"{safe_text(record.msg)} {safe_text(record.args)}"


def _fields_of(record: logging.LogRecord) -> dict[str, Any]:
    own = {name: value for name, value in vars(record).items() if name not in _RECORD_ATTRIBUTES}
    if record.stack_info:
        own["stack_info"] = record.stack_info
    return merge_fields(context_fields(), own)


def _is_console(handler: logging.Handler) -> bool:
    if isinstance(handler, logging.FileHandler):
        return handler.baseFilename.startswith(_CONSOLE_FILES)
    # The handler of Rich, which the FastAPI CLI uses, has a console in place of a stream.
    return isinstance(handler, logging.StreamHandler) or hasattr(handler, "console")


def _warnings_are_recorded() -> bool:
    """Return whether a `catch_warnings(record=True)`, such as pytest's, is in force.

    It puts the `append` of its list in place of the function that prints.
    """
    printer = getattr(warnings, "_showwarnmsg_impl", None)
    return type(printer) is type([].append)
