"""The services that are measured, written once and served by FastAPI and by SturdyAPI.

The endpoints are the same for both. The models differ in their base only: with SturdyAPI its
`BaseModel`; with FastAPI `CamelModel`, which is what a careful project writes to get the same JSON.
"""

# No `from __future__ import annotations`: FastAPI could not look up the models, which are local.

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import pydantic
from fastapi import APIRouter, Depends, FastAPI, Header
from pydantic import ConfigDict
from pydantic.alias_generators import to_camel

from sturdyapi import BaseModel, SturdyAPI, create_app

__all__ = ["WORKLOADS", "Workload", "bare_app", "sturdy_app"]

Base = type[pydantic.BaseModel]

_LIST_LENGTH = 100
_LINES = 10
_ROUTES_PER_RESOURCE = 5
_RESOURCES = 20
_CREATED_AT = datetime(2026, 3, 4, 5, 6, 7, 890000, tzinfo=UTC)


class CamelModel(pydantic.BaseModel):
    """The base of the models that bare FastAPI serves."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One request and the service that answers it."""

    name: str
    what: str
    make_router: Callable[[Base], APIRouter]
    path: str
    method: str = "GET"
    query: str = ""
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    large: bool = False
    """Put the router last in a project of 100 routes, in nested routers."""

    def routers(self, base: Base) -> Sequence[APIRouter]:
        """Return what an app includes to serve this workload."""
        router = self.make_router(base)
        return [_project_of_100_routes(router) if self.large else router]

    def in_large_project(self) -> "Workload":
        """Return the same request to a project of 100 routes."""
        return replace(
            self,
            name=f"{self.name}100",
            what=f"{self.name} as the last of 100 routes, in nested routers",
            path=f"/api{self.path}",
            large=True,
        )


def bare_app(workload: Workload) -> FastAPI:
    """Return a FastAPI app as its tutorial makes it; without the documentation's routes."""
    app = FastAPI(openapi_url=None)
    for router in workload.routers(CamelModel):
        app.include_router(router)
    return app


def sturdy_app(workload: Workload) -> SturdyAPI:
    """Return the same service with every practice on, as the environment says."""
    return create_app(routers=workload.routers(BaseModel))


def _plain(base: Base) -> APIRouter:
    router = APIRouter(prefix="/items")

    class Item(base):  # type: ignore[valid-type, misc]
        item_id: int
        display_name: str
        in_stock: bool

    @router.get("/{item_id}")
    async def read_item(item_id: int, q: str | None = None) -> Item:
        return Item(item_id=item_id, display_name=q or "none", in_stock=True)

    return router


def _items(base: Base) -> APIRouter:
    router = APIRouter(prefix="/orders")

    class Line(base):  # type: ignore[valid-type, misc]
        sku: str
        quantity: int
        unit_price: Decimal

    class Order(base):  # type: ignore[valid-type, misc]
        customer_id: int
        total: Decimal
        created_at: datetime
        lines: list[Line]

    @router.post("")
    async def create_order(order: Order) -> Order:
        return order

    return router


def _ldict(base: Base) -> APIRouter:
    router = APIRouter(prefix="/products")

    class Product(base):  # type: ignore[valid-type, misc]
        id: int
        display_name: str
        price: Decimal
        created_at: datetime

    rows = _rows()

    @router.get("")
    async def list_products() -> list[Product]:
        return rows  # type: ignore[return-value]  # as from a database driver

    return router


def _lmodel(base: Base) -> APIRouter:
    router = APIRouter(prefix="/products")

    class Product(base):  # type: ignore[valid-type, misc]
        id: int
        display_name: str
        price: Decimal
        created_at: datetime

    products = [Product(**row) for row in _rows()]

    @router.get("")
    async def list_products() -> list[Product]:
        return products

    return router


def _rows() -> list[dict[str, Any]]:
    return [
        {
            "id": number,
            "display_name": f"Product {number}",
            "price": Decimal(1999 + number) / 100,
            "created_at": _CREATED_AT,
        }
        for number in range(_LIST_LENGTH)
    ]


async def _connection() -> AsyncIterator[dict[str, str]]:
    yield {"token": "ada"}


_Connection = Annotated[dict[str, str], Depends(_connection)]


async def _current_user(db: _Connection, authorization: Annotated[str, Header()]) -> str:
    return db[authorization.removeprefix("Bearer ")]


_User = Annotated[str, Depends(_current_user)]


async def _permissions(db: _Connection, user: _User) -> bool:
    return user in db.values()


def _deps(base: Base) -> APIRouter:
    router = APIRouter(prefix="/me")

    class Profile(base):  # type: ignore[valid-type, misc]
        user_name: str
        may_write: bool

    @router.get("")
    async def read_profile(
        user: _User, may_write: Annotated[bool, Depends(_permissions)]
    ) -> Profile:
        return Profile(user_name=user, may_write=may_write)

    return router


def _project_of_100_routes(last: APIRouter) -> APIRouter:
    """Return a router of resource routers; `last` stands behind all others."""
    api = APIRouter(prefix="/api")
    for number in range(_RESOURCES):
        resource = APIRouter(prefix=f"/resource{number}", tags=[f"resource{number}"])
        for action in range(_ROUTES_PER_RESOURCE):
            # The measured route is the hundredth.
            if (number, action) != (0, 0):
                resource.add_api_route(f"/{{id}}/action{action}", _unused)
        api.include_router(resource)
    api.include_router(last)
    return api


async def _unused(id: int) -> int:  # noqa: A002 - a path parameter as people name it
    return id


_ORDER = (
    b'{"customerId":7,"total":"219.89","createdAt":"2026-03-04T05:06:07.890000Z","lines":['
    + b",".join(b'{"sku":"A-%d","quantity":%d,"unitPrice":"19.99"}' % (n, n) for n in range(_LINES))
    + b"]}"
)

_PLAIN = Workload(
    name="plain",
    what="GET, one path and one query parameter, a small model",
    make_router=_plain,
    path="/items/42",
    query="q=desk",
)
_DEPS = Workload(
    name="deps",
    what="three nested dependencies, one shared, one with yield",
    make_router=_deps,
    path="/me",
    headers={"authorization": "Bearer token"},
)

WORKLOADS = {
    workload.name: workload
    for workload in (
        _PLAIN,
        Workload(
            name="items",
            what="POST, a model with Decimal, datetime and ten nested lines, in and out",
            make_router=_items,
            method="POST",
            path="/orders",
            body=_ORDER,
        ),
        Workload(
            name="ldict",
            what="100 dicts through a response model",
            make_router=_ldict,
            path="/products",
        ),
        Workload(
            name="lmodel",
            what="100 instances of the response model",
            make_router=_lmodel,
            path="/products",
        ),
        _DEPS,
        _PLAIN.in_large_project(),
        _DEPS.in_large_project(),
    )
}
"""By name, in the order they are measured."""
