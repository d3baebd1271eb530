"""Runs a test session in the environment that the project's ini file names.

    [tool.pytest.ini_options]
    sturdyapi_environment = "testing"

`FASTAPI_ENV` is then set before the first `conftest.py` is imported, so that an app made at module
level sees it. Without the option nothing happens. Imports pytest only.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__: list[str] = []

_OPTION = "sturdyapi_environment"
_VARIABLES = ("FASTAPI_ENV", "ENVIRONMENT")
_is_applied = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Make the ini option known."""
    parser.addini(_OPTION, "FASTAPI_ENV of the test session, usually 'testing'", default="")


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Set the environment before a `conftest.py` can import the app."""
    _apply(early_config)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Set the environment if the plugin came too late for the first hook, from a `conftest.py`."""
    _apply(config)


def _apply(config: pytest.Config) -> None:
    environment = config.getini(_OPTION)
    if not environment or config.stash.get(_is_applied, False):
        return
    config.stash[_is_applied] = True
    before = {name: os.environ.get(name) for name in _VARIABLES}
    config.add_cleanup(lambda: _restore(before))
    os.environ["FASTAPI_ENV"] = environment
    # The developer's own ENVIRONMENT would contradict it, which the settings refuse.
    os.environ.pop("ENVIRONMENT", None)


def _restore(before: Mapping[str, str | None]) -> None:
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
