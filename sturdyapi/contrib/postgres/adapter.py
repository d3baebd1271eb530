"""The adapter: what an app lists among its resources, and what its endpoints depend on."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from fastapi import Depends

# FastAPI evaluates the annotations of the dependencies.
from starlette.requests import HTTPConnection  # noqa: TC002

from sturdyapi.exceptions import ResourceStartError
from sturdyapi.resources import Adapter
from sturdyapi.resources.resource import refuse_bad_limit

from .connection import Connection  # noqa: TC001 - as above
from .embedded import embedded_server
from .errors import URL_FORM, WHAT, Place, Target, outage
from .opening import PoolMaker
from .options import refuse_bad_options, refuse_bad_size, with_application_name
from .pool import Pool
from .rows import fetch_model, fetch_models

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from sturdyapi.exceptions import OutageError
    from sturdyapi.resources import ConnectionCount, Resource, ResourceContext

__all__ = ["Postgres"]


class Postgres(Adapter[Pool]):
    """A pool of connections to PostgreSQL, open as long as the app.

        pg = Postgres(setting="database_url")
        Db = Annotated[Connection, pg.connection]
        app = create_app(Settings, routers=[router], resources=[pg])

    The value, under `app.state.postgres` and by `pg.value`, is a `Pool`.

    Attributes:
        connection: A `Depends` for a `Connection`, one a request. It ends before the response
            leaves.
        transaction: A `Depends` for the same connection, in a transaction that begins with the next
            statement. It is committed before the response leaves, and rolled back by any error that
            leaves the endpoint, an `HTTPException` included.
        streaming: A `Depends` for a connection of its own, which ends after the body was sent.
    """

    what: ClassVar[str] = WHAT
    schemes: ClassVar[tuple[str, ...]] = ("postgresql", "postgres", "embedded")

    def __init__(
        self,
        *,
        setting: str | None = None,
        url: str | None = None,
        name: str = "postgres",
        min_size: int = 1,
        max_size: int = 5,
        acquire_timeout_seconds: float = 2.0,
        statement_timeout_seconds: float = 10.0,
        timeout_seconds: float = 10.0,
        close_timeout_seconds: float = 10.0,
        needs: Sequence[Resource[Any]] = (),
        **asyncpg_options: Any,
    ) -> None:
        """Make one; nothing is opened yet.

        Args:
            setting: Name of the setting that holds the URL.
            url: The URL, if it is no setting.
            name: In logs and readiness, and under `app.state`.
            min_size: Connections that are kept open when idle.
            max_size: Connections that there may be, in each worker process.
            acquire_timeout_seconds: Longest wait for a connection; then the answer is 503.
            statement_timeout_seconds: Longest that a statement may take; then the answer is 504.
            timeout_seconds: Longest that opening may take.
            close_timeout_seconds: Longest that closing may take, whatever is in use.
            needs: Resources that are opened before this one, and closed after it.
            **asyncpg_options: Of `asyncpg.create_pool()` and `asyncpg.connect()`, such as `init`,
                `ssl`, `server_settings`, or `statement_cache_size=0` for PgBouncer.

        Raises:
            ConfigurationError: A keyword is not known, or its value is refused.
        """
        super().__init__(
            name,
            setting=setting,
            url=url,
            needs=needs,
            timeout_seconds=timeout_seconds,
            close_timeout_seconds=close_timeout_seconds,
        )
        refuse_bad_size(min_size, max_size)
        refuse_bad_limit("acquire_timeout_seconds", acquire_timeout_seconds)
        refuse_bad_limit("statement_timeout_seconds", statement_timeout_seconds)
        refuse_bad_options(asyncpg_options)
        self.min_size = min_size
        self.max_size = self.max_connections = max_size
        self.acquire_timeout_seconds = acquire_timeout_seconds
        self.statement_timeout_seconds = statement_timeout_seconds
        self._options = asyncpg_options
        self.connection: Any = Depends(self._connection_for, scope="function")
        self.transaction: Any = Depends(_transaction_on(self.connection), scope="function")
        self.streaming: Any = Depends(self._streaming_for, scope="request")

    fetch_model = staticmethod(fetch_model)
    fetch_models = staticmethod(fetch_models)

    def open(self, context: ResourceContext) -> AbstractAsyncContextManager[Pool]:
        """Return what opens the pool, and closes it; starts the server of an `embedded:` URL."""
        environment = getattr(context.settings, "environment", None)
        return self._open(self.url_from(context), environment)

    async def check(self, value: Pool) -> None:
        """Raise if the server does not answer; a pool that is merely busy is well."""
        await value.ping()

    def connections(self, value: Pool) -> ConnectionCount:
        """Return how many connections are in use, open, and possible."""
        return value.connections()

    def translate(self, error: BaseException) -> OutageError | None:
        """Return what an error of asyncpg means to a client, or `None` if it is no outage."""
        return outage(error, timeout_seconds=self.statement_timeout_seconds)

    async def _connection_for(self, connection: HTTPConnection) -> AsyncIterator[Connection]:
        async with self.of(connection).acquire(source="connection") as own:
            yield own

    async def _streaming_for(self, connection: HTTPConnection) -> AsyncIterator[Connection]:
        async with self.of(connection).acquire(source="streaming") as own:
            yield own

    @asynccontextmanager
    async def _open(self, url: str, environment: object) -> AsyncIterator[Pool]:
        async with AsyncExitStack() as stack:
            if url.partition(":")[0].lower() == "embedded":
                server = embedded_server(url, environment, name=self.name, source=self.source)
                place = await stack.enter_async_context(server)
            else:
                place = self._place(url)
            options = with_application_name(self._options, name=self.name, url=url)
            pool = await PoolMaker(self.name, place.target, {**place.options, **options}).make(
                min_size=self.min_size,
                max_size=self.max_size,
                acquire_timeout_seconds=self.acquire_timeout_seconds,
                statement_timeout_seconds=self.statement_timeout_seconds,
                # Less than the limit of the resource, which can't tell what it was that took long.
                timeout_seconds=0.9 * self.timeout_seconds,
            )
            # Half of the time is for those who still use it, the rest for the rest.
            stack.push_async_callback(pool.close, timeout_seconds=self.close_timeout_seconds / 2)
            yield pool

    def _place(self, url: str) -> Place:
        try:
            return Place({"dsn": url}, Target.of(url, source=self.source))
        except ValueError as error:
            problem = f"its URL ({self.source}) {error}"
            raise ResourceStartError(self.name, problem, advice=URL_FORM) from None


def _transaction_on(parent: Any) -> Callable[[Connection], AsyncIterator[Connection]]:
    async def transaction(connection: Connection = parent) -> AsyncIterator[Connection]:
        async with connection.transaction(lazy=True):
            yield connection

    return transaction
