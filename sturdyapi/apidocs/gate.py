"""The docs gate: decides about each documentation response when it starts.

It looks at the endpoint that was matched, not at the path, so that mounted apps, hosts, custom URLs
and apps mounted later are covered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from fastapi.params import Depends
from fastapi.routing import APIRoute
from starlette._exception_handler import wrap_app_handling_exceptions
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
        return getattr(scope.get("endpoint"), "__module__", None) in _HOMES

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
