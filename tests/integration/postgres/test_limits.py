"""Time limits and outages: what a client is told, and that the pool is whole afterwards."""

import asyncio
import logging
import secrets
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

import anyio
import asyncpg  # type: ignore[import-untyped]
import pytest
from fastapi import FastAPI

from sturdyapi.contrib.postgres import Connection, Pool, Postgres
from sturdyapi.exceptions import DeadlineExceededError, ResourceStartError, UnavailableError
from sturdyapi.resources import ConnectionCount, open_resources
from tests.servers.polling import eventually
from tests.servers.postgres import Databases, PostgresServer, fetch

from .conftest import Serve

pytestmark = pytest.mark.anyio

STALL = "select pg_sleep(30)"
SLACK = 5
"""How often a limit may pass before a test fails: the machine has other work too."""


async def _hold_all(stack: AsyncExitStack, pool: Pool) -> list[Connection]:
    held = [await stack.enter_async_context(pool.acquire()) for _ in range(2)]
    for connection in held:
        await connection.execute("select 1")
    return held


async def _kill(url: str) -> None:
    """End every other connection, as a server does that shuts down."""
    statement = (
        "select pg_terminate_backend(pid) from pg_stat_activity "
        "where datname = current_database() and pid <> pg_backend_pid()"
    )
    await fetch(url, statement)


async def _kill_seen(pool: Pool, url: str) -> None:
    """Like `_kill`, and wait until asyncpg has noticed."""
    # asyncpg opens new ones by itself, up to `min_size`.
    open_before = [holder._con for holder in pool.raw._holders if holder._con is not None]
    await _kill(url)

    async def is_noticed() -> bool:
        return all(connection.is_closed() for connection in open_before)

    await eventually(is_noticed)


async def test_an_exhausted_pool_tells_its_figures(pool: Pool) -> None:
    """Trap 59: who waits in vain is told to try again, and the log how much is in use."""
    async with AsyncExitStack() as stack:
        await _hold_all(stack, pool)
        for _ in range(3):
            with pytest.raises(UnavailableError) as caught:
                await (await stack.enter_async_context(pool.acquire())).execute("select 1")
            assert str(caught.value.__cause__) == (
                "no connection within 0.5 s: 2 of 2 in use, 2 open"
            )


def test_the_client_of_an_exhausted_pool_is_answered(
    app: FastAPI, pg: Postgres, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """Trap 58: the answer is a 503 with `Retry-After`, and the line in the log has the figures."""

    @app.get("/greedy")
    async def greedy(db: Connection = pg.connection) -> None:
        async with AsyncExitStack() as stack:
            await _hold_all(stack, app.state.postgres)
            await db.execute("select 1")

    client = serve(app)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            response = client.get("/greedy")
            assert response.status_code == 503
            assert response.headers["retry-after"] == "1"
            assert response.json()["detail"].startswith("database is not available right now")
    assert "2 of 2 in use" in caplog.text


async def test_a_statement_has_a_limit_of_its_own(pool: Pool) -> None:
    """`timeout` is the limit of one statement, and the error tells it."""
    for _ in range(3):
        async with pool.acquire() as connection:
            with pytest.raises(DeadlineExceededError) as caught:
                await connection.execute(STALL, timeout=0.1)
            assert caught.value.timeout_seconds == 0.1
            assert await connection.fetchval("select 1") == 1


async def test_the_statements_limit_is_the_adapters(postgres_url: str) -> None:
    """`statement_timeout_seconds` is the limit of every other statement, a raw one included."""
    pg = Postgres(url=postgres_url, statement_timeout_seconds=0.2)
    async with open_resources(pg) as opened, opened[pg].acquire() as connection:
        with pytest.raises(DeadlineExceededError, match=r"within 0\.2 s"):
            await connection.fetch(STALL)
        raw = await connection.raw()
        with pytest.raises(TimeoutError) as caught:
            await raw.fetch(STALL)
        assert isinstance(pg.translate(caught.value), DeadlineExceededError)


async def test_a_statement_that_is_given_up_is_stopped(pool: Pool, postgres_url: str) -> None:
    """The server does not go on with a statement that is over its limit, or cancelled."""
    async with pool.acquire() as connection:
        with pytest.raises(DeadlineExceededError):
            await connection.execute(STALL, timeout=0.1)
    async with pool.acquire() as connection:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(connection.execute(STALL), 0.1)
    async with AsyncExitStack() as stack:
        # Both connections are back only when their statements have ended.
        await _hold_all(stack, pool)
        rows = await fetch(postgres_url, "select query from pg_stat_activity where state='active'")
    assert not any("pg_sleep" in row["query"] for row in rows if "activity" not in row["query"])


@pytest.fixture
def own_url(own_postgres: PostgresServer) -> str:
    """A database on a server that may be frozen."""
    return own_postgres.new_database()


async def test_a_silent_server_does_not_hold_up_the_answer(
    own_postgres: PostgresServer, own_url: str
) -> None:
    """A connection whose server is frozen is given back behind the answer, and works afterwards."""
    pg = Postgres(url=own_url, max_size=1, statement_timeout_seconds=60)
    async with open_resources(pg) as opened:
        for _ in range(3):
            started = anyio.current_time()
            try:
                with pytest.raises(DeadlineExceededError):
                    await _freeze_and_ask(own_postgres, opened[pg])
                took = anyio.current_time() - started
            finally:
                own_postgres.thaw()
            assert took < 0.2 * SLACK
            async with opened[pg].acquire() as connection:
                assert await connection.fetchval("select 1") == 1


async def test_a_begin_that_was_cut_short_is_not_continued(
    own_postgres: PostgresServer, own_url: str
) -> None:
    """After a BEGIN without an answer nothing more is written, since nobody could commit it."""
    pg = Postgres(url=own_url, max_size=1, statement_timeout_seconds=0.2)
    await fetch(own_url, "create table lines (number int)")
    async with open_resources(pg) as opened:
        with pytest.raises(UnavailableError):
            await _try_twice(own_postgres, opened[pg])
        assert await fetch(own_url, "select * from lines") == []


async def _try_twice(server: PostgresServer, pool: Pool) -> None:
    async with pool.acquire() as connection:
        await connection.execute("select 1")
        async with connection.transaction(lazy=True):
            server.freeze()
            try:
                with pytest.raises(DeadlineExceededError):
                    await connection.execute("insert into lines values (1)")
            finally:
                server.thaw()
            await anyio.sleep(0.3)
            await connection.execute("insert into lines values (1)", timeout=5)


async def _freeze_and_ask(server: PostgresServer, pool: Pool) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("select 1")
        server.freeze()
        await connection.execute("select 1", timeout=0.2)


async def test_a_lost_connection_is_an_outage(pool: Pool, postgres_url: str) -> None:
    """A connection that the server has ended is a 503 for its user, now and later in the block."""
    for _ in range(3):
        async with pool.acquire() as connection:
            await connection.execute("select 1")
            await _kill_seen(pool, postgres_url)
            for _ in range(2):
                with pytest.raises(UnavailableError):
                    await connection.execute("select 1")
        async with pool.acquire() as connection:
            assert await connection.fetchval("select 1") == 1


async def test_a_connection_lost_in_a_transaction_is_an_outage(
    pool: Pool, postgres_url: str
) -> None:
    """A transaction whose connection is lost is a 503, not the error of its rollback."""
    for _ in range(3):
        async with pool.acquire() as connection:
            with pytest.raises(UnavailableError):
                await _write_after_end(connection, postgres_url)


async def _write_after_end(connection: Connection, url: str) -> None:
    async with connection.transaction():
        await connection.execute("select 1")
        await _kill(url)
        await connection.execute("select 1")


async def test_idle_connections_that_were_lost_are_replaced(pool: Pool, postgres_url: str) -> None:
    """What the server ends while nobody uses it is not noticed by the next user."""
    for _ in range(3):
        async with AsyncExitStack() as stack:
            await _hold_all(stack, pool)
        await _kill_seen(pool, postgres_url)
        async with AsyncExitStack() as stack:
            await _hold_all(stack, pool)
            assert pool.connections() == ConnectionCount(2, 2, 2)


async def test_a_busy_pool_is_well(pg: Postgres, pool: Pool, postgres_url: str) -> None:
    """Readiness asks beside a pool whose connections are all in use."""
    async with AsyncExitStack() as stack:
        await _hold_all(stack, pool)
        for _ in range(3):
            await pg.check(pool)
    # Nothing is left of the connection that asked.
    rows = await fetch(postgres_url, "select pid from pg_stat_activity where datname is not null")
    assert len(rows) <= 3


@pytest.fixture
def limited_url(postgres: Databases, postgres_url: str) -> Iterator[str]:
    """URL of a user who may have a single connection."""
    user = f"limited_{secrets.token_hex(4)}"
    statement = f"create role {user} login password 'x' connection limit 1"
    asyncio.run(fetch(postgres.url(), statement))
    yield postgres.url(user=user, password="x", database=urlsplit(postgres_url).path[1:])
    asyncio.run(fetch(postgres.url(), f"drop role {user}"))


async def test_a_full_server_is_well(limited_url: str) -> None:
    """Trap 58: a server that has no connection left is busy, not dead."""
    pg = Postgres(url=limited_url, max_size=1)
    async with open_resources(pg) as opened, opened[pg].acquire() as connection:
        await connection.execute("select 1")
        for _ in range(3):
            await pg.check(opened[pg])


async def test_a_start_against_a_full_server_is_told(limited_url: str) -> None:
    """Trap 58: a start that gets no connection says what to lower, or to raise."""
    async with open_resources(Postgres(url=limited_url)):
        with pytest.raises(ResourceStartError, match=r"no connection left.*Lower max_size="):
            await _open(Postgres(url=limited_url))


async def _open(pg: Postgres) -> None:
    async with open_resources(pg):
        pass


async def test_cancellations_at_every_step_cost_no_connection(pool: Pool) -> None:
    """Trap 66: a user who is cancelled at any await gives everything back."""

    async def use() -> None:
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("select 1")

    for step in range(60):
        task = asyncio.create_task(use())
        await asyncio.sleep(step * 0.0001)
        task.cancel()
        await asyncio.wait({task})
        # Cancelled while it is given back, a connection comes back by itself.
        assert pool.connections().in_use == 0
    async with AsyncExitStack() as stack:
        await _hold_all(stack, pool)


async def test_a_release_that_is_cancelled_goes_on(postgres_url: str) -> None:
    """Trap 66: who is cancelled while the connection is given back loses nothing."""
    is_resetting = asyncio.Event()

    async def reset(connection: Any) -> None:
        is_resetting.set()
        await connection.execute("select pg_sleep(0.1)")

    async def use(pool: Pool) -> int:
        async with pool.acquire() as connection:
            return int(await connection.fetchval("select pg_backend_pid()"))

    pg = Postgres(url=postgres_url, max_size=1, reset=reset)
    async with open_resources(pg) as opened:
        expected = await use(opened[pg])
        for _ in range(3):
            is_resetting.clear()
            task = asyncio.create_task(use(opened[pg]))
            await is_resetting.wait()
            task.cancel()
            await asyncio.wait({task})
            assert pg.connections(opened[pg]) == ConnectionCount(0, 1, 1)
            assert await use(opened[pg]) == expected


async def test_what_speaks_of_a_statement_is_no_outage(pg: Postgres, pool: Pool) -> None:
    """Errors of statements stay asyncpg's, and `translate()` leaves them alone."""
    async with pool.acquire() as connection:
        with pytest.raises(asyncpg.PostgresSyntaxError) as syntax:
            await connection.execute("selekt")
        with pytest.raises(asyncpg.DataError) as data:
            await connection.execute("select $1::int", "x")
    assert pg.translate(syntax.value) is None
    assert pg.translate(data.value) is None
    assert pg.translate(KeyError()) is None


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.CannotConnectNowError("starting up"),
        asyncpg.AdminShutdownError("shutting down"),
        asyncpg.TooManyConnectionsError("too many clients already"),
        asyncpg.ConnectionDoesNotExistError("lost"),
        asyncpg.InterfaceError("pool is closing"),
        ConnectionRefusedError(111, "refused"),
        TimeoutError(110, "Connection timed out"),
    ],
    ids=repr,
)
def test_a_server_that_is_out_of_reach_is_an_outage(error: Exception) -> None:
    """Whatever tells that the server is gone is a 503."""
    pg = Postgres(url="postgresql://host/database")
    assert isinstance(pg.translate(error), UnavailableError)
