"""Swagger UI from files in this package, so that it works without a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from fastapi.openapi.docs import get_swagger_ui_html
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, Response
    from starlette.routing import BaseRoute

_ASSETS = Path(__file__).parent / "assets"
_SCRIPT = "swagger-ui-bundle.js"
_STYLE = "swagger-ui.css"
_ICON = "favicon-32x32.png"
_SERVED = frozenset({_SCRIPT, _STYLE, _ICON})


def use_packaged_swagger_ui(app: FastAPI) -> None:
    """Let the app's Swagger UI page load its script and style from this package.

    Replaces the page's route in place, so that the order of routes stays FastAPI's, and adds
    `<docs_url>/assets/{name}` behind them.
    """
    if not (app.openapi_url and app.docs_url):
        return
    routes = app.router.routes
    for position, route in enumerate(routes):
        if _is_fastapis(route) and route.path == app.docs_url:
            page = Route(app.docs_url, _page, include_in_schema=False, name=route.name)
            routes[position] = page
    app.router.add_route(_assets_url(app) + "/{name}", _asset, include_in_schema=False)


def _is_fastapis(route: BaseRoute) -> TypeGuard[Route]:
    """Tell a route that `FastAPI.setup` made from one that the user passed as `routes=`."""
    return isinstance(route, Route) and route.endpoint.__module__ == "fastapi.applications"


def _assets_url(app: FastAPI) -> str:
    return (app.docs_url or "").rstrip("/") + "/assets"


async def _page(request: Request) -> HTMLResponse:
    app: FastAPI = request.app
    if not app.openapi_url:
        raise HTTPException(404)
    root = request.scope.get("root_path", "").rstrip("/")
    assets = root + _assets_url(app)
    redirect = app.swagger_ui_oauth2_redirect_url
    return get_swagger_ui_html(
        openapi_url=f"{root}{app.openapi_url}",
        title=f"{app.title} - Swagger UI",
        swagger_js_url=f"{assets}/{_SCRIPT}",
        swagger_css_url=f"{assets}/{_STYLE}",
        swagger_favicon_url=f"{assets}/{_ICON}",
        oauth2_redirect_url=root + redirect if redirect else None,
        init_oauth=app.swagger_ui_init_oauth,
        swagger_ui_parameters=app.swagger_ui_parameters,
    )


async def _asset(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _SERVED:
        raise HTTPException(404)
    # Revalidated by its ETag: an upgrade of the package must not be hidden by a cache.
    return FileResponse(_ASSETS / name, headers={"Cache-Control": "no-cache"})
