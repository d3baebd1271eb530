"""Apps whose routes are told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, WebSocket
from fastapi.responses import PlainTextResponse

from sturdyapi import BaseSettings, SturdyAPI, create_app
from sturdyapi.cli.route_facts import RouteFacts, facts_of

if TYPE_CHECKING:
    from starlette.requests import Request


async def on_loop() -> str:
    """Answer."""
    return "on_loop"


def in_thread() -> str:
    """Answer."""
    return "in_thread"


async def on_socket(websocket: WebSocket) -> None:
    """Accept."""
    await websocket.accept()


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    """Answer."""
    await PlainTextResponse("asgi")(scope, receive, send)


def plain(**options: Any) -> FastAPI:
    """Return a FastAPI app without pages."""
    return FastAPI(openapi_url=None, **options)


def sturdy(environment: str, **options: Any) -> SturdyAPI:
    """Return an app of ours that leaves logging alone."""
    return create_app(BaseSettings(environment=environment), logs=False, **options)


def only(app: Any) -> RouteFacts:
    """Return the one route of an app."""
    (found,) = facts_of(app)
    return found


def paths(app: Any) -> list[str]:
    """Return the paths of an app in order."""
    return [each.path for each in facts_of(app)]


async def answer(request: Request) -> PlainTextResponse:
    """Answer."""
    return PlainTextResponse("answer")
