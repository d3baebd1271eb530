"""One line a request."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, Request, WebSocket
from fastapi.responses import (
    RedirectResponse,
    StreamingResponse,
)
from fastapi.testclient import TestClient
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from sturdyapi.app import SturdyAPI
from sturdyapi.context import bind, run_blocking

from .support import client_of, exchange, make_app, pass_on, record

NEW_ID = re.compile(r"[0-9a-f]{32}")


def test_the_access_line_tells_what_was_asked_and_answered() -> None:
    """One line a request: method, route template, path, status, duration, client, fields."""
    app = make_app()
    lines = record(app)

    @app.get("/items/{item_id}", status_code=203)
    async def read(item_id: int) -> int:
        return item_id

    TestClient(app, client=("192.0.2.7", 4711)).get("/items/5?token=secret")

    (line,) = lines.requests
    duration = line.pop("duration_seconds")
    fields = line.pop("fields")
    assert line == {
        "method": "GET",
        "route": "/items/{item_id}",
        "path": "/items/5",
        "status": 203,
        "client": "192.0.2.7",
    }
    assert 0 < duration < 60
    assert fields.keys() == {"request_id"}


def test_the_route_is_the_template_with_all_its_prefixes() -> None:
    """The template has the prefixes of every inclusion and mount in front."""
    leaf = APIRouter(prefix="/leaf")

    @leaf.get("/{key}")
    async def read(key: str) -> str:
        return key

    @leaf.websocket("/{key}/ws")
    async def talk(socket: WebSocket, key: str) -> None:
        await socket.accept()
        await socket.close()

    branch = APIRouter()
    branch.include_router(leaf, prefix="/branch")
    child, foreign = make_app(), FastAPI()
    for app in (child, foreign):
        app.include_router(leaf)
    root = make_app(routers=[branch])
    root.include_router(leaf, prefix="/again")
    root.mount("/child", child)
    root.mount("/foreign", foreign)
    lines = record(root)
    client = client_of(root)

    for prefix in ("/branch", "/again", "/child", "/foreign"):
        client.get(f"{prefix}/leaf/x")
        with client.websocket_connect(f"{prefix}/leaf/x/ws"):
            pass

    expected = [f"{prefix}/leaf/{{key}}" for prefix in ("/branch", "/again", "/child", "/foreign")]
    assert [line["route"] for line in lines.requests] == expected
    assert [line["route"] for line in lines.websockets] == [f"{path}/ws" for path in expected]


def test_a_servers_root_path_is_not_part_of_the_template() -> None:
    """Behind a proxy that strips a prefix, templates stay what the code declares."""
    app = make_app()
    child = FastAPI()
    app.mount("/child", child)

    @app.get("/items/{item_id}")
    @child.get("/items/{item_id}")
    async def read(item_id: int) -> int:
        return item_id

    lines = record(app)
    client = TestClient(app, root_path="/api/v1")

    for path in ("/items/5", "/child/items/5"):
        assert client.get(f"/api/v1{path}").json() == 5

    assert [line["route"] for line in lines.requests] == [
        "/items/{item_id}",
        "/child/items/{item_id}",
    ]


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"/a%0Ab", "/a%0Ab"),
        (b"/a%0ab?token=secret", "/a%0ab"),
        (b"/caf%C3%A9", "/caf%C3%A9"),
        (b"/caf\xc3\xa9", "/caf%C3%A9"),
        (b"/a\x85b", "/a%85b"),
        (b"/a\x1b[31mb", "/a%1B[31mb"),
    ],
    ids=["newline", "query", "escaped", "utf-8", "C1", "ESC"],
)
@pytest.mark.anyio
async def test_the_path_is_logged_as_it_was_escaped(raw: bytes, shown: str) -> None:
    """Trap 102: a newline or a control sign in the path stays escaped in the log."""
    app = make_app()
    lines = record(app)

    await exchange(app, "/decoded\n", raw_path=raw)

    assert lines.requests[0]["path"] == shown


@pytest.mark.anyio
async def test_a_server_may_leave_out_the_raw_path() -> None:
    """Without `raw_path` the decoded path is escaped again before it is logged."""
    app = make_app()
    lines = record(app)

    await exchange(app, "/a\nb\x85")

    assert lines.requests[0]["path"] == "/a%0Ab%C2%85"


@pytest.mark.anyio
async def test_a_server_may_not_know_the_client() -> None:
    """Behind a unix socket there is no client address, and the line says none."""
    app = make_app()
    lines = record(app)

    await exchange(app)
    await exchange(app, client=None)

    assert [line["client"] for line in lines.requests] == [None, None]


def test_query_strings_are_not_logged() -> None:
    """Trap 103: a token in a query string does not reach the access line."""
    app = make_app()
    lines = record(app)

    client_of(app).get("/nowhere?token=secret")

    assert "secret" not in repr(lines.requests)


def _every_outcome() -> SturdyAPI:
    """An app with a path for each way that a request can end."""
    app = make_app(max_body_size=10)

    @app.api_route("/ok", methods=["GET", "HEAD"])
    async def ok() -> str:
        return "ok"

    @app.post("/ok")
    async def take(request: Request) -> int:
        return len(await request.body())

    @app.get("/number/{number}")
    async def number(number: int) -> int:
        return number

    @app.get("/boom")
    async def boom() -> None:
        raise RuntimeError("boom")

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(iter(["a", "b", "c"]))

    @app.get("/elsewhere")
    async def elsewhere() -> RedirectResponse:
        return RedirectResponse("/ok")

    @app.get("/nothing", status_code=204)
    async def nothing() -> None: ...

    return app


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/ok", b"", 200),
        ("HEAD", "/ok", b"", 200),
        ("GET", "/nothing", b"", 204),
        ("GET", "/elsewhere", b"", 307),
        ("GET", "/ok/", b"", 307),
        ("GET", "/nowhere", b"", 404),
        ("PUT", "/ok", b"", 405),
        ("POST", "/ok", b"x" * 11, 413),
        ("GET", "/number/x", b"", 422),
        ("GET", "/boom", b"", 500),
        ("GET", "/stream", b"", 200),
    ],
)
def test_each_request_has_one_line(method: str, path: str, body: bytes, status: int) -> None:
    """Whatever comes of a request, exactly one access line is written, with its status."""
    app = _every_outcome()
    lines = record(app)

    answer = client_of(app).request(method, path, content=body, follow_redirects=False)

    assert answer.status_code == status
    assert [line["status"] for line in lines.requests] == [status]


def test_health_checks_have_no_line() -> None:
    """Trap 115: probes are not in the access log, whatever their method."""
    app = make_app()
    lines = record(app)

    with client_of(app) as client:
        client.get("/health/live")
        client.head("/health/ready")

    assert lines.requests == []


def test_health_checks_of_a_mounted_app_have_no_line() -> None:
    """A probe of a mounted app's health is not in its parent's access log either."""
    app = make_app()
    app.mount("/child", make_app())
    lines = record(app)

    with client_of(app) as client:
        assert client.get("/child/health/live").status_code == 200

    assert lines.requests == []


async def _bind_in_async_dependency() -> None:
    bind(user_id="u1")


def _bind_in_def_dependency() -> None:
    bind(user_id="u1")


def _bind_in_generator_dependency() -> Iterator[None]:
    bind(user_id="u1")
    yield


@pytest.mark.parametrize(
    "dependency",
    [_bind_in_async_dependency, _bind_in_def_dependency, _bind_in_generator_dependency],
)
@pytest.mark.parametrize("around", [(), (BaseHTTPMiddleware,)], ids=["plain", "BaseHTTPMiddleware"])
def test_what_a_dependency_binds_is_on_the_access_line(
    dependency: Callable[..., Any], around: Sequence[Any]
) -> None:
    """Trap 98: `bind()` in any dependency is seen outside, also through BaseHTTPMiddleware."""
    app = make_app(middleware=[Middleware(cls, dispatch=pass_on) for cls in around])
    lines = record(app)

    @app.get("/", dependencies=[Depends(dependency)])
    async def read() -> None: ...

    client_of(app).get("/")

    assert lines.requests[0]["fields"]["user_id"] == "u1"


async def _bind_in_async_endpoint() -> None:
    bind(user_id="u1")


def _bind_in_def_endpoint() -> None:
    bind(user_id="u1")


async def _bind_in_run_blocking() -> None:
    await run_blocking(partial(bind, user_id="u1"))


@pytest.mark.parametrize(
    "endpoint", [_bind_in_async_endpoint, _bind_in_def_endpoint, _bind_in_run_blocking]
)
def test_what_an_endpoint_binds_is_on_the_access_line(endpoint: Callable[..., Any]) -> None:
    """Trap 97: `bind()` in an `async def` or `def` endpoint, or in a thread of ours, is seen."""
    app = make_app()
    lines = record(app)
    app.get("/")(endpoint)

    client_of(app).get("/")

    assert lines.requests[0]["fields"]["user_id"] == "u1"


def test_what_one_request_binds_is_not_on_the_next_line() -> None:
    """Fields that a request bound are gone with it."""
    app = make_app()
    lines = record(app)

    @app.get("/{name}")
    async def read(name: str) -> None:
        bind(**{name: 1})

    client = client_of(app)
    for name in ("first", "second", "third"):
        client.get(f"/{name}")

    assert [set(line["fields"]) - {"request_id"} for line in lines.requests] == [
        {"first"},
        {"second"},
        {"third"},
    ]


def test_what_a_background_task_binds_is_later_than_the_access_line() -> None:
    """The line is written with the last byte of the body; a task that runs after is not on it."""
    app = make_app()
    lines = record(app)

    @app.get("/")
    async def read(tasks: BackgroundTasks) -> None:
        tasks.add_task(bind, task="late")

    client_of(app).get("/")

    assert "task" not in lines.requests[0]["fields"]


@pytest.mark.anyio
async def test_a_message_before_the_response_does_not_end_the_request() -> None:
    """Extensions may send messages before the start; the line has the response's own status."""
    app = make_app()
    lines = record(app)

    async def inner(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.debug", "info": {}})
        await send({"type": "http.response.start", "status": 201, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    app.mount("/", inner)

    answer = await exchange(app)

    assert answer[0]["type"] == "http.response.debug"
    assert [line["status"] for line in lines.requests] == [201]


@pytest.mark.anyio
async def test_a_request_that_ends_without_an_answer_is_a_499() -> None:
    """When a request is cancelled before it has answered, its line says 499."""
    app = make_app()
    lines = record(app)

    class CancelledError(BaseException):
        """Stands for the cancellation by a server."""

    async def inner(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise CancelledError

    app.mount("/", inner)

    with pytest.raises(CancelledError):
        await exchange(app)

    assert [line["status"] for line in lines.requests] == [499]
    assert lines.errors == []


@pytest.mark.anyio
async def test_a_client_that_leaves_while_it_sends_is_no_error() -> None:
    """A client gone in the middle of its body is a 499 in the access log and no error."""
    app = make_app()
    lines = record(app)

    @app.post("/")
    async def take(request: Request) -> None:
        async for _ in request.stream():
            pass

    async def leave() -> Message:
        return {"type": "http.disconnect"}

    with pytest.raises(ClientDisconnect):
        await exchange(app, method="POST", receive=leave)

    assert [line["status"] for line in lines.requests] == [499]
    assert lines.errors == []
