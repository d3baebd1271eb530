"""The PostgreSQL servers that tests start."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from .postgres import PostgresServer, fetch

ROOT = Path(__file__).parents[2]

INTERRUPTED = """
import os, signal
from tests.servers.postgres import PostgresServer

server = PostgresServer()
server.freeze()
print(server.pid, server.folder, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def _value(url: str, query: str) -> Any:
    rows = asyncio.run(fetch(url, query, timeout_seconds=1))
    return rows[0][0] if rows else None


def test_a_killed_run_leaves_no_server() -> None:
    """A run that is killed leaves no process and no folder behind, not even a frozen one's."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", INTERRUPTED]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    pid, folder = done.stdout.split()

    deadline = time.monotonic() + 30
    while Path(folder).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(folder).exists()
    assert not psutil.pid_exists(int(pid)) or psutil.Process(int(pid)).status() == "zombie"


def test_a_killed_server_has_what_it_acknowledged(own_postgres: PostgresServer) -> None:
    """A row that was committed before the kill is there after the restart."""
    url = own_postgres.new_database()
    _value(url, "create table events (id int)")
    for number in range(1, 4):
        _value(url, f"insert into events values ({number})")
        own_postgres.kill()
        with pytest.raises(ConnectionRefusedError):
            _value(url, "select 1")
        own_postgres.restart()
        assert _value(url, "select count(*) from events") == number


def test_a_frozen_server_takes_connections_and_is_silent(own_postgres: PostgresServer) -> None:
    """A client of a frozen server waits; after the thaw it is served."""
    url = own_postgres.url()
    own_postgres.freeze()
    try:
        with pytest.raises(TimeoutError):
            _value(url, "select 1")
    finally:
        own_postgres.thaw()
    assert _value(url, "select 1") == 1


def test_databases_are_empty_and_apart(postgres_url: str, own_postgres: PostgresServer) -> None:
    """Each test has a database of its own, with nothing in it."""
    tables = "select count(*) from pg_tables where schemaname = 'public'"
    _value(postgres_url, "create table events (id int)")
    assert _value(own_postgres.new_database(), tables) == 0


def test_a_url_with_another_password_is_refused(own_postgres: PostgresServer) -> None:
    """The server asks for the password, as one in production does."""
    with pytest.raises(Exception, match="password authentication failed"):
        _value(own_postgres.url(password="wrong"), "select 1")
