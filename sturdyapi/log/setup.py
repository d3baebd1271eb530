"""The one process-wide act: where this process's log lines go, and in which form."""

from __future__ import annotations

import atexit
import os
import threading
import warnings
from contextlib import suppress
from time import time
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from loguru import logger

from sturdyapi.exceptions import ConfigurationError, SturdyWarning, did_you_mean

from .entry import ACCESS, ERROR, WEBSOCKET, Entry, Exchange, Session
from .errors import mark_logged
from .formats import EcsFormat, JsonFormat, JsonLines, TextFormat
from .intercept import StandardLogging
from .loguru_side import LoguruSide, entry_of, inside_loguru
from .redaction import Redactor
from .stream import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from loguru import Message

    from .entry import ExchangeFacts

__all__ = ["LogFormat", "Logs", "configure", "current", "unconfigure"]

LogFormat = Literal["json", "ecs", "text"]

_FORMATS = ("json", "ecs", "text")
_LEVELS = ("TRACE", "DEBUG", "INFO", "SUCCESS", "WARNING", "ERROR", "CRITICAL")
_INFO = 20
_ERROR = 40


if TYPE_CHECKING:
    AccessLine = Callable[[float, ExchangeFacts, Mapping[str, Any]], str | None]


class _Choice(NamedTuple):
    environment: str
    level: str
    format: str


class Logs:
    """This process's log lines; made by `configure()`.

    Loguru's lines, those of the standard library and of servers, warnings, and our access lines all
    go out here. No method raises, and none waits for a reader before `shutdown()`.
    """

    def __init__(self, choice: _Choice, *, severity: int, service: str | None) -> None:
        self.choice = choice
        self._severity = severity
        self._format = _make_format(choice, service)
        self._access_line = _shortcut(self._format, severity)
        self._colour = "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        self._redactor = Redactor()
        self._stream = Stream(self._dropped_line)
        self._standard = StandardLogging(self.emit, severity=severity)
        self._loguru = LoguruSide(self._sink, level=choice.level)

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
        """Write the line of one request, at INFO whatever its status.

        Args:
            method: As the client sent it.
            route: The template of the path, such as `/items/{item_id}`; `None` if none matched.
            path: Without the query string, which may hold tokens.
            status: Of the response.
            duration_seconds: Until the last byte of the body.
            client: Address of the client, if the server knows one.
            fields: What `bind()` and the request layer know of the request.
        """
        try:
            exchange = (method, route, path, status, duration_seconds, client)
            now = time()
            if self._access_line is not None and self._loguru.is_ours_alone():
                line = self._access_line(now, exchange, fields)
                if line is not None:
                    self._stream.write(self._redactor.json(line).encode())
                    return
            self.emit(_request_entry(now, ACCESS, Exchange(*exchange), fields))
        except Exception as fault:  # noqa: BLE001 - a log line is no reason to fail a request
            self._write_own_fault(fault)

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
        """Write the line of one websocket, at its close; like `access()`."""
        session = Session(route, path, code, duration_seconds, client)
        self.emit(_request_entry(time(), WEBSOCKET, session, fields))

    def exception(self, error: BaseException, message: str, *, fields: Mapping[str, Any]) -> None:
        """Write an unhandled error with its traceback; the server's report of it is left out."""
        self.emit(
            Entry(
                time_seconds=time(),
                level="ERROR",
                severity=_ERROR,
                logger=ERROR,
                message=message,
                fields=fields,
                error=error,
            )
        )
        mark_logged(error)

    def emit(self, entry: Entry) -> None:
        """Write any line; by way of loguru if somebody has added to it, who will want to see it."""
        try:
            if self._loguru.is_ours_alone() or inside_loguru():
                if entry.severity >= self._severity:
                    self._write(entry)
            else:
                self._loguru.send(entry)
        except Exception as fault:  # noqa: BLE001 - see `access`
            self._write_own_fault(fault)

    def add_secrets(self, secrets: Iterable[str]) -> None:
        """Mask these values, too, wherever they appear. Those under eight characters are left."""
        self._redactor.add(secrets)

    def take_over(self) -> None:
        """Redirect the loggers that a server has configured since, and let lines wait again.

        For the start of a lifespan; any number of calls does what one does.
        """
        self._standard.take_over()
        self._stream.start()

    def flush(self) -> None:
        """Wait until every line is out, for as long as the reader takes some."""
        self._stream.flush()

    def shutdown(self) -> None:
        """Write out what waits; from here on each line is out before its call returns.

        For the end of a lifespan: a server may end the process by a signal, which runs no exit
        handlers. `take_over()` ends this.
        """
        self._stream.finish()

    def after_fork(self) -> None:
        """Leave to the parent process what is the parent's."""
        self._stream.after_fork()

    def install(self) -> None:
        """Begin to receive lines."""
        self._loguru.install()
        self.take_over()
        atexit.register(self.shutdown)

    def uninstall(self) -> None:
        """Leave logging as it was found."""
        self._standard.restore()
        self._loguru.restore()
        self._stream.close()
        atexit.unregister(self.shutdown)

    def _sink(self, message: Message) -> None:
        """Receive one of loguru's lines."""
        try:
            self._write(entry_of(message.record))
        except Exception as fault:  # noqa: BLE001 - see `access`
            self._write_own_fault(fault)

    def _write(self, entry: Entry) -> None:
        if isinstance(self._format, JsonLines):
            line = self._redactor.json(self._format.line(entry))
        else:
            line = self._format.line(entry, colour=self._colour and self._stream.terminal)
            line = self._redactor.text(line)
        self._stream.write(line.encode(errors="backslashreplace"))

    def _write_own_fault(self, fault: Exception) -> None:
        # Without the error itself: what could not be shown once would fail again.
        with suppress(Exception):
            self._write(_own_entry(f"A log line could not be written: {type(fault).__name__}"))

    def _dropped_line(self, count: int) -> bytes:
        entry = _own_entry(f"{count} log lines were dropped, since nothing took them")
        if isinstance(self._format, JsonLines):
            return self._format.line(entry).encode()
        return self._format.line(entry, colour=False).encode()


_current: Logs | None = None
_changing = threading.Lock()
_fork_hook_is_set = False


def configure(
    *,
    environment: str,
    level: str,
    format: LogFormat,  # noqa: A002 - the name of the setting
    secrets: Sequence[str] = (),
    service: str | None = None,
) -> Logs:
    """Return this process's log lines, set up by the first call.

    Takes the place of loguru's default handler and of the console handlers of servers; every other
    handler stays. A later call gets what the first one set up, and its secrets are added.

    Args:
        environment: Such as `production`; shown in ECS lines.
        level: Lowest level that is written: TRACE, DEBUG, INFO, SUCCESS, WARNING, ERROR, CRITICAL.
        format: `json` is our own flat form, `ecs` the Elastic Common Schema, `text` for people.
        secrets: Values to mask wherever they appear; those under eight characters are left.
        service: Name of the service; shown in ECS lines.

    Raises:
        ConfigurationError: There is no such level or format.

    Warns:
        SturdyWarning: A later call asks for another environment, level or format.
    """
    global _current  # noqa: PLW0603 - the one process-wide act
    choice = _Choice(environment, level.upper(), format)
    severity = _severity_of(choice)
    with _changing:
        if _current is None:
            _current = Logs(choice, severity=severity, service=service)
            _current.add_secrets(secrets)
            _current.install()
            _set_fork_hook()
            return _current
        logs = _current
    logs.add_secrets(secrets)
    if logs.choice != choice:
        warnings.warn(_difference(logs.choice, choice), SturdyWarning, stacklevel=2)
    return logs


def current() -> Logs | None:
    """Return what `configure()` has set up in this process, if it was called."""
    return _current


def unconfigure() -> None:
    """Undo `configure()`, so that the next test finds logging as this one did."""
    global _current
    with _changing:
        logs, _current = _current, None
    if logs is not None:
        logs.uninstall()


def _severity_of(choice: _Choice) -> int:
    if choice.format not in _FORMATS:
        raise ConfigurationError(
            f"No log format '{choice.format}'. Known: {', '.join(_FORMATS)}."
            f"{did_you_mean(choice.format, _FORMATS)}"
        )
    try:
        return logger.level(choice.level).no
    except ValueError:
        raise ConfigurationError(
            f"No log level '{choice.level}'. Known: {', '.join(_LEVELS)}."
            f"{did_you_mean(choice.level, _LEVELS)}"
        ) from None


def _difference(first: _Choice, second: _Choice) -> str:
    pairs = zip(first._fields, first, second, strict=True)
    words = [f"{name} '{new}' instead of '{old}'" for name, old, new in pairs if old != new]
    return (
        f"A second app asks for log {', '.join(words)}. A process has one stream of log lines, and "
        "the first app has set it up: it stays. Give both the same, or one of them logs=False."
    )


def _shortcut(form: JsonLines | TextFormat, severity: int) -> AccessLine | None:
    """Return the way of access lines past everything that they don't need, if there is one."""
    return form.access_line if isinstance(form, JsonLines) and severity <= _INFO else None


def _make_format(choice: _Choice, service: str | None) -> JsonLines | TextFormat:
    if choice.format == "json":
        return JsonFormat()
    if choice.format == "ecs":
        return EcsFormat(service=service, environment=choice.environment)
    return TextFormat()


def _request_entry(
    now: float, name: str, facts: Exchange | Session, fields: Mapping[str, Any]
) -> Entry:
    return Entry(
        time_seconds=now,
        level="INFO",
        severity=_INFO,
        logger=name,
        message=facts.message,
        fields=fields,
        http=facts.members(),
    )


def _own_entry(message: str) -> Entry:
    return Entry(
        time_seconds=time(),
        level="ERROR",
        severity=_ERROR,
        logger="sturdyapi.log",
        message=message,
    )


def _set_fork_hook() -> None:
    global _fork_hook_is_set  # noqa: PLW0603 - there is no way to take a hook back
    if not _fork_hook_is_set and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork_in_child)
        _fork_hook_is_set = True


def _after_fork_in_child() -> None:
    if _current is not None:
        _current.after_fork()
