"""The service that is run, stopped and restarted by the tests; started as `service:app`."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import APIRouter, FastAPI, Request, WebSocket
from fastapi.responses import StreamingResponse
from loguru import logger

from sturdyapi import BackgroundTasks, create_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PARTS = 5

router = APIRouter()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Say when a worker opens and closes."""
    logger.info("opened")
    yield
    logger.info("closed")


@router.get("/echo/{text}")
async def echo(text: str) -> dict[str, str | int]:
    """Return the text, and the process that has answered."""
    return {"text": text, "pid": os.getpid()}


@router.post("/upload")
async def upload(request: Request) -> int:
    """Return the length of the body."""
    return len(await request.body())


@router.get("/stream/{text}")
async def stream(text: str, seconds: float = 0.05) -> StreamingResponse:
    """Return the text, a few times, slowly."""

    async def body() -> AsyncIterator[str]:
        logger.info("stream has begun")
        for _ in range(PARTS):
            yield f"{text}\n"
            await asyncio.sleep(seconds / PARTS)
        logger.info("stream has ended")

    return StreamingResponse(body(), media_type="text/plain")


@router.get("/slow")
async def slow(seconds: float) -> str:
    """Answer late."""
    logger.info("slow has begun")
    await asyncio.sleep(seconds)
    return "slow"


async def write(file: Path, seconds: float) -> None:
    """Write a file, late."""
    logger.info("task has begun")
    await asyncio.sleep(seconds)
    file.write_text("written")  # noqa: ASYNC240 - a few bytes
    logger.info("task has ended")


@router.post("/task")
async def task(file: Path, seconds: float, tasks: BackgroundTasks) -> str:
    """Write a file after the answer."""
    tasks.add_task(write, file, seconds)
    return "sent"


@router.get("/boom")
async def boom() -> None:
    """Fail."""
    raise RuntimeError("on purpose")


@router.get("/where/")
async def where(request: Request) -> dict[str, str | None]:
    """Return who asks, and how the service is seen from there."""
    client = request.client.host if request.client else None
    return {"client": client, "scheme": request.url.scheme, "url": str(request.url)}


@router.websocket("/where/ws")
async def where_ws(socket: WebSocket) -> None:
    """Return the same over a websocket."""
    await socket.accept()
    client = socket.client.host if socket.client else None
    await socket.send_json({"client": client, "scheme": socket.url.scheme})
    await socket.close()


@router.websocket("/listen")
async def listen(socket: WebSocket) -> None:
    """Wait for whatever the client says, until it leaves."""
    await socket.accept()
    async for _ in socket.iter_text():
        pass
    logger.info("listened")


app = create_app(routers=[router], lifespan=lifespan)
