"""Every command has all that belongs to one."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer

from sturdyapi.cli.main import app

ROOT = Path(__file__).parents[2]
CLI = ROOT / "sturdyapi/cli"
GROUP: Any = typer.main.get_command(app)
COMMANDS = sorted(GROUP.commands)
MODULES = sorted(path.stem for path in CLI.iterdir() if not path.name.startswith((".", "_")))


def test_exactly_the_modules_with_a_command_are_registered() -> None:
    """A module of `sturdyapi.cli` with a function of its own name is a command, and no other."""
    modules = {name: import_module(f"sturdyapi.cli.{name}") for name in MODULES}
    assert [name for name, module in modules.items() if hasattr(module, name)] == COMMANDS
    for name in COMMANDS:
        assert GROUP.commands[name].callback.__module__ == f"sturdyapi.cli.{name}"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_its_section_on_the_page(name: str) -> None:
    """The page of the commands, which is made from `--help`, has a section for each."""
    page = (ROOT / "docs/reference/commands.md").read_text()
    assert f"\n## sturdyapi {name}\n\n```text\nUsage: sturdyapi {name} " in page
    assert "reference/commands.md" in (ROOT / "mkdocs.yml").read_text()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_has_examples(name: str) -> None:
    """The help ends with examples, each of which is a call of the command."""
    examples = import_module(f"sturdyapi.cli.{name}").EXAMPLES.splitlines()
    assert examples
    assert all(line.startswith(f"sturdyapi {name}") for line in examples)
    shown = [f"    {line}" for line in examples]
    help_text: str = GROUP.commands[name].get_help(typer.Context(GROUP.commands[name]))
    assert help_text.splitlines()[-len(examples) :] == shown


@pytest.mark.parametrize("name", COMMANDS)
def test_the_exit_codes_of_a_command_are_tested(name: str) -> None:
    """The tests of each command expect an exit code that is not 0."""
    files = [*(ROOT / "tests/unit/cli").glob(f"test_{name}*.py")]
    expected = re.compile(r"code\b.*== \(?(1|2|3|78)\b")
    assert any(expected.search(file.read_text()) for file in files)


@pytest.mark.parametrize("name", COMMANDS)
def test_an_option_says_what_it_does(name: str) -> None:
    """Every argument and every option has a help text of its own, which is a sentence."""
    for parameter in GROUP.commands[name].params:
        assert (parameter.help or "").rstrip(" ").endswith((".", "?")), parameter.name
