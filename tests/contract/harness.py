"""What the contract suite has to know of an adapter and of the server that it speaks to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import anyio
import pytest

from sturdyapi.exceptions import OutageError
from sturdyapi.resources import open_resources
from tests.servers.polling import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
    from contextlib import AbstractAsyncContextManager

    from sturdyapi.resources import Adapter

__all__ = ["POOL_SIZE", "SLACK", "WAIT_SECONDS", "FaultyServer", "Harness"]

POOL_SIZE = 2
"""Connections that an adapter under test may have at the most."""

WAIT_SECONDS = 0.5
"""Longest wait for a connection, for an answer, and for the opening and closing of an adapter."""

SLACK = 5
"""How often a limit may pass before a test fails: the machine has other work too."""


class FaultyServer(Protocol):
    """A server that a test may end and freeze."""

    def kill(self) -> None:
        """End it as `kill -9` does."""

    def restart(self) -> None:
        """Start it again; it takes connections when this returns."""

    def freeze(self) -> None:
        """Stop it in its tracks."""

    def thaw(self) -> None:
        """Let it go on."""


class Harness(ABC):
    """One adapter and its server, in words that the suite understands.

    A subclass is all that a new adapter needs to be held to the contract.

    Attributes:
        url: Where the server is, with the password.
        password: In `url`; must never be told.
    """

    def __init__(self, url: str, *, password: str, server: FaultyServer | None = None) -> None:
        self.url = url
        self.password = password
        self._server = server

    # How it is made.

    @classmethod
    @abstractmethod
    def live(cls, request: pytest.FixtureRequest) -> Harness:
        """Return one on a server that is not to be disturbed."""

    @classmethod
    @abstractmethod
    def own(cls, request: pytest.FixtureRequest) -> Harness:
        """Return one on a server that may be killed and frozen."""

    @abstractmethod
    def adapter(self, *, wait_seconds: float = WAIT_SECONDS, **options: Any) -> Adapter[Any]:
        """Return the adapter with a pool of `POOL_SIZE`.

        Args:
            wait_seconds: Longest wait for a connection, and for an answer.
            **options: `url` or `setting`, and what all adapters take; such as
                `timeout_seconds`.
        """

    @abstractmethod
    def wrong_urls(self) -> Mapping[str, str]:
        """Return URLs by what is wrong: `password`, `database`, `port`, `host`.

        What such a server does not have is left out.
        """

    # What it does with an open value.

    @abstractmethod
    async def ask(self, value: Any) -> None:
        """Make one round trip that the server answers at once."""

    @abstractmethod
    async def ask_slow(self, value: Any) -> None:
        """Ask for something that takes the server far longer than `WAIT_SECONDS`."""

    @abstractmethod
    async def ask_wrong(self, value: Any) -> None:
        """Ask for something that the server refuses, such as a value it has already."""

    @abstractmethod
    def hold(self, value: Any) -> AbstractAsyncContextManager[None]:
        """Keep one connection in use."""

    @abstractmethod
    async def connections_at_server(self) -> int:
        """Return how many connections the server has, by its own word; ours for asking excepted."""

    # What all adapters share.

    @asynccontextmanager
    async def opened(self, adapter: Adapter[Any]) -> AsyncIterator[Any]:
        """Open an adapter as an app does, and give its value."""
        async with open_resources(adapter) as registry:
            yield registry[adapter]

    @contextmanager
    def dead(self) -> Iterator[None]:
        """Kill the server for as long as the block lasts."""
        server = self._faulty_server()
        server.kill()
        try:
            yield
        finally:
            server.restart()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Freeze the server for as long as the block lasts."""
        server = self._faulty_server()
        server.freeze()
        try:
            yield
        finally:
            server.thaw()

    async def outage_of(
        self, adapter: Adapter[Any], ask: Callable[[Any], Awaitable[None]], value: Any
    ) -> OutageError:
        """Return the outage that a question ends in, however the adapter tells of it."""
        # One wait for a connection, and one for the answer.
        with anyio.move_on_after(2 * WAIT_SECONDS * SLACK) as limit:
            with pytest.raises(Exception) as caught:  # noqa: PT011 - what it is, is asserted below
                await ask(value)
        assert not limit.cancelled_caught, "no answer within the limits"
        error = caught.value
        outage = error if isinstance(error, OutageError) else adapter.translate(error)
        assert outage is not None, f"no outage: {error!r}"
        assert self.password not in f"{error!r} {outage!r} {outage}"
        return outage

    async def wait_for_connections(self, expected: int) -> None:
        """Fail unless the server soon has that many: it notices an end a little after we do."""
        counts: list[int] = []

        async def is_reached() -> bool:
            counts.append(await self.connections_at_server())
            return counts[-1] == expected

        try:
            await eventually(is_reached, timeout_seconds=2 * SLACK)
        except TimeoutError:
            pytest.fail(f"the server has {counts[-1:]} connections, not {expected}")

    def _faulty_server(self) -> FaultyServer:
        if self._server is None:
            raise TypeError("This harness is live(): its server is not to be disturbed.")
        return self._server
