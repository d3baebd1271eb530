"""The pool: connections within time limits, given back whatever happens."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from logging import getLogger
from typing import TYPE_CHECKING, Any

import asyncpg  # type: ignore[import-untyped]

from sturdyapi.exceptions import DeadlineExceededError, UnavailableError
from sturdyapi.resources import ConnectionCount

from .connection import GIVE_BACK_SECONDS, Connection
from .errors import WHAT, outage
from .lease import Lease, is_lost

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from sturdyapi.exceptions import OutageError

__all__ = ["Pool"]

_PING_SECONDS = 1.5
"""Longest wait for the answer to a check; readiness gives up after 2 s."""
_log = getLogger("sturdyapi.postgres")


class Pool:
    """Connections to one database, of one app or script.

        async with pool.acquire() as connection:
            await connection.fetch("select ...")

    Attributes:
        name: Of the resource.
        raw: The `asyncpg.Pool`, for whatever else it can do; its time limits and errors are
            asyncpg's own.
        acquire_timeout_seconds: Longest wait for a connection.
        statement_timeout_seconds: Longest that a statement may take that has no limit of its own.
    """

    def __init__(
        self,
        name: str,
        raw: Any,
        connect: Callable[[], Awaitable[Any]],
        *,
        acquire_timeout_seconds: float,
        statement_timeout_seconds: float,
    ) -> None:
        """Take an asyncpg pool that is open.

        Args:
            name: Of the resource.
            raw: The `asyncpg.Pool`.
            connect: Makes a connection outside the pool.
            acquire_timeout_seconds: Longest wait for a connection.
            statement_timeout_seconds: What `raw` has as `command_timeout`.
        """
        self.name = name
        self.raw = raw
        self.acquire_timeout_seconds = acquire_timeout_seconds
        self.statement_timeout_seconds = statement_timeout_seconds
        self._connect = connect
        self._tasks: set[asyncio.Task[None]] = set()
        self._coming_back: set[Any] = set()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} '{self.name}': {self._figures()}>"

    def acquire(self, *, source: str = "acquire()") -> AbstractAsyncContextManager[Connection]:
        """Return a context manager that gives a `Connection`, and gives it back at the end.

        It is taken at the first statement. Each call gives another one.

        Args:
            source: What the connection is from, for the error of one that is used after its end.
        """
        return _Acquired(Lease(self, source=source))

    async def take(self) -> Any:
        """Return an asyncpg connection, which `give_back()` must follow.

        Raises:
            UnavailableError: There is none within `acquire_timeout_seconds`, or the server is gone.
        """
        limit = self.acquire_timeout_seconds
        try:
            # asyncpg's own limit would be the limit of giving back as well.
            async with asyncio.timeout(limit):
                return await self.raw.acquire()
        except TimeoutError:
            # The log tells the cause.
            figures = TimeoutError(f"no connection within {limit:g} s: {self._figures()}")
            raise UnavailableError(WHAT) from figures
        except Exception as error:
            self._raise_outage(error)
            raise

    async def give_back(self, raw: Any, *, timeout_seconds: float | None = None) -> None:
        """Give an asyncpg connection back; never fails, and goes on if it is cancelled.

        Args:
            raw: From `take()`.
            timeout_seconds: Longest wait until the server has stopped what it was at.
        """
        try:
            # asyncpg shields the reset, and closes a connection that can't be reset in time.
            await self.raw.release(raw, timeout=timeout_seconds)
        except asyncio.CancelledError:
            self._note_coming_back(raw)
            raise
        except Exception as error:  # noqa: BLE001 - the user's work is done
            _log.warning("Pool '%s' drops a connection: %s", self.name, _reason(error))
            with suppress(asyncpg.InterfaceError):
                raw.terminate()

    def give_back_later(self, raw: Any) -> None:
        """Like `give_back()`, but nobody waits: the server may still be at something."""
        self._note_coming_back(raw)
        returning = self.give_back(raw, timeout_seconds=GIVE_BACK_SECONDS)
        task = asyncio.get_running_loop().create_task(returning)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def outage(
        self, error: BaseException, timeout_seconds: float | None = None
    ) -> OutageError | None:
        """Return what an error means to a client, or `None` if it speaks of the statement."""
        limit = self.statement_timeout_seconds if timeout_seconds is None else timeout_seconds
        return outage(error, timeout_seconds=limit)

    def connections(self) -> ConnectionCount:
        """Return how many connections are in use, open, and possible."""
        size: int = self.raw.get_size()
        coming_back = sum(not is_lost(raw) for raw in self._coming_back)
        in_use = size - self.raw.get_idle_size() - coming_back
        return ConnectionCount(in_use, size, self.raw.get_max_size())

    async def ping(self) -> None:
        """Make one round trip; raise if the server does not answer.

        A pool that is busy tells nothing of the server: then a connection beside it asks.

        Raises:
            OutageError: There is no answer within 1.5 s, or the server is gone.
        """
        try:
            async with asyncio.timeout(_PING_SECONDS):
                await (self._ping_beside() if self._is_exhausted() else self._ping())
        except DeadlineExceededError:
            raise
        except TimeoutError as error:
            raise DeadlineExceededError(WHAT, timeout_seconds=_PING_SECONDS) from error

    async def close(self, *, timeout_seconds: float) -> None:
        """Close every connection; those that are in use after the time limit are cut off."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self.raw.close()
        except TimeoutError:
            _log.warning(
                "Pool '%s' was closed with connections in use: they are cut off", self.name
            )
        finally:
            self.raw.terminate()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _raise_outage(self, error: Exception) -> None:
        found = self.outage(error)
        if found is not None:
            raise found from error

    def _note_coming_back(self, raw: Any) -> None:
        """Count a connection as handed out no more, though it is not free yet."""
        # One that is free again looks lost to whoever had it.
        self._coming_back = {each for each in self._coming_back if not is_lost(each)} | {raw}

    def _is_exhausted(self) -> bool:
        size: int = self.raw.get_size()
        return size == self.raw.get_max_size() and not self.raw.get_idle_size()

    async def _ping(self) -> None:
        async with self.acquire() as connection:
            await connection.execute("select 1")

    async def _ping_beside(self) -> None:
        try:
            raw = await self._connect()
        except asyncpg.TooManyConnectionsError:
            # An answer. A server that serves all it can is not dead.
            return
        except Exception as error:
            self._raise_outage(error)
            raise
        try:
            await raw.execute("select 1")
        finally:
            raw.terminate()

    def _figures(self) -> str:
        count = self.connections()
        return f"{count.in_use} of {count.limit} in use, {count.open} open"


class _Acquired:
    """Gives a connection for as long as its block lasts."""

    __slots__ = ("_lease",)

    def __init__(self, lease: Lease) -> None:
        self._lease = lease

    async def __aenter__(self) -> Connection:
        return Connection(self._lease)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._lease.release()


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
