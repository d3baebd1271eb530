"""Uvicorn's command line with our server behind it, and two options more."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from uvicorn.main import main as uvicorn_command

from sturdyapi.draining import CLOSE_SECONDS, GRACE_SECONDS
from sturdyapi.serving.options import read_options
from sturdyapi.serving.server_log import FORMATS, ServerLog

from .config import Config
from .server import Server
from .supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_REFUSED = {
    "reload": "it is for development: fastapi dev",
    "log_config": "the lines have the form of the app's: --log-format",
}
"""Options of Uvicorn's that we decide, and why."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve an app until a signal ends it; ends the process with the code that tells how."""
    ours = argparse.ArgumentParser(add_help=False)
    ours.add_argument("--log-format", choices=FORMATS, default="json")
    ours.add_argument(
        "--kill-after", type=float, default=GRACE_SECONDS + CLOSE_SECONDS, metavar="SECONDS"
    )
    own, rest = ours.parse_known_args(arguments)
    options = _options_of(rest)
    server_log = ServerLog(format=own.log_format, level=options["log_level"] or "info")
    config = Config(server_log=server_log, **options)
    if config.workers > 1:
        server_log.begin()
        sys.exit(_serve_several(config, kill_after_seconds=own.kill_after))
    sys.exit(_serve(config))


def _serve(config: Config) -> int:
    config.load()
    server = Server(config)
    server.run()
    return server.exit_code


def _serve_several(config: Config, *, kill_after_seconds: float) -> int:
    sockets = [config.bind_socket()]
    supervisor = Supervisor(config, sockets=sockets, kill_after_seconds=kill_after_seconds)
    supervisor.run()
    return supervisor.exit_code


def _options_of(arguments: Sequence[str]) -> dict[str, Any]:
    """Return what Uvicorn's own options say, as keywords of its configuration."""
    context = read_options(uvicorn_command, "uvicorn", arguments, refused=_REFUSED)
    options: dict[str, Any] = context.params
    folder = options.pop("app_dir")
    if folder is not None:
        sys.path.insert(0, folder)
    options["headers"] = [header.split(":", 1) for header in options["headers"]]
    return options
