"""The example that people meet first does what its page says."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import httpx2 as httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "examples/notes/README.md"
DEADLINE_SECONDS = 60.0
END_OF_OUTPUT = "--end-of-output--"
MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\\?\.\d+)?Z"


class Step(NamedTuple):
    """A command of a page, and what the page shows as its output."""

    command: str
    output: str


@pytest.mark.parametrize(
    "command",
    [
        "../../scripts/demo {bin} {port}",
        pytest.param("{bin}/fastapi dev --no-reload --port {port}", marks=pytest.mark.heavy),
        pytest.param("{bin}/sturdyapi run --port {port}", marks=pytest.mark.heavy),
    ],
)
def test_the_session_on_the_page_of_the_example_is_true(command: str, tmp_path: Path) -> None:
    """Served in each of the ways on its page, the example answers as the page shows it."""
    steps = steps_of(PAGE)
    assert len(steps) > 10
    with served(command, tmp_path) as url:
        outputs = run([step.command for step in steps], url=url)
    for step, output in zip(steps, outputs, strict=True):
        assert re.fullmatch(pattern_of(step.output), output), f"$ {step.command}\n{output}"


def test_the_env_file_of_the_example_is_up_to_date() -> None:
    """`.env.example` holds every setting of the example, and no other."""
    done = subprocess.run(
        [sys.executable, "-m", "sturdyapi", "env", "--check"],
        cwd=PAGE.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def steps_of(page: Path) -> list[Step]:
    """Read the session on a page."""
    sessions = re.findall(r"^```console\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    parts = "".join(sessions).removeprefix("$ ").split("\n$ ")
    return [Step(*part.partition("\n")[::2]) for part in parts]


def pattern_of(shown: str) -> str:
    """Take `…` for anything, and any moment for the one on the page."""
    pattern = re.escape(shown.strip()).replace("…", '[^"]+')
    return re.sub(r"\d{4}\\-\d\d\\-\d\dT\d\d:\d\d:\d\d\\\.\d+Z", lambda _: MOMENT, pattern)


def run(commands: list[str], *, url: str) -> list[str]:
    """Run the commands in one shell, and return what each one prints."""
    own = [re.sub(r"^url=.*", f"url={url}", command) for command in commands]
    script = "".join(f"{command}\necho; echo '{END_OF_OUTPUT}'\n" for command in own)
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    return [output.strip() for output in done.stdout.split(END_OF_OUTPUT)[:-1]]


@contextmanager
def served(command: str, folder: Path) -> Iterator[str]:
    """Serve the example by a command, with its data in a folder."""
    port = free_port()
    words = command.format(bin=Path(sys.executable).parent, port=port).split()
    environment = {
        **os.environ,
        "DATABASE_URL": f"embedded:{folder}/data",
        "FASTAPI_ENV": "development",
    }
    log = folder / "log"
    with log.open("w") as output:
        server = subprocess.Popen(
            words, cwd=PAGE.parent, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", server, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(DEADLINE_SECONDS)


def wait_until_ready(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Wait as long as the server starts."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        # Nobody listens yet.
        with suppress(httpx.TransportError):
            if httpx.get(f"{url}/health/ready").is_success:
                return
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
