"""Our wire rules written into a Pydantic core schema.

The schema is walked and rebuilt, never changed in place: what another model shares stays as it was.
Foreign Pydantic models and dataclasses are left alone, since they print themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, cast

from pydantic import Field, TypeAdapter
from pydantic.dataclasses import is_pydantic_dataclass
from pydantic_core import PydanticSerializationUnexpectedValue, core_schema, to_jsonable_python

from .rules import NUMERIC, OBJECT_ID, Exact, Hex, Instant, Number, Rule
from .values import Encoder

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

__all__ = ["DecimalForm", "apply_rules", "model_rules", "object_id_schema", "ruled_schema"]

DecimalForm: TypeAlias = Literal["number", "string"]
Node: TypeAlias = dict[str, Any]
Resolve: TypeAlias = Callable[[Any], Any]

_MARK = "sturdyapi_wire"
"""Key in the metadata of what carries our rules already: a rule, or one of our models."""

_MEMBERS = (
    "schema",
    "items_schema",
    "keys_schema",
    "values_schema",
    "extras_schema",
    "choices",
    "steps",
    "fields",
    "computed_fields",
    "json_schema",
    "python_schema",
    "lax_schema",
    "strict_schema",
    "return_schema",
)
"""Keys under which a node has its members: a node, a list of nodes or a dict of nodes."""

_SEQUENCES = frozenset({"list", "set", "frozenset", "deque", "generator"})
_MAPPINGS = frozenset({"dict", "frozendict", "ordered-dict"})
_TOUCHED = frozenset({"any", "datetime", "decimal", "function-plain"})
_ANYTHING: Node = {"type": "any"}


@dataclass(frozen=True, slots=True)
class _Spot:
    """Where the walk stands."""

    where: str
    """The field as the log names it."""
    rules: list[Rule] | None = None
    """Collects the rules that a model field's own value goes through when it is set by hand."""
    is_native: bool = False
    """Whether nothing gets here but through a rule, so that Pydantic may print without asking."""
    is_key: bool = False
    """Whether this is the key of a JSON object, always a string."""


def apply_rules(
    schema: CoreSchema,
    *,
    decimal_as: DecimalForm = "number",
    where: str,
    resolve: Resolve | None = None,
) -> CoreSchema:
    """Return a core schema that takes and sends Decimals, datetimes and ids by our rules.

    Args:
        schema: What Pydantic made of an annotation. It is not changed.
        decimal_as: How a plain `Decimal` travels.
        where: What the log calls the place, such as `GET /orders response`.
        resolve: Finds what a `definition-ref` outside of `schema` stands for, or raises LookupError.
    """
    return _Walk(decimal_as, resolve=resolve).run(cast("Node", schema), _Spot(where))


def model_rules(
    model: type[Any], schema: CoreSchema, *, decimal_as: DecimalForm, resolve: Resolve
) -> tuple[CoreSchema, Mapping[str, tuple[Rule, ...]]]:
    """Return the core schema of one of our own models with the rules in it.

    Models inside it are left to themselves.

    Returns:
        The schema, and for each field the rules that its own value has to follow.
    """
    walk = _Walk(decimal_as, resolve=resolve, model=model)
    result = walk.run(cast("Node", schema), _Spot(model.__name__))
    return result, {name: tuple(rules) for name, rules in walk.field_rules.items() if rules}


def has_rules(schema: CoreSchema) -> bool:
    """Tell whether a schema is one that `model_rules()` returned."""
    return _MARK in _metadata(_core_of(cast("Node", schema)))


def ruled_schema(rule: Rule, inner: CoreSchema) -> CoreSchema:
    """Return the core schema of a Decimal or a datetime, which is `inner`, under a rule."""
    return cast("CoreSchema", _ruled(rule, cast("Node", inner), _Spot(rule.where)))


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
        metadata={_MARK: rule},
    )


class _Walk:
    """One walk over one core schema; most methods rebuild one kind of node."""

    def __init__(
        self,
        decimal_as: DecimalForm,
        *,
        resolve: Resolve | None = None,
        model: type[Any] | None = None,
    ) -> None:
        self.field_rules: dict[str, list[Rule]] = {}
        self._decimal_as = decimal_as
        self._resolve = resolve or _unknown
        self._model = model
        self._config: Node = {}
        self._copies: dict[str, Node] = {}

    def run(self, schema: Node, spot: _Spot) -> CoreSchema:
        """Return the schema rebuilt, together with the definitions that it needs from now on."""
        known: list[Node] = []
        if schema["type"] == "definitions":
            known, schema = schema["definitions"], schema["schema"]
            by_ref = {node["ref"]: node for node in known}
            self._resolve = lambda node: by_ref[node["schema_ref"]]
        result = self.visit(schema, spot)
        definitions = [*known, *self._copies.values()]
        if definitions:
            result = {"type": "definitions", "schema": result, "definitions": definitions}
        return cast("CoreSchema", result)

    def visit(self, node: Node, spot: _Spot) -> Node:
        mark = _metadata(node).get(_MARK)
        users = node.get("serialization")
        if users is None or _is_ours(users, mark):
            return self.rebuild(node, spot)
        # What a serializer hands on need not be what the field holds: the rule looks at it again.
        spot = replace(spot, is_native=False)
        rebuilt = self.rebuild(_without(node, "serialization"), spot)
        return {**rebuilt, "serialization": self.serialization(users, rebuilt, spot)}

    def rebuild(self, node: Node, spot: _Spot) -> Node:
        mark = _metadata(node).get(_MARK)
        if mark is not None:
            return _ruled_again(node, mark, spot)
        return _REBUILD.get(node["type"], _Walk.members)(self, node, spot)

    def serialization(self, users: Node, node: Node, spot: _Spot) -> Node:
        """Rebuild a serializer of the user's, for the node it is on: rules apply to what it returns."""
        result = self.members(users, spot)
        if users["type"] == "function-wrap" and "serialization" in node:
            result.setdefault("schema", _without(node, "ref"))
        if users["type"] in {"function-plain", "function-wrap"}:
            result.setdefault("return_schema", _undescribed_result(node, spot))
        return result

    def members(self, node: Node, spot: _Spot) -> Node:
        """Rebuild a node whose members are values of their own."""
        inside = _Spot(spot.where)
        return {**node, **{key: self.each(node[key], inside) for key in _MEMBERS if key in node}}

    def each(self, member: Any, spot: _Spot) -> Any:
        if isinstance(member, tuple):  # a union's member and its label
            return (self.each(member[0], spot), *member[1:])
        if isinstance(member, list):
            return [self.each(item, spot) for item in member]
        if _is_node(member):
            return self.visit(member, spot)
        if isinstance(member, dict):
            return {key: self.each(item, spot) for key, item in member.items()}
        return member  # a tagged union's reference to another tag

    def same_value(self, node: Node, spot: _Spot) -> Node:
        """Rebuild a node whose value is that of its inner node."""
        return {**node, "schema": self.visit(node["schema"], spot)}

    def any_value(self, node: Node, spot: _Spot) -> Node:
        """Rebuild a node with a validator that may return whatever it likes."""
        return {**node, "schema": self.visit(node["schema"], replace(spot, is_native=False))}

    def default(self, node: Node, spot: _Spot) -> Node:
        rules: list[Rule] = []
        result = self.same_value(node, replace(spot, rules=rules))
        if spot.rules is not None:
            spot.rules.extend(rules)
        return _ruled_default(result, rules)

    def union(self, node: Node, spot: _Spot) -> Node:
        return {**node, "choices": self.each(node["choices"], replace(spot, is_native=False))}

    def undescribed(self, node: Node, spot: _Spot) -> Node:
        """Rebuild a node that says nothing about its value."""
        encoder = Encoder(spot.where)
        return {**node, "serialization": _encoded_by(encoder.key if spot.is_key else encoder)}

    def sequence(self, node: Node, spot: _Spot) -> Node:
        return self.members({"items_schema": _ANYTHING, **node}, spot)

    def mapping(self, node: Node, spot: _Spot) -> Node:
        keys = self.visit(node.get("keys_schema", _ANYTHING), _Spot(spot.where, is_key=True))
        values = self.visit(node.get("values_schema", _ANYTHING), _Spot(spot.where))
        return {**node, "keys_schema": keys, "values_schema": values}

    def decimal(self, node: Node, spot: _Spot) -> Node:
        is_exact = self._decimal_as == "string" or spot.is_key
        return _ruled(Exact(spot.where) if is_exact else Number(spot.where), node, spot)

    def datetime(self, node: Node, spot: _Spot) -> Node:
        zone = node.get("tz_constraint")
        if zone == "naive" or isinstance(zone, int):
            return node
        return _ruled(Instant(spot.where, naive=zone is None), node, spot)

    def fields(self, node: Node, spot: _Spot) -> Node:
        """Rebuild the fields of a model, dataclass, TypedDict or named tuple."""
        fields = node["fields"]
        if isinstance(fields, dict):
            rebuilt: Any = {name: self.field(name, item, spot) for name, item in fields.items()}
        else:
            rebuilt = [self.field(item["name"], item, spot) for item in fields]
        result = {**node, "fields": rebuilt}
        if "computed_fields" in node:
            result["computed_fields"] = [
                self.members(item, _Spot(f"{spot.where}.{item['property_name']}"))
                for item in node["computed_fields"]
            ]
        extras = node.get("extras_schema", self._untyped_extras(node))
        if extras is not None:
            result["extras_schema"] = self.visit(extras, _Spot(spot.where))
        return result

    def field(self, name: str, item: Node, spot: _Spot) -> Node:
        place = _Spot(f"{spot.where}.{name}")
        if item["type"] == "model-field":
            rules = self.field_rules.setdefault(name, [])
            place = replace(place, rules=rules, is_native=True)
        return {**item, "schema": self.visit(item["schema"], place)}

    def _untyped_extras(self, node: Node) -> Node | None:
        config = self._config if node["type"] == "model-fields" else node.get("config", {})
        behavior = node.get("extra_behavior", config.get("extra_fields_behavior"))
        return _ANYTHING if behavior == "allow" else None

    def model(self, node: Node, spot: _Spot) -> Node:
        if node["cls"] is not self._model:
            return node
        self._config = node.get("config", {})
        members = self.visit(node["schema"], spot)
        return {**node, "schema": members, "metadata": {**_metadata(node), _MARK: self._model}}

    def named(self, node: Node, spot: _Spot) -> Node:
        """Rebuild a dataclass, TypedDict or named tuple: the log names its fields after it."""
        if _prints_itself(node):
            return node
        inside = _Spot(node["cls"].__name__ if "cls" in node else spot.where)
        if node["type"] == "dataclass":
            return {**node, "schema": self.visit(node["schema"], inside)}
        return self.fields(node, inside)

    def reference(self, node: Node, spot: _Spot) -> Node:
        try:
            definition = self._resolve(node)
        except LookupError:
            return dict(node)  # still being built: its own walk comes to it
        if _prints_itself(definition) or not self._is_touched(definition, {node["schema_ref"]}):
            return dict(node)
        return {**node, "schema_ref": self._copied(definition, spot)}

    def _copied(self, definition: Node, spot: _Spot) -> str:
        """Rebuild a definition under a name of our own, since others may share it."""
        # The part behind the colon is what Pydantic leaves out of names in JSON schemas.
        ref: str = definition["ref"].replace(":", f":{self._decimal_as}-", 1)
        if ref not in self._copies:
            self._copies[ref] = definition  # stands in for it where it refers to itself
            self._copies[ref] = {**self.visit(definition, _Spot(spot.where)), "ref": ref}
        return ref

    def _is_touched(self, node: Node, seen: set[str]) -> bool:
        """Tell whether there is anything in a node for our rules to do."""
        if _prints_itself(node):
            return False
        inner_nodes = list(_inner_nodes(node))
        if node["type"] in _TOUCHED or (node["type"] in _SEQUENCES | _MAPPINGS and not inner_nodes):
            return True
        if node["type"] == "definition-ref" and node["schema_ref"] not in seen:
            seen.add(node["schema_ref"])
            try:
                return self._is_touched(self._resolve(node), seen)
            except LookupError:
                return False
        return any(self._is_touched(inner, seen) for inner in inner_nodes)


_REBUILD: dict[str, Callable[[_Walk, Node, _Spot], Node]] = {
    "any": _Walk.undescribed,
    "dataclass": _Walk.named,
    "dataclass-args": _Walk.fields,
    "datetime": _Walk.datetime,
    "decimal": _Walk.decimal,
    "default": _Walk.default,
    "definition-ref": _Walk.reference,
    "function-after": _Walk.any_value,
    "function-before": _Walk.same_value,
    "function-plain": _Walk.undescribed,
    "function-wrap": _Walk.any_value,
    "model": _Walk.model,
    "model-fields": _Walk.fields,
    "named-tuple": _Walk.named,
    "nullable": _Walk.same_value,
    "tagged-union": _Walk.union,
    "typed-dict": _Walk.named,
    "union": _Walk.union,
    **dict.fromkeys(_MAPPINGS, _Walk.mapping),
    **dict.fromkeys(_SEQUENCES, _Walk.sequence),
}


def _ruled(rule: Rule, node: Node, spot: _Spot) -> Node:
    """Put a Decimal or a datetime under a rule.

    The strict side serves strict fields, and unions, which prefer what a strict side takes.
    """
    if spot.rules is not None:
        spot.rules.append(rule)
    inner = _inner(rule, node, spot)
    taken = core_schema.no_info_before_validator_function
    described = _input_schema(rule, node, spot)
    result = {
        "type": "lax-or-strict",
        "lax_schema": taken(rule.accept, inner, json_schema_input_schema=described),
        "strict_schema": core_schema.json_or_python_schema(
            taken(rule.convert, inner, json_schema_input_schema=described),
            core_schema.no_info_after_validator_function(rule.keep, {**inner, "strict": True}),
        ),
        "metadata": {**_metadata(node), _MARK: rule},
        **{key: node[key] for key in ("ref", "strict") if key in node},
    }
    if isinstance(rule, Exact):
        result["serialization"] = core_schema.decimal_schema(metadata={_MARK: rule})
    elif isinstance(rule, Number) and spot.is_native:
        # A double's printer also takes a Decimal, but only on the way to JSON text.
        result["serialization"] = core_schema.json_or_python_schema(
            core_schema.float_schema(), inner
        )
    return result


def _inner(rule: Rule, node: Node, spot: _Spot) -> Node:
    """Return what stands under a rule: the type with its limits, and how it is sent."""
    inner = _without(node, "ref", "strict", "metadata")
    if isinstance(rule, Instant):
        if not spot.is_native:
            inner["serialization"] = _sent_by(rule, core_schema.datetime_schema())
        return inner
    # JSON has no form for NaN and infinity, whatever the field or the model's config allows.
    inner["allow_inf_nan"] = False
    sent = _double(node) if isinstance(rule, Number) else _digits()
    inner["serialization"] = _sent_by(rule, sent)
    return inner


def _input_schema(rule: Rule, node: Node, spot: _Spot) -> CoreSchema | None:
    """Return what the JSON schema says of input; `None` for what Pydantic says by itself."""
    if isinstance(rule, Instant):
        return None
    if spot.is_key:
        return _digits()
    number = _double(node) if isinstance(rule, Number) else core_schema.int_schema()
    return core_schema.union_schema([number, _digits()])


def _double(node: Node) -> CoreSchema:
    """Return the schema of a JSON number with the limits of a Decimal."""
    limits = {key: float(node[key]) for key in ("gt", "ge", "lt", "le") if key in node}
    return core_schema.float_schema(**limits)


def _digits() -> CoreSchema:
    return core_schema.str_schema(pattern=f"^{NUMERIC}$")


def _ruled_again(node: Node, mark: Any, spot: _Spot) -> Node:
    """Return a node with rules as it has to be in this place."""
    if isinstance(mark, Hex):
        if spot.rules is not None:
            spot.rules.append(mark)
        return node
    if not isinstance(mark, Rule):
        return node  # one of our own models
    inner = _without(node["lax_schema"]["schema"], "serialization")
    outer = {key: node[key] for key in ("ref", "strict") if key in node}
    metadata = _without(_metadata(node), _MARK)
    return _ruled(mark.at(spot.where), {**inner, **outer, "metadata": metadata}, spot)


def _ruled_default(node: Node, rules: list[Rule]) -> Node:
    """Hold a default to the rules, which Pydantic does not validate."""
    if "default_factory" in node:
        return {**node, "default_factory": _Kept(node["default_factory"], rules)} if rules else node
    default = node["default"]
    for rule in rules:
        default = rule.keep(default)
    return {**node, "default": default, "metadata": {**_metadata(node), **_shown(default, rules)}}


def _shown(default: Any, rules: list[Rule]) -> Node:
    """Return the metadata that makes a JSON schema show a default as it is sent."""
    for rule in rules:
        try:
            sent = to_jsonable_python(rule.send(default))
        except PydanticSerializationUnexpectedValue:
            continue
        return _metadata_of(Field(json_schema_extra={"default": sent}))
    return {}


class _Kept:
    """A default factory whose values are held to the rules."""

    __slots__ = ("factory", "rules")

    def __init__(self, factory: Callable[..., Any], rules: list[Rule]) -> None:
        self.factory = factory
        self.rules = rules

    def __call__(self, *data: Any) -> Any:
        value = self.factory(*data)
        for rule in self.rules:
            value = rule.keep(value)
        return value


def _sent_by(rule: Rule, sent: CoreSchema) -> Any:
    return core_schema.plain_serializer_function_ser_schema(
        rule.send, return_schema=sent, when_used="json"
    )


def _encoded_by(encode: Callable[[Any], Any]) -> Any:
    return core_schema.plain_serializer_function_ser_schema(
        encode, return_schema=core_schema.any_schema(), when_used="json"
    )


def _undescribed_result(node: Node, spot: _Spot) -> Node:
    """Return the schema of what a serializer without a return type returns.

    Its JSON schema stays that of the node, which is what Pydantic says of such a serializer.
    """
    bare = _without(node, "serialization", "metadata", "ref")
    described = _metadata_of(_Described(lambda _schema, handler: handler(bare)))
    return {**_ANYTHING, "serialization": _encoded_by(Encoder(spot.where)), "metadata": described}


@dataclass(frozen=True, slots=True)
class _Described:
    """An annotation that makes a JSON schema by a function."""

    describe: Callable[[Any, GetJsonSchemaHandler], JsonSchemaValue]

    def __get_pydantic_json_schema__(
        self, schema: Any, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return self.describe(schema, handler)


def _metadata_of(annotation: Any) -> Node:
    """Return the metadata that Pydantic makes of an annotation; how it does so is its own affair."""
    return _metadata(cast("Node", TypeAdapter(Annotated[Any, annotation]).core_schema))


def _is_ours(serialization: Node, mark: Any) -> bool:
    function = serialization.get("function")
    return mark is not None and mark in {
        _metadata(serialization).get(_MARK),
        getattr(function, "__self__", None),
    }


def _prints_itself(node: Node) -> bool:
    """Tell whether a node is a Pydantic model or dataclass, whose own serializer Pydantic uses."""
    core = _core_of(node)
    return core["type"] == "model" or (
        core["type"] == "dataclass" and is_pydantic_dataclass(core["cls"])
    )


def _core_of(node: Node) -> Node:
    """Return the node inside of validators."""
    while node["type"].startswith("function-") and "schema" in node:
        node = node["schema"]
    return node


def _unknown(_reference: Node) -> Node:
    raise LookupError


def _without(node: Node, *keys: str) -> Node:
    return {key: item for key, item in node.items() if key not in keys}


def _metadata(node: Node) -> Node:
    metadata: Node = node.get("metadata") or {}
    return metadata


def _is_node(member: Any) -> bool:
    return isinstance(member, dict) and isinstance(member.get("type"), str)


def _inner_nodes(node: Node) -> Iterator[Node]:
    """Yield the nodes right inside a node."""
    for key in _MEMBERS:
        if key in node:
            yield from _nodes_in(node[key])


def _nodes_in(member: Any) -> Iterator[Node]:
    if _is_node(member):
        yield member
    elif isinstance(member, dict):
        yield from (node for item in member.values() for node in _nodes_in(item))
    elif isinstance(member, list | tuple):
        yield from (node for item in member for node in _nodes_in(item))
