"""A small shop: two users, their orders, and what was asked of the store."""

from dataclasses import dataclass, field
from typing import Annotated, Any

import httpx2
from fastapi import Depends, FastAPI, Header
from fastapi.testclient import TestClient

from sturdyapi import BaseSettings, SturdyAPI, create_app
from sturdyapi.ownership import owned


@dataclass
class User:
    id: int | None
    is_admin: bool = False


@dataclass
class Order:
    id: int
    owner_id: int | None


@dataclass(eq=False)
class Store:
    """Loads orders and notes which were asked for; an instance is a dependency."""

    orders: dict[int, Order] = field(
        default_factory=lambda: {1: Order(1, 1), 2: Order(2, 2), 3: Order(3, None)}
    )
    asked: list[int] = field(default_factory=list)

    async def __call__(self, order_id: int) -> Order | None:
        self.asked.append(order_id)
        return self.orders.get(order_id)


PATH = "/orders/{order_id}"
ANN, BOB, ADMIN = {"x-user": "1"}, {"x-user": "2"}, {"x-user": "99"}
NOBODY: dict[str, str] = {}


async def current_user(x_user: Annotated[int | None, Header()] = None) -> User | None:
    """Return the user that the request names; an app would verify a token."""
    return None if x_user is None else User(x_user, is_admin=x_user == 99)


def sturdy(**options: Any) -> SturdyAPI:
    """Return an app with the practices on, and no logging set up."""
    return create_app(BaseSettings(environment="testing"), logs=False, **options)


def serve(dependency: Any, path: str = PATH, app: FastAPI | None = None) -> FastAPI:
    """Return an app with one endpoint, which answers the `id` of what its dependency gives."""
    app = app or FastAPI()

    @app.get(path)
    async def read(value: Annotated[Any, dependency]) -> Any:
        return value["id"] if isinstance(value, dict) else value.id

    return app


def get(app: FastAPI, path: str = "/orders/1", headers: dict[str, str] = ANN) -> httpx2.Response:
    """Return the answer to one request."""
    response: httpx2.Response = TestClient(app).get(path, headers=headers)
    return response


def compared(owner: Any, key: Any) -> int:
    """Return the status for an object of `owner`, asked for by the user with `key`."""
    dependency = owned(
        lambda: {"id": 1, "owner_id": owner},
        by=Depends(lambda: {"id": key}),
    )
    return get(serve(dependency)).status_code
