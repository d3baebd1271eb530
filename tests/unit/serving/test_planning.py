"""From an app's settings, and what was asked for, to what a server is told."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware

from sturdyapi import BaseSettings, create_app
from sturdyapi.contrib.postgres import Postgres
from sturdyapi.exceptions import CommandError, ConnectionBudgetError, WorkerCountError
from sturdyapi.serving.planning import make_plan

POSTGRES = "postgresql://user@localhost/shop"


def planned(app: object, **asked_for: Any) -> Any:
    """Return the plan of an app."""
    asked: dict[str, Any] = {"host": None, "port": None, "workers": None, "options": ()}
    return make_plan(app, "main:app", **asked | asked_for)


def app_with(*, pool: int | None = None, **settings: Any) -> FastAPI:
    """Return an app with these settings."""
    resources = [] if pool is None else [Postgres(url=POSTGRES, max_size=pool)]
    loaded = BaseSettings(environment="testing", **settings)
    return create_app(loaded, resources=resources, logs=False)


def test_the_settings_of_the_app_decide() -> None:
    """What the command line leaves open comes from the app's settings."""
    app = app_with(bind_host="0.0.0.0", port=9000, workers=3, shutdown_delay_seconds=2)
    plan, workers = planned(app)
    assert (plan.host, plan.port, plan.workers, plan.delay_seconds) == ("0.0.0.0", 9000, 3, 2)
    assert workers.reason == "as set"


def test_the_command_line_wins() -> None:
    """An option beats the setting."""
    app = app_with(bind_host="0.0.0.0", port=9000, workers=3)
    plan, _ = planned(app, host="::1", port=0, workers="1")
    assert (plan.host, plan.port, plan.workers) == ("::1", 0, 1)


def test_an_app_of_plain_fastapi_is_served_by_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An app without our settings gets those that the environment holds."""
    monkeypatch.setenv("PORT", "9001")
    plan, _ = planned(FastAPI())
    assert plan.port == 9001


def test_an_app_inside_of_middleware_is_found() -> None:
    """What is wrapped around an app does not hide its settings."""
    plan, _ = planned(GZipMiddleware(app_with(port=9002)))
    assert plan.port == 9002


def test_an_app_of_plain_fastapi_has_no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can see an app without our readiness leave service: waiting would be in vain."""
    monkeypatch.setenv("FASTAPI_ENV", "production")
    plan, _ = planned(FastAPI())
    assert (plan.delay_seconds, plan.stop_seconds) == (0, 24)


def test_no_more_workers_than_the_connection_budget_allows() -> None:
    """Trap 58: pools and workers multiply, and the database has a limit."""
    plan, workers = planned(app_with(pool=5, connection_budget=5))
    assert plan.workers == 1
    assert "connection budget 5 / 5 per worker of 'postgres'" in workers.reason or (
        "CPU" in workers.reason
    )


def test_a_number_over_the_budget_is_kept_with_a_warning() -> None:
    """Who sets a number gets it, and is told what will run out."""
    plan, workers = planned(app_with(pool=5, connection_budget=10), workers="4")
    assert plan.workers == 4
    assert "may open 20, and connection_budget is 10" in workers.warning


def test_a_pool_that_is_over_the_budget_alone_is_refused() -> None:
    """One worker would already open too many."""
    with pytest.raises(ConnectionBudgetError, match="postgres"):
        planned(app_with(pool=20, connection_budget=10))


@pytest.mark.parametrize("workers", ["0", "-1", "100000"])
def test_an_absurd_number_of_workers_is_refused(workers: str) -> None:
    """The error says what was given, and what is possible."""
    with pytest.raises(WorkerCountError, match=workers):
        planned(app_with(), workers=workers)


@pytest.mark.parametrize("workers", ["", "two", "2n"])
def test_a_number_that_is_none_is_refused(workers: str) -> None:
    """The error names the forms that `--workers` takes."""
    with pytest.raises(CommandError, match="Give a number, auto or 2n\\+1"):
        planned(app_with(), workers=workers)


@pytest.mark.parametrize(
    ("level", "told"), [("TRACE", "info"), ("DEBUG", "info"), ("WARNING", "warning")]
)
def test_servers_do_not_debug_themselves(level: Any, told: str) -> None:
    """At DEBUG Gunicorn writes its whole configuration: servers stay at INFO."""
    plan, _ = planned(app_with(log_level=level))
    assert plan.log_level == told
