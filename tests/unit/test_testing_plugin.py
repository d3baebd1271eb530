"""The pytest plugin: tests run in the environment that the ini file names."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytest_plugins = ["pytester"]

SEES = """
import os
seen_at_import = os.environ.get("FASTAPI_ENV"), os.environ.get("ENVIRONMENT")

def test_environment():
    assert seen_at_import == {expected}
    assert (os.environ.get("FASTAPI_ENV"), os.environ.get("ENVIRONMENT")) == {expected}
"""


@pytest.fixture
def run(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], pytest.RunResult]:
    """Run a test file in this process, which expects the given environment."""
    monkeypatch.delenv("FASTAPI_ENV", raising=False)
    monkeypatch.delenv("ENVIRONMENT", raising=False)
    # Other plugins would be imported anew for each run.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run_session(expected: str) -> pytest.RunResult:
        pytester.makepyfile(SEES.format(expected=expected))
        return pytester.runpytest_inprocess("-p", "sturdyapi.testing.plugin")

    return run_session


def test_environment_is_set_before_collection(
    pytester: pytest.Pytester, run: Callable[[str], pytest.RunResult]
) -> None:
    """A module that makes an app when it is imported sees the environment of the ini file."""
    pytester.makeini("[pytest]\nsturdyapi_environment = testing\n")
    run("('testing', None)").assert_outcomes(passed=1)


def test_environment_is_set_before_the_first_conftest(
    pytester: pytest.Pytester, run: Callable[[str], pytest.RunResult]
) -> None:
    """A `conftest.py` that imports the app sees it too."""
    pytester.makeini("[pytest]\nsturdyapi_environment = testing\n")
    pytester.makeconftest("import os\nassert os.environ['FASTAPI_ENV'] == 'testing'\n")
    run("('testing', None)").assert_outcomes(passed=1)


def test_environment_of_the_developer_gives_way(
    pytester: pytest.Pytester,
    run: Callable[[str], pytest.RunResult],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the developer's shell says does not reach the tests, and is back afterwards."""
    monkeypatch.setenv("FASTAPI_ENV", "production")
    monkeypatch.setenv("ENVIRONMENT", "staging")
    pytester.makeini("[pytest]\nsturdyapi_environment = testing\n")
    run("('testing', None)").assert_outcomes(passed=1)
    assert (os.environ["FASTAPI_ENV"], os.environ["ENVIRONMENT"]) == ("production", "staging")


def test_environment_is_unset_afterwards(
    pytester: pytest.Pytester, run: Callable[[str], pytest.RunResult]
) -> None:
    """What was not set before is not set after."""
    pytester.makeini("[pytest]\nsturdyapi_environment = testing\n")
    run("('testing', None)")
    assert "FASTAPI_ENV" not in os.environ


def test_environment_is_left_alone_without_the_option(
    run: Callable[[str], pytest.RunResult],
) -> None:
    """Being installed does nothing: without the option no variable changes."""
    run("(None, None)").assert_outcomes(passed=1)


def test_this_suite_runs_in_testing() -> None:
    """The option of this repository's own ini file is in force."""
    assert os.environ["FASTAPI_ENV"] == "testing"


def test_plugin_costs_no_import() -> None:
    """The plugin is loaded by every pytest run of the machine, so it imports pytest only."""
    code = (
        "import pytest, sys; before = set(sys.modules)\n"
        "import sturdyapi.testing.plugin\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "assert new <= {'sturdyapi'}, new\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
