"""Uvicorn's configuration, with an import of the app that says in one message what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.importer import ImportFromStringError

from sturdyapi.serving.app_import import importing_app

if TYPE_CHECKING:
    from sturdyapi.serving.server_log import ServerLog

__all__ = ["Config"]


class Config(uvicorn.Config):
    """A `uvicorn.Config` that workers inherit together with the form of the log."""

    def __init__(self, *args: Any, server_log: ServerLog, **options: Any) -> None:
        """Make one; the other arguments are Uvicorn's."""
        super().__init__(*args, **options)
        self.server_log = server_log

    def load(self) -> None:
        """Import what is needed to serve, the app included."""
        with importing_app(self.server_log, ImportFromStringError):
            super().load()
