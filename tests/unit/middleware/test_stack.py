"""Where the layer stands."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from sturdyapi.context import bind, current_request_id
from sturdyapi.middleware import RequestLayer

from .support import client_of, exchange, header, make_app, record


class Named:
    """A middleware that writes its name into the scope, and passes on."""

    def __init__(self, app: ASGIApp, *, name: str) -> None:
        self.app = app
        self.name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {}).setdefault("passed", []).append(self.name)
        await self.app(scope, receive, send)


def test_the_stack_begins_with_starlettes_error_layer() -> None:
    """`ServerErrorMiddleware` is outermost, our layer inside it, as instrumentations expect."""
    stack = make_app().build_middleware_stack()

    assert type(stack) is ServerErrorMiddleware
    assert type(stack.app) is RequestLayer


def test_the_order_of_the_users_middleware_is_kept() -> None:
    """Middleware is passed in FastAPI's order: the last added first."""
    app = make_app(
        middleware=[Middleware(Named, name="given-1"), Middleware(Named, name="given-2")]
    )
    app.add_middleware(Named, name="added")

    @app.get("/")
    async def read(request: Request) -> Any:
        return request.state.passed

    assert client_of(app).get("/").json() == ["added", "given-1", "given-2"]


def test_the_list_of_the_users_middleware_is_the_users() -> None:
    """What stands in `user_middleware` is what the author put there, before and after a start."""
    app = make_app(cors=["https://a.example"])
    app.add_middleware(Named, name="own")
    before = list(app.user_middleware)

    client_of(app).get("/")

    assert [getattr(entry.cls, "__name__", "") for entry in before] == ["Named"]
    assert app.user_middleware == before


def test_a_middleware_may_copy_the_scope() -> None:
    """A middleware that passes on a copy of the scope does not hide the route from the log."""

    class Copying:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await self.app({**scope, "copied": True}, receive, send)

    app = make_app(middleware=[Middleware(Copying)])
    lines = record(app)

    @app.get("/items/{item_id}")
    async def read(item_id: int) -> int:
        return item_id

    client_of(app).get("/items/5")

    assert lines.requests[0]["route"] == "/items/{item_id}"


def test_an_error_in_a_mounted_app_is_logged_once() -> None:
    """A request through two of our apps has one id, one access line and one error line."""
    child = make_app(errors="fastapi")

    @child.get("/boom")
    async def boom() -> None:
        raise RuntimeError("boom")

    root = make_app()
    root.mount("/child", child)
    lines, child_lines = record(root), record(child)

    answer = client_of(root).get("/child/boom")

    assert answer.text == "Internal Server Error"  # as the child chose
    assert len(answer.headers.get_list("x-request-id")) == 1
    assert len(lines.requests) == 1
    assert len(lines.errors) + len(child_lines.errors) == 1
    assert child_lines.requests == []


def test_an_app_mounted_in_a_foreign_app_keeps_its_layer() -> None:
    """Under plain FastAPI or Starlette the app still has its ids, headers and lines."""
    for parent in (FastAPI(), Starlette()):
        app = make_app()
        lines = record(app)

        @app.get("/items/{item_id}")
        async def read(item_id: int) -> int:
            return item_id

        parent.router.routes.append(Mount("/inner", app=app))
        answer = client_of(parent).get("/inner/items/5")

        assert answer.headers["x-request-id"] == lines.requests[0]["fields"]["request_id"]
        assert lines.requests[0]["route"] == "/inner/items/{item_id}"


def test_two_apps_do_not_share_a_context() -> None:
    """An app that calls another app in its endpoint keeps its own id and fields."""
    other = make_app()
    app = make_app()
    lines, other_lines = record(app), record(other)

    @other.get("/")
    async def inner() -> str | None:
        bind(whose="other")
        return current_request_id()

    @app.get("/")
    async def outer() -> list[str | None]:
        before = current_request_id()
        answer = await exchange(other)
        return [before, header(answer, "x-request-id"), current_request_id()]

    before, inside, after = client_of(app).get("/").json()

    assert before == after != inside
    assert "whose" not in lines.requests[0]["fields"]
    assert other_lines.requests[0]["fields"]["whose"] == "other"
