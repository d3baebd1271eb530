"""What a field takes, in words that need no knowledge of Python."""

from __future__ import annotations

import types
from collections.abc import Collection, Mapping
from dataclasses import dataclass, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic.fields import FieldInfo
from pydantic.types import PathType

from .dsn import Dsn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "Expected",
    "choices_of",
    "expectation_of",
    "inner_type",
    "is_choice_of_types",
    "is_list_of_scalars",
    "item_type",
    "kind_of",
    "model_in",
]


@dataclass(frozen=True, slots=True)
class Expected:
    """Says what a field takes where its type does not: `Annotated[str, Expected("a colour")]`."""

    words: str
    """Completes "expected …" in the report of a failing start."""


_KINDS: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    Decimal: "a number",
    str: "text",
    bytes: "text",
    SecretStr: "a secret",
    SecretBytes: "a secret",
    Dsn: "a URL such as postgresql://user:password@host/name",
    datetime: "a date and time such as 2026-01-31T12:00:00Z",
    date: "a date such as 2026-01-31",
    time: "a time such as 12:30",
    timedelta: "a duration in seconds, or such as PT1H30M",
    UUID: "a UUID",
    IPv4Address: "an IPv4 address",
    IPv6Address: "an IPv6 address",
    IPv4Network: "an IPv4 network such as 10.0.0.0/8",
    IPv6Network: "an IPv6 network",
    Path: "a path",
}

_PATH_TYPES = {
    "file": "the path of a file that exists",
    "dir": "the path of a directory that exists",
}


def expectation_of(field: FieldInfo) -> str:
    """Return what a field takes, with its limits: `a whole number from 1 to 65535`."""
    return kind_of(field.annotation, field.metadata)


def kind_of(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    """Return what a value of a type looks like: `a whole number`, `a list of numbers …`."""
    metadata = list(_flattened(metadata))
    for item in metadata:
        if isinstance(item, Expected):
            return item.words
        if isinstance(item, PathType):
            return _PATH_TYPES.get(item.path_type, "a path")
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        return kind_of(inner, [*more, *metadata])
    if _is_union(annotation):
        members = [arg for arg in get_args(annotation) if arg is not types.NoneType]
        return _either(dict.fromkeys(kind_of(member, metadata) for member in members))
    return _plain_kind(annotation) + _limits(annotation, metadata)


def _plain_kind(annotation: Any) -> str:
    if choices := choices_of(annotation):
        return _either(choices)
    if is_list_of_scalars(annotation):
        return f"a list separated by commas, each item {kind_of(item_type(annotation))}"
    origin = get_origin(annotation) or annotation
    is_class = isinstance(origin, type)
    return _kind_of_class(origin) if is_class else "a value that the field's type takes"


def _kind_of_class(origin: type) -> str:
    for base in origin.__mro__:
        if base in _KINDS:
            return _KINDS[base]
    if hasattr(origin, "unicode_string"):
        return "a URL"
    if issubclass(origin, BaseModel | Mapping) or is_dataclass(origin):
        return "a JSON object, or one variable for each of its fields"
    if issubclass(origin, Collection):
        return "a JSON array"
    return f"a value for {origin.__name__}"


def choices_of(annotation: Any) -> list[str]:
    """Return the values that an enumeration or a `Literal` allows; empty for any other type."""
    annotation = inner_type(annotation)
    if get_origin(annotation) is Literal:
        return [
            str(item.value if isinstance(item, Enum) else item) for item in get_args(annotation)
        ]
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return [str(member.value) for member in annotation]
    return []


def is_list_of_scalars(annotation: Any) -> bool:
    """Return whether a field can be written as `a,b`."""
    annotation = inner_type(annotation)
    origin = get_origin(annotation) or annotation
    if not isinstance(origin, type) or not issubclass(origin, Collection):
        return False
    if issubclass(origin, str | bytes | Mapping | BaseModel | Enum):
        return False
    item = inner_type(item_type(annotation))
    item_origin = get_origin(item) or item
    if not isinstance(item_origin, type) or issubclass(item_origin, str | bytes | Enum):
        return True
    return not (issubclass(item_origin, BaseModel | Collection) or is_dataclass(item_origin))


def inner_type(annotation: Any) -> Any:
    """Return a type without `Annotated` and without an optional `None`."""
    if get_origin(annotation) is Annotated:
        return inner_type(get_args(annotation)[0])
    if _is_union(annotation):
        members = [arg for arg in get_args(annotation) if arg is not types.NoneType]
        if len(members) == 1:
            return inner_type(members[0])
    return annotation


def is_choice_of_types(annotation: Any) -> bool:
    """Return whether a field takes values of several types, `None` aside."""
    return _is_union(inner_type(annotation))


def model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the nested model that a field holds, if it holds one."""
    model = inner_type(annotation)
    return model if isinstance(model, type) and issubclass(model, BaseModel) else None


def item_type(annotation: Any) -> Any:
    """Return the type of a list's items; text where it is not stated."""
    arguments = get_args(inner_type(annotation))
    return arguments[0] if arguments else str


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def _flattened(metadata: Iterable[Any]) -> Iterator[Any]:
    for item in metadata:
        if isinstance(item, FieldInfo):
            yield from _flattened(item.metadata)
        else:
            yield item


def _either(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def _limits(annotation: Any, metadata: list[Any]) -> str:
    limits = {
        name: getattr(item, name)
        for item in metadata
        for name in ("ge", "gt", "le", "lt", "min_length", "max_length")
        if getattr(item, name, None) is not None
    }
    unit = "items" if is_list_of_scalars(annotation) else "characters"
    return _range_of(limits) + _length_of(limits, unit)


def _range_of(limits: dict[str, Any]) -> str:
    if "ge" in limits and "le" in limits:
        return f" from {limits['ge']} to {limits['le']}"
    words = {"ge": "not less than", "gt": "greater than", "le": "not more than", "lt": "less than"}
    stated = [f"{words[name]} {limits[name]}" for name in words if name in limits]
    return f" {' and '.join(stated)}" if stated else ""


def _length_of(limits: dict[str, Any], unit: str) -> str:
    shortest, longest = limits.get("min_length"), limits.get("max_length")
    if shortest is not None and longest is not None:
        return f" of {shortest} to {longest} {unit}"
    if shortest is not None:
        return f" of at least {shortest} {unit}"
    return f" of at most {longest} {unit}" if longest is not None else ""
