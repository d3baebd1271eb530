"""Errors in log lines."""

from __future__ import annotations

from typing import NoReturn

import pytest
from pydantic import BaseModel

from sturdyapi.log.errors import describe, is_logged, mark_logged
from sturdyapi.log.values import MAX_TEXT_CHARS

SECRET = "hunter2-hunter2"


class _Card(BaseModel):
    number: int


class _ClosedError(Exception):
    """Takes no attributes, and can't be printed."""

    __slots__ = ()

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(name)

    def __str__(self) -> str:
        raise RuntimeError("no")


def _raised(error: Exception) -> Exception:
    try:
        _raise(error)
    except Exception as caught:  # noqa: BLE001 - whatever was given
        return caught


def _raise(error: Exception) -> NoReturn:
    raise error


def test_stack_shows_no_values_of_variables() -> None:
    """A traceback shows the code, never what the variables held."""
    password = SECRET
    try:
        password.index("#")
    except ValueError as error:
        stack = describe(error).stack

    assert 'password.index("#")' in stack
    assert SECRET not in stack


def test_type_has_its_module() -> None:
    """The type of an error is named with its module, builtin ones without."""
    assert describe(ValueError()).type == "ValueError"
    assert describe(_ClosedError()).type == f"{__name__}._ClosedError"


def test_group_is_shown_whole() -> None:
    """Of a group of errors each one is shown, with notes."""
    inner = _raised(KeyError("inner"))
    inner.add_note("a note")
    stack = describe(_raised(ExceptionGroup("two", [inner, ValueError("other")]))).stack

    for words in ("two (2 sub-exceptions)", "KeyError: 'inner'", "a note", "ValueError: other"):
        assert words in stack


def test_input_of_a_nested_validation_error_is_left_out() -> None:
    """What a validation error repeats of its input is left out of tracebacks, too."""
    sent = {"number": SECRET}
    try:
        _Card.model_validate(sent)
    except ValueError as error:
        nested = _raised(ExceptionGroup("some", [error]))
    outer = RuntimeError("outer")
    outer.__cause__ = nested
    stack = describe(_raised(outer)).stack

    assert SECRET not in stack
    assert "Input should be a valid integer" in stack


def test_error_that_cannot_be_shown() -> None:
    """An error whose own code fails still has a line."""
    fault = describe(_raised(_ClosedError()))

    assert fault.message == "<_ClosedError whose str() raises RuntimeError>"
    assert "_ClosedError" in fault.stack


def test_long_stack_is_cut_in_the_middle() -> None:
    """Of a very long traceback the beginning and the end are kept."""
    fault = describe(_raised(ValueError("x" * 1_000_000)))

    assert fault.stack.startswith("Traceback")
    assert fault.stack.endswith("xxx")
    assert "more characters" in fault.stack
    assert len(fault.stack) < MAX_TEXT_CHARS + 100


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_logged_error_is_recognised(kind: type[BaseException]) -> None:
    """An error that has its line is known, also as the only one in a group."""
    error, other = kind("x"), kind("y")
    mark_logged(error)

    assert is_logged(error)
    assert is_logged(BaseExceptionGroup("one", [error]))
    assert not is_logged(other)
    assert not is_logged(BaseExceptionGroup("two", [error, other]))


def test_error_that_takes_no_mark() -> None:
    """An error that can't be marked is reported twice rather than not at all."""
    error = _ClosedError()
    mark_logged(error)

    assert not is_logged(error)
