"""Resources open in order of need and close in reverse, whatever fails on the way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import anyio
import pytest

from sturdyapi.exceptions import (
    ConfigurationError,
    ResourceNotOpenError,
    ResourceStartError,
    ResourceTimeoutError,
)
from sturdyapi.resources import (
    Resource,
    ResourceContext,
    ResourceRegistry,
    lifetime,
    open_resources,
    resource,
)

from .support import Journal, fail, run

K_OF_N = [(k, n) for n in range(1, 7) for k in range(1, n + 1)]
"""Each place among up to six resources."""

every_place = pytest.mark.parametrize(("k", "n"), K_OF_N)

pytestmark = pytest.mark.anyio


@pytest.fixture
async def journal() -> Journal:
    """A journal of the loop that the test runs on."""
    return Journal()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was cancelled gets a short time only."""
    monkeypatch.setattr(lifetime, "_CANCELLED_SECONDS", 0.01)
    monkeypatch.setattr(lifetime, "_CANCELLED_TASK_SECONDS", 0.01)


def things(journal: Journal, n: int, *, k: int, **of_kth: Any) -> list[Resource[str]]:
    """Make things 1 to `n`, the `k`-th of which is special."""
    return [journal.thing(f"t{i}", **(of_kth if i == k else {})) for i in range(1, n + 1)]


def opened(last: int) -> list[str]:
    """Return the lines of an opening of the first things."""
    return [f"open t{number}" for number in range(1, last + 1)]


def closed(first: int) -> list[str]:
    """Return the lines of a closing from one of the things down to the first."""
    return [f"close t{number}" for number in range(first, 0, -1)]


# Order.


async def test_resources_open_in_order_and_close_in_reverse(journal: Journal) -> None:
    """Resources open in the order in which they are listed, and close in reverse."""
    await run(*things(journal, 3, k=0))

    assert journal.lines == opened(3) + closed(3)


async def test_needs_are_opened_before(journal: Journal) -> None:
    """A resource opens after all that it needs, wherever that stands in the list."""
    pg = journal.thing("pg")
    cache = journal.thing("cache", needs=[pg])
    model = journal.thing("model", needs=[cache, pg])

    await run(model, cache, pg)

    assert journal.lines[:3] == ["open pg", "open cache", "open model"]
    assert journal.lines[3:] == ["close model", "close cache", "close pg"]


async def test_needs_that_are_not_listed_are_opened_too(journal: Journal) -> None:
    """What a resource needs is opened whether it is listed or not, once for all that need it."""
    pg = journal.thing("pg")
    cache, model = journal.thing("cache", needs=[pg]), journal.thing("model", needs=[pg])

    async with open_resources(model, cache) as registry:
        assert registry[pg] == "pg"
        assert [each.name for each in registry] == ["pg", "model", "cache"]

    assert journal.lines.count("open pg") == journal.lines.count("close pg") == 1


async def test_a_long_chain_of_needs_is_no_burden(journal: Journal) -> None:
    """Sixty resources that each need the two before are ordered at once."""
    chain: list[Resource[str]] = []
    for number in range(1, 61):
        chain.append(journal.thing(f"t{number}", needs=chain[-2:]))

    await run(chain[-1])

    assert journal.lines == opened(60) + closed(60)


async def test_a_resource_uses_what_it_needs() -> None:
    """`context[other]` is the value of a resource that is open already."""

    @resource
    async def numbers() -> AsyncIterator[list[int]]:
        yield [1, 2]

    @resource(needs=[numbers])
    async def total(context: ResourceContext) -> AsyncIterator[int]:
        first, second = context[numbers]
        yield first + second

    async with open_resources(total) as registry:
        assert registry[total] == 3


async def test_what_is_not_a_need_is_refused(journal: Journal) -> None:
    """`context[other]` takes what `needs=` lists only: anything else need not be open yet."""
    other = journal.thing("other")

    @resource
    async def greedy(context: ResourceContext) -> AsyncIterator[str]:
        yield context[other]

    with pytest.raises(ConfigurationError) as caught:
        await run(other, greedy)

    assert str(caught.value) == (
        "Resource 'greedy' asks for 'other', which is not one of its needs. "
        "Let it be opened before: needs=[..., other]."
    )
    assert journal.lines == ["open other", "close other"]


async def test_settings_reach_a_resource() -> None:
    """`context.settings` is what `open_resources()` was given."""

    @resource
    async def url(context: ResourceContext) -> AsyncIterator[str]:
        yield context.settings["url"]

    async with open_resources(url, settings={"url": "redis://"}) as registry:
        assert registry[url] == "redis://"


async def test_three_rounds(journal: Journal) -> None:
    """A registry may be opened again, as often as needed."""
    registry = ResourceRegistry(things(journal, 2, k=0))

    for _ in range(3):
        async with registry.open():
            assert dict(registry.values()) == {"t1": "t1", "t2": "t2"}
        assert registry.values() == {}

    assert journal.lines == (opened(2) + closed(2)) * 3


# The opening fails.


@every_place
async def test_the_kth_fails_to_open(journal: Journal, k: int, n: int) -> None:
    """Trap 71: when a resource fails to open, those that are open are closed, and no other."""
    with pytest.raises(OSError, match="no host") as caught:
        await run(*things(journal, n, k=k, opening=OSError("no host")))

    assert journal.lines == opened(k - 1) + closed(k - 1)
    assert caught.value.__notes__ == [f"Raised while resource 't{k}' was opened."]


@every_place
async def test_the_start_is_cancelled_while_the_kth_opens(
    journal: Journal, k: int, n: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A start that is cancelled undoes what was begun, then closes what was open."""
    start = asyncio.create_task(run(*things(journal, n, k=k, hangs=True)))
    await journal.hanging.wait()

    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start

    assert journal.lines == [*opened(k - 1), f"undo t{k}", *closed(k - 1)]
    assert caplog.messages == []


@every_place
async def test_the_start_is_given_up_by_a_scope_while_the_kth_opens(
    journal: Journal, k: int, n: int
) -> None:
    """A start in a cancel scope of AnyIO, which cancels again and again, undoes all of it too."""
    async with anyio.create_task_group() as group:
        group.start_soon(run, *things(journal, n, k=k, hangs=True))
        await journal.hanging.wait()
        group.cancel_scope.cancel()

    assert journal.lines == [*opened(k - 1), f"undo t{k}", *closed(k - 1)]


@every_place
async def test_the_kth_is_too_slow(
    journal: Journal, k: int, n: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Trap 79: a resource that is not open in time is named, and what it had begun is undone."""
    slow = things(journal, n, k=k, hangs=True, timeout_seconds=0.01)

    with pytest.raises(ResourceTimeoutError) as caught:
        await run(*slow)

    assert str(caught.value) == (
        f"Resource 't{k}' can't be opened: it took longer than 0.01 s. "
        "See why it is slow, or give it more: timeout_seconds=."
    )
    assert (caught.value.name, caught.value.timeout_seconds) == (f"t{k}", 0.01)
    assert isinstance(caught.value, TimeoutError)
    assert journal.lines == [*opened(k - 1), f"undo t{k}", *closed(k - 1)]
    assert caplog.messages == []


async def test_a_start_error_of_its_own_needs_no_note(journal: Journal) -> None:
    """A `ResourceStartError` names its resource, so that nothing is added to it."""
    error = ResourceStartError("pg", "the password is wrong", advice="See DATABASE_URL.")

    with pytest.raises(ResourceStartError) as caught:
        await run(journal.thing("pg", opening=error))

    assert str(caught.value) == (
        "Resource 'pg' can't be opened: the password is wrong. See DATABASE_URL."
    )
    assert not hasattr(caught.value, "__notes__")


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
async def test_an_exit_is_an_end(journal: Journal, error: BaseException) -> None:
    """`sys.exit()` in a resource ends the start, and closes what is open."""
    with pytest.raises(type(error)):
        await run(journal.thing("t1"), journal.thing("t2", opening=error))

    assert journal.lines == ["open t1", "close t1"]


async def test_a_generator_that_never_yields_is_named() -> None:
    """A function that returns without a value is a failed start, named."""
    names: list[str] = []

    @resource
    async def empty() -> AsyncIterator[int]:
        if not names:
            return
        yield 1

    with pytest.raises(RuntimeError, match="didn't yield") as caught:
        await run(empty)
    assert caught.value.__notes__ == ["Raised while resource 'empty' was opened."]


async def test_a_start_that_was_cancelled_before_it_began(journal: Journal) -> None:
    """A start in a scope that is cancelled already opens nothing for good."""
    with anyio.CancelScope() as scope:
        scope.cancel()
        await run(*things(journal, 2, k=0))

    assert journal.lines in ([], opened(1) + closed(1))


async def test_an_opening_that_somebody_else_cancels_is_cancelled(journal: Journal) -> None:
    """An opening that is cancelled from outside before its first step ends the start at once."""
    start = asyncio.create_task(run(journal.thing("t1")))
    await asyncio.sleep(0)
    (opening,) = (task for task in asyncio.all_tasks() if task.get_name() == "resource t1")
    opening.cancel()

    with pytest.raises(asyncio.CancelledError):
        await start
    assert journal.lines == []


async def test_a_resource_that_opens_as_the_start_is_cancelled_is_closed() -> None:
    """A resource whose value comes at the moment of the cancellation is closed as any other."""
    lines: list[str] = []
    host: asyncio.Task[None]

    @resource
    async def racing() -> AsyncIterator[None]:
        host.cancel()
        yield
        # Not in a `finally`: only a closing gets here.
        lines.append("closed")

    host = asyncio.create_task(run(racing))
    with pytest.raises(asyncio.CancelledError):
        await host

    assert lines == ["closed"]


async def test_errors_of_a_closing_that_a_cancelled_start_causes_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The cancellation is what is raised; what fails after it is logged."""
    host: asyncio.Task[None]

    @resource
    async def racing() -> AsyncIterator[None]:
        host.cancel()
        yield
        raise OSError("no goodbye")

    host = asyncio.create_task(run(racing))
    with pytest.raises(asyncio.CancelledError):
        await host

    assert caplog.messages == ["Resource 'racing' failed while it was cancelled"]


async def test_a_resource_that_opens_though_it_was_cancelled_is_closed(journal: Journal) -> None:
    """A resource that swallows its cancellation and opens after all is closed at once."""

    @resource(timeout_seconds=0.01)
    async def late() -> AsyncIterator[None]:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            journal.lines.append("open late")
        yield
        journal.lines.append("close late")

    with pytest.raises(ResourceTimeoutError, match="'late'"):
        await run(journal.thing("t1"), late)

    assert journal.lines == ["open t1", "open late", "close late", "close t1"]


async def test_an_error_while_undoing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """What fails while a slow resource is undone is logged; the time limit is what is raised."""

    @resource(timeout_seconds=0.01)
    async def clumsy() -> AsyncIterator[None]:
        try:
            await asyncio.Event().wait()
        finally:
            fail(OSError("broken pipe"))
        yield

    with pytest.raises(ResourceTimeoutError):
        await run(clumsy)

    (record,) = caplog.records
    assert record.getMessage() == "Resource 'clumsy' failed while it was cancelled"
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], OSError)


@pytest.mark.usefixtures("impatient")
async def test_an_opening_that_ignores_its_cancellation_is_left_behind(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    """What can't be ended is named in an error line, and the rest closes."""
    stubborn = journal.stubborn(at="opening", timeout_seconds=0.01)

    with pytest.raises(ResourceTimeoutError, match="'stubborn'"):
        await run(journal.thing("t1"), stubborn)

    assert journal.lines == ["open t1", "ignored", "close t1"]
    assert caplog.messages == [
        "Resource 'stubborn' does not end though it was cancelled: left behind"
    ]
    journal.freed.set()
    await anyio.wait_all_tasks_blocked()
    assert journal.lines[3:] == ["open stubborn", "close stubborn"]


# The closing fails.


@every_place
async def test_the_kth_fails_to_close(journal: Journal, k: int, n: int) -> None:
    """An error of one closing is raised once everything is closed."""
    with pytest.raises(OSError, match="no goodbye") as caught:
        await run(*things(journal, n, k=k, closing=OSError("no goodbye")))

    assert journal.lines == opened(n) + closed(n)
    assert caught.value.__notes__ == [f"Raised while resource 't{k}' was closed."]


@every_place
async def test_a_start_error_and_a_closing_error_are_both_told(
    journal: Journal, k: int, n: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Trap 72: the error of the start is raised, and one of the closing is logged."""
    some = things(journal, n, k=k, closing=KeyError("no goodbye"))

    with pytest.raises(OSError, match="no host"):
        await run(*some, journal.thing("last", opening=OSError("no host")))

    assert journal.lines == opened(n) + closed(n)
    (record,) = caplog.records
    assert record.getMessage() == "Closing failed after: OSError"
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], KeyError)


async def test_several_errors_of_the_closing_are_all_told(journal: Journal) -> None:
    """When several fail to close, the last one is raised, and the others are its context."""
    some = [journal.thing(f"t{i}", closing=OSError(f"no {i}")) for i in (1, 2, 3)]

    with pytest.raises(OSError, match="no 1") as caught:
        await run(*some)

    second = caught.value.__context__
    assert str(second) == "no 2"
    assert second is not None
    assert str(second.__context__) == "no 3"
    assert journal.lines == opened(3) + closed(3)


@every_place
async def test_the_kth_hangs_while_it_closes(
    journal: Journal, k: int, n: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A closing that takes too long is cut and named, and the rest closes."""
    await run(*things(journal, n, k=k, hangs_closing=True, close_timeout_seconds=0.01))

    cut = [f"cut t{k}" if line == f"close t{k}" else line for line in closed(n)]
    assert journal.lines == opened(n) + cut
    assert caplog.messages == [f"Resource 't{k}' was not closed within 0.01 s"]


@pytest.mark.usefixtures("impatient")
async def test_a_closing_that_ignores_its_cancellation_is_left_behind(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    """A closing that neither ends nor can be cut is named twice, and the rest closes."""
    await run(journal.thing("t1"), journal.stubborn(at="closing"))

    assert journal.lines == ["open t1", "open stubborn", "ignored", "close t1"]
    assert caplog.messages == [
        "Resource 'stubborn' was not closed within 0.01 s",
        "Resource 'stubborn' does not end though it was cancelled: left behind",
    ]
    journal.freed.set()
    await anyio.wait_all_tasks_blocked()


async def test_an_error_of_a_closing_that_was_cut_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What a closing that was cut says to it is logged."""

    @resource(close_timeout_seconds=0.01)
    async def clumsy() -> AsyncIterator[None]:
        yield
        try:
            await asyncio.Event().wait()
        finally:
            raise OSError("broken pipe")

    await run(clumsy)

    assert caplog.messages == [
        "Resource 'clumsy' was not closed within 0.01 s",
        "Resource 'clumsy' failed while it was cancelled",
    ]


async def _cancel_natively(host: asyncio.Task[None]) -> None:
    host.cancel()


async def _cancel_twice(host: asyncio.Task[None]) -> None:
    host.cancel()
    await asyncio.sleep(0)
    host.cancel()


@pytest.mark.parametrize("cancel", [_cancel_natively, _cancel_twice])
async def test_a_cancellation_does_not_cut_a_closing_short(
    journal: Journal, cancel: Callable[[asyncio.Task[None]], Any]
) -> None:
    """An app that is cancelled while it closes ends its closing, in order, before that."""
    closing, go_on = asyncio.Event(), asyncio.Event()

    @resource
    async def slow() -> AsyncIterator[None]:
        yield
        closing.set()
        await go_on.wait()
        journal.lines.append("close slow")

    host = asyncio.create_task(run(journal.thing("t1"), slow))
    await closing.wait()
    await cancel(host)
    await anyio.wait_all_tasks_blocked()
    assert journal.lines == ["open t1"]
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await host

    assert journal.lines == ["open t1", "close slow", "close t1"]


async def test_a_scope_does_not_cut_a_closing_short(journal: Journal) -> None:
    """A cancel scope around the app lets its closing end, too."""
    with anyio.CancelScope() as scope:
        async with open_resources(*things(journal, 2, k=0)):
            scope.cancel()
            await anyio.sleep_forever()

    assert scope.cancelled_caught
    assert journal.lines == opened(2) + closed(2)


async def test_a_closing_in_a_cancelled_scope_does_not_spin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """AnyIO cancels at each turn of the loop, which wakes nobody who waits for a closing."""
    waits: list[Any] = []
    real_wait = asyncio.wait

    async def wait(tasks: Any, **options: Any) -> Any:
        waits.append(tasks)
        return await real_wait(tasks, **options)

    @resource
    async def slow() -> AsyncIterator[None]:
        yield
        monkeypatch.setattr(asyncio, "wait", wait)
        for _ in range(100):
            await asyncio.sleep(0)

    with anyio.CancelScope() as scope:
        async with open_resources(slow):
            scope.cancel()
            await anyio.sleep_forever()

    assert waits == []


async def test_an_error_of_a_closing_is_logged_when_the_app_is_cancelled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Who cancels gets the cancellation, and the log gets the error."""
    closing = asyncio.Event()

    @resource
    async def clumsy() -> AsyncIterator[None]:
        yield
        closing.set()
        await anyio.wait_all_tasks_blocked()
        raise OSError("no goodbye")

    host = asyncio.create_task(run(clumsy))
    await closing.wait()
    host.cancel()
    with pytest.raises(asyncio.CancelledError):
        await host

    assert caplog.messages == ["Closing failed after: CancelledError"]


# Who enters and who leaves.


async def test_the_tasks_that_open_and_close_may_differ(journal: Journal) -> None:
    """A resource with a task group works though another task closes the app than opened it."""

    @resource
    async def grouped() -> AsyncIterator[str]:
        async with asyncio.timeout(60), asyncio.TaskGroup(), anyio.create_task_group():
            yield "grouped"
        journal.lines.append("closed")

    block = ResourceRegistry([grouped]).open()
    registry = await asyncio.create_task(block.__aenter__())
    assert registry[grouped] == "grouped"
    await asyncio.create_task(block.__aexit__(None, None, None))

    assert journal.lines == ["closed"]


async def test_a_registry_is_open_once_at_a_time(journal: Journal) -> None:
    """Opening what is open is refused, and harms neither what is open nor what comes after."""
    registry = ResourceRegistry([journal.thing("t1")])

    async with registry.open():
        with pytest.raises(ConfigurationError, match="was started while it runs"):
            async with registry.open():
                pass
        assert registry.values() == {"t1": "t1"}
    async with registry.open():
        assert registry.values() == {"t1": "t1"}

    assert journal.lines == ["open t1", "close t1"] * 2


# What is not open.


async def test_a_value_is_there_while_it_is_open(journal: Journal) -> None:
    """`registry[resource]` tells why there is no value: not open, or not one of the app's."""
    mine, foreign = journal.thing("mine"), journal.thing("foreign")
    registry = ResourceRegistry([mine])

    with pytest.raises(ResourceNotOpenError, match="the app's lifespan is not running"):
        registry[mine]
    async with registry.open():
        assert registry[mine] == "mine"
        assert mine in registry
        assert foreign not in registry
        with pytest.raises(ResourceNotOpenError) as caught:
            registry[foreign]
    assert str(caught.value) == (
        "Resource 'foreign' is not one of this app's. It has: mine. "
        "List it: create_app(resources=[...])."
    )
    assert mine not in registry
    with pytest.raises(LookupError):
        registry[mine]


async def test_what_is_still_to_be_opened_is_told_apart(journal: Journal) -> None:
    """Asking for a resource before its turn says that it is still to be opened."""
    last = journal.thing("last")
    seen: list[str] = []

    @resource
    async def early() -> AsyncIterator[None]:
        with pytest.raises(ResourceNotOpenError) as caught:
            registry[last]
        seen.append(str(caught.value))
        yield

    registry = ResourceRegistry([early, last])
    async with registry.open():
        pass

    assert seen == ["Resource 'last' is not open: it is still to be opened, or closed again."]


# Replacements.


async def test_a_replaced_resource_is_not_opened(journal: Journal) -> None:
    """`replaced()` gives another value, and opens neither the resource nor what only it needs."""
    shared, vault = journal.thing("shared"), journal.thing("vault")
    pg = journal.thing("pg", needs=[vault, shared])
    registry = ResourceRegistry([pg, shared])

    with registry.replaced({pg: "fake"}):
        async with registry.open():
            assert registry[pg] == "fake"
            assert registry.values() == {"pg": "fake", "shared": "shared"}
    assert journal.lines == ["open shared", "close shared"]

    async with registry.open():
        assert registry[pg] == "pg"


@pytest.mark.parametrize("value", [None, [], {}, 0])
async def test_any_value_may_replace_one(journal: Journal, value: object) -> None:
    """Values that count as false, or can't be hashed, replace as any other."""
    pg = journal.thing("pg")
    registry, outer = ResourceRegistry([pg]), ResourceRegistry([])
    registry.outer = outer

    with registry.replaced({pg: value}):
        async with registry.open():
            assert registry[pg] is value


async def test_a_resource_may_replace_one(journal: Journal) -> None:
    """A resource in place of another is opened with what it needs, in the other's place."""
    need = journal.thing("need")
    pg, fake = journal.thing("pg"), journal.thing("fake", needs=[need])

    @resource(needs=[pg])
    async def model(context: ResourceContext) -> AsyncIterator[str]:
        journal.lines.append(f"model on {context[pg]}")
        yield "model"

    registry = ResourceRegistry([model])
    with registry.replaced({pg: fake}):
        async with registry.open():
            assert registry[pg] == "fake"

    assert journal.lines == [
        "open need",
        "open fake",
        "model on fake",
        "close fake",
        "close need",
    ]


async def test_one_of_the_app_may_replace_another(journal: Journal) -> None:
    """A resource in place of another that the app has anyway is opened once."""
    a, b = journal.thing("a"), journal.thing("b")
    registry = ResourceRegistry([a, b])

    with registry.replaced({a: b}):
        async with registry.open():
            assert (registry[a], registry[b]) == ("b", "b")

    assert journal.lines == ["open b", "close b"]


async def test_a_replacement_may_have_the_same_name(journal: Journal) -> None:
    """A fake may be called what the resource is called."""
    pg, fake = journal.thing("pg"), journal.thing("pg")
    registry = ResourceRegistry([pg])

    with registry.replaced({pg: fake}):
        async with registry.open():
            assert registry.values() == {"pg": "pg"}

    assert journal.lines == ["open pg", "close pg"]


async def test_a_replacement_that_needs_what_it_replaces_is_refused(journal: Journal) -> None:
    """A circle is told with its resources."""
    pg = journal.thing("pg")
    wrapper = journal.thing("wrapper", needs=[pg])
    registry = ResourceRegistry([pg])

    with (
        registry.replaced({pg: wrapper}),
        pytest.raises(ConfigurationError) as caught,
    ):
        async with registry.open():
            pass

    assert str(caught.value) == (
        "Resources need each other in a circle: pg needs wrapper needs pg."
    )


async def test_replacements_nest_and_end(journal: Journal) -> None:
    """The inner of two replacements wins, and an error ends both."""
    a, b = journal.thing("a"), journal.thing("b")
    registry = ResourceRegistry([a, b])

    async def values() -> list[str]:
        async with registry.open():
            return [registry[a], registry[b]]

    with suppress(OSError), registry.replaced({a: "1", b: "1"}):
        with registry.replaced({b: "2"}):
            assert await values() == ["1", "2"]
        assert await values() == ["1", "1"]
        fail(OSError("test"))
    assert await values() == ["a", "b"]


def test_what_the_app_does_not_have_is_not_replaced() -> None:
    """A replacement for no resource of the app is refused, with those that it has."""

    @resource
    async def pg() -> AsyncIterator[int]:
        yield 1

    @resource
    async def cache() -> AsyncIterator[int]:
        yield 1

    with (
        pytest.raises(ConfigurationError) as caught,
        ResourceRegistry([cache]).replaced({pg: 2}),
    ):
        pass
    assert str(caught.value) == (
        "Resource 'pg' can't be replaced: the app does not have it. It has: cache."
    )


# Other event loops.


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_resources_are_for_asyncio() -> None:
    """On another event loop than asyncio's, resources are refused in a sentence."""

    @resource
    async def pg() -> AsyncIterator[int]:
        yield 1

    with pytest.raises(ConfigurationError, match=r"Resources run on asyncio, and .* trio"):
        async with open_resources(pg):
            pass
