"""What a test changes in an app for a while, and how the app gets back what it had."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.params import Depends
from pydantic import ValidationError

from sturdyapi.app import SturdyAPI, mounted_apps
from sturdyapi.exceptions import ConfigurationError, did_you_mean
from sturdyapi.settings import BaseSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sturdyapi.resources import Resource

    Dependency = Callable[..., Any] | Depends
    """A dependency, or the `Depends()` of one, such as `pg.connection`."""

__all__ = ["acting_as", "kept", "replaced_resources", "replaced_settings", "with_mounted"]

_READ_WHEN_MADE = ("environment", "log_level", "log_format", "trusted_hosts", "cors_origins")
"""Settings that `create_app()` itself reads; later they change nothing."""


def with_mounted(app: FastAPI) -> list[FastAPI]:
    """Return the app, and the FastAPI apps that are mounted in it."""
    inner = [each for _, each in mounted_apps(app.router.routes) if isinstance(each, FastAPI)]
    return [app, *(mounted for each in inner for mounted in with_mounted(each))]


@contextmanager
def kept(apps: Sequence[FastAPI]) -> Iterator[None]:
    """Give apps back their `dependency_overrides` and their `state` after the block."""
    with ExitStack() as stack:
        for app in apps:
            stack.callback(setattr, app, "dependency_overrides", app.dependency_overrides)
            stack.callback(_refill, app.dependency_overrides, _content(app.dependency_overrides))
            stack.callback(setattr, app, "state", app.state)
            stack.callback(_refill, app.state, _content(app.state))
        yield


@contextmanager
def acting_as(apps: Sequence[FastAPI], values: Mapping[Dependency, Any]) -> Iterator[None]:
    """Let dependencies give these values, as long as the block lasts.

    Raises:
        ConfigurationError: A key is no dependency.
    """
    overrides = {_function(key): _giving(value) for key, value in values.items()}
    with kept(apps):
        for app in apps:
            app.dependency_overrides.update(overrides)
        yield


@contextmanager
def replaced_resources(
    apps: Sequence[FastAPI], replacements: Mapping[Resource[Any], Any]
) -> Iterator[None]:
    """Put other values in place of resources, in whichever of the apps has them.

    Raises:
        ConfigurationError: None of the apps has a resource, or the first is no `SturdyAPI`.
    """
    ours = _ours("resources=", apps)
    known = {resource for app in ours for resource in app.resources}
    with ExitStack() as stack:
        for app in ours:
            own = set(app.resources)
            # The first app gets, and refuses, what no app has.
            stack.enter_context(
                app.resources.replaced(
                    {
                        resource: value
                        for resource, value in replacements.items()
                        if resource in own or resource not in known
                    }
                )
            )
        yield


@contextmanager
def replaced_settings(
    apps: Sequence[FastAPI], changes: BaseSettings | Mapping[str, Any]
) -> Iterator[None]:
    """Let the first app, and mounted ones that share its settings, have others.

    Raises:
        ConfigurationError: The app would not notice, a name or a value is not one of its settings,
            or the first is no `SturdyAPI`.
    """
    first, *mounted = _ours("settings=", apps)
    before = first.settings
    changed = _changed(before, changes)
    affected = [first, *(app for app in mounted if app.settings is before)]
    for app in affected:
        app.settings = app.state.settings = changed
    try:
        yield
    finally:
        for app in affected:
            app.settings = app.state.settings = before


def _ours(argument: str, apps: Sequence[FastAPI]) -> list[SturdyAPI]:
    if not isinstance(apps[0], SturdyAPI):
        raise ConfigurationError(
            f"client({argument}) needs an app that create_app() has made; this one is a "
            f"{type(apps[0]).__name__}. Use as_=, which replaces dependencies of any FastAPI app."
        )
    return [app for app in apps if isinstance(app, SturdyAPI)]


def _function(key: Dependency) -> Callable[..., Any]:
    function = key.dependency if isinstance(key, Depends) else key
    # An alias is callable, and no dependency.
    if not callable(function) or hasattr(function, "__metadata__"):
        raise ConfigurationError(
            f"as_= has {_shown(key)} as a key. Give the dependency itself: "
            "as_={current_user: alice}."
        )
    return function


def _shown(key: object) -> str:
    return "an Annotated[...]" if hasattr(key, "__metadata__") else f"a {type(key).__name__}"


def _giving(value: object) -> Callable[[], Any]:
    # Not `def`: that would run in a thread.
    async def give() -> object:
        return value

    return give


def _changed(before: BaseSettings, changes: BaseSettings | Mapping[str, Any]) -> BaseSettings:
    kind = type(before)
    if not isinstance(changes, BaseSettings):
        after = _with_values(before, changes)
    elif isinstance(changes, kind):
        after = changes
    else:
        raise ConfigurationError(
            f"settings= is a {type(changes).__name__}, and the app's settings are {kind.__name__}. "
            "Give an instance of that, or a dict of the values that change."
        )
    for name in _READ_WHEN_MADE:
        if getattr(after, name) != getattr(before, name):
            raise ConfigurationError(
                f"settings= changes '{name}', which the app has read when it was made. Make an app "
                f"for the test: create_app({kind.__name__}({name}=...))."
            )
    return after


def _with_values(before: BaseSettings, changes: Mapping[str, Any]) -> BaseSettings:
    kind = type(before)
    after = before.model_copy()
    for name, value in changes.items():
        if name not in kind.model_fields:
            raise ConfigurationError(
                f"settings= has '{name}', which is no field of {kind.__name__}."
                f"{did_you_mean(name, kind.model_fields)}"
            )
        try:
            kind.__pydantic_validator__.validate_assignment(after, name, value)
        except ValidationError as error:
            problem = error.errors(include_input=False, include_context=False)[0]["msg"]
            raise ConfigurationError(
                f"settings= has a bad value for '{name}': {problem}."
            ) from None
    return after


def _content(mapping: Any) -> dict[Any, Any]:
    return {name: mapping[name] for name in mapping}


def _refill(mapping: Any, content: Mapping[Any, Any]) -> None:
    for name in list(mapping):
        del mapping[name]
    for name, value in content.items():
        mapping[name] = value
