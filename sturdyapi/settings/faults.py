"""How a value that is contradictory or refused reaches the report without being repeated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["REFUSAL", "Fault", "refusal"]

REFUSAL: Final = "sturdyapi_refusal"
"""Type of the Pydantic errors whose text is ours, and therefore holds no value."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Takes the place of a value that a source could not give; the field then reports it."""

    problem: str
    """What is wrong, such as `is not readable`."""
    expected: str = ""
    """What would be right, where the field's type does not say it."""


def refusal(
    problem: str, *, expected: str = "", paths: Sequence[tuple[str, ...]] = ((),)
) -> PydanticCustomError:
    """Return an error for a validator to raise.

    Args:
        problem: What is wrong. Never the value.
        expected: What would be right, where the field's type does not say it.
        paths: The names that lead from the field to each part that is at fault.
    """
    context = {"problem": problem, "expected": expected, "paths": paths}
    return PydanticCustomError(REFUSAL, "{problem}", context)
