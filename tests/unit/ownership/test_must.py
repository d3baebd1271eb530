"""`must()` and `found()`: other rules, and statements that name the owner themselves."""

from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, HTTPException, WebSocket
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from sturdyapi.exceptions import CheckTypeError
from sturdyapi.ownership import found, must, owned

from .support import ANN, BOB, NOBODY, PATH, Order, Store, current_user, get, serve


def is_open(order: Order) -> bool:
    """Tell whether the order may still be changed."""
    return order.id != 2


async def is_paid(order: Order) -> bool:
    """Tell the same, as a question to a database would."""
    return order.id != 3


@pytest.mark.parametrize(
    ("path", "status"),
    [("/orders/1", 200), ("/orders/2", 409), ("/orders/3", 409), ("/orders/77", 404)],
)
def test_every_condition_holds(path: str, status: int) -> None:
    """What fails a condition, `def` or `async def`, is refused; what is missing is a 404."""
    assert get(serve(must(Store(), is_open, is_paid, status=409)), path).status_code == status


def test_what_was_found_is_given() -> None:
    """The dependency gives the very object that `find` returned."""
    store = Store()
    given: list[Any] = []
    app = FastAPI()

    @app.get(PATH)
    async def read(order: Annotated[Order, must(store, is_open)]) -> None:
        given.append(order)

    get(app)
    assert given[0] is store.orders[1]


def test_a_refusal_looks_like_a_missing_object() -> None:
    """Unless another status is asked for, a condition that fails is the 404 of a missing object."""
    app = serve(must(Store(), is_open))

    refused, missing = get(app, "/orders/2"), get(app, "/orders/77")

    assert (refused.status_code, refused.content) == (missing.status_code, missing.content)


def test_a_refusal_says_what_it_is_told_to() -> None:
    """`detail=` goes out as in an `HTTPException`; without one, the phrase of the status does."""
    with_detail = serve(must(Store(), is_open, status=409, detail="The order is closed"))
    without = serve(must(Store(), is_open, status=403))
    unknown = serve(must(Store(), is_open, status=499))

    assert get(with_detail, "/orders/2").json() == {"detail": "The order is closed"}
    assert get(without, "/orders/2").json() == {"detail": "Forbidden"}
    assert get(unknown, "/orders/2").json() == {"detail": "Refused"}


def test_a_detail_may_be_a_dict() -> None:
    """A detail for programs goes out as it is."""
    app = serve(must(Store(), is_open, status=409, detail={"code": "closed"}))

    for _round in range(3):
        assert get(app, "/orders/2").json() == {"detail": {"code": "closed"}}


def test_details_of_different_types_are_different_answers() -> None:
    """A detail of 1 and one of true, which are equal to Python, stay apart."""
    store = Store()
    one = serve(must(store, is_open, status=409, detail=1))
    true = serve(must(store, is_open, status=409, detail=True))

    assert get(one, "/orders/2").text == '{"detail":1}'
    assert get(true, "/orders/2").text == '{"detail":true}'


def test_without_a_condition_it_must_exist() -> None:
    """`must(find)` is a 404 for what is missing, and nothing else."""
    app = serve(must(Store()))

    assert [get(app, f"/orders/{order}").status_code for order in (1, 2, 77)] == [200, 200, 404]


def test_it_stands_on_an_owned_object() -> None:
    """Over an `owned()` its conditions are asked of one's own objects only."""
    asked: list[int] = []

    def is_open_and_noted(order: Order) -> bool:
        asked.append(order.id)
        return False

    my_order = owned(Store(), by=current_user)
    app = serve(must(my_order, is_open_and_noted, status=409))

    statuses = [get(app, "/orders/1", who).status_code for who in (ANN, BOB, NOBODY)]

    assert statuses == [409, 404, 401]
    assert asked == [1]


def test_conditions_are_asked_in_order() -> None:
    """After one that fails, none is asked."""
    asked: list[str] = []

    def first(_order: Order) -> bool:
        asked.append("first")
        return False

    def second(_order: Order) -> bool:
        asked.append("second")
        return True

    get(serve(must(Store(), first, second)))

    assert asked == ["first"]


def test_a_condition_may_answer_anything_that_counts() -> None:
    """A list that is not empty holds, `None` does not."""
    assert get(serve(must(Store(), lambda order: [order]))).status_code == 200
    assert get(serve(must(Store(), lambda _order: None))).status_code == 404


def test_a_condition_that_forgot_to_call_is_an_error() -> None:
    """A method as an answer is always true, whatever it would say."""
    app = serve(must(Store(), lambda order: order.__eq__))

    with pytest.raises(CheckTypeError, match="Call it"):
        get(app)


def test_a_condition_may_answer_by_itself() -> None:
    """An `HTTPException` that a condition raises stands."""

    def refuse(_order: Order) -> bool:
        raise HTTPException(402, "Pay first")

    assert get(serve(must(Store(), refuse))).status_code == 402


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "Not found"),
        ({"status": 409}, "Conflict"),
        ({"status": 409, "detail": "The order is closed"}, "The order is closed"),
        ({"status": 409, "detail": {"code": "closed"}}, "Conflict"),
        ({"status": 409, "detail": "é" * 100}, "é" * 61),
    ],
)
def test_a_websocket_is_closed_with_the_reason(options: dict[str, Any], reason: str) -> None:
    """A websocket is told the detail, as much of it as its frame can hold."""
    app = FastAPI()

    @app.websocket(PATH)
    async def follow(
        websocket: WebSocket, order: Annotated[Order, must(Store(), is_open, **options)]
    ) -> None:
        """Never get here."""

    with (
        pytest.raises(WebSocketDisconnect) as closed,
        TestClient(app).websocket_connect("/orders/2"),
    ):
        pass

    assert (closed.value.code, closed.value.reason) == (1008, reason)


# found().


def test_found_gives_what_there_is() -> None:
    """A value comes back as it is, an empty one too."""
    value: list[int] = []

    assert found(value) is value
    assert found(0) == 0


@pytest.mark.parametrize("detail", [None, "No such order"])
def test_found_is_a_404_for_nothing(detail: str | None) -> None:
    """`None` is a 404, with the detail if there is one."""
    with pytest.raises(HTTPException) as caught:
        found(None, detail)

    assert (caught.value.status_code, caught.value.detail) == (404, detail or "Not Found")


def test_found_answers_like_owned() -> None:
    """A statement that names the owner, and hits nothing, is answered as `owned()` does."""
    app = serve(owned(Store(), by=current_user))

    @app.patch(PATH)
    async def change(order_id: int) -> int:
        return found(None)

    by_statement = TestClient(app).patch("/orders/2", headers=ANN)
    by_check = get(app, "/orders/2")

    assert (by_statement.status_code, by_statement.content) == (404, by_check.content)


def test_found_wants_the_result() -> None:
    """A statement that was not awaited has not run, and is no answer."""

    async def execute() -> int:
        return 1

    with pytest.raises(CheckTypeError, match="Await it"):
        found(execute())  # type: ignore[unused-coroutine]


def test_found_wants_no_future() -> None:
    """The same goes for other awaitables."""

    class Query:
        def __await__(self) -> Any:
            yield

    with pytest.raises(CheckTypeError, match="Query"):
        found(Query())


def test_a_dependency_of_ours_can_be_a_dependency_of_others() -> None:
    """`Depends(...)` over `must()` takes part in FastAPI's order like any other."""
    app = FastAPI()

    async def number(order: Annotated[Order, must(Store(), is_open, status=409)]) -> int:
        return order.id

    @app.get(PATH)
    async def read(number: Annotated[int, Depends(number)]) -> int:
        return number

    assert get(app).json() == 1
    assert get(app, "/orders/2").status_code == 409
