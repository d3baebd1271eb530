"""The command line of each server: what `sturdyapi run` executes."""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from sturdyapi.draining import CLOSE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sturdyapi.serving.server_log import LogFormat

__all__ = ["SERVERS", "Plan", "Server"]

_KEEP_ALIVE_SECONDS = 75
"""Longer than a proxy keeps an idle connection: the side that closes first must be the one that
sends requests, or one is lost now and then."""
_MAX_REQUESTS = 100_000
_HEARTBEATS = Path("/dev/shm")  # noqa: S108 - Gunicorn makes a file of its own in it
_BINDINGS = ("--bind", "-b", "--uds", "--fd")
_LOGGERS = {"json": "JsonLogger", "ecs": "EcsLogger", "text": "TextLogger"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a server is told."""

    app: str
    host: str
    port: int
    workers: int
    trusted_proxies: Sequence[str]
    delay_seconds: float
    grace_seconds: float
    log_format: LogFormat
    log_level: str
    """One that every server knows, such as `info`."""
    options: Sequence[str] = ()
    """Of the server's own; they come last, so that they win."""

    @property
    def has_own_binding(self) -> bool:
        """Whether the user's options say where to listen, such as on a unix socket."""
        return any(option.split("=")[0] in _BINDINGS for option in self.options)

    @property
    def address(self) -> str:
        """Host and port, in the form of a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def stop_seconds(self) -> int:
        """Longest that a stop takes; what runs the process has to wait longer.

        With the default delay and grace it is 29 s, and Kubernetes kills after 30.
        """
        return math.ceil(self.delay_seconds + self.grace_seconds) + CLOSE_SECONDS


class Server(NamedTuple):
    """A server that `sturdyapi run` knows."""

    line: Callable[[Plan], list[str]]
    package: str
    extra: str
    """Extra of SturdyAPI that brings the package."""
    default_workers: int | Literal["auto"] = "auto"


def _uvicorn(plan: Plan) -> list[str]:
    several = ["--kill-after", str(plan.stop_seconds)] if plan.workers > 1 else []
    return [
        *_python("sturdyapi.serving.uvicorn", plan.app),
        *("--host", plan.host, "--port", str(plan.port)),
        *("--workers", str(plan.workers)),
        *("--timeout-graceful-shutdown", str(math.ceil(plan.grace_seconds))),
        *("--timeout-keep-alive", str(_KEEP_ALIVE_SECONDS)),
        *("--forwarded-allow-ips", ",".join(plan.trusted_proxies)),
        *("--no-access-log", "--no-server-header"),
        *("--log-format", plan.log_format, "--log-level", plan.log_level),
        *several,
        *plan.options,
    ]


def _gunicorn(plan: Plan) -> list[str]:
    keep_alive = ["--keep-alive", str(_KEEP_ALIVE_SECONDS)]
    return _gunicorn_with("UvicornDrainWorker", [*keep_alive, *_recycling(plan)], plan)


def _gunicorn_asgi(plan: Plan) -> list[str]:
    # It waits for idle connections when it stops, and keeps them for two seconds.
    return _gunicorn_with("AsgiDrainWorker", [], plan)


def _gunicorn_with(worker: str, own: Sequence[str], plan: Plan) -> list[str]:
    heartbeats = ["--worker-tmp-dir", str(_HEARTBEATS)] if os.access(_HEARTBEATS, os.W_OK) else []
    return [
        *_python("gunicorn", plan.app),
        *("--config", "python:sturdyapi.serving.gunicorn.config"),
        *("--worker-class", f"sturdyapi.serving.gunicorn.workers.{worker}"),
        *([] if plan.has_own_binding else ["--bind", plan.address]),
        *("--workers", str(plan.workers)),
        *("--graceful-timeout", str(plan.stop_seconds)),
        *own,
        *("--forwarded-allow-ips", ",".join(plan.trusted_proxies)),
        *("--logger-class", f"sturdyapi.serving.gunicorn.logger.{_LOGGERS[plan.log_format]}"),
        *("--log-level", plan.log_level),
        *heartbeats,
        *plan.options,
    ]


def _recycling(plan: Plan) -> list[str]:
    # A single worker would leave nobody to serve while its successor starts. Without the jitter
    # all workers would go together.
    if plan.workers == 1:
        return []
    jitter = _MAX_REQUESTS // 10
    return ["--max-requests", str(_MAX_REQUESTS), "--max-requests-jitter", str(jitter)]


def _granian(plan: Plan) -> list[str]:
    return [
        *_python("sturdyapi.serving.granian", plan.app),
        *("--host", plan.host, "--port", str(plan.port)),
        *("--workers", str(plan.workers)),
        *("--workers-kill-timeout", str(plan.stop_seconds)),
        *("--trusted-proxies", ",".join(plan.trusted_proxies)),
        *("--log-format", plan.log_format, "--log-level", plan.log_level),
        *plan.options,
    ]


def _python(module: str, app: str) -> list[str]:
    return [sys.executable, "-m", module, app]


SERVERS = {
    "gunicorn": Server(_gunicorn, "gunicorn", "standard"),
    "gunicorn-asgi": Server(_gunicorn_asgi, "gunicorn", "standard"),
    # For platforms that run many small containers, and restart what ends.
    "uvicorn": Server(_uvicorn, "uvicorn", "standard", default_workers=1),
    "granian": Server(_granian, "granian", "granian"),
}
"""By the name that `--server` takes."""
