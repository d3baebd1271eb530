"""What several commands ask for, in the same words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["App", "AppDir"]

App = Annotated[
    str | None,
    typer.Argument(metavar="APP", help="The app: main:app, or main.py. Looked for if not named."),
]
"""Name of an app, for `load_app()`."""

AppDir = Annotated[
    Path,
    typer.Option(
        metavar="DIR", exists=True, file_okay=False, help="Where the app is imported from."
    ),
]
"""Folder in which the looking begins."""
