"""What our rules are about in a core schema: Decimals, datetimes, ids and untyped values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, cast

from pydantic import Field, TypeAdapter
from pydantic_core import PydanticSerializationUnexpectedValue, core_schema, to_jsonable_python

from .rules import NUMERIC, OBJECT_ID, Exact, Hex, Instant, Number, Rule
from .values import Encoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

__all__ = [
    "MARK",
    "Node",
    "Spot",
    "metadata_of",
    "object_id_schema",
    "ruled",
    "ruled_again",
    "ruled_default",
    "ruled_schema",
    "undescribed",
    "undescribed_result",
    "with_closed_names",
    "without",
]

Node: TypeAlias = dict[str, Any]

MARK = "sturdyapi_wire"
"""Key in the metadata of what has our rules already: the rule, or one of our models."""


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in a core schema."""

    where: str
    """The field as the log names it."""
    rules: list[Rule] | None = None
    """Collects the rules that a model field's own value has to follow when it is set by hand."""
    is_native: bool = False
    """Whether nothing gets here but through a rule, so that Pydantic may print without asking."""
    is_key: bool = False
    """Whether this is the key of a JSON object, always a string."""


def ruled_schema(rule: Rule, inner: CoreSchema) -> CoreSchema:
    """Return the core schema of a Decimal or a datetime, which is `inner`, under a rule."""
    return cast("CoreSchema", ruled(rule, cast("Node", inner), Spot(rule.where)))


def object_id_schema(where: str) -> CoreSchema:
    """Return the core schema of a `bson.ObjectId`.

    Raises:
        MissingExtraError: pymongo is not installed.
    """
    rule = Hex(where)
    text = core_schema.str_schema(pattern=f"^{OBJECT_ID}$")
    return core_schema.no_info_plain_validator_function(
        rule.accept,
        json_schema_input_schema=text,
        serialization=_sent_by(rule, text),
        metadata={MARK: rule},
    )


def ruled(rule: Rule, node: Node, spot: Spot) -> Node:
    """Put a Decimal or a datetime under a rule.

    The strict side serves strict fields, and unions, which prefer what a strict side takes.
    """
    if spot.rules is not None:
        spot.rules.append(rule)
    inner, described = _inner(rule, node, spot), _input_schema(rule, node, spot)
    taken = core_schema.no_info_before_validator_function
    result: Node = {
        "type": "lax-or-strict",
        "lax_schema": taken(rule.accept, inner, json_schema_input_schema=described),
        "strict_schema": core_schema.json_or_python_schema(
            taken(rule.convert, inner, json_schema_input_schema=described),
            core_schema.no_info_after_validator_function(rule.keep, {**inner, "strict": True}),
        ),
        "metadata": {**metadata_of(node), MARK: rule},
        **_only(node, "ref", "strict"),
    }
    printed = _native_serialization(rule, inner, spot)
    return result if printed is None else {**result, "serialization": printed}


def ruled_again(node: Node, mark: Any, spot: Spot) -> Node:
    """Return a node that has its rule already as it has to be in another place."""
    if isinstance(mark, Hex):
        if spot.rules is not None:
            spot.rules.append(mark)
        return node
    if not isinstance(mark, Rule):
        return node  # one of our models
    bare = without(node["lax_schema"]["schema"], "serialization")
    bare |= _only(node, "ref", "strict")
    bare["metadata"] = without(metadata_of(node), MARK)
    return ruled(mark.at(spot.where), bare, spot)


def ruled_default(node: Node, rules: list[Rule]) -> Node:
    """Hold the default of a node to the rules, since Pydantic does not validate it."""
    if not rules:
        return node
    if "default_factory" in node:
        return {**node, "default_factory": _KeptFactory(node["default_factory"], rules)}
    default = _kept(node["default"], rules)
    metadata = {**metadata_of(node), **_shown_default(default, rules)}
    return {**node, "default": default, "metadata": metadata}


def undescribed(node: Node, spot: Spot) -> Node:
    """Let a node that says nothing about its value send it as values without a model are sent."""
    encoder = Encoder(spot.where)
    return {**node, "serialization": _encoded_by(encoder.key if spot.is_key else encoder)}


def undescribed_result(node: Node, spot: Spot) -> Node:
    """Return the schema of what a serializer without a return type makes of a node's value.

    Its JSON schema stays that of the node, which is what Pydantic says of such a serializer.
    """
    bare = without(node, "serialization", "metadata", "ref")
    described = _metadata_from(_Described(lambda _schema, handler: handler(bare)))
    return undescribed({"type": "any", "metadata": described}, spot)


def with_closed_names(node: Node) -> Node:
    """Let the JSON schema of a dict say that no names are allowed but those of its keys' form."""
    if not isinstance(metadata_of(node.get("keys_schema", {})).get(MARK), Exact | Hex):
        return node
    closed = _metadata_from(Field(json_schema_extra={"additionalProperties": False}))
    return {**node, "metadata": {**metadata_of(node), **closed}}


def metadata_of(node: Node) -> Node:
    """Return the metadata of a node, which may have none."""
    metadata: Node = node.get("metadata") or {}
    return metadata


def without(node: Node, *keys: str) -> Node:
    """Return a copy of a node that lacks some keys."""
    return {key: item for key, item in node.items() if key not in keys}


def _only(node: Node, *keys: str) -> Node:
    return {key: node[key] for key in keys if key in node}


def _inner(rule: Rule, node: Node, spot: Spot) -> Node:
    """Return what stands under a rule: the type with its limits, and how it is sent."""
    inner = without(node, "ref", "strict", "metadata")
    if isinstance(rule, Instant):
        # Printed by Pydantic itself where possible: a serializer in Python doubles a list's time.
        sent = None if spot.is_native else _sent_by(rule, core_schema.datetime_schema())
        return inner if sent is None else {**inner, "serialization": sent}
    # JSON has no form for NaN and infinity, whatever the field or the model's config allows.
    inner["allow_inf_nan"] = False
    return {**inner, "serialization": _sent_by(rule, _sent_schema(rule, node))}


def _native_serialization(rule: Rule, inner: Node, spot: Spot) -> Any:
    """Return what prints without a call into Python; `inner` goes on to say what is printed."""
    if isinstance(rule, Exact):
        return core_schema.decimal_schema()
    if isinstance(rule, Number) and spot.is_native:
        # A float's printer takes a Decimal too, but only on the way to JSON text.
        double = core_schema.float_schema()
        return core_schema.json_or_python_schema(
            double, cast("CoreSchema", inner), metadata={MARK: rule}
        )
    return None


def _sent_schema(rule: Rule, node: Node) -> CoreSchema:
    return _double(node) if isinstance(rule, Number) else _digits()


def _input_schema(rule: Rule, node: Node, spot: Spot) -> CoreSchema | None:
    """Return what JSON schemas say of input; `None` for what Pydantic says by itself."""
    if isinstance(rule, Instant):
        return None
    if spot.is_key:
        return _digits()
    number = _double(node) if isinstance(rule, Number) else core_schema.int_schema()
    return core_schema.union_schema([number, _digits()])


def _double(node: Node) -> CoreSchema:
    """Return the schema of a JSON number with the limits of a Decimal."""
    limits = {key: float(limit) for key, limit in _only(node, "gt", "ge", "lt", "le").items()}
    return cast("CoreSchema", {"type": "float", **limits})


def _digits() -> CoreSchema:
    return core_schema.str_schema(pattern=f"^{NUMERIC}$")


def _sent_by(rule: Rule, sent: CoreSchema) -> Any:
    return core_schema.plain_serializer_function_ser_schema(
        rule.send, return_schema=sent, when_used="json"
    )


def _encoded_by(encode: Callable[[Any], Any]) -> Any:
    return core_schema.plain_serializer_function_ser_schema(
        encode, return_schema=core_schema.any_schema(), when_used="json"
    )


def _kept(value: Any, rules: list[Rule]) -> Any:
    for rule in rules:
        value = rule.keep(value)
    return value


@dataclass(frozen=True, slots=True)
class _KeptFactory:
    """A default factory whose values are held to the rules."""

    factory: Callable[..., Any]
    rules: list[Rule]

    def __call__(self, *data: Any) -> Any:
        return _kept(self.factory(*data), self.rules)


def _shown_default(default: Any, rules: list[Rule]) -> Node:
    """Return the metadata that makes JSON schemas show a default as it is sent."""
    for rule in rules:
        try:
            sent = to_jsonable_python(rule.send(default))
        except PydanticSerializationUnexpectedValue:
            continue
        return _metadata_from(Field(json_schema_extra={"default": sent}))
    return {}


@dataclass(frozen=True, slots=True)
class _Described:
    """An annotation that makes a JSON schema by a function."""

    describe: Callable[[Any, GetJsonSchemaHandler], JsonSchemaValue]

    def __get_pydantic_json_schema__(
        self, schema: Any, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return self.describe(schema, handler)


def _metadata_from(annotation: Any) -> Node:
    """Return the metadata that Pydantic makes of an annotation; how it does so is its affair."""
    return metadata_of(cast("Node", TypeAdapter(Annotated[Any, annotation]).core_schema))
