"""`create_app()`: FastAPI with the practices wired in. Each practice has its own module."""

from __future__ import annotations

import math
import re
import sys
import warnings
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from logging import getLogger
from typing import TYPE_CHECKING, Any, Literal, cast

from anyio import to_thread
from fastapi import FastAPI
from fastapi._body_limit import validate_max_body_size
from fastapi.routing import iter_route_contexts
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.routing import Host, Mount, Router

from . import draining, log
from .apidocs import DocsGate, use_packaged_swagger_ui
from .background import TaskWatch
from .cors import Cors
from .exceptions import (
    ConfigurationError,
    SturdyDeprecationWarning,
    SturdyError,
    SturdyWarning,
    did_you_mean,
)
from .fastapi_options import FastAPIOptions
from .health import Check, Health
from .lifespans import as_lifespans, closing_stack, has_own_lifespan, run_handlers
from .middleware import (
    LastResponses,
    LayerOptions,
    RequestLayer,
    ScopeKeeper,
    omit_access_line,
)
from .ownership import describe_ownership
from .problems import describe_problems, exception_handlers
from .resources import SCOPE_KEY as RESOURCES_KEY
from .resources import ResourceRegistry
from .routing import RouteWatch, apply_wire_rules
from .settings import SCOPE_KEY as SETTINGS_KEY
from .settings import BaseSettings, secret_values
from .telemetry import may_skip, nothing_is_set_up

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager, AsyncExitStack

    from fastapi import APIRouter
    from fastapi.types import DecoratedCallable
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Message, Receive, Scope, Send
    from typing_extensions import Unpack

    from .apidocs import DocsAccess
    from .health import Phase
    from .lifespans import LifespanLike
    from .resources import Resource
    from .routing import RouteHook, RouteView

__all__ = ["AppOptions", "SturdyAPI", "create_app", "mounted_apps"]

_DOCS_URLS = ("openapi_url", "docs_url", "redoc_url")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_log = getLogger("sturdyapi")


class AppOptions(FastAPIOptions, total=False):
    """Keywords of `create_app()` and `SturdyAPI`: ours here, FastAPI's inherited."""

    routers: Sequence[APIRouter]
    resources: Sequence[Resource[Any]]
    lifespan: LifespanLike | Sequence[LifespanLike] | None
    docs: DocsAccess | None
    errors: Literal["problem", "fastapi"]
    wire: Literal["sturdy", "fastapi"]
    health: str | None
    request_id_header: str | None
    security_headers: bool
    cors: Cors | Sequence[str] | None
    logs: bool
    watch_blocking_seconds: float | None
    watch_background_seconds: float | None
    threads: int | None
    max_body_size: int | None
    fast: bool


class SturdyAPI(FastAPI):
    """A FastAPI app with the practices on; what `create_app()` returns.

    Attributes:
        settings: The loaded settings.
        resources: What is open while the app runs: `app.resources[pg]`.
        docs_gate: Who may see the documentation.
        health: The health endpoints, or `None`.
    """

    def __init__(
        self,
        settings: type[BaseSettings] | BaseSettings = BaseSettings,
        *,
        routers: Sequence[APIRouter] = (),
        resources: Sequence[Resource[Any]] = (),
        lifespan: LifespanLike | Sequence[LifespanLike] | None = None,
        docs: DocsAccess | None = None,
        errors: Literal["problem", "fastapi"] = "problem",
        wire: Literal["sturdy", "fastapi"] = "sturdy",
        health: str | None = "/health",
        request_id_header: str | None = "X-Request-ID",
        security_headers: bool = True,
        cors: Cors | Sequence[str] | None = None,
        logs: bool = True,
        watch_blocking_seconds: float | None = None,
        watch_background_seconds: float | None = 5.0,
        threads: int | None = None,
        max_body_size: int | None = 1024 * 1024,
        fast: bool = True,
        **fastapi: Any,
    ) -> None:
        """Make an app; the keywords are those of `create_app()`."""
        _refuse_unknown("errors", errors, ("problem", "fastapi"))
        _refuse_unknown("wire", wire, ("sturdy", "fastapi"))
        _refuse_bad_seconds("watch_blocking_seconds", watch_blocking_seconds)
        _refuse_bad_seconds("watch_background_seconds", watch_background_seconds)
        _refuse_bad_threads(threads)
        _refuse_bad_header_name(request_id_header)
        self.settings = _loaded(settings)
        self._refuse_debug_in_production(fastapi)
        self.fast = fast
        self.watch_blocking_seconds = watch_blocking_seconds
        self.resources = ResourceRegistry(resources)
        self.docs_gate = self._make_docs_gate(docs, fastapi)
        self.health = None if health is None else self._make_health(health)
        self._answers_problems = errors == "problem"
        self._described_schema: dict[str, Any] | None = None
        self._skips_telemetry = False  # decided when the stack is built
        self._threads = threads
        self._watches_background = watch_background_seconds is not None
        self._background = TaskWatch(warn_after_seconds=watch_background_seconds or 0)
        self._opened_by_lifespan: list[LifespanLike] = _listed(lifespan)
        self._lifespans = as_lifespans([*map(_seeing_its_opener, self._opened_by_lifespan)])
        own_handlers = exception_handlers(problem=self._answers_problems)
        user_handlers = fastapi.pop("exception_handlers", None) or {}
        super().__init__(
            lifespan=self._lifespan,
            exception_handlers={**own_handlers, **user_handlers},
            **fastapi,
        )
        # The layer applies the limit, once, and to requests that can have a body at all.
        validate_max_body_size(max_body_size)
        self.max_body_size = max_body_size
        self.state.settings = self.settings
        self._outer_middleware = self._make_outer_middleware(cors, request_id_header)
        self._logs = self._configure_logs() if logs else None
        self._routes = RouteWatch(self.router, self._route_hooks(wire))
        self._layer_options = LayerOptions(
            log=self._logs or log.StdlibLogs(),
            gate=self.docs_gate,
            refresh=self._routes.refresh,
            request_id_header=request_id_header,
            security_headers=security_headers,
            hsts=self.settings.environment == "production",
            problems=self._answers_problems,
            max_body_size=max_body_size,
        )
        for router in routers:
            self.include_router(router)

    # What FastAPI calls while it is built, and for each connection.

    def setup(self) -> None:
        """Register the documentation's routes, with Swagger UI from this package."""
        super().setup()
        use_packaged_swagger_ui(self)

    def build_middleware_stack(self) -> ASGIApp:
        """Return FastAPI's stack with our layer directly inside `ServerErrorMiddleware`."""
        user_middleware, max_body_size = self.user_middleware, self.max_body_size
        keeper = [Middleware(ScopeKeeper)] if user_middleware else []
        self.user_middleware = [*self._outer_middleware, *user_middleware, *keeper]
        self.max_body_size = None
        try:
            stack = super().build_middleware_stack()
            outermost = stack if isinstance(stack, ServerErrorMiddleware) else None
            layer = RequestLayer(
                stack if outermost is None else outermost.app,
                server_errors=outermost,
                user_middleware=self.user_middleware,
                options=self._layer_options,
            )
        finally:
            self.user_middleware, self.max_body_size = user_middleware, max_body_size
        self._skips_telemetry = may_skip(self._telemetry)
        if outermost is None:
            return layer
        outermost.app = layer
        if outermost.handler is not None:
            outermost.handler = layer.handle_outside
        return outermost

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection; health goes past telemetry, middleware and logs."""
        scope[SETTINGS_KEY] = self.settings
        scope[RESOURCES_KEY] = self.resources
        if scope["type"] == "lifespan":
            send = _telling_start_error(send)
        if (health := self._health_for(scope)) is not None:
            omit_access_line(scope)
            await health(scope, receive, send)
        elif self._skips_telemetry and nothing_is_set_up() and scope["type"] != "lifespan":
            if self.root_path:
                scope["root_path"] = self.root_path
            # Starlette's own: what FastAPI puts around it is telemetry.
            await super(FastAPI, self).__call__(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def _health_for(self, scope: Scope) -> Health | None:
        if scope["type"] != "http" or self.health is None or not self.health.owns(scope):
            return None
        # The app may have got a route of its own there since the last request.
        self._routes.refresh()
        return self.health if self.health.owns(scope) else None

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document; its errors are those that are sent."""
        self._routes.refresh()
        schema = super().openapi()
        if not self._answers_problems or schema is self._described_schema:
            return schema
        self._described_schema = self.openapi_schema = describe_problems(schema)
        return self._described_schema

    def on_event(self, event_type: str) -> Callable[[DecoratedCallable], DecoratedCallable]:
        """Register a start-up or shutdown handler; it runs inside the lifespan. Deprecated."""
        warnings.warn(
            "on_event is deprecated, use lifespan event handlers instead (create_app(lifespan=)). "
            "What an earlier handler opened stays open when a later one fails (STY1201).",
            SturdyDeprecationWarning,
            stacklevel=2,
        )

        def decorator(handler: DecoratedCallable) -> DecoratedCallable:
            self.router.add_event_handler(event_type, handler)
            return handler

        return decorator

    # The lifespan.

    @asynccontextmanager
    async def _lifespan(self, _app: FastAPI) -> AsyncIterator[Any]:
        async with closing_stack() as stack:
            # First in, last out: what closes later may still have something to say.
            stack.enter_context(self._log_lines())
            self._announce()
            self._routes.refresh()
            stack.enter_context(self._thread_limit())
            await self._open_resources(stack)
            state: dict[str, Any] = {}
            yielded: dict[str, Any] | None
            for lifespan in self._lifespans:
                yielded = await stack.enter_async_context(lifespan(self))
                state = {**state, **(yielded or {})}
            for lifespan in self._mounted_lifespans():
                yielded = await stack.enter_async_context(lifespan(self))
                # Mounting an app must not change what this one's requests see.
                state = {**(yielded or {}), **state}
            await run_handlers(self.router.on_startup)
            stack.push_async_callback(run_handlers, self.router.on_shutdown)
            stack.enter_context(self._part_in_drain())
            stack.push_async_callback(self._drain_background)
            with self._ready():
                yield state or None

    async def _open_resources(self, stack: AsyncExitStack) -> None:
        await stack.enter_async_context(self.resources.open(self.settings))
        stack.enter_context(self._in_state(self.resources.values()))

    @contextmanager
    def _in_state(self, values: Mapping[str, Any]) -> Iterator[None]:
        before = {name: self.state[name] for name in values if name in self.state}
        for name, value in values.items():
            self.state[name] = value
        try:
            yield
        finally:
            for name in values:
                with suppress(KeyError):
                    del self.state[name]
            for name, value in before.items():
                self.state[name] = value

    @asynccontextmanager
    async def _inside(self, outer: SturdyAPI) -> AsyncIterator[Any]:
        """Run the lifespan of this app, mounted in another one whose resources it sees."""
        before = self.resources.outer
        self.resources.outer = outer.resources
        try:
            async with self.router.lifespan_context(self) as state:
                yield state
        finally:
            self.resources.outer = before

    @contextmanager
    def _log_lines(self) -> Iterator[None]:
        """Take over what a server has configured since; write out all lines at the end."""
        if self._logs is None:
            yield
            return
        self._logs.take_over()
        try:
            yield
        finally:
            # A server may end by the signal that stopped it, which runs no exit handlers.
            self._logs.shutdown()

    @contextmanager
    def _ready(self) -> Iterator[None]:
        self._set_phase("ready")
        try:
            yield
        finally:
            self._set_phase("draining")

    def _part_in_drain(self) -> AbstractContextManager[None]:
        return draining.takes_part(
            self._begin_drain,
            delay_seconds=self.settings.shutdown_delay_seconds,
            grace_seconds=self.settings.shutdown_grace_seconds,
        )

    def _begin_drain(self, *, leaves_service: bool) -> None:
        """Be seen as not ready, and ask clients to come back by a new connection."""
        if leaves_service:
            self._set_phase("draining")
        if self.middleware_stack is not None:
            self.middleware_stack = LastResponses(self.middleware_stack)

    def _set_phase(self, phase: Phase) -> None:
        if self.health is not None:
            self.health.phase = phase

    async def _drain_background(self) -> None:
        drain, grace_seconds = draining.current(), self.settings.shutdown_grace_seconds
        await self._background.drain(grace_seconds if drain is None else drain.remaining_seconds)

    @contextmanager
    def _thread_limit(self) -> Iterator[None]:
        if self._threads is None:
            yield
            return
        limiter = to_thread.current_default_thread_limiter()
        previous = limiter.total_tokens
        limiter.total_tokens = self._threads
        try:
            yield
        finally:
            limiter.total_tokens = previous

    def _mounted_lifespans(self) -> Iterator[Callable[[Any], Any]]:
        """Yield the lifespans of apps that `create_app` made; others must be listed."""
        opened = list(self._opened_by_lifespan)
        for path, app in mounted_apps(self.router.routes):
            if any(app is each for each in opened):
                continue
            opened.append(app)
            if isinstance(app, SturdyAPI):
                yield app._inside  # noqa: SLF001 - of this class
            elif has_own_lifespan(app):
                warnings.warn(
                    f"The app mounted at '{path}' has a lifespan that nobody runs. "
                    "List it: create_app(lifespan=[..., that_app]).",
                    SturdyWarning,
                    stacklevel=2,
                )

    def _announce(self) -> None:
        _log.info("%s: %s", self._environment_words(), self._docs_words())

    def _environment_words(self) -> str:
        environment = str(self.settings.environment)
        if self.settings.environment_is_set:
            return environment
        return f"{environment} (FASTAPI_ENV not set)"

    def _docs_words(self) -> str:
        gate = self.docs_gate
        url = self.openapi_url and (self.docs_url or self.redoc_url or self.openapi_url)
        if gate.access is False or not url:
            is_chosen = gate.explicit or self.settings.environment == "development"
            return "docs off" if is_chosen else "docs off; for development use `fastapi dev`"
        if not gate.explicit:
            return f"docs at {url}"
        if gate.access is True:
            return f"docs are public at {url}"
        return f"docs at {url}, behind a dependency"

    # Parts that are made once.

    def _refuse_debug_in_production(self, fastapi: dict[str, Any]) -> None:
        if fastapi.get("debug") and self.settings.environment == "production":
            raise ConfigurationError(
                "debug=True shows source code to clients, and the environment is production. "
                "Remove it, or set FASTAPI_ENV=development."
            )

    def _make_docs_gate(self, docs: DocsAccess | None, fastapi: dict[str, Any]) -> DocsGate:
        if docs is None and any(fastapi.get(url) is not None for url in _DOCS_URLS):
            docs = True
        access = self.settings.environment == "development" if docs is None else docs
        if access is False:
            fastapi.update(dict.fromkeys(_DOCS_URLS))
        return DocsGate(access, explicit=docs is not None, overrides_provider=self)

    def _make_health(self, prefix: str) -> Health:
        if not prefix.startswith("/") or prefix.endswith("/"):
            raise ConfigurationError(
                f"health= is '{prefix}'; it must start with '/' and not end with one, such as "
                "'/health'. None turns it off."
            )
        health = Health(prefix, detailed=self.settings.environment == "development")
        for each in self.resources:
            health.add(Check(each.name, partial(self.resources.check, each)))
        return health

    def _make_outer_middleware(
        self, cors: Cors | Sequence[str] | None, request_id_header: str | None
    ) -> list[Middleware]:
        """Return what stands around the user's own middleware."""
        outer: list[Middleware] = []
        if self.settings.trusted_hosts:
            outer.append(
                Middleware(TrustedHostMiddleware, allowed_hosts=self.settings.trusted_hosts)
            )
        if cors is None and self.settings.cors_origins:
            cors = self.settings.cors_origins
        if cors is not None:
            options = cors if isinstance(cors, Cors) else Cors(origins=cors)
            outer.append(Middleware(CORSMiddleware, **options.keywords(request_id_header)))
        return outer

    def _configure_logs(self) -> log.Logs:
        return log.configure(
            environment=self.settings.environment,
            level=self.settings.log_level,
            format=self.settings.log_format,
            secrets=secret_values(self.settings),
            service=self.title,
        )

    def _route_hooks(self, wire: str) -> list[RouteHook]:
        hooks: list[RouteHook] = [describe_ownership]
        if self._watches_background:
            hooks.append(self._background.watch_route)
        if wire == "sturdy":
            hooks.append(apply_wire_rules)
        if self.health is not None:
            hooks.append(self._yield_health_path)
        return hooks

    def _yield_health_path(self, view: RouteView) -> None:
        if self.health is not None:
            self.health.yield_path(view.state.path_format)


def create_app(
    settings: type[BaseSettings] | BaseSettings = BaseSettings, **options: Unpack[AppOptions]
) -> SturdyAPI:
    """Return a FastAPI app with the practices on.

    Every keyword of `FastAPI(...)` is taken as well, and wins over what is decided here.

    Args:
        settings: A class, loaded now, so that a bad environment fails at once; or an instance.
        **options: See `AppOptions` and `docs/reference/create-app.md`.

    Raises:
        SettingsError: The environment is incomplete or wrong; lists every problem, no value.
        ConfigurationError: A keyword, or a combination of them, is refused.
    """
    return SturdyAPI(settings, **options)


def _listed(lifespan: LifespanLike | Sequence[LifespanLike] | None) -> list[LifespanLike]:
    if isinstance(lifespan, list | tuple):
        return list(lifespan)
    return [] if lifespan is None else [cast("LifespanLike", lifespan)]


def _seeing_its_opener(lifespan: LifespanLike) -> LifespanLike:
    """Return a listed lifespan; that of an app of ours opens with the resources of the lister."""
    return lifespan._inside if isinstance(lifespan, SturdyAPI) else lifespan  # noqa: SLF001


def _telling_start_error(send: Send) -> Send:
    """Let a start that failed for a known reason tell that reason instead of a traceback."""

    async def tell(message: Message) -> None:
        # Starlette sends this while it handles the error.
        error = sys.exc_info()[1]
        if message["type"] == "lifespan.startup.failed" and isinstance(error, SturdyError):
            notes = getattr(error, "__notes__", ())
            message = {**message, "message": "\n".join([str(error), *notes])}
        await send(message)

    return tell


def mounted_apps(routes: Sequence[BaseRoute]) -> Iterator[tuple[str, Any]]:
    """Yield what is mounted, and where, without the middleware of the mount."""
    for context in iter_route_contexts(routes):
        route = context.route
        if isinstance(route, Mount):
            path, app = context.path or "", route._base_app  # noqa: SLF001
        elif isinstance(route, Host):
            path, app = route.host, route.app
        else:
            continue
        yield path, app
        if isinstance(app, Router):
            yield from ((path + inner, each) for inner, each in mounted_apps(app.routes))


def _loaded(settings: object) -> BaseSettings:
    if isinstance(settings, BaseSettings):
        return settings
    if isinstance(settings, type) and issubclass(settings, BaseSettings):
        return settings.load()
    raise ConfigurationError(
        f"settings= is a {type(settings).__name__}. Give a subclass of sturdyapi.BaseSettings, "
        "or an instance of one."
    )


def _refuse_unknown(keyword: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        choices = " or ".join(f"'{choice}'" for choice in known)
        raise ConfigurationError(
            f"{keyword}={value!r} is not known. Use {choices}.{did_you_mean(str(value), known)}"
        )


def _refuse_bad_seconds(keyword: str, seconds: float | None) -> None:
    if seconds is not None and not 0 <= seconds < math.inf:
        raise ConfigurationError(f"{keyword}={seconds} is out of range. Give seconds from 0 (off).")


def _refuse_bad_threads(threads: int | None) -> None:
    if threads is not None and threads < 1:
        raise ConfigurationError(f"threads={threads} is out of range. Give at least 1 thread.")


def _refuse_bad_header_name(request_id_header: str | None) -> None:
    if request_id_header is not None and not _HEADER_NAME.fullmatch(request_id_header):
        raise ConfigurationError(
            f"request_id_header={request_id_header!r} is not the name of a header. "
            "Use letters, digits and '-', such as 'X-Request-ID'; None turns it off."
        )
