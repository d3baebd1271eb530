"""Where values come from, and which source wins."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel, Field, SecretStr
from pydantic_settings import EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from sturdyapi.settings import BaseSettings, Dsn
from sturdyapi.settings.sources import project_root

if TYPE_CHECKING:
    from collections.abc import Callable

    SetEnv = Callable[..., None]
    SettingsIn = Callable[[str], Any]
    ReportOf = Callable[..., dict[str, str]]


def test_env_file_is_found_from_the_project_root(project: Path, settings_in: SettingsIn) -> None:
    """`.env` is read from beside `pyproject.toml`, whatever the working directory is."""
    (project / ".env").write_text("NAME=from-file\n")
    assert settings_in("name: str = 'default'")().name == "from-file"


def test_env_file_of_the_working_directory_is_left_alone(
    project: Path, settings_in: SettingsIn
) -> None:
    """A `.env` in the directory where the process happens to start is not read."""
    Path(".env").write_text("NAME=elsewhere\n")
    assert settings_in("name: str = 'default'")().name == "default"


def test_env_file_without_a_project_is_that_of_the_working_directory(tmp_path: Path) -> None:
    """Where there is no `pyproject.toml`, the working directory is the project."""
    (tmp_path / ".env").write_text("PORT=81\n")
    assert BaseSettings().port == 81
    assert project_root(BaseSettings) == tmp_path


def test_env_file_named_by_the_class_starts_at_the_project_root(
    project: Path, settings_in: SettingsIn
) -> None:
    """A relative `env_file` of the class's own does not depend on the working directory."""
    (project / "local.env").write_text("PORT=81\n")
    settings_class = settings_in("model_config = SettingsConfigDict(env_file='local.env')")
    assert settings_class().port == 81


@pytest.mark.parametrize("variable", ["FASTAPI_ENV", "ENVIRONMENT"])
def test_env_file_is_not_read_in_testing(
    project: Path, settings_in: SettingsIn, set_env: SetEnv, variable: str
) -> None:
    """A test run does not see the developer's `.env`."""
    (project / ".env").write_text("PORT=81\n")
    settings_class = settings_in("pass")
    set_env(**{variable: "testing"})
    assert settings_class().port == 8000


def test_env_file_is_not_read_for_a_testing_keyword(project: Path, settings_in: SettingsIn) -> None:
    """`Settings(environment="testing")` does not see `.env` either."""
    (project / ".env").write_text("PORT=81\n")
    settings_class = settings_in("pass")
    assert settings_class(environment="testing").port == 8000


def test_env_file_given_in_the_call_is_always_read(tmp_path: Path, set_env: SetEnv) -> None:
    """A file named in the call is read in testing too."""
    (tmp_path / "given.env").write_text("PORT=81\n")
    set_env(FASTAPI_ENV="testing")
    assert BaseSettings(_env_file=tmp_path / "given.env").port == 81


def test_env_file_may_hold_names_that_are_no_settings(tmp_path: Path) -> None:
    """Names in `.env` that belong to other programs are left alone."""
    (tmp_path / ".env").write_text("COMPOSE_PROJECT_NAME=shop\nPORT=81\n")
    assert BaseSettings().port == 81


def test_env_file_states_the_environment(tmp_path: Path) -> None:
    """`.env` may state the environment."""
    (tmp_path / ".env").write_text("ENVIRONMENT=development\n")
    settings = BaseSettings()
    assert settings.is_development
    assert settings.environment_is_set


def test_env_file_environment_gives_way(tmp_path: Path, set_env: SetEnv) -> None:
    """The environment of the process beats that of `.env`, under either name."""
    (tmp_path / ".env").write_text("ENVIRONMENT=production\n")
    set_env(FASTAPI_ENV="development")
    assert BaseSettings().is_development


def test_env_file_that_contradicts_itself_is_refused(tmp_path: Path, report_of: ReportOf) -> None:
    """`.env` may not state two environments."""
    (tmp_path / ".env").write_text("FASTAPI_ENV=production\nENVIRONMENT=development\n")
    assert report_of(BaseSettings)["FASTAPI_ENV"].startswith("contradicts ENVIRONMENT")


def test_env_file_variable_is_named_in_the_report(tmp_path: Path, report_of: ReportOf) -> None:
    """A report names the variable that stands in `.env`."""
    (tmp_path / ".env").write_text("ENVIRONMENT=live\n")
    assert list(report_of(BaseSettings)) == ["ENVIRONMENT"]


def test_env_file_that_is_no_text_is_reported(tmp_path: Path, report_of: ReportOf) -> None:
    """A `.env` in another encoding is named, and what it may have held is not called missing."""

    class Settings(BaseSettings):
        api_key: SecretStr

    (tmp_path / ".env").write_bytes(b"API_KEY=\xff\xfe\n")
    report = report_of(Settings, port="x")
    assert report[".env"] == "can't be read; expected a file in utf-8 that this user may read"
    assert set(report) == {".env", "PORT"}


def test_env_file_never_reaches_the_environment(tmp_path: Path) -> None:
    """What stands in `.env` stays out of `os.environ`, and so out of child processes."""
    (tmp_path / ".env").write_text("PORT=81\n")
    before = dict(os.environ)
    assert BaseSettings().port == 81
    assert dict(os.environ) == before


def test_sources_win_in_order(tmp_path: Path, set_env: SetEnv) -> None:
    """The environment beats `.env`, which beats a file with a secret, which beats the default."""

    class Settings(BaseSettings):
        first: str = "default"
        second: str = "default"
        third: str = "default"
        fourth: str = "default"

    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for name in ("first", "second", "third"):
        (secrets / name).write_text("secrets")
    (tmp_path / ".env").write_text("FIRST=file\nSECOND=file\n")
    set_env(SECRETS_DIR=str(secrets), FIRST="environment")
    settings = Settings()
    assert (settings.first, settings.second) == ("environment", "file")
    assert (settings.third, settings.fourth) == ("secrets", "default")


@pytest.mark.parametrize("value", ["", " "])
def test_empty_secret_file_counts_as_missing(
    tmp_path: Path, set_env: SetEnv, report_of: ReportOf, value: str
) -> None:
    """An empty file with a secret is as good as none."""

    class Settings(BaseSettings):
        api_key: SecretStr

    (tmp_path / "api_key").write_text(value)
    set_env(SECRETS_DIR=str(tmp_path))
    assert report_of(Settings)["API_KEY"].startswith("is missing")


def test_secret_file_that_is_no_text_is_reported_with_the_rest(
    tmp_path: Path, set_env: SetEnv, report_of: ReportOf
) -> None:
    """A file with a secret that can't be read is one problem among the others."""

    class Settings(BaseSettings):
        api_key: SecretStr
        hosts: list[str]

    (tmp_path / "api_key").write_bytes(b"\xff\xfe")
    (tmp_path / "hosts").write_bytes(b"\xff\xfe")
    set_env(SECRETS_DIR=str(tmp_path), PORT="x")
    report = report_of(Settings)
    assert report["API_KEY"] == "is a file that can't be read; expected a readable file in UTF-8"
    assert set(report) == {"API_KEY", "HOSTS", "PORT"}


def test_secrets_dir_that_is_not_there_is_reported(
    tmp_path: Path, set_env: SetEnv, report_of: ReportOf
) -> None:
    """A directory with secrets that does not exist is a problem of its own."""
    set_env(SECRETS_DIR=str(tmp_path / "nowhere"))
    assert list(report_of(BaseSettings)) == ["SECRETS_DIR"]


def test_secrets_dir_of_the_class_is_read(tmp_path: Path) -> None:
    """The class may name the directory itself."""

    class Settings(BaseSettings):
        model_config = SettingsConfigDict(secrets_dir=tmp_path)

        api_key: SecretStr

    (tmp_path / "API_KEY").write_text("from the file\n")
    assert Settings().api_key.get_secret_value() == "from the file"


@pytest.mark.parametrize("value", ["a,b", " a , b ,", '["a", "b"]', ' ["a","b"] '])
def test_list_is_written_with_commas_or_as_json(set_env: SetEnv, value: str) -> None:
    """A list is `a,b` or JSON."""

    class Settings(BaseSettings):
        names: list[str] | None = None

    set_env(NAMES=value)
    assert Settings().names == ["a", "b"]


@pytest.mark.parametrize(("value", "numbers"), [("5", {5}), ("1,2", {1, 2}), ("[3]", {3})])
def test_list_of_one_number_is_a_list(set_env: SetEnv, value: str, numbers: set[int]) -> None:
    """A list with one item needs no comma."""

    class Settings(BaseSettings):
        ports: set[int] = Field(default=set())

    set_env(PORTS=value)
    assert Settings().ports == numbers


def test_list_that_is_bad_hides_nothing(set_env: SetEnv, report_of: ReportOf) -> None:
    """A list that can't be read is reported like every other field, beside them."""

    class Settings(BaseSettings):
        ports: list[int]
        rules: list[dict[str, int]]
        weights: dict[str, float]

    set_env(PORTS="80,http,443", RULES="a,b", WEIGHTS="heavy", PORT="x")
    assert report_of(Settings) == {
        "PORT": "is not a whole number; expected a whole number from 1 to 65535",
        "PORTS": (
            "item 2 is not a whole number; "
            "expected a list separated by commas, each item a whole number"
        ),
        "RULES": "is not a list; expected a JSON array",
        "WEIGHTS": (
            "is not a JSON object; expected a JSON object, or one variable for each of its fields"
        ),
    }


def test_list_with_broken_json_is_reported(set_env: SetEnv, report_of: ReportOf) -> None:
    """What starts like JSON and is none is not taken apart at its commas."""
    set_env(TRUSTED_HOSTS='["a", "b"')
    assert report_of(BaseSettings)["TRUSTED_HOSTS"].startswith("is not a list")


@pytest.mark.parametrize(
    ("value", "meaning"), [("", False), ("False ", False), (" true", True), ("1 ", True)]
)
def test_boolean_may_be_empty_or_padded(set_env: SetEnv, value: str, meaning: bool) -> None:
    """`DEBUG=` counts as not set, and spaces around a boolean don't matter."""

    class Settings(BaseSettings):
        verbose: bool = False

    set_env(VERBOSE=value)
    assert Settings().verbose is meaning


def test_number_may_be_padded(set_env: SetEnv) -> None:
    """Spaces around a number don't matter."""
    set_env(PORT=" 81 ", SHUTDOWN_GRACE_SECONDS=" 2.5 ")
    settings = BaseSettings()
    assert (settings.port, settings.shutdown_grace_seconds) == (81, 2.5)


class Pool(BaseModel):
    size: int = 5
    echo: bool = False
    hosts: list[str] = []


class Database(BaseModel):
    url: Dsn = Dsn("postgresql://app:default-pw@db/shop")
    pool: Pool = Pool()


class Nested(BaseSettings):
    db: Database = Database(pool=Pool(size=7))
    db_url: str = ""


def test_nested_variable_changes_its_field_only(set_env: SetEnv) -> None:
    """One nested variable leaves the rest of a default object as it was, secrets included."""
    set_env(DB__POOL__ECHO=" true ", DB__POOL__HOSTS="a,b")
    db = Nested().db
    assert db.url.get_secret_value() == "postgresql://app:default-pw@db/shop"
    assert db.pool == Pool(size=7, echo=True, hosts=["a", "b"])


def test_nested_delimiter_is_two_underscores(set_env: SetEnv) -> None:
    """`DB_URL` is a variable of its own, not a part of `db`."""
    set_env(DB_URL="sqlite:///other.db")
    settings = Nested()
    assert settings.db_url == "sqlite:///other.db"
    assert settings.db.url.host == "db"


def test_nested_json_and_variables_add_up(set_env: SetEnv) -> None:
    """A nested model may be given as JSON and amended by variables."""
    set_env(DB='{"pool": {"size": 8}}', DB__POOL__ECHO="1")
    assert Nested().db.pool == Pool(size=8, echo=True)


class Fixed(PydanticBaseSettingsSource):
    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        return {"port": 4711}


class Customised(BaseSettings):
    ports: list[int] = Field(default=[])

    @classmethod
    def settings_customise_sources(  # type: ignore[override]
        cls, settings_cls: Any, **sources: PydanticBaseSettingsSource
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        inherited = super().settings_customise_sources(settings_cls, **sources)
        return (*inherited, Fixed(settings_cls))


def test_own_source_can_be_added(set_env: SetEnv) -> None:
    """A class may add a source with the hook of pydantic-settings, and keeps the lists."""
    set_env(PORTS="1,2")
    settings = Customised()
    assert (settings.port, settings.ports) == (4711, [1, 2])


def test_own_source_may_replace_ours(set_env: SetEnv, report_of: ReportOf) -> None:
    """What the hook is given reads lists like `BaseSettings` does, and reports them all."""

    class Settings(BaseSettings):
        ports: list[int] = Field(default=[])

        @classmethod
        def settings_customise_sources(  # type: ignore[override]
            cls, _: Any, **sources: PydanticBaseSettingsSource
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return sources["init_settings"], sources["env_settings"]

    set_env(PORTS="1,x", PORT="x")
    assert set(report_of(Settings)) == {"PORT", "PORTS"}


def test_own_source_that_fails_names_no_value(set_env: SetEnv, report_of: ReportOf) -> None:
    """A source of pydantic-settings that can't decode a value is reported by its field."""

    class Settings(BaseSettings):
        ports: dict[str, int] = Field(default={})

        @classmethod
        def settings_customise_sources(  # type: ignore[override]
            cls, settings_cls: Any, **_: Any
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (type("Raw", (EnvSettingsSource,), {})(settings_cls),)

    set_env(PORTS="hunter2")
    report = report_of(Settings)
    assert report["PORTS"].startswith("can't be read by Raw; expected a JSON object")
    assert "hunter2" not in str(report)


def test_env_file_given_in_the_call_is_named_in_the_report(
    tmp_path: Path, report_of: ReportOf
) -> None:
    """A report names the variable that stands in a file named in the call."""
    file = tmp_path / "given.env"
    file.write_text("ENVIRONMENT=live\n")
    assert list(report_of(BaseSettings, _env_file=file)) == ["ENVIRONMENT"]


def test_env_file_in_another_encoding_is_reported(tmp_path: Path, report_of: ReportOf) -> None:
    """What is wrong in a file of another encoding is reported like in any other."""

    class Settings(BaseSettings):
        model_config = SettingsConfigDict(env_file_encoding="latin-1")

    (tmp_path / ".env").write_bytes("# Grüße\nPORT=x\n".encode("latin-1"))
    assert list(report_of(Settings)) == ["PORT"]


def test_project_root_of_a_module_whose_import_failed(
    project: Path, settings_in: SettingsIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A class keeps its project when its module is forgotten, as after a failed import."""
    settings_class = settings_in("pass")
    monkeypatch.delitem(sys.modules, settings_class.__module__)
    assert project_root(settings_class) == project
