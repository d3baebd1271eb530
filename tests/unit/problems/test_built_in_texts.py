"""Pydantic's own texts and limits, and errors that an app raises by hand."""

import re
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, get_args
from uuid import UUID

import pytest
from fastapi import APIRouter, Depends, Header, WebSocket
from fastapi.exceptions import RequestValidationError
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    AnyUrl,
    AwareDatetime,
    Discriminator,
    Field,
    HttpUrl,
    Json,
    NaiveDatetime,
    SecretStr,
    Tag,
    UrlConstraints,
    ValidationError,
)
from pydantic_core import core_schema
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from sturdyapi.problems import validation

from .support import (
    MASKED,
    SECRET,
    WORDS,
    Address,
    Cat,
    Document,
    Dog,
    Pair,
    Pet,
    Point,
    Strict,
    client_for,
    errors_of,
    new_app,
    only,
    refused,
    texts_in,
    tried,
)

# Pydantic's own texts.


class Color(Enum):
    RED = "red"


def tag_of(value: Any) -> str:
    """Return the tag that the client sent."""
    return str(value.get("kind")) if isinstance(value, dict) else "none"


CallablePet = Annotated[
    Annotated[Cat, Tag("cat")] | Annotated[Dog, Tag("dog")], Discriminator(tag_of)
]

REFUSALS: dict[str, tuple[Any, Any]] = {
    "int": (int, SECRET),
    "float": (float, SECRET),
    "bool": (bool, SECRET),
    "decimal": (Decimal, SECRET),
    "decimal digits": (Annotated[Decimal, Field(max_digits=3)], "98765.4321"),
    "date": (date, SECRET),
    "date with a time": (date, "2031-12-24T12:30:00"),
    "datetime": (datetime, SECRET),
    "time": (time, SECRET),
    "timedelta": (timedelta, SECRET),
    "aware datetime": (AwareDatetime, "2031-12-24T12:30:00"),
    "naive datetime": (NaiveDatetime, "2031-12-24T12:30:00+07:00"),
    "uuid": (UUID, SECRET),
    "uuid with a bad letter": (UUID, "6f9619ff-8b86-d011-b42d-00c04fc964Zq"),
    "url": (AnyUrl, SECRET),
    "url port": (AnyUrl, f"https://{SECRET}:99999999/"),
    "url scheme": (HttpUrl, f"ftp://{SECRET}/"),
    "url length": (Annotated[AnyUrl, UrlConstraints(max_length=5)], f"https://{SECRET}/"),
    "enum": (Color, SECRET),
    "literal": (Literal["red"], SECRET),
    "pattern": (Annotated[str, Field(pattern="^a$")], SECRET),
    "length": (Annotated[str, Field(max_length=2)], SECRET),
    "bounds": (Annotated[int, Field(le=2)], 98765),
    "float bounds": (Annotated[float, Field(multiple_of=2)], 98765.5),
    "long int": (int, "98765" * 900),
    "whole float": (int, 98765.5),
    "bytes": (bytes, {"a": SECRET}),
    "secret": (Annotated[SecretStr, Field(min_length=50)], SECRET),
    "json": (Json[int], SECRET),
    "json item": (Json[dict[str, int]], f'{{"{SECRET}": "{SECRET}"}}'),
    "keys": (dict[int, int], {SECRET: 1}),
    "values": (dict[str, int], {SECRET: SECRET}),
    "nested keys": (dict[str, dict[int, int]], {SECRET: {SECRET: 1}}),
    "model": (Cat, SECRET),
    "extra": (Strict, {"a": 1, SECRET: SECRET}),
    "missing": (Cat, {"secret": SECRET}),
    "discriminated union": (Pet, {"kind": SECRET}),
    "callable discriminator": (CallablePet, {"kind": SECRET}),
    "union": (Cat | Dog | int, {"kind": SECRET, SECRET: SECRET}),
    "list": (list[int], [1, SECRET]),
    "list length": (Annotated[list[int], Field(max_length=1)], [98765, 98766]),
    "not a list": (list[int], SECRET),
    "set": (set[int], [SECRET]),
    "tuple": (tuple[int, int], [SECRET]),
    "dataclass": (Point, {"x": SECRET, SECRET: 1}),
    "named tuple": (Pair, [SECRET, SECRET]),
    "typed dict": (Document, {"title": SECRET, SECRET: 1}),
    "complex": (complex, SECRET),
    "none": (None, SECRET),
}


@pytest.mark.parametrize(("annotation", "value"), REFUSALS.values(), ids=REFUSALS)
def test_built_in_texts_tell_nothing(annotation: Any, value: Any) -> None:
    """None of Pydantic's own errors tells what was sent: no value, no key, no part of one."""
    errors = refused(annotation, value)

    told = "\n".join(texts_in(errors))
    assert SECRET not in told
    assert not re.search("98765|2031|Zq", told)
    assert all(error["detail"] and error["detail"] != MASKED for error in errors)


@pytest.fixture(scope="module")
def clients() -> dict[str, TestClient]:
    """Clients of one app for each type that refuses something."""
    return {name: client_for(annotation) for name, (annotation, _) in REFUSALS.items()}


@tried
@given(text=WORDS, name=st.sampled_from(sorted(REFUSALS)))
def test_no_text_is_echoed_by_any_type(
    text: str, name: str, clients: dict[str, TestClient]
) -> None:
    """Whatever text is sent to whatever type, alone or as a key or a value, none of it is told."""
    for value in (text, [text], {text: text}, {"kind": text, "a": text, "x": [text]}):
        response = clients[name].post("/", json=value)
        if response.status_code == 422:
            assert text not in "\n".join(texts_in(errors_of(response)))


def test_every_type_of_pydantic_is_known() -> None:
    """A new kind of error in Pydantic must be looked at: does its text repeat the input?"""
    written_by_others = {"assertion_error", "value_error", "union_tag_invalid"}
    looked_at = validation._BUILT_IN_TYPES | set(validation._ECHOING_MESSAGES) | written_by_others

    assert set(get_args(core_schema.ErrorType)) - looked_at == set()


@pytest.mark.parametrize(
    ("annotation", "value", "context"),
    [
        (Annotated[int, Field(ge=3)], 2, {"ge": 3}),
        (Annotated[str, Field(min_length=3)], "", {"min_length": 3}),
        (Annotated[str, Field(pattern="^a$")], "b", {"pattern": "^a$"}),
        (Annotated[Decimal, Field(ge=Decimal("0.5"))], "0.1", {"ge": 0.5}),
        (Annotated[Decimal, Field(le=Decimal(10))], "11", {"le": 10}),
        (Annotated[date, Field(ge=date(2026, 1, 1))], "2025-01-01", {"ge": "2026-01-01"}),
        (Literal["a", "b"], "c", {"expected": "'a' or 'b'"}),
        (HttpUrl, "ftp://a.example", {"expected_schemes": "'http' or 'https'"}),
        (Pet, {}, {"discriminator": "'kind'"}),
        (
            Annotated[list[int], Field(max_length=1)],
            [1, 2],
            {"field_type": "List", "max_length": 1, "actual_length": 2},
        ),
    ],
)
def test_limits_are_told(annotation: Any, value: Any, context: Any) -> None:
    """The limits of the model are told in a form that a program can read."""
    assert repr(only(refused(annotation, value))["context"]) == repr(context)


def test_infinite_limit_is_left_out() -> None:
    """A limit that JSON has no form for is left out, so that the body stays JSON."""
    response = client_for(Annotated[float, Field(lt=float("inf"))]).post(
        "/", content="1e999", headers={"Content-Type": "application/json"}
    )

    assert "context" not in only(errors_of(response))


def test_unknown_tag_tells_the_known_ones() -> None:
    """An unknown tag of a union is answered with the tags there are, and not with the one sent."""
    assert only(refused(Pet, {"kind": "cow"}))["detail"] == (
        "The tag in 'kind' does not match any of the expected tags: 'cat', 'dog'"
    )


# Errors that an app raises by hand.


@pytest.mark.parametrize(
    ("errors", "entries"),
    [
        (
            [{"type": "mine", "loc": ("body", "name"), "msg": "is taken", "input": 1}],
            [{"in": "body", "pointer": "#/*", "code": "mine", "detail": "is taken"}],
        ),
        (
            [{"type": "int_parsing", "loc": (SECRET, 0), "msg": "no", "input": 1}],
            [{"in": "body", "pointer": "#/*/0", "code": "int_parsing", "detail": "no"}],
        ),
        (
            [{"loc": [], "msg": "is taken"}],
            [{"in": "body", "pointer": "#", "code": "invalid", "detail": "is taken"}],
        ),
        ([{}], [{"in": "body", "pointer": "#", "code": "invalid", "detail": MASKED}]),
        (
            [{"type": "mine", "loc": "query", "msg": "is taken", "ctx": "for good"}],
            [{"in": "query", "pointer": "#", "code": "mine", "detail": "is taken"}],
        ),
        (["is taken"], [{"in": "body", "pointer": "#", "code": "invalid", "detail": "is taken"}]),
        ("is taken", [{"in": "body", "pointer": "#", "code": "invalid", "detail": "is taken"}]),
        ([], []),
    ],
)
def test_errors_raised_by_hand(errors: Any, entries: Any) -> None:
    """A `RequestValidationError` that an app raises itself may hold whatever FastAPI takes."""
    app = new_app()

    @app.get("/")
    async def endpoint() -> None:
        raise RequestValidationError(errors)

    assert errors_of(TestClient(app).get("/")) == entries


def test_errors_of_a_model_that_the_app_validates() -> None:
    """A `ValidationError` of the app's own that is raised again tells nothing of the request."""
    app = new_app()

    @app.post("/")
    async def endpoint(body: dict[str, Any]) -> None:
        try:
            Strict.model_validate(body)
        except ValidationError as error:
            raise RequestValidationError(error.errors(), body=body) from error

    response = TestClient(app).post("/", json={"a": SECRET, SECRET: SECRET})

    assert SECRET not in response.text
    assert [error["in"] for error in errors_of(response)] == ["body", "body"]


# The envelope.


@pytest.mark.parametrize(
    ("value", "detail"),
    [([{}], "The request has 1 error."), ([{}, {}], "The request has 2 errors.")],
)
def test_errors_are_counted(value: Any, detail: str) -> None:
    """The detail of the problem tells how many errors there are."""
    document = client_for(list[Address]).post("/", json=value).json()

    assert document["title"] == "Unprocessable Content"
    assert document["detail"] == detail


def test_all_errors_are_listed_in_order() -> None:
    """A 422 lists everything that is wrong: parameters first, then the body in its order."""
    app = new_app()

    @app.post("/{number}")
    async def endpoint(number: int, page: int, body: list[int]) -> None: ...

    response = TestClient(app).post("/x?page=x", json=["a", 1, "b"])

    assert [(error["in"], error["pointer"]) for error in errors_of(response)] == [
        ("path", "#/number"),
        ("query", "#/page"),
        ("body", "#/0"),
        ("body", "#/2"),
    ]


# Websockets.


def test_invalid_websocket_is_closed_without_values() -> None:
    """A websocket with invalid parameters is closed with 1008 and says where, but no value."""
    app = new_app()

    @app.websocket("/{number}")
    async def endpoint(websocket: WebSocket, number: int, page: int) -> None: ...

    with (
        pytest.raises(WebSocketDisconnect) as closed,
        TestClient(app).websocket_connect(f"/{SECRET}"),
    ):
        pass

    assert closed.value.code == 1008
    assert closed.value.reason.startswith("path #/number: Input should be a valid integer")
    assert SECRET not in closed.value.reason


@pytest.mark.parametrize("letter", ["x", "é", "€", "😀"])
@pytest.mark.parametrize("prefix", ["", "a", "ab", "abc"])
def test_close_reason_fits_its_frame(letter: str, prefix: str) -> None:
    """The reason is cut to the 123 bytes of a close frame, between letters."""
    app = new_app()
    text = prefix + letter * 130

    def refuse(_value: str) -> str:
        raise ValueError(text)

    @app.websocket("/")
    async def endpoint(
        websocket: WebSocket, name: Annotated[str, AfterValidator(refuse)] = "Joe"
    ) -> None: ...

    with (
        pytest.raises(WebSocketDisconnect) as closed,
        TestClient(app).websocket_connect("/?name=Bob"),
    ):
        pass

    reason = closed.value.reason
    assert 120 <= len(reason.encode()) <= 123
    assert reason.startswith(f"query #/name: {prefix}")
    assert "\ufffd" not in reason


def test_names_of_an_included_websocket_are_known() -> None:
    """A websocket in an included router names its parameters, those of the router among them."""
    app, router = new_app(), APIRouter()

    async def keyed(key: Annotated[int, Header()]) -> None: ...

    @router.websocket("/")
    async def endpoint(websocket: WebSocket, page: int) -> None: ...

    app.include_router(router, prefix="/v1", dependencies=[Depends(keyed)])

    with (
        pytest.raises(WebSocketDisconnect) as closed,
        TestClient(app).websocket_connect("/v1/"),
    ):
        pass

    assert closed.value.reason == "header #/key: Field required; query #/page: Field required"
