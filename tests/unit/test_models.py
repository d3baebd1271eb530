"""The base model: its names, and that it is still Pydantic's."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import pydantic
import pytest
from fastapi import FastAPI, Query
from fastapi.testclient import TestClient
from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    RootModel,
    Tag,
    TypeAdapter,
    WrapSerializer,
    computed_field,
    create_model,
    field_serializer,
    model_serializer,
)

from sturdyapi.exceptions import FieldCollisionError
from sturdyapi.models import BaseModel, Money, ObjectId, UtcDatetime

from .wire_support import (
    DIGITS,
    EAST,
    ID,
    LONG,
    NAIVE,
    NOON,
    TEN,
    Chain,
    Event,
    Filters,
    Foreign,
    Line,
    Page,
    Pair,
    Point,
    Price,
    Priced,
    Tree,
    error_of,
    model_of,
    sent,
)

if TYPE_CHECKING:
    from collections.abc import Callable


# Names


def test_fields_are_camel_case_on_the_wire() -> None:
    """Every way out of a model is camelCase, and it takes both names in."""

    class Item(BaseModel):
        item_2_id: int
        ip_v4: str
        is_2fa: bool

    expected = {"item2Id": 1, "ipV4": "x", "is2Fa": True}
    for given in (expected, {"item_2_id": 1, "ip_v4": "x", "is_2fa": True}):
        item = Item(**given)
        assert item.model_dump() == expected
        assert sent(item) == expected
    assert item.model_dump(by_alias=False) == {"item_2_id": 1, "ip_v4": "x", "is_2fa": True}


def test_a_query_model_takes_both_names() -> None:
    """A query parameter of a model can be given in camelCase and in snake_case."""
    app = FastAPI()

    @app.get("/")
    async def read(filters: Annotated[Filters, Query()]) -> Filters:
        return filters

    client = TestClient(app)
    expected = {"minTotal": 1.5, "createdAfter": NOON, "ownerId": None}
    assert client.get("/", params={"min_total": "1.5", "created_after": NOON}).json() == expected
    assert client.get("/", params={"minTotal": "1.5", "createdAfter": NOON}).json() == expected
    assert client.get("/", params={"createdAfter": "0"}).status_code == 422


def test_attributes_are_taken() -> None:
    """A model takes the attributes of an object, nested ones included."""

    class Order(BaseModel):
        lines: list[Line]

    order = Order.model_validate(Order(lines=[Line(unit_price=Decimal(1))]), strict=False)
    assert Line.model_validate(pydantic.create_model("Row", unit_price=(int, 2))()).unit_price == 2
    assert order.lines[0].unit_price == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"user_id": int, "userId": int},
        {"user_id": int, "other": Annotated[int, Field(alias="userId")]},
        {"user_id": int, "other": Annotated[int, Field(serialization_alias="userId")]},
        {"user_id": int, "other": Annotated[int, Field(validation_alias="userId")]},
        {
            "user_id": int,
            "other": Annotated[int, Field(validation_alias=AliasChoices("x", "userId"))],
        },
        {"user_id": int, "userId": "Unknown"},
    ],
    ids=str,
)
def test_two_fields_with_one_name_are_refused(fields: dict[str, Any]) -> None:
    """A class whose fields meet on the wire is refused when it is made, with both names."""
    names = {"__module__": __name__, "__annotations__": fields}
    with pytest.raises(FieldCollisionError, match="'user_id'") as caught:
        type("User", (BaseModel,), names)
    assert caught.value.alias == "userId"
    assert set(caught.value.fields) == set(fields)


def test_an_inherited_or_computed_field_can_collide_too() -> None:
    """A field collides with one of its base class and with a computed field as well."""

    class User(BaseModel):
        user_id: int

    with pytest.raises(FieldCollisionError):
        type("Sub", (User,), {"__module__": __name__, "__annotations__": {"userId": int}})
    with pytest.raises(FieldCollisionError):

        class Computed(User):
            @computed_field
            def userId(self) -> int:  # noqa: N802 - the collision
                return 1


def test_names_that_do_not_meet_are_fine() -> None:
    """A field of its own alias, an excluded one and an overridden one are no collision."""

    class User(BaseModel):
        user_id: int
        userId: Annotated[int, Field(alias="legacyId")]  # noqa: N815 - a near collision
        secret: Annotated[int, Field(alias="s", serialization_alias="userId", exclude=True)] = 1

    class Sub(User):
        user_id: int = 5

    assert sent(Sub.model_validate({"legacyId": 1})) == {"userId": 5, "legacyId": 1}


def test_a_class_can_have_its_own_config() -> None:
    """The config of a model can be changed like that of every Pydantic model."""

    class Snake(BaseModel, frozen=True, alias_generator=None):
        user_id: int
        userId: int  # noqa: N815 - no collision here
        created_at: datetime = EAST

    snake = Snake(user_id=1, userId=2)
    assert sent(snake) == {"user_id": 1, "userId": 2, "created_at": TEN}
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        snake.user_id = 2  # type: ignore[misc]
    assert hash(snake) == hash(Snake(user_id=1, userId=2))


def test_an_unknown_class_keyword_is_refused() -> None:
    """A typo in a keyword of the class is an error, as it is in Pydantic."""
    with pytest.raises(TypeError):
        type("Order", (BaseModel,), {"__module__": __name__}, decimals_as="string")


# Models are still Pydantic's


def test_rules_reach_into_every_kind_of_type() -> None:
    """The rules hold in dataclasses, TypedDicts, tuples, sets, keys, unions and untyped values."""

    class Everything(BaseModel):
        model_config = ConfigDict(extra="allow")

        point: Point
        chain: Chain
        priced: Priced
        pair: Pair
        prices: set[Decimal]
        numbers: dict[Decimal, datetime]
        times: dict[datetime, Decimal]
        either: Decimal | str
        other: datetime | int
        bare: dict  # type: ignore[type-arg]
        many: list  # type: ignore[type-arg]
        anything: Any
        alias: Price

    chain = {"at": TEN, "next": {"at": NOON, "next": None}}
    everything = Everything(
        point=Point(Decimal("1.50"), EAST),
        chain=Chain(EAST, Chain(NAIVE)),
        priced={"price": Decimal("1.50")},
        pair=Pair(Decimal("1.50"), EAST),
        prices={Decimal("1.50")},
        numbers={Decimal("1.50"): EAST},
        times={EAST: Decimal("1.50")},
        either=Decimal("1.50"),
        other=EAST,
        bare={EAST: [ID], Decimal("1.50"): 1},
        many=[Point(Decimal("1.50"), EAST)],
        anything=(EAST, Decimal("1.50")),
        alias=Decimal("1.50"),
        extra={"a": [EAST]},
    )
    assert sent(everything) == {
        "point": {"price": 1.5, "at": TEN},
        "chain": chain,
        "priced": {"price": 1.5},
        "pair": [1.5, TEN],
        "prices": [1.5],
        "numbers": {"1.50": TEN},
        "times": {TEN: 1.5},
        "either": 1.5,
        "other": TEN,
        "bare": {TEN: [DIGITS], "1.50": 1},
        "many": [{"price": 1.5, "at": TEN}],
        "anything": [TEN, 1.5],
        "alias": 1.5,
        "extra": {"a": [TEN]},
    }


def test_computed_fields_follow_the_rules() -> None:
    """A computed field is sent like a field, although nothing validates it."""

    class Order(BaseModel):
        @computed_field  # type: ignore[prop-decorator]
        @property
        def total_price(self) -> Decimal:
            return Decimal("1.50")

        @computed_field  # type: ignore[prop-decorator]
        @property
        def opened_at(self) -> datetime | None:
            return NAIVE

    assert sent(Order()) == {"totalPrice": 1.5, "openedAt": NOON}


def test_typed_extras_follow_the_rules() -> None:
    """Extras with a type are taken and sent like fields."""

    class Prices(BaseModel):
        model_config = ConfigDict(extra="allow")
        __pydantic_extra__: dict[str, Decimal]

    assert sent(Prices(a="1.50")) == {"a": 1.5}


def test_a_union_prefers_what_pydantic_prefers() -> None:
    """A string stays a string beside a Decimal or datetime, and either takes its own type."""
    number, moment = model_of(Decimal | str), model_of(datetime | str)
    assert number(value="1.5").value == "1.5"
    assert number(value=Decimal("1.5")).value == Decimal("1.5")
    assert moment(value=NOON).value == NOON
    assert moment(value=EAST).value == EAST
    assert model_of(datetime | int)(value=5).value == 5


def test_strict_fields_stay_strict() -> None:
    """A strict model takes strings from JSON text only, as in Pydantic, and no number as date."""

    class Order(BaseModel):
        model_config = ConfigDict(strict=True)
        at: datetime
        total: Decimal

    order = Order.model_validate_json('{"at": "2026-01-31T12:00:00+02:00", "total": 1.5}')
    assert order == Order(at=EAST, total=Decimal("1.5"))
    assert Order(at=EAST, total=Decimal(1)).at.tzinfo is UTC
    for values in ({"at": NOON, "total": Decimal(1)}, {"at": EAST, "total": "1"}):
        with pytest.raises(pydantic.ValidationError):
            Order(**values)  # type: ignore[arg-type]
    for text in ('{"at": "1700000000", "total": 1}', '{"at": 1, "total": 1}'):
        with pytest.raises(pydantic.ValidationError):
            Order.model_validate_json(text)


def test_serializers_of_the_user_come_first() -> None:
    """What a serializer returns is sent; the rules hold for Decimals and datetimes it returns."""

    class Order(BaseModel):
        a: Annotated[Decimal, PlainSerializer(str, return_type=str)] = Decimal("1.50")
        b: Annotated[Decimal, WrapSerializer(lambda value, handler: handler(value))] = Decimal(
            "2.5"
        )
        c: Annotated[datetime, WrapSerializer(lambda _value, handler: handler(NAIVE))] = EAST
        d: Decimal = Decimal("3.5")
        e: int = 0
        f: Decimal = Decimal("4.5")
        g: Annotated[Any, WrapSerializer(lambda value, handler: handler(value))] = Decimal("5.5")

        @field_serializer("d")
        def double(self, value: Decimal):  # type: ignore[no-untyped-def]
            return value * 2

        @field_serializer("e")
        def when(self, _value: int) -> datetime:
            return NAIVE

    order = Order()
    expected = {"a": "1.50", "b": 2.5, "c": NOON, "d": 7.0, "e": NOON, "f": 4.5, "g": 5.5}
    assert sent(order) == expected
    assert order.model_dump()["d"] == Decimal(7)
    properties = Order.model_json_schema(mode="serialization")["properties"]
    assert [properties[name]["type"] for name in "abdf"] == ["string", "number", "number", "number"]


def test_model_serializers_follow_the_rules() -> None:
    """What a serializer of the whole model returns is sent by the rules."""

    class Order(BaseModel):
        at: datetime = EAST

        @model_serializer
        def as_dict(self) -> dict[str, Any]:
            return {"at": NAIVE, "total": Decimal("1.50")}

    class Wrapped(BaseModel):
        order: Order = Order()

        @model_serializer(mode="wrap")
        def more(self, handler: Callable[[Any], Any]):  # type: ignore[no-untyped-def]
            return {**handler(self), "total": Decimal("1.50")}

    body = {"at": NOON, "total": 1.5}
    assert sent(Wrapped()) == {"order": body, "total": 1.5}


def test_validators_of_the_user_work() -> None:
    """Validators before, after and around see what they see in Pydantic."""
    seen: list[Any] = []
    looked_at = Annotated[
        Decimal,
        BeforeValidator(lambda value: seen.append(value) or value),
        AfterValidator(lambda value: seen.append(value) or value),
    ]
    assert sent(model_of(looked_at)(value=1.5)) == {"value": 1.5}
    assert seen == [1.5, Decimal("1.5")]


def test_foreign_models_inside_of_ours_keep_their_rules() -> None:
    """A Pydantic model that is not ours is sent its own way, and so is what is inside of it."""

    class Theirs(pydantic.BaseModel):
        point: Point

    class Ours(BaseModel):
        theirs: Theirs
        point: Point
        more: RootModel[Decimal]

    point = Point(Decimal("1.50"), EAST)
    ours = Ours(theirs=Theirs(point=point), point=point, more=RootModel[Decimal](Decimal("1.50")))
    assert sent(ours) == {
        "theirs": {"point": {"price": "1.50", "at": "2026-01-31T12:00:00+02:00"}},
        "point": {"price": 1.5, "at": TEN},
        "more": "1.50",
    }
    assert TypeAdapter(Point).dump_python(point, mode="json")["price"] == "1.50"


def test_our_models_inside_of_foreign_ones_keep_ours() -> None:
    """One of our models is sent by our rules wherever it is."""

    class Theirs(pydantic.BaseModel):
        line: Line
        price: Decimal

    theirs = Theirs(line=Line(unit_price=Decimal("1.50")), price=Decimal("1.50"))
    assert sent(theirs) == {"line": {"unitPrice": 1.5, "shippedAt": None}, "price": "1.50"}


def test_root_models_follow_the_rules() -> None:
    """A root model made from our base is sent by our rules."""

    class Prices(BaseModel, RootModel[list[Decimal]]):
        pass

    assert sent(Prices(["1.50"])) == [1.5]


def test_recursive_and_generic_models_follow_the_rules() -> None:
    """A model may contain itself and be generic."""
    tree = Tree(at=EAST, children=[Tree(at=NOON), Tree(at=NAIVE)])
    leaves = [{"at": NOON, "children": []}] * 2
    assert sent(tree) == {"at": TEN, "children": leaves}
    assert sent(Page[Tree](items=[], first=tree))["first"]["at"] == TEN
    assert sent(Page[Decimal](items=["1.50"], first=1)) == {"items": [1.5], "first": 1.0}
    assert sent(Page(items=[EAST], first=ID)) == {"items": [TEN], "first": DIGITS}


def test_a_class_that_comes_later_can_be_named() -> None:
    """A field may refer to a class that is defined after its own."""
    fields: dict[str, Any] = {"part": ("Part", ...), "at": (datetime, ...)}
    order = create_model("Order", __base__=BaseModel, **fields)
    part = create_model("Part", __base__=BaseModel, price=(Decimal, ...))
    assert order.model_rebuild(_types_namespace={"Part": part})
    assert sent(order(part={"price": "1.50"}, at=EAST)) == {"part": {"price": 1.5}, "at": TEN}
    assert order.model_rebuild(force=True, _types_namespace={"Part": part})
    assert sent(order(part={"price": "1.50"}, at=EAST)) == {"part": {"price": 1.5}, "at": TEN}


class Author(BaseModel):
    born: datetime
    books: list[Book]


class Book(BaseModel):
    price: Decimal
    authors: list[Author] = Field(default_factory=list)
    cover: Cover | None = None


@dataclass
class Cover:
    printed: datetime
    book: Book | None = None


def test_models_and_dataclasses_may_refer_to_each_other() -> None:
    """Models that contain each other, also through a dataclass, are sent by the rules."""
    book = Book(price=Decimal("1.50"), cover=Cover(EAST))
    author = Author(
        born=EAST, books=[book, Book(price=Decimal(2), authors=[Author(born=NAIVE, books=[])])]
    )
    assert sent(author) == {
        "born": TEN,
        "books": [
            {"price": 1.5, "authors": [], "cover": {"printed": TEN, "book": None}},
            {"price": 2.0, "authors": [{"born": NOON, "books": []}], "cover": None},
        ],
    }


def test_a_union_may_be_told_apart_by_a_function() -> None:
    """Members of a union that carry tags are sent by the rules."""
    members = Annotated[Decimal, Tag("number")] | Annotated[datetime, Tag("moment")]
    kind = Discriminator(lambda value: "moment" if isinstance(value, datetime) else "number")
    for annotation in (members, Annotated[members, kind]):
        values: Any = list[annotation]  # type: ignore[valid-type]
        holder = create_model("Holder", __base__=BaseModel, value=(values, ...))
        assert sent(holder(value=[Decimal("1.50"), EAST])) == {"value": [1.5, TEN]}


def test_models_can_be_copied_and_pickled() -> None:
    """Copies and pickles of a model are equal to it."""
    event = Event(at=EAST, price=LONG)
    for copied in (copy.copy(event), copy.deepcopy(event), pickle.loads(pickle.dumps(event))):
        assert copied == event
        assert sent(copied) == sent(event)


def test_a_response_can_be_narrowed() -> None:
    """FastAPI's `response_model_*` settings work with our models."""
    app = FastAPI()
    row = {"at": EAST, "price": Decimal("1.50")}

    @app.get("/only", response_model_include={"price"})
    async def only() -> Event:
        return row  # type: ignore[return-value]

    @app.get("/unset", response_model=list[Event], response_model_exclude_unset=True)
    async def unset() -> Any:
        return [{"at": EAST}]

    @app.get("/snake", response_model_by_alias=False)
    async def snake() -> Line:
        return Line(unit_price=Decimal(1), shipped_at=EAST)

    client = TestClient(app)
    assert client.get("/only").json() == {"price": 1.5}
    assert client.get("/unset").json() == [{"at": TEN}]
    assert client.get("/snake").json() == {"unit_price": 1.0, "shipped_at": TEN}


def test_a_returned_instance_that_was_changed_is_sent_by_the_rules() -> None:
    """FastAPI does not validate an instance again: what an endpoint set in it still follows."""
    app = FastAPI()

    @app.get("/")
    async def read() -> list[Event]:
        changed = Event(at=EAST)
        changed.at = NAIVE
        changed.price = Decimal("1.50")
        return [changed, Event.model_construct(at=NAIVE, price=Decimal(2))]

    expected = [{"at": NOON, "price": 1.5}, {"at": NOON, "price": 2.0}]
    assert TestClient(app).get("/").json() == expected


def test_a_plain_route_with_our_model_needs_nothing_else() -> None:
    """Our models keep their rules in a plain FastAPI app, and its own models stay as they are."""
    app = FastAPI()

    @app.get("/ours")
    async def ours() -> Event:
        return Event(at=EAST)

    @app.get("/theirs")
    async def theirs() -> Foreign:
        return Foreign()

    client = TestClient(app)
    assert client.get("/ours").json() == {"at": TEN, "price": 9.99}
    assert client.get("/theirs").json() == {"price": "1.50", "at": "2026-01-31T12:00:00+02:00"}


def test_messages_of_our_own_do_not_repeat_input() -> None:
    """No message about a refused value contains it."""
    secret = "s3cret-5"
    for annotation in (Decimal, Money, datetime, UtcDatetime, ObjectId):
        message = error_of(model_of(annotation), secret)["msg"]
        assert secret not in message
