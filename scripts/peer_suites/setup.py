"""What the runs need: the suites' sources, and an environment with their requirements."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .suites import Suite

CHECKOUT = Path(__file__).resolve().parents[2]

_NOT_NEEDED = frozenset(
    {"mypy", "pytest-cov", "pytest-sugar", "starlette", "twine", "ty", "types-pyyaml"}
)
"""Names in the suites' groups that their tests do not need, or that are pinned here."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where everything is; ignored by Git, and safe to delete."""

    root: Path

    @property
    def python(self) -> Path:
        """Interpreter of the suites' environment."""
        return self.root / "venv" / "bin" / "python"

    @property
    def stamp(self) -> Path:
        """Says what the environment was made of; written last."""
        return self.root / "venv" / "made-of.txt"

    def archive(self, suite: Suite) -> Path:
        """Return the source distribution of a suite."""
        return self.root / f"{suite.folder}.tar.gz"

    def outcomes(self, suite: Suite, side: str) -> Path:
        """Return the file with the outcome of each test; `side` is `stock` or `sturdyapi`."""
        return self.root / f"{suite.folder}.{side}.json"

    def log(self, suite: Suite, side: str) -> Path:
        """Return the file with what pytest printed."""
        return self.root / f"{suite.folder}.{side}.log"


def prepare(suites: Sequence[Suite]) -> Workshop:
    """Return the folder with the suites' archives and their environment, made if need be."""
    workshop = Workshop(CHECKOUT / ".peer-suites")
    workshop.root.mkdir(exist_ok=True)
    for suite in suites:
        if not workshop.archive(suite).exists():
            _download(workshop, suite)
    _make_environment(workshop, suites)
    return workshop


def unpack(workshop: Workshop, suite: Suite) -> Path:
    """Return the folder of a suite as published, without what an earlier run has left there."""
    folder = workshop.root / suite.folder
    shutil.rmtree(folder, ignore_errors=True)
    with tarfile.open(workshop.archive(suite)) as tar:
        tar.extractall(workshop.root, filter="data")
    return folder


def _download(workshop: Workshop, suite: Suite) -> None:
    print(f"downloading the sources of {suite}")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    pip += ["--no-binary", suite.name, "--dest", str(workshop.root)]
    subprocess.run([*pip, f"{suite.name}=={suite.version}"], check=True)
    archive = workshop.archive(suite)
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != suite.sha256:
        archive.unlink()
        sys.exit(f"{archive} has the SHA-256 {found}, not {suite.sha256}. Is it the published one?")


def _make_environment(workshop: Workshop, suites: Sequence[Suite]) -> None:
    requirements = sorted(set(_requirements(workshop, suites)))
    made_of = "\n".join([sys.version, *requirements])
    if workshop.stamp.exists() and workshop.stamp.read_text() == made_of:
        return
    print(f"making the suites' environment in {workshop.python.parents[1]}")
    venv.create(workshop.python.parents[1], clear=True, with_pip=True)
    subprocess.run([workshop.python, "-m", "pip", "install", "--quiet", *requirements], check=True)
    for stale in workshop.root.glob("*.json"):
        stale.unlink()
    workshop.stamp.write_text(made_of)


def _requirements(workshop: Workshop, suites: Sequence[Suite]) -> Iterator[str]:
    yield from _read_project(CHECKOUT)["project"]["dependencies"]
    for suite in suites:
        yield f"{suite.name}=={suite.version}"
        project = _read_project(unpack(workshop, suite))
        for group in suite.test_requirements:
            for requirement in _group(project, group):
                if _name(requirement) not in _NOT_NEEDED:
                    yield requirement
    yield "pytest-xdist"


def _name(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower()


def _read_project(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))


def _group(project: dict[str, Any], name: str) -> Iterator[str]:
    groups = project["project"]["optional-dependencies"] | project["dependency-groups"]
    for entry in groups[name]:
        if isinstance(entry, str):
            yield entry
        else:
            yield from _group(project, entry["include-group"])
