"""While the app serves: supervised tasks, task groups, checks, and what readiness says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
import httpx2
import pytest

from sturdyapi.app import SturdyAPI
from sturdyapi.exceptions import ConfigurationError, SupervisedTaskError
from sturdyapi.resources import (
    Resource,
    ResourceContext,
    ResourceRegistry,
    lifetime,
    open_resources,
    resource,
)

from .support import Journal, fail, make_app, until

pytestmark = pytest.mark.anyio


async def until_cancelled() -> None:
    """Wait as a consumer of a queue does."""
    await asyncio.Event().wait()


async def crash() -> None:
    """Fail as a consumer does that meets something it does not know."""
    raise LookupError("no such queue")


def supervising(
    function: Callable[..., Awaitable[object]], *args: Any, lines: list[str] | None = None
) -> Resource[None]:
    """Make a resource with one task."""

    @resource
    async def consumer(context: ResourceContext) -> AsyncIterator[None]:
        context.supervise(function, *args)
        yield
        if lines is not None:
            lines.append("close")

    return consumer


async def probe(app: SturdyAPI, path: str = "/health/ready") -> httpx2.Response:
    """Ask a running app how it is."""
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.get(path)


# Supervised tasks.


async def test_a_supervised_task_gets_its_arguments_and_ends_before_the_closing() -> None:
    """`context.supervise()` runs a task that is cancelled before the resource closes."""
    lines: list[str] = []

    async def consume(queue: str) -> None:
        lines.append(f"consume {queue}")
        try:
            await until_cancelled()
        finally:
            await asyncio.sleep(0)
            lines.append("cancelled")

    async with open_resources(supervising(consume, "orders", lines=lines)):
        await anyio.wait_all_tasks_blocked()

    assert lines == ["consume orders", "cancelled", "close"]


async def test_a_crash_of_a_task_turns_readiness_red(caplog: pytest.LogCaptureFixture) -> None:
    """A supervised task that crashes is logged with its traceback, and readiness is red."""
    app = make_app(supervising(crash))

    async with app.router.lifespan_context(app):
        await until(lambda: caplog.records)
        ready, live = await probe(app), await probe(app, "/health/live")

    assert ready.status_code == 503
    assert ready.json()["checks"] == {"consumer": "failed"}
    assert live.status_code == 200
    record = caplog.records[0]
    assert record.levelno == logging.ERROR
    assert record.getMessage() == (
        "Resource 'consumer' does not work any more. Its task 'crash' has ended while the app "
        "runs; readiness is red until a restart."
    )
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], LookupError)
    assert record.exc_info[1].__traceback__ is not None


async def test_nothing_is_supervised_once_the_closing_has_begun() -> None:
    """A task that nobody would end any more is refused."""

    @resource
    async def consumer(context: ResourceContext) -> AsyncIterator[None]:
        yield
        context.supervise(until_cancelled)

    with pytest.raises(ConfigurationError, match="which is closing"):
        async with ResourceRegistry([consumer]).open():
            pass


async def test_a_task_that_returns_is_done() -> None:
    """A supervised task that returns leaves readiness as it is."""
    done: list[str] = []

    async def warm_up() -> None:
        done.append("warm")

    app = make_app(supervising(warm_up))

    async with app.router.lifespan_context(app):
        await anyio.wait_all_tasks_blocked()
        assert (await probe(app)).status_code == 200

    assert done == ["warm"]


async def test_a_task_that_was_cancelled_from_within_has_crashed() -> None:
    """A task that awaits something that was cancelled ends by that: readiness is red."""

    async def await_cancelled() -> None:
        other = asyncio.create_task(until_cancelled())
        other.cancel()
        await other

    consumer = supervising(await_cancelled)
    registry = ResourceRegistry([consumer])

    async with registry.open():
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(SupervisedTaskError, match="'await_cancelled'"):
            await registry.check(consumer)


async def test_a_task_may_be_named() -> None:
    """`name=` is what the log and the task itself are called by."""
    names: list[str] = []

    async def consume() -> None:
        task = asyncio.current_task()
        assert task is not None
        names.append(task.get_name())

    @resource
    async def consumer(context: ResourceContext) -> AsyncIterator[None]:
        context.supervise(consume, name="orders")
        yield

    async with open_resources(consumer):
        await anyio.wait_all_tasks_blocked()

    assert names == ["orders"]


async def test_tasks_of_a_start_that_fails_are_stopped() -> None:
    """A task that is supervised before the opening fails ends with it."""
    lines: list[str] = []

    async def consume() -> None:
        try:
            await until_cancelled()
        finally:
            lines.append("cancelled")

    @resource
    async def consumer(context: ResourceContext) -> AsyncIterator[None]:
        context.supervise(consume)
        await anyio.wait_all_tasks_blocked()
        fail(OSError("no host"))
        yield

    with pytest.raises(OSError, match="no host"):
        async with open_resources(consumer):
            pass
    assert lines == ["cancelled"]


async def test_a_crash_while_a_task_is_stopped_is_no_fault(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A task that fails as it is stopped is logged as that, and the app ends well."""
    lines: list[str] = []

    async def consume() -> None:
        try:
            await until_cancelled()
        finally:
            raise OSError("broken pipe")

    async with open_resources(supervising(consume, lines=lines)):
        await anyio.wait_all_tasks_blocked()

    assert lines == ["close"]
    assert caplog.messages == [
        "Task 'consume' of resource 'consumer' failed while it was cancelled"
    ]


async def test_a_task_that_ignores_its_cancellation_is_left_behind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A supervised task that can't be stopped is named, and its resource closes all the same."""
    monkeypatch.setattr(lifetime, "_CANCELLED_TASK_SECONDS", 0.01)
    lines: list[str] = []
    freed = asyncio.Event()

    async def consume() -> None:
        while not freed.is_set():
            try:
                await freed.wait()
            except asyncio.CancelledError:
                lines.append("ignored")

    async with open_resources(supervising(consume, lines=lines)):
        await anyio.wait_all_tasks_blocked()

    assert lines == ["ignored", "close"]
    assert caplog.messages == [
        "Task 'consume' of resource 'consumer' does not end though it was cancelled: left behind"
    ]
    freed.set()
    await anyio.wait_all_tasks_blocked()


async def test_a_task_that_was_called_already_is_refused() -> None:
    """`supervise(consume())` is refused, with the form that is meant."""

    @resource
    async def consumer(context: ResourceContext) -> AsyncIterator[None]:
        context.supervise(until_cancelled())  # type: ignore[arg-type]
        yield

    with pytest.raises(ConfigurationError) as caught:
        async with open_resources(consumer):
            pass
    assert str(caught.value) == (
        "supervise() was given a coroutine. Give the function and its arguments apart: "
        "supervise(consume, queue)."
    )


async def test_a_fault_does_not_grow() -> None:
    """A probe each second for a year keeps nothing of the probes before."""
    consumer = supervising(crash)
    registry = ResourceRegistry([consumer])
    depths = []

    async with registry.open():
        await anyio.wait_all_tasks_blocked()
        for _ in range(3):
            with pytest.raises(SupervisedTaskError) as caught:
                await registry.check(consumer)
            depths.append(len(caught.traceback))

    assert depths[0] == depths[1] == depths[2]


# Task groups inside.


@pytest.mark.parametrize("make_group", [asyncio.TaskGroup, anyio.create_task_group])
async def test_a_task_group_that_crashes_turns_readiness_red(
    make_group: Callable[[], Any], caplog: pytest.LogCaptureFixture
) -> None:
    """A crash in a resource's own task group is logged; the app serves on, and ends well."""
    crashing = asyncio.Event()
    lines: list[str] = []

    async def consume() -> None:
        try:
            await until_cancelled()
        finally:
            for _ in range(3):
                await asyncio.sleep(0)
            lines.append("stopped")

    async def member() -> None:
        await crashing.wait()
        await crash()

    @resource
    async def grouped(context: ResourceContext) -> AsyncIterator[None]:
        context.supervise(consume)
        async with make_group() as group:
            getattr(group, "start_soon", lambda function: group.create_task(function()))(member)
            try:
                yield
            finally:
                lines.append("close")

    app = make_app(grouped)

    @app.get("/")
    async def read() -> str:
        return "served"

    async with app.router.lifespan_context(app):
        await anyio.wait_all_tasks_blocked()
        crashing.set()
        await until(lambda: caplog.records)
        assert (await probe(app)).status_code == 503
        assert (await probe(app, "/health/live")).status_code == 200
        assert (await probe(app, "/")).json() == "served"

    assert lines == ["stopped", "close"]
    (record, _) = caplog.records
    assert record.getMessage() == (
        "Resource 'grouped' does not work any more. It has ended while the app runs; readiness is "
        "red until a restart."
    )
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ExceptionGroup)


async def test_a_crash_before_the_value_fails_the_start() -> None:
    """A task group that crashes while its resource opens is an ordinary failed start."""

    @resource
    async def grouped() -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            group.create_task(crash())
            await until_cancelled()
            yield

    with pytest.raises(ExceptionGroup) as caught:
        async with open_resources(grouped):
            pass
    assert isinstance(caught.value.exceptions[0], LookupError)


async def test_other_resources_of_an_app_go_on(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    """When one resource ends by itself, the others stay open until the app ends."""

    @resource
    async def grouped() -> AsyncIterator[None]:
        async with asyncio.timeout(None) as limit:
            asyncio.get_running_loop().call_soon(limit.reschedule, 0)
            yield

    other = journal.thing("other")
    async with open_resources(grouped, other) as registry:
        await until(lambda: caplog.records)
        with pytest.raises(SupervisedTaskError):
            await registry.check(grouped)
        await registry.check(other)

    assert journal.lines == ["open other", "close other"]


@pytest.fixture
async def journal() -> Journal:
    """A journal of the loop that the test runs on."""
    return Journal()


# Checks.


def checked(check: Callable[[str], Awaitable[object]], name: str = "search") -> Resource[str]:
    """Make a resource with a check."""

    @resource(name=name, check=check)
    async def search() -> AsyncIterator[str]:
        yield "index"

    return search


async def refuse(_value: str) -> None:
    """Fail as a check does whose server is away."""
    raise ConnectionError("10.0.0.7 refused")


@pytest.mark.parametrize(
    ("environment", "told"),
    [("production", "failed"), ("development", "failed: ConnectionError")],
)
async def test_a_check_is_asked_by_readiness(environment: str, told: str) -> None:
    """`check=` turns readiness red by raising; only in development is the kind of error told."""
    app = make_app(checked(refuse), environment=environment)

    async with app.router.lifespan_context(app):
        answer = await probe(app)

    assert answer.status_code == 503
    assert answer.json() == {"status": "unhealthy", "checks": {"search": told}}


async def test_a_check_gets_the_value() -> None:
    """The check is asked about the open value; that it returns is enough."""
    seen: list[str] = []

    async def look(value: str) -> bool:
        seen.append(value)
        return False

    app = make_app(checked(look))

    async with app.router.lifespan_context(app):
        assert (await probe(app)).json() == {"status": "ready", "checks": {"search": "ok"}}

    assert seen == ["index"]


async def test_a_resource_without_a_check_is_well_while_it_is_open() -> None:
    """Every resource is listed by readiness, those that are only needed too."""

    @resource
    async def need() -> AsyncIterator[int]:
        yield 1

    @resource(needs=[need])
    async def model() -> AsyncIterator[int]:
        yield 2

    app = make_app(model)

    async with app.router.lifespan_context(app):
        assert (await probe(app)).json()["checks"] == {"need": "ok", "model": "ok"}


async def test_a_replacement_is_checked_in_its_place() -> None:
    """A resource that stands in for another is asked for its state, and a plain value is well."""
    search, broken, other = checked(_well), checked(refuse, "fake"), checked(refuse, "other")
    registry = ResourceRegistry([search, other])

    with registry.replaced({search: broken, other: "index"}):
        async with registry.open():
            with pytest.raises(ConnectionError):
                await registry.check(search)
            await registry.check(other)
    async with registry.open():
        await registry.check(search)


async def _well(_value: str) -> None:
    """Find nothing wrong."""


async def test_a_class_of_ones_own_is_a_resource() -> None:
    """A subclass of `Resource` overrides `open()`, and `check()` where it has something to say."""
    lines: list[str] = []

    class Connection:
        async def __aenter__(self) -> str:
            lines.append("open")
            return "connected"

        async def __aexit__(self, *exc_info: object) -> None:
            lines.append("close")

    class Broker(Resource[str]):
        def open(self, context: ResourceContext) -> Any:
            return Connection()

    broker = Broker("broker", timeout_seconds=1)
    async with open_resources(broker) as opened:
        assert opened[broker] == "connected"
        await opened.check(broker)
    assert lines == ["open", "close"]


async def test_a_class_without_open_is_told() -> None:
    """A `Resource` itself opens nothing."""
    with pytest.raises(NotImplementedError):
        async with open_resources(Resource[str]("nothing")):
            pass
