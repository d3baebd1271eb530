"""The command line: its commands, and what becomes of their errors."""

from __future__ import annotations

import sys
from textwrap import indent
from typing import TYPE_CHECKING, Annotated

import typer

from sturdyapi import __version__
from sturdyapi.exceptions import EX_CONFIG, SettingsError, SturdyError

from . import env, routes, run

if TYPE_CHECKING:
    from collections.abc import Callable

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


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - the form that typer calls
    if wanted:
        typer.echo(f"sturdyapi {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_show_version, help="Show the version and end."
        ),
    ] = False,
) -> None:
    pass


def _register(command: Callable[..., None], *, examples: str) -> None:
    """Make a function a command; its docstring is the help, with the examples below it."""
    # \b: lines stay as they are.
    app.command(epilog=f"\b\nExamples:\n{indent(examples, '  ')}")(command)


_register(run.run, examples=run.EXAMPLES)
_register(env.env, examples=env.EXAMPLES)
_register(routes.routes, examples=routes.EXAMPLES)


def run_command_line() -> None:
    """Run the command that the arguments of this process name; ends the process.

    An error of ours is one message on stderr, without a traceback.
    """
    try:
        # By its name also where it runs as `python -m sturdyapi`.
        app(prog_name="sturdyapi")
    except SturdyError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(exit_code_of(error))


def exit_code_of(error: SturdyError) -> int:
    """Return the exit code of a command that ends with an error of ours."""
    if isinstance(error, SettingsError):
        return EX_CONFIG
    return getattr(error, "exit_code", 2)
