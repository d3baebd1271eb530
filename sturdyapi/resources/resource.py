"""What a resource is, and how a function becomes one."""

from __future__ import annotations

import inspect
import keyword
import math
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast, overload

from fastapi import Depends

# FastAPI evaluates the annotation of the dependency.
from starlette.requests import HTTPConnection  # noqa: TC002

from sturdyapi.exceptions import ConfigurationError, ResourceNotOpenError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
    from contextlib import AbstractAsyncContextManager

__all__ = ["SCOPE_KEY", "Resource", "ResourceContext", "resource"]

SCOPE_KEY = "sturdyapi.resources"
"""Where an app leaves its `ResourceRegistry` in the scope; apps mounted in it see it too."""

TIMEOUT_SECONDS = 10.0
"""Longest that a resource may take to open, and to close, unless it says otherwise."""

_RESERVED = frozenset({"settings"})

T = TypeVar("T")
P = TypeVar("P")

if TYPE_CHECKING:
    ResourceFunction = (
        Callable[[], AsyncIterator[T]] | Callable[["ResourceContext"], AsyncIterator[T]]
    )
    """An async generator function that yields the value once, and closes it afterwards."""


class Surroundings(Protocol):
    """What a `ResourceContext` speaks for: the registry, and the resource's own lifetime."""

    settings: Any

    def value_of(self, resource: Resource[T]) -> T:
        """Return the value of an open resource."""

    def supervise(self, name: str, run: Callable[[], Awaitable[object]]) -> None:
        """Start a task that ends with the resource."""


class ResourceContext:
    """What a resource may use while it is opened, given to its function.

    Attributes:
        settings: The settings of the app, or what `open_resources()` was given.
    """

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self.settings: Any = surroundings.settings

    def __getitem__(self, resource: Resource[T]) -> T:
        """Return the value of another resource, one of `needs`.

        Raises:
            ConfigurationError: It is none of them.
        """
        return self._surroundings.value_of(resource)

    def supervise(
        self, function: Callable[..., Awaitable[object]], *args: Any, name: str | None = None
    ) -> None:
        """Run `function(*args)` in a task of its own for as long as the resource is open.

        The task is cancelled before the resource closes. If it raises, the error is logged, and
        readiness is red from then on; one that returns is done.

        Args:
            function: A coroutine function.
            *args: Its arguments.
            name: For the log; the function's own if `None`.

        Raises:
            ConfigurationError: It was called already: `supervise(consume())`.
        """
        _refuse_called(function)
        task_name = str(name or getattr(function, "__name__", type(function).__name__))
        self._surroundings.supervise(task_name, lambda: function(*args))


class Resource(Generic[T]):
    """Something that is opened when the app starts, and closed when it ends.

    `@resource` makes one of a function. A class of one's own overrides `open()`, and `check()` if
    readiness should depend on it. The object itself holds nothing that is open, so that a module
    may make one at import, and several apps may share it.

    Attributes:
        name: Shown in errors, logs and readiness, and the name under `app.state`.
        needs: Resources that are opened before this one, and closed after it.
        timeout_seconds: Longest that opening may take.
        close_timeout_seconds: Longest that closing may take; then it is cancelled and named.
        value: A `Depends` that gives the open value: `Annotated[Client, search.value]`.
    """

    def __init__(
        self,
        name: str,
        *,
        needs: Sequence[Resource[Any]] = (),
        timeout_seconds: float = TIMEOUT_SECONDS,
        close_timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        _refuse_bad_name(name)
        limit = f"A time limit of resource '{name}'"
        refuse_bad_limit(limit, timeout_seconds)
        refuse_bad_limit(limit, close_timeout_seconds)
        self.name = name
        self.needs = resource_list(f"needs= of resource '{name}'", needs)
        self.timeout_seconds = timeout_seconds
        self.close_timeout_seconds = close_timeout_seconds
        self.value: Any = Depends(self._value_for)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} '{self.name}'>"

    def open(self, context: ResourceContext) -> AbstractAsyncContextManager[T]:
        """Return a context manager whose entering opens the value, and whose leaving closes it.

        Both happen in one task, of the resource's own.
        """
        raise NotImplementedError

    async def check(self, value: T) -> object:
        """Raise if the open value does not work; asked by readiness, at most once a second."""

    async def _value_for(self, connection: HTTPConnection) -> T:
        return self.of(connection)

    def of(self, connection: HTTPConnection) -> T:
        """Return the value that is open in the app that serves this request or websocket.

        Raises:
            ResourceNotOpenError: The app does not have the resource, or its lifespan did not run.
        """
        registry = connection.scope.get(SCOPE_KEY)
        if registry is None:
            raise ResourceNotOpenError(self.name, known=(), is_running=False)
        return registry[self]  # type: ignore[no-any-return]


class _FunctionResource(Resource[T]):
    def __init__(
        self,
        function: ResourceFunction[T],
        *,
        check: Callable[[T], Awaitable[object]] | None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        _refuse_bad_function(self.name, function)
        self._function: Callable[..., AsyncIterator[T]] = function
        self._takes_context = bool(inspect.signature(function).parameters)
        self._check = check
        self.__doc__ = function.__doc__

    def __repr__(self) -> str:
        return f"<Resource '{self.name}'>"

    def open(self, context: ResourceContext) -> AbstractAsyncContextManager[T]:
        arguments = (context,) if self._takes_context else ()
        return asynccontextmanager(self._function)(*arguments)

    async def check(self, value: T) -> object:
        return None if self._check is None else await self._check(value)


@overload
def resource(function: ResourceFunction[T], /) -> Resource[T]: ...


@overload
def resource(
    *,
    name: str | None = None,
    needs: Sequence[Resource[Any]] = (),
    check: Callable[[T], Awaitable[object]],
    timeout_seconds: float = TIMEOUT_SECONDS,
    close_timeout_seconds: float = TIMEOUT_SECONDS,
) -> Callable[[ResourceFunction[T]], Resource[T]]: ...


@overload
def resource(
    *,
    name: str | None = None,
    needs: Sequence[Resource[Any]] = (),
    check: None = None,
    timeout_seconds: float = TIMEOUT_SECONDS,
    close_timeout_seconds: float = TIMEOUT_SECONDS,
) -> Callable[[ResourceFunction[P]], Resource[P]]: ...


def resource(
    function: ResourceFunction[Any] | None = None,
    /,
    *,
    name: str | None = None,
    needs: Sequence[Resource[Any]] = (),
    check: Callable[[Any], Awaitable[object]] | None = None,
    timeout_seconds: float = TIMEOUT_SECONDS,
    close_timeout_seconds: float = TIMEOUT_SECONDS,
) -> Any:
    """Make a resource of an async generator function that yields its value once.

        @resource(needs=[pg], timeout_seconds=30)
        async def model(context: ResourceContext) -> AsyncIterator[Model]:
            yield await load(context.settings.model_path)

    What stands after the `yield` closes the value; it runs in the task that opened it.

    Args:
        function: Takes nothing, or the `ResourceContext`.
        name: The function's own if `None`.
        needs: Resources that are opened before this one, and closed after it.
        check: Raises if the value does not work; readiness asks it at most once a second.
        timeout_seconds: Longest that opening may take.
        close_timeout_seconds: Longest that closing may take; then it is cancelled and named.

    Raises:
        ConfigurationError: The function is no async generator, or an argument is refused.
    """

    def make(function: ResourceFunction[Any]) -> Resource[Any]:
        return _FunctionResource(
            function,
            check=check,
            name=name or getattr(function, "__name__", ""),
            needs=needs,
            timeout_seconds=timeout_seconds,
            close_timeout_seconds=close_timeout_seconds,
        )

    return make if function is None else make(function)


def resource_list(argument: str, given: Iterable[Resource[Any]]) -> tuple[Resource[Any], ...]:
    """Return the resources that were given.

    Raises:
        ConfigurationError: They are one instead of a list, or something in it is no resource.
    """
    if isinstance(given, Resource):
        raise ConfigurationError(f"{argument} is one resource. Give a list: [{given.name}].")
    resources = tuple(given)
    for each in resources:
        if not isinstance(each, Resource):
            raise ConfigurationError(
                f"{argument} has a {type(each).__name__} in it. Give resources: what @resource "
                "returns, or an adapter such as sturdyapi.contrib.postgres.Postgres."
            )
    return resources


def _refuse_bad_name(name: object) -> None:
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
        raise ConfigurationError(
            f"The name of a resource is {name!r}. It becomes app.state.<name>: use letters, "
            "digits and '_'."
        )
    if name in _RESERVED:
        raise ConfigurationError(
            f"A resource can't be named '{name}': app.state.{name} is the app's own. "
            "Give it another: name=."
        )


def refuse_bad_limit(what: str, seconds: object) -> None:
    """Raise a `ConfigurationError` that begins with `what`, unless it is a number above 0."""
    if not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
        raise ConfigurationError(f"{what} is {seconds!r}. Give seconds above 0.")


def _refuse_bad_function(name: str, function: object) -> None:
    if not inspect.isasyncgenfunction(function):
        raise ConfigurationError(
            f"Resource '{name}' is made of a {_kind(function)}. It takes an async generator "
            "function: `async def` with one `yield` in it, and no other decorator."
        )
    parameters = cast("Any", inspect.signature(function)).parameters
    if not all(map(_takes_the_context, parameters.values())) or len(parameters) > 1:
        shown = ", ".join(map(str, parameters.values()))
        raise ConfigurationError(
            f"The function of resource '{name}' takes ({shown}). It may take one parameter, the "
            "ResourceContext, which has the settings and, by context[other], the resources that "
            "it needs."
        )


def _takes_the_context(parameter: inspect.Parameter) -> bool:
    is_positional = parameter.kind in (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    )
    # One with a default is meant to be something else.
    return is_positional and parameter.default is inspect.Parameter.empty


def _refuse_called(function: object) -> None:
    if callable(function):
        return
    if inspect.iscoroutine(function):
        function.close()
    raise ConfigurationError(
        f"supervise() was given a {type(function).__name__}. Give the function and its arguments "
        "apart: supervise(consume, queue)."
    )


def _kind(function: object) -> str:
    if hasattr(function, "__wrapped__"):
        return "decorated function"
    if inspect.iscoroutinefunction(function):
        return "coroutine function"
    if inspect.isgeneratorfunction(function):
        return "generator function that is not async"
    return "function" if inspect.isfunction(function) else type(function).__name__
