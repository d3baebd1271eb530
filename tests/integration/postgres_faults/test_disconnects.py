"""Clients that leave before their answer is complete."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.servers.polling import eventually
from tests.servers.postgres import backends

from .support import POOL_SIZE, Service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.heavy, pytest.mark.anyio]

CLIENTS = 1000
BATCH = 25


@pytest.fixture
def service(postgres_url: str, tmp_path: Path) -> Iterator[Service]:
    """A service on a database of its own."""
    service = Service(tmp_path, postgres_url)
    try:
        yield service.wait_until_it_serves()
    finally:
        service.end()


async def _leave_during_query(service: Service) -> None:
    _, writer = await service.send("/sleep?seconds=0.02")
    await writer.drain()
    await asyncio.sleep(0.01)
    writer.transport.abort()


async def _leave_during_stream(service: Service) -> bool:
    reader, writer = await service.send("/stream")
    head = await reader.readline()
    writer.transport.abort()
    return b" 200 " in head


async def _wait_until_all_are_free(service: Service) -> None:
    async def is_free() -> bool:
        return bool((await service.ask("/connections")).json["in_use"] == 0)

    await eventually(is_free)


async def _expect_whole_pool(service: Service, url: str) -> None:
    """Fail unless every connection is free, works, and is idle at the server."""
    await _wait_until_all_are_free(service)

    async def is_idle() -> bool:
        return set(await backends(url)) <= {"idle"}

    await eventually(is_idle)
    parallel = [service.ask("/sleep?seconds=0.5") for _ in range(POOL_SIZE)]
    answers = await asyncio.gather(*parallel)
    assert [answer.status for answer in answers] == [200] * POOL_SIZE
    assert len({answer.json for answer in answers}) == POOL_SIZE
    assert await backends(url) == ["idle"] * POOL_SIZE


async def test_clients_that_leave_during_a_query_cost_no_connection(
    service: Service, postgres_url: str
) -> None:
    """1,000 clients leave while their query runs, or waits: the pool is whole afterwards."""
    for _ in range(CLIENTS // BATCH):
        await asyncio.gather(*(_leave_during_query(service) for _ in range(BATCH)))
        await _wait_until_all_are_free(service)
    await _expect_whole_pool(service, postgres_url)


async def test_clients_that_leave_during_a_stream_cost_no_connection(
    service: Service, postgres_url: str
) -> None:
    """1,000 clients leave in the middle of a streaming body: the pool is whole afterwards."""
    left_streams = 0
    for _ in range(CLIENTS // BATCH):
        left = await asyncio.gather(*(_leave_during_stream(service) for _ in range(BATCH)))
        left_streams += sum(left)
    assert left_streams == CLIENTS
    await _expect_whole_pool(service, postgres_url)
