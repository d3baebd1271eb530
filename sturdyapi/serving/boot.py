"""When workers that end before they served mean that the service can't start."""

from __future__ import annotations

__all__ = ["BootWatch"]

_TRIES = 3
"""A replacement may be killed once or twice, such as for want of memory."""


class BootWatch:
    """Counts the workers that ended before they were ready.

    Until all workers have served, one is enough: what keeps it from starting would keep the next
    one. Later a worker is replaced, since others serve, but not for ever.
    """

    def __init__(self) -> None:
        self._is_complete = False
        self._failures = 0

    def all_are_ready(self) -> None:
        """Note that every worker serves."""
        self._is_complete = True
        self._failures = 0

    def must_stop(self) -> bool:
        """Note that a worker ended before it was ready; tell whether to give up."""
        self._failures += 1
        return not self._is_complete or self._failures >= _TRIES
