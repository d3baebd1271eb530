"""What is known about the request in hand: its id, its user, and whatever `bind()` adds.

There is one mutable mapping a request, held by a context variable. A thread that FastAPI starts
for a `def` endpoint or dependency gets a copy of the variable but the same mapping, so that what it
binds is seen by everyone who serves the request, the access line included.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from anyio import to_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["bind", "bound", "context_fields", "current_request_id", "run_blocking"]

P = ParamSpec("P")
T = TypeVar("T")

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


async def run_blocking(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a blocking function in a thread and return its result; the loop stays free.

    The request's context goes along, so that log lines and `bind()` in the thread belong to the
    request. The threads are those that FastAPI uses for `def` endpoints
    (`create_app(threads=...)`). A cancelled caller waits until the function ends, since a thread
    can't be stopped.
    """
    return await to_thread.run_sync(partial(function, *args, **kwargs))


enter_request = _fields.set
"""Make a dict the mapping of a new request; undo with `leave_request()`."""

leave_request = _fields.reset
"""Restore what `enter_request()` replaced."""
