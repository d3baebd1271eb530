"""Several pools in one start, on a real server: what was opened is closed, and nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sturdyapi.contrib.postgres import Postgres
from sturdyapi.exceptions import ResourceStartError
from sturdyapi.resources import open_resources
from tests.servers.polling import eventually
from tests.servers.postgres import backends

pytestmark = pytest.mark.anyio

STARTS = [(n, k) for n in range(1, 7) for k in range(1, n + 1)]


def _pools(url: str, count: int) -> list[Postgres]:
    return [Postgres(url=url, name=f"pool_{number}", max_size=1) for number in range(1, count + 1)]


async def _none_is_left(url: str) -> bool:
    async def is_none_left() -> bool:
        return await backends(url) == []

    await eventually(is_none_left)
    return True


@pytest.mark.parametrize(("n", "k"), STARTS)
async def test_a_pool_that_fails_leaves_no_connection(postgres_url: str, n: int, k: int) -> None:
    """If the k-th of n pools finds no database, it is named, and the server has no connection."""
    pools = _pools(postgres_url, n)
    pools[k - 1] = Postgres(url=f"{postgres_url}_missing", name=f"pool_{k}")

    with pytest.raises(ResourceStartError) as caught:
        async with open_resources(*pools):
            pytest.fail("The start went on without a pool.")

    assert caught.value.name == f"pool_{k}"
    assert await _none_is_left(postgres_url)


@pytest.mark.parametrize(("n", "k"), STARTS)
async def test_a_start_that_is_cancelled_leaves_no_connection(
    postgres_url: str, n: int, k: int
) -> None:
    """If the start is cancelled while the k-th of n pools opens, the server has no connection."""
    has_connected = asyncio.Event()

    async def never_ready(_connection: Any) -> None:
        has_connected.set()
        await asyncio.Event().wait()

    pools = _pools(postgres_url, n)
    pools[k - 1] = Postgres(url=postgres_url, name=f"pool_{k}", max_size=1, init=never_ready)

    async def start() -> None:
        async with open_resources(*pools):
            pytest.fail("The start went on without a pool.")

    starting = asyncio.create_task(start())
    await has_connected.wait()
    assert len(await backends(postgres_url)) == k
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting

    assert await _none_is_left(postgres_url)
