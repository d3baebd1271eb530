"""Load on a service, counted: what was sent, answered rightly, refused and failed.

A request has failed if it got onto a connection and did not get the whole right answer: whatever
the server did with the connection, the client has lost it. Nothing is sent twice.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

import h11

from .polling import TIMEOUT_SECONDS, eventually
from .service import PARTS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

FIGURES = "requests"
"""Property of a test, `what|server|counts`, that is shown when all tests have run."""

PAUSE_SECONDS = 0.02
"""Between two requests of a client: the machine has other work too."""


class Request(NamedTuple):
    """What is sent, and the body that is right as an answer."""

    method: str
    path: str
    body: bytes
    is_right: Callable[[bytes], bool]


class Answer(NamedTuple):
    """The whole of what came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def closes(self) -> bool:
        """Whether the server has announced that it closes the connection."""
        return self.headers.get("connection", "").lower() == "close"


class Connection:
    """One connection to a service, for one request after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take both ends of an open connection."""
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.CLIENT)

    @classmethod
    async def open(cls, port: int) -> Connection:
        """Connect.

        Raises:
            ConnectionRefusedError: Nobody listens there.
        """
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    @property
    def is_usable(self) -> bool:
        """Whether another request may be sent, as far as a client can know."""
        return self._http.our_state is h11.IDLE and not self._reader.at_eof()

    async def ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Answer:
        """Send a request and read the whole answer.

        Raises:
            OSError, h11.ProtocolError, TimeoutError: There is no whole answer.
        """
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await self._send(method, path, body, headers or {})
            answer = await self._receive()
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        return answer

    async def _send(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> None:
        named = {"Host": "localhost", "Content-Length": str(len(body)), **headers}
        request = h11.Request(method=method, target=path, headers=list(named.items()))
        for event in (request, h11.Data(data=body), h11.EndOfMessage()):
            self._writer.write(self._http.send(event) or b"")
        # A server may answer before it has read everything, and close: then the answer counts.
        with suppress(ConnectionError):
            await self._writer.drain()

    async def _receive(self) -> Answer:
        status, headers, body = 0, {}, b""
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._http.receive_data(await self._reader.read(65536))
            elif isinstance(event, h11.Response):
                status = event.status_code
                headers = {name.decode(): value.decode() for name, value in event.headers}
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                return Answer(status, headers, body)
            elif not isinstance(event, h11.InformationalResponse):
                raise h11.RemoteProtocolError(f"{event!r} instead of an answer")

    async def close(self) -> None:
        """Close the connection."""
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Connection]:
    """Connect for the length of the block, as `Connection.open()` does."""
    connection = await Connection.open(port)
    try:
        yield connection
    finally:
        await connection.close()


async def ask(port: int, path: str) -> Answer | None:
    """Get a path on a connection of its own; `None` if nobody listens."""
    with suppress(ConnectionRefusedError):
        async with connected(port) as connection:
            return await connection.ask("GET", path)
    return None


@dataclass
class Tally:
    """What became of the requests."""

    sent: int = 0
    right: int = 0
    refused: int = 0
    failures: list[str] = field(default_factory=list)
    pids: set[int] = field(default_factory=set)
    """Processes that have answered."""

    @property
    def failed(self) -> int:
        """Requests that got onto a connection and have no whole right answer."""
        return len(self.failures)

    @property
    def accepted(self) -> int:
        """Requests that got onto a connection."""
        return self.sent - self.refused

    @property
    def figures(self) -> str:
        """The counts, in the order `sent accepted refused failed`."""
        return f"{self.sent:6} {self.accepted:8} {self.refused:7} {self.failed:6}"


class Balancer:
    """Sends to the instances that were ready when they were last asked, each in its turn."""

    POLL_SECONDS = 0.05

    def __init__(self) -> None:
        """Start with no instance."""
        self._ready: dict[int, bool] = {}
        self._turn = count()

    async def add(self, port: int) -> None:
        """Take an instance into service once it is ready."""
        self._ready[port] = False

        async def is_ready() -> bool:
            return self._ready[port]

        await eventually(is_ready)

    def remove(self, port: int) -> None:
        """Forget an instance that has ended."""
        del self._ready[port]

    async def pick(self) -> int:
        """Return the port of an instance that is ready; wait if there is none."""

        async def are_some_ready() -> bool:
            return any(self._ready.values())

        await eventually(are_some_ready)
        ready = [port for port, is_ready in self._ready.items() if is_ready]
        return ready[next(self._turn) % len(ready)]

    async def watch(self) -> None:
        """Ask the instances for as long as the task runs."""
        while True:
            await asyncio.gather(*(self._poll(port) for port in tuple(self._ready)))
            await asyncio.sleep(self.POLL_SECONDS)

    async def _poll(self, port: int) -> None:
        try:
            answer = await ask(port, "/health/ready")
        except (OSError, h11.ProtocolError):
            answer = None
        if port in self._ready:
            self._ready[port] = answer is not None and answer.status == 200


class Load:
    """Clients that send requests until they are told to stop.

    Half of them keep their connection, as a proxy does: they leave it when the server says so or
    closes it, and not because a balancer would send the next one elsewhere.
    """

    def __init__(self, pick: Callable[[], int] | Balancer, *, clients: int = 8) -> None:
        """Make the clients; `pick` says which port the next connection goes to."""
        self.tally = Tally()
        self._pick = pick
        self._clients = clients
        self._ids = count(1)
        self._is_over = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Tally]:
        """Send while the block runs, and wait for the last answers."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._clients):
                group.create_task(self._client(keeps=number % 2 == 0))
            try:
                yield self.tally
            finally:
                self._is_over = True

    async def answered(self, more: int) -> None:
        """Wait until so many more requests have been answered."""
        wanted = self.tally.right + more

        async def are_answered() -> bool:
            return self.tally.right >= wanted or self.tally.failed > 0

        await eventually(are_answered)

    async def _client(self, *, keeps: bool) -> None:
        connection: Connection | None = None
        while not self._is_over:
            if connection is None or not connection.is_usable:
                connection = await self._replaced(connection)
            if connection is not None and not await self._exchange(connection, keeps=keeps):
                await connection.close()
                connection = None
            await asyncio.sleep(PAUSE_SECONDS)
        if connection is not None:
            await connection.close()

    async def _replaced(self, connection: Connection | None) -> Connection | None:
        if connection is not None:
            await connection.close()
        port = await self._pick.pick() if isinstance(self._pick, Balancer) else self._pick()
        try:
            return await Connection.open(port)
        except ConnectionRefusedError:
            self.tally.sent += 1
            self.tally.refused += 1
            return None
        except OSError as error:
            self.tally.sent += 1
            self.tally.failures.append(f"connect to {port}: {error!r}")
            return None

    async def _exchange(self, connection: Connection, *, keeps: bool) -> bool:
        """Send the next request; tell whether the connection may take another."""
        number = next(self._ids)
        request = _request(number)
        request_id = f"load-{number}"
        headers = {"X-Request-ID": request_id} | ({} if keeps else {"Connection": "close"})
        self.tally.sent += 1
        try:
            answer = await connection.ask(request.method, request.path, request.body, headers)
        except (OSError, h11.ProtocolError) as error:
            self._fail(request, keeps, repr(error))
            return False
        if answer.status != 200 or not request.is_right(answer.body):
            self._fail(request, keeps, f"{answer.status} {answer.body[:200]!r}")
        elif answer.headers.get("x-request-id") != request_id:
            self._fail(request, keeps, f"the answer of {answer.headers.get('x-request-id')}")
        else:
            self.tally.right += 1
            self._note_process(answer.body)
        return keeps and not answer.closes

    def _fail(self, request: Request, keeps: bool, why: str) -> None:
        kind = "keep-alive" if keeps else "one request"
        self.tally.failures.append(f"{request.method} {request.path} ({kind}): {why}")

    def _note_process(self, body: bytes) -> None:
        if body.startswith(b"{"):
            self.tally.pids.add(json.loads(body)["pid"])


def _request(number: int) -> Request:
    text, length = f"text-{number}", number % 40_000
    match number % 3:
        case 0:
            return Request("GET", f"/echo/{text}", b"", lambda body: f'"{text}"'.encode() in body)
        case 1:
            right = str(length).encode()
            return Request("POST", "/upload", b"x" * length, lambda body: body == right)
        case _:
            parts = f"{text}\n".encode() * PARTS
            return Request("GET", f"/stream/{text}", b"", lambda body: body == parts)
