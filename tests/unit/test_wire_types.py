"""Decimals, datetimes and ids as they go over the wire."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import bson
import pydantic
import pytest
from fastapi import FastAPI, Query
from fastapi.testclient import TestClient
from pydantic import (
    AfterValidator,
    AwareDatetime,
    ConfigDict,
    Field,
    FutureDatetime,
    NaiveDatetime,
    PastDatetime,
    PlainValidator,
    PydanticUserError,
    model_validator,
)
from pydantic_core import PydanticSerializationError

from sturdyapi.exceptions import MissingExtraError, WireValueError
from sturdyapi.models import BaseModel, Money, ObjectId, UtcDatetime

from .wire_support import (
    DIGITS,
    EAST,
    ID,
    LONG,
    NAIVE,
    NOON,
    TEN,
    TEN_UTC,
    Event,
    Filters,
    Line,
    Page,
    Point,
    error_of,
    model_of,
    sent,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def reports(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return a function that returns what has been reported so far."""
    caplog.set_level(logging.WARNING, logger="sturdyapi.wire")
    return lambda: [record.getMessage() for record in caplog.records]


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
    assert error_of(model_of(annotation), value)["loc"] == ("value",)


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


@pytest.mark.parametrize("literal", ["19.99", "12345678901234567890.123456789", "1e16", "1e400"])
def test_money_refuses_numbers_that_may_have_lost_digits(literal: str) -> None:
    """A JSON number with a fraction or beyond 2**53 is no Money: what it lost can't be seen."""
    error = error_of(model_of(Money), json.loads(literal))
    assert error["type"] == "decimal_inexact"
    assert "string" in error["msg"]


def test_money_is_finite() -> None:
    """Money that was set to infinity past validation is an error that names the field."""

    class Invoice(BaseModel):
        total: Money
        parts: list[Money] = Field(default_factory=list)

    invoice = Invoice(total=Decimal(1))
    with pytest.raises(WireValueError, match=r"Invoice\.total"):
        invoice.total = Decimal("Infinity")


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


def test_a_value_of_another_type_draws_pydantics_warning() -> None:
    """A field that was set to something else draws Pydantic's warning, which does not repeat it."""
    secret = "s3cret"
    for annotation, value in [
        (list[Decimal], [1]),
        (list[datetime], [NOON]),
        (list[bson.ObjectId], [ID]),
    ]:
        holder = model_of(annotation)(value=value)
        holder.value.append(secret)
        with pytest.warns(UserWarning, match="Expected .* in Holder|in ObjectId") as caught:
            assert secret in holder.model_dump_json()
        assert secret not in str(caught[0].message)


def test_a_strict_field_takes_its_own_type_only() -> None:
    """A strict field of a model that is not strict takes no strings."""
    for annotation, value in [(Decimal, Decimal("1.5")), (datetime, EAST), (Money, Decimal("1.5"))]:
        strict = model_of(Annotated[annotation, Field(strict=True)])
        assert strict(value=value).value == value
        error_of(strict, str(value))


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
    assert sent(model_of(list[NaiveDatetime])(value=[NAIVE])) == {"value": ["2026-01-31T12:00:00"]}
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
        a: stripped
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


def test_a_broken_pymongo_keeps_its_own_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An installed pymongo that can't be imported is not called missing."""
    (tmp_path / "bson.py").write_text("import a_module_that_is_not_there")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "bson"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ModuleNotFoundError, match="a_module_that_is_not_there"):
        ObjectId()


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
