"""Request ids, and the caller's trace."""

from __future__ import annotations

import random
import re

import pytest
from fastapi.responses import (
    Response,
)

from sturdyapi.context import current_request_id
from sturdyapi.exceptions import ConfigurationError

from .support import client_of, exchange, header, make_app, record

ALLOWED_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
NEW_ID = re.compile(r"[0-9a-f]{32}")


def test_every_response_carries_a_new_request_id() -> None:
    """A request without an id gets one of 32 hexadecimal digits, another for each request."""
    client = client_of(make_app())

    ids = [client.get("/").headers["x-request-id"] for _ in range(3)]

    assert all(NEW_ID.fullmatch(each) for each in ids)
    assert len(set(ids)) == 3


@pytest.mark.parametrize("sent", ["a", "A.b_c-9", "x" * 128], ids=["one", "signs", "longest"])
def test_a_clients_request_id_is_kept(sent: str) -> None:
    """An id of letters, digits and `._-`, up to 128 of them, is taken over from the client."""
    assert client_of(make_app()).get("/", headers={"x-request-id": sent}).headers[
        "x-request-id"
    ] == (sent)


@pytest.mark.parametrize(
    "sent",
    [b"", b"x" * 129, b"x" * 60_000, b"{braces}", b"a b", b"a\x85b", b"\xe9", b"a\n", b"%0A", b"$"],
    ids=["empty", "129", "60-kB", "braces", "space", "C1", "latin-1", "newline", "escape", "sign"],
)
@pytest.mark.anyio
async def test_an_unsafe_request_id_is_replaced(sent: bytes) -> None:
    """Trap 101: an id that could break a log line or a header is replaced by a new one."""
    app = make_app()
    lines = record(app)

    answer = await exchange(app, headers=[(b"x-request-id", sent)])

    given = header(answer, "x-request-id")
    assert given is not None
    assert NEW_ID.fullmatch(given)
    assert lines.requests[0]["fields"]["request_id"] == given


@pytest.mark.anyio
async def test_no_bytes_get_past_the_allow_list() -> None:
    """Whatever bytes a client sends as its id, the answer's id is made of allowed signs only."""
    app = make_app()
    draw = random.Random(101)  # a fixed seed: the same thousand ids in each run
    likely = b"abcXYZ019._-" * 8

    for _ in range(1000):
        signs = [draw.choice(likely) for _ in range(draw.randrange(0, 140))]
        if draw.random() < 0.5:
            signs.insert(draw.randrange(0, len(signs) + 1), draw.randrange(256))
        sent = bytes(signs)
        given = header(await exchange(app, headers=[(b"x-request-id", sent)]), "x-request-id")

        assert given is not None
        if re.fullmatch(rb"[A-Za-z0-9._-]{1,128}", sent):
            assert given == sent.decode()
        else:
            assert NEW_ID.fullmatch(given)


def test_the_endpoint_sees_the_id_that_the_client_gets() -> None:
    """`current_request_id()` in an endpoint is the id of the response header."""
    app = make_app()

    @app.get("/")
    def read() -> str | None:
        return current_request_id()

    answer = client_of(app).get("/")

    assert answer.json() == answer.headers["x-request-id"]


def test_a_problem_names_the_request_id() -> None:
    """The problem document of an error carries the id that is in the response's header."""
    answer = client_of(make_app()).get("/nowhere")

    assert answer.json()["requestId"] == answer.headers["x-request-id"]


def test_the_request_id_header_can_be_renamed() -> None:
    """With `request_id_header="X-Correlation-ID"` that header is read, and sent, in its place."""
    client = client_of(make_app(request_id_header="X-Correlation-ID"))

    answer = client.get("/", headers={"x-correlation-id": "mine", "x-request-id": "other"})

    assert answer.headers["x-correlation-id"] == "mine"
    assert "x-request-id" not in answer.headers


def test_the_request_id_header_can_be_switched_off() -> None:
    """With `request_id_header=None` no header is read or sent; log lines still have an id."""
    app = make_app(request_id_header=None)
    lines = record(app)

    answer = client_of(app).get("/", headers={"x-request-id": "mine"})

    assert "x-request-id" not in answer.headers
    assert NEW_ID.fullmatch(lines.requests[0]["fields"]["request_id"])


@pytest.mark.parametrize("name", ["", "X Request", "X-Request-ID:", "X-Ünique", "X\r\nSet-Cookie"])
def test_a_request_id_header_that_is_no_header_name_is_refused(name: str) -> None:
    """A `request_id_header` that HTTP has no form for is refused while the app is built."""
    with pytest.raises(ConfigurationError, match="request_id_header"):
        make_app(request_id_header=name)


def test_an_endpoints_own_request_id_wins() -> None:
    """A response that has an `X-Request-ID` of its own keeps it, once."""
    app = make_app()

    @app.get("/")
    async def read() -> Response:
        return Response(headers={"X-Request-ID": "own"})

    assert client_of(app).get("/").headers.get_list("x-request-id") == ["own"]


TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize("version", ["00", "cc"])
def test_a_traceparent_is_picked_up(version: str) -> None:
    """The caller's W3C trace and span ids are fields of every log line of the request."""
    app = make_app()
    lines = record(app)

    client_of(app).get("/", headers={"traceparent": f"{version}-{TRACE}-{SPAN}-01"})

    fields = lines.requests[0]["fields"]
    assert (fields["trace_id"], fields["span_id"]) == (TRACE, SPAN)


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "nonsense",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01 ",
    ],
    ids=[
        "empty", "nonsense", "no-trace", "no-span", "upper-case", "no-flags", "short",
        "version-0-is-longer", "forbidden-version", "trailing-space",
    ],
)  # fmt: skip
@pytest.mark.anyio
async def test_an_invalid_traceparent_is_ignored(sent: str) -> None:
    """A `traceparent` that the standard calls invalid adds nothing to the log lines."""
    app = make_app()
    lines = record(app)

    await exchange(app, headers=[(b"traceparent", sent.encode())])

    assert lines.requests[0]["fields"].keys() == {"request_id"}
