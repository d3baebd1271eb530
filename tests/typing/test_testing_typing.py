"""What a type checker knows of the client; mypy reads the assertions, pytest runs them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import assert_type

import httpx2
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from sturdyapi import BaseSettings, create_app, resource
from sturdyapi.testing import AppUnderTest, AsyncServiceClient, ServiceClient, client


async def current_user() -> str:
    """Find out who calls."""
    return "nobody"


@resource
async def pg() -> AsyncIterator[str]:
    """Open a pool."""
    yield "pg"


def test_with_gives_a_test_client() -> None:
    """`with client(...)` gives what has all of a `TestClient`."""
    under_test = assert_type(client(FastAPI(), as_={current_user: "alice"}), AppUnderTest)

    with under_test as c:
        assert_type(c, ServiceClient)
        assert_type(c.get("/").status_code, int)
        assert isinstance(c, TestClient)


@pytest.mark.anyio
async def test_async_with_gives_an_async_client() -> None:
    """`async with client(...)` gives what has all of an `httpx2.AsyncClient`."""
    app = create_app(BaseSettings(environment="testing"), resources=[pg], logs=False)

    async with client(app, resources={pg: "fake"}, settings={"workers": 2}) as c:
        assert_type(c, AsyncServiceClient)
        assert_type(await c.get("/"), httpx2.Response)
        assert isinstance(c, httpx2.AsyncClient)


def test_wrong_arguments_are_errors() -> None:
    """A name in place of a dependency, or of a resource, is refused by the type checker."""
    client(FastAPI(), as_={"current_user": "alice"})  # type: ignore[dict-item]
    client(FastAPI(), resources={"pg": "fake"})  # type: ignore[dict-item]
    with pytest.raises(TypeError):
        client(FastAPI(), raise_server_exception=False)  # type: ignore[call-arg]
