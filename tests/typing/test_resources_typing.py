"""What a type checker knows of resources; mypy reads the assertions, pytest runs them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import assert_type

import pytest

from sturdyapi import Resource, ResourceContext, create_app, open_resources, resource
from sturdyapi.resources import ResourceRegistry
from sturdyapi.settings import BaseSettings


class Pool:
    """What a resource opens."""


@resource
async def pool() -> AsyncIterator[Pool]:
    """Bare."""
    yield Pool()


@resource()
async def called() -> AsyncIterator[Pool]:
    """With nothing in the brackets."""
    yield Pool()


async def ping(_pool: Pool) -> bool:
    """Check."""
    return True


@resource(name="checked", needs=[pool], check=ping, timeout_seconds=5, close_timeout_seconds=5)
async def everything(context: ResourceContext) -> AsyncIterator[Pool]:
    """With everything."""
    yield assert_type(context[pool], Pool)


@resource
async def with_context(context: ResourceContext) -> AsyncIterator[int]:
    """With the context."""
    yield 1


class Client(Resource[str]):
    """A class of one's own."""

    def open(self, context: ResourceContext) -> AbstractAsyncContextManager[str]:
        """Open it."""
        return self._opened()

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[str]:
        yield "open"


def test_every_form_of_the_decorator_keeps_the_type() -> None:
    """`@resource` makes a `Resource[T]` of a function that yields a `T`."""
    assert_type(pool, Resource[Pool])
    assert_type(called, Resource[Pool])
    assert_type(everything, Resource[Pool])
    assert_type(with_context, Resource[int])


def test_a_wrong_check_is_an_error() -> None:
    """A check of another type of value is refused by the type checker."""

    async def check_number(_number: int) -> None: ...

    @resource(check=check_number)  # type: ignore[arg-type]
    async def wrong() -> AsyncIterator[Pool]:
        yield Pool()


@pytest.mark.anyio
async def test_values_have_the_type_of_their_resource() -> None:
    """`opened[resource]` is a `T`, in scripts and in apps."""
    client = Client("client")

    async with open_resources(pool, everything, client) as opened:
        assert_type(opened, ResourceRegistry)
        assert_type(opened[pool], Pool)
        assert_type(opened[client], str)

    app = create_app(BaseSettings(environment="testing"), resources=[pool, client], logs=False)
    async with app.router.lifespan_context(app):
        assert_type(app.resources[client], str)
        assert isinstance(app.resources[pool], Pool)
