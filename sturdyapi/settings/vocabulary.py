"""Every variable that a settings class reads, and which of them a misspelt one was meant to be."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import is_dataclass
from difflib import get_close_matches
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel

from .expectations import choices_of, inner_type, is_choice_of_types
from .template import env_example
from .variables import in_case_of, is_case_sensitive, names_within, prefix_of, variables_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pydantic_settings import BaseSettings

__all__ = ["Variable", "Vocabulary", "kinds_of", "told_name"]

_NAME_IN_TEMPLATE = re.compile(r"^([^#=\s]+)=", re.MULTILINE)
_NAME = re.compile(r"[A-Z_][A-Z0-9_]{0,63}|[a-z_][a-z0-9_]{0,63}")
_TYPO = 0.88
"""Similarity from which on a name is a typo: one letter of nine is another, one of five missing."""


def told_name(key: str) -> str:
    """Return what stands before a `=` as far as it can be printed.

    A secret of several lines without quotes leaves such keys too, most often of mixed case.
    """
    return key if _NAME.fullmatch(key) else "a name"


class Variable(NamedTuple):
    """What a variable fills."""

    name: str
    """Name of the field, or of the key below it."""
    annotation: Any


class Vocabulary:
    """The variables of a settings class, those of nested models included.

    Attributes:
        prefix: What those begin with that are made from the names of fields.
    """

    def __init__(self, settings_class: type[BaseSettings]) -> None:
        self._settings_class = settings_class
        self._folds_case = not is_case_sensitive(settings_class)
        config = settings_class.model_config
        self._delimiter = in_case_of(settings_class, config.get("env_nested_delimiter") or "")
        self._max_split = (config.get("env_nested_max_split") or 0) - 1
        self._fields = {
            variable: Variable(name, field.annotation)
            for name, field in settings_class.model_fields.items()
            for variable in variables_of(settings_class, name)
        }
        self.prefix = prefix_of(settings_class)

    @cached_property
    def names(self) -> list[str]:
        """Every variable that can be listed, in the case of `variables_of()`."""
        in_template = _NAME_IN_TEMPLATE.findall(env_example(self._settings_class))
        return list(dict.fromkeys([*in_template, *self._fields]))

    def find(self, name: str) -> Variable | None:
        """Return what a variable fills; `None` if the class does not read it."""
        name = in_case_of(self._settings_class, name)
        if name in self._fields:
            return self._fields[name]
        for variable, field in self._fields.items():
            outer = variable + self._delimiter
            if self._delimiter and name.startswith(outer):
                path = name.removeprefix(outer).split(self._delimiter, self._max_split)
                if found := self._below(field, path):
                    return found
        return None

    def has_prefix(self, name: str) -> bool:
        """Return whether a name is meant for this class; any is where the class has no prefix."""
        return in_case_of(self._settings_class, name).startswith(self.prefix)

    def meant_by(self, name: str, *, among: Iterable[str]) -> str | None:
        """Return the variable that a name is a typo of, or that it lacks only the prefix of."""
        by_folded = {each.upper(): each for each in among}
        near = get_close_matches(name.upper(), by_folded, n=1, cutoff=_TYPO)
        with_prefix = self.prefix.upper() + name.upper()
        return by_folded.get(with_prefix) or (by_folded[near[0]] if near else None)

    def nearest_to(self, name: str) -> str | None:
        """Return the variable that a name resembles most, apart from the prefix."""
        by_folded = {each.removeprefix(self.prefix).upper(): each for each in self.names}
        folded = in_case_of(self._settings_class, name).removeprefix(self.prefix).upper()
        near = get_close_matches(folded, by_folded, n=1)
        return by_folded[near[0]] if near else None

    def within(self, variable: Variable, key: str) -> Variable | None:
        """Return what a key fills in the object that a variable holds."""
        return self._below(variable, [in_case_of(self._settings_class, key)])

    def _below(self, variable: Variable, path: Sequence[str]) -> Variable | None:
        if not path:
            return variable
        for kind in kinds_of(variable.annotation):
            inner = self._within(kind, path[0])
            if inner and (found := self._below(inner, path[1:])):
                return found
        return None

    def _within(self, kind: Any, key: str) -> Variable | None:
        if choices_of(kind):
            return None
        origin = get_origin(kind) or kind
        if origin in (Any, object) or not isinstance(origin, type) or is_dataclass(origin):
            return Variable(key, Any)
        if issubclass(origin, BaseModel):
            return self._field_of(origin, key)
        if issubclass(origin, Mapping):
            return Variable(key, next(iter(get_args(kind)[1:]), Any))
        takes_more = issubclass(origin, Collection) and not issubclass(origin, str | bytes | Enum)
        return Variable(key, Any) if takes_more else None

    def _field_of(self, model: type[BaseModel], key: str) -> Variable | None:
        for name, field in model.model_fields.items():
            names = names_within(model, name)
            if key in (names if not self._folds_case else [each.upper() for each in names]):
                return Variable(name, field.annotation)
        return Variable(key, Any) if model.model_config.get("extra") == "allow" else None


def kinds_of(annotation: Any) -> Iterator[Any]:
    """Yield the types that a value may be of, `None` and the members of a union among them."""
    annotation = inner_type(annotation)
    if is_choice_of_types(annotation):
        for member in get_args(annotation):
            yield from kinds_of(member)
    else:
        yield annotation
