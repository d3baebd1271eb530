"""Log lines of real processes: servers, signals, forks, and readers that do not read."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from threading import Thread
from typing import IO, TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEADLINE_SECONDS = 30.0

APP = """
import logging, sys, warnings
from loguru import logger
from sturdyapi import log

logs = log.configure(environment="production", level="INFO", format="json")


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return await lifespan(receive, send)
    if scope["type"] != "http":
        return
    path = scope["path"]
    if path == "/broken":
        try:
            raise RuntimeError("on purpose")
        except RuntimeError as error:
            logs.exception(error, "Unhandled error", fields={})
            raise
    if path == "/kinds":
        logger.info("by loguru")
        logging.getLogger("shop").info("by logging")
        warnings.warn("by warnings")
    headers = [(b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
    logs.access(method="GET", route=None, path=path, status=200, duration_seconds=0.001,
                client="127.0.0.1", fields={"filler": "x" * 200})


async def lifespan(receive, send):
    await receive()
    logs.take_over()
    logger.info("going up")
    await send({"type": "lifespan.startup.complete"})
    await receive()
    logger.info("going down")
    logs.shutdown()
    await send({"type": "lifespan.shutdown.complete"})


if __name__ == "__main__":
    import uvicorn
    uvicorn.run(app, port=0)
"""

SCRIPT = """
import os, sys, threading
from loguru import logger
from sturdyapi import log

logs = log.configure(environment="production", level="INFO", format="json", secrets=["hunter2-x"])
"""


class Process:
    """A process whose output is read only when the test asks for it."""

    def __init__(self, arguments: list[str], folder: Path, **options: Any) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        self._threads: list[Thread] = []
        self._texts: dict[str, list[str]] = {"stdout": [], "stderr": []}

    def read(self, *names: str) -> None:
        """Begin to read these outputs."""
        for name in names or ("stdout", "stderr"):
            thread = Thread(target=self._collect, args=(name,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _collect(self, name: str) -> None:
        stream: IO[str] = getattr(self.popen, name)
        for line in stream:
            self._texts[name].append(line)

    def wait_for(self, pattern: str, *, count: int = 1) -> str:
        """Return the first group of what was written to either output."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline:
            found = re.findall(pattern, "".join(self._texts["stdout"] + self._texts["stderr"]))
            if len(found) >= count:
                return str(found[0])
            time.sleep(0.02)
        raise TimeoutError(f"{pattern!r} not in {self._texts}")

    def end(self, *, by: signal.Signals | None = signal.SIGTERM) -> tuple[list[str], list[str]]:
        """Wait for the end of the process and return the lines of its outputs."""
        if by is not None:
            self.popen.send_signal(by)
        self.popen.wait(DEADLINE_SECONDS)
        if not self._threads:
            self.read()
        for thread in self._threads:
            thread.join(DEADLINE_SECONDS)
        return self._texts["stdout"], self._texts["stderr"]

    def kill(self) -> None:
        """End what a failed test left behind."""
        with contextlib.suppress(ProcessLookupError):
            self.popen.kill()
        self.popen.wait(DEADLINE_SECONDS)
        for stream in (self.popen.stdout, self.popen.stderr):
            if stream is not None:
                stream.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Start Python with these arguments in a folder that holds the app."""
    (tmp_path / "served.py").write_text(APP)
    started: list[Process] = []

    def begin(*arguments: str, **options: Any) -> Process:
        started.append(Process(list(arguments), tmp_path, **options))
        return started[-1]

    yield begin
    for each in started:
        each.kill()


def _get(port: str, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=DEADLINE_SECONDS)
    with contextlib.closing(connection):
        connection.request("GET", path)
        return connection.getresponse().status


def _messages(lines: list[str]) -> list[str]:
    """Return the messages; each line must be JSON, and end where it should."""
    assert all(line.endswith("\n") for line in lines)
    return [json.loads(line)["message"] for line in lines]


@pytest.mark.parametrize("way", ["command", "uvicorn.run"])
def test_every_line_under_uvicorn_is_json_once(way: str, start: Callable[..., Process]) -> None:
    """Under uvicorn every line from the start to the last is JSON on standard output, once."""
    command = ["-m", "uvicorn", "served:app", "--port", "0"]
    server = start(*(command if way == "command" else ["served.py"]))
    server.read()
    port = server.wait_for(r"Uvicorn running on http://127\.0\.0\.1:(\d+)")

    assert [_get(port, path) for path in ("/kinds", "/broken", "/")] == [200, 500, 200]
    out, err = server.end()

    messages = [re.sub(r"\[\d+\]|:\d+ |\(/.*\)", "", message) for message in _messages(out)]
    assert messages == [
        "Started server process ",
        "Waiting for application startup.",
        "going up",
        "Application startup complete.",
        "Uvicorn running on http://127.0.0.1(Press CTRL+C to quit)",
        "by loguru",
        "by logging",
        "UserWarning: by warnings ",
        "GET /kinds 200",
        "Unhandled error",
        "GET / 200",
        "Shutting down",
        "Waiting for application shutdown.",
        "going down",
        "Application shutdown complete.",
        "Finished server process ",
    ]
    assert err == []


@pytest.mark.heavy
@pytest.mark.parametrize("preload", [[], ["--preload"]])
def test_lines_of_gunicorn_workers_are_json_once(
    preload: list[str], start: Callable[..., Process]
) -> None:
    """Under Gunicorn every line of a worker that has loaded the app is JSON, once a worker."""
    worker = ["--worker-class", "uvicorn_worker.UvicornWorker", "--workers", "2"]
    access = ["--access-logfile", "-", "--bind", "127.0.0.1:0"]
    server = start("-m", "gunicorn", "served:app", *worker, *access, *preload)
    server.read()
    port = server.wait_for(r"Listening at: http://127\.0\.0\.1:(\d+)")
    server.wait_for("Application startup complete", count=2)

    assert [_get(port, f"/{number}") for number in range(20)] == [200] * 20
    out, err = server.end()

    counts = Counter(re.sub(r"\d{2,}", "N", message) for message in _messages(out))
    assert sum(n for message, n in counts.items() if message.startswith("GET /")) == 20
    for message in ("going up", "going down", "Finished server process [N]"):
        assert counts[message] == 2
    for message in ("Application startup complete.", "Application shutdown complete."):
        assert counts[message] == 2
    # What the master writes is in Gunicorn's own form: the app is not loaded there.
    assert all(re.match(r"\[.*\] \[\d+\] \[INFO\] ", line) for line in err)


def test_stopped_reader_stops_no_request(start: Callable[..., Process]) -> None:
    """While nobody reads the log, requests are answered; when somebody does, no line is lost."""
    server = start("-m", "uvicorn", "served:app", "--port", "0")
    assert server.popen.stdout is not None
    lines = [server.popen.stdout.readline()]
    while "Uvicorn running" not in lines[-1]:
        lines.append(server.popen.stdout.readline())
    port = re.findall(r"127\.0\.0\.1:(\d+)", lines[-1])[0]

    # 400 lines of 450 bytes are three times what a pipe takes.
    assert [_get(port, f"/{number}") for number in range(400)] == [200] * 400
    server.popen.send_signal(signal.SIGTERM)
    server.read()
    out, err = server.end(by=None)

    messages = _messages(lines + out)
    assert [m for m in messages if m.startswith("GET")] == [f"GET /{n} 200" for n in range(400)]
    assert messages[-1].startswith("Finished server process")
    assert err == []


def test_exit_with_a_slow_reader_loses_nothing(start: Callable[..., Process]) -> None:
    """A process that ends while its lines wait for a slow reader writes them all out first."""
    script = SCRIPT + "for n in range(3000): logger.info('line {}', n)\n"
    process = start("-c", script)
    assert process.popen.stdout is not None
    first = process.popen.stdout.readline()
    with pytest.raises(subprocess.TimeoutExpired):
        process.popen.wait(0.5)

    process.read()
    out, err = process.end(by=None)

    assert _messages([first, *out]) == [f"line {number}" for number in range(3000)]
    assert (process.popen.returncode, err) == (0, [])


def test_exit_does_not_wait_for_a_dead_reader(start: Callable[..., Process]) -> None:
    """A process whose reader takes nothing at all ends after some seconds, with its own code."""
    script = SCRIPT + "from sturdyapi.log import stream\n"
    script += "stream.Stream.flush.__kwdefaults__['patience_seconds'] = 0.2\n"
    process = start("-c", script + "for n in range(3000): logger.info('line {}', n)\nsys.exit(7)\n")

    assert process.popen.wait(DEADLINE_SECONDS) == 7


def test_uncaught_error_loses_nothing(start: Callable[..., Process]) -> None:
    """A process that ends with an error has written its lines."""
    script = SCRIPT + "logger.info('one')\nlogger.info('two')\nraise SystemExit(3)\n"
    process = start("-c", script)

    out, _err = process.end(by=None)

    assert _messages(out) == ["one", "two"]
    assert process.popen.returncode == 3


def test_lines_after_shutdown_are_out_at_once(start: Callable[..., Process]) -> None:
    """After `shutdown` lines are safe even if the process is killed the moment after."""
    script = SCRIPT + "for n in range(600): logger.info('{} ' + 'x' * 300, n)\nlogs.shutdown()\n"
    script += "for n in range(600, 1200): logger.info('{} ' + 'x' * 300, n)\n"
    process = start("-c", script + "os.kill(os.getpid(), 9)\n")
    process.read()

    out, _err = process.end(by=None)

    assert [int(message.split()[0]) for message in _messages(out)] == list(range(1200))


def test_fork_writes_each_line_once(start: Callable[..., Process]) -> None:
    """A process that forks while lines wait writes them once, and its child can log."""
    script = SCRIPT + (
        "for n in range(1000): logger.info('parent {}', n)\n"
        "pid = os.fork()\n"
        "if pid:\n"
        "    print('forked', file=sys.stderr, flush=True)\n"
        "else:\n"
        "    for n in range(1000): logger.info('child {}', n)\n"
        "    os._exit(0)\n"
        "os.waitpid(pid, 0)\n"
        "logger.info('parent {}', 1000)\n"
    )
    process = start("-W", "ignore::DeprecationWarning", "-c", script)
    assert process.popen.stderr is not None
    assert process.popen.stderr.readline() == "forked\n"
    process.read()

    out, err = process.end(by=None)

    messages = _messages(out)
    assert sorted(messages) == sorted(
        [f"parent {n}" for n in range(1001)] + [f"child {n}" for n in range(1000)]
    )
    assert err == []


def test_reader_that_leaves(start: Callable[..., Process]) -> None:
    """A process goes on when the reader of its lines is gone, as behind `| head -1`."""
    script = SCRIPT + "logger.info('one')\nsys.stdin.readline()\n"
    script += "for n in range(3000): logger.info('lost')\nprint('still here', file=sys.stderr)\n"
    process = start("-c", script, stdin=subprocess.PIPE)
    assert process.popen.stdout is not None
    assert process.popen.stdin is not None
    assert _messages([process.popen.stdout.readline()]) == ["one"]
    process.popen.stdout.close()
    process.popen.stdin.close()
    process.read("stderr")

    _out, err = process.end(by=None)

    assert err == ["still here\n"]
    assert process.popen.returncode == 0


def test_process_without_stdout(tmp_path: Path) -> None:
    """A process that was started without a standard output runs, and says nothing."""
    script = SCRIPT + "logger.info('lost')\nprint('still here', file=sys.stderr)\n"
    path = tmp_path / "script.py"
    path.write_text(script)

    done = subprocess.run(
        ["/bin/sh", "-c", '"$0" "$1" >&-', sys.executable, str(path)],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "still here\n")


def test_lines_in_a_file_are_whole(tmp_path: Path) -> None:
    """Threads and child processes that log to one file write whole lines."""
    script = SCRIPT + (
        "children = [os.fork() for _ in range(2)]\n"
        "def write():\n"
        "    for n in range(500): logger.info('x' * (n * 13 % 900))\n"
        "threads = [threading.Thread(target=write) for _ in range(4)]\n"
        "for t in threads: t.start()\n"
        "for t in threads: t.join()\n"
        "for child in children:\n"
        "    if child: os.waitpid(child, 0)\n"
    )
    path = tmp_path / "out.log"
    with path.open("a") as out:
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", script], stdout=out, check=True, timeout=60
        )

    lines = path.read_text().splitlines(keepends=True)
    assert len(_messages(lines)) == 4 * 4 * 500


def test_standard_streams_of_the_system_are_left_blocking(tmp_path: Path) -> None:
    """The standard output that other processes share keeps its mode."""
    script = SCRIPT + "logger.info('one')\nprint(os.get_blocking(1), file=sys.stderr)\n"

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stderr == "True\n"
    assert os.get_blocking(sys.__stdout__.fileno() if sys.__stdout__ else 1)
