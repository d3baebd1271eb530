"""A service behind real servers: what goes over the wire, and what is logged of it.

| Server                       | SIGTERM ends the process with |
|------------------------------|-------------------------------|
| `uvicorn` (httptools or h11) | the signal, after a clean end |
| `gunicorn -k uvicorn_worker` | exit code 0                   |
"""

from __future__ import annotations

import http.client
import json
import re
import signal
from contextlib import closing, suppress
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.servers.process import DEADLINE_SECONDS, ServerProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.heavy

NEW_ID = re.compile(r"[0-9a-f]{32}")

APP = """
import asyncio
from contextlib import asynccontextmanager

from fastapi import BackgroundTasks, Request, WebSocket
from fastapi.responses import StreamingResponse
from loguru import logger

from sturdyapi import bind, create_app


@asynccontextmanager
async def lifespan(app):
    logger.info("opened")
    yield
    logger.info("closed")


app = create_app(lifespan=lifespan)
entered = asyncio.Event()


@app.api_route("/items/{item_id}", methods=["GET", "HEAD"])
async def read(item_id: int) -> int:
    bind(user_id="u1")
    return item_id


@app.get("/boom")
async def boom() -> None:
    raise RuntimeError("on purpose")


@app.get("/stream")
async def stream(parts: int) -> StreamingResponse:
    async def body():
        for part in range(parts):
            yield f"part {part}\\n".encode().ljust(4096)
            await asyncio.sleep(0.01)

    return StreamingResponse(body())


@app.get("/slow")
async def slow() -> str:
    logger.info("slow has begun")
    await asyncio.sleep(0.5)
    return "slow"


@app.post("/upload")
async def upload(request: Request) -> int:
    return len(await request.body())


async def say(text: str) -> None:
    logger.info(text)


@app.get("/task")
async def task(tasks: BackgroundTasks) -> str:
    tasks.add_task(say, "task has run")
    return "sent"


@app.websocket("/ws/{room}")
async def talk(socket: WebSocket, room: str) -> None:
    await socket.accept()
    bind(user_id="u1")
    if room == "short":
        await socket.close(4001)
        return
    while True:
        await socket.send_text(await socket.receive_text())
"""


class Server(ServerProcess):
    """A server process on a port that it has chosen itself."""

    def __init__(self, command: list[str], folder: Path) -> None:
        super().__init__(command, folder)
        running = re.compile(r"(?:running on|Listening at:) http://127\.0\.0\.1:(\d+)")
        found = self.wait(lambda: running.search(self.output))
        self.port = int(found[1])
        self.wait(lambda: "opened" in self.messages)
        self._started = len(self.texts)

    @property
    def texts_of_requests(self) -> list[str]:
        """What was written since the start."""
        return self.texts[self._started :]


SERVERS = {
    "httptools": ["uvicorn", "app:app", "--port", "0", "--http", "httptools"],
    "h11": ["uvicorn", "app:app", "--port", "0", "--http", "h11", "--ws", "websockets"],
    "gunicorn": ["gunicorn", "app:app", "-k", "uvicorn_worker.UvicornWorker", "-b", "127.0.0.1:0"],
}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], Server]]:
    """Start servers that are killed at the end of the test if they have not ended."""
    servers: list[Server] = []

    def start_server(name: str) -> Server:
        (tmp_path / "app.py").write_text(APP)
        servers.append(Server(SERVERS[name], tmp_path))
        return servers[-1]

    yield start_server
    for server in servers:
        server.kill()


@pytest.fixture(scope="module", params=SERVERS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """One running service for the tests that leave it as it was."""
    folder = tmp_path_factory.mktemp("service")
    (folder / "app.py").write_text(APP)
    running = Server(SERVERS[request.param], folder)
    yield running
    try:
        running.end()
    finally:
        running.kill()


def _id(response: http.client.HTTPResponse) -> str:
    sent = response.getheader("x-request-id")
    assert sent is not None
    return sent


def test_a_request_has_one_id_and_one_line(server: Server) -> None:
    """The id of the response is the id of the one access line; the server's own log is off."""
    response = server.ask("GET", "/items/5?token=secret")

    line = server.line(_id(response))
    assert (line["route"], line["path"], line["status"]) == ("/items/{item_id}", "/items/5", 200)
    assert line["user_id"] == "u1"
    assert line["client"] == "127.0.0.1"
    assert not [text for text in server.texts if "secret" in text or "HTTP/1.1" in text]


def test_the_id_of_a_client_goes_through(server: Server) -> None:
    """A client's own id comes back, and is on the line."""
    response = server.ask("GET", "/items/5", x_request_id="from-the-client")

    assert _id(response) == "from-the-client"
    assert server.line("from-the-client")["status"] == 200


def test_head_has_the_headers_and_no_body(server: Server) -> None:
    """A HEAD request gets the length, the id and the security headers, and nothing else."""
    response = server.ask("HEAD", "/items/12345")

    assert (response.status, response.body) == (200, b"")  # type: ignore[attr-defined]
    assert response.getheader("content-length") == "5"
    assert response.getheader("x-content-type-options") == "nosniff"
    assert server.line(_id(response))["method"] == "HEAD"


def test_an_unhandled_error_is_in_the_log_once(server: Server) -> None:
    """The client gets an id and no word of the error; the log has one traceback."""
    response = server.ask("GET", "/boom")

    request_id = _id(response)
    body = response.body  # type: ignore[attr-defined]
    assert response.status == 500
    assert b"on purpose" not in body
    assert json.loads(body)["requestId"] == request_id
    assert server.line(request_id)["status"] == 500
    assert server.line(request_id, "sturdyapi.error")["exception"]["message"] == "on purpose"
    assert server.ask("GET", "/items/1").status == 200
    assert not [text for text in server.texts if "Exception in ASGI application" in text]


ATTACKS = {
    "60 kB": b"x" * 60_000,
    "braces": b"{0.__class__}",
    "latin-1": b"caf\xe9",
    "C1": b"a\x85b",
    "quotes": b'","level":"FATAL',
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_an_unsafe_id_does_not_reach_the_log(server: Server, attack: bytes) -> None:
    """Trap 101: an id that the server lets through is replaced before it is logged or sent."""
    status, head = server.ask_raw(
        b"GET /items/5 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Request-ID: %b\r\n\r\n"
        % attack
    )

    if status == 200:
        sent = re.search(rb"x-request-id: (\S+)", head)
        assert sent is not None
        assert NEW_ID.fullmatch(sent[1].decode())
        assert server.line(sent[1].decode())["status"] == 200
    else:
        assert status in (400, 431)
    assert not [text for text in server.texts if attack[:20].decode("latin-1") in text]


@pytest.mark.parametrize("attack", [b"a\x1b[31mb", b"a\r\n folded", b"a\nX-Forged: 1", b"a\x00b"])
def test_control_signs_in_a_header_are_stopped(server: Server, attack: bytes) -> None:
    """Trap 101: escapes, folded lines and line breaks end at the server, or in a new id."""
    status, head = server.ask_raw(
        b"GET /items/5 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Request-ID: %b\r\n\r\n"
        % attack
    )

    assert status in (0, 200, 400)
    assert b"forged" not in head.lower()
    assert b"folded" not in head
    assert not [text for text in server.texts if "\x1b" in text or "\x00" in text]
    assert server.ask("GET", "/items/1").status == 200


@pytest.mark.parametrize(
    ("path", "shown"),
    [(b"/a%0Ab%1B", "/a%0Ab%1B"), (b"/a%22%7D", "/a%22%7D"), (b"/caf\xc3\xa9", "/caf%C3%A9")],
)
def test_a_path_can_not_break_the_log(server: Server, path: bytes, shown: str) -> None:
    """Trap 102: every request is one line of JSON, whatever its path decodes to."""
    request_id = f"path-{path.hex()}"
    status, _ = server.ask_raw(
        b"GET %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Request-ID: %b\r\n\r\n"
        % (path, request_id.encode())
    )

    if status == 404:
        assert server.line(request_id)["path"] == shown
    else:
        assert status == 400
    assert all(text.startswith("{") for text in server.texts_of_requests)


def test_a_stream_arrives_in_parts(server: Server) -> None:
    """A streaming body is not held back, and its line is written after the last part."""
    request_id = "stream-in-parts"
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE_SECONDS)
    with closing(connection):
        connection.request("GET", "/stream?parts=20", headers={"x-request-id": request_id})
        response = connection.getresponse()
        first = response.read(4096)
        lines_so_far = server.lines_of(request_id, "sturdyapi.access")
        rest = response.read()

    assert first.startswith(b"part 0")
    assert len(rest) == 19 * 4096
    assert lines_so_far == []
    assert server.line(request_id)["status"] == 200


def _errors_since(server: Server, request_id: str) -> list[dict[str, Any]]:
    """Return the error lines from the first line of a request on."""
    lines = server.lines
    first = next(
        position for position, line in enumerate(lines) if line.get("request_id") == request_id
    )
    return [line for line in lines[first:] if line["level"] in ("ERROR", "CRITICAL")]


def test_a_client_that_leaves_a_stream_is_no_error(server: Server) -> None:
    """A client gone in the middle of a stream has one access line and no error line."""
    with server.open() as connection:
        connection.sendall(
            b"GET /stream?parts=100000 HTTP/1.1\r\nHost: x\r\nX-Request-ID: left-stream\r\n\r\n"
        )
        assert connection.recv(1024)

    assert server.line("left-stream")["path"] == "/stream"
    assert server.ask("GET", "/items/1").status == 200
    assert not _errors_since(server, "left-stream")


def test_a_client_that_leaves_before_the_answer_is_no_error(server: Server) -> None:
    """Trap 69: the request runs on after its client has left, and has one line at its end."""
    begun = sum("slow has begun" in text for text in server.texts)
    with server.open() as connection:
        connection.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\nX-Request-ID: left-slow\r\n\r\n")
        server.wait(lambda: sum("slow has begun" in text for text in server.texts) > begun)

    assert server.line("left-slow")["route"] == "/slow"
    assert not _errors_since(server, "left-slow")


def test_a_client_that_leaves_its_upload_is_no_error(server: Server) -> None:
    """A client gone in the middle of its body has one line, and no error line."""
    with server.open() as connection:
        connection.sendall(
            b"POST /upload HTTP/1.1\r\nHost: x\r\nX-Request-ID: left-upload\r\n"
            b"Content-Length: 1000\r\n\r\npart"
        )

    assert server.line("left-upload")["status"] in (400, 499)
    server.line(_id(server.ask("GET", "/items/1")))
    assert not _errors_since(server, "left-upload")


@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
def test_a_body_over_the_limit_is_a_413(server: Server, is_chunked: bool) -> None:
    """A body over one mebibyte, announced or not, is answered as a problem and logged once."""
    size = 1024 * 1024 + 1
    request_id = f"too-large-{is_chunked}"
    kind = b"Transfer-Encoding: chunked" if is_chunked else b"Content-Length: %d" % size
    with server.open() as connection:
        connection.sendall(
            b"POST /upload HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            b"X-Request-ID: %b\r\n%b\r\n\r\n" % (request_id.encode(), kind)
        )
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(b"%x\r\n" % size if is_chunked else b"")
            connection.sendall(b"x" * size)
        with suppress(ConnectionResetError):
            assert connection.recv(12) == b"HTTP/1.1 413"

    assert server.line(request_id)["status"] == 413


def test_a_background_task_is_logged_under_its_request(server: Server) -> None:
    """What a task logs after the response carries the request's id."""
    request_id = _id(server.ask("GET", "/task"))

    server.wait(lambda: server.lines_of(request_id, "app"))
    assert [line["message"] for line in server.lines_of(request_id, "app")] == ["task has run"]


def _talk(server: Server, room: str, request_id: str, code: int | None) -> int | None:
    headers = {"x-request-id": request_id}
    url = f"ws://127.0.0.1:{server.port}/ws/{room}?token=secret"
    with connect(url, additional_headers=headers, open_timeout=DEADLINE_SECONDS) as websocket:
        if code is None:
            with pytest.raises(ConnectionClosed):
                websocket.recv(DEADLINE_SECONDS)
        else:
            websocket.send("hello")
            assert websocket.recv(DEADLINE_SECONDS) == "hello"
            websocket.close(code)
        return websocket.close_code


def test_a_websocket_has_one_line_when_the_server_closes(server: Server) -> None:
    """The line has the code that the endpoint chose."""
    assert _talk(server, "short", "ws-short", None) == 4001

    line = server.line("ws-short", "sturdyapi.websocket")
    assert (line["route"], line["path"], line["code"]) == ("/ws/{room}", "/ws/short", 4001)
    assert line["user_id"] == "u1"
    assert line["duration_ms"] > 0


def test_a_websocket_has_one_line_when_the_client_closes(server: Server) -> None:
    """The line has the code that the client chose, and there is no error line."""
    _talk(server, "echo", "ws-echo", 1001)

    assert server.line("ws-echo", "sturdyapi.websocket")["code"] == 1001
    server.line(_id(server.ask("GET", "/items/1")))
    assert not _errors_since(server, "ws-echo")


def test_the_query_of_a_websocket_is_not_logged(server: Server) -> None:
    """Trap 103: browsers pass the token of a websocket in its query: it is in no line."""
    _talk(server, "short", "ws-token", None)

    server.line("ws-token", "sturdyapi.websocket")
    assert not [text for text in server.texts if "token=secret" in text]


def test_health_is_not_in_the_log(server: Server) -> None:
    """Trap 115: probes leave no line."""
    assert server.ask("GET", "/health/live").status == 200
    assert server.ask("GET", "/health/ready").status == 200

    server.line(_id(server.ask("GET", "/items/1")))
    assert not [text for text in server.texts if "/health" in text]


CODES = {"httptools": -signal.SIGTERM, "h11": -signal.SIGTERM, "gunicorn": 0}


@pytest.mark.parametrize("name", SERVERS)
def test_sigterm_ends_a_service_cleanly(start: Callable[[str], Server], name: str) -> None:
    """On SIGTERM the request in hand is answered, the lifespan is closed, and no line is lost."""
    server = start(name)
    answers: list[int] = []
    client = Thread(target=lambda: answers.append(server.ask("GET", "/slow").status))
    client.start()
    server.wait(lambda: "slow has begun" in server.messages)

    code = server.end()
    client.join(DEADLINE_SECONDS)
    server.kill()

    messages = [line["message"] for line in server.lines]
    assert code == CODES[name]
    assert answers == [200]
    assert messages.index("GET /slow 200") < messages.index("closed")
    assert not [line for line in server.lines if line["level"] == "ERROR"]


def test_the_process_says_where_the_documentation_is(start: Callable[[str], Server]) -> None:
    """Trap 23: the first line of ours says that it is production and that the docs are off."""
    server = start("httptools")

    first = next(line for line in server.lines if line["logger"] == "sturdyapi")
    assert first["message"] == "production: docs off; for development use `fastapi dev`"
    assert server.ask("GET", "/docs").status == 404
