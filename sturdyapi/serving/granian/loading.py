"""Loads the app in a worker."""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING, Any

from uvicorn.importer import ImportFromStringError, import_from_string
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from sturdyapi.serving.app_import import importing_app

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
        grace_seconds: float,
        server_log: ServerLog,
        is_factory: bool = False,
    ) -> None:
        """Remember what to load.

        Args:
            app: Such as `main:app`.
            trusted_proxies: Addresses and networks whose X-Forwarded headers are believed.
            grace_seconds: What requests get to finish if no app of ours says how much.
            server_log: For the lines of an app that has none of its own.
            is_factory: What is loaded is called to get the app.
        """
        self._app = app
        self._trusted_proxies = trusted_proxies
        self._grace_seconds = grace_seconds
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
        served: Any = ServedApp(app, shared, grace_seconds=self._grace_seconds)
        return ProxyHeadersMiddleware(served, trusted_hosts=[*self._trusted_proxies])
