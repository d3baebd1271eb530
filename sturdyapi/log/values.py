"""Field values as JSON can carry them, and which of them are nobody's business."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from functools import lru_cache
from itertools import islice
from typing import Any

__all__ = [
    "MASK",
    "MAX_INTEGER",
    "MAX_TEXT_CHARS",
    "error_text",
    "escape_controls",
    "free_name",
    "is_sensitive",
    "merge_fields",
    "plain",
    "plain_field",
    "safe_text",
]

MASK = "***"
"""What stands in place of a secret."""

MAX_TEXT_CHARS = 64 * 1024
"""A longer text is cut, so that one line can't fill the disk."""

_MAX_DEPTH = 6
_MAX_ITEMS = 100
MAX_INTEGER = 2**63 - 1
"""Beyond it Elasticsearch refuses the whole line."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SENSITIVE_WORDS = frozenset(
    "authorization cookie cookies credential credentials cvv otp passphrase passwd password "
    "passwords pwd secret secrets".split()
)
_SENSITIVE_ENDINGS = tuple(
    "accesskey apikey apikeys auth bearer cookie dsn encryptionkey jwt passphrase passwd password "
    "privatekey secret secretkey sessionid signingkey token tokens".split()
)
_HARMLESS = ("type", "loc", "msg")
_INPUT_IN_PYDANTIC_ERROR = re.compile(r"input_value=.*, input_type=")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def plain_field(name: str, value: Any, *, depth: int = 0) -> Any:
    """Return a field's value as `plain()` does, or a mask if its name promises a secret."""
    if is_sensitive(name) and not _says_nothing(name, value):
        return MASK
    return plain(value, depth=depth)


def plain(value: Any, *, depth: int = 0) -> Any:
    """Return the value made of what JSON has: never raises, never endless, secrets masked by name.

    What JSON has no form for becomes its `str()`.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return safe_text(value)
    if isinstance(value, int):
        return int(value) if abs(value) <= MAX_INTEGER else safe_text(hex(value))
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else safe_text(value)
    try:
        return _plain_object(value, depth + 1)
    except Exception:  # noqa: BLE001 - a user's object may raise anything while it is read
        # Not its `str()`: that could show what was to be masked.
        return f"<{type(value).__name__} that can't be read>"


def safe_text(value: object) -> str:
    """Return `str(value)`, cut if it is very long, even if the object can't be printed."""
    try:
        text = value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)
    except Exception as error:  # noqa: BLE001 - see above
        return f"<{type(value).__name__} whose str() raises {type(error).__name__}>"
    if len(text) > MAX_TEXT_CHARS:
        text = f"{text[:MAX_TEXT_CHARS]}... ({len(text) - MAX_TEXT_CHARS} more characters)"
    # A subclass of `str` may carry behaviour of its own.
    return str.__str__(text)


@lru_cache(maxsize=1024)
def is_sensitive(name: str) -> bool:
    """Return whether a name such as `password`, `apiKey` or `Set-Cookie` promises a secret.

    Names that only speak about one, such as `token_count`, do not.
    """
    if not _SENSITIVE_WORDS.isdisjoint(word.lower() for word in _WORD.findall(name)):
        return True
    return re.sub(r"[\W_]", "", name.lower()).endswith(_SENSITIVE_ENDINGS)


def error_text(error: BaseException) -> str:
    """Return an error's own text, without the input that a validation error repeats."""
    text = safe_text(error)
    if "input" not in text:
        return text
    for detail in _validation_details(error):
        text = text.replace(str(detail), str({k: detail[k] for k in detail if k in _HARMLESS}))
    return _INPUT_IN_PYDANTIC_ERROR.sub(f"input_value={MASK}, input_type=", text)


def merge_fields(context: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return both sets of fields in one; a name that both use keeps both values."""
    merged = dict(context)
    for name, value in own.items():
        if name not in merged or merged[name] is not value:
            merged[free_name(name, merged)] = value
    return merged


def free_name(name: object, taken: Mapping[str, Any] | AbstractSet[str]) -> str:
    """Return the name, with as many `_` at its end as make it free."""
    free = str(name)
    while free in taken:
        free += "_"
    return free


def escape_controls(text: str) -> str:
    """Return the text without characters that could move a cursor, end a line or hide something."""
    return _CONTROL.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    return repr(character)[1:-1]


def _says_nothing(name: str, value: Any) -> bool:
    """Return whether the value can't be the secret: no value, a claim, or a count of tokens."""
    if value is None or isinstance(value, bool):
        return True
    return isinstance(value, int | float) and name.lower().endswith(("token", "tokens"))


def _plain_object(value: Any, depth: int) -> Any:
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {error_text(value)}"
    named = None if isinstance(value, type) else _named_parts(value)
    is_list = isinstance(value, list | tuple | AbstractSet)
    if named is None and not is_list:
        return safe_text(value)
    if depth > _MAX_DEPTH:
        return f"<{type(value).__name__} nested too deep>"
    return _plain_list(value, depth) if named is None else _plain_mapping(named, depth)


def _plain_list(value: Collection[Any], depth: int) -> list[Any]:
    if _is_sensitive_pair(value):
        return [safe_text(next(iter(value))), MASK]
    items = [plain(item, depth=depth) for item in islice(value, _MAX_ITEMS)]
    return items if len(value) <= _MAX_ITEMS else [*items, f"... ({len(value)} items)"]


def _named_parts(value: Any) -> Mapping[Any, Any] | None:
    """Return what the value holds by name, so that it can be masked by name; else `None`."""
    if isinstance(value, Mapping):
        return value
    if dataclasses.is_dataclass(value):
        fields = [field.name for field in dataclasses.fields(value) if field.repr]
        return {name: getattr(value, name) for name in fields}
    if hasattr(value, "model_dump"):
        dumped: Mapping[Any, Any] = value.model_dump()
        return dumped
    # A row of asyncpg is no `Mapping`, but `dict()` takes it.
    return dict(value) if hasattr(value, "keys") else None


def _is_sensitive_pair(value: Collection[Any]) -> bool:
    """Return whether this is a pair such as `(b"authorization", b"...")` of an ASGI scope."""
    match value:
        case [str() | bytes() as name, _]:
            return is_sensitive(safe_text(name))
    return False


def _plain_mapping(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, item in islice(value.items(), _MAX_ITEMS):
        name = safe_text(key)
        found[free_name(name, found)] = plain_field(name, item, depth=depth)
    if len(value) > _MAX_ITEMS:
        found[free_name("...", found)] = f"{len(value)} items"
    return found


def _validation_details(error: BaseException) -> list[Mapping[str, Any]]:
    """Return what FastAPI's validation errors print, one mapping a fault."""
    if type(error).__module__ != "fastapi.exceptions":
        return []
    details: list[Any] = getattr(error, "errors", list)()
    return [detail for detail in details if isinstance(detail, Mapping)]
