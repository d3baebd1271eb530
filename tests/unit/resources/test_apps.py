"""Resources of an app: where their values are, who sees them, and what a start that fails says."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from textwrap import dedent
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, WebSocket
from fastapi.testclient import TestClient

from sturdyapi.app import SturdyAPI, create_app
from sturdyapi.exceptions import (
    ConfigurationError,
    ResourceNotOpenError,
    ResourceStartError,
    ResourceTimeoutError,
    SturdyDeprecationWarning,
    SturdyWarning,
)
from sturdyapi.resources import Resource, ResourceContext, resource
from sturdyapi.settings import BaseSettings

from .support import fail, make_app


class Things:
    """Two resources, the second of which needs the first, and what was done with them."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.pg = self._make("pg")
        self.cache = self._make("cache", self.pg)

    def _make(self, name: str, *needs: Resource[Any]) -> Resource[str]:
        @resource(name=name, needs=needs)
        async def thing() -> AsyncIterator[str]:
            self.lines.append(f"open {name}")
            yield f"value of {name}"
            self.lines.append(f"close {name}")

        return thing


@pytest.fixture
def things() -> Things:
    """Resources of this test's own."""
    return Things()


def reading(app: FastAPI | APIRouter, of: Resource[Any], path: str = "/") -> None:
    """Give an app a route and a websocket that answer with the value of a resource."""

    async def read(value: Annotated[str, of.value]) -> str:
        return value

    async def stream(websocket: WebSocket, value: Annotated[str, of.value]) -> None:
        await websocket.accept()
        await websocket.send_text(value)
        await websocket.close()

    app.get(path)(read)
    app.websocket(f"{path.rstrip('/')}/ws")(stream)


def message(client: TestClient, path: str = "/ws") -> str:
    """Return what a websocket sends."""
    with client.websocket_connect(path) as websocket:
        return websocket.receive_text()


# Where the values are.


def test_an_endpoint_gets_the_value(things: Things) -> None:
    """`Annotated[T, resource.value]` is the open value, in endpoints and in websockets."""
    app = make_app(things.cache)
    reading(app, things.cache)

    with TestClient(app) as client:
        assert client.get("/").json() == "value of cache"
        assert message(client) == "value of cache"

    assert things.lines == ["open pg", "open cache", "close cache", "close pg"]


def test_a_sync_endpoint_gets_the_value(things: Things) -> None:
    """A `def` endpoint and a `def` dependency may ask for it as well."""
    app = make_app(things.pg)

    def shout(value: Annotated[str, things.pg.value]) -> str:
        return value.upper()

    @app.get("/")
    def read(shouted: Annotated[str, Depends(shout)]) -> str:
        return shouted

    with TestClient(app) as client:
        assert client.get("/").json() == "VALUE OF PG"


def test_the_app_holds_the_values_while_it_runs(things: Things) -> None:
    """`app.resources[pg]` and `app.state.pg` are there from the start to the end."""
    app = make_app(things.pg)

    with TestClient(app):
        assert app.resources[things.pg] == app.state.pg == "value of pg"

    assert not hasattr(app.state, "pg")
    with pytest.raises(ResourceNotOpenError):
        app.resources[things.pg]


def test_what_stood_in_the_state_is_there_again(things: Things) -> None:
    """A value that `app.state` had under the name of a resource comes back at the end."""
    app = make_app(things.pg, things.cache)
    app.state.pg = "mine"

    with TestClient(app):
        assert app.state.pg == "value of pg"
        del app.state.cache

    assert app.state.pg == "mine"
    assert not hasattr(app.state, "cache")


def test_a_request_may_ask_by_itself(things: Things) -> None:
    """`resource.of(request)` is the value where there is no dependency, as in a middleware."""
    app = make_app(things.pg)

    @app.middleware("http")
    async def add_header(request: Request, call_next: Callable[..., Any]) -> Any:
        response = await call_next(request)
        response.headers["x-value"] = things.pg.of(request)
        return response

    with TestClient(app) as client:
        assert client.get("/").headers["x-value"] == "value of pg"


def test_a_router_needs_no_app(things: Things) -> None:
    """A router that is written before any app asks for a resource in the same way."""
    router = APIRouter(prefix="/inner")
    reading(router, things.pg, "/a")
    app = make_app(things.pg, routers=[router])

    with TestClient(app) as client:
        assert client.get("/inner/a").json() == "value of pg"
        assert message(client, "/inner/a/ws") == "value of pg"


def test_one_resource_serves_several_apps(things: Things) -> None:
    """A resource holds nothing open itself: each app opens its own value."""
    values: list[object] = []

    @resource
    async def box() -> AsyncIterator[object]:
        yield object()

    first, second = make_app(box), make_app(box)
    with TestClient(first), TestClient(second):
        values += [first.resources[box], second.resources[box]]

    assert values[0] is not values[1]


def test_settings_are_those_of_the_app() -> None:
    """`context.settings` is `app.settings`."""
    seen: list[Any] = []

    @resource
    async def nosy(context: ResourceContext) -> AsyncIterator[None]:
        seen.append(context.settings)
        yield

    app = make_app(nosy)
    with TestClient(app):
        pass

    assert seen == [app.settings]


def test_an_app_runs_three_times(things: Things) -> None:
    """Each start opens what the one before has closed."""
    app = make_app(things.cache)
    reading(app, things.cache)

    for _ in range(3):
        with TestClient(app) as client:
            assert client.get("/").json() == "value of cache"

    assert things.lines == ["open pg", "open cache", "close cache", "close pg"] * 3


def test_a_dependency_override_replaces_the_value(things: Things) -> None:
    """`app.dependency_overrides[resource.value.dependency]` works as for any dependency."""
    app = make_app(things.pg)
    reading(app, things.pg)
    app.dependency_overrides[things.pg.value.dependency] = lambda: "fake"

    # Without a lifespan, too: nothing asks for the resource.
    assert TestClient(app).get("/").json() == "fake"


def test_replaced_values_are_seen_everywhere(things: Things) -> None:
    """`app.resources.replaced()` gives the value to endpoints, `app.state` and other resources."""

    @resource(needs=[things.pg])
    async def user(context: ResourceContext) -> AsyncIterator[str]:
        yield f"user of {context[things.pg]}"

    app = make_app(user)
    reading(app, things.pg)
    with app.resources.replaced({things.pg: "fake"}), TestClient(app) as client:
        assert client.get("/").json() == app.state.pg == "fake"
        assert app.resources[user] == "user of fake"

    assert things.lines == []


# Without a lifespan, or without the resource.


@pytest.mark.anyio
async def test_asgi_transport_runs_no_lifespan(things: Things) -> None:
    """Trap 77: a request to an app that nobody has started says so, and how to start one."""
    app = make_app(things.pg)
    reading(app, things.pg)

    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        with pytest.raises(ResourceNotOpenError) as caught:
            await client.get("/")

    assert str(caught.value) == (
        "Resource 'pg' is not open: the app's lifespan is not running. In a test use "
        "`with TestClient(app)` or sturdyapi.testing.client(app); a bare ASGITransport runs none, "
        "and a plain FastAPI app runs none of the apps mounted in it."
    )


def test_a_test_client_without_with_runs_no_lifespan(things: Things) -> None:
    """Trap 77: so does `TestClient(app)` without `with`, for requests and for websockets."""
    app = make_app(things.pg)
    reading(app, things.pg)
    client = TestClient(app)

    with pytest.raises(ResourceNotOpenError, match="with TestClient"):
        client.get("/")
    with pytest.raises(ResourceNotOpenError, match="with TestClient"):
        message(client)


@pytest.mark.parametrize("make", [make_app, FastAPI])
def test_a_resource_that_is_not_listed_is_told(make: Callable[[], FastAPI], things: Things) -> None:
    """A route that asks for what its app does not have says where to list it."""
    app = make()
    reading(app, things.pg)

    with TestClient(app) as client, pytest.raises(ResourceNotOpenError) as caught:
        client.get("/")
    assert str(caught.value) == (
        "Resource 'pg' is not one of this app's. It has: none. "
        "List it: create_app(resources=[...])."
    )


def test_a_missing_resource_is_a_500_to_clients(things: Things) -> None:
    """Clients are told nothing of it."""
    app = make_app()
    reading(app, things.pg)

    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.get("/")

    assert answer.status_code == 500
    assert "pg" not in answer.text


# Two starts at a time.


def test_two_starts_at_a_time_are_refused(things: Things) -> None:
    """An app whose resources are open can't be started again, and serves on; then it can."""
    app = make_app(things.pg)
    reading(app, things.pg)

    with TestClient(app) as client:
        with pytest.raises(ConfigurationError) as caught, TestClient(app):
            pass
        assert client.get("/").json() == app.state.pg == "value of pg"
        assert client.get("/health/ready").status_code == 200
    with TestClient(app) as client:
        assert client.get("/").json() == "value of pg"

    assert things.lines == ["open pg", "close pg"] * 2
    assert str(caught.value) == (
        "The app's lifespan was started while it runs, and its resources are open. "
        "Make an app for each, or wait until the first has ended."
    )


def test_an_app_without_resources_may_run_twice_at_a_time() -> None:
    """Without resources, two starts at a time are as harmless as in FastAPI."""
    app = make_app()

    with TestClient(app) as first, TestClient(app) as second:
        assert first.get("/health/live").status_code == 200
        assert second.get("/health/live").status_code == 200


# Mounted apps.


def _plain() -> FastAPI:
    return FastAPI()


@pytest.mark.parametrize("make", [_plain, make_app])
def test_a_mounted_app_sees_its_parents_resources(
    make: Callable[[], FastAPI], things: Things
) -> None:
    """Trap 75: routes and websockets of a mounted app, ours or a bare FastAPI, get the value."""
    parent, child = make_app(things.pg), make()
    reading(child, things.pg)
    parent.mount("/child", child)

    with TestClient(parent) as client:
        assert client.get("/child/").json() == "value of pg"
        assert message(client, "/child/ws") == "value of pg"


def test_an_app_deep_inside_sees_them(things: Things) -> None:
    """So do those that are mounted in a mounted app, while each has what it lists itself."""
    parent, child, grandchild = make_app(things.pg), make_app(things.cache), make_app()
    parent.mount("/child", child)
    child.mount("/grandchild", grandchild)
    reading(grandchild, things.pg, "/pg")
    reading(grandchild, things.cache, "/cache")
    reading(parent, things.cache, "/cache")

    with TestClient(parent) as client:
        assert client.get("/child/grandchild/pg").json() == "value of pg"
        assert client.get("/child/grandchild/cache").json() == "value of cache"
        with pytest.raises(ResourceNotOpenError, match="It has: pg"):
            client.get("/cache")

    assert things.lines == ["open pg", "open cache", "close cache", "close pg"]


def test_a_mounted_app_tells_what_it_sees(things: Things) -> None:
    """A mounted app that asks for what nobody lists is told its own and its parents' resources."""
    parent, child = make_app(things.pg), make_app(failing(OSError(), "other"))
    parent.mount("/child", child)
    reading(child, things.cache)

    with (
        child.resources.replaced(dict.fromkeys(child.resources)),
        TestClient(parent) as client,
        pytest.raises(ResourceNotOpenError, match=r"It has: other, pg\."),
    ):
        client.get("/child/")


def test_a_mounted_app_shares_what_its_parent_has_open(things: Things) -> None:
    """What a mounted app lists or needs, and its parent has open, is not opened twice."""
    parent, child = make_app(things.pg), make_app(things.cache, things.pg)
    parent.mount("/child", child)
    reading(child, things.cache)

    with TestClient(parent) as client:
        assert client.get("/child/").json() == "value of cache"
        assert child.state.pg == child.resources[things.pg] == "value of pg"

    assert things.lines == ["open pg", "open cache", "close cache", "close pg"]


@pytest.mark.parametrize("is_mounted", [True, False])
def test_an_app_that_is_listed_sees_them_too(is_mounted: bool, things: Things) -> None:
    """An app of ours in `lifespan=[...]` shares the resources of the app that lists it."""
    child = make_app(things.pg)
    parent = make_app(things.pg, lifespan=[child])
    if is_mounted:
        parent.mount("/child", child)

    with TestClient(parent):
        assert child.state.pg == "value of pg"

    assert things.lines == ["open pg", "close pg"]


def test_a_mounted_app_may_run_alone(things: Things) -> None:
    """An app that is mounted somewhere opens its own resources when it is started by itself."""
    parent, child = make_app(things.pg), make_app(things.pg)
    parent.mount("/child", child)
    reading(child, things.pg)

    with TestClient(parent):
        pass
    with TestClient(child) as client:
        assert client.get("/").json() == "value of pg"

    assert things.lines == ["open pg", "close pg"] * 2


def test_readiness_of_a_mounted_app_asks_what_it_shares() -> None:
    """The health of a mounted app includes what it shares with its parent."""

    async def refuse(_value: str) -> None:
        raise ConnectionError

    @resource(check=refuse)
    async def pg() -> AsyncIterator[str]:
        yield "pg"

    parent, child = make_app(pg), make_app(pg)
    parent.mount("/child", child)

    with TestClient(parent) as client:
        answer = client.get("/child/health/ready")

    assert answer.status_code == 503
    assert answer.json()["checks"] == {"pg": "failed"}


def test_an_app_that_is_mounted_in_two(things: Things) -> None:
    """An app whose resources are open is refused to a second parent, and serves the first on."""
    child = make_app(things.pg)
    reading(child, things.pg)
    reading(child, things.cache, "/cache")
    first, second = make_app(things.cache), make_app()
    first.mount("/child", child)
    second.mount("/child", child)

    with TestClient(first) as client:
        with (
            pytest.raises(ConfigurationError, match="was started while it runs"),
            TestClient(second),
        ):
            pass
        assert client.get("/child/").json() == "value of pg"
        assert client.get("/child/cache").json() == "value of cache"


def test_what_a_parent_replaces_is_replaced_in_what_is_mounted(things: Things) -> None:
    """A mounted app that shares a resource gets what stands in for it."""
    parent, child = make_app(things.pg), make_app(things.pg)
    parent.mount("/child", child)
    reading(child, things.pg)

    with parent.resources.replaced({things.pg: "fake"}), TestClient(parent) as client:
        assert client.get("/child/").json() == "fake"

    assert things.lines == []


@pytest.mark.parametrize("value", [[], {}])
def test_a_mounted_app_may_have_its_own_replaced(value: Any, things: Things) -> None:
    """A replacement in a mounted app stays there, whatever value it is."""
    parent, child = make_app(things.pg), make_app(things.pg)
    parent.mount("/child", child)

    with child.resources.replaced({things.pg: value}), TestClient(parent):
        assert child.resources[things.pg] is value
        assert parent.resources[things.pg] == "value of pg"


# Beside lifespans and handlers.


def test_the_users_lifespan_runs_inside(things: Things) -> None:
    """A lifespan finds the resources open, by `app.state` and `app.resources`, also at its end."""
    seen: list[str] = []

    @asynccontextmanager
    async def lifespan(app: SturdyAPI) -> AsyncIterator[dict[str, str]]:
        seen.append(app.state.pg)
        yield {"from_lifespan": app.resources[things.pg]}
        seen.append(app.resources[things.pg])

    app = make_app(things.pg, lifespan=lifespan)

    @app.get("/")
    async def read(request: Request) -> str:
        return str(request.state.from_lifespan)

    with TestClient(app) as client:
        assert client.get("/").json() == "value of pg"

    assert seen == ["value of pg"] * 2


def test_a_lifespan_that_fails_closes_the_resources(things: Things) -> None:
    """What fails after the resources have opened closes them."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        fail(OSError("no queue"))
        yield

    app = make_app(things.pg, lifespan=lifespan)

    with pytest.raises(OSError, match="no queue"), TestClient(app):
        pass

    assert things.lines == ["open pg", "close pg"]
    assert not hasattr(app.state, "pg")


def test_event_handlers_run_inside(things: Things) -> None:
    """`on_event` handlers find the resources open, with a deprecation that names STY1201."""
    app = make_app(things.pg)
    with pytest.warns(SturdyDeprecationWarning, match="STY1201"):
        app.on_event("startup")(lambda: things.lines.append(f"start with {app.state.pg}"))
    with pytest.warns(SturdyDeprecationWarning, match="STY1201"):
        app.on_event("shutdown")(lambda: things.lines.append(f"end with {app.state.pg}"))

    with TestClient(app):
        pass

    assert things.lines == [
        "open pg",
        "start with value of pg",
        "end with value of pg",
        "close pg",
    ]


def test_listed_foreign_apps_open_after_the_resources(things: Things) -> None:
    """A lifespan of another kind of app in the list runs inside as well."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        things.lines.append("open foreign")
        yield

    app = make_app(things.pg, lifespan=[FastAPI(lifespan=lifespan)])

    with TestClient(app):
        pass

    assert things.lines == ["open pg", "open foreign", "close pg"]


def test_a_foreign_parent_runs_no_lifespan(things: Things) -> None:
    """An app in a bare FastAPI app is not started: FastAPI starts nothing that is mounted."""
    child, parent = make_app(things.pg), FastAPI()
    parent.mount("/child", child)
    reading(child, things.pg)

    with TestClient(parent) as client, pytest.raises(ResourceNotOpenError, match="lifespan"):
        client.get("/child/")


@pytest.mark.anyio
async def test_the_tasks_that_start_and_end_an_app_may_differ() -> None:
    """Fixtures that set up in one task and tear down in another start and end an app well."""
    closed: list[bool] = []

    @resource
    async def grouped() -> AsyncIterator[str]:
        async with asyncio.TaskGroup():
            yield "grouped"
        closed.append(True)

    app = make_app(grouped)
    block = app.router.lifespan_context(app)

    async def set_up() -> None:
        await block.__aenter__()

    async def tear_down() -> None:
        await block.__aexit__(None, None, None)

    await asyncio.create_task(set_up())
    assert app.resources[grouped] == "grouped"
    await asyncio.create_task(tear_down())

    assert closed == [True]


def test_an_app_without_resources_runs_on_trio() -> None:
    """Without resources an app starts on trio, too."""
    app = make_app()

    @app.get("/")
    async def read() -> str:
        return "served"

    with TestClient(app, backend="trio") as client:
        assert client.get("/").json() == "served"


def test_resources_on_trio_are_refused(things: Things) -> None:
    """With resources the start is refused in a sentence."""
    app = make_app(things.pg)

    with pytest.raises(ConfigurationError, match="on asyncio"), TestClient(app, backend="trio"):
        pass


# A start that fails.


def _startup_message(app: FastAPI) -> str:
    """Return what the server is told when the start fails."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message)

    async def start() -> None:
        await app({"type": "lifespan", "state": {}}, receive, send)

    with pytest.raises(Exception):  # noqa: B017, PT011 - of any kind
        asyncio.run(start())
    (failed,) = sent
    assert failed["type"] == "lifespan.startup.failed"
    return str(failed["message"])


def failing(error: BaseException, name: str = "pg") -> Resource[None]:
    """Make a resource that can't be opened."""

    @resource(name=name)
    async def failing() -> AsyncIterator[None]:
        fail(error)
        yield

    return failing


def test_a_known_reason_is_one_sentence_to_the_server() -> None:
    """A start that fails for a reason that its user can mend tells that reason, no traceback."""
    error = ResourceStartError("pg", "the password is wrong", advice="See DATABASE_URL.")
    sentence = "Resource 'pg' can't be opened: the password is wrong. See DATABASE_URL."

    assert _startup_message(make_app(failing(error))) == sentence


def test_a_time_limit_is_one_sentence_to_the_server() -> None:
    """So does one that took too long."""

    @resource(timeout_seconds=0.01)
    async def slow() -> AsyncIterator[None]:
        await asyncio.Event().wait()
        yield

    assert _startup_message(make_app(slow)) == str(
        ResourceTimeoutError("slow", timeout_seconds=0.01)
    )


def test_other_errors_of_ours_tell_their_resource() -> None:
    """An error that does not name its resource tells it in a second line."""
    told = _startup_message(make_app(failing(ConfigurationError("The URL has no scheme."))))

    assert told == "The URL has no scheme.\nRaised while resource 'pg' was opened."


def test_a_foreign_error_keeps_its_traceback() -> None:
    """An error of another kind is told with its traceback and its resource."""
    told = _startup_message(make_app(failing(OSError("no route to host"))))

    assert told.startswith("Traceback")
    assert told.endswith("OSError: no route to host\nRaised while resource 'pg' was opened.\n")


def test_a_reason_in_a_mounted_app_is_one_sentence() -> None:
    """A mounted app that can't be opened fails the start of its parent in the same words."""
    parent = make_app()
    parent.mount("/child", make_app(failing(ConfigurationError("The URL has no scheme."))))

    assert _startup_message(parent).startswith("The URL has no scheme.")


def test_one_failed_start_does_not_speak_for_the_next() -> None:
    """The reason of one start is not told at another that fails otherwise."""
    errors: list[Exception] = [ConfigurationError("first"), OSError("second")]

    @resource
    async def moody() -> AsyncIterator[None]:
        fail(errors.pop(0))
        yield

    app = make_app(moody)
    assert _startup_message(app).startswith("first")
    assert _startup_message(app).startswith("Traceback")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            "ResourceStartError('pg', 'the password is wrong', advice='See DATABASE_URL.')",
            "Resource 'pg' can't be opened: the password is wrong. See DATABASE_URL.\n",
        ),
        ("OSError('no host')", "OSError: no host\nRaised while resource 'pg' was opened.\n"),
    ],
)
def test_a_server_ends_with_the_reason(error: str, told: str, tmp_path: Path) -> None:
    """Trap 78: uvicorn prints the reason of a failed start, closes what was open, and exits 3."""
    program = f"""
        from sturdyapi import create_app, resource
        from sturdyapi.exceptions import ResourceStartError

        @resource
        async def first():
            yield
            print("closed", flush=True)

        @resource
        async def pg():
            raise {error}
            yield

        app = create_app(resources=[first, pg], logs=False)
    """
    (tmp_path / "main.py").write_text(dedent(program))

    done = subprocess.run(
        [sys.executable, "-m", "uvicorn", "main:app", "--port", "0"],
        cwd=tmp_path,
        env={**os.environ, "FASTAPI_ENV": "testing"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 3
    assert done.stdout == "closed\n"
    assert told in done.stderr
    assert ("Traceback" in done.stderr) == error.startswith("OSError")


# Arguments of the app.


def test_what_is_no_resource_is_refused() -> None:
    """`resources=` takes a list of resources, and says so."""
    settings = BaseSettings(environment="testing")

    async def pg() -> AsyncIterator[int]:
        yield 1

    with pytest.raises(ConfigurationError) as caught:
        create_app(settings, resources=[pg], logs=False)  # type: ignore[list-item]
    assert str(caught.value) == (
        "resources= has a function in it. Give resources: what @resource returns, or an adapter "
        "such as sturdyapi.contrib.postgres.Postgres."
    )
    with pytest.raises(ConfigurationError) as caught:
        create_app(settings, resources=resource(pg), logs=False)  # type: ignore[arg-type]
    assert str(caught.value) == "resources= is one resource. Give a list: [pg]."


def test_names_are_unique_in_an_app(things: Things) -> None:
    """Two resources of one name are refused, since they would be one `app.state.<name>`."""
    with pytest.raises(ConfigurationError) as caught:
        make_app(things.cache, Things().pg)
    assert str(caught.value) == "Two resources are named 'pg'. Give one of them another: name=."


def test_a_resource_may_be_listed_twice(things: Things) -> None:
    """The same resource twice is one resource."""
    app = make_app(things.pg, things.cache, things.pg)

    assert [each.name for each in app.resources] == ["pg", "cache"]


@pytest.mark.filterwarnings("error")
def test_a_mounted_app_is_no_reason_to_warn(things: Things) -> None:
    """Apps of ours need not be listed, with resources or without."""
    parent = make_app()
    parent.mount("/child", make_app(things.pg))

    with TestClient(parent):
        pass

    assert things.lines == ["open pg", "close pg"]
    assert issubclass(SturdyDeprecationWarning, SturdyWarning)
