"""Granian's command line with our server behind it, and two options more."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from typing import TYPE_CHECKING, Any

from click.core import ParameterSource
from granian.cli import cli as granian_command
from granian.constants import Interfaces
from granian.errors import FatalError
from granian.http import HTTP1Settings, HTTP2Settings

from sturdyapi.draining import CLOSE_SECONDS, GRACE_SECONDS
from sturdyapi.exceptions import EX_START, AddressError
from sturdyapi.serving.address import free_address
from sturdyapi.serving.options import read_options
from sturdyapi.serving.server_log import FORMATS, ServerLog

from .loading import AppLoader
from .loop import LOOP, register_loop
from .server import Server

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_REFUSED = {
    "interface": "the app is an ASGI app",
    "loop": "a uvloop of ours lets the service drain",
    "log_config": "the lines have the form of the app's: --log-format",
    "reload": "it is for development: fastapi dev",
    "respawn_failed_workers": "workers that have served are always replaced",
}
"""Options of Granian's that we decide, and why."""
_RENAMED = {
    "log_access_enabled": "log_access",
    "log_access_fmt": "log_access_format",
    "ssl_certificate": "ssl_cert",
    "ssl_keyfile": "ssl_key",
    "ssl_keyfile_password": "ssl_key_password",
}
"""Options that Granian's server calls by another name than its command line."""
_LEVELS = {"notset": "trace", "warn": "warning"}
_HEADER_MILLISECONDS = 60_000
"""The most that Granian takes. An idle connection is kept for this long: the side that closes first
must be the one that sends requests, or one is lost now and then."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve an app until a signal ends it; ends the process with the code that tells how."""
    ours = argparse.ArgumentParser(add_help=False)
    ours.add_argument("--log-format", choices=FORMATS, default="json")
    ours.add_argument("--trusted-proxies", default="127.0.0.1", metavar="ADDRESS,...")
    own, rest = ours.parse_known_args(arguments)
    options = _options_of(rest)
    level = options["log_level"].value
    server_log = ServerLog(format=own.log_format, level=_LEVELS.get(level, level))
    server_log.begin()
    loader = AppLoader(
        options.pop("app"),
        trusted_proxies=own.trusted_proxies.split(","),
        grace_seconds=_grace_seconds(options["workers_kill_timeout"]),
        server_log=server_log,
        is_factory=options.pop("factory"),
    )
    try:
        _serve(loader, options)
    except AddressError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
    except FatalError:  # Granian has told it
        sys.exit(EX_START)


def _grace_seconds(kill_after_seconds: int | None) -> float:
    if kill_after_seconds is None:
        return GRACE_SECONDS
    return float(max(0, kill_after_seconds - CLOSE_SECONDS))


def _serve(loader: AppLoader, options: dict[str, Any]) -> None:
    address, port = options.pop("host"), options.pop("port")
    if options["uds"] is None:
        address, port = free_address(address, port)
    folder = options["working_dir"]
    if folder is not None:
        sys.path.insert(0, str(folder))
    # What workers share with their parent is inherited, not sent.
    multiprocessing.set_start_method("fork", force=True)
    register_loop()
    server = Server(
        "", address, port, interface=Interfaces.ASGI, loop=LOOP, **_server_options(options)
    )
    server.serve(target_loader=loader, wrap_loader=False)


def _options_of(arguments: Sequence[str]) -> dict[str, Any]:
    """Return what Granian's own options say, by the names of its command line."""
    context = read_options(granian_command, "granian", arguments, refused=_REFUSED)
    options = context.params
    if context.get_parameter_source("http1_header_read_timeout") == ParameterSource.DEFAULT:
        options["http1_header_read_timeout"] = _HEADER_MILLISECONDS
    return {name: value for name, value in options.items() if name not in _REFUSED}


def _server_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return the same by the names of Granian's server."""
    http: dict[str, dict[str, Any]] = {"http1": {}, "http2": {}}
    rest: dict[str, Any] = {}
    for name, value in options.items():
        version, _, setting = name.partition("_")
        if version in http:
            http[version]["max_buffer_size" if setting == "buffer_size" else setting] = value
        else:
            rest[_RENAMED.get(name, name)] = value
    rest["http1_settings"] = HTTP1Settings(**http["http1"])
    rest["http2_settings"] = HTTP2Settings(**http["http2"])
    return rest
