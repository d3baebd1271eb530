"""One line a websocket."""

from __future__ import annotations

import pytest
from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect

from sturdyapi.app import SturdyAPI
from sturdyapi.context import bind, current_request_id

from .support import client_of, make_app, record


def _websocket_app() -> SturdyAPI:
    app = make_app()

    @app.websocket("/talk/{room}")
    async def talk(socket: WebSocket, room: str, code: int = 1000) -> None:
        bind(user_id="u1")
        await socket.accept()
        if room == "boom":
            raise RuntimeError("boom")
        if room == "listen":
            while True:
                await socket.receive_text()
        await socket.close(code)

    return app


def test_a_websocket_has_one_line_at_its_close() -> None:
    """The line tells route, path, code, duration, client and what was bound."""
    app = _websocket_app()
    lines = record(app)

    path = "/talk/quiet?code=4001&token=secret"
    with client_of(app).websocket_connect(path) as socket, pytest.raises(WebSocketDisconnect):
        socket.receive_text()

    (line,) = lines.websockets
    assert line.pop("duration_seconds") > 0
    fields = line.pop("fields")
    assert line == {
        "route": "/talk/{room}",
        "path": "/talk/quiet",
        "code": 4001,
        "client": "testclient",
    }
    assert fields.keys() == {"request_id", "user_id"}
    assert lines.requests == []


def test_a_client_that_closes_a_websocket_is_no_error() -> None:
    """An endpoint that only listens ends with the client's code, and no error line."""
    app = _websocket_app()
    lines = record(app)

    try:
        with client_of(app).websocket_connect("/talk/listen") as socket:
            socket.close(1001)
    except WebSocketDisconnect:
        pass  # the test client raises what the endpoint let through

    assert [line["code"] for line in lines.websockets] == [1001]
    assert lines.errors == []


def test_an_error_in_a_websocket_is_logged_once() -> None:
    """A failing websocket is logged with its route, and its line has code 1011."""
    app = _websocket_app()
    lines = record(app)

    with pytest.raises(RuntimeError), client_of(app).websocket_connect("/talk/boom") as socket:
        socket.receive_text()

    assert [line["code"] for line in lines.websockets] == [1011]
    assert [line["message"] for line in lines.errors] == [
        "Unhandled error in WEBSOCKET /talk/{room}"
    ]


def test_a_refused_websocket_has_a_line() -> None:
    """A handshake to a path that does not exist is closed, and logged once."""
    app = _websocket_app()
    lines = record(app)

    with pytest.raises(WebSocketDisconnect), client_of(app).websocket_connect("/nowhere"):
        pass

    assert [line["route"] for line in lines.websockets] == [None]


def test_a_websocket_sees_the_id_that_its_client_sent() -> None:
    """The id of the handshake is the id of every line of the websocket."""
    app = make_app()
    lines = record(app)

    @app.websocket("/")
    async def talk(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(str(current_request_id()))
        await socket.close()

    with client_of(app).websocket_connect("/", headers={"x-request-id": "mine"}) as socket:
        assert socket.receive_text() == "mine"

    assert lines.websockets[0]["fields"]["request_id"] == "mine"
