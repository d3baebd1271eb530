"""Every adapter has all that belongs to one."""

from __future__ import annotations

import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from sturdyapi.resources import Adapter
from tests.contract.registry import HARNESSES

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    path.stem
    for path in (ROOT / "sturdyapi/contrib").iterdir()
    if not path.name.startswith((".", "_")) and (path.suffix == ".py" or path.is_dir())
)


def _has_adapter(name: str) -> bool:
    module = import_module(f"sturdyapi.contrib.{name}")
    public = [getattr(module, each) for each in module.__all__]
    return any(isinstance(each, type) and issubclass(each, Adapter) for each in public)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_has_an_extra(name: str) -> None:
    """`pip install 'sturdyapi[NAME]'` brings what the module of that name needs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert name in project["optional-dependencies"]


@pytest.mark.parametrize("name", MODULES)
def test_a_module_has_a_page_that_the_site_shows(name: str) -> None:
    """The navigation, and the list of all modules, lead to the page of each."""
    assert (ROOT / f"docs/contrib/{name}.md").exists()
    assert f"contrib/{name}.md" in (ROOT / "mkdocs.yml").read_text()
    assert f"| [`{name}`]({name}.md) |" in (ROOT / "docs/contrib/index.md").read_text()


def test_exactly_the_adapters_are_held_to_the_contract() -> None:
    """The contract suite runs for every module that has an adapter."""
    assert HARNESSES.keys() == set(filter(_has_adapter, MODULES))
