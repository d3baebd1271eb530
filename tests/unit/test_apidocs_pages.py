"""Swagger UI from files of this package, wherever the app is served."""

from __future__ import annotations

import re
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

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


def _links(page: str) -> list[str]:
    return re.findall(r'(?:src|href)="([^"]+)"', page)


def test_swagger_ui_needs_no_network() -> None:
    """The page loads its script, style and icon from the app itself."""
    client = _client(_app(docs=True))
    page = client.get("/docs").text

    links = _links(page)
    types = {link.rpartition(".")[2]: client.get(link).headers["content-type"] for link in links}
    assert "://" not in page.replace("http://www.w3.org", "")
    assert types.keys() == {"js", "css", "png"}
    assert types["js"].startswith(("text/javascript", "application/javascript"))
    assert types["css"].startswith("text/css")
    assert types["png"] == "image/png"


@pytest.mark.parametrize("docs_url", ["/reference", "/a/b/docs", "/docs/", "/"])
def test_swagger_ui_works_at_any_url(docs_url: str) -> None:
    """A custom `docs_url` takes its assets along."""
    client = _client(_app(docs_url=docs_url))
    page = client.get(docs_url)

    assert page.status_code == 200
    assert {client.get(link).status_code for link in _links(page.text)} == {200}


def test_swagger_ui_works_behind_a_proxy() -> None:
    """Trap 25: behind a prefix-stripping proxy every link has the server's root path."""
    client = _client(_app(docs=True), root_path="/api/v1")
    page = client.get("/api/v1/docs")

    links = [*_links(page.text), *re.findall(r"url: '([^']+)'", page.text)]
    assert len(links) == 4
    assert all(link.startswith("/api/v1/") for link in links)
    assert {client.get(link).status_code for link in links} == {200}


def test_a_closed_gate_is_closed_behind_a_proxy() -> None:
    """Trap 25: the gate does not go by paths: a root path does not open it."""
    app = _app()
    app.mount("/child", FastAPI())
    client = _client(app, root_path="/api/v1")

    assert {client.get(f"/api/v1/child{page}").status_code for page in PAGES} == {404}


def test_swagger_ui_works_in_a_mount() -> None:
    """The page of a mounted app links to the mounted app's own assets and document."""
    parent = FastAPI()
    parent.mount("/child", _app(docs=True, title="Inner"))
    client = _client(parent)
    page = client.get("/child/docs").text

    assert "Inner - Swagger UI" in page
    assert "/child/openapi.json" in page
    assert {client.get(link).status_code for link in _links(page)} == {200}


def test_swagger_ui_keeps_fastapis_options() -> None:
    """Parameters, OAuth settings, the redirect page and the title are on the page as in FastAPI."""
    options: dict[str, Any] = {
        "title": "Mine",
        "swagger_ui_parameters": {"deepLinking": False, "tryItOutEnabled": True},
        "swagger_ui_init_oauth": {"clientId": "client-1"},
        "swagger_ui_oauth2_redirect_url": "/own-redirect",
    }
    ours, stock = _app(docs=True, **options), FastAPI(**options)

    pages = [_client(app).get("/docs").text for app in (ours, stock)]

    ours_script, stock_script = (page.partition("const ui")[2] for page in pages)
    assert "client-1" in ours_script
    assert ours_script == stock_script
    assert _client(ours).get("/own-redirect").status_code == 200


@pytest.mark.parametrize(
    "name",
    [
        "..%2Fgate.py",
        "../gate.py",
        "%2e%2e%2f%2e%2e%2fapp.py",
        "LICENSE",
        "NOTICE",
        "",
        ".",
        "swagger-ui.css%00",
        "swagger-ui.css/..",
        "%2Fetc%2Fpasswd",
    ],
)
def test_only_the_assets_are_served(name: str) -> None:
    """Other files, of the package or of the machine, are 404."""
    client = _client(_app(docs=True))

    assert client.get(f"/docs/assets/{name}").status_code == 404


def test_assets_are_checked_again_after_an_upgrade() -> None:
    """A browser asks again each time, and gets a short 304 while nothing has changed."""
    client = _client(_app(docs=True))
    first = client.get(ASSETS[1])

    again = client.get(ASSETS[1], headers={"if-none-match": first.headers["etag"]})

    assert first.headers["cache-control"] == "no-cache"
    assert again.status_code in (200, 304)


def test_a_route_of_ones_own_at_docs_wins() -> None:
    """A route passed as `routes=` stands before the documentation, as in FastAPI."""

    async def mine(_request: Request) -> Response:
        return PlainTextResponse("mine")

    app = _app(docs=True, routes=[Route("/docs", mine)])

    assert _client(app).get("/docs").text == "mine"


def test_a_route_of_ones_own_at_docs_is_never_closed() -> None:
    """Where the documentation is off, `/docs` is free for a route of the app."""
    app = _app()

    @app.get("/docs")
    async def documents() -> list[str]:
        return ["a document"]

    assert _client(app).get("/docs").json() == ["a document"]


def test_a_catch_all_route_leaves_the_documentation_alone() -> None:
    """A route for every path stands behind the pages and their assets."""
    app = _app(docs=True)

    @app.get("/{path:path}")
    async def rest(path: str) -> str:
        return path

    assert _statuses(app, (*PAGES, *ASSETS)) == {200}
    assert "swagger-ui" in _client(app).get("/docs").text
    assert _client(app).get("/else").json() == "else"


def test_a_catch_all_route_takes_over_where_documentation_is_off() -> None:
    """Without documentation its paths belong to a route for every path."""
    app = _app()

    @app.get("/{path:path}")
    async def rest(path: str) -> str:
        return path

    assert _client(app).get("/docs").json() == "docs"


def test_documentation_is_in_no_document() -> None:
    """The pages and their assets are not operations of the API."""
    app = _app("development")

    assert app.openapi()["paths"] == {}
    assert not [route for route in app.routes if isinstance(route, APIRoute)]
