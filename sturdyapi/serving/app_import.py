"""The import of the app in a process that is to serve it."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from logging import getLogger
from typing import TYPE_CHECKING, NoReturn

from sturdyapi.exceptions import EX_CONFIG, EX_START, SettingsError
from sturdyapi.log.setup import unconfigure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .server_log import ServerLog

__all__ = ["importing_app"]

_log = getLogger("sturdyapi.serving")


@contextmanager
def importing_app(server_log: ServerLog | None, *expected: type[Exception]) -> Iterator[None]:
    """Leave logging to the app that the block imports; an import that fails ends the process.

    What is wrong is one message, with exit code 78 for settings and 3 for all else.

    Args:
        server_log: For the lines of an app that has none of its own.
        *expected: Errors of the server's importer, which say by themselves what is wrong.
    """
    unconfigure()
    try:
        yield
    except SettingsError as error:
        _end_with(str(error), EX_CONFIG)
    except expected as error:
        _end_with(str(error), EX_START)
    except Exception:  # noqa: BLE001 - of the user's; it is logged
        _begin(server_log)
        _log.exception("The app can't be imported")
        sys.exit(EX_START)
    _begin(server_log)


def _begin(server_log: ServerLog | None) -> None:
    if server_log is not None:
        server_log.begin()


def _end_with(message: str, exit_code: int) -> NoReturn:
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()
    sys.exit(exit_code)
