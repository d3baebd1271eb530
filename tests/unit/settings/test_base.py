"""`BaseSettings`: its own fields, its environment, and what is refused."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from sturdyapi.exceptions import ReservedVariableError, SettingsError
from sturdyapi.settings import BaseSettings, Dsn, Environment

if TYPE_CHECKING:
    from collections.abc import Callable

    SetEnv = Callable[..., None]
    ReportOf = Callable[..., dict[str, str]]


def test_environment_unset_means_production() -> None:
    """Without `FASTAPI_ENV` and `ENVIRONMENT` the environment is production, known to be unset."""
    settings = BaseSettings()
    assert settings.environment is Environment.PRODUCTION
    assert settings.is_production
    assert not settings.environment_is_set


@pytest.mark.parametrize("variable", ["FASTAPI_ENV", "ENVIRONMENT", "fastapi_env"])
def test_environment_is_read_from_either_variable(set_env: SetEnv, variable: str) -> None:
    """`FASTAPI_ENV` and `ENVIRONMENT` both state the environment."""
    set_env(**{variable: "development"})
    settings = BaseSettings()
    assert settings.is_development
    assert settings.environment_is_set


def test_environment_production_can_be_stated(set_env: SetEnv) -> None:
    """Production that was stated is told apart from production by default."""
    set_env(FASTAPI_ENV="production")
    assert BaseSettings().environment_is_set


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("prod", "production"),
        ("Production ", "production"),
        ("PRODUCTION", "production"),
        ("dev", "development"),
        ("developement", "development"),
        ("test", "testing"),
        ("stage", "staging"),
    ],
)
def test_environment_with_a_typo_is_refused(
    set_env: SetEnv, report_of: ReportOf, value: str, meant: str
) -> None:
    """A typo in the environment fails with a suggestion; it never falls back to anything."""
    set_env(FASTAPI_ENV=value)
    assert report_of(BaseSettings)["FASTAPI_ENV"] == (
        "is not one of the allowed values; expected development, testing, staging or production. "
        f"Did you mean '{meant}'?"
    )


def test_environment_report_names_the_variable_that_was_set(
    set_env: SetEnv, report_of: ReportOf
) -> None:
    """A report names the variable that the user did set."""
    set_env(ENVIRONMENT="live")
    assert "ENVIRONMENT" in report_of(BaseSettings)


def test_environment_stated_twice_alike(set_env: SetEnv) -> None:
    """`FASTAPI_ENV` and `ENVIRONMENT` may both be set if they agree."""
    set_env(FASTAPI_ENV="staging", ENVIRONMENT="staging")
    assert BaseSettings().environment == "staging"


def test_environment_contradiction_is_refused(set_env: SetEnv, report_of: ReportOf) -> None:
    """`FASTAPI_ENV` and `ENVIRONMENT` that differ are an error."""
    set_env(FASTAPI_ENV="development", ENVIRONMENT="production")
    assert report_of(BaseSettings)["FASTAPI_ENV"] == (
        "contradicts ENVIRONMENT; expected only one of them, or the same environment in each"
    )


def test_environment_keyword_beats_a_contradiction(set_env: SetEnv) -> None:
    """A test may state the environment by keyword, whatever the variables say."""
    set_env(FASTAPI_ENV="development", ENVIRONMENT="production")
    assert BaseSettings(environment="staging").environment == "staging"


def test_environment_keeps_its_variables_under_a_prefix(set_env: SetEnv) -> None:
    """A prefix renames every variable except those of the environment."""

    class Settings(BaseSettings):
        model_config = SettingsConfigDict(env_prefix="SHOP_")

    set_env(FASTAPI_ENV="staging", SHOP_PORT="81", PORT="82")
    settings = Settings()
    assert (settings.environment, settings.port) == ("staging", 81)


@pytest.mark.parametrize(
    ("environment", "level", "form"),
    [
        ("development", "DEBUG", "text"),
        ("testing", "INFO", "json"),
        ("staging", "INFO", "json"),
        ("production", "INFO", "json"),
    ],
)
def test_log_defaults_follow_the_environment(environment: str, level: str, form: str) -> None:
    """Development logs DEBUG as text, everything else INFO as JSON."""
    settings = BaseSettings(environment=environment)
    assert (settings.log_level, settings.log_format) == (level, form)


def test_log_level_takes_any_case(set_env: SetEnv) -> None:
    """The log level may be written in lower case."""
    set_env(LOG_LEVEL="warning")
    assert BaseSettings().log_level == "WARNING"


def test_log_level_unknown_is_refused(set_env: SetEnv, report_of: ReportOf) -> None:
    """An unknown log level fails the start instead of the first line."""
    set_env(LOG_LEVEL="warn")
    assert report_of(BaseSettings)["LOG_LEVEL"].endswith("Did you mean 'WARNING'?")


def test_server_defaults() -> None:
    """Without variables a service listens on the loopback address, port 8000."""
    settings = BaseSettings()
    assert (settings.bind_host, settings.port, settings.workers) == ("127.0.0.1", 8000, None)
    assert settings.shutdown_grace_seconds == 20.0
    assert settings.trusted_proxies == ["127.0.0.1"]
    assert settings.trusted_hosts == []
    assert settings.cors_origins == []


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("PORT", "0", "is out of range; expected a whole number from 1 to 65535"),
        ("PORT", "65536", "is out of range; expected a whole number from 1 to 65535"),
        ("PORT", "http", "is not a whole number; expected a whole number from 1 to 65535"),
        ("WORKERS", "0", "is out of range; expected a whole number not less than 1"),
        ("SHUTDOWN_GRACE_SECONDS", "0", "is out of range; expected a number greater than 0"),
        (
            "SHUTDOWN_GRACE_SECONDS",
            "inf",
            "is not a finite number; expected a number greater than 0",
        ),
        ("LOG_FORMAT", "yaml", "is not one of the allowed values; expected json, ecs or text"),
    ],
)
def test_server_settings_are_checked(
    set_env: SetEnv, report_of: ReportOf, variable: str, value: str, problem: str
) -> None:
    """A server setting that can't be is reported with its limits."""
    set_env(**{variable: value})
    assert report_of(BaseSettings) == {variable: problem}


@pytest.mark.parametrize("value", ["127.0.0.1", "10.0.0.0/8", "10.0.0.1/8", "::1", "fd00::/8", "*"])
def test_trusted_proxies_take_addresses_networks_and_a_star(set_env: SetEnv, value: str) -> None:
    """A trusted proxy is an address, a network, or `*` for any."""
    set_env(TRUSTED_PROXIES=value)
    assert BaseSettings().trusted_proxies == [value]


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("TRUSTED_PROXIES", "10.0.0.1,nginx", "item 2 is neither an address nor a network"),
        ("TRUSTED_HOSTS", "https://a.example", "item 1 is a URL, not a host"),
        ("TRUSTED_HOSTS", "a.*.example", "item 1 has a * elsewhere than at its start"),
        ("CORS_ORIGINS", "https://a.example/", "item 1 is not an origin"),
        ("CORS_ORIGINS", "a.example", "item 1 is not an origin"),
        ("CORS_ORIGINS", "http://[", "item 1 is not an origin"),
    ],
)
def test_network_lists_are_checked(
    set_env: SetEnv, report_of: ReportOf, variable: str, value: str, problem: str
) -> None:
    """An entry that would silently match nothing is refused."""
    set_env(**{variable: value})
    assert report_of(BaseSettings)[variable].startswith(f"{problem}; expected a list separated by")


def test_network_lists_take_patterns(set_env: SetEnv) -> None:
    """Hosts may start with a star, and origins carry a port."""
    set_env(TRUSTED_HOSTS="*.Example.com,b.example", CORS_ORIGINS="https://a.example:8443,*")
    settings = BaseSettings()
    assert settings.trusted_hosts == ["*.example.com", "b.example"]
    assert settings.cors_origins == ["https://a.example:8443", "*"]


def test_keyword_beats_the_environment(set_env: SetEnv) -> None:
    """A keyword wins over every source, so that a test can state what it needs."""
    set_env(PORT="81")
    assert BaseSettings(port=82).port == 82


def test_keyword_that_is_no_setting_is_refused(report_of: ReportOf) -> None:
    """A misspelt keyword is an error with a suggestion."""
    assert report_of(BaseSettings, wokers=3) == {
        "wokers": "is no setting; expected a field's name. Did you mean 'workers'?"
    }


def test_constructor_raises_the_same_error_as_load(set_env: SetEnv) -> None:
    """`Settings()` raises `SettingsError` like `Settings.load()`."""
    set_env(PORT="x")
    with pytest.raises(SettingsError) as direct:
        BaseSettings()
    with pytest.raises(SettingsError) as loaded:
        BaseSettings.load()
    assert direct.value.problems == loaded.value.problems


@pytest.mark.parametrize(
    "name", ["path", "home", "user", "shell", "pwd", "lang", "username", "hostname"]
)
def test_field_that_the_shell_fills_is_refused(name: str) -> None:
    """A field such as `path` is refused when the class is made, instead of filled by the shell."""
    with pytest.raises(ReservedVariableError) as caught:
        type("Settings", (BaseSettings,), {"__annotations__": {name: str}, "__module__": __name__})
    assert str(caught.value).startswith(
        f"Field '{name}' of Settings would be filled by {name.upper()}"
    )


def test_field_that_the_shell_fills_may_have_an_alias(set_env: SetEnv) -> None:
    """An alias takes such a field away from the shell, whose value it then never sees."""

    class Settings(BaseSettings):
        home: str = Field(default="/srv", validation_alias="SHOP_HOME")

    set_env(HOME="/root")
    assert Settings().home == "/srv"


def test_field_that_the_shell_fills_may_have_a_prefix() -> None:
    """A prefix takes such a field away from the shell."""

    class Settings(BaseSettings):
        model_config = SettingsConfigDict(env_prefix="SHOP_")

        user: str = "nobody"

    assert Settings().user == "nobody"


def test_field_that_the_shell_fills_by_name_beside_its_alias_is_refused() -> None:
    """An alias does not help if the field may be filled by its name as well."""
    with pytest.raises(ReservedVariableError):

        class Settings(BaseSettings):
            model_config = SettingsConfigDict(validate_by_name=True)

            home: str = Field(default="/srv", validation_alias="SHOP_HOME")


def test_every_field_has_a_description() -> None:
    """Each setting says what it means."""
    assert [
        name for name, field in BaseSettings.model_fields.items() if not field.description
    ] == []


class Mail(BaseModel):
    host: str = "localhost"
    password: SecretStr = SecretStr("inner-secret")


class Printed(BaseSettings):
    database_url: Dsn
    replica_url: str = "postgresql://app:outer-secret@replica/shop"
    smtp_password: str = "plain-secret"
    api_key: SecretStr = SecretStr("typed-secret")
    smtp: Mail = Mail()
    peers: list[str] = Field(default=["amqp://app:listed-secret@queue"])
    limits: dict[str, str] = Field(default={"token": "mapped-secret"})


def test_secrets_are_never_printed() -> None:
    """No form in which settings are printed shows a secret."""
    settings = Printed(database_url="postgresql://app:dsn-secret@db/shop")
    for text in (repr(settings), str(settings), f"{settings}"):
        assert "-secret" not in text
        assert "postgresql://app:***@db/shop" in text
    assert "dsn-secret" not in settings.model_dump_json()
    assert "dsn-secret" not in repr(settings.model_dump())


def test_secrets_survive_a_process_border() -> None:
    """Settings that are pickled for a worker process keep their secrets."""
    settings = Printed(database_url="postgresql://app:dsn-secret@db/shop")
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_import_reads_nothing_and_changes_nothing() -> None:
    """Importing the settings and making a class read and change nothing in the process."""
    code = (
        "import sys; hook = sys.excepthook\n"
        "from sturdyapi.settings import BaseSettings, Dsn\n"
        "class Settings(BaseSettings):\n    database_url: Dsn\n"
        "assert sys.excepthook is hook\n"
        "assert 'multiprocessing' not in sys.modules\n"
    )
    environment: dict[str, Any] = {"FASTAPI_ENV": "typo", "PORT": "typo"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)
