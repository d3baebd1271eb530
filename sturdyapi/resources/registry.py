"""The resources of one app: opened in order of need, closed in reverse."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from sturdyapi.exceptions import ConfigurationError, ResourceNotOpenError
from sturdyapi.lifespans import closing_stack

from .lifetime import Lifetime
from .resource import Resource

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
        self._resources = _in_order_of_need(resources)
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
        try:
            return self._values[resource]  # type: ignore[no-any-return]
        except KeyError:
            if self.outer is not None and resource not in self._resources:
                return self.outer[resource]
            raise self._not_open(resource) from None

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
            ConfigurationError: The registry is open already.
        """
        self._begin(settings)
        try:
            async with closing_stack() as stack:
                for resource in self._resources:
                    await stack.enter_async_context(self._opened(resource))
                yield self
        finally:
            self._is_running = False

    @contextmanager
    def replaced(self, replacements: Mapping[Resource[Any], Any]) -> Iterator[None]:
        """Put other values in place of resources, for tests, as long as the block lasts.

        A replaced resource is not opened. A value that is a resource itself is opened in its place.

        Raises:
            ConfigurationError: A key is none of the app's resources.
        """
        for resource in replacements:
            if resource not in self._resources:
                raise ConfigurationError(
                    f"{resource!r} can't be replaced: the app does not have it. "
                    f"It has: {', '.join(each.name for each in self._resources) or 'none'}."
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
            await lifetime.resource.check(self[resource])

    @asynccontextmanager
    async def _opened(self, resource: Resource[Any]) -> AsyncIterator[None]:
        source = self._replacements.get(resource, resource)
        if self.outer is not None and source in self.outer:
            self._values[resource] = self.outer[source]
        elif isinstance(source, Resource):
            lifetime = self._lifetimes[resource] = Lifetime(source, self)
            try:
                self._values[resource] = await lifetime.opened()
            except BaseException:
                del self._lifetimes[resource]
                raise
        else:
            self._values[resource] = source
        try:
            yield
        finally:
            del self._values[resource]
            if (open_one := self._lifetimes.pop(resource, None)) is not None:
                await open_one.close()

    def _begin(self, settings: Any) -> None:
        if self._is_running and self._resources:
            raise ConfigurationError(
                "The app's lifespan runs twice at the same time, and its resources are open. "
                "Make an app for each, or wait until the first has ended."
            )
        self._is_running = True
        self.settings = settings

    def _not_open(self, resource: Resource[Any]) -> ResourceNotOpenError:
        known = [each.name for each in self._resources]
        if self.outer is not None:
            known += [each.name for each in self.outer]
        return ResourceNotOpenError(resource.name, known=known, is_running=self._is_running)


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


def _in_order_of_need(resources: Iterable[Resource[Any]]) -> tuple[Resource[Any], ...]:
    ordered: dict[Resource[Any], None] = {}
    for resource in resources:
        _add_with_needs(resource, ordered)
    by_name: dict[str, Resource[Any]] = {}
    for resource in ordered:
        other = by_name.setdefault(resource.name, resource)
        if other is not resource:
            raise ConfigurationError(
                f"Two resources are named '{resource.name}'. Give one of them another: name=."
            )
    return tuple(ordered)


def _add_with_needs(resource: Resource[Any], ordered: dict[Resource[Any], None]) -> None:
    if not isinstance(resource, Resource):
        raise ConfigurationError(
            f"resources= has a {type(resource).__name__} in it. Give resources: what @resource "
            "returns, or an adapter such as sturdyapi.contrib.postgres.Postgres."
        )
    for need in resource.needs:
        _add_with_needs(need, ordered)
    ordered.setdefault(resource)
