"""What the errors of asyncpg mean: to a client, and to whoever starts the service."""

from __future__ import annotations

import re
import socket
import ssl
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import asyncpg  # type: ignore[import-untyped]

from sturdyapi.exceptions import (
    DeadlineExceededError,
    OutageError,
    ResourceStartError,
    UnavailableError,
)
from sturdyapi.settings import Dsn

__all__ = ["URL_FORM", "WHAT", "Place", "Target", "outage", "start_error"]

WHAT = "database"
"""Word for the server that a client may see."""

_GONE = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.DatabaseDroppedError,
    asyncpg.IdleSessionTimeoutError,
    asyncpg.TooManyConnectionsError,
)
"""The server is not there, or will not talk: SQLSTATE classes 08 and 57P, and 53300."""

_CLOSED = re.compile(r"\b(connection|pool) is clos(ed|ing)")
_HARMLESS = re.compile(
    r"`?(ssl|direct TLS|root certificate|target_session_attrs|gsslib|Unsupported TLS|No such TLS)"
)
"""Texts about a URL that can't quote its password."""


def outage(error: BaseException, *, timeout_seconds: float) -> OutageError | None:
    """Return what an error means to a client, or `None` if it speaks of the statement.

    Args:
        error: Raised by asyncpg.
        timeout_seconds: Limit that a `TimeoutError` has run into.
    """
    # The system's own, such as ETIMEDOUT, is one too, but tells of a lost connection.
    if isinstance(error, TimeoutError) and error.errno is None:
        return DeadlineExceededError(WHAT, timeout_seconds=timeout_seconds)
    is_closed = isinstance(error, asyncpg.InterfaceError) and _CLOSED.search(str(error))
    return UnavailableError(WHAT) if is_closed or isinstance(error, (*_GONE, OSError)) else None


class Target(NamedTuple):
    """Where a URL leads to, in words for a message; holds no secret."""

    server: str
    user: str
    database: str
    source: str
    """Where the URL is from, such as `DATABASE_URL`."""

    @classmethod
    def of(cls, url: str, *, source: str) -> Target:
        """Return the target of a URL.

        Raises:
            ValueError: It can't be read. The message does not repeat it.
        """
        dsn = Dsn(url)
        if "@" in (url.rpartition("?")[0] or url).partition("://")[2].partition("/")[2]:
            raise ValueError(
                "has an '@' behind its host (a special character in the password has to be "
                "percent-encoded)"
            )
        in_query = parse_qs(url.partition("?")[2].partition("#")[0])
        hosts = [host if port is None else f"{host}:{port}" for host, port in dsn.hosts]
        hosts = hosts or in_query.get("host", ["its default address"])
        user = dsn.user or in_query.get("user", [None])[0]
        database = dsn.database or in_query.get("database", in_query.get("dbname", [None]))[0]
        return cls(
            server=f"the server at {', '.join(hosts)}",
            user=f"user '{user}'" if user else "the default user",
            database=f"database '{database}'" if database else "database of the user's name",
            source=source,
        )


class Place(NamedTuple):
    """How to connect, and to what."""

    options: dict[str, Any]
    """For `asyncpg.connect()`."""
    target: Target


def start_error(name: str, error: Exception, target: Target) -> ResourceStartError | None:
    """Return what a failed connection means to whoever starts the service.

    Returns `None` for an error that is not of the connection.
    """
    kind = _kind(error)
    for classes, problem, advice in _PROBLEMS:
        if issubclass(kind, classes):
            facts = {**target._asdict(), "text": _text(error)}
            return ResourceStartError(name, problem.format(**facts), advice=advice.format(**facts))
    return None


class _NoTlsError(OSError):
    """What listens there does not answer to TLS as PostgreSQL does."""


class _UnreadableError(ValueError):
    """The URL is wrong, and what is said of it may quote a piece of the password."""


URL_FORM = (
    "Write postgresql://user:password@host:port/database, with special characters of the password "
    "percent-encoded."
)

_PROBLEMS: tuple[tuple[tuple[type[Exception], ...], str, str], ...] = (
    (
        (asyncpg.InvalidPasswordError,),
        "{server} refuses the password of {user}",
        "Correct it in {source}.",
    ),
    (
        (asyncpg.InvalidCatalogNameError,),
        "{server} has no {database}",
        "Create it, or correct the name in {source}.",
    ),
    (
        (asyncpg.TooManyConnectionsError,),
        "{server} has no connection left: {text}",
        "Lower max_size= times the number of workers, or raise max_connections there.",
    ),
    (
        (asyncpg.CannotConnectNowError,),
        "{server} is not ready: {text}",
        "Start again when it is.",
    ),
    ((_UnreadableError,), "its URL ({source}) can't be read", URL_FORM),
    ((asyncpg.ClientConfigurationError,), "its URL ({source}) is refused: {text}", URL_FORM),
    (
        (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError),
        "{server} does not let {user} in: {text}",
        "Correct that, or {source}.",
    ),
    ((socket.gaierror,), "the host of {server} is not known", "Correct it in {source}."),
    ((ssl.SSLError,), "TLS with {server} fails: {text}", "Correct that, or sslmode= in {source}."),
    (
        (_NoTlsError,),
        "{server} has no TLS, or is no PostgreSQL",
        "Correct sslmode=, or host and port, in {source}.",
    ),
    ((ConnectionRefusedError,), "{server} refuses connections", "Start it, or correct {source}."),
    ((OSError,), "{server} can't be reached: {text}", "Correct that, or {source}."),
)
"""What happened and what to do, for the first line that fits the error."""


def _kind(error: Exception) -> type[Exception]:
    """Return the class of an error, or a narrower one where asyncpg and asyncio have none."""
    text = str(error)
    if isinstance(error, ConnectionError) and "SSL" in text:
        return _NoTlsError
    if isinstance(error, OSError) and "Connect call failed" in text:
        return ConnectionRefusedError
    is_plain = isinstance(error, ValueError) and not isinstance(error, asyncpg.InterfaceError)
    is_about_url = is_plain or isinstance(error, asyncpg.ClientConfigurationError)
    return _UnreadableError if is_about_url and not _HARMLESS.match(text) else type(error)


def _text(error: BaseException) -> str:
    """Return the first line: the others are details and hints."""
    own = error.args[0] if isinstance(error, asyncpg.PostgresError) and error.args else error
    text = (error.strerror if isinstance(error, OSError) else None) or str(own)
    return text.partition("\n")[0].rstrip(". ") or type(error).__name__
