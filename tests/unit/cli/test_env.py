"""`sturdyapi env`: the template, `.env.example` and the check."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Ended

    Env = Callable[..., Ended]
    Write = Callable[[str, str], Path]

SETTINGS = """\
from pydantic import SecretStr
from sturdyapi import BaseSettings, Dsn


class ShopSettings(BaseSettings):
    database_url: Dsn
    api_key: SecretStr = SecretStr("hunter2")
    page_size: int = 50
"""
MAIN = """\
from sturdyapi import create_app
from shop_env.config import ShopSettings

print("imported")
app = create_app(ShopSettings, logs=False)
"""


def process(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `sturdyapi env` in a process of its own."""
    command = [sys.executable, "-W", "error", "-m", "sturdyapi", "env", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(autouse=True)
def shop(project: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project whose app can't start: its environment is empty."""
    for name in ("FASTAPI_ENV", "ENVIRONMENT", "SECRETS_DIR", "DATABASE_URL", "API_KEY"):
        monkeypatch.delenv(name, raising=False)
    # A failing start sets it.
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    write("pyproject.toml", "")
    write("shop_env/__init__.py", "")
    write("shop_env/config.py", SETTINGS)
    write("shop_env/main.py", MAIN)
    write("main.py", "from shop_env.main import app\n")


@pytest.fixture
def env(command: Callable[..., Ended]) -> Callable[..., Ended]:
    """Runs `sturdyapi env ARGUMENTS` in the project."""
    return partial(command, "env")


def test_the_template_is_printed(env: Env) -> None:
    """Without options the template goes to stdout, and what the app prints does not."""
    done = env()
    assert (done.code, done.err) == (0, "imported\n")
    assert done.out.startswith("# Copy this file to .env")
    assert "\nDATABASE_URL=\n" in done.out
    assert "\nAPI_KEY=\n" in done.out
    assert "\nPAGE_SIZE=50\n" in done.out
    assert "hunter2" not in done.out
    assert not Path(".env.example").exists()


@pytest.mark.parametrize(
    "target",
    [
        "main.py",
        "main:app",
        "shop_env.main",
        "shop_env/main.py",
        "shop_env.main:app",
        "shop_env.config",
        "shop_env.config:ShopSettings",
    ],
)
@pytest.mark.parametrize("is_complete", [False, True])
def test_every_form_of_a_target(
    env: Env, monkeypatch: pytest.MonkeyPatch, target: str, is_complete: bool
) -> None:
    """The app, its module, its file or its settings name the settings, complete or not."""
    if is_complete:
        monkeypatch.setenv("DATABASE_URL", "sqlite://")
    done = env(target)
    assert done.code == 0
    assert "\nPAGE_SIZE=50\n" in done.out


@pytest.mark.parametrize(
    "body",
    [
        "from shop_env.config import ShopSettings\nsettings = ShopSettings(database_url='a://')",
        (
            "from types import SimpleNamespace\nfrom shop_env.config import ShopSettings\n"
            "state = SimpleNamespace(settings=ShopSettings(database_url='a://'))\n"
            "app = SimpleNamespace(state=state)"
        ),
        "from shop_env.config import ShopSettings\nsettings = ShopSettings()",
        "from shop_env.config import ShopSettings\nShopSettings.load()",
    ],
)
def test_settings_without_create_app(env: Env, write: Write, body: str) -> None:
    """Settings that are made in a module, or left in `app.state`, are found there."""
    write("other_env.py", body)
    done = env("other_env")
    assert done.code == 0
    assert "\nPAGE_SIZE=50\n" in done.out


def test_an_app_without_settings_of_its_own(env: Env, write: Write) -> None:
    """An app that has no settings class has the settings that every app has."""
    write("other_env.py", "from sturdyapi import create_app\nservice = create_app(logs=False)\n")
    done = env("other_env")
    assert done.code == 0
    assert done.out.splitlines()[5] == "FASTAPI_ENV=production"


def test_the_class_of_the_failed_import_is_the_newest(env: Env, write: Write) -> None:
    """Of two classes of one name, that of the app is taken."""
    first, second = (SETTINGS.replace("page_size", name) for name in ("first", "second"))
    write("other_env.py", f"{first}\n{second}\nShopSettings()\n")
    assert "\nSECOND=50\n" in env("other_env").out


def test_an_app_in_another_folder(env: Env, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--app-dir` names the folder of the app; its files are written there."""
    elsewhere = project / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    done = env("--app-dir", "..", "--write")
    assert (done.code, done.out) == (0, f"{project / '.env.example'}: created\n")
    assert (project / ".env.example").is_file()


def test_settings_in_the_module_of_the_app(
    env: Env, project: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The project is known also if the import of the class's own module fails."""
    write("other_env.py", f"{SETTINGS}\nShopSettings()\n")
    (project / "elsewhere").mkdir()
    monkeypatch.chdir(project / "elsewhere")
    assert env("other_env", "--app-dir", "..", "--write").code == 0
    assert (project / ".env.example").is_file()


def test_write(env: Env, project: Path) -> None:
    """`--write` says what became of the file; what was no setting is named."""
    assert env("--write")[:2] == (0, ".env.example: created\n")
    assert (project / ".env.example").read_text() == env().out
    assert env("--write")[:2] == (0, ".env.example: unchanged\n")
    (project / ".env.example").write_text("OLD_URL=\n")
    done = env("--write")
    assert done[:2] == (0, ".env.example: updated\n")
    assert done.err.endswith("Left out, being no setting: OLD_URL\n")


def test_write_that_is_refused(env: Env, project: Path) -> None:
    """A file that can't be written is one line on stderr."""
    (project / ".env.example").mkdir()
    done = env("--write")
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines()[-1] == (
        f"{project}/.env.example can't be written: Is a directory. "
        "Nothing was changed; make it a file that this user may read and write."
    )


def test_check_that_finds_nothing(env: Env, project: Path) -> None:
    """Where nothing is wrong, `--check` ends with 0; without a `.env` nothing is missing."""
    env("--write")
    done = env("--check")
    assert (done.code, done.out) == (0, "ShopSettings: nothing is wrong\n")
    assert done.err.endswith("No .env was read, so that these may be missing: DATABASE_URL.\n")


def test_check_that_finds_something(env: Env, project: Path) -> None:
    """All findings come at once, one a line, and end with 1."""
    (project / ".env").write_text("DATABSE_URL=postgres://app:hunter2@db/shop\nAPI_KEY=changeme\n")
    done = env("--check")
    assert done.code == 1
    assert done.out.splitlines() == [
        ".env.example: is missing; write it: sturdyapi env --write",
        (
            ".env:1: DATABSE_URL is no setting of ShopSettings; "
            "rename it. Did you mean 'DATABASE_URL'?"
        ),
        ".env:2: API_KEY still holds the placeholder of an example; put in one of your own",
        "DATABASE_URL: is missing; expected a URL such as postgresql://user:password@host/name",
    ]
    assert "hunter2" not in done.err


def test_what_the_settings_print_is_no_finding(env: Env, write: Write) -> None:
    """What a check of the class prints while the settings load goes to stderr."""
    body = """\
        from sturdyapi import BaseSettings
        class ShopSettings(BaseSettings):
            def model_post_init(self, _):
                print("loaded")
        """
    write("other_env.py", body)
    env("other_env", "--write")
    assert env("other_env", "--check") == (0, "ShopSettings: nothing is wrong\n", "loaded\n")


def test_check_knows_the_other_settings_of_the_process(env: Env, project: Path) -> None:
    """`.env` may hold what another settings class of the app reads."""
    with (project / "shop_env/config.py").open("a") as file:
        file.write("class Mail(BaseSettings):\n    smtp_relay_env: str = ''\n")
    env("--write")
    (project / ".env").write_text("DATABASE_URL=a://\nSMTP_RELAY_ENV=mail\n")
    assert env("--check").code == 0


def test_check_does_not_count_the_base_class(project: Path, write: Write) -> None:
    """With a prefix, a name without it is told, though `BaseSettings` itself would read it."""
    write(
        "other_env.py",
        "from pydantic_settings import SettingsConfigDict\nfrom sturdyapi import BaseSettings\n"
        "class ShopSettings(BaseSettings):\n"
        "    model_config = SettingsConfigDict(env_prefix='SHOP_')\n",
    )
    (project / ".env").write_text("PORT=81\n")
    # In a process of its own: the classes of other tests read it too.
    done = process("other_env", "--check")
    assert done.returncode == 1
    assert done.stdout.endswith("rename it. Did you mean 'SHOP_PORT'?\n")


def test_write_and_check_together(env: Env) -> None:
    """`--write` and `--check` together are a wrong command line."""
    done = env("--write", "--check")
    assert (done.code, done.out) == (2, "")
    assert "'--write': not together with --check; write first, then check." in done.err


@pytest.mark.parametrize("target", ["json", "shop_env.config:SecretStr", "json:dumps"])
def test_a_target_without_settings(env: Env, target: str) -> None:
    """What has no settings is one line that tells what to name."""
    done = env(target)
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"{target} has no settings. Name what create_app() returned, such as main:app, or a "
        "subclass of sturdyapi.BaseSettings, such as package.settings:Settings.\n"
    )


def test_a_target_that_is_misspelt(env: Env) -> None:
    """A name that is not in the module is told with the one it was meant to be."""
    done = env("shop_env.config:ShopSetings")
    assert done.code == 2
    assert "shop_env.config has no 'ShopSetings'. Did you mean 'ShopSettings'?" in done.err


def test_an_import_that_fails(env: Env, write: Write) -> None:
    """A module that fails for another reason than its settings is told with its line."""
    write("other_env.py", "import no_such_module_here\n")
    done = env("other_env")
    assert done.code == 3
    assert done.err.startswith("other_env can't be imported: ModuleNotFoundError")


def test_a_settings_error_that_belongs_to_no_class(env: Env, write: Write) -> None:
    """An error about settings whose class is nowhere is told as it is."""
    write(
        "other_env.py",
        "from sturdyapi.exceptions import SettingsError\nraise SettingsError('Vault', [])\n",
    )
    done = env("other_env")
    assert done.code == 78
    assert done.err.startswith("Vault: 0 problems")


def test_help_has_examples(env: Env) -> None:
    """The help shows each use as a line to copy."""
    done = env("--help")
    assert done.code == 0
    assert "\n    sturdyapi env --check " in done.out


def test_a_process_of_its_own(project: Path) -> None:
    """The output of a process is the template alone, fit for `> .env.example`."""
    done = process()
    assert (done.returncode, done.stderr) == (0, "imported\n")
    assert done.stdout.startswith("# Copy this file to .env")


def test_help_does_not_wait_for_pydantic() -> None:
    """The command line itself starts without what its commands need."""
    program = "import sys, sturdyapi.cli.main; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
