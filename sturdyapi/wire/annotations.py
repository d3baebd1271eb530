"""Our wire rules for annotations outside of our models: response types, plain `bson.ObjectId`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, is_dataclass
from datetime import datetime
from decimal import Decimal
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    Union,
    get_args,
    get_origin,
    is_typeddict,
)

from pydantic import BaseModel, BeforeValidator
from pydantic.dataclasses import is_pydantic_dataclass

from .leaves import object_id_schema
from .rules import loaded_class
from .schema import apply_rules
from .values import plain

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

__all__ = ["ObjectIdRules", "WireRules", "needs_rules", "with_known_types"]

_TEXTS = (str, bytes, bytearray)


@dataclass(frozen=True, slots=True)
class WireRules:
    """Annotates a response type that is no model: `Annotated[list[datetime], WireRules(...)]`."""

    where: str
    """What the log calls the place, such as `GET /orders response`."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        schema = handler(with_known_types(source))
        ruled = apply_rules(schema, where=self.where, resolve=handler.resolve_ref_schema)
        # Pydantic takes definitions from what a type hands it, but not from an annotation.
        hand_over = classmethod(lambda _cls, _source, _handler: ruled)
        carrier = type("Carrier", (), {"__get_pydantic_core_schema__": hand_over})
        return handler.generate_schema(carrier)


@dataclass(frozen=True, slots=True)
class ObjectIdRules:
    """Annotates `bson.ObjectId`, which Pydantic knows nothing of."""

    where: str = "ObjectId"

    def __get_pydantic_core_schema__(
        self, _source: Any, _handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return object_id_schema(self.where)


def needs_rules(annotation: Any) -> bool:
    """Tell whether values of a response type may hold something for our rules to do.

    In doubt the answer is yes. Models bring their own rules, and plain types need none.
    """
    origin, members = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return needs_rules(members[0])
    if origin is Literal or annotation is None or annotation is ...:
        return False
    if origin is not None:
        return any(map(needs_rules, members)) or _has_undescribed_members(origin)
    if annotation is Any or annotation is object or not isinstance(annotation, type):
        return True
    return _class_needs_rules(annotation)


def _class_needs_rules(kind: type[Any]) -> bool:
    if issubclass(kind, BaseModel) or is_pydantic_dataclass(kind) or issubclass(kind, _TEXTS):
        return False
    known = (Decimal, datetime, Collection, *filter(None, _classes_of_drivers()))
    describes_itself = hasattr(kind, "__get_pydantic_core_schema__")
    return describes_itself or issubclass(kind, known) or _has_undescribed_members(kind)


def _has_undescribed_members(kind: type[Any]) -> bool:
    if is_dataclass(kind):
        return not is_pydantic_dataclass(kind)
    return is_typeddict(kind)


def _classes_of_drivers() -> tuple[Any, Any]:
    return loaded_class("bson", "ObjectId"), loaded_class("asyncpg", "Record")


def with_known_types(annotation: Any) -> Any:
    """Return an annotation with what Pydantic can't describe replaced by what it can.

    `bson.ObjectId` gets our rules and an asyncpg row becomes a dict. What is inside of dataclasses
    and the like is not reached.
    """
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return _known_class(annotation)
    origin, members = get_origin(annotation), get_args(annotation)
    is_ruled = any(isinstance(member, ObjectIdRules) for member in members)
    if origin is Literal or not members or is_ruled:
        return annotation
    if origin is Annotated:
        known = with_known_types(members[0])
        return annotation if known is members[0] else Annotated[known, *annotation.__metadata__]
    known_members = tuple(with_known_types(member) for member in members)
    if all(one is other for one, other in zip(known_members, members, strict=True)):
        return annotation
    # The members are only known at run time, and `|` has no subscript.
    return (Union if origin is UnionType else origin)[known_members]


def _known_class(kind: type[Any]) -> Any:
    object_id, record = _classes_of_drivers()
    if object_id is not None and issubclass(kind, object_id):
        return Annotated[kind, ObjectIdRules()]
    if record is not None and issubclass(kind, record):
        return Annotated[dict[str, Any], BeforeValidator(plain)]
    return kind
