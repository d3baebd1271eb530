"""What Granian by itself does in another way: stops, replacements, and the end of websockets.

| By itself                                           | Under `sturdyapi run`                |
|-----------------------------------------------------|--------------------------------------|
| SIGHUP stops the old worker after 3.5 s in any case | when the new one serves              |
| a new worker that fails ends the service            | the old ones stay                    |
| three SIGTERM block a worker for ever               | are one                              |
| websockets are dropped                              | are closed with 1012                 |
| background tasks end with the loop                  | are waited for                       |
| what is cut off is answered with 500                | has no answer                        |
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
from contextlib import closing
from threading import Thread
from typing import TYPE_CHECKING

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.servers.polling import TIMEOUT_SECONDS, until
from tests.servers.running import SERVERS, Kind, shutdown

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.servers.running import Running

    Run = Callable[..., Running]

pytestmark = pytest.mark.heavy

ONE = Kind("granian", 1)
TWO = SERVERS["granian"]


def _pid(server: Running) -> int:
    body = server.ask("GET", "/echo/one").body  # type: ignore[attr-defined]
    return int(json.loads(body)["pid"])


SWITCHED = """
from contextlib import asynccontextmanager
from pathlib import Path
import time
from fastapi import APIRouter
from sturdyapi import create_app
from service import lifespan, router

@asynccontextmanager
async def switched(app):
    if Path("broken").exists():
        raise RuntimeError("on purpose")
    if Path("slow").exists():
        time.sleep(5)
    async with lifespan(app):
        yield

app = create_app(routers=[router], lifespan=switched)
"""


@pytest.fixture
def switched(tmp_path: Path) -> str:
    """An app that fails to start, or starts slowly, once there is a file that says so."""
    (tmp_path / "switched.py").write_text(SWITCHED)
    return "switched:app"


def test_a_successor_that_fails_leaves_the_old_workers(
    run: Run, switched: str, tmp_path: Path
) -> None:
    """SIGHUP with an app that does not start any more changes nothing."""
    server = run(TWO, app=switched, settings=shutdown()).wait_until_ready()
    (tmp_path / "broken").touch()
    server.process.send_signal(signal.SIGHUP)

    server.wait(lambda: "A new worker can't start: the old ones stay" in server.messages)
    assert server.ask("GET", "/echo/one").status == 200
    assert server.messages.count("closed") == 0
    assert server.end() == 0
    assert server.survivors() == []


def test_a_slow_successor_is_waited_for(run: Run, switched: str, tmp_path: Path) -> None:
    """With one worker, the old one serves until the new one does."""
    server = run(ONE, app=switched, settings=shutdown()).wait_until_ready()
    old = _pid(server)
    (tmp_path / "slow").touch()
    server.process.send_signal(signal.SIGHUP)

    until(lambda: _pid(server) != old)
    server.wait(lambda: "closed" in server.messages)
    assert server.messages.count("opened") == 2
    assert server.end() == 0


def test_a_stop_does_not_wait_for_successors(run: Run, switched: str, tmp_path: Path) -> None:
    """SIGTERM in the middle of a SIGHUP stops old and new workers alike."""
    server = run(TWO, app=switched, settings=shutdown()).wait_until_ready()
    (tmp_path / "slow").touch()
    server.process.send_signal(signal.SIGHUP)
    server.wait(lambda: len(server.members()) > 1 + server.kind.workers)

    assert server.end() == 0
    assert server.messages.count("closed") >= server.kind.workers
    assert server.survivors() == []


def test_a_worker_is_told_once(run: Run) -> None:
    """A worker that gets SIGTERM several times drains, ends and is replaced."""
    server = run(ONE, settings=shutdown(delay_seconds=0.5)).wait_until_ready()
    old = _pid(server)
    for _ in range(5):
        os.kill(old, signal.SIGTERM)
        time.sleep(0.05)

    server.wait(lambda: server.messages.count("opened") == 2)
    server.wait_until_ready()
    assert _pid(server) != old
    assert server.messages.count("closed") == 1
    assert server.end() == 0


TALK = """
from fastapi import WebSocket
from service import app

@app.websocket("/talk")
async def talk(socket: WebSocket) -> None:
    await socket.accept()
    while True:
        await socket.send_text(await socket.receive_text())
"""


def test_a_websocket_is_closed_for_a_restart(run: Run, tmp_path: Path) -> None:
    """Clients are told to come back, by 1012 if Granian gets to it; for the app it is no error."""
    (tmp_path / "talking.py").write_text(TALK)
    server = run(ONE, app="talking:app", settings=shutdown()).wait_until_ready()
    with connect(f"ws://127.0.0.1:{server.port}/talk") as client:
        client.send("hello")
        assert client.recv() == "hello"
        server.process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=TIMEOUT_SECONDS)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code in (1012, 1005)
    assert server.wait_for_end() == 0
    assert [line for line in server.lines if line["level"] == "ERROR"] == []


def test_what_is_cut_off_has_no_answer(run: Run) -> None:
    """A connection breaks off, so that a proxy may try again elsewhere."""
    server = run(ONE, settings=shutdown(grace_seconds=0.5)).wait_until_ready()
    errors: list[Exception] = []

    def read() -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", server.port)) as connection:
            connection.request("GET", "/slow?seconds=600")
            try:
                connection.getresponse()
            except OSError as error:
                errors.append(error)

    client = Thread(target=read)
    client.start()
    server.wait(lambda: "slow has begun" in server.messages)
    assert server.end() == 0
    client.join(TIMEOUT_SECONDS)
    assert [type(error) for error in errors] == [http.client.RemoteDisconnected]


def test_an_error_is_told_once(run: Run) -> None:
    """Granian does not tell again what our error line has told."""
    server = run(ONE, settings=shutdown()).wait_until_ready()
    assert server.ask("GET", "/boom").status == 500
    assert server.end() == 0
    errors = [line["logger"] for line in server.lines if line["level"] == "ERROR"]
    assert errors == ["sturdyapi.error"]


BARE = """
import asyncio
from pathlib import Path

async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"whole"})
    if scope["path"] == "/task":
        await asyncio.sleep(1)
        Path("task").write_text("written")
"""


def test_an_app_that_is_a_function_is_served(run: Run, tmp_path: Path) -> None:
    """An ASGI app without a lifespan starts, and what it does after its response is waited for."""
    (tmp_path / "bare.py").write_text(BARE)
    server = run(ONE, app="bare:app", settings=shutdown())
    until(lambda: _is_listening(server))
    response = server.ask("GET", "/task")
    assert response.body == b"whole"  # type: ignore[attr-defined]

    assert server.end() == 0
    assert (tmp_path / "task").read_text() == "written"


def _is_listening(server: Running) -> bool:
    try:
        return server.ask("GET", "/").status == 200
    except ConnectionRefusedError:
        return False
