"""What the tests of background tasks share."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from fastapi.testclient import TestClient

from sturdyapi.app import SturdyAPI, create_app
from sturdyapi.context import context_fields
from sturdyapi.settings import BaseSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastapi import FastAPI


class Line(NamedTuple):
    """A line of the log, and what was bound when it was written."""

    level: str
    message: str
    bound: dict[str, Any]
    error: BaseException | None
    fields: dict[str, Any]

    @property
    def request_id(self) -> Any:
        """Id of the request that was in hand."""
        return self.bound.get("request_id")


class Lines(logging.Handler):
    """The lines about background tasks; whoever waits for one is told."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[Line] = []
        self.told: Callable[[], object] = lambda: None

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self.all.append(
            Line(
                record.levelname,
                record.getMessage(),
                dict(context_fields()),
                error,
                {name: vars(record).get(name) for name in ("background_task", "duration_seconds")},
            )
        )
        self.told()

    @property
    def messages(self) -> list[str]:
        """The texts of the lines from WARNING on."""
        return [line.message for line in self.all if line.level != "DEBUG"]


@contextmanager
def lines_of(level: int = logging.DEBUG) -> Iterator[Lines]:
    """Collect what is logged about background tasks."""
    lines, logger = Lines(), logging.getLogger("sturdyapi.background")
    before = logger.level
    logger.addHandler(lines)
    logger.setLevel(level)
    try:
        yield lines
    finally:
        logger.setLevel(before)
        logger.removeHandler(lines)


def make_app(**options: Any) -> SturdyAPI:
    """Make an app that leaves the process's logging alone."""
    return create_app(BaseSettings(environment="testing"), logs=False, **options)


def client_of(app: FastAPI) -> TestClient:
    """Give a client that sees every error which reaches the server."""
    return TestClient(app, headers={"X-Request-ID": "r1"})


class Journal(list[str]):
    """What has run, in order."""

    def task(self, name: str) -> Callable[[], None]:
        """Return a `def` task of that name."""

        def run() -> None:
            self.append(name)

        run.__qualname__ = name
        return run

    def failing(self, name: str, error: Exception | None = None) -> Callable[[], NoReturn]:
        """Return a `def` task of that name that fails."""

        def run() -> NoReturn:
            self.append(name)
            raise error or KeyError(name)

        run.__qualname__ = name
        return run


def scope_of(path: str) -> dict[str, Any]:
    """Make the scope of a GET request."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [],
    }


async def nothing_more() -> dict[str, Any]:
    """Receive an empty body, as often as asked."""
    return {"type": "http.request", "body": b"", "more_body": False}
