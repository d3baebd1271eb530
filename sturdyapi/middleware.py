"""The one layer that every request passes.

The layer stands directly inside Starlette's `ServerErrorMiddleware`, so that whatever is added to
the app, by its author or by an instrumentation, is inside it, and nothing that answers is outside.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import lru_cache, partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import quote

from fastapi._body_limit import AppBodyLimitMiddleware
from starlette._utils import is_async_callable
from starlette.concurrency import run_in_threadpool
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocketDisconnect

from .context import enter_request, leave_request
from .exceptions import OutageError
from .problems import outage_response, problem_response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from starlette.middleware import Middleware
    from starlette.middleware.errors import ServerErrorMiddleware
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["LastResponses", "RequestLayer", "RequestLog"]

EXCHANGE_KEY = "sturdyapi.exchange"
"""Scope key of the request in hand; a mounted app finds its parent's there."""

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
# Version ff is forbidden; version 00 has nothing behind its flags (W3C Trace Context, 3.2.2).
_TRACEPARENT = re.compile(
    rb"(?!ff|00.{54})[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?"
)
_PRINTABLE = bytes(range(0x21, 0x7F)).decode()
_NO_TRACE = b"0" * 32
_NO_SPAN = b"0" * 16

_SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"strict-origin-when-cross-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
_HSTS = (b"strict-transport-security", b"max-age=31536000")
# Restricts only what no page of its own needs: scripts and styles stay the page's business.
_CSP = (b"content-security-policy", b"object-src 'none'; base-uri 'self'; frame-ancestors 'none'")

_CLIENT_LEFT = 499
"""Status in the access line of a request that ended without an answer."""
_NORMAL_CLOSE = 1000
_ABNORMAL_CLOSE = 1006
_INTERNAL_ERROR_CLOSE = 1011
_BODILESS = frozenset({"GET", "HEAD", "OPTIONS"})
_CONTENT_TYPE = b"content-type"
_MAX_PLANS = 256
_LONG_PATH_BYTES = 200
_NOTHING: dict[str, Any] = {}
_TOO_LARGE = PlainTextResponse("Content Too Large", status_code=413)


class RequestLog(Protocol):
    """Where the layer writes; see `sturdyapi.log`."""

    def access(
        self,
        *,
        method: str,
        route: str | None,
        path: str,
        status: int,
        duration_seconds: float,
        client: str | None,
        fields: Mapping[str, Any],
    ) -> None:
        """Write the line of one request."""

    def websocket(
        self,
        *,
        route: str | None,
        path: str,
        code: int | None,
        duration_seconds: float,
        client: str | None,
        fields: Mapping[str, Any],
    ) -> None:
        """Write the line of one websocket, at its close."""

    def exception(self, error: BaseException, message: str, *, fields: Mapping[str, Any]) -> None:
        """Write an unhandled error with its traceback."""


class Gate(Protocol):
    """Decides about responses that not everyone may see; see `sturdyapi.apidocs`."""

    explicit: bool
    """Chosen by the app's author, who decides for the apps mounted inside as well."""

    def guards(self, scope: Scope) -> bool:
        """Tell whether the matched endpoint is one that the gate decides about."""

    async def decide(self, scope: Scope, receive: Receive) -> ASGIApp | None:
        """Return what to send in place of the guarded response, or `None` to let it through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerOptions:
    """How the layer behaves; made once by the app."""

    log: RequestLog
    gate: Gate
    refresh: Callable[[], None]
    """Called before a request is routed, to notice new routes."""
    request_id_header: str | None
    security_headers: bool
    hsts: bool
    """Tell browsers that came over https to stay there."""
    problems: bool
    """Answer with problem documents."""
    max_body_size: int | None
    """Bytes of the largest request body; `None` for no limit."""


class RequestLayer:
    """Request ids, security headers, the access line, the docs gate and the last-resort 500."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        server_errors: ServerErrorMiddleware | None,
        user_middleware: Sequence[Middleware],
        options: LayerOptions,
    ) -> None:
        """Wrap `app`.

        Args:
            app: What stands inside.
            server_errors: Starlette's outermost layer, whose handler and debug page are used.
            user_middleware: The app's own middleware; its CORS is replayed over our answers.
            options: How to behave.
        """
        self.app = app
        self.options = options
        self.lines = options.log
        self._server_errors = server_errors
        self._handler = None if server_errors is None else server_errors.handler
        self._cors = _cors_replay(user_middleware)
        header = options.request_id_header
        self.request_id_header = None if header is None else header.lower().encode("latin-1")
        self._limited: ASGIApp = AppBodyLimitMiddleware(app, max_body_size=options.max_body_size)
        self._plans: dict[tuple[bytes, ...], _HeaderPlan] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or EXCHANGE_KEY in scope:
            await self._serve_other(scope, receive, send)
            return
        self.options.refresh()
        headers = dict(scope.get("headers", ()))
        exchange = _Exchange(self, scope, headers, receive, send)
        scope[EXCHANGE_KEY] = exchange
        app = self._limited if _may_have_body(scope, headers) else self.app
        token = enter_request(exchange.fields)
        try:
            await app(scope, receive, exchange.send)
        except Exception as error:
            await self._fail(error, exchange, exchange.deliver)
            raise
        finally:
            exchange.finish()
            leave_request(token)
        exchange.release()

    async def _serve_other(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        self.options.refresh()
        if EXCHANGE_KEY in scope:
            await self._serve_mounted(scope, receive, send)
        else:
            await self._serve_websocket(scope, receive, send)

    async def _serve_mounted(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve an app mounted in another SturdyAPI: the parent's exchange does all but errors."""
        exchange = scope[EXCHANGE_KEY]
        exchange.scope = scope
        if not isinstance(exchange, _Exchange):
            await self.app(scope, receive, send)
            return
        if self.options.gate.explicit:
            exchange.gate = self.options.gate
        try:
            await self._limited(scope, receive, send)
        except Exception as error:
            # By the way the app answers, so that its own outer layers see that it has.
            await self._fail(error, exchange, send)
            raise

    async def _serve_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = _WebSocketExchange(self, scope, receive, send)
        scope[EXCHANGE_KEY] = exchange
        token = enter_request(exchange.fields)
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except WebSocketDisconnect:
            # How an endpoint that only listens learns that its client has left.
            raise
        except Exception as error:
            if exchange.code is None:
                exchange.code = _INTERNAL_ERROR_CLOSE
            self.lines.exception(error, _unhandled(exchange.scope), fields=exchange.fields)
            raise
        finally:
            exchange.finish()
            leave_request(token)

    async def _fail(self, error: Exception, exchange: _Exchange, send: Send) -> None:
        """Log an unhandled error once, and answer if nothing has been sent.

        Starlette would answer outside this layer, without request id and CORS headers. It still
        gets the error, sees that the response has started, and only hands it on to the server.
        """
        if isinstance(error, ClientDisconnect):
            return  # No fault of the app, and nobody is left to answer.
        if exchange.failure is not error:
            exchange.failure = error
            self._log_error(error, exchange)
        if exchange.status is None:
            await self.respond(await self._error_response(error, exchange), exchange, send)

    def _log_error(self, error: Exception, exchange: _Exchange) -> None:
        self.lines.exception(error, _unhandled(exchange.scope), fields=exchange.fields)

    async def _error_response(self, error: Exception, exchange: _Exchange) -> Response:
        """Choose as Starlette does: debug page, the user's own handler, the plain 500."""
        request = Request(exchange.scope, exchange.receive)
        if isinstance(error, OutageError):
            return outage_response(error, problem=self.options.problems)
        if self._server_errors is not None and self._server_errors.debug:
            return self._server_errors.debug_response(request, error)
        if self._handler is None:
            return self._last_resort()
        exchange.handled = error
        try:
            return await _call_handler(self._handler, request, error)
        except Exception as handler_error:  # noqa: BLE001 - the client still needs an answer
            self._log_error(handler_error, exchange)
            return self._last_resort()

    def _last_resort(self) -> Response:
        if self.options.problems:
            return problem_response(500)
        return PlainTextResponse("Internal Server Error", status_code=500)

    async def handle_outside(self, request: Request, error: Exception) -> Response:
        """Stand in for the user's handler of all errors in Starlette's outermost layer.

        Starlette calls its handler even if the response has started; the user's handler, which may
        send an alert, is to be called once.
        """
        exchange = request.scope.get(EXCHANGE_KEY)
        if self._handler is None or (exchange is not None and exchange.handled is error):
            return self._last_resort()
        return await _call_handler(self._handler, request, error)

    def plan_headers(self, names: tuple[bytes, ...]) -> _HeaderPlan:
        """Return what to add to a response that has headers of these names."""
        plan = self._plans.get(names)
        if plan is None:
            plan = _HeaderPlan.make(names, self.options)
            # User code chooses the names, so that there is no end of them.
            if len(self._plans) < _MAX_PLANS:
                self._plans[names] = plan
        return plan

    async def respond(self, response: ASGIApp, exchange: _Exchange, send: Send) -> None:
        """Send a response of ours, with the CORS headers that the user's middleware would add."""
        app = response if self._cors is None else self._cors(response)
        await app(exchange.scope, exchange.receive, send)


class _HeaderPlan(NamedTuple):
    """What to add to a response, by the names of the headers that it has."""

    always: tuple[tuple[bytes, bytes], ...]
    for_html: tuple[tuple[bytes, bytes], ...]
    for_https: tuple[tuple[bytes, bytes], ...]
    request_id_header: bytes | None
    content_type_at: int
    """Position of the content type; -1 for none."""

    @classmethod
    def make(cls, names: tuple[bytes, ...], options: LayerOptions) -> _HeaderPlan:
        present = [name.lower() for name in names]
        request_id_header = (options.request_id_header or "").lower().encode("latin-1")

        def absent(*wanted: tuple[bytes, bytes]) -> tuple[tuple[bytes, bytes], ...]:
            missing = (pair for pair in wanted if pair[0] not in present)
            return tuple(missing) if options.security_headers else ()

        return cls(
            always=absent(*_SECURITY_HEADERS),
            for_html=absent(_CSP),
            for_https=absent(_HSTS) if options.hsts else (),
            request_id_header=None if request_id_header in present else request_id_header or None,
            content_type_at=present.index(_CONTENT_TYPE) if _CONTENT_TYPE in present else -1,
        )


class ScopeKeeper:
    """Shows the layer the scope that routing works on: a middleware may have passed on a copy."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        exchange = scope.get(EXCHANGE_KEY)
        if exchange is not None:
            exchange.scope = scope
        await self.app(scope, receive, send)


class LastResponses:
    """Asks each client of HTTP/1 to leave its connection after the response.

    An idle connection that a server closes may have a request under way, which is lost with it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http" and scope["http_version"].startswith("1"):
            send = _closing(send)
        await self.app(scope, receive, send)


def _closing(send: Send) -> Send:
    async def send_closing(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            if all(name.lower() != b"connection" for name, _ in headers):
                message = {**message, "headers": [*headers, (b"connection", b"close")]}
        await send(message)

    return send_closing


def omit_access_line(scope: Scope) -> None:
    """Write no access line for this request, as for a health check of a mounted app."""
    exchange = scope.get(EXCHANGE_KEY)
    if isinstance(exchange, _Exchange):
        exchange.is_written = True


async def _call_handler(handler: Any, request: Request, error: Exception) -> Response:
    if is_async_callable(handler):
        return await handler(request, error)  # type: ignore[no-any-return]
    return await run_in_threadpool(handler, request, error)


def _cors_replay(middleware: Sequence[Middleware]) -> Callable[[ASGIApp], ASGIApp] | None:
    for cls, args, kwargs in middleware:
        if isinstance(cls, type) and issubclass(cls, CORSMiddleware):
            return partial(_make_middleware, cls, args, kwargs)
    return None


def _make_middleware(
    cls: type[CORSMiddleware], args: Sequence[Any], kwargs: Mapping[str, Any], app: ASGIApp
) -> ASGIApp:
    return cls(app, *args, **kwargs)


def _is_body_limit(message: Message) -> bool:
    """Recognise the answer of Starlette's body limit, given outside every exception handler."""
    status: int = message["status"]
    return status == _TOO_LARGE.status_code and message.get("headers") == _TOO_LARGE.raw_headers


async def _nothing() -> None:
    """Send nothing: the rest of a response that was replaced."""


class _Exchange:
    """One request and its response.

    Attributes:
        fields: The request's log fields; what `bind()` changes.
        failure: The unhandled error that was logged, if any.
        handled: The error that the user's handler was called with, if any.
        gate: Of the innermost app whose author chose, else of the outermost.
        is_written: The access line is written, or not wanted.
        scope: What routing works on, so that it tells the route.
        status: Of the response, once it has started.
    """

    __slots__ = (
        "_layer", "_replaced", "_send", "_started_at", "failure", "fields", "gate", "handled",
        "is_written", "receive", "scope", "status",
    )  # fmt: skip

    def __init__(
        self,
        layer: RequestLayer,
        scope: Scope,
        headers: Mapping[bytes, bytes],
        receive: Receive,
        send: Send,
    ) -> None:
        self._started_at = perf_counter()
        self._layer = layer
        self._send = send
        self._replaced = False
        self.scope = scope
        self.gate = layer.options.gate
        self.receive = receive
        self.is_written = False
        self.failure: Exception | None = None
        self.handled: Exception | None = None
        self.status: int | None = None
        self.fields = _identify(headers, layer.request_id_header)

    def send(self, message: Message) -> Awaitable[None]:
        """Take a message of the app, and deliver it or what must be sent in its place.

        Not a coroutine of its own, since each one costs every message of every response.
        """
        kind = message["type"]
        if kind == "http.response.start":
            if message["status"] == _TOO_LARGE.status_code or self.gate.guards(self.scope):
                return self._send_checked(message)
            return self._send(self._start(message))
        if self._replaced:
            return _nothing()
        if kind == "http.response.body" and not message.get("more_body", False):
            return self._send_last(message)
        return self._send(message)

    async def _send_checked(self, message: Message) -> None:
        replacement = await self._replacement(message)
        if replacement is None:
            await self._send(self._start(message))
            return
        self._replaced = True
        await self._layer.respond(replacement, self, self.deliver)

    async def _send_last(self, message: Message) -> None:
        await self._send(message)
        self.finish()

    async def _replacement(self, message: Message) -> ASGIApp | None:
        if self.gate.guards(self.scope):
            return await self.gate.decide(self.scope, self.receive)
        if self._layer.options.problems and _is_body_limit(message):
            return problem_response(_TOO_LARGE.status_code)
        return None

    async def deliver(self, message: Message) -> None:
        """Hand a message of ours to the server."""
        if message["type"] == "http.response.start":
            message = self._start(message)
        await self._send(message)

    def _start(self, message: Message) -> Message:
        """Return the start of the response with our headers, each only where it is absent."""
        self.status = message["status"]
        sent: Sequence[tuple[bytes, bytes]] = message.get("headers", ())
        if type(sent) is not list:
            sent = list(sent)  # ASGI allows any iterable.
        plan = self._layer.plan_headers(tuple([name for name, _ in sent]))
        headers = [*sent, *plan.always]
        if plan.content_type_at >= 0 and _is_html(sent[plan.content_type_at][1]):
            headers += plan.for_html
        if plan.for_https and self.scope.get("scheme") == "https":
            headers += plan.for_https
        if plan.request_id_header is not None:
            headers.append((plan.request_id_header, self.fields["request_id"].encode("latin-1")))
        # A copy: an app may keep its message, and send it again to another client.
        return {**message, "headers": headers}

    def release(self) -> None:
        """Let go of the scope, which knows this exchange: only a collector would free the two."""
        self.scope = {}

    def finish(self) -> None:
        """Write the access line, once."""
        if self.is_written:
            return
        self.is_written = True
        scope = self.scope
        self._layer.lines.access(
            method=scope["method"],
            route=_route_template(scope),
            path=_raw_path(scope),
            status=_CLIENT_LEFT if self.status is None else self.status,
            duration_seconds=perf_counter() - self._started_at,
            client=_client(scope),
            fields=self.fields,
        )


class _WebSocketExchange:
    """One websocket, of which one line is written at its close."""

    def __init__(self, layer: RequestLayer, scope: Scope, receive: Receive, send: Send) -> None:
        self._started_at = perf_counter()
        self._layer = layer
        self._receive = receive
        self._send = send
        self.scope = scope
        self.code: int | None = None
        self.fields = _identify(dict(scope.get("headers", ())), layer.request_id_header)

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "websocket.disconnect" and self.code is None:
            self.code = message.get("code", _ABNORMAL_CLOSE)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "websocket.close" and self.code is None:
            self.code = message.get("code", _NORMAL_CLOSE)
        await self._send(message)

    def finish(self) -> None:
        self._layer.lines.websocket(
            route=_route_template(self.scope),
            path=_raw_path(self.scope),
            code=self.code,
            duration_seconds=perf_counter() - self._started_at,
            client=_client(self.scope),
            fields=self.fields,
        )


def _may_have_body(scope: Scope, headers: Mapping[bytes, bytes]) -> bool:
    """Tell whether a body can follow: HTTP/1 announces it, later versions just send it."""
    if scope["method"] not in _BODILESS or not scope.get("http_version", "").startswith("1"):
        return True
    return b"content-length" in headers or b"transfer-encoding" in headers


def _identify(headers: Mapping[bytes, bytes], request_id_header: bytes | None) -> dict[str, Any]:
    """Return the first log fields of a connection: its id, and the caller's trace if it has one."""
    sent = b"" if request_id_header is None else headers.get(request_id_header)
    if sent and _REQUEST_ID.fullmatch(sent):
        fields = {"request_id": sent.decode("ascii")}
    else:
        fields = {"request_id": os.urandom(16).hex()}
    traceparent = headers.get(b"traceparent")
    if traceparent is not None and (match := _TRACEPARENT.fullmatch(traceparent)):
        trace_id, span_id = match.groups()
        if trace_id != _NO_TRACE and span_id != _NO_SPAN:
            fields["trace_id"] = trace_id.decode("ascii")
            fields["span_id"] = span_id.decode("ascii")
    return fields


def _is_html(content_type: bytes) -> bool:
    return content_type[:9].lower() == b"text/html" and content_type[9:10] in (b"", b";", b" ")


def _route_template(scope: Scope) -> str | None:
    """Return the matched route's path as declared, prefixes included; `None` when none matched."""
    route = scope.get("route")
    if route is None:
        return None
    # FastAPI keeps included routes as they were declared, and the prefixed path beside them.
    included = scope.get("fastapi", _NOTHING).get("effective_route_context")
    if included is not None and included.original_route is route:
        route = included
    path: str | None = getattr(route, "path_format", None) or getattr(route, "path", None)
    root = scope.get("root_path", "")
    mounted_at = root[len(scope.get("app_root_path", root)) :]
    return path if path is None or not mounted_at else mounted_at + path


def _raw_path(scope: Scope) -> str:
    """Return the path as the client wrote it, escapes and all, without the query string."""
    raw = scope.get("raw_path")
    if raw is None:
        return quote(scope["path"])
    # Clients choose the path: a long one must not stay in memory.
    return _escaped(raw) if len(raw) > _LONG_PATH_BYTES else _escaped_once(raw)


def _escaped(raw_path: bytes) -> str:
    # Some servers pass on bytes that the client should have escaped.
    return quote(raw_path.partition(b"?")[0], safe=_PRINTABLE)


_escaped_once = lru_cache(maxsize=1024)(_escaped)


def _client(scope: Scope) -> str | None:
    client = scope.get("client")
    return client[0] if client else None


def _unhandled(scope: Scope) -> str:
    method = scope.get("method", "WEBSOCKET")
    return f"Unhandled error in {method} {_route_template(scope) or _raw_path(scope)}"
