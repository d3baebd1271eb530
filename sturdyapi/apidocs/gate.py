"""The docs gate: decides about each documentation response when it starts.

It looks at the endpoint that was matched, not at the path, so that mounted apps, hosts, custom URLs
and apps mounted later are covered.
"""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING, Any, TypeAlias

from fastapi import FastAPI
from fastapi.params import Depends
from fastapi.routing import APIRoute
from starlette._exception_handler import wrap_app_handling_exceptions
from starlette._utils import get_route_path
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from . import pages

if TYPE_CHECKING:
    from collections.abc import MutableSequence

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

DocsAccess: TypeAlias = bool | Depends
"""`True`: everyone. `False`: no one. A `Depends(...)`: whoever it lets through."""

_HOMES = frozenset({"fastapi.applications", pages.__name__})
"""Modules whose endpoints are documentation: FastAPI defines its own inside `FastAPI.setup`."""

_MAX_LAYERS = 32
"""Middleware of a mount, through which its app is looked for."""
_NO_CONTENT = 204


class DocsGate:
    """Lets documentation responses through, or puts another answer in their place.

    Attributes:
        access: Who may see the documentation.
        explicit: Chosen by the app's author, who decides for the apps mounted inside as well.
    """

    def __init__(self, access: DocsAccess, *, explicit: bool, overrides_provider: object) -> None:
        """Make the gate of one app.

        Args:
            access: Who may see the documentation.
            explicit: Chosen by the author rather than by the environment.
            overrides_provider: The app, for its `dependency_overrides`.
        """
        self.access = access
        self.explicit = explicit
        self._check: ASGIApp | None = None
        if isinstance(access, Depends):
            self._check = APIRoute(
                "/",
                _allowed,
                dependencies=[access],
                dependency_overrides_provider=overrides_provider,
            ).app

    def guards(self, scope: Scope) -> bool:
        """Tell whether the matched endpoint is documentation."""
        endpoint = scope.get("endpoint")
        if isinstance(endpoint, FunctionType):
            return endpoint.__module__ in _HOMES
        return endpoint is not None and _is_page_of_mounted(endpoint, scope)

    async def decide(self, scope: Scope, receive: Receive) -> ASGIApp | None:
        """Return what answers in place of a documentation response, or `None` to let it through.

        A closed gate answers as for a path that does not exist. So does an open one once
        `openapi_url` of the matched app was set to `None`, which FastAPI notices in its pages only.
        """
        is_offered = bool(getattr(scope.get("app"), "openapi_url", None))
        if self.access is True and is_offered:
            return None
        if self._check is None or not is_offered:
            return wrap_app_handling_exceptions(_not_found, Request(scope, receive))
        return await _refusal(self._check, scope, receive)


def _is_page_of_mounted(endpoint: object, scope: Scope) -> bool:
    """Tell by its path whether a response of a mounted app is documentation.

    The endpoint of a mount is the mounted app. It stays that when the app answers without an
    endpoint, by a redirect or a middleware, or when a middleware routes on a copy of the scope.
    """
    app = _mounted_fastapi(endpoint)
    if app is None or not app.openapi_url:
        return False
    pages_of_app = (
        app.openapi_url, app.docs_url, app.redoc_url, app.swagger_ui_oauth2_redirect_url
    )  # fmt: skip
    return get_route_path(scope) in pages_of_app


def _mounted_fastapi(endpoint: object) -> FastAPI | None:
    app: Any = endpoint
    for _ in range(_MAX_LAYERS):
        if app is None or isinstance(app, FastAPI):
            return app
        app = getattr(app, "app", None)
    return None


async def _allowed() -> Response:
    return Response(status_code=_NO_CONTENT)


async def _not_found(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise HTTPException(404)


async def _refusal(check: ASGIApp, scope: Scope, receive: Receive) -> ASGIApp | None:
    """Run the dependency as a request of its own and return its refusal, if it refused."""
    messages: list[Message] = []

    async def keep(message: Message) -> None:
        messages.append(message)

    await check({**scope, "path_params": {}}, receive, keep)
    if messages[0]["status"] == _NO_CONTENT:
        return None
    return _Replay(messages)


class _Replay:
    """Sends messages that were kept."""

    def __init__(self, messages: MutableSequence[Message]) -> None:
        self._messages = messages

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        for message in self._messages:
            await send(message)
