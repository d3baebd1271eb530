"""Exception handlers that answer with problem documents."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi.encoders import jsonable_encoder
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from fastapi.utils import is_body_allowed_for_status_code
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from sturdyapi.exceptions import UnavailableError
from sturdyapi.wire import encode

from .envelope import problem_response
from .validation import validation_errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.websockets import WebSocket

_POLICY_VIOLATION = 1008
_MAX_CLOSE_REASON_BYTES = 123
"""A close frame carries 125 bytes, two of them the code (RFC 6455, 5.5)."""


def exception_handlers(*, problem: bool) -> dict[type[Exception], Callable[..., Any]]:
    """Return the exception handlers of an app, by exception class.

    Args:
        problem: Answer with problem documents; else FastAPI's own handlers stay, and only what
            FastAPI does not know is added.
    """
    unavailable = partial(_unavailable, problem=problem)
    if not problem:
        return {UnavailableError: unavailable}
    return {
        HTTPException: _http_problem,
        RequestValidationError: _validation_problem,
        WebSocketRequestValidationError: _close_invalid_websocket,
        UnavailableError: unavailable,
    }


def unavailable_response(error: UnavailableError, *, problem: bool) -> Response:
    """Return a 503 that says when trying again makes sense."""
    headers = {"Retry-After": str(error.retry_after_seconds)}
    if problem:
        return problem_response(503, detail=str(error), headers=headers)
    return JSONResponse({"detail": str(error)}, status_code=503, headers=headers)


async def _unavailable(_request: Request, exc: UnavailableError, *, problem: bool) -> Response:
    return unavailable_response(exc, problem=problem)


async def _http_problem(request: Request, exc: HTTPException) -> Response:
    # Below 400 an HTTPException is a redirect or an answer without a body: no problem to tell.
    if exc.status_code < 400 or not is_body_allowed_for_status_code(exc.status_code):  # noqa: PLR2004
        return await http_exception_handler(request, exc)
    detail: Any = exc.detail
    if isinstance(detail, str):
        return problem_response(exc.status_code, detail=detail, headers=exc.headers)
    return problem_response(
        exc.status_code, errors=jsonable_encoder(encode(detail)), headers=exc.headers
    )


async def _validation_problem(request: Request, exc: RequestValidationError) -> Response:
    errors = validation_errors(exc.errors(), body=exc.body, route=request.scope.get("route"))
    count = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
    return problem_response(422, detail=f"The request has {count}.", errors=errors)


async def _close_invalid_websocket(
    websocket: WebSocket, exc: WebSocketRequestValidationError
) -> None:
    errors = validation_errors(exc.errors(), body=None, route=websocket.scope.get("route"))
    reason = "; ".join(f"{error['in']} {error['pointer']}: {error['detail']}" for error in errors)
    await websocket.close(code=_POLICY_VIOLATION, reason=_cut(reason, _MAX_CLOSE_REASON_BYTES))


def _cut(text: str, max_bytes: int) -> str:
    return text.encode()[:max_bytes].decode(errors="ignore")
