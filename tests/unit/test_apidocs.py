"""The docs gate: who may see the documentation, and Swagger UI from this package."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Request
from fastapi.responses import PlainTextResponse
from fastapi.security import APIKeyCookie, HTTPBasic, HTTPBasicCredentials
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Host, Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from sturdyapi.app import SturdyAPI, create_app
from sturdyapi.settings import BaseSettings

PAGES = ("/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect")
ASSETS = ("/docs/assets/swagger-ui-bundle.js", "/docs/assets/swagger-ui.css")


def _app(environment: str = "production", **options: Any) -> SturdyAPI:
    return create_app(BaseSettings(environment=environment), logs=False, **options)


def _client(app: ASGIApp, **options: Any) -> TestClient:
    return TestClient(app, raise_server_exceptions=False, **options)


def _statuses(app: ASGIApp, paths: tuple[str, ...] = PAGES, **options: Any) -> set[int]:
    client = _client(app)
    return {client.get(path, **options).status_code for path in paths}


def _is_closed(app: ASGIApp, prefix: str = "", **options: Any) -> bool:
    """Tell whether every documentation path answers exactly as a path that does not exist."""
    client = _client(app)
    unknown = _without_id(client.get(f"{prefix}/unknown", **options))
    answers = [_without_id(client.get(prefix + path, **options)) for path in (*PAGES, *ASSETS)]
    return unknown[0] == 404 and all(answer == unknown for answer in answers)


def _without_id(answer: Any) -> tuple[int, str, dict[str, str]]:
    headers = {name: value for name, value in answer.headers.items() if name != "x-request-id"}
    return answer.status_code, re.sub(r'"requestId":"\w+"', "", answer.text), headers


# Open or closed.


@pytest.mark.parametrize(
    ("environment", "is_open"),
    [("production", False), ("staging", False), ("testing", False), ("development", True)],
)
def test_documentation_is_for_development(environment: str, is_open: bool) -> None:
    """Traps 20 and 24: all pages are open in development, and unknown paths everywhere else."""
    app = _app(environment)

    assert _statuses(app) == ({200} if is_open else {404})
    assert _is_closed(app) is not is_open


def test_the_document_itself_can_always_be_made() -> None:
    """`app.openapi()` works in production as well, for a client generator or a test."""
    app = _app()

    @app.get("/items")
    async def read() -> list[int]:
        return []

    assert "/items" in app.openapi()["paths"]


def test_a_public_api_shows_its_documentation() -> None:
    """`docs=True` opens every page in production."""
    assert _statuses(_app(docs=True), (*PAGES, *ASSETS)) == {200}


def test_documentation_can_be_closed_in_development() -> None:
    """`docs=False` closes every page, also where it would be open."""
    assert _is_closed(_app("development", docs=False))


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"docs_url": "/reference"}, "/reference"),
        ({"openapi_url": "/schema.json"}, "/schema.json"),
        ({"redoc_url": "/manual"}, "/manual"),
    ],
)
def test_a_url_that_is_given_opens_the_documentation(options: Any, path: str) -> None:
    """Who names a URL for the documentation wants it: that counts as `docs=True`."""
    app = _app(**options)

    assert _client(app).get(path).status_code == 200
    assert app.docs_gate.explicit


def test_docs_false_wins_over_a_url() -> None:
    """`docs=False` closes a page whose URL is given."""
    app = _app("development", docs=False, docs_url="/reference")

    assert _client(app).get("/reference").status_code == 404


@pytest.mark.parametrize("url", ["docs_url", "redoc_url", "openapi_url"])
def test_a_url_of_none_does_not_open_the_rest(url: str) -> None:
    """`docs_url=None` and the like are no choice in favour of the other pages."""
    options: dict[str, Any] = {url: None}

    assert _is_closed(_app(**options))


def test_a_page_can_be_left_out_in_development() -> None:
    """`redoc_url=None` leaves out that page alone."""
    app = _app("development", redoc_url=None)

    assert _client(app).get("/redoc").status_code == 404
    assert _client(app).get("/docs").status_code == 200


def test_without_a_document_there_are_no_pages() -> None:
    """`openapi_url=None` leaves out every page, as in FastAPI, with `docs=True` as well."""
    assert _statuses(_app(docs=True, openapi_url=None), (*PAGES, *ASSETS)) == {404}


def test_attributes_set_later_open_nothing() -> None:
    """Trap 21: URLs set after the app was made, even with `setup()`, stay closed."""
    app = _app()
    app.openapi_url, app.docs_url, app.redoc_url = "/openapi.json", "/docs", "/redoc"
    closed_before = _is_closed(app)
    app.setup()

    assert closed_before
    assert _is_closed(app)


@pytest.mark.parametrize("docs", [True, Depends(lambda: None)], ids=["public", "checked"])
def test_taking_the_document_away_later_closes_the_pages(docs: Any) -> None:
    """Trap 21: after `app.openapi_url = None` nothing is shown, the document included."""
    app = _app(docs=docs)
    app.openapi_url = None

    assert 200 not in _statuses(app)
    assert _client(app).get("/docs").status_code == 404


def test_hidden_documentation_does_not_hide_the_operations() -> None:
    """Trap 27: closed documentation protects nothing: operations answer as before."""
    app = _app()

    @app.get("/secret")
    async def read() -> str:
        return "open"

    assert _client(app).get("/secret").json() == "open"


# Mounted apps.


async def _never() -> None:
    raise HTTPException(403)


def _mounted(child: ASGIApp) -> SturdyAPI:
    app = _app()
    app.mount("/child", child)
    return app


def _late(child: ASGIApp) -> SturdyAPI:
    app = _app()
    _client(app).get("/")
    app.mount("/child", child)
    return app


def _in_a_mount_of_routes(child: ASGIApp) -> SturdyAPI:
    return _app(routes=[Mount("/child", routes=[Mount("/", app=child)])])


def _under_a_host(child: ASGIApp) -> SturdyAPI:
    app = _app()
    app.router.routes.append(Host("testserver", app=Starlette(routes=[Mount("/child", child)])))
    return app


def _in_an_included_router(child: ASGIApp) -> SturdyAPI:
    router = APIRouter()
    router.mount("/child", child)
    return _app(routers=[router])


def _behind_middleware_of_the_mount(child: ASGIApp) -> SturdyAPI:
    return _app(routes=[Mount("/child", child, middleware=[Middleware(_Copying)])])


def _in_starlette(child: ASGIApp) -> SturdyAPI:
    app = _app()
    app.mount("/child", Starlette(routes=[Mount("/", app=child)]))
    return app


class _Copying:
    """A middleware that passes on a copy of the scope."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app({**scope, "copied": True}, receive, send)


WAYS = [
    _mounted,
    _late,
    _in_a_mount_of_routes,
    _under_a_host,
    _in_an_included_router,
    _in_starlette,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize(
    "make_child", [FastAPI, _app, lambda: _app("development")], ids=["FastAPI", "ours", "dev"]
)
def test_a_mounted_apps_documentation_is_closed(
    way: Callable[[ASGIApp], SturdyAPI], make_child: Callable[[], FastAPI]
) -> None:
    """Trap 22: however an app is mounted, its documentation follows the outer app."""
    assert _is_closed(way(make_child()), "/child")


@pytest.mark.parametrize(
    "make_child", [FastAPI, _app, lambda: _app("development")], ids=["FastAPI", "ours", "dev"]
)
def test_a_mount_with_a_copying_middleware_is_closed(make_child: Callable[[], FastAPI]) -> None:
    """A middleware between the apps that passes on a copy of the scope opens nothing."""
    app = _behind_middleware_of_the_mount(make_child())

    assert _statuses(app, tuple(f"/child{page}" for page in PAGES)) == {404}


def test_a_mounted_app_with_a_copying_middleware_is_closed() -> None:
    """Nor does a middleware of the mounted app, whose other operations stay open."""
    child = FastAPI(docs_url="/reference", middleware=[Middleware(_Copying)])

    @child.get("/docs")
    async def documents() -> list[str]:
        return ["a document"]

    app = _mounted(child)

    assert _statuses(app, ("/child/reference", "/child/redoc", "/child/openapi.json")) == {404}
    assert _client(app).get("/child/docs").json() == ["a document"]


def test_an_app_in_a_mounted_app_is_closed() -> None:
    """The documentation of an app in an app in an app is closed by the outermost."""
    child, grandchild = FastAPI(), FastAPI()
    child.mount("/grandchild", grandchild)

    assert _is_closed(_mounted(child), "/child/grandchild")


def test_custom_urls_of_a_mounted_app_are_closed() -> None:
    """A mounted app's pages are known by what they are, not by their path."""
    child = FastAPI(docs_url="/a", redoc_url="/b", openapi_url="/c")
    paths = ("/child/a", "/child/b", "/child/c", "/child/docs/oauth2-redirect")

    assert _statuses(_mounted(child), paths) == {404}


def test_other_routes_of_a_mounted_app_are_open() -> None:
    """Only documentation is closed: a route named `/docs` by its author is a route."""
    child = FastAPI(docs_url=None)

    @child.get("/docs")
    async def documents() -> list[str]:
        return ["a document"]

    assert _client(_mounted(child)).get("/child/docs").json() == ["a document"]


def _child_with_middleware() -> FastAPI:
    """Make an app of which each kind of middleware answers something by itself."""
    child = FastAPI(middleware=[Middleware(CORSMiddleware, allow_origins=["https://a.example"])])

    @child.middleware("http")
    async def refuse(request: Request, call_next: Any) -> Any:
        if "refuse" in request.headers:
            return PlainTextResponse("", 402)
        return await call_next(request)

    @child.get("/items/")
    async def items() -> list[str]:
        return []

    return child


@pytest.mark.parametrize("docs", [None, Depends(_never)], ids=["closed", "behind a check"])
def test_what_a_mounted_app_answers_without_an_operation_is_its_own(docs: Any) -> None:
    """Redirects, preflights, refusals by middleware and 404s of a mounted app go through."""
    app = _app(docs=docs)
    app.mount("/child", _child_with_middleware())
    client = _client(app, follow_redirects=False)
    ask = {"origin": "https://a.example", "access-control-request-method": "GET"}

    assert client.get("/child/items").status_code == 307
    assert client.options("/child/items/", headers=ask).status_code == 200
    assert client.get("/child/items/", headers={"refuse": "1"}).status_code == 402
    assert client.get("/child/unknown").json() == {"detail": "Not Found"}


def test_a_mounted_apps_choice_is_its_own() -> None:
    """A mounted `create_app(docs=...)` keeps what its author chose, open or closed."""
    closed = _app()
    closed.mount("/public", _app(docs=True))
    opened = _app(docs=True)
    opened.mount("/private", _app("development", docs=False))

    assert _statuses(closed, tuple(f"/public{page}" for page in PAGES)) == {200}
    assert _is_closed(opened, "/private")


def test_a_choice_holds_for_the_apps_inside() -> None:
    """An app mounted in an app whose author chose follows that choice, not the outermost one."""
    private, public = _app("development", docs=False), _app(docs=True)
    for app in (private, public):
        app.mount("/inner", FastAPI())
    opened, closed = _app(docs=True), _app()
    opened.mount("/child", private)
    closed.mount("/child", public)

    assert _is_closed(opened, "/child/inner")
    assert _statuses(closed, tuple(f"/child/inner{page}" for page in PAGES)) == {200}


def test_an_outer_choice_opens_mounted_apps() -> None:
    """`docs=True` of the outer app opens a mounted FastAPI app's pages too."""
    app = _app(docs=True)
    app.mount("/child", FastAPI())

    assert _statuses(app, tuple(f"/child{page}" for page in PAGES)) == {200}


def test_an_app_mounted_in_plain_fastapi_is_closed() -> None:
    """An app of ours in a plain FastAPI app closes its own pages; the outer ones are FastAPI's."""
    parent = FastAPI()
    parent.mount("/child", _app(docs=Depends(_refuse)))

    assert _statuses(parent, tuple(f"/child{page}" for page in PAGES)) == {403}
    assert _statuses(parent) == {200}


def test_a_plain_app_in_the_same_process_is_left_alone() -> None:
    """A plain FastAPI app beside ours keeps its documentation and its CDN page."""
    _client(_app()).get("/docs")
    plain = FastAPI()

    assert _statuses(plain) == {200}
    assert "cdn.jsdelivr.net" in _client(plain).get("/docs").text


# Behind a dependency.


async def _refuse() -> None:
    raise HTTPException(403)


def _by_header(x_key: Annotated[str | None, Header()] = None) -> None:
    if x_key != "right":
        raise HTTPException(401, headers={"WWW-Authenticate": "Key"})


async def _by_header_async(x_key: Annotated[str | None, Header()] = None) -> None:
    _by_header(x_key)


def _by_yield(x_key: Annotated[str | None, Header()] = None) -> Iterator[None]:
    _by_header(x_key)
    yield


async def _by_yield_async(x_key: Annotated[str | None, Header()] = None) -> AsyncIterator[None]:
    _by_header(x_key)
    yield


class _ByClass:
    def __init__(self, x_key: Annotated[str | None, Header()] = None) -> None:
        _by_header(x_key)


class _ByInstance:
    async def __call__(self, x_key: Annotated[str | None, Header()] = None) -> None:
        _by_header(x_key)


def _by_password(credentials: Annotated[HTTPBasicCredentials, Depends(HTTPBasic())]) -> None:
    if (credentials.username, credentials.password) != ("ann", "right"):
        raise HTTPException(401, headers={"WWW-Authenticate": "Basic"})


def _by_cookie(session: Annotated[str, Depends(APIKeyCookie(name="session"))]) -> None:
    if session != "right":
        raise HTTPException(401)


def _by_sub_dependency(key: Annotated[None, Depends(_by_header)]) -> None: ...


CHECKS = [
    _by_header, _by_header_async, _by_yield, _by_yield_async, _ByClass, _ByInstance(),
    _by_sub_dependency,
]  # fmt: skip


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: getattr(check, "__name__", "instance"))
def test_a_dependency_decides(check: Any) -> None:
    """`docs=Depends(...)` takes any dependency: its refusal is sent, whom it lets through sees."""
    app = _app(docs=Depends(check))
    refused = _client(app).get("/docs")

    assert _statuses(app, (*PAGES, *ASSETS)) == {401}
    assert refused.headers["www-authenticate"] == "Key"
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["requestId"] == refused.headers["x-request-id"]
    assert _statuses(app, (*PAGES, *ASSETS), headers={"x-key": "right"}) == {200}


@pytest.mark.parametrize("environment", ["development", "testing", "staging", "production"])
def test_a_dependency_decides_in_every_environment(environment: str) -> None:
    """A check in front of the documentation holds in development as well."""
    assert _statuses(_app(environment, docs=Depends(_by_header))) == {401}


def test_basic_auth_works_in_a_browser() -> None:
    """With `HTTPBasic` a browser asks for a name and a password, and shows the pages."""
    app = _app(docs=Depends(_by_password))

    assert _client(app).get("/docs").headers["www-authenticate"] == "Basic"
    assert _statuses(app, auth=("ann", "wrong")) == {401}
    assert _statuses(app, (*PAGES, *ASSETS), auth=("ann", "right")) == {200}


def test_a_cookie_works_in_a_browser() -> None:
    """With a session cookie the pages and their scripts are seen after a login."""
    app = _app(docs=Depends(_by_cookie))
    client = TestClient(app, cookies={"session": "right"})

    assert {client.get(path).status_code for path in (*PAGES, *ASSETS)} == {200}
    assert _statuses(app) == {401}


def test_an_invalid_request_for_documentation_is_a_422() -> None:
    """A header that the check can't read is answered as in any other route."""

    def check(x_key: Annotated[int, Header()]) -> None: ...

    answer = _client(_app(docs=Depends(check))).get("/docs", headers={"x-key": "secret"})

    assert answer.status_code == 422
    assert "secret" not in answer.text


def test_a_failing_check_shows_nothing() -> None:
    """A check that fails by mistake is a 500, not an open page."""

    def check() -> None:
        raise RuntimeError("broken")

    app = _app(docs=Depends(check))

    assert _statuses(app, (*PAGES, *ASSETS)) == {500}


def test_a_check_can_be_overridden_in_tests() -> None:
    """`dependency_overrides` of the app replaces the check, also for mounted apps' pages."""
    app = _app(docs=Depends(_refuse))
    app.mount("/child", FastAPI())
    app.dependency_overrides[_refuse] = lambda: None

    assert _statuses(app) == {200}
    assert _statuses(app, tuple(f"/child{page}" for page in PAGES)) == {200}


def test_a_check_stands_before_mounted_apps_too() -> None:
    """The documentation of a mounted FastAPI app asks the outer app's dependency."""
    app = _app(docs=Depends(_by_header))
    app.mount("/child", FastAPI())
    pages = tuple(f"/child{page}" for page in PAGES)

    assert _statuses(app, pages) == {401}
    assert _statuses(app, pages, headers={"x-key": "right"}) == {200}


def test_a_check_is_asked_once_for_a_page() -> None:
    """One request for a page runs the dependency once, its exit code included."""
    calls: list[str] = []

    def check() -> Iterator[None]:
        calls.append("enter")
        yield
        calls.append("exit")

    assert _client(_app(docs=Depends(check))).get("/docs").status_code == 200
    assert calls == ["enter", "exit"]


def test_a_check_is_not_asked_for_anything_else() -> None:
    """Routes, unknown paths and health checks do not run the documentation's dependency."""
    calls: list[str] = []
    app = _app(docs=Depends(lambda: calls.append("asked")))

    @app.get("/items")
    async def read() -> None: ...

    for path in ("/items", "/unknown", "/health/live"):
        _client(app).get(path)

    assert calls == []


def test_a_check_may_ask_for_the_request() -> None:
    """The dependency sees the request, with its client, headers and state."""

    def check(request: Request) -> None:
        if request.headers.get("x-key") != "right" or request.app.title != "Mine":
            raise HTTPException(403)

    app = _app(docs=Depends(check), title="Mine")

    assert _statuses(app) == {403}
    assert _statuses(app, headers={"x-key": "right"}) == {200}


def test_a_middleware_that_copies_the_scope_opens_nothing() -> None:
    """Documentation stays closed behind a middleware that passes on a copy of the scope."""
    guarded = _app(docs=Depends(_refuse), middleware=[Middleware(_Copying)])
    closed = _app(middleware=[Middleware(_Copying)])
    closed.mount("/child", FastAPI())

    assert _statuses(guarded, (*PAGES, *ASSETS)) == {403}
    assert _is_closed(closed, "/child")


@pytest.mark.parametrize("method", ["HEAD", "POST", "OPTIONS"])
def test_other_methods_show_nothing(method: str) -> None:
    """A closed page has no answer for other methods than GET either."""
    assert _client(_mounted(FastAPI())).request(method, "/child/docs").status_code in (404, 405)
