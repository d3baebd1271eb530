"""An open pool, and services on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from sturdyapi import BaseSettings, create_app
from sturdyapi.contrib.postgres import Connection, Pool, Postgres
from sturdyapi.resources import open_resources

Serve = Callable[..., TestClient]


@pytest.fixture
def pg(postgres_url: str) -> Postgres:
    """An adapter with two connections and short limits, on an empty database."""
    return Postgres(
        url=postgres_url,
        # What is lost stays lost until somebody asks for it.
        min_size=0,
        max_size=2,
        acquire_timeout_seconds=0.5,
        statement_timeout_seconds=5,
    )


@pytest.fixture
async def pool(pg: Postgres) -> AsyncIterator[Pool]:
    """Its pool, which has every connection back in the end."""
    async with open_resources(pg) as opened:
        yield opened[pg]
        assert opened[pg].connections().in_use == 0


@pytest.fixture
async def db(pool: Pool) -> AsyncIterator[Connection]:
    """A connection of it."""
    async with pool.acquire() as connection:
        yield connection


@pytest.fixture
def app(pg: Postgres) -> FastAPI:
    """A service with the adapter."""
    return create_app(BaseSettings(environment="testing"), resources=[pg], logs=False)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a service, and return a client of it."""
    with ExitStack() as stack:

        def start(app: FastAPI, **options: Any) -> TestClient:
            client = TestClient(app, raise_server_exceptions=False, **options)
            return stack.enter_context(client)

        yield start
