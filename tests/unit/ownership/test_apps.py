"""Where it is used: websockets, routers, mounted apps, and what OpenAPI says of it."""

import json
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, WebSocket
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from sturdyapi import BaseModel
from sturdyapi.ownership import must, owned

from .support import ANN, BOB, NOBODY, PATH, Order, Store, User, current_user, get, serve, sturdy

PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}

store = Store()
MyOrder = Annotated[Order, owned(store, by=current_user)]


def is_open(_order: Order) -> bool:
    """Tell that the order is open."""
    return True


async def read_order(order: MyOrder) -> int:
    """Return the number of one's own order."""
    return order.id


def orders_router(**options: Any) -> APIRouter:
    """Return a router with one owned route."""
    router = APIRouter()
    router.add_api_route("/orders/{order_id}", read_order, **options)
    return router


def responses(app: FastAPI, path: str = "/orders/{order_id}", method: str = "get") -> Any:
    """Return what OpenAPI says that a route answers."""
    return app.openapi()["paths"][path][method]["responses"]


# Websockets.


@pytest.fixture(params=[FastAPI, sturdy])
def socket_app(request: pytest.FixtureRequest) -> FastAPI:
    """Return a plain app, then one of ours, with one websocket."""
    app: FastAPI = request.param()

    @app.websocket(PATH)
    async def follow(websocket: WebSocket, order: MyOrder) -> None:
        await websocket.accept()
        await websocket.send_json(order.id)
        await websocket.close()

    return app


def test_a_websocket_of_the_owner_is_accepted(socket_app: FastAPI) -> None:
    """The owner's websocket gets the object."""
    with TestClient(socket_app).websocket_connect("/orders/1", headers=ANN) as websocket:
        assert websocket.receive_json() == 1


@pytest.mark.parametrize(
    ("path", "headers", "reason"),
    [
        ("/orders/1", NOBODY, "Not authenticated"),
        ("/orders/1", BOB, "Not found"),
        ("/orders/3", ANN, "Not found"),
        ("/orders/77", ANN, "Not found"),
    ],
)
def test_a_websocket_of_anyone_else_is_not_accepted(
    socket_app: FastAPI, path: str, headers: dict[str, str], reason: str
) -> None:
    """Before it is accepted it is closed as a breach of policy; in each of three rounds."""
    for _round in range(3):
        with (
            pytest.raises(WebSocketDisconnect) as closed,
            TestClient(socket_app).websocket_connect(path, headers=headers),
        ):
            pass
        assert (closed.value.code, closed.value.reason) == (1008, reason)


def test_an_accepted_websocket_is_closed() -> None:
    """One that a dependency has accepted already is told the same in a close frame."""

    async def accepted_user(websocket: WebSocket) -> User:
        await websocket.accept()
        return User(2)

    app = FastAPI()
    my_order = owned(store, by=accepted_user)

    @app.websocket(PATH)
    async def follow(websocket: WebSocket, order: Annotated[Order, my_order]) -> None:
        """Never get here."""

    with (
        TestClient(app).websocket_connect("/orders/1") as websocket,
        pytest.raises(WebSocketDisconnect) as closed,
    ):
        websocket.receive_text()

    assert (closed.value.code, closed.value.reason) == (1008, "Not found")


# Routers and mounts.


@pytest.mark.parametrize("make_app", [FastAPI, sturdy])
def test_a_router_can_be_included_twice(make_app: Any) -> None:
    """Under each prefix the same rules hold."""
    app, router = make_app(), orders_router()
    app.include_router(router, prefix="/v1")
    app.include_router(router, prefix="/v2")

    for prefix in ("/v1", "/v2"):
        assert get(app, f"{prefix}/orders/1", ANN).json() == 1
        assert get(app, f"{prefix}/orders/1", BOB).status_code == 404
        assert get(app, f"{prefix}/orders/1", NOBODY).status_code == 401


@pytest.mark.parametrize("outer", [FastAPI, sturdy])
@pytest.mark.parametrize("inner", [FastAPI, sturdy])
def test_a_mounted_app_follows_the_same_rules(outer: Any, inner: Any) -> None:
    """In a mounted app, plain or ours, nothing changes."""
    parent, child = outer(), inner()
    child.include_router(orders_router())
    parent.mount("/shop", child)

    for _round in range(3):
        assert get(parent, "/shop/orders/1", ANN).json() == 1
        assert get(parent, "/shop/orders/1", BOB).status_code == 404
        assert get(parent, "/shop/orders/1", NOBODY).status_code == 401


def test_the_403_of_a_rule_is_a_problem() -> None:
    """In an app of ours every refusal is a problem document."""
    app = serve(must(Store(), lambda _order: False, status=403, detail="Ask first"), app=sturdy())

    response = get(app)

    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["detail"] == "Ask first"


# OpenAPI.


def test_openapi_names_the_answers() -> None:
    """A route with an `owned()` answers 401 and 404 with problems."""
    app = sturdy(routers=[orders_router()])

    described = responses(app)

    assert described["401"] == {"description": "Unauthorized", "content": PROBLEM}
    assert described["404"] == {"description": "Not Found", "content": PROBLEM}
    assert set(described) == {"200", "401", "404", "422"}


@pytest.mark.parametrize(
    ("dependency", "added"),
    [
        (must(store), {"404"}),
        (must(store, is_open), {"404"}),
        (must(store, is_open, status=409), {"404", "409"}),
        (must(store, is_open, status=499), {"404", "499"}),
        (must(store, status=409), {"404"}),
        (must(owned(store, by=current_user), is_open, status=403), {"401", "403", "404"}),
        (owned(store, by=owned(Depends(store), by=current_user), owner="id"), {"401", "404"}),
        (Depends(store), set()),
    ],
)
def test_openapi_names_what_the_rules_answer(dependency: Any, added: set[str]) -> None:
    """The statuses are those of the dependencies, however deep they stand."""
    app = serve(dependency, app=sturdy())

    assert set(responses(app)) == {"200", "422"} | added


def test_openapi_looks_below_other_dependencies() -> None:
    """An `owned()` that stands behind another dependency, or in a router, is seen."""

    async def number(order: MyOrder) -> int:
        return order.id

    guarded = APIRouter(dependencies=[owned(store, by=current_user)])
    guarded.add_api_route("/lines/{order_id}", lambda: None)
    app = sturdy(routers=[guarded])
    serve(Depends(number), app=app)

    assert {"401", "404"} <= set(responses(app))
    assert {"401", "404"} <= set(responses(app, "/lines/{order_id}"))


class Gone(BaseModel):
    since: int


def test_what_a_route_declares_stays() -> None:
    """A response that the route describes itself is not touched."""
    declared = {404: {"description": "No such order", "model": Gone}}
    app = sturdy(routers=[orders_router(responses=declared)])

    described = responses(app)

    assert described["404"]["description"] == "No such order"
    assert "Gone" in json.dumps(described["404"]["content"])
    assert described["401"]["description"] == "Unauthorized"


@pytest.mark.parametrize("key", [404, "404"])
def test_a_declared_status_may_be_text(key: Any) -> None:
    """`"404"` is the same response as `404`."""
    app = sturdy(routers=[orders_router(responses={key: {"description": "No such order"}})])

    assert responses(app)["404"]["description"] == "No such order"
    assert "401" in responses(app)


@pytest.mark.parametrize("key", ["4XX", "4xx", "default"])
def test_a_declared_range_speaks_for_all(key: str) -> None:
    """A route that describes all client errors at once is left as it is."""
    app = sturdy(routers=[orders_router(responses={key: {"description": "Refused"}})])

    assert not {"401", "404"} & set(responses(app))


def test_the_same_router_elsewhere_stays_as_it_was() -> None:
    """In a plain FastAPI app the router's responses are those that it declares."""
    shared: dict[int | str, dict[str, Any]] = {409: {"description": "Busy"}}
    router = orders_router(responses=shared)
    before, after, ours = FastAPI(), FastAPI(), sturdy()
    before.include_router(router)
    ours.include_router(router)
    after.include_router(router)

    for _round in range(3):
        assert set(responses(ours)) == {"200", "401", "404", "409", "422"}
        assert set(responses(before)) == set(responses(after)) == {"200", "409", "422"}
    assert shared == {409: {"description": "Busy"}}


def test_a_route_of_another_app_stays_as_it_was() -> None:
    """An app of ours that serves a ready-made route describes a copy."""
    plain = serve(owned(store, by=current_user))
    ours = sturdy(routes=[route for route in plain.routes if isinstance(route, APIRoute)])

    assert {"401", "404"} <= set(responses(ours))
    assert set(responses(plain)) == {"200", "422"}


def test_each_inclusion_is_described() -> None:
    """A router under two prefixes is described under both, with each one's own responses."""
    app, router = sturdy(), orders_router()
    app.include_router(router, prefix="/v1", responses={404: {"description": "Gone"}})
    app.include_router(router, prefix="/v2")

    first, second = (responses(app, f"/{version}/orders/{{order_id}}") for version in ("v1", "v2"))

    assert (first["404"]["description"], second["404"]["description"]) == ("Gone", "Not Found")
    assert "401" in first
    assert "401" in second


def test_a_route_that_comes_later_is_described() -> None:
    """What is added after the document was asked for appears in the next."""
    app = sturdy()
    assert app.openapi()["paths"] == {}

    app.openapi_schema = None
    serve(owned(store, by=current_user), app=app)

    assert {"401", "404"} <= set(responses(app))


def test_other_routes_are_left_alone() -> None:
    """A route without any of ours keeps its responses."""
    app = sturdy(routers=[orders_router()])

    @app.get("/plain")
    async def plain() -> int:
        return 1

    assert set(responses(app, "/plain")) == {"200"}


def test_fastapis_own_errors_have_no_problem() -> None:
    """With `errors="fastapi"` the statuses are named, without a body that is not sent."""
    app = sturdy(routers=[orders_router()], errors="fastapi")

    assert responses(app)["401"] == {"description": "Unauthorized"}
    assert responses(app)["404"] == {"description": "Not Found"}
