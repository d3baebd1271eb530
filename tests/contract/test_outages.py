"""The contract: what an adapter does while its server is dead or frozen, and afterwards."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from functools import partial
from typing import Any

import anyio
import pytest

from sturdyapi.exceptions import OutageError, ResourceStartError, ResourceTimeoutError
from sturdyapi.resources import Adapter
from tests.servers.polling import eventually

from .harness import POOL_SIZE, SLACK, WAIT_SECONDS, Harness

pytestmark = pytest.mark.anyio

CANCELLED_SECONDS = 2.0
"""What a resource has to undo its opening."""

HEAL_SECONDS = 2.0
"""How soon after the return of its server an adapter works again."""


async def _expect_healing(harness: Harness, adapter: Adapter[Any], value: Any) -> None:
    """Fail unless the adapter serves all its connections again, soon, and without reopening."""
    errors: list[object] = []

    async def is_well() -> bool:
        questions = (harness.ask(value) for _ in range(POOL_SIZE))
        results = await asyncio.gather(*questions, adapter.check(value), return_exceptions=True)
        errors.extend(result for result in results if result is not None)
        return results == [None] * len(results)

    try:
        await eventually(is_well, timeout_seconds=HEAL_SECONDS * SLACK)
    except TimeoutError:
        pytest.fail(f"does not heal: {errors[-1:]}")
    assert adapter.connections(value).in_use == 0


async def test_opening_against_a_dead_server_is_one_sentence(own_harness: Harness) -> None:
    """A server that refuses connections ends the start, with the reason."""
    with own_harness.dead(), pytest.raises(ResourceStartError) as caught:
        async with own_harness.opened(own_harness.adapter()):
            pass
    assert "\n" not in str(caught.value)
    assert own_harness.password not in str(caught.value)


async def test_opening_against_a_frozen_server_ends_in_time(own_harness: Harness) -> None:
    """Trap 79: a server that never answers ends the start, within the limit, and is named."""
    before = await own_harness.connections_at_server()
    adapter = own_harness.adapter(timeout_seconds=WAIT_SECONDS)
    for _ in range(3):
        with own_harness.frozen():
            started = anyio.current_time()
            with pytest.raises(ResourceTimeoutError, match=adapter.name):
                async with own_harness.opened(adapter):
                    pass
            took = anyio.current_time() - started
        assert took < (WAIT_SECONDS + CANCELLED_SECONDS) * SLACK
        await own_harness.wait_for_connections(before)


async def test_a_cancelled_opening_against_a_frozen_server_ends(own_harness: Harness) -> None:
    """A start that hangs can be cancelled, and leaves no connection."""
    before = await own_harness.connections_at_server()
    with own_harness.frozen():
        with anyio.move_on_after(0.1) as limit:
            async with own_harness.opened(own_harness.adapter()):
                pass
        assert limit.cancelled_caught
    await own_harness.wait_for_connections(before)


async def test_the_check_raises_when_the_server_is_dead(own_harness: Harness) -> None:
    """Readiness turns red."""
    adapter = own_harness.adapter()
    async with own_harness.opened(adapter) as value:
        with own_harness.dead():
            for _ in range(3):
                with anyio.fail_after(WAIT_SECONDS * SLACK), pytest.raises(Exception):  # noqa: B017, PT011
                    await adapter.check(value)
        await _expect_healing(own_harness, adapter, value)


async def test_the_check_ends_when_it_is_cancelled(own_harness: Harness) -> None:
    """Readiness answers in time though the server is frozen."""
    adapter = own_harness.adapter(wait_seconds=60)
    async with own_harness.opened(adapter) as value:
        for _ in range(3):
            with own_harness.frozen():
                started = anyio.current_time()
                with anyio.move_on_after(WAIT_SECONDS) as limit:
                    await adapter.check(value)
                assert limit.cancelled_caught
                assert anyio.current_time() - started < WAIT_SECONDS * SLACK
            await _expect_healing(own_harness, adapter, value)


async def test_a_dead_server_is_an_outage(own_harness: Harness) -> None:
    """A question to a dead server is answered as 503 or 504, within its limit."""
    adapter = own_harness.adapter()
    async with own_harness.opened(adapter) as value:
        for _ in range(3):
            with own_harness.dead():
                for _ in range(POOL_SIZE + 1):
                    assert isinstance(
                        await own_harness.outage_of(adapter, own_harness.ask, value), OutageError
                    )
                    assert adapter.connections(value).in_use == 0
            await _expect_healing(own_harness, adapter, value)


async def test_a_server_that_dies_during_an_answer_is_an_outage(own_harness: Harness) -> None:
    """A question that is under way when the server dies is answered as 503 or 504."""
    adapter = own_harness.adapter(wait_seconds=60)
    async with own_harness.opened(adapter) as value:
        for _ in range(3):
            asking = asyncio.create_task(
                own_harness.outage_of(adapter, own_harness.ask_slow, value)
            )
            await asyncio.sleep(0.1)
            with own_harness.dead():
                await asking
            await _expect_healing(own_harness, adapter, value)


async def test_a_frozen_server_is_an_outage(own_harness: Harness) -> None:
    """A question that a server takes and never answers is given up within its limit."""
    adapter = own_harness.adapter()
    async with own_harness.opened(adapter) as value:
        for _ in range(3):
            with own_harness.frozen():
                ask = partial(own_harness.outage_of, adapter, own_harness.ask, value)
                await asyncio.gather(*(ask() for _ in range(POOL_SIZE + 1)))
                assert adapter.connections(value).in_use == 0
            await _expect_healing(own_harness, adapter, value)


async def test_closing_is_bounded_though_the_server_is_frozen(own_harness: Harness) -> None:
    """An app ends in time though its server does not say goodbye."""
    before = await own_harness.connections_at_server()
    adapter = own_harness.adapter(close_timeout_seconds=WAIT_SECONDS)
    for _ in range(3):
        with ExitStack() as stack:
            async with own_harness.opened(adapter) as value:
                await own_harness.ask(value)
                stack.enter_context(own_harness.frozen())
                started = anyio.current_time()
            took = anyio.current_time() - started
        assert took < (WAIT_SECONDS + CANCELLED_SECONDS) * SLACK
        await own_harness.wait_for_connections(before)
