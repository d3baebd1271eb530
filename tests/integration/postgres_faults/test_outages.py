"""A service whose PostgreSQL is killed or frozen under load, and comes back."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import count
from typing import TYPE_CHECKING

import pytest

from tests.servers.polling import eventually
from tests.servers.postgres import fetch

from .support import SLACK, Answer, Service, expect_outage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers.postgres import PostgresServer

pytestmark = [pytest.mark.heavy, pytest.mark.anyio]

CLIENTS = 300
HEAL_SECONDS = 2.0
"""How soon after the return of PostgreSQL the service is healthy."""


@pytest.fixture
def database_url(own_postgres: PostgresServer) -> str:
    """A database with a table of events."""
    url = own_postgres.new_database()
    asyncio.run(fetch(url, "create table events (id bigint primary key)"))
    return url


@pytest.fixture
def service(database_url: str, tmp_path: Path) -> Iterator[Service]:
    """A service on a server that may be killed."""
    service = Service(tmp_path, database_url)
    try:
        yield service.wait_until_it_serves()
    finally:
        service.end()


class Load:
    """Clients that write one event after another, and keep what they were told."""

    def __init__(self, service: Service) -> None:
        self.answers: list[tuple[int, Answer]] = []
        self._service = service
        self._ids = count(1)
        self._is_over = False

    async def run(self) -> None:
        """Write until it is over; ends when every client has its last answer."""
        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(self._write())

    def end(self) -> None:
        """Let every client write no more."""
        self._is_over = True

    async def wait_for_acknowledged(self, number: int) -> None:
        """Wait until so many more events have been acknowledged."""
        target = len(self.acknowledged) + number

        async def is_reached() -> bool:
            return len(self.acknowledged) >= target

        await eventually(is_reached)

    @property
    def acknowledged(self) -> set[int]:
        """Ids of the events that the service said it has."""
        return {event_id for event_id, answer in self.answers if answer.status == 200}

    @property
    def refusals(self) -> list[Answer]:
        """All other answers."""
        return [answer for _, answer in self.answers if answer.status != 200]

    async def _write(self) -> None:
        while not self._is_over:
            event_id = next(self._ids)
            answer = await self._service.ask(f"/events/{event_id}", method="POST")
            self.answers.append((event_id, answer))
            if answer.status != 200:
                await asyncio.sleep(0.1)


async def test_no_acknowledged_write_is_lost(
    own_postgres: PostgresServer, service: Service, database_url: str
) -> None:
    """PostgreSQL is killed under load: what got a 200 is there, all else got a 503 or 504."""
    load = Load(service)
    async with asyncio.TaskGroup() as group:
        group.create_task(load.run())
        for _ in range(3):
            await load.wait_for_acknowledged(CLIENTS)
            own_postgres.kill()
            await service.wait_until_ready(False)
            own_postgres.restart()
            assert await service.wait_until_ready(True) < HEAL_SECONDS * SLACK
        await load.wait_for_acknowledged(CLIENTS)
        load.end()

    stored = {row["id"] for row in await fetch(database_url, "select id from events")}
    assert load.acknowledged <= stored
    assert load.refusals
    for answer in load.refusals:
        expect_outage(answer)
    print(Counter(answer.status for _, answer in load.answers))  # noqa: T201 - seen if it fails


async def test_a_frozen_server_is_refused_in_time(
    own_postgres: PostgresServer, service: Service
) -> None:
    """PostgreSQL takes connections and is silent: every client has its answer within the limits."""
    ids = count(1)
    for _ in range(3):
        own_postgres.freeze()
        try:
            answers = await asyncio.gather(
                *(service.ask(f"/events/{next(ids)}", method="POST") for _ in range(50))
            )
            await service.wait_until_ready(False)
        finally:
            own_postgres.thaw()
        for answer in answers:
            expect_outage(answer)
        assert await service.wait_until_ready(True) < HEAL_SECONDS * SLACK
        assert (await service.ask(f"/events/{next(ids)}", method="POST")).status == 200
