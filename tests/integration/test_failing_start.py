"""What the user sees when an app with wrong settings is started, and how the process ends.

| Started with                 | Exit code | Output                                              |
|------------------------------|-----------|-----------------------------------------------------|
| `python app.py`              | 78        | the report alone                                    |
| `uvicorn`                    | 78        | the report alone                                    |
| `uvicorn --workers 2`        | 0         | the report of each worker; no endless restart       |
| `fastapi run`, `fastapi dev` | 78        | an "Import error" line of the CLI, then the report  |
| `gunicorn -k uvicorn_worker` | 3         | a traceback by Gunicorn that ends in the report     |
| `gunicorn --preload`         | 78        | the report alone                                    |
| `pytest`                     | 2         | a collection error that holds the report            |

The codes 0, 3 and 2 are made by those programs, out of reach of the app (Gunicorn exits 1 if two
workers fail in the same moment). From Python 3.13 on the workers of `uvicorn --workers` print a
traceback above the report.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CANARY = "hunter2canary"
APP = """
from fastapi import FastAPI
from pydantic import Field, SecretStr
from sturdyapi.settings import BaseSettings, Dsn

class Settings(BaseSettings):
    database_url: Dsn
    api_key: SecretStr = Field(min_length=30)

settings = Settings.load()
app = FastAPI()
"""
VARIABLES = {
    "DATABASE_URL": f"postgresql://app:{CANARY}@db:{CANARY}/shop",
    "API_KEY": CANARY,
    "WORKERS": CANARY,
}
REPORT = """\
Settings: 3 problems with the settings

  WORKERS: is not a whole number; expected a whole number not less than 1
  DATABASE_URL: has a port that is not a number from 0 to 65535 (a special character in the \
password has to be percent-encoded); expected a URL such as postgresql://user:password@host/name
  API_KEY: is too short; expected a secret of at least 30 characters
"""
DEADLINE_SECONDS = 60
"""Several times what the slowest of the commands needs on a busy machine."""

pytestmark = pytest.mark.heavy


class Ended(NamedTuple):
    code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Ended]:
    """Run a Python module beside an app with wrong settings, and wait for its end."""
    (tmp_path / "app.py").write_text(APP)
    ours = {"FASTAPI_ENV", "ENVIRONMENT", "SECRETS_DIR"}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    # Gunicorn keeps a control socket in the home directory.
    environment |= {**VARIABLES, "HOME": str(tmp_path)}

    def run_command(*arguments: str) -> Ended:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            stdout, stderr = process.communicate(timeout=DEADLINE_SECONDS)
        finally:
            # The group holds what this process started, also where it did not end in time.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        ended = Ended(process.returncode, stdout, stderr)
        assert CANARY not in ended.output
        return ended

    return run_command


def test_script_prints_the_report_alone(run: Callable[..., Ended]) -> None:
    """`python app.py` prints the report, nothing else, and exits 78."""
    assert run("app.py") == Ended(78, "", REPORT)


def test_script_may_catch_the_error(run: Callable[..., Ended], tmp_path: Path) -> None:
    """A program that catches the error goes on, and its later errors look as ever."""
    (tmp_path / "catching.py").write_text(
        "try:\n    import app\nexcept ValueError:\n    print('caught')\nraise KeyError('later')\n"
    )
    ended = run("catching.py")
    assert (ended.code, ended.stdout) == (1, "caught\n")
    assert ended.stderr.startswith("Traceback")
    assert ended.stderr.endswith("KeyError: 'later'\n")


def test_uvicorn_prints_the_report_alone(run: Callable[..., Ended]) -> None:
    """`uvicorn app:app` prints the report, nothing else, and exits 78."""
    assert run("-m", "uvicorn", "app:app", "--port", "0") == Ended(78, "", REPORT)


def test_uvicorn_workers_are_not_restarted_for_ever(run: Callable[..., Ended]) -> None:
    """`uvicorn --workers 2` prints a report for each worker and stops; its exit code is 0."""
    ended = run("-m", "uvicorn", "app:app", "--port", "0", "--workers", "2")
    assert ended.code == 0
    assert "failed to start, stopping the parent process" in ended.stderr
    assert 1 <= ended.stderr.count(REPORT) <= 2
    if sys.version_info < (3, 13):
        assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("command", ["run", "dev"])
def test_fastapi_command_ends_with_the_report(run: Callable[..., Ended], command: str) -> None:
    """`fastapi run` adds a line of its own, prints the report and exits 78."""
    ended = run("-m", "fastapi", command, "app.py", "--port", "0")
    assert (ended.code, ended.stderr) == (78, REPORT)
    assert "Traceback" not in ended.stdout


def test_gunicorn_gives_up(run: Callable[..., Ended]) -> None:
    """Gunicorn logs the error of a worker with its traceback, stops, and exits 3."""
    worker = ("-k", "uvicorn_worker.UvicornWorker", "-w", "1", "-b", "127.0.0.1:0")
    ended = run("-m", "gunicorn", *worker, "app:app")
    assert ended.code == 3
    assert REPORT in ended.stderr
    assert "Worker failed to boot" in ended.stderr


def test_gunicorn_with_preload_prints_the_report_alone(run: Callable[..., Ended]) -> None:
    """Gunicorn that loads the app before its workers prints the report and exits 78."""
    worker = ("-k", "uvicorn_worker.UvicornWorker", "-w", "2", "-b", "127.0.0.1:0")
    assert run("-m", "gunicorn", "--preload", *worker, "app:app") == Ended(78, "", REPORT)


def test_pytest_collects_an_error(run: Callable[..., Ended], tmp_path: Path) -> None:
    """A test module that imports the app is a collection error, with the report and no value."""
    (tmp_path / "test_app.py").write_text("import app\n\ndef test_nothing(): pass\n")
    (tmp_path / "test_other.py").write_text("def test_other(): pass\n")
    ended = run("-m", "pytest", "--showlocals", "--full-trace", "-p", "no:cacheprovider")
    assert ended.code == 2
    assert "1 error" in ended.stdout
    for line in REPORT.splitlines():
        assert line in ended.stdout


CHILD = """
import multiprocessing
from pathlib import Path

def start():
    {body}

if __name__ == "__main__":
    process = multiprocessing.get_context("{method}").Process(target=start)
    process.start()
    process.join()
    print(process.exitcode)
"""


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_child_process_ends_with_78(run: Callable[..., Ended], tmp_path: Path, method: str) -> None:
    """A process of `multiprocessing` ends like any other: with the report and 78."""
    (tmp_path / "parent.py").write_text(CHILD.format(body="import app", method=method))
    ended = run("parent.py")
    assert ended.stdout == "78\n"
    assert ended.stderr.endswith(REPORT)
    if sys.version_info < (3, 13):
        assert ended.stderr == REPORT


def test_child_process_may_catch_the_error(run: Callable[..., Ended], tmp_path: Path) -> None:
    """A child process that catches the error ends as it would without it."""
    body = "try:\n        import app\n    except ValueError: pass"
    (tmp_path / "parent.py").write_text(CHILD.format(body=body, method="spawn"))
    assert run("parent.py") == Ended(0, "0\n", "")
