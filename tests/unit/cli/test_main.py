"""The command line as a whole."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sturdyapi import __version__
from sturdyapi.cli.main import exit_code_of
from sturdyapi.exceptions import (
    AppLoadError,
    AppNotFoundError,
    ConfigurationError,
    SettingProblem,
    SettingsError,
    SturdyError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    Command = Callable[..., Any]

SCRIPT = Path(sys.executable).parent / "sturdyapi"


def python(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )


# What it says.


def test_help_names_commands_and_exit_codes(command: Command) -> None:
    """`--help` lists the commands and what the exit codes mean."""
    ended = command("--help")
    assert ended.code == 0
    assert ended.out.startswith("Usage: sturdyapi [OPTIONS] COMMAND [ARGS]...\n")
    assert "\n  routes  List the routes of an app" in ended.out
    assert "Exit codes: 0 done, 1 something was found, 2 the command line is wrong" in ended.out


def test_help_is_plain_text(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """No colours and no boxes, also where they are asked for."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    out = command("routes", "--help").out
    assert "\x1b" not in out
    assert out.isascii()


def test_help_of_a_command_ends_with_examples(command: Command) -> None:
    """Each example has a line of its own, which is not wrapped."""
    *_, head, first, second, third = command("routes", "--help").out.splitlines()
    assert head == "  Examples:"
    assert first == "    sturdyapi routes"
    assert second == "    sturdyapi routes shop.main:app --app-dir src"
    assert third.startswith("    sturdyapi routes --json | jq ")


def test_version(command: Command) -> None:
    """`--version` names the installed version."""
    assert command("--version") == (0, f"sturdyapi {__version__}\n", "")


def test_no_command_shows_the_help_and_exits_2(command: Command) -> None:
    """Without a command, the help is shown, and a script notices."""
    ended = command()
    assert ended.code == 2
    assert "Commands:" in ended.out + ended.err


def test_an_unknown_command_exits_2(command: Command) -> None:
    """A command that is not there is told with the one that was meant."""
    ended = command("rotues")
    assert ended.code == 2
    assert "No such command 'rotues'. Did you mean 'routes'?" in ended.err


def test_it_is_a_module_too() -> None:
    """`python -m sturdyapi` is the same command, by the same name."""
    done = subprocess.run(
        [sys.executable, "-m", "sturdyapi", "routes", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("Usage: sturdyapi routes [OPTIONS] [APP]\n")


# What becomes of errors.


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingsError("Settings", [SettingProblem("PORT", "is wrong", "a number")]), 78),
        (AppLoadError("main", "1 / 0"), 3),
        (AppNotFoundError("There is no app."), 2),
        (ConfigurationError("x= is wrong"), 2),
        (SturdyError("x"), 2),
    ],
)
def test_an_error_has_its_exit_code(error: SturdyError, code: int) -> None:
    """Settings are 78, a start that fails is 3, everything else is the command line's fault."""
    assert exit_code_of(error) == code


def test_without_typer_the_extra_is_named() -> None:
    """Where the package of the command line is missing, one line says what installs it."""
    done = python("import sys; sys.modules['typer'] = None; from sturdyapi.cli import main; main()")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "The command sturdyapi needs the package 'typer', which is not installed. "
        "Install it with: pip install 'sturdyapi[standard]'\n"
    )


def test_help_does_not_wait_for_fastapi() -> None:
    """`sturdyapi --help`, and so completion, loads neither FastAPI nor Pydantic."""
    done = python(
        """
import sys
from sturdyapi.cli import main
sys.argv = ["sturdyapi", "--help"]
try:
    main()
except SystemExit:
    print("loaded:", sorted({"fastapi", "pydantic", "starlette", "uvicorn"} & {*sys.modules}))
"""
    )
    assert done.stdout.splitlines()[-1] == "loaded: []"


# Completion.


def completed(*words: str) -> list[str]:
    """Return what a shell offers for the last word."""
    asked = {
        "_STURDYAPI_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    done = subprocess.run(
        [SCRIPT], env={**os.environ, **asked}, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["sturdyapi", "ru"], ["run"]),
        (["sturdyapi", "rou"], ["routes"]),
        (["sturdyapi", "routes", "--j"], ["--json"]),
        (["sturdyapi", "nothing"], []),
    ],
)
def test_commands_and_options_are_completed(words: list[str], offered: list[str]) -> None:
    """A shell that asks by the environment gets the names that fit."""
    assert completed(*words) == offered


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes_with_what_is_shown() -> None:
    """What `--show-completion` prints in bash is a function that completes."""
    program = f"""
        export PATH={SCRIPT.parent}:$PATH
        eval "$(sturdyapi --show-completion)"
        complete -p sturdyapi
        COMP_WORDS=(sturdyapi ru) COMP_CWORD=1
        _sturdyapi_completion sturdyapi
        echo "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "complete -o default -F _sturdyapi_completion sturdyapi",
        "run",
    ]
