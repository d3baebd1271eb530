"""Our wire rules for values that nothing describes: dicts, rows, documents and dataclasses.

What needs no change is returned as it is, the very same object, so that the common case costs one
look. Pydantic models, UUIDs, paths and the like are left to FastAPI's own encoder, which is next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from types import FunctionType, GeneratorType, ModuleType
from typing import Any, TypeAlias

from pydantic import BaseModel

from .rules import Instant, Number, loaded_class

__all__ = ["Encoder", "encode", "plain"]

Convert: TypeAlias = Callable[["Encoder", Any], Any]

_SCALARS = frozenset({str, int, float, bool, type(None)})
_LEFT_ALONE = (str, int, float, bytes, type(None), date, time, timedelta, BaseModel, type)
_WITHOUT_DATA = (FunctionType, ModuleType)
_SEQUENCES = (list, tuple, set, frozenset, deque, GeneratorType)


class Encoder:
    """Turns values into what JSON carries by our rules.

    Args:
        where: What the log calls the place the values go to, such as `GET /orders response`.
    """

    __slots__ = ("instant", "number")

    def __init__(self, where: str) -> None:
        self.number = Number(where)
        self.instant = Instant(where)

    def __call__(self, value: Any) -> Any:
        """Return `value` with every Decimal, datetime, ObjectId and row in it ready for JSON.

        Returns the same object if there is nothing to change in it.

        Raises:
            WireValueError: JSON has no form for a value in it.
            RecursionError: It contains itself.
        """
        kind = type(value)
        if kind in _SCALARS:
            return value
        convert = _converter(kind)
        return value if convert is None else convert(self, value)

    def key(self, value: Any) -> Any:
        """Return the key of a JSON object for the key of a dict; a Decimal keeps every digit."""
        if isinstance(value, Decimal):
            return str(value)
        return self(value)


encode = Encoder("a response without a model")
"""Encodes for a place that has no name of its own."""


def plain(value: Any) -> Any:
    """Return `value` with every asyncpg row in its lists and dicts turned into a dict.

    Returns the same object if there is none. Pydantic takes a dict where it refuses a row.
    """
    record = loaded_class("asyncpg", "Record")
    return value if record is None else _plain(value, record)


def _plain(value: Any, record: type[Any]) -> Any:
    if isinstance(value, record):
        return {key: _plain(item, record) for key, item in value.items()}
    if isinstance(value, dict):
        items = {key: _plain(item, record) for key, item in value.items()}
        return value if _same(items.values(), value.values()) else items
    if isinstance(value, list | tuple):
        members = [_plain(item, record) for item in value]
        return value if _same(members, value) else members
    return value


def _same(new: Any, old: Any) -> bool:
    return all(one is other for one, other in zip(new, old, strict=True))


def _number(encoder: Encoder, value: Any) -> float:
    return encoder.number.send(value)


def _instant(encoder: Encoder, value: Any) -> str:
    # The form that Pydantic prints, so that a value looks the same whichever way it goes out.
    in_utc: datetime = encoder.instant.send(value)
    return in_utc.isoformat().removesuffix("+00:00") + "Z"


def _decimal128(encoder: Encoder, value: Any) -> float:
    return encoder.number.send(value.to_decimal())


def _object_id(_encoder: Encoder, value: Any) -> str:
    return str(value)


def _enum(encoder: Encoder, value: Enum) -> Any:
    sent = encoder(value.value)
    return value if sent is value.value else sent


def _mapping(encoder: Encoder, value: Mapping[Any, Any]) -> Any:
    changed: dict[Any, Any] | None = None
    for key, item in value.items():
        if type(key) is not str and encoder.key(key) is not key:
            return {encoder.key(key): encoder(item) for key, item in value.items()}
        if type(item) in _SCALARS:
            continue
        sent = encoder(item)
        if sent is not item:
            if changed is None:
                changed = dict(value)
            changed[key] = sent
    return value if changed is None else changed


def _sequence(encoder: Encoder, value: Any) -> Any:
    members = [item if type(item) in _SCALARS else encoder(item) for item in value]
    # A generator is used up by now.
    if not isinstance(value, GeneratorType) and _same(members, value):
        return value
    return members


def _row(encoder: Encoder, value: Any) -> Any:
    return encoder(dict(value))


def _dataclass(encoder: Encoder, value: Any) -> Any:
    members = {field.name: getattr(value, field.name) for field in fields(value)}
    sent = encoder(members)
    return value if sent is members else sent


def _object(encoder: Encoder, value: Any) -> Any:
    # FastAPI sends the attributes of what it does not know, all but SQLAlchemy's own.
    try:
        attributes = vars(value)
    except TypeError:
        # It only claims to have some, as asyncpg's UUID does by way of another class.
        return value
    members = {key: item for key, item in attributes.items() if not key.startswith("_sa")}
    sent = encoder(members)
    return value if sent is members else sent


def _find_converter(kind: type[Any]) -> Convert | None:
    """Return what turns values of a class into what JSON carries; `None` to leave them alone."""
    for classes, convert in _CONVERTERS:
        if issubclass(kind, classes):
            return convert
    if is_dataclass(kind):
        return _dataclass
    for name, from_bson in _BSON_CONVERTERS.items():
        known = loaded_class("bson", name)
        if known is not None and issubclass(kind, known):
            return from_bson
    if hasattr(kind, "keys") and hasattr(kind, "__getitem__"):
        return _row
    has_attributes = bool(kind.__dictoffset__)
    return _object if has_attributes else None


_converter: Callable[..., Convert | None] = lru_cache(maxsize=1024)(_find_converter)

_CONVERTERS: list[tuple[Any, Convert | None]] = [
    (datetime, _instant),
    (Decimal, _number),
    (_LEFT_ALONE, None),
    (_WITHOUT_DATA, None),
    (Enum, _enum),
    (_SEQUENCES, _sequence),
    (Mapping, _mapping),
]

_BSON_CONVERTERS: dict[str, Convert] = {"ObjectId": _object_id, "Decimal128": _decimal128}
