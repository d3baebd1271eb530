"""New workers take over from old ones under load, and no request is lost.

The figures stand at the end of the output of the tests.
"""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import pytest

from tests.servers.load import FIGURES, Balancer, Load
from tests.servers.polling import eventually
from tests.servers.running import SERVERS, shutdown

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.servers.load import Tally
    from tests.servers.running import Kind, Running

    Run = Callable[..., Running]
    Record = Callable[[str, object], None]

pytestmark = [pytest.mark.heavy, pytest.mark.anyio]

SHUTDOWN = shutdown(delay_seconds=1, grace_seconds=10)
"""Long enough for the balancer to notice, and for each client to send once more."""

REQUESTS_OF_A_STEP = 100
"""Requests that are answered before and after each restart."""


async def test_instances_are_replaced_behind_a_balancer(
    name: str, kind: Kind, run: Run, record_property: Record
) -> None:
    """Old instances end, one after the other, behind a balancer that asks for readiness."""
    instances = [run(kind, settings=SHUTDOWN) for _ in range(2)]
    balancer = Balancer()
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(balancer.watch())
        for instance in instances:
            await balancer.add(instance.port)
        load = Load(balancer)
        async with load.running() as tally:
            await load.answered(REQUESTS_OF_A_STEP)
            await balancer.add(run(kind, settings=SHUTDOWN).port)
            for old in instances:
                assert await asyncio.to_thread(old.end) == 0
                balancer.remove(old.port)
                await load.answered(REQUESTS_OF_A_STEP)
        watching.cancel()

    record_property(FIGURES, f"behind a balancer|{name}|{tally.figures}")
    _expect_no_loss(tally)
    assert not [pid for old in instances for pid in old.survivors()]


@pytest.mark.parametrize("name", [name for name in SERVERS if SERVERS[name].workers > 1])
async def test_workers_are_replaced_in_place(name: str, run: Run, record_property: Record) -> None:
    """SIGHUP replaces the workers behind the socket that stays open.

    Granian may close a connection that it has just taken, once or twice for each worker that goes.
    """
    kind = SERVERS[name]
    server = run(kind, settings=SHUTDOWN)
    await asyncio.to_thread(server.wait_until_ready)
    load = Load(lambda: server.port)
    async with load.running() as tally:
        await load.answered(REQUESTS_OF_A_STEP)
        old_pids = set(tally.pids)
        server.process.send_signal(signal.SIGHUP)
        await eventually(lambda: _are_replaced(server, kind))
        tally.pids.clear()
        await load.answered(REQUESTS_OF_A_STEP)

    record_property(FIGURES, f"in place|{name}|{tally.figures}")
    if name == "granian":
        assert len(tally.failures) <= 3 * kind.workers, tally.failures
    else:
        _expect_no_loss(tally)
    assert tally.pids.isdisjoint(old_pids)
    assert await asyncio.to_thread(server.end) == 0


async def test_workers_that_are_recycled_lose_nothing(run: Run, record_property: Record) -> None:
    """Trap 112: a worker that has served its number of requests makes room, under load."""
    limit = ("--", "--max-requests", "80", "--max-requests-jitter", "40")
    server = run(SERVERS["gunicorn"], *limit, settings=SHUTDOWN)
    await asyncio.to_thread(server.wait_until_ready)
    load = Load(lambda: server.port)
    async with load.running() as tally:
        await eventually(lambda: _have_been_recycled(server))
        await load.answered(REQUESTS_OF_A_STEP)

    record_property(FIGURES, f"recycled|gunicorn|{tally.figures}")
    _expect_no_loss(tally)
    assert await asyncio.to_thread(server.end) == 0


async def _have_been_recycled(server: Running) -> bool:
    assert server.process.poll() is None, server.output
    return sum("requests served" in message for message in server.messages) >= 3


async def _are_replaced(server: Running, kind: Kind) -> bool:
    assert server.process.poll() is None, server.output
    messages = server.messages
    opened, closed = messages.count("opened"), messages.count("closed")
    return opened >= 2 * kind.workers and closed >= kind.workers


def _expect_no_loss(tally: Tally) -> None:
    assert tally.failures == []
    assert tally.refused == 0
    assert tally.right == tally.sent
