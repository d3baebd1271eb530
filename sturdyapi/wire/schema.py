"""Our wire rules written into a Pydantic core schema.

The schema is walked and rebuilt, never changed in place: what another model shares stays as it was.
Foreign Pydantic models and dataclasses are left alone, since they print themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from pydantic.dataclasses import is_pydantic_dataclass

from .leaves import (
    MARK,
    Node,
    Spot,
    metadata_of,
    ruled,
    ruled_again,
    ruled_default,
    undescribed,
    undescribed_result,
    with_closed_names,
    without,
)
from .rules import Exact, Instant, Number, Rule

if TYPE_CHECKING:
    from pydantic_core import CoreSchema

__all__ = ["DecimalForm", "apply_rules", "has_rules", "model_rules"]

DecimalForm: TypeAlias = Literal["number", "string"]
Resolve: TypeAlias = Callable[[Any], Any]

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

_ANYTHING: Node = {"type": "any"}


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
        resolve: Finds what a `definition-ref` to the outside stands for, or raises LookupError.
    """
    return _Walk(decimal_as, resolve=resolve).run(cast("Node", schema), Spot(where))


def model_rules(
    model: type[Any], schema: CoreSchema, *, decimal_as: DecimalForm, resolve: Resolve
) -> tuple[CoreSchema, Mapping[str, tuple[Rule, ...]]]:
    """Return the core schema of one of our own models with the rules in it.

    Models inside it are left to themselves.

    Returns:
        The schema, and for each field the rules that its own value has to follow.
    """
    walk = _Walk(decimal_as, resolve=resolve, model=model)
    result = walk.run(cast("Node", schema), Spot(model.__name__))
    return result, {name: tuple(rules) for name, rules in walk.field_rules.items() if rules}


def has_rules(schema: CoreSchema) -> bool:
    """Tell whether a schema is one that `model_rules()` returned."""
    return MARK in metadata_of(_core_of(cast("Node", schema)))


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

    def run(self, schema: Node, spot: Spot) -> CoreSchema:
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

    def visit(self, node: Node, spot: Spot) -> Node:
        serialization = node.get("serialization")
        if serialization is None:
            return self.rebuild(node, spot)
        # What a serializer hands on need not be what the field holds: the rule looks at it again.
        spot = replace(spot, is_native=False)
        rebuilt = self.rebuild(without(node, "serialization"), spot)
        return {**rebuilt, "serialization": self.serialization(serialization, rebuilt, spot)}

    def rebuild(self, node: Node, spot: Spot) -> Node:
        mark = metadata_of(node).get(MARK)
        if mark is not None:
            return ruled_again(node, mark, spot)
        return _REBUILD.get(node["type"], _Walk.members)(self, node, spot)

    def serialization(self, given: Node, node: Node, spot: Spot) -> Node:
        """Rebuild the serializer of a node: the rules apply to what it returns."""
        result = self.members(given, spot)
        if given["type"] == "function-wrap" and "serialization" in node:
            result.setdefault("schema", without(node, "ref"))
        if given["type"] in {"function-plain", "function-wrap"}:
            result.setdefault("return_schema", undescribed_result(node, spot))
        if "schema" in given and given["schema"] == given.get("return_schema"):
            # A PlainValidator's: it hands on what the schema has printed, which is no Decimal now.
            result["return_schema"] = undescribed_result(result["schema"], spot)
        return result

    def members(self, node: Node, spot: Spot) -> Node:
        """Rebuild a node whose members are values of their own."""
        inside = Spot(spot.where)
        return {**node, **{key: self.each(node[key], inside) for key in _MEMBERS if key in node}}

    def each(self, member: Any, spot: Spot) -> Any:
        if isinstance(member, tuple):  # a union's member and its label
            return (self.each(member[0], spot), *member[1:])
        if isinstance(member, list):
            return [self.each(item, spot) for item in member]
        if _is_node(member):
            return self.visit(member, spot)
        if isinstance(member, dict):
            return {key: self.each(item, spot) for key, item in member.items()}
        return member  # a tagged union's reference to another tag

    def same_value(self, node: Node, spot: Spot) -> Node:
        """Rebuild a node whose value is that of its inner node."""
        return {**node, "schema": self.visit(node["schema"], spot)}

    def any_value(self, node: Node, spot: Spot) -> Node:
        """Rebuild a node with a validator that may return whatever it likes."""
        return {**node, "schema": self.visit(node["schema"], replace(spot, is_native=False))}

    def default(self, node: Node, spot: Spot) -> Node:
        rules: list[Rule] = []
        result = self.same_value(node, Spot(spot.where, rules, is_native=spot.is_native))
        if spot.rules is not None:
            spot.rules.extend(rules)
        return ruled_default(result, rules)

    def union(self, node: Node, spot: Spot) -> Node:
        return {**node, "choices": self.each(node["choices"], spot)}

    def undescribed(self, node: Node, spot: Spot) -> Node:
        """Rebuild a node that says nothing about its value."""
        return undescribed(node, spot)

    def mapping(self, node: Node, spot: Spot) -> Node:
        result = self.members(node, spot)
        if "keys_schema" in node:
            result["keys_schema"] = self.visit(node["keys_schema"], Spot(spot.where, is_key=True))
        return with_closed_names(result)

    def decimal(self, node: Node, spot: Spot) -> Node:
        is_exact = self._decimal_as == "string" or spot.is_key
        return ruled(Exact(spot.where) if is_exact else Number(spot.where), node, spot)

    def datetime(self, node: Node, spot: Spot) -> Node:
        zone = node.get("tz_constraint")
        if zone == "naive" or isinstance(zone, int):
            return node
        return ruled(Instant(spot.where, naive=zone is None), node, spot)

    def fields(self, node: Node, spot: Spot) -> Node:
        """Rebuild the fields of a model, dataclass, TypedDict or named tuple."""
        fields = node["fields"]
        if isinstance(fields, dict):
            rebuilt: Any = {name: self.field(name, item, spot) for name, item in fields.items()}
        else:
            rebuilt = [self.field(item["name"], item, spot) for item in fields]
        result = {**node, "fields": rebuilt}
        if "computed_fields" in node:
            result["computed_fields"] = [
                self.members(item, Spot(f"{spot.where}.{item['property_name']}"))
                for item in node["computed_fields"]
            ]
        extras = node.get("extras_schema", self._untyped_extras(node))
        if extras is not None:
            result["extras_schema"] = self.visit(extras, Spot(spot.where))
        return result

    def field(self, name: str, item: Node, spot: Spot) -> Node:
        where = f"{spot.where}.{name}"
        if item["type"] == "model-field":
            place = Spot(where, self.field_rules.setdefault(name, []), is_native=True)
        else:
            place = Spot(where)
        return {**item, "schema": self.visit(item["schema"], place)}

    def _untyped_extras(self, node: Node) -> Node | None:
        config = self._config if node["type"] == "model-fields" else node.get("config", {})
        behavior = node.get("extra_behavior", config.get("extra_fields_behavior"))
        return _ANYTHING if behavior == "allow" else None

    def model(self, node: Node, spot: Spot) -> Node:
        if node["cls"] is not self._model:
            return node
        self._config = node.get("config", {})
        members = self.visit(node["schema"], spot)
        return {**node, "schema": members, "metadata": {**metadata_of(node), MARK: self._model}}

    def named(self, node: Node, spot: Spot) -> Node:
        """Rebuild a dataclass, TypedDict or named tuple: the log names its fields after it."""
        if _prints_itself(node):
            return node
        inside = Spot(node["cls"].__name__ if "cls" in node else spot.where)
        if node["type"] == "dataclass":
            return {**node, "schema": self.visit(node["schema"], inside)}
        return self.fields(node, inside)

    def reference(self, node: Node, spot: Spot) -> Node:
        try:
            definition = self._resolve(node)
        except LookupError:
            return dict(node)  # still being built: its own walk comes to it
        if _prints_itself(definition):
            return dict(node)
        return {**node, "schema_ref": self._copied(definition, spot)}

    def _copied(self, definition: Node, spot: Spot) -> str:
        """Rebuild a definition under a name of our own, since others may share it."""
        # The part behind the colon is what Pydantic leaves out of names in JSON schemas.
        ref: str = definition["ref"].replace(":", f":{self._decimal_as}-", 1)
        if ref not in self._copies:
            self._copies[ref] = definition  # stands in for it where it refers to itself
            self._copies[ref] = {**self.visit(definition, Spot(spot.where)), "ref": ref}
        return ref


_REBUILD: dict[str, Callable[[_Walk, Node, Spot], Node]] = {
    "any": _Walk.undescribed,
    "dataclass": _Walk.named,
    "dataclass-args": _Walk.fields,
    "datetime": _Walk.datetime,
    "decimal": _Walk.decimal,
    "default": _Walk.default,
    "definition-ref": _Walk.reference,
    "dict": _Walk.mapping,
    "frozendict": _Walk.mapping,
    "function-after": _Walk.any_value,
    "function-before": _Walk.same_value,
    "function-plain": _Walk.undescribed,
    "function-wrap": _Walk.any_value,
    "model": _Walk.model,
    "model-fields": _Walk.fields,
    "named-tuple": _Walk.named,
    "nullable": _Walk.same_value,
    "ordered-dict": _Walk.mapping,
    "tagged-union": _Walk.union,
    "typed-dict": _Walk.named,
    "union": _Walk.union,
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


def _is_node(member: Any) -> bool:
    return isinstance(member, dict) and isinstance(member.get("type"), str)
