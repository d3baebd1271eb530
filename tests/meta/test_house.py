"""The house keeps its own rules."""

from __future__ import annotations

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
PUBLIC_MODULES = sorted(
    path
    for path in (ROOT / "sturdyapi").rglob("*.py")
    if not path.name.startswith("_") or path.parent == ROOT / "sturdyapi"
)


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_test_says_what_it_shows(path: Path) -> None:
    """Every test has a docstring of one sentence."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, functions) and node.name.startswith("test_"):
            docstring = ast.get_docstring(node) or ""
            assert docstring.endswith((".", "?")), f"{path.name}: {node.name} has no sentence"


@pytest.mark.parametrize("path", PUBLIC_MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_it_is_for(path: Path) -> None:
    """Every module starts with a docstring."""
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.heavy
def test_the_wheel_carries_types_assets_and_licenses(tmp_path: Path) -> None:
    """The built wheel has `py.typed`, Swagger UI, and the licenses of both."""
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    subprocess.run([*pip, "-w", str(tmp_path), str(ROOT)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "sturdyapi/py.typed",
        "sturdyapi/apidocs/assets/LICENSE",
        "sturdyapi/apidocs/assets/NOTICE",
        "sturdyapi/apidocs/assets/swagger-ui-bundle.js",
        "sturdyapi/apidocs/assets/swagger-ui.css",
    } <= names
    assert not any(name.startswith("tests/") for name in names)
