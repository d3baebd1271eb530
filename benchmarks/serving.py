"""Requests a second of `sturdyapi run`, against a bare Uvicorn, each one process on the same core.

How it is measured: one server at a time is pinned to one core, the client to another. The client
keeps a handful of connections open and sends on each the next request when the answer is there. The
servers take turns, a few rounds each, after one that is not counted; a round's ratio compares
neighbours, and the middle one is printed. Uvicorn runs as it comes: with its access log.

What the numbers do not say: what several workers reach, and what a network costs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import monotonic, perf_counter, sleep
from typing import TYPE_CHECKING, Any

import uvloop

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROUTE = """

@app.get("/items/{item_id}")
async def read(item_id: int, q: str | None = None) -> dict[str, object]:
    return {"item_id": item_id, "q": q}
"""
_MODULES = {
    "plain": f"from fastapi import FastAPI\n\napp = FastAPI(){_ROUTE}",
    "sturdy": f"from sturdyapi import create_app\n\napp = create_app(){_ROUTE}",
}
_UVICORN = ["uvicorn", "plain:app", "--port", "{port}"]
_RUN = ["sturdyapi", "run", "sturdy:app", "--port", "{port}", "--workers", "1"]
_COMMANDS = {
    "uvicorn, FastAPI": _UVICORN,
    "uvicorn --no-access-log, FastAPI": [*_UVICORN, "--no-access-log"],
    "uvicorn, SturdyAPI": ["uvicorn", "sturdy:app", "--port", "{port}"],
    "sturdyapi run": _RUN,
    "sturdyapi run --server uvicorn": [*_RUN, "--server", "uvicorn"],
    "sturdyapi run --server gunicorn-asgi": [*_RUN, "--server", "gunicorn-asgi"],
    "sturdyapi run --server granian": [*_RUN, "--server", "granian"],
}
_BASELINE = "uvicorn, FastAPI"
_REQUEST = b"GET /items/42?q=tea HTTP/1.1\r\nHost: localhost\r\n\r\n"
_BODY = b'{"item_id":42,"q":"tea"}'
_CONNECTIONS = 16
_START_SECONDS = 30


class _Client(asyncio.Protocol):
    """One connection that always has one request under way."""

    def __init__(self) -> None:
        self.answers = 0
        self.is_stopped = False
        self._received = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._received.endswith(_BODY):
            if not self._received.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"no 200: {self._received[:200]!r}")
            self._received = b""
            self.answers += 1
            self._send()

    def _send(self) -> None:
        if not self.is_stopped:
            self._transport.write(_REQUEST)


async def _load(port: int, seconds: float) -> float:
    """Return answers per second."""
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(_Client, "127.0.0.1", port) for _ in range(_CONNECTIONS)]
    began = perf_counter()
    await asyncio.sleep(seconds)
    rate = sum(client.answers for _, client in made) / (perf_counter() - began)
    for transport, client in made:
        client.is_stopped = True
        transport.close()
    await asyncio.sleep(0.05)
    return rate


@dataclass(slots=True)
class _Server:
    process: subprocess.Popen[bytes]
    port: int


@contextmanager
def _serving(command: list[str], folder: Path, core: int) -> Iterator[_Server]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [word.format(port=port) for word in command]
    process = subprocess.Popen(
        ["taskset", "-c", str(core), sys.executable, "-m", *words],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "FASTAPI_ENV": "production", "SHUTDOWN_DELAY_SECONDS": "0"},
    )
    try:
        _wait_for(port, process)
        yield _Server(process, port)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = monotonic() + _START_SECONDS
    while monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/items/1").close()
        except OSError:
            sleep(0.1)
        else:
            return
    raise SystemExit(f"a server did not start: {process.args!r}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5, help="of load, each")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1]})
    with tempfile.TemporaryDirectory() as folder:
        for name, text in _MODULES.items():
            (Path(folder) / f"{name}.py").write_text(text)
        rates = _rates(Path(folder), cores[0], options.rounds, options.seconds)
    ratios = {name: _ratio(rates[name], rates[_BASELINE]) for name in rates}
    if options.json:
        print(json.dumps({"rates": rates, "ratios": ratios}))
        return
    print(f"\nRequests a second, one process on one core; {_CONNECTIONS} connections")
    for name, each in rates.items():
        print(f"  {name:38} {median(each):8.0f}   {ratios[name]:.2f}")


def _rates(folder: Path, core: int, rounds: int, seconds: float) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {name: [] for name in _COMMANDS}
    for turn in range(rounds + 1):
        for name, command in _COMMANDS.items():
            with _serving(command, folder, core) as server:
                rate = uvloop.run(_load(server.port, seconds if turn else seconds / 3))
            if turn:
                rates[name].append(rate)
    return rates


def _ratio(rates: list[float], baseline: list[float]) -> float:
    return median(one / other for one, other in zip(rates, baseline, strict=True))


if __name__ == "__main__":
    main()
