"""A pool from the first connection on, or one sentence that says why there is none."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import asyncpg  # type: ignore[import-untyped]

from sturdyapi.exceptions import ResourceTimeoutError

from .connection import RawConnection
from .errors import start_error
from .pool import Pool
from .rows import Row, with_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from .errors import Target

__all__ = ["PoolMaker"]

_POOL_ONLY = frozenset({"max_inactive_connection_lifetime", "max_queries", "reset", "setup"})
"""Keywords of `asyncpg.create_pool()` that `asyncpg.connect()` does not take."""


_CONNECT_GRACE_SECONDS = 0.1
"""What a connection that nobody waits for any more gets before it is cancelled."""


class PoolMaker:
    """Makes the pool of a resource.

    Args:
        name: Of the resource.
        target: Where it leads to, for messages.
        options: For `asyncpg.create_pool()`, those for `asyncpg.connect()` included.
    """

    def __init__(self, name: str, target: Target, options: Mapping[str, Any]) -> None:
        self._name = name
        self._target = target
        own = dict(options)
        self._init: Callable[[Any], Awaitable[object]] | None = own.pop("init", None)
        self._asyncpg_connect: Callable[..., Awaitable[Any]] = own.pop("connect", asyncpg.connect)
        of_pool = {name: own.pop(name) for name in _POOL_ONLY & own.keys()}
        self._of_connection = {"connection_class": RawConnection, "record_class": Row, **own}
        self._of_pool = of_pool
        self._is_in_init = False

    async def make(
        self,
        *,
        min_size: int,
        max_size: int,
        acquire_timeout_seconds: float,
        statement_timeout_seconds: float,
        timeout_seconds: float,
    ) -> Pool:
        """Return the pool, with at least one connection open.

        Raises:
            ResourceStartError: There is no connection, for a reason that its user can mend.
            ResourceTimeoutError: There is none within `timeout_seconds`.
        """
        self._of_connection["command_timeout"] = statement_timeout_seconds
        self._of_connection["timeout"] = timeout_seconds
        try:
            async with asyncio.timeout(timeout_seconds):
                raw = await asyncpg.create_pool(
                    init_size=max(1, min_size),
                    min_size=min_size,
                    max_size=max_size,
                    connect=self._connect,
                    **self._of_pool,
                    **self._of_connection,
                )
        except Exception as error:
            self._explain(error, timeout_seconds)
            raise
        return Pool(
            self._name,
            raw,
            partial(self._connect, **self._of_connection),
            acquire_timeout_seconds=acquire_timeout_seconds,
            statement_timeout_seconds=statement_timeout_seconds,
        )

    async def _connect(self, *args: Any, **options: Any) -> Any:
        attempt = asyncio.create_task(self._prepared(*args, **options))
        try:
            return await asyncio.shield(attempt)
        except asyncio.CancelledError:
            # asyncpg 0.32, cancelled while TCP connects, leaves an error that the loop reports.
            asyncio.get_running_loop().call_later(_CONNECT_GRACE_SECONDS, attempt.cancel)
            attempt.add_done_callback(_discard)
            raise

    async def _prepared(self, *args: Any, **options: Any) -> Any:
        raw = await self._asyncpg_connect(*args, **options)
        try:
            await with_json(raw)
            if self._init is not None:
                self._is_in_init = True
                await self._init(raw)
                self._is_in_init = False
        except BaseException:
            # At once: the server may be silent, and asyncpg would wait for its goodbye.
            raw.terminate()
            raise
        return raw

    def _explain(self, error: Exception, timeout_seconds: float) -> None:
        if isinstance(error, TimeoutError) and error.errno is None:
            what = "its init=" if self._is_in_init else self._target.server
            problem = f"{what} did not answer within {timeout_seconds:g} s"
            raise ResourceTimeoutError(
                self._name, timeout_seconds=timeout_seconds, problem=problem
            ) from None
        # What follows the connection is the user's own.
        explained = None if self._is_in_init else start_error(self._name, error, self._target)
        if explained is not None:
            # A text about the URL can hold a piece of the password.
            raise explained from (None if isinstance(error, ValueError) else error)


def _discard(attempt: asyncio.Task[Any]) -> None:
    """Close what has been opened though nobody wants it any more."""
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().terminate()
