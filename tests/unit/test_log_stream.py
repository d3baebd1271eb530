"""Where log lines go out, whatever the other end does."""

from __future__ import annotations

import errno
import io
import os
import pty
import select
import threading
from typing import TYPE_CHECKING, Any

import pytest

from sturdyapi.log import stream as stream_module
from sturdyapi.log.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEADLINE_SECONDS = 10
FILLER = b"f" * 4096


class Pipe:
    """A pipe whose writing end is `sys.stdout`."""

    def __init__(self) -> None:
        self.reader, writer = os.pipe()
        self.stdout = os.fdopen(writer, "w")

    def fill(self) -> int:
        """Write until the pipe takes no more, and return how many bytes it holds."""
        number, held = self.stdout.fileno(), 0
        os.set_blocking(number, False)
        try:
            while True:
                held += os.write(number, FILLER)
        except BlockingIOError:
            return held
        finally:
            os.set_blocking(number, True)

    def read(self, count: int) -> bytes:
        """Read exactly this many bytes."""
        data = b""
        while len(data) < count:
            if not select.select([self.reader], [], [], DEADLINE_SECONDS)[0]:
                raise TimeoutError(data[-200:])
            data += os.read(self.reader, count - len(data))
        return data

    def close(self) -> None:
        """Close both ends."""
        os.close(self.reader)
        self.stdout.close()


class Streams:
    """What the module under test takes for `sys`; pytest changes the real one between phases."""

    def __init__(self) -> None:
        self.stdout: Any = None
        self.__stdout__: Any = None


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> Streams:
    """Stand in for `sys` in the module under test."""
    made = Streams()
    monkeypatch.setattr(stream_module, "sys", made)
    return made


@pytest.fixture
def pipe(streams: Streams) -> Iterator[Pipe]:
    """Make a pipe the standard output."""
    made = Pipe()
    streams.stdout = made.stdout
    yield made
    streams.stdout = None
    made.close()


@pytest.fixture(params=["nowait", "poll"])
def each_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write by the call that never waits, then as on systems that do not have it."""
    if request.param == "poll":
        monkeypatch.delattr(os, "RWF_NOWAIT", raising=False)


@pytest.fixture
def new_stream() -> Iterator[Callable[..., Stream]]:
    """Make streams that are closed after the test."""
    made: list[Stream] = []

    def make(*, limit_bytes: int = stream_module.QUEUE_LIMIT_BYTES) -> Stream:
        made.append(Stream(lambda count: b"dropped %d\n" % count, limit_bytes=limit_bytes))
        return made[-1]

    yield make
    for each in made:
        each.close()


def _numbered(count: int, *, width: int = 60) -> list[bytes]:
    return [b"%0*d\n" % (width, number) for number in range(count)]


def _log_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "sturdyapi-log"]


@pytest.mark.usefixtures("each_way")
def test_line_goes_out_at_once(pipe: Pipe, new_stream: Callable[..., Stream]) -> None:
    """A line is out when the call returns, without a thread, as long as somebody reads."""
    new_stream().write(b"hello\n")

    assert select.select([pipe.reader], [], [], 0)[0]
    assert os.read(pipe.reader, 100) == b"hello\n"
    assert not _log_threads()


@pytest.mark.usefixtures("each_way")
def test_full_pipe_holds_up_nobody(pipe: Pipe, new_stream: Callable[..., Stream]) -> None:
    """Lines for a reader that has stopped wait in a queue, and come out whole and in order."""
    stream, held, lines = new_stream(), pipe.fill(), _numbered(2000)

    for line in lines:
        stream.write(line)

    assert pipe.read(held) == b"f" * held
    assert pipe.read(len(b"".join(lines))) == b"".join(lines)


@pytest.mark.usefixtures("each_way")
def test_reader_may_stop_again_and_again(pipe: Pipe, new_stream: Callable[..., Stream]) -> None:
    """After a reader has caught up, lines go out at once again."""
    stream = new_stream()
    for number in range(3):
        held = pipe.fill()
        stream.write(b"waits %d\n" % number)
        pipe.read(held)
        assert stream.flush()
        stream.write(b"at once %d\n" % number)
        assert pipe.read(18) == b"waits %d\nat once %d\n" % (number, number)


@pytest.mark.usefixtures("each_way")
def test_line_longer_than_the_pipe(pipe: Pipe, new_stream: Callable[..., Stream]) -> None:
    """A line longer than a pipe takes does not wait either, and later ones come after it."""
    stream, long_line = new_stream(), b"x" * 500_000 + b"\n"

    stream.write(long_line)
    stream.write(b"after\n")

    assert pipe.read(len(long_line) + 6) == long_line + b"after\n"


@pytest.mark.usefixtures("each_way")
def test_overflow_is_counted(pipe: Pipe, new_stream: Callable[..., Stream]) -> None:
    """Lines beyond the limit of the queue are dropped, and one line says how many."""
    stream, lines = new_stream(limit_bytes=600), _numbered(15, width=59)
    expected = b"".join(lines[:10]) + b"dropped 5\n"

    for _ in range(3):
        held = pipe.fill()
        for line in lines:
            stream.write(line)
        pipe.read(held)
        assert pipe.read(len(expected)) == expected
        assert stream.flush()


def test_threads_do_not_mix_their_lines(pipe: Pipe, new_stream: Callable[..., Stream]) -> None:
    """Lines of several threads stay whole."""
    stream = new_stream()

    def write(thread: int) -> None:
        for number in range(1000):
            stream.write(b"%d:%d:%s\n" % (thread, number, b"x" * (number * 7 % 300)))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    text = b""
    while text.count(b"\n") < 8000:
        text += os.read(pipe.reader, 1 << 20)
    for thread in threads:
        thread.join()

    seen: dict[bytes, list[int]] = {}
    for line in text.splitlines():
        name, number, filler = line.split(b":")
        assert filler == b"x" * (int(number) * 7 % 300)
        seen.setdefault(name, []).append(int(number))
    assert all(numbers == list(range(1000)) for numbers in seen.values())
    assert len(seen) == 8


def test_closed_pipe_raises_nothing(
    pipe: Pipe, new_stream: Callable[..., Stream], streams: Streams
) -> None:
    """Lines for a reader that is gone are counted; the next stream is told how many."""
    stream, broken = new_stream(), Pipe()
    os.close(broken.reader)
    streams.stdout = broken.stdout

    for _ in range(3):
        stream.write(b"lost\n")
    stream._send_report(stream._current_target())
    streams.stdout = pipe.stdout
    stream.write(b"kept\n")

    assert pipe.read(15) == b"kept\ndropped 3\n"
    broken.stdout.close()


def test_reader_leaves_while_lines_wait(pipe: Pipe, new_stream: Callable[..., Stream]) -> None:
    """Lines that wait for a reader who then leaves do not keep an exit waiting."""
    stream = new_stream()
    pipe.fill()
    stream.write(b"lost\n")
    spare = os.open(os.devnull, os.O_RDONLY)

    os.dup2(spare, pipe.reader)
    os.close(spare)

    assert stream.flush()


def test_disk_full_raises_nothing(new_stream: Callable[..., Stream], streams: Streams) -> None:
    """A full disk loses lines, not requests."""
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        streams.stdout = full
        new_stream().write(b"lost\n")


@pytest.mark.parametrize("ending", ["close", "detach"])
def test_closed_stdout_is_not_written_to(
    ending: str, new_stream: Callable[..., Stream], tmp_path: object, streams: Streams
) -> None:
    """A file that takes the descriptor of a closed `sys.stdout` gets no log lines."""
    stream, first = new_stream(), Pipe()
    streams.stdout = first.stdout
    streams.__stdout__ = None
    stream.write(b"hello\n")
    number = first.stdout.fileno()
    if ending == "close":
        first.stdout.close()
    else:
        first.stdout.detach().close()
    os.close(first.reader)
    stranger_reader, stranger = os.pipe()
    if stranger != number:
        os.dup2(stranger, number)

    stream.write(b"secret\n")

    assert not select.select([stranger_reader], [], [], 0)[0]
    for each in {stranger_reader, stranger, number}:
        os.close(each)


def test_process_without_stdout(new_stream: Callable[..., Stream], streams: Streams) -> None:
    """A process without a standard output logs to nowhere, without an error."""
    streams.stdout = None
    streams.__stdout__ = None
    stream = new_stream()

    stream.write(b"lost\n")

    assert stream.flush()
    assert not stream.terminal


def test_stream_without_descriptor(new_stream: Callable[..., Stream], streams: Streams) -> None:
    """A `sys.stdout` without a descriptor, such as a notebook's, gets the lines as text."""
    text = io.StringIO()
    streams.stdout = text

    new_stream().write("grün\n".encode())

    assert text.getvalue() == "grün\n"


def test_replaced_stdout_is_followed(
    pipe: Pipe, new_stream: Callable[..., Stream], streams: Streams
) -> None:
    """Each line goes to what `sys.stdout` is at that moment."""
    stream, text = new_stream(), io.StringIO()
    stream.write(b"one\n")
    streams.stdout = text
    stream.write(b"two\n")
    streams.stdout = pipe.stdout
    stream.write(b"three\n")

    assert pipe.read(10) == b"one\nthree\n"
    assert text.getvalue() == "two\n"


def test_stdout_that_logs_is_not_followed(
    pipe: Pipe, new_stream: Callable[..., Stream], streams: Streams
) -> None:
    """A replacement of `sys.stdout` that hands its text to a logger makes no endless loop."""
    stream = new_stream()

    class ToLogger:
        closed = False

        def write(self, text: str) -> None:
            stream.write(text.encode())

    streams.__stdout__ = pipe.stdout
    streams.stdout = ToLogger()
    streams.stdout.write("printed\n")

    assert pipe.read(8) == b"printed\n"


def test_line_written_while_a_line_is_written(
    new_stream: Callable[..., Stream], streams: Streams
) -> None:
    """A signal handler or finaliser that logs while a line goes out does not hang."""
    stream = new_stream()

    class Interrupting(io.StringIO):
        def write(self, text: str) -> int:
            if text == "outer\n":
                stream.write(b"inner\n")
            return super().write(text)

    text = Interrupting()
    streams.stdout = text
    stream.write(b"outer\n")

    assert text.getvalue() == "inner\nouter\n"


def test_stream_that_raises_is_survived(
    new_stream: Callable[..., Stream], streams: Streams
) -> None:
    """A replaced `sys.stdout` whose `write` fails raises nothing into a request."""

    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise RuntimeError(text)

    streams.stdout = Broken()
    new_stream().write(b"lost\n")


def test_terminal_is_recognised(new_stream: Callable[..., Stream], streams: Streams) -> None:
    """A terminal, which knows no call that never waits, is written to all the same."""
    controller, terminal = pty.openpty()
    with os.fdopen(terminal, "w") as stdout:
        streams.stdout = stdout
        stream = new_stream()
        stream.write(b"hello\n")

        assert stream.terminal
        assert os.read(controller, 100) == b"hello\r\n"
    os.close(controller)


def test_descriptor_that_does_not_wait_by_itself(
    pipe: Pipe, new_stream: Callable[..., Stream], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A standard output that somebody has made non-blocking loses nothing."""
    monkeypatch.delattr(os, "RWF_NOWAIT", raising=False)
    stream, held = new_stream(), pipe.fill()
    os.set_blocking(pipe.stdout.fileno(), False)

    stream.write(b"waits\n")

    pipe.read(held)
    assert pipe.read(6) == b"waits\n"


def test_room_that_another_process_takes(
    pipe: Pipe, new_stream: Callable[..., Stream], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line whose room in the pipe is taken by another process waits for the next."""
    monkeypatch.delattr(os, "RWF_NOWAIT", raising=False)
    stream, write, refusals = new_stream(), os.write, [BlockingIOError()] * 2

    def write_later(number: int, data: bytes) -> int:
        if refusals:
            raise refusals.pop()
        return write(number, data)

    monkeypatch.setattr(os, "write", write_later)
    stream.write(b"waits\n")

    assert stream.flush()
    assert pipe.read(6) == b"waits\n"


def test_flush_gives_up_on_a_dead_reader(pipe: Pipe, new_stream: Callable[..., Stream]) -> None:
    """`flush` returns false after a time in which the reader took nothing."""
    stream = new_stream()
    held = pipe.fill()
    stream.write(b"waits\n")

    assert not stream.flush(patience_seconds=0.02)

    pipe.read(held)
    assert stream.flush()
    assert pipe.read(6) == b"waits\n"


def test_finish_writes_what_waits(pipe: Pipe, new_stream: Callable[..., Stream]) -> None:
    """`finish` returns when a slow reader has everything."""
    stream, held, received = new_stream(), pipe.fill(), list[bytes]()
    stream.write(b"waits\n")
    reader = threading.Thread(target=lambda: received.append(pipe.read(held + 6)))
    reader.start()

    assert stream.finish()

    assert not stream._queue
    reader.join()
    assert received[0][-6:] == b"waits\n"


@pytest.mark.parametrize("begin", [Stream.finish, Stream.after_fork])
def test_nothing_waits_at_the_end_or_in_a_child(
    begin: Callable[[Stream], object], pipe: Pipe, new_stream: Callable[..., Stream]
) -> None:
    """After `finish`, and in a forked child, a line is out when its call returns."""
    stream, held = new_stream(), pipe.fill()
    begin(stream)

    def read_late() -> None:
        while not stream._queue:
            pass
        pipe.read(held)

    slow = threading.Thread(target=read_late)
    slow.start()
    stream.write(b"last\n")

    assert not stream._queue
    slow.join()
    assert pipe.read(5) == b"last\n"


def test_finished_stream_waits_for_a_dead_reader_once(
    pipe: Pipe, new_stream: Callable[..., Stream], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the last lines of a process, only the first waits for a reader that takes nothing."""
    stream, waits = new_stream(), list[float]()
    pipe.fill()
    stream.write(b"waits\n")
    assert not stream.flush(patience_seconds=0.02)
    monkeypatch.setattr(stream, "flush", lambda: waits.append(1))
    stream._synchronous = True

    stream.write(b"one\n")
    stream.write(b"two\n")

    assert not waits
    os.read(pipe.reader, 1 << 20)


def test_thread_that_cannot_be_started(
    pipe: Pipe, new_stream: Callable[..., Stream], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the interpreter shuts down, when no thread can start, a line waits for its reader."""

    def refuse(_self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread at interpreter shutdown")

    stream, held = new_stream(), pipe.fill()
    reader = threading.Thread(target=pipe.read, args=(held,))
    reader.start()
    monkeypatch.setattr(threading.Thread, "start", refuse)

    stream.write(b"last\n")

    reader.join()
    assert pipe.read(5) == b"last\n"


def test_unexpected_error_of_the_descriptor(
    pipe: Pipe, new_stream: Callable[..., Stream], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An input/output error of the descriptor is counted, not raised."""
    stream = new_stream()

    def fail(*_: object) -> int:
        raise OSError(errno.EIO, "input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", fail)
        patch.setattr(os, "write", fail)
        stream.write(b"lost\n")
        stream._followed = None
    stream._followed = None
    stream.write(b"kept\n")

    assert pipe.read(15) == b"kept\ndropped 1\n"
