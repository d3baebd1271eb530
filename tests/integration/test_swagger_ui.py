"""Swagger UI in a real browser that can reach nothing but the service."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from threading import Thread
from typing import TYPE_CHECKING, Annotated

import pytest
import uvicorn
from fastapi import Depends, FastAPI
from fastapi.security import OAuth2PasswordBearer

from sturdyapi import BaseModel, BaseSettings, create_app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from starlette.types import ASGIApp, Receive, Scope, Send

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
DEADLINE_SECONDS = 60

pytestmark = [
    pytest.mark.heavy,
    # In CI a missing browser is a failure: `make test-all` installs one.
    pytest.mark.skipif(
        BROWSER is None and "CI" not in os.environ,
        reason="no browser here; apt-get install chromium",
    ),
]


BEARER = OAuth2PasswordBearer(tokenUrl="token", auto_error=False)


class Order(BaseModel):
    order_id: int
    total: float


def _api(**options: object) -> FastAPI:
    app = create_app(
        BaseSettings(environment="production"),
        logs=False,
        title="Orders of the shop",
        **options,  # type: ignore[arg-type]
    )

    @app.post("/orders/{order_id}", tags=["orders"])
    async def change(order_id: int, order: Order, token: Annotated[str, Depends(BEARER)]) -> Order:
        return order

    return app


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Serve an app from a thread, and return its address."""
    running: list[tuple[uvicorn.Server, Thread]] = []

    def start(app: ASGIApp) -> str:
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
        thread = Thread(target=server.run)
        thread.start()
        running.append((server, thread))
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        host, port = server.servers[0].sockets[0].getsockname()
        return f"http://{host}:{port}"

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join(DEADLINE_SECONDS)


@pytest.fixture
def page_of(tmp_path: Path) -> Callable[[str], str]:
    """Show an address in the browser, and return the page when its scripts have run."""

    def show(url: str) -> str:
        command = [
            str(BROWSER),
            "--headless",
            "--no-sandbox",  # the browser refuses to run as root with it
            "--disable-gpu",
            "--disable-dev-shm-usage",
            f"--user-data-dir={tmp_path}",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            "--virtual-time-budget=20000",
            "--window-size=1200,900",
            f"--screenshot={tmp_path / 'page.png'}",
            "--dump-dom",
            url,
        ]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return show


def test_swagger_ui_renders_without_a_network(
    serve: Callable[..., str], page_of: Callable[[str], str]
) -> None:
    """The page shows title, operations, models and the login button from packaged files."""
    page = page_of(serve(_api(docs=True)) + "/docs")

    assert "Orders of the shop" in page
    assert 'data-path="/orders/{order_id}"' in page
    assert "ValidationProblem" in page
    assert "Authorize" in page
    assert "Failed to load API definition" not in page


def test_swagger_ui_renders_behind_a_proxy(
    serve: Callable[..., str], page_of: Callable[[str], str]
) -> None:
    """Trap 25: so it does under the prefix of a proxy."""
    app = _api(docs=True)

    async def behind_a_proxy(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "root_path": "/api/v1"}, receive, send)

    page = page_of(serve(behind_a_proxy) + "/api/v1/docs")

    assert 'data-path="/orders/{order_id}"' in page


def test_swagger_ui_of_a_mounted_app_renders(
    serve: Callable[..., str], page_of: Callable[[str], str]
) -> None:
    """So does the page of a mounted app whose author opened it."""
    app = create_app(BaseSettings(environment="production"), logs=False)
    app.mount("/shop", _api(docs=True))

    page = page_of(serve(app) + "/shop/docs")

    assert 'data-path="/orders/{order_id}"' in page


def test_a_closed_page_shows_nothing(
    serve: Callable[..., str], page_of: Callable[[str], str]
) -> None:
    """In production a browser sees the problem of an unknown path."""
    page = page_of(serve(_api()) + "/docs")

    assert "orders" not in page.lower()
    assert "Not Found" in page
