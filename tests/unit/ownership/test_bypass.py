"""The bypass: who may see everybody's, and what the log says of it."""

import logging
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, WebSocket
from fastapi.testclient import TestClient

from sturdyapi.exceptions import CheckTypeError
from sturdyapi.ownership import owned

from .support import ADMIN, ANN, BOB, NOBODY, PATH, Order, Store, User, current_user, get, serve


def is_admin(user: User) -> bool:
    """Tell whether the user may see everybody's orders."""
    return user.is_admin


async def is_admin_asynchronously(user: User) -> bool:
    """Tell the same, as a question to a database would."""
    return user.is_admin


@pytest.fixture(autouse=True)
def lines_of_the_default_level(caplog: pytest.LogCaptureFixture) -> None:
    """Keep what an app logs by default in production."""
    caplog.set_level(logging.INFO, logger="sturdyapi.ownership")


@pytest.mark.parametrize("bypass", [is_admin, is_admin_asynchronously])
def test_a_bypass_lets_pass_and_says_so(bypass: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Whom the bypass lets pass gets anybody's object; one line says who, past what and where."""

    def find_order(order_id: int) -> Order:
        return Order(order_id, owner_id=1)

    app = serve(owned(find_order, by=current_user, bypass=bypass))

    assert get(app, headers=ADMIN).json() == 1
    (line,) = caplog.messages
    assert line.startswith("user '99' passed over the owner check of ")
    assert line.endswith("find_order(): GET '/orders/1'")


@pytest.mark.parametrize("bypass", [is_admin, is_admin_asynchronously])
def test_everyone_else_is_checked(bypass: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A bypass that says no changes nothing, and nothing is logged."""
    app = serve(owned(Store(), by=current_user, bypass=bypass))

    statuses = [get(app, "/orders/1", who).status_code for who in (ANN, BOB, NOBODY)]

    assert statuses == [200, 404, 401]
    assert caplog.messages == []


def test_an_owner_passes_over_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """An administrator's own object is theirs: no bypass is asked or logged."""
    asked: list[User] = []

    def note(user: User) -> bool:
        asked.append(user)
        return True

    app = serve(owned(lambda: Order(1, 99), by=current_user, bypass=note))

    assert get(app, headers=ADMIN).status_code == 200
    assert asked == []
    assert caplog.messages == []


def test_what_is_missing_stays_missing(caplog: pytest.LogCaptureFixture) -> None:
    """A bypass does not find what is not there."""
    app = serve(owned(Store(), by=current_user, bypass=is_admin))

    assert get(app, "/orders/77", ADMIN).status_code == 404
    assert caplog.messages == []


def test_a_bypass_reaches_ownerless_objects(caplog: pytest.LogCaptureFixture) -> None:
    """What belongs to nobody can be seen by whom the bypass lets pass."""
    app = serve(owned(Store(), by=current_user, bypass=is_admin))

    assert get(app, "/orders/3", ADMIN).json() == 3
    assert len(caplog.messages) == 1


def test_each_bypass_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Three requests are three lines."""
    app = serve(owned(Store(), by=current_user, bypass=is_admin))

    for _round in range(3):
        get(app, "/orders/1", ADMIN)

    assert len(caplog.messages) == 3


def test_a_line_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """Neither the user's key nor the path can begin a line of its own."""
    dependency = owned(
        lambda: {"id": 1, "owner_id": "ann"},
        by=lambda: {"id": "eve\nuser 'ann' passed"},
        bypass=lambda _user: True,
    )

    assert get(serve(dependency, "/{anything:path}"), "/a%0Db").status_code == 200
    (line,) = caplog.messages
    assert line.isprintable()
    assert r"eve\nuser" in line
    assert r"/a\rb" in line


def test_a_websocket_is_logged_as_well(caplog: pytest.LogCaptureFixture) -> None:
    """The line of a websocket names it as one."""
    app = FastAPI()
    dependency = owned(Store(), by=current_user, bypass=is_admin)

    @app.websocket(PATH)
    async def follow(websocket: WebSocket, order: Annotated[Order, dependency]) -> None:
        await websocket.accept()
        await websocket.close()

    with TestClient(app).websocket_connect("/orders/1", headers=ADMIN):
        pass

    (line,) = caplog.messages
    assert line.endswith("Store(): WEBSOCKET '/orders/1'")


class Principal:
    id = 5

    def is_admin(self) -> bool:
        return False


@pytest.mark.parametrize(
    "bypass",
    [
        lambda user: user.is_admin,
        lambda user: [user],
        lambda _user: 1,
        lambda _user: "no",
    ],
    ids=["method that nobody called", "list", "number", "text"],
)
def test_only_true_opens_the_door(bypass: Any) -> None:
    """A bypass that answers anything else that counts as true is an error."""
    app = serve(owned(lambda: Order(1, 1), by=Principal, bypass=bypass))

    with pytest.raises(CheckTypeError, match="must return True or False"):
        get(app)


@pytest.mark.parametrize("answer", [None, [], 0, ""])
def test_an_empty_answer_is_a_no(answer: Any) -> None:
    """A bypass that answers something empty keeps the door shut."""
    app = serve(owned(lambda: Order(1, 1), by=Principal, bypass=lambda _user: answer))

    assert get(app).status_code == 404


def test_a_bypass_does_not_hide_a_mistake() -> None:
    """Ids that can't be compared are an error for administrators too."""
    dependency = owned(lambda: {"id": 1, "owner_id": "7"}, by=current_user, bypass=is_admin)

    with pytest.raises(TypeError):
        get(serve(dependency), headers=ADMIN)
