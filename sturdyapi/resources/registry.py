"""The resources of one app: opened in order of need, closed in reverse."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from sturdyapi.exceptions import ConfigurationError, ResourceNotOpenError
from sturdyapi.lifespans import closing_stack

from .lifetime import Lifetime
from .resource import Resource, resource_list

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Mapping

__all__ = ["ResourceRegistry", "open_resources"]

T = TypeVar("T")


class ResourceRegistry:
    """What is open in one app; `registry[resource]` is the value.

    Attributes:
        settings: Given to `open()`.
        outer: Registry of the app in which this one's app is mounted. What is open there is shared.
    """

    def __init__(self, resources: Iterable[Resource[Any]] = ()) -> None:
        """Take resources, and all that they need.

        Raises:
            ConfigurationError: Something is no resource, or two have one name.
        """
        self._listed = resource_list("resources=", resources)
        self._resources = _in_order_of_need(self._listed, {})
        _refuse_same_names(self._resources)
        self._values: dict[Resource[Any], Any] = {}
        self._lifetimes: dict[Resource[Any], Lifetime[Any]] = {}
        self._replacements: dict[Resource[Any], Any] = {}
        self._is_running = False
        self.settings: Any = None
        self.outer: ResourceRegistry | None = None

    def __iter__(self) -> Iterator[Resource[Any]]:
        """Yield the resources in the order in which they are opened."""
        return iter(self._resources)

    def __getitem__(self, resource: Resource[T]) -> T:
        """Return the value of an open resource.

        Raises:
            ResourceNotOpenError: It is not open, or not one of this app's.
        """
        if resource in self._values:
            return self._values[resource]  # type: ignore[no-any-return]
        if self.outer is not None and resource in self.outer:
            return self.outer[resource]
        raise ResourceNotOpenError(resource.name, known=self._names(), is_running=self._is_running)

    def __contains__(self, resource: Resource[Any]) -> bool:
        """Tell whether a resource is open here, or in the app around this one."""
        return resource in self._values or (self.outer is not None and resource in self.outer)

    @asynccontextmanager
    async def open(self, settings: Any = None) -> AsyncIterator[ResourceRegistry]:
        """Open every resource, one after the other; close them in reverse.

        If one fails, or the start is cancelled, those that are open are closed, and the first
        error is raised; errors of the closing are logged.

        Raises:
            ResourceTimeoutError: A resource was too slow; it is named.
            ConfigurationError: The registry is open already, or the loop is not asyncio's.
        """
        resources = _in_order_of_need(self._listed, self._replacements)
        self._begin(settings)
        try:
            async with closing_stack() as stack:
                for resource in resources:
                    await stack.enter_async_context(self._opened(resource))
                yield self
        finally:
            self._is_running = False

    @contextmanager
    def replaced(self, replacements: Mapping[Resource[Any], Any]) -> Iterator[None]:
        """Put other values in place of resources, for tests, as long as the block lasts.

        A replaced resource is not opened, nor is what only it needs. A value that is a resource
        itself is opened in its place.

        Raises:
            ConfigurationError: A key is none of the app's resources.
        """
        for resource in replacements:
            if not isinstance(resource, Resource):
                raise ConfigurationError(
                    f"resources= has a {type(resource).__name__} as a key. Give the resource "
                    "itself, not its name: {pg: ...}."
                )
            if resource not in self._resources:
                raise ConfigurationError(
                    f"Resource '{getattr(resource, 'name', resource)}' can't be replaced: the app "
                    f"does not have it. It has: {', '.join(self._names()) or 'none'}."
                )
        before = self._replacements
        self._replacements = {**before, **replacements}
        try:
            yield
        finally:
            self._replacements = before

    def values(self) -> Mapping[str, Any]:
        """Return the open values by the names of their resources."""
        return {resource.name: value for resource, value in self._values.items()}

    async def check(self, resource: Resource[Any]) -> None:
        """Raise if a resource, or a task that it supervises, does not work."""
        lifetime = self._lifetimes.get(resource)
        if lifetime is not None:
            lifetime.raise_fault()
            await resource.check(self[resource])
        elif isinstance(replacement := self._replacements.get(resource), Resource):
            await self.check(replacement)
        elif self.outer is not None:
            await self.outer.check(resource)

    @asynccontextmanager
    async def _opened(self, resource: Resource[Any]) -> AsyncIterator[None]:
        lifetime: Lifetime[Any] | None = None
        if resource in self._replacements:
            source = self._replacements[resource]
            value = self._values[source] if isinstance(source, Resource) else source
        elif self.outer is not None and resource in self.outer:
            value = self.outer[resource]
        else:
            lifetime = Lifetime(resource, self)
            value = await lifetime.opened()
            self._lifetimes[resource] = lifetime
        self._values[resource] = value
        try:
            yield
        finally:
            del self._values[resource]
            if lifetime is not None:
                del self._lifetimes[resource]
                await lifetime.close()

    def _begin(self, settings: Any) -> None:
        if self._resources:
            self._refuse_second_start()
            _refuse_other_loops()
        self._is_running = True
        self.settings = settings

    def _refuse_second_start(self) -> None:
        if self._is_running:
            raise ConfigurationError(
                "The app's lifespan was started while it runs, and its resources are open. "
                "Make an app for each, or wait until the first has ended."
            )

    def _names(self) -> list[str]:
        outer = [] if self.outer is None else self.outer._names()  # noqa: SLF001 - of this class
        return [each.name for each in self._resources] + outer


@asynccontextmanager
async def open_resources(
    *resources: Resource[Any], settings: Any = None
) -> AsyncIterator[ResourceRegistry]:
    """Open resources outside an app, for scripts and workers; `opened[pg]` is the value.

        async with open_resources(pg, settings=Settings.load()) as opened:
            async with opened[pg].acquire() as connection: ...

    Raises:
        ResourceTimeoutError: A resource was too slow; it is named.
    """
    async with ResourceRegistry(resources).open(settings) as registry:
        yield registry


def _in_order_of_need(
    resources: Iterable[Resource[Any]], replacements: Mapping[Resource[Any], Any]
) -> tuple[Resource[Any], ...]:
    ordered: dict[Resource[Any], None] = {}
    for resource in resources:
        _add_with_needs(resource, ordered, replacements, ())
    return tuple(ordered)


def _add_with_needs(
    resource: Resource[Any],
    ordered: dict[Resource[Any], None],
    replacements: Mapping[Resource[Any], Any],
    waiting: tuple[Resource[Any], ...],
) -> None:
    if resource in ordered:
        return
    if resource in waiting:
        names = " needs ".join(each.name for each in (*waiting, resource))
        raise ConfigurationError(f"Resources need each other in a circle: {names}.")
    for need in _needs(resource, replacements):
        _add_with_needs(need, ordered, replacements, (*waiting, resource))
    ordered[resource] = None


def _needs(
    resource: Resource[Any], replacements: Mapping[Resource[Any], Any]
) -> tuple[Resource[Any], ...]:
    if resource not in replacements:
        return resource.needs
    source = replacements[resource]
    return (source,) if isinstance(source, Resource) else ()


def _refuse_same_names(resources: Iterable[Resource[Any]]) -> None:
    by_name: dict[str, Resource[Any]] = {}
    for resource in resources:
        if by_name.setdefault(resource.name, resource) is not resource:
            raise ConfigurationError(
                f"Two resources are named '{resource.name}'. Give one of them another: name=."
            )


def _refuse_other_loops() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError(
            "Resources run on asyncio, and this app was started on another event loop, such as "
            "trio's. Start it on asyncio, as servers do."
        ) from None
