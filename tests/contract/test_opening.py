"""The contract: what happens when an adapter is opened and closed."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from sturdyapi.exceptions import ConfigurationError, ResourceStartError
from sturdyapi.resources import open_resources
from sturdyapi.settings import BaseSettings, Dsn

from .harness import POOL_SIZE, SLACK, WAIT_SECONDS, Harness

pytestmark = pytest.mark.anyio


class Settings(BaseSettings):
    server_url: Dsn | None = None


async def _cancel_after(steps: int, task: asyncio.Task[None]) -> None:
    for _ in range(steps):
        # Longer than nothing, so that answers of the server come in between.
        await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.wait({task})


async def _open_and_close(harness: Harness) -> None:
    async with harness.opened(harness.adapter()):
        pass


async def test_closing_gives_every_connection_back(harness: Harness) -> None:
    """Three rounds of opening, use and closing leave no connection at the server."""
    before = await harness.connections_at_server()
    for _ in range(3):
        async with (
            harness.opened(harness.adapter()) as value,
            harness.hold(value),
            harness.hold(value),
        ):
            assert await harness.connections_at_server() == before + POOL_SIZE
        await harness.wait_for_connections(before)


async def test_one_adapter_may_be_opened_again(harness: Harness) -> None:
    """The adapter itself holds nothing open: one object serves three apps, one after another."""
    adapter = harness.adapter()
    before = await harness.connections_at_server()
    for _ in range(3):
        async with harness.opened(adapter) as value:
            await harness.ask(value)
    await harness.wait_for_connections(before)


@pytest.mark.parametrize("wrong", ["password", "database", "port", "host"])
async def test_a_wrong_url_is_one_sentence_without_the_password(
    harness: Harness, wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What its user can mend is told in one line, and the password nowhere."""
    urls = harness.wrong_urls()
    if wrong not in urls:
        pytest.skip(f"a URL of this server has no {wrong} that could be wrong")
    before = await harness.connections_at_server()

    with pytest.raises(ResourceStartError) as caught:
        async with harness.opened(harness.adapter(url=urls[wrong])):
            pass

    message = str(caught.value)
    shown = message + "".join(getattr(caught.value, "__notes__", ())) + caplog.text
    assert "\n" not in message
    assert caught.value.name == harness.adapter().name
    assert harness.password not in shown
    assert urls[wrong] not in shown
    await harness.wait_for_connections(before)


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 8, 13, 21])
async def test_a_cancelled_opening_leaves_nothing_open(harness: Harness, steps: int) -> None:
    """A start that is cancelled, at whatever step, leaves no connection at the server."""
    before = await harness.connections_at_server()
    task = asyncio.create_task(_open_and_close(harness))

    await _cancel_after(steps, task)

    await harness.wait_for_connections(before)


async def test_the_url_is_read_from_a_setting(harness: Harness) -> None:
    """`setting=` names the field of the settings that holds the URL."""
    adapter = harness.adapter(setting="server_url")
    settings = Settings(environment="testing", server_url=harness.url)
    async with open_resources(adapter, settings=settings) as opened:
        await harness.ask(opened[adapter])


async def test_a_setting_that_is_not_there_is_named(harness: Harness) -> None:
    """A misspelt setting is told with the one that was meant."""
    with pytest.raises(ConfigurationError, match="Did you mean 'server_url'"):
        async with open_resources(harness.adapter(setting="server_ulr"), settings=Settings()):
            pass


async def test_a_setting_without_a_value_is_named(harness: Harness) -> None:
    """An empty setting is told by the name of its variable."""
    with pytest.raises(ConfigurationError, match="SERVER_URL, which is not set"):
        async with open_resources(harness.adapter(setting="server_url"), settings=Settings()):
            pass


async def test_another_scheme_is_refused(harness: Harness) -> None:
    """A URL for some other server is told by its scheme, not by its value."""
    other = "gopher:" + harness.url.partition(":")[2]
    with pytest.raises(ConfigurationError, match="begins with 'gopher:'") as caught:
        async with harness.opened(harness.adapter(url=other)):
            pass
    assert harness.password not in str(caught.value)


async def test_closing_is_bounded_though_a_connection_is_in_use(harness: Harness) -> None:
    """Trap 65: a connection that somebody still holds does not keep an app from ending."""
    before = await harness.connections_at_server()
    adapter = harness.adapter(close_timeout_seconds=WAIT_SECONDS)
    closed, is_held = asyncio.Event(), asyncio.Event()

    async def hold_until_closed(value: object) -> None:
        async with harness.hold(value):
            is_held.set()
            await closed.wait()

    async with harness.opened(adapter) as value:
        holder = asyncio.create_task(hold_until_closed(value))
        await is_held.wait()
        started = anyio.current_time()
    took = anyio.current_time() - started
    closed.set()
    await asyncio.wait({holder})

    assert took < WAIT_SECONDS * SLACK
    await harness.wait_for_connections(before)
    if not holder.cancelled():
        holder.exception()
