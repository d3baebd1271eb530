"""The forms a log line can have: our own JSON, ECS, and text for people.

JSON lines are pure ASCII, so that nothing in them can end a line early or fail to be encoded.
"""

from __future__ import annotations

import json
import re
import time
from abc import ABC, abstractmethod
from functools import lru_cache
from ipaddress import ip_address
from json.encoder import encode_basestring_ascii as quoted
from typing import TYPE_CHECKING, Any, Final

from .entry import ACCESS, Clock, Entry, ExchangeFacts
from .errors import describe
from .values import (
    MAX_INTEGER,
    MAX_TEXT_CHARS,
    escape_controls,
    free_name,
    is_sensitive,
    plain,
    plain_field,
    safe_text,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["EcsFormat", "JsonFormat", "JsonLines", "TextFormat"]

_MAX_KNOWN_NAMES = 512
_MAX_KNOWN_REQUESTS = 4096


class JsonLines(ABC):
    """What the two JSON forms share: access lines are put together by hand.

    `json.dumps` would take longer for one than everything else that is done for its request.
    """

    def __init__(self) -> None:
        self._clock = Clock()
        self._openings: dict[str, str] = {}
        self._requests: dict[tuple[str, str | None, int], tuple[str, str]] = {}

    @abstractmethod
    def line(self, entry: Entry) -> str:
        """Return the line of any entry."""

    @abstractmethod
    def access_line(
        self, time_seconds: float, exchange: ExchangeFacts, fields: Mapping[str, Any]
    ) -> str | None:
        """Return what `line()` would, or `None` for fields that need its care."""

    def _request(self, method: str, route: str | None, status: int) -> tuple[str, str]:
        """Return the method as it stands in the message, and the members that few requests vary."""
        request = quoted(method)[1:-1], self._write_request(method, route, status)
        if len(self._requests) < _MAX_KNOWN_REQUESTS:
            self._requests[method, route, status] = request
        return request

    @abstractmethod
    def _write_request(self, method: str, route: str | None, status: int) -> str: ...

    def _opening(self, name: str) -> str | None:
        """Return how a field begins, up to its value; `None` if its name is not a simple one."""
        if len(self._openings) >= _MAX_KNOWN_NAMES or not self._is_simple(name):
            return None
        opening = self._openings[name] = self._write_opening(name)
        return opening

    @abstractmethod
    def _is_simple(self, name: str) -> bool:
        """Return whether the field needs neither another name nor a mask."""

    @abstractmethod
    def _write_opening(self, name: str) -> str: ...


class JsonFormat(JsonLines):
    """One flat JSON object a line, with the names that the docs list."""

    _OWN_NAMES: Final = frozenset(
        "time level logger message exception method route path status duration_ms client".split()
    )

    def line(self, entry: Entry) -> str:
        """Return the line of any entry."""
        members: dict[str, Any] = {
            "time": self._clock.stamp(entry.time_seconds),
            "level": entry.level,
            "logger": entry.logger,
            "message": safe_text(entry.message),
            "exception": None,
            **{name: plain(value) for name, value in entry.http.items()},
        }
        for name, value in dict(entry.fields).items():
            members[free_name(name, members)] = plain_field(name, value)
        del members["exception"]
        if entry.error is not None:
            members["exception"] = describe(entry.error)._asdict()
        return json.dumps(members) + "\n"

    def access_line(
        self, time_seconds: float, exchange: ExchangeFacts, fields: Mapping[str, Any]
    ) -> str | None:
        """Return what `line()` would, or `None` for fields that need its care."""
        members = ""
        for name, value in list(fields.items()):
            opening = self._openings.get(name) or self._opening(name)
            if opening is None:
                return None
            members += opening + _json_text(value)
        method, route, path, status, duration_seconds, client = exchange
        key = (method, route, status)
        verb, request = self._requests.get(key) or self._request(*key)
        path = quoted(path)
        return (
            f'{{"time": "{self._clock.stamp(time_seconds)}", "level": "INFO", '
            f'"logger": "{ACCESS}", "message": "{verb} {path[1:-1]} {status}", {request}, '
            f'"path": {path}, '
            f'"duration_ms": {duration_seconds * 1000:.3f}, '
            f'"client": {"null" if client is None else quoted(client)}{members}}}\n'
        )

    def _write_request(self, method: str, route: str | None, status: int) -> str:
        return f'"method": {quoted(method)}, "route": {_json_text(route)}, "status": {status}'

    def _is_simple(self, name: str) -> bool:
        return name not in self._OWN_NAMES and not is_sensitive(name)

    def _write_opening(self, name: str) -> str:
        return f", {quoted(name)}: "


class EcsFormat(JsonLines):
    """Elastic Common Schema in dotted names, for Filebeat's `ndjson` with `expand_keys: true`.

    What ECS has no name for goes to `labels`, as text: a label that is a number once and a word
    later makes Elasticsearch refuse the line.

    Source:
        https://www.elastic.co/docs/reference/ecs
    """

    _VERSION: Final = "8.11.0"
    _FIELDS: Final = {
        "request_id": "http.request.id",
        "span_id": "span.id",
        "trace_id": "trace.id",
        "user_id": "user.id",
    }
    _HTTP: Final = {
        "method": "http.request.method",
        "path": "url.path",
        "status": "http.response.status_code",
    }

    def __init__(self, *, service: str | None, environment: str) -> None:
        super().__init__()
        self._constants = {"ecs.version": self._VERSION, "service.environment": environment}
        if service is not None:
            self._constants["service.name"] = service

    def line(self, entry: Entry) -> str:
        """Return the line of any entry."""
        members: dict[str, Any] = {
            "@timestamp": self._clock.stamp(entry.time_seconds),
            "log.level": entry.level.lower(),
            "message": safe_text(entry.message),
            "log.logger": entry.logger,
            **self._constants,
        }
        labels: dict[str, str] = {}
        self._add_http(entry.http, members, labels)
        for name, value in dict(entry.fields).items():
            text = _label_text(plain_field(name, value))
            if name in self._FIELDS:
                members[self._FIELDS[name]] = text
            else:
                labels[free_name(_label_name(name), labels)] = text
        if labels:
            members["labels"] = labels
        if entry.error is not None:
            fault = describe(entry.error)
            members["error.type"] = fault.type
            members["error.message"] = fault.message
            members["error.stack_trace"] = fault.stack
        return json.dumps(members) + "\n"

    def _add_http(
        self, http: Mapping[str, Any], members: dict[str, Any], labels: dict[str, str]
    ) -> None:
        for name, value in http.items():
            if value is None:
                continue
            if name in self._HTTP:
                members[self._HTTP[name]] = plain(value)
            elif name == "duration_ms":
                members["event.duration"] = round(value * 1e6)
            elif name == "client":
                members.update(json.loads(f"{{{_client_members(value)[2:]}}}"))
            else:
                labels[name] = _label_text(value)

    def access_line(
        self, time_seconds: float, exchange: ExchangeFacts, fields: Mapping[str, Any]
    ) -> str | None:
        """Return what `line()` would, or `None` for fields that need its care."""
        method, route, path, status, duration_seconds, client = exchange
        members = "" if client is None else _client_members(client)
        labels = "" if route is None else f', "route": {quoted(route)}'
        for name, value in list(fields.items()):
            opening = self._openings.get(name) or self._opening(name)
            if opening is None:
                return None
            text = value if type(value) is str else _label_text(plain(value))
            if name in self._FIELDS:
                members += opening + _json_text(text)
            else:
                labels += opening + _json_text(text)
        if labels:
            members += f', "labels": {{{labels[2:]}}}'
        key = (method, route, status)
        verb, request = self._requests.get(key) or self._request(*key)
        path = quoted(path)
        return (
            f'{{"@timestamp": "{self._clock.stamp(time_seconds)}", "log.level": "info", '
            f'"message": "{verb} {path[1:-1]} {status}", "log.logger": "{ACCESS}", '
            f'{request}, "url.path": {path}, '
            f'"event.duration": {int(duration_seconds * 1e6 + 0.5) * 1000}{members}}}\n'
        )

    def _write_request(self, method: str, route: str | None, status: int) -> str:
        del route  # a label, and as such further back in the line
        constants = json.dumps(self._constants)[1:-1]
        return (
            f'{constants}, "http.request.method": {quoted(method)}, '
            f'"http.response.status_code": {status}'
        )

    def _is_simple(self, name: str) -> bool:
        return name != "route" and _label_name(name) == name and not is_sensitive(name)

    def _write_opening(self, name: str) -> str:
        return f", {quoted(self._FIELDS.get(name, name))}: "


class TextFormat:
    """One line for people, with colours on a terminal; the traceback of an error below it."""

    _COLOURS: Final = {
        "TRACE": "\x1b[2m",
        "DEBUG": "\x1b[34m",
        "SUCCESS": "\x1b[32m",
        "WARNING": "\x1b[33m",
        "ERROR": "\x1b[31m",
        "CRITICAL": "\x1b[1;31m",
    }
    _STATUS_COLOURS: Final = {2: "\x1b[32m", 3: "\x1b[36m", 4: "\x1b[33m", 5: "\x1b[31m"}
    _DIM: Final = "\x1b[2m"
    _RESET: Final = "\x1b[0m"
    _BLOCK_PREFIX: Final = "    | "
    _SHORT_ID_CHARS: Final = 8

    def line(self, entry: Entry, *, colour: bool) -> str:
        """Return the line of any entry."""
        level = self._paint(f"{entry.level:<8}", self._COLOURS.get(entry.level), colour=colour)
        parts = [self._paint(_local_time(entry.time_seconds), self._DIM, colour=colour), level]
        if not entry.http:
            parts.append(self._paint(self._source(entry), self._DIM, colour=colour))
        parts.append(self._message(entry, colour=colour))
        details = self._details(entry)
        if details:
            parts.append(" " + self._paint(details, self._DIM, colour=colour))
        text = " ".join(parts) + "\n"
        if entry.error is not None:
            text += self._block(describe(entry.error).stack) + "\n"
        return text

    def _paint(self, text: str, code: str | None, *, colour: bool) -> str:
        return f"{code}{text}{self._RESET}" if colour and code else text

    def _source(self, entry: Entry) -> str:
        source = f"{entry.logger}:{entry.origin}" if entry.origin else entry.logger
        return escape_controls(source)

    def _message(self, entry: Entry, *, colour: bool) -> str:
        message = self._block(safe_text(entry.message)).removeprefix(self._BLOCK_PREFIX)
        if "duration_ms" in entry.http:
            message += f" {entry.http['duration_ms']:.1f} ms"
        code = self._STATUS_COLOURS.get(entry.http.get("status", 0) // 100)
        return self._paint(message, code, colour=colour)

    def _details(self, entry: Entry) -> str:
        fields = dict(entry.fields)
        request_id = fields.pop("request_id", None)
        shown = [_assignment(name, plain_field(name, value)) for name, value in fields.items()]
        if entry.http.get("client") is not None:
            shown.insert(0, escape_controls(safe_text(entry.http["client"])))
        if request_id is not None:
            short = escape_controls(safe_text(request_id))[: self._SHORT_ID_CHARS]
            shown.append(f"#{short}")
        return " ".join(shown)

    def _block(self, text: str) -> str:
        """Return text of several lines set off from the left, where only our own lines begin."""
        lines = text.replace("\r\n", "\n").split("\n")
        return "\n".join(self._BLOCK_PREFIX + escape_controls(line) for line in lines)


def _json_text(value: Any) -> str:
    kind = type(value)
    if kind is str and len(value) <= MAX_TEXT_CHARS:
        return quoted(value)
    if kind is int and -MAX_INTEGER <= value <= MAX_INTEGER:
        return str(value)
    return json.dumps(plain(value))


def _label_name(name: object) -> str:
    return re.sub(r"[.\s*\"\\]", "_", safe_text(name))


def _label_text(value: Any) -> str:
    return value if isinstance(value, str) else _json_text(value)


@lru_cache(maxsize=1024)
def _client_members(client: str) -> str:
    address = f', "client.address": {quoted(client)}'
    try:
        # What is no IP address, such as a socket's path, would be refused in a field of type `ip`.
        return f'{address}, "client.ip": "{ip_address(client)}"'
    except ValueError:
        return address


def _local_time(time_seconds: float) -> str:
    text = time.strftime("%H:%M:%S", time.localtime(time_seconds))
    return f"{text}.{int(time_seconds * 1000) % 1000:03d}"


def _assignment(name: object, value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if not text or re.search(r"[\s\"'=]", text):
        text = json.dumps(text, ensure_ascii=False) if isinstance(value, str) else text
    return f"{escape_controls(safe_text(name))}={escape_controls(text)}"
