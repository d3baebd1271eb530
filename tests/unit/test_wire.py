"""What goes over the wire when no model of ours describes it."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections import OrderedDict, UserDict, deque
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]
import bson
import pydantic
import pytest
from asyncpg.protocol.protocol import _create_record  # type: ignore[import-untyped]
from fastapi import FastAPI
from fastapi.encoders import jsonable_encoder
from fastapi.testclient import TestClient
from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import SchemaSerializer
from typing_extensions import TypedDict

from sturdyapi.exceptions import WireValueError
from sturdyapi.models import BaseModel
from sturdyapi.wire import Encoder, WireRules, apply_rules, encode, needs_rules, plain

if TYPE_CHECKING:
    from collections.abc import Callable

DIGITS = "5f" * 12
ID = bson.ObjectId(DIGITS)
NAIVE = datetime(2026, 1, 31, 12)  # noqa: DTZ001 - values without a zone are a subject here
EAST = datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=2)))
NOON = "2026-01-31T12:00:00Z"
TEN = "2026-01-31T10:00:00Z"


class Paint(Enum):
    RED = "red"
    PRICE = Decimal("1.5")


@dataclass
class Point:
    price: Decimal
    at: datetime
    next: Point | None = None


@dataclass
class Named:
    name: str


@pydantic.dataclasses.dataclass
class ForeignPoint:
    price: Decimal


class Priced(TypedDict):
    price: Decimal


class Pair(NamedTuple):
    price: Decimal
    at: datetime


class Foreign(pydantic.BaseModel):
    price: Decimal
    at: datetime


class Own(BaseModel):
    unit_price: Decimal


@pytest.fixture
def reports(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return a function that returns what has been reported so far."""
    caplog.set_level(logging.WARNING, logger="sturdyapi.wire")
    return lambda: [record.getMessage() for record in caplog.records]


def record(**columns: Any) -> Any:
    """Return a real row, which asyncpg only makes from what a server sends."""
    names = OrderedDict((name, index) for index, name in enumerate(columns))
    return _create_record(names, tuple(columns.values()))


# Values that nothing describes


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Decimal("19.99"), 19.99),
        (Decimal("5.000"), 5.0),
        (EAST, TEN),
        (datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC), "2026-01-31T12:00:00.000005Z"),
        (ID, DIGITS),
        (bson.Decimal128("1.5"), 1.5),
        ({"a": {"b": [Decimal("1.5")]}}, {"a": {"b": [1.5]}}),
        ({Decimal("1.50"): 1, EAST: 2, ID: 3}, {"1.50": 1, TEN: 2, DIGITS: 3}),
        ({1: Decimal("1.5"), "b": None}, {1: 1.5, "b": None}),
        ((1, Decimal("1.5")), [1, 1.5]),
        (Pair(Decimal("1.5"), EAST), [1.5, TEN]),
        ({Decimal("1.5")}, [1.5]),
        (frozenset({EAST}), [TEN]),
        (deque([ID]), [DIGITS]),
        ((x for x in [Decimal("1.5")]), [1.5]),
        (Point(Decimal("1.5"), EAST), {"price": 1.5, "at": TEN, "next": None}),
        (UserDict(a=EAST), {"a": TEN}),
        (SimpleNamespace(at=EAST, _sa_instance_state=object()), {"at": TEN}),
        (Paint.PRICE, 1.5),
        (record(id=1, total=Decimal("1.5"), tags=[EAST]), {"id": 1, "total": 1.5, "tags": [TEN]}),
        (
            {"_id": ID, "n": bson.Int64(5), "d": bson.Decimal128("2")},
            {"_id": DIGITS, "n": 5, "d": 2.0},
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_without_a_model_follow_the_rules_of_models(value: Any, expected: Any) -> None:
    """A dict, row, document or dataclass that an endpoint returns is sent like a model."""
    encoded = encode(value)
    assert encoded == expected
    assert json.dumps(jsonable_encoder(encoded)) == json.dumps(jsonable_encoder(expected))


@pytest.mark.parametrize(
    "value",
    [
        "text",
        5,
        True,
        None,
        b"bytes",
        date(2026, 1, 31),
        UUID(int=1),
        Paint.RED,
        {"id": 1, "name": "x", "nested": {"ok": True, "many": [1, 2, (3,)]}},
        [Own(unit_price=Decimal("1.5"))],
        Foreign(price=Decimal("1.5"), at=EAST),
        SimpleNamespace(a=1),
        Named("x"),
        {1, 2},
        {1: 2},
        object(),
        int,
        encode,
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_that_needs_no_change_is_the_same_object(value: Any) -> None:
    """What JSON carries already, or what FastAPI knows how to encode, is not copied."""
    assert encode(value) is value


def test_an_encoded_value_leaves_the_original_alone() -> None:
    """An endpoint's own dict is not changed by sending it."""
    value = {"rows": [{"total": Decimal("1.5")}], "same": {"a": 1}}
    encoded = encode(value)
    assert value["rows"] == [{"total": Decimal("1.5")}]
    assert encoded["same"] is value["same"]


@pytest.mark.parametrize("number", ["1e400", "-1e400", "NaN", "sNaN", "Infinity"])
def test_a_decimal_that_json_has_no_form_for_is_an_error(number: str) -> None:
    """A Decimal beyond a double is an error and never `null`."""
    with pytest.raises(WireValueError) as caught:
        encode({"total": Decimal(number)})
    assert "400" not in str(caught.value)


def test_a_datetime_that_leaves_the_calendar_is_an_error() -> None:
    """A datetime that has no form in UTC is an error that says so."""
    with pytest.raises(WireValueError, match="years 1 to 9999"):
        encode(datetime(1, 1, 1, tzinfo=EAST.tzinfo))


@pytest.mark.parametrize("make", [list, dict, SimpleNamespace], ids=["list", "dict", "o"])
def test_a_value_that_contains_itself_ends_in_an_error(make: Callable[[], Any]) -> None:
    """A cycle is a RecursionError, as it is in FastAPI, and not a hung request."""
    value = make()
    match value:
        case list():
            value.append(value)
        case dict():
            value["self"] = value
        case _:
            value.self = value
    with pytest.raises(RecursionError):
        encode(value)


def test_lost_digits_are_reported_once(reports: Callable[[], list[str]]) -> None:
    """A Decimal that a double can't hold goes out as the nearest one, reported once a place."""
    long = Decimal("12345678901234567890.123")
    encoder = Encoder("GET /orders response")
    assert [encoder(long) for _ in range(3)] == [float(long)] * 3
    (report,) = reports()
    assert report.startswith("GET /orders response: ")
    assert "Money" in report
    assert "1234" not in report


def test_a_naive_datetime_is_taken_as_utc_and_reported_once(
    reports: Callable[[], list[str]],
) -> None:
    """A datetime without a zone, as BSON returns them, goes out in UTC, reported once a place."""
    encoder = Encoder("GET /documents response")
    assert [encoder({"at": NAIVE}) for _ in range(3)] == [{"at": NOON}] * 3
    (report,) = reports()
    assert "without a zone" in report


def test_a_number_of_at_most_fifteen_digits_is_not_reported(
    reports: Callable[[], list[str]],
) -> None:
    """What a JSON number carries exactly is no loss, however it is written."""
    for text in ["123456789012.345", "0.10000000000000000000", "1e300", "-0", "0E-500"]:
        assert encode(Decimal(text)) == float(text)
    assert encode(Decimal("0.30000000000000004")) == 0.30000000000000004
    assert reports() == []


def test_the_core_does_not_import_optional_drivers() -> None:
    """Rows and documents are recognised without importing asyncpg or pymongo."""
    code = (
        "import sys; from sturdyapi.models import *; from sturdyapi.wire import *;"
        "encode({'a': [object()]}); plain([{}]); needs_rules(list[int]);"
        "print({'asyncpg', 'bson', 'pymongo'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# asyncpg rows and response models


def test_rows_become_dicts_for_a_response_model() -> None:
    """Pydantic refuses a row but takes the dict that is made of it, however deep it is."""
    rows = {"items": [record(id=1, child=record(id=2)), (record(id=3),)]}
    assert plain(rows) == {"items": [{"id": 1, "child": {"id": 2}}, [{"id": 3}]]}
    assert isinstance(rows["items"][0], asyncpg.Record)


@pytest.mark.parametrize("value", [5, "x", [1, (2,)], {"a": [{}]}, {1, 2}])
def test_a_value_without_rows_is_the_same_object(value: Any) -> None:
    """What holds no row is not copied before it is validated again."""
    assert plain(value) is value


# Response annotations that are not models


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (list[datetime], [EAST], [TEN]),
        (dict[str, Decimal], {"a": Decimal("1.50")}, {"a": 1.5}),
        (Point, Point(Decimal(1), EAST, Point(Decimal(2), EAST)), None),
        (list[Point], [{"price": "1.5", "at": TEN}], [{"price": 1.5, "at": TEN, "next": None}]),
        (Priced, {"price": Decimal("1.5")}, {"price": 1.5}),
        (Pair, Pair(Decimal("1.5"), EAST), [1.5, TEN]),
        (datetime | None, EAST, TEN),
        (Decimal | str, Decimal("1.5"), 1.5),
        (Decimal | str, "1.5", "1.5"),
        (dict[str, bson.ObjectId], {"a": ID}, {"a": DIGITS}),
        (bson.ObjectId | None, ID, DIGITS),
        (dict, {EAST: Decimal("1.5")}, {TEN: 1.5}),
        (list, [EAST, ID], [TEN, DIGITS]),
        (dict[str, Any], {"a": [ID]}, {"a": [DIGITS]}),
        (tuple[Own, datetime], (Own(unit_price=Decimal(1)), EAST), [{"unitPrice": 1.0}, TEN]),
        (list[asyncpg.Record], [record(id=ID)], [{"id": DIGITS}]),
    ],
    ids=str,
)
def test_response_types_that_are_no_models_follow_the_rules(
    annotation: Any, value: Any, expected: Any
) -> None:
    """A response annotation such as `list[datetime]` is sent like the same field of a model."""
    adapter = TypeAdapter(Annotated[annotation, WireRules(where="GET /x response")])
    if expected is None:
        child = {"price": 2.0, "at": TEN, "next": None}
        expected = {"price": 1.0, "at": TEN, "next": child}
    valid = adapter.validate_python(value)
    assert json.loads(adapter.dump_json(valid)) == expected
    assert adapter.dump_python(valid, mode="json") == expected


def test_openapi_of_a_response_type_says_what_is_sent() -> None:
    """OpenAPI names a dataclass once and gives its Decimals as numbers if that is how they go."""
    app = FastAPI()

    @app.get("/")
    async def read() -> Annotated[list[Point], WireRules(where="GET / response")]:
        return [Point(Decimal("1.5"), EAST)]

    with TestClient(app) as client:
        (schema,) = client.get("/openapi.json").json()["components"]["schemas"].values()
        assert client.get("/").json() == [{"price": 1.5, "at": TEN, "next": None}]
    assert schema["title"] == "Point"
    assert schema["properties"]["price"] == {"type": "number", "title": "Price"}


def test_the_same_dataclass_elsewhere_stays_as_it_was() -> None:
    """A dataclass under our rules in one place is FastAPI's own in another."""
    TypeAdapter(Annotated[Point, WireRules(where="GET / response")])
    value = Point(Decimal("1.50"), EAST)
    assert TypeAdapter(Point).dump_python(value, mode="json")["price"] == "1.50"


def test_foreign_models_keep_their_own_rules() -> None:
    """A Pydantic model that is not ours is sent as Pydantic sends it, wherever it is."""
    adapter: TypeAdapter[Any] = TypeAdapter(
        Annotated[list[Foreign | ForeignPoint | datetime], WireRules(where="GET / response")]
    )
    value = [Foreign(price=Decimal("1.50"), at=EAST), ForeignPoint(Decimal("2.50")), EAST]
    assert adapter.dump_python(value, mode="json") == [
        {"price": "1.50", "at": "2026-01-31T12:00:00+02:00"},
        {"price": "2.50"},
        TEN,
    ]


def test_rules_are_applied_to_a_finished_schema_too() -> None:
    """A core schema that Pydantic is done with gets the rules without being changed itself."""
    schema = TypeAdapter(tuple[Point, Own, Foreign, ForeignPoint]).core_schema
    before = repr(schema)
    ruled = apply_rules(schema, decimal_as="string", where="a queue")
    price = Decimal("1.50")
    value = (
        Point(price, EAST),
        Own(unit_price=price),
        Foreign(price=price, at=EAST),
        ForeignPoint(price),
    )
    assert json.loads(SchemaSerializer(ruled).to_json(value)) == [
        {"price": "1.50", "at": TEN, "next": None},
        {"unitPrice": 1.5},
        {"price": "1.50", "at": "2026-01-31T12:00:00+02:00"},
        {"price": "1.50"},
    ]
    assert repr(schema) == before


def test_the_json_schema_of_a_foreign_model_stays() -> None:
    """What OpenAPI says of foreign models is what Pydantic says of them."""
    foreign = TypeAdapter(tuple[Foreign, ForeignPoint])
    ruled = GenerateJsonSchema().generate(apply_rules(foreign.core_schema, where="a queue"))
    assert ruled == foreign.json_schema()


@pytest.mark.parametrize(
    "annotation",
    [
        Decimal,
        datetime,
        bson.ObjectId,
        asyncpg.Record,
        Any,
        object,
        dict,
        list,
        tuple,
        dict[str, Any],
        list[datetime | None],
        Annotated[Decimal, "text"],
        Point,
        list[Point],
        Priced,
        Pair,
        pydantic.AwareDatetime,
        "Forward",
    ],
    ids=str,
)
def test_types_that_may_hold_something_for_the_rules_are_found(annotation: Any) -> None:
    """A response type that may hold a Decimal, a datetime or anything at all gets the rules."""
    assert needs_rules(annotation)


@pytest.mark.parametrize(
    "annotation",
    [
        str,
        int,
        bool,
        bytes,
        None,
        UUID,
        date,
        Paint,
        Own,
        Foreign,
        ForeignPoint,
        list[Own],
        dict[str, list[Own | None]],
        Own | None,
        tuple[int, ...],
        Literal["a", 1],
        Annotated[str, "text"],
    ],
    ids=str,
)
def test_ordinary_response_types_are_left_alone(annotation: Any) -> None:
    """A route that returns models or plain values stays as FastAPI made it."""
    assert not needs_rules(annotation)
