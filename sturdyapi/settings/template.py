"""Writes the template for `.env`."""

from __future__ import annotations

import json
import re
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic_core import PydanticUndefined, to_jsonable_python

from .dsn import Dsn
from .expectations import expectation_of, model_in
from .secrecy import looks_secret, secrets_in
from .variables import in_case_of, names_within, variables_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from pydantic.fields import FieldInfo
    from pydantic_settings import BaseSettings

__all__ = ["env_example"]

_WIDTH = 98
_HEADER = (
    "Copy this file to .env and fill in what is required. An empty value counts as not set. "
    "The environment wins over .env, which belongs in .gitignore."
)
_NEEDS_NO_QUOTES = re.compile(r"[\w@%+=:,./*-]*")


def env_example(settings_class: type[BaseSettings], *, last: Collection[str] = ()) -> str:
    """Return the text of `.env.example`, with the fields named by `last` at its end."""
    blocks = [_comment(_HEADER)]
    for name in sorted(settings_class.model_fields, key=lambda name: name in last):
        variable = variables_of(settings_class, name)[0]
        field = settings_class.model_fields[name]
        blocks += _Entry(variable, name, field, field.default).blocks(settings_class)
    return "\n\n".join(blocks) + "\n"


class _Entry:
    """A variable, or those of the fields of a nested model."""

    def __init__(
        self,
        variable: str,
        name: str,
        field: FieldInfo,
        default: Any,
        outer: tuple[type[BaseModel], ...] = (),
    ) -> None:
        self._variable = variable
        self._name = name
        self._field = field
        self._default = default
        self._outer = outer

    def blocks(self, settings_class: type[BaseSettings]) -> Iterator[str]:
        """Yield a block of text for each variable."""
        model = model_in(self._field.annotation)
        delimiter = settings_class.model_config.get("env_nested_delimiter") or ""
        if model and delimiter and model not in self._outer:
            for name, field in model.model_fields.items():
                default = getattr(self._default, name, field.default)
                inner = in_case_of(settings_class, names_within(model, name)[0])
                entry = _Entry(
                    f"{self._variable}{delimiter}{inner}",
                    name,
                    field,
                    default,
                    (*self._outer, model),
                )
                yield from entry.blocks(settings_class)
        else:
            yield f"{_comment(self._meaning())}\n{self._variable}={self._value()}"

    def _meaning(self) -> str:
        is_required = self._field.is_required() and self._default is PydanticUndefined
        lines = [
            self._field.description or "",
            f"{'Required. ' if is_required else ''}Takes {expectation_of(self._field)}.",
        ]
        return "\n".join(filter(None, lines))

    def _value(self) -> str:
        # A secret stays blank: an example that passes the checks would end up in production.
        if self._default is PydanticUndefined or self._is_secret():
            return ""
        text = _text_of(to_jsonable_python(self._default, fallback=_unknown_to_json))
        return text if _NEEDS_NO_QUOTES.fullmatch(text) else f"'{_escaped(text)}'"

    def _is_secret(self) -> bool:
        is_secret_type = isinstance(self._default, SecretStr | SecretBytes)
        return is_secret_type or looks_secret(self._name) or any(secrets_in(self._default))


def _text_of(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(item, str) and "," not in item for item in value):
        return ",".join(value)
    return json.dumps(value)


def _unknown_to_json(value: Any) -> str:
    return value.get_secret_value() if isinstance(value, Dsn) else str(value)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")


def _comment(text: str) -> str:
    lines = [line for sentence in text.splitlines() for line in wrap(sentence, _WIDTH)]
    return "\n".join(f"# {line}" for line in lines)
