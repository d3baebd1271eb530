"""How the values of one field travel: what is taken, what is kept, what is sent.

A rule belongs to one field and remembers what it has reported, so that the log names a field once
and not once a request. No message here holds a value.
"""

from __future__ import annotations

import logging
import re
import sys
from datetime import UTC, date, datetime
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow, Subnormal
from math import isinf
from typing import Any, Self

from pydantic import TypeAdapter
from pydantic_core import (
    PydanticCustomError,
    PydanticKnownError,
    PydanticSerializationUnexpectedValue,
)

from sturdyapi.exceptions import MissingExtraError, WireValueError

__all__ = [
    "NUMERIC",
    "OBJECT_ID",
    "Exact",
    "Hex",
    "Instant",
    "Number",
    "Rule",
    "loaded_class",
    "object_id_class",
]

NUMERIC = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
"""A number as a string. JSON schemas say so, and `_decimal_of_text()` takes just this."""

OBJECT_ID = "[0-9a-fA-F]{24}"
"""An ObjectId as a string."""

_logger = logging.getLogger("sturdyapi.wire")

_is_object_id = re.compile(OBJECT_ID).fullmatch
_parse_datetime = TypeAdapter(datetime).validator.validate_python

_PUNCTUATION = frozenset({"--T::Z", "--T::."})
"""Every third character of an RFC 3339 datetime in UTC, from the fifth up to the seconds' end."""

_FIRST_WHOLE_GAP = 2.0**53
"""From here on a double can't hold every whole number."""

# Raises for what a double might not hold and has to be looked at. A function in C, so that the
# common case costs next to nothing; its range keeps clear of a double's own limits.
_surely_fits = Context(
    prec=15, Emin=-290, Emax=307, traps=[Inexact, InvalidOperation, Overflow, Subnormal]
).plus


class Rule:
    """How the values of one field travel.

    Args:
        where: The field as the log names it, such as `Order.total`.
    """

    __slots__ = ("_has_reported", "where")

    def __init__(self, where: str) -> None:
        self.where = where
        self._has_reported = False

    def at(self, where: str) -> Self:
        """Return a rule of the same kind for another field."""
        return type(self)(where)

    def accept(self, value: Any) -> Any:
        """Return what Pydantic is to validate for what came in, or refuse it."""
        raise NotImplementedError

    def convert(self, value: Any) -> Any:
        """Like `accept`, but leave nothing for Pydantic to convert."""
        return self.accept(value)

    def keep(self, value: Any) -> Any:
        """Return what the field may hold for a value that was set past validation.

        Values of types that the rule knows nothing of are returned as they are.

        Raises:
            WireValueError: JSON has no form for the value.
        """
        raise NotImplementedError

    def send(self, value: Any) -> Any:
        """Return what Pydantic is to print for a value that nothing has looked at yet.

        Raises:
            WireValueError: JSON has no form for the value.
        """
        raise NotImplementedError

    def _report(self, sentence: str) -> None:
        if not self._has_reported:
            self._has_reported = True
            _logger.warning("%s: %s", self.where, sentence)

    def _unexpected(self, expected: str) -> PydanticSerializationUnexpectedValue:
        # To Pydantic this means a warning, or a try of the next member of a union.
        return PydanticSerializationUnexpectedValue(f"Expected {expected} in {self.where}")


class Number(Rule):
    """A Decimal that travels as a JSON number, which is a double to nearly every reader."""

    __slots__ = ()

    def accept(self, value: Any) -> Any:
        """Take numbers, numeric strings and Decimals within the range of a double."""
        kind = type(value)
        if kind is float:
            return value  # what came in as a double can go out as one
        number = value if kind is Decimal else _decimal(value)
        try:
            _surely_fits(number)
        except ArithmeticError:
            if not self._is_in_range(number):
                raise PydanticCustomError(
                    "decimal_range", "Input should be within the range of a double"
                ) from None
        return number

    def convert(self, value: Any) -> Decimal:
        """Like `accept`, but return a Decimal."""
        return _decimal(self.accept(value))

    def keep(self, value: Any) -> Any:
        """Return a Decimal as it is if a double can stand for it."""
        if not isinstance(value, Decimal):
            return value
        try:
            _surely_fits(value)
        except ArithmeticError:
            fits = self._is_in_range(value)
        else:
            fits = value.is_finite()
        if not fits:
            raise WireValueError(
                f"{self.where}: no JSON number can stand for this Decimal, which is NaN, infinite "
                f"or beyond a double. Annotate the field with Money to send large ones as strings."
            )
        return value

    def send(self, value: Any) -> float:
        """Return the double nearest to a Decimal."""
        if not isinstance(value, Decimal):
            raise self._unexpected("Decimal")
        return float(self.keep(value))

    def _is_in_range(self, number: Decimal) -> bool:
        """Tell whether a double comes near `number`, and report if that is all it does."""
        if number.is_nan():
            return False
        nearest = float(number)
        if isinf(nearest):
            return False
        if Decimal(repr(nearest)) != number:
            self._report(
                "a Decimal has more digits than a JSON number carries and goes out as the nearest "
                'one. Annotate the field with Money, or give the class decimal_as="string", to '
                "keep every digit."
            )
        return True


class Exact(Rule):
    """A Decimal that travels as a string, digit for digit."""

    __slots__ = ()

    def accept(self, value: Any) -> Decimal:
        """Take numeric strings, whole numbers and Decimals."""
        if not isinstance(value, float):
            return _decimal(value)
        if value.is_integer() and abs(value) < _FIRST_WHOLE_GAP:
            return Decimal(int(value))
        raise PydanticCustomError(
            "decimal_inexact",
            'Input should be a string such as "19.99": a number may have lost digits on its way',
        )

    def keep(self, value: Any) -> Any:
        """Return a Decimal as it is if it is finite."""
        if isinstance(value, Decimal) and not value.is_finite():
            raise WireValueError(f"{self.where}: JSON has no form for NaN and infinity.")
        return value

    def send(self, value: Any) -> str:
        """Return the digits of a Decimal."""
        if not isinstance(value, Decimal):
            raise self._unexpected("Decimal")
        return str(self.keep(value))


class Instant(Rule):
    """A datetime that is kept and sent in UTC; one without a zone is taken as UTC and reported.

    Args:
        where: The field as the log names it.
        naive: Whether input without a zone is taken. If not, it is left to Pydantic to refuse.
    """

    __slots__ = ("_takes_naive",)

    def __init__(self, where: str, *, naive: bool = True) -> None:
        super().__init__(where)
        self._takes_naive = naive

    def at(self, where: str) -> Self:
        """Return a rule of the same kind for another field."""
        return type(self)(where, naive=self._takes_naive)

    def accept(self, value: Any) -> Any:
        """Take datetimes, dates and strings that Pydantic takes for them, but no numbers."""
        if type(value) is not datetime:
            value = _datetime(value)
        if value.tzinfo is UTC:
            return value
        if not self._takes_naive and value.utcoffset() is None:
            return value
        try:
            return self._in_utc(value)
        except OverflowError:
            raise PydanticCustomError(
                "datetime_range", "Input should be within the years 1 to 9999 in UTC"
            ) from None

    def keep(self, value: Any) -> Any:
        """Return a datetime in UTC."""
        if not isinstance(value, datetime) or value.tzinfo is UTC:
            return value
        try:
            return self._in_utc(value)
        except OverflowError:
            raise WireValueError(
                f"{self.where}: a datetime is outside of the years 1 to 9999 in UTC."
            ) from None

    def send(self, value: Any) -> Any:
        """Return a datetime in UTC."""
        if not isinstance(value, datetime):
            raise self._unexpected("datetime")
        return self.keep(value)

    def _in_utc(self, value: datetime) -> datetime:
        if value.utcoffset() is not None:
            return value.astimezone(UTC)
        self._report(
            "a datetime without a zone is taken as UTC. Give it one, or annotate the field with "
            "UtcDatetime to refuse such input or with NaiveDatetime to leave it alone."
        )
        return value.replace(tzinfo=UTC)


class Hex(Rule):
    """A `bson.ObjectId` that travels as 24 hexadecimal digits.

    Raises:
        MissingExtraError: pymongo is not installed.
    """

    __slots__ = ("_kind",)

    def __init__(self, where: str) -> None:
        super().__init__(where)
        self._kind = object_id_class()

    def accept(self, value: Any) -> Any:
        """Take an ObjectId or its digits."""
        if isinstance(value, self._kind):
            return value
        if isinstance(value, str) and _is_object_id(value):
            return self._kind(value)
        raise PydanticCustomError("object_id", "Input should be a string of 24 hexadecimal digits")

    def keep(self, value: Any) -> Any:
        """Return the value: every ObjectId can be sent."""
        return value

    def send(self, value: Any) -> str:
        """Return the digits of an ObjectId."""
        if not isinstance(value, self._kind):
            raise self._unexpected("ObjectId")
        return str(value)


def object_id_class() -> Any:
    """Return `bson.ObjectId`.

    Raises:
        MissingExtraError: pymongo, which brings `bson`, is not installed.
    """
    try:
        from bson import ObjectId  # noqa: PLC0415 - the core does without pymongo
    except ModuleNotFoundError as exc:
        if exc.name != "bson":
            raise  # a broken install says for itself what is wrong
        raise MissingExtraError("ObjectId", "mongo", package="pymongo") from exc
    return ObjectId


def loaded_class(module: str, name: str) -> Any:
    """Return a class of an optional package if the process has imported it, else `None`.

    Nothing can be an instance of a class that was never imported, so a test for it need not import.
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
    # Python takes more than NUMERIC says: digits of every script, underscores, space around.
    if "_" in text or not text.isascii() or text != text.strip():
        raise PydanticKnownError("decimal_parsing")
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise PydanticKnownError("decimal_parsing") from None
    if not number.is_finite():
        # Pydantic would refuse it too, but with NaN as the input, which no JSON body can hold.
        raise PydanticKnownError("finite_number")
    return number


def _datetime(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, str):
        return _datetime_of_text(value)
    if not isinstance(value, date):
        raise PydanticKnownError("datetime_type")
    parsed: datetime = _parse_datetime(value)
    return parsed


def _datetime_of_text(text: str) -> datetime:
    # Most clients send 2026-01-31T12:00:00Z, with or without a fraction: the fast way is for them.
    if text[4:20:3] in _PUNCTUATION and text.endswith("Z"):
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            pass  # a 13th month or the like: Pydantic has the words for it
    # A date has its year in front; what has not, Pydantic would take for seconds since 1970.
    if text[4:5] != "-":
        raise PydanticKnownError(
            "datetime_parsing", {"error": "expected a form such as 2026-01-31T12:00:00Z"}
        )
    parsed: datetime = _parse_datetime(text)
    return parsed
