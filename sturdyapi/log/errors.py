"""Errors as text: the whole chain, and no values but those the errors themselves speak of."""

from __future__ import annotations

import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from .values import MAX_TEXT_CHARS, error_text, safe_text

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Fault", "describe", "is_logged", "mark_logged"]

_MARK = "__sturdyapi_logged__"


class Fault(NamedTuple):
    """What a log line says about an error."""

    type: str
    """Its class, with the module unless that is `builtins`."""
    message: str
    stack: str
    """The traceback as Python prints it, with causes, contexts, notes and groups."""


def describe(error: BaseException) -> Fault:
    """Return an error in words; never raises."""
    kind = type(error)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return Fault(f"{module}{kind.__qualname__}", error_text(error), _stack(error))


def mark_logged(error: BaseException) -> None:
    """Note that the error has its line, so that the server's report of it is not a second one."""
    # An error class may refuse attributes: then it is reported twice.
    with suppress(Exception):
        setattr(error, _MARK, True)


def is_logged(error: BaseException) -> bool:
    """Return whether the error, or each one of a group, has been marked."""
    if isinstance(error, BaseExceptionGroup) and error.exceptions:
        return all(is_logged(inner) for inner in error.exceptions)
    return getattr(error, _MARK, False) is True


def _stack(error: BaseException) -> str:
    try:
        # The standard library's own form: unlike others, it shows no values of variables.
        text = "".join(traceback.format_exception(error)).rstrip("\n")
    except Exception as failure:  # noqa: BLE001 - a traceback runs code of the error's class
        return f"<traceback not available: {type(failure).__name__}>"
    for inner in _chain(error):
        text = _without_inputs(text, inner)
    return _shortened(text)


def _chain(error: BaseException) -> Iterator[BaseException]:
    waiting, seen = [error], set[int]()
    while waiting:
        current = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        if isinstance(current, BaseExceptionGroup):
            waiting.extend(current.exceptions)
        waiting.extend(e for e in (current.__cause__, current.__context__) if e is not None)


def _without_inputs(text: str, error: BaseException) -> str:
    shown, safe = safe_text(error), error_text(error)
    if shown == safe:
        return text
    # Line by line, since a group indents the text of its members.
    for line, safe_line in zip(shown.splitlines(), safe.splitlines(), strict=False):
        if line != safe_line:
            text = text.replace(line.strip(), safe_line.strip())
    return text


def _shortened(text: str) -> str:
    if len(text) <= MAX_TEXT_CHARS:
        return text
    half = MAX_TEXT_CHARS // 2
    return f"{text[:half]}\n... ({len(text) - 2 * half} more characters) ...\n{text[-half:]}"
