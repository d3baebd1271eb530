"""What git would do with `.env`."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from sturdyapi.settings.git_ignored import GitStatus, git_status

if TYPE_CHECKING:
    from pathlib import Path

GIT = shutil.which("git") or "git"
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(folder: Path, *arguments: str) -> None:
    """Run git in a folder."""
    subprocess.run([GIT, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """An empty repository."""
    git(tmp_path, "init", "--quiet")
    return tmp_path


@needs_git
def test_a_file_that_is_tracked(repository: Path) -> None:
    """A file that git tracks is found, also if it is ignored by now."""
    file = repository / ".env"
    file.touch()
    git(repository, "add", ".env")
    (repository / ".gitignore").write_text(".env\n")
    assert git_status(file) is GitStatus.TRACKED


@needs_git
def test_a_file_that_is_not_ignored(repository: Path) -> None:
    """A file that git would take is found before there is one."""
    assert git_status(repository / ".env") is GitStatus.NOT_IGNORED


@needs_git
def test_a_file_that_is_ignored(repository: Path) -> None:
    """A file that a `.gitignore` above it names is safe."""
    (repository / ".gitignore").write_text("*.env\n")
    (repository / "shop").mkdir()
    assert git_status(repository / "shop" / "local.env") is GitStatus.SAFE


@needs_git
def test_a_file_that_only_this_user_ignores(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What this user ignores everywhere protects nobody else's checkout."""
    ignore = repository / "global-ignore"
    ignore.write_text(".env\n")
    for name, value in {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.excludesFile",
        "GIT_CONFIG_VALUE_0": str(ignore),
    }.items():
        monkeypatch.setenv(name, value)
    git(repository, "check-ignore", ".env")
    assert git_status(repository / ".env") is GitStatus.NOT_IGNORED


@needs_git
def test_a_hook_of_another_repository(
    repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The repository of the file counts, not the one whose hook is running."""
    monkeypatch.setenv("GIT_DIR", str(tmp_path_factory.mktemp("elsewhere") / ".git"))
    assert git_status(repository / ".env") is GitStatus.NOT_IGNORED


@needs_git
def test_a_folder_that_is_no_repository(tmp_path: Path) -> None:
    """Outside of a repository nothing can be committed."""
    assert git_status(tmp_path / ".env") is GitStatus.SAFE


def test_a_machine_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without git nothing is said."""
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_status(tmp_path / ".env") is GitStatus.SAFE


@needs_git
def test_git_that_hangs(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A git that does not answer is not waited for."""

    def hang(command: list[str], *, timeout: float, **_: object) -> None:
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(subprocess, "run", hang)
    assert git_status(repository / ".env") is GitStatus.SAFE


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """A file in a folder that does not exist is in no commit."""
    assert git_status(tmp_path / "nowhere" / ".env") is GitStatus.SAFE
