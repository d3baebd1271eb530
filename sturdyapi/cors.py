"""What browsers on other origins may do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Cors"]

# What a browser sends; anything else would be compared with it in vain.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9._~:\[\]-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cors:
    """What browsers on other origins may do; the fields are those of Starlette's `CORSMiddleware`.

    Raises:
        ConfigurationError: `origins` contains `*` while credentials are allowed: every site could
            then act as the user.
    """

    origins: Sequence[str]
    """Scheme, host and port, such as `https://app.example.com`; `*` for a public API."""
    credentials: bool = False
    methods: Sequence[str] = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
    headers: Sequence[str] = ("Authorization", "Content-Type")
    expose_headers: Sequence[str] = ()
    """Response headers that scripts may read, next to the request id."""
    max_age_seconds: int = 600

    def __post_init__(self) -> None:
        if isinstance(self.origins, str):
            raise ConfigurationError(
                f"cors= takes a list of origins, not the text '{self.origins}'. "
                f"Write ['{self.origins}']."
            )
        if self.credentials and "*" in self.origins:
            raise ConfigurationError(
                "cors= allows every origin ('*') together with credentials: any site could act as "
                "the user. List the origins, or leave credentials off."
            )
        for origin in self.origins:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ConfigurationError(
                    f"cors= has '{origin}', which is not an origin. "
                    "Write scheme, host and port in small letters, such as "
                    "'https://app.example.com'."
                )

    def keywords(self, request_id_header: str | None) -> dict[str, Any]:
        """Return the keywords of `CORSMiddleware`; scripts may read the request id."""
        exposed = [*self.expose_headers, *([request_id_header] if request_id_header else [])]
        return {
            "allow_origins": list(self.origins),
            "allow_credentials": self.credentials,
            "allow_methods": list(self.methods),
            "allow_headers": list(self.headers),
            "expose_headers": exposed,
            "max_age": self.max_age_seconds,
        }
