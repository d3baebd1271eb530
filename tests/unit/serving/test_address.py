"""Where a server is going to listen."""

from __future__ import annotations

import socket

import pytest

from sturdyapi.exceptions import AddressError
from sturdyapi.serving.address import free_address


def test_a_shared_port_is_taken() -> None:
    """A port that somebody else shares is in use, although Granian could share it too."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(AddressError, match=f"127.0.0.1:{port} is in use"):
            free_address("127.0.0.1", port)


def test_an_address_is_a_number() -> None:
    """A name becomes the number that Granian needs, and 0 a port that the log can tell."""
    address, port = free_address("localhost", 0)
    assert address in ("127.0.0.1", "::1")
    assert port > 0


def test_an_unknown_name_is_told_with_its_port() -> None:
    """Where nobody can listen, the message says so in the form of a URL."""
    with pytest.raises(AddressError, match=r"^Nothing can listen on \[fe80::zz\]:80: "):
        free_address("fe80::zz", 80)
