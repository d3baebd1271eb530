"""OpenAPI agrees with the wire, in and out."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import bson
import jsonschema
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import (
    AwareDatetime,
    Field,
)

from sturdyapi.models import BaseModel, Money, ObjectId, UtcDatetime

from .wire_support import (
    DIGITS,
    EAST,
    NOON,
    TEN,
    TEN_UTC,
    Chain,
    Foreign,
    Line,
    Page,
    Pair,
    Point,
    Price,
    Priced,
    Tree,
    error_of,
    model_of,
    sent,
)

if TYPE_CHECKING:
    pass


Cases: TypeAlias = tuple[list[Any], list[Any]]


@dataclass
class Box:
    point: Point | None
    box: Box | None = None


@dataclass
class Plain:
    name: str


class Cat(BaseModel):
    kind: Literal["cat"]
    at: datetime


class Dog(BaseModel):
    kind: Literal["dog"]
    price: Decimal


# OpenAPI agrees with the wire

formats = jsonschema.FormatChecker(formats=())


@formats.checks("date-time")
def is_rfc3339(text: object) -> bool:
    """Tell whether a string is what OpenAPI calls a date-time."""
    form = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"
    return not isinstance(text, str) or re.fullmatch(form, text) is not None


class Echo:
    """An app with one route that takes a model and returns it."""

    def __init__(self, model: Any) -> None:
        app = FastAPI()

        async def echo(body: Any) -> Any:
            return body

        echo.__annotations__ = {"body": model, "return": model}
        app.post("/")(echo)
        self.client = TestClient(app)
        self.document = self.client.get("/openapi.json").json()
        operation = self.document["paths"]["/"]["post"]
        self.taken = operation["requestBody"]["content"]["application/json"]["schema"]
        self.shown = operation["responses"]["200"]["content"]["application/json"]["schema"]

    def is_described(self, body: Any, schema: Any) -> bool:
        """Tell whether a schema of the document allows a body."""
        whole = {**schema, "components": self.document["components"]}
        validator = jsonschema.Draft202012Validator(whole, format_checker=formats)
        return bool(validator.is_valid(body))


NUMBERS: Cases = (
    [1.5, 1, -2, "1.5", "1e3", ".5", 1e300],
    [True, None, "", " 1", "1_0", "x", "NaN", [], {}],
)
DIGITS_ONLY: Cases = (
    ["1.50", "-0.00", "1e3", "1e400", 5],
    [1.5, True, None, "", " 1", "1_0", "x", {}],
)
TIMES: Cases = (
    [NOON, "2026-01-31T12:00:00.5+02:00"],
    ["x", "", None, 0, 1.5, "0", "20260131", "-1", {}],
)
IDS: Cases = (
    [DIGITS, DIGITS.upper()],
    ["x", DIGITS + "0", DIGITS[:-1] + "g", 5, None, {"$ne": None}],
)


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        (Decimal, *NUMBERS),
        (Annotated[Decimal, Field(gt=0, le=10)], [1, 10.0, "1.5"], [0, 11, "x"]),
        (Price, *NUMBERS),
        (Money, *DIGITS_ONLY),
        (datetime, *TIMES),
        (UtcDatetime, TIMES[0], [*TIMES[1], "2026-01-31T12:00:00"]),
        (AwareDatetime, TIMES[0], [*TIMES[1], "2026-01-31T12:00:00"]),
        (ObjectId, *IDS),
        (bson.ObjectId, *IDS),
        (Decimal | None, [None, 1.5, "1.5"], [True, "x"]),
        (Decimal | bool, [True, 1.5, "1.5"], ["x", None]),
        (datetime | int, [NOON, 5], ["x", None]),
        (list[Decimal], [[], [1.5, "2"]], [["x"], 1.5, None]),
        (set[datetime], [[], [NOON]], [["x"], [0]]),
        (tuple[Decimal, datetime], [[1, NOON]], [[NOON, 1], [1]]),
        (deque[bson.ObjectId], [[DIGITS]], [["x"]]),
        (dict[str, Decimal], [{}, {"a": 1.5}], [{"a": "x"}, []]),
        (dict[Decimal, int], [{}, {"1.50": 1}], [{"x": 1}, {"1.50": "x"}]),
        (dict[datetime, int], [{NOON: 1}], [{"x": 1}, {"0": 1}]),
        (dict[bson.ObjectId, Decimal], [{DIGITS: 1.5}], [{"x": 1.5}, {DIGITS: "x"}]),
        (dict[str, list[dict[str, datetime]]], [{"a": [{"b": NOON}]}], [{"a": [{"b": 0}]}]),
        (Mapping[str, Sequence[Decimal]], [{"a": [1]}], [{"a": ["x"]}]),
        (list[bson.ObjectId | None], [[DIGITS, None]], [["x"]]),
        (Point, [{"price": 1.5, "at": NOON}], [{"price": 1.5}, {"price": "x", "at": NOON}]),
        (Box, [{"point": None, "box": {"point": {"price": 1, "at": NOON}}}], [{"point": 1}]),
        (Chain, [{"at": NOON, "next": {"at": TEN}}], [{"at": 0}, {"at": NOON, "next": {"at": 0}}]),
        (Priced, [{"price": "1.5"}], [{"price": None}]),
        (Pair, [[1.5, NOON]], [[NOON, 1.5]]),
        (Line, [{"unitPrice": 1.5, "shippedAt": NOON}], [{"unitPrice": 1.5, "shippedAt": 0}]),
        (list[Line], [[{"unitPrice": "1.5"}]], [[{"unitPrice": None}]]),
        (Tree, [{"at": NOON, "children": [{"at": TEN}]}], [{"at": NOON, "children": [{"at": 0}]}]),
        (Page[Decimal], [{"items": [1.5], "first": "2"}], [{"items": ["x"], "first": 2}]),
        (Foreign, [{"price": "1.5", "at": NOON}, {"price": 1}], [{"price": None}]),
        (
            Annotated[Cat | Dog, Field(discriminator="kind")],
            [{"kind": "cat", "at": NOON}, {"kind": "dog", "price": "1.5"}],
            [{"kind": "cat", "at": 0}, {"kind": "dog", "price": "x"}],
        ),
        (Any, [1.5, "x", None, [], {"a": NOON}], []),
    ],
    ids=str,
)
def test_openapi_says_what_is_taken_and_sent(
    annotation: Any, good: list[Any], bad: list[Any]
) -> None:
    """OpenAPI allows what a field takes and what it sends, and forbids what it refuses."""
    echo = Echo(model_of(annotation))
    for value in good:
        response = echo.client.post("/", json={"value": value})
        assert response.status_code == 200, (value, response.text)
        assert echo.is_described({"value": value}, echo.taken), value
        assert echo.is_described(response.json(), echo.shown), response.json()
    for value in bad:
        assert echo.client.post("/", json={"value": value}).status_code == 422, value
        assert not echo.is_described({"value": value}, echo.taken), value


@pytest.mark.parametrize(
    ("annotation", "value", "wrong"),
    [
        (Decimal, Decimal("1.50"), 1.5),
        (Decimal | None, Decimal("1.50"), 1.5),
        (list[Decimal], [Decimal("1.50")], [1.5]),
        (dict[str, Decimal], {"a": Decimal("1.50")}, {"a": 1.5}),
        (Point, Point(Decimal("1.50"), TEN_UTC), {"price": 1.5, "at": TEN}),
        (datetime, TEN_UTC, 0),
        (Any, Decimal("1.50"), None),
    ],
    ids=str,
)
@pytest.mark.parametrize("decimal_as", ["number", "string"])
def test_openapi_agrees_with_what_python_code_returns(
    annotation: Any, value: Any, wrong: Any, decimal_as: Literal["number", "string"]
) -> None:
    """OpenAPI describes what a model sends that Python code filled, in both forms of Decimal."""

    class Base(BaseModel, decimal_as=decimal_as):
        pass

    holder = model_of(annotation, base=Base)
    echo = Echo(holder)
    assert echo.is_described(sent(holder(value=value)), echo.shown)
    if wrong is not None:
        assert echo.is_described({"value": wrong}, echo.shown) == (
            decimal_as == "number" and wrong != 0
        )


class Numbers(BaseModel):
    point: Point
    plain: Plain


class Strings(BaseModel, decimal_as="string"):
    point: Point
    plain: Plain


class Both(BaseModel):
    numbers: Numbers
    strings: Strings


def test_a_dataclass_may_be_sent_in_two_forms() -> None:
    """OpenAPI has a dataclass once for each form that its Decimals are sent in."""
    echo = Echo(Both)
    part = {"point": {"price": "1.50", "at": NOON}, "plain": {"name": "x"}}
    body = echo.client.post("/", json={"numbers": part, "strings": part}).json()
    assert body["numbers"]["point"]["price"] == 1.5
    assert body["strings"]["point"]["price"] == "1.50"
    assert echo.is_described(body, echo.shown)
    assert not echo.is_described({**body, "strings": body["numbers"]}, echo.shown)


def test_a_dataclass_that_the_rules_do_not_touch_has_one_name() -> None:
    """A dataclass without Decimals and datetimes is the same in our models and outside of them."""
    app = FastAPI()

    @app.post("/")
    async def create(plain: Plain, numbers: Numbers) -> None:
        pass

    names = TestClient(app).get("/openapi.json").json()["components"]["schemas"]
    assert [name for name in names if "Plain" in name] == ["Plain"]


def test_the_limits_of_a_decimal_are_in_openapi() -> None:
    """The limits of a Decimal show in OpenAPI for what comes in and for what goes out."""
    holder = model_of(Annotated[Decimal, Field(ge=0, lt=100, max_digits=5, decimal_places=2)])
    limited = {"minimum": 0.0, "exclusiveMaximum": 100.0, "type": "number"}
    shown = holder.model_json_schema(mode="serialization")["properties"]["value"]
    assert shown == {**limited, "title": "Value"}
    taken = holder.model_json_schema()["properties"]["value"]["anyOf"]
    assert taken[0] == limited
    assert taken[1]["type"] == "string"
    for value, kind in [("-1", "greater_than_equal"), ("1.234", "decimal_max_places")]:
        assert error_of(holder, value)["type"] == kind


def test_defaults_show_in_openapi_as_they_are_sent() -> None:
    """A default is shown in the form it goes out in."""

    class Order(BaseModel):
        total: Decimal = Decimal("9.90")
        exact: Money = Decimal("9.90")
        at: datetime = EAST
        owner: ObjectId | None = None

    properties = Order.model_json_schema(mode="serialization")["properties"]
    defaults = {name: schema["default"] for name, schema in properties.items()}
    assert defaults == {"total": 9.9, "exact": "9.90", "at": TEN, "owner": None}
    assert sent(Order()) == defaults
