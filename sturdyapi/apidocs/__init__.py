"""Who may see the API's documentation, and Swagger UI without a CDN."""

from __future__ import annotations

from .gate import DocsAccess, DocsGate
from .pages import use_packaged_swagger_ui

__all__ = ["DocsAccess", "DocsGate", "use_packaged_swagger_ui"]
