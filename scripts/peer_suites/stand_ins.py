"""`SturdyAPI` with the constructors of `FastAPI` and `Starlette`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from fastapi.exception_handlers import (
    http_exception_handler,
    request_validation_exception_handler,
    websocket_request_validation_exception_handler,
)
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware

from sturdyapi import BaseSettings, SturdyAPI

from .explained import EXPLANATIONS
from .translations import (
    fastapi_openapi,
    name_when_selected,
    outer_error,
    packaged_page,
    translated_handler,
    translating,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.middleware import Middleware
    from starlette.routing import BaseRoute
    from starlette.types import Receive, Scope, Send

_WITHOUT = os.environ.get("PEER_SUITES_WITHOUT", "").split(",")
_HANDLED = {each.id: each for each in EXPLANATIONS if each.id not in _WITHOUT}
_FASTAPI_HANDLERS: Mapping[type[Exception], Callable[..., Any]] = {
    HTTPException: http_exception_handler,
    RequestValidationError: request_validation_exception_handler,
    WebSocketRequestValidationError: websocket_request_validation_exception_handler,
}
_STARLETTE_HANDLERS: Mapping[type[Exception], Callable[..., Any]] = {
    HTTPException: ExceptionMiddleware(app=None).http_exception,  # type: ignore[arg-type]
}


_TRANSLATIONS = [
    translation
    for id_, translation in (("problem-bodies", outer_error), ("packaged-docs", packaged_page))
    if id_ in _HANDLED
]


def _switched_off(suite: str) -> dict[str, Any]:
    """Return the keywords of the practices that are off in the app that is being made."""
    file = _file_of_the_app()
    keywords: dict[str, Any] = {}
    for explanation in _HANDLED.values():
        if suite in explanation.suites and explanation.concerns(file):
            keywords |= explanation.switched_off
    return keywords


def _file_of_the_app() -> str:
    frame = sys._getframe()  # noqa: SLF001 - the documented way to a caller
    while frame.f_back is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    return frame.f_code.co_filename


class _Translated(SturdyAPI):
    """A `SturdyAPI` whose errors read as the stock handlers would have written them."""

    def _translate(
        self,
        handlers: Mapping[type[Exception], Callable[..., Any]],
        given: Mapping[Any, Any] | None,
    ) -> None:
        if "problem-bodies" not in _HANDLED:
            return
        for exception, stock in handlers.items():
            if exception in (given or ()):
                continue
            if exception is WebSocketRequestValidationError:
                # A close frame that has been sent can't be translated.
                self.exception_handlers[exception] = stock
            else:
                ours = self.exception_handlers[exception]
                self.exception_handlers[exception] = translated_handler(ours, stock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            send = translating(scope, send, _TRANSLATIONS)
        await super().__call__(scope, receive, send)


class FastAPIStandIn(_Translated):
    """Takes the keywords of `FastAPI`."""

    _translated_from: dict[str, Any] | None = None
    _translated_schema: dict[str, Any]

    def __init__(self, **keywords: Any) -> None:
        super().__init__(BaseSettings(environment="testing"), **_switched_off("fastapi") | keywords)
        self._translate(_FASTAPI_HANDLERS, keywords.get("exception_handlers"))

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document as FastAPI would write it."""
        ours = super().openapi()
        if "problem-schemas" not in _HANDLED:
            return ours
        # Stock hands out one object until the routes change; so does this.
        if ours is not self._translated_from:
            self._translated_from = ours
            self._translated_schema = fastapi_openapi(ours)
        return self._translated_schema


class StarletteStandIn(_Translated):
    """Takes the arguments of `Starlette`, and has no routes of its own."""

    def __init__(
        self,
        debug: bool = False,  # noqa: FBT001, FBT002 - as in Starlette
        routes: Sequence[BaseRoute] | None = None,
        middleware: Sequence[Middleware] | None = None,
        exception_handlers: Mapping[Any, Any] | None = None,
        lifespan: Any = None,
        *,
        max_body_size: int | None = None,
    ) -> None:
        keywords = _switched_off("starlette") | {
            "debug": debug,
            "routes": routes,
            "middleware": middleware,
            "exception_handlers": exception_handlers,
            "lifespan": lifespan,
            "max_body_size": max_body_size,
            "openapi_url": None,
        }
        super().__init__(BaseSettings(environment="testing"), **keywords)
        self._translate(_STARLETTE_HANDLERS, exception_handlers)
        if "selected-route" in _HANDLED:
            for route in self.router.routes:
                name_when_selected(route)
