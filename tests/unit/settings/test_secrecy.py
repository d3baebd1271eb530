"""Which values are secret, and which of them are placeholders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel, Field, PostgresDsn, Secret, SecretBytes, SecretStr

from sturdyapi.settings import BaseSettings, Dsn, looks_secret, secret_values
from sturdyapi.settings.secrecy import is_placeholder

if TYPE_CHECKING:
    from collections.abc import Callable

    SetEnv = Callable[..., None]
    ReportOf = Callable[..., dict[str, str]]


class Smtp(BaseModel):
    password: SecretStr
    user: str = "mailer-account"


class Settings(BaseSettings):
    database_url: Dsn
    old_url: PostgresDsn
    hidden_url: SecretStr
    api_key: SecretStr
    short: SecretStr
    raw: SecretBytes
    wrapped: Secret[str]
    smtp: Smtp
    others: list[SecretStr]
    by_name: dict[str, SecretStr]


def test_secret_values_are_found_everywhere() -> None:
    """The values to redact are those of every secret type, nested ones too, the longest first."""
    settings = Settings(
        environment="development",
        database_url="postgresql://app:dsn%2Fpassword@db/shop",
        old_url="postgresql://app:old-password@db/shop",
        hidden_url="amqp://app:hidden-password@queue",
        api_key="the-api-key",
        short="1234567",
        raw=b"raw-bytes",
        wrapped="wrapped-secret",
        smtp={"password": "smtp-password"},
        others=["first-of-list"],
        by_name={"key": "from-a-dict"},
    )
    found = secret_values(settings)
    assert set(found) == {
        "dsn%2Fpassword",
        "dsn/password",
        "old-password",
        "amqp://app:hidden-password@queue",
        "hidden-password",
        "the-api-key",
        "raw-bytes",
        "wrapped-secret",
        "smtp-password",
        "first-of-list",
        "from-a-dict",
    }
    assert [len(text) for text in found] == sorted(map(len, found), reverse=True)


@pytest.mark.parametrize(
    "name", ["password", "smtp_password", "API_KEY", "secret_key", "token", "aws_secret", "db_pwd"]
)
def test_names_that_promise_a_secret(name: str) -> None:
    """A name tells that its value is secret."""
    assert looks_secret(name)


@pytest.mark.parametrize(
    "name", ["port", "keyboard", "author", "secretary", "primary_key", "passage"]
)
def test_names_that_promise_no_secret(name: str) -> None:
    """A name that only contains the letters of such a word tells nothing."""
    assert not looks_secret(name)


PLACEHOLDERS = """\
changeme change-me CHANGE_ME changethis change-this-secret replace-me secret SECRET password
Password123 secret-key my-secret supersecret xxx XXXXXXXX *** ... your-key-here YOUR_API_KEY
yourpassword <key> <your-token> ${SECRET} {{secret}} %SECRET% example todo TBD placeholder none
insert-token-here put_your_key_here""".split()


@pytest.mark.parametrize("text", PLACEHOLDERS)
def test_placeholders(text: str) -> None:
    """What an example puts where a secret belongs is known."""
    assert is_placeholder(text)


@pytest.mark.parametrize(
    "text",
    ["", "hunter2", "7f3a9c", "exchange-rate-9", "yours truly", "secretariat-77", "xx", "chang3"],
)
def test_secrets_are_no_placeholders(text: str) -> None:
    """A secret that merely resembles a placeholder passes."""
    assert not is_placeholder(text)


class Guarded(BaseSettings):
    database_url: Dsn = Dsn("postgresql://app:changeme@db/shop")
    api_key: SecretStr = SecretStr("<key>")
    smtp: dict[str, Smtp] = Field(default={"main": Smtp(password=SecretStr("xxx"))})
    relay: Smtp = Smtp(password=SecretStr("todo"))


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_placeholder_is_refused_where_it_matters(report_of: ReportOf, environment: str) -> None:
    """In staging and production every placeholder is refused, those of defaults included."""
    problem = "still holds the placeholder of an example; expected a secret of your own"
    assert report_of(Guarded, environment=environment) == dict.fromkeys(
        ["DATABASE_URL", "API_KEY", "SMTP", "RELAY__PASSWORD"], problem
    )


@pytest.mark.parametrize("environment", ["development", "testing"])
def test_placeholder_is_fine_elsewhere(environment: str) -> None:
    """In development and testing a placeholder does no harm."""
    assert Guarded(environment=environment).api_key.get_secret_value() == "<key>"


def test_placeholder_is_reported_beside_other_problems(
    set_env: SetEnv, report_of: ReportOf
) -> None:
    """A placeholder does not have to wait until the port is right."""
    set_env(PORT="x")
    assert {"PORT", "API_KEY"} <= set(report_of(Guarded))
