"""The report of a failing start: complete, in plain words, and without a value."""

from __future__ import annotations

import pickle
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from traceback import TracebackException
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from uuid import UUID

import pytest
from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    DirectoryPath,
    Field,
    FilePath,
    HttpUrl,
    Json,
    PostgresDsn,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import SettingsConfigDict

from sturdyapi.exceptions import SettingProblem, SettingsError
from sturdyapi.settings import BaseSettings, Dsn, Expected

if TYPE_CHECKING:
    from collections.abc import Callable

    SetEnv = Callable[..., None]
    ReportOf = Callable[..., dict[str, str]]


def failure_of(settings_class: type[BaseSettings], **values: Any) -> SettingsError:
    """Return the error that a settings class fails with."""
    with pytest.raises(SettingsError) as caught:
        settings_class(**values)
    return caught.value


def traceback_with_locals(error: SettingsError) -> str:
    """Return a traceback with the local variables of every frame but the caller's own."""
    frames = error.__traceback__.tb_next if error.__traceback__ else None
    assert frames is not None
    return "".join(TracebackException(type(error), error, frames, capture_locals=True).format())


class Shade(Enum):
    LIGHT = "light"
    DARK = "dark"


class Pool(BaseModel):
    size: int = Field(default=5, ge=1, le=50)
    name: str


def refuse_with_value(value: Any) -> Any:
    """Refuse a value and repeat it."""
    shown = value.get_secret_value() if isinstance(value, SecretStr | Dsn) else value
    raise ValueError(f"can't use {shown!r} here")


class Everything(BaseSettings):
    missing: str
    number: int
    real: float
    amount: Decimal
    flag: bool
    shade: Shade
    mode: Literal["fast", "safe"]
    numbers: list[int]
    pairs: dict[str, int]
    pool: Pool
    url: Dsn
    foreign_url: PostgresDsn
    page: HttpUrl
    key: SecretStr = Field(min_length=20)
    custom: Annotated[str, AfterValidator(refuse_with_value)]
    custom_key: Annotated[SecretStr, AfterValidator(refuse_with_value)]
    custom_url: Annotated[Dsn, AfterValidator(refuse_with_value)]
    file: FilePath
    folder: DirectoryPath
    moment: datetime
    pause: timedelta
    identity: UUID
    document: Json[list[int]]
    either: int | bool
    either_missing: int | bool
    code: str = Field(pattern=r"^[a-z]+$")
    word: str = Field(max_length=3)


CANARY = "hunter2canary"
BAD = {
    "NUMBER": CANARY,
    "REAL": CANARY,
    "AMOUNT": CANARY,
    "FLAG": CANARY,
    "SHADE": CANARY,
    "MODE": CANARY,
    "NUMBERS": f"1,{CANARY}",
    "PAIRS": f'{{"{CANARY}": "{CANARY}"}}',
    "POOL__SIZE": CANARY,
    "URL": f"postgresql://app:{CANARY}@db:{CANARY}/shop",
    "FOREIGN_URL": f"http://app:{CANARY}@db/shop",
    "PAGE": f"https://app:{CANARY}@",
    "KEY": CANARY,
    "CUSTOM": CANARY,
    "CUSTOM_KEY": CANARY,
    "CUSTOM_URL": f"postgresql://app:{CANARY}@db/shop",
    "FILE": f"/nowhere/{CANARY}",
    "FOLDER": f"/nowhere/{CANARY}",
    "MOMENT": CANARY,
    "PAUSE": CANARY,
    "IDENTITY": CANARY,
    "DOCUMENT": CANARY,
    "EITHER": CANARY,
    "CODE": f"{CANARY}!",
    "WORD": CANARY,
}
REPORT = {
    "MISSING": "is missing; expected text",
    "NUMBER": "is not a whole number; expected a whole number",
    "REAL": "is not a number; expected a number",
    "AMOUNT": "is not a number of the required form; expected a number",
    "FLAG": "is neither true nor false; expected true or false",
    "SHADE": "is not one of the allowed values; expected light or dark",
    "MODE": "is not one of the allowed values; expected fast or safe",
    "NUMBERS": (
        "item 2 is not a whole number; "
        "expected a list separated by commas, each item a whole number"
    ),
    "PAIRS": (
        "is not a whole number; expected a JSON object, or one variable for each of its fields"
    ),
    "POOL__SIZE": "is not a whole number; expected a whole number from 1 to 50",
    "POOL__NAME": "is missing; expected text",
    "URL": (
        "has a port that is not a number from 0 to 65535 (a special character in the password has "
        "to be percent-encoded); expected a URL such as postgresql://user:password@host/name"
    ),
    "FOREIGN_URL": "is not a URL of the required form; expected a URL",
    "PAGE": "is not a URL of the required form; expected a URL",
    "KEY": "is too short; expected a secret of at least 20 characters",
    "CUSTOM": "is refused by its check 'refuse_with_value'; expected text",
    "CUSTOM_KEY": "is refused by its check 'refuse_with_value'; expected a secret",
    "CUSTOM_URL": (
        "is refused by its check 'refuse_with_value'; "
        "expected a URL such as postgresql://user:password@host/name"
    ),
    "FILE": (
        "is not the path of a file that exists; expected the path of a file that exists"
    ),
    "FOLDER": (
        "is not the path of a directory that exists; expected the path of a directory that exists"
    ),
    "MOMENT": "is not a date and time; expected a date and time such as 2026-01-31T12:00:00Z",
    "PAUSE": "is not a duration; expected a duration in seconds, or such as PT1H30M",
    "IDENTITY": "is not a UUID; expected a UUID",
    "DOCUMENT": "is not JSON; expected a list separated by commas, each item a whole number",
    "EITHER": "is not valid; expected a whole number or true or false",
    "EITHER_MISSING": "is missing; expected a whole number or true or false",
    "CODE": "does not have the required form; expected text",
    "WORD": "is too long; expected text of at most 3 characters",
}  # fmt: skip


def test_report_is_complete(set_env: SetEnv, report_of: ReportOf) -> None:
    """Every problem is reported at once: which variable, what is wrong, and what is expected."""
    set_env(**BAD)
    assert report_of(Everything) == REPORT


def test_report_holds_no_value(set_env: SetEnv) -> None:
    """No value is in the error, in what it was raised from, or in the locals of its traceback."""
    set_env(**BAD)
    with pytest.raises(SettingsError) as caught:
        Everything.load()
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert CANARY not in traceback_with_locals(caught.value)
    assert CANARY not in repr(caught.value) + repr(vars(caught.value))


def test_report_holds_no_keyword() -> None:
    """A value that was given by keyword is in no local of the traceback either."""
    error = failure_of(Everything, number=CANARY)
    assert CANARY not in traceback_with_locals(error)


def test_report_in_full(set_env: SetEnv) -> None:
    """The text names the class, counts, and gives each variable a line."""

    class Settings(BaseSettings):
        api_key: SecretStr

        @model_validator(mode="after")
        def key_fits_port(self) -> Self:
            return self

    set_env(PORT="x")
    assert str(failure_of(Settings)) == (
        "Settings: 2 problems with the settings\n"
        "\n"
        "  PORT: is not a whole number; expected a whole number from 1 to 65535\n"
        "  API_KEY: is missing; expected a secret\n"
        "\n"
        "  Not checked until the above is right: key_fits_port"
    )


def test_report_survives_a_process_border(set_env: SetEnv) -> None:
    """The error can be pickled, so that a worker process can hand it on."""
    set_env(PORT="x")
    error = failure_of(BaseSettings)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


class Checked(BaseSettings):
    low: int = 1
    high: int = 2
    step: int = 1
    pool: Pool = Pool(name="main")

    @field_validator("high")
    @classmethod
    def high_is_even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("must be even.")
        return value

    @model_validator(mode="after")
    def low_is_below_high(self) -> Self:
        if self.low >= self.high:
            raise ValueError("low has to be below high")
        return self

    @model_validator(mode="after")
    def step_fits(self) -> Self:
        if self.step == 7:
            raise ValueError(f"a step of {self.step} does not fit")
        return self


def test_check_of_a_field_keeps_its_words(report_of: ReportOf) -> None:
    """A validator's own text is shown if it repeats no value."""
    assert report_of(Checked, high=5)["HIGH"] == "must be even; expected a whole number"


def test_check_of_the_whole_keeps_its_words() -> None:
    """A check of the whole model is reported under the name of the class."""
    error = failure_of(Checked, low=3)
    assert error.problems == (
        SettingProblem(
            "Checked",
            "low has to be below high",
            "settings that pass the check 'low_is_below_high'",
        ),
    )


def test_checks_behind_a_failed_one_are_named() -> None:
    """A check that did not run because another failed is named."""
    assert failure_of(Checked, low=3).skipped_checks == ("step_fits",)


def test_checks_of_the_whole_wait_for_the_fields() -> None:
    """As long as a field is wrong no check of the whole runs: the report names them all."""
    error = failure_of(Checked, low="x")
    assert error.skipped_checks == ("low_is_below_high", "step_fits")


def test_check_of_a_field_waits_for_its_type() -> None:
    """A validator that never saw the value because its type was wrong is named."""
    assert "high_is_even" in failure_of(Checked, high="x").skipped_checks


def test_check_for_placeholders_waits_for_the_environment(set_env: SetEnv) -> None:
    """Without a valid environment nobody knows whether placeholders matter: the report says so."""
    set_env(FASTAPI_ENV="live")
    assert "placeholder secrets" in failure_of(BaseSettings).skipped_checks


def test_check_before_the_fields_hides_them() -> None:
    """A check that runs before the fields leaves them unchecked, and the report says so."""

    class Settings(BaseSettings):
        @model_validator(mode="before")
        @classmethod
        def refuse(cls, _: Any) -> Any:
            raise ValueError("not today")

        @model_validator(mode="after")
        def later(self) -> Self:
            return self

    error = failure_of(Settings, port="x")
    assert [str(problem) for problem in error.problems] == [
        "Settings: not today; expected settings that pass the check 'refuse'"
    ]
    assert error.skipped_checks == ("all other settings", "later")


def test_check_that_repeats_a_value_loses_its_words(report_of: ReportOf) -> None:
    """A check of the whole that quotes a value is reported by its name alone."""
    assert report_of(Checked, step=7)["Checked"].startswith("is refused by its check 'step_fits'")


@pytest.mark.parametrize(
    ("message", "value", "is_kept"),
    [
        ("must be below 65536", "70000", True),
        ("must start with https://", "ftp://a.example", True),
        ("has no user in it", "guest", True),
        ("got 7, which is odd", "7", False),
        ("got 7, which is odd", "07", False),
        ("got 1000.0, which is odd", "1e3", False),
        ("no such host: db.example", "DB.example", False),
        ("cannot use 'ab'", "ab", False),
        ("bad credentials for hunter2", "https://app:hunter2@host/x", False),
        ("starts with hunt", "https://app:hunter2@host/x", False),
        ("", "anything", False),
    ],
)
def test_check_keeps_its_words_if_they_repeat_nothing(
    report_of: ReportOf, message: str, value: str, is_kept: bool
) -> None:
    """A validator's text passes unless it repeats the value, in whole, in part or as a number."""

    class Settings(BaseSettings):
        thing: str

        @field_validator("thing")
        @classmethod
        def refuse(cls, _: str) -> str:
            raise ValueError(message)

    shown = message if is_kept else "is refused by its check 'refuse'"
    assert report_of(Settings, thing=value)["THING"] == f"{shown}; expected text"


@pytest.mark.parametrize(
    ("message", "is_kept"),
    [
        ("is too simple", True),
        ("starts with sk-l", False),
        ("live tokens are refused", False),
    ],
)
def test_check_of_a_secret_keeps_less(report_of: ReportOf, message: str, is_kept: bool) -> None:
    """Of a secret not even a part of four signs may be repeated."""

    class Settings(BaseSettings):
        api_key: SecretStr

        @field_validator("api_key")
        @classmethod
        def refuse(cls, _: SecretStr) -> SecretStr:
            raise PydanticCustomError("weak_key", "{text}", {"text": message})

    shown = message if is_kept else "is refused by its check"
    assert report_of(Settings, api_key="sk-live-4711")["API_KEY"] == f"{shown}; expected a secret"


def test_check_with_brackets_prints_in_every_terminal(report_of: ReportOf) -> None:
    """Brackets, which some terminals take for markup, become parentheses."""

    class Settings(BaseSettings):
        thing: Annotated[str, Expected("one of [/a] and [/b]")]

        @field_validator("thing")
        @classmethod
        def refuse(cls, _: str) -> str:
            raise ValueError("needs [/red]\n  brackets")

    assert report_of(Settings, thing="x")["THING"] == (
        "needs (/red) brackets; expected one of (/a) and (/b)"
    )


def test_check_that_breaks_names_the_line_and_no_value(set_env: SetEnv) -> None:
    """A validator that raises something else is named by its line; the text of its error is not."""

    class Settings(BaseSettings):
        colour: str

        @field_validator("colour")
        @classmethod
        def look_up(cls, value: str) -> str:
            return {"red": "#f00"}[value]

    set_env(COLOUR=CANARY)
    error = failure_of(Settings)
    assert error.problems[0].problem.startswith("KeyError in look_up (test_report.py, line ")
    assert error.skipped_checks == ("all other settings",)
    assert CANARY not in str(error)


def test_names_follow_prefix_and_alias(report_of: ReportOf) -> None:
    """A report names variables as the user has to write them."""

    class Settings(BaseSettings):
        model_config = SettingsConfigDict(env_prefix="shop_")

        plain: int
        aliased: int = Field(validation_alias="THE_ALIAS")
        chosen: int = Field(validation_alias=AliasChoices("FIRST", "SECOND"))
        pool: Pool

    assert set(report_of(Settings)) == {"SHOP_PLAIN", "THE_ALIAS", "FIRST", "SHOP_POOL__NAME"}


def test_names_keep_their_case_where_it_matters(report_of: ReportOf) -> None:
    """A case-sensitive class is reported in its own case."""

    class Settings(BaseSettings):
        model_config = SettingsConfigDict(case_sensitive=True)

        Plain: int
        pool: Pool

    assert set(report_of(Settings)) == {"Plain", "pool__name"}


def test_names_say_which_of_two_was_set(set_env: SetEnv, report_of: ReportOf) -> None:
    """Of several variables the report names the one that was set."""

    class Settings(BaseSettings):
        chosen: int = Field(validation_alias=AliasChoices("FIRST", "SECOND"))

    set_env(SECOND="x")
    assert list(report_of(Settings)) == ["SECOND"]


def test_names_of_a_nested_model_that_is_missing(report_of: ReportOf) -> None:
    """If nothing of a nested model is set, what it needs is reported one by one."""

    class Inner(BaseModel):
        url: Dsn
        pool: Pool

    class Settings(BaseSettings):
        db: Inner
        optional: Inner | None = None

    assert set(report_of(Settings)) == {"DB__URL", "DB__POOL__NAME"}


def test_names_inside_a_list_are_told_by_position(set_env: SetEnv, report_of: ReportOf) -> None:
    """A problem inside a list of objects says where it is."""

    class Settings(BaseSettings):
        pools: list[Pool]

    set_env(POOLS='[{"name": "a"}, {"name": "b", "size": "x"}]')
    assert report_of(Settings)["POOLS"].startswith("item 2 size is not a whole number")


def test_settings_inside_settings_report_their_own(report_of: ReportOf) -> None:
    """Settings that are a field of other settings add their problems to the report."""

    class Inner(BaseSettings):
        api_key: SecretStr

    class Settings(BaseSettings):
        inner: Inner = Field(default_factory=dict, validate_default=True)

    assert "API_KEY" in report_of(Settings)


def test_model_error_of_a_nested_model_is_reported(set_env: SetEnv, report_of: ReportOf) -> None:
    """A check of a nested model is reported under the variable of the model."""

    class Inner(BaseModel):
        low: int = 1

        @model_validator(mode="after")
        def fits(self) -> Self:
            raise ValueError("does not fit")

    class Settings(BaseSettings):
        inner: Inner

    set_env(INNER__LOW="5")
    assert report_of(Settings)["INNER"].startswith("does not fit; expected a JSON object")


def test_expected_words_of_the_field(report_of: ReportOf) -> None:
    """`Expected` says in words what a type can't."""

    class Settings(BaseSettings):
        colour: Annotated[str, Expected("a colour such as #f00")]
        home_folder: Path

    assert report_of(Settings) == {
        "COLOUR": "is missing; expected a colour such as #f00",
        "HOME_FOLDER": "is missing; expected a path",
    }
