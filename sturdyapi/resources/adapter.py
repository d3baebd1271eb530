"""The contract of the adapters in `sturdyapi.contrib`."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, NamedTuple, TypeVar

from sturdyapi.exceptions import ConfigurationError, did_you_mean

from .resource import TIMEOUT_SECONDS, Resource

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from sturdyapi.exceptions import OutageError

    from .resource import ResourceContext

__all__ = ["Adapter", "ConnectionCount"]

T = TypeVar("T")


class ConnectionCount(NamedTuple):
    """Connections of an adapter's pool, at one moment."""

    in_use: int
    """Handed out."""
    open: int
    """To the server, idle ones included."""
    limit: int
    """How many there may be at the most."""


class Adapter(Resource[T]):
    """A resource that speaks to a server.

    Every adapter keeps this contract, and one test suite, `tests/contract`, holds it against a
    real server:

    - `open()` proves that the server answers. What its user can mend, such as a wrong password, is
      a `ResourceStartError` that says so in one sentence, without a secret.
    - Closing ends within `close_timeout_seconds`, whatever is still in use.
    - `check()` makes one round trip.
    - `connections()` tells how many are in use; after any error, cancellation or disconnect it
      comes back to what it was.
    - `translate()` turns what an outage looks like in the driver into an `OutageError`, which is
      answered as 503 or 504. What speaks of a statement stays the driver's own.

    Attributes:
        what: Word for the server that a client may see.
        schemes: Schemes of the URLs that are taken.
        max_connections: Connections that one process opens at the most; `None` where it does not
            matter. `sturdyapi run` fits the number of workers to it.
    """

    what: ClassVar[str]
    schemes: ClassVar[tuple[str, ...]]
    max_connections: int | None = None

    def __init__(
        self,
        name: str,
        *,
        setting: str | None = None,
        url: str | None = None,
        needs: Sequence[Resource[Any]] = (),
        timeout_seconds: float = TIMEOUT_SECONDS,
        close_timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        """Take the URL, or the name of the setting that holds it.

        Raises:
            ConfigurationError: Neither `setting` nor `url` was given, or both.
        """
        super().__init__(
            name,
            needs=needs,
            timeout_seconds=timeout_seconds,
            close_timeout_seconds=close_timeout_seconds,
        )
        if bool(setting) == bool(url):
            raise ConfigurationError(
                f"{type(self).__name__} takes either setting=, the name of the setting that holds "
                f"the URL, or url=. It was given {'both' if url else 'neither'}."
            )
        self._setting = setting
        self._url = url

    @abstractmethod
    def connections(self, value: T) -> ConnectionCount:
        """Return how many connections are in use, open, and possible."""

    @abstractmethod
    def translate(self, error: BaseException) -> OutageError | None:
        """Return what a driver's error means to a client, or `None` if it is no outage."""

    def url_from(self, context: ResourceContext) -> str:
        """Return the URL with its password, from the settings or as it was given.

        Raises:
            ConfigurationError: There is no such setting, it is not set, or its scheme is another.
        """
        url = self._url or self._from_setting(context.settings)
        scheme, _, rest = url.partition(":")
        if ":" not in url or scheme.lower() not in self.schemes:
            taken = " or ".join(f"{each}:" for each in self.schemes)
            # Without `//` it is perhaps no URL, but a user's name, or a secret in the wrong place.
            begins = f"begins with '{scheme}:'" if rest.startswith("//") else "has no scheme"
            is_with_driver = scheme.partition("+")[0].lower() in self.schemes and "+" in scheme
            advice = " What follows the '+' is a driver, for SQLAlchemy: leave it out."
            raise ConfigurationError(
                f"The URL of resource '{self.name}' ({self.source}) {begins}. "
                f"{type(self).__name__} takes {taken}.{advice if is_with_driver else ''}"
            ) from None
        return url

    @property
    def source(self) -> str:
        """Where the URL is from, for messages."""
        return self._setting.upper() if self._setting else "url="

    def _from_setting(self, settings: object) -> str:
        name = self._setting or ""
        value = getattr(settings, name, None)
        if value is None:
            raise ConfigurationError(self._missing(name, settings))
        return str(value.get_secret_value() if hasattr(value, "get_secret_value") else value)

    def _missing(self, name: str, settings: object) -> str:
        if settings is None:
            return (
                f"Resource '{self.name}' reads its URL from the setting '{name}', but there are no "
                "settings. Give some: open_resources(..., settings=Settings.load())."
            )
        fields = sorted(getattr(type(settings), "model_fields", ()))
        if name in fields:
            return f"Resource '{self.name}' reads its URL from {name.upper()}, which is not set."
        return (
            f"Resource '{self.name}' reads its URL from the setting '{name}', and "
            f"{type(settings).__name__} has no such field.{did_you_mean(name, fields)} "
            f"Add it: {name}: Dsn."
        )
