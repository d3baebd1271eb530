"""One resource from opening to closing."""

from __future__ import annotations

import asyncio
from logging import getLogger
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from anyio import CancelScope

from sturdyapi.exceptions import ResourceStartError, ResourceTimeoutError, SupervisedTaskError

from .resource import ResourceContext

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .registry import ResourceRegistry
    from .resource import Resource

__all__ = ["Lifetime"]

T = TypeVar("T")

_CANCELLED_SECONDS = 2.0
"""Longest wait for code that was cancelled; after that it is left behind."""
_log = getLogger("sturdyapi.resources")


class Lifetime(Generic[T]):
    """Opens and closes one resource, in a task of its own.

    What a resource enters, such as a task group, must be left by the task that entered it, whoever
    ends the app. And only from outside can a time limit be held against code that ignores one.
    """

    def __init__(self, resource: Resource[T], registry: ResourceRegistry) -> None:
        self.resource = resource
        self.settings: Any = registry.settings
        self._registry = registry
        self._value: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._closing = asyncio.Event()
        self._is_ending = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._fault: SupervisedTaskError | None = None
        self._task = asyncio.create_task(self._live(), name=f"resource {resource.name}")
        self._task.add_done_callback(self._notice_end)

    async def opened(self) -> T:
        """Wait until the value is there.

        Raises:
            ResourceTimeoutError: It took too long. What was begun is undone.
            Exception: Whatever the resource raised.
        """
        limit = self.resource.timeout_seconds
        try:
            done, _ = await asyncio.wait({self._value}, timeout=limit)
        except asyncio.CancelledError:
            await self._cancel()
            raise
        if not done:
            await self._cancel()
            raise ResourceTimeoutError(self.resource.name, timeout_seconds=limit)
        return self._value.result()

    async def close(self) -> None:
        """Stop the supervised tasks, then close the value; gives up after the time limit.

        Raises:
            Exception: Whatever the resource raised.
        """
        limit = self.resource.close_timeout_seconds
        self._is_ending = True
        self._closing.set()
        # The app may end because it was cancelled, which must not cut the closing short.
        with CancelScope(shield=True):
            done, _ = await asyncio.wait({self._task}, timeout=limit)
        if not done:
            _log.error("Resource '%s' was not closed within %g s", self.resource.name, limit)
            await self._cancel()
        elif not self._task.cancelled() and (error := self._task.exception()) is not None:
            error.add_note(f"Raised while resource '{self.resource.name}' was closed.")
            raise error

    def raise_fault(self) -> None:
        """Raise if the resource has ended by itself, or one of its supervised tasks has crashed."""
        if self._fault is not None:
            raise self._fault

    def value_of(self, resource: Resource[Any]) -> Any:
        """Return the value of another resource that is open."""
        return self._registry[resource]

    def supervise(self, name: str, run: Callable[[], Awaitable[object]]) -> None:
        """Start a task that ends with the resource."""
        task = asyncio.create_task(self._supervised(name, run), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _live(self) -> None:
        try:
            async with self.resource.open(ResourceContext(self)) as value:
                self._value.set_result(value)
                try:
                    await self._closing.wait()
                finally:
                    await self._stop_tasks()
        except BaseException as error:
            if self._value.done():
                raise
            await self._stop_tasks()
            if not isinstance(error, ResourceStartError):
                error.add_note(f"Raised while resource '{self.resource.name}' was opened.")
            # Whoever waits for the value gets the error; the task itself has done its work.
            self._value.set_exception(error)

    async def _cancel(self) -> None:
        """Cancel the resource's task, and wait while it undoes what it has begun."""
        self._is_ending = True
        self._task.cancel()
        with CancelScope(shield=True):
            done, _ = await asyncio.wait({self._task}, timeout=_CANCELLED_SECONDS)
        name = self.resource.name
        if not done:
            _log.error("Resource '%s' does not end though it was cancelled: left behind", name)
        elif (error := self._undoing_error()) is not None:
            _log.error("Resource '%s' failed while it was cancelled", name, exc_info=error)

    def _undoing_error(self) -> BaseException | None:
        finished = self._task if self._value.exception() is None else self._value
        error = None if finished.cancelled() else finished.exception()
        return None if isinstance(error, asyncio.CancelledError) else error

    def _notice_end(self, task: asyncio.Task[None]) -> None:
        """Turn readiness red when a resource ends though nobody has closed it."""
        if self._is_ending or self._value.exception() is not None:
            return
        error = None if task.cancelled() else task.exception()
        self._fault = SupervisedTaskError(self.resource.name, task=None)
        _log.error("%s", self._fault, exc_info=error)

    async def _supervised(self, name: str, run: Callable[[], Awaitable[object]]) -> None:
        try:
            await run()
        except Exception as error:  # noqa: BLE001 - it is told by the log and by readiness
            self._fault = SupervisedTaskError(self.resource.name, task=name)
            self._fault.__cause__ = error
            _log.error("%s", self._fault, exc_info=error)

    async def _stop_tasks(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
