"""The base model and the types that travel exactly."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import re
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, NamedTuple, TypeAlias, TypeVar

import bson
import jsonschema
import pydantic
import pytest
from fastapi import FastAPI, Query
from fastapi.testclient import TestClient
from pydantic import (
    AfterValidator,
    AliasChoices,
    AwareDatetime,
    BeforeValidator,
    ConfigDict,
    Field,
    FutureDatetime,
    NaiveDatetime,
    PastDatetime,
    PlainSerializer,
    PlainValidator,
    PydanticUserError,
    RootModel,
    TypeAdapter,
    WrapSerializer,
    computed_field,
    create_model,
    field_serializer,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticSerializationError
from typing_extensions import TypeAliasType, TypedDict

from sturdyapi.exceptions import FieldCollisionError, MissingExtraError, WireValueError
from sturdyapi.models import BaseModel, Money, ObjectId, UtcDatetime

if TYPE_CHECKING:
    from collections.abc import Callable

DIGITS = "5f" * 12
ID = bson.ObjectId(DIGITS)
NAIVE = datetime(2026, 1, 31, 12)  # noqa: DTZ001 - values without a zone are a subject here
EAST = datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=2)))
TEN_UTC = datetime(2026, 1, 31, 10, tzinfo=UTC)
NOON = "2026-01-31T12:00:00Z"
TEN = "2026-01-31T10:00:00Z"
LONG = Decimal("12345678901234567890.123")

T = TypeVar("T")
Cases: TypeAlias = tuple[list[Any], list[Any]]


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


class Cat(BaseModel):
    kind: Literal["cat"]
    at: datetime


class Dog(BaseModel):
    kind: Literal["dog"]
    price: Decimal


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


@pytest.fixture
def reports(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return a function that returns what has been reported so far."""
    caplog.set_level(logging.WARNING, logger="sturdyapi.wire")
    return lambda: [record.getMessage() for record in caplog.records]


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
        (dict[str, list[dict[str, datetime]]], [{"a": [{"b": NOON}]}], [{"a": [{"b": 0}]}]),
        (Mapping[str, Sequence[Decimal]], [{"a": [1]}], [{"a": ["x"]}]),
        (list[bson.ObjectId | None], [[DIGITS, None]], [["x"]]),
        (Point, [{"price": 1.5, "at": NOON}], [{"price": 1.5}, {"price": "x", "at": NOON}]),
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


# Decimals


def test_a_decimal_is_a_json_number_whether_a_model_describes_it_or_not() -> None:
    """A Decimal is the same JSON number in a field, in `Any` and in an extra."""

    class Order(BaseModel):
        model_config = ConfigDict(extra="allow")
        total: Decimal
        other: Any

    order = Order(total=Decimal("19.99"), other=Decimal("19.99"), more=Decimal("19.99"))
    assert order.model_dump_json() == '{"total":19.99,"other":19.99,"more":19.99}'
    assert sent(order) == {"total": 19.99, "other": 19.99, "more": 19.99}


def test_python_code_keeps_its_decimals_and_datetimes() -> None:
    """Only JSON gets numbers and strings: a dump for Python keeps the types."""
    event = Event(at=EAST, price=Decimal("1.50"))
    assert event.model_dump() == {"at": TEN_UTC, "price": Decimal("1.50")}


def test_lost_digits_are_reported_once_a_field(reports: Callable[[], list[str]]) -> None:
    """A Decimal with more digits than a double carries is reported once, by field, naming Money."""

    class Order(BaseModel):
        total: Decimal
        others: list[Decimal]

    for _ in range(3):
        order = Order(total=LONG, others=[LONG])
        assert sent(order) == {"total": float(LONG), "others": [float(LONG)]}
    assert [report.split(":")[0] for report in reports()] == ["Order.total", "Order.others"]
    assert all("Money" in report and "1234" not in report for report in reports())


@pytest.mark.parametrize("text", ["0.1", "123456789012.345", "1e300", "0.30000000000000004"])
def test_what_a_double_carries_is_not_reported(text: str, reports: Callable[[], list[str]]) -> None:
    """A Decimal that the JSON number carries digit for digit is no loss."""
    assert sent(model_of(Decimal)(value=text)) == {"value": float(text)}
    assert reports() == []


@pytest.mark.parametrize("value", ["1e400", -(10**400), Decimal("1e309")])
def test_input_beyond_a_double_is_the_clients_fault(value: Any) -> None:
    """A number that no JSON number could return is refused when it comes in."""
    error = error_of(model_of(Decimal), value)
    assert error["type"] == "decimal_range"
    assert "4" not in error["msg"]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-inf", float("nan"), Decimal("sNaN")])
@pytest.mark.parametrize(
    "annotation", [Decimal, Money, Annotated[Decimal, Field(allow_inf_nan=True)]]
)
def test_nan_and_infinity_are_refused(annotation: Any, value: Any) -> None:
    """NaN and infinity are refused, since JSON has no form for them."""
    error_of(model_of(annotation), value)


def test_a_decimal_beyond_a_double_is_never_sent_as_null() -> None:
    """A Decimal that skipped validation and no double can hold is an error, not `null`."""
    holder = model_of(list[Decimal])(value=[1])
    holder.value.append(Decimal("1e400"))
    with pytest.raises(PydanticSerializationError, match=r"Holder\.value.*Money"):
        holder.model_dump_json()
    for past_validation in (
        lambda: Event.model_construct(at=EAST, price=Decimal("1e400")),
        lambda: Event(at=EAST).model_copy(update={"price": Decimal("NaN")}),
        lambda: setattr(Event(at=EAST), "price", Decimal("-Infinity")),
    ):
        with pytest.raises(WireValueError, match=r"Event\.price.*Money"):
            past_validation()


def test_mongodb_decimals_are_taken() -> None:
    """A document's `Decimal128` is a Decimal to a model."""
    assert sent(model_of(Decimal)(value=bson.Decimal128("1.5"))) == {"value": 1.5}
    assert sent(model_of(Money)(value=bson.Decimal128("1.50"))) == {"value": "1.50"}


def test_money_keeps_every_digit() -> None:
    """Money goes out as the string that came in, however many digits it has."""
    holder = model_of(Money)
    for text in ["19.90", "12345678901234567890.123456789", "-0.00", "1E+3"]:
        assert sent(holder(value=text)) == {"value": text}
    assert sent(holder(value=7)) == {"value": "7"}


@pytest.mark.parametrize("literal", ["19.99", "12345678901234567890.123456789", "1e16"])
def test_money_refuses_numbers_that_may_have_lost_digits(literal: str) -> None:
    """A JSON number with a fraction or beyond 2**53 is no Money: what it lost can't be seen."""
    headers = {"content-type": "application/json"}
    client = Echo(model_of(Money)).client
    response = client.post("/", content=f'{{"value": {literal}}}', headers=headers)
    assert response.status_code == 422
    assert "string" in response.json()["detail"][0]["msg"]


def test_money_holds_its_limits() -> None:
    """Limits can be put on Money like on a Decimal."""
    holder = model_of(Annotated[Money, Field(gt=0, max_digits=4)])
    assert sent(holder(value="19.90")) == {"value": "19.90"}
    for value in ("0", "12345"):
        error_of(holder, value)


def test_a_class_can_send_all_its_decimals_as_strings() -> None:
    """`decimal_as="string"` holds for every Decimal of a class and of the classes under it."""

    class Invoice(BaseModel, decimal_as="string"):
        total: Decimal
        parts: dict[str, list[Decimal]] = Field(default_factory=dict)
        point: Point | None = None

    class Paid(Invoice):
        fee: Decimal = Decimal("0.10")

    paid = Paid(total="1.50", parts={"a": ["2.50"]}, point={"price": "3.50", "at": NOON})
    assert sent(paid) == {
        "total": "1.50",
        "parts": {"a": ["2.50"]},
        "point": {"price": "3.50", "at": NOON},
        "fee": "0.10",
    }
    assert sent(Line(unit_price=Decimal("1.50")))["unitPrice"] == 1.5


def test_an_unknown_form_of_decimals_is_refused() -> None:
    """A typo in `decimal_as` is an error of the class."""
    with pytest.raises(ValueError, match="expected one of"):
        type("Invoice", (BaseModel,), {"__module__": __name__}, decimal_as="text")


# Datetimes


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (EAST, TEN),
        (TEN_UTC, TEN),
        (NAIVE, NOON),
        (NAIVE.date(), "2026-01-31T00:00:00Z"),
        ("2026-01-31T12:00:00Z", NOON),
        ("2026-01-31T12:00:00.25Z", "2026-01-31T12:00:00.250000Z"),
        ("2026-01-31T12:00:00.1234567Z", "2026-01-31T12:00:00.123456Z"),
        ("2026-01-31T12:00:00-02:00", "2026-01-31T14:00:00Z"),
        ("2026-01-31T12:00:00", NOON),
        ("2026-01-31 12:00", NOON),
        ("2026-01-31", "2026-01-31T00:00:00Z"),
    ],
    ids=str,
)
def test_a_datetime_is_in_utc_from_validation_on(value: Any, expected: str) -> None:
    """Whatever zone a datetime comes in with, it is UTC in Python and ends in `Z` when sent."""
    holder = model_of(datetime)(value=value)
    assert holder.value.tzinfo is UTC
    assert sent(holder) == {"value": expected}


@pytest.mark.parametrize(
    "value",
    [
        0,
        1.5,
        True,
        "0",
        "1700000000000",
        "-1",
        "20260131",
        "1.5",
        "\N{FULLWIDTH DIGIT TWO}026",
        b"0",
        "",
        "2026",
        "2026-",
    ],
)
def test_numbers_are_no_datetimes(value: Any) -> None:
    """A number is not taken for seconds since 1970, nor is a string of digits."""
    assert "1970" not in error_of(model_of(datetime), value)["msg"]


def test_a_wrong_datetime_is_explained() -> None:
    """The message says what is wrong with a datetime and does not repeat it."""
    holder = model_of(datetime)
    assert "month value" in error_of(holder, "2026-13-31T12:00:00Z")["msg"]
    assert "2026-01-31T12:00:00Z" in error_of(holder, "0")["msg"]
    assert "years 1 to 9999" in error_of(holder, "0001-01-01T00:00:00+05:00")["msg"]
    assert "years 1 to 9999" in error_of(holder, "9999-12-31T23:00:00-05:00")["msg"]


def test_a_naive_datetime_is_reported_once_a_field(reports: Callable[[], list[str]]) -> None:
    """A datetime without a zone is taken as UTC and reported once, by field."""

    class Order(BaseModel):
        created_at: datetime
        seen: list[datetime]

    for _ in range(3):
        assert sent(Order(created_at=NAIVE, seen=[NAIVE])) == {"createdAt": NOON, "seen": [NOON]}
    assert [report.split(":")[0] for report in reports()] == ["Order.created_at", "Order.seen"]
    assert "UtcDatetime" in reports()[0]


def test_an_aware_datetime_is_not_reported(reports: Callable[[], list[str]]) -> None:
    """A datetime with a zone is converted without a word."""
    sent(model_of(datetime)(value=EAST))
    assert reports() == []


def test_utc_datetime_refuses_naive_input() -> None:
    """`UtcDatetime` takes no datetime without a zone."""
    assert sent(model_of(UtcDatetime)(value=EAST)) == {"value": TEN}
    for value in (NAIVE, "2026-01-31T12:00:00", "2026-01-31"):
        assert error_of(model_of(UtcDatetime), value)["type"] == "timezone_aware"


def test_naive_datetimes_are_left_alone_on_request(reports: Callable[[], list[str]]) -> None:
    """`NaiveDatetime` stays without a zone and is not reported."""
    holder = model_of(NaiveDatetime)
    assert sent(holder(value=NAIVE)) == {"value": "2026-01-31T12:00:00"}
    assert error_of(holder, EAST)["type"] == "timezone_naive"
    assert reports() == []


def test_pydantics_kinds_of_datetimes_still_check() -> None:
    """`AwareDatetime`, `PastDatetime` and `FutureDatetime` check what they always did."""
    assert sent(model_of(AwareDatetime)(value=EAST)) == {"value": TEN}
    assert error_of(model_of(AwareDatetime), NAIVE)["type"] == "timezone_aware"
    assert error_of(model_of(FutureDatetime), "2000-01-01")["type"] == "datetime_future"
    assert error_of(model_of(PastDatetime), "9000-01-01")["type"] == "datetime_past"
    assert sent(model_of(PastDatetime)(value="2000-01-01T02:00:00+02:00"))["value"].endswith("0Z")


@pytest.mark.parametrize(
    "change",
    [
        lambda event: setattr(event, "at", NAIVE),
        lambda event: event.model_copy(update={"at": NAIVE}),
        lambda event: event.model_copy(update={"at": NAIVE}, deep=True),
        lambda event: type(event).model_construct(at=NAIVE),
        lambda event: type(event)(at=event.at).__setstate__(event.__getstate__()),
    ],
)
def test_a_datetime_set_past_validation_is_sent_in_utc(change: Callable[[Any], Any]) -> None:
    """An instance that was changed or made without validation is sent as OpenAPI says."""
    event = Event(at=NOON)
    assert sent(change(event) or event)["at"] == NOON


def test_values_in_containers_may_change_later() -> None:
    """What code adds to a list, dict or dataclass of a model is sent as OpenAPI says."""

    class Order(BaseModel):
        times: list[datetime]
        prices: dict[str, Decimal]
        point: Point

    order = Order(times=[NOON], prices={}, point={"price": 1, "at": NOON})
    order.times.append(EAST)
    order.prices["a"] = Decimal("1.50")
    order.point.at = EAST
    assert sent(order) == {
        "times": [NOON, TEN],
        "prices": {"a": 1.5},
        "point": {"price": 1.0, "at": TEN},
    }


@pytest.mark.filterwarnings("default:datetime.datetime.utcnow:DeprecationWarning")
def test_defaults_are_in_utc_too() -> None:
    """A default that is naive, or comes from a factory, is in UTC although nothing validates it."""

    class Order(BaseModel):
        created_at: datetime = Field(default_factory=lambda: NAIVE)
        updated_at: datetime = EAST
        copied_at: datetime = Field(default_factory=lambda data: data["created_at"])
        deleted_at: datetime | None = None

    order = Order()
    assert order.created_at.tzinfo is UTC
    assert sent(order) == {
        "createdAt": NOON,
        "updatedAt": TEN,
        "copiedAt": NOON,
        "deletedAt": None,
    }


def test_a_validator_can_not_take_the_zone_away() -> None:
    """What a validator of the user's makes of a datetime is still sent in UTC."""
    stripped = Annotated[datetime, AfterValidator(lambda value: value.replace(tzinfo=None))]

    class Order(BaseModel):
        a: stripped  # type: ignore[valid-type]
        b: Annotated[datetime, PlainValidator(lambda _value: NAIVE)]
        c: datetime = EAST

        @model_validator(mode="after")
        def strip(self) -> Order:
            self.c = NAIVE
            return self

    assert sent(Order(a=NOON, b=NOON)) == {"a": NOON, "b": NOON, "c": NOON}


def test_validated_assignment_raises_pydantics_error() -> None:
    """With `validate_assignment`, Pydantic has the word on what may be assigned."""

    class Order(BaseModel):
        model_config = ConfigDict(validate_assignment=True)
        total: Decimal
        at: datetime = EAST

    order = Order(total=1)
    with pytest.raises(pydantic.ValidationError):
        order.total = Decimal("1e400")
    order.at = NAIVE
    assert sent(order) == {"total": 1.0, "at": NOON}


# ObjectIds


def test_an_object_id_is_a_bson_object_id_in_python() -> None:
    """`ObjectId` makes and recognises `bson.ObjectId`, and a field holds one."""
    text: object = DIGITS
    assert isinstance(ObjectId(), bson.ObjectId)
    assert isinstance(ID, ObjectId)
    assert not isinstance(text, ObjectId)
    assert issubclass(bson.ObjectId, ObjectId)
    assert ObjectId.is_valid(DIGITS)
    assert type(model_of(ObjectId)(value=DIGITS).value) is bson.ObjectId


@pytest.mark.parametrize(
    "annotation",
    [
        bson.ObjectId,
        ObjectId,
        bson.ObjectId | None,
        Annotated[bson.ObjectId, Field(description="key")],
    ],
    ids=str,
)
def test_plain_object_ids_need_no_arbitrary_types(annotation: Any) -> None:
    """A field annotated with plain `bson.ObjectId` takes and sends 24 hexadecimal digits."""
    holder = model_of(annotation)
    assert holder(value=DIGITS) == holder(value=ID)
    assert sent(holder(value=ID)) == {"value": DIGITS}


def test_object_ids_are_found_inside_of_types() -> None:
    """Plain `bson.ObjectId` works as item, key, member of a union and argument of a generic."""

    class Group(BaseModel):
        members: list[bson.ObjectId]
        by_id: dict[bson.ObjectId, dict[str, tuple[bson.ObjectId, ...]]]
        page: Page[bson.ObjectId]

    page = {"items": [DIGITS], "first": DIGITS}
    group = Group(members=[DIGITS], by_id={DIGITS: {"a": [DIGITS]}}, page=page)
    assert group.by_id == {ID: {"a": (ID,)}}
    assert sent(group) == {
        "members": [DIGITS],
        "byId": {DIGITS: {"a": [DIGITS]}},
        "page": page,
    }


@pytest.mark.parametrize(
    "value", [{"$ne": None}, "x", DIGITS + "\n", DIGITS.encode(), 5, None, b"\0" * 12]
)
def test_anything_else_is_no_object_id(value: Any) -> None:
    """An operator of a MongoDB query is refused like everything that is not 24 digits."""
    error = error_of(model_of(bson.ObjectId), value)
    assert error["type"] == "object_id"
    assert "$ne" not in error["msg"]


def test_an_unknown_class_is_still_refused() -> None:
    """Only ObjectIds are known: another unknown class is the error that Pydantic makes of it."""
    with pytest.raises(PydanticUserError, match="Unknown"):
        model_of(type("Unknown", (), {}))


def test_object_ids_are_parameters() -> None:
    """`ObjectId` can be a path parameter, a query parameter and a field of a query model."""
    app = FastAPI()

    @app.get("/{key}")
    async def read(key: ObjectId, filters: Annotated[Filters, Query()]) -> list[bool]:
        return [isinstance(key, bson.ObjectId), filters.owner_id == ID]

    client = TestClient(app)
    assert client.get(f"/{DIGITS}?ownerId={DIGITS}").json() == [True, True]
    assert client.get(f"/{DIGITS}?owner_id={DIGITS}").json() == [True, True]
    assert client.get("/x").status_code == 422
    parameters = client.get("/openapi.json").json()["paths"]["/{key}"]["get"]["parameters"]
    assert parameters[0]["schema"]["pattern"] == "^[0-9a-fA-F]{24}$"


def test_without_pymongo_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Using ObjectId without pymongo is an error that names the extra to install."""
    monkeypatch.setitem(sys.modules, "bson", None)
    for use in (lambda: model_of(ObjectId), ObjectId, lambda: ObjectId.is_valid("")):
        with pytest.raises(MissingExtraError, match=r"sturdyapi\[mongo\]"):
            use()


def test_models_need_no_pymongo() -> None:
    """The module can be imported and used where pymongo is not installed."""
    code = (
        "import sys; sys.modules['bson'] = None;"
        "from sturdyapi.models import *; from datetime import datetime;"
        "M = type('M', (BaseModel,), {'__annotations__': {'at': datetime | None}});"
        "print(M(at='2026-01-31').model_dump_json())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"at": "2026-01-31T00:00:00Z"}


# Names


def test_fields_are_camel_case_on_the_wire() -> None:
    """Every way out of a model is camelCase, and it takes both names in."""

    class Item(BaseModel):
        item_2_id: int
        ip_v4: str
        is_2fa: bool

    expected = {"item2Id": 1, "ipV4": "x", "is2Fa": True}
    for given in (expected, {"item_2_id": 1, "ip_v4": "x", "is_2fa": True}):
        item = Item(**given)  # type: ignore[arg-type]
        assert item.model_dump() == expected
        assert sent(item) == expected
    assert item.model_dump(by_alias=False) == {"item_2_id": 1, "ip_v4": "x", "is_2fa": True}


def test_a_query_model_takes_both_names() -> None:
    """A query parameter of a model can be given in camelCase and in snake_case."""
    app = FastAPI()

    @app.get("/")
    async def read(filters: Annotated[Filters, Query()]) -> Filters:
        return filters

    client = TestClient(app)
    expected = {"minTotal": 1.5, "createdAfter": NOON, "ownerId": None}
    assert client.get("/", params={"min_total": "1.5", "created_after": NOON}).json() == expected
    assert client.get("/", params={"minTotal": "1.5", "createdAfter": NOON}).json() == expected
    assert client.get("/", params={"createdAfter": "0"}).status_code == 422


def test_attributes_are_taken() -> None:
    """A model takes the attributes of an object, nested ones included."""

    class Order(BaseModel):
        lines: list[Line]

    order = Order.model_validate(Order(lines=[Line(unit_price=Decimal(1))]), strict=False)
    assert Line.model_validate(pydantic.create_model("Row", unit_price=(int, 2))()).unit_price == 2
    assert order.lines[0].unit_price == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"user_id": int, "userId": int},
        {"user_id": int, "other": Annotated[int, Field(alias="userId")]},
        {"user_id": int, "other": Annotated[int, Field(serialization_alias="userId")]},
        {"user_id": int, "other": Annotated[int, Field(validation_alias="userId")]},
        {
            "user_id": int,
            "other": Annotated[int, Field(validation_alias=AliasChoices("x", "userId"))],
        },
        {"user_id": int, "userId": "Unknown"},
    ],
    ids=str,
)
def test_two_fields_with_one_name_are_refused(fields: dict[str, Any]) -> None:
    """A class whose fields meet on the wire is refused when it is made, with both names."""
    names = {"__module__": __name__, "__annotations__": fields}
    with pytest.raises(FieldCollisionError, match="'user_id'") as caught:
        type("User", (BaseModel,), names)
    assert caught.value.alias == "userId"
    assert set(caught.value.fields) == set(fields)


def test_an_inherited_or_computed_field_can_collide_too() -> None:
    """A field collides with one of its base class and with a computed field as well."""

    class User(BaseModel):
        user_id: int

    with pytest.raises(FieldCollisionError):
        type("Sub", (User,), {"__module__": __name__, "__annotations__": {"userId": int}})
    with pytest.raises(FieldCollisionError):

        class Computed(User):
            @computed_field
            def userId(self) -> int:  # noqa: N802 - the collision
                return 1


def test_names_that_do_not_meet_are_fine() -> None:
    """A field of its own alias, an excluded one and an overridden one are no collision."""

    class User(BaseModel):
        user_id: int
        userId: Annotated[int, Field(alias="legacyId")]  # noqa: N815 - a near collision
        secret: Annotated[int, Field(alias="s", serialization_alias="userId", exclude=True)] = 1

    class Sub(User):
        user_id: int = 5

    assert sent(Sub.model_validate({"legacyId": 1})) == {"userId": 5, "legacyId": 1}


def test_a_class_can_have_its_own_config() -> None:
    """The config of a model can be changed like that of every Pydantic model."""

    class Snake(BaseModel, frozen=True, alias_generator=None):
        user_id: int
        userId: int  # noqa: N815 - no collision here
        created_at: datetime = EAST

    snake = Snake(user_id=1, userId=2)
    assert sent(snake) == {"user_id": 1, "userId": 2, "created_at": TEN}
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        snake.user_id = 2  # type: ignore[misc]
    assert hash(snake) == hash(Snake(user_id=1, userId=2))


def test_an_unknown_class_keyword_is_refused() -> None:
    """A typo in a keyword of the class is an error, as it is in Pydantic."""
    with pytest.raises(TypeError):
        type("Order", (BaseModel,), {"__module__": __name__}, decimals_as="string")


# Models are still Pydantic's


def test_rules_reach_into_every_kind_of_type() -> None:
    """The rules hold in dataclasses, TypedDicts, tuples, sets, keys, unions and untyped values."""

    class Everything(BaseModel):
        model_config = ConfigDict(extra="allow")

        point: Point
        chain: Chain
        priced: Priced
        pair: Pair
        prices: set[Decimal]
        numbers: dict[Decimal, datetime]
        times: dict[datetime, Decimal]
        either: Decimal | str
        other: datetime | int
        bare: dict  # type: ignore[type-arg]
        many: list  # type: ignore[type-arg]
        anything: Any
        alias: Price

    chain = {"at": TEN, "next": {"at": NOON, "next": None}}
    everything = Everything(
        point=Point(Decimal("1.50"), EAST),
        chain=Chain(EAST, Chain(NAIVE)),
        priced={"price": Decimal("1.50")},
        pair=Pair(Decimal("1.50"), EAST),
        prices={Decimal("1.50")},
        numbers={Decimal("1.50"): EAST},
        times={EAST: Decimal("1.50")},
        either=Decimal("1.50"),
        other=EAST,
        bare={EAST: [ID]},
        many=[Point(Decimal("1.50"), EAST)],
        anything=(EAST, Decimal("1.50")),
        alias=Decimal("1.50"),
        extra={"a": [EAST]},  # type: ignore[call-arg]
    )
    assert sent(everything) == {
        "point": {"price": 1.5, "at": TEN},
        "chain": chain,
        "priced": {"price": 1.5},
        "pair": [1.5, TEN],
        "prices": [1.5],
        "numbers": {"1.50": TEN},
        "times": {TEN: 1.5},
        "either": 1.5,
        "other": TEN,
        "bare": {TEN: [DIGITS]},
        "many": [{"price": 1.5, "at": TEN}],
        "anything": [TEN, 1.5],
        "alias": 1.5,
        "extra": {"a": [TEN]},
    }


def test_computed_fields_follow_the_rules() -> None:
    """A computed field is sent like a field, although nothing validates it."""

    class Order(BaseModel):
        @computed_field  # type: ignore[prop-decorator]
        @property
        def total_price(self) -> Decimal:
            return Decimal("1.50")

        @computed_field  # type: ignore[prop-decorator]
        @property
        def opened_at(self) -> datetime | None:
            return NAIVE

    assert sent(Order()) == {"totalPrice": 1.5, "openedAt": NOON}


def test_typed_extras_follow_the_rules() -> None:
    """Extras with a type are taken and sent like fields."""

    class Prices(BaseModel):
        model_config = ConfigDict(extra="allow")
        __pydantic_extra__: dict[str, Decimal]

    assert sent(Prices(a="1.50")) == {"a": 1.5}  # type: ignore[call-arg]


def test_a_union_prefers_what_pydantic_prefers() -> None:
    """A string stays a string beside a Decimal or datetime, and either takes its own type."""
    number, moment = model_of(Decimal | str), model_of(datetime | str)
    assert number(value="1.5").value == "1.5"
    assert number(value=Decimal("1.5")).value == Decimal("1.5")
    assert moment(value=NOON).value == NOON
    assert moment(value=EAST).value == EAST
    assert model_of(datetime | int)(value=5).value == 5


def test_strict_fields_stay_strict() -> None:
    """A strict model takes strings from JSON text only, as in Pydantic, and no numbers for dates."""

    class Order(BaseModel):
        model_config = ConfigDict(strict=True)
        at: datetime
        total: Decimal

    order = Order.model_validate_json('{"at": "2026-01-31T12:00:00+02:00", "total": 1.5}')
    assert order == Order(at=EAST, total=Decimal("1.5"))
    assert Order(at=EAST, total=Decimal(1)).at.tzinfo is UTC
    for values in ({"at": NOON, "total": Decimal(1)}, {"at": EAST, "total": "1"}):
        with pytest.raises(pydantic.ValidationError):
            Order(**values)  # type: ignore[arg-type]
    for text in ('{"at": "1700000000", "total": 1}', '{"at": 1, "total": 1}'):
        with pytest.raises(pydantic.ValidationError):
            Order.model_validate_json(text)


def test_serializers_of_the_user_come_first() -> None:
    """What a serializer returns is sent; the rules hold for Decimals and datetimes it returns."""

    class Order(BaseModel):
        a: Annotated[Decimal, PlainSerializer(str, return_type=str)] = Decimal("1.50")
        b: Annotated[Decimal, WrapSerializer(lambda value, handler: handler(value))] = Decimal(
            "2.5"
        )
        c: Annotated[datetime, WrapSerializer(lambda _value, handler: handler(NAIVE))] = EAST
        d: Decimal = Decimal("3.5")
        e: int = 0
        f: Decimal = Decimal("4.5")

        @field_serializer("d")
        def double(self, value: Decimal):  # type: ignore[no-untyped-def]
            return value * 2

        @field_serializer("e")
        def when(self, _value: int) -> datetime:
            return NAIVE

    order = Order()
    assert sent(order) == {"a": "1.50", "b": 2.5, "c": NOON, "d": 7.0, "e": NOON, "f": 4.5}
    assert order.model_dump()["d"] == Decimal(7)
    properties = Order.model_json_schema(mode="serialization")["properties"]
    assert [properties[name]["type"] for name in "abdf"] == ["string", "number", "number", "number"]


def test_model_serializers_follow_the_rules() -> None:
    """What a serializer of the whole model returns is sent by the rules."""

    class Order(BaseModel):
        at: datetime = EAST

        @model_serializer
        def as_dict(self) -> dict[str, Any]:
            return {"at": NAIVE, "total": Decimal("1.50")}

    class Wrapped(BaseModel):
        order: Order = Order()

        @model_serializer(mode="wrap")
        def more(self, handler: Callable[[Any], Any]):  # type: ignore[no-untyped-def]
            return {**handler(self), "total": Decimal("1.50")}

    body = {"at": NOON, "total": 1.5}
    assert sent(Wrapped()) == {"order": body, "total": 1.5}


def test_validators_of_the_user_work() -> None:
    """Validators before, after and around see what they see in Pydantic."""
    seen: list[Any] = []
    looked_at = Annotated[
        Decimal,
        BeforeValidator(lambda value: seen.append(value) or value),
        AfterValidator(lambda value: seen.append(value) or value),
    ]
    assert sent(model_of(looked_at)(value=1.5)) == {"value": 1.5}
    assert seen == [1.5, Decimal("1.5")]


def test_foreign_models_inside_of_ours_keep_their_rules() -> None:
    """A Pydantic model that is not ours is sent its own way, and so is what is inside of it."""

    class Theirs(pydantic.BaseModel):
        point: Point

    class Ours(BaseModel):
        theirs: Theirs
        point: Point
        more: RootModel[Decimal]

    point = Point(Decimal("1.50"), EAST)
    ours = Ours(theirs=Theirs(point=point), point=point, more=RootModel[Decimal](Decimal("1.50")))
    assert sent(ours) == {
        "theirs": {"point": {"price": "1.50", "at": "2026-01-31T12:00:00+02:00"}},
        "point": {"price": 1.5, "at": TEN},
        "more": "1.50",
    }
    assert TypeAdapter(Point).dump_python(point, mode="json")["price"] == "1.50"


def test_our_models_inside_of_foreign_ones_keep_ours() -> None:
    """One of our models is sent by our rules wherever it is."""

    class Theirs(pydantic.BaseModel):
        line: Line
        price: Decimal

    theirs = Theirs(line=Line(unit_price=Decimal("1.50")), price=Decimal("1.50"))
    assert sent(theirs) == {"line": {"unitPrice": 1.5, "shippedAt": None}, "price": "1.50"}


def test_root_models_follow_the_rules() -> None:
    """A root model made from our base is sent by our rules."""

    class Prices(BaseModel, RootModel[list[Decimal]]):
        pass

    assert sent(Prices(["1.50"])) == [1.5]  # type: ignore[list-item]


def test_recursive_and_generic_models_follow_the_rules() -> None:
    """A model may contain itself and be generic."""
    tree = Tree(at=EAST, children=[Tree(at=NOON), Tree(at=NAIVE)])
    leaves = [{"at": NOON, "children": []}] * 2
    assert sent(tree) == {"at": TEN, "children": leaves}
    assert sent(Page[Tree](items=[], first=tree))["first"]["at"] == TEN
    assert sent(Page[Decimal](items=["1.50"], first=1)) == {"items": [1.5], "first": 1.0}  # type: ignore[list-item,arg-type]
    assert sent(Page(items=[EAST], first=ID)) == {"items": [TEN], "first": DIGITS}


def test_a_class_that_comes_later_can_be_named() -> None:
    """A field may refer to a class that is defined after its own."""
    fields: dict[str, Any] = {"part": ("Part", ...), "at": (datetime, ...)}
    order = create_model("Order", __base__=BaseModel, **fields)
    part = create_model("Part", __base__=BaseModel, price=(Decimal, ...))
    assert order.model_rebuild(_types_namespace={"Part": part})
    assert sent(order(part={"price": "1.50"}, at=EAST)) == {"part": {"price": 1.5}, "at": TEN}
    assert order.model_rebuild(force=True, _types_namespace={"Part": part})
    assert sent(order(part={"price": "1.50"}, at=EAST)) == {"part": {"price": 1.5}, "at": TEN}


def test_models_can_be_copied_and_pickled() -> None:
    """Copies and pickles of a model are equal to it."""
    event = Event(at=EAST, price=LONG)
    for copied in (copy.copy(event), copy.deepcopy(event), pickle.loads(pickle.dumps(event))):
        assert copied == event
        assert sent(copied) == sent(event)


def test_a_response_can_be_narrowed() -> None:
    """FastAPI's `response_model_*` settings work with our models."""
    app = FastAPI()
    row = {"at": EAST, "price": Decimal("1.50")}

    @app.get("/only", response_model_include={"price"})
    async def only() -> Event:
        return row  # type: ignore[return-value]

    @app.get("/unset", response_model=list[Event], response_model_exclude_unset=True)
    async def unset() -> Any:
        return [{"at": EAST}]

    @app.get("/snake", response_model_by_alias=False)
    async def snake() -> Line:
        return Line(unit_price=Decimal(1), shipped_at=EAST)

    client = TestClient(app)
    assert client.get("/only").json() == {"price": 1.5}
    assert client.get("/unset").json() == [{"at": TEN}]
    assert client.get("/snake").json() == {"unit_price": 1.0, "shipped_at": TEN}


def test_a_returned_instance_that_was_changed_is_sent_by_the_rules() -> None:
    """FastAPI does not validate an instance again: what an endpoint set in it still follows."""
    app = FastAPI()

    @app.get("/")
    async def read() -> list[Event]:
        changed = Event(at=EAST)
        changed.at = NAIVE
        changed.price = Decimal("1.50")
        return [changed, Event.model_construct(at=NAIVE, price=Decimal(2))]

    expected = [{"at": NOON, "price": 1.5}, {"at": NOON, "price": 2.0}]
    assert TestClient(app).get("/").json() == expected


def test_a_plain_route_with_our_model_needs_nothing_else() -> None:
    """Our models keep their rules in a plain FastAPI app, and its own models stay as they are."""
    app = FastAPI()

    @app.get("/ours")
    async def ours() -> Event:
        return Event(at=EAST)

    @app.get("/theirs")
    async def theirs() -> Foreign:
        return Foreign()

    client = TestClient(app)
    assert client.get("/ours").json() == {"at": TEN, "price": 9.99}
    assert client.get("/theirs").json() == {"price": "1.50", "at": "2026-01-31T12:00:00+02:00"}


def test_messages_of_our_own_do_not_repeat_input() -> None:
    """No message about a refused value contains it."""
    secret = "s3cret-5"
    for annotation in (Decimal, Money, datetime, UtcDatetime, ObjectId):
        message = error_of(model_of(annotation), secret)["msg"]
        assert secret not in message
