"""The contract: what an open adapter does while its server is well."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest

from sturdyapi.exceptions import DeadlineExceededError, UnavailableError
from sturdyapi.resources import Adapter
from tests.servers.polling import eventually

from .harness import POOL_SIZE, SLACK, WAIT_SECONDS, Harness

pytestmark = pytest.mark.anyio


async def _expect_all_free(harness: Harness, adapter: Adapter[Any], value: Any) -> None:
    """Fail unless every connection can be had, at the same time."""
    assert adapter.connections(value).in_use == 0

    async def all_can_be_held() -> bool:
        with suppress(UnavailableError):
            async with AsyncExitStack() as stack:
                for _ in range(POOL_SIZE):
                    await stack.enter_async_context(harness.hold(value))
                return adapter.connections(value) == (POOL_SIZE, POOL_SIZE, POOL_SIZE)
        return False

    # A busy server may need a moment more to stop what nobody waits for any more.
    await eventually(all_can_be_held, timeout_seconds=2 * WAIT_SECONDS * SLACK)
    assert adapter.connections(value).in_use == 0


async def test_connections_are_counted(harness: Harness) -> None:
    """`connections()` tells how many are handed out, open, and possible."""
    adapter = harness.adapter()
    async with harness.opened(adapter) as value:
        for _ in range(3):
            assert adapter.connections(value).in_use == 0
            assert adapter.connections(value).limit == POOL_SIZE
            async with harness.hold(value):
                assert adapter.connections(value).in_use == 1
                async with harness.hold(value):
                    assert adapter.connections(value).in_use == 2
                assert adapter.connections(value).in_use == 1
        await _expect_all_free(harness, adapter, value)


async def test_the_count_agrees_with_the_servers(harness: Harness) -> None:
    """As many connections as `connections()` calls open are open at the server."""
    adapter = harness.adapter()
    before = await harness.connections_at_server()
    async with harness.opened(adapter) as value:
        await harness.wait_for_connections(before + adapter.connections(value).open)
        async with harness.hold(value), harness.hold(value):
            await harness.wait_for_connections(before + adapter.connections(value).open)


async def test_the_check_passes(harness: Harness) -> None:
    """Readiness is green, three times over, and keeps no connection."""
    adapter = harness.adapter()
    async with harness.opened(adapter) as value:
        for _ in range(3):
            await adapter.check(value)
            assert adapter.connections(value).in_use == 0


async def test_an_exhausted_pool_is_503_within_its_limit(harness: Harness) -> None:
    """Trap 59: who waits too long for a connection is told to try again, instead of never."""
    adapter = harness.adapter()
    async with harness.opened(adapter) as value:
        for _ in range(3):
            async with harness.hold(value), harness.hold(value):
                outage = await harness.outage_of(adapter, harness.ask, value)
            assert isinstance(outage, UnavailableError)
            assert outage.retry_after_seconds >= 1
            await _expect_all_free(harness, adapter, value)


async def test_a_slow_answer_is_504_within_its_limit(harness: Harness) -> None:
    """What takes longer than its limit is given up, and the connection is good again."""
    adapter = harness.adapter()
    async with harness.opened(adapter) as value:
        for _ in range(3):
            outage = await harness.outage_of(adapter, harness.ask_slow, value)
            assert isinstance(outage, DeadlineExceededError)
            await _expect_all_free(harness, adapter, value)


async def test_an_error_of_a_statement_stays_the_drivers_own(harness: Harness) -> None:
    """What the server refuses is no outage, and costs no connection."""
    adapter = harness.adapter()
    async with harness.opened(adapter) as value:
        for _ in range(3):
            with pytest.raises(Exception) as caught:  # noqa: PT011 - each driver has its own
                await harness.ask_wrong(value)
            assert adapter.translate(caught.value) is None
            await _expect_all_free(harness, adapter, value)


async def test_an_error_of_the_users_costs_no_connection(harness: Harness) -> None:
    """An error in the code that holds a connection gives the connection back."""
    adapter = harness.adapter()
    async with harness.opened(adapter) as value:
        for _ in range(3):
            with pytest.raises(KeyError):
                async with harness.hold(value):
                    raise KeyError("the user's own")
            await _expect_all_free(harness, adapter, value)


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 8, 13, 21])
async def test_a_cancelled_question_costs_no_connection(harness: Harness, steps: int) -> None:
    """A question that is cancelled, at whatever step, gives its connection back."""
    adapter = harness.adapter()
    async with harness.opened(adapter) as value:
        for _ in range(3):
            tasks = [asyncio.create_task(harness.ask_slow(value)) for _ in range(POOL_SIZE)]
            for _ in range(steps):
                await asyncio.sleep(0.001)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await _expect_all_free(harness, adapter, value)


async def test_a_cancelled_wait_for_a_connection_costs_none(harness: Harness) -> None:
    """Who gives up waiting does not take the connection that comes free in the same moment."""
    adapter = harness.adapter()
    async with harness.opened(adapter) as value:
        for _ in range(3):
            async with harness.hold(value), harness.hold(value):
                waiting = asyncio.create_task(harness.ask(value))
                await asyncio.sleep(0.01)
            waiting.cancel()
            await asyncio.wait({waiting})
            await _expect_all_free(harness, adapter, value)
