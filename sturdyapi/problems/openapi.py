"""OpenAPI for problem documents: the schema says what is sent."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from .envelope import PROBLEM_MEDIA_TYPE

if TYPE_CHECKING:
    from collections.abc import Iterator

_STOCK_REF = {"$ref": "#/components/schemas/HTTPValidationError"}
_PROBLEM = "Problem"
_VALIDATION_PROBLEM = "ValidationProblem"

_PROBLEM_SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "description": "What went wrong, as RFC 9457 describes it.",
    "type": "object",
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "default": "about:blank"},
        "title": {"type": "string", "description": "The standard phrase of the status."},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "What happened this time."},
        "errors": {"description": "Machine-readable details."},
        "requestId": {"type": "string", "description": "Quote it to the operators."},
    },
    "required": ["type", "title", "status"],
}

_ERROR_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "in": {"type": "string", "description": "`body`, `query`, `path`, `header` or `cookie`."},
        "pointer": {
            "type": "string",
            "description": "JSON Pointer to the fault; `*` stands for a key that the client chose.",
        },
        "code": {"type": "string", "description": "Kind of the fault, such as `missing`."},
        "detail": {"type": "string"},
        "context": {"type": "object", "description": "Limits, such as `ge`."},
    },
    "required": ["in", "pointer", "code", "detail"],
}


def _validation_problem_schema() -> dict[str, Any]:
    schema = deepcopy(_PROBLEM_SCHEMA)
    schema["title"] = "ValidationProblem"
    schema["description"] = "Everything that is wrong with the request, without its values."
    schema["properties"]["errors"] = {"type": "array", "items": deepcopy(_ERROR_SCHEMA)}
    schema["required"] = [*schema["required"], "errors"]
    return schema


_SCHEMAS = {_PROBLEM: _PROBLEM_SCHEMA, _VALIDATION_PROBLEM: _validation_problem_schema()}


def describe_problems(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of an OpenAPI document whose error responses are problem documents.

    FastAPI's default 422 becomes a `ValidationProblem`; an error status that the user declared
    without a body becomes a `Problem`. Bodies that the user described stay as they are.
    """
    described = deepcopy(schema)
    schemas = described.get("components", {}).get("schemas", {})
    names = {kind: _free_name(kind, schemas) for kind in _SCHEMAS}
    used: set[str] = set()
    for status, response in _responses(described):
        kind = _kind(status, response)
        if kind is not None:
            used.add(kind)
            response["content"] = {
                PROBLEM_MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{names[kind]}"}}
            }
    if used:
        added = {names[kind]: deepcopy(_SCHEMAS[kind]) for kind in sorted(used)}
        described.setdefault("components", {}).setdefault("schemas", {}).update(added)
        _drop_unused_stock_schemas(described)
    return described


def _free_name(name: str, taken: dict[str, Any]) -> str:
    return _free_name(f"{name}_", taken) if name in taken else name


def _responses(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for paths in (schema.get("paths", {}), schema.get("webhooks", {})):
        for operation in _operations(paths):
            yield from operation.get("responses", {}).items()


def _operations(paths: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the operations of some paths, and those of the callbacks that belong to them."""
    # Beside operations stand parameters and descriptions; instead of a path, a reference.
    path_items = (item for item in paths.values() if isinstance(item, dict))
    for operation in (operation for item in path_items for operation in item.values()):
        if isinstance(operation, dict):
            yield operation
            for callback in operation.get("callbacks", {}).values():
                yield from _operations(callback)


def _kind(status: str, response: dict[str, Any]) -> str | None:
    content = response.get("content", {})
    if content.get("application/json", {}).get("schema") == _STOCK_REF:
        return _VALIDATION_PROBLEM
    if not content and _is_error(status) and "$ref" not in response:
        return _PROBLEM
    return None


def _is_error(status: str) -> bool:
    return status[:1] in {"4", "5"}


def _drop_unused_stock_schemas(schema: dict[str, Any]) -> None:
    schemas = schema["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        if not _mentions(schema, f"#/components/schemas/{name}"):
            schemas.pop(name, None)


def _mentions(node: Any, reference: str) -> bool:
    if isinstance(node, dict):
        return node.get("$ref") == reference or any(
            _mentions(value, reference) for value in node.values()
        )
    return isinstance(node, list) and any(_mentions(item, reference) for item in node)
