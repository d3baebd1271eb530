"""Which ids are the same, which never match, and which can't be compared."""

import pickle
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from types import MappingProxyType
from typing import Any
from unittest.mock import ANY
from uuid import UUID

import bson
import pytest
from asyncpg.pgproto.pgproto import UUID as AsyncpgUUID  # type: ignore[import-untyped]  # noqa: N811 - it is a class
from bson.raw_bson import RawBSONDocument
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient

from sturdyapi import BaseModel
from sturdyapi.exceptions import OwnerLookupError, OwnerTypeError
from sturdyapi.ownership import owned

from .support import compared, get, serve, sturdy

SOME_UUID = UUID("6f2b6c1e-0000-4000-8000-000000000001")
OTHER_UUID = UUID("6f2b6c1e-0000-4000-8000-000000000002")
SOME_OBJECT_ID = bson.ObjectId("65f000000000000000000001")


class Tenant(StrEnum):
    NORTH = "north"


class Number(IntEnum):
    ONE = 1


class Region(Enum):
    EU = "eu"
    US = "us"


class Planet(Enum):
    EU = "eu"


@dataclass(frozen=True)
class Account:
    number: int


class Anything(str):
    """Claims to be equal to everything."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0


class Expression:
    """Makes more of itself of a comparison, as columns of SQLAlchemy do."""

    def __eq__(self, other: object) -> Any:
        return self

    __hash__ = None  # type: ignore[assignment]


class Plain:
    pass


SAME_OBJECT = Plain()


@pytest.mark.parametrize(
    ("owner", "key"),
    [
        (0, 0),
        (2**70, 2**70),
        ("ann", "ann"),
        (b"ann", b"ann"),
        (SOME_UUID, UUID(str(SOME_UUID))),
        (AsyncpgUUID(str(SOME_UUID)), SOME_UUID),
        (SOME_UUID, AsyncpgUUID(str(SOME_UUID))),
        (SOME_OBJECT_ID, bson.ObjectId(str(SOME_OBJECT_ID))),
        ("north", Tenant.NORTH),
        (Tenant.NORTH, "north"),
        (1, Number.ONE),
        (Decimal("7.00"), 7),
        (7, Decimal(7)),
        (Region.EU, Region.EU),
        (Account(1), Account(1)),
        (("north", 1), (Tenant.NORTH, 1)),
    ],
)
def test_equal_ids_match(owner: Any, key: Any) -> None:
    """Ids of one type match by value; so do those of a subclass, and whole numbers."""
    assert compared(owner, key) == 200


@pytest.mark.parametrize(
    ("owner", "key"),
    [
        (1, 2),
        ("ann", "Ann"),
        ("ann", "ann "),
        (SOME_UUID, OTHER_UUID),
        (AsyncpgUUID(str(SOME_UUID)), OTHER_UUID),
        (Decimal("7.5"), 7),
        (2**53 + 1, Decimal(2**53)),
        (Region.EU, Region.US),
        (Account(1), Account(2)),
        (("north", 1), ("south", 1)),
        (Anything("ann"), "bob"),
        ("bob", Anything("ann")),
    ],
)
def test_different_ids_do_not_match(owner: Any, key: Any) -> None:
    """Ids of one type that differ are a 404, whatever a subclass says of equality."""
    assert compared(owner, key) == 404


@pytest.mark.parametrize(
    ("owner", "key"),
    [
        (None, None),
        (None, 1),
        (1, None),
        ("", ""),
        (b"", b""),
        ((), ()),
        (("north", None), ("north", None)),
        (None, "not compared"),
    ],
)
def test_nobody_matches_nobody(owner: Any, key: Any) -> None:
    """`None`, and an empty text, are no ids: an ownerless object belongs to no anonymous user."""
    assert compared(owner, key) == 404


@pytest.mark.parametrize(
    ("owner", "key", "owner_type", "key_type"),
    [
        (SOME_UUID, str(SOME_UUID), "uuid.UUID", "str"),
        (str(SOME_UUID), SOME_UUID, "str", "uuid.UUID"),
        (1, "1", "int", "str"),
        ("1", 1, "str", "int"),
        (SOME_OBJECT_ID, str(SOME_OBJECT_ID), "bson.objectid.ObjectId", "str"),
        (b"ann", "ann", "bytes", "str"),
        (Region.EU, "eu", f"{__name__}.Region", "str"),
        (Region.EU, Planet.EU, f"{__name__}.Region", f"{__name__}.Planet"),
        (Account(1), 1, f"{__name__}.Account", "int"),
        ([1, 2], 1, "list", "int"),
        (("north", 1), "north", "tuple of 2", "str"),
        (("north", 1), ("north", 1, 1), "tuple of 2", "tuple of 3"),
        (("south", 1), ("north", "1"), "int", "str"),
    ],
)
def test_ids_that_can_never_be_equal_are_an_error(
    owner: Any, key: Any, owner_type: str, key_type: str
) -> None:
    """A UUID is never equal to a text: that is said, where it would be a 404 for everything."""
    with pytest.raises(OwnerTypeError) as caught:
        compared(owner, key)

    assert (caught.value.owner_type, caught.value.key_type) == (owner_type, key_type)


@pytest.mark.parametrize(
    ("owner", "key"),
    [(True, 1), (1, True), (True, True), (1.0, 1), (1, 1.0), (1.5, 1.5)],
)
def test_truth_values_and_floats_are_no_ids(owner: Any, key: Any) -> None:
    """`True` is not user 1, and a float may have been rounded to another's id."""
    with pytest.raises(OwnerTypeError):
        compared(owner, key)


@pytest.mark.parametrize(
    ("owner", "key"),
    [
        (ANY, 1),
        (1, ANY),
        (Expression(), 1),
        (Expression(), Expression()),
        (SAME_OBJECT, SAME_OBJECT),
        (Plain(), Plain()),
    ],
)
def test_objects_that_do_not_compare_by_value_are_an_error(owner: Any, key: Any) -> None:
    """What is equal to everything, to nothing but itself, or gives no answer, is no id."""
    with pytest.raises(OwnerTypeError):
        compared(owner, key)


def test_the_error_says_what_to_convert() -> None:
    """It names the function, both types and the way out, and no value."""

    def find_order() -> dict[str, Any]:
        return {"id": 1, "owner_id": SOME_UUID}

    with pytest.raises(OwnerTypeError) as caught:
        get(serve(owned(find_order, by=lambda: {"id": "secret-of-ann"})))

    message = str(caught.value)
    assert "find_order() found is a uuid.UUID" in message
    assert "the user's key a str" in message
    assert "key=lambda user: str(user.id)" in message
    assert str(SOME_UUID) not in message
    assert "secret-of-ann" not in message


def test_a_conversion_makes_them_comparable() -> None:
    """`key=` as a function gives both ids one type."""
    dependency = owned(
        lambda: {"id": 1, "owner_id": SOME_UUID},
        by=lambda: {"sub": str(SOME_UUID)},
        key=lambda user: UUID(user["sub"]),
    )

    assert get(serve(dependency)).status_code == 200


def test_owner_and_key_may_be_asynchronous() -> None:
    """A function for `owner=` or `key=` may be an `async def`."""

    async def read_owner(order: dict[str, Any]) -> int:
        return order["customer"]["id"]  # type: ignore[no-any-return]

    async def read_key(user: dict[str, int]) -> int:
        return user["number"]

    def serve_for(number: int) -> Any:
        return serve(
            owned(
                lambda: {"id": 1, "customer": {"id": 5}},
                by=Depends(lambda: {"number": number}),
                owner=read_owner,
                key=read_key,
            )
        )

    assert get(serve_for(5)).status_code == 200
    assert get(serve_for(6)).status_code == 404


# Where ids are read.


class OrderModel(BaseModel):
    id: int = 1
    owner_id: int = 1


def _stored_model() -> OrderModel:
    return OrderModel()


class Slotted:
    __slots__ = ("id", "owner_id")

    def __init__(self) -> None:
        self.id = self.owner_id = 1


class Computed:
    id = 1

    @property
    def owner_id(self) -> int:
        return 1


class WithDefault(dict[str, int]):
    def __missing__(self, key: str) -> int:
        return 1


def _sqlite_row() -> sqlite3.Row:
    connection = sqlite3.connect(":memory:")
    try:
        connection.row_factory = sqlite3.Row
        row: sqlite3.Row = connection.execute("select 1 as id, 1 as owner_id").fetchone()
        return row
    finally:
        connection.close()


FOUND: dict[str, Callable[[], Any]] = {
    "model": _stored_model,
    "slots": Slotted,
    "property": Computed,
    "dict": lambda: {"id": 1, "owner_id": 1},
    "mapping": lambda: MappingProxyType({"id": 1, "owner_id": 1}),
    "row": _sqlite_row,
    "document": lambda: RawBSONDocument(bson.encode({"id": 1, "owner_id": 1})),
}


@pytest.mark.parametrize("make", FOUND.values(), ids=FOUND.keys())
def test_ids_are_read_from_attributes_and_keys(make: Callable[[], Any]) -> None:
    """Objects, rows of databases, mappings and documents all tell their owner."""

    def status_for(user: int) -> int:
        app = FastAPI(dependencies=[owned(make, by=lambda: {"id": user})])
        return get(serve(Depends(lambda: {"id": 1}), app=app)).status_code

    assert (status_for(1), status_for(2)) == (200, 404)


def test_a_mapping_is_read_by_key_only() -> None:
    """`owner="items"` is a key of a dict, not its method."""
    dependency = owned(lambda: {"id": 1, "items": 5}, by=lambda: {"id": 5}, owner="items")

    assert get(serve(dependency)).status_code == 200


@pytest.mark.parametrize(
    ("value", "type_name", "known"),
    [
        (OrderModel(), f"{__name__}.OrderModel", ("id", "owner_id")),
        (Slotted(), f"{__name__}.Slotted", ("id", "owner_id")),
        (Computed(), f"{__name__}.Computed", ("id", "owner_id")),
        ({"id": 1, "owner_id": 7, 9: 9, "ann@example.com": 1}, "dict", ("id", "owner_id")),
        (WithDefault(id=1), f"{__name__}.WithDefault", ("id",)),
        (_sqlite_row(), "sqlite3.Row", ("id", "owner_id")),
        (object(), "object", ()),
    ],
)
def test_a_missing_owner_is_an_error(value: Any, type_name: str, known: tuple[str, ...]) -> None:
    """A misspelt name is told, with what there is to choose from."""
    dependency = owned(lambda: value, by=lambda: {"id": 1}, owner="ower_id")

    with pytest.raises(OwnerLookupError) as caught:
        get(serve(dependency))

    error = caught.value
    assert (error.argument, error.name, error.type_name) == ("owner", "ower_id", type_name)
    assert error.known == known


@Mapping.register
class RowOfValues:
    """A row as a driver makes them: a mapping that is iterated by value."""

    def keys(self) -> list[str]:
        return ["id", "token"]

    def __iter__(self) -> Iterator[str]:
        return iter(["1", "S3cretToken"])

    def __getitem__(self, key: str) -> str:
        return "S3cretToken"


def test_no_value_of_a_row_is_told() -> None:
    """The error of a misspelt name tells the names of a row, whatever iterating it gives."""
    with pytest.raises(OwnerLookupError) as caught:
        get(serve(owned(RowOfValues, by=lambda: {"id": 1})))

    assert caught.value.known == ("id", "token")
    assert "S3cretToken" not in str(caught.value)


def test_a_missing_key_is_an_error() -> None:
    """The user is held to the same: a guess at the name is offered, and no value is told."""
    dependency = owned(
        lambda: {"id": 1, "owner_id": 1}, by=lambda: {"uid": "secret", "name": "Ann"}
    )

    with pytest.raises(OwnerLookupError) as caught:
        get(serve(dependency))

    assert "key='id'" in str(caught.value)
    assert "has: name, uid. Did you mean 'uid'?" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_only_so_many_names_are_told() -> None:
    """The choice is cut where it would fill the log."""
    wide = {f"column_{number}": number for number in range(500)}

    with pytest.raises(OwnerLookupError) as caught:
        get(serve(owned(lambda: wide, by=lambda: {"id": 1})))

    assert len(caught.value.known) == 20


def test_a_failing_property_keeps_its_own_error() -> None:
    """An owner whose reading fails is not reported as missing."""

    class Broken:
        @property
        def owner_id(self) -> int:
            raise AttributeError("no session")

    with pytest.raises(AttributeError, match="no session"):
        get(serve(owned(Broken, by=lambda: {"id": 1})))


def test_a_wrong_name_is_a_500_to_the_client() -> None:
    """The client learns nothing of a programmer's mistake."""
    app = serve(owned(lambda: {"id": 1}, by=lambda: {"id": 1}), app=sturdy())

    response = TestClient(app, raise_server_exceptions=False).get("/orders/1")

    assert response.status_code == 500
    assert "owner_id" not in response.text


def test_an_error_can_be_sent_to_another_process() -> None:
    """The facts of an error survive a copy."""
    lookup = OwnerLookupError("owner", "x", type_name="T", known=["y"])
    types = OwnerTypeError("find()", owner_type="int", key_type="str")

    for error in (lookup, types):
        copy = pickle.loads(pickle.dumps(error))
        assert str(copy) == str(error)
        assert isinstance(copy, type(error))
