"""`sturdyapi routes`: the table and its JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    Write = Callable[[str, str], Path]
    Command = Callable[..., Any]

ROOT = Path(__file__).parents[3]

SHOP = """
from typing import Annotated
from fastapi import Depends, FastAPI, WebSocket
from fastapi.security import HTTPBearer
from sturdyapi import owned

app = FastAPI(openapi_url=None)
bearer = HTTPBearer()


def current_user(token: Annotated[object, Depends(bearer)]) -> dict[str, int]:
    return {"id": 1}


def find_order(order_id: int) -> dict[str, int] | None:
    return None


@app.get("/orders/{order_id}")
async def read_order(order: Annotated[dict[str, int], owned(find_order, by=current_user)]):
    return order


@app.api_route("/orders/new", methods=["GET"])
def new_order():
    return {}


@app.put("/orders", include_in_schema=False)
def put_order():
    return {}


@app.get("/events")
async def events():
    yield 1


@app.websocket("/live")
async def live(websocket: WebSocket): ...


async def other(scope, receive, send): ...


app.mount("/other", other)
"""


def test_the_table_is_as_wide_as_what_is_in_it(write: Write, command: Command) -> None:
    """One row a route, in columns, and a last line that says what is worth a look."""
    write("main.py", SHOP)
    ended = command("routes")
    assert ended == (
        0,
        dedent("""\
        METHODS    PATH                ENDPOINT         AUTH        OWNER              LANE         DOCS  NOTE
        GET        /orders/{order_id}  main:read_order  HTTPBearer  owned(find_order)  loop         yes
        GET        /orders/new         main:new_order   -           -                  thread       yes   never reached: /orders/{order_id} comes first
        PUT        /orders             main:put_order   -           -                  thread       no
        GET        /events             main:events      -           -                  loop, jsonl  yes
        WEBSOCKET  /live               main:live        -           -                  socket       no
        ANY        /other/{path}       main:other       -           -                  app          no

        6 routes. Of 1 that writes (POST, PUT, PATCH or DELETE), 1 has no auth that is seen here.
        """),  # noqa: E501 - as it is printed
        "",
    )


def test_json_has_one_object_a_route(write: Write, command: Command) -> None:
    """The members of an object, and their types, are these."""
    write("main.py", SHOP)
    ended = command("routes", "--json")
    first, second, *_, last = json.loads(ended.out)
    assert first == {
        "methods": ["GET"],
        "path": "/orders/{order_id}",
        "host": None,
        "endpoint": "main:read_order",
        "auth": ["HTTPBearer"],
        "owner": ["owned(find_order)"],
        "lane": "loop",
        "stream": None,
        "docs": True,
        "shadowed_by": None,
    }
    assert second["shadowed_by"] == "/orders/{order_id}"
    assert (last["methods"], last["lane"]) == ([], "app")
    assert ended.code == 0


def test_json_is_all_there_is_on_stdout(write: Write, command: Command) -> None:
    """What the app prints and logs while it is imported does not end up in the JSON."""
    write("main.py", f"print('hello')\n{SHOP}")
    ended = command("routes", "main:app", "--json")
    assert len(json.loads(ended.out)) == 6
    assert ended.err == "hello\n"


def test_a_host_stands_before_its_paths(write: Write, command: Command) -> None:
    """A route of one host only is shown with it."""
    write(
        "main.py",
        """
        from fastapi import FastAPI
        app, inner = FastAPI(openapi_url=None), FastAPI(openapi_url=None)
        inner.get("/x")(print)
        app.host("api.example.com", inner)
        """,
    )
    assert "  api.example.com/x  " in command("routes").out


@pytest.mark.parametrize(
    ("lines", "summary"),
    [
        ([], "0 routes."),
        (["app.get('/')(one)"], "1 route."),
        (["app.post('/', dependencies=[Depends(HTTPBearer())])(one)"], "1 route."),
        (
            ["app.post('/')(one)", "app.delete('/')(one)", "app.get('/')(one)"],
            (
                "3 routes. Of 2 that write (POST, PUT, PATCH or DELETE), "
                "2 have no auth that is seen here."
            ),
        ),
        (["app.mount('/', FastAPI(openapi_url=None))", "app.post('/x')(one)"], "1 route."),
    ],
)
def test_the_last_line_counts_what_anybody_may_change(
    write: Write, command: Command, lines: list[str], summary: str
) -> None:
    """Routes that write without auth are counted, unless they are never reached."""
    head = ["from fastapi import Depends, FastAPI", "from fastapi.security import HTTPBearer"]
    made = ["app = FastAPI(openapi_url=None)", "def one(): ..."]
    write("main.py", "\n".join([*head, *made, *lines]))
    assert command("routes").out.splitlines()[-1] == summary


def test_nothing_is_cut_off(
    write: Write, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A narrow terminal does not shorten what is printed."""
    monkeypatch.setenv("COLUMNS", "20")
    path = "/a" * 100
    write("main.py", f"from fastapi import FastAPI\napp = FastAPI()\napp.get('{path}')(print)")
    assert path in command("routes").out


def test_an_app_elsewhere_is_imported_from_there(write: Write, command: Command) -> None:
    """`--app-dir` is where modules are looked for."""
    write("src/shop/main.py", SHOP)
    assert " shop.main:read_order " in command("routes", "shop.main:app", "--app-dir", "src").out


def test_the_page_shows_what_is_printed(write: Write, command: Command) -> None:
    """The how-to's program gives the how-to's table, and its object."""
    page = (ROOT / "docs/how-to/routes.md").read_text()
    program, table, found = (
        page.split(f"```{kind}\n", 1)[1].split("```", 1)[0]
        for kind in ("python", "console", "json")
    )
    write("main.py", program.replace("create_app()", "create_app(logs=False)"))
    assert command("routes").out == table.removeprefix("$ sturdyapi routes\n")
    assert json.loads(found) in json.loads(command("routes", "--json").out)


@pytest.mark.parametrize("environment", ["development", "production"])
def test_the_example_is_told_without_a_database(environment: str) -> None:
    """`examples/notes` is listed where no database answers, with its pages in development only."""
    inherited = {**os.environ, "PYTHONPATH": str(ROOT / "examples/notes")}
    ended = subprocess.run(
        [sys.executable, "-m", "sturdyapi", "routes", "notes.main:app"],
        env={
            **inherited,
            "FASTAPI_ENV": environment,
            "DATABASE_URL": "postgresql://notes:k3yb0ard-c4t@database.invalid/notes",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    rows = [line.split() for line in ended.stdout.splitlines()]
    assert ended.stderr == ""
    assert ended.returncode == 0
    assert rows[-5][:3] == ["GET", "/notes/{note_id}", "notes.notes:read_note"]
    assert rows[-5][3:] == ["HTTPBearer", "owned(find_note)", "loop", "yes"]
    assert (environment == "development") == any("/docs" in row for row in rows)
    assert rows[-1][:4] == [("13" if environment == "development" else "8"), "routes.", "Of", "4"]


# Exit codes.


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["main:shop"], "main has no 'shop'"),
        (["mian:app"], "There is no module 'mian'"),
        (["main:other"], "main:other is a function, which has no routes"),
        (["--jason"], "No such option: --jason"),
        (["main:app", "--app-dir", "nowhere"], "'nowhere' does not exist"),
    ],
)
def test_a_wrong_command_line_exits_2(
    write: Write, command: Command, arguments: list[str], words: str
) -> None:
    """An app that is not there, or has no routes, is a matter of the command line."""
    write("main.py", SHOP)
    ended = command("routes", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert words in ended.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 / 0", "main can't be imported: ZeroDivisionError"),
        ("import sys; sys.exit(0)", "main can't be imported: SystemExit: 0"),
        ("app = (", "main can't be imported: SyntaxError"),
    ],
)
def test_an_app_that_fails_exits_3(write: Write, command: Command, text: str, words: str) -> None:
    """An app that can't be imported is told in one line, and not with its own exit code."""
    write("main.py", text)
    ended = command("routes")
    assert (ended.code, ended.out) == (3, "")
    assert words in ended.err
    assert "Traceback (" not in ended.err


def test_wrong_settings_exit_78(
    write: Write, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings that can't be loaded are told with every problem."""
    monkeypatch.setenv("PORT", "harbour")
    monkeypatch.setenv("WORKERS", "many")
    write("main.py", "from sturdyapi import create_app\napp = create_app(logs=False)")
    ended = command("routes")
    assert (ended.code, ended.out) == (78, "")
    assert ended.err.startswith("BaseSettings: 2 problems with the settings\n")
