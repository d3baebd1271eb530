"""The options of a server's own command line, read without running it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["read_options"]


def read_options(
    command: click.Command, name: str, arguments: Sequence[str], *, refused: Mapping[str, str]
) -> click.Context:
    """Return the options with their values; ends the process where the command would.

    Args:
        command: The server's.
        name: For its messages.
        arguments: Of the command line.
        refused: Options that are not on offer here, and why.
    """
    try:
        context = command.make_context(name, [*arguments])
        for option, reason in refused.items():
            if context.get_parameter_source(option) != ParameterSource.DEFAULT:
                shown = "--" + option.replace("_", "-")
                raise click.UsageError(f"{shown} is not on offer here: {reason}.", context)
    except click.exceptions.Exit as ended:
        sys.exit(ended.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    return context
