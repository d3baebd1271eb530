"""Tasks that were added and do not run: as in FastAPI, but never silently."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any, NoReturn

import pytest
from fastapi import BackgroundTasks as FastAPITasks
from fastapi import Depends, HTTPException, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from fastapi.routing import APIRoute
from starlette.background import BackgroundTask

from sturdyapi.background import BackgroundTasks

from .support import Journal, Lines, client_of, make_app


def test_tasks_before_an_http_exception_do_not_run(ran: Journal, lines: Lines) -> None:
    """Trap 15: tasks added before an `HTTPException` do not run, as in FastAPI; a line says so."""
    app = make_app()

    @app.post("/orders/{order_id}")
    async def endpoint(order_id: int, tasks: BackgroundTasks) -> None:
        tasks.add_task(ran.task("audit"))
        tasks.add_task(ran.task("mail"))
        raise HTTPException(409)

    for _ in range(3):
        assert client_of(app).post("/orders/1").status_code == 409
    assert ran == []
    assert {(line.level, line.request_id) for line in lines.all} == {("WARNING", "r1")}
    assert len(lines.messages) == 3
    assert lines.messages[2] == (
        "POST /orders/{order_id} ended with HTTPException, so that its background tasks do not "
        "run: audit, mail. What must happen in any case, await before raising; or return the "
        "error as a response."
    )


def _refuse() -> NoReturn:
    raise HTTPException(401)


def _fail() -> NoReturn:
    raise KeyError("x")


def _fail_at_the_end() -> Iterator[None]:
    yield
    raise RuntimeError("no commit")


async def _needs_number(number: int) -> None: ...


@pytest.mark.parametrize(
    ("later", "scope", "ending"),
    [
        (_refuse, None, "HTTPException"),
        (_fail, None, "KeyError"),
        (_needs_number, None, "RequestValidationError"),
        (_fail_at_the_end, "function", "RuntimeError"),
    ],
)
def test_tasks_before_an_error_elsewhere_do_not_run(
    later: Any, scope: Any, ending: str, ran: Journal, lines: Lines
) -> None:
    """Neither do those that a dependency added, when a later one ends the request."""
    app = make_app()

    def audit(tasks: FastAPITasks) -> None:
        tasks.add_task(ran.task("audit"))

    app.add_api_route("/", lambda: None, dependencies=[Depends(audit), Depends(later, scope=scope)])

    with suppress(KeyError, RuntimeError):
        client_of(app).get("/")

    assert ran == []
    assert len(lines.messages) == 1
    assert (
        f"GET / ended with {ending}, so that its background tasks do not run: audit."
        in (lines.messages[0])
    )


def test_tasks_of_a_response_that_breaks_off_do_not_run(ran: Journal, lines: Lines) -> None:
    """Nor do tasks whose response breaks off while it is sent."""
    app = make_app()

    async def body() -> AsyncIterator[bytes]:
        yield b"some"
        raise RuntimeError("no more")

    @app.get("/")
    async def endpoint(tasks: BackgroundTasks) -> Response:
        tasks.add_task(ran.task("mail"))
        return StreamingResponse(body(), background=BackgroundTask(ran.task("own")))

    with pytest.raises(RuntimeError, match="no more"):
        client_of(app).get("/")

    assert ran == []
    assert "ended with RuntimeError" in lines.messages[0]
    assert "do not run: own, mail." in lines.messages[0]


def test_tasks_of_a_replaced_response_do_not_run(ran: Journal, lines: Lines) -> None:
    """A route class that answers in its own way loses the tasks, and a line says so."""

    class OwnAnswer(APIRoute):
        def get_route_handler(self) -> Callable[..., Any]:
            handler = super().get_route_handler()

            async def answer(request: Request) -> Response:
                await handler(request)
                return JSONResponse("own")

            return answer

    app = make_app()
    app.router.route_class = OwnAnswer

    @app.get("/")
    async def endpoint(tasks: BackgroundTasks) -> None:
        tasks.add_task(ran.task("mail"))

    assert client_of(app).get("/").json() == "own"
    assert ran == []
    assert "ended with a response that does not carry them" in lines.messages[0]


def test_tasks_added_after_the_response_do_not_run(ran: Journal, lines: Lines) -> None:
    """What a dependency adds after its `yield` comes too late, unless its scope is `function`."""
    app = make_app()

    async def late(tasks: BackgroundTasks) -> AsyncIterator[None]:
        tasks.add_task(ran.task("first"))
        yield
        tasks.add_task(ran.task("late"))

    app.add_api_route("/", lambda: None, dependencies=[Depends(late)])
    app.add_api_route("/function", lambda: None, dependencies=[Depends(late, scope="function")])

    client_of(app).get("/")
    assert ran == ["first"]
    (message,) = lines.messages
    assert message == (
        "GET / ended with tasks that were added after the others had run, so that its background "
        "tasks do not run: late. Add tasks before the `yield` of a dependency, or give it "
        "scope='function'."
    )

    client_of(app).get("/function")
    assert ran == ["first", "first", "late"]
    assert len(lines.messages) == 1


def test_an_error_without_tasks_is_no_matter_of_ours(lines: Lines) -> None:
    """A request that fails before it added tasks has no line about them."""
    app = make_app()

    @app.get("/")
    async def endpoint(tasks: BackgroundTasks) -> None:
        raise HTTPException(404)

    assert client_of(app).get("/").status_code == 404
    assert lines.all == []
