"""Which variables a settings class reads."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from sturdyapi.settings import BaseSettings, Dsn
from sturdyapi.settings.vocabulary import Vocabulary, told_name


class Colour(Enum):
    RED = "red"


@dataclass
class Point:
    x: int = 0


class Limits(BaseModel):
    size: int = 5
    parent: Limits | None = None


class Open(BaseModel, extra="allow"):
    size: int = 5


class Pool(BaseModel):
    size: int = 5
    limits: Limits = Limits()
    mark: int = Field(default=1, validation_alias="low_mark")
    wait: int = Field(default=1, alias="waitSeconds")


class Settings(BaseSettings):
    database_url: Dsn
    pool: Pool = Pool()
    other: Annotated[Pool | Open | None, "either"] = None
    by_name: dict[str, Limits] = Field(default={})
    anything: Any = None
    point: Point | None = None
    names: list[str] = Field(default=[])
    colour: Colour = Colour.RED
    mode: Literal["fast", "slow"] = "fast"
    key: SecretStr = Field(default=SecretStr(""), validation_alias="SIGNING_KEY")


@pytest.mark.parametrize(
    "name",
    [
        "DATABASE_URL",
        "database_url",
        "FASTAPI_ENV",
        "ENVIRONMENT",
        "SIGNING_KEY",
        "POOL",
        "POOL__SIZE",
        "pool__Limits__Size",
        "POOL__LIMITS__PARENT__PARENT__SIZE",
        "POOL__LOW_MARK",
        "POOL__WAITSECONDS",
        "OTHER__LIMITS",
        "OTHER__WHATEVER",
        "BY_NAME__A__SIZE",
        "ANYTHING__A__B",
        "POINT__X",
        "NAMES__0",
    ],
)
def test_a_variable_that_is_read(name: str) -> None:
    """A variable is known by every name that the settings read, those of nested fields too."""
    assert Vocabulary(Settings).find(name)


@pytest.mark.parametrize(
    "name",
    [
        "DATABASE",
        "DATABASE_URL_2",
        "KEY",
        "POOL_SIZE",
        "POOL__SZIE",
        "POOL__SIZE__X",
        "POOL__MARK",
        "POOL__WAIT",
        "POOL__LIMITS__X",
        "POOL__",
        "BY_NAME__A__X",
        "PORT__X",
        "COLOUR__X",
        "MODE__X",
    ],
)
def test_a_variable_that_nothing_reads(name: str) -> None:
    """A variable that fills no field is not known, however close it comes."""
    assert Vocabulary(Settings).find(name) is None


def test_a_variable_tells_what_it_fills() -> None:
    """The field that a variable fills is found with its type."""
    assert Vocabulary(Settings).find("POOL__LIMITS__SIZE") == ("size", int)


def test_a_case_sensitive_class() -> None:
    """A case-sensitive class knows its variables in their own case only."""

    class Sensitive(BaseSettings):
        model_config = SettingsConfigDict(case_sensitive=True)
        pool: Pool = Pool()

    vocabulary = Vocabulary(Sensitive)
    assert vocabulary.find("pool__size")
    assert vocabulary.find("FASTAPI_ENV")
    assert vocabulary.find("POOL__SIZE") is None
    assert vocabulary.find("pool__SIZE") is None
    assert vocabulary.meant_by("POOL__SIZE", among=vocabulary.names) == "pool__size"


def test_a_prefix_belongs_to_the_name() -> None:
    """A class with a prefix knows its fields with it, and an alias as it stands."""

    class Prefixed(BaseSettings):
        model_config = SettingsConfigDict(env_prefix="shop_")
        pool: Pool = Pool()

    vocabulary = Vocabulary(Prefixed)
    assert vocabulary.find("SHOP_POOL__SIZE")
    assert vocabulary.find("FASTAPI_ENV")
    assert vocabulary.find("POOL__SIZE") is None
    assert vocabulary.has_prefix("Shop_Anything")
    assert not vocabulary.has_prefix("PORT")
    assert vocabulary.meant_by("PORT", among=vocabulary.names) == "SHOP_PORT"


def test_a_delimiter_that_splits_once() -> None:
    """A delimiter that splits once leaves the rest of the name whole."""

    class Split(BaseSettings):
        model_config = SettingsConfigDict(env_nested_delimiter="_", env_nested_max_split=1)
        pool: Pool = Pool()

    vocabulary = Vocabulary(Split)
    assert vocabulary.find("POOL_LOW_MARK")
    assert vocabulary.find("POOL_LIMITS_SIZE") is None


def test_without_a_delimiter_nothing_is_nested() -> None:
    """Where the class turns nesting off, only whole fields have variables."""

    class Flat(BaseSettings):
        model_config = SettingsConfigDict(env_nested_delimiter=None)
        pool: Pool = Pool()

    assert Vocabulary(Flat).find("POOL")
    assert Vocabulary(Flat).find("POOL__SIZE") is None


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("DATABSE_URL", "DATABASE_URL"),
        ("DATABASE_URI", "DATABASE_URL"),
        ("POOL__SZIE", "POOL__SIZE"),
        ("OTHER_API_KEY", None),
        ("TERM_PROGRAM", None),
        ("PROT", None),
    ],
)
def test_a_typo_is_very_close(name: str, meant: str | None) -> None:
    """Only a name that is off by a letter counts as a typo."""
    vocabulary = Vocabulary(Settings)
    assert vocabulary.meant_by(name, among=vocabulary.names) == meant


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("SHOP_PROT", "SHOP_PORT"),
        ("shop_pages", "SHOP_PAGE_SIZE"),
        ("SHOP_COLOUR", None),
        ("PROT", "SHOP_PORT"),
    ],
)
def test_a_name_resembles_another_apart_from_the_prefix(name: str, near: str | None) -> None:
    """The prefix that all names share makes none of them similar."""

    class Prefixed(BaseSettings):
        model_config = SettingsConfigDict(env_prefix="SHOP_")
        page_size: int = 50

    assert Vocabulary(Prefixed).nearest_to(name) == near


@pytest.mark.parametrize("key", ["DATABASE_URL", "port", "_X1"])
def test_a_name_can_be_printed(key: str) -> None:
    """What looks like the name of a variable is printed."""
    assert told_name(key) == key


@pytest.mark.parametrize("key", ["MIIEvQIBADANBgkqh", "postgres://u:p@h/db?x", "x" * 65, "9f3c"])
def test_what_may_be_a_piece_of_a_secret_is_not_printed(key: str) -> None:
    """A line of a key that spans several is not printed, whatever it seems to be."""
    assert told_name(key) == "a name"
