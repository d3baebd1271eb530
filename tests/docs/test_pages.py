"""The code on the pages runs, and what the pages say of the code is true."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sturdyapi.app import AppOptions, SturdyAPI
from sturdyapi.fastapi_options import FastAPIOptions

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAMS = [
    pytest.param(program, id=f"{page.relative_to(ROOT)}:{position}")
    for page in PAGES
    for position, program in enumerate(
        re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL), 1
    )
]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_on_a_page_runs(program: str, tmp_path: Path) -> None:
    """Every program on a page runs as it stands."""
    if "from main import app" in program:
        quickstart = (ROOT / "docs/quickstart.md").read_text()
        main = re.findall(r"^```python\n(.*?)^```", quickstart, re.MULTILINE | re.DOTALL)[0]
        (tmp_path / "main.py").write_text(main)
    (tmp_path / "program.py").write_text(program)
    environment = {**os.environ, "FASTAPI_ENV": "testing"}
    command = [sys.executable, "-W", "error", "program.py"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_keyword_is_in_the_table_with_its_default() -> None:
    """The table of `create_app()` lists every keyword with its default."""
    rows = re.findall(
        r"^\| `(\w+)` \|[^|]*\|[^|]*\| `([^`]*)` \|",
        (ROOT / "docs/reference/create-app.md").read_text(),
        re.MULTILINE,
    )
    parameters = inspect.signature(SturdyAPI.__init__).parameters
    defaults = {
        name: _shown(parameter.default)
        for name, parameter in parameters.items()
        if name not in {"self", "fastapi"}
    }
    assert dict(rows) == defaults


def test_type_checkers_know_the_keywords_that_the_app_takes() -> None:
    """`create_app()` and `SturdyAPI` take the same keywords."""
    own = AppOptions.__annotations__.keys() - FastAPIOptions.__annotations__.keys()
    parameters = inspect.signature(SturdyAPI.__init__).parameters
    assert own == parameters.keys() - {"self", "settings", "fastapi"}


def _shown(default: object) -> str:
    if isinstance(default, type):
        return default.__name__
    return f'"{default}"' if isinstance(default, str) else repr(default)


def test_pages_that_are_made_from_code_are_up_to_date() -> None:
    """The pages of the settings and of the commands say what fields and `--help` say."""
    command = [sys.executable, str(ROOT / "scripts/generate-docs"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_difference_names_a_test_that_exists() -> None:
    """Each difference from FastAPI is shown by a test."""
    page = (ROOT / "docs/differences.md").read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", page)
    assert len(named) > 15
    missing = [
        f"{path}::{name}" for path, name in named if f"def {name}(" not in (ROOT / path).read_text()
    ]
    assert not missing
