"""The settings of a service, and the rules by which they are filled."""

from __future__ import annotations

from enum import StrEnum
from ipaddress import ip_network
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import pydantic_settings
from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    PydanticUserError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import PydanticBaseSettingsSource, SettingsConfigDict

from sturdyapi.exceptions import SettingsError

from .expectations import Expected
from .failing_start import report_failing_start
from .faults import Fault, refusal
from .report import settings_error
from .secrecy import PLACEHOLDER_LEFT, placeholders_in, shown
from .sources import find_files, lenient, remember_file, with_lenient_sources
from .template import env_example
from .variables import refuse_reserved_variables

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["BaseSettings", "Environment", "LogFormat", "LogLevel"]

LogLevel = Literal["TRACE", "DEBUG", "INFO", "SUCCESS", "WARNING", "ERROR", "CRITICAL"]
LogFormat = Literal["json", "ecs", "text"]


_SHUTDOWN_DELAY_SECONDS = 5.0
"""Time in which an orchestrator or a load balancer notices that a service is not ready."""


class Environment(StrEnum):
    """Where a service runs; decides what is shown, to whom, and how strict the settings are."""

    DEVELOPMENT = "development"
    TESTING = "testing"
    STAGING = "staging"
    PRODUCTION = "production"


def _upper(value: Any) -> Any:
    return value.strip().upper() if isinstance(value, str) else value


def _default_log_level(settings: dict[str, Any]) -> LogLevel:
    return "DEBUG" if settings["environment"] == Environment.DEVELOPMENT else "INFO"


def _default_log_format(settings: dict[str, Any]) -> LogFormat:
    return "text" if settings["environment"] == Environment.DEVELOPMENT else "json"


def _default_shutdown_delay_seconds(settings: dict[str, Any]) -> float:
    is_behind_balancer = settings["environment"] in (Environment.STAGING, Environment.PRODUCTION)
    return _SHUTDOWN_DELAY_SECONDS if is_behind_balancer else 0.0


def _proxy(value: str) -> str:
    if value != "*":
        try:
            ip_network(value, strict=False)
        except ValueError:
            raise refusal("is neither an address nor a network") from None
    return value


def _host(value: str) -> str:
    if "*" in value.removeprefix("*.") and value != "*":
        raise refusal("has a * elsewhere than at its start")
    if "/" in value:
        raise refusal("is a URL, not a host")
    return value.lower()


def _origin(value: str) -> str:
    if value == "*":
        return value
    try:
        parts = urlsplit(value)
    except ValueError:
        raise refusal("is not an origin") from None
    # A browser compares the text: with a slash at its end an origin matches nothing.
    if not parts.netloc or f"{parts.scheme}://{parts.netloc}" != value.lower():
        raise refusal("is not an origin")
    return value.lower()


Proxy = Annotated[
    str,
    AfterValidator(_proxy),
    Expected("an IP address, a network such as 10.0.0.0/8, or * for any"),
]
Host = Annotated[
    str,
    AfterValidator(_host),
    Expected("a host such as example.com or *.example.com, or * for any"),
]
Origin = Annotated[
    str, AfterValidator(_origin), Expected("an origin such as https://example.com, or * for any")
]


class BaseSettings(pydantic_settings.BaseSettings):
    """Settings from the environment, then `.env`, then files with secrets, then the defaults below.

    `.env` is looked for beside the nearest `pyproject.toml` above the file of the class, else in
    the working directory; names in it that are no setting are left alone. It is not read in
    testing. A file with a secret has the name of its variable; the directory is `SECRETS_DIR`, else
    `/run/secrets` where that exists. An empty value counts as not set. A list is written as `a,b`
    or as JSON, a field of a nested model as `DB__URL`.

    Raises:
        SettingsError: Anything is wrong. It names every problem and no value.
        ReservedVariableError: When the class is made: a field would be filled by a variable of the
            shell, such as `PATH` or `USER`.
    """

    model_config = SettingsConfigDict(
        dotenv_filtering="only_existing",
        env_ignore_empty=True,
        env_nested_delimiter="__",
        extra="forbid",
        hide_input_in_errors=True,
        nested_model_default_partial_update=True,
    )

    environment: Environment = Field(
        default=Environment.PRODUCTION,
        validation_alias=AliasChoices("FASTAPI_ENV", "ENVIRONMENT", "environment"),
        description="Where the service runs. `fastapi dev` sets it to development.",
    )
    log_level: Annotated[LogLevel, BeforeValidator(_upper)] = Field(
        default_factory=_default_log_level,
        description="Least severe level that is logged. Default: DEBUG in development, else INFO.",
    )
    log_format: LogFormat = Field(
        default_factory=_default_log_format,
        description=(
            "Form of a log line: JSON, JSON with the field names of ECS, or text. "
            "Default: text in development, else json."
        ),
    )
    bind_host: Annotated[str, Expected("an IP address or the name of a host")] = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address that the server listens on; 0.0.0.0 for every one.",
    )
    port: int = Field(
        default=8000, ge=1, le=65535, description="TCP port that the server listens on."
    )
    workers: int | None = Field(
        default=None,
        ge=1,
        description="Number of server processes. Default: decided when the server starts.",
    )
    connection_budget: int | None = Field(
        default=None,
        ge=1,
        description=(
            "Connections that all workers together may open to one server, such as PostgreSQL; "
            "`sturdyapi run` starts no more workers than fit. Default: no limit is known."
        ),
    )
    shutdown_delay_seconds: float = Field(
        default_factory=_default_shutdown_delay_seconds,
        ge=0,
        allow_inf_nan=False,
        description=(
            "Seconds under `sturdyapi run` between readiness turning 503 and the server closing "
            "its sockets. Default: 5 in staging and production, else 0."
        ),
    )
    shutdown_grace_seconds: float = Field(
        default=20.0,
        gt=0,
        allow_inf_nan=False,
        description="Seconds that open requests get to finish when the server stops.",
    )
    trusted_proxies: list[Proxy] = Field(
        default=["127.0.0.1"],
        description="Proxies whose X-Forwarded headers are believed.",
    )
    trusted_hosts: list[Host] = Field(
        default=[],
        description="Hosts that the service answers to. Default: any.",
    )
    cors_origins: list[Origin] = Field(
        default=[],
        description="Origins whose pages may call the service from a browser. Default: none.",
    )

    def __init__(self, **values: Any) -> None:
        failure = self._fill(values)
        if failure is not None:
            # Raised here, where neither a cause nor a local variable holds a value.
            values.clear()
            raise failure

    def _fill(self, values: dict[str, Any]) -> SettingsError | None:
        files = find_files(type(self), values)
        cause = None
        try:
            super().__init__(**files.options, **values)
        except PydanticUserError:
            raise  # speaks of the class, not of its values
        except Exception as error:  # noqa: BLE001 - any of them may quote a value
            cause = error
        if cause is None and not files.problems:
            return None
        return settings_error(type(self), cause, files.problems, files.env_files)

    @classmethod
    def load(cls) -> Self:
        """Return the settings of this process.

        Raises:
            SettingsError: Anything is wrong. If nothing catches it, the process ends with the
                report alone on stderr and the exit code 78.
        """
        try:
            return cls()
        except SettingsError as error:
            report_failing_start(error)
            raise

    @classmethod
    def env_example(cls) -> str:
        """Return a template for `.env`: every setting, its meaning and its default, no secret."""
        return env_example(cls, last=BaseSettings.model_fields)

    @property
    def environment_is_set(self) -> bool:
        """Whether the environment was stated; if not, it is production."""
        return "environment" in self.model_fields_set

    @property
    def is_development(self) -> bool:
        """Whether the service runs on the machine of its developer."""
        return self.environment == Environment.DEVELOPMENT

    @property
    def is_production(self) -> bool:
        """Whether the service runs where its users are."""
        return self.environment == Environment.PRODUCTION

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[pydantic_settings.BaseSettings],  # noqa: ARG003 - part of the hook
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources, the one that wins first; a subclass may add its own."""
        files = (lenient(dotenv_settings), lenient(file_secret_settings))
        return (init_settings, lenient(env_settings), *files)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        refuse_reserved_variables(cls)
        remember_file(cls)
        hook = vars(cls).get("settings_customise_sources")
        if isinstance(hook, classmethod):
            customise = classmethod(with_lenient_sources(hook.__func__))
            cls.settings_customise_sources = customise  # type: ignore[method-assign,assignment]

    @field_validator("*", mode="before")
    @classmethod
    def _report_fault(cls, value: Any) -> Any:
        if isinstance(value, Fault):
            raise refusal(value.problem, expected=value.expected)
        return value

    @field_validator("*", mode="after")
    @classmethod
    def _refuse_placeholder(cls, value: Any, info: ValidationInfo) -> Any:
        is_serious = info.data.get("environment") in (Environment.STAGING, Environment.PRODUCTION)
        if is_serious and (paths := placeholders_in(value)):
            raise refusal(PLACEHOLDER_LEFT, expected="a secret of your own", paths=paths)
        return value

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, shown(name, value) if name else value
