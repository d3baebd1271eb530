"""What an import says when the package that it needs is not there."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sturdyapi.exceptions import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["needs_extra"]


@contextmanager
def needs_extra(feature: str, extra: str, *, package: str) -> Iterator[None]:
    """Turn a missing package into an error with the line that installs it.

        with needs_extra("sturdyapi.contrib.postgres", "postgres", package="asyncpg"):
            import asyncpg

    A package that is there, but can't be imported, keeps its own error.

    Args:
        feature: What its user has asked for.
        extra: Extra of SturdyAPI that brings the package.
        package: Name under which it is imported.

    Raises:
        MissingExtraError: The package is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise MissingExtraError(feature, extra, package=package) from error
