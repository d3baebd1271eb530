"""What can't be started ends with a code and one clear line, under each server.

| What is wrong                            | Found by         | Exit code |
|------------------------------------------|------------------|-----------|
| the command line, the name of the app    | `sturdyapi run`  | 2         |
| the app can't be imported, port in use   | `sturdyapi run`  | 3         |
| settings                                 | `sturdyapi run`  | 78        |
| a resource does not open, a worker dies  | the server       | 3         |
"""

from __future__ import annotations

import json
import os
import signal
import socket
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.servers.running import SERVERS, Kind, shutdown

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.servers.running import Running

    Run = Callable[..., Running]

pytestmark = pytest.mark.heavy

UVICORN = SERVERS["uvicorn"]


class Bad(NamedTuple):
    """Something that can't be started, and what is told of it."""

    code: int
    told: str
    """Part of the one line that says what is wrong."""
    arguments: tuple[str, ...] = ()
    app: str = "service:app"
    program: str = ""
    """Of the module `bad`."""


COMMANDS = {
    "missing module": Bad(2, "no module 'nothing'", app="nothing:app"),
    "missing attribute": Bad(2, "service has no 'nothing'", app="service:nothing"),
    "missing file": Bad(2, "There is no file", app="nothing.py"),
    "no workers": Bad(2, "0 workers", arguments=("--workers", "0")),
    "fewer than no workers": Bad(2, "-1 workers", arguments=("--workers", "-1")),
    "absurdly many workers": Bad(2, "100000 workers", arguments=("--workers", "100000")),
    "workers in words": Bad(2, "--workers is 'abc'", arguments=("--workers", "abc")),
    "unknown server": Bad(2, "No server 'gunicron'", arguments=("--server", "gunicron")),
    "no port": Bad(2, "'--port'", arguments=("--port", "70000")),
    "address of another machine": Bad(3, "192.0.2.1", arguments=("--host", "192.0.2.1")),
    "failing import": Bad(
        3,
        "bad can't be imported: RuntimeError: on purpose",
        app="bad:app",
        program="raise RuntimeError('on purpose')",
    ),
    "leaving import": Bad(3, "bad can't be imported", app="bad:app", program="raise SystemExit(0)"),
    "syntax error": Bad(3, "SyntaxError", app="bad:app", program="app ="),
    "missing setting": Bad(
        78,
        "  SECRET_KEY: is missing",
        app="bad:app",
        program="""
from pydantic import SecretStr
from sturdyapi import BaseSettings, create_app

class Settings(BaseSettings):
    secret_key: SecretStr

app = create_app(Settings)
""",
    ),
}


@pytest.mark.parametrize("bad", COMMANDS.values(), ids=COMMANDS)
def test_what_can_not_be_run_is_told_before_a_server_starts(
    bad: Bad, run: Run, tmp_path: Path
) -> None:
    """The command ends with a code and says what is wrong, without a traceback."""
    (tmp_path / "bad.py").write_text(bad.program)
    process = run(UVICORN, *bad.arguments, app=bad.app)
    code = process.wait_for_end()

    assert code == bad.code, process.output
    assert len([text for text in process.texts if bad.told in text]) == 1, process.output
    assert "Traceback" not in process.output
    assert process.survivors() == []


LIFESPAN = """
import os, signal, time
from contextlib import asynccontextmanager
from sturdyapi import create_app

@asynccontextmanager
async def lifespan(app):
    {body}
    yield

app = create_app(lifespan=lifespan)
"""

SECOND_IMPORT = """
from pathlib import Path
from sturdyapi import create_app

if Path("imported").exists():
    raise RuntimeError("on purpose")
Path("imported").touch()
app = create_app()
"""

FAILURES = {
    "lifespan that raises": (
        LIFESPAN.format(body="raise RuntimeError('on purpose')"),
        "on purpose",
    ),
    "worker that exits": (LIFESPAN.format(body="os._exit(1)"), "can't start"),
    "worker that exits with 0": (LIFESPAN.format(body="os._exit(0)"), "can't start"),
    "worker that is killed": (
        LIFESPAN.format(body="os.kill(os.getpid(), signal.SIGKILL)"),
        "can't start",
    ),
    "import that fails in the worker": (SECOND_IMPORT, "on purpose"),
}

ALONE = {"gunicorn-alone": Kind("gunicorn", 1), "granian-alone": Kind("granian", 1)}
"""Servers with a supervisor also for a single worker."""

STARTS = [
    *((name, failure) for name in SERVERS for failure in FAILURES),
    *(
        (name, failure)
        for name in ALONE
        for failure in ("lifespan that raises", "worker that exits")
    ),
]


def _is_own_end(name: str, failure: str) -> bool:
    """Tell whether it is the process of the command itself that ends: nobody could tell."""
    return name == "uvicorn" and failure.startswith("worker that")


@pytest.mark.parametrize(
    ("name", "failure"), [start for start in STARTS if not _is_own_end(*start)]
)
def test_a_start_that_fails_ends_the_server(
    name: str, failure: str, run: Run, tmp_path: Path
) -> None:
    """Trap 78: a service that can't start exits 3; it neither respawns for ever nor exits 0."""
    program, told = FAILURES[failure]
    (tmp_path / "bad.py").write_text(program)
    process = run({**SERVERS, **ALONE}[name], app="bad:app")
    code = process.wait_for_end()

    assert code == 3, process.output
    assert [text for text in process.texts if told in text], process.output
    assert not [text for text in process.texts if text.startswith("Traceback")], process.output
    assert process.survivors() == []


def test_a_port_in_use_is_named(kind: Kind, run: Run) -> None:
    """A port that another process has is told in one line, and the server does not start."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = int(other.getsockname()[1])
        process = run(kind, port=port)
        code = process.wait_for_end()

    assert code == 3, process.output
    assert len(process.texts) == 1, process.output
    assert f"127.0.0.1:{port} is in use" in process.output


@pytest.mark.parametrize("name", [name for name in SERVERS if SERVERS[name].workers > 1])
def test_a_worker_that_dies_later_is_replaced(name: str, run: Run) -> None:
    """Once a service has started, the end of a worker is not the end of the service."""
    process = run(SERVERS[name], settings=shutdown()).wait_until_ready()
    answer = process.ask("GET", "/echo/one")
    os.kill(json.loads(answer.body)["pid"], signal.SIGKILL)  # type: ignore[attr-defined]

    process.wait(lambda: process.messages.count("opened") == process.kind.workers + 1)
    assert process.ask("GET", "/echo/two").status == 200
    assert process.end() == 0
    assert process.survivors() == []
