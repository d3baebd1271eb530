"""Everything that a service and its server write is one stream of JSON, from start to end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.servers.running import SERVERS, Running, shutdown

if TYPE_CHECKING:
    import http.client
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.heavy

REQUESTS = (
    ("GET", "/echo/one", 200),
    ("POST", "/upload", 200),
    ("GET", "/stream/one", 200),
    ("GET", "/where", 307),
    ("GET", "/nothing", 404),
    ("DELETE", "/echo/one", 405),
    ("GET", "/slow?seconds=x", 422),
    ("GET", "/boom", 500),
)

MALFORMED = (
    b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
    # TLS, on a port that has none.
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
)


class Life(NamedTuple):
    """All that a service has written from its start to its end."""

    server: Running
    responses: list[http.client.HTTPResponse]


@pytest.fixture(scope="module", params=SERVERS)
def life(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Life]:
    """Run a service for a few requests."""
    folder = tmp_path_factory.mktemp("life")
    server = Running(folder, SERVERS[request.param], settings=shutdown())
    try:
        yield _live(server, folder / "task")
    finally:
        server.kill()


def _live(server: Running, file: Path) -> Life:
    server.wait_until_ready()
    responses = []
    for method, path, status in REQUESTS:
        responses.append(server.ask(method, path, b"body" if method == "POST" else None))
        assert responses[-1].status == status
    for malformed in MALFORMED:
        assert server.ask_raw(malformed)[0] in (0, 400)
    assert server.ask("POST", f"/task?seconds=0&file={file}").status == 200
    server.wait(lambda: '"task has ended"' in server.output)
    assert server.end() == 0
    return Life(server, responses)


def test_every_line_is_json(life: Life) -> None:
    """The command, the server, the app, refused bytes and the end: one object a line each."""
    assert _not_json(life.server, with_key="time") == []


@pytest.mark.parametrize("name", ["uvicorn-workers", "gunicorn", "granian"])
def test_every_line_has_the_form_that_is_set(
    name: str, run: Callable[..., Running], tmp_path: Path
) -> None:
    """LOG_FORMAT holds for the server's own lines too."""
    server = run(SERVERS[name], settings={**shutdown(), "LOG_FORMAT": "ecs"})
    _live(server, tmp_path / "task")

    assert _not_json(server, with_key="@timestamp") == []


def _not_json(server: Running, *, with_key: str) -> list[str]:
    return [text for text in server.texts if with_key not in _object(text)]


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def test_a_request_has_one_access_line(life: Life) -> None:
    """Servers have an access log too: it is off."""
    for response in life.responses:
        life.server.line(str(response.getheader("x-request-id")))
    paths = [path.partition("?")[0] for _, path, _ in REQUESTS]
    for path in {*paths, "/health/ready"}:
        assert len(_told(life.server, path)) == paths.count(path)


def _told(server: Running, path: str) -> list[dict[str, Any]]:
    """Return the lines that tell of requests for a path, whoever wrote them."""
    lines = (line for line in server.lines if line["logger"] != "sturdyapi.error")
    return [line for line in lines if line.get("path") == path or f" {path} " in line["message"]]


def test_no_server_names_itself(life: Life) -> None:
    """What serves, and in which version, is nobody's business."""
    # Granian sends an empty name.
    assert {response.getheader("server") for response in life.responses} <= {None, ""}


def test_what_is_executed_is_told(life: Life) -> None:
    """The line that the command has become is in the log, to be copied."""
    (line,) = [text for text in life.server.messages if " -m " in text]

    assert "service:app" in line
    assert str(life.server.port) in line
