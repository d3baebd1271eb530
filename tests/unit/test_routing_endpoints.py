"""Every kind of endpoint answers by our rules, and keeps what FastAPI gives it."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

import pydantic
import pytest
from asyncpg.protocol.protocol import _create_record  # type: ignore[import-untyped]
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, HTTPException, Request, routing
from fastapi.exceptions import ResponseValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from fastapi.routing import APIRoute
from fastapi.sse import EventSourceResponse, ServerSentEvent
from fastapi.testclient import TestClient

from sturdyapi.app import SturdyAPI, create_app
from sturdyapi.models import BaseModel
from sturdyapi.settings import BaseSettings

NAIVE = datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001 - naive on purpose: ours goes out with a Z
OURS = '"2026-01-02T03:04:05Z"'
STOCK = '"2026-01-02T03:04:05"'


def _app(**options: Any) -> SturdyAPI:
    return create_app(BaseSettings(environment="testing"), logs=False, **options)


def _client(app: FastAPI) -> TestClient:
    return TestClient(app, raise_server_exceptions=False)


def _text(app: FastAPI, path: str = "/") -> str:
    return _client(app).get(path).text


async def _untyped_async() -> Any:
    return NAIVE


def _untyped() -> Any:
    return NAIVE


async def _typed_async() -> datetime:
    return NAIVE


def _typed() -> datetime:
    return NAIVE


class _Callable:
    def __call__(self) -> Any:
        return NAIVE


class _AsyncCallable:
    async def __call__(self) -> Any:
        return NAIVE


def _with_argument(value: Any) -> Any:
    return value


async def _with_argument_async(value: Any) -> Any:
    return value


def _decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


class _Class:
    @classmethod
    def by_class(cls) -> Any:
        return NAIVE

    @staticmethod
    async def by_static() -> Any:
        return NAIVE

    async def by_instance(self) -> Any:
        return NAIVE


ENDPOINTS: dict[str, Callable[..., Any]] = {
    "async": _untyped_async,
    "def": _untyped,
    "async, typed": _typed_async,
    "def, typed": _typed,
    "callable": _Callable(),
    "async callable": _AsyncCallable(),
    "partial": functools.partial(_with_argument, value=NAIVE),
    "async partial": functools.partial(_with_argument_async, value=NAIVE),
    "decorated": _decorated(_untyped),
    "async decorated": _decorated(_untyped_async),
    "class method": _Class.by_class,
    "static method": _Class.by_static,
    "method": _Class().by_instance,
}


@pytest.mark.parametrize("endpoint", ENDPOINTS.values(), ids=ENDPOINTS)
@pytest.mark.parametrize("is_included", [False, True], ids=["added", "included"])
def test_every_kind_of_endpoint_is_encoded_by_our_rules(
    endpoint: Callable[..., Any], is_included: bool
) -> None:
    """Functions, methods, callables and partials, `async` or not, typed or not, answer alike."""
    app, router = _app(), APIRouter()
    (router if is_included else app).add_api_route("/", endpoint)
    app.include_router(router)

    assert _text(app) == OURS


async def _items_async() -> AsyncIterable[datetime]:
    yield NAIVE
    yield NAIVE


def _items() -> Iterable[datetime]:
    yield NAIVE
    yield NAIVE


async def _untyped_items_async() -> AsyncIterator[Any]:
    yield NAIVE
    yield NAIVE


def _untyped_items() -> Iterator[Any]:
    yield NAIVE
    yield NAIVE


GENERATORS = [_items_async, _items, _untyped_items_async, _untyped_items]


@pytest.mark.parametrize("endpoint", GENERATORS)
def test_json_lines_are_encoded_by_our_rules(endpoint: Callable[..., Any]) -> None:
    """A generator's items, typed or not, go out as lines of JSON by our rules."""
    app = _app()
    app.get("/")(endpoint)

    answer = _client(app).get("/")

    assert answer.headers["content-type"] == "application/jsonl"
    assert answer.text == f"{OURS}\n{OURS}\n"


@pytest.mark.parametrize("endpoint", GENERATORS)
def test_server_sent_events_are_encoded_by_our_rules(endpoint: Callable[..., Any]) -> None:
    """The data of server-sent events go out by our rules."""
    app = _app()
    app.get("/", response_class=EventSourceResponse)(endpoint)

    answer = _client(app).get("/")

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text == f"data: {OURS}\n\ndata: {OURS}\n\n"


def test_events_of_ones_own_are_left_as_they_are() -> None:
    """A `ServerSentEvent` keeps its name, id and raw data."""
    app = _app()

    @app.get("/", response_class=EventSourceResponse)
    async def read() -> AsyncIterable[ServerSentEvent]:
        yield ServerSentEvent(raw_data="raw", event="named", id="1")

    lines = set(_text(app).split())

    assert {"raw", "named", "1"} <= lines


def test_raw_streams_are_left_as_they_are() -> None:
    """A generator with a streaming response class sends its bytes."""
    app = _app()

    @app.get("/", response_class=StreamingResponse)
    async def read() -> AsyncIterable[bytes]:
        yield b"\x00\x01"
        yield b"text"

    assert _client(app).get("/").content == b"\x00\x01text"


@dataclass
class _Row:
    at: datetime


UNTYPED_VALUES: dict[str, tuple[Any, Any]] = {
    "dict": ({"at": NAIVE}, {"at": "2026-01-02T03:04:05Z"}),
    "list": ([NAIVE], ["2026-01-02T03:04:05Z"]),
    "dataclass": (_Row(NAIVE), {"at": "2026-01-02T03:04:05Z"}),
    "nested": ({"rows": [_Row(NAIVE)]}, {"rows": [{"at": "2026-01-02T03:04:05Z"}]}),
    "decimal": ({"total": Decimal("1.50")}, {"total": 1.5}),
    "nothing": (None, None),
    "text": ("text", "text"),
}


@pytest.mark.parametrize(("value", "sent"), UNTYPED_VALUES.values(), ids=UNTYPED_VALUES)
def test_values_that_nothing_describes_are_encoded_by_our_rules(value: Any, sent: Any) -> None:
    """Dicts, lists and dataclasses returned without a model follow our rules at any depth."""
    app = _app()

    @app.get("/")
    async def read() -> Any:
        return value

    assert _client(app).get("/").json() == sent


class _Model(BaseModel):
    created_at: datetime


class _Foreign(pydantic.BaseModel):
    created_at: datetime
    note: str = "default"


def test_models_of_ours_are_not_touched_by_the_hook() -> None:
    """A model of ours brings its rules along: camelCase, UTC."""
    app = _app()

    @app.get("/")
    async def read() -> _Model:
        return _Model(created_at=NAIVE)

    assert _text(app) == '{"createdAt":"2026-01-02T03:04:05Z"}'


def test_foreign_models_keep_their_own_rules() -> None:
    """A Pydantic model that is not ours is sent as Pydantic sends it."""
    app = _app()

    @app.get("/")
    async def read() -> _Foreign:
        return _Foreign(created_at=NAIVE)

    assert _client(app).get("/").json()["created_at"] == "2026-01-02T03:04:05"


def test_a_response_object_is_sent_as_it_is() -> None:
    """What an endpoint returns as a `Response` is not encoded again."""
    app = _app()

    @app.get("/")
    async def read() -> Any:
        return JSONResponse({"at": "as it is"}, status_code=202, headers={"x-own": "1"})

    answer = _client(app).get("/")

    assert (answer.status_code, answer.headers["x-own"]) == (202, "1")
    assert answer.json() == {"at": "as it is"}


def test_wire_fastapi_leaves_all_to_fastapi() -> None:
    """`wire="fastapi"` sends what a plain FastAPI app would send."""
    app = _app(wire="fastapi")
    for number, endpoint in enumerate(ENDPOINTS.values()):
        app.add_api_route(f"/{number}", endpoint)

    assert {_text(app, f"/{number}") for number in range(len(ENDPOINTS))} == {STOCK}


class _User(BaseModel):
    user_id: int


def _record(**values: Any) -> Any:
    """Make a row as asyncpg does."""
    positions = {name: position for position, name in enumerate(values)}
    return _create_record(positions, tuple(values.values()))


ROWS: dict[str, tuple[Any, Any, Any]] = {
    "a row": (_User, _record(user_id=1), {"userId": 1}),
    "maybe a row": (_User | None, _record(user_id=1), {"userId": 1}),
    "rows": (list[_User], [_record(user_id=1)] * 2, [{"userId": 1}] * 2),
    "no rows": (list[_User], [], []),
    "rows of a dict": (
        dict[str, list[_User]],
        {"users": [_record(user_id=1)]},
        {"users": [{"userId": 1}]},
    ),
    "a row without a model": (None, _record(user_id=1), {"user_id": 1}),
    "rows without a model": (None, [_record(user_id=1)], [{"user_id": 1}]),
}


@pytest.mark.parametrize(("model", "value", "sent"), ROWS.values(), ids=ROWS)
def test_rows_of_asyncpg_are_taken(model: Any, value: Any, sent: Any) -> None:
    """Trap 43: asyncpg's rows, which are no mappings, may be returned for any model or none."""
    app = _app()

    @app.get("/", response_model=model)
    async def read() -> Any:
        return value

    assert _client(app).get("/").json() == sent


async def _rows() -> AsyncIterable[_User]:
    yield _record(user_id=1)


def test_rows_of_asyncpg_are_taken_in_a_stream() -> None:
    """Trap 43: so may a generator whose items have a model."""
    app = _app()
    app.get("/")(_rows)

    assert _text(app) == '{"userId":1}\n'


# FastAPI's options still work.


OPTIONS: dict[str, dict[str, Any]] = {
    "include": {"response_model_include": {"created_at"}},
    "exclude": {"response_model_exclude": {"created_at"}},
    "exclude_unset": {"response_model_exclude_unset": True},
    "exclude_defaults": {"response_model_exclude_defaults": True},
    "exclude_none": {"response_model_exclude_none": True},
    "by_name": {"response_model_by_alias": False},
    "status": {"status_code": 201},
    "class": {"response_class": JSONResponse},
    "no model": {"response_model": None},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_options_of_an_operation_work_as_in_fastapi(options: dict[str, Any]) -> None:
    """Response options of FastAPI have the same effect, for the body and for OpenAPI."""

    async def read() -> _Foreign:
        return _Foreign(created_at=datetime.fromisoformat("2026-01-02T03:04:05Z"))

    answers = []
    for app in (_app(errors="fastapi"), FastAPI(max_body_size=1024 * 1024)):
        app.get("/", **options)(read)
        answer = _client(app).get("/")
        answers.append((answer.status_code, answer.json(), app.openapi()["paths"]))

    assert answers[0] == answers[1]


PLAIN_TYPES: list[Any] = [
    int,
    str,
    list[str],
    dict[str, int],
    bool | None,
    _Foreign,
    list[_Foreign],
]


@pytest.mark.parametrize("annotation", PLAIN_TYPES, ids=str)
def test_the_document_is_fastapis_for_types_without_rules(annotation: Any) -> None:
    """OpenAPI of operations that our rules have nothing to do with is the same as in FastAPI."""
    schemas = []
    for app in (_app(errors="fastapi"), FastAPI()):
        app.get("/{number}", response_model=annotation)(lambda number: number)
        _text(app, "/1")
        schemas.append(app.openapi())

    assert schemas[0] == schemas[1]


def test_dependencies_parameters_and_tasks_reach_the_endpoint() -> None:
    """A wrapped endpoint still gets its parameters, dependencies, request, response and tasks."""
    app = _app()
    done: list[int] = []

    @app.post("/{number}")
    async def take(  # noqa: PLR0917 - an operation is called by keyword
        number: int,
        request: Request,
        response: Response,
        tasks: BackgroundTasks,
        body: dict[str, int],
        twice: Annotated[int, Depends(_doubled)],
        q: str = "default",
    ) -> Any:
        response.headers["x-own"] = "1"
        tasks.add_task(done.append, number)
        return [number, request.method, body, twice, q]

    answer = _client(app).post("/2?q=x", json={"a": 1})

    assert answer.json() == [2, "POST", {"a": 1}, 4, "x"]
    assert answer.headers["x-own"] == "1"
    assert done == [2]


def _doubled(number: int) -> int:
    return 2 * number


def test_dependencies_of_a_wrapped_endpoint_can_be_overridden() -> None:
    """`dependency_overrides` holds for the same routes as in FastAPI: not for ready-made ones."""
    answers = []
    for app in (_app(), FastAPI()):
        router = APIRouter()
        router.add_api_route("/included/{number}", _return_twice)
        app.include_router(router)
        app.add_api_route("/added/{number}", _return_twice)
        app.router.routes.append(APIRoute("/ready/{number}", _return_twice))
        app.dependency_overrides[_doubled] = lambda: -1
        answers.append([_text(app, f"/{kind}/2") for kind in ("included", "added", "ready")])

    assert answers == [["-1", "-1", "4"]] * 2


async def _return_twice(twice: Annotated[int, Depends(_doubled)]) -> Any:
    return twice


def test_an_endpoint_that_raises_is_not_changed() -> None:
    """HTTP errors raised by an endpoint are answered as such."""
    app = _app()

    @app.get("/")
    def read() -> Any:
        raise HTTPException(409, "taken")

    answer = _client(app).get("/")

    assert (answer.status_code, answer.json()["detail"]) == (409, "taken")


def test_a_wrong_response_names_the_users_function() -> None:
    """The error of a response that does not fit its model names the endpoint, not our wrapper."""
    app = _app()

    @app.get("/", response_model=list[Decimal])
    async def read_totals() -> Any:
        return "no list"

    with pytest.raises(ResponseValidationError) as caught:
        TestClient(app).get("/")

    assert caught.value.endpoint_function == "read_totals"
    assert caught.value.endpoint_file == __file__


def test_an_error_names_its_own_endpoint() -> None:
    """An endpoint is not taken for an older one that had the same place in memory."""
    app = _app()

    @app.get("/", response_model=list[Decimal])
    async def read_totals() -> Any:
        return "no list"

    routing._endpoint_context_cache[id(read_totals)] = {"function": "gone"}
    with pytest.raises(ResponseValidationError) as caught:
        TestClient(app).get("/")

    assert caught.value.endpoint_function == "read_totals"


def test_an_endpoint_in_a_def_runs_in_a_thread() -> None:
    """A `def` endpoint stays a `def` endpoint: it does not run on the event loop."""
    import threading  # noqa: PLC0415

    app = _app()
    names: dict[str, str] = {}

    @app.get("/def")
    def by_def() -> Any:
        names["def"] = threading.current_thread().name

    @app.get("/async")
    async def by_async() -> Any:
        names["async"] = threading.current_thread().name

    with TestClient(app) as client:
        client.get("/def")
        client.get("/async")

    assert names["def"] != names["async"]


def test_a_report_names_the_route(caplog: pytest.LogCaptureFixture) -> None:
    """What the log says of a value that nothing describes names the route that returned it."""
    app = _app()

    @app.get("/naive", response_model=None)
    async def read() -> dict[str, Any]:
        return {"at": datetime(2026, 1, 2)}  # noqa: DTZ001 - without a zone on purpose

    _client(app).get("/naive")
    assert any("GET /naive response" in record.getMessage() for record in caplog.records)
