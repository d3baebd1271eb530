"""Who called."""

from __future__ import annotations

import sys

__all__ = ["is_called_from"]


def is_called_from(module: str) -> bool:
    """Return whether a function of the module is among the callers."""
    frame = sys._getframe()  # noqa: SLF001 - documented, in spite of its name
    while (caller := frame.f_back) is not None:
        if caller.f_globals.get("__name__") == module:
            return True
        frame = caller
    return False
