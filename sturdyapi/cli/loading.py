"""Finds and imports what a command is about: `main:app`, `main.py`, or nothing at all."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING, NamedTuple

from sturdyapi.exceptions import AppLoadError, AppNotFoundError, SturdyError, did_you_mean

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["FOUND_BY_DEFAULT", "Loaded", "Target", "find_target", "import_target", "load_app"]

FOUND_BY_DEFAULT = ("main.py", "app.py", "api.py", "app/main.py", "app/app.py", "app/api.py")
"""Where an app is looked for when none is named; the order of the FastAPI CLI."""


class Target(NamedTuple):
    """What to import, and from where."""

    folder: Path
    """Goes to the front of the import path."""
    module: str
    name: str | None
    """Attribute of the module; `None` to look for the app."""

    @property
    def import_string(self) -> str:
        """The form that every server takes."""
        return f"{self.module}:{self.name or 'app'}"


class Loaded(NamedTuple):
    """An app, and how a server finds it."""

    app: object
    import_string: str
    folder: Path


def load_app(target: str | None, *, folder: Path) -> Loaded:
    """Import an app.

    Args:
        target: `main:app`, `package.main`, `main.py`, `src/main.py:app`, or `None` to look in the
            usual places.
        folder: Where to begin; the modules of the app are imported from there.

    Raises:
        AppNotFoundError: There is no such file, module or attribute, or it is no app.
        AppLoadError: The module is there, and its import fails.
        SettingsError: The settings are wrong.
    """
    found = find_target(target, folder=folder)
    module = import_target(found)
    name = found.name or _name_of_app(module)
    app = _attribute(module, name)
    if not callable(app) or isinstance(app, type):
        raise AppNotFoundError(
            f"{module.__name__}:{name} is a {type(app).__name__}, and no ASGI app. "
            "Name the variable that holds what create_app() returned, such as main:app."
        )
    return Loaded(app, f"{module.__name__}:{name}", found.folder)


def find_target(target: str | None, *, folder: Path) -> Target:
    """Say what is to be imported; nothing is imported yet.

    Raises:
        AppNotFoundError: There is no such file, or nothing in the usual places.
    """
    if target is None:
        return _file_target(_default_file(folder), None, folder)
    place, _, name = target.partition(":")
    if place.endswith(".py") or "/" in place:
        return _file_target(Path(place), name or None, folder)
    return Target(folder.resolve(), place, name or None)


def import_target(target: Target) -> ModuleType:
    """Import the module of a target.

    Raises:
        AppNotFoundError: There is no such module.
        AppLoadError: Its import fails.
    """
    path = str(target.folder)
    if path not in sys.path:
        sys.path.insert(0, path)
    try:
        return import_module(target.module)
    except SturdyError:
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and _is_part(error.name, target.module):
            raise AppNotFoundError(
                f"There is no module '{target.module}' in {target.folder}. "
                "Name it as it is imported there, such as main:app, or its file: main.py."
            ) from None
        raise AppLoadError(target.module, _words(error)) from error


def _is_part(missing: str | None, module: str) -> bool:
    return missing is not None and f"{module}.".startswith(f"{missing}.")


def _default_file(folder: Path) -> Path:
    for name in FOUND_BY_DEFAULT:
        if (folder / name).is_file():
            return Path(name)
    raise AppNotFoundError(
        f"No app is named, and {folder.resolve()} has none of {', '.join(FOUND_BY_DEFAULT)}. "
        "Name it: sturdyapi run package.main:app"
    )


def _file_target(file: Path, name: str | None, folder: Path) -> Target:
    path = (folder / file).resolve()
    if path.is_dir():
        path /= "__init__.py"
    if not path.is_file():
        raise AppNotFoundError(f"There is no file {path}. Name the one that makes the app.")
    parts = [path.parent.name if path.stem == "__init__" else path.stem]
    root = path.parent.parent if path.stem == "__init__" else path.parent
    while (root / "__init__.py").is_file():
        parts.insert(0, root.name)
        root = root.parent
    return Target(root, ".".join(parts), name)


def _name_of_app(module: ModuleType) -> str:
    for name in ("app", "api"):
        if hasattr(module, name):
            return name
    # By name: an import of FastAPI is the app's business.
    for name, value in vars(module).items():
        if any(each.__name__ == "FastAPI" for each in type(value).__mro__):
            return name
    raise AppNotFoundError(
        f"{module.__name__} has no app. Put what create_app() returns into a variable 'app', "
        f"or name another one: {module.__name__}:NAME"
    )


def _attribute(module: ModuleType, name: str) -> object:
    value: object = module
    for part in name.split("."):
        known = [each for each in vars(value) if not each.startswith("_")]
        if not hasattr(value, part):
            raise AppNotFoundError(
                f"{module.__name__} has no '{name}'.{did_you_mean(part, known)} "
                "Name the variable that holds what create_app() returned."
            )
        value = getattr(value, part)
    return value


def _words(error: BaseException) -> str:
    """Return what went wrong and in which line of the user's, without a value of a setting."""
    frames = extract_tb(error.__traceback__)
    frames = [frame for frame in frames if "importlib" not in frame.filename]
    own = [frame for frame in frames if "site-packages" not in frame.filename][1:] or frames
    if isinstance(error, SyntaxError):
        return f"SyntaxError: {error.msg} ({error.filename}, line {error.lineno})"
    where = f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {error}{where}"
