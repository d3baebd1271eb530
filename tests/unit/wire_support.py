"""What the tests of models and of their types on the wire share."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Generic, NamedTuple, TypeVar

import bson
import pydantic
import pytest
from pydantic import (
    Field,
    create_model,
)
from typing_extensions import TypeAliasType, TypedDict

from sturdyapi.models import BaseModel

DIGITS = "5f" * 12
EAST = datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=2)))
TEN_UTC = datetime(2026, 1, 31, 10, tzinfo=UTC)
NOON = "2026-01-31T12:00:00Z"
TEN = "2026-01-31T10:00:00Z"
T = TypeVar("T")
ID = bson.ObjectId(DIGITS)
NAIVE = datetime(2026, 1, 31, 12)  # noqa: DTZ001 - values without a zone are a subject here
LONG = Decimal("12345678901234567890.123")


@dataclass
class Point:
    price: Decimal
    at: datetime


@dataclass
class Chain:
    at: datetime
    next: Chain | None = None


class Priced(TypedDict):
    price: Decimal


class Pair(NamedTuple):
    price: Decimal
    at: datetime


class Foreign(pydantic.BaseModel):
    price: Decimal = Decimal("1.50")
    at: datetime = EAST


class Line(BaseModel):
    unit_price: Decimal
    shipped_at: datetime | None = None


class Tree(BaseModel):
    at: datetime
    children: list[Tree] = Field(default_factory=list)


class Page(BaseModel, Generic[T]):
    items: list[T]
    first: T


class Event(BaseModel):
    at: datetime
    price: Decimal = Decimal("9.99")


class Filters(BaseModel):
    min_total: Decimal | None = None
    created_after: datetime | None = None
    owner_id: bson.ObjectId | None = None


Price = TypeAliasType("Price", Decimal)


def model_of(annotation: Any, *, base: type[BaseModel] = BaseModel) -> Any:
    """Return one of our models with a single field `value`."""
    return create_model("Holder", __base__=base, value=(annotation, ...))


def sent(model: pydantic.BaseModel) -> Any:
    """Return what a model is on the wire, whichever of Pydantic's two ways it takes there."""
    text = json.loads(model.model_dump_json())
    assert model.model_dump(mode="json") == text
    return text


def error_of(model: Any, value: Any) -> Any:
    """Return the first error that a model has about its field `value`."""
    with pytest.raises(pydantic.ValidationError) as caught:
        model(value=value)
    return caught.value.errors()[0]
