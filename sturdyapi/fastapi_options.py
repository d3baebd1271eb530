"""The keywords of `FastAPI(...)`, for editors and type checkers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from fastapi import APIRouter, Request
    from fastapi.params import Depends
    from fastapi.routing import APIRoute
    from fastapi.telemetry import TelemetryConfig
    from starlette.middleware import Middleware
    from starlette.responses import Response
    from starlette.routing import BaseRoute

__all__ = ["FastAPIOptions"]


class FastAPIOptions(TypedDict, total=False):
    """Keywords that go through to `FastAPI`; a newer FastAPI's own are taken too."""

    callbacks: list[BaseRoute] | None
    contact: dict[str, Any] | None
    debug: bool
    default_response_class: type[Response]
    dependencies: Sequence[Depends] | None
    deprecated: bool | None
    description: str
    docs_url: str | None
    exception_handlers: (
        dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]] | None
    )
    form_limits: Mapping[str, int] | None
    generate_unique_id_function: Callable[[APIRoute], str]
    include_in_schema: bool
    license_info: dict[str, Any] | None
    middleware: Sequence[Middleware] | None
    on_shutdown: Sequence[Callable[[], Any]] | None
    on_startup: Sequence[Callable[[], Any]] | None
    openapi_external_docs: dict[str, Any] | None
    openapi_tags: list[dict[str, Any]] | None
    openapi_url: str | None
    redirect_slashes: bool
    redoc_url: str | None
    responses: dict[int | str, dict[str, Any]] | None
    root_path: str
    root_path_in_servers: bool
    routes: list[BaseRoute] | None
    separate_input_output_schemas: bool
    servers: list[dict[str, Any]] | None
    strict_content_type: bool
    summary: str | None
    swagger_ui_init_oauth: dict[str, Any] | None
    swagger_ui_oauth2_redirect_url: str | None
    swagger_ui_parameters: dict[str, Any] | None
    telemetry: TelemetryConfig | None
    terms_of_service: str | None
    title: str
    version: str
    webhooks: APIRouter | None
