"""How a collection of tasks runs, wherever it comes from."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

import anyio
import pytest
from fastapi import BackgroundTasks as FastAPITasks
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.background import BackgroundTask
from starlette.background import BackgroundTasks as StarletteTasks
from starlette.exceptions import HTTPException
from starlette.responses import Response

from sturdyapi.background import BackgroundTasks

from .support import Journal, Lines

pytestmark = pytest.mark.anyio


def tasks_of(*functions: Callable[..., Any]) -> BackgroundTasks:
    """Collect tasks."""
    tasks = BackgroundTasks()
    for function in functions:
        tasks.add_task(function)
    return tasks


# One after the other.


async def test_tasks_run_in_order(ran: Journal, lines: Lines) -> None:
    """Tasks, `def` and `async def`, run in the order in which they were added."""

    async def second() -> None:
        ran.append("second")

    await tasks_of(ran.task("first"), second, ran.task("third"))()

    assert ran == ["first", "second", "third"]
    assert lines.messages == []


async def test_arguments_reach_the_task(ran: Journal) -> None:
    """A task gets the arguments that it was added with."""

    def task(a: str, *, b: str) -> None:
        ran.append(f"{a} {b}")

    tasks = BackgroundTasks()
    tasks.add_task(task, "x", b="y")

    await tasks()

    assert ran == ["x y"]


async def test_a_failure_does_not_stop_the_next(ran: Journal, lines: Lines) -> None:
    """Trap 14: a task that fails is logged with its error, and the next one runs."""
    await tasks_of(ran.failing("first"), ran.task("second"), ran.failing("third"))()

    assert ran == ["first", "second", "third"]
    failed = [line for line in lines.all if line.level == "ERROR"]
    assert [(line.fields["background_task"], repr(line.error)) for line in failed] == [
        ("first", "KeyError('first')"),
        ("third", "KeyError('third')"),
    ]


@pytest.mark.parametrize("error", [HTTPException(503), ExceptionGroup("two", [ValueError()])])
async def test_a_failure_of_any_kind_goes_no_further(
    error: Exception, ran: Journal, lines: Lines
) -> None:
    """An `HTTPException` in a task is a failure like any other: the response has been sent."""
    await tasks_of(ran.failing("first", error), ran.task("second"))()

    assert ran == ["first", "second"]
    assert [line.error for line in lines.all if line.level == "ERROR"] == [error]


async def test_a_task_may_add_tasks(ran: Journal) -> None:
    """What a task adds to its own collection runs too."""
    tasks = tasks_of()

    def first() -> None:
        ran.append("first")
        tasks.add_task(ran.task("added"))

    tasks.add_task(first)
    tasks.add_task(ran.task("second"))
    await tasks()

    assert ran == ["first", "second", "added"]


async def test_a_collection_in_a_collection_is_taken_apart(ran: Journal, lines: Lines) -> None:
    """A failure in a collection inside a collection stops neither of them."""
    inner = StarletteTasks([BackgroundTask(ran.failing("a")), BackgroundTask(ran.task("b"))])

    await BackgroundTasks([inner, BackgroundTask(ran.task("c"))])()

    assert ran == ["a", "b", "c"]
    assert len(lines.messages) == 1


async def test_a_collection_of_ones_own_kind_runs_as_it_likes(ran: Journal, lines: Lines) -> None:
    """A subclass that runs its tasks in its own way is called as one task."""

    class Reversed(StarletteTasks):
        async def __call__(self) -> None:
            for task in reversed(self.tasks):
                await task()

    own = Reversed([BackgroundTask(ran.task("a")), BackgroundTask(ran.failing("b"))])

    await BackgroundTasks([own, BackgroundTask(ran.task("c"))])()

    assert ran == ["b", "c"]
    assert "Reversed" in lines.messages[0]


async def test_a_collection_may_run_again(ran: Journal) -> None:
    """A collection that belongs to a response that is sent again runs again, each time whole."""
    tasks = tasks_of(ran.task("a"), ran.failing("b"))

    for round_number in range(1, 4):
        await tasks()
        assert ran == ["a", "b"] * round_number


def test_a_response_outside_of_our_apps_isolates_too(ran: Journal, lines: Lines) -> None:
    """A collection of ours in a response isolates in a plain FastAPI app as well."""
    app = FastAPI()

    @app.get("/")
    async def endpoint() -> Response:
        return Response(background=tasks_of(ran.failing("a"), ran.task("b")))

    for round_number in range(1, 4):
        assert TestClient(app).get("/").status_code == 200
        assert ran == ["a", "b"] * round_number


# What is logged.


async def test_each_task_has_a_line(ran: Journal, lines: Lines) -> None:
    """Each task that ends well has one line at DEBUG, with its time."""
    await tasks_of(ran.task("a"), ran.task("b"))()

    assert [(line.level, line.fields["background_task"]) for line in lines.all] == [
        ("DEBUG", "a"),
        ("DEBUG", "b"),
    ]
    assert all(line.fields["duration_seconds"] >= 0 for line in lines.all)


class _Callable:
    async def __call__(self) -> NoReturn:
        raise KeyError


@pytest.mark.parametrize(
    ("task", "name"),
    [
        (partial(partial(divmod, 1), 0), "divmod"),
        (_Callable(), "_Callable"),
        (_Callable().__call__, "_Callable.__call__"),
    ],
)
async def test_a_task_is_named_after_its_function(task: Any, name: str, lines: Lines) -> None:
    """A line names the function, that of a `partial` too, or the class of a callable object."""
    await tasks_of(task)()

    assert lines.all[0].message.startswith(f"Background task {name} failed after ")


# Cut off.


async def test_a_task_that_is_cut_off_is_named(ran: Journal, lines: Lines) -> None:
    """Trap 19: a cancelled task is logged by name with those that did not start."""
    started = anyio.Event()
    after: list[str] = []

    async def stuck() -> None:
        started.set()
        await anyio.sleep_forever()

    async def server() -> None:
        await tasks_of(ran.task("first"), stuck, ran.task("third"), ran.task("fourth"))()
        after.append("swallowed")

    async with anyio.create_task_group() as group:
        group.start_soon(server)
        await started.wait()
        group.cancel_scope.cancel()

    assert ran == ["first"]
    assert after == []
    (message,) = lines.messages
    assert "stuck was cut off after " in message
    assert message.endswith("by CancelledError; not started: third, fourth")


async def test_a_task_that_is_cut_off_by_the_loop_is_named(lines: Lines) -> None:
    """The server's own way to cancel, at its shutdown, is told and passed on as well."""
    started = asyncio.Event()

    async def stuck() -> None:
        started.set()
        await anyio.sleep_forever()

    running = asyncio.create_task(tasks_of(stuck)())
    await started.wait()
    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    assert len(lines.messages) == 1
    assert "stuck was cut off after " in lines.messages[0]


async def test_an_exit_is_not_swallowed(ran: Journal, lines: Lines) -> None:
    """What ends a process, such as `SystemExit`, ends the tasks too, with a line."""

    async def leave() -> NoReturn:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        await tasks_of(leave, ran.task("second"))()

    assert ran == []
    assert lines.messages[0].endswith("by SystemExit; not started: second")


async def test_many_names_are_shortened(ran: Journal, lines: Lines) -> None:
    """A line names ten tasks at most, and counts the others."""

    async def leave() -> NoReturn:
        raise SystemExit

    with pytest.raises(SystemExit):
        await tasks_of(leave, *(ran.task(f"t{number}") for number in range(12)))()

    assert lines.messages[0].endswith("t8, t9, and 2 more")


def test_our_class_is_fastapis() -> None:
    """Whoever asks for FastAPI's or Starlette's class takes an instance of ours."""
    assert issubclass(BackgroundTasks, FastAPITasks)
    assert issubclass(BackgroundTasks, StarletteTasks)
