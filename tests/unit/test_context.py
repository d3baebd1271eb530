"""What is known about the request in hand."""

import contextvars
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any, NoReturn

import anyio
import httpx2
import pytest
from anyio import lowlevel
from fastapi import BackgroundTasks, Depends, FastAPI
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from sturdyapi.context import (
    bind,
    bound,
    context_fields,
    current_request_id,
    enter_request,
    leave_request,
    run_blocking,
)


class Outermost:
    """Opens the context of each request, as the request layer does, and keeps what was bound."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.bound: list[dict[str, Any]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        fields = {"request_id": scope["path"].strip("/")}
        token = enter_request(fields)
        try:
            await self.app(scope, receive, send)
        finally:
            leave_request(token)
            self.bound.append(fields)


def serve(app: FastAPI, path: str = "/one") -> tuple[Any, dict[str, Any]]:
    """Return the answer to one request, and what was bound to it in the end."""
    outermost = Outermost(app)
    response = TestClient(outermost).get(path)
    assert response.status_code == 200, response.text
    return response.json(), outermost.bound[0]


async def async_dependency() -> None:
    """Bind from an `async def` dependency."""
    bind(by="async dependency")


def sync_dependency() -> None:
    """Bind from a `def` dependency, in a thread."""
    bind(by="sync dependency")


async def async_generator() -> AsyncIterator[None]:
    """Bind before and after the `yield` of an `async def` dependency."""
    bind(by="async generator")
    yield
    bind(exit_by="async generator")


def sync_generator() -> Iterator[None]:
    """Bind before and after the `yield` of a `def` dependency, in two threads."""
    bind(by="sync generator")
    yield
    bind(exit_by="sync generator")


# bind().


@pytest.mark.parametrize(
    ("dependency", "name"),
    [
        (async_dependency, "async dependency"),
        (sync_dependency, "sync dependency"),
        (async_generator, "async generator"),
        (sync_generator, "sync generator"),
    ],
)
def test_bind_in_a_dependency_reaches_everyone(dependency: Callable[..., Any], name: str) -> None:
    """Trap 4: what a dependency binds, `def` or `async def`, the endpoint and the log line see."""
    app = FastAPI()

    @app.get("/one", dependencies=[Depends(dependency)])
    async def endpoint() -> Any:
        return context_fields()

    seen, at_the_end = serve(app)

    assert seen == {"request_id": "one", "by": name}
    assert at_the_end["by"] == name


@pytest.mark.parametrize("dependency", [async_generator, sync_generator])
@pytest.mark.parametrize("scope", ["function", "request"])
def test_bind_after_the_yield_reaches_the_log_line(
    dependency: Callable[..., Any], scope: Any
) -> None:
    """What a dependency binds when it is closed still reaches the log line."""
    app = FastAPI()

    @app.get("/one", dependencies=[Depends(dependency, scope=scope)])
    async def endpoint() -> None: ...

    assert serve(app)[1]["exit_by"] == serve(app)[1]["by"]


def test_bind_in_an_endpoint_reaches_the_log_line() -> None:
    """What an endpoint binds reaches the log line, from a thread as well."""
    app = FastAPI()

    @app.get("/async")
    async def async_endpoint() -> None:
        bind(by="async endpoint")

    @app.get("/sync")
    def sync_endpoint() -> None:
        bind(by="sync endpoint")

    assert serve(app, "/async")[1] == {"request_id": "async", "by": "async endpoint"}
    assert serve(app, "/sync")[1] == {"request_id": "sync", "by": "sync endpoint"}


def test_bind_in_a_background_task_reaches_the_request() -> None:
    """What a background task binds, `def` or `async def`, belongs to its request."""
    app = FastAPI()

    async def async_task() -> None:
        bind(async_task=current_request_id())

    def sync_task() -> None:
        bind(sync_task=current_request_id())

    @app.get("/one")
    async def endpoint(tasks: BackgroundTasks) -> None:
        tasks.add_task(async_task)
        tasks.add_task(sync_task)

    assert serve(app)[1] == {"request_id": "one", "async_task": "one", "sync_task": "one"}


def test_bind_in_run_blocking_reaches_the_request() -> None:
    """What a function in `run_blocking` binds belongs to the request, also from a child task."""
    app = FastAPI()

    @app.get("/one")
    async def endpoint() -> None:
        await run_blocking(partial(bind, direct=1))
        async with anyio.create_task_group() as group:
            group.start_soon(run_blocking, lambda: bind(child=2))

    assert serve(app)[1] == {"request_id": "one", "direct": 1, "child": 2}


def test_later_bind_wins() -> None:
    """Binding a name again replaces its value and keeps the others."""
    token = enter_request({"request_id": "a"})
    try:
        bind(user_id=1, role="x")
        bind(user_id=2)
        assert context_fields() == {"request_id": "a", "user_id": 2, "role": "x"}
    finally:
        leave_request(token)


@pytest.mark.anyio
async def test_requests_side_by_side_do_not_mix() -> None:
    """Requests that are served at the same time keep what they bind apart."""
    app = FastAPI()
    everyone_is_here = anyio.Event()
    here: list[str] = []

    def dependency(name: str) -> None:
        bind(name=name)

    @app.get("/{name}", dependencies=[Depends(dependency)])
    async def endpoint(name: str) -> Any:
        here.append(name)
        if len(here) == 10:
            everyone_is_here.set()
        await everyone_is_here.wait()
        await run_blocking(partial(bind, blocking=name))
        return context_fields()

    outermost = Outermost(app)
    transport = httpx2.ASGITransport(outermost)
    answers: dict[str, Any] = {}

    async def request(name: str) -> None:
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            answers[name] = (await client.get(f"/{name}")).json()

    async with anyio.create_task_group() as group:
        for number in range(10):
            group.start_soon(request, f"r{number}")

    expected = {
        f"r{n}": {"request_id": f"r{n}", "name": f"r{n}", "blocking": f"r{n}"} for n in range(10)
    }
    assert answers == expected
    assert {fields["name"]: fields for fields in outermost.bound} == expected


# Outside a request.


def test_nothing_is_known_outside_a_request() -> None:
    """Outside a request there are no fields and no id."""
    assert contextvars.Context().run(context_fields) == {}
    assert contextvars.Context().run(current_request_id) is None


@pytest.mark.anyio
async def test_bind_outside_a_request_stays_with_the_task() -> None:
    """What a task binds outside a request is not seen by its siblings."""
    seen: dict[str, Any] = {}

    async def worker(name: str) -> None:
        bind(job=name)
        await lowlevel.checkpoint()
        seen[name] = dict(context_fields())

    async with anyio.create_task_group() as group:
        for name in ("a", "b", "c"):
            group.start_soon(worker, name)

    assert seen == {name: {"job": name} for name in ("a", "b", "c")}
    assert context_fields() == {}


def test_id_is_unknown_without_a_request_layer() -> None:
    """Fields alone make no request: there is no id unless one was given."""
    with bound(job="nightly"):
        assert current_request_id() is None


def test_leaving_restores_what_was_before() -> None:
    """A request inside another, as in a test client, gives way to the outer one at its end."""
    outer = enter_request({"request_id": "outer"})
    inner = enter_request({"request_id": "inner"})
    assert current_request_id() == "inner"

    leave_request(inner)
    assert current_request_id() == "outer"

    leave_request(outer)
    assert current_request_id() is None


# bound().


def test_bound_ends_with_its_block() -> None:
    """`bound()` adds fields to a block, and what was before is back after it."""
    with bound(a=1):
        with bound(b=2, a=3):
            assert context_fields() == {"a": 3, "b": 2}
        assert context_fields() == {"a": 1}
    assert context_fields() == {}


def test_bind_in_a_bound_block_ends_with_it() -> None:
    """What is bound inside the block ends with the block, an error notwithstanding."""

    def fail() -> NoReturn:
        bind(b=2)
        raise KeyError("b")

    with bound(a=1):
        with pytest.raises(KeyError), bound():
            fail()
        assert context_fields() == {"a": 1}


def test_bound_starts_with_what_the_request_has() -> None:
    """Inside the block the fields of the request are known, its id among them."""
    token = enter_request({"request_id": "a"})
    try:
        with bound(step="parse"):
            assert context_fields() == {"request_id": "a", "step": "parse"}
            assert current_request_id() == "a"
        assert context_fields() == {"request_id": "a"}
    finally:
        leave_request(token)


@pytest.mark.anyio
async def test_concurrent_children_keep_their_own_fields() -> None:
    """Children that run side by side in `bound()` blocks do not see each other's fields."""
    seen: dict[int, Any] = {}
    token = enter_request({"request_id": "a"})

    async def child(number: int) -> None:
        with bound(child=number):
            await lowlevel.checkpoint()
            await run_blocking(partial(bind, blocking=number))
            await lowlevel.checkpoint()
            seen[number] = dict(context_fields())

    try:
        async with anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(child, number)
        assert context_fields() == {"request_id": "a"}
    finally:
        leave_request(token)

    assert seen == {n: {"request_id": "a", "child": n, "blocking": n} for n in range(5)}


def test_bound_in_an_async_dependency_covers_the_endpoint() -> None:
    """A `yield` dependency with `bound()` around it adds its fields for the endpoint only."""
    app = FastAPI()

    async def dependency() -> AsyncIterator[None]:
        with bound(step="serve"):
            yield

    @app.get("/one", dependencies=[Depends(dependency)])
    async def endpoint() -> Any:
        bind(inner=1)
        return context_fields()

    seen, at_the_end = serve(app)

    assert seen == {"request_id": "one", "step": "serve", "inner": 1}
    assert at_the_end == {"request_id": "one"}


def test_bound_in_a_sync_dependency_does_no_harm() -> None:
    """Trap 5: a `def` dependency with `bound()` around its `yield` is closed without an error."""
    app = FastAPI()

    def dependency() -> Iterator[None]:
        with bound(step="serve"):
            yield

    @app.get("/one", dependencies=[Depends(dependency)])
    def endpoint() -> Any:
        bind(inner=1)
        return context_fields()

    _, at_the_end = serve(app)

    assert at_the_end == {"request_id": "one", "inner": 1}


def test_bound_can_be_closed_in_another_context() -> None:
    """Trap 5: a block that is closed in another context leaves that context as it is."""

    def generator() -> Iterator[None]:
        with bound(a=1):
            yield

    block = generator()
    opened, closed = contextvars.Context(), contextvars.Context()
    opened.run(next, block)
    closed.run(bind, b=2)

    closed.run(next, block, None)

    assert closed.run(context_fields) == {"b": 2}
