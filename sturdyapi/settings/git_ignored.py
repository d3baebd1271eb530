"""What git would do with a file that holds secrets."""

from __future__ import annotations

import os
import shutil
import subprocess
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["GitStatus", "git_status"]

_TIMEOUT_SECONDS = 10
_LOCATION = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR")
"""Set for a hook; they would send git to another repository than that of the file."""


class GitStatus(Enum):
    """Whether a file could reach a commit."""

    TRACKED = "tracked"
    NOT_IGNORED = "not ignored"
    SAFE = "safe"
    """Ignored, or there is no git or no repository."""


def git_status(path: Path) -> GitStatus:
    """Return whether git tracks a file, or would take it; it does not have to exist.

    Only what the repository ignores counts, not what the settings of this user do.
    """
    git = shutil.which("git")
    if git is None:
        return GitStatus.SAFE
    tracked = _exit_code([git, "ls-files", "--error-unmatch", "--", path.name], path.parent)
    if tracked == 0:
        return GitStatus.TRACKED
    own_rules_only = ["-c", f"core.excludesFile={os.devnull}"]
    ignored = _exit_code([git, *own_rules_only, "check-ignore", "-q", path.name], path.parent)
    # Outside of a repository, or where git refuses to look, both end with 128.
    return GitStatus.NOT_IGNORED if (tracked, ignored) == (1, 1) else GitStatus.SAFE


def _exit_code(command: list[str], folder: Path) -> int | None:
    environment = {name: value for name, value in os.environ.items() if name not in _LOCATION}
    try:
        done = subprocess.run(  # noqa: S603 - found on PATH, with a name of our own
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.returncode
