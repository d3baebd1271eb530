"""One worker of several is replaced, or can't be, while the others serve."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.servers.polling import until
from tests.servers.running import SERVERS, shutdown

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.servers.running import Kind, Running

    Run = Callable[..., Running]

pytestmark = pytest.mark.heavy

SEVERAL = [name for name in SERVERS if SERVERS[name].workers > 1]

FICKLE = """
import os
from contextlib import asynccontextmanager
from pathlib import Path

from loguru import logger

from sturdyapi import create_app


@asynccontextmanager
async def lifespan(app):
    if Path("away").exists():
        logger.info("tried in vain")
        raise RuntimeError("the database is away")
    logger.info("opened")
    yield


app = create_app(lifespan=lifespan)


@app.get("/pid")
async def pid() -> int:
    return os.getpid()
"""


def _pid(server: Running) -> int:
    return int(json.loads(server.ask("GET", "/pid").body))  # type: ignore[attr-defined]


@pytest.fixture
def server(name: str, run: Run, tmp_path: Path) -> Running:
    """A service whose resource can be taken away."""
    (tmp_path / "fickle.py").write_text(FICKLE)
    return run(SERVERS[name], app="fickle:app", settings=shutdown()).wait_until_ready()


@pytest.mark.parametrize("name", SEVERAL)
def test_a_replacement_that_fails_does_not_end_the_others(server: Running, tmp_path: Path) -> None:
    """A resource that is away when one worker has died is no outage: the others serve."""
    server.wait(lambda: server.messages.count("opened") == server.kind.workers)
    (tmp_path / "away").touch()
    os.kill(_pid(server), signal.SIGKILL)
    server.wait(lambda: "tried in vain" in server.messages)
    assert _pid(server)

    (tmp_path / "away").unlink()
    server.wait(lambda: server.messages.count("opened") > server.kind.workers)
    assert server.end() == 0
    assert server.survivors() == []


@pytest.mark.parametrize("name", SEVERAL)
def test_new_code_that_is_broken_is_not_taken(server: Running, tmp_path: Path) -> None:
    """SIGHUP with an app that can't be imported leaves the old workers where they are."""
    (tmp_path / "fickle.py").write_text("raise RuntimeError('broken')")
    server.process.send_signal(signal.SIGHUP)
    server.wait(lambda: any("the old" in message for message in server.messages))
    assert _pid(server)
    assert server.end() == 0


@pytest.mark.parametrize("name", SEVERAL)
def test_workers_without_a_parent_end(name: str, kind: Kind, run: Run) -> None:
    """A parent that was killed leaves no worker behind that would hold the address."""
    server = run(kind, settings=shutdown()).wait_until_ready()
    server.process.kill()
    server.process.wait()
    until(lambda: not server.survivors())
    assert "closed" in server.messages
