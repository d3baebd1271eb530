"""Which route gets a request, told without sending one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from sturdyapi.cli.route_facts import facts_of

from .route_support import answer, asgi, on_loop, on_socket, plain, sturdy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def echo(name: str) -> Callable[[], str]:
    """Return an endpoint that says which one it is."""

    def endpoint() -> str:
        return name

    return endpoint


def never_reached(app: Any) -> dict[str, str]:
    """Return what is never reached, and what comes first."""
    found = facts_of(app)
    return {each.path: each.shadowed_by for each in found if each.shadowed_by is not None}


@pytest.mark.parametrize(
    ("first", "second", "path"),
    [
        ("/users", "/users", "/users"),
        ("/users/{id}", "/users/{name}", "/users/7"),
        ("/users/{id}", "/users/me", "/users/me"),
        ("/{path:path}", "/a/b", "/a/b"),
    ],
)
def test_a_route_behind_one_that_takes_its_path_is_never_reached(
    first: str, second: str, path: str
) -> None:
    """The same path, other names of parameters, or a path that an earlier parameter takes."""
    app = plain()
    app.get(first)(echo("first"))
    app.get(second)(echo("second"))
    assert [each.shadowed_by for each in facts_of(app)] == [None, first.replace(":path", "")]
    assert TestClient(app).get(path).json() == "first"


@pytest.mark.parametrize(
    ("first", "second", "path"),
    [
        ("/users/me", "/users/{id}", "/users/7"),
        ("/users/{id:int}", "/users/me", "/users/me"),
        ("/users/{id:int}", "/users/{name}", "/users/me"),
        ("/users", "/users/", "/users/"),
        ("/a.b", "/aXb", "/aXb"),
        ("/a/{b}", "/a/{rest:path}", "/a/b/c"),
    ],
)
def test_a_route_that_can_be_reached_is_not_marked(first: str, second: str, path: str) -> None:
    """A route that some request reaches has no mark."""
    app = plain()
    app.get(first)(echo("first"))
    app.get(second)(echo("second"))
    assert never_reached(app) == {}
    assert TestClient(app).get(path).json() == "second"


def test_every_method_must_be_taken() -> None:
    """A route is marked when earlier ones take all of its methods, together if need be."""
    app = plain()
    app.get("/x")(echo("get"))
    app.api_route("/x", methods=["GET", "POST"])(echo("both"))
    assert never_reached(app) == {}
    app.api_route("/x", methods=["POST", "GET"])(echo("late"))
    assert never_reached(app) == {"/x": "/x"}


def test_a_websocket_does_not_get_in_the_way() -> None:
    """A websocket and an endpoint share a path."""
    app = plain()
    app.websocket("/x")(on_socket)
    app.get("/x")(on_loop)
    assert never_reached(app) == {}
    app.websocket("/x")(on_socket)
    assert never_reached(app) == {"/x": "/x"}


def test_nothing_below_a_mount_is_reached_later(tmp_path: Path) -> None:
    """A mount takes every request below its path, whatever is in it; its path itself it leaves."""
    app = plain()
    app.mount("/{tenant}/files", plain())
    app.get("/{tenant}/files/x")(on_loop)
    app.get("/{tenant}/files")(on_loop)
    app.mount("/ui", plain())
    app.frontend("/ui", directory=tmp_path)
    assert list(never_reached(app)) == ["/{tenant}/files/x"]
    app.mount("/", asgi)
    app.websocket("/socket")(on_socket)
    app.get("/x")(on_loop)
    assert never_reached(app) == {
        "/{tenant}/files/x": "/{tenant}/files/{path}",
        "/socket": "/{path}",
        "/x": "/{path}",
        "/ui/{path}": "/{path}",
    }
    assert TestClient(app).get("/x").text == "asgi"


def test_mounts_in_mounts_take_what_is_below_both() -> None:
    """A mount in a mounted app is looked at by its whole path."""
    app, middle = plain(), plain()
    middle.mount("/b", plain())
    middle.get("/b/x")(on_loop)
    middle.get("/x")(on_loop)
    app.get("/b/x")(on_loop)
    app.mount("/a", middle)
    assert never_reached(app) == {"/a/b/x": "/a/b/{path}"}


def test_an_endpoint_class_takes_every_method() -> None:
    """An `HTTPEndpoint` answers 405 itself, so that nothing behind it is reached."""

    class Reading(HTTPEndpoint):
        async def get(self, request: Request) -> PlainTextResponse:
            return PlainTextResponse("read")

    app = Starlette(routes=[Route("/x", Reading), Route("/x", answer, methods=["DELETE"])])
    assert never_reached(app) == {"/x": "/x"}
    assert TestClient(app).delete("/x").status_code == 405


def test_a_host_takes_its_own_requests_only() -> None:
    """What follows a host is reached by other hosts, and what precedes it is reached by its own."""
    inner, app = plain(), plain()
    inner.get("/x")(echo("inner"))
    inner.get("/y")(echo("inner"))
    app.get("/y")(echo("outer"))
    app.host("api.example.com", inner)
    app.get("/x")(echo("outer"))
    app.host("api.example.com", plain(routes=[Route("/z", answer)]))
    assert [(each.host, each.path) for each in facts_of(app) if each.shadowed_by] == [
        ("api.example.com", "/y"),
        ("api.example.com", "/z"),
    ]
    at_host = TestClient(app, base_url="http://api.example.com")
    assert [at_host.get(path).status_code for path in ("/x", "/y", "/z")] == [200, 200, 404]
    assert at_host.get("/y").json() == "outer"
    assert TestClient(app).get("/x").json() == "outer"


def test_health_takes_the_path_from_a_route_of_starlette() -> None:
    """A route at a health path that is no API route is never reached."""
    app = sturdy("production")
    app.add_route("/health/live", answer)
    assert never_reached(app) == {"/health/live": "/health/live"}
    assert TestClient(app).get("/health/live").json() == {"status": "alive"}
