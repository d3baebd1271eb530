"""Every difference that SturdyAPI makes on purpose and the suites would notice.

Each is handled in one of two ways: the practice is switched off by its keyword, or the stand-in
translates its result back. `--without ID` leaves one unhandled and shows the tests that notice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .suites import Suite


@dataclass(frozen=True, slots=True)
class Explanation:
    """One difference, and how the suites run in spite of it."""

    id: str
    why: str
    """What SturdyAPI does otherwise than stock."""
    suites: Sequence[str]
    """The suites that notice."""
    switched_off: Mapping[str, Any] = field(default_factory=dict)
    """Keywords for `SturdyAPI`; when empty, the stand-in translates."""
    apps_in: Sequence[str] = ("*",)
    """Files of the suite whose apps are switched off; the others run with the practice on."""

    def concerns(self, file: str) -> bool:
        """Tell whether an app that is made in `file` needs it."""
        return any(fnmatch(file, f"*{pattern}") for pattern in self.apps_in)

    def __str__(self) -> str:
        keywords = ", ".join(f"{name}={value!r}" for name, value in self.switched_off.items())
        handling = f"switched off by {keywords}" if keywords else "translated back"
        if keywords and self.apps_in != ("*",):
            handling += f" in {', '.join(self.apps_in)}"
        return f"{self.id}: {self.why} Here {handling}; noticed by {' and '.join(self.suites)}."


EXPLANATIONS: Sequence[Explanation] = (
    Explanation(
        id="docs",
        why="Docs are public in development only.",
        suites=("fastapi",),
        switched_off={"docs": True},
    ),
    Explanation(
        id="packaged-docs",
        why="Swagger UI is served from the package, without a network.",
        suites=("fastapi",),
    ),
    Explanation(
        id="logs",
        why="Logging belongs to the app: level, stream and form of the whole process.",
        suites=("fastapi",),
        switched_off={"logs": False},
    ),
    Explanation(
        id="wire-datetimes",
        why="A datetime is sent in UTC and ends in `Z`, whatever holds it.",
        suites=("fastapi",),
        switched_off={"wire": "fastapi"},
        apps_in=(
            "docs_src/extra_data_types/tutorial001*.py",
            "tests/test_serialize_response_dataclass.py",
        ),
    ),
    Explanation(
        id="body-limit",
        why="A request's body is limited to 1 MiB.",
        suites=("fastapi",),
        switched_off={"max_body_size": None},
    ),
    Explanation(
        id="background-tasks",
        why="A background task that fails does not stop the next, and is not raised to the server.",
        suites=("fastapi",),
        switched_off={"watch_background_seconds": None},
        apps_in=("tests/test_telemetry/test_background.py",),
    ),
    Explanation(
        id="native-telemetry",
        why="FastAPI records spans by itself, Starlette only through its middleware.",
        suites=("starlette",),
        switched_off={"telemetry": {"tracing": False, "metrics": False, "logs": False}},
    ),
    Explanation(
        id="selected-route",
        why="FastAPI's router leaves Starlette's routes out of `scope[\"route\"]`.",
        suites=("starlette",),
    ),
    Explanation(
        id="response-headers",
        why="A request id and security headers are on each response, where absent.",
        suites=("starlette",),
        switched_off={"request_id_header": None, "security_headers": False},
        apps_in=("tests/middleware/test_base.py",),
    ),
    Explanation(
        id="problem-bodies",
        why="Errors are answered with problem documents.",
        suites=("fastapi", "starlette"),
    ),
    Explanation(
        id="problem-schemas",
        why="OpenAPI describes the problem documents.",
        suites=("fastapi",),
    ),
)


def explanations_for(suite: Suite, without: Iterable[str] = ()) -> list[Explanation]:
    """Return what is handled in a run of `suite`."""
    return [each for each in EXPLANATIONS if suite.name in each.suites and each.id not in without]
