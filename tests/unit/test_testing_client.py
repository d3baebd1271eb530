"""The client for the tests of a service: it starts the app, and leaves it as it was."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import anyio
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, WebSocket
from fastapi.responses import RedirectResponse
from pydantic import SecretStr, model_validator

from sturdyapi.app import SturdyAPI, create_app
from sturdyapi.exceptions import ConfigurationError, ResourceStartError
from sturdyapi.resources import Resource, ResourceContext, resource
from sturdyapi.settings import BaseSettings, settings_of
from sturdyapi.testing import AppUnderTest, client


class Settings(BaseSettings):
    """Settings of the service under test."""

    page_size: int = 50
    low: int = 0
    token: SecretStr = SecretStr("from the environment")

    @model_validator(mode="after")
    def _in_order(self) -> "Settings":
        if self.low > self.page_size:
            raise ValueError("low is above page_size")
        return self


async def current_user() -> str:
    """Find out who calls."""
    return "nobody"


User = Annotated[str, Depends(current_user)]


async def whoami(user: User) -> str:
    """Tell who calls."""
    return user


class Service:
    """An app with a resource, settings and a user, and what was done with it."""

    def __init__(self, **options: Any) -> None:
        self.lines: list[str] = []
        self.settings_seen: list[Any] = []
        self.pg = self._pg()
        self.app = create_app(
            Settings(environment="testing"), resources=[self.pg], logs=False, **options
        )
        self._add_routes()

    def _pg(self) -> Resource[str]:
        @resource
        async def pg(context: ResourceContext) -> AsyncIterator[str]:
            self.lines.append("open")
            self.settings_seen.append(context.settings)
            yield "pg"
            self.lines.append("close")

        return pg

    def _add_routes(self) -> None:
        pg, app = self.pg, self.app
        app.get("/user")(whoami)

        @app.get("/pg")
        async def read_pg(value: Annotated[str, pg.value]) -> str:
            return value

        @app.get("/page-size")
        async def page_size(settings: Annotated[Settings, Depends(settings_of(Settings))]) -> int:
            return settings.page_size

        @app.get("/crash")
        async def crash() -> None:
            raise LookupError("no such thing")

        @app.get("/old")
        async def old() -> RedirectResponse:
            return RedirectResponse("/user")

        @app.get("/echo")
        async def echo(request: Request) -> dict[str, Any]:
            return {
                "url": str(request.url),
                "client": request.client,
                "agent": request.headers["user-agent"],
                "test": request.headers.get("x-test"),
                "cookies": request.cookies,
                "root_path": request.scope["root_path"],
            }


@pytest.fixture
def service() -> Service:
    """A service of this test's own."""
    return Service()


class Asked:
    """Asks an app, in both ways that a client has, and gives the same answers."""

    def __init__(self, *, is_async: bool) -> None:
        self.is_async = is_async

    def get(self, under_test: AppUnderTest, *paths: str) -> list[Any]:
        """Return the answers of one start of an app."""
        if self.is_async:
            return asyncio.run(self._get(under_test, paths))
        with under_test as started:
            return [started.get(path) for path in paths]

    async def _get(self, under_test: AppUnderTest, paths: tuple[str, ...]) -> list[Any]:
        async with under_test as started:
            return [await started.get(path) for path in paths]

    def json(self, under_test: AppUnderTest, *paths: str) -> list[Any]:
        """Return what is in the answers."""
        return [answer.json() for answer in self.get(under_test, *paths)]


@pytest.fixture(params=["sync", "async"])
def asked(request: pytest.FixtureRequest) -> Asked:
    """Both forms of the client."""
    return Asked(is_async=request.param == "async")


# Both forms.


def test_with_starts_the_app(service: Service) -> None:
    """`with client(app) as c` runs the lifespan, and `c` is a `TestClient`."""
    with client(service.app) as c:
        assert service.lines == ["open"]
        assert c.get("/pg").json() == "pg"

    assert service.lines == ["open", "close"]


@pytest.mark.anyio
async def test_async_with_starts_the_app(service: Service) -> None:
    """`async with client(app) as c` does too, and `c` is an async client of httpx2."""
    async with client(service.app) as c:
        assert service.lines == ["open"]
        assert (await c.get("/pg")).json() == "pg"

    assert service.lines == ["open", "close"]


@pytest.mark.anyio
async def test_requests_of_an_async_client_run_at_the_same_time(service: Service) -> None:
    """Requests that wait for each other can be tested with the async client."""
    gate = asyncio.Event()

    @service.app.get("/wait")
    async def wait() -> str:
        await gate.wait()
        return "waited"

    @service.app.get("/open")
    async def open_gate() -> str:
        gate.set()
        return "opened"

    async with client(service.app) as c, asyncio.TaskGroup() as group:
        waiting = group.create_task(c.get("/wait"))
        await c.get("/open")
        assert (await waiting).json() == "waited"


def test_an_app_may_be_tested_three_times(service: Service, asked: Asked) -> None:
    """One `client()` may be used again after its block, and each block starts the app anew."""
    under_test = client(service.app, as_={current_user: "alice"})

    for _ in range(3):
        assert asked.json(under_test, "/pg", "/user") == ["pg", "alice"]

    assert service.lines == ["open", "close"] * 3


def test_a_bare_fastapi_app_can_be_tested(asked: Asked) -> None:
    """Any FastAPI app has a lifespan, its state, and dependencies."""
    lines: list[str] = []

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, str]]:
        lines.append("open")
        yield {"from_lifespan": "state"}
        lines.append("close")

    app = FastAPI(lifespan=lifespan)
    app.get("/user")(whoami)

    @app.get("/state")
    async def state(request: Request) -> str:
        seen = str(request.state.from_lifespan)
        request.state.from_lifespan = "changed"
        return seen

    under_test = client(app, as_={current_user: "alice"})
    assert asked.json(under_test, "/user", "/state", "/state") == ["alice", "state", "state"]
    assert lines == ["open", "close"]


def test_websockets_are_for_the_sync_client(service: Service) -> None:
    """`c.websocket_connect()` of the `TestClient` sees the same user and resources."""

    @service.app.websocket("/ws")
    async def stream(
        websocket: WebSocket, user: User, pg: Annotated[str, service.pg.value]
    ) -> None:
        await websocket.accept()
        await websocket.send_text(f"{user} on {pg}")
        await websocket.close()

    with (
        client(service.app, as_={current_user: "alice"}, resources={service.pg: "fake"}) as c,
        c.websocket_connect("/ws") as websocket,
    ):
        assert websocket.receive_text() == "alice on fake"


def test_the_sync_client_may_be_used_where_a_loop_runs(service: Service) -> None:
    """`with client(app)` works inside an async test, too: the app has a thread of its own."""

    async def test() -> Any:
        with client(service.app) as c:
            return c.get("/pg").json()

    assert asyncio.run(test()) == "pg"


# Options.


def test_options_of_the_client(service: Service, asked: Asked) -> None:
    """What a `TestClient` takes is taken by both forms."""
    under_test = client(
        service.app,
        base_url="https://api.example.com",
        headers={"X-Test": "yes", "User-Agent": "mine"},
        cookies={"session": "s1"},
        root_path="/v1",
        client_address=("10.0.0.7", 1234),
    )

    assert asked.json(under_test, "/echo") == [
        {
            "url": "https://api.example.com/echo",
            "client": ["10.0.0.7", 1234],
            "agent": "mine",
            "test": "yes",
            "cookies": {"session": "s1"},
            "root_path": "/v1",
        }
    ]


def test_both_forms_look_alike_to_the_app(service: Service, asked: Asked) -> None:
    """Without options the app sees what it sees of a `TestClient`."""
    (seen,) = asked.json(client(service.app), "/echo")

    assert seen == {
        "url": "http://testserver/echo",
        "client": ["testclient", 50000],
        "agent": "testclient",
        "test": None,
        "cookies": {},
        "root_path": "",
    }


def test_redirects_are_followed(service: Service, asked: Asked) -> None:
    """A redirect is followed, as by a `TestClient`, unless the test wants to see it."""
    (followed,) = asked.get(client(service.app), "/old")
    (seen,) = asked.get(client(service.app, follow_redirects=False), "/old")

    assert (followed.status_code, seen.status_code) == (200, 307)


def test_unhandled_errors_are_raised(service: Service, asked: Asked) -> None:
    """An error that the app does not handle fails the test with its own traceback."""
    with pytest.raises(LookupError, match="no such thing"):
        asked.get(client(service.app), "/crash")

    assert service.lines == ["open", "close"]


def test_unhandled_errors_may_be_seen_as_clients_do(service: Service, asked: Asked) -> None:
    """`raise_server_exceptions=False` gives the 500 problem that a client gets."""
    under_test = client(service.app, raise_server_exceptions=False)

    (answer,) = asked.get(under_test, "/crash")

    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"


# Who calls.


def test_as_gives_the_user(service: Service, asked: Asked) -> None:
    """`as_={current_user: alice}` puts a value in the place of a dependency."""
    alice = "alice"

    assert asked.json(client(service.app), "/user") == ["nobody"]
    assert asked.json(client(service.app, as_={current_user: alice}), "/user") == ["alice"]
    assert asked.json(client(service.app), "/user") == ["nobody"]


def test_a_depends_may_be_given(service: Service, asked: Asked) -> None:
    """`Depends(...)` stands for its dependency, so that `pg.value` can be replaced, too."""
    assert asked.json(client(service.app, as_={service.pg.value: "fake"}), "/pg") == ["fake"]


def test_any_value_may_be_given(asked: Asked) -> None:
    """What counts as false, or can be called, is a value as any other."""
    app = FastAPI()
    seen: list[Any] = []

    @app.get("/")
    async def read(user: Annotated[Any, Depends(current_user)]) -> None:
        seen.append(user)

    values: list[Any] = [None, 0, [], len]
    for value in values:
        asked.get(client(app, as_={current_user: value}), "/")

    assert seen == values


def test_acting_as_changes_who_calls(service: Service) -> None:
    """`with c.acting_as(...)` lets somebody else call for a while."""
    with client(service.app, as_={current_user: "alice"}) as c:
        with c.acting_as({current_user: "bob"}):
            assert c.get("/user").json() == "bob"
            with c.acting_as({current_user: "carol"}):
                assert c.get("/user").json() == "carol"
            assert c.get("/user").json() == "bob"
        assert c.get("/user").json() == "alice"

    assert service.app.dependency_overrides == {}


@pytest.mark.anyio
async def test_acting_as_is_there_for_the_async_client(service: Service) -> None:
    """The async client has it as well; an error ends it."""
    async with client(service.app) as c:
        with suppress(LookupError), c.acting_as({current_user: "bob"}):
            assert (await c.get("/user")).json() == "bob"
            await c.get("/crash")
        assert (await c.get("/user")).json() == "nobody"


def test_a_router_may_ask_for_the_user(asked: Asked) -> None:
    """Dependencies of routers, and of dependencies, are replaced as in FastAPI."""

    async def shouted(user: User) -> str:
        return user.upper()

    router = APIRouter(prefix="/inner", dependencies=[Depends(current_user)])

    @router.get("/")
    async def read(user: Annotated[str, Depends(shouted)]) -> str:
        return user

    app = FastAPI()
    app.include_router(router)

    assert asked.json(client(app, as_={current_user: "alice"}), "/inner/") == ["ALICE"]


def test_a_key_is_a_dependency(service: Service, asked: Asked) -> None:
    """A name in place of a function is refused."""
    with pytest.raises(ConfigurationError) as caught:
        asked.get(client(service.app, as_={"current_user": "alice"}))  # type: ignore[dict-item]
    assert str(caught.value) == (
        "as_= has a str as a key. Give the dependency itself: as_={current_user: alice}."
    )
    assert service.lines == []


def test_an_alias_is_no_key(service: Service, asked: Asked) -> None:
    """An `Annotated[...]` in place of a function is refused, since it would replace nothing."""
    alias: Any = Annotated[str, Depends(current_user)]
    with pytest.raises(ConfigurationError, match=r"has an Annotated\[\.\.\.\] as a key"):
        asked.get(client(service.app, as_={alias: "alice"}))


def test_a_resource_is_not_replaced_by_name(service: Service, asked: Asked) -> None:
    """A name in place of a resource is refused."""
    with pytest.raises(ConfigurationError, match="has a str as a key"):
        asked.get(client(service.app, resources={"numbers": [1]}))  # type: ignore[dict-item]


# Resources.


def test_resources_are_replaced(service: Service, asked: Asked) -> None:
    """`resources={pg: fake}` opens nothing, and gives the fake to everybody."""
    assert asked.json(client(service.app, resources={service.pg: "fake"}), "/pg") == ["fake"]
    assert service.lines == []
    assert asked.json(client(service.app), "/pg") == ["pg"]


def test_resources_may_be_replaced_by_resources(service: Service, asked: Asked) -> None:
    """A resource in place of another is opened and closed with the app."""
    lines: list[str] = []

    @resource
    async def temporary() -> AsyncIterator[str]:
        lines.append("open")
        yield "temporary"
        lines.append("close")

    under_test = client(service.app, resources={service.pg: temporary})

    assert asked.json(under_test, "/pg") == ["temporary"]
    assert lines == ["open", "close"]
    assert service.lines == []


def test_a_resource_of_nobody_is_refused(service: Service, asked: Asked) -> None:
    """A resource that the app does not have is refused, with those that it has."""
    other = Service()

    with pytest.raises(ConfigurationError) as caught:
        asked.get(client(service.app, resources={other.pg: "fake"}))
    assert str(caught.value) == (
        "Resource 'pg' can't be replaced: the app does not have it. It has: pg."
    )


def test_a_start_that_fails_is_raised(asked: Asked) -> None:
    """The test gets the error of a start that fails, and the app is as it was."""

    @resource
    async def broken() -> AsyncIterator[str]:
        raise ResourceStartError("broken", "it is", advice="Mend it.")
        yield "never"  # type: ignore[unreachable]

    app = create_app(Settings(environment="testing"), resources=[broken], logs=False)
    app.get("/user")(whoami)

    with pytest.raises(ResourceStartError, match="Mend it"):
        asked.get(client(app, as_={current_user: "alice"}), "/user")
    assert app.dependency_overrides == {}
    assert asked.json(client(app, resources={broken: "whole"}), "/user") == ["nobody"]


def test_an_end_that_fails_is_raised(asked: Asked) -> None:
    """The test gets the error of an end that fails, and the app is as it was."""

    @resource
    async def broken() -> AsyncIterator[str]:
        yield "open"
        raise OSError("no goodbye")

    app = create_app(Settings(environment="testing"), resources=[broken], logs=False)

    with pytest.raises(OSError, match="no goodbye"):
        asked.get(client(app, as_={current_user: "alice"}), "/nothing")
    assert app.dependency_overrides == {}


# Settings.


def test_settings_are_replaced(service: Service, asked: Asked) -> None:
    """`settings=Settings(...)` is what everybody finds, endpoints and resources alike."""
    before, other = service.app.settings, Settings(environment="testing", page_size=3)

    assert asked.json(client(service.app, settings=other), "/page-size") == [3]
    assert service.settings_seen == [other]
    assert service.app.settings is service.app.state.settings is before
    assert asked.json(client(service.app), "/page-size") == [50]


def test_some_settings_are_replaced(service: Service, asked: Asked) -> None:
    """`settings={"page_size": 3}` changes these values and keeps the rest, validated as ever."""
    under_test = client(service.app, settings={"page_size": "3", "token": "from the test"})

    assert asked.json(under_test, "/page-size") == [3]

    (seen,) = service.settings_seen
    assert seen.token.get_secret_value() == "from the test"
    assert seen.environment == "testing"
    assert service.app.settings.model_dump() == Settings(environment="testing").model_dump()


def test_settings_are_in_the_app_while_the_test_runs(service: Service) -> None:
    """`app.settings` and `app.state.settings` are the changed ones in the block."""
    with client(service.app, settings={"page_size": 3}):
        settings = service.app.settings
        assert isinstance(settings, Settings)
        assert settings.page_size == 3
        assert service.app.state.settings is settings


def test_an_override_of_the_settings_still_wins(service: Service, asked: Asked) -> None:
    """A `dependency_overrides` of `settings_of(Settings)` is the test's own last word."""
    other = Settings(environment="testing", page_size=7)
    under_test = client(service.app, settings={"page_size": 3}, as_={settings_of(Settings): other})

    assert asked.json(under_test, "/page-size") == [7]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"page_sice": 3},
            "settings= has 'page_sice', which is no field of Settings. Did you mean 'page_size'?",
        ),
        (
            {"page_size": "hunter2"},
            (
                "settings= has a bad value for 'page_size': Input should be a valid integer, "
                "unable to parse string as an integer."
            ),
        ),
        (
            {"low": 51},
            "settings= has a bad value for 'low': Value error, low is above page_size.",
        ),
        (
            {"environment": "production"},
            (
                "settings= changes 'environment', which the app has read when it was made. "
                "Make an app for the test: create_app(Settings(environment=...))."
            ),
        ),
        (
            Settings(environment="testing", cors_origins=["https://example.com"]),
            (
                "settings= changes 'cors_origins', which the app has read when it was made. "
                "Make an app for the test: create_app(Settings(cors_origins=...))."
            ),
        ),
        (
            BaseSettings(environment="testing"),
            (
                "settings= is a BaseSettings, and the app's settings are Settings. Give an "
                "instance of that, or a dict of the values that change."
            ),
        ),
    ],
)
def test_settings_that_are_refused(changes: Any, told: str, service: Service) -> None:
    """What the app does not have, or would not notice, is refused before it starts."""
    with pytest.raises(ConfigurationError) as caught, client(service.app, settings=changes):
        pass
    assert str(caught.value) == told
    assert service.lines == []


@pytest.mark.parametrize("argument", ["resources", "settings"])
def test_a_bare_fastapi_app_has_neither(argument: str, asked: Asked) -> None:
    """A FastAPI app without resources and settings of ours is refused with what works for it."""
    options: dict[str, Any] = {argument: {}}

    with pytest.raises(ConfigurationError) as caught:
        asked.get(client(FastAPI(), **options))
    assert str(caught.value) == (
        f"client({argument}=) needs an app that create_app() has made; this one is a FastAPI. "
        "Use as_=, which replaces dependencies of any FastAPI app."
    )


# Mounted apps.


def _mount(parent: SturdyAPI) -> tuple[Service, FastAPI]:
    child, grandchild = Service(), FastAPI()
    grandchild.get("/user")(whoami)
    child.app.mount("/grandchild", grandchild)
    parent.mount("/child", child.app)
    return child, grandchild


def test_mounted_apps_are_covered(service: Service, asked: Asked) -> None:
    """Users and resources are replaced in mounted apps too, whichever app has them."""
    child, grandchild = _mount(service.app)
    under_test = client(
        service.app,
        as_={current_user: "alice"},
        resources={service.pg: "fake", child.pg: "fake of the child"},
    )
    paths = ["/user", "/child/user", "/child/grandchild/user", "/pg", "/child/pg"]

    answers = asked.json(under_test, *paths)

    assert answers == ["alice", "alice", "alice", "fake", "fake of the child"]
    assert service.lines == child.lines == []
    for app in (service.app, child.app, grandchild):
        assert app.dependency_overrides == {}
    assert asked.json(client(service.app), *paths) == ["nobody"] * 3 + ["pg"] * 2


def test_settings_of_mounted_apps_are_theirs(service: Service, asked: Asked) -> None:
    """A mounted app gets other settings if it shares those of its parent, and only then."""
    _mount(service.app)
    sharing = create_app(service.app.settings, logs=False)

    @sharing.get("/page-size")
    async def page_size(settings: Annotated[Settings, Depends(settings_of(Settings))]) -> int:
        return settings.page_size

    service.app.mount("/sharing", sharing)
    under_test = client(service.app, settings={"page_size": 3})

    assert asked.json(under_test, "/child/page-size", "/sharing/page-size") == [50, 3]
    assert sharing.settings is sharing.state.settings is service.app.settings


# Everything is as it was.


def test_overrides_are_as_they_were(service: Service, asked: Asked) -> None:
    """The app gets back its own `dependency_overrides`, with what was in it."""
    overrides = service.app.dependency_overrides
    overrides[current_user] = lambda: "of the suite"
    before = dict(overrides)

    assert asked.json(client(service.app), "/user") == ["of the suite"]
    assert asked.json(client(service.app, as_={current_user: "alice"}), "/user") == ["alice"]

    assert service.app.dependency_overrides is overrides
    assert overrides == before


def test_overrides_of_the_block_end_with_it(service: Service) -> None:
    """What a test overrides in the block itself is gone afterwards, however it did it."""
    overrides = service.app.dependency_overrides

    with client(service.app) as c:
        service.app.dependency_overrides[current_user] = lambda: "alice"
        assert c.get("/user").json() == "alice"
    assert overrides == {}
    with client(service.app) as c:
        service.app.dependency_overrides = {current_user: lambda: "bob"}
        assert c.get("/user").json() == "bob"

    assert service.app.dependency_overrides is overrides
    assert overrides == {}


def test_the_state_is_as_it_was(asked: Asked) -> None:
    """What a lifespan or a test leaves in `app.state` is gone, and what it took is back."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.left = "behind"
        del app.state.mine
        yield

    app = create_app(Settings(environment="testing"), lifespan=lifespan, logs=False)
    app.state.mine = "here"
    state = app.state

    for _ in range(3):
        asked.get(client(app))
        assert app.state is state
        assert {name: state[name] for name in state} == {"settings": app.settings, "mine": "here"}


def test_an_error_in_the_block_is_raised(service: Service) -> None:
    """A test that fails fails with its own error, and leaves nothing behind."""
    options: dict[str, Any] = {
        "as_": {current_user: "alice"},
        "resources": {service.pg: "fake"},
        "settings": {"page_size": 3},
    }
    before = service.app.settings

    with pytest.raises(ZeroDivisionError), client(service.app, **options):
        _ = 1 / 0

    assert service.app.settings is before
    assert service.app.dependency_overrides == {}
    with client(service.app) as c:
        answers = [c.get(path).json() for path in ("/user", "/pg", "/page-size")]
    assert answers == ["nobody", "pg", 50]


def test_blocks_of_several_apps_nest(asked: Asked) -> None:
    """Clients of two apps may be open at a time."""
    first, second = Service(), Service()

    with client(first.app, as_={current_user: "alice"}) as c:
        assert asked.json(client(second.app, as_={current_user: "bob"}), "/user") == ["bob"]
        assert c.get("/user").json() == "alice"


def test_an_app_is_tested_once_at_a_time(service: Service, asked: Asked) -> None:
    """A second block of one app with resources is refused, and the first goes on as it was."""
    with client(service.app, as_={current_user: "alice"}) as c:
        with pytest.raises(ConfigurationError, match="was started while it runs"):
            asked.get(client(service.app, as_={current_user: "bob"}))
        assert c.get("/user").json() == "alice"
        assert c.get("/pg").json() == "pg"


def test_one_client_may_be_nested(asked: Asked) -> None:
    """An app that may run twice at a time may be tested twice at a time, by one `client()`."""
    app = FastAPI()
    app.get("/user")(whoami)
    under_test = client(app, as_={current_user: "alice"})

    with under_test as outer:
        assert asked.json(under_test, "/user") == ["alice"]
        assert outer.get("/user").json() == "alice"

    assert app.dependency_overrides == {}


# Tasks.


@pytest.mark.anyio
async def test_an_async_client_may_be_opened_and_closed_by_different_tasks() -> None:
    """Fixtures that set up and tear down in different tasks may hold the client."""
    lines: list[str] = []

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with anyio.create_task_group():
            yield
        lines.append("closed")

    app = FastAPI(lifespan=lifespan)
    app.get("/user")(whoami)
    under_test = client(app, as_={current_user: "alice"})

    async def set_up() -> Any:
        return await under_test.__aenter__()

    async def tear_down() -> None:
        await under_test.__aexit__(None, None, None)

    c = await asyncio.create_task(set_up())
    assert (await c.get("/user")).json() == "alice"
    await asyncio.create_task(tear_down())

    assert lines == ["closed"]


@pytest.mark.anyio
async def test_a_start_that_is_cancelled_closes_what_is_open() -> None:
    """A fixture that is given up while the app starts leaves nothing open."""
    lines: list[str] = []
    hanging = asyncio.Event()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        hanging.set()
        try:
            await asyncio.Event().wait()
            yield
        finally:
            lines.append("closed")

    async def start(under_test: AppUnderTest) -> None:
        async with under_test:
            lines.append("never")

    app = FastAPI(lifespan=lifespan)
    task = asyncio.create_task(start(client(app, as_={current_user: "alice"})))
    await hanging.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert lines == ["closed"]
    assert app.dependency_overrides == {}


@pytest.mark.anyio
async def test_a_lifespan_that_ends_without_a_word_is_told() -> None:
    """A middleware that swallows the lifespan is named, instead of waiting for ever."""

    class Deaf:
        def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "lifespan":
                await self.app(scope, receive, send)

    app = FastAPI()
    app.add_middleware(Deaf)

    with pytest.raises(ConfigurationError, match="ended its lifespan without a word"):
        async with client(app):
            pass


# Import strings.


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with a module that has apps."""
    (tmp_path / "service_of_test.py").write_text(
        "from fastapi import FastAPI\n"
        "app = FastAPI()\n"
        "number = 5\n"
        "def create():\n    return FastAPI()\n"
        "class holder:\n    inner = FastAPI()\n"
        "app.get('/')(lambda: 'served')\n"
        "holder.inner.get('/')(lambda: 'inner')\n"
    )
    (tmp_path / "broken_of_test.py").write_text("import no_such_module_of_test\n")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in ("service_of_test", "broken_of_test"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("project")
def test_an_app_may_be_named(asked: Asked) -> None:
    """`client("main:app")` imports the app, from the working directory too, as a server does."""
    path = list(sys.path)

    assert asked.json(client("service_of_test:app"), "/") == ["served"]
    assert asked.json(client("service_of_test:holder.inner"), "/") == ["inner"]

    assert sys.path == path


def test_an_app_is_imported_by_with(project: Path) -> None:
    """Nothing is imported before the block."""
    under_test = client("service_of_test:app")
    assert "service_of_test" not in sys.modules

    with under_test:
        assert str(project) in sys.path


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "service_of_test",
            (
                "'service_of_test' names no app. Write the module and the name in it, such as "
                "'main:app'."
            ),
        ),
        (
            ":app",
            "':app' names no app. Write the module and the name in it, such as 'main:app'.",
        ),
        (
            "service_of_test:ap",
            "The module 'service_of_test' has no 'ap'. Did you mean 'app'? Apps in it: app.",
        ),
        (
            "service_of_test:create",
            (
                "client() was given an object of the type function. Give an app, a FastAPI or what "
                "create_app() returns, or its import string, such as 'main:app'."
            ),
        ),
        (
            "service_of_test:number",
            (
                "client() was given an object of the type int. Give an app, a FastAPI or what "
                "create_app() returns, or its import string, such as 'main:app'."
            ),
        ),
    ],
)
@pytest.mark.usefixtures("project")
def test_a_name_of_no_app_is_told(name: str, told: str) -> None:
    """What can't be imported, or is no app, is told with what there is."""
    path = list(sys.path)

    with pytest.raises(ConfigurationError) as caught, client(name):
        pass

    assert str(caught.value) == told
    assert sys.path == path


@pytest.mark.parametrize("module", ["no_such_module_of_test", "no_such_module_of_test.inner"])
def test_a_module_that_does_not_exist_is_told(module: str, project: Path) -> None:
    """A missing module is told with the place where it was looked for."""
    with pytest.raises(ConfigurationError) as caught, client(f"{module}:app"):
        pass
    assert str(caught.value) == (
        "There is no module 'no_such_module_of_test', neither in the working directory "
        f"({project}) nor elsewhere on sys.path."
    )


@pytest.mark.usefixtures("project")
def test_a_module_that_fails_keeps_its_error() -> None:
    """An error inside the module is raised as it is."""
    with (
        pytest.raises(ModuleNotFoundError, match="no_such_module_of_test") as caught,
        client("broken_of_test:app"),
    ):
        pass
    assert not isinstance(caught.value, ConfigurationError)


def test_what_is_no_app_is_refused_at_once() -> None:
    """An object that is no app is refused before any block."""
    with pytest.raises(ConfigurationError, match="of the type function"):
        client(whoami)  # type: ignore[arg-type]


# Imports.


def _run(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_missing_package_is_named() -> None:
    """Without httpx2 the client says which extra brings it."""
    _run(
        "import sys; sys.modules['httpx2'] = None\n"
        "try:\n"
        "    from sturdyapi.testing import client\n"
        "except ImportError as error:\n"
        "    assert str(error).endswith(\"pip install 'sturdyapi[test]'\"), error\n"
        "else:\n"
        "    raise SystemExit('imported')\n"
    )


def test_the_client_is_loaded_when_it_is_used() -> None:
    """The package is light, and `client` is the function whichever way it is imported."""
    _run(
        "import sys\n"
        "import sturdyapi.testing.plugin\n"
        "assert 'client' in dir(sturdyapi.testing)\n"
        "assert not {'fastapi', 'httpx2', 'pydantic'} & set(sys.modules)\n"
        "import sturdyapi.testing.clients\n"
        "from sturdyapi.testing import client\n"
        "assert client is sturdyapi.testing.clients.client\n"
    )


def test_unknown_names_are_no_attributes() -> None:
    """A name that does not exist is refused as in any module."""
    import sturdyapi.testing  # noqa: PLC0415 - the module itself is the subject

    with pytest.raises(AttributeError, match=r"'sturdyapi.testing' has no attribute 'clint'"):
        sturdyapi.testing.clint  # noqa: B018 - the access is the subject
