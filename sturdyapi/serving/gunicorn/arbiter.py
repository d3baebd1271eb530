"""What Gunicorn's parent process does in other ways: its hooks."""

from __future__ import annotations

import signal
import subprocess
import sys
from logging import getLogger
from threading import Thread
from typing import TYPE_CHECKING, Any

from gunicorn.errors import HaltServer

from sturdyapi.exceptions import EX_SIGNALLED, EX_START
from sturdyapi.serving.boot import BootWatch

if TYPE_CHECKING:
    from types import FrameType

    from .workers import DrainWorker

__all__ = ["Stewardship"]

_STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
_SIGNALS = (*_STOPPING, signal.SIGHUP)
_IMPORTED = "the app has been imported"
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
        for sig in _STOPPING:
            signal.signal(sig, self._note)
        signal.signal(signal.SIGHUP, self._check_new_code)

    def pre_fork(self, arbiter: Any, worker: DrainWorker) -> None:
        """Look whether the service is up; then this worker is a replacement, or one more."""
        del worker
        if arbiter.WORKERS and all(each.shared.is_ready for each in arbiter.WORKERS.values()):
            self._boots.all_are_ready()

    def child_exit(self, arbiter: Any, worker: DrainWorker) -> None:
        """Decide whether a worker that ended is replaced.

        Raises:
            HaltServer: It could not start, and neither would its replacement.
        """
        if self._is_halting or self._signals:
            return
        if worker.shared.is_ready:
            return
        others_serve = any(each.shared.is_ready for each in arbiter.WORKERS.values())
        if self._boots.must_stop(others_serve=others_serve):
            self._is_halting = True
            raise HaltServer("A worker can't start", worker.shared.failure or EX_START)

    def post_fork(self, arbiter: Any, worker: DrainWorker) -> None:
        """Give a worker that has no handlers yet the default ones: ours are the arbiter's."""
        del arbiter, worker
        for sig in _SIGNALS:
            signal.signal(sig, signal.SIG_DFL)

    def on_exit(self, arbiter: Any) -> None:
        """End with the code of a stop that was cut short."""
        del arbiter
        if len(self._signals) > 1:
            sys.exit(EX_SIGNALLED + self._signals[-1])

    def _check_new_code(self, sig: int, frame: FrameType | None) -> None:
        """Reload when the app can be imported: Gunicorn ends the old workers in any case."""
        del sig, frame
        Thread(target=self._reload_if_importable, daemon=True).start()

    def _reload_if_importable(self) -> None:
        # What it prints counts: Gunicorn may have taken its exit code.
        check = f"from gunicorn.util import import_app; import_app({self._arbiter.app.app_uri!r})"
        done = subprocess.run(  # noqa: S603 - this Python, and an app that is served already
            [sys.executable, "-c", f"{check}; print({_IMPORTED!r})"],
            capture_output=True,
            text=True,
            check=False,
        )
        if _IMPORTED in done.stdout:
            self._arbiter.signal(signal.SIGHUP, None)
            return
        reason = (done.stderr.strip() or "no reason told").splitlines()[-1]
        _log.error("The new code can't be imported (%s): the old workers stay", reason)

    def _note(self, sig: int, frame: FrameType | None) -> None:
        """Stop as SIGTERM says, whichever signal it is; at the second, at once."""
        self._signals.append(sig)
        for worker in self._arbiter.WORKERS.values():
            worker.shared.leaves_service = True
        is_first = len(self._signals) == 1
        self._arbiter.signal(signal.SIGTERM if is_first else signal.SIGQUIT, frame)
