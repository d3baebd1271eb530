"""What type checkers know of ownership."""

from typing import Annotated, Any, assert_type

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient

from sturdyapi.exceptions import ConfigurationError
from sturdyapi.ownership import found, must, owned

PATH = "/{order_id}"


class Order:
    id = 1
    owner_id = 1


class User:
    id = 1


async def find_order(order_id: int) -> Order | None:
    """Return an order, or nothing."""
    return Order() if order_id == 1 else None


def current_user() -> User:
    """Return the user."""
    return User()


async def may_see_all(_user: User) -> bool:
    """Tell whether the user may see everybody's."""
    return False


MyOrder = Annotated[Order, owned(find_order, by=current_user)]


def test_an_owned_parameter_has_the_type_that_it_names() -> None:
    """`MyOrder` is an `Order` to a type checker, never `None`; so is a default value."""
    app = FastAPI()

    @app.get(PATH)
    async def read(order: MyOrder) -> int:
        assert_type(order, Order)
        return order.id

    @app.get(f"/default{PATH}")
    async def read_by_default(order: Order = owned(find_order, by=current_user)) -> int:  # noqa: B008
        assert_type(order, Order)
        return order.id

    assert TestClient(app).get("/1").json() == 1
    assert TestClient(app).get("/default/1").json() == 1


def test_every_form_of_argument_is_typed() -> None:
    """Functions, `Depends` and `Annotated` names may be given; rules are `def` or `async def`."""
    assert_type(owned(Depends(find_order), by=Depends(current_user)), Any)
    assert_type(owned(find_order, by=MyOrder, owner="id"), Any)
    owned(
        find_order,
        by=current_user,
        owner=lambda order: order.owner_id,
        key=lambda user: user.id,
        bypass=may_see_all,
    )
    assert_type(must(MyOrder, lambda order: order.id == 1, status=409, detail="closed"), Any)


def test_found_is_never_none() -> None:
    """`found()` takes the `None` out of a type."""
    order: Order | None = Order()

    assert_type(found(order), Order)
    assert_type(found({"id": 1}.get("id"), "No such order"), int)


def test_arguments_of_another_kind_are_an_error() -> None:
    """Type checkers refuse what can't be called, and so does the call."""
    with pytest.raises(ConfigurationError):
        owned("find_order", by=current_user)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError):
        owned(find_order, by=current_user, owner=7)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError):
        must(find_order, True)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        owned(find_order)  # type: ignore[call-arg]
