"""The one hook that sees every route, whichever router made it.

FastAPI keeps included routers as a tree and builds each route anew for each inclusion. The hook
walks that tree when it has changed and works on those copies, so that the same router in a plain
FastAPI app stays as it was.
"""

from __future__ import annotations

import copy
import sys
from dataclasses import dataclass
from functools import wraps
from logging import getLogger
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any
from weakref import finalize

from fastapi.dependencies import models as dependency_models
from fastapi.routing import APIRoute, iter_route_contexts, request_response
from fastapi.utils import create_model_field
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.responses import Response

from .wire import Encoder, WireRules, needs_rules

try:
    from fastapi._body_limit import wrap_app_with_body_limit
    from fastapi.routing import (
        _effective_route_context_var,
        _endpoint_context_cache,
        _extract_endpoint_context,
    )
except ImportError:  # pragma: no cover - a FastAPI newer than the tested ones
    SUPPORTED = False
else:
    SUPPORTED = True

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Container, Iterator, Sequence

    from fastapi import APIRouter
    from fastapi.dependencies.models import Dependant

__all__ = ["RouteHook", "RouteView", "RouteWatch", "apply_wire_rules"]

_log = getLogger("sturdyapi.routing")


@dataclass(frozen=True, slots=True)
class RouteView:
    """One API route as one app serves it.

    Attributes:
        route: The route as it was declared.
        state: What FastAPI serves: the copy made for this inclusion, or the route itself.
    """

    route: APIRoute
    state: Any

    @property
    def dependant(self) -> Dependant:
        """The endpoint with its dependencies; its `call` may be replaced."""
        return self.state.dependant  # type: ignore[no-any-return]

    @property
    def name(self) -> str:
        """Method and path, for messages."""
        methods = ",".join(sorted(self.state.methods or ()))
        return f"{methods} {self.state.path_format}"

    @property
    def is_rebuildable(self) -> bool:
        """Whether the handler is FastAPI's: one that the route's author put there must stay."""
        handler = self.state.app
        if isinstance(handler, RequestBodyLimitMiddleware):
            handler = getattr(handler.app, "app", None)
        return getattr(handler, "__qualname__", "") == "request_response.<locals>.app"

    def replace_call(self, call: Callable[..., Any]) -> None:
        """Put a wrapper in place of the endpoint, of which errors still tell file and line."""
        replaced, self.dependant.call = self.dependant.call, call
        if replaced is not None:
            # FastAPI knows an endpoint by the id of the call.
            _endpoint_context_cache[id(call)] = _extract_endpoint_context(replaced)
            finalize(call, _endpoint_context_cache.pop, id(call), None)

    def rebuild(self) -> None:
        """Make the handler anew, after a field of `state` was replaced."""
        token = _effective_route_context_var.set(None if self.state is self.route else self.state)
        try:
            handler = request_response(self.route.get_route_handler())
        finally:
            _effective_route_context_var.reset(token)
        self.state.app = wrap_app_with_body_limit(handler, self.state.max_body_size)


if TYPE_CHECKING:
    RouteHook = Callable[[RouteView], None]


_changes_of = attrgetter("_routes_version")
"""FastAPI's own change counter of a router."""


class RouteWatch:
    """Shows every API route of an app to the hooks, once, and new ones when they appear."""

    def __init__(self, router: APIRouter, hooks: Sequence[RouteHook]) -> None:
        """Watch `router`, the app's own, and all routers included in it."""
        self._router = router
        self._hooks = hooks if SUPPORTED else ()
        self._routers: tuple[APIRouter, ...] = (router,)
        self._version = -1
        self._seen: dict[int, Any] = {}

    def refresh(self) -> None:
        """Look for new routes if any router has changed; costs well under a microsecond if not."""
        if self._hooks and self._current_version() != self._version:
            self._walk()

    def _current_version(self) -> int:
        # The length notices what was put into the list by hand, which FastAPI does not count.
        version: int = sum(map(_changes_of, self._routers), len(self._router.routes))
        return version

    def _walk(self) -> None:
        self._routers = tuple(_included_routers(self._router))
        self._version = self._current_version()
        _own_foreign_routes(self._router, self._seen)
        seen: dict[int, Any] = {}
        for context in iter_route_contexts(self._router.routes):
            if not isinstance(context.original_route, APIRoute):
                continue
            state = context._effective_route  # noqa: SLF001 - what this inclusion serves
            seen[id(state)] = state
            if id(state) not in self._seen:
                self._show(RouteView(context.original_route, state))
        self._seen = seen

    def _show(self, view: RouteView) -> None:
        # FastAPI never forgets an endpoint, and a new one may have the id of one that is gone.
        _endpoint_context_cache.pop(id(view.dependant.call), None)
        for hook in self._hooks:
            try:
                hook(view)
            except Exception:  # noqa: BLE001 - a surprise leaves that route to FastAPI
                _log.exception("%s keeps FastAPI's own handling: a hook failed", view.name)


def _included_routers(router: APIRouter) -> Iterator[APIRouter]:
    pending, seen = [router], set[int]()
    while pending:
        current = pending.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        children = (getattr(route, "original_router", None) for route in current.routes)
        pending.extend(child for child in children if child is not None)


def _own_foreign_routes(router: APIRouter, seen: Container[int]) -> None:
    """Put copies in place of ready-made routes: another app may serve the same objects."""
    app = router.dependency_overrides_provider
    for position, route in enumerate(router.routes):
        if not isinstance(route, APIRoute) or id(route) in seen:
            continue
        if route.dependency_overrides_provider is not app:
            own = copy.copy(route)
            own.dependant = copy.copy(route.dependant)
            router.routes[position] = own
            view = RouteView(own, own)
            if view.is_rebuildable:
                view.rebuild()


def apply_wire_rules(view: RouteView) -> None:
    """Let a route without a model of ours answer by the same rules as one with it.

    Source:
        `sturdyapi.wire`.
    """
    state = view.state
    if state.is_sse_stream or state.is_json_stream:
        if state.stream_item_field is None:
            _wrap_call(view, _encoder(view))
        elif needs_rules(state.stream_item_type) and view.is_rebuildable:
            state.stream_item_field = _ruled_field(
                state.stream_item_field.name, state.stream_item_type, view
            )
            view.rebuild()
        if state.stream_item_field is not None and "asyncpg" in sys.modules:
            _wrap_call(view, _dict_rows)
    elif state.response_field is None:
        _wrap_call(view, _encoder(view))
    else:
        if needs_rules(state.response_model) and view.is_rebuildable:
            state.response_field = _ruled_field(
                state.response_field.name, state.response_model, view
            )
            view.rebuild()
        if "asyncpg" in sys.modules:
            _wrap_call(view, _dict_rows)


def _encoder(view: RouteView) -> Callable[[Any], Any]:
    encode = Encoder(f"{view.name} response")

    def encoded(value: Any) -> Any:
        # A response of the user's own is sent as it is; it may hold a whole request.
        return value if isinstance(value, Response) else encode(value)

    return encoded


def _ruled_field(name: str, annotation: Any, view: RouteView) -> Any:
    ruled = Annotated[annotation, WireRules(where=f"{view.name} response")]
    return create_model_field(name=name, type_=ruled, mode="serialization")


def _dict_rows(value: Any) -> Any:
    """Turn asyncpg's records, which are no mappings, into dicts that a response model takes.

    Of a list only the first item is looked at, which costs nothing for a list of dicts.
    """
    if isinstance(value, list):
        return [_dict_rows(item) for item in value] if value and _is_record(value[0]) else value
    if type(value) is dict:
        return {key: _dict_rows(item) for key, item in value.items()}
    return dict(value.items()) if _is_record(value) else value


def _is_record(value: Any) -> bool:
    asyncpg = sys.modules.get("asyncpg")
    return asyncpg is not None and isinstance(value, asyncpg.Record)


def _wrap_call(view: RouteView, convert: Callable[[Any], Any]) -> None:
    call = view.dependant.call
    if call is not None:
        view.replace_call(_converted(call, convert))


def _converted(call: Callable[..., Any], convert: Callable[[Any], Any]) -> Callable[..., Any]:
    """Return `call` with its result converted; of the same kind, since FastAPI looks at it."""
    if dependency_models._is_async_gen_callable(call):  # noqa: SLF001

        @wraps(call)
        async def async_generator(**values: Any) -> AsyncIterator[Any]:
            async for item in call(**values):
                yield convert(item)

        return async_generator

    if dependency_models._is_gen_callable(call):  # noqa: SLF001

        @wraps(call)
        def generator(**values: Any) -> Iterator[Any]:
            for item in call(**values):
                yield convert(item)

        return generator

    if dependency_models._is_coroutine_callable(call):  # noqa: SLF001

        @wraps(call)
        async def coroutine(**values: Any) -> Any:
            return convert(await call(**values))

        return coroutine

    @wraps(call)
    def function(**values: Any) -> Any:
        return convert(call(**values))

    return function
