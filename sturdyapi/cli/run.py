"""`sturdyapi run`: serve an app in production."""

from __future__ import annotations

import os
import re
import shlex
import sys
from importlib.util import find_spec
from logging import getLogger
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from sturdyapi.exceptions import CommandError, MissingExtraError, UnknownServerError
from sturdyapi.serving.address import free_address
from sturdyapi.serving.lines import SERVERS

from .loading import load_app
from .parameters import App, AppDir  # noqa: TC001 - typer reads the annotations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sturdyapi.serving.capacity import Workers
    from sturdyapi.serving.lines import Plan, Server

__all__ = ["EXAMPLES", "run"]

EXAMPLES = """\
sturdyapi run
sturdyapi run main:app --workers 4
sturdyapi run main:app --server uvicorn          one process, for a container of its own
sturdyapi run main:app --workers 2n+1            the rule of thumb for servers that wait
sturdyapi run main:app --print                   show the line, and do nothing
sturdyapi run main:app -- --certfile cert.pem    what follows -- is the server's own"""

_OWN_OPTIONS = {
    "--host": "--host ADDRESS",
    "--port": "--port NUMBER",
    "--workers": "--workers NUMBER",
    "-w": "--workers NUMBER",
    "--graceful-timeout": "the setting SHUTDOWN_GRACE_SECONDS",
    "--timeout-graceful-shutdown": "the setting SHUTDOWN_GRACE_SECONDS",
    "--forwarded-allow-ips": "the setting TRUSTED_PROXIES",
}
"""Options that servers have as well, and what to write instead."""
_DEFAULT_SERVER = "uvicorn" if sys.platform == "win32" else "gunicorn"
_SECRET_OPTION = re.compile(r"--[a-z-]*(?:password|secret|token)[a-z-]*")
_MASK = "***"
_log = getLogger("sturdyapi.run")

_Options = Annotated[
    list[str] | None,
    typer.Argument(metavar="-- SERVER OPTIONS", help="Of the server's own; they win."),
]
_Server = Annotated[str, typer.Option(help=f"One of {', '.join(SERVERS)}.", show_default=True)]
_Host = Annotated[
    str | None, typer.Option(help="Address to listen on. Default: the setting BIND_HOST.")
]
_Port = Annotated[
    int | None,
    typer.Option(min=0, max=65535, help="TCP port. Default: the setting PORT. 0: any."),
]
_Workers = Annotated[
    str | None,
    typer.Option(
        metavar="N|auto|2n+1",
        help="Processes. Default: the setting WORKERS, or auto: one per CPU of the container, "
        "and no more than CONNECTION_BUDGET allows; with --server uvicorn: 1.",
    ),
]
_OnlyPrint = Annotated[
    bool, typer.Option("--print", help="Show the line that would be executed, and end.")
]


def run(
    target: App = None,
    options: _Options = None,
    *,
    server: _Server = _DEFAULT_SERVER,
    host: _Host = None,
    port: _Port = None,
    workers: _Workers = None,
    app_dir: AppDir = Path(),
    only_print: _OnlyPrint = False,
) -> None:
    """Serve an app in production.

    Imports the app once, to see that it can be and to read its settings; then becomes the server,
    by a line that it tells. When SIGTERM or Ctrl-C stops it, readiness turns 503 first, then the
    sockets close, and what is running gets to finish. A second signal does not wait.
    """
    # Here, since it brings in FastAPI, for which `sturdyapi --help` would wait.
    from sturdyapi.serving.planning import make_plan  # noqa: PLC0415
    from sturdyapi.serving.server_log import ServerLog  # noqa: PLC0415

    known = _known_server(server)
    if target and target.startswith("-"):
        # `sturdyapi run -- --option`: the app is looked for.
        options = [target, *(options or [])]
        target = None
    _refuse_own_options(options or ())
    loaded = load_app(target, folder=app_dir)
    plan, count = make_plan(
        loaded.app,
        loaded.import_string,
        host=host,
        port=port,
        workers=workers,
        default_workers=known.default_workers,
        options=options or (),
    )
    line = _Line(known.line(plan), loaded.folder)
    if only_print:
        typer.echo(line.text)
        return
    if not plan.has_own_binding:
        free_address(plan.host, plan.port)
    server_log = ServerLog(format=plan.log_format, level=plan.log_level)
    server_log.begin()
    _tell(plan, count, line)
    server_log.end()
    line.execute()


class _Line(NamedTuple):
    """A command line, and the folder that the app is imported from."""

    words: list[str]
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What the process gets besides what it has: it starts here, wherever the app is."""
        if self.folder == Path.cwd():
            return {}
        paths = [str(self.folder), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {"PYTHONPATH": os.pathsep.join(paths)}

    @property
    def text(self) -> str:
        """For a shell."""
        variables = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        return " ".join([*variables, shlex.join(self.words)])

    def without_secrets(self) -> _Line:
        """Return the line as a log may hold it: no password of a private key."""
        words = list(self.words)
        for position, word in enumerate(words):
            name, is_joined, _ = word.partition("=")
            if not _SECRET_OPTION.fullmatch(name):
                continue
            if is_joined:
                words[position] = f"{name}={_MASK}"
            elif position + 1 < len(words):
                words[position + 1] = _MASK
        return self._replace(words=words)

    def execute(self) -> None:
        """Become the server: the same process, so that it gets the signals."""
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        os.execve(self.words[0], self.words, {**os.environ, **self.environment})  # noqa: S606


def _known_server(name: str) -> Server:
    if name not in SERVERS:
        raise UnknownServerError(name, known=SERVERS)
    server = SERVERS[name]
    if find_spec(server.package) is None:
        raise MissingExtraError(
            f"sturdyapi run --server {name}", server.extra, package=server.package
        )
    return server


def _refuse_own_options(options: Sequence[str]) -> None:
    """Raise if what stands behind `--` is an option that this command has itself."""
    for option in options:
        name = option.partition("=")[0]
        if name in _OWN_OPTIONS:
            raise CommandError(
                f"{name} stands behind --, and is an option of `sturdyapi run` itself. "
                f"Write it in front: {_OWN_OPTIONS[name]}."
            )


def _tell(plan: Plan, workers: Workers, line: _Line) -> None:
    """Say what is going to be executed, in the form of the app's log lines."""
    noun = "worker" if workers.count == 1 else "workers"
    _log.info("%d %s: %s", workers.count, noun, workers.reason)
    if workers.warning:
        _log.warning("%s", workers.warning)
    _log.info(
        "A stop takes up to %d s: let what runs this process wait longer before it kills",
        plan.stop_seconds,
    )
    _log.info("%s", line.without_secrets().text)
