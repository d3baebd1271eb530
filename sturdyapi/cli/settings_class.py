"""Finds the settings class that a command is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pydantic_settings

from sturdyapi.exceptions import AppNotFoundError, SettingsError
from sturdyapi.settings import BaseSettings

from .loading import attribute_of, find_target, import_target

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType

    SettingsClass = type[pydantic_settings.BaseSettings]

__all__ = ["loaded_classes", "settings_class_of"]

_ADVICE = "Name an app or a settings class, such as main:app."


def settings_class_of(target: str | None, *, folder: Path) -> type[BaseSettings]:
    """Return the settings class of an app, also where the app can't start for want of settings.

    Args:
        target: The app, its module or file, or the class itself; `None` to look for the app.
        folder: Where to begin; modules are imported from there.

    Raises:
        AppNotFoundError: There is no such thing, or it has no settings.
        AppLoadError: The module is there, and its import fails.
    """
    found = find_target(target, folder=folder)
    try:
        module = import_target(found)
    except SettingsError as error:
        if settings_class := _class_that_failed(error):
            return settings_class
        raise
    if found.name is None:
        candidates = _candidates(module)
    else:
        candidates = iter([attribute_of(module, found.name, advice=_ADVICE)])
    for candidate in candidates:
        if settings_class := _settings_class_in(candidate):
            return settings_class
    place = module.__name__ + (f":{found.name}" if found.name else "")
    raise AppNotFoundError(
        f"{place} has no settings. Name what create_app() returned, such as main:app, or a "
        "subclass of sturdyapi.BaseSettings, such as package.settings:Settings."
    )


def _class_that_failed(error: SettingsError) -> type[BaseSettings] | None:
    """Return the newest class of the name that the error gives."""
    named = [
        each
        for each in loaded_classes()
        if issubclass(each, BaseSettings) and each.__name__ == error.settings_class
    ]
    return named[-1] if named else None


def loaded_classes() -> list[SettingsClass]:
    """Return every settings class of the process, also those of a module whose import failed."""

    def below(parent: SettingsClass) -> Iterator[SettingsClass]:
        for each in parent.__subclasses__():
            yield each
            yield from below(each)

    return list(dict.fromkeys(below(pydantic_settings.BaseSettings)))


def _candidates(module: ModuleType) -> Iterator[object]:
    """Yield what in a module may lead to settings: apps first, then classes of its own."""
    values = vars(module)
    yield from (values[name] for name in ("app", "api") if name in values)
    yield from (value for value in values.values() if _is_app_or_settings(value))
    yield from (
        value
        for value in values.values()
        if isinstance(value, type) and value.__module__ == module.__name__
    )


def _is_app_or_settings(value: object) -> bool:
    # By name: an import of FastAPI is the app's business.
    return any(each is BaseSettings or each.__name__ == "FastAPI" for each in type(value).__mro__)


def _settings_class_in(candidate: Any) -> type[BaseSettings] | None:
    if isinstance(candidate, type):
        return candidate if issubclass(candidate, BaseSettings) else None
    state = getattr(candidate, "state", None)
    held = (candidate, getattr(candidate, "settings", None), getattr(state, "settings", None))
    return next((type(each) for each in held if isinstance(each, BaseSettings)), None)
