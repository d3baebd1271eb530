"""The names that a route declares: its parameters, and the fields of its body at any depth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["declared_names"]

_names_by_field: WeakKeyDictionary[Any, frozenset[str]] = WeakKeyDictionary()
_NOT_SCHEMAS = frozenset({"default", "metadata", "serialization"})


def declared_names(route: object) -> frozenset[str]:
    """Return every name, alias included, that `route` and its dependencies declare."""
    names: set[str] = set()
    dependant = getattr(route, "dependant", None)
    pending = [] if dependant is None else [dependant]
    while pending:
        current = pending.pop()
        pending.extend(current.dependencies)
        for kind in ("path", "query", "header", "cookie", "body"):
            for field in getattr(current, f"{kind}_params"):
                names |= _names_of(field, is_header=kind == "header")
    return frozenset(names)


def _names_of(field: Any, *, is_header: bool) -> frozenset[str]:
    if field not in _names_by_field:
        names = frozenset(_field_names(field))
        if is_header:
            names |= {name.replace("_", "-") for name in names}
        _names_by_field[field] = names
    return _names_by_field[field]


def _field_names(field: Any) -> Iterator[str]:
    yield from (field.name, field.alias)
    yield from _alias_names(getattr(field.field_info, "validation_alias", None))
    adapter = getattr(field, "_type_adapter", None)
    if adapter is not None:
        yield from _schema_names(adapter.core_schema)


def _schema_names(schema: Any) -> Iterator[str]:
    """Yield the names in a core schema, which every model has: not every one has a JSON schema."""
    pending = [schema]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            yield from _own_names(node)
            # In a mapping of fields these words are names like any other.
            skipped = _NOT_SCHEMAS if isinstance(node.get("type"), str) else ()
            pending.extend(value for key, value in node.items() if key not in skipped)
        elif isinstance(node, list | tuple):
            pending.extend(node)


def _own_names(node: dict[str, Any]) -> Iterator[str]:
    kind = node.get("type")
    if kind in ("model-fields", "typed-dict"):
        yield from node["fields"]
    elif kind in ("dataclass-field", "named-tuple-field"):
        yield node["name"]
    yield from _alias_names(node.get("validation_alias"))


def _alias_names(alias: Any) -> Iterator[str]:
    """Yield the names in an alias: a name, a path of names and indexes, or a choice of paths."""
    pending = [alias]
    while pending:
        part = pending.pop()
        if isinstance(part, str):
            yield part
        elif isinstance(part, list):
            pending.extend(part)
        else:
            pending.extend(getattr(part, "choices", None) or getattr(part, "path", None) or ())
