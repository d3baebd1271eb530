"""Where an adapter has its URL from, and what it says when there is none."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from pydantic import SecretStr

from sturdyapi.exceptions import ConfigurationError, OutageError
from sturdyapi.resources import Adapter, ConnectionCount, ResourceContext
from sturdyapi.settings import BaseSettings, Dsn


class Broker(Adapter[str]):
    """An adapter that connects to nothing."""

    what: ClassVar[str] = "broker"
    schemes: ClassVar[tuple[str, ...]] = ("amqp", "embedded")

    def connections(self, value: str) -> ConnectionCount:
        """Count nothing."""
        return ConnectionCount(0, 0, 1)

    def translate(self, error: BaseException) -> OutageError | None:
        """Know no error."""
        return None


class Settings(BaseSettings):
    """Settings of a service with a broker."""

    broker_url: Dsn | None = None
    broker_secret: SecretStr | None = None
    broker_plain: str = "amqp://plain"


def url(broker: Broker, settings: object = None) -> str:
    """Return the URL that a broker would connect to."""
    surroundings: Any = SimpleNamespace(settings=settings)
    return broker.url_from(ResourceContext(surroundings))


def settings(**values: Any) -> Settings:
    """Return settings of the tests."""
    return Settings(environment="testing", **values)


def refusal(make: Callable[[], object]) -> str:
    """Return what is said when something is refused."""
    with pytest.raises(ConfigurationError) as caught:
        make()
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("broker_url", {"broker_url": "amqp://user:secret@host"}),
        ("broker_secret", {"broker_secret": "amqp://user:secret@host"}),
        ("broker_plain", {"broker_plain": "AMQP://user:secret@host"}),
    ],
)
def test_the_url_is_that_of_a_setting(name: str, values: dict[str, str]) -> None:
    """`setting=` names the field that holds the URL; a secret one is read with its password."""
    found = url(Broker("broker", setting=name), settings(**values))

    assert found.lower() == "amqp://user:secret@host"


@pytest.mark.parametrize("given", ["amqp://host", "embedded:", "embedded:data"])
def test_the_url_may_be_given(given: str) -> None:
    """`url=` needs no settings."""
    assert url(Broker("broker", url=given)) == given


def test_one_source_is_enough() -> None:
    """Neither source, and both, are refused."""
    form = "Broker takes either setting=, the name of the setting that holds the URL, or url=."

    assert refusal(lambda: Broker("b")) == f"{form} It was given neither."
    assert refusal(lambda: Broker("b", url="amqp://h", setting="x")) == f"{form} It was given both."


def test_a_setting_that_is_not_set_is_named() -> None:
    """A setting without a value is told by its variable."""
    assert refusal(lambda: url(Broker("b", setting="broker_url"), settings())) == (
        "Resource 'b' reads its URL from BROKER_URL, which is not set."
    )


def test_a_setting_that_does_not_exist_is_told() -> None:
    """A wrong name is told with one that is near."""
    assert refusal(lambda: url(Broker("b", setting="broker_ulr"), settings())) == (
        "Resource 'b' reads its URL from the setting 'broker_ulr', and Settings has no such field. "
        "Did you mean 'broker_url'? Add it: broker_ulr: Dsn."
    )


def test_a_script_without_settings_is_told() -> None:
    """`open_resources()` without settings says what is missing."""
    assert refusal(lambda: url(Broker("b", setting="broker_url"))) == (
        "Resource 'b' reads its URL from the setting 'broker_url', but there are no settings. "
        "Give some: open_resources(..., settings=Settings.load())."
    )


def test_another_scheme_is_named() -> None:
    """A URL for another server is told by its scheme, and by nothing else of it."""
    broker = Broker("b", setting="broker_url")

    assert refusal(lambda: url(broker, settings(broker_url="redis://user:secret@host"))) == (
        "The URL of resource 'b' (BROKER_URL) begins with 'redis:'. "
        "Broker takes amqp: or embedded:."
    )


@pytest.mark.parametrize("value", ["hunter2", "hunter2:password@host", "embedded", ""])
def test_what_is_no_url_is_not_repeated(value: str) -> None:
    """A value without a scheme may be a secret in the wrong place: it is not shown."""
    broker = Broker("b", setting="broker_plain")
    told = "The URL of resource 'b' (BROKER_PLAIN) has no scheme. Broker takes amqp: or embedded:."

    assert refusal(lambda: url(broker, settings(broker_plain=value))) == told


def test_a_url_that_was_given_is_named_so() -> None:
    """The message tells which of the two sources it speaks of."""
    assert "(url=) has no scheme" in refusal(lambda: url(Broker("b", url="hunter2")))
