"""Opening and closing what lives as long as the app does, step by step."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from typing import Any, NoReturn

import anyio
import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.routing import Router

from sturdyapi.lifespans import as_lifespans, closing_stack, has_own_lifespan, run_handlers


class Journal:
    """Writes down what is opened and closed."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @asynccontextmanager
    async def thing(
        self, name: str, *, opening: BaseException | None = None, closing: Exception | None = None
    ) -> AsyncIterator[None]:
        """Something to open, which may fail at either end."""
        if opening is not None:
            raise opening
        self.lines.append(f"open {name}")
        try:
            yield
        finally:
            self.lines.append(f"close {name}")
            if closing is not None:
                raise closing


async def run(
    *things: AbstractAsyncContextManager[Any], then: Callable[[], Awaitable[object]] | None = None
) -> None:
    """Open some things, do something, and close them."""
    async with closing_stack() as stack:
        for thing in things:
            await stack.enter_async_context(thing)
        if then is not None:
            await then()


async def fail() -> NoReturn:
    """Fail as a start does."""
    raise OSError("no db")


# closing_stack().


@pytest.mark.anyio
async def test_what_was_opened_is_closed_in_reverse() -> None:
    """A clean end closes everything, the last first."""
    journal = Journal()

    await run(journal.thing("a"), journal.thing("b"), journal.thing("c"))

    assert journal.lines == ["open a", "open b", "open c", "close c", "close b", "close a"]


@pytest.mark.anyio
async def test_failed_opening_closes_what_was_opened() -> None:
    """Trap 71: what failed to open is not closed, and what was open is."""
    journal = Journal()

    with pytest.raises(OSError, match="no b"):
        await run(journal.thing("a"), journal.thing("b", opening=OSError("no b")))

    assert journal.lines == ["open a", "close a"]


@pytest.mark.anyio
async def test_closing_error_does_not_hide_the_first(caplog: pytest.LogCaptureFixture) -> None:
    """Trap 72: after a failed start the cause is raised, and errors while closing are logged."""
    journal = Journal()
    things = [
        journal.thing("a"),
        journal.thing("b", closing=KeyError("close b")),
        journal.thing("c", opening=ConnectionError("no c")),
    ]

    with pytest.raises(ConnectionError, match="no c"):
        await run(*things)

    assert journal.lines == ["open a", "open b", "close b", "close a"]
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (
        logging.ERROR,
        "Closing failed after: ConnectionError",
    )
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], KeyError)


@pytest.mark.anyio
@pytest.mark.parametrize("closing", [None, KeyError("close a")])
async def test_story_of_the_first_error_is_kept(closing: Exception | None) -> None:
    """The error that is raised still tells what led to it, with or without `from`."""
    journal, implied, stated = Journal(), LookupError("no host"), ValueError("no port")

    async def start(*, state_cause: bool) -> None:
        try:
            raise implied
        except LookupError:
            if state_cause:
                raise OSError("no db") from stated
            raise OSError("no db")  # noqa: B904 - the implied cause is the subject

    with pytest.raises(OSError, match="no db") as first:
        await run(journal.thing("a", closing=closing), then=partial(start, state_cause=False))
    with pytest.raises(OSError, match="no db") as second:
        await run(journal.thing("a", closing=closing), then=partial(start, state_cause=True))

    assert first.value.__context__ is implied
    assert not first.value.__suppress_context__
    assert second.value.__cause__ is stated


@pytest.mark.anyio
async def test_error_cannot_be_swallowed() -> None:
    """A start that failed stays failed, even if something that is closed would suppress it."""

    @asynccontextmanager
    async def forgiving() -> AsyncIterator[None]:
        with suppress(OSError):
            yield

    with pytest.raises(OSError, match="no db"):
        await run(forgiving(), then=fail)


@pytest.mark.anyio
async def test_error_that_is_raised_again_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Something that sees the error of the start and raises it again has not failed to close."""

    class Watching(AsContextManager):
        async def __aexit__(self, *exc_info: object) -> None:
            assert isinstance(exc_info[1], OSError)
            raise exc_info[1]

    with pytest.raises(OSError, match="no db"):
        await run(Watching(None), then=fail)

    assert caplog.records == []


@pytest.mark.anyio
async def test_closing_error_at_a_clean_end_is_raised() -> None:
    """An error while closing after a good run is raised, once everything is closed."""
    journal = Journal()

    with pytest.raises(KeyError, match="close b"):
        await run(journal.thing("a"), journal.thing("b", closing=KeyError("close b")))

    assert journal.lines[-2:] == ["close b", "close a"]


@pytest.mark.anyio
async def test_cancelled_start_closes_what_was_opened() -> None:
    """A start that is cancelled, as by Ctrl-C, closes what it had opened, awaiting it."""
    journal, waiting = Journal(), asyncio.Event()

    @asynccontextmanager
    async def slow_to_close() -> AsyncIterator[None]:
        try:
            yield
        finally:
            await asyncio.sleep(0)
            journal.lines.append("closed slowly")

    async def wait() -> None:
        waiting.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(run(journal.thing("a"), slow_to_close(), then=wait))
    await waiting.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert journal.lines == ["open a", "closed slowly", "close a"]


@pytest.mark.anyio
async def test_start_with_a_time_limit_closes_what_was_opened() -> None:
    """Trap 79: a step that is given up after its time leaves nothing open."""
    journal = Journal()

    async def hang() -> None:
        with anyio.fail_after(0.01):
            await anyio.sleep_forever()

    with pytest.raises(TimeoutError):
        await run(journal.thing("a"), then=hang)

    assert journal.lines == ["open a", "close a"]


@pytest.mark.anyio
async def test_task_group_may_live_in_the_stack() -> None:
    """A task group that is opened in the stack runs its tasks until the end, also of a failure."""
    lines: list[str] = []

    @asynccontextmanager
    async def background() -> AsyncIterator[None]:
        async with anyio.create_task_group() as group:
            group.start_soon(until_cancelled)
            try:
                yield
            finally:
                group.cancel_scope.cancel()

    async def until_cancelled() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            lines.append("ended")

    async def fail_later() -> None:
        await anyio.wait_all_tasks_blocked()
        await fail()

    await run(background(), then=anyio.wait_all_tasks_blocked)
    with pytest.raises(OSError, match="no db"):
        await run(background(), then=fail_later)

    assert lines == ["ended", "ended"]


# as_lifespans().


async def async_generator(app: object) -> AsyncIterator[dict[str, Any]]:
    """Yield a state, as a FastAPI lifespan without its decorator."""
    yield {"app": app}


def sync_generator(app: object) -> Iterator[dict[str, Any]]:
    """Yield a state, as a lifespan that awaits nothing."""
    yield {"app": app}


async def prefixed(_prefix: str, app: object) -> AsyncIterator[dict[str, Any]]:
    """Yield a state, as a lifespan with an argument of its own."""
    yield {"app": app}


class AsContextManager:
    """A lifespan that is a class."""

    def __init__(self, app: object) -> None:
        self.app = app

    async def __aenter__(self) -> dict[str, Any]:
        return {"app": self.app}

    async def __aexit__(self, *exc_info: object) -> None:
        return None


@pytest.mark.anyio
@pytest.mark.parametrize(
    "lifespan",
    [
        async_generator,
        sync_generator,
        asynccontextmanager(async_generator),
        partial(prefixed, "x"),
        AsContextManager,
    ],
)
async def test_every_form_of_a_lifespan_is_taken(lifespan: Callable[[Any], Any]) -> None:
    """A lifespan may be a generator function, `async` or not, or make a context manager."""
    (made,) = as_lifespans(lifespan)

    async with made("the app") as state:
        assert state == {"app": "the app"}


def test_lists_are_taken_in_their_order() -> None:
    """A list or a tuple of lifespans stays in its order; none is no lifespan."""

    @asynccontextmanager
    async def other(_app: object) -> AsyncIterator[None]:
        yield

    assert as_lifespans([AsContextManager, other]) == [AsContextManager, other]
    assert as_lifespans((other, AsContextManager)) == [other, AsContextManager]
    assert as_lifespans(None) == as_lifespans([]) == []


@pytest.mark.anyio
async def test_error_reaches_a_sync_generator() -> None:
    """A lifespan that is a plain generator sees the error that ends the app."""
    seen: list[str] = []

    def lifespan(_app: object) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            seen.append(str(error))
            raise

    (made,) = as_lifespans(lifespan)
    with pytest.raises(OSError, match="no db"):
        async with made(None):
            raise OSError("no db")

    assert seen == ["no db"]


@pytest.mark.anyio
@pytest.mark.parametrize("kind", [FastAPI, Starlette])
async def test_apps_lifespan_is_run_with_that_app(kind: type[Starlette]) -> None:
    """An app in the place of a lifespan is opened as itself, not as the app that opens it."""
    opened: list[Any] = []

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[dict[str, int]]:
        opened.append(app)
        yield {"a": 1}

    app = kind(lifespan=lifespan)
    (made,) = as_lifespans(app)

    async with made("the outer app") as state:
        assert state == {"a": 1}
    assert opened == [app]


# has_own_lifespan().


def idle(lifespan: Any = None) -> FastAPI:
    """Return an app with routers in routers, as services have them."""
    app, outer, inner = FastAPI(lifespan=lifespan), APIRouter(), APIRouter()
    outer.include_router(inner, prefix="/inner")
    app.include_router(outer)
    app.include_router(inner, prefix="/again")
    return app


class NotStarlette:
    """An ASGI app of another make that has something called `router` as well."""

    router = object()


@pytest.mark.parametrize(
    "app", [FastAPI(), idle(), Starlette(), Router(), NotStarlette(), object(), None]
)
def test_apps_that_do_nothing_at_their_start(app: object) -> None:
    """An app without a lifespan has none, however many routers it includes."""
    assert not has_own_lifespan(app)


def apps_with_a_lifespan() -> Iterator[FastAPI | Starlette]:
    """Yield apps that do something at their start or end."""
    lifespan = asynccontextmanager(async_generator)
    yield FastAPI(lifespan=lifespan)
    yield Starlette(lifespan=lifespan)
    yield idle(lifespan)
    yield FastAPI(on_startup=[list])
    yield FastAPI(on_shutdown=[list])
    with_router = FastAPI()
    with_router.include_router(APIRouter(lifespan=lifespan))
    yield with_router
    with_handler = idle()
    with_handler.include_router(APIRouter(on_startup=[list]))
    yield with_handler


@pytest.mark.parametrize("app", list(apps_with_a_lifespan()))
def test_apps_that_do_something_at_their_start(app: object) -> None:
    """A lifespan or a handler counts, of the app itself or of a router in it."""
    assert has_own_lifespan(app)


# run_handlers().


@pytest.mark.anyio
async def test_handlers_run_in_order() -> None:
    """`on_event` handlers run one after the other, `def` and `async def` alike."""
    lines: list[str] = []

    async def slow(name: str) -> None:
        await asyncio.sleep(0)
        lines.append(name)

    class Handler:
        async def __call__(self) -> None:
            lines.append("d")

    await run_handlers([partial(slow, "a"), partial(lines.append, "b"), partial(slow, "c")])
    await run_handlers([Handler()])

    assert lines == ["a", "b", "c", "d"]


@pytest.mark.anyio
async def test_failed_handler_stops_the_others() -> None:
    """A handler that fails is the last one to run."""
    lines: list[str] = []

    with pytest.raises(ZeroDivisionError):
        await run_handlers([partial(divmod, 1, 0), partial(lines.append, "b")])

    assert lines == []
