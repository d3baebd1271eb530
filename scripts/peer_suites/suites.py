"""The suites: which release, and how its authors run it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Suite:
    """One project's published tests."""

    name: str
    version: str
    sha256: str
    """Of the source distribution on PyPI."""
    passed: int
    """Tests that pass on stock; far fewer means that the suite could not run."""
    test_requirements: tuple[str, ...]
    """Extras and dependency groups of its `pyproject.toml` that the tests need."""
    python_path: tuple[str, ...] = ()
    """Folders of the suite that its tests import from."""

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def folder(self) -> str:
        """Name of what the source distribution unpacks to."""
        return f"{self.name}-{self.version}"


SUITES = (
    Suite(
        name="fastapi",
        version="0.165.0",
        sha256="dd94d4128319c1e1d50535ab023ab698f850a4d2822f0e181747b46f4ff3c0ab",
        passed=5209,
        test_requirements=("all", "tests"),
        python_path=("docs_src",),
    ),
    Suite(
        name="starlette",
        version="1.10.0",
        sha256="b8399098d4c1e3522734f7235dc79b1fc967f96cf139c81e0fa30479e0685f9b",
        passed=1412,
        test_requirements=("full", "dev"),
    ),
)
