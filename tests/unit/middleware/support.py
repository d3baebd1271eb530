"""What the tests of the request layer share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import anyio
from fastapi import Request, Response
from fastapi.testclient import TestClient
from starlette.types import ASGIApp, Message, Receive, Scope

from sturdyapi.app import SturdyAPI, create_app
from sturdyapi.settings import BaseSettings


class Recorder:
    """Keeps the lines that the layer writes, as they were when they were written."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.websockets: list[dict[str, Any]] = []
        self.errors: list[dict[str, Any]] = []

    def access(self, **line: Any) -> None:
        self.requests.append({**line, "fields": dict(line["fields"])})

    def websocket(self, **line: Any) -> None:
        self.websockets.append({**line, "fields": dict(line["fields"])})

    def exception(self, error: BaseException, message: str, *, fields: Mapping[str, Any]) -> None:
        self.errors.append({"error": error, "message": message, "fields": dict(fields)})


def make_app(environment: str = "testing", **options: Any) -> SturdyAPI:
    """Make an app that leaves the process's logging alone."""
    return create_app(BaseSettings(environment=environment), logs=False, **options)


def record(app: SturdyAPI) -> Recorder:
    """Let the app write its lines to a recorder; call it before the first request."""
    recorder = Recorder()
    app._layer_options = replace(app._layer_options, log=recorder)
    return recorder


def client_of(app: ASGIApp, *, raises: bool = False, url: str = "http://testserver") -> TestClient:
    """Give a client that sees the answer to an unhandled error, or the error itself."""
    return TestClient(app, raise_server_exceptions=raises, base_url=url)


async def exchange(
    app: ASGIApp,
    path: str = "/",
    *,
    receive: Receive | None = None,
    sent: list[Message] | None = None,
    **scope: Any,
) -> list[Message]:
    """Send one request as a server would, and return the messages of the answer.

    `sent` is filled with them, for a request that raises.
    """
    messages = [] if sent is None else sent
    body: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def wait() -> Message:
        if not body:
            await anyio.sleep_forever()
        return body.pop()

    async def send(message: Message) -> None:
        messages.append(message)

    request: Scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": [],
        "state": {},
    }
    await app({**request, **scope}, receive or wait, send)
    return messages


def header(messages: Sequence[Message], name: str) -> str | None:
    """Return a header of an answer."""
    pairs = [value for key, value in messages[0]["headers"] if key.lower() == name.encode()]
    return pairs[-1].decode("latin-1") if pairs else None


async def pass_on(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Any:
    """Do nothing, as a function for `BaseHTTPMiddleware`."""
    return await call_next(request)
