"""Which settings are secret, how they are shown, and which of them were never filled in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, Secret, SecretBytes, SecretStr

from .dsn import Dsn, secrets_in_url
from .expectations import inner_type

__all__ = [
    "PLACEHOLDER_LEFT",
    "holds_secret",
    "is_placeholder",
    "looks_secret",
    "placeholders_in",
    "secret_values",
    "secrets_in",
    "shown",
]

MIN_REDACTED_LENGTH = 8
"""Shorter secrets would be found inside ordinary words of a log line."""

PLACEHOLDER_LEFT = "still holds the placeholder of an example"
_MASK = "**********"
_HARMLESS_TYPES = (bool, int, float, Decimal, str, Path)
_SECRET_NAME = re.compile(
    r"(?:^|_)(?:pass(?:word|wd|phrase)?|pwd|secrets?|tokens?|credentials?|api_?keys?"
    r"|(?:access|encryption|private|signing)_?key)(?:_|$)"
)
_PLACEHOLDER = re.compile(
    r"x{3,}|\*{3,}|\.{3,}|-{3,}|<.*>|\$\{.*\}|\{\{.*\}\}|%\w+%"
    r"|your[-_ .].*|your(?:secret|password|token|api|key).*"
    r"|(?:change|replace|insert|enter|put|fill|paste)(?:[-_ ].*|me.*|this.*|it)"
    r"|(?:my|super|the)?[-_ ]?(?:secret|password|passwd|token)(?:[-_ ]?(?:key|here))?\d*"
    r"|example|sample|dummy|placeholder|todo|fixme|tbd|none|null|nil|undefined|default"
)


class _Secret(NamedTuple):
    path: tuple[str, ...]
    """Names that lead from the field to the secret; empty where the field is the secret."""
    text: str


def looks_secret(name: str) -> bool:
    """Return whether a name such as `smtp_password` or `api_key` promises a secret."""
    return bool(_SECRET_NAME.search(name.lower()))


def holds_secret(name: str, annotation: object) -> bool:
    """Return whether a message about a field might give a secret away."""
    return looks_secret(name) or inner_type(annotation) not in _HARMLESS_TYPES


def is_placeholder(text: str) -> bool:
    """Return whether a secret was left as in an example: `change-me`, `<key>`, `xxx`."""
    return bool(_PLACEHOLDER.fullmatch(text.strip().lower()))


def secret_values(settings: BaseModel) -> list[str]:
    """Return the values that must not appear in a log, the longest first.

    Those of `SecretStr`, `SecretBytes` and `Secret` fields and the passwords inside URLs, nested
    models and collections included. Values under eight characters are left out.
    """
    found = {secret.text for secret in secrets_in(settings)}
    return sorted(
        (text for text in found if len(text) >= MIN_REDACTED_LENGTH), key=len, reverse=True
    )


def placeholders_in(value: object) -> list[tuple[str, ...]]:
    """Return the paths of the secrets inside a value that are placeholders."""
    return list(dict.fromkeys(s.path for s in secrets_in(value) if is_placeholder(s.text)))


def shown(name: str, value: object) -> object:
    """Return what the `repr` of a settings object shows for a field.

    Pydantic and `Dsn` mask their own types; what is left are a secret in a plain `str`, and URLs.
    """
    if isinstance(value, str):
        return _MASK if value and looks_secret(name) else _without_password(value)
    if _is_pydantic_url(value):
        return _Literally(f"{type(value).__name__}('{_without_password(str(value))}')")
    if isinstance(value, BaseModel):
        fields = ", ".join(f"{key}={shown(key, item)!r}" for key, item in value.__dict__.items())
        return _Literally(f"{type(value).__name__}({fields})")
    if isinstance(value, Mapping):
        return {key: shown(str(key), item) for key, item in value.items()}
    if isinstance(value, list):
        return [shown(name, item) for item in value]
    return value


class _Literally:
    """Something whose `repr` is the given text."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _without_password(text: str) -> str:
    if "://" not in text:
        return text
    try:
        return str(Dsn(text))
    except ValueError:
        return _MASK if "@" in text else text


def _is_pydantic_url(value: object) -> bool:
    # The URL types of Pydantic share no public base class, but this method.
    return hasattr(value, "unicode_string")


def secrets_in(value: object, path: tuple[str, ...] = ()) -> Iterator[_Secret]:
    """Yield the secrets inside a value, each with the names that lead to it."""
    for name, item in _children(value):
        yield from secrets_in(item, (*path, name) if name else path)
    for text in _own_secrets(value):
        yield _Secret(path, text)


def _children(value: object) -> Iterator[tuple[str, Any]]:
    if isinstance(value, BaseModel):
        yield from value.__dict__.items()
    elif isinstance(value, Mapping):
        yield from (("", item) for item in value.values())
    elif isinstance(value, list | tuple | set | frozenset):
        yield from (("", item) for item in value)
    elif isinstance(value, Secret):
        yield "", value.get_secret_value()


def _own_secrets(value: object) -> Iterator[str]:
    if isinstance(value, Dsn):
        yield from secrets_in_url(value.get_secret_value())
    elif isinstance(value, SecretStr | SecretBytes | Secret):
        secret = value.get_secret_value()
        text = secret.decode("utf-8", "replace") if isinstance(secret, bytes) else secret
        if isinstance(text, str):
            yield text
            yield from _secrets_of_text(text)
    elif _is_pydantic_url(value):
        yield from _secrets_of_text(str(value))


def _secrets_of_text(text: str) -> Iterator[str]:
    if "://" in text:
        # What is no URL has no password in it.
        with suppress(ValueError):
            yield from secrets_in_url(text)
