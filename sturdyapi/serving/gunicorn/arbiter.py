"""What Gunicorn's parent process does in other ways: its hooks."""

from __future__ import annotations

import signal
import sys
from logging import getLogger
from typing import TYPE_CHECKING, Any

from gunicorn.errors import HaltServer

from sturdyapi.exceptions import EX_SIGNALLED, EX_START
from sturdyapi.serving.boot import BootWatch

if TYPE_CHECKING:
    from types import FrameType

    from .workers import DrainWorker

__all__ = ["Stewardship"]

_log = getLogger("sturdyapi.serving")


class Stewardship:
    """Hooks of one arbiter: a start that fails ends, and a second signal does not wait."""

    def __init__(self) -> None:
        self._boots = BootWatch()
        self._signals: list[int] = []
        self._is_halting = False
        self._arbiter: Any = None

    def when_ready(self, arbiter: Any) -> None:
        """Take over the signals that stop the server; Gunicorn has set its own by now."""
        self._arbiter = arbiter
        for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(sig, self._note)

    def child_exit(self, arbiter: Any, worker: DrainWorker) -> None:
        """Decide whether a worker that ended is replaced.

        Raises:
            HaltServer: It could not start, and neither would its replacement.
        """
        if self._is_halting or self._signals:
            return
        if (
            all(each.shared.is_ready for each in arbiter.WORKERS.values())
            and worker.shared.is_ready
        ):
            self._boots.all_are_ready()
        if worker.shared.failure or (not worker.shared.is_ready and self._boots.must_stop()):
            self._is_halting = True
            raise HaltServer("A worker can't start", worker.shared.failure or EX_START)

    def on_exit(self, arbiter: Any) -> None:
        """End with the code of a stop that was cut short."""
        del arbiter
        if len(self._signals) > 1:
            sys.exit(EX_SIGNALLED + self._signals[-1])

    def _note(self, sig: int, frame: FrameType | None) -> None:
        """Stop as SIGTERM says, whichever signal it is; at the second, at once."""
        self._signals.append(sig)
        for worker in self._arbiter.WORKERS.values():
            worker.shared.leaves_service = True
        is_first = len(self._signals) == 1
        self._arbiter.signal(signal.SIGTERM if is_first else signal.SIGQUIT, frame)
