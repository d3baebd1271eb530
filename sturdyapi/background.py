"""Background tasks that do not stop each other, and that nobody loses sight of.

FastAPI makes one collection of tasks a request, which the endpoint and all its dependencies share.
In the routes of our apps that collection becomes ours before anyone sees it, whatever class a
signature names; a plain FastAPI app that includes the same router keeps its own.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from contextvars import Context
from copy import copy
from functools import partial, wraps
from itertools import islice
from logging import DEBUG, ERROR, WARNING, getLogger
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol, cast

import anyio
from fastapi import BackgroundTasks as FastAPITasks
from fastapi import Request
from fastapi.dependencies import models as dependency_models
from fastapi.dependencies.utils import get_dependant
from starlette.background import BackgroundTasks as StarletteTasks
from starlette.responses import Response

from .context import bound, context_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import TracebackType

    from fastapi.dependencies.models import Dependant
    from starlette.background import BackgroundTask

__all__ = ["BackgroundTasks", "TaskWatch"]

_HIDDEN_REQUEST = "sturdyapi.request"
_HIDDEN_TASKS = "sturdyapi.tasks"
"""Names by which the wrapper of an endpoint gets what the endpoint does not ask for."""

_MAX_NAMES = 10
_POLL_SECONDS = 0.05
_log = getLogger("sturdyapi.background")


class BackgroundTasks(FastAPITasks):
    """Functions to call after the response; one that fails does not stop the next.

    A failure is logged with its traceback and goes no further: the response is already sent. The
    tasks of a request share its log fields. They are lost when the process ends: what must happen
    belongs in a queue.

    In a route of a `create_app()` app each parameter of this class, of FastAPI's or of Starlette's
    gets an instance of this one, and its tasks run beside those of a returned response.
    """

    async def __call__(self) -> None:
        """Run the tasks in order, those that a task adds as well."""
        await _Batch((self,), _NOBODY).run()


class TaskWatch:
    """Keeps an eye on the background tasks of one app."""

    def __init__(self, *, warn_after_seconds: float = 5.0) -> None:
        """Watch over no tasks yet.

        Args:
            warn_after_seconds: A task that runs longer is named in a warning; 0 for never.
        """
        self.warn_after_seconds = warn_after_seconds
        self.batches: set[_Batch] = set()
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_loop: asyncio.AbstractEventLoop | None = None

    def watch_route(self, view: WatchedRoute) -> None:
        """Make the tasks of a route ours; a route that asks for none stays as it is."""
        dependant = view.dependant
        call = dependant.call
        is_shared = any(map(_asks_for_tasks, dependant.dependencies))
        if call is None or not (is_shared or _asks_for_tasks(dependant)):
            return
        if is_shared:
            self._adopt_first(dependant, view.name)
        view.replace_call(self._wrapped(dependant, call, view.name))

    def _adopt_first(self, dependant: Dependant, route: str) -> None:
        """Put a dependency in front of the others, so that they too get tasks of ours.

        A dependency costs a request more than all the rest of this module.
        """

        async def adopt(request: Request, tasks: BackgroundTasks) -> None:
            self._adopt(tasks, request, route)

        first = get_dependant(path=dependant.path or "", call=adopt)
        # A new list: a copy of the route may share the old one with another app.
        dependant.dependencies = [first, *dependant.dependencies]

    def _wrapped(
        self, dependant: Dependant, call: Callable[..., Any], route: str
    ) -> Callable[..., Any]:
        """Return the endpoint with tasks of ours, which its response runs beside its own."""
        request_name = dependant.request_param_name or _HIDDEN_REQUEST
        tasks_name = dependant.background_tasks_param_name or _HIDDEN_TASKS
        dependant.request_param_name = request_name
        dependant.background_tasks_param_name = tasks_name
        hidden = {request_name, tasks_name} & {_HIDDEN_REQUEST, _HIDDEN_TASKS}

        def adopted(values: dict[str, Any]) -> _RequestTasks:
            tasks = self._adopt(values[tasks_name], values[request_name], route)
            for name in hidden:
                del values[name]
            return tasks

        if dependency_models._is_coroutine_callable(call):  # noqa: SLF001

            @wraps(call)
            async def coroutine(**values: Any) -> Any:
                tasks = adopted(values)
                return tasks.joined(await call(**values))

            return coroutine

        # Generators too: FastAPI looks through a wrapper, at the function inside.
        @wraps(call)
        def function(**values: Any) -> Any:
            tasks = adopted(values)
            return tasks.joined(call(**values))

        return function

    def _adopt(self, tasks: BackgroundTasks, request: Request, route: str) -> _RequestTasks:
        """Turn FastAPI's instance, which it hands to everyone in the request, into one of ours."""
        if isinstance(tasks, _RequestTasks):
            return tasks
        tasks.__class__ = _RequestTasks
        ours = cast("_RequestTasks", tasks)
        ours.watch, ours.route, ours.own, ours.batch = self, route, None, None
        # FastAPI's own stack of dependencies; if it moves, only the report is lost.
        stack = request.scope.get("fastapi_inner_astack")
        if isinstance(stack, AsyncExitStack):
            stack.push(ours.report_left)
        return ours

    async def drain(self, grace_seconds: float) -> None:
        """Wait until no task runs; when the grace has passed, name those that do in a warning."""
        with anyio.move_on_after(grace_seconds):
            # Asked again and again: a task may run in another loop, as with a test client.
            while self.batches:  # noqa: ASYNC110
                await anyio.sleep(_POLL_SECONDS)
        batches = list(self.batches)
        if batches:
            _log.warning(
                "Stopping after a grace of %g s with background tasks that have not ended: %s. "
                "Work that must not be lost belongs in a queue.",
                grace_seconds,
                "; ".join(map(str, batches)),
            )

    def keep_time(self) -> None:
        """Look after the tasks when the time of the first one is up.

        There is one timer for all of them: one for each costs more than a small task does.
        """
        loop = _running_loop()
        if loop is not self._alarm_loop:
            self._alarm, self._alarm_loop = None, loop
        if self._alarm is None and loop is not None and self.warn_after_seconds:
            self._set_alarm(loop, self.warn_after_seconds)

    def _set_alarm(self, loop: asyncio.AbstractEventLoop, delay_seconds: float) -> None:
        # In no request's context, which it would keep alive, and whose id it would log.
        self._alarm = loop.call_later(delay_seconds, self._look, loop, context=Context())

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._alarm = None
        left_seconds = [batch.check_time() for batch in list(self.batches)]
        if left_seconds:
            self._set_alarm(loop, min(left_seconds))


class WatchedRoute(Protocol):
    """What of a route is looked at; see `sturdyapi.routing.RouteView`."""

    @property
    def dependant(self) -> Dependant:
        """The endpoint with its dependencies."""

    @property
    def name(self) -> str:
        """Method and path, for messages."""

    def replace_call(self, call: Callable[..., Any]) -> None:
        """Serve `call`, a wrapper of the endpoint, in its place."""


class _RequestTasks(BackgroundTasks):
    """The tasks that FastAPI made for one request.

    Attributes:
        watch: Of the app that serves the request.
        route: For messages.
        own: What the returned response had to run by itself.
        batch: The run of the tasks, once it has begun.
    """

    watch: TaskWatch
    route: str
    own: BackgroundTask | None
    batch: _Batch | None

    def joined(self, result: Any) -> Any:
        """Return what the endpoint returned; a response runs these tasks, after its own."""
        if not isinstance(result, Response):
            return result
        own = result.background
        if isinstance(own, _RequestTasks) and own is not self:
            # The endpoint returns one object to all, and another request may be sending it.
            result, own = copy(result), own.own
        self.own = None if own is self else own
        result.background = self
        return result

    async def __call__(self) -> None:
        """Run the response's own tasks, then the others."""
        self.batch = _Batch(self._sources(), self.watch)
        await self.batch.run()

    def _sources(self) -> tuple[StarletteTasks, ...]:
        return (self,) if self.own is None else (StarletteTasks([self.own]), self)

    def report_left(
        self,
        error_class: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Name the tasks that will not run; called when all dependencies are closed."""
        # Forgotten, since it refers to these tasks: a cycle a request keeps the collector busy.
        begun, self.batch = self.batch, None
        left = (begun or _Batch(self._sources(), self.watch)).left()
        if not left or (begun is not None and begun.is_cut_off):
            return
        _log.warning(
            "%s ended %s, so that its background tasks do not run: %s. %s",
            self.route,
            _ending(error_class, has_run=begun is not None),
            _names(left),
            _ADVICE_AFTER if begun is not None else _ADVICE_BEFORE,
            extra={"background_tasks": _names(left)},
        )


_ADVICE_BEFORE = (
    "What must happen in any case, await before raising; or return the error as a response."
)
_ADVICE_AFTER = "Add tasks before the `yield` of a dependency, or give it scope='function'."


def _ending(error_class: type[BaseException] | None, *, has_run: bool) -> str:
    if has_run:
        return "with tasks that were added after the others had run"
    if error_class is None:
        return "with a response that does not carry them"
    return f"with {error_class.__name__}"


class _Batch:
    """One run of the tasks of one response, in order."""

    __slots__ = (
        "_current", "_fields", "_is_slow", "_since", "_sources", "_started", "_watch", "is_cut_off",
    )  # fmt: skip

    def __init__(self, sources: Sequence[StarletteTasks], watch: TaskWatch) -> None:
        self._sources = sources
        self._watch = watch
        self._fields = context_fields()
        self._started: dict[int, BackgroundTask] = {}
        self._current: BackgroundTask | None = None
        self._since = 0.0
        self._is_slow = False
        self.is_cut_off = False

    async def run(self) -> None:
        """Run one task after the other; what cuts one off ends them all."""
        self._watch.batches.add(self)
        self._watch.keep_time()
        try:
            # Not a list: a task may add tasks.
            for task in self._in_order():
                if id(task) not in self._started:
                    self._started[id(task)] = task
                    await self._run(task)
        except BaseException as error:
            self.is_cut_off = True
            self._say(ERROR, "was cut off after %.3f s by %s%s", type(error).__name__, self._rest())
            raise
        finally:
            self._watch.batches.discard(self)

    async def _run(self, task: BackgroundTask) -> None:
        self._current, self._since, self._is_slow = task, perf_counter(), False
        try:
            # FastAPI runs it, and traces it where telemetry is on.
            await (FastAPITasks([task]) if hasattr(task, "func") else task)()
        except Exception:  # noqa: BLE001 - of any kind: the next task has not failed
            self._say(ERROR, "failed after %.3f s", with_error=True)
        else:
            if _log.isEnabledFor(DEBUG):
                self._say(DEBUG, "ended after %.3f s")
        # A task that blocked the loop has held up the timer as well.
        self.check_time()

    def check_time(self) -> float:
        """Warn, once, of a task that takes long; return the seconds until the next look."""
        limit_seconds = self._watch.warn_after_seconds
        left_seconds = limit_seconds - (perf_counter() - self._since)
        if left_seconds > 0:
            return left_seconds
        if limit_seconds and not self._is_slow:
            self._is_slow = True
            # The timer that asks belongs to no request.
            with bound(**self._fields):
                self._say(WARNING, _SLOW)
        return limit_seconds

    def _in_order(self) -> Iterator[BackgroundTask]:
        return _single_tasks(self._sources)

    def left(self) -> list[BackgroundTask]:
        """Return the tasks that were not started."""
        every = {id(task): task for task in self._in_order()}
        return [task for key, task in every.items() if key not in self._started]

    def _rest(self) -> str:
        left = self.left()
        return f"; not started: {_names(left)}" if left else ""

    def _say(self, level: int, what: str, *details: object, with_error: bool = False) -> None:
        name, seconds = _name(self._current), perf_counter() - self._since
        _log.log(
            level,
            f"Background task %s {what}",
            name,
            seconds,
            *details,
            exc_info=with_error,
            extra={"background_task": name, "duration_seconds": round(seconds, 6)},
        )

    def __str__(self) -> str:
        seconds = perf_counter() - self._since
        request_id = self._fields.get("request_id")
        request = f" of request {request_id}" if request_id else ""
        return f"{_name(self._current)}{request}, running for {seconds:.3f} s{self._rest()}"


_SLOW = (
    "has taken %.3f s by now. While it runs it keeps what its request holds, and it is lost when "
    "the process ends; work of that length belongs in a queue, such as Celery."
)

_NOBODY = TaskWatch()
"""Watches over collections that were made by hand: they run when and where their response does."""


def _asks_for_tasks(dependant: Dependant) -> bool:
    return dependant.background_tasks_param_name is not None or any(
        map(_asks_for_tasks, dependant.dependencies)
    )


def _single_tasks(collections: Iterable[StarletteTasks]) -> Iterator[BackgroundTask]:
    """Yield the tasks of collections, and of collections in them, each by itself."""
    for collection in collections:
        for task in collection.tasks:
            if isinstance(task, StarletteTasks) and _runs_in_order(task):
                yield from _single_tasks((task,))
            else:
                yield task


def _runs_in_order(tasks: StarletteTasks) -> bool:
    """Tell whether a collection does nothing but run its tasks: a subclass may do as it likes."""
    call = type(tasks).__call__
    known = (BackgroundTasks, _RequestTasks, FastAPITasks, StarletteTasks)
    return any(call is each.__call__ for each in known)


def _name(task: BackgroundTask | None) -> str:
    function = getattr(task, "func", task)
    while isinstance(function, partial):
        function = function.func
    name: str = getattr(function, "__qualname__", type(function).__qualname__)
    return name


def _names(tasks: Sequence[BackgroundTask]) -> str:
    names = [_name(task) for task in islice(tasks, _MAX_NAMES)]
    if len(tasks) > _MAX_NAMES:
        names.append(f"and {len(tasks) - _MAX_NAMES} more")
    return ", ".join(names)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None  # Trio has no timers: a task is asked for its time at its end.
