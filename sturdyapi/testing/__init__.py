"""Tools for testing a service.

    from sturdyapi.testing import client

    with client(app, as_={current_user: alice}) as c:
        assert c.get("/orders").status_code == 200

The names are loaded when they are first used: pytest imports this package on every run, for the
plugin in it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .clients import AppUnderTest, AsyncServiceClient, ServiceClient, client

__all__ = ["AppUnderTest", "AsyncServiceClient", "ServiceClient", "client"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    value = getattr(import_module(f"{__name__}.clients"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
