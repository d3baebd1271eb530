"""What type checkers know of `sturdyapi.contrib.postgres`; mypy reads this file, pytest runs it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, assert_type

from sturdyapi import BaseModel
from sturdyapi.contrib.postgres import Connection, Pool, Postgres, Row
from sturdyapi.resources import ConnectionCount, Resource

pg = Postgres(url="postgresql://host/shop", statement_cache_size=0)
Db = Annotated[Connection, pg.connection]


class Order(BaseModel):
    id: int


async def results(db: Db, pool: Pool) -> None:
    """Each method says what it returns."""
    assert_type(await db.fetch("select 1"), list[Row])
    assert_type(await db.fetchrow("select 1", 1, timeout=2), Row | None)
    assert_type(await db.fetchval("select 1"), Any)
    assert_type(await db.execute("select 1"), str)
    assert_type(await pg.fetch_model(db, Order, "select $1", 1), Order | None)
    assert_type(await pg.fetch_models(db, Order, "select 1"), list[Order])
    async with pool.acquire() as connection, connection.transaction(isolation="serializable"):
        assert_type(connection, Connection)
        async for row in connection.stream("select 1"):
            assert_type(row, Row)
    assert_type(pg.connections(pool), ConnectionCount)


def columns(row: Row) -> Mapping[str, Any]:
    """A row is a mapping, and a sequence of values."""
    first, _second = row
    assert_type(row["id"], Any)
    assert_type(row[0], Any)
    assert_type(row[:2], tuple[Any, ...])
    assert first == row[0]
    return row


async def mistakes(db: Db) -> None:
    """What can't work is refused."""
    await db.fetch(1)  # type: ignore[arg-type]
    db.transaction(isolation="strict")  # type: ignore[arg-type]
    await pg.fetch_model(db, dict, "select 1")  # type: ignore[type-var]


def test_an_adapter_is_a_resource_of_its_pool() -> None:
    """`Postgres` is a resource whose value is a `Pool`."""
    resource: Resource[Pool] = pg
    assert resource is pg
    if not TYPE_CHECKING:
        assert callable(results)
