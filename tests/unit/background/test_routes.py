"""What becomes of the tasks in the routes of an app."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any

import anyio
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi import BackgroundTasks as FastAPITasks
from fastapi.responses import Response, StreamingResponse
from fastapi.routing import APIRoute
from fastapi.sse import EventSourceResponse
from fastapi.testclient import TestClient
from pydantic import BaseModel
from starlette.background import BackgroundTask
from starlette.background import BackgroundTasks as StarletteTasks

from sturdyapi.background import BackgroundTasks

from .support import Journal, Lines, client_of, make_app, nothing_more, scope_of

# Whatever the signature names.


@pytest.mark.parametrize("named", [BackgroundTasks, FastAPITasks, StarletteTasks])
@pytest.mark.parametrize("where", ["endpoint", "dependency"])
def test_every_class_is_ours(named: Any, where: str, ran: Journal, lines: Lines) -> None:
    """Whatever class a signature names, it gets an instance of ours, which isolates."""
    app = make_app()

    async def add(tasks: Any) -> None:
        assert isinstance(tasks, BackgroundTasks)
        tasks.add_task(ran.failing("a"))
        tasks.add_task(ran.task("b"))

    add.__annotations__["tasks"] = named
    if where == "endpoint":
        app.add_api_route("/", add)
    else:
        app.add_api_route("/", lambda: None, dependencies=[Depends(add)])

    for round_number in range(1, 4):
        assert client_of(app).get("/").status_code == 200
        assert ran == ["a", "b"] * round_number
    assert len(lines.messages) == 3


def test_everyone_shares_the_tasks(ran: Journal) -> None:
    """Tasks of dependencies run with those of the endpoint, in the order of adding."""
    app = make_app()

    def inner(tasks: StarletteTasks) -> None:
        tasks.add_task(ran.failing("inner"))

    async def outer(tasks: FastAPITasks, _: Annotated[None, Depends(inner)]) -> AsyncIterator[None]:
        tasks.add_task(ran.task("outer"))
        yield
        tasks.add_task(ran.task("exit of outer"))

    @app.get("/", dependencies=[Depends(outer, scope="function")])
    def endpoint(tasks: BackgroundTasks) -> None:
        tasks.add_task(ran.failing("endpoint"))

    assert client_of(app).get("/").status_code == 200
    assert ran == ["inner", "outer", "endpoint", "exit of outer"]


def test_the_log_lines_carry_the_request_id(ran: Journal, lines: Lines) -> None:
    """Lines about tasks carry the id of their request."""
    app = make_app()

    @app.get("/")
    async def endpoint(tasks: BackgroundTasks) -> None:
        tasks.add_task(ran.failing("a"))
        tasks.add_task(ran.task("b"))

    client_of(app).get("/")
    client_of(app).get("/", headers={"X-Request-ID": "r2"})

    assert [line.request_id for line in lines.all] == ["r1", "r1", "r2", "r2"]


def test_a_route_without_tasks_stays_as_it_is() -> None:
    """A route that asks for no tasks gets nothing in front of its dependencies."""
    app = make_app(wire="fastapi")

    async def endpoint() -> None: ...

    app.add_api_route("/", endpoint)
    client_of(app).get("/")

    route = next(route for route in app.router.routes if isinstance(route, APIRoute))
    assert route.dependant.call is endpoint
    assert route.dependant.dependencies == []


def test_a_plain_app_keeps_its_own_tasks(ran: Journal) -> None:
    """A plain FastAPI app with the same router has FastAPI's tasks: the first failure ends them."""
    seen: list[type] = []
    router = APIRouter()

    def dependency(tasks: FastAPITasks) -> None:
        seen.append(type(tasks))
        tasks.add_task(ran.failing("a"))

    @router.get("/", dependencies=[Depends(dependency)])
    async def endpoint(tasks: FastAPITasks) -> None:
        tasks.add_task(ran.task("b"))

    ours, plain = make_app(routers=[router]), FastAPI()
    plain.include_router(router)

    for _ in range(3):
        client_of(ours).get("/")
        with pytest.raises(KeyError):
            TestClient(plain).get("/")
    assert ran == ["a", "b", "a"] * 3
    assert seen[1::2] == [FastAPITasks] * 3


@pytest.mark.parametrize("order", [0, 1])
def test_a_ready_made_route_may_be_shared(order: int, ran: Journal) -> None:
    """So does a plain app that serves the same `APIRoute` object, whichever comes first."""
    seen: list[type] = []

    async def endpoint(tasks: FastAPITasks) -> None:
        seen.append(type(tasks))
        tasks.add_task(ran.task("a"))

    def dependency(tasks: FastAPITasks) -> None: ...

    route = APIRoute("/", endpoint, dependencies=[Depends(dependency)])
    ours, plain = make_app(routes=[route]), FastAPI(routes=[route])

    for app in [[ours, plain], [plain, ours]][order] * 3:
        seen.clear()
        client_of(app).get("/")
        assert (seen == [FastAPITasks]) == (app is plain)
    assert ran == ["a"] * 6


def test_overrides_may_change_who_asks(ran: Journal, lines: Lines) -> None:
    """An override may ask for tasks, or no longer, and whoever asks gets ours."""
    app = make_app()

    def dependency(tasks: BackgroundTasks) -> None:
        tasks.add_task(ran.failing("dependency"))

    def other(tasks: StarletteTasks) -> None:
        assert isinstance(tasks, BackgroundTasks)
        tasks.add_task(ran.failing("override"))

    @app.get("/", dependencies=[Depends(dependency)])
    def endpoint(tasks: BackgroundTasks) -> None:
        tasks.add_task(ran.task("endpoint"))

    client = client_of(app)
    client.get("/")
    app.dependency_overrides[dependency] = other
    client.get("/")
    app.dependency_overrides[dependency] = lambda: None
    client.get("/")

    assert ran == ["dependency", "endpoint", "override", "endpoint", "endpoint"]


def test_the_endpoint_gets_what_it_asks_for(ran: Journal) -> None:
    """An endpoint with parameters of every kind gets exactly those."""
    app = make_app()

    class Body(BaseModel):
        text: str

    def dependency(tasks: BackgroundTasks) -> str:
        tasks.add_task(ran.task("a"))
        return "d"

    @app.post("/{number}")
    def endpoint(
        number: int, body: Body, value: Annotated[str, Depends(dependency)], query: str
    ) -> Any:
        return [number, body.text, value, query]

    @app.post("/request/{number}")
    async def with_request(request: Request, number: int, jobs: BackgroundTasks) -> Any:
        jobs.add_task(ran.task("b"))
        return [request.url.path, number]

    client = client_of(app)
    answer = client.post("/1?query=q", json={"text": "t"}).json()
    assert answer == [1, "t", "d", "q"]
    assert client.post("/request/2").json() == ["/request/2", 2]
    assert ran == ["a", "b"]


# The kinds of endpoints.


def _lines() -> Iterator[str]:
    yield "one"


async def _async_lines() -> AsyncIterator[str]:
    yield "one"


@pytest.mark.parametrize("response_class", [None, StreamingResponse, EventSourceResponse])
@pytest.mark.parametrize("is_async", [False, True])
def test_tasks_of_a_stream_run_after_it(
    response_class: Any, is_async: bool, ran: Journal, lines: Lines
) -> None:
    """Tasks of an endpoint that is a generator run, isolated, after its last item."""
    app = make_app()

    def stream(tasks: BackgroundTasks) -> Iterator[str]:
        tasks.add_task(ran.failing("a"))
        tasks.add_task(ran.task("b"))
        yield "one"
        ran.append("streamed")

    async def async_stream(tasks: BackgroundTasks) -> AsyncIterator[str]:
        for item in stream(tasks):
            yield item

    options = {} if response_class is None else {"response_class": response_class}
    app.add_api_route("/", async_stream if is_async else stream, **options)

    for round_number in range(1, 4):
        assert "one" in client_of(app).get("/").text
        assert ran == ["streamed", "a", "b"] * round_number


def test_a_callable_object_may_be_an_endpoint(ran: Journal) -> None:
    """Endpoints that are no functions are served as FastAPI serves them."""
    app = make_app()

    class Endpoint:
        async def __call__(self, tasks: BackgroundTasks) -> int:
            tasks.add_task(ran.task("a"))
            return 1

    app.add_api_route("/", Endpoint())

    assert client_of(app).get("/").json() == 1
    assert ran == ["a"]


def test_a_mounted_app_has_its_own(ran: Journal, lines: Lines) -> None:
    """Tasks in a mounted app of ours are isolated, and belong to the one request."""
    inner, outer = make_app(), make_app()
    outer.mount("/inner", inner)

    @inner.get("/")
    async def endpoint(tasks: BackgroundTasks) -> None:
        tasks.add_task(ran.failing("a"))
        tasks.add_task(ran.task("b"))

    assert client_of(outer).get("/inner/").status_code == 200
    assert ran == ["a", "b"]
    assert {line.request_id for line in lines.all} == {"r1"}


def test_errors_still_name_the_endpoint() -> None:
    """FastAPI's errors name file and function of the endpoint, not those of a wrapper."""
    app = make_app()

    @app.get("/", response_model=int)
    async def endpoint(tasks: BackgroundTasks) -> Any:
        return "no number"

    with pytest.raises(Exception, match=r"test_routes\.py.*in endpoint"):
        client_of(app).get("/")


# Tasks of a response.


@pytest.mark.parametrize("asks", ["endpoint", "dependency", "both"])
@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("kind", ["task", "tasks"])
def test_a_responses_own_tasks_run_first(
    asks: str, is_async: bool, kind: str, ran: Journal, lines: Lines
) -> None:
    """Trap 16: a response with tasks of its own runs them, and then those that were added."""
    app = make_app()

    def answer() -> Response:
        own = BackgroundTask(ran.failing("own"))
        return Response(background=own if kind == "task" else StarletteTasks([own]))

    def dependency(tasks: StarletteTasks) -> None:
        tasks.add_task(ran.task("added"))

    async def async_asking(tasks: StarletteTasks) -> Response:
        tasks.add_task(ran.task("added"))
        return answer()

    def asking(tasks: StarletteTasks) -> Response:
        tasks.add_task(ran.task("added"))
        return answer()

    async def async_answer() -> Response:
        return answer()

    if asks == "dependency":
        endpoint: Callable[..., Any] = async_answer if is_async else answer
    else:
        endpoint = async_asking if is_async else asking
    depends = [] if asks == "endpoint" else [Depends(dependency)]
    app.add_api_route("/", endpoint, dependencies=depends)

    added = ["added"] * (2 if asks == "both" else 1)
    for round_number in range(1, 4):
        assert client_of(app).get("/").status_code == 200
        assert ran == ["own", *added] * round_number


@pytest.mark.parametrize("form", ["itself", "inside", "copied"])
def test_no_task_runs_twice(form: str, ran: Journal) -> None:
    """A response that was handed the added tasks, in whatever form, runs each once."""
    app = make_app()

    @app.get("/")
    async def endpoint(tasks: BackgroundTasks) -> Response:
        tasks.add_task(ran.task("added"))
        own = BackgroundTask(ran.task("own"))
        forms: dict[str, BackgroundTask] = {
            "itself": tasks,
            "inside": StarletteTasks([own, tasks]),
            "copied": FastAPITasks([own, *tasks.tasks]),
        }
        return Response(background=forms[form])

    for round_number in range(1, 4):
        client_of(app).get("/")
        assert ran == (["added"] if form == "itself" else ["own", "added"]) * round_number


def test_a_response_may_be_returned_every_time(ran: Journal) -> None:
    """A response that is made once and returned by each request runs the tasks of each once."""
    app = make_app()
    constant = Response("ok", background=BackgroundTask(ran.task("own")))

    @app.get("/{name}")
    async def endpoint(name: str, tasks: BackgroundTasks) -> Response:
        tasks.add_task(ran.task(name))
        return constant

    for name in ("a", "b", "c"):
        assert client_of(app).get(f"/{name}").text == "ok"
    assert ran == ["own", "a", "own", "b", "own", "c"]


@pytest.mark.anyio
async def test_a_shared_response_keeps_requests_apart(ran: Journal, lines: Lines) -> None:
    """Requests that send the same response at the same time each run their own tasks."""
    app = make_app()
    constant = Response("ok", background=BackgroundTask(ran.task("own")))
    all_sent = anyio.Event()
    names = ["a", "b", "c"]

    @app.get("/{name}")
    async def endpoint(name: str, tasks: BackgroundTasks) -> Response:
        tasks.add_task(ran.task(name))
        return constant

    async def request(name: str) -> None:
        async def send(message: Any) -> None:
            if message["type"] == "http.response.body":
                names.remove(name)
                if not names:
                    all_sent.set()
                await all_sent.wait()

        await app(scope_of(f"/{name}"), nothing_more, send)

    async with anyio.create_task_group() as group:
        for name in names:
            group.start_soon(request, name)

    assert sorted(ran) == ["a", "b", "c", "own", "own", "own"]
    assert lines.messages == []
