"""`sturdyapi env`: the template for `.env`, and what is wrong with `.env`."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .parameters import AppDir  # noqa: TC001 - typer reads the annotations

if TYPE_CHECKING:
    from sturdyapi.settings import BaseSettings

__all__ = ["EXAMPLES", "env"]

EXAMPLES = """\
sturdyapi env                             print the template
sturdyapi env main:app --write            write it to .env.example
sturdyapi env --check                     for CI and before a commit
sturdyapi env shop.settings:Settings      name the settings, not the app"""


def env(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="TARGET",
            help="The app or its settings: main:app, main.py, or shop.settings:Settings. "
            "Looked for if not named.",
        ),
    ] = None,
    *,
    write: Annotated[
        bool, typer.Option("--write", help="Write .env.example. Never touches .env.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Say what is wrong with .env.example and .env.")
    ] = False,
    app_dir: AppDir = Path(),
) -> None:
    """Print or write .env.example, or check it and .env.

    .env.example is the template for .env: every setting of the app with its meaning and its
    default, and no secret. The environment does not have to be complete for it.

    --check prints a line for everything that is wrong, never a value, and ends with exit code 1:
    .env.example is out of date; .env has a name that is no setting, has it twice, or still has
    the placeholder of an example for a secret; git tracks .env, or does not ignore it; the
    settings can't be loaded. What is missing counts only where there is a .env.
    """
    if write and check:
        raise typer.BadParameter(
            "not together with --check; write first, then check.", param_hint="'--write'"
        )
    # Here, since it brings in Pydantic, for which `sturdyapi --help` would wait.
    from .settings_class import settings_class_of  # noqa: PLC0415

    settings_class = settings_class_of(target, folder=app_dir)
    if write:
        _write(settings_class)
    elif check:
        _check(settings_class)
    else:
        typer.echo(settings_class.env_example(), nl=False)


def _write(settings_class: type[BaseSettings]) -> None:
    # As above.
    from sturdyapi.settings.dotenv_check import shown_path  # noqa: PLC0415
    from sturdyapi.settings.example_file import ExampleFile  # noqa: PLC0415

    file = ExampleFile(settings_class)
    outcome, dropped = file.write()
    typer.echo(f"{shown_path(file.path)}: {outcome}")
    if dropped:
        typer.echo(f"Left out, being no setting: {', '.join(dropped)}", err=True)


def _check(settings_class: type[BaseSettings]) -> None:
    # As above.
    from sturdyapi.settings.dotenv_check import check_env_files  # noqa: PLC0415

    from .settings_class import loaded_classes  # noqa: PLC0415

    others = [each for each in loaded_classes() if not issubclass(settings_class, each)]
    with redirect_stdout(sys.stderr):
        findings, notes = check_env_files(settings_class, others=others)
    for finding in findings:
        typer.echo(str(finding))
    for note in notes:
        typer.echo(note, err=True)
    if findings:
        raise typer.Exit(1)
    typer.echo(f"{settings_class.__name__}: nothing is wrong")
