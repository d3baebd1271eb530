"""`run_blocking()`: blocking functions in threads, with and without a time limit."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, NoReturn

import anyio
import pytest
from anyio import CancelScope, from_thread, to_thread
from fastapi.testclient import TestClient

from sturdyapi import context
from sturdyapi.app import create_app
from sturdyapi.context import bind, bound, context_fields, current_request_id, run_blocking
from sturdyapi.exceptions import DeadlineExceededError
from sturdyapi.settings import BaseSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio

LONG_SECONDS = 30.0
"""A limit that no function here comes near."""

with_and_without_limit = pytest.mark.parametrize("limit", [None, LONG_SECONDS])


@with_and_without_limit
async def test_the_result_is_returned(limit: float | None) -> None:
    """`run_blocking()` hands arguments in, and the result out, of another thread."""

    def work(a: int, b: int, *, c: int) -> tuple[int, int]:
        return a + b + c, threading.get_ident()

    total, thread = await run_blocking(partial(work, c=3), 1, 2, timeout_seconds=limit)

    assert total == 6
    assert thread != threading.get_ident()


@with_and_without_limit
async def test_an_error_is_raised(limit: float | None, lines: Lines) -> None:
    """An error of the function is raised where it is awaited, and nowhere else."""
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await run_blocking(divmod, 1, 0, timeout_seconds=limit)
    assert lines.all == []
    assert context._unfinished == set()


@with_and_without_limit
async def test_stop_iteration_does_not_hang(limit: float | None) -> None:
    """A `StopIteration`, which no coroutine can raise, ends in a `RuntimeError`."""
    with pytest.raises(RuntimeError, match="StopIteration"):
        await run_blocking(next, iter(()), timeout_seconds=limit)


@with_and_without_limit
async def test_the_threads_are_those_of_def_endpoints(limit: float | None) -> None:
    """`run_blocking()` shares the threads of `def` endpoints, whose number is limited."""
    limiter = to_thread.current_default_thread_limiter()

    for _ in range(3):
        assert limiter.borrowed_tokens == 0
        assert await run_blocking(lambda: limiter.borrowed_tokens, timeout_seconds=limit) == 1


@with_and_without_limit
async def test_the_context_is_kept(limit: float | None) -> None:
    """Trap 97: a thread of one's own knows nothing of the request, `run_blocking()` does."""
    seen: list[str | None] = []

    def look() -> None:
        seen.append(current_request_id())
        bind(looked=True)

    def look_from_a_raw_thread() -> None:
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()

    with bound(request_id="a"):
        await run_blocking(look, timeout_seconds=limit)
        assert context_fields() == {"request_id": "a", "looked": True}
        await run_blocking(look_from_a_raw_thread, timeout_seconds=limit)

    assert seen == ["a", None]


@with_and_without_limit
async def test_a_cancelled_caller_waits_for_the_function(limit: float | None) -> None:
    """A caller that is cancelled goes on only when the function has ended."""
    started, release, ended = anyio.Event(), threading.Event(), threading.Event()
    had_ended: list[bool] = []

    def work() -> None:
        from_thread.run_sync(started.set)
        release.wait()
        ended.set()

    async def caller() -> None:
        try:
            await run_blocking(work, timeout_seconds=limit)
        finally:
            had_ended.append(ended.is_set())

    async with anyio.create_task_group() as group:
        group.start_soon(caller)
        await started.wait()
        group.cancel_scope.cancel()
        with CancelScope(shield=True):
            await anyio.wait_all_tasks_blocked()
        release.set()

    assert had_ended == [True]


# When the time is up.


class Function:
    """A blocking function that ends when it is told to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls = 0
        self.error = error
        self.may_end = threading.Event()

    def work(self) -> int:
        """Block, and return how often it was called."""
        self.calls += 1
        self.may_end.wait()
        if self.error is not None:
            raise self.error
        return self.calls


class Lines(logging.Handler):
    """What is logged about calls that went on without their callers."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[tuple[str, str, str | None]] = []
        self.errors: list[BaseException | None] = []
        self.written = anyio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.all.append((record.levelname, record.getMessage(), current_request_id()))
        self.errors.append(record.exc_info[1] if record.exc_info else None)
        self.written.set()


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Lines of `run_blocking()`."""
    lines, logger = Lines(), logging.getLogger("sturdyapi.context")
    logger.addHandler(lines)
    logger.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        logger.setLevel(logging.NOTSET)
        logger.removeHandler(lines)


@contextmanager
def one_thread() -> Iterator[None]:
    """Leave a single thread to blocking functions."""
    limiter = to_thread.current_default_thread_limiter()
    before, limiter.total_tokens = limiter.total_tokens, 1
    try:
        yield
    finally:
        limiter.total_tokens = before


async def test_the_caller_goes_on_when_the_time_is_up(lines: Lines) -> None:
    """Trap 6: the caller gets its error in time, and the thread stays taken until it is free."""
    limiter = to_thread.current_default_thread_limiter()
    function = Function()

    with bound(request_id="a"), pytest.raises(DeadlineExceededError) as caught:
        await run_blocking(function.work, timeout_seconds=0.01)

    assert (caught.value.timeout_seconds, function.calls) == (0.01, 1)
    assert "work" not in str(caught.value)
    assert str(caught.value.__cause__) == "Function.work goes on, and keeps its thread"
    assert limiter.borrowed_tokens == 1
    assert lines.all == []
    function.may_end.set()
    await lines.written.wait()
    assert limiter.borrowed_tokens == 0
    ((level, message, request_id),) = lines.all
    assert (level, request_id) == ("INFO", "a")
    assert message.startswith("Function.work ended after 0.")
    assert message.endswith(" s, when its caller had left")


async def test_a_late_error_is_logged(lines: Lines) -> None:
    """An error that comes when the caller has left is logged with the function's name."""
    error = OSError("disk")
    function = Function(error)
    with pytest.raises(DeadlineExceededError):
        await run_blocking(partial(function.work), timeout_seconds=0.01)

    function.may_end.set()
    await lines.written.wait()

    ((level, message, _),) = lines.all
    assert level == "WARNING"
    assert message.startswith("Function.work failed after 0.")
    assert lines.errors == [error]


async def test_overload_takes_no_more_threads_than_there_are(lines: Lines) -> None:
    """A call that gets no thread in time is never run, however many have been left behind."""
    limiter = to_thread.current_default_thread_limiter()
    function, late = Function(), Function()
    late.may_end.set()
    with one_thread():
        with pytest.raises(DeadlineExceededError):
            await run_blocking(function.work, timeout_seconds=0.01)
        for _ in range(3):
            with pytest.raises(DeadlineExceededError) as caught:
                await run_blocking(late.work, timeout_seconds=0.01)
            assert str(caught.value.__cause__) == "Function.work has not begun: no free thread"
            assert limiter.statistics().tasks_waiting == 0
        assert limiter.borrowed_tokens == 1
        function.may_end.set()
        assert await run_blocking(late.work, timeout_seconds=LONG_SECONDS) == 1


@pytest.mark.parametrize("limit", [0, -1])
async def test_no_time_is_no_call(limit: float) -> None:
    """A function is not begun when no time is left for it."""
    function = Function()

    with pytest.raises(DeadlineExceededError):
        await run_blocking(function.work, timeout_seconds=limit)

    assert function.calls == 0


async def test_a_caller_that_waits_for_a_thread_can_be_cancelled() -> None:
    """A caller that is cancelled before its function has begun goes at once."""
    function, waiting = Function(), Function()
    async with anyio.create_task_group() as group:
        with one_thread():
            group.start_soon(run_blocking, function.work)
            await anyio.wait_all_tasks_blocked()
            async with anyio.create_task_group() as inner:
                inner.start_soon(partial(run_blocking, timeout_seconds=LONG_SECONDS), waiting.work)
                await anyio.wait_all_tasks_blocked()
                inner.cancel_scope.cancel()
            function.may_end.set()

    assert (function.calls, waiting.calls) == (1, 0)


async def test_a_caller_that_the_loop_cancels_goes_at_once(lines: Lines) -> None:
    """A server that cancels at its shutdown does not wait; the thread stays taken until its end."""
    limiter = to_thread.current_default_thread_limiter()
    function = Function(ValueError())
    caller = asyncio.create_task(run_blocking(function.work, timeout_seconds=LONG_SECONDS))
    await anyio.wait_all_tasks_blocked()

    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller

    assert limiter.borrowed_tokens == 1
    function.may_end.set()
    await lines.written.wait()
    assert limiter.borrowed_tokens == 0
    assert lines.all[0][0] == "WARNING"


def test_the_client_gets_a_504() -> None:
    """A time limit that nobody catches is a 504 that names no function."""
    app = create_app(BaseSettings(environment="testing"), logs=False)
    function = Function()

    @app.get("/")
    async def endpoint() -> int:
        return await run_blocking(function.work, timeout_seconds=0.01)

    try:
        response = TestClient(app).get("/")
    finally:
        function.may_end.set()

    assert response.status_code == 504
    assert response.json()["detail"] == "A blocking call did not answer within 0.01 s."


async def test_an_exit_leaves_nothing_taken() -> None:
    """What ends a process, such as `SystemExit`, passes through and gives the thread back."""
    limiter = to_thread.current_default_thread_limiter()

    def leave() -> NoReturn:
        raise GeneratorExit

    with pytest.raises(GeneratorExit):
        await run_blocking(leave, timeout_seconds=LONG_SECONDS)
    assert limiter.borrowed_tokens == 0
