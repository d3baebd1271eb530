"""One connection of the pool, from the first statement of its user to the end of its use."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import asyncpg  # type: ignore[import-untyped]

from sturdyapi.exceptions import ReleasedConnectionError, UnavailableError

from .errors import WHAT

if TYPE_CHECKING:
    from sturdyapi.exceptions import OutageError

    from .pool import Pool

__all__ = ["Lease", "Step", "is_lost"]

T = TypeVar("T")

Step: TypeAlias = Callable[[Any], Awaitable[object]]
"""Something to do with asyncpg's connection."""

_ONE_AT_A_TIME = (
    "One connection runs one statement at a time, and two tasks have shared this one, as in "
    "asyncio.gather(). Await them in turn, or give each its own: "
    "`async with pool.acquire() as connection`."
)


class Lease:
    """Takes a connection when it is first needed, and gives it back exactly once.

    Attributes:
        before: Steps that come before the next statement, such as to begin a transaction. One
            leaves the list when it has succeeded, so that no statement ever goes without it.
        is_interrupted: The last statement was cut short, so that the server may still be at it.
    """

    __slots__ = ("_is_over", "_lock", "_pool", "_raw", "_source", "before", "is_interrupted")

    def __init__(self, pool: Pool, *, source: str) -> None:
        self._pool = pool
        self._source = source
        self._raw: Any = None
        self._lock = asyncio.Lock()
        self._is_over = False
        self.before: list[Step] = []
        self.is_interrupted = False

    async def ready(self) -> Any:
        """Return asyncpg's connection, with nothing left to do before a statement.

        Raises:
            UnavailableError: There is none, or it is lost.
            ReleasedConnectionError: It has been given back.
        """
        # Two first statements at once wait for one connection.
        async with self._lock:
            if self._raw is None:
                self._raw = await self._taken()
            while self.before:
                await self._attempt(self.before[0], self._raw, None)
                del self.before[0]
            return self._raw

    async def run(
        self, statement: Callable[[Any], Awaitable[T]], timeout_seconds: float | None
    ) -> T:
        """Return the result of a statement; an outage is raised as an `OutageError`.

        Args:
            statement: Called with asyncpg's connection.
            timeout_seconds: Its own limit, if it has one.
        """
        raw = self._raw
        if raw is None or self.before:
            raw = await self.ready()
        return await self._attempt(statement, raw, timeout_seconds)

    async def release(self) -> None:
        """Give the connection back, if there is one; open transactions are rolled back."""
        raw, self._raw, self._is_over = self._raw, None, True
        self.before.clear()
        if raw is None:
            return
        if self.is_interrupted:
            self._pool.give_back_later(raw)
        else:
            await self._pool.give_back(raw)

    @property
    def is_gone(self) -> bool:
        """Whether the connection is lost, or given back."""
        return self._raw is None or is_lost(self._raw)

    def cut(self) -> None:
        """Close the connection, whose state is not known any more; the pool makes a new one."""
        if not self.is_gone:
            self._raw.terminate()

    async def _taken(self) -> Any:
        raw = None if self._is_over else await self._pool.take()
        if not self._is_over:
            return raw
        if raw is not None:
            # Released by one task while another one waited for the connection.
            await self._pool.give_back(raw)
        raise ReleasedConnectionError(self._pool.name, source=self._source)

    async def _attempt(
        self, statement: Callable[[Any], Awaitable[T]], raw: Any, timeout_seconds: float | None
    ) -> T:
        try:
            result = await statement(raw)
        except BaseException as error:
            if not isinstance(error, Exception) or isinstance(error, TimeoutError):
                self.is_interrupted = True
            outage = self._outage(error, raw, timeout_seconds)
            if outage is None:
                raise
            raise outage from error
        self.is_interrupted = False
        return result

    def _outage(
        self, error: BaseException, raw: Any, timeout_seconds: float | None
    ) -> OutageError | None:
        # What asyncpg itself objects to, be it only that a dying server has confused it.
        if isinstance(error, (asyncpg.InterfaceError, asyncpg.InternalClientError)):
            if is_lost(raw):
                return UnavailableError(WHAT)
            if "another operation" in str(error):
                error.add_note(_ONE_AT_A_TIME)
        return self._pool.outage(error, timeout_seconds)


def is_lost(raw: Any) -> bool:
    """Tell whether a connection that nobody has released is closed all the same."""
    try:
        return bool(raw.is_closed())
    except asyncpg.InterfaceError:
        # asyncpg has taken it back by itself when it was lost.
        return True
