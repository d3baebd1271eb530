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
        try:
            await stack.__aexit__(type(error), error, error.__traceback__)
        except BaseException as closing_error:
            if closing_error is not error:
                _log.exception("Closing failed after: %s", type(error).__name__)
                raise error from error.__cause__
            raise
        raise
    else:
        await stack.aclose()


def has_own_lifespan(app: object) -> bool:
    """Tell whether an app does something at its start or end."""
    router = getattr(app, "router", None)
    if router is None:
        return False
    is_default = type(router.lifespan_context).__name__ == "_DefaultLifespan"
    return not is_default or bool(
        getattr(router, "on_startup", ()) or getattr(router, "on_shutdown", ())
    )


async def run_handlers(handlers: Iterable[Callable[[], Any]]) -> None:
    """Call `on_event` handlers in order, `def` and `async def` alike."""
    for handler in handlers:
        if is_async_callable(handler):
            await handler()
        else:
            handler()
