"""How connections reach endpoints, and when they go."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Request, WebSocket
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient

from sturdyapi import BaseSettings, create_app
from sturdyapi.contrib.postgres import Connection, Pool, Postgres
from sturdyapi.exceptions import ReleasedConnectionError

from .conftest import Serve


def _add_count(app: FastAPI, pg: Postgres) -> None:
    @app.get("/in-use")
    async def in_use(pool: Annotated[Pool, pg.value]) -> int:
        return pg.connections(pool).in_use


@pytest.fixture
def counted(app: FastAPI, pg: Postgres) -> FastAPI:
    """A service that tells how many connections are in use."""
    _add_count(app, pg)
    return app


def test_who_is_turned_away_costs_no_connection(
    counted: FastAPI, pg: Postgres, serve: Serve
) -> None:
    """A 401 or a 422 is answered though the pool is exhausted."""
    taken: list[int] = []

    async def current_user(request: Request) -> str:
        if "authorization" not in request.headers:
            raise HTTPException(401)
        return "ann"

    @counted.get("/orders/{number}")
    async def read(
        number: int,
        user: Annotated[str, Depends(current_user)],
        pool: Annotated[Pool, pg.value],
        db: Connection = pg.transaction,
    ) -> None:
        taken.append(pool.connections().in_use)

    client = serve(counted)
    assert client.get("/orders/1").status_code == 401
    assert client.get("/orders/x", headers={"Authorization": "x"}).status_code == 422
    assert client.get("/orders/1", headers={"Authorization": "x"}).status_code == 200
    assert taken == [0]


@pytest.mark.anyio
async def test_a_connection_ends_before_the_answer_leaves(counted: FastAPI, pg: Postgres) -> None:
    """Trap 61: a client that reads slowly holds no connection, unless a body is streamed by one."""
    seen: dict[str, list[int]] = {}

    @counted.get("/plain")
    async def plain(db: Connection = pg.connection) -> int:
        return int(await db.fetchval("select 1"))

    @counted.get("/stream")
    async def stream(db: Connection = pg.streaming) -> StreamingResponse:
        async def body() -> AsyncIterator[str]:
            async with db.transaction(readonly=True):
                async for row in db.stream("select generate_series(1, 3)", prefetch=1):
                    yield str(row[0])

        return StreamingResponse(body())

    async with counted.router.lifespan_context(counted):
        for path in "/plain", "/stream":
            seen[path] = await _in_use_while_sending(counted, path, pg)
        assert counted.state.postgres.connections().in_use == 0
    assert seen["/plain"] == [0, 0]
    assert seen["/stream"][1:4] == [1, 1, 1]


async def _in_use_while_sending(app: FastAPI, path: str, pg: Postgres) -> list[int]:
    seen = []
    messages = [{"type": "http.request", "body": b"", "more_body": False}]

    async def send(_message: object) -> None:
        seen.append(app.state.postgres.connections().in_use)

    async def receive() -> dict[str, object]:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop()

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
        "scheme": "http",
        "root_path": "",
        "http_version": "1.1",
    }
    await app(scope, receive, send)
    return seen


def test_the_pool_is_in_the_state_of_the_app(counted: FastAPI, serve: Serve) -> None:
    """The form `async with request.app.state.postgres.acquire() as connection` works."""

    @counted.get("/one")
    async def one(request: Request) -> int:
        async with request.app.state.postgres.acquire() as connection:
            row = await connection.fetchrow("select 1 as number")
            return int(row["number"])

    client = serve(counted)
    for _ in range(3):
        assert client.get("/one").json() == 1
        assert client.get("/in-use").json() == 0


def test_a_background_task_takes_its_own(counted: FastAPI, pg: Postgres, serve: Serve) -> None:
    """A task that uses the connection of its request is told to take one; one that does works."""
    told: list[object] = []

    async def use(db: Connection) -> None:
        try:
            await db.execute("select 1")
        except ReleasedConnectionError as error:
            told.append(error)

    async def take(pool: Pool) -> None:
        async with pool.acquire() as connection:
            told.append(await connection.fetchval("select 2"))

    @counted.post("/tasks")
    async def start(
        tasks: BackgroundTasks, pool: Annotated[Pool, pg.value], db: Connection = pg.connection
    ) -> int:
        tasks.add_task(use, db)
        tasks.add_task(take, pool)
        return int(await db.fetchval("select 1"))

    assert serve(counted).post("/tasks").json() == 1
    assert isinstance(told[0], ReleasedConnectionError)
    assert told[1] == 2


def test_a_websocket_has_the_same_dependencies(
    counted: FastAPI, pg: Postgres, serve: Serve
) -> None:
    """Trap 76: the dependencies work for websockets, and end with them."""

    @counted.websocket("/socket")
    async def socket(websocket: WebSocket, db: Connection = pg.transaction) -> None:
        await websocket.accept()
        await websocket.send_json(await db.fetchval("select 1"))
        await websocket.close()

    client = serve(counted)
    for _ in range(3):
        with client.websocket_connect("/socket") as websocket:
            assert websocket.receive_json() == 1
    assert client.get("/in-use").json() == 0


def test_a_mounted_app_shares_the_pool(counted: FastAPI, pg: Postgres, serve: Serve) -> None:
    """An app that is mounted uses the connections of the one around it."""
    inner = create_app(BaseSettings(environment="testing"), logs=False)

    @inner.get("/one")
    async def one(db: Connection = pg.connection) -> int:
        return int(await db.fetchval("select 1"))

    counted.mount("/inner", inner)
    assert serve(counted).get("/inner/one").json() == 1


def test_a_test_may_replace_the_connection(counted: FastAPI, pg: Postgres, serve: Serve) -> None:
    """`dependency_overrides` takes the dependency of `pg.connection`: no server is needed."""

    class Fake:
        async def fetchval(self, query: str) -> int:
            return 42

    @counted.get("/one")
    async def one(db: Connection = pg.connection) -> int:
        return int(await db.fetchval("select 1"))

    counted.dependency_overrides[pg.connection.dependency] = Fake
    assert TestClient(counted).get("/one").json() == 42


def test_a_dependency_with_yield_takes_the_streaming_connection(
    counted: FastAPI, pg: Postgres, serve: Serve
) -> None:
    """A `yield` dependency of FastAPI's default scope stands on `pg.streaming`."""

    async def tenant(db: Connection = pg.streaming) -> AsyncIterator[str]:
        yield str(await db.fetchval("select 'acme'"))
        await db.execute("select 'goodbye'")

    @counted.get("/tenant")
    async def read(name: Annotated[str, Depends(tenant)]) -> str:
        return name

    client = serve(counted)
    for _ in range(3):
        assert client.get("/tenant").json() == "acme"
        assert client.get("/in-use").json() == 0
