"""`env_example()`: the template for `.env`."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from sturdyapi.settings import BaseSettings, Dsn

if TYPE_CHECKING:
    from collections.abc import Callable

    ReportOf = Callable[..., dict[str, str]]


class Colour(Enum):
    RED = "red"


class Pool(BaseModel):
    size: int = Field(default=5, ge=1, description="Connections that are kept open.")
    password: SecretStr
    parent: Pool | None = None


class Settings(BaseSettings):
    database_url: Dsn = Field(description="Where the orders are.")
    cache_url: Dsn = Dsn("redis://cache/0")
    queue_url: Dsn = Dsn("amqp://app:s3cret@queue")
    local_url: Dsn = Dsn("embedded:./data")
    api_key: SecretStr = SecretStr("s3cret")
    smtp_password: str = "s3cret"
    greeting: str = "it's # a 'day'"
    folder: Path = Path("/srv/data")
    colour: Colour = Colour.RED
    pause: timedelta = timedelta(minutes=1)
    names: list[str] = Field(default=["a", "b"])
    sentences: list[str] = Field(default=["a, b", "c"])
    verbose: bool = False
    limits: dict[str, int] = Field(default={"a": 1})
    made: list[str] = Field(default_factory=list)
    pool: Pool = Pool(size=7, password=SecretStr("s3cret"))


def test_template_in_full() -> None:
    """Each variable has its meaning, what it takes and its default; secrets are blank."""
    own, separator, inherited = Settings.env_example().partition("# Where the service runs.")
    assert separator
    assert (
        own
        == """\
# Copy this file to .env and fill in what is required. An empty value counts as not set. The
# environment wins over .env, which belongs in .gitignore.

# Where the orders are.
# Required. Takes a URL such as postgresql://user:password@host/name.
DATABASE_URL=

# Takes a URL such as postgresql://user:password@host/name.
CACHE_URL=redis://cache/0

# Takes a URL such as postgresql://user:password@host/name.
QUEUE_URL=

# Takes a URL such as postgresql://user:password@host/name.
LOCAL_URL=embedded:./data

# Takes a secret.
API_KEY=

# Takes text.
SMTP_PASSWORD=

# Takes text.
GREETING='it\\'s # a \\'day\\''

# Takes a path.
FOLDER=/srv/data

# Takes red.
COLOUR=red

# Takes a duration in seconds, or such as PT1H30M.
PAUSE=PT1M

# Takes a list separated by commas, each item text.
NAMES=a,b

# Takes a list separated by commas, each item text.
SENTENCES='["a, b", "c"]'

# Takes true or false.
VERBOSE=false

# Takes a JSON object, or one variable for each of its fields.
LIMITS='{"a": 1}'

# Takes a list separated by commas, each item text.
MADE=

# Connections that are kept open.
# Takes a whole number not less than 1.
POOL__SIZE=7

# Takes a secret.
POOL__PASSWORD=

# Takes a JSON object, or one variable for each of its fields.
POOL__PARENT=

"""
    )
    assert "\nPORT=8000\n" in inherited
    assert "\nLOG_LEVEL=\n" in inherited


def test_template_states_every_variable() -> None:
    """No setting is left out, under the name that it is read by."""
    lines = BaseSettings.env_example().splitlines()
    names = [line.partition("=")[0] for line in lines if line and not line.startswith("#")]
    assert names[0] == "FASTAPI_ENV"
    assert [name.lower() for name in names[1:]] == list(BaseSettings.model_fields)[1:]


def test_template_reads_back(tmp_path: Path) -> None:
    """The template, with what is required filled in, gives the defaults."""
    template = Settings.env_example().replace("DATABASE_URL=", "DATABASE_URL=sqlite://")
    (tmp_path / ".env").write_text(template)
    expected = Settings(database_url="sqlite://", _env_file=None)
    assert Settings().model_dump() == expected.model_dump()


def test_template_left_as_it_is_fails_the_start(tmp_path: Path, report_of: ReportOf) -> None:
    """A template that nobody filled in never passes: what is required is blank."""
    (tmp_path / ".env").write_text(Settings.env_example())
    assert report_of(Settings) == {
        "DATABASE_URL": "is missing; expected a URL such as postgresql://user:password@host/name"
    }


class Renamed(BaseModel):
    size: int = Field(default=5, validation_alias="poolSize")


def test_template_writes_a_nested_field_as_it_is_read(set_env: Callable[..., None]) -> None:
    """A field of a nested model that has another name outside is written by that one."""

    class Nested(BaseSettings):
        pool: Renamed = Renamed()

    assert "\nPOOL__POOLSIZE=5\n" in Nested.env_example()
    set_env(POOL__POOLSIZE="7")
    assert Nested().pool.size == 7


def test_template_keeps_the_case_of_a_class_that_minds_it(set_env: Callable[..., None]) -> None:
    """A case-sensitive class has its nested variables in their own case too."""

    class Sensitive(BaseSettings):
        model_config = SettingsConfigDict(case_sensitive=True)
        pool: Pool = Pool(password=SecretStr("s3cret"))

    assert "\npool__size=5\n" in Sensitive.env_example()
    set_env(pool__size="7")
    assert Sensitive().pool.size == 7
