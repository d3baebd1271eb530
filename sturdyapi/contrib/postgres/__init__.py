"""PostgreSQL by asyncpg: a pool that an app opens and closes, and connections for endpoints."""

from __future__ import annotations

from sturdyapi._extras import needs_extra

with needs_extra("sturdyapi.contrib.postgres", "postgres", package="asyncpg"):
    import asyncpg  # type: ignore[import-untyped]  # noqa: F401 - the modules below need it

from .adapter import Postgres
from .connection import Connection, Transaction
from .pool import Pool
from .rows import Row

__all__ = ["Connection", "Pool", "Postgres", "Row", "Transaction"]
