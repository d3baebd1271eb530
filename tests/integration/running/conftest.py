"""Processes of `sturdyapi run`, and the figures of a run of the tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.servers.load import FIGURES
from tests.servers.running import SERVERS, Kind, Running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(params=SERVERS)
def name(request: pytest.FixtureRequest) -> str:
    """Name of a server of the matrix."""
    return str(request.param)


@pytest.fixture
def kind(name: str) -> Kind:
    """Return a server of the matrix."""
    return SERVERS[name]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start processes, as `Running()` does, that are killed at the end with all below them."""
    processes: list[Running] = []

    def start(kind: Kind, *arguments: str, **options: Any) -> Running:
        processes.append(Running(tmp_path, kind, *arguments, **options))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the figures, of the tests that have passed too."""
    rows = [
        str(value).split("|")
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        for key, value in report.user_properties
        if key == FIGURES
    ]
    if rows:
        terminalreporter.section("requests during a restart")
        terminalreporter.write_line(f"{'':19} {'server':16}   sent accepted refused failed")
        for what, server, counts in rows:
            terminalreporter.write_line(f"{what:19} {server:16} {counts}")
