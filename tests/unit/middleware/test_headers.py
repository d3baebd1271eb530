"""Headers that every response gets."""

from __future__ import annotations

import pytest
from fastapi.responses import (
    HTMLResponse,
    PlainTextResponse,
    Response,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .support import client_of, exchange, header, make_app

SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "strict-origin-when-cross-origin",
    "cross-origin-opener-policy": "same-origin",
}


@pytest.mark.parametrize("path", ["/ok", "/nowhere", "/boom", "/ok/"])
def test_security_headers_are_on_every_response(path: str) -> None:
    """Answers, 404s, unhandled errors and redirects carry the security headers, once each."""
    app = make_app()

    @app.get("/ok")
    async def ok() -> None: ...

    @app.get("/boom")
    async def boom() -> None:
        raise RuntimeError

    headers = client_of(app).get(path, follow_redirects=False).headers

    assert {name: headers.get_list(name) for name in SECURITY_HEADERS} == {
        name: [value] for name, value in SECURITY_HEADERS.items()
    }


def test_security_headers_can_be_switched_off() -> None:
    """With `security_headers=False` none is added, but the request id is."""
    headers = client_of(make_app(security_headers=False)).get("/").headers

    assert headers.keys().isdisjoint(SECURITY_HEADERS)
    assert "x-request-id" in headers


def test_an_endpoints_own_security_header_wins() -> None:
    """A response that sets one of the headers keeps its value, and gets the others."""
    app = make_app()

    @app.get("/")
    async def read() -> Response:
        return Response(headers={"X-Frame-Options": "SAMEORIGIN"})

    headers = client_of(app).get("/").headers

    assert headers.get_list("x-frame-options") == ["SAMEORIGIN"]
    assert headers["x-content-type-options"] == "nosniff"


def _raw_app(start: Message, *body: Message) -> ASGIApp:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(start)
        for message in body or ({"type": "http.response.body", "body": b""},):
            await send(message)

    return app


@pytest.mark.anyio
async def test_header_names_in_upper_case_count_as_present() -> None:
    """A raw ASGI app's `X-Frame-Options` or `X-REQUEST-ID` is seen in any case of letters."""
    app = make_app()
    sent = [(b"X-Frame-Options", b"SAMEORIGIN"), (b"X-REQUEST-ID", b"own")]
    app.mount("/", _raw_app({"type": "http.response.start", "status": 200, "headers": sent}))

    names = [name.lower() for name, _ in (await exchange(app))[0]["headers"]]

    assert names.count(b"x-frame-options") == 1
    assert names.count(b"x-request-id") == 1


@pytest.mark.parametrize("status", [200, 413])
@pytest.mark.anyio
async def test_a_raw_response_may_leave_out_its_headers(status: int) -> None:
    """ASGI lets an app send no `headers` at all; ours are added all the same."""
    app = make_app()
    app.mount("/", _raw_app({"type": "http.response.start", "status": status}))

    answer = await exchange(app)

    assert answer[0]["status"] == status
    assert header(answer, "x-content-type-options") == "nosniff"


@pytest.mark.anyio
async def test_a_raw_response_may_have_any_iterable_of_headers() -> None:
    """ASGI's headers are an iterable of pairs: an iterator, and pairs that are lists, are kept."""
    app = make_app()

    async def raw(_scope: Scope, _receive: Receive, send: Send) -> None:
        headers = iter([[b"content-type", b"text/html"], [b"x-own", b"kept"]])
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    app.mount("/", raw)

    answer = await exchange(app)

    assert header(answer, "x-own") == "kept"
    assert header(answer, "x-content-type-options") == "nosniff"
    assert header(answer, "content-security-policy") is not None


@pytest.mark.anyio
async def test_a_response_object_may_be_sent_again() -> None:
    """One `Response` object returned by every request gets each request's own id, once."""
    app = make_app()
    cached = PlainTextResponse("same")

    @app.get("/")
    async def read() -> Response:
        return cached

    answers = [await exchange(app) for _ in range(3)]

    assert len({header(answer, "x-request-id") for answer in answers}) == 3
    assert len({len(answer[0]["headers"]) for answer in answers}) == 1


@pytest.mark.anyio
async def test_a_message_object_may_be_sent_again() -> None:
    """A raw ASGI app that keeps its start message does not answer with an earlier request's id."""
    app = make_app()
    app.mount("/", _raw_app({"type": "http.response.start", "status": 200, "headers": []}))

    answers = [header(await exchange(app), "x-request-id") for _ in range(3)]

    assert len(set(answers)) == 3


@pytest.mark.parametrize(
    ("environment", "scheme", "sent"),
    [
        ("production", "https", True),
        ("production", "http", False),
        ("staging", "https", False),
        ("development", "https", False),
    ],
)
def test_hsts_is_for_production_over_https(environment: str, scheme: str, sent: bool) -> None:
    """Browsers are told to stay on https in production only, and only if they came over it."""
    app = make_app(environment)

    headers = client_of(app, url=f"{scheme}://testserver").get("/").headers

    assert ("strict-transport-security" in headers) is sent


@pytest.mark.anyio
async def test_a_server_may_leave_out_the_scheme() -> None:
    """ASGI lets a server send no `scheme`: it means http, so there is no HSTS."""
    answer = await exchange(make_app("production"))

    assert answer[0]["status"] == 404
    assert header(answer, "strict-transport-security") is None


@pytest.mark.parametrize(
    ("content_type", "sent"),
    [
        ("text/html; charset=utf-8", True),
        ("Text/HTML", True),
        ("application/json", False),
        ("text/htmlx", False),
    ],
)
def test_the_content_security_policy_is_for_html(content_type: str, sent: bool) -> None:
    """Only an HTML answer gets a `Content-Security-Policy`."""
    app = make_app()

    @app.get("/")
    async def read() -> Response:
        return Response("", headers={"content-type": content_type})

    headers = client_of(app).get("/").headers

    assert ("content-security-policy" in headers) is sent


def test_a_pages_own_content_security_policy_wins() -> None:
    """An HTML answer that sets its own policy keeps it."""
    app = make_app()

    @app.get("/")
    async def read() -> HTMLResponse:
        return HTMLResponse("", headers={"Content-Security-Policy": "default-src 'self'"})

    assert client_of(app).get("/").headers.get_list("content-security-policy") == [
        "default-src 'self'"
    ]
