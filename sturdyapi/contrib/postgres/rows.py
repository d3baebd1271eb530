"""Rows, and the models that are made of them."""

# ruff: noqa: ASYNC109 - `timeout` is asyncpg's name, and its users know it.

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar, overload

import asyncpg  # type: ignore[import-untyped]
from pydantic import BaseModel, TypeAdapter
from pydantic_core import from_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .connection import Connection

__all__ = ["Row", "fetch_model", "fetch_models", "with_json"]

M = TypeVar("M", bound=BaseModel)

if TYPE_CHECKING:

    class Row(Mapping[str, Any]):
        """A row of a result: `row["name"]`, `row[0]`, `dict(row)`.

        Iterating gives the values, as with every `asyncpg.Record`.
        """

        @overload
        def __getitem__(self, key: str | int) -> Any: ...
        @overload
        def __getitem__(self, key: slice) -> tuple[Any, ...]: ...
        def __getitem__(self, key: str | int | slice) -> Any: ...
        def __iter__(self) -> Iterator[Any]: ...
        def __len__(self) -> int: ...

else:

    class Row(asyncpg.Record):
        """A row of a result: `row["name"]`, `row[0]`, `dict(row)`.

        Iterating gives the values, as with every `asyncpg.Record`.
        """

        __slots__ = ()

    # So that Pydantic takes it where it takes a dict.
    Mapping.register(Row)


async def fetch_model(
    connection: Connection, model: type[M], query: str, *args: object, timeout: float | None = None
) -> M | None:
    """Return the first row as a model, or `None` if there is none.

    Every value is validated. Columns are named like the fields, in `snake_case`; others are
    dropped.

    Raises:
        pydantic.ValidationError: The row does not fit the model.
    """
    row = await connection.fetchrow(query, *args, timeout=timeout)
    return None if row is None else model.model_validate(dict(row), by_name=True)


async def fetch_models(
    connection: Connection, model: type[M], query: str, *args: object, timeout: float | None = None
) -> list[M]:
    """Like `fetch_model`, but returns every row."""
    rows = await connection.fetch(query, *args, timeout=timeout)
    return _list_of(model).validate_python([dict(row) for row in rows], by_name=True)


async def with_json(connection: Any) -> None:
    """Let a new connection take and give `json` and `jsonb` as Python values; asks no server."""
    for name in ("json", "jsonb"):
        await connection.set_type_codec(
            name, schema="pg_catalog", encoder=_to_json, decoder=from_json, format="text"
        )


@lru_cache(maxsize=256)
def _list_of(model: type[M]) -> TypeAdapter[list[M]]:
    return TypeAdapter(list[model])  # type: ignore[valid-type]


def _to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
