"""The command line of each server."""

from __future__ import annotations

import sys
from itertools import pairwise
from typing import Any

import pytest

from sturdyapi.serving.lines import SERVERS, Plan


def plan(**changes: Any) -> Plan:
    """Return what a server is told."""
    told: dict[str, Any] = {
        "app": "main:app",
        "host": "127.0.0.1",
        "port": 8000,
        "workers": 2,
        "trusted_proxies": ["10.0.0.1", "10.1.0.0/16"],
        "delay_seconds": 5.0,
        "grace_seconds": 20.0,
        "log_format": "json",
        "log_level": "info",
    }
    return Plan(**told | changes)


def options(line: list[str]) -> dict[str, str]:
    """Return the options of a line that have a value."""
    pairs = pairwise(line)
    return {name: value for name, value in pairs if name.startswith("--")}


@pytest.mark.parametrize("server", SERVERS)
def test_every_server_is_started_by_this_python(server: str) -> None:
    """A service runs in the environment that `sturdyapi` is installed in, whatever PATH says."""
    line = SERVERS[server].line(plan())
    assert line[:2] == [sys.executable, "-m"]
    assert line[3] == "main:app"


@pytest.mark.parametrize("server", SERVERS)
def test_every_server_gets_the_address_and_the_number_of_workers(server: str) -> None:
    """Host, port and workers arrive."""
    told = options(SERVERS[server].line(plan(host="0.0.0.0", port=9000, workers=3)))
    where = told.get("--bind") or f"{told['--host']}:{told['--port']}"
    assert where == "0.0.0.0:9000"
    assert told["--workers"] == "3"


@pytest.mark.parametrize("server", SERVERS)
def test_exactly_the_trusted_proxies_are_believed(server: str) -> None:
    """Trap 107: no server is left with its own idea of whom to believe."""
    told = options(SERVERS[server].line(plan()))
    trusted = told.get("--forwarded-allow-ips") or told["--trusted-proxies"]
    assert trusted == "10.0.0.1,10.1.0.0/16"


@pytest.mark.parametrize("server", SERVERS)
def test_the_options_of_the_user_come_last(server: str) -> None:
    """What follows `--` wins over what was decided here."""
    assert SERVERS[server].line(plan(options=["--port", "1"]))[-2:] == ["--port", "1"]


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("form", ["json", "ecs", "text"])
def test_the_lines_of_the_server_have_the_form_of_the_app(server: str, form: str) -> None:
    """Each server is told the log format."""
    line = " ".join(SERVERS[server].line(plan(log_format=form)))
    assert f"--log-format {form}" in line or f"logger.{form.capitalize()}Logger" in line


def test_the_whole_stop_is_under_thirty_seconds() -> None:
    """Trap 109: with the defaults the stop ends before Kubernetes kills."""
    assert plan().stop_seconds == 29


@pytest.mark.parametrize("server", ["gunicorn", "gunicorn-asgi"])
def test_gunicorn_kills_after_delay_and_grace(server: str) -> None:
    """The parent process waits for the delay, the grace and the closing before it kills."""
    told = options(SERVERS[server].line(plan(delay_seconds=0.5, grace_seconds=10)))
    assert told["--graceful-timeout"] == str(11 + 4)


def test_workers_are_recycled_one_by_one() -> None:
    """Trap 112: the limit of requests comes with jitter, and not to a single worker."""
    told = options(SERVERS["gunicorn"].line(plan()))
    assert int(told["--max-requests-jitter"]) > 0
    assert "--max-requests" not in SERVERS["gunicorn"].line(plan(workers=1))


def test_an_ipv6_address_is_written_as_in_a_url() -> None:
    """`::1` needs brackets before a port."""
    assert plan(host="::1").address == "[::1]:8000"
