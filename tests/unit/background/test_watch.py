"""Tasks that take long, and tasks that still run at the end."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import anyio
import httpx2
import pytest
from fastapi import Request
from fastapi.responses import Response, StreamingResponse
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import ClientDisconnect

from sturdyapi import background
from sturdyapi.app import SturdyAPI
from sturdyapi.background import BackgroundTasks, TaskWatch
from sturdyapi.context import bind

from .support import Journal, Lines, client_of, make_app, nothing_more, scope_of

LONG_ENOUGH_SECONDS = 30
"""A test that waits for this long has failed."""


class Stuck:
    """A task that runs until it is released."""

    def __init__(self) -> None:
        self.started = anyio.Event()
        self.released = anyio.Event()

    async def run(self) -> None:
        """Start, and wait."""
        self.started.set()
        with anyio.fail_after(LONG_ENOUGH_SECONDS):
            await self.released.wait()


class Clock:
    """Stands in for the clock; goes on when it is told to."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock by which tasks are timed."""
    clock = Clock()
    monkeypatch.setattr(background, "perf_counter", clock)
    return clock


def app_with(*functions: Any, **options: Any) -> SturdyAPI:
    """Make an app whose route `/` adds these tasks, or those that it is told by number."""
    app = make_app(**options)

    @app.get("/")
    async def endpoint(tasks: BackgroundTasks, only: int | None = None) -> None:
        bind(**{f"told {only}": True})
        for function in functions if only is None else functions[only : only + 1]:
            tasks.add_task(function)

    return app


async def get(app: SturdyAPI, only: int | None = None) -> None:
    """Send one request, in this loop; its id is `r` and the number."""
    transport = httpx2.ASGITransport(app)
    params, headers = ({}, {}) if only is None else ({"only": only}, {"X-Request-ID": f"r{only}"})
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.get("/", params=params, headers=headers)).status_code == 200


# Tasks that take long.


@pytest.mark.anyio
async def test_a_long_task_is_named_while_it_runs(lines: Lines) -> None:
    """A task that passes the limit is named once, while it runs, with its request and a way out."""
    stuck = Stuck()
    lines.told = stuck.released.set
    app = app_with(stuck.run, watch_background_seconds=0.001)

    await get(app, 0)

    (warning, ended) = lines.all
    assert (warning.level, warning.request_id) == ("WARNING", "r0")
    assert "Stuck.run has taken 0." in warning.message
    assert "a queue, such as Celery" in warning.message
    assert ended.level == "DEBUG"


@pytest.mark.anyio
async def test_each_long_task_is_named(lines: Lines) -> None:
    """Tasks of several requests that are too long at the same time are each named, once."""
    stuck = [Stuck(), Stuck(), Stuck()]

    def release() -> None:
        if len(lines.messages) == 3:
            for each in stuck:
                each.released.set()

    lines.told = release
    app = app_with(*(each.run for each in stuck), watch_background_seconds=0.05)
    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(get, app, number)

    named = [line.bound for line in lines.all if line.level == "WARNING"]
    named.sort(key=lambda bound: str(bound["request_id"]))
    assert named == [{"request_id": f"r{n}", f"told {n}": True} for n in range(3)]


@pytest.mark.anyio
async def test_a_task_that_began_later_is_named_later(clock: Clock, lines: Lines) -> None:
    """Each task has the whole limit, whenever the others began."""
    first, second = Stuck(), Stuck()

    def release() -> None:
        if lines.all[-1].level == "DEBUG":
            clock.seconds += 1
        first.released.set()
        if len(lines.messages) == 2:
            second.released.set()

    lines.told = release
    app = app_with(first.run, second.run, watch_background_seconds=0.05)
    async with anyio.create_task_group() as group:
        group.start_soon(get, app, 0)
        await first.started.wait()
        clock.seconds += 0.03
        group.start_soon(get, app, 1)
        await second.started.wait()
        clock.seconds += 0.03

    assert [(line.level, line.request_id) for line in lines.all] == [
        ("WARNING", "r0"),
        ("DEBUG", "r0"),
        ("WARNING", "r1"),
        ("DEBUG", "r1"),
    ]


def test_a_long_task_is_named_in_any_loop(ran: Journal, lines: Lines) -> None:
    """A loop that has ended takes nothing along that a later one would miss."""
    stuck = Stuck()

    def release() -> None:
        if lines.all[-1].level == "WARNING":
            stuck.released.set()

    lines.told = release
    app = app_with(ran.task("quick"), stuck.run, watch_background_seconds=0.2)

    for round_number in range(1, 4):
        asyncio.run(get(app, 0))
        asyncio.run(get(app, 1))
        assert len(lines.messages) == round_number
        assert lines.all[-1].level == "DEBUG"
        stuck.released = anyio.Event()


def test_a_task_that_blocks_the_loop_is_named_too(clock: Clock, lines: Lines) -> None:
    """A task that blocks the loop, and with it every timer, is named when it ends."""

    async def blocking() -> None:
        clock.seconds += 5

    async def quick() -> None:
        clock.seconds += 4

    app = app_with(quick, blocking, quick)
    for round_number in range(1, 4):
        client_of(app).get("/")
        assert len(lines.messages) == round_number
    assert "blocking has taken 5.000 s by now." in lines.messages[0]


def test_the_watch_may_be_off(clock: Clock, lines: Lines) -> None:
    """`watch_background_seconds=0` lets a task take as long as it likes."""

    async def long() -> None:
        clock.seconds += 1000

    client_of(app_with(long, watch_background_seconds=0)).get("/")

    assert lines.messages == []


def test_time_is_kept_where_timers_are_not(
    clock: Clock, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a loop that is not asyncio's a long task is named when it ends."""
    monkeypatch.setattr(background, "_running_loop", lambda: None)

    async def long() -> None:
        clock.seconds += 6

    client_of(app_with(long)).get("/")

    assert len(lines.messages) == 1


# Tasks that still run at the end.


@pytest.mark.anyio
async def test_the_end_waits_for_running_tasks(lines: Lines) -> None:
    """`drain()` returns when the last task has ended, and says nothing then."""
    stuck = Stuck()
    app = app_with(stuck.run)
    drained = anyio.Event()

    async def drain() -> None:
        await app._background.drain(LONG_ENOUGH_SECONDS)
        drained.set()

    async with anyio.create_task_group() as group:
        group.start_soon(get, app)
        await stuck.started.wait()
        group.start_soon(drain)
        await anyio.wait_all_tasks_blocked()
        assert not drained.is_set()
        stuck.released.set()

    assert drained.is_set()
    assert lines.messages == []


@pytest.mark.anyio
async def test_tasks_that_outlast_the_grace_are_named(ran: Journal, lines: Lines) -> None:
    """What still runs after the grace, and what has not begun, is named in one warning."""
    stuck = Stuck()
    app = app_with(stuck.run, ran.task("mail"))

    async with anyio.create_task_group() as group:
        group.start_soon(get, app)
        group.start_soon(get, app, 0)
        await anyio.wait_all_tasks_blocked()
        await app._background.drain(0)
        (message,) = lines.messages
        stuck.released.set()

    assert message.startswith("Stopping after a grace of 0 s with background tasks that have not")
    assert "Stuck.run of request r0, running for 0." in message
    assert message.count("Stuck.run of request ") == 2
    assert message.count("s; not started: mail") == 1
    assert ran == ["mail"]


@pytest.mark.anyio
async def test_the_end_of_an_idle_app_waits_for_nothing(lines: Lines) -> None:
    """Without running tasks there is nothing to wait for."""
    watch = TaskWatch()
    for _ in range(3):
        await watch.drain(LONG_ENOUGH_SECONDS)
        await watch.drain(0)

    assert lines.all == []


@pytest.mark.anyio
async def test_the_lifespan_of_the_app_waits_for_its_tasks(lines: Lines) -> None:
    """An app closes what it has opened only when its tasks have ended."""
    events: list[str] = []
    stuck = Stuck()

    async def lifespan(_app: Any) -> Any:
        yield
        events.append("closed")

    async def task() -> None:
        await stuck.run()
        events.append("task ended")

    app = app_with(task, lifespan=lifespan)
    async with anyio.create_task_group() as group, app.router.lifespan_context(app):
        group.start_soon(get, app)
        await stuck.started.wait()
        asyncio.get_running_loop().call_soon(stuck.released.set)

    assert events == ["task ended", "closed"]


# Clients that leave.


@pytest.mark.anyio
@pytest.mark.parametrize("by_middleware", [False, True])
async def test_a_client_that_leaves_does_not_stop_the_tasks(
    by_middleware: bool, ran: Journal, lines: Lines
) -> None:
    """Trap 19: tasks run to their end though the client has gone, also under middleware."""
    stuck = Stuck()
    app = app_with(stuck.run, ran.task("second"))
    if by_middleware:

        async def pass_on(request: Request, call_next: Any) -> Response:
            response: Response = await call_next(request)
            return response

        app.add_middleware(BaseHTTPMiddleware, dispatch=pass_on)
    left = anyio.Event()

    async def receive() -> dict[str, Any]:
        if not left.is_set():
            left.set()
            return {"type": "http.request", "body": b"", "more_body": False}
        stuck.released.set()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body"):
            stuck.released.set()

    await app(scope_of("/"), receive, send)

    assert ran == ["second"]
    assert lines.messages == []


@pytest.mark.anyio
async def test_tasks_behind_a_stream_that_nobody_reads_are_named(
    ran: Journal, lines: Lines
) -> None:
    """Tasks whose response a leaving client has broken off do not run, and a line says so."""
    app = make_app()

    async def body() -> Any:
        yield b"some"

    @app.get("/")
    async def endpoint(tasks: BackgroundTasks) -> Response:
        tasks.add_task(ran.task("mail"))
        return StreamingResponse(body())

    async def send(message: Any) -> None:
        raise OSError("the client has left")

    with pytest.raises(ClientDisconnect):
        await app(scope_of("/"), nothing_more, send)

    assert ran == []
    assert "GET / ended with ClientDisconnect" in lines.messages[0]


@pytest.mark.anyio
async def test_a_request_that_is_cut_off_has_one_line(ran: Journal, lines: Lines) -> None:
    """A request that is cancelled while its tasks run names them once."""
    stuck = Stuck()
    app = app_with(stuck.run, ran.task("mail"))

    async with anyio.create_task_group() as group:
        group.start_soon(get, app)
        await stuck.started.wait()
        group.cancel_scope.cancel()

    (message,) = lines.messages
    assert message.endswith("s by CancelledError; not started: mail")


# Memory.


@pytest.mark.parametrize("answer", ["value", "response", "response with them"])
def test_tasks_are_gone_with_their_request(answer: str) -> None:
    """What a task was given is freed when the request ends, without the garbage collector."""
    app = make_app()
    kept: list[weakref.ref[Any]] = []

    class Payload:
        """Something large."""

    @app.get("/")
    async def endpoint(tasks: BackgroundTasks) -> Any:
        payload = Payload()
        kept.append(weakref.ref(payload))
        tasks.add_task(lambda _payload: None, payload)
        if answer == "value":
            return 1
        return Response(background=tasks if answer == "response with them" else None)

    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            client_of(app).get("/")
        assert [payload() for payload in kept] == [None] * 3
    finally:
        gc.enable()


@pytest.mark.anyio
async def test_nothing_is_kept_of_tasks_that_have_ended(ran: Journal, lines: Lines) -> None:
    """A watch forgets tasks that have ended, failed or been cut off."""
    stuck = Stuck()
    app = app_with(ran.failing("a"), ran.task("b"), stuck.run)

    async with anyio.create_task_group() as group:
        await get(app, 0)
        await get(app, 1)
        group.start_soon(get, app, 2)
        await stuck.started.wait()
        assert len(app._background.batches) == 1
        group.cancel_scope.cancel()

    assert app._background.batches == set()
