"""A real nginx in front of a service, over HTTP and HTTPS."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import time
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING

import pytest

from .process import DEADLINE_SECONDS
from .running import free_port

if TYPE_CHECKING:
    from pathlib import Path

SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])
"""Debian installs nginx where not every user looks."""

HOST = "service.test"

CONFIGURATION = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
    upstream service {{ server 127.0.0.1:{service}; keepalive 4; }}
    server {{
        listen 127.0.0.1:{http};
        listen 127.0.0.1:{https} ssl;
        ssl_certificate {folder}/certificate.pem;
        ssl_certificate_key {folder}/key.pem;
        location / {{
            proxy_pass http://service;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
    }}
}}
"""


def missing_programs() -> list[str]:
    """Return what this machine lacks for a proxy."""
    return [name for name in ("nginx", "openssl") if not shutil.which(name, path=SEARCH_PATH)]


class Nginx:
    """A process of nginx that appends to `X-Forwarded-For` and sets `X-Forwarded-Proto`."""

    def __init__(self, folder: Path, *, service: int) -> None:
        """Start it in front of the service on a port, with a certificate that nobody knows."""
        self.http = free_port()
        self.https = free_port()
        folder.mkdir()
        _make_certificate(folder)
        configuration = folder / "nginx.conf"
        configuration.write_text(
            CONFIGURATION.format(folder=folder, service=service, http=self.http, https=self.https)
        )
        self._log = folder / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    str(shutil.which("nginx", path=SEARCH_PATH)),
                    "-p",
                    str(folder),
                    "-c",
                    str(configuration),
                    "-e",
                    "stderr",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._wait_until_it_answers()

    def connect(self, *, is_secure: bool, source: str) -> HTTPConnection:
        """Connect from an address of this machine."""
        if is_secure:
            return HTTPSConnection(
                "127.0.0.1",
                self.https,
                timeout=DEADLINE_SECONDS,
                source_address=(source, 0),
                context=unverified(),
            )
        return HTTPConnection(
            "127.0.0.1", self.http, timeout=DEADLINE_SECONDS, source_address=(source, 0)
        )

    def kill(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                pytest.fail(f"nginx did not start:\n{self._log.read_text()}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        with closing(self.connect(is_secure=True, source="127.0.0.1")) as connection:
            try:
                connection.request("GET", "/health/live")
                return connection.getresponse().status == 200
            except (OSError, HTTPException):
                return False


def unverified() -> ssl.SSLContext:
    """Return what takes any certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _make_certificate(folder: Path) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]
    subprocess.run(
        [*command, "-nodes", "-days", "1", "-subj", f"/CN={HOST}", *files],
        check=True,
        capture_output=True,
    )
