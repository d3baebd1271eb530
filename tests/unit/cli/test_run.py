"""`sturdyapi run`, up to the moment when it becomes the server."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

APP = """
from sturdyapi import create_app

app = create_app()
"""


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    inherited = {name: os.environ[name] for name in os.environ if name != "FASTAPI_ENV"}
    return subprocess.run(
        [sys.executable, "-m", "sturdyapi", "run", *arguments],
        cwd=folder,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a service in `main.py`."""
    (tmp_path / "main.py").write_text(APP)
    return tmp_path


def test_the_line_can_be_seen_first(folder: Path) -> None:
    """`--print` shows the line and executes nothing; the app is found without being named."""
    ended = run(folder, "--print", "--workers", "2")
    assert ended.returncode == 0
    assert ended.stdout.startswith(f"{sys.executable} -m gunicorn main:app ")
    assert " --workers 2 " in ended.stdout


def test_options_of_the_server_go_through(folder: Path) -> None:
    """What follows `--` is the server's own, with an app that is named and without."""
    named = run(folder, "--print", "main:app", "--", "--certfile", "cert.pem")
    found = run(folder, "--print", "--", "--certfile", "cert.pem")
    assert named.stdout == found.stdout
    assert named.stdout.endswith(" --certfile cert.pem\n")


def test_an_app_elsewhere_is_imported_from_there(folder: Path) -> None:
    """The server starts where the user is, and finds the app by its PYTHONPATH."""
    elsewhere = folder / "my work"
    elsewhere.mkdir()
    ended = run(elsewhere, "../main.py", "--print", PYTHONPATH="")
    assert ended.stdout.startswith(f"PYTHONPATH={folder} {sys.executable} -m gunicorn main:app")


def test_an_unknown_server_is_named(folder: Path) -> None:
    """The error says which servers there are, and which one was meant."""
    ended = run(folder, "--server", "unicorn")
    assert ended.returncode == 2
    assert ended.stderr == (
        "No server 'unicorn'. Known: gunicorn, gunicorn-asgi, uvicorn, granian. "
        "Did you mean 'gunicorn'?\n"
    )


def test_a_port_in_use_is_one_line(folder: Path) -> None:
    """The start ends at once with the address, and with what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run(folder, "--port", str(port))
    assert ended.returncode == 3
    assert ended.stderr == (
        f"127.0.0.1:{port} is in use by another process. Stop it, or take another port: "
        "sturdyapi run --port 8001, or the setting PORT.\n"
    )


def test_where_to_listen_may_be_the_server_s_own_option(folder: Path) -> None:
    """With a socket of the user's own, the port of the settings is not looked at."""
    ended = run(folder, "--print", "--", "--bind", "unix:/run/shop.sock")
    assert ended.stdout.count("--bind") == 1
    assert ended.stdout.endswith(" --bind unix:/run/shop.sock\n")


def test_an_option_of_the_command_is_refused_behind_the_dashes(folder: Path) -> None:
    """A number of workers that only the server knows would make what is told untrue."""
    ended = run(folder, "--print", "--", "--workers=8")
    assert ended.returncode == 2
    assert ended.stderr == (
        "--workers stands behind --, and is an option of `sturdyapi run` itself. "
        "Write it in front: --workers NUMBER.\n"
    )


@pytest.mark.parametrize("given", [["--ssl-keyfile-password", "hunter2"], ["--key-secret=hunter2"]])
def test_a_password_of_a_key_is_not_in_the_log(folder: Path, given: list[str]) -> None:
    """The line that is told has no password; the line that is executed has."""
    ends_with = "7 if 'hunter2' in str(line) else 0"
    program = f"{APP}import os\nos.execve = lambda *line: os._exit({ends_with})\n"
    (folder / "main.py").write_text(program)
    ended = run(folder, "main:app", "--port", "0", "--", *given)
    assert ended.returncode == 7
    assert "hunter2" not in ended.stdout + ended.stderr
    assert "***" in ended.stdout + ended.stderr


def test_a_password_in_an_error_of_the_app_is_masked(folder: Path) -> None:
    """The text of an error may hold a URL: its user and password are not shown."""
    (folder / "main.py").write_text("raise RuntimeError('no answer: postgres://u:hunter2@h/db')")
    ended = run(folder, "main:app")
    assert ended.returncode == 3
    assert "no answer: postgres://***@h/db" in ended.stderr
    assert "hunter2" not in ended.stderr


def test_an_address_of_another_machine_is_one_line(folder: Path) -> None:
    """Nothing can listen on an address that this machine does not have."""
    ended = run(folder, "--host", "192.0.2.1", "--port", "0")
    assert ended.returncode == 3
    assert ended.stderr.startswith("Nothing can listen on 192.0.2.1:0: ")


def test_wrong_settings_are_reported_alone(folder: Path) -> None:
    """The report of the settings is all that is written, and the exit code is 78."""
    ended = run(folder, PORT="many")
    assert ended.returncode == 78
    assert ended.stderr.startswith("BaseSettings: 1 problem with the settings\n")
    assert "Traceback" not in ended.stderr


def test_what_is_executed_is_in_the_log(folder: Path) -> None:
    """The number of workers with its reason, the length of a stop, and the line are told."""
    (folder / "main.py").write_text(APP + "import os\nos.execve = lambda *line: os._exit(0)\n")
    ended = run(folder, "--port", "0", "--workers", "1", LOG_FORMAT="text")
    assert ended.returncode == 0
    told = ended.stdout + ended.stderr
    assert "1 worker: as set" in told
    assert "A stop takes up to 29 s" in told
    assert f"{sys.executable} -m gunicorn main:app" in told
