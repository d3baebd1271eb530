"""`.env.example`: whether it says what the settings say, and writing it."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from io import StringIO
from pathlib import Path
from tempfile import mkstemp
from typing import TYPE_CHECKING, Literal, NamedTuple

from dotenv.parser import parse_stream

from sturdyapi.exceptions import CommandError

from .sources import project_root
from .vocabulary import told_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .base import BaseSettings

__all__ = ["MARKER", "Drift", "ExampleFile", "Written"]

MARKER = "# For other programs"
"""What follows this line in `.env.example` is not ours, and stays as it is."""

_MARKER_LINE = re.compile(rf"^{re.escape(MARKER)}\b", re.MULTILINE | re.IGNORECASE)
_MODE_OF_NEW_FILES = 0o666


class Drift(NamedTuple):
    """How `.env.example` differs from what the settings say."""

    lacking: list[str]
    unknown: list[str]
    changed: list[str]

    def __str__(self) -> str:
        parts = [
            f"lacks {', '.join(self.lacking)}" if self.lacking else "",
            f"still has {', '.join(self.unknown)}" if self.unknown else "",
            f"differs in {', '.join(self.changed)}" if self.changed else "",
        ]
        return ", and ".join(filter(None, parts)) or "differs in its first lines or its order"


class Written(NamedTuple):
    """What has become of `.env.example`."""

    outcome: Literal["created", "updated", "unchanged"]
    dropped: list[str]
    """Variables that it had, and that are no setting."""


class ExampleFile:
    """The `.env.example` of a settings class, which lies in the root of its project.

    Attributes:
        path: Where it is, or would be.
    """

    def __init__(self, settings_class: type[BaseSettings]) -> None:
        self.path = project_root(settings_class) / ".env.example"
        self._template = settings_class.env_example()

    def exists(self) -> bool:
        """Return whether there is such a file, readable or not."""
        return self.path.exists()

    def drift(self) -> Drift | None:
        """Return how the file differs from the template; `None` if it does not.

        Raises:
            OSError: It can't be read.
            UnicodeError: It is no UTF-8.
        """
        ours, _ = self._parts()
        if ours.strip() == self._template.strip():
            return None
        wanted, found = _entries(self._template), _entries(ours)
        return Drift(
            lacking=[name for name in wanted if name not in found],
            unknown=[told_name(name) for name in found if name not in wanted],
            changed=[name for name in wanted if found.get(name, wanted[name]) != wanted[name]],
        )

    def names_of_others(self) -> set[str]:
        """Return the variables below the marker; none if the file can't be read."""
        with suppress(OSError, UnicodeError):
            return set(_entries(self._parts()[1]))
        return set()

    def write(self) -> Written:
        """Bring the file up to date, in one step, so that nobody sees half of it.

        Raises:
            CommandError: It can't be written; what was there is still there.
        """
        try:
            return self._write() if self.exists() else self._create()
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
            raise CommandError(
                f"{self.path} can't be written: {reason}. "
                "Nothing was changed; make it a file that this user may read and write."
            ) from error

    def _create(self) -> Written:
        _replace(self.path.resolve(), self._template)
        return Written("created", [])

    def _write(self) -> Written:
        drift = self.drift()
        if drift is None:
            return Written("unchanged", [])
        _, others = self._parts()
        _replace(self.path.resolve(), self._template + (f"\n{others}" if others else ""))
        return Written("updated", drift.unknown)

    def _parts(self) -> tuple[str, str]:
        """Return what is ours, and what follows the marker."""
        text = self.path.read_text("utf-8-sig")
        marker = _MARKER_LINE.search(text)
        return (text[: marker.start()], text[marker.start() :]) if marker else (text, "")


def _entries(text: str) -> dict[str, str]:
    """Return what the file says of each variable: its line and the comment above it."""
    return dict(_blocks(text))


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    block = ""
    for binding in parse_stream(StringIO(text)):
        piece = binding.original.string
        # A blank line ends a comment that belongs to no variable.
        block = piece if piece.startswith("\n") else block + piece
        if binding.key is not None:
            yield binding.key, block.strip()
            block = ""


def _replace(path: Path, text: str) -> None:
    descriptor, name = mkstemp(dir=path.parent, prefix=f"{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        Path(name).chmod(_mode_for(path))
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink()
        raise


def _mode_for(path: Path) -> int:
    """Return the mode of the file that is replaced, else that of any new file."""
    if path.exists():
        return path.stat().st_mode
    # The only way to read it is to set it.
    mask = os.umask(0)
    os.umask(mask)
    return _MODE_OF_NEW_FILES & ~mask
