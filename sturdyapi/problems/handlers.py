"""Exception handlers that answer with problem documents."""

from __future__ import annotations

from functools import partial
from logging import getLogger
from typing import TYPE_CHECKING, Any

from fastapi.encoders import jsonable_encoder
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.websockets import WebSocket, WebSocketState

from sturdyapi.exceptions import OutageError, UnavailableError
from sturdyapi.wire import encode

from .envelope import problem_response
from .validation import validation_errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import HTTPConnection, Request
    from starlette.responses import Response
    from starlette.types import Scope

_log = getLogger("sturdyapi.problems")
_POLICY_VIOLATION = 1008
_TRY_AGAIN_LATER = 1013
_MAX_CLOSE_REASON_BYTES = 123
"""A close frame carries 125 bytes, two of them the code (RFC 6455, 5.5)."""


def exception_handlers(*, problem: bool) -> dict[int | type[Exception], Callable[..., Any]]:
    """Return the exception handlers of an app, by exception class.

    Args:
        problem: Answer with problem documents; else FastAPI's own handlers stay, and only what
            FastAPI does not know is added.
    """
    outage = partial(_outage, problem=problem)
    if not problem:
        return {OutageError: outage}
    return {
        HTTPException: _http_problem,
        RequestValidationError: _validation_problem,
        WebSocketRequestValidationError: _close_invalid_websocket,
        OutageError: outage,
    }


def outage_response(error: OutageError, *, problem: bool) -> Response:
    """Return the answer to an outage, and tell the log what is behind it."""
    _log_cause(error)
    headers = {}
    if isinstance(error, UnavailableError):
        headers["Retry-After"] = str(error.retry_after_seconds)
    if problem:
        return problem_response(error.status, detail=str(error), headers=headers)
    return JSONResponse({"detail": str(error)}, status_code=error.status, headers=headers)


def _log_cause(error: OutageError) -> None:
    cause = error.__cause__
    _log.warning("%s%s", error, "" if cause is None else f" ({type(cause).__name__}: {cause})")


async def _outage(
    connection: HTTPConnection, exc: OutageError, *, problem: bool
) -> Response | None:
    if isinstance(connection, WebSocket) and not _takes_response(connection):
        _log_cause(exc)
        if connection.application_state is not WebSocketState.DISCONNECTED:
            await connection.close(code=_TRY_AGAIN_LATER, reason=_close_reason(str(exc)))
        return None
    return outage_response(exc, problem=problem)


def _takes_response(websocket: WebSocket) -> bool:
    """Tell whether the handshake can still be answered as a request, which a server may offer."""
    is_open = websocket.application_state is not WebSocketState.CONNECTING
    return not is_open and "websocket.http.response" in websocket.scope.get("extensions", {})


async def _http_problem(request: Request, exc: HTTPException) -> Response:
    # Below 400 an HTTPException is a redirect or an answer without a body: no problem to tell.
    if exc.status_code < 400:  # noqa: PLR2004
        return await http_exception_handler(request, exc)
    detail: Any = exc.detail
    if isinstance(detail, str):
        return problem_response(exc.status_code, detail=detail, headers=exc.headers)
    return problem_response(
        exc.status_code, errors=jsonable_encoder(encode(detail)), headers=exc.headers
    )


async def _validation_problem(request: Request, exc: RequestValidationError) -> Response:
    sent = {"body": _plain_body(exc.body), **_parameters(request)}
    errors = validation_errors(exc.errors(), sent=sent, route=_served_route(request.scope))
    count = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
    return problem_response(422, detail=f"The request has {count}.", errors=errors)


async def _close_invalid_websocket(
    websocket: WebSocket, exc: WebSocketRequestValidationError
) -> None:
    errors = validation_errors(
        exc.errors(), sent=_parameters(websocket), route=_served_route(websocket.scope)
    )
    reason = "; ".join(f"{error['in']} {error['pointer']}: {error['detail']}" for error in errors)
    await websocket.close(code=_POLICY_VIOLATION, reason=_close_reason(reason))


def _served_route(scope: Scope) -> Any:
    """Return the matched route with the dependencies that its routers were included with."""
    route = scope.get("route")
    included = scope.get("fastapi", {}).get("effective_route_context")
    is_served = included is not None and included.original_route is route
    return included if is_served else route


def _plain_body(body: Any) -> Any:
    return {name: body.getlist(name) for name in body} if isinstance(body, FormData) else body


def _parameters(connection: HTTPConnection) -> dict[str, Any]:
    return {
        "path": list(connection.path_params.values()),
        "query": [value for _, value in connection.query_params.multi_items()],
        "header": connection.headers.values(),
        "cookie": list(connection.cookies.values()),
    }


def _close_reason(text: str) -> str:
    return text.encode(errors="replace")[:_MAX_CLOSE_REASON_BYTES].decode(errors="ignore")
