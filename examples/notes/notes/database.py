"""The connection pool, and the tables."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from sturdyapi import ResourceContext, resource
from sturdyapi.contrib.postgres import Connection, Postgres

SCHEMA = """
create table if not exists users (
    id bigint generated always as identity primary key,
    name text not null,
    token_hash bytea not null unique
);
create table if not exists notes (
    id bigint generated always as identity primary key,
    owner_id bigint not null references users on delete cascade,
    title text not null,
    body text not null,
    price numeric(10, 2),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create index if not exists notes_by_owner on notes (owner_id, id);
"""

pg = Postgres(setting="database_url")
Db = Annotated[Connection, pg.connection]


@resource(needs=[pg])
async def schema(context: ResourceContext) -> AsyncIterator[None]:
    """Make the tables where there are none."""
    async with context[pg].acquire() as db, db.transaction():
        # Several workers start at once, and "if not exists" alone does not keep them apart.
        await db.execute("select pg_advisory_xact_lock(hashtext('notes.schema'))")
        await db.execute(SCHEMA)
    yield
