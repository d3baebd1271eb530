"""`create_app()`: its keywords, and that everything else is FastAPI."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Iterator
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import FastAPIDeprecationWarning, RequestValidationError
from fastapi.responses import PlainTextResponse, RedirectResponse, Response
from fastapi.testclient import TestClient
from starlette.routing import Route

import sturdyapi
from sturdyapi.app import AppOptions, SturdyAPI, create_app
from sturdyapi.exceptions import ConfigurationError, SettingsError
from sturdyapi.fastapi_options import FastAPIOptions
from sturdyapi.settings import BaseSettings


def _app(environment: str = "testing", **options: Any) -> SturdyAPI:
    return create_app(BaseSettings(environment=environment), logs=False, **options)


def _client(app: FastAPI, **options: Any) -> TestClient:
    return TestClient(app, raise_server_exceptions=False, **options)


# What it is.


def test_an_app_is_a_fastapi_app() -> None:
    """`create_app()` returns a public subclass of `FastAPI`."""
    app = _app()

    assert type(app) is sturdyapi.SturdyAPI
    assert isinstance(app, FastAPI)


def test_the_class_takes_the_same_keywords() -> None:
    """`SturdyAPI(...)`, and a subclass of it, is the same as `create_app(...)`."""

    class Own(SturdyAPI):
        def describe(self) -> str:
            return self.title

    app = Own(BaseSettings(environment="testing"), logs=False, title="Mine", health=None)

    assert app.describe() == "Mine"
    assert _client(app).get("/health/live").status_code == 404


def test_every_keyword_of_fastapi_has_a_type() -> None:
    """Editors know every keyword of the installed FastAPI."""
    stock = set(inspect.signature(FastAPI).parameters)

    assert stock <= set(AppOptions.__annotations__)
    assert set(FastAPIOptions.__annotations__) <= stock


def test_every_keyword_of_ours_has_a_type() -> None:
    """`AppOptions` has the keywords that `SturdyAPI(...)` takes, and no others."""
    parameters = inspect.signature(SturdyAPI).parameters.values()
    own = {each.name for each in parameters if each.kind is each.KEYWORD_ONLY}

    assert set(AppOptions.__annotations__) == own | set(FastAPIOptions.__annotations__)


def test_every_keyword_of_fastapi_is_taken() -> None:
    """Each of FastAPI's keywords goes through, with FastAPI's own default as its value."""
    stock = inspect.signature(FastAPI).parameters
    ours = set(inspect.signature(SturdyAPI).parameters)

    for name in stock.keys() - ours:
        options = {name: stock[name].default}
        assert isinstance(_app(**options), SturdyAPI), name


def test_an_unknown_keyword_is_refused() -> None:
    """A keyword that neither knows is a `TypeError` that names it."""
    with pytest.raises(TypeError, match="'titel'"):
        _app(titel="Mine")


# Settings.


def test_a_settings_class_is_loaded_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """A class is loaded by `create_app()`, so that a bad environment fails at once."""

    class Settings(BaseSettings):
        database_name: str

    with pytest.raises(SettingsError, match="DATABASE_NAME"):
        create_app(Settings, logs=False)

    monkeypatch.setenv("DATABASE_NAME", "orders")
    app = create_app(Settings, logs=False)
    assert isinstance(app.settings, Settings)
    assert app.settings.database_name == "orders"
    assert app.state.settings is app.settings


def test_a_settings_object_is_taken_as_it_is() -> None:
    """An instance is used, and nothing is read."""
    settings = BaseSettings(environment="staging")

    assert create_app(settings, logs=False).settings is settings


def test_settings_are_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    """`create_app()` alone is an app, in the environment of the process."""
    monkeypatch.setenv("FASTAPI_ENV", "staging")

    assert create_app(logs=False).settings.environment == "staging"


def test_trusted_hosts_come_from_the_settings() -> None:
    """With `TRUSTED_HOSTS` set, a request for another host is a 400."""
    settings = BaseSettings(environment="testing", trusted_hosts=["api.example.com"])
    app = create_app(settings, logs=False)

    assert _client(app).get("/").status_code == 400
    assert _client(app, base_url="http://api.example.com").get("/").status_code == 404


# Keywords that are refused.


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"errors": "problems"}, "errors='problems' is not known.*Did you mean 'problem'"),
        ({"errors": None}, "errors=None is not known"),
        ({"wire": "stock"}, "wire='stock' is not known. Use 'sturdy' or 'fastapi'"),
        ({"wire": "stürdy"}, "Did you mean 'sturdy'"),
        ({"health": "health"}, "health= is 'health'"),
        ({"health": "/health/"}, "health= is '/health/'"),
        ({"health": "/"}, "health= is '/'"),
        ({"health": ""}, "health= is ''"),
        ({"threads": 0}, "threads=0 is out of range"),
        ({"threads": -1}, "threads=-1 is out of range"),
        ({"watch_blocking_seconds": -1}, "watch_blocking_seconds=-1 is out of range"),
        ({"watch_blocking_seconds": math.nan}, "watch_blocking_seconds=nan is out of range"),
        ({"watch_blocking_seconds": math.inf}, "watch_blocking_seconds=inf is out of range"),
        ({"cors": "*"}, r"Write \['\*'\]"),
    ],
)
def test_a_bad_keyword_is_refused(options: dict[str, Any], words: str) -> None:
    """A value that makes no sense is refused while the app is built, with what to write."""
    with pytest.raises(ConfigurationError, match=words):
        _app(**options)


@pytest.mark.parametrize("value", [0, 0.05, 3])
def test_a_watch_of_zero_or_more_is_taken(value: float) -> None:
    """`watch_blocking_seconds=0` switches the watch off; any other time is a limit."""
    assert _app(watch_blocking_seconds=value).watch_blocking_seconds == value


def test_a_bad_keyword_is_a_value_error() -> None:
    """Who catches `ValueError` around the making of an app catches ours."""
    with pytest.raises(ValueError, match="threads"):
        _app(threads=0)


def test_debug_is_refused_in_production() -> None:
    """Trap 26: `debug=True` would show source code to clients, and is refused in production."""
    with pytest.raises(ConfigurationError, match="debug=True"):
        _app("production", debug=True)


@pytest.mark.parametrize("environment", ["development", "testing", "staging"])
def test_debug_is_taken_elsewhere(environment: str) -> None:
    """`debug=True` works outside production."""
    assert _app(environment, debug=True).debug


# FastAPI's keywords win.


def test_routers_are_included() -> None:
    """`routers=` includes each router, in order."""
    first, second = APIRouter(prefix="/a"), APIRouter(prefix="/a")

    @first.get("/{name}")
    async def by_name(name: str) -> str:
        return name

    @second.get("/me")
    async def me() -> str:
        return "never reached"

    assert _client(_app(routers=[first, second])).get("/a/me").json() == "me"


def test_the_order_of_routes_is_the_order_of_registration() -> None:
    """A path with a parameter that stands first answers first, included routers as well."""
    app = _app()
    router = APIRouter()

    @app.get("/u/{name}")
    async def by_name(name: str) -> str:
        return f"name {name}"

    @router.get("/u/me")
    async def me() -> str:
        return "never reached"

    app.include_router(router)

    assert _client(app).get("/u/me").json() == "name me"


def test_a_users_exception_handler_wins() -> None:
    """A handler for an exception that we handle too is the one that is asked."""

    async def http_error(_request: Request, error: Any) -> Response:
        return PlainTextResponse(f"own {error.status_code}", status_code=error.status_code)

    async def invalid(_request: Request, _error: Any) -> Response:
        return PlainTextResponse("own invalid", status_code=400)

    app = _app(exception_handlers={HTTPException: http_error, RequestValidationError: invalid})

    @app.get("/{number}")
    async def read(number: int) -> None:
        raise HTTPException(418)

    assert _client(app).get("/1").text == "own 418"
    assert _client(app).get("/x").text == "own invalid"


def test_an_exception_handler_may_be_added_later() -> None:
    """`@app.exception_handler` works for a class, a status, and what we handle ourselves."""
    app = _app()

    @app.exception_handler(404)
    async def missing(_request: Request, _error: Any) -> Response:
        return PlainTextResponse("own 404", status_code=404)

    @app.exception_handler(KeyError)
    async def no_key(_request: Request, _error: Any) -> Response:
        return PlainTextResponse("own key error", status_code=409)

    @app.get("/key")
    async def key() -> None:
        raise KeyError

    assert _client(app).get("/unknown").text == "own 404"
    assert _client(app).get("/key").status_code == 409


def test_the_handlers_that_are_given_are_not_changed() -> None:
    """The dict passed as `exception_handlers=` stays the user's."""
    handlers: dict[Any, Any] = {}

    _app(exception_handlers=handlers)

    assert handlers == {}


def test_app_wide_dependencies_run() -> None:
    """`dependencies=` of FastAPI holds for every operation, and for no health check."""

    async def refuse() -> None:
        raise HTTPException(401)

    app = _app(dependencies=[Depends(refuse)])
    app.get("/")(lambda: None)

    assert _client(app).get("/").status_code == 401
    with _client(app) as client:
        assert client.get("/health/ready").status_code == 200


def _real() -> str:
    return "real"


def test_dependencies_can_be_overridden() -> None:
    """`app.dependency_overrides` works at any time, for included routers as well."""
    router = APIRouter()

    @router.get("/")
    async def read(value: Annotated[str, Depends(_real)]) -> str:
        return value

    app = _app(routers=[router])
    client = _client(app)
    before = client.get("/").json()
    app.dependency_overrides[_real] = lambda: "fake"

    assert (before, client.get("/").json()) == ("real", "fake")


def test_the_body_limit_is_one_mebibyte() -> None:
    """A larger body is a 413; `max_body_size=` raises the limit, `None` lifts it."""
    mebibyte = 1024 * 1024

    def status(size: int, **options: Any) -> int:
        app = _app(**options)

        @app.post("/")
        async def take(request: Request) -> int:
            return len(await request.body())

        return _client(app).post("/", content=b"x" * size).status_code

    assert status(mebibyte) == 200
    assert status(mebibyte + 1) == 413
    assert status(mebibyte + 1, max_body_size=mebibyte + 1) == 200
    assert status(mebibyte + 1, max_body_size=None) == 200


def test_a_body_limit_of_ones_own_wins() -> None:
    """An operation, or a router, may allow more or less than the app."""
    router = APIRouter(max_body_size=20)
    app = _app(max_body_size=10)

    @app.post("/app")
    @app.post("/less", max_body_size=5)
    @app.post("/more", max_body_size=20)
    @router.post("/router")
    async def take(request: Request) -> int:
        return len(await request.body())

    app.include_router(router)
    client = _client(app)

    def largest(path: str) -> int:
        sizes = (5, 10, 20, 21)
        return max(size for size in sizes if client.post(path, content=b"x" * size).is_success)

    limits = {path: largest(path) for path in ("/app", "/less", "/more", "/router")}
    assert limits == {"/app": 10, "/less": 5, "/more": 20, "/router": 20}


@pytest.mark.parametrize("limit", [-1, True, "10"])
def test_a_body_limit_that_is_no_size_is_refused(limit: Any) -> None:
    """As in FastAPI, a negative `max_body_size` or one that is no number is refused at once."""
    with pytest.raises(ValueError, match="max_body_size"):
        _app(max_body_size=limit)


def test_a_body_that_was_not_announced_is_counted() -> None:
    """A chunked body, whose length no header tells, is stopped at the limit."""
    app = _app(max_body_size=10)

    @app.post("/")
    async def take(request: Request) -> int:
        return len(await request.body())

    def chunks(count: int) -> Iterator[bytes]:
        yield from (b"xxxxx" for _ in range(count))

    assert _client(app).post("/", content=chunks(2)).json() == 10
    assert _client(app).post("/", content=chunks(3)).status_code == 413


def test_a_root_path_works_as_in_fastapi() -> None:
    """The deprecated `root_path=` still tells clients where the app is."""
    with pytest.warns(FastAPIDeprecationWarning, match="root_path"):
        app = _app(root_path="/api", docs=True)

    assert _client(app).get("/openapi.json").json()["servers"] == [{"url": "/api"}]
    with _client(app) as client:
        assert client.get("/health/ready").status_code == 200


def test_redirects_of_slashes_keep_the_scheme() -> None:
    """Trap 108: behind https the redirect to the path with a slash stays on https."""
    app = _app()
    app.get("/items/")(lambda: None)
    client = _client(app, base_url="https://testserver")

    answer = client.get("/items", follow_redirects=False)

    assert (answer.status_code, answer.headers["location"]) == (307, "https://testserver/items/")


def test_an_operation_may_answer_with_anything() -> None:
    """Responses, redirects, HTTP errors below 400 and empty bodies go out as FastAPI sends them."""
    app = _app()

    @app.get("/redirect")
    async def redirect() -> RedirectResponse:
        return RedirectResponse("/elsewhere")

    @app.get("/not-modified")
    async def not_modified() -> None:
        raise HTTPException(304)

    @app.get("/teapot")
    async def teapot() -> None:
        raise HTTPException(418, headers={"X-Own": "kept"})

    client = _client(app)

    assert client.get("/redirect", follow_redirects=False).headers["location"] == "/elsewhere"
    assert client.get("/not-modified").content == b""
    assert client.get("/teapot").headers["x-own"] == "kept"


# OpenAPI.


def test_the_document_tells_the_errors_that_are_sent() -> None:
    """With problem documents the 422 in OpenAPI is one too; otherwise it is FastAPI's."""

    def media_types(**options: Any) -> set[str]:
        app = _app(**options)

        @app.get("/{number}")
        async def read(number: int) -> int:
            return number

        response = app.openapi()["paths"]["/{number}"]["get"]["responses"]["422"]
        return set(response["content"])

    assert media_types() == {"application/problem+json"}
    assert media_types(errors="fastapi") == {"application/json"}


def test_the_document_is_made_once_for_the_same_routes() -> None:
    """A second call returns the same object; a new route makes it anew."""
    app = _app()
    first, again = app.openapi(), app.openapi()
    app.get("/late")(lambda: None)

    assert first is again is not app.openapi()
    assert "/late" in app.openapi()["paths"]


def test_the_document_may_be_replaced() -> None:
    """FastAPI's recipe of setting `app.openapi` works, and its result is served."""
    app = _app(docs=True)
    app.openapi = lambda: {"openapi": "3.1.0", "info": {"title": "Own"}}  # type: ignore[method-assign]

    assert _client(app).get("/openapi.json").json()["info"] == {"title": "Own"}


def test_health_is_in_no_document() -> None:
    """Trap 115: health checks are neither operations nor listed routes."""
    app = _app("development")

    assert app.openapi()["paths"] == {}
    assert not [route for route in app.routes if "health" in getattr(route, "path", "")]


# Health.


def test_health_follows_the_life_of_the_app() -> None:
    """Readiness is 503 before the start and after the end, liveness is 200 at any time."""
    app = _app()
    client = _client(app)

    def states() -> tuple[int, int]:
        return client.get("/health/live").status_code, client.get("/health/ready").status_code

    before = states()
    with client:
        running = states()

    assert (before, running, states()) == ((200, 503), (200, 200), (200, 503))


@pytest.mark.parametrize("health", ["/status", "/a/b"])
def test_health_can_be_moved(health: str) -> None:
    """`health="/status"` answers there, and no longer at `/health`."""
    client = _client(_app(health=health))

    assert client.get(f"{health}/live").status_code == 200
    assert client.get("/health/live").status_code == 404


def test_a_health_route_of_ones_own_wins() -> None:
    """An operation at `/health/live` answers from the first request on; `ready` stays ours."""
    app = _app()

    @app.get("/health/live")
    async def live() -> str:
        return "own"

    client = _client(app)

    assert [client.get("/health/live").json() for _ in range(2)] == ["own", "own"]
    assert client.get("/health/ready").status_code == 503


def test_a_health_route_added_late_wins() -> None:
    """So does an operation that is added while the app runs."""
    app = _app()
    client = _client(app)
    assert client.get("/health/live").json() == {"status": "alive"}

    app.get("/health/live")(lambda: "own")

    assert client.get("/health/live").json() == "own"


def test_a_catch_all_route_does_not_hide_health() -> None:
    """A route for every path leaves the health checks alone."""
    app = _app()
    app.get("/{path:path}")(lambda path: path)

    assert _client(app).get("/health/live").json() == {"status": "alive"}


def test_health_is_found_behind_a_root_path() -> None:
    """Behind a proxy that strips a prefix, health checks answer under the prefix."""
    client = _client(_app(), root_path="/api/v1")

    assert client.get("/api/v1/health/live").status_code == 200


def test_health_passes_by_middleware() -> None:
    """A middleware that refuses everything, or a list of trusted hosts, stops no probe."""

    async def refuse(_request: Request, _call_next: Any) -> Response:
        return Response(status_code=403)

    settings = BaseSettings(environment="testing", trusted_hosts=["api.example.com"])
    app = create_app(settings, logs=False)
    app.middleware("http")(refuse)

    assert _client(app).get("/health/live").status_code == 200


# In tests, and side by side.


@pytest.mark.anyio
async def test_an_app_works_without_its_lifespan() -> None:
    """Trap 77: through `ASGITransport`, which runs no lifespan, requests are answered."""
    app = _app()
    app.get("/")(lambda: "answered")
    transport = httpx2.ASGITransport(app=app)

    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.get("/")).json() == "answered"
        assert (await client.get("/health/ready")).json() == {"status": "starting"}


def test_two_apps_do_not_disturb_each_other() -> None:
    """Apps with opposite options, asked in turns, answer each in its own way."""
    router = APIRouter()

    @router.get("/{number}")
    async def read(number: int) -> int:
        return number

    plain = FastAPI()
    first = _app(routers=[router], request_id_header="X-One")
    plain.include_router(router)
    second = _app(routers=[router], errors="fastapi", security_headers=False, health=None)

    for _ in range(3):
        one, two, stock = (_client(app).get("/x") for app in (first, second, plain))
        assert one.headers["content-type"] == "application/problem+json"
        assert "x-one" in one.headers
        assert two.json() == stock.json()
        assert "x-request-id" in two.headers
        assert "x-frame-options" not in two.headers
        assert set(stock.headers) == {"content-length", "content-type"}


def test_logging_is_left_alone_where_asked() -> None:
    """`logs=False` adds no handler, sets no level and touches no logger."""
    names = ("", "uvicorn", "uvicorn.access", "uvicorn.error", "sturdyapi", "py.warnings")

    def state() -> list[Any]:
        loggers = [logging.getLogger(name) for name in names]
        return [(each.level, each.propagate, list(each.handlers)) for each in loggers]

    before = state()
    with _client(_app()) as client:
        client.get("/")

    assert state() == before


def test_a_starlette_route_works() -> None:
    """Routes of Starlette, passed or added, are served with ids and headers like any other."""

    async def page(_request: Request) -> Response:
        return PlainTextResponse("page")

    app = _app(routes=[Route("/given", page)])
    app.add_route("/added", page)

    for path in ("/given", "/added"):
        answer = _client(app).get(path)
        assert answer.text == "page"
        assert "x-request-id" in answer.headers


@pytest.mark.parametrize("settings", ["production", object, None, {"port": 1}])
def test_settings_that_are_none_are_refused(settings: Any) -> None:
    """`create_app()` takes a settings class or an instance, and says so."""
    with pytest.raises(ConfigurationError, match=r"subclass of sturdyapi\.BaseSettings"):
        create_app(settings)
