"""What comes of an error that nobody handles."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import Depends, Request
from fastapi.responses import (
    PlainTextResponse,
    Response,
    StreamingResponse,
)
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sturdyapi.app import SturdyAPI
from sturdyapi.context import bind
from sturdyapi.exceptions import UnavailableError

from .support import client_of, exchange, make_app, pass_on, record

ALLOWED_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def test_an_unhandled_error_is_logged_once() -> None:
    """One line with the error, its request's fields and the route; and one access line."""
    app = make_app()
    lines = record(app)

    @app.get("/boom/{what}")
    async def boom(what: str) -> None:
        bind(user_id="u1")
        raise RuntimeError(what)

    answer = client_of(app).get("/boom/x", headers={"x-request-id": "mine"})

    (line,) = lines.errors
    assert repr(line["error"]) == "RuntimeError('x')"
    assert line["message"] == "Unhandled error in GET /boom/{what}"
    assert line["fields"] == {"request_id": "mine", "user_id": "u1"}
    assert answer.status_code == 500
    assert len(lines.requests) == 1


def test_an_unhandled_error_tells_the_client_nothing() -> None:
    """Trap 100: the last-resort 500 has the request's id and headers, and no word of the error."""
    app = make_app()

    @app.get("/boom")
    async def boom() -> None:
        raise RuntimeError("secret")

    answer = client_of(app).get("/boom", headers={"x-request-id": "mine"})

    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == "mine"
    assert answer.json() == {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "requestId": "mine",
    }


def test_the_test_client_raises_an_unhandled_error() -> None:
    """As with FastAPI, a test sees the error itself unless it asks for the response."""
    app = make_app()

    @app.get("/boom")
    async def boom() -> None:
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        client_of(app, raises=True).get("/boom")


def test_an_error_in_a_users_middleware_is_answered_alike() -> None:
    """An error outside the routes, in a middleware, is logged once and answered as a problem."""

    class Faulty:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, _scope: Scope, _receive: Receive, _send: Send) -> None:
            raise RuntimeError("in the middleware")

    app = make_app(middleware=[Middleware(Faulty)])
    lines = record(app)

    answer = client_of(app).get("/")

    assert answer.status_code == 500
    assert answer.json()["requestId"] == answer.headers["x-request-id"]
    assert len(lines.errors) == len(lines.requests) == 1


def test_an_error_behind_base_http_middleware_is_logged_once() -> None:
    """BaseHTTPMiddleware hands the error on: it is still one line and one answer."""
    app = make_app(middleware=[Middleware(BaseHTTPMiddleware, dispatch=pass_on)] * 2)
    lines = record(app)

    @app.get("/boom")
    async def boom() -> None:
        raise RuntimeError("boom")

    answer = client_of(app).get("/boom")

    assert answer.json()["title"] == "Internal Server Error"
    assert [repr(line["error"]) for line in lines.errors] == ["RuntimeError('boom')"]


async def _fail_after_the_response() -> AsyncIterator[None]:
    yield
    raise RuntimeError("in the exit code")


@pytest.mark.parametrize("raises", [False, True])
def test_an_error_after_the_response_is_logged(raises: bool) -> None:
    """A dependency that fails after the response: the client has its 200, the log the error."""
    app = make_app()
    lines = record(app)

    @app.get("/", dependencies=[Depends(_fail_after_the_response)])
    async def read() -> str:
        return "sent"

    if raises:
        with pytest.raises(RuntimeError):
            client_of(app, raises=True).get("/")
    else:
        answer = client_of(app).get("/")
        assert (answer.status_code, answer.json()) == (200, "sent")

    assert len(lines.errors) == 1
    assert [line["status"] for line in lines.requests] == [200]


def test_an_error_in_a_background_task_is_logged_with_the_request_id() -> None:
    """A task of a response that fails is logged once, under its request's id."""
    app = make_app()
    lines = record(app)

    def task() -> None:
        raise RuntimeError("in the task")

    @app.get("/")
    async def read() -> Response:
        return PlainTextResponse("sent", background=BackgroundTask(task))

    answer = client_of(app).get("/", headers={"x-request-id": "mine"})

    assert answer.text == "sent"
    assert [line["fields"]["request_id"] for line in lines.errors] == ["mine"]
    assert [line["status"] for line in lines.requests] == [200]


@pytest.mark.anyio
async def test_an_error_in_a_streaming_body_ends_the_stream() -> None:
    """A body that fails half-way is logged; nothing of the error is sent after what was."""
    app = make_app()
    lines = record(app)

    async def body() -> AsyncIterator[str]:
        yield "first"
        raise RuntimeError("half-way")

    @app.get("/")
    async def read() -> StreamingResponse:
        return StreamingResponse(body())

    sent: list[Message] = []

    with pytest.raises(RuntimeError, match="half-way"):
        await exchange(app, sent=sent)

    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert len(lines.errors) == len(lines.requests) == 1


def test_an_error_in_an_exception_handler_is_answered() -> None:
    """A handler that fails itself is an unhandled error like any other."""
    app = make_app()
    lines = record(app)

    @app.exception_handler(LookupError)
    async def handle(_request: Request, _error: Exception) -> Response:
        raise RuntimeError("in the handler")

    @app.get("/")
    async def read() -> None:
        raise KeyError

    answer = client_of(app).get("/")

    assert answer.json()["status"] == 500
    assert [repr(line["error"]) for line in lines.errors] == ["RuntimeError('in the handler')"]


def test_a_missing_service_is_a_503_from_anywhere() -> None:
    """An `UnavailableError` in a middleware becomes a 503 with `Retry-After`, as in an endpoint."""

    class Faulty:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, _scope: Scope, _receive: Receive, _send: Send) -> None:
            raise UnavailableError("database", retry_after_seconds=7)

    answer = client_of(make_app(middleware=[Middleware(Faulty)])).get("/")

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")


def _own_handler_app(key: Any, *, is_async: bool, calls: list[str], **options: Any) -> SturdyAPI:
    def answer(error: Exception) -> Response:
        calls.append(str(error))
        return PlainTextResponse("own", status_code=500)

    async def handle_async(_request: Request, error: Exception) -> Response:
        return answer(error)

    def handle(_request: Request, error: Exception) -> Response:
        return answer(error)

    handler = handle_async if is_async else handle
    app = make_app(exception_handlers={key: handler}, **options)

    @app.get("/boom")
    async def boom() -> None:
        raise RuntimeError("boom")

    return app


@pytest.mark.parametrize("key", [Exception, 500])
@pytest.mark.parametrize("is_async", [True, False], ids=["async", "def"])
def test_a_users_handler_of_all_errors_answers(key: Any, is_async: bool) -> None:
    """A user's `Exception` or 500 handler answers, with our headers, and the error is logged."""
    calls: list[str] = []
    app = _own_handler_app(key, is_async=is_async, calls=calls, cors=["https://a.example"])
    lines = record(app)

    answer = client_of(app).get("/boom", headers={"origin": "https://a.example"})

    assert answer.text == "own"
    assert ALLOWED_ID.fullmatch(answer.headers["x-request-id"])
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["access-control-allow-origin"] == "https://a.example"
    assert len(lines.errors) == 1


@pytest.mark.parametrize("is_async", [True, False], ids=["async", "def"])
def test_a_users_handler_of_all_errors_is_called_once(is_async: bool) -> None:
    """A handler that sends an alert sends one for each error."""
    calls: list[str] = []
    app = _own_handler_app(Exception, is_async=is_async, calls=calls)

    client_of(app).get("/boom")

    assert calls == ["boom"]


def test_a_users_handler_of_all_errors_may_fail() -> None:
    """A failing `Exception` handler gives the plain 500; both errors are in the log."""

    async def handle(_request: Request, _error: Exception) -> Response:
        raise LookupError("in the handler")

    app = make_app(exception_handlers={Exception: handle})
    lines = record(app)

    @app.get("/boom")
    async def boom() -> None:
        raise RuntimeError("boom")

    answer = client_of(app).get("/boom")

    assert answer.json()["requestId"] == answer.headers["x-request-id"]
    assert {type(line["error"]) for line in lines.errors} == {RuntimeError, LookupError}
    assert [line["status"] for line in lines.requests] == [500]


def test_the_debug_page_is_for_development() -> None:
    """`debug=True` outside production shows Starlette's page, with the request's id."""
    app = make_app("development", debug=True)

    @app.get("/boom")
    async def boom() -> None:
        raise RuntimeError("visible")

    answer = client_of(app).get("/boom", headers={"accept": "text/html"})

    assert "visible" in answer.text
    assert "<html>" in answer.text
    assert "x-request-id" in answer.headers


@pytest.mark.parametrize("copies_handler", [True, False])
def test_an_instrumentation_may_wrap_the_stack_again(copies_handler: bool) -> None:
    """An instrumentation that rebuilds the outer layers sees each request and error once."""
    calls: list[str] = []
    app = _own_handler_app(Exception, is_async=True, calls=calls)
    lines = record(app)
    seen: list[str] = []

    class Probe:
        def __init__(self, inner: ASGIApp) -> None:
            self.inner = inner

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            async def noting(message: Message) -> None:
                if message["type"] == "http.response.start":
                    seen.append(f"{scope['path']} {message['status']}")
                await send(message)

            await self.inner(scope, receive, noting)

    build = app.build_middleware_stack

    def rebuild() -> ASGIApp:
        outer = build()
        assert isinstance(outer, ServerErrorMiddleware)
        handler = outer.handler if copies_handler else None
        inner = ServerErrorMiddleware(outer.app, handler=handler, debug=outer.debug)
        return ServerErrorMiddleware(Probe(inner))

    app.build_middleware_stack = rebuild  # type: ignore[method-assign]

    answer = client_of(app).get("/boom")

    assert (answer.status_code, answer.text) == (500, "own")
    assert seen == ["/boom 500"]
    assert calls == ["boom"]
    assert len(lines.errors) == len(lines.requests) == 1


def _take_ten_bytes(**options: Any) -> SturdyAPI:
    app = make_app(max_body_size=10, **options)

    @app.post("/")
    async def take(request: Request) -> int:
        return len(await request.body())

    return app


def test_the_body_limit_is_answered_as_a_problem() -> None:
    """A 413 has the request's id, the headers and the form of every other error."""
    answer = client_of(_take_ten_bytes()).post("/", content=b"x" * 11)

    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "about:blank",
        "title": "Content Too Large",
        "status": 413,
        "requestId": answer.headers["x-request-id"],
    }


def test_errors_stay_fastapis_where_asked() -> None:
    """With `errors="fastapi"` bodies are FastAPI's own, 413 and 500 included."""
    app = _take_ten_bytes(errors="fastapi")

    @app.get("/boom")
    async def boom() -> None:
        raise RuntimeError("boom")

    client = client_of(app)

    assert client.get("/nowhere").json() == {"detail": "Not Found"}
    assert client.get("/boom").text == "Internal Server Error"
    too_large = client.post("/", content=b"x" * 11)
    assert (too_large.status_code, too_large.text) == (413, "Content Too Large")
    assert "x-request-id" in too_large.headers
