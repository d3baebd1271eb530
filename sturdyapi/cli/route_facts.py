"""What an app serves, read from its routes: works for any FastAPI or Starlette app.

Nothing is started and no endpoint runs. The order is that in which a request tries the routes, so
that one which can never be reached is seen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from fastapi import FastAPI
from fastapi.dependencies.models import (
    Dependant,
    _is_async_gen_callable,
    _is_coroutine_callable,
)
from fastapi.dependencies.utils import get_parameterless_sub_dependant
from fastapi.params import Depends
from fastapi.routing import (
    APIRoute,
    APIWebSocketRoute,
    _FrontendRouteGroup,
    _join_frontend_paths,
    iter_route_contexts,
)
from fastapi.security.base import SecurityBase
from starlette.endpoints import HTTPEndpoint
from starlette.routing import Host, Mount, Route, WebSocketRoute

from sturdyapi.apidocs import DocsGate
from sturdyapi.app import SturdyAPI
from sturdyapi.ownership import ownership_of
from sturdyapi.serving.asgi import layers_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi.routing import RouteContext

__all__ = ["Lane", "RouteFacts", "facts_of", "with_routes"]

Lane = Literal["loop", "thread", "socket", "app"]
"""Where an endpoint runs: on the event loop, in a thread of the pool, as a websocket, or in another
ASGI app, which decides for itself.
"""

_DOCS = DocsGate(access=True, explicit=False, overrides_provider=None)
_GIVES_USER = re.compile(
    r"(^|_)"
    r"(user|admin|principal|identity|role|permission|login|token|jwt|credential|api_key"
    r"|auth|authenticate|authenticated|authentication|authorize|authorized|authorization)s?"
    r"(_(id|required|checker))?$"
)
"""What a function is called that gives the user; not so `get_user_service` and `user_agent`."""
_GIVES_NO_USER = re.compile("csrf|xsrf")


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteFacts:
    """One route as a client meets it; the fields are those of `sturdyapi routes --json`."""

    methods: tuple[str, ...] = ()
    """In alphabetical order; empty for a websocket, and for an app that takes any."""
    path: str
    """With the prefixes of all routers and mounts; a parameter is `{name}`."""
    host: str | None = None
    """The only host that it is served at; `None` for every one."""
    endpoint: str
    """`module:function`."""
    auth: tuple[str, ...] = ()
    """Security schemes, or `function()` of what gives the user."""
    owner: tuple[str, ...] = ()
    """As it is written: `owned(find_order)`."""
    lane: Lane
    stream: Literal["sse", "jsonl"] | None = None
    """The form in which a generator is sent."""
    docs: bool = False
    """In the OpenAPI document; of a page of the documentation: served at all."""
    shadowed_by: str | None = None
    """Path of the earlier route that takes every request of this one."""


def facts_of(app: Any) -> list[RouteFacts]:
    """Return what an app serves, one entry a route, in the order in which they are tried."""
    earlier: list[_Pattern] = []
    facts = []
    for found, pattern in _served(app, _Place()):
        if found is not None:
            facts.append(replace(found, shadowed_by=_shadow(pattern, earlier)))
        earlier.append(pattern)
    return facts


def with_routes(app: object) -> Any:
    """Return the app that has the routes, inside of the middleware around it; `None` if none."""
    layers = layers_of(app)
    return next((each for each in layers if isinstance(getattr(each, "routes", None), list)), None)


# The walk.


class _Pattern(NamedTuple):
    """What requests a route takes."""

    path: str
    kind: Literal["http", "websocket", "any"]
    methods: frozenset[str] | None
    host: str | None
    expression: str | None
    """Of the whole path; `None` if it is not known."""
    literal: str | None = None
    """The one path that it takes, if it has no parameters."""


class _Place(NamedTuple):
    """Where in the tree of apps a route is."""

    path: str = ""
    expression: str = ""
    host: str | None = None
    gate: DocsGate | None = None
    """Decides about the documentation."""

    def entered(self, app: object) -> _Place:
        """Return the place with the gate that holds inside of `app`."""
        gate = getattr(app, "docs_gate", None)
        if not isinstance(gate, DocsGate) or (self.gate is not None and not gate.explicit):
            return self
        return self._replace(gate=gate)

    def below(self, mount: RouteContext) -> _Place:
        """Return the place of what is mounted."""
        path = (mount.path_format or "").removesuffix("/{path}")
        expression = _expression(mount.path_regex).removesuffix("/(.*)")
        return self._replace(path=self.path + path, expression=self.expression + expression)


_Served = tuple[RouteFacts | None, _Pattern]
"""A route; without facts, what a mount takes besides the routes that are in it."""


def _served(app: Any, place: _Place) -> Iterator[_Served]:
    place = place.entered(app)
    if isinstance(app, SturdyAPI):
        yield from _health(app, place)
    for context in iter_route_contexts(app.routes):
        yield from _route(context, app, place)
    low_priority = getattr(getattr(app, "router", app), "_iter_low_priority_routes", None)
    for route in low_priority() if low_priority else ():
        yield from _frontend(route, place)


def _route(context: RouteContext, app: Any, place: _Place) -> Iterator[_Served]:
    route: Any = context.original_route
    if isinstance(route, Host):
        yield from _mounted(context.app, place._replace(host=context.host))
    elif isinstance(route, Mount):
        yield from _mounted(context.app, place.below(context))
    elif isinstance(route, APIRoute):
        yield _row(context, place, _api_facts(context))
    elif isinstance(route, APIWebSocketRoute):
        yield _row(context, place, {"lane": "socket", **_guards(context.dependant)})
    elif isinstance(route, WebSocketRoute):
        yield _row(context, place, {"lane": "socket"})
    elif isinstance(route, Route):
        yield _row(context, place, _starlette_facts(context, app, place))
    else:
        yield _row(context, place, {"lane": "app", "endpoint": _name(route)})


def _row(context: RouteContext, place: _Place, facts: dict[str, Any]) -> _Served:
    path = place.path + (context.path_format or context.path or "/{path}")
    named = {"methods": tuple(sorted(context.methods or ())), "endpoint": _name(context.endpoint)}
    found = RouteFacts(path=path, host=place.host, **{**named, **facts})
    regex = getattr(context, "path_regex", None)
    return found, _Pattern(
        path=path,
        kind="websocket" if found.lane == "socket" else "http",
        # Those of an endpoint class are its own: it takes any request, and may answer 405.
        methods=frozenset(context.methods or ()) or None,
        host=place.host,
        expression=place.expression + _expression(regex) if regex else None,
        literal=None if "{" in path else path,
    )


def _mounted(app: Any, place: _Place) -> Iterator[_Served]:
    inner = with_routes(app)
    if inner is not None:
        yield from _served(inner, place)
    everything = _Pattern(
        path=f"{place.path}/{{path}}",
        kind="any",
        methods=None,
        host=place.host,
        expression=place.expression + "/(.*)",
    )
    # What has no routes is one row; else the rows are there, and nothing comes behind them.
    opaque = RouteFacts(path=everything.path, host=place.host, endpoint=_name(app), lane="app")
    yield (opaque if inner is None else None), everything


def _frontend(candidate: Any, place: _Place) -> Iterator[_Served]:
    group = getattr(candidate, "original_route", candidate)
    if not isinstance(group, _FrontendRouteGroup):
        return
    for route in group.routes:
        prefix = getattr(candidate, "frontend_prefix", "")
        local = _join_frontend_paths(prefix, route.path).rstrip("/")
        found = RouteFacts(
            methods=tuple(sorted(route.methods)),
            path=f"{place.path}{local}/{{path}}",
            host=place.host,
            endpoint=_name(route.app),
            lane="app",
            **_guards(candidate.dependant),
        )
        # The path itself as well, unlike a mount.
        expression = place.expression + (f"{re.escape(local)}(/.*)?" if local else "/(.*)")
        methods = frozenset(found.methods)
        yield found, _Pattern(found.path, "http", methods, place.host, expression)


def _health(app: SturdyAPI, place: _Place) -> Iterator[_Served]:
    if app.health is None:
        return
    contexts = iter_route_contexts(app.routes)
    taken = {each.path_format for each in contexts if isinstance(each.original_route, APIRoute)}
    for path in sorted(app.health.paths - taken):
        found = RouteFacts(
            methods=("GET", "HEAD"),
            path=place.path + path,
            host=place.host,
            endpoint=_name(app.health),
            lane="loop",
        )
        expression = place.expression + re.escape(path)
        literal = None if "{" in place.path else found.path
        methods = frozenset(found.methods)
        yield found, _Pattern(found.path, "http", methods, place.host, expression, literal)


# One route.


def _api_facts(context: RouteContext) -> dict[str, Any]:
    stream = "sse" if context.is_sse_stream else "jsonl" if context.is_json_stream else None
    return {
        "lane": _lane(context.dependant.call),
        "stream": stream,
        "docs": context.include_in_schema,
        **_guards(context.dependant),
    }


def _starlette_facts(context: RouteContext, app: Any, place: _Place) -> dict[str, Any]:
    endpoint: Any = context.endpoint
    if isinstance(endpoint, type) and issubclass(endpoint, HTTPEndpoint):
        handlers = {each: getattr(endpoint, each.lower(), None) for each in _VERBS}
        handlers = {verb: handler for verb, handler in handlers.items() if handler is not None}
        lanes = set(map(_lane, handlers.values()))
        methods = {*handlers, "HEAD"} if "GET" in handlers else {*handlers}
        lane = "thread" if "thread" in lanes else "loop"
        return {"methods": tuple(sorted(methods)), "lane": lane}
    if isinstance(endpoint, type) or context.methods is None:
        return {"lane": "app"}
    if not _DOCS.guards({"endpoint": endpoint}):
        return {"lane": _lane(endpoint)}
    access = place.gate.access if place.gate is not None else True
    is_served = access is not False and isinstance(app, FastAPI) and bool(app.openapi_url)
    guards: dict[str, Any] = {}
    if isinstance(access, Depends):
        before = get_parameterless_sub_dependant(depends=access, path="/")
        guards = _guards(Dependant(dependencies=[before]))
    return {"lane": _lane(endpoint), "docs": is_served, **guards}


_VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY")


def _lane(call: Any) -> Lane:
    is_async = _is_coroutine_callable(call) or _is_async_gen_callable(call)
    return "loop" if is_async else "thread"


def _guards(dependant: Dependant) -> dict[str, Any]:
    ownership = ownership_of(dependant)
    dependencies = list(_dependencies(dependant))
    calls: list[Any] = [each.call for each in dependencies]
    auth = [call.scheme_name for call in calls if isinstance(call, SecurityBase)]
    if not auth:
        users = [f"{_short(each.call)}()" for each in dependencies if _gives_user(each)]
        auth = [*map(_without_scope, ownership.users), *users]
    return {"auth": tuple(dict.fromkeys(auth)), "owner": ownership.rules}


def _dependencies(dependant: Dependant) -> Iterator[Dependant]:
    for child in dependant.dependencies:
        yield from _dependencies(child)
        yield child


def _gives_user(dependant: Dependant) -> bool:
    """Tell by its name, and by what it takes: `find_user(user_id)` loads what a path names."""
    if dependant.path_params or dependant.body_params:
        return False
    name = _short(dependant.call).rpartition(".")[2]
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return bool(_GIVES_USER.search(snake)) and not _GIVES_NO_USER.search(snake)


def _name(call: Any) -> str:
    while isinstance(call, partial):
        call = call.func
    named = call if hasattr(call, "__qualname__") else type(call)
    return f"{named.__module__}:{_short(named)}"


def _short(call: Any) -> str:
    while isinstance(call, partial):
        call = call.func
    return _without_scope(getattr(call, "__qualname__", type(call).__qualname__))


def _without_scope(qualified_name: str) -> str:
    return qualified_name.rpartition("<locals>.")[2]


# What takes the requests of what.


def _expression(regex: re.Pattern[str]) -> str:
    """Return a route's expression without `^` and `$`, and without the names of parameters."""
    return re.sub(r"\?P<\w+>", "", regex.pattern[1:-1])


def _shadow(later: _Pattern, earlier: list[_Pattern]) -> str | None:
    """Return the path of what takes every request that a route could get."""
    takers = [each for each in earlier if _takes(each, later)]
    if later.methods is None:
        return next((each.path for each in takers if each.methods is None), None)
    left = later.methods
    for each in takers:
        left -= left if each.methods is None else each.methods
        if not left:
            return each.path
    return None


def _takes(earlier: _Pattern, later: _Pattern) -> bool:
    """Tell whether a path that `later` matches is sure to be matched by `earlier`, at its host."""
    if earlier.expression is None or later.expression is None:
        return False
    if earlier.kind not in (later.kind, "any") or earlier.host not in (None, later.host):
        return False
    if later.literal is not None:
        return re.fullmatch(earlier.expression, later.literal) is not None
    below = earlier.expression.removesuffix("(.*)") if earlier.kind == "any" else None
    return earlier.expression == later.expression or (
        below is not None and later.expression.startswith(below)
    )
