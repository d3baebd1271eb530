"""What an import says when a package is missing."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from sturdyapi._extras import needs_extra
from sturdyapi.exceptions import MissingExtraError


def _import(module: str) -> Any:
    with needs_extra("sturdyapi.contrib.ducks", "ducks", package="no_such_ducks"):
        return import_module(module)


def test_a_missing_package_is_told_with_its_extra() -> None:
    """An import without its package raises an error with the line that installs it."""
    with pytest.raises(MissingExtraError, match=r"pip install 'sturdyapi\[ducks\]'"):
        _import("no_such_ducks")


def test_a_broken_install_keeps_its_own_error() -> None:
    """A package that is there but lacks something raises what Python says."""
    with pytest.raises(ModuleNotFoundError, match="no_such_pond") as caught:
        _import("no_such_pond")
    assert not isinstance(caught.value, MissingExtraError)


def test_what_is_installed_is_imported() -> None:
    """With its package an import is like any other."""
    assert _import("json").loads("1") == 1


@pytest.mark.parametrize(("module", "extra"), [("postgres", "postgres")])
def test_an_adapter_without_its_package_names_its_extra(
    module: str, extra: str, tmp_path: Path
) -> None:
    """Importing an adapter whose package is not there names the extra that brings it."""
    program = f"import sys\nsys.modules['asyncpg'] = None\nimport sturdyapi.contrib.{module}\n"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 1
    assert f"pip install 'sturdyapi[{extra}]'" in done.stderr.splitlines()[-1]
