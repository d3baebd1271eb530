"""What an app does at its start and end, and the first log line."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import anyio
import pytest
from anyio import to_thread
from fastapi import APIRouter, Depends, FastAPI, Request, WebSocket
from fastapi.requests import HTTPConnection
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.routing import Host, Mount

from sturdyapi.app import SturdyAPI, create_app
from sturdyapi.exceptions import SturdyDeprecationWarning, SturdyWarning
from sturdyapi.settings import BaseSettings


def _app(environment: str = "testing", **options: Any) -> SturdyAPI:
    return create_app(BaseSettings(environment=environment), logs=False, **options)


def _run(app: Any) -> None:
    """Start the app and end it."""
    with TestClient(app):
        pass


def _noting(
    calls: list[str], name: str, state: dict[str, Any] | None = None
) -> Callable[[Any], Any]:
    @asynccontextmanager
    async def lifespan(_app: Any) -> AsyncIterator[dict[str, Any] | None]:
        calls.append(f"open {name}")
        yield state
        calls.append(f"close {name}")

    return lifespan


def _failing(*, at: str) -> Callable[[Any], Any]:
    @asynccontextmanager
    async def lifespan(_app: Any) -> AsyncIterator[None]:
        if at == "start":
            raise RuntimeError("failed to start")
        yield
        raise LookupError("failed to close")

    return lifespan


# What `lifespan=` takes.


def test_a_lifespan_runs_around_the_requests() -> None:
    """A lifespan as FastAPI takes it gets the app, and what it yields is `request.state`."""
    seen: list[Any] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        seen.append(app)
        yield {"db": "open"}
        seen.append("closed")

    app = _app(lifespan=lifespan)

    @app.get("/")
    async def read(request: Request) -> str:
        return str(request.state.db)

    with TestClient(app) as client:
        assert client.get("/").json() == "open"
        assert seen == [app]

    assert seen == [app, "closed"]


def test_a_list_of_lifespans_opens_in_order() -> None:
    """A list is opened in its order and closed in reverse; all of the states are there."""
    calls: list[str] = []
    lifespans = [_noting(calls, "a", {"a": 1}), _noting(calls, "b", {"b": 2}), _noting(calls, "c")]
    app = _app(lifespan=lifespans)

    @app.get("/")
    async def read(request: Request) -> list[int]:
        return [request.state.a, request.state.b]

    with TestClient(app) as client:
        assert client.get("/").json() == [1, 2]

    assert calls == ["open a", "open b", "open c", "close c", "close b", "close a"]


@pytest.mark.parametrize("lifespan", [None, [], ()])
def test_no_lifespan_is_needed(lifespan: Any) -> None:
    """`lifespan=None`, the default, and an empty list do nothing."""
    with TestClient(_app(lifespan=lifespan)) as client:
        assert client.app_state == {}


async def _async_generator(_app: Any) -> AsyncIterator[dict[str, Any]]:
    yield {"kind": "async generator"}


def _generator(_app: Any) -> Iterator[dict[str, Any]]:
    yield {"kind": "generator"}


@pytest.mark.filterwarnings("ignore:.*generator function lifespans.*:DeprecationWarning")
@pytest.mark.parametrize("lifespan", [_async_generator, _generator])
def test_a_bare_generator_is_a_lifespan(lifespan: Any) -> None:
    """Functions that FastAPI makes into lifespans are taken as well."""
    app = _app(lifespan=lifespan)

    @app.get("/")
    async def read(request: Request) -> str:
        return str(request.state.kind)

    with TestClient(app) as client:
        assert client.get("/").json() == lifespan.__name__.strip("_").replace("_", " ")


def test_state_is_seen_everywhere() -> None:
    """Traps 75 and 76: what a lifespan yields is seen in mounts, by websockets, and in both."""
    child = FastAPI()

    @child.get("/")
    async def read(request: Request) -> str:
        return str(request.state.db)

    app = _app(lifespan=_noting([], "a", {"db": "open"}))
    app.mount("/child", child)

    @app.websocket("/ws", dependencies=[Depends(_sees_the_state)])
    async def talk(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(socket.state.db)
        await socket.close()

    with TestClient(app) as client:
        assert client.get("/child/").json() == "open"
        with client.websocket_connect("/ws") as socket:
            assert socket.receive_text() == "open"


def _sees_the_state(connection: HTTPConnection) -> None:
    if connection.state.db != "open":
        raise RuntimeError("no state")


def test_an_app_can_be_started_again() -> None:
    """Three starts open and close three times."""
    calls: list[str] = []
    app = _app(lifespan=_noting(calls, "a"))

    for _ in range(3):
        _run(app)

    assert calls == ["open a", "close a"] * 3


# Failing starts and ends.


def test_a_failing_start_closes_what_was_open() -> None:
    """Trap 71: what was opened before the failure is closed, what comes after is never opened."""
    calls: list[str] = []

    @asynccontextmanager
    async def careful(_app: Any) -> AsyncIterator[None]:
        try:
            yield
        finally:
            calls.append("closed")

    with pytest.raises(RuntimeError, match="failed to start"):
        _run(_app(lifespan=[careful, _failing(at="start"), _noting(calls, "never")]))

    assert calls == ["closed"]


def test_the_cause_of_a_failing_start_is_what_is_raised(caplog: pytest.LogCaptureFixture) -> None:
    """Trap 72: an error while closing after a failed start is logged, and hides nothing."""

    @asynccontextmanager
    async def clumsy(_app: Any) -> AsyncIterator[None]:
        try:
            yield
        finally:
            raise LookupError("failed to close")

    with pytest.raises(RuntimeError, match="failed to start"):
        _run(_app(lifespan=[clumsy, _failing(at="start")]))

    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert errors[0].exc_info is not None
    assert isinstance(errors[0].exc_info[1], LookupError)


def test_a_failing_end_is_raised() -> None:
    """An error at a clean end is raised, and the rest is closed all the same."""
    calls: list[str] = []

    @asynccontextmanager
    async def careful(_app: Any) -> AsyncIterator[None]:
        try:
            yield
        finally:
            calls.append("closed")

    with pytest.raises(LookupError, match="failed to close"):
        _run(_app(lifespan=[careful, _failing(at="end")]))

    assert calls == ["closed"]


def test_an_app_that_failed_to_start_is_not_ready() -> None:
    """Readiness stays 503 after a failed start."""
    app = _app(lifespan=_failing(at="start"))

    with pytest.raises(RuntimeError):
        _run(app)

    assert TestClient(app).get("/health/ready").status_code == 503


# Mounted apps.


def _under_a_host(child: Any) -> SturdyAPI:
    app = _app()
    app.router.routes.append(Host("child.example.com", app=child))
    return app


def _in_a_router(child: Any) -> SturdyAPI:
    router = APIRouter()
    router.mount("/child", child)
    return _app(routers=[router])


def _mounted(child: Any) -> SturdyAPI:
    app = _app()
    app.mount("/child", child)
    return app


def _in_a_mount_of_routes(child: Any) -> SturdyAPI:
    return _app(routes=[Mount("/outer", routes=[Mount("/child", app=child)])])


def _mounted_twice(child: Any) -> SturdyAPI:
    app = _app()
    app.mount("/v1", child)
    app.mount("/v2", child)
    return app


def _in_a_router_twice(child: Any) -> SturdyAPI:
    router = APIRouter()
    router.mount("/child", child)
    app = _app(routers=[router])
    app.include_router(router, prefix="/again")
    return app


def _in_a_mounted_app(child: Any) -> SturdyAPI:
    return _mounted(_mounted(child))


WAYS = [
    _mounted,
    _under_a_host,
    _in_a_router,
    _in_a_mount_of_routes,
    _mounted_twice,
    _in_a_router_twice,
    _in_a_mounted_app,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_mounted_app_of_ours_is_opened_once(way: Callable[[Any], SturdyAPI]) -> None:
    """Trap 74: the outer app opens every mounted `create_app` app, once, and closes it."""
    calls: list[str] = []
    child = _app(lifespan=_noting(calls, "child"))

    probe = TestClient(child)

    with TestClient(way(child)):
        assert calls == ["open child"]
        assert probe.get("/health/ready").status_code == 200

    assert calls == ["open child", "close child"]
    assert probe.get("/health/ready").status_code == 503


def test_a_mounted_app_opens_after_its_parent() -> None:
    """The parent's own lifespan is open before a mounted one starts, and closes after it."""
    calls: list[str] = []
    app = _app(lifespan=_noting(calls, "parent"))
    app.mount("/child", _app(lifespan=_noting(calls, "child")))

    _run(app)

    assert calls == ["open parent", "open child", "close child", "close parent"]


def test_a_mounted_app_sees_its_own_state() -> None:
    """What a mounted app's lifespan yields is its `request.state`."""
    child = _app(lifespan=_noting([], "child", {"cache": "child's"}))

    @child.get("/")
    async def read(request: Request) -> str:
        return str(request.state.cache)

    with TestClient(_mounted(child)) as client:
        assert client.get("/child/").json() == "child's"


def test_a_mounted_app_does_not_replace_its_parents_state() -> None:
    """When both yield the same name, the parent's requests see the parent's."""
    app = _app(lifespan=_noting([], "parent", {"db": "parent's"}))
    app.mount("/child", _app(lifespan=_noting([], "child", {"db": "child's"})))

    @app.get("/")
    async def read(request: Request) -> str:
        return str(request.state.db)

    with TestClient(app) as client:
        assert client.get("/").json() == "parent's"


@pytest.mark.parametrize("make_child", [FastAPI, Starlette])
@pytest.mark.parametrize("way", [_mounted, _under_a_host, _in_a_router])
def test_a_foreign_mounted_lifespan_that_nobody_runs_is_named(
    make_child: Callable[..., Any], way: Callable[[Any], SturdyAPI]
) -> None:
    """Trap 74: a mounted app of another kind that has a lifespan gives a warning at the start."""
    calls: list[str] = []
    app = way(make_child(lifespan=_noting(calls, "child")))

    with pytest.warns(SturdyWarning, match=r"mounted at '.*child.*' has a lifespan"):
        _run(app)

    assert calls == []


def test_a_foreign_mounted_app_without_a_lifespan_is_fine() -> None:
    """Static files, a bare FastAPI app or any ASGI app give no warning."""

    async def bare(_scope: Any, _receive: Any, _send: Any) -> None: ...

    app = _app()
    children: list[Any] = [FastAPI(), Starlette(), APIRouter(), bare]
    for position, child in enumerate(children):
        app.mount(f"/{position}", child)

    _run(app)


@pytest.mark.parametrize("is_list", [True, False])
def test_a_foreign_app_that_is_listed_is_opened(is_list: bool) -> None:
    """`lifespan=[that_app]` runs its lifespan, with that app, and there is no warning."""
    seen: list[Any] = []

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        seen.append(app)
        yield

    child = FastAPI(lifespan=lifespan)
    app = _app(lifespan=[child] if is_list else child)
    app.mount("/child", child)

    _run(app)

    assert seen == [child]


def test_a_mounted_app_of_ours_may_be_listed() -> None:
    """Listing a mounted `create_app` app sets its place in the order; it is still opened once."""
    calls: list[str] = []
    child = _app(lifespan=_noting(calls, "child"))
    app = _app(lifespan=[child, _noting(calls, "parent")])
    app.mount("/child", child)

    _run(app)

    assert calls == ["open child", "open parent", "close parent", "close child"]


@pytest.mark.filterwarnings("ignore:.*on_event is deprecated.*:DeprecationWarning")
def test_a_listed_apps_event_handlers_run() -> None:
    """A listed FastAPI app's `on_event` handlers are its lifespan."""
    calls: list[str] = []
    child = FastAPI(
        on_startup=[lambda: calls.append("up")], on_shutdown=[lambda: calls.append("down")]
    )

    _run(_app(lifespan=[child]))

    assert calls == ["up", "down"]


# Handlers of events.


def test_on_event_runs_inside_the_lifespan() -> None:
    """Trap 73: `on_event` handlers run beside `lifespan=`, and the warning names STY1201."""
    calls: list[str] = []
    app = _app(lifespan=_noting(calls, "lifespan"))
    with pytest.warns(SturdyDeprecationWarning, match="STY1201"):

        @app.on_event("startup")
        async def up() -> None:
            calls.append("up")

    with pytest.warns(SturdyDeprecationWarning, match="STY1201"):

        @app.on_event("shutdown")
        def down() -> None:
            calls.append("down")

    _run(app)

    assert calls == ["open lifespan", "up", "down", "close lifespan"]
    assert up.__name__ == "up"


def test_the_warning_points_to_the_users_line() -> None:
    """The deprecation is reported for the file that used `on_event`."""
    with pytest.warns(SturdyDeprecationWarning) as caught:
        _app().on_event("startup")

    assert caught[0].filename == __file__


def test_handlers_that_are_given_run_inside_the_lifespan() -> None:
    """Trap 73: `on_startup=` and `on_shutdown=` are not silently ignored beside `lifespan=`."""
    calls: list[str] = []

    async def up() -> None:
        calls.append("up")

    app = _app(
        lifespan=_noting(calls, "lifespan"),
        on_startup=[up],
        on_shutdown=[lambda: calls.append("down")],
    )
    _run(app)

    assert calls == ["open lifespan", "up", "down", "close lifespan"]


@pytest.mark.parametrize("make_app", [FastAPI, _app], ids=["FastAPI", "ours"])
def test_a_routers_handlers_run_as_in_fastapi(make_app: Callable[[], FastAPI]) -> None:
    """Handlers and the lifespan of an included router run as often as in a plain FastAPI app."""
    calls: list[str] = []
    router = APIRouter(lifespan=_noting(calls, "router"))
    app = make_app()
    app.include_router(router)

    _run(app)

    assert calls == ["open router", "close router"]


def _count_of_starts(make_app: Callable[[], FastAPI]) -> int:
    calls: list[str] = []
    router = APIRouter(on_startup=[lambda: calls.append("up")])
    app = make_app()
    app.include_router(router)
    _run(app)
    return len(calls)


def test_a_routers_start_handlers_run_as_often_as_in_fastapi() -> None:
    """`on_startup=` of an included router runs neither more nor less often than in FastAPI."""
    assert _count_of_starts(_app) == _count_of_starts(FastAPI)


# Threads.


@pytest.mark.anyio
async def test_threads_are_set_while_the_app_runs() -> None:
    """`threads=7` lets seven `def` endpoints run at once, and the limit is as before at the end."""
    app = _app(threads=7)
    limiter = to_thread.current_default_thread_limiter()
    before = limiter.total_tokens

    async with app.router.lifespan_context(app):
        inside = limiter.total_tokens

    assert (inside, limiter.total_tokens) == (7, before)


@pytest.mark.anyio
async def test_threads_are_restored_after_a_failed_start() -> None:
    """A failed start leaves the limit as it was."""
    app = _app(threads=7, lifespan=_failing(at="start"))
    limiter = to_thread.current_default_thread_limiter()
    before = limiter.total_tokens

    with pytest.raises(RuntimeError):
        async with app.router.lifespan_context(app):
            pass

    assert limiter.total_tokens == before


@pytest.mark.anyio
async def test_threads_are_left_alone_by_default() -> None:
    """Without `threads=` AnyIO's own limit stays."""
    limiter = to_thread.current_default_thread_limiter()
    limiter.total_tokens = 23
    app = _app()

    async with app.router.lifespan_context(app):
        assert limiter.total_tokens == 23


@pytest.mark.anyio
async def test_a_cancelled_app_closes_what_is_open() -> None:
    """Cancelling a running app closes its lifespans."""
    calls: list[str] = []

    @asynccontextmanager
    async def careful(_app: Any) -> AsyncIterator[None]:
        try:
            yield
        finally:
            calls.append("closed")

    app = _app(lifespan=careful)

    with anyio.move_on_after(0):
        async with app.router.lifespan_context(app):
            await anyio.sleep_forever()

    assert calls == ["closed"]


# The first log line.


def _first_line(caplog: pytest.LogCaptureFixture, settings: BaseSettings, **options: Any) -> str:
    with caplog.at_level(logging.INFO, logger="sturdyapi"):
        _run(create_app(settings, logs=False, **options))
    return next(each.getMessage() for each in caplog.records if each.name == "sturdyapi")


@pytest.mark.parametrize(
    ("environment", "options", "line"),
    [
        ("production", {}, "production: docs off; for development use `fastapi dev`"),
        ("testing", {}, "testing: docs off; for development use `fastapi dev`"),
        ("development", {}, "development: docs at /docs"),
        ("development", {"docs": False}, "development: docs off"),
        ("development", {"docs_url": None}, "development: docs at /redoc"),
        (
            "development",
            {"docs_url": None, "redoc_url": None},
            "development: docs at /openapi.json",
        ),
        ("development", {"openapi_url": None}, "development: docs off"),
        ("production", {"docs": True}, "production: docs are public at /docs"),
        ("production", {"docs": True, "openapi_url": None}, "production: docs off"),
        ("production", {"docs": False}, "production: docs off"),
        ("production", {"docs_url": "/reference"}, "production: docs are public at /reference"),
        ("production", {"openapi_url": "/api.json"}, "production: docs are public at /docs"),
        (
            "production",
            {"docs": Depends(nullcontext)},
            "production: docs at /docs, behind a dependency",
        ),
    ],
)
def test_the_first_line_tells_the_environment_and_the_docs(
    caplog: pytest.LogCaptureFixture, environment: str, options: dict[str, Any], line: str
) -> None:
    """Trap 23: the first log line says which environment this is, and where the docs are if any."""
    settings = BaseSettings(environment=environment)

    assert _first_line(caplog, settings, **options) == line


def test_the_first_line_tells_that_the_environment_is_not_set(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without `FASTAPI_ENV` it is production, and the first line says why."""
    monkeypatch.delenv("FASTAPI_ENV", raising=False)
    monkeypatch.delenv("ENVIRONMENT", raising=False)

    line = _first_line(caplog, BaseSettings())

    assert line == ("production (FASTAPI_ENV not set): docs off; for development use `fastapi dev`")


def test_the_first_line_is_written_at_the_start(caplog: pytest.LogCaptureFixture) -> None:
    """Making an app says nothing: the line comes with the start, before anything is opened."""
    caplog.set_level(logging.INFO)

    @asynccontextmanager
    async def lifespan(_app: Any) -> AsyncIterator[None]:
        logging.getLogger("own").info("opened")
        yield

    app = _app(lifespan=lifespan)
    made = [record.name for record in caplog.records]
    _run(app)

    names = [each.name for each in caplog.records if each.name in ("sturdyapi", "own")]
    assert "sturdyapi" not in made
    assert names == ["sturdyapi", "own"]
