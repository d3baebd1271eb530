"""CORS: what browsers on other origins may do, and that errors can be read there as well."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import Depends, FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.testclient import TestClient
from starlette.middleware import Middleware

from sturdyapi.app import SturdyAPI, create_app
from sturdyapi.cors import Cors
from sturdyapi.exceptions import ConfigurationError
from sturdyapi.settings import BaseSettings

ORIGIN = "https://app.example.com"
OTHER = "https://evil.example.com"


def _app(cors: Any = None, *, cors_origins: Any = (), **options: Any) -> SturdyAPI:
    settings = BaseSettings(environment="testing", cors_origins=list(cors_origins))
    app = create_app(settings, logs=False, max_body_size=10, cors=cors, **options)

    @app.post("/ok")
    async def take(request: Request) -> int:
        return len(await request.body())

    @app.get("/ok")
    async def ok() -> str:
        return "ok"

    @app.get("/boom")
    async def boom() -> None:
        raise RuntimeError("boom")

    @app.get("/number/{number}")
    async def number(number: int) -> int:
        return number

    return app


def _client(app: FastAPI) -> TestClient:
    return TestClient(app, raise_server_exceptions=False)


def _preflight(app: FastAPI, origin: str = ORIGIN, method: str = "GET", **headers: str) -> Any:
    sent = {"origin": origin, "access-control-request-method": method, **headers}
    return _client(app).options("/ok", headers=sent)


def test_without_origins_nothing_is_allowed() -> None:
    """An app without `cors=` and `CORS_ORIGINS` sends no CORS header at all."""
    headers = _client(_app()).get("/ok", headers={"origin": ORIGIN}).headers

    assert not [name for name in headers if name.startswith("access-control-")]


@pytest.mark.parametrize("cors", [[ORIGIN], (ORIGIN,), Cors(origins=[ORIGIN])])
def test_a_listed_origin_may_read(cors: Any) -> None:
    """`cors=` takes a list of origins, or `Cors(...)` for the rest of the options."""
    client = _client(_app(cors))

    answers = {
        origin: client.get("/ok", headers={"origin": origin}).headers for origin in (ORIGIN, OTHER)
    }

    assert answers[ORIGIN]["access-control-allow-origin"] == ORIGIN
    assert "access-control-allow-origin" not in answers[OTHER]


def test_origins_come_from_the_settings() -> None:
    """Origins set in the environment (`CORS_ORIGINS`) need no keyword."""
    headers = _client(_app(cors_origins=[ORIGIN])).get("/ok", headers={"origin": ORIGIN}).headers

    assert headers["access-control-allow-origin"] == ORIGIN


@pytest.mark.parametrize(("cors", "allowed"), [([OTHER], {OTHER}), ([], set[str]())])
def test_the_keyword_wins_over_the_settings(cors: list[str], allowed: set[str]) -> None:
    """`cors=[...]` is what counts when the settings have origins too; an empty list allows none."""
    client = _client(_app(cors, cors_origins=[ORIGIN]))

    def is_allowed(origin: str) -> bool:
        headers = client.get("/ok", headers={"origin": origin}).headers
        return headers.get("access-control-allow-origin") == origin

    assert {origin for origin in (ORIGIN, OTHER) if is_allowed(origin)} == allowed


def test_scripts_may_read_the_request_id() -> None:
    """The request id is exposed, so that a web app can show it next to an error."""
    headers = _client(_app([ORIGIN])).get("/ok", headers={"origin": ORIGIN}).headers

    assert headers["access-control-expose-headers"] == "X-Request-ID"


def test_scripts_may_read_the_headers_that_are_listed() -> None:
    """`expose_headers` are exposed next to the request id, under its own name."""
    cors = Cors(origins=[ORIGIN], expose_headers=["X-Total"])
    app = _app(cors, request_id_header="X-Correlation-ID")

    headers = _client(app).get("/ok", headers={"origin": ORIGIN}).headers

    assert headers["access-control-expose-headers"] == "X-Total, X-Correlation-ID"


def test_without_a_request_id_header_none_is_exposed() -> None:
    """`request_id_header=None` exposes nothing of its own."""
    app = _app([ORIGIN], request_id_header=None)

    headers = _client(app).get("/ok", headers={"origin": ORIGIN}).headers

    assert "access-control-expose-headers" not in headers


@pytest.mark.parametrize(
    ("path", "method", "body", "status"),
    [
        ("/nowhere", "GET", b"", 404),
        ("/ok", "DELETE", b"", 405),
        ("/ok", "POST", b"x" * 11, 413),
        ("/number/x", "GET", b"", 422),
        ("/boom", "GET", b"", 500),
        ("/docs", "GET", b"", 404),
    ],
)
@pytest.mark.parametrize("own", [False, True], ids=["cors=", "own-middleware"])
def test_errors_can_be_read_from_a_listed_origin(
    path: str, method: str, body: bytes, status: int, own: bool
) -> None:
    """Trap 100: every error has the CORS headers, the 413 and the last-resort 500 included."""
    middleware = [Middleware(CORSMiddleware, allow_origins=[ORIGIN])] if own else None
    app = _app(None if own else [ORIGIN], middleware=middleware)
    client = _client(app)

    answer = client.request(method, path, content=body, headers={"origin": ORIGIN})
    refused = client.request(method, path, content=body, headers={"origin": OTHER})

    assert answer.status_code == refused.status_code == status
    assert answer.headers.get_list("access-control-allow-origin") == [ORIGIN]
    assert "x-request-id" in answer.headers
    assert "access-control-allow-origin" not in refused.headers


def test_a_closed_docs_page_can_be_read_as_a_404() -> None:
    """The answer in place of a mounted app's documentation has the CORS headers too."""
    app = _app([ORIGIN])
    app.mount("/child", FastAPI())

    answer = _client(app).get("/child/docs", headers={"origin": ORIGIN})

    assert answer.status_code == 404
    assert answer.headers.get_list("access-control-allow-origin") == [ORIGIN]


def test_a_refused_docs_page_can_be_read() -> None:
    """So does the refusal of a dependency in front of the documentation."""

    def refuse() -> None:
        raise RuntimeError("the check is broken")

    answer = _client(_app([ORIGIN], docs=Depends(refuse))).get("/docs", headers={"origin": ORIGIN})

    assert answer.status_code == 500
    assert answer.headers.get_list("access-control-allow-origin") == [ORIGIN]


def test_a_preflight_is_answered() -> None:
    """A browser that asks first learns the methods, the headers and how long it may remember."""
    answer = _preflight(_app([ORIGIN]), **{"access-control-request-headers": "authorization"})

    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "DELETE" in answer.headers["access-control-allow-methods"]
    assert "Authorization" in answer.headers["access-control-allow-headers"]
    assert answer.headers["access-control-max-age"] == "600"
    assert "x-request-id" in answer.headers


def test_a_preflight_from_elsewhere_is_refused() -> None:
    """A browser on another origin is told no, without the origin being allowed."""
    answer = _preflight(_app([ORIGIN]), OTHER)

    assert answer.status_code == 400
    assert "access-control-allow-origin" not in answer.headers


def test_credentials_are_off_unless_asked_for() -> None:
    """Cookies go along only with `Cors(origins=[...], credentials=True)`."""
    without = _preflight(_app([ORIGIN])).headers
    allowed = _preflight(_app(Cors(origins=[ORIGIN], credentials=True))).headers

    assert "access-control-allow-credentials" not in without
    assert allowed["access-control-allow-credentials"] == "true"


def test_every_field_of_cors_reaches_the_browser() -> None:
    """Methods, headers and the time of a preflight are what `Cors(...)` says."""
    cors = Cors(origins=[ORIGIN], methods=["PATCH"], headers=["X-Own"], max_age_seconds=7)

    headers = _preflight(_app(cors), method="PATCH").headers

    assert headers["access-control-allow-methods"] == "PATCH"
    assert "X-Own" in headers["access-control-allow-headers"]
    assert headers["access-control-max-age"] == "7"


def test_a_public_api_may_allow_every_origin() -> None:
    """`cors=["*"]` is for a public API, without credentials."""
    headers = _client(_app(["*"])).get("/ok", headers={"origin": OTHER}).headers

    assert headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in headers


def test_the_users_own_cors_middleware_may_stand_beside() -> None:
    """With `cors=` and a CORSMiddleware of the user's, each header is still sent once."""
    app = _app([ORIGIN])
    app.add_middleware(CORSMiddleware, allow_origins=[ORIGIN], allow_credentials=True)
    client = _client(app)

    for path in ("/ok", "/nowhere", "/boom"):
        headers = client.get(path, headers={"origin": ORIGIN}).headers
        assert headers.get_list("access-control-allow-origin") == [ORIGIN]


def test_an_endpoints_own_cors_header_is_not_doubled() -> None:
    """A response that sets the header by hand does not get it twice."""
    app = _app([ORIGIN])

    @app.get("/own")
    async def own() -> Response:
        return Response(headers={"access-control-allow-origin": ORIGIN})

    headers = _client(app).get("/own", headers={"origin": ORIGIN}).headers

    assert headers.get_list("access-control-allow-origin") == [ORIGIN]


def test_every_origin_together_with_credentials_is_refused() -> None:
    """`*` with credentials would let any site act as the user: refused while the app is built."""
    with pytest.raises(ConfigurationError, match="act as the user"):
        Cors(origins=[ORIGIN, "*"], credentials=True)


def test_a_single_text_is_refused() -> None:
    """`cors="https://..."` would be a list of letters: the message shows the list to write."""
    with pytest.raises(ConfigurationError, match=r"Write \['https://app\.example\.com'\]"):
        _app(ORIGIN)


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "app.example.com",
        "https://app.example.com/",
        "https://app.example.com/path",
        "https://app.example.com?query",
        "https://app.example.com#part",
        "https://user@app.example.com",
        "https://*.example.com",
        "https://App.example.com",
        " https://app.example.com",
        "https://app.example.com ",
        "https://",
        "null",
    ],
)
def test_what_is_no_origin_is_refused(origin: str) -> None:
    """An origin that no browser ever sends would silently allow nothing: it is refused."""
    with pytest.raises(ConfigurationError, match="not an origin"):
        Cors(origins=[origin])


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:5173",
        "https://app.example.com",
        "http://127.0.0.1",
        "http://[::1]:8080",
        "https://xn--bcher-kva.example",
        "capacitor://localhost",
        "chrome-extension://abcdefghijklmnop",
    ],
)
def test_what_a_browser_sends_is_an_origin(origin: str) -> None:
    """Names, addresses, ports and the schemes of apps and extensions are fine."""
    headers = _client(_app([origin])).get("/ok", headers={"origin": origin}).headers

    assert headers["access-control-allow-origin"] == origin
