"""Whether the text of a validator repeats the value that it refused."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from enum import Enum

from pydantic import BaseModel, Secret, SecretBytes, SecretStr

from .dsn import Dsn

__all__ = ["echoes"]

_CHUNK = 4
"""Signs in a row that a message may not share with a secret."""
_WORD = re.compile(r"\w+")
_MIN_WORD = 3
"""Shorter words of a longer value are in every sentence."""
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def echoes(message: str, value: object, *, is_secret: bool) -> bool:
    """Return whether a message repeats a value or a telling part of it.

    In doubt it does: a lost sentence costs a look at the validator, a printed secret its rotation.
    """
    message = message.casefold()
    for text in _texts_in(value):
        folded = text.strip().casefold()
        shares = _shares_chunk if is_secret or ("://" in text and "@" in text) else _shares_word
        if folded and (shares(message, folded) or _shares_number(message, folded)):
            return True
    return False


def _shares_chunk(message: str, text: str) -> bool:
    if len(text) <= _CHUNK:
        return text in message
    return any(text[i : i + _CHUNK] in message for i in range(len(text) - _CHUNK + 1))


def _shares_word(message: str, text: str) -> bool:
    words = {word for word in _WORD.findall(text) if len(word) >= _MIN_WORD or word == text}
    return text in message.split() or not words.isdisjoint(_WORD.findall(message))


def _shares_number(message: str, text: str) -> bool:
    with suppress(ValueError):
        number = float(text)
        return any(float(found) == number for found in _NUMBER.findall(message))
    return False


def _texts_in(value: object) -> Iterator[str]:
    if value is None or isinstance(value, Enum | bool):
        return  # words of the program, not of its user
    if isinstance(value, SecretStr | SecretBytes | Secret | Dsn):
        value = value.get_secret_value()
    if isinstance(value, bytes):
        yield value.decode("utf-8", "replace")
    elif isinstance(value, BaseModel):
        yield from _texts_in(value.__dict__)
    elif isinstance(value, Mapping):
        yield from _texts_in([*value.keys(), *value.values()])
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _texts_in(item)
    else:
        yield str(value)
