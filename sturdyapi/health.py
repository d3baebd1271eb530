"""Liveness and readiness, answered before any middleware, route, metric or access line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from logging import getLogger
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

import anyio
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import Receive, Scope, Send

__all__ = ["Check", "Health", "Phase"]

Phase = Literal["starting", "ready", "draining"]
"""Where a process is in its life; readiness is 503 in all but `ready`."""

_CACHE_SECONDS = 1.0
_log = getLogger("sturdyapi.health")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must work for the service to be ready."""

    name: str
    """Shown in the answer; must not tell hosts or credentials."""
    run: Callable[[], Awaitable[object]]
    """Raises when the thing does not work; what it returns is ignored.

    It must end when it is cancelled, as a thread does with `abandon_on_cancel=True`: the answer
    waits for it.
    """
    timeout_seconds: float = 2.0


class Health:
    """Answers `<prefix>/live` and `<prefix>/ready`.

    `live` says that the event loop turns, and touches nothing else. `ready` runs every check at the
    same time, each under its own time limit, at most once a second however many probes ask.

    Attributes:
        phase: Set by the app's lifespan.
    """

    def __init__(
        self, prefix: str, *, detailed: bool, clock: Callable[[], float] = monotonic
    ) -> None:
        """Make the two endpoints.

        Args:
            prefix: Path in front of `/live` and `/ready`, such as `/health`.
            detailed: Show the kind of a failure. Names and states only when false.
            clock: Seconds that never go back.
        """
        self.phase: Phase = "starting"
        self._paths = frozenset({f"{prefix}/live", f"{prefix}/ready"})
        self._detailed = detailed
        self._clock = clock
        self._checks: dict[str, Check] = {}
        self._results: dict[str, str] = {}
        self._expires_at = float("-inf")
        self._running = anyio.Lock()

    @property
    def paths(self) -> frozenset[str]:
        """What is answered here, as far as the app is seen to have no route of its own there."""
        return self._paths

    def add(self, check: Check) -> None:
        """Let readiness depend on `check`; one of the same name is replaced."""
        self._checks[check.name] = check

    def yield_path(self, path: str) -> None:
        """Leave a path to the app, which has a route of its own there."""
        self._paths -= {path}

    def owns(self, scope: Scope) -> bool:
        """Tell whether a request is one of ours."""
        path: str = scope["path"]
        if not path.endswith(("/live", "/ready")):
            return False
        path = path.removeprefix(scope.get("root_path", "").rstrip("/"))
        return path in self._paths and scope["method"] in ("GET", "HEAD")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that `owns()` claimed."""
        if scope["path"].endswith("/live"):
            response = _answer(200, {"status": "alive"})
        else:
            response = await self._readiness()
        await response(scope, receive, send)

    async def _readiness(self) -> Response:
        if self.phase != "ready":
            return _answer(503, {"status": self.phase})
        results = await self._checked()
        healthy = all(result == "ok" for result in results.values())
        shown = results if self._detailed else {k: v.split(":")[0] for k, v in results.items()}
        document = {"status": "ready" if healthy else "unhealthy", "checks": shown}
        return _answer(200 if healthy else 503, document)

    async def _checked(self) -> dict[str, str]:
        async with self._running:
            if self._checks and self._clock() >= self._expires_at:
                self._results = await self._run_checks()
                self._expires_at = self._clock() + _CACHE_SECONDS
        return self._results

    async def _run_checks(self) -> dict[str, str]:
        results: dict[str, str] = dict.fromkeys(self._checks, "failed")
        async with anyio.create_task_group() as group:
            for check in self._checks.values():
                group.start_soon(_run, check, results)
        for name, result in results.items():
            if result != self._results.get(name, "ok"):
                _log.log(20 if result == "ok" else 40, "Readiness of %s: %s", name, result)
        return results


async def _run(check: Check, results: dict[str, str]) -> None:
    with anyio.move_on_after(check.timeout_seconds) as limit:
        results[check.name] = await _outcome(check)
    if limit.cancelled_caught:
        results[check.name] = f"failed: no answer within {check.timeout_seconds:g} s"


async def _outcome(check: Check) -> str:
    try:
        await check.run()
    except Exception as error:  # noqa: BLE001 - whatever a check raises means "not ready"
        # The kind only: the text of a driver's error can hold a host or a password.
        return f"failed: {type(error).__name__}"
    return "ok"


def _answer(status: int, document: dict[str, Any]) -> Response:
    return Response(
        json.dumps(document, separators=(",", ":")),
        status_code=status,
        headers={"Cache-Control": "no-store"},
        media_type="application/json",
    )
