"""The process of one workload: compare the answers of the two apps, then time or profile them.

Started by `requests_in_process.py`, which reads the access lines from standard output; the result
goes into a file. Settings come from the environment.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import json
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.workloads import WORKLOADS, Workload, bare_app, sturdy_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import CodeType

    from fastapi import FastAPI
    from starlette.types import Message, Scope

__all__ = ["Client", "ProfileRow", "Times"]

_PROXY_HEADERS = {
    "host": "api.example.com",
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "accept": "application/json",
    "accept-language": "en-GB,en;q=0.5",
    "accept-encoding": "gzip, deflate, br",
    "x-forwarded-for": "203.0.113.7",
    "x-forwarded-proto": "https",
    "connection": "keep-alive",
}
_OK = 200
_WARM_UP_REQUESTS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """CPU nanoseconds of one request, the mean of each round, and how many requests were sent."""

    fastapi: list[float]
    sturdyapi: list[float]
    requests_to_sturdyapi: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileRow:
    """One function's own time, in microseconds per request; the profiler's cost is in it."""

    function: str
    calls: float
    """Per request to SturdyAPI."""
    fastapi: float
    sturdyapi: float


class Client:
    """Sends the request of a workload to an app in process, as a server would."""

    def __init__(self, app: FastAPI, workload: Workload) -> None:
        """Prepare the request; nothing is sent."""
        self._app = app
        self._request: Message = {
            "type": "http.request",
            "body": workload.body,
            "more_body": False,
        }
        self._response: list[Message] = []
        self._headers = _headers(workload)
        self._scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "server": ("10.0.0.2", 8000),
            "client": ("203.0.113.7", 52044),
            "scheme": "https",
            "method": workload.method,
            "root_path": "",
            "path": workload.path,
            "raw_path": workload.path.encode(),
            "query_string": workload.query.encode(),
        }

    async def send_requests(self, count: int) -> None:
        """Send the request `count` times, one after the other."""
        app, receive, send = self._app, self._receive, self._send
        for _ in range(count):
            self._response.clear()
            scope = {**self._scope, "headers": self._headers.copy(), "state": {}}
            await app(scope, receive, send)

    async def nanoseconds(self, requests: int) -> float:
        """Return the CPU time of one request, the mean of `requests`."""
        # Each round pays for the garbage of its own.
        gc.collect()
        started_at = time.process_time_ns()
        await self.send_requests(requests)
        return (time.process_time_ns() - started_at) / requests

    def answer(self) -> tuple[int, Any]:
        """Return status and parsed body of the last response; numbers keep all their digits."""
        start, *rest = self._response
        body = b"".join(message.get("body", b"") for message in rest)
        return start["status"], json.loads(body, parse_float=Decimal)

    async def _receive(self) -> Message:
        return self._request

    async def _send(self, message: Message) -> None:
        self._response.append(message)


def _headers(workload: Workload) -> list[tuple[bytes, bytes]]:
    headers = {**_PROXY_HEADERS, **workload.headers}
    if workload.body:
        headers |= {"content-type": "application/json", "content-length": str(len(workload.body))}
    return [(name.encode(), value.encode()) for name, value in headers.items()]


@asynccontextmanager
async def _warm_clients(workload: Workload) -> AsyncIterator[tuple[Client, Client]]:
    """Give clients of FastAPI and of SturdyAPI whose answers agree."""
    bare, sturdy = bare_app(workload), sturdy_app(workload)
    async with bare.router.lifespan_context(bare), sturdy.router.lifespan_context(sturdy):
        clients = Client(bare, workload), Client(sturdy, workload)
        for client in clients:
            await client.send_requests(_WARM_UP_REQUESTS)
        _refuse_different_answers(*clients)
        yield clients


def _refuse_different_answers(bare: Client, sturdy: Client) -> None:
    bare_status, bare_body = bare.answer()
    sturdy_status, sturdy_body = sturdy.answer()
    if not (bare_status == sturdy_status == _OK and _says_the_same(bare_body, sturdy_body)):
        sys.exit(
            "The answers differ, so their times can't be compared.\n"
            f"FastAPI:   {bare_status} {bare_body}\nSturdyAPI: {sturdy_status} {sturdy_body}"
        )


def _says_the_same(bare: Any, sturdy: Any) -> bool:
    """Compare two parsed bodies; FastAPI sends a `Decimal` as a string, SturdyAPI as a number."""
    if isinstance(bare, dict) and isinstance(sturdy, dict):
        return bare.keys() == sturdy.keys() and all(
            _says_the_same(bare[key], sturdy[key]) for key in bare
        )
    if isinstance(bare, list) and isinstance(sturdy, list):
        return len(bare) == len(sturdy) and all(map(_says_the_same, bare, sturdy))
    if isinstance(bare, str) and isinstance(sturdy, int | Decimal):
        return Decimal(bare) == sturdy
    return bool(bare == sturdy)


async def _measure(workload: Workload, *, rounds: int, requests: int) -> Times:
    times: tuple[list[float], list[float]] = ([], [])
    async with _warm_clients(workload) as clients:
        # The collector need not look again and again at what the start has made.
        gc.freeze()
        for number in range(rounds):
            # The order turns around, so that a machine that slows down hits both alike.
            for which in (0, 1) if number % 2 else (1, 0):
                times[which].append(await clients[which].nanoseconds(requests))
    return Times(
        fastapi=times[0],
        sturdyapi=times[1],
        requests_to_sturdyapi=_WARM_UP_REQUESTS + rounds * requests,
    )


async def _profile(workload: Workload, *, requests: int) -> list[ProfileRow]:
    """Return every function that SturdyAPI runs; those that cost it the most extra come first."""
    async with _warm_clients(workload) as (bare, sturdy):
        bare_costs = await _own_costs(bare, requests)
        sturdy_costs = await _own_costs(sturdy, requests)
    nothing = (0.0, 0.0)
    rows = [
        ProfileRow(
            function=function,
            calls=calls,
            fastapi=bare_costs.get(function, nothing)[1],
            sturdyapi=microseconds,
        )
        for function, (calls, microseconds) in sturdy_costs.items()
    ]
    return sorted(rows, key=lambda row: row.fastapi - row.sturdyapi)


async def _own_costs(client: Client, requests: int) -> dict[str, tuple[float, float]]:
    """Return calls and own microseconds of each function, per request."""
    profiler = cProfile.Profile(time.process_time_ns, 1e-9)
    with profiler:
        await client.send_requests(requests)
    return {
        _function_name(entry.code): (
            entry.callcount / requests,
            entry.inlinetime * 1_000_000 / requests,
        )
        for entry in profiler.getstats()
    }


def _function_name(code: CodeType | str) -> str:
    if isinstance(code, str):
        return code
    path = Path(code.co_filename)
    return f"{path.parent.name}/{path.name}:{code.co_firstlineno} {code.co_name}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--requests", type=int, required=True)
    parser.add_argument("--result", type=Path, required=True)
    parser.add_argument("--profile", action="store_true")
    return parser.parse_args()


def _main() -> None:
    arguments = _arguments()
    workload = WORKLOADS[arguments.workload]
    result: object
    if arguments.profile:
        requests = arguments.rounds * arguments.requests
        rows = asyncio.run(_profile(workload, requests=requests))
        result = [asdict(row) for row in rows]
    else:
        measured = _measure(workload, rounds=arguments.rounds, requests=arguments.requests)
        result = asdict(asyncio.run(measured))
    arguments.result.write_text(json.dumps(result))


if __name__ == "__main__":
    _main()
