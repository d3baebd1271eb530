"""`sturdyapi routes`: what an app serves, and what stands in front of it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sturdyapi.exceptions import AppNotFoundError

from .loading import load_app
from .parameters import App, AppDir  # noqa: TC001 - typer reads the annotations

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .loading import Loaded
    from .route_facts import RouteFacts

__all__ = ["EXAMPLES", "routes"]

EXAMPLES = """\
sturdyapi routes
sturdyapi routes shop.main:app --app-dir src
sturdyapi routes --json | jq '.[] | select(.auth == []) | .path'"""

_HEADS = ("METHODS", "PATH", "ENDPOINT", "AUTH", "OWNER", "LANE", "DOCS")
_WRITING = frozenset({"POST", "PUT", "PATCH", "DELETE"})


def routes(
    target: App = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of objects.")] = False,
    app_dir: AppDir = Path(),
) -> None:
    """List the routes of an app, and what stands before each.

    Any FastAPI or Starlette app will do. It is imported; nothing is started or connected. The
    order is that in which a request tries the routes.

    AUTH names the security schemes in front of an endpoint; where there are none, what gives the
    user to owned(), and dependencies with a name such as current_user. What a middleware or the
    endpoint itself checks is not seen.

    OWNER is what owned() and must() are given to find the object.

    LANE is where the endpoint runs: loop for async def; thread for def, which takes one of the
    threads that a worker has, 40 by default; socket for a websocket; app where another ASGI app
    decides. A generator adds the form in which it is sent: sse or jsonl.

    DOCS tells whether the route is in the OpenAPI document, and of a page of the documentation,
    whether it is served.

    The objects of --json have the members methods, path, host, endpoint, auth, owner, lane,
    stream, docs and shadowed_by. Lists are methods, auth and owner; null may be host, stream and
    shadowed_by, the path of an earlier route that takes every request of this one.
    """
    found = _facts(load_app(target, folder=app_dir))
    typer.echo(json.dumps([*map(asdict, found)], indent=2) if as_json else _text(found))


def _facts(loaded: Loaded) -> list[RouteFacts]:
    # Here, since it brings in FastAPI, for which `sturdyapi --help` would wait.
    from .route_facts import facts_of, with_routes  # noqa: PLC0415

    app: Any = with_routes(loaded.app)
    if app is None:
        raise AppNotFoundError(
            f"{loaded.import_string} is a {type(loaded.app).__name__}, which has no routes that "
            "could be listed. Name the variable that holds the FastAPI app."
        )
    return facts_of(app)


def _text(found: Sequence[RouteFacts]) -> str:
    notes = [_note(facts) for facts in found]
    heads = (*_HEADS, "NOTE") if any(notes) else _HEADS
    rows = [(*_cells(facts), note)[: len(heads)] for facts, note in zip(found, notes, strict=True)]
    return "\n".join([*_aligned([heads, *rows]), *([""] if found else []), _summary(found)])


def _cells(facts: RouteFacts) -> tuple[str, ...]:
    anything = "WEBSOCKET" if facts.lane == "socket" else "ANY"
    return (
        ",".join(facts.methods) or anything,
        (facts.host or "") + facts.path,
        facts.endpoint,
        ", ".join(facts.auth) or "-",
        ", ".join(facts.owner) or "-",
        f"{facts.lane}, {facts.stream}" if facts.stream else facts.lane,
        "yes" if facts.docs else "no",
    )


def _note(facts: RouteFacts) -> str:
    return f"never reached: {facts.shadowed_by} comes first" if facts.shadowed_by else ""


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, widths, strict=True)
        yield "  ".join(cell.ljust(width) for cell, width in cells).rstrip()


def _summary(found: Sequence[RouteFacts]) -> str:
    writing = [facts for facts in found if not facts.shadowed_by and {*facts.methods} & _WRITING]
    unguarded = sum(not facts.auth for facts in writing)
    total = "1 route" if len(found) == 1 else f"{len(found)} routes"
    if not unguarded:
        return f"{total}."
    write = "writes" if len(writing) == 1 else "write"
    has = "has" if unguarded == 1 else "have"
    return (
        f"{total}. Of {len(writing)} that {write} (POST, PUT, PATCH or DELETE), {unguarded} {has} "
        "no auth that is seen here."
    )
