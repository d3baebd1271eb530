"""What the tests of problem documents share."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import unquote

import pytest
from fastapi import Body, FastAPI
from hypothesis import settings
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.testclient import TestClient
from typing_extensions import TypedDict

from sturdyapi.problems import PROBLEM_MEDIA_TYPE, exception_handlers

SECRET = "Zq7hunter2"
"""Found in no text of ours, of Pydantic's or of a test's."""

WORDS = st.text("abcdefghijkmnpqrstuvwxyzABCDEFGH0123456789", min_size=6, max_size=24).map(
    lambda text: f"{text}Zq7x"
)
MASKED = "Input is not valid"

tried = settings(max_examples=100, deadline=None, derandomize=True, database=None)
"""How properties are tried: the same examples every time, so that a change is what breaks them."""


def new_app() -> FastAPI:
    """Return a plain FastAPI app that answers with problem documents."""
    return FastAPI(exception_handlers=exception_handlers(problem=True))


def client_for(annotation: Any) -> TestClient:
    """Return a client of an app that takes a body of one type at `POST /`."""
    app = new_app()

    async def endpoint(body: Any) -> None: ...

    endpoint.__annotations__["body"] = Annotated[annotation, Body()]
    app.post("/")(endpoint)
    return TestClient(app)


def errors_of(response: Any) -> list[dict[str, Any]]:
    """Return the entries of a 422, whose envelope must be right."""
    assert response.status_code == 422, response.text
    assert response.headers["content-type"] == PROBLEM_MEDIA_TYPE
    document = json.loads(response.content, parse_constant=pytest.fail)
    assert document["status"] == 422
    errors: list[dict[str, Any]] = document["errors"]
    return errors


def refused(annotation: Any, value: Any) -> list[dict[str, Any]]:
    """Return the entries for a JSON body that a type refuses."""
    return errors_of(client_for(annotation).post("/", json=value))


def only(errors: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the one entry there is."""
    assert len(errors) == 1, errors
    return errors[0]


def texts_in(node: Any) -> list[str]:
    """Return every text in a document, keys included."""
    if isinstance(node, dict):
        return [text for pair in node.items() for item in pair for text in texts_in(item)]
    if isinstance(node, list):
        return [text for item in node for text in texts_in(item)]
    return [str(node)]


def follow(pointer: str, document: Any) -> Any:
    """Return what a JSON Pointer in a URI fragment points at (RFC 6901, 4 and 6)."""
    assert re.fullmatch(r"#(/[A-Za-z0-9._~!$&'()*+,;=:@?%-]*)*", pointer), pointer
    for step in unquote(pointer).split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        document = document[int(key)] if isinstance(document, list) else document[key]
    return document


def raising(message: Callable[[Any], str]) -> AfterValidator:
    """Return a validator that refuses every value with a text made from it."""

    def refuse(value: Any) -> Any:
        raise ValueError(message(value))

    return AfterValidator(refuse)


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    name: str


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")
    a: int = 0


@dataclass
class Point:
    x: int


class Pair(NamedTuple):
    left: int
    right: int


class Document(TypedDict):
    title: int


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]


class Address(BaseModel):
    street: str
    lines: list[int] = []
