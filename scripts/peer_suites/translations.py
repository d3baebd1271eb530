"""From our envelopes back to the stock ones; each refuses what is not ours."""

from __future__ import annotations

import inspect
import re
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import validation_error_definition, validation_error_response_definition
from starlette.responses import HTMLResponse, PlainTextResponse

from sturdyapi.problems import PROBLEM_MEDIA_TYPE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from starlette.responses import Response
    from starlette.routing import BaseRoute
    from starlette.types import Message, Receive, Scope, Send

    Translation = Callable[[Scope, Message], Callable[[bytes], Response] | None]
    """Looks at the start of a response; returns what makes the translation from its body."""

_REFERENCE = "#/components/schemas/"
_PROBLEM_CONTENT = {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": f"{_REFERENCE}Problem"}}}
_VALIDATION_CONTENT = {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": f"{_REFERENCE}ValidationProblem"}}}
_STOCK_CONTENT = {"application/json": {"schema": {"$ref": f"{_REFERENCE}HTTPValidationError"}}}
_STOCK_SCHEMAS = {
    "HTTPValidationError": validation_error_response_definition,
    "ValidationError": validation_error_definition,
}
_OUTER_ERRORS = {413: "Content Too Large", 500: "Internal Server Error"}
"""What stock answers outside every exception handler."""
_PUBLISHED_ASSETS = {
    "swagger-ui-bundle.js": "swagger_js_url",
    "swagger-ui.css": "swagger_css_url",
    "favicon-32x32.png": "swagger_favicon_url",
}
"""Our packaged files, and the parameters whose defaults are the addresses that FastAPI uses."""


def translated_handler(ours: Callable[..., Any], stock: Callable[..., Any]) -> Callable[..., Any]:
    """Return a handler that lets ours answer, then sends what stock answers to the same."""

    async def handler(request: Any, exc: Any) -> Any:
        answer = await ours(request, exc)
        expected = await stock(request, exc)
        if answer.status_code != expected.status_code:
            raise AssertionError(f"{answer.status_code} in place of {expected.status_code}")
        return expected

    return handler


def translating(scope: Scope, send: Send, translations: Sequence[Translation]) -> Send:
    """Return a `send` that gives stock's words to responses that are ours."""
    start: Message | None = None
    body = b""
    translate: Callable[[bytes], Response] | None = None

    async def translated(message: Message) -> None:
        nonlocal start, body, translate
        if message["type"] == "http.response.start":
            found = (translation(scope, message) for translation in translations)
            translate = next(filter(None, found), None)
            if translate is not None:
                start = message
                return
        if start is None or translate is None:
            await send(message)
            return
        body += message.get("body", b"")
        if not message.get("more_body"):
            await _send_in_place_of(start, translate(body), send)
            start = None

    return translated


async def _send_in_place_of(start: Message, stock: Response, send: Send) -> None:
    names = dict(stock.raw_headers).keys()
    kept = [pair for pair in start.get("headers", ()) if pair[0] not in names]
    await send({**start, "headers": stock.raw_headers + kept})
    await send({"type": "http.response.body", "body": stock.body})


def outer_error(_scope: Scope, start: Message) -> Callable[[bytes], Response] | None:
    """Translate a problem that was made outside the exception handlers to stock's plain text."""
    is_problem = (b"content-type", PROBLEM_MEDIA_TYPE.encode()) in start.get("headers", ())
    text = _OUTER_ERRORS.get(start["status"]) if is_problem else None
    return None if text is None else lambda _body: PlainTextResponse(text, start["status"])


def packaged_page(scope: Scope, _start: Message) -> Callable[[bytes], Response] | None:
    """Translate the addresses of packaged assets in our Swagger UI page to FastAPI's."""
    if getattr(scope.get("endpoint"), "__module__", None) != "sturdyapi.apidocs.pages":
        return None
    return lambda page: HTMLResponse(re.sub(rb'"[^"]*/assets/([^"]+)"', _published_asset, page))


def _published_asset(match: re.Match[bytes]) -> bytes:
    parameters = inspect.signature(get_swagger_ui_html).parameters
    address = parameters[_PUBLISHED_ASSETS[match[1].decode()]].default
    return f'"{address}"'.encode()


def fastapi_openapi(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of an OpenAPI document with FastAPI's 422, and errors as they were declared."""
    translated = deepcopy(schema)
    schemas = translated.get("components", {}).get("schemas", {})
    for response in _responses(translated):
        if response.get("content") == _PROBLEM_CONTENT:
            del response["content"]
        elif response.get("content") == _VALIDATION_CONTENT:
            response["content"] = deepcopy(_STOCK_CONTENT)
            schemas.update(deepcopy(_STOCK_SCHEMAS))
    schemas.pop("Problem", None)
    schemas.pop("ValidationProblem", None)
    if "components" in translated and not any(translated["components"].values()):
        del translated["components"]
    return translated


def _responses(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for paths in (schema.get("paths", {}), schema.get("webhooks", {})):
        yield from _responses_of(paths)


def _responses_of(paths: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path_item in paths.values():
        for operation in path_item.values():
            if isinstance(operation, dict):
                yield from operation.get("responses", {}).values()
                for callback in operation.get("callbacks", {}).values():
                    yield from _responses_of(callback)


def name_when_selected(route: BaseRoute) -> None:
    """Let a route of Starlette put itself into the scope, as Starlette's router does."""
    handle = route.handle

    async def named(scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = route
        await handle(scope, receive, send)

    route.handle = named  # type: ignore[method-assign]
