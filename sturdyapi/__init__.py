"""FastAPI with fifteen production practices on by default.

Nothing is read, connected or configured by an import. The names below are loaded when they are
first used (PEP 562), so that a tool that needs one module does not pay for the rest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .app import SturdyAPI, create_app
    from .background import BackgroundTasks
    from .context import bind, bound, current_request_id, run_blocking
    from .cors import Cors
    from .models import BaseModel, Money, ObjectId, UtcDatetime
    from .ownership import found, must, owned
    from .resources import Resource, ResourceContext, open_resources, resource
    from .settings import BaseSettings, Dsn, settings_of

__version__ = "0.1.0"

__all__ = [
    "BackgroundTasks",
    "BaseModel",
    "BaseSettings",
    "Cors",
    "Dsn",
    "Money",
    "ObjectId",
    "Resource",
    "ResourceContext",
    "SturdyAPI",
    "UtcDatetime",
    "__version__",
    "bind",
    "bound",
    "create_app",
    "current_request_id",
    "found",
    "must",
    "open_resources",
    "owned",
    "resource",
    "run_blocking",
    "settings_of",
]

_HOMES = {
    "BackgroundTasks": "background",
    "BaseModel": "models",
    "BaseSettings": "settings",
    "Cors": "cors",
    "Dsn": "settings",
    "Money": "models",
    "ObjectId": "models",
    "Resource": "resources",
    "ResourceContext": "resources",
    "SturdyAPI": "app",
    "UtcDatetime": "models",
    "bind": "context",
    "bound": "context",
    "create_app": "app",
    "current_request_id": "context",
    "found": "ownership",
    "must": "ownership",
    "open_resources": "resources",
    "owned": "ownership",
    "resource": "resources",
    "run_blocking": "context",
    "settings_of": "settings",
}


def __getattr__(name: str) -> Any:
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module 'sturdyapi' has no attribute '{name}'") from None
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
