"""The stream that log lines go out on, and the queue for the times when nobody reads it."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["QUEUE_LIMIT_BYTES", "Stream"]

QUEUE_LIMIT_BYTES = 8 * 1024 * 1024
"""What may wait for a slow reader; a line that does not fit is dropped and counted."""

PATIENCE_SECONDS = 5.0
"""How long a reader may take nothing at all before an exit stops waiting for it."""

_LOOK_UP_SECONDS = 0.2
"""How often the thread looks up from a reader that takes nothing."""

_PIPE_BUF = getattr(select, "PIPE_BUF", 512)
_NO_NOWAIT = {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ESPIPE}


class Target(Protocol):
    """Something that takes bytes."""

    terminal: bool
    """Whether a person is looking at it, so that colours make sense."""

    def send(self, data: bytes) -> int:
        """Write what can be written without waiting; return how many bytes that were."""

    def wait(self, seconds: float) -> bool:
        """Wait until something can be written; return whether it can."""


class Stream:
    """Standard output as a place for log lines, whatever it is and whatever becomes of it.

    A line is written at once as long as that takes no waiting. Otherwise it is queued, as are
    those after it, and a thread writes them in order. `sys.stdout` is looked up for each line, so
    that the captures of pytest and `redirect_stdout` see them.

    Args:
        report: Makes the line that says how many lines were dropped.
        limit_bytes: The most that may wait.
    """

    def __init__(
        self, report: Callable[[int], bytes], *, limit_bytes: int = QUEUE_LIMIT_BYTES
    ) -> None:
        self._report = report
        self._limit_bytes = limit_bytes
        self._followed: Any = None
        self._target: Target = _Nowhere()
        self._synchronous = False
        self._closed = False
        self._forget()

    @property
    def terminal(self) -> bool:
        """Whether lines go to a terminal at the moment."""
        return self._current_target().terminal

    def write(self, line: bytes) -> None:
        """Write a line, or queue it. Never raises, and never waits before `finish()`."""
        with self._lock:
            target = self._current_target()
            if self._queue:
                self._enqueue(target, line)
            else:
                self._send(target, line)
                if not self._queue:
                    return
        if self._synchronous and self._progress != self._stuck_at:
            self.flush()

    def flush(self, *, patience_seconds: float = PATIENCE_SECONDS) -> bool:
        """Wait until every line is out, and return whether they are.

        Gives up on a reader that takes nothing for `patience_seconds`.
        """
        with self._changed:
            seen, deadline = self._progress, time.monotonic() + patience_seconds
            while self._queue:
                self._changed.wait(deadline - time.monotonic())
                if self._progress != seen:
                    seen, deadline = self._progress, time.monotonic() + patience_seconds
                elif time.monotonic() >= deadline:
                    self._stuck_at = seen
                    return False
        return True

    def start(self) -> None:
        """Let lines wait in the queue from here on."""
        self._synchronous = False

    def finish(self) -> bool:
        """Write out what waits; from here on a line is out before `write()` returns.

        For the last moments of a process: a server may end it by a signal, which runs no exit
        handlers.
        """
        self._synchronous = True
        return self.flush()

    def close(self) -> None:
        """Write out what waits and end the thread."""
        self.flush()
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(PATIENCE_SECONDS)

    def after_fork(self) -> None:
        """Start afresh in a child process; what waited is the parent's to write.

        A child of `multiprocessing` ends without exit handlers: until `start()`, which a server
        brings about, a line is out before `write()` returns.
        """
        self._forget()
        self._synchronous = True

    def _forget(self) -> None:
        # Reentrant: a signal handler or a `__del__` may log while this thread writes a line.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._queue: deque[_Waiting] = deque()
        self._queued_bytes = 0
        self._progress = 0
        self._stuck_at = -1
        self._dropped = 0
        self._thread: threading.Thread | None = None

    def _current_target(self) -> Target:
        stream = sys.stdout
        try:
            # Always look: the descriptor of a closed file may belong to a database by now.
            if stream is self._followed and not stream.closed:
                return self._target
        except (AttributeError, ValueError):
            pass  # no stream at all, or one whose buffer was detached
        self._target, self._followed = _open_target(stream), stream
        return self._target

    def _send(self, target: Target, line: bytes) -> None:
        try:
            sent = target.send(line)
        except Exception:  # noqa: BLE001 - a broken stream is no reason to fail a request
            self._dropped += 1
            return
        if sent < len(line):
            self._enqueue(target, line[sent:])
        elif self._dropped:
            self._send_report(target)

    def _send_report(self, target: Target) -> None:
        dropped, self._dropped = self._dropped, 0
        self._send(target, self._report(dropped))
        if self._dropped:
            self._dropped = dropped

    def _enqueue(self, target: Target, data: bytes) -> None:
        if self._queue and self._queued_bytes + len(data) > self._limit_bytes:
            self._dropped += 1
            return
        self._queue.append(_Waiting(target, data))
        self._queued_bytes += len(data)
        self._changed.notify_all()
        if self._thread is None:
            self._start_thread()

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._drain, name="sturdyapi-log", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # The interpreter is shutting down: no threads any more, and no requests either.
            self._drain_queue(patience_seconds=PATIENCE_SECONDS)
        else:
            self._thread = thread

    def _drain(self) -> None:
        while self._await_work():
            self._drain_queue()

    def _await_work(self) -> bool:
        with self._changed:
            while not self._queue and not self._closed:
                self._changed.wait()
            return not self._closed

    def _drain_queue(self, *, patience_seconds: float = inf) -> None:
        while self._queue and not self._closed:
            # A line stays in the queue while it is written, so that no later one overtakes it.
            waiting = self._queue[0]
            try:
                self._push(waiting, patience_seconds)
            except Exception:  # noqa: BLE001 - as in `_send`
                self._dropped += 1
            with self._changed:
                self._queue.popleft()
                self._queued_bytes -= len(waiting.data)
                self._progress += 1
                if not self._queue and self._dropped:
                    self._send_report(waiting.target)
                self._changed.notify_all()

    def _push(self, waiting: _Waiting, patience_seconds: float) -> None:
        rest, deadline = waiting.data, time.monotonic() + patience_seconds
        while rest and not self._closed:
            sent = waiting.target.send(rest)
            if sent:
                rest, deadline = rest[sent:], time.monotonic() + patience_seconds
                self._progress += 1
            elif time.monotonic() >= deadline:
                raise TimeoutError
            elif waiting.target.wait(_LOOK_UP_SECONDS):
                # Writable, yet nothing was taken a moment ago: do not spin.
                time.sleep(0.001)


class _Waiting(NamedTuple):
    target: Target
    data: bytes


class _Nowhere:
    """No standard output at all."""

    terminal = False

    def send(self, data: bytes) -> int:
        return len(data)

    def wait(self, seconds: float) -> bool:
        del seconds
        return True


class _TextTarget:
    """A stream without a descriptor, such as a notebook's or a test's."""

    def __init__(self, stream: io.TextIOBase) -> None:
        self._stream = stream
        self.terminal = stream.isatty()

    def send(self, data: bytes) -> int:
        self._stream.write(data.decode())
        self._stream.flush()
        return len(data)

    def wait(self, seconds: float) -> bool:
        del seconds
        return True


class _Descriptor:
    """A pipe, socket, terminal or file."""

    def __init__(self, number: int) -> None:
        self._number = number
        self.terminal = os.isatty(number)
        self.send: Callable[[bytes], int] = self._best_way()

    def wait(self, seconds: float) -> bool:
        return bool(_poll_for(self._number).poll(seconds * 1000))

    def _best_way(self) -> Callable[[bytes], int]:
        if hasattr(os, "RWF_NOWAIT") and hasattr(os, "pwritev"):
            return self._nowait_sender()
        if hasattr(select, "poll"):
            return self._polling_sender()
        return self._send_plainly

    def _nowait_sender(self) -> Callable[[bytes], int]:
        """Return a way that takes one call and never waits.

        Linux has it for pipes (since 6.4) and sockets. Setting `O_NONBLOCK` instead would reach
        every process that shares the stream.
        """
        number, pwritev, nowait = self._number, os.pwritev, os.RWF_NOWAIT

        def send(data: bytes) -> int:
            try:
                return pwritev(number, (data,), -1, nowait)
            except BlockingIOError:
                return 0
            except OSError as error:
                if error.errno not in _NO_NOWAIT:
                    raise
            self.send = self._polling_sender()
            return self.send(data)

        return send

    def _polling_sender(self) -> Callable[[bytes], int]:
        """Return a way that asks first; it waits only if another process is faster than we are."""
        number, poll = self._number, _poll_for(self._number).poll

        def send(data: bytes) -> int:
            sent = 0
            while sent < len(data) and poll(0):
                try:
                    sent += os.write(number, data[sent : sent + _PIPE_BUF])
                except BlockingIOError:
                    break
            return sent

        return send

    def _send_plainly(self, data: bytes) -> int:
        return os.write(self._number, data)


def _poll_for(number: int) -> select.poll:
    poll = select.poll()
    poll.register(number, select.POLLOUT)
    return poll


def _open_target(stream: Any) -> Target:
    # What replaces `sys.stdout` may hand its text to a logger: following that would never end.
    for candidate in (stream, sys.__stdout__):
        if not _is_open(candidate):
            continue
        number = _descriptor_of(candidate)
        if number is not None:
            return _Descriptor(number)
        if isinstance(candidate, io.TextIOBase):
            return _TextTarget(candidate)
    return _Nowhere()


def _is_open(stream: Any) -> bool:
    try:
        return not stream.closed
    except (AttributeError, ValueError):  # no stream at all, or one whose buffer was detached
        return False


def _descriptor_of(stream: Any) -> int | None:
    with suppress(AttributeError, OSError, ValueError):
        number = stream.fileno()
        return number if isinstance(number, int) and number >= 0 else None
    return None
