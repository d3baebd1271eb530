"""One run of one suite, in processes of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from .setup import CHECKOUT, unpack

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .recorder import Outcome
    from .setup import Workshop
    from .suites import Suite

_OTHERS_VARIABLES = ("COV", "ENVIRONMENT", "FASTAPI_", "LOGFIRE_", "OTEL_", "PYTEST_", "SENTRY_")
"""Variables of the caller that the suites, their plugins or our settings would read."""

_TIME_IS_UP = "TimeoutExpired"

Outcomes = dict[str, "Outcome"]


def baseline(workshop: Workshop, suite: Suite, workers: int, *, refresh: bool) -> Outcomes:
    """Return the outcomes on stock, from an earlier run in the same environment if there is one."""
    path = workshop.outcomes(suite, "stock")
    if refresh or not path.exists():
        _run_settled(workshop, suite, "stock", workers=workers)
    return _read(path)


def run_ours(
    workshop: Workshop, suite: Suite, workers: int, keyword: str | None, without: Iterable[str]
) -> Outcomes:
    """Return the outcomes with the stand-in."""
    options = ["-p", "peer_suites.swap"]
    if keyword is not None:
        options += ["-k", keyword]
    variables = {
        "PEER_SUITES_STAND_IN": suite.name,
        "PEER_SUITES_WITHOUT": ",".join(without),
    }
    _run_settled(
        workshop, suite, "sturdyapi", workers=workers, options=options, variables=variables
    )
    return _read(workshop.outcomes(suite, "sturdyapi"))


def _run_settled(
    workshop: Workshop,
    suite: Suite,
    side: str,
    *,
    workers: int,
    options: Sequence[str] = (),
    variables: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Run a suite, and once more, alone, the tests that a time limit of their own has ended.

    FastAPI's suite gives child processes 15 seconds, which a busy machine may not have. Nothing
    else is tried again: a test that passes the second time may have met what another one left.
    """
    _run(workshop, suite, side, [*options, *_pytest_options(workers)], variables)
    path = workshop.outcomes(suite, side)
    first = _read(path)
    late = [test for test, outcome in first.items() if _TIME_IS_UP in outcome["text"]]
    if late:
        print(f"  {len(late)} tests ran out of time and run again, alone", flush=True)
        _run(workshop, suite, side, [*options, *_pytest_options(0)], variables, tests=late)
        path.write_text(json.dumps(first | _read(path)))


def _pytest_options(workers: int) -> list[str]:
    # `loadgroup` is how FastAPI runs its own suite: some tests must share a process.
    spread = ["-n", str(workers), "--dist", "loadgroup"] if workers else ["-p", "no:xdist"]
    return ["-p", "peer_suites.recorder", "-p", "no:cacheprovider", "-q", "--tb=short", *spread]


def _run(
    workshop: Workshop,
    suite: Suite,
    side: str,
    options: Sequence[str],
    variables: Mapping[str, str],
    *,
    tests: Sequence[str] = ("tests",),
) -> None:
    path = workshop.outcomes(suite, side)
    path.unlink(missing_ok=True)
    scripts = Path(__file__).parents[1]
    source = unpack(workshop, suite)
    folders = [*(source / folder for folder in suite.python_path), scripts]
    if side != "stock":
        folders.append(scripts / "peer_suites" / "site")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(_OTHERS_VARIABLES)
    }
    environment |= variables
    environment["PYTHONPATH"] = os.pathsep.join(map(str, folders))
    environment["PEER_SUITES_OUTCOMES"] = str(path)
    environment["PEER_SUITES_CHECKOUT"] = str(CHECKOUT)
    log = workshop.log(suite, side)
    print(f"running {suite} ({side}), log in {log.relative_to(CHECKOUT)}", flush=True)
    with log.open("w") as output:
        subprocess.run(
            [workshop.python, "-m", "pytest", *options, *tests],
            cwd=source,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if not path.exists():
        sys.exit(f"pytest could not run {suite}:\n{log.read_text()[-3000:]}")


def _read(path: Path) -> Outcomes:
    outcomes: Outcomes = json.loads(path.read_text())
    return outcomes
