"""Secrets found by their value, wherever in a line they stand."""

from __future__ import annotations

import json
import re
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, unquote

from .values import MASK, escape_controls, free_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["MIN_SECRET_CHARS", "Redactor"]

MIN_SECRET_CHARS = 8
"""Shorter secrets would be found inside ordinary words."""

_NOTHING = re.compile(r"(?!)")


class Redactor:
    """Masks known secrets in finished lines.

    A secret is found as it is, and as `repr()`, JSON, a URL or a text log would write it. A secret
    of several lines, such as a key file, is found line by line.
    """

    def __init__(self) -> None:
        self._forms: frozenset[str] = frozenset()
        self._pattern = _NOTHING
        self._in_json: tuple[str, ...] = ()

    def add(self, secrets: Iterable[str]) -> None:
        """Mask these, too. Values under eight characters are left out."""
        found = {form for secret in secrets for form in _forms(secret)}
        if found <= self._forms:
            return
        self._forms |= found
        longest_first = sorted(self._forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)))
        # No escaped form is looked for if a shorter one would be found inside it anyway.
        self._in_json = _without_supersets(
            encode_basestring_ascii(form)[1:-1] for form in self._forms
        )

    def text(self, text: str) -> str:
        """Return a text without the secrets."""
        return self._pattern.sub(MASK, text) if self._forms else text

    def json(self, line: str) -> str:
        """Return a line of JSON without the secrets in it; it keeps its members."""
        for form in self._in_json:
            if form in line:
                members: dict[str, Any] = json.loads(line)
                cleaned = {name: self._clean(value) for name, value in members.items()}
                return json.dumps(cleaned) + "\n"
        return line

    def _clean(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._pattern.sub(MASK, value)
        if isinstance(value, dict):
            cleaned: dict[str, Any] = {}
            for name, item in value.items():
                cleaned[free_name(self.text(name), cleaned)] = self._clean(item)
            return cleaned
        if isinstance(value, list):
            return [self._clean(item) for item in value]
        if isinstance(value, int | float) and self._pattern.search(repr(value)):
            return MASK
        return value


def _forms(secret: str) -> Iterator[str]:
    for part in {secret, secret.strip(), unquote(secret), *secret.splitlines()}:
        if len(part) < MIN_SECRET_CHARS:
            continue
        yield part
        yield repr(part)[1:-1]
        yield escape_controls(part)
        yield encode_basestring_ascii(part)[1:-1]
        yield json.dumps(part, ensure_ascii=False)[1:-1]
        for quoted in (quote(part, errors="replace"), quote(part, safe="", errors="replace")):
            yield quoted
            yield re.sub("%..", lambda match: match.group().lower(), quoted)
        yield quote_plus(part, errors="replace")


def _without_supersets(forms: Iterable[str]) -> tuple[str, ...]:
    kept: list[str] = []
    for form in sorted(forms, key=len):
        if not any(shorter in form for shorter in kept):
            kept.append(form)
    return tuple(kept)
