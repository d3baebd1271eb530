"""`owned()`: who gets what was found, and in which order things are asked."""

from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Annotated, Any

import anyio
import httpx2
import pytest
from anyio import lowlevel
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Security
from fastapi.security import OAuth2PasswordBearer, SecurityScopes
from fastapi.testclient import TestClient

from sturdyapi.ownership import owned

from .support import ANN, BOB, NOBODY, PATH, Order, Store, User, current_user, get, serve, sturdy

FOREIGN, MISSING, OWNERLESS = "/orders/2", "/orders/77", "/orders/3"


@pytest.fixture(params=[FastAPI, sturdy])
def app(request: pytest.FixtureRequest) -> FastAPI:
    """Return a plain app, then one of ours."""
    made: FastAPI = request.param()
    return made


# What is answered.


def test_the_owner_gets_what_was_found() -> None:
    """The dependency gives the very object that `find` returned."""
    store = Store()
    given: list[Any] = []
    app = FastAPI()

    @app.get(PATH)
    async def read(order: Annotated[Order, owned(store, by=current_user)]) -> None:
        given.append(order)

    assert get(app).status_code == 200
    assert given[0] is store.orders[1]


@pytest.mark.parametrize("path", [FOREIGN, OWNERLESS])
def test_a_strangers_object_looks_like_a_missing_one(app: FastAPI, path: str) -> None:
    """Somebody else's object, and nobody's, are answered exactly as one that does not exist."""
    serve(owned(Store(), by=current_user), app=app)

    refused, missing = get(app, path), get(app, MISSING)

    assert refused.status_code == missing.status_code == 404
    assert _without_request_id(refused) == _without_request_id(missing)


def _without_request_id(response: httpx2.Response) -> tuple[Any, dict[str, str]]:
    body, headers = response.json(), dict(response.headers)
    body.pop("requestId", None)
    headers.pop("x-request-id", None)
    return body, headers


def test_nobody_is_asked_who_they_are(app: FastAPI) -> None:
    """Without a user the answer is a 401 that names the scheme."""
    serve(owned(Store(), by=current_user), app=app)

    response = get(app, headers=NOBODY)

    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert "Not authenticated" in response.text


@pytest.mark.parametrize("path", ["/orders/1", FOREIGN, MISSING, "/orders/x"])
def test_nothing_is_loaded_for_nobody(path: str) -> None:
    """The 401 comes before the object is loaded, and before its id is looked at."""
    store = Store()

    assert get(serve(owned(store, by=current_user)), path, NOBODY).status_code == 401
    assert store.asked == []


def test_a_users_own_refusal_stands() -> None:
    """What `by` raises itself is answered as it is, before the object is loaded."""

    async def refuse() -> User:
        raise HTTPException(403, "Account is locked")

    store = Store()
    response = get(serve(owned(store, by=refuse)))

    assert (response.status_code, response.json()["detail"]) == (403, "Account is locked")
    assert store.asked == []


def test_a_bad_id_is_a_422_before_the_query() -> None:
    """An id of the wrong form is refused before anything is loaded."""
    store = Store()

    assert get(serve(owned(store, by=current_user)), "/orders/x").status_code == 422
    assert store.asked == []


def test_a_user_with_missing_parameters_is_fastapis_422() -> None:
    """A `by` that requires a header is a 422 without it, for any object; FastAPI loads it first."""

    async def named_user(x_user: Annotated[int, Header()]) -> User:
        return User(x_user)

    store = Store()
    app = serve(owned(store, by=named_user))

    statuses = [get(app, path, NOBODY).status_code for path in ("/orders/1", FOREIGN, MISSING)]

    assert statuses == [422, 422, 422]
    assert store.asked == [1, 2, 77]


def test_a_user_without_an_id_owns_nothing() -> None:
    """A user whose id is `None` is not the owner of an object whose owner is `None`."""

    def unsaved_user() -> User:
        return User(id=None)

    app = serve(owned(Store(), by=unsaved_user))

    assert get(app, OWNERLESS).status_code == 404


# What may be given.


def _order(order_id: int) -> Order | None:
    return Store().orders.get(order_id)


async def _async_order(order_id: int) -> Order | None:
    return _order(order_id)


def _yielded_order(order_id: int) -> Iterator[Order | None]:
    yield _order(order_id)


async def _async_yielded_order(order_id: int) -> AsyncIterator[Order | None]:
    yield _order(order_id)


async def _order_of(shop: str, order_id: int) -> Order | None:
    return _order(order_id) if shop == "main" else None


class _LoadedOrder:
    def __init__(self, order_id: int) -> None:
        self.id = order_id
        self.owner_id = 1 if order_id == 1 else 2


class _Repository:
    def find(self, order_id: int) -> Order | None:
        return _order(order_id)


FINDERS = {
    "def": _order,
    "async def": _async_order,
    "generator": _yielded_order,
    "async generator": _async_yielded_order,
    "class": _LoadedOrder,
    "instance": Store(),
    "method": _Repository().find,
    "partial": partial(_order_of, "main"),
    "Depends": Depends(_order),
    "Depends of a scope": Depends(_async_yielded_order, scope="function"),
    "Security": Security(_order, scopes=["orders"]),
    "Annotated": Annotated[Order, Depends(_order)],
    "Annotated class": Annotated[_LoadedOrder, Depends()],
}


@pytest.mark.parametrize("find", FINDERS.values(), ids=FINDERS.keys())
def test_find_is_whatever_fastapi_takes(find: Any) -> None:
    """Every form of dependency can load the object."""
    app = serve(owned(find, by=current_user))

    assert get(app).json() == 1
    assert get(app, FOREIGN).status_code == 404


def _user() -> User:
    return User(1)


async def _async_user() -> User:
    return User(1)


def _yielded_user() -> Iterator[User]:
    yield User(1)


class _Ann:
    def __init__(self) -> None:
        self.id = 1


USERS = {
    "def": _user,
    "async def": _async_user,
    "generator": _yielded_user,
    "class": _Ann,
    "Depends": Depends(_user, use_cache=False),
    "Security": Security(_user, scopes=["orders"]),
    "Annotated": Annotated[User, Depends(_user)],
}


@pytest.mark.parametrize("by", USERS.values(), ids=USERS.keys())
def test_by_is_whatever_fastapi_takes(by: Any) -> None:
    """Every form of dependency can give the user."""
    app = serve(owned(_order, by=by))

    assert get(app).json() == 1
    assert get(app, FOREIGN).status_code == 404


def test_it_may_be_a_default_value() -> None:
    """The older form, `order = owned(...)`, works as well."""
    app = FastAPI()

    @app.get(PATH)
    async def read(order: Order = owned(_order, by=current_user)) -> int:  # noqa: B008
        return order.id

    assert get(app).json() == 1
    assert get(app, FOREIGN).status_code == 404


def test_it_may_guard_a_route_that_needs_no_object() -> None:
    """`dependencies=[owned(...)]` checks without handing the object on."""
    app = FastAPI()

    @app.delete(PATH, dependencies=[owned(_order, by=current_user)])
    async def cancel(order_id: int) -> int:
        return order_id

    client = TestClient(app)
    assert client.delete("/orders/1", headers=ANN).json() == 1
    assert client.delete("/orders/1", headers=BOB).status_code == 404


def test_it_may_guard_a_whole_router() -> None:
    """In the dependencies of a router it checks every route below."""
    router = APIRouter(prefix="/orders/{order_id}", dependencies=[owned(_order, by=current_user)])

    @router.get("/lines")
    async def lines(order_id: int) -> int:
        return order_id

    app = FastAPI()
    app.include_router(router)

    assert get(app, "/orders/1/lines").json() == 1
    assert get(app, "/orders/2/lines").status_code == 404


# Generators.


def _recording_find(events: list[str]) -> Callable[[int], AsyncIterator[Order | None]]:
    async def find(order_id: int) -> AsyncIterator[Order | None]:
        events.append("open")
        try:
            yield _order(order_id)
        finally:
            events.append("close")

    return find


@pytest.mark.parametrize("path", ["/orders/1", FOREIGN, MISSING])
def test_what_find_opened_is_closed(path: str) -> None:
    """A `find` that yields is closed, whatever the answer is; in each of three rounds."""
    events: list[str] = []
    app = serve(owned(_recording_find(events), by=current_user))

    for _round in range(3):
        get(app, path)

    assert events == ["open", "close"] * 3


def test_a_scope_of_find_is_kept() -> None:
    """With `scope="function"` it is closed before the response goes out."""
    events: list[str] = []
    find = Depends(_recording_find(events), scope="function")
    app = serve(owned(find, by=current_user))

    @app.middleware("http")
    async def note_response(request: Any, call_next: Any) -> Any:
        response = await call_next(request)
        events.append("response")
        return response

    get(app)

    assert events == ["open", "close", "response"]


# Once a request.


def test_the_object_is_loaded_once_a_request() -> None:
    """Three dependencies on one `owned(...)`, and one on `find` itself, share one load."""
    store = Store()
    app = FastAPI()
    guard = owned(store, by=current_user)

    async def total(order: Annotated[Order, owned(store, by=current_user)]) -> int:
        return order.id

    @app.get(PATH, dependencies=[guard])
    async def read(
        order: Annotated[Order, owned(store, by=current_user)],
        same: Annotated[Order, Depends(store)],
        total: Annotated[int, Depends(total)],
    ) -> bool:
        return order is same and total == order.id

    for _round in range(3):
        assert get(app).json() is True
    assert store.asked == [1, 1, 1]


def test_use_cache_of_find_is_kept() -> None:
    """A `Depends(find, use_cache=False)` loads anew."""
    store = Store()
    anew = Depends(store, use_cache=False)
    app = serve(owned(anew, by=current_user), app=FastAPI(dependencies=[Depends(store)]))

    assert get(app).status_code == 200
    assert store.asked == [1, 1]


def test_other_scopes_ask_the_user_again() -> None:
    """FastAPI runs a user dependency once for each set of scopes that it is asked with."""
    asked: list[list[str]] = []

    async def user_with(
        scopes: SecurityScopes,
        _token: Annotated[str, Depends(OAuth2PasswordBearer("token", auto_error=False))],
    ) -> User:
        asked.append(scopes.scopes)
        return User(1)

    app = FastAPI()
    by_scope = owned(_order, by=Security(user_with, scopes=["orders:read"]))

    @app.get(PATH)
    async def read(
        order: Annotated[Order, by_scope],
        same_scopes: Annotated[User, Security(user_with, scopes=["orders:read"])],
        other_scopes: Annotated[User, Security(user_with, scopes=["me"])],
    ) -> int:
        return order.id

    assert get(app).json() == 1
    assert asked == [["orders:read"], ["me"]]


def test_answers_do_not_depend_on_who_asked_before(app: FastAPI) -> None:
    """Users who take turns get their own objects, and only those, in every round."""
    serve(owned(Store(), by=current_user), app=app)

    for _round in range(3):
        assert [get(app, "/orders/1", who).status_code for who in (ANN, BOB, NOBODY)] == [
            200,
            404,
            401,
        ]
        assert [get(app, FOREIGN, who).status_code for who in (ANN, BOB, NOBODY)] == [404, 200, 401]


@pytest.mark.anyio
async def test_requests_side_by_side_do_not_mix() -> None:
    """Each of many requests at once is checked against its own user and object."""

    async def slow_user(x_user: Annotated[int, Header()]) -> User:
        for _ in range(x_user % 5):
            await lowlevel.checkpoint()
        return User(x_user)

    async def slow_order(order_id: int) -> Order:
        for _ in range(order_id % 7):
            await lowlevel.checkpoint()
        return Order(order_id, owner_id=order_id)

    transport = httpx2.ASGITransport(serve(owned(slow_order, by=slow_user)))
    answers: dict[tuple[int, int], int] = {}

    async def ask(user: int, order: int) -> None:
        response = await client.get(f"/orders/{order}", headers={"x-user": str(user)})
        answers[user, order] = response.status_code

    async with (
        httpx2.AsyncClient(transport=transport, base_url="http://test") as client,
        anyio.create_task_group() as tasks,
    ):
        for user in range(1, 11):
            for order in range(1, 11):
                tasks.start_soon(ask, user, order)

    expected = {(u, o): 200 if u == o else 404 for u in range(1, 11) for o in range(1, 11)}
    assert answers == expected


# Parents.


def _find_project(project_id: int) -> dict[str, int] | None:
    return {1: {"id": 1, "owner_id": 1}, 2: {"id": 2, "owner_id": 2}}.get(project_id)


_tasks_asked: list[int] = []


def _find_task(task_id: int) -> dict[str, int] | None:
    _tasks_asked.append(task_id)
    return {10: {"id": 10, "project_id": 1}, 20: {"id": 20, "project_id": 2}}.get(task_id)


MyProject = Annotated[dict[str, int], owned(_find_project, by=current_user)]


@pytest.mark.parametrize(
    "parent", [MyProject, owned(_find_project, by=current_user)], ids=["Annotated", "Depends"]
)
@pytest.mark.parametrize(
    ("path", "headers", "status", "tasks_asked"),
    [
        ("/projects/1/tasks/10", ANN, 200, [10]),
        ("/projects/1/tasks/20", ANN, 404, [20]),
        ("/projects/1/tasks/77", ANN, 404, [77]),
        ("/projects/2/tasks/20", ANN, 404, []),
        ("/projects/77/tasks/10", ANN, 404, []),
        ("/projects/1/tasks/10", NOBODY, 401, []),
    ],
)
def test_a_child_belongs_to_its_parent(
    parent: Any, path: str, headers: dict[str, str], status: int, tasks_asked: list[int]
) -> None:
    """A task of another project is a 404; one of a stranger's project is not even loaded."""
    _tasks_asked.clear()
    dependency = owned(_find_task, by=parent, owner="project_id")
    app = serve(dependency, "/projects/{project_id}/tasks/{task_id}")

    response = get(app, path, headers)

    assert (response.status_code, _tasks_asked) == (status, tasks_asked)


# In tests.


def test_find_can_be_overridden() -> None:
    """A test that overrides `find` still meets the check."""
    store = Store()
    app = serve(owned(store, by=current_user))
    app.dependency_overrides[store] = lambda: Order(5, owner_id=2)

    assert get(app, "/orders/1", BOB).json() == 5
    assert get(app, "/orders/1", ANN).status_code == 404
    assert store.asked == []


def test_the_user_can_be_overridden() -> None:
    """A test that overrides the user dependency is that user."""
    app = serve(owned(Store(), by=current_user))
    app.dependency_overrides[current_user] = lambda: User(2)

    assert get(app, FOREIGN, NOBODY).json() == 2
    app.dependency_overrides.clear()
    assert get(app, FOREIGN, NOBODY).status_code == 401


def test_the_check_can_be_overridden() -> None:
    """The same arguments name the dependency to replace, check and all."""
    store = Store()
    app = serve(owned(store, by=current_user))
    app.dependency_overrides[owned(store, by=current_user).dependency] = lambda: Order(7, 7)

    assert get(app, headers=NOBODY).json() == 7
