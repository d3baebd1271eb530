"""Liveness and readiness."""

import asyncio
import json
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from anyio import to_thread
from starlette.testclient import TestClient

from sturdyapi.app import SturdyAPI, create_app
from sturdyapi.health import Check, Health, Phase
from sturdyapi.settings import BaseSettings

SECRET = "postgres://joe:hunter2@db.internal"


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


class Counted:
    """A check that counts its runs and does as it is told."""

    def __init__(self, act: Callable[[], Awaitable[object]] | None = None) -> None:
        self.runs = 0
        self.act = act

    async def __call__(self) -> object:
        self.runs += 1
        return None if self.act is None else await self.act()


def make_health(
    *checks: Check, phase: Phase = "ready", detailed: bool = False, clock: Clock | None = None
) -> Health:
    """Return health endpoints under `/health`, with a clock that stands still."""
    health = Health("/health", detailed=detailed, clock=clock or Clock())
    health.phase = phase
    for check in checks:
        health.add(check)
    return health


def scope_of(path: str, *, method: str = "GET", root_path: str = "") -> dict[str, Any]:
    """Return the ASGI scope of one request."""
    return {"type": "http", "method": method, "path": path, "root_path": root_path, "headers": []}


class Answer:
    """What was sent to one probe."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    async def send(self, message: Any) -> None:
        self.messages.append(message)

    @property
    def status(self) -> int:
        status: int = self.messages[0]["status"]
        return status

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.messages[0]["headers"])

    @property
    def document(self) -> Any:
        return json.loads(self.messages[1]["body"])


async def probe(health: Health, path: str) -> Answer:
    """Return what a probe of one of our paths is told; nothing of its body is ever read."""
    answer = Answer()

    async def receive() -> Any:
        pytest.fail("a probe has no body")

    scope = scope_of(path)
    assert health.owns(scope)
    await health(scope, receive, answer.send)
    return answer


async def live(health: Health) -> Answer:
    """Probe the liveness."""
    return await probe(health, "/health/live")


async def ready(health: Health) -> Answer:
    """Probe the readiness."""
    return await probe(health, "/health/ready")


def failing(error: BaseException) -> Callable[[], Awaitable[object]]:
    """Return a check that raises."""

    async def fail() -> object:
        raise error

    return fail


# Liveness.


@pytest.mark.anyio
@pytest.mark.parametrize("phase", ["starting", "ready", "draining"])
async def test_live_touches_nothing(phase: Phase) -> None:
    """`live` is 200 in every phase and runs no check."""
    check = Counted(failing(OSError()))

    answer = await live(make_health(Check("db", check), phase=phase))

    assert (answer.status, answer.document) == (200, {"status": "alive"})
    assert check.runs == 0


@pytest.mark.anyio
async def test_live_answers_while_a_check_hangs() -> None:
    """`live` does not wait for a readiness probe that is under way."""
    health = make_health(Check("db", anyio.sleep_forever, timeout_seconds=60))

    async with anyio.create_task_group() as group:
        group.start_soon(ready, health)
        await anyio.wait_all_tasks_blocked()
        answer = await live(health)
        group.cancel_scope.cancel()

    assert answer.status == 200


# Readiness.


@pytest.mark.anyio
@pytest.mark.parametrize("phase", ["starting", "draining"])
async def test_not_ready_while_starting_or_draining(phase: Phase) -> None:
    """`ready` is 503 while the app starts or drains, and runs no check."""
    check = Counted()

    answer = await ready(make_health(Check("db", check), phase=phase))

    assert (answer.status, answer.document) == (503, {"status": phase})
    assert check.runs == 0


@pytest.mark.anyio
async def test_new_endpoints_are_starting() -> None:
    """Readiness begins with `starting`."""
    assert (await ready(Health("/health", detailed=False))).status == 503


@pytest.mark.anyio
async def test_ready_without_checks() -> None:
    """An app without checks is ready."""
    answer = await ready(make_health())

    assert (answer.status, answer.document) == (200, {"status": "ready", "checks": {}})


@pytest.mark.anyio
async def test_ready_names_every_check() -> None:
    """`ready` is 200 when every check returns, whatever it returns."""
    answer = await ready(make_health(Check("db", Counted()), Check("cache", Counted())))

    assert answer.status == 200
    assert answer.document == {"status": "ready", "checks": {"db": "ok", "cache": "ok"}}


@pytest.mark.anyio
async def test_one_failing_check_makes_it_unhealthy() -> None:
    """`ready` is 503 when one check fails, and the others are still told."""
    health = make_health(Check("db", failing(OSError())), Check("cache", Counted()))

    answer = await ready(health)

    assert answer.status == 503
    assert answer.document == {"status": "unhealthy", "checks": {"db": "failed", "cache": "ok"}}


@pytest.mark.anyio
async def test_answers_are_not_kept_by_proxies() -> None:
    """Both endpoints forbid caching and answer with JSON."""
    health = make_health()

    for answer in (await live(health), await ready(health)):
        assert answer.headers[b"cache-control"] == b"no-store"
        assert answer.headers[b"content-type"] == b"application/json"


@pytest.mark.anyio
@pytest.mark.parametrize("error", [OSError(SECRET), ExceptionGroup(SECRET, [KeyError(SECRET)])])
async def test_text_of_an_error_is_never_told(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """Trap 115: of an error only the kind is told, and only where details are; no log has more."""
    caplog.set_level(logging.DEBUG)
    check = Check("db", failing(error))

    terse = await ready(make_health(check))
    detailed = await ready(make_health(check, detailed=True))

    assert terse.document["checks"] == {"db": "failed"}
    assert detailed.document["checks"] == {"db": f"failed: {type(error).__name__}"}
    assert "hunter2" not in caplog.text


# Time limits.


@pytest.mark.anyio
async def test_each_check_has_its_own_time_limit() -> None:
    """A check that hangs is given up after its own time, and the others are not."""
    health = make_health(
        Check("db", anyio.sleep_forever, timeout_seconds=0.01),
        Check("cache", Counted(), timeout_seconds=60),
        detailed=True,
    )

    answer = await ready(health)

    assert answer.status == 503
    assert answer.document["checks"] == {
        "db": "failed: no answer within 0.01 s",
        "cache": "ok",
    }


@pytest.mark.anyio
async def test_time_limit_of_a_driver_is_not_taken_for_ours() -> None:
    """A `TimeoutError` that a check raises itself is told as such."""
    health = make_health(Check("db", failing(TimeoutError()), timeout_seconds=60), detailed=True)

    assert (await ready(health)).document["checks"] == {"db": "failed: TimeoutError"}


@pytest.mark.anyio
async def test_check_in_a_thread_is_given_up() -> None:
    """A check that waits in a thread is given up like any other if it lets go of the thread."""
    release = threading.Event()

    async def check() -> object:
        return await to_thread.run_sync(release.wait, abandon_on_cancel=True)

    health = make_health(Check("db", check, timeout_seconds=0.01))
    try:
        answer = await ready(health)
    finally:
        release.set()

    assert answer.status == 503


@pytest.mark.anyio
async def test_checks_run_side_by_side() -> None:
    """The checks run at the same time: two that wait for each other both end."""
    first, second = anyio.Event(), anyio.Event()

    async def check_first() -> None:
        first.set()
        await second.wait()

    async def check_second() -> None:
        second.set()
        await first.wait()

    health = make_health(Check("a", check_first), Check("b", check_second))

    assert (await ready(health)).status == 200


# The cache.


@pytest.mark.anyio
@pytest.mark.parametrize("error", [None, OSError()])
async def test_results_are_kept_for_a_second(error: Exception | None) -> None:
    """The checks run at most once a second, whether they fail or not."""
    clock, check = Clock(), Counted(failing(error) if error else None)
    health = make_health(Check("db", check), clock=clock)

    first = await ready(health)
    clock.seconds += 0.999
    second = await ready(health)
    assert (check.runs, first.document) == (1, second.document)

    clock.seconds += 0.001
    await ready(health)
    assert check.runs == 2


@pytest.mark.anyio
async def test_the_second_begins_when_the_checks_end() -> None:
    """Slow checks do not use up the time that their results are kept."""
    clock = Clock()

    async def slow() -> None:
        clock.seconds += 5

    check = Counted(slow)
    health = make_health(Check("db", check), clock=clock)

    await ready(health)
    await ready(health)

    assert check.runs == 1


@pytest.mark.anyio
async def test_recovery_is_seen_after_a_second() -> None:
    """A resource that works again makes the service ready again."""
    clock, check = Clock(), Counted(failing(OSError()))
    health = make_health(Check("db", check), clock=clock)
    statuses = [(await ready(health)).status]

    check.act = None
    for _ in range(2):
        clock.seconds += 1
        statuses.append((await ready(health)).status)

    assert statuses == [503, 200, 200]


@pytest.mark.anyio
async def test_draining_is_seen_at_once() -> None:
    """The phase is not cached: a draining app is not ready any more."""
    health = make_health(Check("db", Counted()))
    assert (await ready(health)).status == 200

    health.phase = "draining"

    assert (await ready(health)).document == {"status": "draining"}


@pytest.mark.anyio
async def test_probes_at_the_same_time_share_one_run() -> None:
    """However many probes ask at once, each check runs once."""
    gate = anyio.Event()
    check = Counted(gate.wait)
    health = make_health(Check("db", check))
    answers: list[Answer] = []

    async def one_probe() -> None:
        answers.append(await ready(health))

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(one_probe)
        await anyio.wait_all_tasks_blocked()
        gate.set()

    assert check.runs == 1
    assert [answer.status for answer in answers] == [200] * 20


@pytest.mark.anyio
async def test_probe_that_goes_away_leaves_no_result() -> None:
    """A probe that is cancelled half-way tells nothing to those that wait behind it."""
    gate, check = anyio.Event(), Counted(anyio.sleep_forever)
    health = make_health(Check("db", check, timeout_seconds=60))
    answers: list[Answer] = []

    async def waiting_probe() -> None:
        answers.append(await ready(health))

    async with anyio.create_task_group() as waiting:
        async with anyio.create_task_group() as leaving:
            leaving.start_soon(ready, health)
            await anyio.wait_all_tasks_blocked()
            waiting.start_soon(waiting_probe)
            await anyio.wait_all_tasks_blocked()
            check.act = gate.wait
            leaving.cancel_scope.cancel()
        gate.set()

    assert check.runs == 2
    assert [answer.status for answer in answers] == [200]


@pytest.mark.anyio
async def test_cancelled_check_has_failed() -> None:
    """A check whose driver cancels it is a failed one, and the probe is answered."""
    health = make_health(
        Check("db", failing(anyio.get_cancelled_exc_class()())), Check("cache", Counted())
    )

    answer = await ready(health)

    assert answer.status == 503
    assert answer.document["checks"] == {"db": "failed", "cache": "ok"}


@pytest.mark.anyio
async def test_request_to_exit_goes_through() -> None:
    """A check that ends the process is not answered for, and the next probe is."""
    clock = Clock()
    check = Counted(failing(Interrupted()))
    health = make_health(Check("db", check), clock=clock)

    with pytest.raises(BaseExceptionGroup) as raised:
        await ready(health)
    assert raised.group_contains(Interrupted)

    check.act = None
    assert (await ready(health)).status == 200


class Interrupted(BaseException):
    """Stands for `SystemExit`, which would end the test run."""


@pytest.mark.anyio
async def test_check_of_the_same_name_is_replaced() -> None:
    """Adding a check under a name that is taken replaces it."""
    health = make_health(Check("db", failing(OSError())), Check("db", Counted()))

    assert (await ready(health)).document["checks"] == {"db": "ok"}


@pytest.mark.anyio
async def test_changes_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A failure and a recovery are logged when they are first seen, not with every probe."""
    caplog.set_level(logging.INFO, "sturdyapi.health")
    clock, check = Clock(), Counted()
    health = make_health(Check("db", check), clock=clock)

    for act in (None, failing(OSError()), failing(OSError()), None, None):
        check.act = act
        clock.seconds += 1
        await ready(health)

    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("ERROR", "Readiness of db: failed: OSError"),
        ("INFO", "Readiness of db: ok"),
    ]


def test_every_event_loop_can_ask() -> None:
    """The endpoints belong to no event loop: probes from three of them are answered."""
    health = make_health(Check("db", Counted()), clock=Clock())

    async def probes() -> list[int]:
        answers: list[int] = []

        async def one_probe() -> None:
            answers.append((await ready(health)).status)

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(one_probe)
        return answers

    assert [asyncio.run(probes()) for _ in range(3)] == [[200] * 3] * 3


# Which requests are ours.


@pytest.mark.parametrize(
    ("path", "method", "root_path"),
    [
        ("/health/live", "GET", ""),
        ("/health/ready", "HEAD", ""),
        ("/api/health/live", "GET", "/api"),
        ("/api/health/live", "GET", "/api/"),
        ("/health/live", "GET", "/api"),
    ],
)
def test_owned_requests(path: str, method: str, root_path: str) -> None:
    """GET and HEAD of our paths are ours, with and without the prefix of a proxy or mount."""
    assert make_health().owns(scope_of(path, method=method, root_path=root_path))


@pytest.mark.parametrize(
    ("path", "method", "root_path"),
    [
        ("/health/live", "POST", ""),
        ("/health/live", "OPTIONS", ""),
        ("/health/live/", "GET", ""),
        ("/health", "GET", ""),
        ("/health/alive", "GET", ""),
        ("/live", "GET", ""),
        ("/x/health/live", "GET", ""),
        ("/health/health/live", "GET", ""),
        ("/apihealth/live", "GET", "/api"),
        ("/v1/health/live", "GET", "/api"),
        ("", "GET", ""),
    ],
)
def test_other_requests(path: str, method: str, root_path: str) -> None:
    """Other methods and other paths, however alike, are the app's."""
    assert not make_health().owns(scope_of(path, method=method, root_path=root_path))


def test_path_can_be_left_to_the_app() -> None:
    """A path that was yielded is the app's, and the other one stays ours."""
    health = make_health()

    health.yield_path("/health/live")
    health.yield_path("/no/path/of/ours")

    assert not health.owns(scope_of("/health/live"))
    assert health.owns(scope_of("/health/ready"))


# In an app.


def make_app(**options: Any) -> SturdyAPI:
    """Return an app that leaves the logging of the process alone."""
    return create_app(BaseSettings(environment="testing"), logs=False, **options)


def test_app_is_ready_while_it_runs() -> None:
    """Readiness is 503 before the start, 200 while the app runs, and 503 after its end."""
    app = make_app()
    outside = TestClient(app)
    statuses = [outside.get("/health/ready").status_code]

    for _ in range(2):
        with TestClient(app) as client:
            statuses.append(client.get("/health/ready").status_code)
        statuses.append(outside.get("/health/ready").status_code)

    assert statuses == [503, 200, 503, 200, 503]


def test_health_is_not_in_openapi() -> None:
    """The health endpoints are no routes and not in OpenAPI."""
    assert "health" not in str(make_app().openapi())


def test_other_methods_fall_through() -> None:
    """A POST to a health path is answered by the app, which has no route there."""
    assert TestClient(make_app()).post("/health/live").status_code == 404


def test_head_is_answered() -> None:
    """A HEAD probe gets the status of the GET."""
    client = TestClient(make_app())

    assert client.head("/health/live").status_code == 200
    assert client.head("/health/ready").status_code == 503


def test_middleware_does_not_see_probes() -> None:
    """Trap 115: a probe passes no middleware, hence no metric and no access log of the app."""
    app, seen = make_app(), []

    @app.middleware("http")
    async def watch(request: Any, call_next: Any) -> Any:
        seen.append(request.url.path)
        return await call_next(request)

    client = TestClient(app)
    client.get("/health/live")
    client.get("/elsewhere")

    assert seen == ["/elsewhere"]


def test_prefix_can_be_chosen() -> None:
    """`health="/-"` moves both endpoints."""
    client = TestClient(make_app(health="/-"))

    assert client.get("/-/live").status_code == 200
    assert client.get("/health/live").status_code == 404


def test_health_can_be_off() -> None:
    """`health=None` leaves both paths to the app."""
    client = TestClient(make_app(health=None))

    assert client.get("/health/live").status_code == 404


def test_mounted_app_has_its_own_health() -> None:
    """A mounted app answers under its mount, beside the outer app."""
    outer, inner = make_app(), make_app()
    outer.mount("/inner", inner)

    with TestClient(outer) as client:
        assert client.get("/inner/health/live").json() == {"status": "alive"}
        assert client.get("/inner/health/ready").status_code == 200


def test_route_of_the_app_wins() -> None:
    """A route of the app's own at a health path is served in the place of ours."""
    app = make_app()

    @app.get("/health/live")
    async def endpoint() -> dict[str, str]:
        return {"status": "mine"}

    with TestClient(app) as client:
        assert client.get("/health/live").json() == {"status": "mine"}
        assert client.get("/health/ready").json()["status"] == "ready"
