"""A pytest plugin that writes how each test ended to a JSON file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    import pytest


class Outcome(TypedDict):
    """How one test ended."""

    result: str
    """`passed`, `failed`, `error`, `skipped`, `xfailed` or `xpassed`."""
    seconds: float
    text: str
    """Of the failure, else empty."""


_outcomes: dict[str, Outcome] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note one of the three phases of a test: set-up, call, tear-down."""
    outcome = _outcomes.setdefault(report.nodeid, {"result": "passed", "seconds": 0.0, "text": ""})
    outcome["seconds"] += report.duration
    result = _result(report)
    if result != "passed":
        outcome["result"] = result
        outcome["text"] += report.longreprtext


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Note a file that can't be collected, or skips itself, as one test."""
    if not report.passed:
        result = "error" if report.failed else "skipped"
        _outcomes[report.nodeid] = {"result": result, "seconds": 0.0, "text": report.longreprtext}


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the file; the workers of pytest-xdist leave that to the process that started them."""
    if not hasattr(session.config, "workerinput"):
        Path(os.environ["PEER_SUITES_OUTCOMES"]).write_text(json.dumps(_outcomes, indent=0))


def _result(report: pytest.TestReport) -> str:
    if hasattr(report, "wasxfail"):
        return "xpassed" if report.passed else "xfailed"
    if report.failed and report.when != "call":
        return "error"
    return report.outcome
