"""Leaving service: what an app does when its server says that it is going to stop."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
from starlette.testclient import TestClient

from sturdyapi import BaseSettings, draining
from sturdyapi.app import create_app


class Member:
    """What an app would do, written down."""

    def __init__(self) -> None:
        self.calls: list[bool] = []

    def __call__(self, *, leaves_service: bool) -> None:
        self.calls.append(leaves_service)


def test_the_longest_delay_and_grace_count() -> None:
    """Of several apps in a process, the most patient one decides."""
    quick, slow = Member(), Member()
    with (
        draining.takes_part(quick, delay_seconds=1, grace_seconds=30),
        draining.takes_part(slow, delay_seconds=5, grace_seconds=10),
    ):
        drain = draining.begin(grace_seconds=1)

    assert (drain.delay_seconds, drain.grace_seconds) == (5, 30)
    assert 34 < drain.remaining_seconds <= 35
    assert quick.calls == slow.calls == [True]


def test_a_drain_begins_once() -> None:
    """A second call tells nobody again, and does not move the end."""
    member = Member()
    with draining.takes_part(member, delay_seconds=1, grace_seconds=1):
        first = draining.begin(grace_seconds=1, leaves_service=False)
        assert draining.begin(grace_seconds=99) is first
        assert draining.current() is first

    assert member.calls == [False]


def test_a_server_without_apps_of_ours_closes_at_once() -> None:
    """Without an app that takes part there is no delay, and the server's own grace."""
    with draining.takes_part(Member(), delay_seconds=0, grace_seconds=0):
        pass
    drain = draining.begin(grace_seconds=7)
    try:
        assert (drain.delay_seconds, drain.grace_seconds) == (0, 7)
    finally:
        with draining.takes_part(Member(), delay_seconds=0, grace_seconds=0):
            pass


def test_a_drain_is_over_when_the_last_app_has_left() -> None:
    """The next server in the same process begins afresh."""
    for _ in range(3):
        with draining.takes_part(Member(), delay_seconds=1, grace_seconds=1):
            assert draining.current() is None
            draining.begin(grace_seconds=1)
        assert draining.current() is None


def an_app(**options: Any) -> FastAPI:
    """Return an app with one route."""
    app = create_app(BaseSettings(environment="testing"), **options)

    @app.get("/items")
    async def items() -> list[int]:
        return [1]

    return app


def test_an_app_is_not_ready_but_serves() -> None:
    """Trap 110: readiness turns 503 while requests are still answered, and liveness stays 200."""
    with TestClient(an_app()) as client:
        assert client.get("/health/ready").status_code == 200
        draining.begin(grace_seconds=1)

        assert client.get("/health/ready").json() == {"status": "draining"}
        assert client.get("/health/ready").status_code == 503
        assert client.get("/health/live").status_code == 200
        assert client.get("/items").json() == [1]


def test_each_response_asks_for_a_new_connection() -> None:
    """No client keeps a connection that the server is about to close."""
    with TestClient(an_app()) as client:
        assert "connection" not in client.get("/items").headers
        draining.begin(grace_seconds=1)

        assert client.get("/items").headers["connection"] == "close"
        assert client.get("/nowhere").headers["connection"] == "close"


def test_a_connection_header_of_the_app_stays() -> None:
    """A response that says what becomes of its connection is left as it is."""
    app = an_app()

    @app.get("/own")
    async def own() -> PlainTextResponse:
        return PlainTextResponse("own", headers={"Connection": "upgrade"})

    with TestClient(app) as client:
        draining.begin(grace_seconds=1)
        assert client.get("/own").headers.get_list("connection") == ["upgrade"]


def test_http_2_has_no_connection_header() -> None:
    """HTTP/2 forbids the header: its responses stay as they are."""
    app = an_app()
    sent: list[Any] = []

    async def ask() -> None:
        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope: dict[str, Any] = {
            "type": "http",
            "http_version": "2",
            "method": "GET",
            "path": "/items",
            "raw_path": b"/items",
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "headers": [],
            "client": None,
            "server": None,
        }
        await app(scope, receive, send)

    with TestClient(app) as client:
        draining.begin(grace_seconds=1)
        assert client.portal is not None
        client.portal.call(ask)

    assert sent[0]["status"] == 200
    assert b"connection" not in dict(sent[0]["headers"])


def test_a_process_that_is_replaced_stays_ready() -> None:
    """A worker that makes room for a new one is not seen: the service goes on."""
    with TestClient(an_app()) as client:
        draining.begin(grace_seconds=1, leaves_service=False)

        assert client.get("/health/ready").status_code == 200
        assert client.get("/items").headers["connection"] == "close"


def test_an_app_without_health_takes_part() -> None:
    """`create_app(health=None)` has no readiness, and still asks for new connections."""
    with TestClient(an_app(health=None)) as client:
        draining.begin(grace_seconds=1)
        assert client.get("/items").headers["connection"] == "close"


@pytest.mark.parametrize(
    ("environment", "delay_seconds"),
    [("development", 0), ("testing", 0), ("staging", 5), ("production", 5)],
)
def test_the_delay_depends_on_the_environment(environment: str, delay_seconds: float) -> None:
    """Where nobody spreads the load there is nobody to wait for."""
    assert BaseSettings(environment=environment).shutdown_delay_seconds == delay_seconds
