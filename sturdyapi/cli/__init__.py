"""The command `sturdyapi`: one module a command; `main` brings them together."""

from __future__ import annotations

import sys

from sturdyapi._extras import needs_extra
from sturdyapi.exceptions import MissingExtraError

__all__ = ["main"]


def main() -> None:
    """Run the command line of this process, and end the process."""
    try:
        with needs_extra("The command sturdyapi", "standard", package="typer"):
            import typer  # noqa: F401, PLC0415 - the rest of the package works without
    except MissingExtraError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    from .main import run_command_line  # noqa: PLC0415

    run_command_line()
