"""What is known about the request in hand: its id, its user, and whatever `bind()` adds.

There is one mutable mapping a request, held by a context variable. A thread that FastAPI starts
for a `def` endpoint or dependency gets a copy of the variable but the same mapping, so that what it
binds is seen by everyone who serves the request, the access line included.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from logging import INFO, WARNING, getLogger
from typing import TYPE_CHECKING, Any, Generic, TypeVar, TypeVarTuple

from anyio import CancelScope, CapacityLimiter, current_time, move_on_after, to_thread

from .exceptions import DeadlineExceededError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["bind", "bound", "context_fields", "current_request_id", "run_blocking"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_log = getLogger("sturdyapi.context")

_fields: ContextVar[dict[str, Any] | None] = ContextVar("sturdyapi_context", default=None)


def bind(**fields: Any) -> None:
    """Add fields to every log line of this request from here on, its access line included.

    Works from `async def` and `def` endpoints, dependencies and `run_blocking`. Outside a request
    the fields stay with the current task.
    """
    current = _fields.get()
    if current is None:
        _fields.set(dict(fields))
    else:
        current.update(fields)


@contextmanager
def bound(**fields: Any) -> Iterator[None]:
    """Add fields to the log lines of the block only, for children that run side by side.

    What `bind()` adds inside the block ends with it.
    """
    token = _fields.set({**(_fields.get() or {}), **fields})
    try:
        yield
    finally:
        # A generator dependency may be closed in another context than it was opened in:
        # there the variable was never set, so nothing is left to undo.
        with suppress(ValueError):
            _fields.reset(token)


def context_fields() -> Mapping[str, Any]:
    """Return the fields bound to the request in hand; empty outside a request."""
    return _fields.get() or {}


def current_request_id() -> str | None:
    """Return the id of the request in hand, or `None` outside a request."""
    fields = _fields.get()
    return None if fields is None else fields.get("request_id")


async def run_blocking(
    function: Callable[[*Ts], T], /, *args: *Ts, timeout_seconds: float | None = None
) -> T:
    """Run a blocking function in a thread and return its result; the loop stays free.

    The request's context goes along, so that log lines and `bind()` in the thread belong to the
    request. The threads are those that FastAPI uses for `def` endpoints
    (`create_app(threads=...)`). A cancelled caller waits until the function ends, since a thread
    can't be stopped.

    Args:
        function: What to run; keywords go in with `functools.partial`.
        *args: Its arguments.
        timeout_seconds: Longest wait, for a free thread and for the function together. A function
            that has begun by then goes on and keeps its thread; how it ends is logged. Needs
            asyncio.

    Raises:
        DeadlineExceededError: The time was up. Its cause says whether the function has begun.
    """
    if timeout_seconds is None:
        return await to_thread.run_sync(function, *args)
    return await _TimedCall(partial(function, *args), timeout_seconds).result()


_unfinished: set[asyncio.Task[Any]] = set()
"""Calls in threads: the loop itself may forget a task that nobody awaits."""


class _TimedCall(Generic[T]):
    """A call in a thread, which its caller may leave before it ends."""

    def __init__(self, call: partial[T], timeout_seconds: float) -> None:
        self._call = call
        self._timeout_seconds = timeout_seconds
        self._began_at = current_time()
        self._limiter = to_thread.current_default_thread_limiter()
        self._is_awaited = True

    async def result(self) -> T:
        """Return the result, or raise when the time is up."""
        with move_on_after(self._timeout_seconds) as waiting_for_thread:
            await self._limiter.acquire_on_behalf_of(self)
        if waiting_for_thread.cancelled_caught:
            raise self._exceeded() from TimeoutError(f"{self._name} has not begun: no free thread")
        running = self._start()
        try:
            with CancelScope(shield=True):
                await asyncio.wait({running}, timeout=self._timeout_seconds - self._seconds())
        finally:
            self._is_awaited = running.done()
        if not self._is_awaited:
            raise self._exceeded() from TimeoutError(f"{self._name} goes on, and keeps its thread")
        return running.result()

    def _start(self) -> asyncio.Task[T]:
        """Start the call in a task of its own, which keeps our place among the threads.

        Given back when the caller leaves, the place would be taken by one more thread each time.
        """
        running = asyncio.create_task(to_thread.run_sync(self._call, limiter=CapacityLimiter(1)))
        _unfinished.add(running)
        running.add_done_callback(self._finish)
        return running

    def _finish(self, running: asyncio.Task[T]) -> None:
        _unfinished.discard(running)
        self._limiter.release_on_behalf_of(self)
        if self._is_awaited or running.cancelled():
            return
        error = running.exception()
        level, how = (INFO, "ended") if error is None else (WARNING, "failed")
        _log.log(
            level,
            "%s %s after %.3f s, when its caller had left",
            self._name,
            how,
            self._seconds(),
            exc_info=error,
        )

    def _exceeded(self) -> DeadlineExceededError:
        return DeadlineExceededError("A blocking call", timeout_seconds=self._timeout_seconds)

    def _seconds(self) -> float:
        return current_time() - self._began_at

    @property
    def _name(self) -> str:
        # A `partial` of a `partial` is one.
        function = self._call.func
        name: str = getattr(function, "__qualname__", type(function).__qualname__)
        return name


enter_request = _fields.set
"""Make a dict the mapping of a new request; undo with `leave_request()`."""

leave_request = _fields.reset
"""Restore what `enter_request()` replaced."""
