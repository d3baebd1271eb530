"""FastAPI's telemetry works as soon as it is set up, and costs next to nothing until then."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.exceptions import FastAPIDeprecationWarning
from fastapi.testclient import TestClient
from opentelemetry import trace

from sturdyapi import BaseSettings, create_app
from sturdyapi.telemetry import may_skip, nothing_is_set_up


class Recording(trace.TracerProvider):
    """A provider that remembers whether anybody asked for a tracer."""

    def __init__(self) -> None:
        self.was_asked = False

    def get_tracer(self, *args: Any, **kwargs: Any) -> trace.Tracer:
        self.was_asked = True
        return trace.NoOpTracer()


@pytest.fixture
def provider() -> Recording:
    """Return a provider that nobody knows yet."""
    return Recording()


def _app(**options: Any) -> FastAPI:
    app = create_app(BaseSettings(environment="testing"), logs=False, **options)

    @app.get("/")
    async def read() -> str:
        return "ok"

    return app


def test_telemetry_is_skipped_while_nobody_has_set_it_up() -> None:
    """Without a provider, a request is spared FastAPI's question for one."""
    app = _app()
    assert may_skip(app._telemetry)
    assert nothing_is_set_up()
    client = TestClient(app)
    client.get("/")  # the first request is the one that finds out
    app._native_telemetry = None  # type: ignore[assignment]
    assert client.get("/").status_code == 200


def test_an_app_with_a_provider_of_its_own_is_traced(provider: Recording) -> None:
    """A provider given to the app is used."""
    assert not may_skip(_app(telemetry={"tracer_provider": provider})._telemetry)


def test_an_environment_that_names_a_provider_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider named by OpenTelemetry's variables is used."""
    monkeypatch.setenv("OTEL_PYTHON_TRACER_PROVIDER", "sdk_tracer_provider")
    assert not may_skip(_app()._telemetry)


def test_a_provider_set_later_is_used(provider: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that is set while the app serves is used from the next request on."""
    app = _app()
    client = TestClient(app)
    client.get("/")
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    assert client.get("/").status_code == 200
    assert provider.was_asked


def test_a_replaced_way_to_the_provider_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a tool has replaced OpenTelemetry's functions, FastAPI asks as always."""
    monkeypatch.setattr(trace, "get_tracer_provider", trace.NoOpTracerProvider)
    assert not nothing_is_set_up()


def test_a_patched_fastapi_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a tool has replaced `FastAPI.__call__`, it is called."""

    async def traced(self: FastAPI, scope: Any, receive: Any, send: Any) -> None: ...

    monkeypatch.setattr(FastAPI, "__call__", traced)
    assert not may_skip(_app()._telemetry)


def test_a_root_path_is_set_without_telemetry() -> None:
    """The app's root path holds with and without telemetry."""
    with pytest.warns(FastAPIDeprecationWarning, match="root_path"):
        app = _app(root_path="/api", docs=True)
    servers = TestClient(app).get("/openapi.json").json()["servers"]
    assert servers == [{"url": "/api"}]
