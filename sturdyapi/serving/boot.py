"""When workers that end before they served mean that the service can't start."""

from __future__ import annotations

__all__ = ["BootWatch", "how_it_ended"]


class BootWatch:
    """Decides whether a worker that ended before it was ready is replaced.

    Until all workers have served, it is not: what kept it from starting would keep the next one.
    After that it is, as long as others serve: what it needs may be away for a moment, and is no
    reason to end those.
    """

    def __init__(self) -> None:
        self._is_complete = False

    def all_are_ready(self) -> None:
        """Note that every worker serves."""
        self._is_complete = True

    def must_stop(self, *, others_serve: bool) -> bool:
        """Tell whether to give up, since a worker has ended that never served."""
        return not (self._is_complete and others_serve)


def how_it_ended(exit_code: int | None) -> str:
    """Return words for the exit code of a process, which is negative for a signal."""
    code = exit_code or 0
    return f"signal {-code}" if code < 0 else f"exit code {code}"
