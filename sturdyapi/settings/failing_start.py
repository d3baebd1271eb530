"""A process that ends because of its settings prints the report alone and exits 78.

Nothing here runs, and nothing is changed in the process, before `load()` has failed.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from sturdyapi.exceptions import EX_CONFIG, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import TypeAlias

    ExceptHook: TypeAlias = Callable[
        [type[BaseException], BaseException, TracebackType | None], object
    ]

__all__ = ["report_failing_start"]

_UVICORN_STARTUP_FAILURE = 3
"""The one exit code at which `uvicorn --workers` does not start another worker."""
_LAST = -100
"""Priority of a finalizer: whatever else a process does at its end comes first."""


def report_failing_start(error: SettingsError) -> None:
    """Let the process end with the report of `error` alone, should nothing catch it.

    Another exception that ends the process is shown as it would have been before.
    """
    reporter = sys.excepthook
    if not isinstance(reporter, _Reporter):
        reporter = _Reporter(reporter)
        sys.excepthook = reporter
        _watch_child_process(reporter)
    reporter.error = error


class _Reporter:
    """A `sys.excepthook`, and its counterpart for the child processes of `multiprocessing`."""

    def __init__(self, previous: ExceptHook) -> None:
        self.error: SettingsError | None = None
        self._previous = previous

    def __call__(
        self, kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        if not isinstance(error, SettingsError):
            self._previous(kind, error, traceback)
            return
        _print_report(error)
        # The interpreter takes its exit code from here, and still runs what `atexit` holds.
        raise SystemExit(EX_CONFIG)

    def end_child_process(self) -> None:
        """End a child process whose target has let the error through.

        Such a process never calls `sys.excepthook`: it prints the traceback itself and exits 1.
        Up to Python 3.12 this runs before, and replaces it; from 3.13 on after, so that the
        traceback stays, with the report as its last lines, and only the exit code is ours.
        """
        error = sys.exc_info()[1]
        if isinstance(error, SettingsError):
            _print_report(error)
            raise SystemExit(_exit_code_of_child())
        if _was_fatal(self.error):
            _flush()
            os._exit(_exit_code_of_child())


def _watch_child_process(reporter: _Reporter) -> None:
    if "multiprocessing" not in sys.modules:
        return
    # Only where it is in use: it would be the slowest import of the settings.
    from multiprocessing import parent_process, util  # noqa: PLC0415

    if parent_process() is not None:
        util.Finalize(None, reporter.end_child_process, exitpriority=_LAST)


def _was_fatal(error: SettingsError | None) -> bool:
    """Return whether an error went up to the function that every child process starts in."""
    traceback = error.__traceback__ if error else None
    return traceback is not None and traceback.tb_frame.f_code.co_name == "_bootstrap"


def _exit_code_of_child() -> int:
    from multiprocessing import current_process  # noqa: PLC0415 - see above

    target = getattr(current_process(), "_target", None)
    is_of_uvicorn = getattr(target, "__module__", "") == "uvicorn._subprocess"
    # With any other code the supervisor would start the worker again, for ever.
    return _UVICORN_STARTUP_FAILURE if is_of_uvicorn else EX_CONFIG


def _print_report(error: SettingsError) -> None:
    if sys.stderr is not None:
        # One write: the workers of a server fail side by side.
        sys.stderr.write(f"{error}\n")
        _flush()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
