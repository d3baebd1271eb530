"""The base of every model, and the types that go over the wire exactly."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, TypeVar, cast, get_args

import pydantic
from pydantic import AliasChoices, AliasGenerator, ConfigDict
from pydantic.alias_generators import to_camel

from sturdyapi.exceptions import FieldCollisionError
from sturdyapi.wire import (
    DecimalForm,
    Exact,
    Instant,
    Rule,
    has_rules,
    loaded_class,
    model_rules,
    object_id_class,
    object_id_schema,
    ruled_schema,
    with_known_types,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Unpack

    from bson import ObjectId
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

__all__ = ["BaseModel", "Money", "ObjectId", "UtcDatetime"]


def _refuse_collisions(model: type[pydantic.BaseModel]) -> None:
    """Refuse two fields that are one on the wire, be it on the way in or on the way out."""
    for names in (_names_in(model), _names_out(model)):
        fields: dict[str, str] = {}
        for field, name in names:
            other = fields.setdefault(name, field)
            if other != field:
                raise FieldCollisionError(model.__qualname__, name, (other, field))


def _names_in(model: type[pydantic.BaseModel]) -> Iterator[tuple[str, str]]:
    for field, info in model.model_fields.items():
        alias = info.validation_alias or info.alias or _generated(model, field)
        choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
        yield from ((field, choice) for choice in choices if isinstance(choice, str))


def _names_out(model: type[pydantic.BaseModel]) -> Iterator[tuple[str, str]]:
    for field, info in model.model_fields.items():
        if not info.exclude:
            yield field, info.serialization_alias or info.alias or _generated(model, field)
    for field, computed in model.model_computed_fields.items():
        yield field, computed.alias or _generated(model, field)


def _generated(model: type[pydantic.BaseModel], field: str) -> str:
    """Return the alias of a field that Pydantic has not come to yet, for want of its type."""
    generator = model.model_config.get("alias_generator")
    if isinstance(generator, AliasGenerator):
        generator = generator.serialization_alias or generator.alias
    return generator(field) if generator is not None else field


class BaseModel(pydantic.BaseModel):
    """A model with `snake_case` fields that are `camelCase` on the wire; it takes both names.

    Its `Decimal`, `datetime` and `bson.ObjectId` fields travel as OpenAPI says: a JSON number,
    RFC 3339 in UTC ending in `Z`, 24 hexadecimal digits. `class Invoice(BaseModel,
    decimal_as="string")` takes and sends Decimals as `Money` does, and so do the classes under it.

    Raises:
        FieldCollisionError: Two fields of a class have one name on the wire.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        from_attributes=True,
        serialize_by_alias=True,
        validate_by_alias=True,
        validate_by_name=True,
    )

    if TYPE_CHECKING:  # Pydantic would evaluate these anew for each class under this one
        __decimal_as__: ClassVar[DecimalForm]
        __field_rules__: ClassVar[Mapping[str, tuple[Rule, ...]]]
    else:
        __decimal_as__ = "number"
        __field_rules__ = {}

    def __init_subclass__(
        cls, *, decimal_as: DecimalForm | None = None, **config: Unpack[ConfigDict]
    ) -> None:
        super().__init_subclass__(**config)
        if decimal_as is not None:
            cls.__decimal_as__ = _known_form(decimal_as)

    @classmethod
    def __pydantic_init_subclass__(cls, **config: Any) -> None:
        super().__pydantic_init_subclass__(**config)
        if not cls.__pydantic_complete__:  # a type is still unknown: names are checked now already
            _refuse_collisions(cls)

    @classmethod
    def __pydantic_on_complete__(cls) -> None:
        super().__pydantic_on_complete__()
        _refuse_collisions(cls)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[pydantic.BaseModel], handler: GetCoreSchemaHandler, /
    ) -> CoreSchema:
        for field in cls.model_fields.values():
            field.annotation = with_known_types(field.annotation)
        schema = handler(source)
        if has_rules(schema):
            return schema
        schema, cls.__field_rules__ = model_rules(
            cls, schema, decimal_as=cls.__decimal_as__, resolve=handler.resolve_ref_schema
        )
        return schema

    if not TYPE_CHECKING:  # type checkers know Pydantic's own, and a __setattr__ would blind them

        @classmethod
        def model_construct(cls, _fields_set: set[str] | None = None, **values: Any) -> Self:
            """Like Pydantic's: nothing is validated, but datetimes still end up in UTC."""
            return _settled(super().model_construct(_fields_set, **values))

        def __setattr__(self, name: str, value: Any) -> None:
            rules = type(self).__field_rules__.get(name)
            if rules is not None and not self.model_config.get("validate_assignment"):
                for rule in rules:
                    value = rule.keep(value)
            super().__setattr__(name, value)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Like Pydantic's: `update` is not validated, but datetimes still end up in UTC."""
        copied = super().model_copy(update=update, deep=deep)
        return _settled(copied) if update else copied


M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class _Money:
    """Makes a Decimal travel as a string."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return ruled_schema(Exact("Money"), handler(source))


Money = Annotated[Decimal, _Money()]
"""A Decimal that goes over the wire digit for digit, as a string such as `"19.99"`.

Takes strings and whole numbers. A JSON number with a fraction is refused, since what it lost on its
way can't be seen any more.
"""


@dataclass(frozen=True, slots=True)
class _Utc:
    """Makes a datetime refuse input without a zone."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        aware = {**handler(source), "tz_constraint": "aware"}
        return ruled_schema(Instant("UtcDatetime", naive=False), cast("CoreSchema", aware))


UtcDatetime = Annotated[datetime, _Utc()]
"""A datetime that comes in with a zone, is in UTC from then on and ends in `Z` when it is sent."""


class _ObjectIdType(type):
    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return object_id_class()(*args, **kwargs)

    def __instancecheck__(cls, instance: Any) -> bool:
        return cls.__subclasscheck__(type(instance))

    def __subclasscheck__(cls, subclass: type) -> bool:
        known = loaded_class("bson", "ObjectId")
        return subclass is cls or (known is not None and issubclass(subclass, known))

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(object_id_class(), name)


if not TYPE_CHECKING:

    class ObjectId(metaclass=_ObjectIdType):
        """`bson.ObjectId` as a type of fields and parameters: 24 hexadecimal digits on the wire.

        It stands in for `bson.ObjectId`: calling it makes one, and so is what a field holds.

        Raises:
            MissingExtraError: pymongo is not installed. Raised when the type is used.
        """

        @classmethod
        def __get_pydantic_core_schema__(
            cls, _source: Any, _handler: GetCoreSchemaHandler
        ) -> CoreSchema:
            return object_id_schema("ObjectId")


def _settled(model: M) -> M:
    """Hold values that skipped validation to the rules, since printing relies on them."""
    values = model.__dict__
    for name, rules in type(model).__field_rules__.items():
        if name in values:
            for rule in rules:
                values[name] = rule.keep(values[name])
    return model


def _known_form(form: DecimalForm) -> DecimalForm:
    if form not in get_args(DecimalForm):
        raise ValueError(f"decimal_as is {form!r}; expected one of {get_args(DecimalForm)}")
    return form
