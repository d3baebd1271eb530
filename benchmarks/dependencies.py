"""What the dependencies of SturdyAPI cost over the same written by hand, on one app.

Two pairs of endpoints, each the same but for where a dependency is from:

- `connection`: one select over a connection of a pool. By hand: a `yield` dependency of function
  scope around asyncpg's `pool.acquire(timeout=2)`. Else: `pg.connection`.
- `owned`: an object of the caller's, loaded by a dependency. By hand: a dependency that answers
  401 before the load, and one that compares and answers 404. Else: `owned()`.

Rounds of the two alternate in one process, with a real PostgreSQL on this machine. `connection` is
time on the clock, since it waits for the server; `owned` is CPU time. A ratio is ours divided by
the one by hand, pair by pair: 1.00 means that ours is free.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException
from starlette.requests import Request

from benchmarks.measure import Client
from benchmarks.workloads import Workload
from sturdyapi import BaseModel, BaseSettings, create_app, owned
from sturdyapi.contrib.postgres import Connection, Postgres

TARGET = 1.05
"""Highest ratio aimed at."""

_WARM_UP_REQUESTS = 300
_OK = 200


class Answer(BaseModel):
    """What the measured endpoints send."""

    id: int
    owner_id: int


pg = Postgres(setting="database_url", min_size=2, max_size=2)
router = APIRouter()


class Settings(BaseSettings):
    """Where the server is."""

    database_url: str


async def connection_by_hand(request: Request) -> AsyncIterator[Any]:
    """Do what `pg.connection` does, without its care."""
    async with request.app.state.postgres.raw.acquire(timeout=2) as connection:
        yield connection


ByHand = Annotated[Any, Depends(connection_by_hand, scope="function")]
Ours = Annotated[Connection, pg.connection]


@router.get("/connection/by-hand")
async def select_by_hand(db: ByHand) -> Answer:
    """Select over a connection that was acquired by hand."""
    return Answer(id=await db.fetchval("select $1::int", 1), owner_id=7)


@router.get("/connection")
async def select(db: Ours) -> Answer:
    """Select over a connection of the adapter's."""
    return Answer(id=await db.fetchval("select $1::int", 1), owner_id=7)


async def current_user() -> Answer | None:
    """Return the caller, or `None`."""
    return Answer(id=7, owner_id=7)


async def find_object(object_id: int) -> Answer | None:
    """Return an object of the caller's."""
    return Answer(id=object_id, owner_id=7)


async def signed_in(user: Annotated[Answer | None, Depends(current_user)]) -> Answer:
    """Let nobody pass who is not signed in."""
    if user is None:
        raise HTTPException(401)
    return user


async def check_by_hand(
    user: Annotated[Answer, Depends(signed_in)],
    found: Annotated[Answer | None, Depends(find_object)],
) -> Answer:
    """Do what `owned()` does, without its care."""
    if found is None or found.owner_id != user.id:
        raise HTTPException(404)
    return found


@router.get("/owned/by-hand/{object_id}")
async def read_by_hand(found: Annotated[Answer, Depends(check_by_hand)]) -> Answer:
    """Read an object that was compared by hand."""
    return found


@router.get("/owned/{object_id}")
async def read(found: Annotated[Answer, owned(find_object, by=current_user)]) -> Answer:
    """Read an object that `owned()` has compared."""
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two endpoints that do the same."""

    name: str
    by_hand: str
    ours: str
    clock: Callable[[], int]


PAIRS = (
    Pair(
        name="connection",
        by_hand="/connection/by-hand",
        ours="/connection",
        clock=time.perf_counter_ns,
    ),
    Pair(name="owned", by_hand="/owned/by-hand/1", ours="/owned/1", clock=time.process_time_ns),
)


async def measure(pair: Pair, clients: tuple[Client, Client], options: argparse.Namespace) -> None:
    """Print one line of the table."""
    times: tuple[list[float], list[float]] = ([], [])
    for client in clients:
        await client.send_requests(_WARM_UP_REQUESTS)
        if client.answer()[0] != _OK:
            sys.exit(f"{pair.name}: {client.answer()}")
    gc.freeze()
    for number in range(options.rounds):
        for which in (0, 1) if number % 2 else (1, 0):
            gc.collect()
            started_at = pair.clock()
            await clients[which].send_requests(options.requests)
            times[which].append((pair.clock() - started_at) / options.requests)
    ratios = [ours / by_hand for by_hand, ours in zip(*times, strict=True)]
    lower, middle, upper = quantiles(ratios, n=4)
    by_hand, ours = (median(each) / 1000 for each in times)
    print(
        f"  {pair.name:<12}{by_hand:>10.0f}{ours:>10.0f}{middle:>8.3f}   {lower:.3f} to {upper:.3f}"
    )


async def main(options: argparse.Namespace) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(database_url=f"embedded:{folder}/data", environment="development")
        app = create_app(settings, routers=[router], resources=[pg], logs=False)
        async with app.router.lifespan_context(app):
            print("\n  dependency     by hand      ours   ratio   middle half      (µs a request)")
            for pair in PAIRS:
                clients = (client(app, pair.by_hand), client(app, pair.ours))
                await measure(pair, clients, options)
            print(f"  aim: at most {TARGET}\n")


def client(app: object, path: str) -> Client:
    """Return a client that asks for a path."""
    return Client(app, Workload(name=path, what=path, make_router=lambda _: router, path=path))  # type: ignore[arg-type]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=60, help="pairs of rounds (default: 60)")
    parser.add_argument("--requests", type=int, default=50, help="requests a round (default: 50)")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main(_arguments()))
