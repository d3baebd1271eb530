"""Ends what a test run has started, also when the run itself was killed."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

GRACE_SECONDS = 3.0
"""Longest wait for a server that was asked to end."""


class Guard:
    """A process of its own that waits for the end of this one, then clears up.

    It sees that end as the end of its input, whatever the reason. So a server and its folder do
    not outlive an interrupted run.
    """

    def __init__(self, folder: Path, *, ask: signal.Signals = signal.SIGTERM) -> None:
        """Start it.

        Args:
            folder: Removed at the end.
            ask: Signal by which the server ends properly.
        """
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(folder), str(int(ask))],
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def watch(self, pid: int) -> None:
        """Answer for this process, and no more for the one before."""
        if self._process.stdin is not None:
            self._process.stdin.write(f"{pid}\n")
            self._process.stdin.flush()

    def end(self) -> None:
        """End the process that is watched, and everything below it; remove the folder."""
        self._process.communicate(timeout=10 * GRACE_SECONDS)


def processes_of(pid: int) -> list[psutil.Process]:
    """Return a process and all below it; nothing if it has ended."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def send(processes: list[psutil.Process], number: signal.Signals) -> None:
    """Send a signal to those that still run."""
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def wait_for_end(processes: list[psutil.Process], *, timeout_seconds: float) -> None:
    """Wait until none of them runs; gives up silently."""
    deadline = time.monotonic() + timeout_seconds
    while any(map(_runs, processes)) and time.monotonic() < deadline:
        time.sleep(0.005)


def _runs(process: psutil.Process) -> bool:
    try:
        # An ended process may stay listed until the machine's first process asks for its code.
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _guard(folder: Path, ask: signal.Signals) -> None:
    watched: list[psutil.Process] = []
    for line in sys.stdin:
        watched = processes_of(int(line))[:1]
    if watched and watched[0].is_running():
        everything = processes_of(watched[0].pid)
        send(everything, signal.SIGCONT)
        send(watched, ask)
        wait_for_end(everything, timeout_seconds=GRACE_SECONDS)
        send(everything, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _guard(Path(sys.argv[1]), signal.Signals(int(sys.argv[2])))
