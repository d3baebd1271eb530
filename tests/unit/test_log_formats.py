"""The forms of a log line."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from sturdyapi.log.entry import ACCESS, WEBSOCKET, Clock, Entry, Exchange, Session
from sturdyapi.log.formats import EcsFormat, JsonFormat, JsonLines, TextFormat
from sturdyapi.log.values import MAX_TEXT_CHARS

if TYPE_CHECKING:
    from collections.abc import Mapping

NOON = 1795348800.123456  # 22 November 2026, 12:00 UTC, and 123456 microseconds
HOSTILE = '{braces} <red>tag</red> \n\r\x85\u2028\x1b[31m\x00 " \\ é \ud800 %0A'


def _entry(message: str = "hello", **changes: Any) -> Entry:
    facts: dict[str, Any] = {
        "time_seconds": NOON,
        "level": "INFO",
        "severity": 20,
        "logger": "shop.orders",
        "message": message,
    }
    return Entry(**(facts | changes))


def _access_entry(exchange: Exchange, fields: Mapping[str, Any]) -> Entry:
    return _entry(exchange.message, logger=ACCESS, http=exchange.members(), fields=fields)


def _exchange(**changes: Any) -> Exchange:
    facts: dict[str, Any] = {
        "method": "GET",
        "route": "/items/{item_id}",
        "path": "/items/42",
        "status": 200,
        "duration_seconds": 0.0031,
        "client": "127.0.0.1",
    }
    return Exchange(**(facts | changes))


def _ecs() -> EcsFormat:
    return EcsFormat(service="shop", environment="production")


def _failure() -> BaseException:
    with pytest.raises(ValueError, match="outer") as caught:
        _fail()
    return caught.value


def _fail() -> None:
    try:
        dict[str, str]()["inner"]
    except KeyError as error:
        raise ValueError("outer") from error


def test_json_line_is_flat() -> None:
    """A JSON line has its time, level, logger and message first, then every field by its name."""
    line = JsonFormat().line(_entry(fields={"request_id": "r1", "user_id": 7, "total": 1.5}))

    assert line == (
        '{"time": "2026-11-22T12:00:00.123456Z", "level": "INFO", "logger": "shop.orders", '
        '"message": "hello", "request_id": "r1", "user_id": 7, "total": 1.5}\n'
    )


def test_json_access_line() -> None:
    """A JSON access line has the request's facts and the fields that were bound to it."""
    line = JsonFormat().access_line(NOON, _exchange(), {"request_id": "r1", "user_id": 7})

    assert json.loads(line or "") == {
        "time": "2026-11-22T12:00:00.123456Z",
        "level": "INFO",
        "logger": "sturdyapi.access",
        "message": "GET /items/42 200",
        "method": "GET",
        "route": "/items/{item_id}",
        "path": "/items/42",
        "status": 200,
        "duration_ms": 3.1,
        "client": "127.0.0.1",
        "request_id": "r1",
        "user_id": 7,
    }


def test_ecs_access_line() -> None:
    """An ECS access line uses the field names of the Elastic Common Schema."""
    fields = {"request_id": "r1", "trace_id": "t1", "span_id": "s1", "user_id": 7, "plan": "free"}

    line = _ecs().access_line(NOON, _exchange(), fields)

    assert json.loads(line or "") == {
        "@timestamp": "2026-11-22T12:00:00.123456Z",
        "log.level": "info",
        "message": "GET /items/42 200",
        "log.logger": "sturdyapi.access",
        "ecs.version": "8.11.0",
        "service.environment": "production",
        "service.name": "shop",
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "url.path": "/items/42",
        "event.duration": 3_100_000,
        "client.address": "127.0.0.1",
        "client.ip": "127.0.0.1",
        "http.request.id": "r1",
        "trace.id": "t1",
        "span.id": "s1",
        "user.id": "7",
        "labels": {"route": "/items/{item_id}", "plan": "free"},
    }


@pytest.mark.parametrize("make", [JsonFormat, _ecs])
@pytest.mark.parametrize(
    "exchange",
    [
        _exchange(),
        _exchange(route=None, client=None),
        _exchange(client="::1", status=503, duration_seconds=12.5),
        _exchange(client="/run/app.sock", method=HOSTILE, path=HOSTILE, route=HOSTILE),
    ],
)
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"request_id": HOSTILE, "user_id": 7},
        {"user_id": None, "ok": True, "ratio": float("nan"), "big": 2**70, "many": [1, {"a": 2}]},
        {HOSTILE: 1, "long": "x" * (MAX_TEXT_CHARS + 1)},
    ],
)
def test_both_ways_of_an_access_line_agree(
    make: type[JsonLines], exchange: Exchange, fields: dict[str, Any]
) -> None:
    """The fast way to write an access line writes what the thorough one does."""
    fast = make().access_line(NOON, exchange, fields)

    thorough = make().line(_access_entry(exchange, fields))
    assert fast is None or json.loads(fast) == json.loads(thorough)
    assert fast is not None or HOSTILE in fields


@pytest.mark.parametrize("make", [JsonFormat, _ecs])
@pytest.mark.parametrize("fields", [{"password": "x"}, {"status": 1, "route": 2}])
def test_access_line_leaves_difficult_fields_to_the_thorough_way(
    make: type[JsonLines], fields: dict[str, Any]
) -> None:
    """Fields to mask or rename do not go the fast way."""
    assert make().access_line(NOON, _exchange(), fields) is None


@pytest.mark.parametrize("make", [JsonFormat, _ecs])
def test_fast_way_remembers_only_so_much(make: type[JsonLines]) -> None:
    """Names and methods that a client makes up do not fill the memory."""
    lines = make()
    for number in range(5000):
        lines.access_line(NOON, _exchange(method=f"M{number}"), {})
        lines.access_line(NOON, _exchange(), {f"field{number}": 1})

    assert len(lines._openings) == 512
    assert len(lines._requests) == 4096
    assert lines.access_line(NOON, _exchange(), {}) is not None


@pytest.mark.parametrize("make", [JsonFormat, _ecs])
def test_hostile_text_stays_in_its_place(make: type[JsonLines]) -> None:
    """No text of a user can end a JSON line early or add a member to it."""
    line = make().line(_entry(HOSTILE, logger=HOSTILE, fields={HOSTILE: HOSTILE}))

    assert line.isascii()
    assert line.splitlines() == [line[:-1]]
    assert json.loads(line)["message"] == HOSTILE


def test_own_members_are_never_replaced() -> None:
    """A field named as one of our own members keeps its value under another name."""
    fields = {"time": "a", "time_": "b", "message": "c", "exception": "d", "status": 1, "path": "e"}

    line = json.loads(JsonFormat().line(_access_entry(_exchange(), fields)))

    assert line["time"] == "2026-11-22T12:00:00.123456Z"
    assert (line["status"], line["path"]) == (200, "/items/42")
    assert (line["time_"], line["time__"]) == ("a", "b")
    assert (line["message_"], line["exception_"], line["status_"]) == ("c", "d", 1)
    assert "exception" not in line


def test_ordinary_line_may_have_a_status() -> None:
    """Names of access lines are free on every other line."""
    assert json.loads(JsonFormat().line(_entry(fields={"status": "paid"})))["status"] == "paid"


def test_ecs_labels_are_text() -> None:
    """ECS labels are text by names without dots, so that Elasticsearch takes each line."""
    fields = {"n": 1, "none": None, "a.b": [1], "a_b": {"x": 1}, "password": "hunter2"}

    line = json.loads(_ecs().line(_entry(fields=fields)))

    assert line["labels"] == {
        "n": "1",
        "none": "null",
        "a_b": "[1]",
        "a_b_": '{"x": 1}',
        "password": "***",
    }


@pytest.mark.parametrize("make", [JsonFormat, _ecs])
def test_websocket_line(make: type[JsonLines]) -> None:
    """The line of a websocket tells its path, close code and duration."""
    session = Session("/chat/{room}", "/chat/7", 1001, 61.5, None)
    entry = _entry(session.message, logger=WEBSOCKET, http=session.members(), fields={"code": "x"})

    line = json.loads(make().line(entry))

    assert line["message"] == "websocket /chat/7 closed 1001"
    assert {61500.0, 61_500_000_000} & {line.get("duration_ms"), line.get("event.duration")}
    labels = line.get("labels", line)
    assert (str(labels["code"]), labels["code_"]) == ("1001", "x")


def test_json_error() -> None:
    """An error has its type, its text and the traceback with the whole chain."""
    line = json.loads(JsonFormat().line(_entry(error=_failure())))

    assert line["exception"]["type"] == "ValueError"
    assert line["exception"]["message"] == "outer"
    assert "KeyError: 'inner'" in line["exception"]["stack"]
    assert "direct cause" in line["exception"]["stack"]


def test_ecs_error() -> None:
    """In ECS an error has the fields `error.type`, `error.message` and `error.stack_trace`."""
    line = json.loads(_ecs().line(_entry(error=_failure())))

    assert (line["error.type"], line["error.message"]) == ("ValueError", "outer")
    assert line["error.stack_trace"].startswith("Traceback")


def test_text_line() -> None:
    """A text line has the local time, level, origin, message, fields and a short request id."""
    fields = {"request_id": "0123456789abcdef", "user_id": 7, "note": "two words", "password": "x"}

    line = TextFormat().line(_entry(fields=fields, origin="read:12"), colour=False)

    assert re.fullmatch(
        r"\d\d:\d\d:\d\d\.123 INFO     shop\.orders:read:12 hello  "
        r'user_id=7 note="two words" password=\*\*\* #01234567\n',
        line,
    )


def test_text_access_line() -> None:
    """A text access line is short: method, path, status and duration."""
    line = TextFormat().line(_access_entry(_exchange(), {"request_id": "r1"}), colour=False)

    assert line.endswith(" INFO     GET /items/42 200 3.1 ms  127.0.0.1 #r1\n")


def test_text_line_is_coloured_on_request() -> None:
    """Colours tell level and status, and enclose only our own text."""
    ok = TextFormat().line(_access_entry(_exchange(), {}), colour=True)
    failed = TextFormat().line(_access_entry(_exchange(status=500), {}), colour=True)
    warning = TextFormat().line(_entry(level="WARNING"), colour=True)

    assert "\x1b[32mGET" in ok
    assert "\x1b[31mGET" in failed
    assert "\x1b[33mWARNING \x1b[0m" in warning


def test_text_line_cannot_be_forged() -> None:
    """In text, a line break in a message or an error only begins a line that is set off."""
    forged = "ok\n12:00:00.000 CRITICAL forged\r\nand\rmore\x85x\x1b[2K"
    entry = _entry(forged, fields={forged: forged}, error=ValueError(forged))

    first, *others = TextFormat().line(entry, colour=False).split("\n")

    assert others.pop() == ""
    assert all(line.startswith("    | ") for line in others)
    assert "\x1b" not in first + "".join(others)
    assert "\r" not in first + "".join(others)


def test_time_of_each_second() -> None:
    """Times are exact to the microsecond, over the turn of a second and back."""
    clock = Clock()

    assert clock.stamp(NOON) == "2026-11-22T12:00:00.123456Z"
    assert clock.stamp(NOON + 1) == "2026-11-22T12:00:01.123456Z"
    assert clock.stamp(NOON) == "2026-11-22T12:00:00.123456Z"
    assert clock.stamp(0) == "1970-01-01T00:00:00.000000Z"
