"""One request and its connections, on a real database."""

from collections.abc import Iterator
from typing import Annotated

import pytest
from fastapi.testclient import TestClient

from sturdyapi import BaseSettings, SturdyAPI, create_app
from sturdyapi.contrib.postgres import Connection, Pool, Postgres

WAIT_SECONDS = 0.5


@pytest.fixture
def client(postgres_url: str) -> Iterator[TestClient]:
    """A service with a single connection."""
    pg = Postgres(
        url=postgres_url,
        min_size=1,
        max_size=1,
        acquire_timeout_seconds=WAIT_SECONDS,
        statement_timeout_seconds=WAIT_SECONDS,
    )
    with TestClient(_app(pg), raise_server_exceptions=False) as client:
        assert client.post("/table").status_code == 200
        yield client
        assert client.get("/connections").json()["in_use"] == 0


def _app(pg: Postgres) -> SturdyAPI:
    app = create_app(BaseSettings(environment="testing"), resources=[pg], logs=False)
    Db = Annotated[Connection, pg.connection]  # noqa: N806 - a type
    Transaction = Annotated[Connection, pg.transaction]  # noqa: N806
    Streaming = Annotated[Connection, pg.streaming]  # noqa: N806

    @app.post("/table")
    async def create(db: Db) -> None:
        await db.execute("create table once (id int unique deferrable initially deferred)")

    @app.get("/shared")
    async def shared(db: Db, transaction: Transaction) -> bool:
        first = await db.fetchval("select pg_backend_pid()")
        return bool(first == await transaction.fetchval("select pg_backend_pid()"))

    @app.get("/starved")
    async def starved(db: Db, streaming: Streaming) -> None:
        await streaming.fetchval("select 1")
        await db.fetchval("select 1")

    @app.post("/twice/{number}")
    async def twice(number: int, db: Transaction) -> int:
        await db.execute("insert into once values ($1), ($1)", number)
        return number

    @app.get("/count")
    async def count(db: Db) -> int:
        return int(await db.fetchval("select count(*) from once"))

    @app.get("/connections")
    async def connections(pool: Annotated[Pool, pg.value]) -> dict[str, int]:
        in_use, is_open, limit = pg.connections(pool)
        return {"in_use": in_use, "open": is_open, "limit": limit}

    return app


def test_dependencies_of_one_request_share_a_connection(client: TestClient) -> None:
    """Trap 60: a request that asks for a connection twice needs one, so a pool of one is enough."""
    for _ in range(3):
        response = client.get("/shared")
        assert (response.status_code, response.json()) == (200, True)


def test_a_request_that_starves_itself_is_refused(client: TestClient) -> None:
    """Trap 60: a request that needs more connections than there are is a 503, not a deadlock."""
    for _ in range(3):
        response = client.get("/starved")
        assert response.status_code == 503
        assert response.headers["content-type"] == "application/problem+json"
        assert int(response.headers["retry-after"]) >= 1
        assert client.get("/shared").status_code == 200


def test_a_failed_commit_is_no_success(client: TestClient) -> None:
    """Trap 62: a COMMIT that fails is a 500: the client is not told that it worked."""
    for number in range(3):
        response = client.post(f"/twice/{number}")
        assert response.status_code == 500
        assert client.get("/count").json() == 0
