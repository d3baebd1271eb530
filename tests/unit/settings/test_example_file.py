"""`.env.example`: whether it is up to date, and writing it."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import Field, SecretStr

from sturdyapi.exceptions import CommandError
from sturdyapi.settings import BaseSettings, Dsn
from sturdyapi.settings.example_file import Drift, ExampleFile

if TYPE_CHECKING:
    from collections.abc import Callable


class Settings(BaseSettings):
    database_url: Dsn
    page_size: int = Field(default=50, description="Rows on a page.")
    api_key: SecretStr = SecretStr("hunter2")


EXAMPLE = Path(".env.example")


@pytest.fixture
def example() -> ExampleFile:
    """The file of a class without a project: in the working directory."""
    return ExampleFile(Settings)


def edit(old: str, new: str) -> None:
    """Change the example by hand."""
    text = EXAMPLE.read_text()
    assert old in text
    EXAMPLE.write_text(text.replace(old, new))


def test_write_makes_the_template(example: ExampleFile) -> None:
    """Writing makes the file that copies to a `.env`, without a secret."""
    assert example.write() == ("created", [])
    assert EXAMPLE.read_text() == Settings.env_example()
    assert "hunter2" not in EXAMPLE.read_text()
    assert example.drift() is None


def test_write_lies_beside_the_project_file(
    project: Path, settings_in: Callable[[str], type[BaseSettings]]
) -> None:
    """The file lies where `.env` is looked for, whatever the working directory is."""
    ExampleFile(settings_in("port: int = 1")).write()
    assert (project / ".env.example").is_file()
    assert not EXAMPLE.exists()


def test_write_twice_changes_nothing(example: ExampleFile) -> None:
    """A file that is up to date is not written again."""
    example.write()
    before = EXAMPLE.stat()
    assert example.write() == ("unchanged", [])
    assert EXAMPLE.stat().st_mtime_ns == before.st_mtime_ns
    assert EXAMPLE.stat().st_ino == before.st_ino


def test_write_says_what_it_leaves_out(example: ExampleFile) -> None:
    """Variables that are no setting any more are named when they are left out."""
    EXAMPLE.write_text("OLD_URL=x\nPORT=1\n")
    assert example.write() == ("updated", ["OLD_URL"])
    assert EXAMPLE.read_text() == Settings.env_example()


def test_write_leaves_no_other_file(example: ExampleFile, tmp_path: Path) -> None:
    """Writing leaves nothing beside the file, and never touches `.env`."""
    (tmp_path / ".env").write_text("API_KEY=mine\n")
    example.write()
    edit("50", "60")
    example.write()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".env", ".env.example"]
    assert (tmp_path / ".env").read_text() == "API_KEY=mine\n"


def test_write_keeps_the_mode_of_the_file(example: ExampleFile) -> None:
    """A file that is written anew keeps its mode; a new one has that of any new file."""
    example.write()
    Path("other").touch()
    assert EXAMPLE.stat().st_mode == Path("other").stat().st_mode
    EXAMPLE.chmod(0o640)
    edit("50", "60")
    example.write()
    assert stat.S_IMODE(EXAMPLE.stat().st_mode) == 0o640


def test_write_goes_through_a_link(example: ExampleFile) -> None:
    """A link stays one; what it leads to is written."""
    Path("shared").mkdir()
    EXAMPLE.symlink_to("shared/env.example")
    for text in ("", "PORT=1\n"):
        Path("shared/env.example").write_text(text)
        example.write()
        assert EXAMPLE.is_symlink()
        assert Path("shared/env.example").read_text() == Settings.env_example()


def test_write_makes_what_a_link_leads_to(example: ExampleFile) -> None:
    """A link that leads nowhere yet stays one too."""
    EXAMPLE.symlink_to("env.example")
    assert example.write().outcome == "created"
    assert EXAMPLE.is_symlink()
    assert Path("env.example").read_text() == Settings.env_example()


def test_write_that_fails_leaves_the_file_as_it_was(
    example: ExampleFile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A disk that is full costs nothing that was there."""
    EXAMPLE.write_text("PORT=1\n")

    def fail(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(CommandError, match=r"can't be written: No space left on device\."):
        example.write()
    assert [path.name for path in tmp_path.iterdir()] == [".env.example"]
    assert EXAMPLE.read_text() == "PORT=1\n"


def test_write_refuses_a_folder(example: ExampleFile) -> None:
    """A folder of that name is not replaced."""
    EXAMPLE.mkdir()
    with pytest.raises(CommandError, match=r"\.env\.example can't be written: Is a directory"):
        example.write()


def test_write_refuses_what_it_cannot_read(example: ExampleFile) -> None:
    """A file in another encoding is not replaced: it may hold lines for other programs."""
    EXAMPLE.write_bytes(b"PORT=\xff\n")
    with pytest.raises(CommandError, match="it is no text in UTF-8"):
        example.write()
    assert EXAMPLE.read_bytes() == b"PORT=\xff\n"


def test_write_refuses_a_folder_that_is_gone(
    example: ExampleFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that can't be written to is an error that says so."""
    tmp_path.rmdir()
    with pytest.raises(CommandError, match="can't be written: No such file or directory"):
        example.write()


def test_drift_names_every_variable(example: ExampleFile) -> None:
    """What was added, removed and changed in the settings since is told by name."""
    example.write()
    edit("DATABASE_URL=", "OLD_URL=")
    edit("PAGE_SIZE=50", "PAGE_SIZE=60")
    edit("# TCP port", "# The port")
    assert example.drift() == Drift(["DATABASE_URL"], ["OLD_URL"], ["PAGE_SIZE", "PORT"])


@pytest.mark.parametrize(
    ("drift", "words"),
    [
        (Drift(["A", "B"], [], []), "lacks A, B"),
        (Drift([], ["A"], []), "still has A"),
        (Drift(["A"], [], ["B"]), "lacks A, and differs in B"),
        (Drift([], [], []), "differs in its first lines or its order"),
    ],
)
def test_drift_in_words(drift: Drift, words: str) -> None:
    """A drift is told in one line."""
    assert str(drift) == words


def test_drift_of_a_comment_of_ones_own(example: ExampleFile) -> None:
    """The file is the settings' own text: a comment belongs to the field, as its description."""
    example.write()
    edit("# Rows on", "# Many rows on")
    assert example.drift() == Drift([], [], ["PAGE_SIZE"])


def test_drift_of_the_order_names_none(example: ExampleFile) -> None:
    """A difference that is in no variable is one all the same."""
    example.write()
    edit("# Copy this file", "# Take this file")
    assert example.drift() == Drift([], [], [])


@pytest.mark.parametrize(("old", "new"), [(b"\n", b"\r\n"), (b"# Copy", b"\xef\xbb\xbf# Copy")])
def test_drift_is_not_a_matter_of_the_editor(example: ExampleFile, old: bytes, new: bytes) -> None:
    """Line ends and marks that Windows brings are no drift."""
    example.write()
    EXAMPLE.write_bytes(EXAMPLE.read_bytes().replace(old, new))
    assert example.drift() is None


def test_drift_prints_no_piece_of_a_secret(example: ExampleFile) -> None:
    """What can't be the name of a variable is not told."""
    EXAMPLE.write_text(Settings.env_example() + "\nMIIEvQIBADANBgkqh=x\n")
    assert example.drift() == Drift([], ["a name"], [])


def test_lines_for_other_programs_stay(example: ExampleFile) -> None:
    """What stands below `# For other programs` is kept, and is no drift."""
    others = "# For other programs\n\n# Docker Compose\nPOSTGRES_PASSWORD=\n"
    EXAMPLE.write_text("OLD=\n" + others)
    example.write()
    assert EXAMPLE.read_text() == f"{Settings.env_example()}\n{others}"
    assert example.drift() is None
    assert example.names_of_others() == {"POSTGRES_PASSWORD"}


@pytest.mark.parametrize("content", [None, b"\xff"])
def test_lines_for_other_programs_of_no_file(example: ExampleFile, content: bytes | None) -> None:
    """A file that can't be read lists nothing."""
    if content is not None:
        EXAMPLE.write_bytes(content)
    assert example.names_of_others() == set()
