"""Statements, rows and models."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal

import asyncpg  # type: ignore[import-untyped]
import pydantic
import pytest
from fastapi import FastAPI

from sturdyapi import BaseModel
from sturdyapi.contrib.postgres import Connection, Pool, Postgres, Row
from sturdyapi.exceptions import ReleasedConnectionError

from .conftest import Serve

pytestmark = pytest.mark.anyio

ORDERS = """
    select number as id, number * 10 as owner_id, 19.99 as total,
           timestamptz '2026-11-22 12:00+01' as created_at, 'dropped' as note
    from generate_series(1, $1::int) as number
"""


class Order(BaseModel):
    id: int
    owner_id: int
    total: Decimal
    created_at: datetime


FIRST = Order(
    id=1, owner_id=10, total=Decimal("19.99"), created_at=datetime(2026, 11, 22, 11, tzinfo=UTC)
)


async def test_statements_are_those_of_asyncpg(db: Connection) -> None:
    """Every method does what asyncpg's of the same name does."""
    assert await db.execute("create table numbers (number int, word text)") == "CREATE TABLE"
    await db.executemany("insert into numbers values ($1, $2)", [(1, "one"), (2, "two")])
    insert = "insert into numbers values ($1) returning number"
    returned = await db.fetchmany(insert, [(3,), (4,)])
    row = await db.fetchrow("select * from numbers where number = $1", 2)
    rows = await db.fetch("select number from numbers order by number")

    assert [each[0] for each in returned] == [3, 4]
    assert row is not None
    assert dict(row) == {"number": 2, "word": "two"}
    assert [each["number"] for each in rows] == [1, 2, 3, 4]
    assert await db.fetchval("select number, word from numbers", column=1) == "one"
    assert await db.fetchrow("select 1 where false") is None
    assert await db.fetchval("select 1 where false") is None


async def test_the_first_statement_takes_the_connection(pool: Pool) -> None:
    """What never asks the database costs no connection."""
    async with pool.acquire() as connection:
        assert pool.connections().in_use == 0
        await connection.execute("select 1")
        assert pool.connections().in_use == 1


async def test_first_statements_at_once_take_one_connection(pool: Pool) -> None:
    """Two tasks that share a connection never get two; asyncpg's refusal says what to do."""
    async with pool.acquire() as idle_one, pool.acquire() as connection:
        # The next one is to be made, which takes a while.
        await idle_one.execute("select 1")
        results = await asyncio.gather(
            *(connection.fetchval("select 1 from pg_sleep(0.1)") for _ in range(2)),
            return_exceptions=True,
        )
        assert pool.connections().in_use == 2
    refusal = next(each for each in results if each != 1)
    assert 1 in results
    assert isinstance(refusal, asyncpg.InterfaceError)
    assert "give each its own" in "".join(refusal.__notes__)


async def test_a_row_is_a_mapping(db: Connection) -> None:
    """Trap 43: Pydantic takes a row where it takes a dict."""
    row = await db.fetchrow(ORDERS, 1)
    assert isinstance(row, Row)
    assert isinstance(row, Mapping)
    assert Order.model_validate(row) == FIRST


def test_a_row_is_an_answer(app: FastAPI, pg: Postgres, serve: Serve) -> None:
    """Trap 43: an endpoint returns rows as they are, with a response model or without."""

    @app.get("/typed", response_model=list[Order])
    async def typed(db: Connection = pg.connection) -> list[Row]:
        return await db.fetch(ORDERS, 1)

    @app.get("/untyped", response_model=None)
    async def untyped(db: Connection = pg.connection) -> Row | None:
        return await db.fetchrow(ORDERS, 1)

    client = serve(app)
    expected = {"id": 1, "total": 19.99}
    at = "2026-11-22T11:00:00Z"
    assert client.get("/typed").json() == [{**expected, "ownerId": 10, "createdAt": at}]
    assert client.get("/untyped").json() == {
        **expected,
        "owner_id": 10,
        "created_at": at,
        "note": "dropped",
    }


async def test_a_row_becomes_a_model(db: Connection) -> None:
    """`fetch_model` returns the first row as a model, or nothing."""
    assert await Postgres.fetch_model(db, Order, ORDERS, 3) == FIRST
    assert await Postgres.fetch_model(db, Order, ORDERS, 0) is None


async def test_rows_become_models(db: Connection) -> None:
    """`fetch_models` returns all rows as models."""
    for _ in range(3):
        orders = await Postgres.fetch_models(db, Order, ORDERS, 3)
        assert [order.id for order in orders] == [1, 2, 3]
        assert orders[0] == FIRST
    assert await Postgres.fetch_models(db, Order, ORDERS, 0) == []


async def test_a_column_has_the_name_of_the_field(db: Connection) -> None:
    """A model of Pydantic's own whose field has an alias is filled by the field's name."""

    class Foreign(pydantic.BaseModel):
        owner_id: int = pydantic.Field(alias="ownerId")

    found = await Postgres.fetch_model(db, Foreign, "select 7 as owner_id")
    many = await Postgres.fetch_models(db, Foreign, "select 7 as owner_id")
    assert found == many[0] == Foreign(ownerId=7)


async def test_a_row_that_does_not_fit_is_refused(db: Connection) -> None:
    """Every value of a row is validated."""
    with pytest.raises(pydantic.ValidationError, match="total"):
        await Postgres.fetch_model(db, Order, "select 1 as id, 1 as owner_id, now() as created_at")
    with pytest.raises(pydantic.ValidationError, match=r"0\.id"):
        await Postgres.fetch_models(db, Order, "select 'x' as id")


@pytest.mark.parametrize("kind", ["json", "jsonb"])
async def test_json_is_what_python_has_for_it(db: Connection, kind: str) -> None:
    """`json` and `jsonb` come and go as dicts and lists."""
    document = {"name": "Zoë", "tags": ["a", None, True], "price": 1.5}
    assert await db.fetchval(f"select $1::{kind}", document) == document
    assert await db.fetchval(f"select null::{kind}") is None


async def test_rows_are_streamed(db: Connection) -> None:
    """`stream` asks for a part of the rows at a time."""
    numbers = []
    async with db.transaction(readonly=True):
        async for row in db.stream("select generate_series(1, $1::int)", 120, prefetch=50):
            numbers.append(row[0])
            assert await db.fetchval("select 1") == 1
    assert numbers == list(range(1, 121))


async def test_a_stream_may_be_left(db: Connection) -> None:
    """A loop over a stream that ends early leaves the connection and its transaction usable."""
    for _ in range(3):
        async with db.transaction():
            async for _row in db.stream("select generate_series(1, 1000)"):
                break
            assert await db.fetchval("select 1") == 1


async def test_asyncpgs_own_connection_is_there(db: Connection) -> None:
    """`raw()` gives asyncpg's connection, such as for COPY."""
    raw = await db.raw()
    await db.execute("create table numbers (number int)")
    assert await raw.copy_records_to_table("numbers", records=[(1,), (2,)]) == "COPY 2"
    assert await db.fetchval("select count(*) from numbers") == 2


async def test_a_connection_may_be_given_back_early(pool: Pool) -> None:
    """`release()` gives the connection back before its block ends; then it is over."""
    async with pool.acquire() as connection:
        await connection.execute("select 1")
        await connection.release()
        assert pool.connections().in_use == 0
        with pytest.raises(ReleasedConnectionError):
            await connection.execute("select 1")


async def test_a_connection_that_was_given_back_is_named(pool: Pool) -> None:
    """Using a connection after its end is an error that says what to take instead."""
    async with pool.acquire() as connection:
        await connection.execute("select 1")
    with pytest.raises(ReleasedConnectionError, match=r"'postgres'.*`\.acquire\(\)`.*streaming"):
        await connection.fetch("select 1")


async def test_a_release_meets_a_first_statement(pool: Pool) -> None:
    """A connection that comes after its user has ended goes straight back."""
    async with pool.acquire() as first, pool.acquire() as second:
        await first.execute("select 1")
        await second.execute("select 1")
        async with pool.acquire() as third:
            late = asyncio.create_task(third.execute("select 1"))
            await asyncio.sleep(0)
    with pytest.raises(ReleasedConnectionError):
        await late
