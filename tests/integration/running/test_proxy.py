"""Who asks, and by which scheme, behind a real nginx; and what a client may not make us believe.

The service trusts 127.0.0.1, where nginx is, and a network. Clients come from other addresses of
the loopback device.
"""

from __future__ import annotations

import http.client
import json
import os
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from websockets.sync.client import connect

from tests.servers.nginx import HOST, Nginx, missing_programs, unverified
from tests.servers.process import DEADLINE_SECONDS
from tests.servers.running import SERVERS, Kind, Running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.heavy

CLIENT = "127.0.0.3"
SETTINGS = {
    "TRUSTED_PROXIES": "127.0.0.1,10.0.0.0/8",
    # Of Uvicorn and Gunicorn themselves: our setting wins.
    "FORWARDED_ALLOW_IPS": "*",
}


class Proxied(NamedTuple):
    """A service and the proxy in front of it."""

    service: Running
    nginx: Nginx

    def ask(
        self, path: str, *headers: tuple[str, str], is_secure: bool = True
    ) -> http.client.HTTPResponse:
        """Send a request through nginx."""
        connection = self.nginx.connect(is_secure=is_secure, source=CLIENT)
        return _exchange(connection, path, *headers)

    def ask_directly(
        self, path: str, *headers: tuple[str, str], source: str
    ) -> http.client.HTTPResponse:
        """Send a request past nginx, from an address of this machine."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.service.port, timeout=DEADLINE_SECONDS, source_address=(source, 0)
        )
        return _exchange(connection, path, *headers)

    def logged_client(self, response: http.client.HTTPResponse) -> str:
        """Return the address in the access line of a request."""
        return str(self.service.line(str(response.getheader("x-request-id")))["client"])


def _exchange(
    connection: http.client.HTTPConnection, path: str, *headers: tuple[str, str]
) -> http.client.HTTPResponse:
    with closing(connection):
        connection.putrequest("GET", path, skip_host=True)
        # A list, not a mapping: a header may be sent twice.
        for name, value in (("Host", HOST), *headers):
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        response.body = response.read()  # type: ignore[attr-defined]
        return response


def _seen(response: http.client.HTTPResponse) -> dict[str, Any]:
    """Return how the service has seen a request."""
    assert response.status == 200
    seen: dict[str, Any] = json.loads(response.body)  # type: ignore[attr-defined]
    return seen


@pytest.fixture(scope="module", params=SERVERS)
def proxied(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxied]:
    """Start a service and an nginx for the tests that leave both as they were."""
    if missing := missing_programs():
        reason = f"not on this machine: {', '.join(missing)}; scripts/setup-nginx installs them"
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("proxied")
    service = Running(folder, SERVERS[request.param], settings=SETTINGS)
    try:
        service.wait_until_ready()
        nginx = Nginx(folder / "nginx", service=service.port)
        yield Proxied(service, nginx)
        nginx.kill()
    finally:
        service.kill()


@pytest.mark.parametrize("is_secure", [True, False], ids=["https", "http"])
def test_the_client_and_the_scheme_are_those_of_the_proxy(
    proxied: Proxied, is_secure: bool
) -> None:
    """Trap 107: the app and the log have the client's address, not the proxy's."""
    response = proxied.ask("/where/", is_secure=is_secure)

    scheme = "https" if is_secure else "http"
    url = f"{scheme}://{HOST}/where/"
    assert _seen(response) == {"client": CLIENT, "scheme": scheme, "url": url}
    assert proxied.logged_client(response) == CLIENT


@pytest.mark.parametrize("is_secure", [True, False], ids=["https", "http"])
def test_a_redirect_keeps_the_scheme(proxied: Proxied, is_secure: bool) -> None:
    """Trap 108: the redirect of a path without its slash leads back to https."""
    response = proxied.ask("/where", is_secure=is_secure)

    scheme = "https" if is_secure else "http"
    assert response.status == 307
    assert response.getheader("location") == f"{scheme}://{HOST}/where/"


def test_a_websocket_has_the_client_and_the_scheme(proxied: Proxied) -> None:
    """What holds for a request holds for a websocket."""
    url = f"wss://127.0.0.1:{proxied.nginx.https}/where/ws"
    with connect(
        url, ssl=unverified(), source_address=(CLIENT, 0), open_timeout=DEADLINE_SECONDS
    ) as websocket:
        seen = json.loads(websocket.recv(DEADLINE_SECONDS))

    assert seen == {"client": CLIENT, "scheme": "wss"}


LIES = {
    "another address": ("X-Forwarded-For", "203.0.113.6"),
    "the proxy's address": ("X-Forwarded-For", "127.0.0.1"),
    "a trusted network": ("X-Forwarded-For", "203.0.113.6, 10.0.0.1"),
    "no address": ("X-Forwarded-For", "nobody, , 1"),
    "https": ("X-Forwarded-Proto", "https"),
    "https by another name": ("X-Forwarded-Ssl", "on"),
    "https by an old name": ("X-Forwarded-Protocol", "ssl"),
    "the standard header": ("Forwarded", "for=203.0.113.6;proto=https;host=evil.test"),
    "another host": ("X-Forwarded-Host", "evil.test"),
    "a real address": ("X-Real-IP", "203.0.113.6"),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_lie_told_through_the_proxy_is_not_believed(
    proxied: Proxied, lie: tuple[str, str]
) -> None:
    """Trap 107: what a client writes into the headers of proxies changes nothing."""
    response = proxied.ask("/where/", lie, is_secure=False)

    assert _seen(response) == {"client": CLIENT, "scheme": "http", "url": f"http://{HOST}/where/"}
    assert proxied.logged_client(response) == CLIENT


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_lie_told_directly_is_not_believed(proxied: Proxied, lie: tuple[str, str]) -> None:
    """Trap 107: who reaches the service past the proxy is who the connection says."""
    response = proxied.ask_directly("/where/", lie, source="127.0.0.2")

    url = f"http://{HOST}/where/"
    assert _seen(response) == {"client": "127.0.0.2", "scheme": "http", "url": url}
    assert proxied.logged_client(response) == "127.0.0.2"


def test_the_proxies_of_a_trusted_network_are_passed_over(proxied: Proxied) -> None:
    """Behind several proxies the client is the last address that is not one of them."""
    chain = ("X-Forwarded-For", "203.0.113.6, 198.51.100.7, 10.1.2.3")
    response = proxied.ask_directly(
        "/where/", chain, ("X-Forwarded-Proto", "https"), source="127.0.0.1"
    )

    url = f"https://{HOST}/where/"
    assert _seen(response) == {"client": "198.51.100.7", "scheme": "https", "url": url}


def test_a_proxy_may_append_a_line_of_its_own(proxied: Proxied) -> None:
    """Where a proxy adds a second header, the first is the client's word and is not believed."""
    lines = (("X-Forwarded-For", "203.0.113.6"), ("X-Forwarded-For", "198.51.100.7"))
    response = proxied.ask_directly("/where/", *lines, source="127.0.0.1")

    assert _seen(response)["client"] == "198.51.100.7"


def test_without_a_trusted_proxy_nobody_is_believed(
    kind: Kind, run: Callable[..., Running]
) -> None:
    """An empty list trusts nobody, not even this machine."""
    service = run(kind, settings={**SETTINGS, "TRUSTED_PROXIES": "[]"}).wait_until_ready()
    response = service.ask(
        "GET", "/where/", x_forwarded_for="203.0.113.6", x_forwarded_proto="https"
    )

    seen = _seen(response)
    assert (seen["client"], seen["scheme"]) == ("127.0.0.1", "http")
