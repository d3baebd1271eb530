"""The app that an import string such as `main:app` names."""

from __future__ import annotations

import sys
from contextlib import contextmanager, suppress
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI

from sturdyapi.exceptions import ConfigurationError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

__all__ = ["imported_app", "refuse_no_app"]


@contextmanager
def imported_app(name: str) -> Iterator[FastAPI]:
    """Give the app that an import string names, as servers read it.

    The working directory comes first on `sys.path`, as long as the block lasts.

    Raises:
        ConfigurationError: There is no such module, no such name in it, or it is no FastAPI app.
    """
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise ConfigurationError(
            f"'{name}' names no app. Write the module and the name in it, such as 'main:app'."
        )
    directory = str(Path.cwd())
    sys.path.insert(0, directory)
    try:
        yield _named(attribute, _module(module_name, directory))
    finally:
        with suppress(ValueError):
            sys.path.remove(directory)


def refuse_no_app(app: object) -> None:
    """Raise a `ConfigurationError` if something is no FastAPI app."""
    if not isinstance(app, FastAPI):
        raise ConfigurationError(
            f"client() was given an object of the type {type(app).__name__}. Give an app, a "
            "FastAPI or what create_app() returns, or its import string, such as 'main:app'."
        )


def _module(name: str, directory: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        # Another one that is missing is a fault inside the module.
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise ConfigurationError(
            f"There is no module '{error.name}', neither in the working directory ({directory}) "
            "nor elsewhere on sys.path."
        ) from None


def _named(attribute: str, module: ModuleType) -> FastAPI:
    try:
        app = attrgetter(attribute)(module)
    except AttributeError:
        apps = [name for name, value in vars(module).items() if isinstance(value, FastAPI)]
        raise ConfigurationError(
            f"The module '{module.__name__}' has no '{attribute}'."
            f"{did_you_mean(attribute, apps)} Apps in it: {', '.join(apps) or 'none'}."
        ) from None
    refuse_no_app(app)
    return app  # type: ignore[no-any-return]
