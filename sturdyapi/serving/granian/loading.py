"""Loads the app in a worker."""

from __future__ import annotations

import sys
from logging import getLogger
from typing import TYPE_CHECKING, Any

from uvicorn.importer import ImportFromStringError, import_from_string
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from sturdyapi.exceptions import EX_CONFIG, EX_START, SettingsError
from sturdyapi.log.setup import unconfigure

from .served import ServedApp

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from sturdyapi.serving.server_log import ServerLog

    from .shared import Shared

__all__ = ["AppLoader"]

_log = getLogger("sturdyapi.serving")


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
        # To the app, which is going to set it up.
        unconfigure()
        app = self._load()
        self._server_log.begin()
        served: Any = ServedApp(app, shared)
        return ProxyHeadersMiddleware(served, trusted_hosts=[*self._trusted_proxies])

    def _load(self) -> Any:
        try:
            app = import_from_string(self._app)
            return app() if self._is_factory else app
        except SettingsError as error:
            _end_with(str(error), EX_CONFIG)
        except ImportFromStringError as error:
            _end_with(str(error), EX_START)
        except Exception:  # noqa: BLE001 - of the user's; it is logged
            self._server_log.begin()
            _log.exception("The app can't be imported")
            sys.exit(EX_START)


def _end_with(message: str, exit_code: int) -> NoReturn:
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()
    sys.exit(exit_code)
