"""What lives as long as the app does: pools, clients, a model in memory."""

from __future__ import annotations

from .adapter import Adapter, ConnectionCount
from .registry import ResourceRegistry, open_resources
from .resource import SCOPE_KEY, Resource, ResourceContext, resource

__all__ = [
    "SCOPE_KEY",
    "Adapter",
    "ConnectionCount",
    "Resource",
    "ResourceContext",
    "ResourceRegistry",
    "open_resources",
    "resource",
]
