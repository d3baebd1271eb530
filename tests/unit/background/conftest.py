"""Fixtures of the tests of background tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .support import Journal, Lines, lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Lines about background tasks, of every level."""
    with lines_of() as lines:
        yield lines


@pytest.fixture
def ran() -> Journal:
    """Names of what has run."""
    return Journal()
