"""Uvicorn's command line with our server behind it, and two options more."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.main import main as uvicorn_command

from sturdyapi.serving.server_log import FORMATS, ServerLog

from .server import Server
from .supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve an app until a signal ends it; ends the process with the code that tells how."""
    ours = argparse.ArgumentParser(add_help=False)
    ours.add_argument("--log-format", choices=FORMATS, default="json")
    ours.add_argument("--kill-after", type=float, default=30.0, metavar="SECONDS")
    own, rest = ours.parse_known_args(arguments)
    config = _config_of(rest)
    server_log = ServerLog(format=own.log_format, level=str(config.log_level or "info"))
    if config.workers > 1:
        server_log.begin()
        sys.exit(_serve_several(config, kill_after_seconds=own.kill_after))
    sys.exit(_serve(config, server_log))


def _serve(config: uvicorn.Config, server_log: ServerLog) -> int:
    config.load()
    server_log.begin()
    server = Server(config)
    server.run()
    return server.exit_code


def _serve_several(config: uvicorn.Config, *, kill_after_seconds: float) -> int:
    sockets = [config.bind_socket()]
    supervisor = Supervisor(config, sockets=sockets, kill_after_seconds=kill_after_seconds)
    supervisor.run()
    return supervisor.exit_code


def _config_of(arguments: Sequence[str]) -> uvicorn.Config:
    """Return what Uvicorn's own options say."""
    options: dict[str, Any] = uvicorn_command.make_context("uvicorn", [*arguments]).params
    folder = options.pop("app_dir")
    if folder is not None:
        sys.path.insert(0, folder)
    options["headers"] = [header.split(":", 1) for header in options["headers"]]
    return uvicorn.Config(**options)
