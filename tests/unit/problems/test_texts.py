"""What validators and Pydantic say is told, and nothing of what was sent."""

import json
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from ipaddress import ip_address
from typing import Annotated, Any
from uuid import UUID

import pytest
from fastapi import Form, Query
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    BaseModel,
    HttpUrl,
    Json,
    SecretStr,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError
from starlette.testclient import TestClient

from sturdyapi.problems import validation_errors

from .support import MASKED, SECRET, WORDS, errors_of, new_app, only, raising, refused, tried

# What a validator says is passed on.


def test_validators_own_text_is_passed_on() -> None:
    """The text of a `ValueError` in a validator reaches the client as it was written."""

    def refuse(_value: int) -> int:
        raise ValueError("must be a multiple of the step")

    error = only(refused(Annotated[int, AfterValidator(refuse)], 5))

    assert error == {
        "in": "body",
        "pointer": "#",
        "code": "value_error",
        "detail": "must be a multiple of the step",
    }


def test_assertions_text_is_passed_on() -> None:
    """The text of a failed assertion in a validator reaches the client as it was written."""

    def refuse(_value: int) -> int:
        raise AssertionError("odd numbers only")

    error = only(refused(Annotated[int, AfterValidator(refuse)], 4))

    assert (error["code"], error["detail"]) == ("assertion_error", "odd numbers only")


def test_text_with_a_limit_is_passed_on() -> None:
    """A text that a validator fills with its own limits reaches the client."""
    least_age = 18

    def refuse(_value: int) -> int:
        raise ValueError(f"must be at least {least_age} years")

    assert only(refused(Annotated[int, AfterValidator(refuse)], 5))["detail"] == (
        "must be at least 18 years"
    )


def test_custom_errors_text_is_passed_on() -> None:
    """A `PydanticCustomError` keeps its own code and text."""

    def refuse(_value: str) -> str:
        raise PydanticCustomError("taken", "The name belongs to {owner}", {"owner": "staff"})

    error = only(refused(Annotated[str, AfterValidator(refuse)], "joe"))

    assert error["code"] == "taken"
    assert error["detail"] == "The name belongs to staff"
    assert "context" not in error


class Period(BaseModel):
    kind: str = "date"
    start: int
    end: int
    note: str = ""

    @model_validator(mode="after")
    def in_order(self) -> "Period":
        if self.end < self.start:
            raise ValueError("start must be before end")
        return self

    @field_validator("note")
    @classmethod
    def without_links(cls, note: str) -> str:
        if "://" in note:
            raise PydanticCustomError("link", "Links are refused")
        return note


def test_names_of_fields_may_be_told() -> None:
    """A validator of a whole model may name its fields: they are not the client's."""
    assert only(refused(Period, {"start": 2, "end": 1}))["detail"] == "start must be before end"


def test_constant_word_is_passed_on_whatever_was_sent() -> None:
    """A text of one word that stands in the validator's source is passed on as well."""

    def refuse(_value: str) -> str:
        raise ValueError("Unsupported")

    error = only(refused(Annotated[str, AfterValidator(refuse)], "unsupported"))

    assert error["detail"] == "Unsupported"


def test_prose_around_a_limit_is_passed_on_whatever_was_sent() -> None:
    """Words of the validator's source do not count, only what it fills in between them."""
    most = 12

    def refuse(_value: str) -> str:
        raise ValueError(f"must have at most {most} words")

    error = only(refused(Annotated[str, AfterValidator(refuse)], "what words must a poem have"))

    assert error["detail"] == "must have at most 12 words"


def test_constant_text_is_passed_on_whatever_was_sent() -> None:
    """A text that stands in the validator's source is passed on, whatever words were sent."""
    body = {"kind": "before", "start": 2, "end": 1}

    assert only(refused(Period, body))["detail"] == "start must be before end"


def test_custom_error_beside_free_text_is_passed_on() -> None:
    """A text that shares no longer word with what was refused is passed on."""
    body = {"start": 1, "end": 2, "note": "see https://example.com, it is a must"}

    assert only(refused(Period, body))["detail"] == "Links are refused"


# What was sent is not.

ECHOES: dict[str, Callable[[Any], str]] = {
    "raw": lambda value: f"{value} is taken",
    "repr": lambda value: f"got {value!r}",
    "percent": lambda value: "%s?" % value,  # noqa: UP031
    "alone": str,
    "upper-case": lambda value: f"no {str(value).upper()} here",
    "lower-case": lambda value: f"no {str(value).lower()} here",
    "beginning": lambda value: f"starts with {str(value)[:5]}...",
    "end": lambda value: f"ends in {str(value)[-5:]}",
    "middle": lambda value: f"contains '{str(value)[2:7]}'",
    "on a new line": lambda value: f"refused:\n{value}\n",
    "in JSON": lambda value: "refused: " + json.dumps({"value": str(value)}),
    "in ASCII": lambda value: "refused: " + ascii(str(value)),
    "in bytes": lambda value: f"refused: {str(value).encode()!r}",
    "in a word": lambda value: f"prefix_{value}_suffix",
    "in a list": lambda value: f"choices: {[value, 'b']}",
}


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES)
def test_text_with_the_value_is_replaced(echo: Callable[[Any], str]) -> None:
    """A validator's text that repeats the value, in any spelling, becomes a neutral one."""
    error = only(refused(Annotated[str, raising(echo)], SECRET))

    assert error["detail"] == MASKED


LINES = st.lists(WORDS, min_size=1, max_size=4).map("\n\t".join)
ODD_LETTERS = "\0\a\n\t\x1f\x7f\x85 '\"\\/{}%$.,éßİǅ٣\u0301\u200b\u202e\ue000ﬁ漢😀\U00018cd6aB1"
ODD_TEXTS = st.text(ODD_LETTERS, min_size=6, max_size=24).filter(lambda text: len(text.strip()) > 5)


@tried
@given(secret=st.one_of(WORDS, LINES), echo=st.sampled_from(list(ECHOES.values())))
def test_no_spelling_of_a_value_gets_through(secret: str, echo: Callable[[Any], str]) -> None:
    """No text that a validator makes from a value gets through."""
    assert detail_for(secret, echo(secret)) == MASKED


@tried
@given(secret=ODD_TEXTS, name=st.sampled_from(["raw", "repr", "percent", "alone", "in a word"]))
def test_no_odd_text_gets_through(secret: str, name: str) -> None:
    """Control characters, quotes and letters of any script do not hide a value."""
    assert detail_for(secret, ECHOES[name](secret)) == MASKED


JSON_VALUES = st.recursive(
    st.one_of(WORDS, st.integers(1000), st.floats(1, allow_infinity=False)),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3), st.dictionaries(WORDS, inner, min_size=1)
    ),
    max_leaves=8,
)


@tried
@given(value=JSON_VALUES, data=st.data())
def test_no_item_at_any_depth_gets_through(value: Any, data: st.DataObject) -> None:
    """A validator of a list or an object can't tell one of its items or keys either."""
    items = leaves_of(value)

    item = data.draw(st.sampled_from(items))

    assert detail_for(value, f"bad item: {item}") == MASKED
    assert detail_for(value, f"bad item: {item!r}") == MASKED


def detail_for(value: Any, text: str) -> str:
    """Return what becomes of a text about a value that was refused; nobody knows who raised it."""
    error = {"type": "mine", "loc": ("body",), "msg": text, "input": value}
    detail: str = only(validation_errors([error], sent={"body": value}))["detail"]
    return detail


def leaves_of(value: Any) -> list[Any]:
    """Return every key and item of a JSON value."""
    if isinstance(value, dict):
        return [*value, *(leaf for item in value.values() for leaf in leaves_of(item))]
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves_of(item)]
    return [value]


def test_item_below_many_levels_is_not_told() -> None:
    """How deep a value lies makes no difference."""
    deep: Any = SECRET
    for _ in range(200):
        deep = {"a": [deep]}

    assert detail_for(deep, f"got {SECRET}") == MASKED


def test_word_of_a_value_inside_another_word_is_not_told() -> None:
    """A word of a longer value is found wherever it stands."""
    assert detail_for("Joseph Banks", "see user_joseph_2") == MASKED


def test_very_long_text_is_not_told() -> None:
    """A text that is too long to be a validator's own is taken for what was sent."""
    assert detail_for(SECRET, "a b c " * 100) != MASKED
    assert detail_for(SECRET, "a b c " * 200) == MASKED


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        (int, 90210, lambda v: f"{v} is not covered"),
        (int, "0090210", lambda v: f"{v} is not covered"),
        (int, 1234567, lambda v: f"{v:,} is too much"),
        (int, -42, lambda v: f"{v} is negative"),
        (int, -42, lambda v: f"{abs(v)} below zero"),
        (int, 7, lambda v: f"{v} is a prime"),
        (float, 1.5, lambda v: f"{v:.3f} is not whole"),
        (float, 1e3, lambda v: f"{v} is round"),
        (Decimal, "12.50", lambda v: f"{v.normalize()} is not whole"),
        (Decimal, "12.5", lambda v: f"{v:.2f} is not whole"),
        (Decimal, "1E+2", lambda v: f"{int(v)} is round"),
        (str, "no", lambda v: f"'{v}' is too short"),
        (str, "No", lambda v: f"{v.upper()} is too short"),
        (str, "!!", lambda v: f"{v} is no name"),
        (bytes, SECRET, lambda v: f"{v!r} is refused"),
        (bytes, SECRET, lambda v: f"{v.hex(' ')} or {v.decode()} is refused"),
        (date, "2031-12-24", lambda v: f"{v} is a holiday"),
        (date, "2031-12-24", lambda v: f"{v!r} is a holiday"),
        (datetime, "2031-12-24T12:30:00Z", lambda v: f"{v!r} is a holiday"),
        (UUID, "6F9619FF8B86D011B42D00C04FC964FF", lambda v: f"{v} is taken"),
        (SecretStr, SECRET, lambda v: f"{v.get_secret_value()} is weak"),
        (HttpUrl, f"https://joe:{SECRET}@example.com/", lambda v: f"{v} is down"),
        (Json[list[str]], f'["{SECRET}"]', lambda v: f"{v[0]} is taken"),
        (list[int], [1234, 5678], lambda v: f"{v[1]} is taken"),
        (dict[str, int], {SECRET: 1}, lambda v: f"{next(iter(v))} is taken"),
        (tuple[str, int], [SECRET, 1], lambda v: f"{v} is taken"),
        (set[str], [SECRET], lambda v: f"{v} is taken"),
    ],
)
def test_parsed_value_is_not_told(
    annotation: Any, value: Any, message: Callable[[Any], str]
) -> None:
    """A value is recognised after Pydantic has parsed it into a number, a date or an object."""
    assert only(refused(Annotated[annotation, raising(message)], value))["detail"] == MASKED


class Color(Enum):
    RED = "red"


def color_of(value: str) -> Color:
    """Look a value up by hand, as a validator may."""
    return Color(value)


def validated(value: str) -> int:
    """Validate by hand, as a validator may, and tell Pydantic's report."""
    try:
        return TypeAdapter(int).validate_python(value)
    except ValidationError as error:
        raise ValueError(str(error)) from error


@pytest.mark.parametrize(
    ("library_call", "value"),
    [
        (int, SECRET),
        (float, SECRET),
        (datetime.fromisoformat, SECRET),
        (ip_address, SECRET),
        ([SECRET].index, f"{SECRET}."),
        (color_of, SECRET),
        (validated, SECRET),
        (validated, SECRET * 50),
    ],
)
def test_text_of_a_library_is_not_told_if_it_repeats_the_value(
    library_call: Callable[[str], Any], value: str
) -> None:
    """The text of an error from a library that a validator calls is looked through as well."""
    error = only(refused(Annotated[str, AfterValidator(library_call)], value))

    assert error["detail"] == MASKED


class Passwords(BaseModel):
    password: str
    repeated: str

    @field_validator("repeated")
    @classmethod
    def same(cls, repeated: str, info: ValidationInfo) -> str:
        if repeated != info.data["password"]:
            raise ValueError(f"is not {info.data['password']}")
        return repeated


def test_text_with_another_fields_value_is_replaced() -> None:
    """A validator that tells the value of another field, which was accepted, is not passed on."""
    error = only(refused(Passwords, {"password": SECRET, "repeated": "oops"}))

    assert (error["pointer"], error["detail"]) == ("#/repeated", MASKED)


def test_text_with_another_long_value_is_replaced() -> None:
    """A longer text in another field is recognised by its first words."""
    poem = "roses are red, violets are blue, sugar is sweet and so are you"

    error = only(refused(Passwords, {"password": poem, "repeated": "oops"}))

    assert error["detail"] == MASKED


def test_text_with_another_query_parameter_is_replaced() -> None:
    """A model of query parameters can't tell the value of another parameter either."""
    app = new_app()

    @app.get("/")
    async def endpoint(query: Annotated[Passwords, Query()]) -> None: ...

    response = TestClient(app).get("/", params={"password": SECRET, "repeated": "oops"})

    assert only(errors_of(response))["detail"] == MASKED


def test_text_with_another_form_field_is_replaced() -> None:
    """A form model can't tell any of the values of a repeated field."""

    class Tagged(BaseModel):
        tags: list[str]
        name: str

        @field_validator("name")
        @classmethod
        def free(cls, name: str, info: ValidationInfo) -> str:
            raise ValueError(f"{name[:0]}is not {info.data['tags'][0]}")

    app = new_app()

    @app.post("/")
    async def endpoint(form: Annotated[Tagged, Form()]) -> None: ...

    response = TestClient(app).post("/", data={"tags": [SECRET, "x"], "name": "joe"})

    assert only(errors_of(response))["detail"] == MASKED


def test_short_value_of_another_field_does_not_count() -> None:
    """Words as short as `of` are no secrets of another field."""
    error = {"type": "mine", "loc": ("body", 1), "msg": "one of many", "input": 5}

    assert only(validation_errors([error], sent={"body": ["of", 5]}))["detail"] == "one of many"
    assert only(validation_errors([error], sent={"body": ["one", 5]}))["detail"] == MASKED


def test_custom_error_under_a_built_in_type_is_looked_through() -> None:
    """A validator's text is not trusted because its type is one of Pydantic's."""

    def refuse(value: str) -> str:
        raise PydanticCustomError("int_parsing", f"not {value}", {"gt": value})

    error = only(refused(Annotated[str, AfterValidator(refuse)], SECRET))

    assert error == {"in": "body", "pointer": "#", "code": "int_parsing", "detail": MASKED}


def test_custom_error_that_formats_the_value_is_replaced() -> None:
    """The context of a `PydanticCustomError` reaches neither the text nor the client."""

    def refuse(value: str) -> str:
        raise PydanticCustomError("taken", "{name} is taken", {"name": value})

    error = only(refused(Annotated[str, AfterValidator(refuse)], SECRET))

    assert error == {"in": "body", "pointer": "#", "code": "taken", "detail": MASKED}


# Costs.


def test_time_grows_with_the_request_and_not_with_its_square() -> None:
    """Many errors about many values do not look through every value for every error."""
    values = [f"value {number}" for number in range(3000)]
    looked_at = 0

    class Counted(list[str]):
        def __iter__(self) -> Any:
            nonlocal looked_at
            looked_at += 1
            return super().__iter__()

    errors = [
        {"type": "mine", "loc": ("body", index), "msg": f"text {index}", "input": value}
        for index, value in enumerate(values)
    ]

    entries = validation_errors(errors, sent={"body": Counted(values)})

    assert len(entries) == len(values)
    assert looked_at <= 1
