"""Loads the app in a worker."""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING, Any

from uvicorn.importer import ImportFromStringError, import_from_string
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from sturdyapi.serving.app_import import importing_app
from sturdyapi.serving.asgi import nameless

from .served import ServedApp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sturdyapi.serving.server_log import ServerLog
    from sturdyapi.serving.shared import Shared

__all__ = ["AppLoader"]


class AppLoader:
    """Loads an app; a worker without an app ends."""

    def __init__(
        self,
        app: str,
        *,
        trusted_proxies: Sequence[str],
        server_log: ServerLog,
        is_factory: bool = False,
    ) -> None:
        """Remember what to load.

        Args:
            app: Such as `main:app`.
            trusted_proxies: Addresses and networks whose X-Forwarded headers are believed.
            server_log: For the lines of an app that has none of its own.
            is_factory: What is loaded is called to get the app.
        """
        self._app = app
        self._trusted_proxies = trusted_proxies
        self._server_log = server_log
        self._is_factory = is_factory

    def __call__(self, shared: Shared) -> Any:
        """Return the app, as Granian is to serve it in this worker."""
        # It may choose once how processes of its own start.
        multiprocessing.set_start_method(None, force=True)
        with importing_app(self._server_log, ImportFromStringError):
            app = import_from_string(self._app)
            if self._is_factory:
                app = app()
        served: Any = ServedApp(nameless(app), shared)
        return ProxyHeadersMiddleware(served, trusted_hosts=[*self._trusted_proxies])
