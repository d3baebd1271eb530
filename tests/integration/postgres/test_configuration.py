"""Keywords, URLs, and what a start that fails says."""

from __future__ import annotations

from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest

from sturdyapi.contrib.postgres import Postgres
from sturdyapi.exceptions import ConfigurationError, ResourceStartError, ResourceTimeoutError
from sturdyapi.resources import open_resources

URL = "postgresql://app@127.0.0.1:1/shop"
CANARY = "hunter2canary"


async def _failure(error: type[Exception] = ResourceStartError, **options: Any) -> str:
    with pytest.raises(error) as caught:
        await _open(**options)
    assert "\n" not in str(caught.value)
    assert CANARY not in f"{caught.value} {caught.value!r}"
    assert caught.value.__suppress_context__ or caught.value.__cause__ is not None
    return str(caught.value)


async def _open(**options: Any) -> None:
    pg = Postgres(**options)
    async with open_resources(pg):
        pass


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"command_timeout": 5}, "Use statement_timeout_seconds="),
        ({"dsn": URL}, "Use setting= or url="),
        ({"record_class": asyncpg.Record}, "Use sturdyapi.contrib.postgres.Row"),
        ({"statment_cache_size": 0}, "Did you mean 'statement_cache_size'"),
        ({"max_size": 0}, "max_size=0"),
        ({"min_size": 6}, "min_size=6, max_size=5"),
        ({"min_size": -1}, "min_size=-1"),
        ({"max_size": True}, "max_size=True"),
        ({"acquire_timeout_seconds": 0}, "acquire_timeout_seconds is 0"),
        ({"statement_timeout_seconds": None}, "statement_timeout_seconds is None"),
        ({"setting": "database_url"}, "It was given both"),
    ],
)
def test_a_wrong_keyword_is_refused(options: dict[str, Any], message: str) -> None:
    """A keyword that is not known, or not allowed, is told with the one to use."""
    with pytest.raises(ConfigurationError, match=message):
        Postgres(**{"url": URL, **options})


@pytest.mark.anyio
async def test_a_url_for_sqlalchemy_is_explained() -> None:
    """A URL that names a driver is told to leave it out."""
    url = f"postgresql+asyncpg://app:{CANARY}@host/shop"
    assert "leave it out" in await _failure(ConfigurationError, url=url)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://app:{CANARY}/x@host/shop",
        f"postgresql://app:{CANARY}#x@host/shop",
        f"postgresql://app:{CANARY}?x@host/shop",
        f"postgresql://app:{CANARY}@host:x/shop",
        f"postgresql://app:{CANARY}@[host/shop",
        f"postgresql://app:x@{CANARY}@host:1:2/shop",
        f"postgresql://app:x@{CANARY}/x@127.0.0.1/shop",
    ],
)
async def test_an_unreadable_url_does_not_show(url: str) -> None:
    """A password that is not percent-encoded is told as such, and not shown."""
    assert "percent-encoded" in await _failure(url=url, timeout_seconds=2)


@pytest.mark.anyio
async def test_a_server_that_is_not_there_is_named() -> None:
    """A start that finds no server tells the address, and where it is from."""
    assert await _failure(url=URL) == (
        "Resource 'postgres' can't be opened: the server at 127.0.0.1:1 refuses connections. "
        "Start it, or correct url=."
    )


@pytest.mark.anyio
async def test_an_unknown_host_is_named() -> None:
    """A host that no name server knows is told as such."""
    assert "the host of the server at nowhere.invalid is not known" in await _failure(
        url="postgresql://nowhere.invalid/shop"
    )


@pytest.mark.anyio
async def test_a_socket_that_is_not_there_is_named() -> None:
    """A server on a Unix socket is named by its path."""
    message = await _failure(url="postgresql:///shop?host=/nonexistent")
    assert "the server at /nonexistent" in message


@pytest.mark.anyio
async def test_a_server_without_tls_is_told(postgres_url: str) -> None:
    """A server that can't encrypt, though the URL asks for it, is told as such."""
    message = await _failure(url=f"{postgres_url}?sslmode=require")
    assert "has no TLS, or is no PostgreSQL. Correct sslmode=" in message


@pytest.mark.anyio
async def test_a_wrong_parameter_is_told(postgres_url: str) -> None:
    """What asyncpg says of a parameter of the URL is passed on."""
    message = await _failure(url=f"{postgres_url}?sslmode=maybe")
    assert "`sslmode` parameter must be one of" in message


@pytest.mark.anyio
async def test_an_error_of_the_users_init_stays_their_own(postgres_url: str) -> None:
    """An error that `init` raises is not taken for one of the connection."""

    async def init(connection: Any) -> None:
        await connection.set_type_codec("missing", encoder=str, decoder=str)

    with pytest.raises(ValueError, match="missing"):
        await _open(url=postgres_url, init=init)


@pytest.mark.anyio
async def test_a_slow_init_is_named(postgres_url: str) -> None:
    """An `init` that takes too long ends the start, and is named."""

    async def init(connection: Any) -> None:
        await connection.execute("select pg_sleep(30)")

    assert "its init= did not answer" in await _failure(
        ResourceTimeoutError, url=postgres_url, init=init, timeout_seconds=1
    )


@pytest.mark.anyio
async def test_asyncpgs_keywords_are_passed_on(postgres_url: str) -> None:
    """`init`, `setup`, `server_settings` and the caches are asyncpg's own."""
    called = []

    async def init(connection: Any) -> None:
        called.append("init")
        await connection.reset_type_codec("jsonb", schema="pg_catalog")

    async def setup(_connection: Any) -> None:
        called.append("setup")

    pg = Postgres(
        url=postgres_url,
        init=init,
        setup=setup,
        server_settings={"jit": "off"},
        statement_cache_size=0,
        max_inactive_connection_lifetime=5,
    )
    async with open_resources(pg) as opened, opened[pg].acquire() as db:
        assert await db.fetchval("show jit") == "off"
        assert await db.fetchval("""select '{"a": 1}'::jsonb""") == '{"a": 1}'
    assert called == ["init", "setup"]


@pytest.mark.anyio
async def test_the_server_can_tell_processes_apart(postgres_url: str) -> None:
    """`application_name` has the process and the host, unless the URL or a setting has another."""
    given: dict[str, Any] = {"server_settings": {"application_name": "own"}}
    for url, options, expected in [
        (postgres_url, {}, "postgres:"),
        (postgres_url, given, "own"),
        (f"{postgres_url}?application_name=other", {}, "other"),
    ]:
        pg = Postgres(url=url, **options)
        async with open_resources(pg) as opened, opened[pg].acquire() as db:
            assert (await db.fetchval("show application_name")).startswith(expected)


def test_two_adapters_need_two_names() -> None:
    """`name=` tells two databases of one app apart."""
    assert Postgres(url=URL, name="reports").name == "reports"


def test_the_password_does_not_show() -> None:
    """An adapter that is printed shows its name only."""
    assert CANARY not in repr(Postgres(url=f"postgresql://app:{CANARY}@host/shop"))
