"""Waiting for what nobody announces."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

TIMEOUT_SECONDS = 30.0
"""Longest wait for anything that has no limit of its own."""


async def eventually(
    condition: Callable[[], Awaitable[object]], *, timeout_seconds: float = TIMEOUT_SECONDS
) -> float:
    """Ask until the answer is true, and return how many seconds that took.

    Raises:
        TimeoutError: It did not become true.
    """
    started = time.monotonic()
    with anyio.fail_after(timeout_seconds):
        while not await condition():  # noqa: ASYNC110 - what is waited for sets no event
            await anyio.sleep(0.02)
    return time.monotonic() - started


def until(condition: Callable[[], object], *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
    """Like `eventually`, for a test that is not async."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.02)
