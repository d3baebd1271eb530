"""A URL with a password in it, which is never printed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from pydantic import SecretStr
from pydantic_core import core_schema

from .faults import refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue

__all__ = ["Dsn", "secrets_in_url"]

# One letter without slashes is a drive of Windows, not a scheme.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*(?=://)|[A-Za-z][A-Za-z0-9+.-]+):(//)?")
_SECRET_PARAMETER = re.compile(r"pass|pwd|secret|token|key|cred|sig", re.IGNORECASE)
_MASK = "***"
_MAX_PORT = 65535


class Dsn:
    """A URL of a database, broker or service whose password shows as `***` wherever it is printed.

    Takes several hosts (`mongodb://a,b/db`) and forms without a host (`embedded:`, `sqlite:///a.db`).
    Secret-looking query parameters are masked too. The first host counts where one is asked for.

    Raises:
        ValueError: The text is no such URL. The message does not repeat it.
    """

    __slots__ = ("_parts", "_url")

    def __init__(self, url: str) -> None:
        self._url = url
        self._parts = _parse(url)

    def get_secret_value(self) -> str:
        """Return the URL as it was given, password included."""
        return self._url

    @property
    def scheme(self) -> str:
        """Scheme in lower case, such as `postgresql` or `redis+unix`."""
        return self._parts.scheme

    @property
    def user(self) -> str | None:
        """User name, decoded."""
        return unquote(self._parts.user) if self._parts.user else None

    @property
    def password(self) -> SecretStr | None:
        """Password, decoded; prints as asterisks."""
        return SecretStr(unquote(self._parts.password)) if self._parts.password else None

    @property
    def hosts(self) -> tuple[tuple[str, int | None], ...]:
        """Every host with its port; empty where the URL names none."""
        return self._parts.hosts

    @property
    def host(self) -> str | None:
        """Name or address of the first host, without the brackets of IPv6."""
        return self.hosts[0][0] if self.hosts else None

    @property
    def port(self) -> int | None:
        """Port of the first host, if the URL states one."""
        return self.hosts[0][1] if self.hosts else None

    @property
    def database(self) -> str | None:
        """Path without its first slash, decoded: a database's name, or number in Redis."""
        return unquote(self._parts.path.removeprefix("/")) or None

    def __str__(self) -> str:
        return _masked(self._url, self._parts)

    def __repr__(self) -> str:
        return f"{type(self).__name__}('{self}')"

    def __eq__(self, other: object) -> bool:
        return self._url == other._url if isinstance(other, Dsn) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._url)

    def __reduce__(self) -> tuple[type[Dsn], tuple[str]]:
        # A server hands its settings to its worker processes.
        return type(self), (self._url,)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._validate,
            serialization=core_schema.plain_serializer_function_ser_schema(str, when_used="json"),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string", "format": "uri", "writeOnly": True}

    @classmethod
    def _validate(cls, value: object) -> Dsn:
        if isinstance(value, cls):
            return value
        if not isinstance(value, str):
            raise refusal("is not a URL")
        try:
            return cls(value)
        except ValueError as error:
            raise refusal(str(error)) from None


class _Parts(NamedTuple):
    scheme: str
    is_opaque: bool
    """There is no `//`, so that nothing is known about what follows the scheme."""
    user: str
    password: str
    hosts: tuple[tuple[str, int | None], ...]
    netloc: str
    path: str
    query: str
    fragment: str

    @property
    def is_ambiguous(self) -> bool:
        """An `@` follows the host: an unescaped password may reach further than it seems."""
        return any("@" in part for part in (self.path, self.query, self.fragment))


def secrets_in_url(url: str) -> Iterator[str]:
    """Yield the secrets inside a URL, each as it stands there and decoded."""
    parts = _parse(url)
    found = [parts.password]
    if parts.is_ambiguous:
        found.append(url.partition("//")[2].rpartition("@")[0].partition(":")[2])
    found += [p.partition("=")[2] for p in _parameters(parts.query) if _is_secret(p)]
    for secret in filter(None, found):
        yield from {secret, unquote(secret)}


def _parse(url: str) -> _Parts:
    if any(character.isspace() or not character.isprintable() for character in url):
        raise ValueError("has a space or a control character in it")
    match = _SCHEME.match(url)
    rest = url[match.end() :] if match else ""
    is_opaque = match is not None and match[2] is None
    if match is None or (is_opaque and (rest[:1].isdigit() or "@" in rest)):
        raise ValueError("does not start with a scheme such as postgresql://")
    rest, _, fragment = rest.partition("#")
    rest, _, query = rest.partition("?")
    netloc, slash, path = ("", "", rest) if is_opaque else rest.partition("/")
    userinfo, _, hosts = netloc.rpartition("@")
    user, _, password = userinfo.partition(":")
    return _Parts(
        scheme=match[1].lower(),
        is_opaque=is_opaque,
        user=user,
        password=password,
        hosts=tuple(_host_and_port(host) for host in hosts.split(",") if host),
        netloc=hosts,
        path=slash + path,
        query=query,
        fragment=fragment,
    )


def _host_and_port(text: str) -> tuple[str, int | None]:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        return unquote(text).strip("[]"), None
    if not port.isdecimal() or int(port) > _MAX_PORT:
        raise ValueError(
            "has a port that is not a number from 0 to 65535 "
            "(a special character in the password has to be percent-encoded)"
        )
    return unquote(host).strip("[]"), int(port)


def _masked(url: str, parts: _Parts) -> str:
    scheme = parts.scheme
    if parts.is_opaque:
        return url if len(url) == len(scheme) + 1 else f"{scheme}:{_MASK}"
    if parts.is_ambiguous:
        return f"{scheme}://{_MASK}"
    user = parts.user + (f":{_MASK}" if parts.password else "")
    query = "&".join(_masked_parameter(parameter) for parameter in _parameters(parts.query))
    return (
        f"{scheme}://{user}{'@' if user else ''}{parts.netloc}{parts.path}"
        f"{'?' if query else ''}{query}{f'#{_MASK}' if parts.fragment else ''}"
    )


def _parameters(query: str) -> list[str]:
    return query.split("&") if query else []


def _masked_parameter(parameter: str) -> str:
    return f"{parameter.partition('=')[0]}={_MASK}" if _is_secret(parameter) else parameter


def _is_secret(parameter: str) -> bool:
    # The value counts as well: `authMechanismProperties=AWS_SESSION_TOKEN:...`.
    return bool(_SECRET_PARAMETER.search(unquote(parameter)))
