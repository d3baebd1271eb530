"""Which environment variables fill which field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import AliasChoices, AliasPath

from sturdyapi.exceptions import ReservedVariableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo
    from pydantic_settings import BaseSettings

__all__ = [
    "aliases_of",
    "in_case_of",
    "is_case_sensitive",
    "names_within",
    "prefix_of",
    "refuse_reserved_variables",
    "variables_of",
]

_RESERVED = frozenset(
    "APPDATA COMPUTERNAME COMSPEC DISPLAY EDITOR HOME HOSTNAME HOSTTYPE LANG LANGUAGE LOGNAME "
    "MACHTYPE MAIL OLDPWD OS OSTYPE PAGER PATH PATHEXT PROGRAMDATA PS1 PWD PYTHONPATH SHELL SHLVL "
    "SYSTEMROOT TEMP TERM TMP TMPDIR USER USERNAME USERPROFILE VIRTUAL_ENV VISUAL WINDIR".split()
)
"""Variables that a shell, a login or the operating system sets for every process."""


def variables_of(settings_class: type[BaseSettings], field_name: str) -> tuple[str, ...]:
    """Return the variables that can fill a field, the one that wins first.

    Upper case, unless the class is case-sensitive.
    """
    field = settings_class.model_fields[field_name]
    config = settings_class.model_config
    names = [_prefix("alias", config) + alias for alias in aliases_of(field, config)]
    names += _name_variable(settings_class, field_name)
    return tuple(dict.fromkeys(in_case_of(settings_class, name) for name in names))


def aliases_of(field: FieldInfo, config: Mapping[str, Any]) -> list[str]:
    """Return the names that a field is filled by instead of its own."""
    alias = field.validation_alias
    if alias is None or config.get("validate_by_alias") is False:
        return []
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    return [str(item.path[0]) if isinstance(item, AliasPath) else item for item in choices]


def names_within(model: type[BaseModel], field_name: str) -> list[str]:
    """Return the names that a field of a nested model is filled by, the one that wins first."""
    config = model.model_config
    aliases = aliases_of(model.model_fields[field_name], config)
    return aliases if aliases and not _takes_names(config) else [*aliases, field_name]


def refuse_reserved_variables(settings_class: type[BaseSettings]) -> None:
    """Raise `ReservedVariableError` if the name of a field is a variable of the shell.

    An alias is taken as it is: who writes one means that very variable.
    """
    for field_name in settings_class.model_fields:
        for name in _name_variable(settings_class, field_name):
            variable = in_case_of(settings_class, name)
            if variable in _RESERVED:
                raise ReservedVariableError(settings_class.__name__, field_name, variable)


def in_case_of(settings_class: type[BaseSettings], name: str) -> str:
    """Return the name of a variable in the case of `variables_of()`."""
    return name if is_case_sensitive(settings_class) else name.upper()


def prefix_of(settings_class: type[BaseSettings]) -> str:
    """Return what the variables begin with that are made from the names of fields."""
    prefix = _prefix("variable", settings_class.model_config)
    return in_case_of(settings_class, prefix)


def is_case_sensitive(settings_class: type[BaseSettings]) -> bool:
    """Return whether `port` and `PORT` are two variables for this class."""
    return bool(settings_class.model_config.get("case_sensitive"))


def _name_variable(settings_class: type[BaseSettings], field_name: str) -> list[str]:
    config = settings_class.model_config
    aliases = aliases_of(settings_class.model_fields[field_name], config)
    if aliases and not _takes_names(config):
        return []
    return [_prefix("variable", config) + field_name]


def _takes_names(config: Mapping[str, Any]) -> bool:
    """Return whether a field with an alias is filled by its own name too."""
    return bool(config.get("validate_by_name") or config.get("populate_by_name"))


def _prefix(target: str, config: Mapping[str, Any]) -> str:
    applies = config.get("env_prefix_target") or "variable"
    return config.get("env_prefix") or "" if applies in (target, "all") else ""
