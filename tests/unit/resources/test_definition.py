"""What may be a resource, and what is said of that which may not."""

from __future__ import annotations

import functools
import math
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sturdyapi.exceptions import ConfigurationError
from sturdyapi.resources import Resource, ResourceContext, open_resources, resource


async def pool() -> AsyncIterator[int]:
    """Give a pool."""
    yield 1


def refusal(make: Callable[[], object]) -> str:
    """Return what is said when a resource is refused."""
    with pytest.raises(ConfigurationError) as caught:
        make()
    return str(caught.value)


# Forms.


def test_a_function_becomes_a_resource() -> None:
    """`@resource` names the resource after its function, and gives limits of ten seconds."""
    made = resource(pool)

    assert isinstance(made, Resource)
    assert (made.name, made.needs) == ("pool", ())
    assert (made.timeout_seconds, made.close_timeout_seconds) == (10, 10)
    assert repr(made) == "<Resource 'pool'>"
    assert made.__doc__ == "Give a pool."


def test_arguments_of_a_resource() -> None:
    """`@resource(...)` takes a name, needs, and limits."""
    first = resource(pool)
    second = resource(name="second", needs=[first], timeout_seconds=1, close_timeout_seconds=2)(
        pool
    )

    assert (second.name, second.needs) == ("second", (first,))
    assert (second.timeout_seconds, second.close_timeout_seconds) == (1, 2)


def test_one_function_may_become_two_resources() -> None:
    """Two resources of one function are two resources."""
    assert resource(pool) is not resource(pool)
    assert resource(pool).value != resource(pool).value


def test_the_value_is_one_dependency() -> None:
    """`resource.value` is always the same `Depends`, which FastAPI asks once a request."""
    made = resource(pool)

    assert made.value is made.value
    assert made.value.dependency == made.value.dependency


class Pools:
    """A place for functions that are methods."""

    async def pool(self, context: ResourceContext) -> AsyncIterator[str]:
        """Give what the settings say."""
        yield f"pool of {context.settings}"


@pytest.mark.anyio
async def test_methods_and_partials_are_functions() -> None:
    """A method, or a function with some arguments given, is a function as any other."""

    async def sized(size: int, context: ResourceContext) -> AsyncIterator[str]:
        yield f"{size} of {context.settings}"

    method = resource(Pools().pool)
    partial = resource(name="partial")(functools.partial(sized, 5))

    async with open_resources(method, partial, settings="us") as opened:
        assert (opened[method], opened[partial]) == ("pool of us", "5 of us")


# Names.


@pytest.mark.parametrize("name", ["", "my pool", "a-b", "1st", "class", "x.y"])
def test_a_name_is_one_of_python(name: str) -> None:
    """The name of a resource has to work as an attribute."""
    assert refusal(lambda: Resource[int](name)) == (
        f"The name of a resource is {name!r}. It becomes app.state.<name>: use letters, digits "
        "and '_'."
    )


def test_settings_is_taken() -> None:
    """`app.state.settings` is what it always was."""
    assert refusal(lambda: Resource[int]("settings")) == (
        "A resource can't be named 'settings': app.state.settings is the app's own. "
        "Give it another: name=."
    )


def test_what_has_no_name_needs_one() -> None:
    """What has no name of its own needs `name=`."""
    nameless: Any = functools.partial(pool)

    assert "The name of a resource is ''" in refusal(lambda: resource(nameless))


# Limits.


@pytest.mark.parametrize("seconds", [0, -1, math.inf, math.nan, None, "5"])
@pytest.mark.parametrize("which", ["timeout_seconds", "close_timeout_seconds"])
def test_a_limit_is_a_time(which: str, seconds: Any) -> None:
    """Each limit is a time above zero that ends."""
    make: Any = resource

    assert refusal(lambda: make(**{which: seconds})(pool)) == (
        f"A time limit of resource 'pool' is {seconds!r}. Give seconds above 0."
    )


# Needs.


def test_needs_are_resources() -> None:
    """`needs=` takes a list of resources; a function that is none yet is told."""
    assert refusal(lambda: resource(name="x", needs=[pool])(pool)) == (  # type: ignore[list-item]
        "needs= of resource 'x' has a function in it. Give resources: what @resource returns, or "
        "an adapter such as sturdyapi.contrib.postgres.Postgres."
    )
    assert refusal(lambda: resource(name="x", needs=resource(pool))(pool)) == (  # type: ignore[call-overload]
        "needs= of resource 'x' is one resource. Give a list: [pool]."
    )


# Functions.


async def coroutine() -> int:
    """Return instead of yielding."""
    return 1


def generator() -> Iterator[int]:
    """Yield without async."""
    yield 1


def function() -> int:
    """Return a value."""
    return 1


class PoolClass:
    """A class whose objects would be called."""


@pytest.mark.parametrize(
    ("what", "kind"),
    [
        (coroutine, "coroutine function"),
        (generator, "generator function that is not async"),
        (function, "function"),
        (asynccontextmanager(pool), "decorated function"),
    ],
)
def test_a_function_is_an_async_generator(what: Any, kind: str) -> None:
    """What is no async generator function is told by what it is."""
    name = what.__name__
    assert refusal(lambda: resource(what)) == (
        f"Resource '{name}' is made of a {kind}. It takes an async generator function: "
        "`async def` with one `yield` in it, and no other decorator."
    )


@pytest.mark.parametrize(("what", "kind"), [(5, "int"), (PoolClass(), "PoolClass")])
def test_a_function_is_a_function(what: Any, kind: str) -> None:
    """Objects are refused."""
    assert f"is made of a {kind}." in refusal(lambda: resource(name="x")(what))


async def two(first: ResourceContext, second: int) -> AsyncIterator[int]:
    """Take too much."""
    yield 1


async def keyword_only(*, context: ResourceContext) -> AsyncIterator[int]:
    """Take it by name."""
    yield 1


async def defaulted(size: int = 5) -> AsyncIterator[int]:
    """Take something else."""
    yield 1


async def variadic(*args: int) -> AsyncIterator[int]:
    """Take anything."""
    yield 1


@pytest.mark.parametrize(
    ("what", "shown"),
    [
        (two, "first: 'ResourceContext', second: 'int'"),
        (keyword_only, "context: 'ResourceContext'"),
        (defaulted, "size: 'int' = 5"),
        (variadic, "*args: 'int'"),
    ],
)
def test_a_function_takes_the_context_or_nothing(what: Any, shown: str) -> None:
    """Any other parameter is refused: nothing would be put there."""
    assert refusal(lambda: resource(what)) == (
        f"The function of resource '{what.__name__}' takes ({shown}). It may take one parameter, "
        "the ResourceContext, which has the settings and, by context[other], the resources that it "
        "needs."
    )
