"""Field values in log lines: always something JSON has, and never a secret by its name."""

from __future__ import annotations

import enum
import json
import math
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError, ResponseValidationError
from pydantic import BaseModel, SecretStr, ValidationError

from sturdyapi.log.values import (
    MASK,
    MAX_TEXT_CHARS,
    error_text,
    escape_controls,
    is_sensitive,
    merge_fields,
    plain,
    plain_field,
    safe_text,
)


class _Login(BaseModel):
    name: str
    password: str


@dataclass
class _Account:
    owner: str
    api_key: str
    cache: str = field(default="x", repr=False)


class _Colour(enum.StrEnum):
    RED = "red"


class _Row:
    """Like a row of asyncpg: no `Mapping`, but it has keys."""

    def keys(self) -> list[str]:
        return ["id", "password"]

    def __getitem__(self, key: str) -> object:
        return {"id": 1, "password": "hunter2"}[key]


class _Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no")


class _Hostile(dict[str, object]):
    def items(self) -> Any:
        raise RuntimeError("changed size during iteration")

    def __str__(self) -> str:
        return "{'password': 'hunter2'}"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (7, 7),
        (2**63 - 1, 2**63 - 1),
        (2**63, "0x8000000000000000"),
        pytest.param(10**5000, hex(10**5000), id="more digits than `str()` allows"),
        (1.5, 1.5),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        ("text", "text"),
        (_Colour.RED, "red"),
        (b"by\xfftes", "by\\xfftes"),
        (Decimal("1.10"), "1.10"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02 00:00:00+00:00"),
        (SecretStr("hunter2"), "**********"),
        ([1, (2, 3)], [1, [2, 3]]),
        ({1: {"a"}}, {"1": ["a"]}),
        ({None: 1, "None": 2}, {"None": 1, "None_": 2}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (_Login(name="ann", password="hunter2"), {"name": "ann", "password": MASK}),
        (_Account("ann", "hunter2"), {"owner": "ann", "api_key": MASK}),
        (_Row(), {"id": 1, "password": MASK}),
        (int, "<class 'int'>"),
        (_Account, str(_Account)),
        (KeyError("x"), "KeyError: 'x'"),
        (_Unprintable(), "<_Unprintable whose str() raises RuntimeError>"),
        (_Hostile(a=1), "<_Hostile that can't be read>"),
    ],
)
def test_any_value_has_a_form(value: object, expected: object) -> None:
    """Whatever a field holds, the line shows it in a form that JSON has."""
    assert plain(value) == expected
    json.dumps(plain(value), allow_nan=False)


def test_endless_value_ends() -> None:
    """A field that holds itself is shown to a certain depth."""
    endless: dict[str, object] = {"password": "hunter2"}
    endless["self"] = endless

    text = json.dumps(plain(endless))

    assert "<dict nested too deep>" in text
    assert "hunter2" not in text


def test_long_values_are_cut() -> None:
    """A long text, list or mapping is cut, and the line says how long it was."""
    assert plain("x" * (MAX_TEXT_CHARS + 5)).endswith("x... (5 more characters)")
    assert plain(list(range(1000)))[-2:] == [99, "... (1000 items)"]
    assert plain({n: n for n in range(1000)})["..."] == "1000 items"


@pytest.mark.parametrize(
    "name",
    "password PASSWORD user_password passwordHash db_passwd secret client_secret secretKey token "
    "access_token refreshToken authToken X-API-Key apikey api_key authorization Authorization "
    "Proxy-Authorization cookie Set-Cookie private_key accessKey dsn database_dsn jwt credentials "
    "aws_secret_access_key signing_key session_id otp".split(),
)
def test_name_of_a_secret_is_recognised(name: str) -> None:
    """A field whose name promises a secret is masked, however the name is written."""
    assert is_sensitive(name)
    assert plain_field(name, "hunter2") == MASK


@pytest.mark.parametrize(
    "name",
    "user_id token_count tokenizer token_type key keyboard author session monkey_patch secretary "
    "passenger description compass turkey".split(),
)
def test_name_of_no_secret_is_left(name: str) -> None:
    """A field that only sounds a little like a secret keeps its value."""
    assert plain_field(name, "value") == "value"


def test_values_that_say_nothing_are_left() -> None:
    """Whether there is a secret, and how many tokens a model used, may be logged."""
    assert plain_field("password", None) is None
    assert plain_field("password", True) is True
    assert plain_field("max_tokens", 4096) == 4096
    assert plain_field("password", 123456) == MASK


@pytest.mark.parametrize(
    "value",
    [
        {"user": {"credentials": {"login": "hunter2"}}},
        [{"token": "hunter2"}],
        {"headers": [(b"authorization", b"hunter2")]},
        [["Cookie", "hunter2"]],
    ],
)
def test_nested_secret_is_masked(value: object) -> None:
    """A secret is masked by its name at any depth, header lists included."""
    assert "hunter2" not in str(plain(value))
    assert MASK in str(plain(value))


def test_fields_of_one_name_are_both_kept() -> None:
    """Where a line and its request use the same name, the line has both values."""
    user = object()

    merged = merge_fields({"user_id": 1, "user": user}, {"user_id": 2, "user": user})

    assert merged == {"user_id": 1, "user": user, "user_id_": 2}


def test_control_characters_are_visible() -> None:
    """Text lines show control characters, so that nothing can move the cursor or hide."""
    text = "a\x1b[31m\x07\x85\u202e\ud800\tb é 漢"

    assert escape_controls(text) == "a\\x1b[31m\\x07\\x85\\u202e\\ud800\\tb é 漢"


def test_pydantic_error_does_not_repeat_its_input() -> None:
    """The input that a validation error repeats stays out of the line."""
    with pytest.raises(ValidationError) as caught:
        _Login.model_validate({"name": ["hunter2"], "pass": "hunter3"})

    text = error_text(caught.value)

    assert "hunter" in str(caught.value)
    assert "hunter" not in text
    assert "Input should be a valid string" in text
    assert "Field required" in text


@pytest.mark.parametrize("kind", [RequestValidationError, ResponseValidationError])
def test_fastapi_error_does_not_repeat_its_input(kind: type[Exception]) -> None:
    """The text of FastAPI's validation errors carries the offending input: it is left out."""
    detail = {"type": "int", "loc": ("response", "id"), "msg": "not a number", "input": "hunter2"}

    text = error_text(kind([detail]))

    assert "hunter2" not in text
    assert "'loc': ('response', 'id'), 'msg': 'not a number'" in text


def test_error_about_input_keeps_its_text() -> None:
    """An error that merely speaks of input keeps its text."""
    assert error_text(ValueError("no input given")) == "no input given"


def test_subclass_of_text_becomes_text() -> None:
    """A text of a class of its own can't bring its behaviour into the line."""
    assert type(safe_text(_Colour.RED)) is str
