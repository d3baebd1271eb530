"""Each test of the contract runs once for every adapter."""

from __future__ import annotations

import pytest

from .harness import Harness
from .registry import HARNESSES


@pytest.fixture(params=HARNESSES)
def harness(request: pytest.FixtureRequest) -> Harness:
    """One adapter, on a server that is not to be disturbed."""
    return HARNESSES[request.param].live(request)


@pytest.fixture(params=HARNESSES)
def own_harness(request: pytest.FixtureRequest) -> Harness:
    """One adapter, on a server that may be killed and frozen."""
    return HARNESSES[request.param].own(request)
