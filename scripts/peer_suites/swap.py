"""A pytest plugin that puts a stand-in in place of the suite's app class, in this process only.

The processes that tests start get the same through `site/sitecustomize.py`.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

# Last: the suite's own `tests` and `scripts` must be found before those of this checkout.
sys.path.append(os.environ["PEER_SUITES_CHECKOUT"])

import fastapi
import fastapi.applications
import starlette.applications

from .stand_ins import FastAPIStandIn, StarletteStandIn

if TYPE_CHECKING:
    import pytest

_STOCK = {"FastAPI": fastapi.FastAPI, "Starlette": starlette.applications.Starlette}

if os.environ["PEER_SUITES_STAND_IN"] == "fastapi":
    fastapi.FastAPI = fastapi.applications.FastAPI = FastAPIStandIn  # type: ignore[misc]
    del _STOCK["Starlette"]
else:
    starlette.applications.Starlette = StarletteStandIn  # type: ignore[misc]
    del _STOCK["FastAPI"]


def pytest_runtest_teardown(item: pytest.Function) -> None:
    """Fail a test whose file has the stock class: it would say nothing about ours."""
    for name, stock in _STOCK.items():
        if getattr(item.module, name, None) is stock:
            raise RuntimeError(f"{item.module.__name__} imported {name} before it was swapped")
