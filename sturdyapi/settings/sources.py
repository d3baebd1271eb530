"""Where values come from: the environment, then `.env`, then files with secrets, then defaults."""

from __future__ import annotations

import os
import sys
from copy import copy
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from dotenv import dotenv_values
from pydantic_settings import (
    DotEnvSettingsSource,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
)
from pydantic_settings.sources import PydanticBaseEnvSettingsSource

from sturdyapi.exceptions import SettingProblem

from .expectations import inner_type, is_list_of_scalars
from .faults import Fault
from .variables import aliases_of, is_case_sensitive, variables_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pydantic.fields import FieldInfo
    from pydantic_settings import BaseSettings

__all__ = [
    "Files",
    "env_file_encoding",
    "env_file_paths",
    "find_files",
    "lenient",
    "project_root",
    "remember_file",
    "variables_in_use",
    "with_lenient_sources",
]

_SECRETS_DIR = "SECRETS_DIR"
_DEFAULT_SECRETS_DIR = Path("/run/secrets")
_files_of_classes: WeakKeyDictionary[type[BaseSettings], str] = WeakKeyDictionary()


class Files(NamedTuple):
    """The files that a settings class reads, as keywords of pydantic-settings."""

    options: dict[str, Any]
    env_files: list[Path]
    problems: list[SettingProblem]
    """Files that were asked for and can't be read."""


def find_files(settings_class: type[BaseSettings], values: Mapping[str, Any]) -> Files:
    """Find `.env` and the directory with secrets, unless the keywords in `values` name them."""
    files = Files({}, [], [])
    if "_env_file" in values:
        given = [Path(name) for name in _listed(values["_env_file"] or ())]
        encoding = env_file_encoding(settings_class)
        files.env_files.extend(path for path in given if _is_readable(path, encoding))
    else:
        files.env_files.extend(_env_files(settings_class, values, files.problems))
        files.options["_env_file"] = files.env_files or None
    if "_secrets_dir" not in values:
        files.options["_secrets_dir"] = _secrets_dir(settings_class, files.problems)
    return files


def project_root(settings_class: type[BaseSettings]) -> Path:
    """Return the folder of the nearest `pyproject.toml` above the class, else the current one."""
    file = _file_of(settings_class)
    # `BaseSettings` itself is used by apps that have no class of their own.
    is_ours = settings_class.__module__.startswith(f"{__package__}.")
    for folder in Path(file).resolve().parents if file and not is_ours else ():
        if (folder / "pyproject.toml").is_file():
            return folder
    return Path.cwd()


def remember_file(settings_class: type[BaseSettings]) -> None:
    """Keep the file of a class: a module whose import fails is forgotten, its classes are not."""
    if file := _file_of(settings_class):
        _files_of_classes[settings_class] = file


def _file_of(settings_class: type[BaseSettings]) -> str | None:
    module = sys.modules.get(settings_class.__module__)
    file: str | None = getattr(module, "__file__", None)
    return file if module else _files_of_classes.get(settings_class)


def env_file_paths(settings_class: type[BaseSettings]) -> list[Path]:
    """Return where `.env` is looked for, the file that wins last; none of them has to exist."""
    root = project_root(settings_class)
    names = _listed(settings_class.model_config.get("env_file") or ".env")
    return [root / Path(name).expanduser() for name in names]


def env_file_encoding(settings_class: type[BaseSettings]) -> str:
    """Return the encoding that `.env` is read in."""
    return settings_class.model_config.get("env_file_encoding") or "utf-8"


def variables_in_use(
    settings_class: type[BaseSettings], env_files: Iterable[Path] = ()
) -> dict[str, str]:
    """Return the variables that hold something, named in the case of `variables_of()`."""
    case_sensitive = is_case_sensitive(settings_class)
    in_use: dict[str, str] = {}
    encoding = env_file_encoding(settings_class)
    in_files = [dotenv_values(path, encoding=encoding) for path in env_files]
    givens: list[Mapping[str, str | None]] = [os.environ, *in_files]
    for given in givens:
        for name, value in given.items():
            if value:
                in_use.setdefault(name if case_sensitive else name.upper(), value)
    return in_use


def with_lenient_sources(hook: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a `settings_customise_sources` so that what it is given is lenient."""

    @wraps(hook)
    def customise(
        cls: type[BaseSettings], settings_cls: type[BaseSettings], **sources: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        lenient_sources = {name: lenient(source) for name, source in sources.items()}
        return tuple(hook(cls, settings_cls, **lenient_sources))

    return customise


def lenient(source: PydanticBaseSettingsSource) -> PydanticBaseSettingsSource:
    """Return a source that hands on what it can't decode, so that one report can name everything.

    The sources of pydantic-settings raise at the first bad list, which hides every other problem.
    """
    lenient_class = _LENIENT.get(type(source))
    if lenient_class is None:
        return source
    # Same state, other class: the source has been set up by a dozen options that are not ours.
    changed = copy(source)
    changed.__class__ = lenient_class
    return changed


class _Lenient(PydanticBaseEnvSettingsSource):
    def prepare_field_value(
        self,
        field_name: str,
        field: FieldInfo,
        value: Any,
        value_is_complex: bool,  # noqa: FBT001 - the signature of pydantic-settings
    ) -> Any:
        if isinstance(value, Fault):
            return value
        value = _tidied(field.annotation, value)
        return super().prepare_field_value(field_name, field, value, value_is_complex)

    def decode_complex_value(self, field_name: str, field: FieldInfo | None, value: Any) -> Any:
        if field and self._is_comma_list(field, value):
            return [item.strip() for item in value.split(",") if item.strip()]
        try:
            return super().decode_complex_value(field_name, field, value)  # type: ignore[arg-type]
        except ValueError:
            return value

    def _is_comma_list(self, field: FieldInfo, value: Any) -> bool:
        if NoDecode in field.metadata or self.config.get("enable_decoding") is False:
            return False
        is_text = isinstance(value, str) and not value.lstrip().startswith("[")
        return is_text and is_list_of_scalars(field.annotation)


class _LenientEnv(_Lenient, EnvSettingsSource):
    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        value, key, is_complex = super().get_field_value(field, field_name)
        fault = self._contradiction() if field_name == "environment" else None
        return fault or value, key, is_complex

    def explode_env_vars(
        self, field_name: str, field: FieldInfo, env_vars: Mapping[str, str | None]
    ) -> dict[str, Any]:
        return self._tidied_below(field, super().explode_env_vars(field_name, field, env_vars))

    def _tidied_below(self, field: FieldInfo | None, values: dict[str, Any]) -> dict[str, Any]:
        tidied = {}
        for key, value in values.items():
            # A field of a model, or the bare type of a dictionary's values.
            inner = self.next_field(field, key, self.case_sensitive)
            is_dict = isinstance(value, dict)
            annotation = getattr(inner, "annotation", inner)
            tidied[key] = (
                self._tidied_below(inner, value) if is_dict else _tidied(annotation, value)
            )
        return tidied

    def _contradiction(self) -> Fault | None:
        given: dict[str, str] = {}
        for variable in variables_of(self.settings_cls, "environment"):
            if value := self.env_vars.get(self._apply_case_sensitive(variable)):
                given.setdefault(value, variable)
        if len(given) <= 1:
            return None
        others = " and ".join(list(given.values())[1:])
        return Fault(f"contradicts {others}", "only one of them, or the same environment in each")


class _LenientDotEnv(_LenientEnv, DotEnvSettingsSource):
    pass


class _LenientSecrets(_Lenient, SecretsSettingsSource):
    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        try:
            value, key, is_complex = super().get_field_value(field, field_name)
        except (OSError, UnicodeError):
            key = next(iter([*aliases_of(field, self.config), field_name]))
            return Fault("is a file that can't be read", "a readable file in UTF-8"), key, False
        # An empty file counts as little as an empty variable.
        return value or None, key, is_complex


_LENIENT: dict[type, type[_Lenient]] = {
    EnvSettingsSource: _LenientEnv,
    DotEnvSettingsSource: _LenientDotEnv,
    SecretsSettingsSource: _LenientSecrets,
}


def _tidied(annotation: Any, value: Any) -> Any:
    # Pydantic strips numbers, but takes `False ` for no boolean.
    return value.strip() if isinstance(value, str) and inner_type(annotation) is bool else value


def _env_files(
    settings_class: type[BaseSettings],
    values: Mapping[str, Any],
    problems: list[SettingProblem],
) -> list[Path]:
    if _is_testing(settings_class, values):
        return []
    encoding = env_file_encoding(settings_class)
    found = [path for path in env_file_paths(settings_class) if path.is_file()]
    unreadable = [path for path in found if not _is_readable(path, encoding)]
    problems += [
        SettingProblem(path.name, "can't be read", f"a file in {encoding} that this user may read")
        for path in unreadable
    ]
    return [path for path in found if path not in unreadable]


def _is_testing(settings_class: type[BaseSettings], values: Mapping[str, Any]) -> bool:
    if "environment" in values:
        return bool(values["environment"] == "testing")
    in_use = variables_in_use(settings_class)
    return "testing" in (in_use.get(name) for name in variables_of(settings_class, "environment"))


def _listed(names: Any) -> list[Any]:
    return [names] if isinstance(names, str | os.PathLike) else list(names)


def _is_readable(path: Path, encoding: str) -> bool:
    try:
        path.read_text(encoding)
    except (OSError, UnicodeError):
        return False
    return True


def _secrets_dir(settings_class: type[BaseSettings], problems: list[SettingProblem]) -> Path | None:
    asked_for = os.environ.get(_SECRETS_DIR)
    if asked_for:
        if _is_open_folder(Path(asked_for)):
            return Path(asked_for)
        problems.append(
            SettingProblem(
                _SECRETS_DIR, "can't be read", "the path of a folder with one file a secret"
            )
        )
        return None
    if settings_class.model_config.get("secrets_dir"):
        return None  # pydantic-settings reads it from the config
    return _DEFAULT_SECRETS_DIR if _is_open_folder(_DEFAULT_SECRETS_DIR) else None


def _is_open_folder(path: Path) -> bool:
    return path.is_dir() and os.access(path, os.R_OK | os.X_OK)
