"""The hook that sees every route: what it changes, and that it changes nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import PlainTextResponse, Response
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from sturdyapi import routing
from sturdyapi.app import SturdyAPI, create_app
from sturdyapi.routing import RouteView, RouteWatch
from sturdyapi.settings import BaseSettings

NAIVE = datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001 - naive on purpose: ours goes out with a Z
OURS = '"2026-01-02T03:04:05Z"'
STOCK = '"2026-01-02T03:04:05"'


def _app(**options: Any) -> SturdyAPI:
    return create_app(BaseSettings(environment="testing"), logs=False, **options)


def _client(app: FastAPI) -> TestClient:
    return TestClient(app, raise_server_exceptions=False)


def _text(app: FastAPI, path: str = "/") -> str:
    return _client(app).get(path).text


async def _untyped_async() -> Any:
    return NAIVE


def _typed() -> datetime:
    return NAIVE


def _untyped_items() -> Iterator[Any]:
    yield NAIVE
    yield NAIVE


# Which app.


def _router() -> APIRouter:
    router = APIRouter()
    router.add_api_route("/untyped", _untyped_async)
    router.add_api_route("/typed", _typed)
    router.add_api_route("/lines", _untyped_items)
    return router


def _shape(app: FastAPI, prefix: str = "") -> set[str]:
    texts = {_text(app, f"{prefix}/{name}") for name in ("untyped", "typed")}
    return texts | {_text(app, f"{prefix}/lines").split("\n")[0]}


@pytest.mark.parametrize("order", ["ours first", "FastAPI first"])
def test_the_same_router_in_a_plain_app_stays_as_it_was(order: str) -> None:
    """A router included in our app and in a plain FastAPI app answers each in its own way."""
    router = _router()
    ours, plain = _app(), FastAPI()
    apps = [ours, plain] if order == "ours first" else [plain, ours]
    for app in apps:
        app.include_router(router)
    for app in apps * 2:
        assert _shape(app) == ({OURS} if app is ours else {STOCK})


def test_a_router_may_be_included_in_a_plain_app_later() -> None:
    """Serving requests in our app first changes nothing for a later plain app."""
    router, ours, plain = _router(), _app(), FastAPI()
    ours.include_router(router)
    assert _shape(ours) == {OURS}
    plain.include_router(router)

    assert _shape(plain) == {STOCK}


def test_a_router_may_be_included_twice() -> None:
    """Each inclusion, under its own prefix, is encoded by our rules."""
    router, outer, app = _router(), APIRouter(), _app()
    outer.include_router(router, prefix="/inner")
    app.include_router(router, prefix="/a")
    app.include_router(router, prefix="/b")
    app.include_router(outer, prefix="/c")

    assert _shape(app, "/a") == _shape(app, "/b") == _shape(app, "/c/inner") == {OURS}


def test_an_app_with_other_rules_may_share_a_router() -> None:
    """Two apps of ours with different `wire=` share a router without sharing the rules."""
    router = _router()
    ours, stock = _app(routers=[router]), _app(routers=[router], wire="fastapi")

    for _ in range(2):
        assert (_shape(ours), _shape(stock)) == ({OURS}, {STOCK})


@pytest.mark.parametrize("order", ["ours first", "FastAPI first"])
def test_ready_made_routes_may_be_shared(order: str) -> None:
    """`APIRoute` objects passed to several apps as `routes=` answer each app in its own way."""
    routes = [APIRoute("/untyped", _untyped_async), APIRoute("/typed", _typed)]
    routes.append(APIRoute("/lines", _untyped_items))
    ours, plain = _app(routes=list(routes)), FastAPI(routes=list(routes))
    apps: list[FastAPI] = [ours, plain] if order == "ours first" else [plain, ours]

    for app in apps * 2:
        assert _shape(app) == ({OURS} if app is ours else {STOCK})


# Routes that come later.


def test_a_route_added_while_the_app_runs_is_seen() -> None:
    """A route added after the first request follows the rules from its own first request on."""
    app = _app()
    client = _client(app)
    assert client.get("/late").status_code == 404

    app.add_api_route("/late", _untyped_async)

    assert client.get("/late").text == OURS


def test_a_route_added_to_a_nested_router_is_seen() -> None:
    """So does a route that is added to a router deep inside the tree."""
    leaf, branch = _router(), APIRouter()
    branch.include_router(leaf, prefix="/leaf")
    app = _app(routers=[branch])
    assert _shape(app, "/leaf") == {OURS}

    leaf.add_api_route("/late", _untyped_async)

    assert _text(app, "/leaf/late") == OURS
    assert _shape(app, "/leaf") == {OURS}


def test_a_router_included_in_a_nested_router_later_is_seen() -> None:
    """And the routes of a router that is included late, and those added to that one later."""
    leaf, branch = APIRouter(), APIRouter()
    app = _app(routers=[branch])
    assert _client(app).get("/leaf/untyped").status_code == 404
    branch.include_router(leaf, prefix="/leaf")
    _text(app)

    leaf.add_api_route("/untyped", _untyped_async)

    assert _text(app, "/leaf/untyped") == OURS


def test_a_route_put_into_the_list_by_hand_is_seen() -> None:
    """A route appended to `app.router.routes`, which FastAPI does not count, is seen."""
    app = _app()
    app.add_api_route("/", _untyped_async)
    assert _text(app) == OURS

    app.router.routes.append(APIRoute("/appended", _untyped_async))
    assert _text(app, "/appended") == OURS


def test_a_route_is_shown_to_the_hooks_once() -> None:
    """Requests, and new routes elsewhere, do not wrap a route a second time."""
    shown: list[str] = []
    app = FastAPI(routes=[APIRoute("/ready", _untyped_async)])
    app.add_api_route("/a", _untyped_async)
    watch = RouteWatch(app.router, [lambda view: shown.append(view.state.path)])
    for _ in range(3):
        watch.refresh()
    app.add_api_route("/b", _untyped_async)
    for _ in range(3):
        watch.refresh()

    assert shown == ["/ready", "/a", "/b"]


def test_a_failing_hook_leaves_the_route_to_fastapi(caplog: pytest.LogCaptureFixture) -> None:
    """A surprise in a hook is logged with the route's name; the route and all others answer."""
    app = FastAPI()
    app.add_api_route("/a", _untyped_async)
    app.add_api_route("/b", _untyped_async)

    def hook(view: RouteView) -> None:
        if view.state.path == "/a":
            raise RuntimeError("surprise")
        routing.apply_wire_rules(view)

    RouteWatch(app.router, [hook]).refresh()

    assert (_text(app, "/a"), _text(app, "/b")) == (STOCK, OURS)
    assert [record.getMessage() for record in caplog.records if record.exc_info] == [
        "GET /a keeps FastAPI's own handling: a hook failed"
    ]


def test_an_unknown_fastapi_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a FastAPI whose internals we do not know, routes stay FastAPI's."""
    monkeypatch.setattr(routing, "SUPPORTED", False)
    app = _app()
    app.add_api_route("/", _untyped_async)

    assert _text(app) == STOCK


# Routes of the user's own kind.


class _Stamping(APIRoute):
    """A route class as FastAPI's documentation shows it."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        handler = super().get_route_handler()

        async def stamped(request: Request) -> Response:
            response: Response = await handler(request)
            response.headers["x-stamp"] = self.path
            return response

        return stamped


@pytest.mark.parametrize("endpoint", [_untyped_async, _typed])
@pytest.mark.parametrize("where", ["app", "router", "ready-made"])
def test_a_route_class_of_ones_own_is_kept(endpoint: Callable[..., Any], where: str) -> None:
    """A custom `route_class` handles the request, and what it returns follows our rules."""
    app = _app()
    router = APIRouter(route_class=_Stamping)
    if where == "app":
        app.router.route_class = _Stamping
        app.add_api_route("/", endpoint)
    elif where == "router":
        router.add_api_route("/", endpoint)
        app.include_router(router)
    else:
        app = _app(routes=[_Stamping("/", endpoint)])

    answer = _client(app).get("/")

    assert answer.text == OURS
    assert answer.headers["x-stamp"] == "/"


class _Guarded(APIRoute):
    """A route class that wraps the app of its route, to refuse every request."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.app = PlainTextResponse("refused", status_code=403)


@pytest.mark.parametrize("endpoint", [_untyped_async, _typed])
@pytest.mark.parametrize("where", ["app", "ready-made"])
def test_a_route_that_guards_itself_stays_guarded(endpoint: Callable[..., Any], where: str) -> None:
    """A route whose `app` was replaced by its author keeps what its author put there."""
    app = _app(routes=[_Guarded("/", endpoint)] if where == "ready-made" else None)
    if where == "app":
        app.router.route_class = _Guarded
        app.add_api_route("/", endpoint)

    assert _client(app).get("/").status_code == 403


def test_a_body_limit_of_a_route_is_kept() -> None:
    """A route's own `max_body_size` holds after its handler was made anew."""
    app = _app()

    @app.post("/", max_body_size=3)
    async def take(request: Request) -> datetime:
        await request.body()
        return NAIVE

    client = _client(app)

    assert client.post("/", content=b"abc").text == OURS
    assert client.post("/", content=b"abcd").status_code == 413


def test_urls_are_made_as_before() -> None:
    """`url_path_for` finds routes by name, ready-made and included ones too."""
    router = APIRouter()
    router.add_api_route("/included/{number}", _number_back, name="included")
    app = _app(routes=[APIRoute("/ready/{number}", _number_back, name="ready")], routers=[router])
    _text(app)

    assert app.url_path_for("ready", number="1") == "/ready/1"
    assert app.url_path_for("included", number="1") == "/included/1"


async def _number_back(number: int) -> int:
    return number
