"""A connection as endpoints use it: asyncpg's methods, on one that is taken when it is needed."""

# ruff: noqa: ASYNC109 - `timeout` is asyncpg's name, and its users know it.

from __future__ import annotations

import asyncio
from logging import getLogger
from typing import TYPE_CHECKING, Any, Literal

import asyncpg  # type: ignore[import-untyped]

from sturdyapi.exceptions import NotCommittedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence
    from types import TracebackType

    from .lease import Lease
    from .rows import Row

__all__ = ["GIVE_BACK_SECONDS", "Connection", "Isolation", "RawConnection", "Transaction"]

Isolation = Literal["read_uncommitted", "read_committed", "repeatable_read", "serializable"]

GIVE_BACK_SECONDS = 2.0
"""Longest wait for a rollback, for a reset, and for the end of a statement that was cut short.

After that the connection is cut, and the server undoes what it held.
"""
_log = getLogger("sturdyapi.postgres")


class Connection:
    """A connection to PostgreSQL, taken from the pool at the first statement.

    The methods are those of `asyncpg.Connection`; `raw()` gives it itself. `timeout` is in seconds,
    and `None` means `statement_timeout_seconds` of the adapter.

    Every method that reaches the server raises:

    - `UnavailableError`, answered as 503: no connection was free in time, or the server is gone.
    - `DeadlineExceededError`, answered as 504: the statement took longer than its limit.
    - `ReleasedConnectionError`: the connection has been given back.
    - `asyncpg.PostgresError` for what speaks of the statement.
    """

    __slots__ = ("_lease",)

    def __init__(self, lease: Lease) -> None:
        self._lease = lease

    async def fetch(self, query: str, *args: object, timeout: float | None = None) -> list[Row]:
        """Run a query and return its rows."""
        return await self._lease.run(lambda raw: raw.fetch(query, *args, timeout=timeout), timeout)

    async def fetchrow(self, query: str, *args: object, timeout: float | None = None) -> Row | None:
        """Run a query and return its first row, or `None` if there is none."""
        return await self._lease.run(
            lambda raw: raw.fetchrow(query, *args, timeout=timeout), timeout
        )

    async def fetchval(
        self, query: str, *args: object, column: int = 0, timeout: float | None = None
    ) -> Any:
        """Run a query and return one value of its first row, or `None` if there is none."""
        return await self._lease.run(
            lambda raw: raw.fetchval(query, *args, column=column, timeout=timeout), timeout
        )

    async def fetchmany(
        self, query: str, args: Iterable[Sequence[object]], *, timeout: float | None = None
    ) -> list[Row]:
        """Run a query for each sequence of arguments and return all rows; all of it or none."""
        return await self._lease.run(
            lambda raw: raw.fetchmany(query, args, timeout=timeout), timeout
        )

    async def execute(self, query: str, *args: object, timeout: float | None = None) -> str:
        """Run a statement, or several without arguments; return the status, such as `UPDATE 1`."""
        return await self._lease.run(
            lambda raw: raw.execute(query, *args, timeout=timeout), timeout
        )

    async def executemany(
        self, query: str, args: Iterable[Sequence[object]], *, timeout: float | None = None
    ) -> None:
        """Run a statement for each sequence of arguments; all of it or none."""
        await self._lease.run(lambda raw: raw.executemany(query, args, timeout=timeout), timeout)

    async def stream(
        self, query: str, *args: object, prefetch: int = 50, timeout: float | None = None
    ) -> AsyncIterator[Row]:
        """Yield the rows of a query as they come, so that a large result needs little memory.

        Goes with a transaction around it: `async with connection.transaction(readonly=True)`.

        Args:
            query: Its text.
            *args: What `$1` and so on stand for.
            prefetch: Rows that are asked for at once.
            timeout: Longest wait for each of these askings, in seconds.
        """
        run = self._lease.run
        cursor = await run(lambda raw: raw.cursor(query, *args, timeout=timeout), timeout)
        while rows := await run(lambda _: cursor.fetch(prefetch, timeout=timeout), timeout):
            for row in rows:
                yield row

    def transaction(
        self,
        *,
        isolation: Isolation | None = None,
        readonly: bool = False,
        deferrable: bool = False,
        lazy: bool = False,
    ) -> Transaction:
        """Return a transaction to enter with `async with`; one inside another is a savepoint.

        Args:
            isolation: The server's default if `None`.
            readonly: Refuse what writes.
            deferrable: Wait at the start rather than fail later; with `serializable` and readonly.
            lazy: Begin with the first statement; without one, nothing is asked of the server.
        """
        return Transaction(
            self._lease,
            {"isolation": isolation, "readonly": readonly, "deferrable": deferrable},
            is_lazy=lazy,
        )

    async def raw(self) -> Any:
        """Return the `asyncpg.Connection`, for `COPY`, `LISTEN` and whatever else it can do.

        Its errors are asyncpg's own, and it must not be used once this connection is released.
        """
        return await self._lease.ready()

    async def release(self) -> None:
        """Give the connection back now, instead of when its dependency ends.

        Worth it before something slow that needs no database. Later statements raise
        `ReleasedConnectionError`.
        """
        await self._lease.release()


class Transaction:
    """Commits if its block ends well, else rolls back and lets the error go on."""

    __slots__ = ("_inner", "_is_lazy", "_lease", "_options")

    def __init__(self, lease: Lease, options: dict[str, Any], *, is_lazy: bool) -> None:
        self._lease = lease
        self._options = options
        self._is_lazy = is_lazy
        self._inner: Any = None

    async def __aenter__(self) -> None:
        self._lease.before.append(self._begin)
        if not self._is_lazy:
            try:
                await self._lease.ready()
            except BaseException:
                self._forget()
                raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        inner = self._inner
        if inner is None:
            self._forget()
        elif kind is None:
            # Raises if the connection is released, lost or interrupted: nothing is passed over.
            await self._lease.run(lambda _: inner.__aexit__(None, None, None), None)
        elif self._lease.is_gone:
            # With its connection, the transaction has ended too.
            return
        elif self._lease.is_interrupted:
            # The server may be silent. Whoever uses the connection next waits for the rollback;
            # without a next statement it is made when the connection is given back.
            self._lease.before.append(lambda _: inner.__aexit__(kind, None, None))
        else:
            await self._roll_back(kind)

    async def _begin(self, raw: Any) -> None:
        inner = raw.transaction(**self._options)
        try:
            await inner.__aenter__()
        except asyncpg.InterfaceError:
            raise  # nothing was sent
        except BaseException:
            # The server may have begun all the same: asyncpg would take a second try for a
            # savepoint in it, and nobody would commit.
            self._lease.cut()
            raise
        self._inner = inner

    def _forget(self) -> None:
        if self._begin in self._lease.before:
            self._lease.before.remove(self._begin)

    async def _roll_back(self, kind: type[BaseException]) -> None:
        try:
            async with asyncio.timeout(GIVE_BACK_SECONDS):
                await self._inner.__aexit__(kind, None, None)
        except BaseException as failure:
            self._lease.cut()
            if not isinstance(failure, Exception):
                raise
            # The error that ends the transaction is the one to be told.
            _log.warning("A transaction's connection was cut, to roll it back: %s", failure)


class RawConnection(asyncpg.Connection):  # type: ignore[misc]
    """asyncpg's connection, but for two statements: those that commit, and the one that resets."""

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:
        """Like asyncpg's.

        Raises:
            NotCommittedError: The server answers a COMMIT after a failed statement as if all were
                well, and rolls back.
        """
        if timeout is None and query is self.get_reset_query():
            timeout = GIVE_BACK_SECONDS
        status: str = await super().execute(query, *args, timeout=timeout)
        if status == "ROLLBACK" and query.rstrip("; ").upper() == "COMMIT":
            raise NotCommittedError
        return status
