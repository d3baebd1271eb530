"""What `configure()` does to a process, and what comes out."""

from __future__ import annotations

import io
import json
import logging
import logging.config
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pytest
from loguru import logger
from uvicorn.config import LOGGING_CONFIG

from sturdyapi import log
from sturdyapi.context import bound, enter_request, leave_request
from sturdyapi.exceptions import ConfigurationError, SturdyWarning

Lines = Callable[[], list[dict[str, Any]]]

configure = partial(log.configure, environment="testing", level="INFO", format="json")
HARD_SECRET = 's3cr3t"/v4lue'
SECRET = "hunter2-hunter2"
HOSTILE = "{0} {user.password} {} <red>x</red> %s %(x)d \n \x1b[31m \ud800"


@pytest.fixture(autouse=True)
def logging_as_found() -> Iterator[None]:
    """Begin and end with a process that nobody has configured."""
    log.unconfigure()
    levels = {name: logging.getLogger(name).level for name in ("", "uvicorn.error")}
    yield
    log.unconfigure()
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture
def lines(capfd: pytest.CaptureFixture[str]) -> Lines:
    """Return what was written to standard output since the last call; nothing goes to stderr."""

    def read() -> list[dict[str, Any]]:
        captured = capfd.readouterr()
        assert not captured.err
        return [json.loads(line) for line in captured.out.splitlines()]

    return read


@pytest.fixture
def handler() -> Iterator[Callable[[logging.Logger, logging.Handler], None]]:
    """Add handlers that are removed after the test."""
    added: list[tuple[logging.Logger, logging.Handler]] = []

    def add(to: logging.Logger, new: logging.Handler) -> None:
        to.addHandler(new)
        added.append((to, new))

    yield add
    for owner, each in added:
        owner.removeHandler(each)


def _access(logs: log.Logs | log.StdlibLogs, **changes: Any) -> None:
    facts: dict[str, Any] = {
        "method": "GET",
        "route": "/items/{item_id}",
        "path": "/items/42",
        "status": 200,
        "duration_seconds": 0.0031,
        "client": "127.0.0.1",
        "fields": {"request_id": "r1"},
    }
    logs.access(**(facts | changes))


def _report(to: log.Logs | log.StdlibLogs, error: Exception, message: str, **fields: Any) -> None:
    to.exception(error, message, fields=fields)


def _failure(message: str = "broken") -> Exception:
    try:
        _fail(message)
    except RuntimeError as error:
        return error


def _fail(message: object) -> NoReturn:
    raise RuntimeError(message)


def _loguru_handlers() -> list[str]:
    return [repr(each) for each in logger._core.handlers.values()]  # type: ignore[attr-defined]


# The one process-wide act.


def test_nothing_happens_without_configure() -> None:
    """Importing the package configures nothing."""
    assert log.current() is None


def test_same_call_returns_the_same_logs() -> None:
    """A second app that asks for the same gets the lines of the first."""
    first = configure()

    assert configure() is first
    assert log.current() is first
    assert len(_loguru_handlers()) == 1


def test_second_app_that_differs_warns() -> None:
    """A second app that asks for something else is warned, and the first one's form stays."""
    first = configure()

    with pytest.warns(SturdyWarning, match=r"log level 'DEBUG' instead of 'INFO', format 'text'"):
        second = configure(level="debug", format="text")

    assert second is first


def test_secrets_of_every_app_are_masked(lines: Lines) -> None:
    """The secrets of a second app are masked as those of the first."""
    configure(secrets=["first-secret"])
    configure(secrets=["second-secret"])

    logger.info("first-secret, second-secret")

    assert lines()[0]["message"] == "***, ***"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"level": "VERBOSE"}, "No log level 'VERBOSE'"), ({"format": "jsn"}, "Did you mean 'json'")],
)
def test_unknown_level_or_form_fails_at_once(wrong: dict[str, Any], words: str) -> None:
    """A log level or form that does not exist fails while the app is built."""
    with pytest.raises(ConfigurationError, match=words):
        configure(**wrong)

    assert log.current() is None


def test_handlers_of_the_user_stay(lines: Lines) -> None:
    """A handler that the user has added to loguru keeps getting every line."""
    seen: list[str] = []
    own = logger.add(seen.append, format="{message}")
    try:
        configure()
        logger.info("hello")
    finally:
        logger.remove(own)

    assert seen == ["hello\n"]
    assert [line["message"] for line in lines()] == ["hello"]


def test_unconfigure_leaves_logging_as_it_was() -> None:
    """What `configure` did to loguru, the standard library and warnings can be undone."""
    root, server = logging.getLogger(), logging.getLogger("uvicorn.error")
    own = logging.StreamHandler(io.StringIO())
    server.addHandler(own)
    before = _state(root), _state(server), warnings.showwarning, len(_loguru_handlers())

    for _ in range(3):
        configure(level="DEBUG")
        assert server.handlers == []
        log.unconfigure()

    assert (_state(root), _state(server), warnings.showwarning, len(_loguru_handlers())) == before
    server.removeHandler(own)


def test_loguru_writes_to_stderr_again_after_unconfigure(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """After `unconfigure` loguru writes to standard error, as it does by itself."""
    configure()
    log.unconfigure()

    logger.info("hello")

    captured = capfd.readouterr()
    assert captured.out == ""
    assert "hello" in captured.err


def _state(of: logging.Logger) -> tuple[object, ...]:
    return list(of.handlers), list(of.filters), of.level, of.propagate


# Lines of loguru.


def test_loguru_line_has_the_fields_of_its_request(lines: Lines) -> None:
    """A line written in a request has what was bound to the request, and its own fields."""
    configure()
    token = enter_request({"request_id": "r1", "user_id": 7})
    try:
        with bound(step="pay"):
            logger.bind(order=3).info("paid")
    finally:
        leave_request(token)

    line = lines()[0]
    assert line["logger"] == __name__
    assert {"request_id": "r1", "user_id": 7, "step": "pay", "order": 3}.items() <= line.items()


def test_text_of_a_user_is_no_template(lines: Lines) -> None:
    """Text with braces is taken as it is, with fields bound to the line by `bind`."""
    configure()

    logger.bind(order=3).info(HOSTILE)
    logger.info("{user}", user=HOSTILE)

    assert [line["message"] for line in lines()] == [HOSTILE, HOSTILE]


def test_message_with_arguments_is_a_template() -> None:
    """Loguru takes the message for a template once it is given an argument: use `bind` instead."""
    configure()

    with pytest.raises(KeyError):
        logger.info("{user}", order=3)


def test_level_is_honoured(lines: Lines) -> None:
    """Lines under the level are not written, access lines included."""
    logs = configure(level="WARNING")

    logger.info("no")
    logging.getLogger("shop").info("no")
    _access(logs)
    logger.warning("yes")

    assert [line["message"] for line in lines()] == ["yes"]


def test_no_value_of_a_variable_is_shown(lines: Lines) -> None:
    """A traceback shows no values of variables: `diagnose` is off."""
    configure()
    password = SECRET
    try:
        int(password[:3])
    except ValueError:
        logger.exception("failed")

    stack = lines()[0]["exception"]["stack"]
    assert "int(password[:3])" in stack
    assert "hunter2" not in stack


@pytest.mark.parametrize("form", ["json", "ecs", "text"])
def test_secret_is_masked_everywhere(
    form: log.LogFormat, capfd: pytest.CaptureFixture[str]
) -> None:
    """The value of a secret setting is masked in messages, fields, paths and errors."""
    secret = HARD_SECRET
    logs = configure(format=form, secrets=[secret])

    logger.bind(note=[f"in a list: {secret}"]).info(f"in the text: {secret}")
    logging.getLogger("shop").info("as an argument: %r", secret)
    _report(logs, _failure(f"in an error: {secret}"), f"in a message: {secret}")
    _access(logs, path=f"/in a path/{secret}", fields={"bound": secret})
    _access(logs, path="/in a url/s3cr3t%22%2Fv4lue")

    written = capfd.readouterr().out
    assert "v4lue" not in written
    assert written.count("in ") >= 7


def test_broken_value_is_no_reason_to_fail(lines: Lines) -> None:
    """A field that can't be shown does not keep its line from being written."""

    class Broken:
        def __str__(self) -> str:
            raise RuntimeError

    configure()
    logger.bind(value=Broken()).info("hello")

    assert lines()[0]["value"] == "<Broken whose str() raises RuntimeError>"


def test_fault_of_our_own_is_reported(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    """Should a line not be writable by a fault of ours, a line says so, and nothing is raised."""
    logs = configure()
    fail_once = iter([ValueError()])
    line = logs._format.line

    def fail(*args: Any, **kwargs: Any) -> str:
        for error in fail_once:
            raise error
        return line(*args, **kwargs)

    monkeypatch.setattr(logs._format, "line", fail)
    logger.info("hello")

    assert lines()[0]["message"] == "A log line could not be written: ValueError"


def test_lines_of_threads_are_whole(lines: Lines) -> None:
    """Lines of several threads never mix."""
    logs = configure()

    def write() -> None:
        for number in range(200):
            logger.info("loguru {}", number)
            logging.getLogger("shop").info("standard %d", number)
            _access(logs)

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    logs.flush()

    assert len(lines()) == 8 * 200 * 3


# The standard library and servers.


def test_no_library_becomes_more_talkative() -> None:
    """At a high level the lines of libraries are as few as without us."""
    configure(level="ERROR")

    assert logging.getLogger("urllib3").getEffectiveLevel() == logging.WARNING


def test_standard_line_is_in_the_stream(lines: Lines) -> None:
    """A line of the standard library has its logger, its `extra` and the request's fields."""
    configure()

    with bound(request_id="r1"):
        logging.getLogger("shop").warning("low on %s", "tea", extra={"left": 3, "levels": [1]})

    line = lines()[0]
    assert (line["level"], line["logger"], line["message"]) == ("WARNING", "shop", "low on tea")
    assert (line["left"], line["levels"], line["request_id"]) == (3, [1], "r1")


def test_standard_text_of_a_user_is_no_template(lines: Lines) -> None:
    """Braces and tags in a line of the standard library stay as they are, sinks or not."""
    configure()
    logging.getLogger("shop").info(HOSTILE)
    own = logger.add(lambda _: None)
    logging.getLogger("shop").info(HOSTILE)
    logger.remove(own)

    assert [line["message"] for line in lines()] == [HOSTILE, HOSTILE]


def test_standard_line_with_wrong_arguments_is_kept(lines: Lines) -> None:
    """A line whose arguments do not fit is written as it is, not as a traceback on stderr."""
    logs = configure()
    record = logging.makeLogRecord(
        {"name": "shop", "levelno": 30, "msg": "%d left", "args": ("none",)}
    )

    # Straight to our handler: pytest's own one raises.
    logs._standard._handler.handle(record)

    assert lines()[0]["message"] == "%d left ('none',)"


def test_standard_level_of_ones_own(lines: Lines) -> None:
    """A level that only the standard library knows keeps its name."""
    configure()
    own = logger.add(lambda _: None)
    logging.getLogger("shop").log(33, "hello")
    logger.remove(own)
    logging.getLogger("shop").log(33, "hello")

    assert [line["level"] for line in lines()] == ["Level 33", "Level 33"]


def test_debug_lines_of_libraries_are_left_out(lines: Lines) -> None:
    """At DEBUG the app's own lines are shown, not those of talkative libraries."""
    configure(level="DEBUG")

    logging.getLogger("shop").debug("mine")
    logging.getLogger("pymongo.command").debug('{"insert": "users"}')
    logging.getLogger("asyncio").debug("Using selector: EpollSelector")
    logging.getLogger("httpx").info("HTTP Request: GET https://x/?token=1")

    assert [line["message"] for line in lines()] == ["mine"]


def test_level_that_the_user_set_for_a_library_stays(lines: Lines) -> None:
    """A library whose level the user has set is as talkative as the user wants it."""
    with _logging_restored("urllib3"):
        logging.getLogger("urllib3").setLevel(logging.DEBUG)
        configure(level="DEBUG")

        logging.getLogger("urllib3").debug("wanted")

        assert [line["message"] for line in lines()] == ["wanted"]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_uvicorn_is_in_the_stream_once(moment: str, lines: Lines) -> None:
    """Lines of uvicorn come once, whether it configured its logging before the app or after."""
    with _logging_restored("uvicorn", "uvicorn.error", "uvicorn.access"):
        if moment == "before":
            logging.config.dictConfig(LOGGING_CONFIG)
        configure()
        if moment == "after":
            logging.config.dictConfig(LOGGING_CONFIG)

        logging.getLogger("uvicorn.error").info(
            "Started server process [%d]", 7, extra={"color_message": "Started \x1b[36m%d"}
        )
        logging.getLogger("uvicorn.access").info("%s", "twice")

        assert [line["message"] for line in lines()] == ["Started server process [7]"]
        assert not logging.getLogger("uvicorn.access").hasHandlers()
        log.unconfigure()


def test_file_handler_of_a_server_stays(lines: Lines, tmp_path: Path) -> None:
    """A file that a server was told to log to keeps getting its lines."""
    server = logging.getLogger("gunicorn.error")
    path = tmp_path / "error.log"
    files = [logging.FileHandler(path), logging.FileHandler("/dev/stdout")]
    with _logging_restored("gunicorn.error"):
        server.handlers, server.propagate = list(files), False
        configure()
        server.warning("hello")
        log.unconfigure()
    for each in files:
        each.close()

    assert path.read_text() == "hello\n"
    assert [line["message"] for line in lines()] == ["hello"]


def test_loggers_that_share_handlers_are_told_apart(lines: Lines) -> None:
    """Gunicorn's uvicorn worker gives two loggers one list of handlers: each is redirected."""
    with _logging_restored("uvicorn.error", "gunicorn.error"):
        shared: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
        for name in ("uvicorn.error", "gunicorn.error"):
            logging.getLogger(name).handlers = shared
            logging.getLogger(name).propagate = False
        configure()

        logging.getLogger("uvicorn.error").warning("a")
        logging.getLogger("gunicorn.error").warning("b")

        assert [line["message"] for line in lines()] == ["a", "b"]
        log.unconfigure()
        assert logging.getLogger("gunicorn.error").handlers is shared


@contextmanager
def _logging_restored(*names: str) -> Iterator[None]:
    """Undo what a test or a server does to some loggers."""
    loggers = [logging.getLogger(name) for name in names]
    saved = [(each.handlers, each.propagate, each.level) for each in loggers]
    for each in loggers:
        each.handlers = list(each.handlers)
    yield
    for each, (handlers, propagate, level) in zip(loggers, saved, strict=True):
        each.handlers, each.propagate = handlers, propagate
        each.setLevel(level)


def test_root_handlers_of_the_user_stay(
    lines: Lines, handler: Callable[[logging.Logger, logging.Handler], None]
) -> None:
    """A handler that the user gave the root logger keeps getting lines."""
    text = io.StringIO()
    handler(logging.getLogger(), logging.StreamHandler(text))
    configure()

    logging.getLogger("shop").info("hello")

    assert text.getvalue() == "hello\n"
    assert len(lines()) == 1


def test_caplog_keeps_working(caplog: pytest.LogCaptureFixture) -> None:
    """The fixture `caplog` sees what it saw before."""
    configure()

    with caplog.at_level(logging.INFO):
        logging.getLogger("shop").info("hello")

    assert caplog.messages == ["hello"]


# Warnings.


def test_warning_is_in_the_stream(lines: Lines) -> None:
    """A warning is a line like any other."""
    with _nobody_records():
        configure()
        warnings.warn("careful", stacklevel=1)

        line = lines()[0]
        assert (line["level"], line["logger"]) == ("WARNING", "py.warnings")
        assert line["message"].startswith("UserWarning: careful (")
        log.unconfigure()


def test_recorded_warning_is_left_to_who_records() -> None:
    """`pytest.warns`, `recwarn` and `catch_warnings(record=True)` see warnings as before."""
    configure()

    with pytest.warns(UserWarning, match="careful"):
        warnings.warn("careful", stacklevel=1)
    with warnings.catch_warnings(record=True) as recorded:
        warnings.simplefilter("always")
        warnings.warn("careful", stacklevel=1)
        log.current().take_over()  # type: ignore[union-attr]
        warnings.warn("careful again", stacklevel=1)

    assert [str(each.message) for each in recorded] == ["careful", "careful again"]


def test_warnings_can_still_be_errors() -> None:
    """A filter that makes a warning an error does so as before."""
    configure()

    with pytest.raises(UserWarning, match="careful"):
        warnings.warn("careful", stacklevel=1)


def test_own_way_of_showing_warnings_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A `warnings.showwarning` of the user stays in place."""

    def own(*_: object) -> None: ...

    monkeypatch.setattr(warnings, "showwarning", own)
    configure()

    assert warnings.showwarning is own


@contextmanager
def _nobody_records() -> Iterator[None]:
    """Let warnings be shown, as in a process without pytest."""
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("always")
        patch.setattr(warnings, "_showwarnmsg_impl", lambda _: None)
        yield


# Request lines.


@pytest.mark.parametrize("form", ["json", "ecs"])
def test_access_line_is_the_same_with_sinks_of_the_user(form: log.LogFormat, lines: Lines) -> None:
    """An access line goes through loguru once the user has added to it, and looks the same."""
    logs = configure(format=form)
    fields = {"request_id": "r1", "user_id": 7, "plan": [1]}
    _access(logs, fields=fields)
    seen: list[Any] = []
    own = logger.add(lambda message: seen.append(message.record))
    _access(logs, fields=fields)
    logger.remove(own)

    alone, watched = ({**line, "time": "", "@timestamp": ""} for line in lines())
    assert alone == watched
    assert seen[0]["name"] == "sturdyapi.access"
    assert seen[0]["message"] == "GET /items/42 200"
    assert seen[0]["extra"]["user_id"] == 7


def test_patcher_of_the_user_sees_access_lines(lines: Lines) -> None:
    """A patcher that the user gave loguru is applied to access lines, too."""
    logs = configure()
    try:
        logger.configure(patcher=lambda record: record["extra"].update(region="eu"))
        _access(logs)
    finally:
        logger.configure(patcher=lambda _: None)
        logger._core.patcher = None  # type: ignore[attr-defined]

    assert lines()[0]["region"] == "eu"


def test_disabled_loggers_stay_disabled(lines: Lines) -> None:
    """Who disables a logger in loguru does not get its lines."""
    logs = configure()
    logger.disable("sturdyapi")
    _access(logs)
    logger.enable("sturdyapi")
    logger._core.activation_list.clear()  # type: ignore[attr-defined]
    logger._core.enabled.clear()  # type: ignore[attr-defined]
    _access(logs, path="/enabled")

    assert [line["path"] for line in lines()] == ["/enabled"]


def test_who_removes_every_handler_is_obeyed(capfd: pytest.CaptureFixture[str]) -> None:
    """After `logger.remove()` lines go to what the user adds, and only there."""
    logs = configure()
    seen: list[str] = []
    logger.remove()
    own = logger.add(seen.append, format="{name} {message}")
    _access(logs)
    logging.getLogger("shop").info("hello")
    logger.remove(own)

    assert seen == ["sturdyapi.access GET /items/42 200\n", "shop hello\n"]
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("catch", [True, False])
def test_broken_sink_of_the_user_breaks_no_request(
    catch: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    """A sink of the user that raises does not make a request fail, and ours has the line."""
    logs = configure()

    own = logger.add(_fail, catch=catch)
    _access(logs)
    _report(logs, _failure(), "Unhandled")
    logging.getLogger("shop").info("hello")
    logger.remove(own)

    messages = [json.loads(line)["message"] for line in capfd.readouterr().out.splitlines()]
    assert [m for m in messages if "could not" not in m] == [
        "GET /items/42 200",
        "Unhandled",
        "hello",
    ]


def test_sink_that_hands_lines_to_the_standard_library(lines: Lines) -> None:
    """A sink that hands loguru's lines to the standard library makes neither loop nor copy."""

    class Propagate(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logging.getLogger(record.name).handle(record)

    logs = configure()
    own = logger.add(Propagate(), format="{message}")
    logger.info("one")
    logging.getLogger("shop").info("two")
    _access(logs)
    logging.getLogger("shop").info("three", extra={"extra": {"a": 1}})
    logger.remove(own)

    assert [line["message"] for line in lines()] == ["one", "two", "GET /items/42 200", "three"]


def test_sink_that_logs_itself(lines: Lines) -> None:
    """A sink whose library logs while it works loses no line and hangs nothing."""

    def sink(_: object) -> None:
        logging.getLogger("urllib3").warning("retrying")

    configure()
    own = logger.add(sink)
    logger.info("one")
    logger.remove(own)

    assert sorted(line["message"] for line in lines()) == ["one", "retrying"]


def test_unknown_loguru_goes_the_safe_way(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    """Should loguru's private parts change, access lines take the longer way and still arrive."""
    logs = configure()
    monkeypatch.setattr(logs._loguru, "_core", None)

    _access(logs)

    assert lines()[0]["message"] == "GET /items/42 200"


def test_default_handler_may_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """With loguru's `LOGURU_AUTOINIT` off, the first handler is the user's, and stays."""
    monkeypatch.setenv("LOGURU_AUTOINIT", "0")
    before = set(logger._core.handlers)  # type: ignore[attr-defined]

    configure()

    assert before < set(logger._core.handlers)  # type: ignore[attr-defined]


def test_hostile_access_line(lines: Lines) -> None:
    """Whatever a client sends as method, path or id, an access line stays one line."""
    logs, path = configure(), f"/a%0Ab\x85{HOSTILE}"

    _access(logs, method=HOSTILE, path=path, fields={"request_id": HOSTILE})
    own = logger.add(lambda _: None)
    _access(logs, method=HOSTILE, path=path, fields={"request_id": HOSTILE})
    logger.remove(own)

    assert [line["path"] for line in lines()] == [path, path]


def test_websocket_line(lines: Lines) -> None:
    """A websocket has one line, at its close."""
    configure().websocket(
        route="/chat", path="/chat", code=1000, duration_seconds=2, client=None, fields={"a": 1}
    )

    line = lines()[0]
    assert line["message"] == "websocket /chat closed 1000"
    assert (line["code"], line["duration_ms"], line["a"]) == (1000, 2000, 1)


def test_unhandled_error_is_reported_once(lines: Lines) -> None:
    """An unhandled error has one line with its request; the server's report of it is left out."""
    logs = configure()
    error = _failure()

    _report(logs, error, "Unhandled error in GET /items", request_id="r1")
    logging.getLogger("uvicorn.error").error("Exception in ASGI application\n", exc_info=error)
    logging.getLogger("uvicorn.error").error("Exception in ASGI application\n", exc_info=_failure())
    logging.getLogger("shop").error("mine", exc_info=error)

    ours, servers, mine = lines()
    assert (ours["logger"], ours["request_id"]) == ("sturdyapi.error", "r1")
    assert ours["exception"]["type"] == "RuntimeError"
    assert servers["message"] == "Exception in ASGI application"
    assert mine["message"] == "mine"


def test_text_has_colours_only_on_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    """Text that is not for a terminal has no colours."""
    configure(format="text")

    logger.warning("hello")

    assert "\x1b" not in capfd.readouterr().out


@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colours_can_be_switched_off(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """`NO_COLOR` and a dumb terminal keep colours out of text, too."""
    monkeypatch.setenv(variable, value)
    logs = configure(format="text")
    monkeypatch.setattr(type(logs._stream), "terminal", True)

    logger.warning("hello")

    assert "\x1b" not in capfd.readouterr().out


def test_dropped_lines_are_reported_in_the_form_of_the_stream() -> None:
    """The line that counts dropped lines has the form of the others."""
    text = configure(format="ecs")._dropped_line(3)

    assert json.loads(text)["message"] == "3 log lines were dropped, since nothing took them"


def test_child_process_writes_its_own_lines(lines: Lines) -> None:
    """What waits in the parent when a child is forked is not written twice."""
    logs = configure()
    logs._stream._queue.append(object())  # type: ignore[arg-type]

    logs.after_fork()
    logger.info("child")

    assert [line["message"] for line in lines()] == ["child"]
    assert os.getpid()


# An app that keeps its own logging.


def test_standard_logs_configure_nothing() -> None:
    """With `logs=False` request lines go to the standard library, whose setup is not touched."""
    before = _state(logging.getLogger()), _loguru_handlers()

    log.StdlibLogs()

    assert (_state(logging.getLogger()), _loguru_handlers()) == before
    assert log.current() is None


def test_standard_logs_write_records(caplog: pytest.LogCaptureFixture) -> None:
    """With `logs=False` request lines are records whose attributes are the fields."""
    logs = log.StdlibLogs()

    with caplog.at_level(logging.INFO):
        _access(logs, fields={"request_id": "r1", "name": "x", "status": "y"}, path=HOSTILE)
        logs.websocket(route="/w", path="/w", code=None, duration_seconds=1, client=None, fields={})
        _report(logs, _failure(), "Unhandled error", message_="x", args="y")

    access, websocket, error = caplog.records
    assert (access.name, access.getMessage()) == ("sturdyapi.access", f"GET {HOSTILE} 200")
    assert vars(access).items() >= {"request_id": "r1", "name_": "x", "status": 200}.items()
    assert websocket.getMessage() == "websocket /w closed without a code"
    assert error.getMessage() == "Unhandled error: RuntimeError"
    assert not error.exc_info


def test_standard_logs_honour_levels(caplog: pytest.LogCaptureFixture) -> None:
    """With `logs=False` the levels of the standard library decide."""
    with caplog.at_level(logging.WARNING):
        _access(log.StdlibLogs())

    assert not caplog.records
