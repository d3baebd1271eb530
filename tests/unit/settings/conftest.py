"""What the tests of the settings share."""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING, Any

import pytest

from sturdyapi.exceptions import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sturdyapi.settings import BaseSettings


@pytest.fixture(autouse=True)
def bare_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """A process in an empty folder, without variables of ours and without our excepthook."""
    # The classes of the test belong to no project, so that a `.env` of this one is not read.
    monkeypatch.setattr(request.module, "__file__", str(tmp_path / "test.py"))
    for name in ("FASTAPI_ENV", "ENVIRONMENT", "SECRETS_DIR", "LOG_LEVEL", "PORT", "WORKERS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)


@pytest.fixture
def set_env(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set variables of the environment by keyword."""

    def set_all(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_all


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder with a `pyproject.toml`, which is not the working directory."""
    root = tmp_path / "project"
    (root / "src" / "shop").mkdir(parents=True)
    (root / "pyproject.toml").write_text("")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    return root


@pytest.fixture
def settings_in(project: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Return the class `Settings` of a module that lies in the project."""

    def make(body: str) -> Any:
        file = project / "src" / "shop" / "config.py"
        file.write_text(
            "from pydantic import SecretStr\n"
            "from pydantic_settings import SettingsConfigDict\n"
            "from sturdyapi.settings import BaseSettings, Dsn\n"
            f"class Settings(BaseSettings):\n    {body}\n"
        )
        spec = importlib.util.spec_from_file_location("shop_config", file)
        if spec is None or spec.loader is None:
            raise ImportError(file)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "shop_config", module)
        spec.loader.exec_module(module)
        return module.Settings

    return make


@pytest.fixture
def report_of() -> Callable[..., dict[str, str]]:
    """Load settings that must fail, and return the report by variable."""

    def load(settings_class: type[BaseSettings], **values: Any) -> dict[str, str]:
        with pytest.raises(SettingsError) as caught:
            settings_class(**values)
        return {
            problem.variable: f"{problem.problem}; expected {problem.expected}"
            for problem in caught.value.problems
        }

    return load
