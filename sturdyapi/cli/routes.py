"""`sturdyapi routes`: what an app serves, and what stands in front of it."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["EXAMPLES", "routes"]

EXAMPLES = """\
sturdyapi routes
"""


def routes(
    target: Annotated[str | None, typer.Argument(metavar="APP", help="The app.")] = None,
) -> None:
    """List every route of an app."""
    raise NotImplementedError(target)
