"""CPU time per request: SturdyAPI with every practice on, against bare FastAPI.

Both apps are called in one process as a server calls them: a fresh ASGI scope with the headers of a
proxy, `receive` and `send` made by hand. SturdyAPI has production settings and JSON log lines;
FastAPI is as its tutorial makes it, without middleware or logs.

How it is measured:

- Each workload has a process of its own. In it, rounds of the two apps alternate, so that whatever
  slows the machine down hits both.
- Time is CPU time of that process, so that waiting for a core does not count. Writing the access
  line does: standard output is a pipe, which is read here.
- First the answers are compared: status 200, and bodies that say the same. One difference is meant:
  a `Decimal` is a JSON number with SturdyAPI and a string with FastAPI.
- Afterwards, one access line must have arrived for each request to SturdyAPI.
- A ratio is FastAPI's time divided by SturdyAPI's, pair by pair: 1.00 means that the practices are
  free. The table has the median; the middle half and the extremes show how far to trust it.

What the numbers do not say: how many requests a server answers. Its own work (parsing, sockets)
comes on top for both, so that the ratio seen from outside is nearer to 1. About 1 µs of each figure
is the harness. Microseconds are those of this machine; only ratios travel.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import IO, TYPE_CHECKING, Any

from benchmarks.measure import ProfileRow, Times
from benchmarks.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Sequence

TARGET = 0.95
"""Lowest ratio aimed at on each workload."""

_MEASURE = Path(__file__).with_name("measure.py")
_ACCESS_LOGGER = b'"sturdyapi.access"'
_GULP_BYTES = 1024 * 1024
_PAUSE_SECONDS = 0.005
_PROFILE_ROWS = 40
_PRODUCTION = {
    "ENVIRONMENT": "production",
    "FASTAPI_ENV": "production",
    "LOG_FORMAT": "json",
    "LOG_LEVEL": "INFO",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table; times in microseconds per request, ratios FastAPI / SturdyAPI."""

    workload: str
    fastapi: float
    sturdyapi: float
    ratio: float
    middle_half: tuple[float, float]
    extremes: tuple[float, float]


def main() -> None:
    """Print the table, or what was asked for instead of it."""
    options = _parse_arguments()
    if options.profile:
        _print_profile(options.profile, options)
        return
    if not options.json:
        _print_heading()
    rows = []
    for name in options.workloads:
        rows.append(_measure(name, options))
        if not options.json:
            _print_row(rows[-1])
    if options.json:
        print(json.dumps({"target": TARGET, "rows": [asdict(row) for row in rows]}, indent=2))


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="CPU time per request of SturdyAPI and of bare FastAPI, in process.",
        epilog="; ".join(f"{name}: {workload.what}" for name, workload in WORKLOADS.items()),
    )
    parser.add_argument("--rounds", type=int, default=50, help="pairs of rounds (default: 50)")
    parser.add_argument("--requests", type=int, default=50, help="requests a round (default: 50)")
    parser.add_argument(
        "--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS), metavar="NAME"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument(
        "--profile",
        choices=WORKLOADS,
        metavar="NAME",
        help="print where SturdyAPI's extra time goes in one workload, function by function",
    )
    options = parser.parse_args()
    if options.rounds < 2 or options.requests < 1:  # noqa: PLR2004 - a spread needs two values
        parser.error("give at least 2 rounds of 1 request")
    return options


def _measure(name: str, options: argparse.Namespace) -> Row:
    result, access_lines = _run(name, options)
    times = Times(**result)
    if access_lines != times.requests_to_sturdyapi:
        sys.exit(
            f"{name}: SturdyAPI answered {times.requests_to_sturdyapi} requests but wrote "
            f"{access_lines} access lines, so this is not the time of a service that logs."
        )
    return _summary(name, times)


def _run(name: str, options: argparse.Namespace, *flags: str) -> tuple[Any, int]:
    """Run the process of one workload; return its result and how many access lines it wrote."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "result.json")
        sizes = [f"--rounds={options.rounds}", f"--requests={options.requests}"]
        command = [sys.executable, str(_MEASURE), name, f"--result={path}", *sizes, *flags]
        access_lines = _count_access_lines(command)
        return json.loads(path.read_text()), access_lines


def _count_access_lines(command: Sequence[str]) -> int:
    environment = {**os.environ, **_PRODUCTION}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        lines = _read_in_gulps(process.stdout).count(_ACCESS_LOGGER) if process.stdout else 0
    if process.returncode:
        sys.exit(process.returncode)
    return lines


def _read_in_gulps(pipe: IO[bytes]) -> bytes:
    # A reader that waits for each line has to be woken by the writer, which would cost it more
    # than all else that is measured.
    gulps = []
    while gulp := os.read(pipe.fileno(), _GULP_BYTES):
        gulps.append(gulp)
        time.sleep(_PAUSE_SECONDS)
    return b"".join(gulps)


def _summary(name: str, times: Times) -> Row:
    pairs = zip(times.fastapi, times.sturdyapi, strict=True)
    ratios = [fastapi / sturdyapi for fastapi, sturdyapi in pairs]
    lower, middle, upper = quantiles(ratios, n=4)
    return Row(
        workload=name,
        fastapi=median(times.fastapi) / 1000,
        sturdyapi=median(times.sturdyapi) / 1000,
        ratio=middle,
        middle_half=(lower, upper),
        extremes=(min(ratios), max(ratios)),
    )


def _print_heading() -> None:
    print("CPU µs per request, in process; ratio FastAPI / SturdyAPI, target at least", TARGET)
    print(
        f"{'workload':10}{'FastAPI':>9}{'SturdyAPI':>11}{'ratio':>8}   middle half   min - max",
        flush=True,
    )


def _print_row(row: Row) -> None:
    print(
        f"{row.workload:10}{row.fastapi:9.1f}{row.sturdyapi:11.1f}{row.ratio:8.2f}   "
        f"{row.middle_half[0]:.2f} - {row.middle_half[1]:.2f}   "
        f"{row.extremes[0]:.2f} - {row.extremes[1]:.2f}",
        flush=True,
    )


def _print_profile(name: str, options: argparse.Namespace) -> None:
    result, _ = _run(name, options, "--profile")
    rows = [ProfileRow(**row) for row in result]
    print(f"{name}: own µs per request of each function; cProfile makes short ones look dear")
    print(f"{'extra':>7}{'SturdyAPI':>11}{'FastAPI':>9}{'calls':>8}  function")
    for row in rows[:_PROFILE_ROWS]:
        print(
            f"{row.sturdyapi - row.fastapi:7.2f}{row.sturdyapi:11.2f}{row.fastapi:9.2f}"
            f"{row.calls:8.1f}  {row.function}"
        )


if __name__ == "__main__":
    main()
