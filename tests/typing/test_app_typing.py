"""What type checkers know of `create_app()`; mypy reads this file, pytest runs it."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Unpack, assert_type

import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware

import sturdyapi
from sturdyapi import BaseSettings, Cors, SturdyAPI, create_app
from sturdyapi.app import AppOptions
from sturdyapi.exceptions import ConfigurationError, SturdyError
from sturdyapi.fastapi_options import FastAPIOptions

TESTING = BaseSettings(environment="testing")


class Settings(BaseSettings):
    greeting: str = "hello"


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """Open nothing."""
    yield {}


async def lifespan_generator(_app: FastAPI) -> AsyncIterator[None]:
    """Open nothing, as FastAPI's older form."""
    yield


async def refuse(_request: Request, _error: Any) -> Response:
    """Answer an error."""
    return Response(status_code=400)


def test_the_result_is_a_sturdyapi_app() -> None:
    """`create_app()` gives a `SturdyAPI`, which is a `FastAPI` to everyone who asks for one."""
    app = create_app(TESTING, logs=False)

    assert_type(app, SturdyAPI)
    as_fastapi: FastAPI = app
    assert as_fastapi is app


def test_settings_are_a_class_or_an_object() -> None:
    """Both forms are known to type checkers; the loaded settings are at least `BaseSettings`."""
    by_class = create_app(Settings, logs=False)
    by_object = create_app(Settings(environment="testing"), logs=False)

    assert_type(by_class.settings, BaseSettings)
    assert isinstance(by_class.settings, Settings)
    assert isinstance(by_object.settings, Settings)


def test_settings_of_another_kind_are_an_error() -> None:
    """Type checkers refuse what is no settings class, and so does the call."""
    with pytest.raises((SturdyError, TypeError, AttributeError)):
        create_app("settings")  # type: ignore[arg-type]


def test_every_keyword_of_ours_is_typed() -> None:
    """The keywords of the table in the reference, each with a value of its type."""
    child = FastAPI()
    app = create_app(
        TESTING,
        routers=[APIRouter()],
        lifespan=[lifespan, lifespan_generator, child],
        docs=Depends(lambda: None),
        errors="problem",
        wire="sturdy",
        health="/health",
        request_id_header="X-Request-ID",
        security_headers=True,
        cors=Cors(origins=["https://app.example.com"]),
        logs=False,
        watch_blocking_seconds=0.05,
        threads=40,
        max_body_size=1024,
        fast=True,
    )

    assert_type(app, SturdyAPI)


def test_every_keyword_of_ours_can_be_switched_off() -> None:
    """`None`, `False` and the other literals are of the right type as well."""
    app = create_app(
        TESTING,
        lifespan=None,
        docs=False,
        errors="fastapi",
        wire="fastapi",
        health=None,
        request_id_header=None,
        security_headers=False,
        cors=None,
        logs=False,
        watch_blocking_seconds=None,
        threads=None,
        max_body_size=None,
        fast=False,
    )

    assert_type(app, SturdyAPI)


def test_fastapis_keywords_are_typed() -> None:
    """FastAPI's own keywords are completed and checked, next to ours."""
    app = create_app(
        TESTING,
        logs=False,
        lifespan=lifespan,
        cors=["https://app.example.com"],
        title="Orders",
        version="1.2.3",
        description="Orders of the shop.",
        debug=False,
        dependencies=[Depends(lambda: None)],
        default_response_class=JSONResponse,
        middleware=[Middleware(GZipMiddleware, minimum_size=1000)],
        exception_handlers={404: refuse, ValueError: refuse},
        responses={404: {"description": "No such order"}},
        openapi_tags=[{"name": "orders"}],
        swagger_ui_parameters={"deepLinking": False},
        servers=[{"url": "https://api.example.com"}],
        redirect_slashes=False,
        on_startup=[lambda: None],
    )

    assert_type(app, SturdyAPI)
    assert (app.title, app.version) == ("Orders", "1.2.3")


def test_a_literal_that_is_not_known_is_an_error() -> None:
    """Type checkers see a wrong `errors=` or `wire=` before the app is run."""
    with pytest.raises(ConfigurationError):
        create_app(TESTING, errors="problems")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError):
        create_app(TESTING, wire="stock")  # type: ignore[arg-type]


def test_a_keyword_that_is_not_known_is_an_error() -> None:
    """Type checkers see a keyword that neither we nor FastAPI have."""
    with pytest.raises(TypeError):
        create_app(TESTING, logs=False, titel="Orders")  # type: ignore[call-arg]


def test_every_keyword_of_the_installed_fastapi_is_typed() -> None:
    """A keyword that a newer FastAPI has, and `FastAPIOptions` has not, fails this test."""
    stock = set(inspect.signature(FastAPI).parameters)

    assert set(AppOptions.__annotations__) >= stock
    assert set(FastAPIOptions.__annotations__) <= stock - {"lifespan", "max_body_size"}


def test_no_keyword_is_required() -> None:
    """Every keyword may be left out."""
    assert AppOptions.__required_keys__ == frozenset()


def test_the_package_exports_what_it_names() -> None:
    """Each name of `sturdyapi.__all__` can be imported, and each lazy name is listed."""
    assert {name for name in sturdyapi.__all__ if not hasattr(sturdyapi, name)} == set()
    assert set(sturdyapi.__all__) <= set(dir(sturdyapi))


def test_options_can_be_passed_on() -> None:
    """A company's own `create_app` takes and passes on the same keywords, fully typed."""

    def create_company_app(**options: Unpack[AppOptions]) -> SturdyAPI:
        options.setdefault("logs", False)
        options.setdefault("title", "Company")
        return create_app(TESTING, **options)

    assert create_company_app().title == "Company"
    assert create_company_app(title="Own").title == "Own"
