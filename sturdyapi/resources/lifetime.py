"""One resource from opening to closing."""

from __future__ import annotations

import asyncio
from logging import getLogger
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from anyio import CancelScope

from sturdyapi.exceptions import (
    ConfigurationError,
    ResourceStartError,
    ResourceTimeoutError,
    SupervisedTaskError,
)

from .resource import ResourceContext

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from .registry import ResourceRegistry
    from .resource import Resource

__all__ = ["Lifetime"]

T = TypeVar("T")

_CANCELLED_SECONDS = 2.0
"""Longest wait for a resource that was cancelled; after that it is left behind."""
_CANCELLED_TASK_SECONDS = 1.0
"""Longest wait for a supervised task that was cancelled; its resource still has to close."""
_LEFT = "does not end though it was cancelled: left behind"
_FAILED = "failed while it was cancelled"
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
            await _to_the_end(self._undo())
            raise
        if not done:
            await _to_the_end(self._undo())
            raise ResourceTimeoutError(self.resource.name, timeout_seconds=limit)
        return self._value.result()

    async def close(self) -> None:
        """Stop the supervised tasks, then close the value; gives up after the time limit.

        Not cut short by a cancellation, which is raised afterwards.

        Raises:
            Exception: Whatever the resource raised.
        """
        # What has ended by itself has been told by the log and by readiness.
        if not self._task.done():
            await _to_the_end(self._close())

    def raise_fault(self) -> None:
        """Raise if the resource has ended by itself, or one of its supervised tasks has crashed."""
        if self._fault is not None:
            # Without the places of earlier checks, which would pile up while the app runs.
            raise self._fault.with_traceback(None)

    def value_of(self, resource: Resource[Any]) -> Any:
        """Return the value of another resource, one of `needs`.

        Raises:
            ConfigurationError: It is none of them, so that it need not be open yet.
        """
        if resource not in self.resource.needs:
            name, other = self.resource.name, getattr(resource, "name", resource)
            raise ConfigurationError(
                f"Resource '{name}' asks for '{other}', which is not one of its needs. "
                f"Let it be opened before: needs=[..., {other}]."
            )
        return self._registry[resource]

    def supervise(self, name: str, run: Callable[[], Awaitable[object]]) -> None:
        """Start a task that ends with the resource.

        Raises:
            ConfigurationError: The resource is closing, so that nobody would end the task.
        """
        if self._closing.is_set():
            raise ConfigurationError(
                f"Task '{name}' was to be supervised by resource '{self.resource.name}', which is "
                "closing. Start it before, or await the work itself."
            )
        task = asyncio.create_task(self._supervised(name, run), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # In the resource's own task.

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

    async def _stop_tasks(self) -> None:
        if not self._tasks:
            return
        for task in self._tasks:
            task.cancel()
        # A task group in the resource that has crashed cancels every wait in here.
        with CancelScope(shield=True):
            _, left = await asyncio.wait(self._tasks, timeout=_CANCELLED_TASK_SECONDS)
        for task in left:
            _log.error("Task '%s' of resource '%s' %s", task.get_name(), self.resource.name, _LEFT)

    async def _supervised(self, name: str, run: Callable[[], Awaitable[object]]) -> None:
        try:
            await run()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - told, not lost
            if not _is_being_cancelled():
                self._fail(SupervisedTaskError(self.resource.name, task=name), error)
            elif not isinstance(error, asyncio.CancelledError):
                _log.exception("Task '%s' of resource '%s' %s", name, self.resource.name, _FAILED)

    def _notice_end(self, task: asyncio.Task[None]) -> None:
        """Turn readiness red when a resource ends though nobody has closed it."""
        if not self._value.done():
            # Cancelled before its first step.
            self._value.cancel()
        elif self._is_open() and not self._closing.is_set():
            error = None if task.cancelled() else task.exception()
            self._fail(SupervisedTaskError(self.resource.name, task=None), error)

    def _fail(self, fault: SupervisedTaskError, error: BaseException | None) -> None:
        fault.__cause__ = error
        self._fault = fault
        _log.error("%s", fault, exc_info=error)

    # In a task that sees it through.

    async def _undo(self) -> None:
        """End what nobody waits for any more; its errors are logged."""
        if not self._is_open():
            await self._cancel()
            return
        try:
            await self._close()
        except Exception:  # noqa: BLE001 - whoever waited gets the first error
            _log.exception("Resource '%s' %s", self.resource.name, _FAILED)

    async def _close(self) -> None:
        limit = self.resource.close_timeout_seconds
        self._closing.set()
        done, _ = await asyncio.wait({self._task}, timeout=limit)
        if not done:
            _log.error("Resource '%s' was not closed within %g s", self.resource.name, limit)
            await self._cancel()
        elif (error := self._error()) is not None:
            error.add_note(f"Raised while resource '{self.resource.name}' was closed.")
            raise error

    async def _cancel(self) -> None:
        """Cancel the resource's task, and wait while it undoes what it has begun."""
        # One that opens all the same closes at once.
        self._closing.set()
        self._task.cancel()
        done, _ = await asyncio.wait({self._task}, timeout=_CANCELLED_SECONDS)
        if not done:
            _log.error("Resource '%s' %s", self.resource.name, _LEFT)
        elif (error := self._error()) is not None:
            _log.error("Resource '%s' %s", self.resource.name, _FAILED, exc_info=error)

    def _is_open(self) -> bool:
        value = self._value
        return value.done() and not value.cancelled() and value.exception() is None

    def _error(self) -> BaseException | None:
        """Return what opening or closing raised, apart from its being cancelled."""
        finished = self._task if self._is_open() else self._value
        error = None if finished.cancelled() else finished.exception()
        return None if isinstance(error, asyncio.CancelledError) else error


async def _to_the_end(steps: Coroutine[Any, Any, None]) -> None:
    """Await all of the steps, whatever cancels the caller; that is raised afterwards."""
    task = asyncio.create_task(steps)
    cancellation: asyncio.CancelledError | None = None
    # AnyIO cancels again and again, which the shield keeps out; asyncio does once.
    with CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError as error:
                cancellation = error
    if cancellation is None:
        task.result()
        return
    if not task.cancelled() and (error_of_steps := task.exception()) is not None:
        _log.error("Closing failed after: CancelledError", exc_info=error_of_steps)
    raise cancellation


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
