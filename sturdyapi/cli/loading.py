"""Finds and imports what a command is about: `main:app`, `main.py`, or nothing at all."""

from __future__ import annotations

import re
import sys
import tomllib
from contextlib import redirect_stdout
from importlib import import_module
from inspect import signature
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING, Any, NamedTuple

from sturdyapi.exceptions import AppLoadError, AppNotFoundError, SettingsError, did_you_mean

if TYPE_CHECKING:
    from types import ModuleType

__all__ = [
    "FOUND_BY_DEFAULT",
    "Loaded",
    "Target",
    "attribute_of",
    "find_target",
    "import_target",
    "load_app",
]

FOUND_BY_DEFAULT = ("main.py", "app.py", "api.py", "app/main.py", "app/app.py", "app/api.py")
"""Where an app is looked for when none is named; the order of the FastAPI CLI."""

_OUR_PACKAGE = str(Path(__file__).parents[1])


_CREDENTIALS = re.compile(r"//[^/\s@]*@")
"""User and password in a URL."""


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
        target: `main:app`, `package.main`, `main.py`, `src/main.py:app`, or `None` for what
            `pyproject.toml` names (`tool.fastapi.entrypoint`), or what is in the usual places.
        folder: Where to begin; the modules of the app are imported from there.

    Raises:
        AppNotFoundError: There is no such file, module or attribute, or it is no app.
        AppLoadError: The module is there, and its import fails.
        SettingsError: The settings are wrong.
    """
    found = find_target(target, folder=folder)
    module = import_target(found)
    name = found.name or _name_of_app(module)
    advice = "Name the variable that holds what create_app() returned."
    app = attribute_of(module, name, advice=advice)
    if not _is_asgi(app):
        raise AppNotFoundError(
            f"{module.__name__}:{name} is a {_kind(app)}, and no ASGI app. "
            "Name the variable that holds what create_app() returned, such as main:app."
        )
    return Loaded(app, f"{module.__name__}:{name}", found.folder)


def find_target(target: str | None, *, folder: Path) -> Target:
    """Say what is to be imported; nothing is imported yet.

    Raises:
        AppNotFoundError: There is no such file, or nothing in the usual places.
    """
    if target is None:
        target = _entrypoint(folder) or _default_file(folder)
    place, _, name = target.partition(":")
    if place.endswith(".py") or "/" in place:
        return _file_target(Path(place), name or None, folder)
    if not all(place.split(".")):
        raise AppNotFoundError(
            f"'{target}' names no app. Write it as it is imported, such as package.main:app, "
            "or the file that makes it, such as main.py."
        )
    return Target(folder.resolve(), place, name or None)


def import_target(target: Target) -> ModuleType:
    """Import the module of a target.

    What it prints meanwhile goes to stderr: stdout is for what the command has to say.

    Raises:
        AppNotFoundError: There is no such module.
        AppLoadError: Its import fails.
        SettingsError: The settings are wrong.
    """
    if sys.path[:1] != [str(target.folder)]:
        sys.path.insert(0, str(target.folder))
    try:
        with redirect_stdout(sys.stderr):
            return import_module(target.module)
    except SettingsError:
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and _is_part(error.name, target.module):
            raise _not_found(target) from None
        elsewhere = None if target.folder == Path.cwd() else str(target.folder)
        raise AppLoadError(target.module, _words(error, target), folder=elsewhere) from error


def _is_part(missing: str | None, module: str) -> bool:
    return missing is not None and f"{module}.".startswith(f"{missing}.")


def _not_found(target: Target) -> AppNotFoundError:
    *packages, name = target.module.split(".")
    beside = target.folder.joinpath(*packages).glob("*")
    known = [
        path.stem for path in beside if path.suffix == ".py" or (path / "__init__.py").exists()
    ]
    return AppNotFoundError(
        f"There is no module '{target.module}' in {target.folder}.{did_you_mean(name, known)} "
        "Name it as it is imported there, such as main:app, or its file: main.py."
    )


def _entrypoint(folder: Path) -> str | None:
    """Return what the FastAPI CLI is told in the project's file."""
    file = folder / "pyproject.toml"
    try:
        project: Any = tomllib.loads(file.read_text()) if file.is_file() else {}
    except tomllib.TOMLDecodeError as error:
        raise AppNotFoundError(
            f"No app is named, and {file.resolve()} is no TOML: {error}. Mend it, or name the app."
        ) from None
    entrypoint = project.get("tool", {}).get("fastapi", {}).get("entrypoint")
    return entrypoint if isinstance(entrypoint, str) else None


def _default_file(folder: Path) -> str:
    for name in FOUND_BY_DEFAULT:
        if (folder / name).is_file():
            return name
    raise AppNotFoundError(
        f"No app is named, and {folder.resolve()} has none of {', '.join(FOUND_BY_DEFAULT)}. "
        "Name it, such as package.main:app."
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
    values = vars(module)
    for name in ("app", "api", *values):
        if name in values and _is_fastapi(values[name]):
            return name
    # A middleware around the app, perhaps.
    for name in ("app", "api"):
        if name in values:
            return name
    raise AppNotFoundError(
        f"{module.__name__} has no app. Put what create_app() returns into a variable 'app', "
        f"or name another one: {module.__name__}:NAME"
    )


def _is_fastapi(value: object) -> bool:
    # By name: an import of FastAPI is the app's business.
    return any(each.__name__ == "FastAPI" for each in type(value).__mro__)


def _is_asgi(value: object) -> bool:
    if not callable(value):
        return False
    try:
        signature(value).bind("scope", "receive", "send")
    except (TypeError, ValueError):
        return False
    return True


def _kind(value: object) -> str:
    return "class" if isinstance(value, type) else type(value).__name__


def attribute_of(module: ModuleType, name: str, *, advice: str) -> object:
    """Return what stands under a name, which may have dots.

    Args:
        module: Where to look.
        name: Such as `app`.
        advice: What to name instead, for the error.

    Raises:
        AppNotFoundError: There is nothing of that name.
    """
    value: object = module
    for part in name.split("."):
        if not hasattr(value, part):
            known = [each for each in dir(value) if not each.startswith("_")]
            raise AppNotFoundError(
                f"{module.__name__} has no '{name}'.{did_you_mean(part, known)} {advice}"
            )
        value = getattr(value, part)
    return value


def _words(error: BaseException, target: Target) -> str:
    """Return what went wrong and in which line of the user's, without a value of a setting."""
    if isinstance(error, SyntaxError):
        return f"SyntaxError: {error.msg} ({error.filename}, line {error.lineno})"
    own = [
        frame
        for frame in extract_tb(error.__traceback__)
        if frame.filename.startswith(str(target.folder))
        and not frame.filename.startswith(_OUR_PACKAGE)
        and "site-packages" not in frame.filename
    ]
    where = f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {_message(error)}".removesuffix(": ") + where


def _message(error: BaseException) -> str:
    pydantic_core = sys.modules.get("pydantic_core")
    if pydantic_core is None or not isinstance(error, pydantic_core.ValidationError):
        return _CREDENTIALS.sub("//***@", str(error))
    # Its own text repeats what was validated, such as the password in a URL.
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    places = (f"{'.'.join(map(str, each['loc']))} ({each['type']})" for each in problems)
    return f"{error.title}: {', '.join(places)}"
