"""The app that a command line names."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sturdyapi.cli import loading
from sturdyapi.cli.loading import FOUND_BY_DEFAULT, find_target, load_app
from sturdyapi.exceptions import AppLoadError, AppNotFoundError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    Write = Callable[[str, str], Path]

APP = """
from fastapi import FastAPI

app = FastAPI(title="main")
"""


def title(target: str | None, folder: Path) -> str:
    """Return the title of the app that is found."""
    return str(getattr(load_app(target, folder=folder).app, "title", None))


# What is found.


@pytest.mark.parametrize("target", ["main:app", "main", "main.py", "main.py:app", "./main.py"])
def test_an_app_is_named_as_it_is_imported_or_by_its_file(
    write: Write, project: Path, target: str
) -> None:
    """`main:app`, `main` and `main.py` are the same app."""
    write("main.py", APP)
    loaded = load_app(target, folder=project)
    assert (loaded.import_string, loaded.folder) == ("main:app", project)
    assert title(target, project) == "main"


@pytest.mark.parametrize("target", ["src/shop/web/main.py:app", "src/shop/web/main.py"])
def test_a_file_in_a_package_is_imported_as_part_of_it(
    write: Write, project: Path, target: str
) -> None:
    """The folder above the outermost `__init__.py` is where the import begins."""
    write("src/shop/__init__.py", "")
    write("src/shop/web/__init__.py", "")
    write("src/shop/web/name.py", "NAME = 'relative'")
    write(
        "src/shop/web/main.py",
        "from fastapi import FastAPI\nfrom .name import NAME\napp = FastAPI(title=NAME)",
    )
    loaded = load_app(target, folder=project)
    assert (loaded.import_string, loaded.folder) == ("shop.web.main:app", project / "src")
    assert title(target, project) == "relative"


@pytest.mark.parametrize("target", ["shop", "shop/", "shop/__init__.py", "shop:app"])
def test_a_package_may_hold_the_app_itself(write: Write, project: Path, target: str) -> None:
    """A package is named like a module, or by its folder."""
    write("shop/__init__.py", APP)
    assert load_app(target, folder=project).import_string == "shop:app"


def test_the_folder_of_the_app_comes_first_on_the_path(
    write: Write, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module of the same name elsewhere on the path does not get in the way."""
    write("elsewhere/main.py", "app = None")
    write("here/main.py", APP)
    monkeypatch.setattr(sys, "path", [str(project / "elsewhere"), *sys.path, str(project / "here")])
    assert title("main:app", project / "here") == "main"


@pytest.mark.parametrize("name", FOUND_BY_DEFAULT)
def test_an_app_that_is_not_named_is_looked_for(write: Write, project: Path, name: str) -> None:
    """The usual places are those of the FastAPI CLI."""
    write(name, APP)
    assert load_app(None, folder=project).import_string == f"{Path(name).stem}:app"


def test_the_places_are_tried_in_order(write: Write, project: Path) -> None:
    """`main.py` comes before `app.py`, as in the FastAPI CLI."""
    write("app.py", APP)
    write("main.py", APP)
    assert find_target(None, folder=project).module == "main"


def test_the_entry_point_of_the_project_is_used(write: Write, project: Path) -> None:
    """`tool.fastapi.entrypoint` of `pyproject.toml` comes before the usual places."""
    write("main.py", "raise RuntimeError")
    write("shop/__init__.py", "")
    write("shop/web.py", APP)
    write("pyproject.toml", '[tool.fastapi]\nentrypoint = "shop.web:app"\n')
    assert load_app(None, folder=project).import_string == "shop.web:app"


@pytest.mark.parametrize("text", ["", "[tool.fastapi]\n", "[project]\nname = 'x'\n"])
def test_a_project_without_an_entry_point_is_searched(
    write: Write, project: Path, text: str
) -> None:
    """A `pyproject.toml` that names no app changes nothing."""
    write("main.py", APP)
    write("pyproject.toml", text)
    assert load_app(None, folder=project).import_string == "main:app"


def test_a_project_file_that_is_no_toml_is_told(write: Write, project: Path) -> None:
    """A broken `pyproject.toml` is not passed over in silence."""
    write("main.py", APP)
    write("pyproject.toml", "[tool.fastapi\n")
    with pytest.raises(AppNotFoundError, match=r"pyproject\.toml is no TOML"):
        load_app(None, folder=project)
    assert load_app("main:app", folder=project).import_string == "main:app"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("from fastapi import FastAPI\nservice = FastAPI()", "service"),
        ("from fastapi import FastAPI\napi = FastAPI()\nother = FastAPI()", "api"),
        ("from fastapi import FastAPI\nimport json as app\nservice = FastAPI()", "service"),
        ("async def app(scope, receive, send): ...", "app"),
        ("from starlette.endpoints import HTTPEndpoint\nclass app(HTTPEndpoint): ...", "app"),
        ("from sturdyapi import create_app\nservice = create_app(logs=False)", "service"),
    ],
)
def test_a_variable_that_is_not_named_is_looked_for(
    write: Write, project: Path, text: str, name: str
) -> None:
    """`app` and `api` come first, then any FastAPI app, then what else is called `app`."""
    write("main.py", text)
    assert load_app("main", folder=project).import_string == f"main:{name}"


def test_an_app_may_be_an_attribute(write: Write, project: Path) -> None:
    """`main:service.app` is the `app` of `service`."""
    write(
        "main.py", "from fastapi import FastAPI\nclass service:\n    app = FastAPI(title='inner')"
    )
    assert title("main:service.app", project) == "inner"


def test_what_an_import_prints_leaves_stdout_alone(
    write: Write, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the app prints while it is imported goes to stderr."""
    write("main.py", f"print('hello')\n{APP}")
    load_app("main:app", folder=project)
    assert capsys.readouterr() == ("", "hello\n")


# What is not there.


def test_nothing_to_find(project: Path) -> None:
    """The error says where an app was looked for."""
    with pytest.raises(AppNotFoundError, match=r"has none of main\.py, app\.py, .* Name it"):
        load_app(None, folder=project)


@pytest.mark.parametrize("target", ["missing.py", "src/missing.py:app", "src/"])
def test_a_missing_file_is_named(write: Write, project: Path, target: str) -> None:
    """The error has the whole path of the file."""
    write("src/main.py", APP)
    with pytest.raises(AppNotFoundError, match=f"There is no file {project}/"):
        load_app(target, folder=project)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("mian:app", "Did you mean 'main'?"),
        ("shop.strat:app", "Did you mean 'start'?"),
        ("shpo.main:app", "There is no module 'shpo.main'"),
        ("main.app", "There is no module 'main.app'"),
    ],
)
def test_a_missing_module_is_named(write: Write, project: Path, target: str, words: str) -> None:
    """The error says where it was looked for, and which module was meant."""
    write("main.py", APP)
    write("shop/__init__.py", "")
    write("shop/start.py", APP)
    with pytest.raises(AppNotFoundError) as caught:
        load_app(target, folder=project)
    assert words in str(caught.value)
    assert f" in {project}." in str(caught.value)


@pytest.mark.parametrize("target", ["", ":app", ".main:app", "shop..main", "."])
def test_a_name_that_can_name_nothing(project: Path, target: str) -> None:
    """What is no module and no file is refused before anything is imported."""
    with pytest.raises(AppNotFoundError, match="names no app"):
        load_app(target, folder=project)


def test_a_missing_variable_is_named(write: Write, project: Path) -> None:
    """The error says which variable was meant."""
    write("main.py", "from fastapi import FastAPI\nservice = FastAPI()")
    with pytest.raises(AppNotFoundError, match=r"no 'servise'\. Did you mean 'service'\?"):
        load_app("main:servise", folder=project)


def test_a_module_without_an_app(write: Write, project: Path) -> None:
    """The error says how an app would be found."""
    write("main.py", "")
    with pytest.raises(AppNotFoundError, match=r"main has no app\..*main:NAME"):
        load_app("main", folder=project)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("5", "int"),
        ("None", "NoneType"),
        ("FastAPI", "class"),
        ("lambda: FastAPI()", "function"),
        ("len", "builtin_function_or_method"),
        ("getattr", "builtin_function_or_method"),
    ],
)
def test_what_is_no_app_is_refused(write: Write, project: Path, value: str, kind: str) -> None:
    """A class, a function that makes an app, and anything else are no app."""
    write("main.py", f"from fastapi import FastAPI\napp = {value}")
    with pytest.raises(AppNotFoundError, match=f"main:app is a {kind}, and no ASGI app"):
        load_app("main:app", folder=project)


# What can't be imported.


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("from json import nothing", "ImportError: cannot import name 'nothing'"),
        ("raise RuntimeError", "imported: RuntimeError ("),
        ("import sys\n\nsys.exit(4)", "SystemExit: 4"),
        ("from sturdyapi import create_app\napp = create_app(errors='x')", "errors='x' is not"),
    ],
)
def test_an_import_that_fails_says_why_and_where(
    write: Write, project: Path, text: str, words: str
) -> None:
    """The error has the line of the user's file in which it happened."""
    file = write("main.py", text)
    with pytest.raises(AppLoadError) as caught:
        load_app("main:app", folder=project)
    assert str(caught.value).startswith("main can't be imported: ")
    assert words in str(caught.value)
    assert f"({file}, line {text.count(chr(10)) + 1})" in str(caught.value)
    assert caught.value.exit_code == 3


def test_the_line_is_that_of_the_users_own_code(write: Write, project: Path) -> None:
    """An error deep inside of a library is told with the line that led there."""
    write("main.py", "import shop")
    file = write("shop.py", "import json\njson.loads('{')")
    with pytest.raises(AppLoadError, match=rf"JSONDecodeError: .* \({file}, line 2\)"):
        load_app("main:app", folder=project)


def test_our_own_lines_are_not_the_users(
    write: Write, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that is raised inside of this package is told with the line that called it."""
    monkeypatch.setattr(loading, "_OUR_PACKAGE", str(project / "ours"))
    write("ours/__init__.py", "def fail(): raise ValueError")
    file = write("main.py", "import ours\n\nours.fail()")
    with pytest.raises(AppLoadError, match=rf"ValueError \({file}, line 3\)"):
        load_app("main:app", folder=project)


def test_an_error_of_syntax_has_its_line(write: Write, project: Path) -> None:
    """A file that is no Python is told with the line, not with that of the import."""
    write("main.py", "import shop")
    file = write("shop.py", "\n\ndef (")
    with pytest.raises(AppLoadError, match=rf"SyntaxError: invalid syntax \({file}, line 3\)"):
        load_app("main:app", folder=project)


def test_the_traceback_can_be_had(write: Write, project: Path) -> None:
    """The error ends with the line that shows the whole traceback, from where it works."""
    write("src/main.py", "1 / 0")
    with pytest.raises(AppLoadError) as caught:
        load_app("src/main.py", folder=project)
    assert str(caught.value).endswith(f"cd {project}/src && python -c 'import main'")
    with pytest.raises(AppLoadError) as caught:
        load_app("src.main", folder=project)
    assert str(caught.value).endswith("traceback: python -c 'import src.main'")


def test_wrong_settings_keep_their_report(
    write: Write, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings that can't be loaded are told as settings, not as an import that fails."""
    monkeypatch.setenv("PORT", "harbour")
    write("main.py", "from sturdyapi import create_app\napp = create_app(logs=False)")
    with pytest.raises(SettingsError, match="PORT"):
        load_app("main:app", folder=project)


def test_a_value_is_not_told(write: Write, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pydantic's errors, which repeat what they were given, are told by field."""
    monkeypatch.setenv("DATABASE_URL", "hunter2")
    write(
        "main.py",
        """
        from pydantic import PostgresDsn
        from pydantic_settings import BaseSettings

        class Settings(BaseSettings):
            database_url: PostgresDsn
            name: str

        Settings()
        """,
    )
    with pytest.raises(AppLoadError) as caught:
        load_app("main:app", folder=project)
    assert "Settings: database_url (url_parsing), name (missing)" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_an_interrupt_is_not_held_back(write: Write, project: Path) -> None:
    """Ctrl-C during a slow import ends the command."""
    write("main.py", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load_app("main:app", folder=project)
