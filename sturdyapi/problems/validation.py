"""Validation errors without the values that were refused.

Pydantic's errors carry the input, and its messages, contexts and locations can repeat it. What
leaves here says where and what is expected, and nothing of what was sent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pydantic_core import PydanticKnownError

from .echoes import filled_in, phrases, repeats, repeats_phrase
from .names import declared_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

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
    callable_type complex_str_parsing complex_type counter_type dataclass_exact_type
    dataclass_type date_from_datetime_inexact date_from_datetime_parsing date_future
    date_parsing date_past date_type datetime_from_date_parsing datetime_future
    datetime_parsing datetime_past datetime_type decimal_max_digits decimal_max_places
    decimal_parsing decimal_type decimal_whole_digits default_factory_not_called deque_type
    dict_type ellipsis_error enum extra_forbidden finite_number float_parsing float_type
    fraction_parsing fraction_type frozen_dict_type frozen_field frozen_instance
    frozen_set_type greater_than greater_than_equal int_from_float int_parsing
    int_parsing_size int_type invalid_key is_instance_of is_subclass_of iterable_type
    json_type less_than less_than_equal list_type literal_error missing missing_argument
    missing_keyword_only_argument missing_positional_only_argument missing_sentinel_error
    model_attributes_type model_type multiple_argument_values multiple_of named_tuple_type
    needs_python_object none_required ordered_dict_type recursion_depth_exceeded
    recursion_loop set_item_not_hashable set_type string_not_ascii string_pattern_mismatch
    string_too_long string_too_short string_type string_unicode time_delta_parsing
    time_delta_type time_parsing time_type timezone_aware timezone_naive too_long too_short
    tuple_type unexpected_keyword_argument unexpected_positional_argument
    union_tag_not_found url_scheme url_too_long url_type uuid_type uuid_version
    """.split()
)
"""Types whose message is Pydantic's own and holds nothing of the request."""

_TYPES_WITH_LIMITS = _BUILT_IN_TYPES | _ECHOING_MESSAGES.keys()

_PLACES = frozenset({"body", "query", "path", "header", "cookie"})
_NOT_VALID = "Input is not valid"
_NOT_SHOWN = "*"
"""Stands for a key that the client chose."""
_FRAGMENT_CHARACTERS = "!$&'()*+,;=:@?~"
"""What a URI fragment takes unescaped next to letters and digits (RFC 3986, 3.5)."""


def validation_errors(
    errors: Iterable[Any], *, sent: Mapping[str, Any], route: object = None
) -> list[dict[str, Any]]:
    """Return one entry an error, in order, fit to be sent to the client.

    Shape of an entry: `{"in": "body" | "query" | "path" | "header" | "cookie", "pointer": str,
    "code": str, "detail": str, "context": {str: any}}`. `pointer` is a JSON Pointer into the body
    (or into the parameters by name), written as a URI fragment; a key that the client chose is
    shown as `*`. `context` holds limits such as `ge`, and is left out when empty.

    Args:
        errors: As `RequestValidationError.errors()` gives them.
        sent: By place, what the client sent: the parsed body, or the values of the parameters.
        route: The matched route, whose fields are names that may be shown.
    """
    request = _Request(sent, names=declared_names(route))
    items = [errors] if isinstance(errors, str) else errors
    return [_entry(_as_error(item), request) for item in items]


@dataclass(frozen=True)
class _Request:
    """What the client sent, by place, and which names in it are the route's own."""

    sent: Mapping[str, Any]
    names: frozenset[str]
    _phrases: dict[str, frozenset[str]] = field(default_factory=dict)

    def phrases(self, place: str) -> frozenset[str]:
        """Return every value sent in one place, gathered once and only when a text asks."""
        if place not in self._phrases:
            self._phrases[place] = phrases(self.sent.get(place), names=self.names)
        return self._phrases[place]


def _as_error(item: Any) -> Mapping[str, Any]:
    """Return an error as Pydantic would give it; an app may raise other things by hand."""
    error = dict(item) if isinstance(item, Mapping) else {"msg": str(item)}
    loc = error.get("loc") or ("body",)
    parts = tuple(loc) if isinstance(loc, list | tuple) else (loc,)
    if parts[0] not in _PLACES:
        parts = ("body", *parts)
    context = error.get("ctx")
    context = context if isinstance(context, Mapping) else {}
    return {"type": "invalid", "msg": _NOT_VALID, **error, "loc": parts, "ctx": context}


def _entry(error: Mapping[str, Any], request: _Request) -> dict[str, Any]:
    place, *steps = error["loc"]
    if _is_undecodable_body(error):
        steps = []
    entry = {
        "in": place,
        "pointer": _pointer(_steps(steps, error, request), request.names),
        "code": str(error["type"]),
        "detail": _message(error, request),
    }
    if context := _context(error):
        entry["context"] = context
    return entry


def _message(error: Mapping[str, Any], request: _Request) -> str:
    code, context = error["type"], error["ctx"]
    if _is_undecodable_body(error):
        return f"The body is not valid JSON: {context.get('error')} (character {error['loc'][-1]})"
    if code in _ECHOING_MESSAGES:
        return _ECHOING_MESSAGES[code]
    if code == "union_tag_invalid":
        return (
            f"The tag in {context.get('discriminator')} does not match any of the expected tags: "
            f"{context.get('expected_tags')}"
        )
    message = str(error["msg"])
    if code in _BUILT_IN_TYPES and _is_pydantics_own(error):
        return message
    text = message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return _NOT_VALID if _tells_what_was_sent(text, error, request) else text


def _is_pydantics_own(error: Mapping[str, Any]) -> bool:
    """Tell an error of Pydantic from one that a validator raised under the same type."""
    try:
        known = PydanticKnownError(error["type"], error["ctx"])
    except (KeyError, TypeError):
        return False
    return bool(known.message() == error["msg"])


def _tells_what_was_sent(text: str, error: Mapping[str, Any], request: _Request) -> bool:
    """Tell whether a validator's own text repeats the refused value, or another whole one."""
    text = filled_in(text, error["ctx"].get("error"))
    return bool(text.strip()) and (
        repeats(text, error.get("input"), names=request.names)
        or repeats_phrase(text, request.phrases(error["loc"][0]))
    )


def _context(error: Mapping[str, Any]) -> dict[str, Any]:
    limits = {key: _as_json(value) for key, value in error["ctx"].items() if key in _SAFE_CONTEXT}
    if not limits or error["type"] not in _TYPES_WITH_LIMITS or not _is_pydantics_own(error):
        return {}
    return {key: limit for key, limit in limits.items() if limit is not None}


def _as_json(limit: Any) -> Any:
    """Return a limit as JSON has it, or `None`: infinity is no JSON, and no limit either."""
    if isinstance(limit, Decimal) and limit.is_finite():
        return int(limit) if limit == limit.to_integral_value() else float(limit)
    if isinstance(limit, float) and not math.isfinite(limit):
        return None
    return limit if isinstance(limit, str | int | float | bool) else None


def _is_undecodable_body(error: Mapping[str, Any]) -> bool:
    """Tell FastAPI's own error, whose text is the JSON parser's, from a `Json` field's."""
    loc = error["loc"]
    return (
        error["type"] == "json_invalid"
        and len(loc) == 2  # noqa: PLR2004 - ("body", position)
        and isinstance(loc[1], int)
        and error["msg"] == "JSON decode error"
    )


def _steps(loc: Sequence[Any], error: Mapping[str, Any], request: _Request) -> Iterator[Any]:
    """Yield the parts of a location that are steps into what was sent.

    Pydantic also puts labels there: the member of a union that was tried, `[key]`, a validator's
    name.
    """
    node = request.sent.get("body") if error["loc"][0] == "body" else None
    if not isinstance(node, dict | list):
        yield from loc[:1]
        yield from (part for part in loc[1:] if isinstance(part, int) or part in request.names)
        return
    is_absent = error["type"] in {"missing", "frozen_field"}
    for position, part in enumerate(loc):
        if _leads_on(node, part):
            yield part
            node = node[part]
        elif is_absent and (position == len(loc) - 1 or part in request.names):
            yield part


def _leads_on(node: Any, part: Any) -> bool:
    if isinstance(node, dict):
        return part in node
    return isinstance(node, list) and isinstance(part, int) and 0 <= part < len(node)


def _pointer(steps: Iterable[Any], names: frozenset[str]) -> str:
    shown = (
        str(step) if isinstance(step, int) else step if step in names else _NOT_SHOWN
        for step in steps
    )
    escaped = (step.replace("~", "~0").replace("/", "~1") for step in shown)
    return "#" + "".join(f"/{quote(step, safe=_FRAGMENT_CHARACTERS)}" for step in escaped)
