"""Finding what a client sent in a text that a validator wrote.

A value counts however it is spelled: quoted, in capitals, cut short or reformatted as a number. A
value in another form, such as a decoded one, can't be recognised.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from starlette.datastructures import UploadFile

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

__all__ = ["filled_in", "phrases", "repeats", "repeats_phrase"]

_PIECE_LENGTH = 4
"""A word, or a part of one, that is at least this long counts as a piece of a value."""
_SHORTEST_PHRASE = 3
_PHRASE_WORDS = 8
"""Longer texts are known by as many words from their beginning."""
_LONGEST_NUMBER = 40
_LONGEST_TEXT = 1000
"""What a validator fills in that is longer than this is not its own."""

_WORD = re.compile(r"\w+")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_SENT_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d{1,3})?")
_QUOTED = re.compile(r"[\\'\"]")
_THOUSANDS = re.compile(r"(?<=\d)[,_'](?=\d{3})")


def filled_in(text: str, error: object) -> str:
    """Return what a validator put into its text, without the prose of its own source code.

    The constants of the function that raised `error` hold nothing of the request; all of `text` is
    returned when that function is not known.
    """
    traceback = getattr(error, "__traceback__", None)
    if traceback is None:
        return text
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    constants = [c for c in traceback.tb_frame.f_code.co_consts if isinstance(c, str)]
    if text in constants:
        return ""
    prose = (c for c in constants if " " in c and len(c.strip()) >= _PIECE_LENGTH)
    for constant in sorted(prose, key=len, reverse=True):
        text = text.replace(constant, "\n")
    return text


def repeats(text: str, value: Any, *, names: Container[str]) -> bool:
    """Tell whether a text contains a value, a part of it, or an item at any depth.

    Args:
        text: As a validator wrote it. A very long one is taken for an echo.
        value: What was refused.
        names: Keys that the model declares, which may be told.
    """
    if len(text) > _LONGEST_TEXT:
        return True
    searched = _Text(text.casefold())
    return any(searched.tells(leaf) for leaf in _leaves(value, names))


class _Text:
    """A text to look for many values in."""

    def __init__(self, folded: str) -> None:
        self._folded = folded
        self._pieces = frozenset(_pieces(folded))
        self._numbers = frozenset(map(Decimal, _NUMBER.findall(_THOUSANDS.sub("", folded))))

    def tells(self, leaf: str) -> bool:
        if self._numbers and self._has_number(leaf):
            return True
        folded = leaf.casefold()
        if len(folded) < _PIECE_LENGTH:
            return folded in self._folded and self._has_word(folded)
        return (
            any(spelling.casefold() in self._folded for spelling in _spellings(leaf))
            or any(piece in folded for piece in self._pieces)
            or any(piece in self._folded for piece in _pieces(folded))
        )

    def _has_number(self, leaf: str) -> bool:
        is_number = len(leaf) <= _LONGEST_NUMBER and _SENT_NUMBER.fullmatch(leaf)
        return bool(is_number) and abs(Decimal(leaf)) in self._numbers

    def _has_word(self, folded: str) -> bool:
        return re.search(rf"(?<!\w){re.escape(folded)}(?!\w)", self._folded) is not None


def _spellings(leaf: str) -> Iterator[str]:
    yield leaf
    if not (leaf.isascii() and leaf.isprintable()) or _QUOTED.search(leaf):
        yield repr(leaf)[1:-1]
        yield ascii(leaf)[1:-1]
        yield json.dumps(leaf)[1:-1]


def _pieces(folded: str) -> Iterator[str]:
    return (word for word in _WORD.findall(folded) if len(word) >= _PIECE_LENGTH)


def phrases(value: Any, *, names: Container[str]) -> frozenset[str]:
    """Return every item of a value, at any depth, in the form that `repeats_phrase()` looks for."""
    beginnings = (" ".join(_words(leaf)[:_PHRASE_WORDS]) for leaf in _leaves(value, names))
    return frozenset(phrase for phrase in beginnings if len(phrase) >= _SHORTEST_PHRASE)


def repeats_phrase(text: str, known: frozenset[str]) -> bool:
    """Tell whether a text contains one of `phrases()` as a whole.

    The time it takes depends on the text only, however much the client sent.
    """
    words = _words(text)
    return any(
        " ".join(words[start:end]) in known
        for start in range(len(words))
        for end in range(start + 1, min(start + _PHRASE_WORDS, len(words)) + 1)
    )


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _leaves(value: Any, names: Container[str]) -> Iterator[str]:
    pending = [value]
    while pending:
        node = pending.pop()
        if isinstance(node, Mapping):
            pending.extend(node.values())
            pending.extend(key for key in node if key not in names)
        elif isinstance(node, list | tuple | set | frozenset):
            pending.extend(node)
        elif isinstance(node, bytes):
            pending.append(node.decode(errors="replace"))
        elif isinstance(node, UploadFile):
            pending.append(node.filename)
        elif node is not None and not isinstance(node, bool) and (text := str(node).strip()):
            yield text
