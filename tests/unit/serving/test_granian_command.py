"""The command line of Granian, with our options beside its own."""

from __future__ import annotations

import asyncio
import inspect
import multiprocessing
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from granian import loops
from granian.http import HTTP1Settings
from granian.server.mp import MPServer

from sturdyapi.exceptions import EX_CONFIG, EX_START, AddressError
from sturdyapi.serving.granian import command
from sturdyapi.serving.granian.loading import AppLoader
from sturdyapi.serving.granian.loop import LOOP, DrainLoop, register_loop
from sturdyapi.serving.granian.served import ServedApp
from sturdyapi.serving.server_log import ServerLog
from sturdyapi.serving.shared import Shared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from starlette.types import Message, Receive, Scope, Send


class Line:
    """What is served by a command line."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.options: dict[str, Any] = {}
        self.loader: Any = None
        monkeypatch.setattr(command, "_serve", self._serve)
        monkeypatch.setattr(ServerLog, "begin", lambda _: None)

    def _serve(self, loader: AppLoader, options: dict[str, Any]) -> None:
        self.loader, self.options = loader, options


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Line:
    """Nothing is served, and no log is set up."""
    return Line(monkeypatch)


def test_the_line_of_run_is_taken(line: Line) -> None:
    """Our options and Granian's may stand side by side."""
    ours = ["--trusted-proxies", "10.0.0.0/8,192.168.0.1", "--log-format", "ecs"]
    granians = ["--host", "0.0.0.0", "--port", "80", "--workers", "2", "--log-level", "info"]
    more = ["--workers-kill-timeout", "29", "--backlog", "2048", "--factory"]
    command.main(["main:app", *ours, *granians, *more])

    assert (line.options["host"], line.options["port"]) == ("0.0.0.0", 80)
    assert (line.options["workers"], line.options["workers_kill_timeout"]) == (2, 29)
    assert line.options["backlog"] == 2048
    assert vars(line.loader) | {"_server_log": None} == {
        "_app": "main:app",
        "_trusted_proxies": ["10.0.0.0/8", "192.168.0.1"],
        "_grace_seconds": 25.0,
        "_server_log": None,
        "_is_factory": True,
    }


def test_options_of_granian_reach_its_server(line: Line) -> None:
    """Every option of Granian's command line is one of its server, by one name or another."""
    command.main(["main:app", "--http1-buffer-size", "9000", "--ssl-keyfile-password", "secret"])
    del line.options["host"], line.options["port"]
    options = command._server_options(line.options)

    assert options["http1_settings"].max_buffer_size == 9000
    assert options["ssl_key_password"] == "secret"
    assert set(options) <= set(inspect.signature(MPServer.__init__).parameters)


def test_idle_connections_are_kept_for_a_minute(line: Line) -> None:
    """Granian keeps an idle connection as long as it waits for headers; the default is long."""
    command.main(["main:app"])
    assert line.options["http1_header_read_timeout"] == 60_000
    command.main(
        ["main:app", "--http1-header-read-timeout", str(HTTP1Settings().header_read_timeout)]
    )
    assert line.options["http1_header_read_timeout"] == 30_000


@pytest.mark.parametrize(
    "arguments",
    [
        ["--interface", "rsgi"],
        ["--loop", "asyncio"],
        ["--reload"],
        ["--no-respawn-failed-workers"],
        ["--log-config", __file__],
    ],
)
def test_what_is_decided_here_is_not_on_offer(
    line: Line, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """An option of Granian's that would break a promise is refused with the reason."""
    with pytest.raises(SystemExit) as ended:
        command.main(["main:app", *arguments])
    assert ended.value.code == 2
    assert "is not on offer here: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["main:app", "--no-such-option"], [], ["main:app", "--workers", "0"]]
)
def test_a_wrong_line_ends_with_2(line: Line, arguments: list[str]) -> None:
    """A command line that is wrong ends as such a line does everywhere."""
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    assert ended.value.code == 2


def test_help_is_granians(line: Line, capsys: pytest.CaptureFixture[str]) -> None:
    """The help shows the options of Granian."""
    with pytest.raises(SystemExit) as ended:
        command.main(["--help"])
    assert ended.value.code == 0
    assert "--backpressure" in capsys.readouterr().out


def test_a_taken_port_ends_the_command(
    line: Line, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A port in use is one message, and the code of a start that fails."""

    def serve(loader: AppLoader, options: dict[str, Any]) -> None:
        raise AddressError("127.0.0.1:80", OSError(98, "Address already in use"))

    monkeypatch.setattr(command, "_serve", serve)
    with pytest.raises(SystemExit) as ended:
        command.main(["main:app"])
    assert ended.value.code == EX_START
    assert capsys.readouterr().err.startswith("127.0.0.1:80 is in use")


def test_without_granian_its_extra_is_named(tmp_path: Path) -> None:
    """Where Granian is missing, the line that installs it is told."""
    program = (
        "import runpy, sys\nsys.modules['granian'] = None\n"
        "runpy.run_module('sturdyapi.serving.granian')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 1
    assert "pip install 'sturdyapi[granian]'" in done.stderr.splitlines()[-1]


class Leaver:
    """Takes signals, and what is to be done when the drain is over."""

    def __init__(self, loop: DrainLoop) -> None:
        self.loop = loop
        self.told: list[str] = []

    def leave(self, close_sockets: Callable[[], object]) -> None:
        self.told.append("leave")
        close_sockets()

    def cut_off(self, close_sockets: Callable[[], object]) -> None:
        self.told.append("cut off")
        close_sockets()


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)


@pytest.fixture
def loop() -> Iterator[DrainLoop]:
    """A loop as Granian makes it; the signals are given back at the end."""
    before = [signal.getsignal(each) for each in SIGNALS]
    register_loop()
    loop = loops.get(LOOP)
    assert isinstance(loop, DrainLoop)
    assert asyncio.get_event_loop_policy().get_event_loop() is loop
    yield loop
    loop.close()
    asyncio.set_event_loop(None)
    for each, handler in zip(SIGNALS, before, strict=True):
        signal.signal(each, handler)
    del loops._data[LOOP]


def _settle(loop: DrainLoop) -> None:
    for _ in range(5):
        loop.run_until_complete(asyncio.sleep(0))


@pytest.mark.parametrize(("sig", "told"), [(signal.SIGTERM, "leave"), (signal.SIGQUIT, "cut off")])
def test_a_signal_goes_to_the_leaver(loop: DrainLoop, sig: int, told: str) -> None:
    """What Granian would do at SIGTERM is left to somebody who may wait before."""
    leaver = loop.leaver = Leaver(loop)
    done: list[int] = []
    loop.add_signal_handler(signal.SIGTERM, done.append, 7)
    loop.call_soon(signal.raise_signal, sig)
    _settle(loop)
    assert (leaver.told, done) == ([told], [7])


def test_a_signal_between_two_runs_is_kept(loop: DrainLoop) -> None:
    """A loop that stands still for a moment does not forget that it was told to stop."""
    leaver = loop.leaver = Leaver(loop)
    loop.add_signal_handler(signal.SIGTERM, str)
    _settle(loop)
    signal.raise_signal(signal.SIGTERM)
    assert leaver.told == []
    _settle(loop)
    assert leaver.told == ["leave"]


def test_an_interrupt_of_the_terminal_is_the_parents(loop: DrainLoop) -> None:
    """Ctrl-C reaches parent and workers alike, and the workers wait for the parent's word."""
    leaver = loop.leaver = Leaver(loop)
    done: list[int] = []
    loop.add_signal_handler(signal.SIGTERM, done.append, 7)
    loop.add_signal_handler(signal.SIGINT, done.append, 7)
    signal.raise_signal(signal.SIGINT)
    _settle(loop)
    assert (leaver.told, done) == ([], [])


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGQUIT])
def test_a_worker_without_an_app_stops_at_once(loop: DrainLoop, sig: int) -> None:
    """Before there is an app there is nothing to wait for."""
    done: list[int] = []
    loop.add_signal_handler(signal.SIGTERM, done.append, 7)
    signal.raise_signal(sig)
    _settle(loop)
    assert done == [7]


def test_an_app_becomes_the_leaver_of_its_loop(loop: DrainLoop) -> None:
    """An app is asked before its worker stops as soon as its lifespan begins."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert loop.leaver is served

    async def send(message: Message) -> None: ...

    served = ServedApp(app, Shared(), grace_seconds=1)
    loop.run_until_complete(served({"type": "lifespan"}, asyncio.Queue().get, send))


def test_other_signals_are_the_apps(loop: DrainLoop) -> None:
    """An app may have signals of its own on the loop."""
    loop.leaver = Leaver(loop)
    done: list[int] = []
    loop.add_signal_handler(signal.SIGUSR1, done.append, 7)
    loop.call_soon(signal.raise_signal, signal.SIGUSR1)
    _settle(loop)
    assert done == [7]


def _load(program: str, folder: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Any:
    module = f"loaded_{folder.name.replace('-', '_')}"
    (folder / f"{module}.py").write_text(program)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(ServerLog, "begin", lambda _: None)
    server_log = ServerLog(format="json", level="info")
    loader = AppLoader(
        f"{module}:app",
        trusted_proxies=["127.0.0.1"],
        grace_seconds=1,
        server_log=server_log,
        **options,
    )
    return loader(Shared())


APP = "async def app(scope, receive, send):\n    scope['seen'] = scope['client'], scope['scheme']\n"


def _see(app: Any, *, client: str) -> Any:
    scope: dict[str, Any] = {
        "type": "websocket",
        "client": (client, 1),
        "scheme": "ws",
        "headers": [(b"x-forwarded-for", b"1.2.3.4"), (b"x-forwarded-proto", b"https")],
    }
    asyncio.run(app(scope, None, None))
    return scope["seen"]


def test_a_trusted_proxy_is_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Client and scheme are what a trusted proxy says, and nobody else."""
    app = _load(APP, tmp_path, monkeypatch)
    assert _see(app, client="127.0.0.1") == (("1.2.3.4", 0), "wss")
    assert _see(app, client="10.0.0.1") == (("10.0.0.1", 1), "ws")


def test_a_factory_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `--factory` what is named makes the app."""
    program = APP.replace("def app", "def made") + "def app():\n    return made\n"
    app = _load(program, tmp_path, monkeypatch, is_factory=True)
    assert _see(app, client="10.0.0.1") == (("10.0.0.1", 1), "ws")


def test_the_way_to_start_processes_is_the_apps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An app may say once how its own processes start, although its workers are forked."""
    multiprocessing.set_start_method("fork", force=True)
    try:
        _load(
            "import multiprocessing as m\nm.set_start_method('spawn')\n" + APP,
            tmp_path,
            monkeypatch,
        )
        assert multiprocessing.get_start_method() == "spawn"
    finally:
        multiprocessing.set_start_method(None, force=True)


SETTINGS = "from sturdyapi.exceptions import SettingsError\nraise SettingsError('Settings', [])"


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("raise RuntimeError('on purpose')", EX_START),
        ("import no_such_module", EX_START),
        ("", EX_START),
        (SETTINGS, EX_CONFIG),
    ],
)
def test_an_app_that_can_not_be_loaded_ends_the_worker(
    program: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker without an app ends with a code that tells the parent not to try again."""
    with pytest.raises(SystemExit) as ended:
        _load(program, tmp_path, monkeypatch)
    assert ended.value.code == code
