"""The command `sturdyapi`: one module a command; `main` brings them together."""

from __future__ import annotations

from sturdyapi._extras import needs_extra

__all__ = ["main"]


def main() -> None:
    """Run the command line of this process, and end the process."""
    with needs_extra("The command sturdyapi", "standard", package="typer"):
        import typer  # noqa: F401, PLC0415 - the rest of the package works without
    from .main import run_command_line  # noqa: PLC0415

    run_command_line()
