"""How the values of one field travel: what is taken, what is kept, what is sent.

A rule belongs to one field and remembers what it has reported, so that the log names a field once and
not once a request. None of its messages holds a value.
"""

from __future__ import annotations

import logging
import re
import sys
from datetime import UTC, date, datetime
from decimal import (
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
    Subnormal,
)
from math import isinf
from typing import Any, Self

from pydantic import TypeAdapter
from pydantic_core import (
    PydanticCustomError,
    PydanticKnownError,
    PydanticSerializationUnexpectedValue,
)

from sturdyapi.exceptions import MissingExtraError, WireValueError

__all__ = ["Exact", "Hex", "Instant", "Number", "Rule", "loaded_class", "object_id_class"]

_logger = logging.getLogger("sturdyapi.wire")

NUMERIC = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
"""A number written as a string; what JSON schemas say is what `_decimal_of_text()` takes."""

OBJECT_ID = "[0-9a-fA-F]{24}"
"""An ObjectId written as a string."""

_object_id = re.compile(OBJECT_ID).fullmatch
_parse_datetime = TypeAdapter(datetime).validator.validate_python

_PUNCTUATION = frozenset({"--T::Z", "--T::."})
"""What stands between the numbers of an RFC 3339 datetime, up to the seconds."""

_WHOLE_IN_DOUBLE = 2.0**53
"""From here on a double no longer holds every whole number."""

# Passes what a double certainly holds, and raises for what has to be looked at: a C function, which
# keeps the common case at a fraction of a microsecond. The range stays clear of a double's own limits.
_fits_surely = Context(
    prec=15,
    Emin=-290,
    Emax=307,
    traps=[DivisionByZero, Inexact, InvalidOperation, Overflow, Subnormal],
).plus


class Rule:
    """How the values of one field travel.

    Attributes:
        where: The field as the log names it, such as `Order.total`.
    """

    __slots__ = ("_reported", "where")

    def __init__(self, where: str) -> None:
        self.where = where
        self._reported = False

    def at(self, where: str) -> Self:
        """Return a rule of the same kind for another field."""
        return type(self)(where)

    def accept(self, value: Any) -> Any:
        """Return the Python value for what came in; refuse it with an error that holds no value."""
        raise NotImplementedError

    def convert(self, value: Any) -> Any:
        """Like `accept`, but return the field's own type and leave no coercion to Pydantic."""
        return self.accept(value)

    def keep(self, value: Any) -> Any:
        """Return what the field may hold, for a value that skipped validation.

        Values of other types are returned as they are.
        """
        raise NotImplementedError

    def send(self, value: Any) -> Any:
        """Return what Pydantic prints, for a value that nothing has looked at yet."""
        raise NotImplementedError

    def _report(self, sentence: str) -> None:
        if not self._reported:
            self._reported = True
            _logger.warning("%s: %s", self.where, sentence)

    def _unexpected(self, expected: str) -> PydanticSerializationUnexpectedValue:
        # Pydantic turns this into a warning, or into a try of a union's next member.
        return PydanticSerializationUnexpectedValue(f"Expected {expected} in {self.where}")


class Number(Rule):
    """A Decimal that travels as a JSON number, which is a double to nearly every reader."""

    __slots__ = ()

    def accept(self, value: Any) -> float | Decimal:
        kind = type(value)
        if kind is float:
            return value  # what a double came in as, it also goes out as
        number: Decimal = value if kind is Decimal else _decimal(value)
        try:
            _fits_surely(number)
        except ArithmeticError:
            if not self._is_near_double(number):
                raise PydanticCustomError(
                    "decimal_range", "Input should be within the range of a double"
                ) from None
        return number

    def convert(self, value: Any) -> Decimal:
        return _decimal(self.accept(value))

    def keep(self, value: Any) -> Any:
        if isinstance(value, Decimal) and not (value.is_finite() and self._is_in_range(value)):
            raise WireValueError(
                f"{self.where}: a JSON number can't hold this Decimal, which is infinite, not a number "
                f"or beyond a double. Annotate the field with Money to send it as a string."
            )
        return value

    def send(self, value: Any) -> float:
        if not isinstance(value, Decimal):
            raise self._unexpected("Decimal")
        return float(self.keep(value))

    def _is_in_range(self, number: Decimal) -> bool:
        """Tell whether a double can stand for `number`, and report if it only comes near."""
        try:
            _fits_surely(number)
        except ArithmeticError:
            return self._is_near_double(number)
        return True

    def _is_near_double(self, number: Decimal) -> bool:
        if number.is_snan():
            return True  # refused for what it is, not for its size
        nearest = float(number)
        if isinf(nearest):
            return False
        if Decimal(repr(nearest)) != number:
            self._report(
                "a Decimal has more digits than a JSON number can carry and goes out as the nearest "
                'one. Annotate the field with Money (or the class with decimal_as="string") to keep '
                "every digit."
            )
        return True


class Exact(Rule):
    """A Decimal that travels as a string, digit for digit."""

    __slots__ = ()

    def accept(self, value: Any) -> Decimal:
        if not isinstance(value, float):
            return _decimal(value)
        if value.is_integer() and abs(value) < _WHOLE_IN_DOUBLE:
            return Decimal(int(value))
        raise PydanticCustomError(
            "decimal_inexact",
            'Input should be a string such as "19.99": a number may have lost digits on its way',
        )

    def keep(self, value: Any) -> Any:
        if isinstance(value, Decimal) and not value.is_finite():
            raise WireValueError(f"{self.where}: an infinite Decimal or NaN can't be sent.")
        return value

    def send(self, value: Any) -> str:
        if not isinstance(value, Decimal):
            raise self._unexpected("Decimal")
        return str(self.keep(value))


class Instant(Rule):
    """A datetime that is kept and sent in UTC; one without a zone is taken as UTC and reported.

    Args:
        where: The field as the log names it.
        naive: Whether input without a zone is taken; if not, the schema's own check refuses it.
    """

    __slots__ = ("_naive",)

    def __init__(self, where: str, *, naive: bool = True) -> None:
        super().__init__(where)
        self._naive = naive

    def at(self, where: str) -> Self:
        return type(self)(where, naive=self._naive)

    def accept(self, value: Any) -> Any:
        if type(value) is not datetime:
            value = _datetime(value)
        if value.tzinfo is UTC:
            return value
        if not self._naive and value.utcoffset() is None:
            return value
        try:
            return self._in_utc(value)
        except OverflowError:
            raise PydanticCustomError(
                "datetime_range", "Input should be within the years 1 to 9999 in UTC"
            ) from None

    def keep(self, value: Any) -> Any:
        if not isinstance(value, datetime) or value.tzinfo is UTC:
            return value
        try:
            return self._in_utc(value)
        except OverflowError:
            raise WireValueError(f"{self.where}: a datetime leaves the years 1 to 9999 in UTC.") from None

    def send(self, value: Any) -> datetime:
        if not isinstance(value, datetime):
            raise self._unexpected("datetime")
        kept: datetime = self.keep(value)
        return kept

    def _in_utc(self, value: datetime) -> datetime:
        if value.utcoffset() is not None:
            return value.astimezone(UTC)
        self._report(
            "a datetime without a zone is taken as UTC. Give it one, or annotate the field with "
            "UtcDatetime to refuse such input or with NaiveDatetime to leave it alone."
        )
        return value.replace(tzinfo=UTC)


class Hex(Rule):
    """A `bson.ObjectId` that travels as 24 hexadecimal digits."""

    __slots__ = ("_kind",)

    def __init__(self, where: str) -> None:
        super().__init__(where)
        self._kind = object_id_class()

    def accept(self, value: Any) -> Any:
        if isinstance(value, self._kind):
            return value
        if isinstance(value, str) and _object_id(value):
            return self._kind(value)
        raise PydanticCustomError("object_id", "Input should be a string of 24 hexadecimal digits")

    def keep(self, value: Any) -> Any:
        return value

    def send(self, value: Any) -> str:
        if not isinstance(value, self._kind):
            raise self._unexpected("ObjectId")
        return str(value)


def object_id_class() -> Any:
    """Return `bson.ObjectId`.

    Raises:
        MissingExtraError: pymongo, which brings `bson`, is not installed.
    """
    try:
        from bson import ObjectId  # noqa: PLC0415 - the core works without pymongo
    except ModuleNotFoundError as exc:
        if exc.name != "bson":
            raise
        raise MissingExtraError("ObjectId", "mongo", package="pymongo") from exc
    return ObjectId


def loaded_class(module: str, name: str) -> Any:
    """Return a class of an optional package if the process has imported it already, else `None`.

    No value can be of a class that was never imported, so nothing has to be imported to test for it.
    """
    return getattr(sys.modules.get(module), name, None)


def _decimal(value: Any) -> Decimal:
    if isinstance(value, Decimal):
        return value
    if isinstance(value, str):
        return _decimal_of_text(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    if isinstance(value, float):
        return Decimal(repr(float(value)))
    decimal128 = loaded_class("bson", "Decimal128")
    if decimal128 is not None and isinstance(value, decimal128):
        converted: Decimal = value.to_decimal()
        return converted
    raise PydanticKnownError("decimal_type")


def _decimal_of_text(text: str) -> Decimal:
    # Python's own form is wider than NUMERIC, which is what the schema in OpenAPI says.
    if "_" in text or not text.isascii() or text != text.strip():
        raise PydanticKnownError("decimal_parsing")
    try:
        return Decimal(text)
    except InvalidOperation:
        raise PydanticKnownError("decimal_parsing") from None


def _datetime(value: Any) -> datetime:
    """Return a datetime for input that says which day it means; numbers don't."""
    if isinstance(value, datetime):
        return value
    if isinstance(value, str):
        return _datetime_of_text(value)
    if not isinstance(value, date):
        raise PydanticKnownError("datetime_type")
    parsed: datetime = _parse_datetime(value)
    return parsed


def _datetime_of_text(text: str) -> datetime:
    # What most clients send, 2026-01-31T12:00:00Z with or without a fraction, takes the shortest way.
    if text[4:20:3] in _PUNCTUATION and text.endswith("Z"):
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            pass  # a 13th month or the like, which Pydantic words below
    # What Pydantic takes for a date has its year in front; what it takes for an epoch has not.
    if text[4:5] != "-":
        raise PydanticKnownError(
            "datetime_parsing", {"error": "expected a form such as 2026-01-31T12:00:00Z"}
        )
    parsed: datetime = _parse_datetime(text)
    return parsed
