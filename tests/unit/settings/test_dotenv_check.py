"""What is wrong with `.env.example`, `.env` and the variables of the process."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydantic_settings
import pytest
from pydantic import BaseModel, Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from sturdyapi.settings import BaseSettings, Dsn
from sturdyapi.settings.dotenv_check import EnvCheck, check_env_files
from sturdyapi.settings.example_file import ExampleFile

if TYPE_CHECKING:
    from collections.abc import Callable

    SetEnv = Callable[..., None]
    Check = Callable[..., list[str]]

GIT = shutil.which("git") or "git"
UNLISTED = "remove it, or list it below '# For other programs' in .env.example"
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
needs_permissions = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything"
)


class Smtp(BaseModel):
    password: SecretStr = SecretStr("hunter2")
    user: str = "mailer"


class Settings(BaseSettings):
    database_url: Dsn = Dsn("embedded:")
    api_key: SecretStr = SecretStr("hunter2")
    keys: list[SecretStr] = Field(default=[])
    signing_key: str = ""
    greeting: str = ""
    page_size: int = 50
    smtp: Smtp = Smtp()


class Required(BaseSettings):
    database_url: Dsn
    api_key: SecretStr


class Prefixed(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="shop_")

    page_size: int = 50
    database_url: Dsn


@pytest.fixture
def check() -> Check:
    """Check a class with an example that is up to date and the given `.env`."""

    def run(settings_class: type[BaseSettings], env: str | None = None, **options: Any) -> Any:
        ExampleFile(settings_class).write()
        if env is not None:
            Path(".env").write_text(env)
        return [str(each) for each in check_env_files(settings_class, **options).findings]

    return run


def test_nothing_is_wrong(check: Check) -> None:
    """Files that fit the settings give no finding, the template as `.env` included."""
    assert check(Settings, Settings.env_example()) == []
    assert check_env_files(Settings) == EnvCheck([], [])


def test_nothing_is_wrong_without_env(check: Check) -> None:
    """A fresh checkout has no `.env`, and nothing is wrong with it."""
    assert check(Settings) == []


def test_the_example_is_missing() -> None:
    """A project without `.env.example` is told the command that writes it."""
    (finding,) = check_env_files(Settings).findings
    assert str(finding) == ".env.example: is missing; write it: sturdyapi env --write"


def test_the_example_is_out_of_date() -> None:
    """A setting that is new, gone or changed is named."""
    text = Settings.env_example().replace("PAGE_SIZE=50", "PAGE_SIZE=60")
    Path(".env.example").write_text(text.replace("GREETING=", "OLD="))
    (finding,) = check_env_files(Settings).findings
    assert str(finding) == (
        ".env.example: is out of date: it lacks GREETING, and still has OLD, "
        "and differs in PAGE_SIZE; write it: sturdyapi env --write"
    )


@pytest.mark.parametrize("content", [b"\xff", None])
def test_the_example_cannot_be_read(content: bytes | None) -> None:
    """An example that is no text, or a folder, is one finding."""
    path = Path(".env.example")
    path.mkdir() if content is None else path.write_bytes(content)
    (finding,) = check_env_files(Settings).findings
    assert str(finding) == (
        ".env.example: can't be read; make it a file in utf-8 that this user may read"
    )


def test_the_files_of_a_project(
    project: Path, settings_in: Callable[[str], type[BaseSettings]]
) -> None:
    """The files are those beside `pyproject.toml`; another folder's are told with their path."""
    (project / ".env").write_text("PORTS=1\n")
    findings = [str(each) for each in check_env_files(settings_in("port: int = 1")).findings]
    assert findings == [
        f"{project}/.env.example: is missing; write it: sturdyapi env --write",
        f"{project}/.env:1: PORTS is no setting of Settings; rename it. Did you mean 'PORT'?",
    ]


def test_a_name_that_is_no_setting(check: Check) -> None:
    """A name that no setting has is told with the one it was meant to be."""
    env = "DATABSE_URL=postgres://app:hunter2@db/shop\n\n# more\nSMTP__PASWORD=hunter2\nHOLIDAY=1\n"
    assert check(Settings, env) == [
        ".env:1: DATABSE_URL is no setting of Settings; rename it. Did you mean 'DATABASE_URL'?",
        (
            ".env:4: SMTP__PASWORD is no setting of Settings; "
            "rename it. Did you mean 'SMTP__PASSWORD'?"
        ),
        f".env:5: HOLIDAY is no setting of Settings; {UNLISTED}",
    ]


@pytest.mark.parametrize("env", ["DB_PORT=1\n", "PORTS=1\nPORT=81\n"])
def test_a_name_that_may_be_on_purpose(check: Check, env: str) -> None:
    """A name that only resembles a setting, or whose setting is there too, may be another's."""
    (finding,) = check(Settings, env)
    assert finding.endswith(f" is no setting of Settings; {UNLISTED}. Did you mean 'PORT'?")


def test_names_of_other_programs(check: Check) -> None:
    """What `.env.example` lists for other programs may stand in `.env`."""
    Path(".env.example").write_text("# For other programs\nPOSTGRES_PASSWORD=\n")
    assert check(Settings, "POSTGRES_PASSWORD=changeme\n") == []


def test_names_of_other_settings(check: Check) -> None:
    """What another settings class reads may stand in `.env`."""

    class Other(pydantic_settings.BaseSettings):
        warehouse: str = ""

    assert check(Settings, "WAREHOUSE=x\n", others=[Other]) == []


def test_names_that_other_lines_use(check: Check) -> None:
    """A name that is there for other lines of `.env` is in use."""
    assert check(Settings, "WHERE=world\nGREETING=hello ${WHERE} ${WHO:-you}\n") == []


@pytest.mark.parametrize(
    "env",
    [
        "FASTAPI_ENV=development\n",
        "ENVIRONMENT=development\n",
        "page_size=5\n",
        "SMTP__USER=me\n",
        "export PAGE_SIZE=5\n",
        "GREETING='hello # you'\r\nPAGE_SIZE=5 # rows\r\n",
        'GREETING="two\nLINES=1"\n',
        "\ufeffPAGE_SIZE=5\n",
        "PAGE_SIZE=\n",
    ],
)
def test_every_form_of_a_line(check: Check, env: str) -> None:
    """Aliases, nested fields, quotes, comments, `export` and other line ends are taken."""
    assert check(Settings, env) == []


def test_lines_are_counted(check: Check) -> None:
    """The line of a finding is the one that the editor shows, behind quotes of several lines."""
    env = 'GREETING="a\nb"\r\n\r\n# c\r\n\r\nexport HOLIDAY=1\r\n'
    (finding,) = check(Settings, env)
    assert finding.startswith(".env:6: HOLIDAY ")


def test_a_line_that_says_nothing(check: Check, caplog: pytest.LogCaptureFixture) -> None:
    """A line that is none is a finding, and no warning of the parser beside it."""
    assert check(Settings, "hunter2 hunter2\nhunter2\n") == [
        ".env:1: is no line such as NAME=value; mend or remove it",
        ".env:2: has no '='; write NAME=value, or remove the line",
    ]
    assert caplog.messages == []


def test_a_line_of_a_secret_without_quotes(check: Check) -> None:
    """A key that goes over several lines without quotes is not printed."""
    line = "MIIEvQIBADANBgkqh==\n"
    findings = check(Settings, f"SIGNING_KEY=-----BEGIN\n{line}{line}-----END\n")
    assert [each.partition(";")[0] for each in findings] == [
        ".env:2: a name is no setting of Settings",
        ".env:3: a name is no setting of Settings",
        ".env:3: a name stands in line 2 too",
        ".env:4: has no '='",
    ]


def test_a_name_that_is_set_twice(check: Check) -> None:
    """A name that stands in `.env` twice is told with both lines."""
    assert check(Settings, "PAGE_SIZE=5\nGREETING=x\npage_size=6\n") == [
        ".env:3: page_size stands in line 1 too; remove one of them: the last one counts"
    ]


def test_a_case_sensitive_class(check: Check) -> None:
    """For a case-sensitive class `PAGE_SIZE` and `page_size` are two names."""

    class Sensitive(BaseSettings):
        model_config = SettingsConfigDict(case_sensitive=True)
        page_size: int = 50

    assert check(Sensitive, "page_size=5\nPAGE_SIZE=6\n") == [
        f".env:2: PAGE_SIZE is no setting of Sensitive; {UNLISTED}. Did you mean 'page_size'?"
    ]


def test_a_prefix_makes_other_names_foreign(check: Check) -> None:
    """With a prefix, names without it are left alone."""
    env = "SHOP_DATABASE_URL=sqlite://\nDATABASE_URL=sqlite://\nPOSTGRES_PASSWORD=x\nSHOP_COLOUR=x"
    assert check(Prefixed, env) == [f".env:4: SHOP_COLOUR is no setting of Prefixed; {UNLISTED}"]


@pytest.mark.parametrize("name", ["PAGE_SIZE", "SHP_PAGE_SIZE"])
def test_a_prefix_that_was_forgotten(check: Check, name: str) -> None:
    """A name that lacks only its prefix is told, as long as the full one is not set."""
    env = f"SHOP_DATABASE_URL=sqlite://\n{name}=5\n"
    assert check(Prefixed, env) == [
        f".env:2: {name} is no setting of Prefixed; rename it. Did you mean 'SHOP_PAGE_SIZE'?"
    ]
    assert check(Prefixed, env + "SHOP_PAGE_SIZE=5\n") == []


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("API_KEY=changeme", "API_KEY"),
        ("api_key='<key>'", "api_key"),
        ("SIGNING_KEY=change-me", "SIGNING_KEY"),
        ("DATABASE_URL=postgresql://app:changeme@db/shop", "DATABASE_URL"),
        ("GREETING=https://app:changeme@host/", "GREETING"),
        ("SMTP__PASSWORD=todo", "SMTP__PASSWORD"),
        ('SMTP={"password": "todo"}', "SMTP"),
        ("KEYS=a1b2c3,changeme", "KEYS"),
        ('KEYS=["changeme"]', "KEYS"),
    ],
)
def test_a_placeholder(check: Check, set_env: SetEnv, line: str, name: str) -> None:
    """A secret that was left as in an example is told wherever it runs."""
    set_env(FASTAPI_ENV="development")
    findings = check(Settings, line)
    assert findings == [
        f".env:1: {name} still holds the placeholder of an example; put in one of your own"
    ]


@pytest.mark.parametrize(
    "line",
    [
        "API_KEY=",
        "API_KEY=7f3a9c",
        "GREETING=changeme",
        "GREETING=${HOME}",
        "DATABASE_URL=postgresql://app:7f3a9c@db/shop",
        "DATABASE_URL=postgresql://app@db/example",
        'SMTP={"user": "example"}',
        "CORS_ORIGINS=https://example.com",
        "SMTP__USER=example",
    ],
)
def test_no_placeholder(check: Check, set_env: SetEnv, line: str) -> None:
    """What is no secret may look like an example."""
    set_env(FASTAPI_ENV="development")
    assert check(Settings, line) == []


def test_a_placeholder_that_another_line_fills(check: Check, set_env: SetEnv) -> None:
    """`${NAME}` is what it stands for."""
    set_env(FASTAPI_ENV="development")
    assert check(Settings, "VAULT=7f3a9c\nAPI_KEY=${VAULT}\n") == []


@pytest.mark.parametrize("name", ["API_KEY", "api_key"])
def test_a_placeholder_is_told_once(check: Check, name: str) -> None:
    """In production, where the settings refuse it too, a placeholder is one finding."""
    assert check(Settings, f"{name}=changeme\n") == [
        f".env:1: {name} still holds the placeholder of an example; put in one of your own"
    ]


def test_a_placeholder_of_the_environment(check: Check, set_env: SetEnv) -> None:
    """A placeholder that the environment brings is told where the settings refuse it."""
    set_env(API_KEY="changeme")
    assert check(Settings, "API_KEY=7f3a9c\n") == [
        (
            "environment: API_KEY still holds the placeholder of an example; "
            "expected a secret of your own"
        )
    ]


def test_settings_that_do_not_load(check: Check, set_env: SetEnv) -> None:
    """Everything that keeps the settings from loading is told with the place that it is in."""
    set_env(PORT="hunter2", WORKERS="")
    assert check(Required, "ENVIRONMENT=live\nWORKERS=hunter2\n") == [
        (
            ".env:1: ENVIRONMENT is not one of the allowed values; "
            "expected development, testing, staging or production"
        ),
        "environment: PORT is not a whole number; expected a whole number from 1 to 65535",
        ".env:2: WORKERS is not a whole number; expected a whole number not less than 1",
        "DATABASE_URL: is missing; expected a URL such as postgresql://user:password@host/name",
        "API_KEY: is missing; expected a secret",
    ]


@pytest.mark.parametrize("environment", ["testing", "development"])
def test_env_is_checked_in_testing_too(check: Check, set_env: SetEnv, environment: str) -> None:
    """The file is checked where the app itself does not read it."""
    set_env(FASTAPI_ENV=environment)
    assert check(Settings, "WORKERS=x\nHOLIDAY=1\n") == [
        f".env:2: HOLIDAY is no setting of Settings; {UNLISTED}",
        ".env:1: WORKERS is not a whole number; expected a whole number not less than 1",
    ]


def test_what_is_missing_without_env(check: Check, set_env: SetEnv) -> None:
    """Without a `.env` nothing counts as missing, and what is set and wrong does."""
    set_env(PORT="x")
    assert check(Required) == [
        "environment: PORT is not a whole number; expected a whole number from 1 to 65535"
    ]
    assert check_env_files(Required).notes == [
        "No .env was read, so that these may be missing: DATABASE_URL, API_KEY."
    ]


def test_checks_that_did_not_run(check: Check) -> None:
    """Checks of the class that could not run are named."""

    class Checked(BaseSettings):
        api_key: SecretStr

        @model_validator(mode="after")
        def key_fits(self) -> Checked:
            return self

    check(Checked, "PORT=81\n")
    assert check_env_files(Checked).notes == ["Not checked until the settings load: key_fits."]


def test_an_echo_of_a_check(check: Check) -> None:
    """A check of the class that repeats the value has its words kept back."""

    class Checked(BaseSettings):
        greeting: str = ""

        @field_validator("greeting")
        @classmethod
        def polite(cls, value: str) -> str:
            raise ValueError(f"{value} is not polite")

    (finding,) = check(Checked, "GREETING=hunter2\n")
    assert finding == ".env:1: GREETING is refused by its check 'polite'; expected text"


@pytest.mark.parametrize("name", ["DATABSE_URL", "DATABASE_URI", "DATABASEURL"])
def test_a_typo_in_the_environment(check: Check, set_env: SetEnv, name: str) -> None:
    """A variable that is a letter off one that is missing is told."""
    set_env(**{name: "postgres://app:hunter2@db/shop"})
    assert check(Required) == [
        (
            f"environment: {name} is no setting, and DATABASE_URL is not set; "
            "rename it if that was meant"
        )
    ]


def test_no_typo_in_the_environment(check: Check, set_env: SetEnv) -> None:
    """What other programs have set is left alone, close as it is to a setting."""
    set_env(
        DATABSE_URL="x",
        DATABASE_URL="sqlite://",
        AWS_API_KEY="x",
        OPENAI_API_KEY="x",
        LOGLEVEL="x",
        API_KEYRING="x",
    )
    assert check(Required) == []


def test_no_typo_of_a_name_that_other_settings_have(check: Check, set_env: SetEnv) -> None:
    """A variable that another settings class reads is no typo of one that is missing."""

    class Other(pydantic_settings.BaseSettings):
        database_uri: str = ""

    set_env(DATABASE_URI="sqlite://")
    assert check(Required, others=[Other]) == []


def test_a_typo_with_the_prefix(check: Check, set_env: SetEnv) -> None:
    """With the prefix, a typo of any variable that is not set is told."""
    set_env(SHOP_PAGESIZE="5", SHOP_VERSION="2", SHOP_DATABASE_URL="sqlite://", PAGESIZE="5")
    assert check(Prefixed) == [
        (
            "environment: SHOP_PAGESIZE is no setting, and SHOP_PAGE_SIZE is not set; "
            "rename it if that was meant"
        )
    ]
    set_env(SHOP_PAGE_SIZE="5")
    assert check(Prefixed) == []


@pytest.mark.parametrize("content", [b"API_KEY=\xff\xfe\n", None])
def test_env_that_cannot_be_read(check: Check, content: bytes | None) -> None:
    """A `.env` that is no text, or a folder, is one finding, and hides nothing else."""
    path = Path(".env")
    path.mkdir() if content is None else path.write_bytes(content)
    assert check(Required) == [
        ".env: can't be read; make it a file in utf-8 that this user may read"
    ]


@needs_permissions
def test_env_of_another_user(check: Check) -> None:
    """A `.env` that this user may not read is one finding."""
    Path(".env").touch(mode=0)
    assert check(Settings) == [
        ".env: can't be read; make it a file in utf-8 that this user may read"
    ]


def test_env_that_is_a_pipe(check: Check) -> None:
    """A pipe of a password manager is not waited for."""
    os.mkfifo(".env")
    assert check(Settings) == []


def test_env_in_another_encoding(check: Check) -> None:
    """A `.env` is read in the encoding that the class states."""

    class Latin(BaseSettings):
        model_config = SettingsConfigDict(env_file_encoding="latin-1")
        greeting: str = ""

    Path(".env").write_bytes("GREETING=Grüße\nPORT=x\n".encode("latin-1"))
    assert check(Latin) == [
        ".env:2: PORT is not a whole number; expected a whole number from 1 to 65535"
    ]


class Several(BaseSettings):
    model_config = SettingsConfigDict(env_file=(".env", ".env.local"))


def test_several_files(check: Check) -> None:
    """Each file that the class reads is checked; a later one may repeat an earlier one."""
    Path(".env.local").write_text("PORT=x\nWORKRS=1\n")
    assert check(Several, "PORT=81\nHOLIDAY=1\n") == [
        f".env:2: HOLIDAY is no setting of Several; {UNLISTED}",
        ".env.local:2: WORKRS is no setting of Several; rename it. Did you mean 'WORKERS'?",
        ".env.local:1: PORT is not a whole number; expected a whole number from 1 to 65535",
    ]


@needs_git
def test_env_in_git(check: Check) -> None:
    """A `.env` that git tracks, or would take, is told with what to do."""
    subprocess.run([GIT, "init", "--quiet"], check=True)
    assert check(Settings, "PORT=81\n") == [".env: is not ignored by git; add .env to .gitignore"]
    subprocess.run([GIT, "add", ".env"], check=True)
    Path(".gitignore").write_text(".env\n")
    assert check(Settings) == [
        ".env: is tracked by git; git rm --cached .env, and change the secrets that were in it"
    ]
    subprocess.run([GIT, "rm", "--quiet", "--cached", ".env"], check=True)
    assert check(Settings) == []


@needs_git
def test_the_last_file_belongs_to_the_developer(check: Check) -> None:
    """Of several files only the last, which wins, must stay out of git."""
    subprocess.run([GIT, "init", "--quiet"], check=True)
    assert check(Several, "PORT=81\n") == [
        ".env.local: is not ignored by git; add .env.local to .gitignore"
    ]


def test_no_finding_holds_a_value(check: Check, set_env: SetEnv) -> None:
    """Whatever is wrong, no value is told."""
    names = [*Required.model_fields, "DATABSE_URL", "HOLIDAY"]
    set_env(DATABASE_URI="hunter2", WORKERS="hunter2")
    env = "".join(f"{name}=hunter2\n{name}='hunter2 # hunter2\n" for name in names)
    findings = check(Required, f"{env}hunter2\n'hunter2\nhunter2: hunter2\n")
    assert len(findings) > len(names)
    assert "hunter2" not in "\n".join([*findings, *check_env_files(Required).notes])
