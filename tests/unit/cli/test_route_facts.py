"""What an app serves, told without running it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, Security
from fastapi.responses import EventSourceResponse, PlainTextResponse, StreamingResponse
from fastapi.security import (
    APIKeyCookie,
    APIKeyHeader,
    HTTPBasic,
    HTTPBearer,
    OAuth2PasswordBearer,
    OpenIdConnect,
)
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.routing import BaseRoute, Host, Mount, Route, Router, WebSocketRoute
from starlette.staticfiles import StaticFiles

from sturdyapi import must, owned
from sturdyapi.cli.route_facts import RouteFacts, facts_of, with_routes

from .route_support import answer, asgi, in_thread, on_loop, on_socket, only, paths, plain, sturdy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


# Which routes there are.


def test_a_route_is_told_as_it_is_called() -> None:
    """A route has its methods, its path and the function that answers."""
    app = plain()
    app.api_route("/items/{item_id:int}", methods=["PUT", "GET"])(in_thread)
    assert only(app) == RouteFacts(
        methods=("GET", "PUT"),
        path="/items/{item_id}",
        endpoint=f"{in_thread.__module__}:in_thread",
        lane="thread",
        docs=True,
    )


def test_an_endpoint_is_named_after_its_function() -> None:
    """A partial, a method, an object and an inner function are told by what is called."""

    def local() -> None: ...

    app = plain()
    for call in (partial(partial(on_loop)), RoleChecker().__call__, RoleChecker(), local):
        app.get("/")(call)
    names = [each.endpoint.rpartition(":")[2] for each in facts_of(app)]
    assert names == ["on_loop", "RoleChecker.__call__", "RoleChecker", "local"]


def test_prefixes_of_every_depth_are_in_the_path() -> None:
    """A router that two others include is told once for each, with all prefixes."""
    leaf, middle, app = APIRouter(prefix="/c"), APIRouter(prefix="/b"), plain()
    leaf.get("/d")(on_loop)
    leaf.websocket("/w")(on_socket)
    middle.include_router(leaf)
    app.include_router(middle, prefix="/a")
    app.include_router(leaf)
    assert paths(app) == ["/a/b/c/d", "/a/b/c/w", "/c/d", "/c/w"]


def test_the_order_is_that_in_which_routes_are_tried() -> None:
    """Routes stand in the order of their registration, whatever they are."""
    router, app = APIRouter(), plain()
    router.get("/3")(on_loop)
    app.get("/1")(on_loop)
    app.mount("/2", asgi)
    app.include_router(router)
    app.websocket("/4")(on_socket)
    assert paths(app) == ["/1", "/2/{path}", "/3", "/4"]


def test_a_mounted_app_has_its_own_rows() -> None:
    """The routes of a mounted app have the path that leads to them."""
    inner, outer, app = plain(), plain(), plain()
    inner.get("/x")(on_loop)
    outer.mount("/inner", inner)
    app.mount("/outer/{tenant}", outer)
    assert paths(app) == ["/outer/{tenant}/inner/x"]


def test_a_mount_below_a_router_has_its_prefix() -> None:
    """What is mounted on a router is found where the router is included."""
    inner, router, app = plain(), APIRouter(), plain()
    inner.get("/x")(on_loop)
    router.mount("/inner", inner)
    app.include_router(router, prefix="/v1")
    assert paths(app) == ["/v1/inner/x"]
    assert TestClient(app).get("/v1/inner/x").json() == "on_loop"


def test_a_mount_sees_through_middleware() -> None:
    """Middleware between a mount and its routes does not hide them."""
    routes: list[BaseRoute] = [Route("/x", in_thread)]
    app = Starlette(routes=[Mount("/m", routes=routes, middleware=[Middleware(GZipMiddleware)])])
    assert paths(app) == ["/m/x"]


@pytest.mark.parametrize("mounted", [asgi, partial(asgi), GZipMiddleware(asgi)])
def test_another_app_is_one_row(mounted: Any) -> None:
    """An ASGI app without routes takes every method below its path, and its lane is its own."""
    app = plain()
    app.mount("/other", mounted)
    found = only(app)
    assert (found.methods, found.path, found.lane) == ((), "/other/{path}", "app")


def test_static_files_are_one_row(tmp_path: Path) -> None:
    """A folder of files is named by the class that serves it."""
    app = plain()
    app.mount("/static", StaticFiles(directory=tmp_path))
    assert only(app).endpoint == "starlette.staticfiles:StaticFiles"


def test_a_frontend_comes_last(tmp_path: Path) -> None:
    """`frontend()` is tried after every route, and guarded by its router's dependencies."""
    router, app = APIRouter(dependencies=[Depends(HTTPBearer())]), plain()
    app.frontend("/", directory=tmp_path)
    router.frontend("/ui", directory=tmp_path)
    app.include_router(router, prefix="/v1")
    app.get("/x")(on_loop)
    assert [(each.methods, each.path, each.auth) for each in facts_of(app)] == [
        (("GET",), "/x", ()),
        (("GET", "HEAD"), "/{path}", ()),
        (("GET", "HEAD"), "/v1/ui/{path}", ("HTTPBearer",)),
    ]


def test_a_host_is_told() -> None:
    """What is served at one host only has its name, also below a router."""
    inner, router, app = plain(), APIRouter(), plain()
    inner.get("/x")(on_loop)
    router.routes.append(Host("{tenant}.example.com", inner))
    app.host("api.example.com", inner)
    app.include_router(router, prefix="/v1")
    assert [(each.host, each.path) for each in facts_of(app)] == [
        ("api.example.com", "/x"),
        ("{tenant}.example.com", "/v1/x"),
    ]


def test_a_route_of_another_kind_is_one_row() -> None:
    """A route class that nobody knows is named, and nothing is claimed about it."""

    class Odd(BaseRoute): ...

    app = Starlette(routes=[Odd(), Route("/x", answer)])
    odd, after = facts_of(app)
    assert odd.endpoint == f"{__name__}:Odd"
    assert after.shadowed_by is None


# Health.


def test_health_comes_first() -> None:
    """The health endpoints are answered before any route is tried."""
    app = sturdy("production")
    app.get("/x")(on_loop)
    assert [(each.methods, each.path) for each in facts_of(app)] == [
        (("GET", "HEAD"), "/health/live"),
        (("GET", "HEAD"), "/health/ready"),
        (("GET",), "/x"),
    ]


def test_health_that_is_off_is_not_told() -> None:
    """`health=None` leaves no rows."""
    assert paths(sturdy("production", health=None)) == []


def test_health_yields_to_a_route_of_the_app() -> None:
    """An app's own endpoint at one of the paths is the one that is told."""
    router = APIRouter(prefix="/health")
    router.get("/live")(on_loop)
    app = sturdy("production", routers=[router])
    assert [(each.path, each.endpoint) for each in facts_of(app)] == [
        ("/health/ready", "sturdyapi.health:Health"),
        ("/health/live", f"{on_loop.__module__}:on_loop"),
    ]


def test_health_of_a_mounted_app_is_told() -> None:
    """A mounted app of ours has its own health endpoints."""
    app = plain()
    app.mount("/v1", sturdy("production", health="/up"))
    assert paths(app) == ["/v1/up/live", "/v1/up/ready"]
    assert TestClient(app).get("/v1/up/live").status_code == 200


# Lanes.


async def items() -> AsyncIterator[int]:
    """Give one."""
    yield 1


def items_in_thread() -> Iterator[int]:
    """Give one."""
    yield 1


class Callable_:  # noqa: N801 - a class whose objects are called
    async def __call__(self) -> None: ...


@pytest.mark.parametrize(
    ("endpoint", "lane"),
    [
        (on_loop, "loop"),
        (in_thread, "thread"),
        (partial(on_loop), "loop"),
        (partial(in_thread), "thread"),
        (Callable_(), "loop"),
        (lambda: None, "thread"),
    ],
)
def test_async_def_runs_on_the_loop(endpoint: Callable[..., Any], lane: str) -> None:
    """`async def` runs on the event loop, and `def` in a thread."""
    app = plain()
    app.get("/")(endpoint)
    assert only(app).lane == lane


@pytest.mark.parametrize(
    ("options", "stream"),
    [
        ({}, "jsonl"),
        ({"response_class": EventSourceResponse}, "sse"),
        ({"response_class": StreamingResponse}, None),
    ],
)
def test_a_stream_tells_its_form(options: dict[str, Any], stream: str | None) -> None:
    """A generator is sent as JSON lines or as server-sent events, or as its response class says."""
    app = plain()
    app.get("/async", **options)(items)
    app.get("/def", **options)(items_in_thread)
    assert [(each.lane, each.stream) for each in facts_of(app)] == [
        ("loop", stream),
        ("thread", stream),
    ]


def test_a_websocket_has_a_lane_of_its_own() -> None:
    """A websocket has no method; FastAPI's, Starlette's and endpoint classes are told alike."""

    class Endpoint(WebSocketEndpoint): ...

    app = plain()
    app.websocket("/1")(on_socket)
    app.router.routes += [WebSocketRoute("/2", on_socket), WebSocketRoute("/3", Endpoint)]
    assert [(each.methods, each.lane) for each in facts_of(app)] == [((), "socket")] * 3


def test_a_route_of_starlette_is_told() -> None:
    """Starlette's routes take HEAD as well, and are in no OpenAPI document."""
    app = plain()
    app.add_route("/x", answer)
    found = only(app)
    assert (found.methods, found.lane, found.docs) == (("GET", "HEAD"), "loop", False)


def test_an_endpoint_class_is_told_by_its_methods() -> None:
    """An `HTTPEndpoint` has the methods that it defines; one of them in `def` takes a thread."""

    class Both(HTTPEndpoint):
        async def get(self, request: Request) -> PlainTextResponse: ...  # type: ignore[empty-body]
        def post(self, request: Request) -> PlainTextResponse: ...  # type: ignore[empty-body]

    class OnLoop(HTTPEndpoint):
        async def delete(self, request: Request) -> PlainTextResponse: ...  # type: ignore[empty-body]

    app = Starlette(routes=[Route("/1", Both), Route("/2", OnLoop), Route("/3", asgi.__class__)])
    assert [(each.methods, each.lane) for each in facts_of(app)] == [
        (("GET", "HEAD", "POST"), "thread"),
        (("DELETE",), "loop"),
        ((), "app"),
    ]


# Auth.


def with_dependency(dependency: Any) -> RouteFacts:
    """Return the facts of a route with one dependency."""
    app = plain()
    app.get("/", dependencies=[Depends(dependency)])(on_loop)
    return only(app)


@pytest.mark.parametrize(
    ("scheme", "name"),
    [
        (HTTPBearer(), "HTTPBearer"),
        (HTTPBearer(auto_error=False), "HTTPBearer"),
        (HTTPBasic(), "HTTPBasic"),
        (OAuth2PasswordBearer("token"), "OAuth2PasswordBearer"),
        (OpenIdConnect(openIdConnectUrl="/"), "OpenIdConnect"),
        (APIKeyHeader(name="X-Key"), "APIKeyHeader"),
        (APIKeyCookie(name="key", scheme_name="Session"), "Session"),
    ],
)
def test_a_security_scheme_is_named_as_in_openapi(scheme: Any, name: str) -> None:
    """Every security scheme of FastAPI counts, by the name that OpenAPI has for it."""
    assert with_dependency(scheme).auth == (name,)


bearer = HTTPBearer()


async def current_user(token: Annotated[Any, Depends(bearer)]) -> dict[str, int]:
    """Return a user."""
    return {"id": 1}


async def user_of_header(x_user: Annotated[int, Header()]) -> dict[str, int]:
    """Return a user."""
    return {"id": x_user}


def test_a_scheme_is_found_anywhere_below() -> None:
    """A scheme of a dependency's dependency counts, and each is told once."""

    async def deep(user: Annotated[Any, Depends(current_user)]) -> None: ...

    app = FastAPI(openapi_url=None, dependencies=[Depends(HTTPBasic())])
    router = APIRouter(dependencies=[Security(current_user, scopes=["a"])])
    router.get("/", dependencies=[Depends(deep)])(on_loop)
    app.include_router(router, dependencies=[Depends(APIKeyHeader(name="k"))])
    assert only(app).auth == ("HTTPBasic", "APIKeyHeader", "HTTPBearer")


def test_a_websocket_has_auth_as_well() -> None:
    """The dependencies of a websocket are looked at like those of other routes."""
    app = plain()
    app.websocket("/", dependencies=[Depends(current_user)])(on_socket)
    assert only(app).auth == ("HTTPBearer",)


def named(name: str) -> Callable[[], None]:
    """Return a dependency of that name."""

    def dependency() -> None: ...

    dependency.__qualname__ = name
    return dependency


class RoleChecker:
    def __call__(self) -> None: ...


@pytest.mark.parametrize(
    ("dependency", "name"),
    [
        (named("get_current_active_user"), "get_current_active_user()"),
        (named("get_current_user_id"), "get_current_user_id()"),
        (named("require_admin"), "require_admin()"),
        (named("verify_token"), "verify_token()"),
        (named("login_required"), "login_required()"),
        (named("Auth.user"), "Auth.user()"),
        (partial(named("authenticate")), "authenticate()"),
        (RoleChecker(), "RoleChecker()"),
    ],
)
def test_without_a_scheme_a_user_is_known_by_name(dependency: Any, name: str) -> None:
    """A dependency that is called like one that gives the user is told as a function."""
    assert with_dependency(dependency).auth == (name,)


@pytest.mark.parametrize(
    "name", ["get_user_service", "user_agent", "csrf_token", "get_author", "get_db", "UserService"]
)
def test_a_name_that_only_sounds_alike_is_no_auth(name: str) -> None:
    """`get_user_service` and `user_agent` give no user."""
    assert with_dependency(named(name)).auth == ()


def test_who_is_named_in_the_path_is_not_who_calls() -> None:
    """A user that is loaded by an id of the path is no auth."""

    def find_user(user_id: int) -> None: ...

    app = plain()
    app.get("/users/{user_id}", dependencies=[Depends(find_user)])(on_loop)
    assert only(app).auth == ()


def test_a_scheme_says_more_than_a_name() -> None:
    """Where there is a scheme, names are not looked at."""
    assert with_dependency(current_user).auth == ("HTTPBearer",)


# Owners.


async def find_project(project_id: int) -> dict[str, int]:
    """Return a project."""
    return {"id": project_id, "owner_id": 1}


async def find_task(task_id: int) -> dict[str, int]:
    """Return a task."""
    return {"id": task_id, "project_id": 1}


def is_open(value: Any) -> bool:
    """Tell."""
    return True


my_project = owned(find_project, by=user_of_header)
MyProject = Annotated[dict[str, int], my_project]
my_task = owned(find_task, by=MyProject, owner="project_id")


@pytest.mark.parametrize(
    ("checks", "rules"),
    [
        ([my_project], ["owned(find_project)"]),
        ([my_task], ["owned(find_project)", "owned(find_task)"]),
        ([must(find_task, is_open)], ["must(find_task)"]),
        ([must(my_project, is_open)], ["must(owned(find_project))"]),
        ([my_project, my_project], ["owned(find_project)"]),
        ([must(find_task), my_project], ["must(find_task)", "owned(find_project)"]),
        ([], []),
    ],
)
def test_an_owner_check_is_told_as_it_is_written(checks: list[Any], rules: list[str]) -> None:
    """`owned()` and `must()` are told with what finds the object, in the order they run."""
    app = plain()
    app.get("/{project_id}/{task_id}", dependencies=checks)(on_loop)
    assert only(app).owner == tuple(rules)


def test_the_user_of_an_owner_check_is_auth() -> None:
    """Without a scheme, `by=` of `owned()` tells who the user is, whatever it is called."""
    app = plain()
    app.get("/{project_id}/{task_id}", dependencies=[my_task])(on_loop)
    assert only(app).auth == ("user_of_header()",)


# Documentation.


def test_what_openapi_leaves_out_is_told() -> None:
    """`include_in_schema=False` counts at the route and at every inclusion."""
    router, app = APIRouter(), plain()
    router.get("/shown")(on_loop)
    router.get("/hidden", include_in_schema=False)(on_loop)
    app.include_router(router)
    app.include_router(router, prefix="/all", include_in_schema=False)
    assert [(each.path, each.docs) for each in facts_of(app)] == [
        ("/shown", True),
        ("/hidden", False),
        ("/all/shown", False),
        ("/all/hidden", False),
    ]


def app_without_openapi() -> FastAPI:
    """Return an app that was robbed of its document after it was made."""
    app = sturdy("development")
    app.openapi_url = None
    return app


@pytest.mark.parametrize(
    "make",
    [
        FastAPI,
        partial(FastAPI, docs_url=None),
        partial(sturdy, "development"),
        partial(sturdy, "production"),
        partial(sturdy, "production", docs=True),
        partial(sturdy, "development", docs=False),
        app_without_openapi,
    ],
)
@pytest.mark.parametrize("mounted", [False, True])
def test_a_page_is_in_the_docs_if_it_is_served(make: Callable[[], FastAPI], mounted: bool) -> None:
    """A page of the documentation is told as it answers: served, or not found."""
    app = make()
    if mounted:
        app.mount("/plain", FastAPI())
        app.mount("/closed", sturdy("production", docs=False))
        app.mount("/open", sturdy("production", docs=True))
        app.mount("/inner", sturdy("development"))
    pages = {
        each.path: each.docs
        for each in facts_of(app)
        if "/health" not in each.path and "{" not in each.path
    }
    client = TestClient(app, raise_server_exceptions=False)
    assert pages == {path: client.get(path).status_code == 200 for path in pages}


def test_pages_behind_a_dependency_have_its_auth() -> None:
    """`docs=Depends(...)` stands before the pages of the app, and of those mounted in it."""
    app = sturdy("production", docs=Depends(HTTPBasic()))
    app.mount("/v1", FastAPI())
    found = {each.path: each for each in facts_of(app)}
    assert found["/docs"].auth == found["/v1/openapi.json"].auth == ("HTTPBasic",)
    assert found["/docs"].docs


# What it does not do.


def test_nothing_runs() -> None:
    """Neither the lifespan, nor a dependency, nor an endpoint is called."""
    called: list[str] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        called.append("lifespan")
        yield

    def dependency() -> None:
        called.append("dependency")

    def endpoint() -> None:
        called.append("endpoint")

    app = sturdy("development", lifespan=lifespan)
    app.get("/", dependencies=[Depends(dependency)])(endpoint)
    assert "/" in paths(app)
    assert called == []


def test_the_app_is_left_as_it_was() -> None:
    """Reading the routes changes neither their endpoints nor the OpenAPI document."""
    router = APIRouter()
    router.get("/{project_id}", dependencies=[my_project])(on_loop)
    app, other = sturdy("development", routers=[router]), sturdy("development", routers=[router])
    facts_of(app)
    assert app.openapi() == other.openapi()
    assert facts_of(app) == facts_of(other)


def test_routes_are_found_inside_of_middleware() -> None:
    """An app that a middleware was put around is the app inside of it."""
    app = plain()
    assert with_routes(GZipMiddleware(GZipMiddleware(app))) is app
    router = Router()
    assert with_routes(router) is router
    assert with_routes(asgi) is None
