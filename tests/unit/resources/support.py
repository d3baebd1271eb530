"""What the tests of resources share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import anyio

from sturdyapi.app import SturdyAPI, create_app
from sturdyapi.resources import Resource, open_resources, resource
from sturdyapi.settings import BaseSettings


def make_app(*resources: Resource[Any], environment: str = "testing", **options: Any) -> SturdyAPI:
    """Make an app that leaves the process's logging alone."""
    settings = BaseSettings(environment=environment)
    return create_app(settings, resources=resources, logs=False, **options)


class Journal:
    """Writes down what its resources do.

    Attributes:
        hanging: Set when a resource has begun to hang.
        freed: Ends what ignores its cancellation.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.hanging = asyncio.Event()
        self.freed = asyncio.Event()

    def thing(
        self,
        name: str,
        *,
        opening: BaseException | None = None,
        closing: BaseException | None = None,
        hangs: bool = False,
        hangs_closing: bool = False,
        needs: Sequence[Resource[Any]] = (),
        timeout_seconds: float = 60,
        close_timeout_seconds: float = 60,
    ) -> Resource[str]:
        """Make a resource whose value is its name, which may fail or hang at either end."""

        @resource(
            name=name,
            needs=needs,
            timeout_seconds=timeout_seconds,
            close_timeout_seconds=close_timeout_seconds,
        )
        async def thing() -> AsyncIterator[str]:
            if hangs:
                await self._hang(f"undo {name}")
            if opening is not None:
                raise opening
            self.lines.append(f"open {name}")
            yield name
            await asyncio.sleep(0)
            if hangs_closing:
                await self._hang(f"cut {name}")
            self.lines.append(f"close {name}")
            if closing is not None:
                raise closing

        return thing

    async def _hang(self, when_cancelled: str) -> None:
        self.hanging.set()
        try:
            await asyncio.Event().wait()
        finally:
            # Undoing awaits something, too.
            await asyncio.sleep(0)
            self.lines.append(when_cancelled)

    def stubborn(
        self, name: str = "stubborn", *, at: str, timeout_seconds: float = 60
    ) -> Resource[str]:
        """Make a resource that ignores its cancellation until it is freed."""

        @resource(name=name, timeout_seconds=timeout_seconds, close_timeout_seconds=0.01)
        async def thing() -> AsyncIterator[str]:
            if at == "opening":
                await self._ignore()
            self.lines.append(f"open {name}")
            yield name
            if at == "closing":
                await self._ignore()
            self.lines.append(f"close {name}")

        return thing

    async def _ignore(self) -> None:
        self.hanging.set()
        while not self.freed.is_set():
            try:
                await self.freed.wait()
            except asyncio.CancelledError:
                self.lines.append("ignored")


async def run(*resources: Resource[Any], settings: Any = None) -> None:
    """Open resources and close them."""
    async with open_resources(*resources, settings=settings):
        pass


def fail(error: BaseException) -> None:
    """Raise an error; code may stand behind it."""
    raise error


async def until(condition: Callable[[], object]) -> None:
    """Let the other tasks go on until something is so."""
    with anyio.fail_after(30):
        while not condition():  # noqa: ASYNC110 - of things that set no event
            await asyncio.sleep(0)
