"""`sturdyapi run`: serve an app in production."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["run"]


def run(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="[APP]", help="The app: main:app, or main.py. Looked for if not named."
        ),
    ] = None,
) -> None:
    """Serve an app in production."""
    raise NotImplementedError(target)
