"""`sturdyapi.contrib.postgres`, on a PostgreSQL server."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sturdyapi.contrib.postgres import Pool, Postgres
from tests.contract.harness import POOL_SIZE, WAIT_SECONDS, Harness
from tests.servers.postgres import backends

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

    from tests.servers.postgres import PostgresServer

__all__ = ["PostgresHarness"]


class PostgresHarness(Harness):
    @classmethod
    def live(cls, request: pytest.FixtureRequest) -> PostgresHarness:
        return cls._at(request.getfixturevalue("postgres_url"), None)

    @classmethod
    def own(cls, request: pytest.FixtureRequest) -> PostgresHarness:
        server: PostgresServer = request.getfixturevalue("own_postgres")
        return cls._at(server.new_database(), server)

    @classmethod
    def _at(cls, url: str, server: PostgresServer | None) -> PostgresHarness:
        return cls(url, password=urlsplit(url).password or "", server=server)

    def adapter(self, *, wait_seconds: float = WAIT_SECONDS, **options: Any) -> Postgres:
        if "setting" not in options:
            options.setdefault("url", self.url)
        return Postgres(
            min_size=1,
            max_size=POOL_SIZE,
            acquire_timeout_seconds=wait_seconds,
            statement_timeout_seconds=wait_seconds,
            **options,
        )

    def wrong_urls(self) -> dict[str, str]:
        parts = urlsplit(self.url)
        user = f"{parts.username}:{self.password}"
        host, path = f"{parts.hostname}:{parts.port}", parts.path
        return {
            "password": f"postgresql://{parts.username}:{self.password}x@{host}{path}",
            "database": f"postgresql://{user}@{host}/missing",
            "port": f"postgresql://{user}@{parts.hostname}:1{path}",
            "host": f"postgresql://{user}@nowhere.invalid{path}",
        }

    async def ask(self, value: Pool) -> None:
        async with value.acquire() as connection:
            assert await connection.fetchval("select 1") == 1

    async def ask_slow(self, value: Pool) -> None:
        async with value.acquire() as connection:
            await connection.fetchval("select pg_sleep(60)")

    async def ask_wrong(self, value: Pool) -> None:
        async with value.acquire() as connection:
            await connection.fetchval("select 1 / 0")

    @asynccontextmanager
    async def hold(self, value: Pool) -> AsyncIterator[None]:
        async with value.acquire() as connection:
            await connection.fetchval("select 1")
            yield

    async def connections_at_server(self) -> int:
        return len(await backends(self.url))
