"""Errors reach clients as RFC 9457 problem documents."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from http import HTTPStatus
from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, WebSocket
from pydantic import BaseModel
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient, WebSocketDenialResponse

from sturdyapi.context import bound
from sturdyapi.exceptions import UnavailableError
from sturdyapi.problems import PROBLEM_MEDIA_TYPE, exception_handlers, problem_response

_RFC_9110_PHRASES = {
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    409: "Conflict",
    410: "Gone",
    411: "Length Required",
    412: "Precondition Failed",
    413: "Content Too Large",
    414: "URI Too Long",
    415: "Unsupported Media Type",
    416: "Range Not Satisfiable",
    417: "Expectation Failed",
    421: "Misdirected Request",
    422: "Unprocessable Content",
    426: "Upgrade Required",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
}


def app_that_raises(error: Exception, *, problem: bool = True, **options: Any) -> FastAPI:
    """Return an app whose `/` and `/socket` raise `error`."""
    app = FastAPI(exception_handlers=exception_handlers(problem=problem), **options)

    @app.get("/")
    async def fail() -> None:
        raise error

    @app.websocket("/socket")
    async def fail_early(websocket: WebSocket) -> None:
        raise error

    @app.websocket("/open-socket")
    async def fail_late(websocket: WebSocket) -> None:
        await websocket.accept()
        raise error

    @app.websocket("/closed-socket")
    async def fail_after_close(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close(code=4000)
        raise error

    return app


def document_of(error: Exception) -> Any:
    """Return the problem document that `error` becomes."""
    response = TestClient(app_that_raises(error)).get("/")
    assert response.headers["content-type"] == PROBLEM_MEDIA_TYPE
    return json.loads(response.content, parse_constant=pytest.fail)


# The document.


@pytest.mark.parametrize(("status", "phrase"), _RFC_9110_PHRASES.items())
def test_title_is_the_phrase_of_rfc_9110(status: int, phrase: str) -> None:
    """The title is RFC 9110's phrase on every version of Python."""
    document = json.loads(bytes(problem_response(status).body))

    assert document == {"type": "about:blank", "title": phrase, "status": status}


@pytest.mark.parametrize("status", [499, 599])
def test_unregistered_status_has_a_title(status: int) -> None:
    """A status that no standard names has the title `Error`."""
    document = document_of(HTTPException(status, detail="went away"))

    assert document == {
        "type": "about:blank",
        "title": "Error",
        "status": status,
        "detail": "went away",
    }


@pytest.mark.parametrize("status", [404, 413, 414, 416, 422, 500])
def test_default_detail_is_left_out(status: int) -> None:
    """An error without a detail of its own has none, whatever Python calls the status."""
    assert "detail" not in document_of(HTTPException(status))
    assert "detail" not in document_of(HTTPException(status, HTTPStatus(status).phrase))


def test_request_id_is_quoted() -> None:
    """The document carries the id of the request, for the client to quote."""
    with bound(request_id="abc-1"):
        document = json.loads(bytes(problem_response(404).body))

    assert document["requestId"] == "abc-1"


def test_lone_surrogate_is_replaced() -> None:
    """A detail that UTF-8 has no form for is sent with question marks instead of failing."""
    assert document_of(HTTPException(400, detail="bad \ud800 name"))["detail"] == "bad ? name"


def test_text_is_sent_as_utf_8() -> None:
    """Letters beyond ASCII are sent as they are."""
    response = problem_response(400, detail="größer als 5 €")

    assert "größer als 5 €".encode() in bytes(response.body)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1.5, {"x": float("-inf")}]])
def test_number_without_a_json_form_is_null(value: object) -> None:
    """NaN and infinity in the details of an error become null, so that the body stays JSON."""
    errors = document_of(HTTPException(400, detail={"limit": value}))["errors"]

    assert "null" in json.dumps(errors)


# HTTPException.


@pytest.mark.parametrize("exception", [HTTPException, StarletteHTTPException])
def test_text_becomes_the_detail(exception: Callable[..., Exception]) -> None:
    """The text of an `HTTPException`, FastAPI's or Starlette's, is the `detail`."""
    assert document_of(exception(409, detail="name is taken")) == {
        "type": "about:blank",
        "title": "Conflict",
        "status": 409,
        "detail": "name is taken",
    }


@pytest.mark.parametrize(
    ("detail", "errors"),
    [
        ({"field": "name"}, {"field": "name"}),
        ([{"loc": ["a"]}, {"loc": ["b"]}], [{"loc": ["a"]}, {"loc": ["b"]}]),
        (7, 7),
        (False, False),
        ({}, {}),
    ],
)
def test_structured_detail_becomes_errors(detail: object, errors: object) -> None:
    """A detail that is no text becomes the member `errors`."""
    document = document_of(HTTPException(400, detail=detail))

    assert document["errors"] == errors
    assert "detail" not in document


def test_detail_is_encoded_by_the_wire_rules() -> None:
    """Decimals, datetimes and models in a detail are sent as they are in any response."""

    class Balance(BaseModel):
        amount: int

    detail = {
        "missing": Decimal("1.5"),
        "since": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "balance": Balance(amount=3),
    }

    assert document_of(HTTPException(402, detail=detail))["errors"] == {
        "missing": 1.5,
        "since": "2026-01-02T03:04:05Z",
        "balance": {"amount": 3},
    }


def test_headers_are_kept() -> None:
    """Headers of an `HTTPException` are sent with the problem."""
    error = HTTPException(401, detail="no", headers={"WWW-Authenticate": "Bearer"})

    response = TestClient(app_that_raises(error)).get("/")

    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert response.headers["content-type"] == PROBLEM_MEDIA_TYPE


@pytest.mark.parametrize("status", [204, 304])
def test_status_without_a_body_stays_empty(status: int) -> None:
    """An `HTTPException` whose status allows no body is sent without one."""
    response = TestClient(app_that_raises(HTTPException(status))).get("/")

    assert response.status_code == status
    assert response.content == b""


def test_redirect_is_no_problem() -> None:
    """An `HTTPException` below 400 stays what FastAPI makes of it."""
    error = HTTPException(307, detail="moved", headers={"Location": "/there"})

    response = TestClient(app_that_raises(error)).get("/", follow_redirects=False)

    assert response.status_code == 307
    assert response.headers["location"] == "/there"
    assert response.json() == {"detail": "moved"}


def test_unknown_path_is_a_problem() -> None:
    """A path that no route has is answered with a problem document."""
    response = TestClient(app_that_raises(HTTPException(400))).get("/nowhere")

    assert response.status_code == 404
    assert response.json() == {"type": "about:blank", "title": "Not Found", "status": 404}


def test_unknown_method_is_a_problem() -> None:
    """A method that the path does not take is answered with a problem document that allows."""
    response = TestClient(app_that_raises(HTTPException(400))).post("/")

    assert response.status_code == 405
    assert response.headers["allow"] == "GET"
    assert response.json() == {"type": "about:blank", "title": "Method Not Allowed", "status": 405}


def test_undecodable_body_is_a_problem() -> None:
    """A body that is not UTF-8 is answered with a problem document."""
    app = FastAPI(exception_handlers=exception_handlers(problem=True))

    @app.post("/")
    async def endpoint(body: dict[str, int]) -> None: ...

    response = TestClient(app).post(
        "/", content=b'{"a": "\xff"}', headers={"Content-Type": "application/json"}
    )

    assert response.status_code == 400
    assert response.headers["content-type"] == PROBLEM_MEDIA_TYPE


def test_the_same_error_can_be_raised_again() -> None:
    """An exception object that is raised for every request gives the same answer each time."""
    client = TestClient(app_that_raises(HTTPException(409, detail={"try": "again"})))

    assert len({client.get("/").content for _ in range(3)}) == 1


# The user's own handlers.


async def teapot(_request: Request, _exc: Exception) -> PlainTextResponse:
    """Answer in a way that nothing else does."""
    return PlainTextResponse("teapot", status_code=418)


def test_users_own_handler_wins() -> None:
    """A handler that the user registers for a class replaces the problem document."""
    app = app_that_raises(HTTPException(400))
    app.add_exception_handler(StarletteHTTPException, teapot)

    assert TestClient(app).get("/").text == "teapot"


def test_users_status_handler_wins() -> None:
    """A handler that the user registers for a status replaces the problem document."""
    app = app_that_raises(HTTPException(400))
    app.add_exception_handler(404, teapot)
    client = TestClient(app)

    assert client.get("/nowhere").text == "teapot"
    assert client.get("/").json()["status"] == 400


def test_handler_for_fastapis_class_wins_over_starlettes() -> None:
    """A handler for FastAPI's `HTTPException` wins, since it is the nearer class."""
    app = app_that_raises(HTTPException(400))
    app.add_exception_handler(HTTPException, teapot)
    client = TestClient(app)

    assert client.get("/").text == "teapot"
    assert client.get("/nowhere").json()["status"] == 404


# Something is out of reach.


@pytest.mark.parametrize("problem", [True, False])
def test_unavailable_is_503_with_retry_after(problem: bool) -> None:
    """An `UnavailableError` is a 503 that says when to try again, in both kinds of bodies."""
    error = UnavailableError("database", retry_after_seconds=7)

    response = TestClient(app_that_raises(error, problem=problem)).get("/")

    assert response.status_code == 503
    assert response.headers["retry-after"] == "7"
    assert response.json()["detail"] == "database is not available right now. Try again in 7 s."
    assert ("title" in response.json()) is problem


def test_unavailable_is_caught_from_a_dependency() -> None:
    """An `UnavailableError` from a dependency, before or after its `yield`, is a 503."""
    app = FastAPI(exception_handlers=exception_handlers(problem=True))

    def unavailable() -> None:
        raise UnavailableError("cache")

    async def unavailable_at_exit() -> Any:
        yield
        raise UnavailableError("commit")

    @app.get("/before", dependencies=[Depends(unavailable)])
    async def before() -> None: ...

    @app.get("/after", dependencies=[Depends(unavailable_at_exit, scope="function")])
    async def after() -> None: ...

    client = TestClient(app)

    assert client.get("/before").status_code == 503
    assert client.get("/after").status_code == 503


def test_unavailable_before_the_handshake_is_a_503() -> None:
    """A websocket that can't be served is refused with the same 503 as a request."""
    client = TestClient(app_that_raises(UnavailableError("database", retry_after_seconds=7)))

    with pytest.raises(WebSocketDenialResponse) as refused, client.websocket_connect("/socket"):
        pass

    assert refused.value.status_code == 503
    assert refused.value.headers["retry-after"] == "7"


@pytest.mark.anyio
async def test_unavailable_closes_where_the_server_takes_no_response() -> None:
    """A server that can't answer a handshake as a request is told to close instead."""
    sent = await messages_of("/socket", extensions={})

    assert [message["type"] for message in sent] == ["websocket.close"]
    assert sent[0]["code"] == 1013


def test_unavailable_closes_an_open_websocket() -> None:
    """An `UnavailableError` in an open websocket closes it with 1013, "try again later"."""
    client = TestClient(app_that_raises(UnavailableError("database")))

    with client.websocket_connect("/open-socket") as socket:
        message = socket.receive()

    assert message["code"] == 1013
    assert message["reason"] == "database is not available right now. Try again in 1 s."


@pytest.mark.parametrize("path", ["/", "/open-socket"])
def test_the_log_has_the_cause_of_an_outage(path: str, caplog: pytest.LogCaptureFixture) -> None:
    """What is behind an outage is one line in the log, for requests and websockets alike."""
    error = UnavailableError("database")
    error.__cause__ = ConnectionRefusedError("nobody listens")
    client = TestClient(app_that_raises(error))

    if path == "/":
        client.get(path)
    else:
        with client.websocket_connect(path) as socket:
            socket.receive()

    lines = [each.getMessage() for each in caplog.records if each.name == "sturdyapi.problems"]
    assert lines == [f"{error} (ConnectionRefusedError: nobody listens)"]


@pytest.mark.anyio
async def test_unavailable_after_the_close_is_silent() -> None:
    """An `UnavailableError` after a websocket was closed sends nothing more."""
    sent = await messages_of("/closed-socket", extensions={})

    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.close"]


async def messages_of(path: str, *, extensions: dict[str, Any]) -> list[Any]:
    """Return what an app that is unavailable sends to a websocket of `path`."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "websocket",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
        "scheme": "ws",
        "subprotocols": [],
        "extensions": extensions,
    }
    await app_that_raises(UnavailableError("database"))(scope, receive, send)
    return sent


# FastAPI's own bodies.


def test_fastapis_bodies_stay_with_errors_fastapi() -> None:
    """`errors="fastapi"` keeps every body as FastAPI makes it."""
    router = APIRouter()

    @router.get("/{number}")
    async def endpoint(number: int) -> None:
        raise HTTPException(409, detail={"number": number})

    ours = FastAPI(exception_handlers=exception_handlers(problem=False))
    stock = FastAPI()
    for app in (ours, stock):
        app.include_router(router)

    for path in ("/1", "/x", "/1/2"):
        answer, expected = TestClient(ours).get(path), TestClient(stock).get(path)
        assert answer.content == expected.content
        assert answer.headers["content-type"] == expected.headers["content-type"]


def test_unhandled_error_stays_unhandled() -> None:
    """An error that nobody handles is still raised, so that the server logs it."""
    client = TestClient(app_that_raises(RuntimeError("boom")))

    with pytest.raises(RuntimeError, match="boom"):
        client.get("/")
