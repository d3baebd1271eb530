"""`settings_of()`: how settings reach an endpoint."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, assert_type

import pytest
from fastapi import Depends, FastAPI, WebSocket
from fastapi.testclient import TestClient
from starlette.requests import HTTPConnection

from sturdyapi.exceptions import ConfigurationError
from sturdyapi.settings import SCOPE_KEY, BaseSettings, settings_of


class Settings(BaseSettings):
    greeting: str = "hello"


class Other(BaseSettings):
    pass


Given = Annotated[Settings, Depends(settings_of(Settings))]


def app_with(settings: BaseSettings | None) -> FastAPI:
    """Return an app whose endpoints greet as the settings say."""
    app = FastAPI()
    if settings is not None:
        app.state.settings = settings

    @app.get("/")
    async def greet(settings: Given) -> str:
        return settings.greeting

    @app.websocket("/ws")
    async def talk(websocket: WebSocket, settings: Given) -> None:
        await websocket.accept()
        await websocket.send_text(settings.greeting)
        await websocket.close()

    return app


def test_settings_reach_an_endpoint() -> None:
    """An endpoint gets the settings of its app."""
    assert TestClient(app_with(Settings(greeting="hi"))).get("/").json() == "hi"


def test_settings_reach_a_websocket() -> None:
    """A websocket gets them too."""
    client = TestClient(app_with(Settings(greeting="hi")))
    with client.websocket_connect("/ws") as websocket:
        assert websocket.receive_text() == "hi"


def test_settings_of_the_outermost_app_win() -> None:
    """A mounted app gets the settings that the outermost app left in the scope."""
    inner = app_with(Settings(greeting="inner"))

    async def outer(scope, receive, send):  # type: ignore[no-untyped-def]
        await inner({**scope, SCOPE_KEY: Settings(greeting="outer")}, receive, send)

    assert TestClient(outer).get("/").json() == "outer"


def test_settings_of_a_subclass_will_do() -> None:
    """An app whose settings are of a subclass serves who asks for the base."""

    class More(Settings):
        pass

    assert TestClient(app_with(More())).get("/").json() == "hello"


def test_settings_can_be_overridden_in_a_test() -> None:
    """`settings_of(Settings)` is the same object each time, and so can be overridden."""
    assert settings_of(Settings) is settings_of(Settings)
    assert id(settings_of(Settings)) != id(settings_of(Other))
    app = app_with(Settings())
    app.dependency_overrides[settings_of(Settings)] = lambda: Settings(greeting="test")
    assert TestClient(app).get("/").json() == "test"


@pytest.mark.parametrize(
    ("settings", "words"),
    [(None, "has no settings"), (Other(), "has settings of the class Other")],
)
def test_settings_that_are_not_there_are_named(settings: BaseSettings | None, words: str) -> None:
    """An app without these settings answers with an error that says what to write."""
    with pytest.raises(ConfigurationError, match=words) as caught:
        TestClient(app_with(settings)).get("/")
    assert "create_app(Settings, ...)" in str(caught.value)


def test_settings_have_their_type() -> None:
    """A type checker knows what the dependency returns."""
    assert_type(settings_of(Settings), Callable[[HTTPConnection], Awaitable[Settings]])
