"""What a request leaves behind."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

from sturdyapi import BaseSettings, create_app

if TYPE_CHECKING:
    from starlette.types import Message, Scope


async def _receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _send(_message: Message) -> None: ...


def _scope() -> Scope:
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "headers": [(b"host", b"testserver")],
    }


@pytest.mark.anyio
async def test_a_request_leaves_nothing_to_the_garbage_collector() -> None:
    """Everything that a request made is freed when it ends, without waiting for a collection."""
    app = create_app(BaseSettings(environment="testing"), logs=False)

    @app.get("/")
    async def read() -> str:
        return "ok"

    await app(_scope(), _receive, _send)
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            await app(_scope(), _receive, _send)
        assert gc.collect() == 0
    finally:
        gc.enable()
