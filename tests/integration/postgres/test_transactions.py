"""Transactions: what is committed, what is rolled back, and when."""

import asyncio
from contextlib import nullcontext, suppress
from typing import Annotated, Any

import asyncpg  # type: ignore[import-untyped]
import pytest
from fastapi import Depends, FastAPI, HTTPException

from sturdyapi.contrib.postgres import Connection, Pool, Postgres
from sturdyapi.exceptions import DeadlineExceededError, NotCommittedError, ReleasedConnectionError

from .conftest import Serve

pytestmark = pytest.mark.anyio

ADD = "insert into numbers values ($1)"


@pytest.fixture
async def table(pool: Pool) -> Pool:
    """A pool on a database with a table."""
    async with pool.acquire() as connection:
        await connection.execute("create table numbers (number int unique)")
    return pool


async def _numbers(pool: Pool) -> list[Any]:
    async with pool.acquire() as connection:
        return [row[0] for row in await connection.fetch("select number from numbers order by 1")]


async def _write_and_fail(connection: Connection, number: int, *, lazy: bool = False) -> None:
    async with connection.transaction(lazy=lazy):
        await connection.execute(ADD, number)
        raise KeyError


async def _write_twice_and_go_on(connection: Connection) -> None:
    async with connection.transaction():
        await connection.execute(ADD, 1)
        with suppress(asyncpg.UniqueViolationError):
            await connection.execute(ADD, 1)


async def _write_and_stall(connection: Connection) -> None:
    async with connection.transaction():
        await connection.execute(ADD, 1)
        await connection.execute("select pg_sleep(30)", timeout=0.1)


async def _write_and_release(connection: Connection) -> None:
    async with connection.transaction():
        await connection.execute(ADD, 1)
        await connection.release()


async def test_a_block_that_ends_well_is_committed(table: Pool) -> None:
    """What a transaction has written is there when its block ends."""
    async with table.acquire() as connection:
        for number in range(3):
            async with connection.transaction():
                await connection.execute(ADD, number)
    assert await _numbers(table) == [0, 1, 2]


async def test_an_error_rolls_back(table: Pool) -> None:
    """An error that leaves the block is passed on, and nothing was written."""
    async with table.acquire() as connection:
        for number in range(3):
            with pytest.raises(KeyError):
                await _write_and_fail(connection, number)
        assert await _numbers(table) == []


async def test_one_inside_another_is_a_savepoint(table: Pool) -> None:
    """The error of an inner transaction undoes the inner one only."""
    async with table.acquire() as connection, connection.transaction():
        await connection.execute(ADD, 1)
        with pytest.raises(KeyError):
            await _write_and_fail(connection, 2)
        await connection.execute(ADD, 3)
    assert await _numbers(table) == [1, 3]


async def test_isolation_is_passed_on(table: Pool) -> None:
    """The options of a transaction are asyncpg's."""
    async with table.acquire() as connection:
        options = {"isolation": "serializable", "readonly": True, "deferrable": True}
        async with connection.transaction(**options):  # type: ignore[arg-type]
            assert await connection.fetchval("show transaction_isolation") == "serializable"
            assert await connection.fetchval("show transaction_read_only") == "on"
            assert await connection.fetchval("show transaction_deferrable") == "on"


async def test_a_lazy_transaction_begins_with_a_statement(table: Pool) -> None:
    """A lazy transaction without a statement asks nothing of the server."""
    async with table.acquire() as connection:
        async with connection.transaction(lazy=True):
            pass
        assert table.connections().in_use == 0
        await connection.execute(ADD, 0)
        assert await _numbers(table) == [0]
        with pytest.raises(KeyError):
            await _write_and_fail(connection, 1, lazy=True)
    assert await _numbers(table) == [0]


async def test_a_commit_that_commits_nothing_is_an_error(table: Pool) -> None:
    """PostgreSQL answers a COMMIT after a caught error as if all were well: here it is an error."""
    async with table.acquire() as connection:
        for _ in range(3):
            with pytest.raises(NotCommittedError):
                await _write_twice_and_go_on(connection)
    assert await _numbers(table) == []


async def test_a_failed_begin_lets_no_statement_through(table: Pool) -> None:
    """When BEGIN has failed, no later statement runs outside the transaction."""
    async with table.acquire() as connection:
        await connection.execute("select 1")
        raw = await connection.raw()
        await raw.execute("begin")
        async with connection.transaction(lazy=True):
            for _ in range(2):
                with pytest.raises((asyncpg.InterfaceError, asyncpg.PostgresError)):
                    await connection.execute(ADD, 1)
    assert await _numbers(table) == []


@pytest.mark.parametrize("is_nested", [False, True])
async def test_after_a_statement_over_its_limit_the_connection_is_good(
    table: Pool, is_nested: bool
) -> None:
    """A transaction that ends with a statement over its limit is undone before the next one."""
    async with (
        table.acquire() as connection,
        connection.transaction() if is_nested else nullcontext(),
    ):
        for number in range(3):
            with pytest.raises(DeadlineExceededError):
                await _write_and_stall(connection)
            await connection.execute(ADD, number + 10)
    assert await _numbers(table) == [10, 11, 12]


async def test_a_cancelled_transaction_is_rolled_back(table: Pool) -> None:
    """Trap 66: a request that is cancelled in its transaction writes nothing, and loses nothing."""

    async def write() -> None:
        async with table.acquire() as connection, connection.transaction():
            await connection.execute(ADD, 1)
            await connection.execute("select pg_sleep(30)")

    for _ in range(3):
        task = asyncio.create_task(write())
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert table.connections().in_use == 0
    assert await _numbers(table) == []


async def test_a_release_rolls_back(table: Pool) -> None:
    """A connection that is given back inside a transaction does not commit it."""
    async with table.acquire() as connection:
        with pytest.raises(ReleasedConnectionError):
            await _write_and_release(connection)
    assert await _numbers(table) == []


def test_the_dependency_commits_before_the_answer(app: FastAPI, pg: Postgres, serve: Serve) -> None:
    """`pg.transaction` commits what an endpoint writes, and rolls back when it raises."""

    @app.post("/table")
    async def create(db: Connection = pg.connection) -> None:
        await db.execute("create table numbers (number int unique)")

    @app.post("/numbers/{number}")
    async def add(number: int, status: int = 200, db: Connection = pg.transaction) -> None:
        await db.execute(ADD, number)
        if status != 200:
            raise HTTPException(status)

    @app.get("/numbers")
    async def numbers(db: Connection = pg.connection) -> list[int]:
        return [row[0] for row in await db.fetch("select number from numbers order by 1")]

    client = serve(app)
    client.post("/table")
    for number in range(3):
        assert client.post(f"/numbers/{number}").status_code == 200
        assert client.post(f"/numbers/{number + 10}?status=404").status_code == 404
        assert client.post(f"/numbers/{number}").status_code == 500
    assert client.get("/numbers").json() == [0, 1, 2]


def test_all_dependencies_are_in_the_transaction(app: FastAPI, pg: Postgres, serve: Serve) -> None:
    """What `pg.connection` writes in the same request is rolled back with it."""

    async def audit(db: Connection = pg.connection) -> Connection:
        await db.execute("create table if not exists numbers (number int)")
        return db

    @app.post("/numbers")
    async def add(
        audited: Annotated[Connection, Depends(audit)], db: Connection = pg.transaction
    ) -> None:
        await db.execute(ADD, 1)
        await audited.execute(ADD, 2)
        raise HTTPException(409)

    @app.get("/numbers")
    async def count(db: Connection = pg.connection) -> int:
        return int(await db.fetchval("select count(*) from numbers"))

    client = serve(app)
    assert client.post("/numbers").status_code == 409
    assert client.get("/numbers").json() == 0
