"""What every test may ask for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from .servers.postgres import Databases, PostgresServer, ServerNotAvailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

GIVEN_POSTGRES = "STURDYAPI_TEST_POSTGRES_URL"
"""Variable with the URL of a PostgreSQL user who may create databases; none is started then."""


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio, the loop that servers use."""
    return "asyncio"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Databases]:
    """One PostgreSQL server for all tests that leave it running."""
    if url := os.environ.get(GIVEN_POSTGRES):
        yield Databases(url)
    else:
        yield from _started_postgres()


@pytest.fixture
def postgres_url(postgres: Databases) -> Iterator[str]:
    """URL of an empty PostgreSQL database that only this test uses."""
    url = postgres.new_database()
    yield url
    postgres.drop_database(url)


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server to kill and freeze, for one module; each test leaves it running."""
    if os.environ.get(GIVEN_POSTGRES):
        pytest.skip(f"{GIVEN_POSTGRES} is set: a server that is not ours is not killed or frozen")
    yield from _started_postgres()


def _started_postgres() -> Iterator[PostgresServer]:
    try:
        server = PostgresServer()
    except ServerNotAvailableError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    yield server
    server.stop()
