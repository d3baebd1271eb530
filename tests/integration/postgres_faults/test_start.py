"""A service whose database can't be opened: what its user sees, and how the process ends."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from .support import Service

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.heavy


def _with_password(url: str, password: str) -> str:
    return url.replace(f":{urlsplit(url).password}@", f":{password}@")


def _output_of_failed_start(folder: Path, url: str) -> str:
    service = Service(folder, url)
    try:
        assert service.wait_for_end() == 3
    finally:
        service.end()
    output = service.output
    assert "Traceback" not in output
    assert (urlsplit(url).password or "") not in output
    return output


def test_a_wrong_password_is_one_error(postgres_url: str, tmp_path: Path) -> None:
    """The process says that the password is wrong, not which it is, and exits with code 3."""
    for _ in range(3):
        output = _output_of_failed_start(tmp_path, _with_password(postgres_url, "hunter2canary"))
        assert output.count("Resource 'postgres' can't be opened") == 1
        assert "password" in output


def test_a_missing_database_is_one_error(postgres_url: str, tmp_path: Path) -> None:
    """The process names the database that is not there, and exits with code 3."""
    for _ in range(3):
        output = _output_of_failed_start(tmp_path, f"{postgres_url}_missing")
        assert output.count("Resource 'postgres' can't be opened") == 1
        assert urlsplit(postgres_url).path.removeprefix("/") in output
