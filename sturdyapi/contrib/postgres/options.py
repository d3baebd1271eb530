"""The keywords that are asyncpg's: which are passed on, and which are refused."""

from __future__ import annotations

import inspect
import os
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import asyncpg  # type: ignore[import-untyped]

from sturdyapi.exceptions import ConfigurationError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["refuse_bad_options", "refuse_bad_size", "with_application_name"]

_INSTEAD = {
    "command_timeout": "statement_timeout_seconds=",
    "connection_class": "the raw() of a connection, which gives asyncpg's own",
    "database": "the URL",
    "dsn": "setting= or url=",
    "host": "the URL",
    "init_size": "min_size=",
    "loop": "nothing: the loop of the app is used",
    "max_overflow": "max_size=",
    "pool_size": "max_size=",
    "pool_timeout": "acquire_timeout_seconds=",
    "port": "the URL",
    "record_class": "sturdyapi.contrib.postgres.Row, of which every row is",
    "timeout": "timeout_seconds=",
    "user": "the URL",
}
"""Keywords of asyncpg, and of SQLAlchemy, that are not passed on, and what to use."""

_MAX_NAME_LENGTH = 63
"""What PostgreSQL keeps of an `application_name`."""


def refuse_bad_options(options: Mapping[str, Any]) -> None:
    """Raise if a keyword is not one that asyncpg takes, or one that we set.

    Raises:
        ConfigurationError: The keyword is named, with what to use.
    """
    known = _keywords()
    for name in options:
        if name in _INSTEAD:
            raise ConfigurationError(f"Postgres does not take {name}=. Use {_INSTEAD[name]}.")
        if name not in known:
            raise ConfigurationError(
                f"Postgres has no keyword '{name}', nor has asyncpg.{did_you_mean(name, known)}"
            )


def refuse_bad_size(min_size: object, max_size: object) -> None:
    """Raise if a pool can't have that size.

    Raises:
        ConfigurationError: The two are named.
    """
    are_numbers = all(type(size) is int for size in (min_size, max_size))
    if not are_numbers or not 0 <= min_size <= max_size or not max_size:  # type: ignore[operator]
        raise ConfigurationError(
            f"The size of a pool is min_size={min_size!r}, max_size={max_size!r}. "
            "Give whole numbers: min_size from 0, max_size from 1, and min_size not above max_size."
        )


def with_application_name(options: Mapping[str, Any], *, name: str, url: str) -> dict[str, Any]:
    """Return asyncpg's keywords with a name by which the server tells processes apart.

    One in the URL, or in `server_settings`, wins.
    """
    if "application_name" in parse_qs(url.partition("?")[2]):
        return dict(options)
    own = f"{name}:{os.getpid()}@{socket.gethostname()}"[:_MAX_NAME_LENGTH]
    settings = {"application_name": own, **(options.get("server_settings") or {})}
    return {**options, "server_settings": settings}


def _keywords() -> set[str]:
    # `connect()` is behind asyncpg's own `**connect_kwargs`.
    both = (asyncpg.create_pool, asyncpg.connect)
    names = {name for each in both for name in inspect.signature(each).parameters}
    return names - {"connect_kwargs", *_INSTEAD}
