"""The command line: its commands, and what becomes of their errors."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from sturdyapi import __version__
from sturdyapi.exceptions import EX_CONFIG, SettingsError, SturdyError

from .run import run

__all__ = ["app", "run_command_line"]

EXIT_CODES = """\
Exit codes: 0 done, 1 something was found, 2 the command line is wrong, 3 the app or its server
can't start, 78 the settings are wrong, 128 + n cut short by signal n."""

app = typer.Typer(
    name="sturdyapi",
    help=f"Run and inspect FastAPI services.\n\n{EXIT_CODES}",
    no_args_is_help=True,
    # Plain text: the same on a terminal, in a log and on the page that is made from it.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _show_version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(f"sturdyapi {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    *,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    _show_version(wanted=version)


app.command()(run)


def run_command_line() -> None:
    """Run the command that the arguments of this process name; ends the process.

    An error of ours is one message on stderr, without a traceback.
    """
    try:
        app()
    except SturdyError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(exit_code_of(error))


def exit_code_of(error: SturdyError) -> int:
    """Return the exit code of a command that ends with an error of ours."""
    if isinstance(error, SettingsError):
        return EX_CONFIG
    return getattr(error, "exit_code", 2)
