"""The adapters that the contract suite holds to the contract: a new one is one line here."""

from __future__ import annotations

from .harness import Harness
from .harnesses.postgres import PostgresHarness

__all__ = ["HARNESSES"]

HARNESSES: dict[str, type[Harness]] = {
    "postgres": PostgresHarness,
}
"""By the name of the module in `sturdyapi.contrib`."""
