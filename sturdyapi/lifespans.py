"""Opening and closing what lives as long as the app does."""

from __future__ import annotations

import contextlib
import inspect
from contextlib import AsyncExitStack, asynccontextmanager
from logging import getLogger
from typing import TYPE_CHECKING, Any

from starlette._utils import is_async_callable
from starlette.applications import Starlette

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence
    from contextlib import AbstractAsyncContextManager

__all__ = ["LifespanLike", "as_lifespans", "closing_stack", "has_own_lifespan", "run_handlers"]

_log = getLogger("sturdyapi.lifespans")
_MERGED = "_merge_lifespan_context.<locals>.merged_lifespan"
"""What FastAPI calls the lifespan of a router in which another one is included."""

if TYPE_CHECKING:
    LifespanLike = Callable[[Any], Any] | Starlette
    """A lifespan as FastAPI takes it, or an app whose own lifespan is to run."""


def as_lifespans(
    lifespan: LifespanLike | Sequence[LifespanLike] | None,
) -> list[Callable[[Any], AbstractAsyncContextManager[Any]]]:
    """Return the lifespans of a `lifespan=` argument, each as a context manager factory."""
    if lifespan is None:
        return []
    items = lifespan if isinstance(lifespan, list | tuple) else [lifespan]
    return [_as_lifespan(item) for item in items]


def _as_lifespan(item: Any) -> Callable[[Any], AbstractAsyncContextManager[Any]]:
    if isinstance(item, Starlette):
        return lambda _app: item.router.lifespan_context(item)
    if inspect.isasyncgenfunction(item):
        return asynccontextmanager(item)
    if inspect.isgeneratorfunction(item):
        return _lifted(contextlib.contextmanager(item))
    return item  # type: ignore[no-any-return]


def _lifted(
    lifespan: Callable[[Any], contextlib.AbstractContextManager[Any]],
) -> Callable[[Any], AbstractAsyncContextManager[Any]]:
    @asynccontextmanager
    async def lifted(app: Any) -> AsyncIterator[Any]:
        with lifespan(app) as state:
            yield state

    return lifted


@asynccontextmanager
async def closing_stack() -> AsyncIterator[AsyncExitStack]:
    """Give a stack that closes, in reverse, exactly what was opened.

    When something fails while the app starts, an error of the closing is logged, and the start-up
    error is the one that is raised: it is the cause.
    """
    stack = AsyncExitStack()
    try:
        yield stack
    except BaseException as error:
        await _close_after(error, stack)
        raise
    else:
        await stack.aclose()


async def _close_after(error: BaseException, stack: AsyncExitStack) -> None:
    try:
        await stack.__aexit__(type(error), error, error.__traceback__)
    except BaseException as closing_error:  # noqa: BLE001 - `error` is raised by the caller
        if closing_error is not error:
            _log.exception("Closing failed after: %s", type(error).__name__)


def has_own_lifespan(app: object) -> bool:
    """Tell whether an app does something at its start or end."""
    router = getattr(app, "router", None)
    if getattr(router, "on_startup", None) or getattr(router, "on_shutdown", None):
        return True
    lifespan = getattr(router, "lifespan_context", None)
    return lifespan is not None and _does_something(lifespan)


def _does_something(lifespan: Any) -> bool:
    if type(lifespan).__name__ == "_DefaultLifespan":
        return False
    merged = _merged_lifespans(lifespan)
    return not merged or any(_does_something(part) for part in merged)


def _merged_lifespans(lifespan: Any) -> list[Any]:
    """Return the two lifespans that FastAPI makes one of when a router is included."""
    function: Any = getattr(lifespan, "__wrapped__", None)
    if getattr(function, "__qualname__", "") != _MERGED:
        return []
    return list(inspect.getclosurevars(function).nonlocals.values())


async def run_handlers(handlers: Iterable[Callable[[], Any]]) -> None:
    """Call `on_event` handlers in order, `def` and `async def` alike."""
    for handler in handlers:
        if is_async_callable(handler):
            await handler()
        else:
            handler()
