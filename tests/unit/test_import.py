"""What an import of SturdyAPI does, and what it leaves alone."""

import ast
import importlib
import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import sturdyapi

_HEAVY = {"anyio", "fastapi", "loguru", "pydantic", "pydantic_settings", "starlette"}


def run_python(code: str) -> Any:
    """Return what a fresh interpreter prints as JSON after running `code`."""
    script = "import json, sys\n" + textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


# The root is lazy.


def test_root_imports_nothing_heavy() -> None:
    """`import sturdyapi`, and its errors, load neither FastAPI nor Pydantic."""
    loaded = run_python("""
        import sturdyapi
        import sturdyapi.exceptions
        dir(sturdyapi)
        print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
    """)

    assert _HEAVY.isdisjoint(loaded)


def test_name_loads_its_own_module_only() -> None:
    """Using a light name, such as `bind`, does not load the app."""
    loaded = run_python("""
        import sturdyapi
        sturdyapi.bind
        print(json.dumps(sorted(sys.modules)))
    """)

    assert "sturdyapi.context" in loaded
    assert "fastapi" not in loaded


@pytest.mark.parametrize("name", sturdyapi.__all__)
def test_public_names_are_there(name: str) -> None:
    """Every public name can be used, and is the one of its module."""
    value = getattr(sturdyapi, name)

    if name != "__version__":
        home = importlib.import_module(f"sturdyapi.{sturdyapi._HOMES[name]}")
        assert value is getattr(home, name)
        assert name in home.__all__


def test_name_is_loaded_once() -> None:
    """A name that was used is an ordinary attribute from then on."""
    found = run_python("""
        import sturdyapi
        before = "bind" in vars(sturdyapi)
        sturdyapi.bind
        print(json.dumps([before, "bind" in vars(sturdyapi)]))
    """)

    assert found == [False, True]


def test_editors_see_what_is_there() -> None:
    """What type checkers are told of the root is what it loads."""
    tree = ast.parse(Path(sturdyapi.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    told = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    assert told == sturdyapi._HOMES
    assert sturdyapi.__all__ == sorted([*told, "__version__"])


def test_dir_lists_names_before_they_are_loaded() -> None:
    """`dir()` names everything public, as completion needs it, and lists nothing twice."""
    listed = dir(sturdyapi)

    assert set(sturdyapi.__all__) <= set(listed)
    assert listed == sorted(set(listed))


def test_star_import_brings_every_public_name() -> None:
    """`from sturdyapi import *` brings the names of `__all__`."""
    brought: dict[str, Any] = {}

    exec("from sturdyapi import *", brought)

    assert set(sturdyapi.__all__) <= set(brought)


def test_unknown_name_is_an_attribute_error() -> None:
    """A name that does not exist is refused as in any module."""
    with pytest.raises(AttributeError, match="module 'sturdyapi' has no attribute 'create_ap'"):
        sturdyapi.create_ap  # noqa: B018 - the access is the subject
    with pytest.raises(ImportError, match="cannot import name 'create_ap'"):
        exec("from sturdyapi import create_ap", {})


def test_package_is_typed() -> None:
    """Type checkers read the annotations of the package."""
    assert (Path(sturdyapi.__file__).parent / "py.typed").is_file()


# Nothing happens by an import.


def test_import_acts_on_nothing() -> None:
    """Importing everything public writes, connects, starts and configures nothing."""
    report = run_python("""
        import logging, os, signal, threading, warnings

        acts = []
        WATCHED = ("socket.", "subprocess.", "os.putenv", "os.unsetenv", "os.mkdir", "os.remove",
                   "os.rename", "os.system", "os.fork", "os.exec", "shutil.", "signal.")

        def hook(event, arguments):
            if event == "open":
                path, mode, _ = arguments
                if set(mode or "") & set("wax+") or str(path).endswith(".env"):
                    acts.append(f"open {path}")
            elif event.startswith(WATCHED):
                acts.append(event)

        def state():
            return [
                sorted(os.environ), len(logging.root.handlers), logging.root.level,
                threading.active_count(), str(signal.getsignal(signal.SIGTERM)),
                sys.excepthook is sys.__excepthook__, len(warnings.filters),
                warnings.showwarning.__module__,
            ]

        # What the packages below us do by being imported is theirs.
        import fastapi, fastapi.testclient, loguru, pydantic_settings, uvicorn
        sys.dont_write_bytecode = True
        before = state()
        sys.addaudithook(hook)
        from sturdyapi import *
        print(json.dumps({"acts": acts, "before": before, "after": state()}))
    """)

    assert report["acts"] == []
    assert report["before"] == report["after"]


def test_import_patches_nothing() -> None:
    """FastAPI, Starlette, Pydantic and loguru are the same before and after the import."""
    changed = run_python("""
        import fastapi, fastapi.encoders, fastapi.routing, loguru, pydantic, starlette.responses

        OBJECTS = {
            "FastAPI": fastapi.FastAPI,
            "APIRouter": fastapi.APIRouter,
            "APIRoute": fastapi.routing.APIRoute,
            "fastapi.routing": fastapi.routing,
            "encoders": fastapi.encoders,
            "BaseModel": pydantic.BaseModel,
            "JSONResponse": starlette.responses.JSONResponse,
        }

        def state():
            members = {name: dict(vars(value)) for name, value in OBJECTS.items()}
            members["ENCODERS_BY_TYPE"] = dict(fastapi.encoders.ENCODERS_BY_TYPE)
            members["loguru"] = dict(loguru.logger._core.handlers)
            return members

        before = state()
        from sturdyapi import *
        after = state()
        print(json.dumps([
            f"{name}.{key}"
            for name in before
            for key in before[name].keys() | after[name].keys()
            if before[name].get(key) is not after[name].get(key)
        ]))
    """)

    assert changed == []
