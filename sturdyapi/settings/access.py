"""How settings reach endpoints and dependencies."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

# FastAPI evaluates the annotation of the dependency.
from starlette.requests import HTTPConnection  # noqa: TC002

from sturdyapi.exceptions import ConfigurationError

from .base import BaseSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["SCOPE_KEY", "settings_of"]

SCOPE_KEY = "sturdyapi.settings"
"""Where an app leaves its settings in the scope; plain apps mounted in it see them too."""

SettingsT = TypeVar("SettingsT", bound=BaseSettings)


def settings_of(
    settings_class: type[SettingsT],
) -> Callable[[HTTPConnection], Awaitable[SettingsT]]:
    """Return the dependency that gives the settings of the app that serves the request.

    The same class always gives the same object, so that FastAPI calls it once a request and a test
    can replace it: `app.dependency_overrides[settings_of(Settings)] = lambda: Settings(...)`. Works
    for websockets and in mounted apps.

    The dependency raises `ConfigurationError` if the app has no settings of that class.
    """
    getter = _getters.setdefault(settings_class, _make_getter(settings_class))
    return cast("Callable[[HTTPConnection], Awaitable[SettingsT]]", getter)


_getters: dict[type[BaseSettings], Callable[[HTTPConnection], Awaitable[BaseSettings]]] = {}


def _make_getter(
    settings_class: type[SettingsT],
) -> Callable[[HTTPConnection], Awaitable[SettingsT]]:
    # Not `def`: that would cost each request a thread.
    async def settings(connection: HTTPConnection) -> SettingsT:
        found = connection.scope.get(SCOPE_KEY)
        if found is None:
            found = getattr(connection.app.state, "settings", None)
        if isinstance(found, settings_class):
            return found
        raise ConfigurationError(_missing(settings_class, found))

    return settings


def _missing(settings_class: type[BaseSettings], found: object) -> str:
    name = settings_class.__name__
    what = "no settings" if found is None else f"settings of the class {type(found).__name__}"
    return (
        f"The app that serves this request has {what}, but an endpoint or dependency asks for "
        f"{name}. Create the app with create_app({name}, ...), or set app.state.settings."
    )
