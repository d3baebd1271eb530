"""Uvicorn's server that drains, in a thread of the test's process."""

from __future__ import annotations

import asyncio
import http.client
import signal
import socket
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, contextmanager
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn

from sturdyapi import BaseSettings, create_app
from sturdyapi.serving.uvicorn.server import Server
from tests.servers.polling import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from fastapi import FastAPI

DEADLINE_SECONDS = 20.0


class Service:
    """A server with an app that has a slow endpoint, running in a thread."""

    def __init__(self, *, delay_seconds: float, options: dict[str, Any]) -> None:
        self.is_closed = False
        self.has_begun = Event()
        self.may_end = Event()
        self.socket = socket.create_server(("127.0.0.1", 0))
        settings = BaseSettings(
            environment="testing",
            shutdown_delay_seconds=delay_seconds,
            shutdown_grace_seconds=DEADLINE_SECONDS,
        )
        app = create_app(settings, lifespan=self._lifespan, logs=False)
        app.get("/slow")(self._slow)
        supervised = options.pop("supervised", False)
        config = uvicorn.Config(app, log_config=None, access_log=False, **options)
        self.server = Server(config, supervised=supervised)

    @asynccontextmanager
    async def _lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        yield
        self.is_closed = True

    async def _slow(self) -> str:
        self.has_begun.set()
        while not self.may_end.is_set():  # noqa: ASYNC110 - it is set by a thread
            await asyncio.sleep(0.01)
        return "whole"

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body."""
        port = self.socket.getsockname()[1]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_SECONDS)
        with closing(connection):
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()

    def signal(self, *numbers: int) -> None:
        """Do what the handler of a signal does."""
        for number in numbers:
            self.server.handle_exit(number, None)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    """Threads for a server and its clients."""
    with ThreadPoolExecutor() as executor:
        yield executor


@contextmanager
def served(
    threads: ThreadPoolExecutor, *, delay_seconds: float = 0, **options: Any
) -> Iterator[tuple[Service, Future[None]]]:
    """Run a service; it has to end by itself, in time."""
    service = Service(delay_seconds=delay_seconds, options=options)
    running = threads.submit(service.server.run, sockets=[service.socket])
    until(lambda: service.server.started or running.done())
    try:
        yield service, running
    finally:
        service.may_end.set()
        if not running.done():
            service.signal(signal.SIGTERM)
        running.result(DEADLINE_SECONDS)


def test_what_is_running_finishes(threads: ThreadPoolExecutor) -> None:
    """A request that is running at SIGTERM gets its answer, and the app is closed after it."""
    with served(threads) as (service, running):
        slow = threads.submit(service.get, "/slow")
        assert service.has_begun.wait(DEADLINE_SECONDS)
        service.signal(signal.SIGTERM)
        until(lambda: service.server.should_exit)
        service.may_end.set()
        assert slow.result(DEADLINE_SECONDS) == (200, '"whole"')
        running.result(DEADLINE_SECONDS)
    assert service.is_closed
    assert service.server.exit_code == 0


def test_not_ready_comes_before_the_closing(threads: ThreadPoolExecutor) -> None:
    """Trap 110: between readiness and the sockets there is a delay in which requests are taken."""
    with served(threads, delay_seconds=DEADLINE_SECONDS) as (service, _):
        assert service.get("/health/ready")[0] == 200
        service.signal(signal.SIGTERM)
        until(lambda: service.get("/health/ready")[0] == 503)
        service.may_end.set()
        assert service.get("/slow") == (200, '"whole"')
        assert service.get("/health/live")[0] == 200


def test_a_second_signal_cuts_off_what_runs(threads: ThreadPoolExecutor) -> None:
    """Nobody waits any more; the app is closed all the same, and the exit code tells."""
    with served(threads, delay_seconds=DEADLINE_SECONDS) as (service, running):
        slow = threads.submit(service.get, "/slow")
        assert service.has_begun.wait(DEADLINE_SECONDS)
        service.signal(signal.SIGTERM, signal.SIGINT)
        running.result(DEADLINE_SECONDS)
        assert slow.result(DEADLINE_SECONDS)[0] == 500
    assert service.is_closed
    assert service.server.exit_code == 128 + signal.SIGINT


def test_a_supervised_server_leaves_interrupts_to_its_parent(threads: ThreadPoolExecutor) -> None:
    """Ctrl-C reaches every process of a terminal: only the parent's word counts."""
    with served(threads, supervised=True) as (service, running):
        service.signal(signal.SIGINT, signal.SIGINT)
        service.may_end.set()
        assert service.get("/slow")[0] == 200
        assert not running.done()
    assert service.server.exit_code == 0


def test_a_service_manager_may_signal_every_process(threads: ThreadPoolExecutor) -> None:
    """A SIGTERM to parent and children reaches a child twice, as with systemd: it counts once."""
    with served(threads, supervised=True) as (service, running):
        slow = threads.submit(service.get, "/slow")
        assert service.has_begun.wait(DEADLINE_SECONDS)
        service.signal(signal.SIGTERM, signal.SIGTERM)
        until(lambda: service.server.should_exit)
        service.may_end.set()
        assert slow.result(DEADLINE_SECONDS) == (200, '"whole"')
        running.result(DEADLINE_SECONDS)
    assert service.server.exit_code == 0


def test_a_process_that_has_served_its_requests_makes_room(threads: ThreadPoolExecutor) -> None:
    """At its number of requests a process ends by itself, and stays ready until then."""
    with served(threads, delay_seconds=0.3, limit_max_requests=2) as (service, running):
        service.may_end.set()
        assert [service.get("/slow")[0] for _ in range(2)] == [200, 200]
        until(lambda: service.server.limit_max_requests is None)
        assert service.get("/health/ready")[0] == 200
        running.result(DEADLINE_SECONDS)
    assert service.is_closed
    assert service.server.exit_code == 0


def test_a_start_that_fails_has_its_exit_code(threads: ThreadPoolExecutor) -> None:
    """A server whose app could not start ends with 3."""
    server = Server(uvicorn.Config("nothing:app", log_config=None))
    with pytest.raises(SystemExit):
        threads.submit(server.run).result(DEADLINE_SECONDS)
    assert server.exit_code == 3


def test_a_start_that_hangs_can_be_left() -> None:
    """Trap 79: while resources are opening, the second signal ends the process at once."""
    server = Server(uvicorn.Config("nothing:app", log_config=None))
    server.handle_exit(signal.SIGTERM, None)
    with pytest.raises(SystemExit, match=str(128 + signal.SIGTERM)):
        server.handle_exit(signal.SIGTERM, None)
