"""Time to start: `import sturdyapi`, and a minimal app up to its first answer, against FastAPI's.

How it is measured: each program below runs in fresh interpreters, all of them in turn, after one
run that is not counted, so that bytecode is compiled and files are cached. Time is CPU time of the
process as the operating system counts it. The bare interpreter's own time, with whatever `.pth`
files the virtual environment has, is subtracted.

What the numbers do not say: how long a first start takes on a cold disk, and what the service's own
modules cost. Milliseconds are those of this machine; the ratio travels.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from statistics import median

IMPORT_TARGET_MS = 40
"""Highest cost aimed at for `import sturdyapi`."""
APP_TARGET_RATIO = 1.3
"""Highest ratio aimed at, SturdyAPI / FastAPI, of a minimal app."""

_MAKE_FASTAPI = "from fastapi import FastAPI; app = FastAPI()"
_MAKE_STURDYAPI = "from sturdyapi import create_app; app = create_app()"
_ANSWER = """
@app.get("/")
async def hello() -> dict[str, str]:
    return {"hello": "world"}

async def receive():
    return {"type": "http.request", "body": b"", "more_body": False}

async def send(message):
    if message["type"] == "http.response.start" and message["status"] != 200:
        raise SystemExit("the first answer was no 200")

async def answer():
    async with app.router.lifespan_context(app):
        await app(
            {
                "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1",
                "method": "GET", "scheme": "http", "path": "/", "raw_path": b"/",
                "root_path": "", "query_string": b"", "headers": [(b"host", b"localhost")],
                "client": ("127.0.0.1", 50000), "server": ("127.0.0.1", 8000), "state": {},
            },
            receive,
            send,
        )

import asyncio
asyncio.run(answer())
"""
_PROGRAMS = {
    "bare interpreter": "pass",
    "import sturdyapi": "import sturdyapi",
    "FastAPI, app made": _MAKE_FASTAPI,
    "SturdyAPI, app made": _MAKE_STURDYAPI,
    "FastAPI, first answer": _MAKE_FASTAPI + _ANSWER,
    "SturdyAPI, first answer": _MAKE_STURDYAPI + _ANSWER,
}
_ENVIRONMENT = {**os.environ, "ENVIRONMENT": "production", "FASTAPI_ENV": "production"}
# Installed packages have their bytecode; a checkout is to be measured with its own as well.
_ENVIRONMENT.pop("PYTHONDONTWRITEBYTECODE", None)


def main() -> None:
    """Print the table."""
    options = _parse_arguments()
    milliseconds = _measure(options.runs)
    baseline = milliseconds.pop("bare interpreter")
    costs = {name: value - baseline for name, value in milliseconds.items()}
    ratios = {
        step: costs[f"SturdyAPI, {step}"] / costs[f"FastAPI, {step}"]
        for step in ("app made", "first answer")
    }
    if options.json:
        print(json.dumps({"milliseconds": costs, "ratios": ratios}, indent=2))
        return
    print(f"CPU ms of a fresh process, above a bare interpreter ({baseline:.0f} ms)")
    for name, cost in costs.items():
        print(f"{name:26}{cost:7.1f}")
    print(f"import sturdyapi: target at most {IMPORT_TARGET_MS} ms")
    for step, ratio in ratios.items():
        print(f"SturdyAPI / FastAPI, {step}: {ratio:.2f}, target at most {APP_TARGET_RATIO}")


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="CPU time to start, SturdyAPI against FastAPI.")
    parser.add_argument("--runs", type=int, default=9, help="of each program (default: 9)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args()
    if options.runs < 1:
        parser.error("give at least 1 run")
    return options


def _measure(runs: int) -> dict[str, float]:
    """Return the median CPU milliseconds of each program."""
    for program in _PROGRAMS.values():
        _cpu_milliseconds(program)
    times: dict[str, list[float]] = {name: [] for name in _PROGRAMS}
    for _ in range(runs):
        for name, program in _PROGRAMS.items():
            times[name].append(_cpu_milliseconds(program))
    return {name: median(values) for name, values in times.items()}


def _cpu_milliseconds(program: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", program]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=_ENVIRONMENT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return used * 1000


if __name__ == "__main__":
    main()
