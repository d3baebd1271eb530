"""Validation errors without the values that were refused.

Pydantic's errors carry the input, and its messages, contexts and locations can repeat it. What
leaves here says where and what is expected, and nothing of what was sent.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_SAFE_CONTEXT = frozenset(
    """
    actual_length class_name decimal_places discriminator expected expected_schemes
    expected_tags expected_version field_type ge gt le lt max_digits max_length min_length
    multiple_of pattern tz_expected whole_digits
    """.split()
)
"""Context members that come from the model, never from the request."""

_ECHOING_MESSAGES = {
    "bytes_invalid_encoding": "Data should be in the expected encoding",
    "datetime_object_invalid": "Input should be a valid datetime",
    "get_attribute_error": "A part of the input could not be read",
    "iteration_error": "Input could not be iterated over",
    "json_invalid": "Input should be valid JSON",
    "mapping_type": "Input should be a valid mapping",
    "no_such_attribute": "Object has no such attribute",
    "timezone_offset": "Timezone offset is not the required one",
    "url_parsing": "Input should be a valid URL",
    "url_syntax_violation": "Input violated strict URL syntax rules",
    "uuid_parsing": "Input should be a valid UUID",
}
"""Built-in messages that can repeat a part of the input, in words that don't."""

_BUILT_IN_TYPES = frozenset(
    """
    arguments_type bool_parsing bool_type bytes_too_long bytes_too_short bytes_type
    callable_type complex_str_parsing complex_type dataclass_exact_type dataclass_type
    date_from_datetime_inexact date_from_datetime_parsing date_future date_parsing date_past
    date_type datetime_from_date_parsing datetime_future datetime_parsing datetime_past
    datetime_type decimal_max_digits decimal_max_places decimal_parsing decimal_type
    decimal_whole_digits dict_type enum extra_forbidden finite_number float_parsing
    float_type frozen_field frozen_instance frozen_set_type greater_than greater_than_equal
    int_from_float int_parsing int_parsing_size int_type invalid_key is_instance_of
    is_subclass_of iterable_type json_type less_than less_than_equal list_type literal_error
    missing model_attributes_type model_type multiple_of named_tuple_type none_required
    recursion_loop set_type string_pattern_mismatch string_sub_type string_too_long
    string_too_short string_type string_unicode time_delta_parsing time_delta_type
    time_parsing time_type timezone_aware timezone_naive too_long too_short tuple_type
    union_tag_not_found url_scheme url_too_long url_type uuid_type uuid_version
    """.split()
)
"""Types whose message is Pydantic's own and holds nothing of the request."""

_SHORT = 4
"""From this length on, a refused value is looked for inside words too."""

_NOT_SHOWN = "*"
"""Stands for a key that the client chose."""


def validation_errors(
    errors: Iterable[Mapping[str, Any]], *, body: Any, route: object = None
) -> list[dict[str, Any]]:
    """Return one entry an error, in order, fit to be sent to the client.

    Shape of an entry: `{"in": "body" | "query" | "path" | "header" | "cookie", "pointer": str,
    "code": str, "detail": str, "context": {str: any}}`. `pointer` is a JSON Pointer into the body (or
    into the parameters by name); a key that the client chose is shown as `*`. `context` holds
    limits such as `ge`, and is left out when empty.

    Args:
        errors: As `RequestValidationError.errors()` gives them.
        body: The parsed body, to tell its keys from labels that Pydantic puts into a location.
        route: The matched route, whose fields are names that may be shown.
    """
    known = _known_names(route)
    return [_entry(error, body, known) for error in errors]


def _entry(error: Mapping[str, Any], body: Any, known: frozenset[str]) -> dict[str, Any]:
    place, *loc = error.get("loc") or ("body",)
    code = str(error.get("type", "invalid"))
    if _is_undecodable_body(error):
        loc = []
    entry: dict[str, Any] = {
        "in": str(place),
        "pointer": _pointer(loc, body if place == "body" else None, known, code),
        "code": code,
        "detail": _message(error, code),
    }
    context = {
        key: value
        for key, value in (error.get("ctx") or {}).items()
        if key in _SAFE_CONTEXT and isinstance(value, str | int | float | bool)
    }
    if context and code in _BUILT_IN_TYPES:
        entry["context"] = context
    return entry


def _message(error: Mapping[str, Any], code: str) -> str:
    message = str(error.get("msg", "Input is not valid"))
    context = error.get("ctx") or {}
    if _is_undecodable_body(error):
        return f"The body is not valid JSON: {context.get('error')} (character {error['loc'][-1]})"
    if code in _ECHOING_MESSAGES:
        return _ECHOING_MESSAGES[code]
    if code == "union_tag_invalid":
        return (
            f"The tag in {context.get('discriminator')} does not match any of the expected tags: "
            f"{context.get('expected_tags')}"
        )
    if code in _BUILT_IN_TYPES:
        return message
    text = message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return "Input is not valid" if _repeats(text, error.get("input")) else text


def _is_undecodable_body(error: Mapping[str, Any]) -> bool:
    """Tell FastAPI's own error, whose text is the JSON parser's, from a `Json` field's."""
    loc = error.get("loc") or ()
    return (
        error.get("type") == "json_invalid"
        and len(loc) == 2  # noqa: PLR2004 - ("body", position)
        and isinstance(loc[1], int)
        and error.get("msg") == "JSON decode error"
    )


def _repeats(text: str, value: Any) -> bool:
    """Tell whether a validator's own text contains the refused value or a part of it."""
    return any(_contains(text, part) for part in _leaves(value))


def _contains(text: str, part: str) -> bool:
    if len(part) >= _SHORT:
        return part.casefold() in text.casefold()
    return re.search(rf"(?<!\w){re.escape(part)}(?!\w)", text) is not None


def _leaves(value: Any, depth: int = 0) -> Iterator[str]:
    if value is None or isinstance(value, bool) or depth > 8:  # noqa: PLR2004
        return
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(key, depth + 1)
            yield from _leaves(item, depth + 1)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _leaves(item, depth + 1)
    elif isinstance(value, bytes):
        yield from _leaves(value.decode(errors="replace"), depth)
    elif text := str(value).strip():
        yield text
        if repr(value) != text:
            yield repr(value).strip("'\"")


def _pointer(loc: Sequence[Any], body: Any, known: frozenset[str], code: str) -> str:
    segments = list(_segments(loc, body, code)) if body is not None else list(loc)
    shown = (_shown(segment, known) for segment in segments)
    return "#" + "".join(f"/{segment.replace('~', '~0').replace('/', '~1')}" for segment in shown)


def _segments(loc: Sequence[Any], body: Any, code: str) -> Iterator[Any]:
    """Yield the parts of a location that are steps into the body.

    Pydantic also puts labels there: the member of a union that was tried, `[key]`, a validator's
    name.
    """
    node = body
    for position, part in enumerate(loc):
        if _leads_on(node, part):
            yield part
            node = node[part]
        elif position == len(loc) - 1 and code in {"missing", "frozen_field"}:
            yield part


def _leads_on(node: Any, part: Any) -> bool:
    if isinstance(node, dict):
        return part in node
    return isinstance(node, list) and isinstance(part, int) and 0 <= part < len(node)


def _shown(segment: Any, known: frozenset[str]) -> str:
    if isinstance(segment, int):
        return str(segment)
    return segment if segment in known else _NOT_SHOWN


_names_by_route: WeakKeyDictionary[Any, frozenset[str]] = WeakKeyDictionary()


def _known_names(route: object) -> frozenset[str]:
    """Return the names that a route declares: parameters, and its body's fields at any depth."""
    try:
        return _names_by_route[route]
    except (KeyError, TypeError):
        names = frozenset(_declared_names(route))
    # Not every route can be referenced weakly; its names are then gathered again.
    with suppress(TypeError):
        _names_by_route[route] = names
    return names


def _declared_names(route: object) -> Iterator[str]:
    dependant = getattr(route, "dependant", None)
    pending = [] if dependant is None else [dependant]
    while pending:
        current = pending.pop()
        pending.extend(current.dependencies)
        for kind in ("path", "query", "header", "cookie", "body"):
            for field in getattr(current, f"{kind}_params"):
                yield from (field.name, field.alias)
                yield from _field_names(field.field_info.annotation)


def _field_names(annotation: Any) -> Iterator[str]:
    try:
        schema = TypeAdapter(annotation).json_schema(mode="validation")
    except (PydanticUserError, TypeError, ValueError):
        # A type without a JSON schema (an upload, say) declares no names.
        return
    pending: list[Any] = [schema]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            properties = node.get("properties")
            if isinstance(properties, dict):
                yield from properties
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)
