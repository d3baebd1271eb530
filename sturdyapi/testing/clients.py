"""A client for the tests of a service, which leaves the app as it was."""

from __future__ import annotations

from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sturdyapi._extras import needs_extra

from . import changes
from .imports import imported_app, refuse_no_app
from .lifespan import running

with needs_extra("sturdyapi.testing.client", "test", package="httpx2"):
    import httpx2
    from starlette.testclient import TestClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager, AbstractContextManager
    from types import TracebackType

    from fastapi import FastAPI
    from starlette.types import ASGIApp, Receive, Scope, Send

    from sturdyapi.resources import Resource
    from sturdyapi.settings import BaseSettings

    from .changes import Dependency

__all__ = ["AppUnderTest", "AsyncServiceClient", "ServiceClient", "client"]


def client(
    app: FastAPI | str,
    *,
    as_: Mapping[Dependency, Any] | None = None,
    resources: Mapping[Resource[Any], Any] | None = None,
    settings: BaseSettings | Mapping[str, Any] | None = None,
    base_url: str = "http://testserver",
    headers: Mapping[str, str] | None = None,
    cookies: Mapping[str, str] | None = None,
    root_path: str = "",
    client_address: tuple[str, int] = ("testclient", 50000),
    follow_redirects: bool = True,
    raise_server_exceptions: bool = True,
) -> AppUnderTest:
    """Return what `with` starts an app by, giving a client; `async with` gives an async one.

        with client(app, as_={current_user: alice}) as c:
            assert c.get("/orders").status_code == 200

    After the block the app is as it was: its `dependency_overrides`, its `state`, its resources and
    its settings. All of it holds for the apps that are mounted in it, too.

    Args:
        app: Any FastAPI app, or its import string, such as `main:app`.
        as_: Who calls: values by the dependencies that give them otherwise.
        resources: Values, or other resources, in place of those of the app, which are not opened.
        settings: An instance of the app's class, or the values that change, which are validated
            one after the other. Mounted apps see them if they share the settings of the app.
        base_url: What the paths are added to; its host is the `Host` header.
        headers: Sent with each request.
        cookies: Sent with each request, until an answer changes them.
        root_path: What a proxy in front would strip from the paths.
        client_address: Address and port that the requests come from.
        follow_redirects: Answer with what a redirect leads to.
        raise_server_exceptions: Raise what the app does not handle. `False` gives the 500 that
            clients see.

    Raises:
        ConfigurationError: An argument is refused; from `with`, as far as it takes the app to tell.
    """
    if not isinstance(app, str):
        refuse_no_app(app)
    options = _Options(
        base_url=base_url,
        headers={"user-agent": "testclient", **{k.lower(): v for k, v in (headers or {}).items()}},
        cookies=dict(cookies or {}),
        root_path=root_path,
        address=client_address,
        follow_redirects=follow_redirects,
        raise_server_exceptions=raise_server_exceptions,
    )
    return AppUnderTest(lambda: _changed_apps(app, as_, resources, settings), options)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    """How the clients behave; see `client()`."""

    base_url: str
    headers: dict[str, str]
    cookies: dict[str, str]
    root_path: str
    address: tuple[str, int]
    follow_redirects: bool
    raise_server_exceptions: bool


class _Acting:
    _apps: Sequence[FastAPI]

    def acting_as(self, as_: Mapping[Dependency, Any]) -> AbstractContextManager[None]:
        """Let somebody else call, as long as the block lasts.

        with c.acting_as({current_user: bob}):
            assert c.get("/orders/1").status_code == 404
        """
        return changes.acting_as(self._apps, as_)


class ServiceClient(_Acting, TestClient):
    """The client that `with client(...)` gives: Starlette's `TestClient`, and `acting_as()`."""

    def __init__(self, apps: Sequence[FastAPI], options: _Options) -> None:
        super().__init__(
            apps[0],
            base_url=options.base_url,
            headers=dict(options.headers),
            cookies=options.cookies,
            root_path=options.root_path,
            client=options.address,
            follow_redirects=options.follow_redirects,
            raise_server_exceptions=options.raise_server_exceptions,
        )
        self._apps = apps


class AsyncServiceClient(_Acting, httpx2.AsyncClient):
    """The client that `async with client(...)` gives: one of httpx2, and `acting_as()`."""

    def __init__(
        self, apps: Sequence[FastAPI], options: _Options, *, state: Mapping[str, Any]
    ) -> None:
        transport = httpx2.ASGITransport(
            _with_state(apps[0], state),
            raise_app_exceptions=options.raise_server_exceptions,
            root_path=options.root_path,
            client=options.address,
        )
        super().__init__(
            transport=transport,
            base_url=options.base_url,
            headers=options.headers,
            cookies=options.cookies,
            follow_redirects=options.follow_redirects,
        )
        self._apps = apps


class AppUnderTest:
    """Starts an app for a test: `with` gives a `ServiceClient`, `async with` an async one.

    May be used again, once the block has ended.
    """

    def __init__(
        self, change: Callable[[], AbstractContextManager[list[FastAPI]]], options: _Options
    ) -> None:
        self._change = change
        self._options = options
        self._open: list[AbstractContextManager[ServiceClient]] = []
        self._open_async: list[AbstractAsyncContextManager[AsyncServiceClient]] = []

    def __enter__(self) -> ServiceClient:
        block = self._started()
        entered = block.__enter__()
        self._open.append(block)
        return entered

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return self._open.pop().__exit__(kind, error, traceback)

    async def __aenter__(self) -> AsyncServiceClient:
        block = self._started_async()
        entered = await block.__aenter__()
        self._open_async.append(block)
        return entered

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return await self._open_async.pop().__aexit__(kind, error, traceback)

    @contextmanager
    def _started(self) -> Iterator[ServiceClient]:
        with self._change() as apps, ServiceClient(apps, self._options) as started:
            yield started

    @asynccontextmanager
    async def _started_async(self) -> AsyncIterator[AsyncServiceClient]:
        with self._change() as apps:
            async with (
                running(apps[0]) as state,
                AsyncServiceClient(apps, self._options, state=state) as started,
            ):
                yield started


@contextmanager
def _changed_apps(
    app: FastAPI | str,
    as_: Mapping[Dependency, Any] | None,
    resources: Mapping[Resource[Any], Any] | None,
    settings: BaseSettings | Mapping[str, Any] | None,
) -> Iterator[list[FastAPI]]:
    """Give the app, and those that are mounted in it, with what the test changes."""
    with ExitStack() as stack:
        if isinstance(app, str):
            app = stack.enter_context(imported_app(app))
        apps = changes.with_mounted(app)
        stack.enter_context(changes.kept(apps))
        if settings is not None:
            stack.enter_context(changes.replaced_settings(apps, settings))
        if resources is not None:
            stack.enter_context(changes.replaced_resources(apps, resources))
        stack.enter_context(changes.acting_as(apps, as_ or {}))
        yield apps


def _with_state(app: ASGIApp, state: Mapping[str, Any]) -> ASGIApp:
    """Return the app with what its lifespan has yielded as the state of each request."""

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "state": dict(state)}, receive, send)

    return served
