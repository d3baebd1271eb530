"""Where a server is going to listen."""

from __future__ import annotations

import socket

from sturdyapi.exceptions import AddressError

__all__ = ["free_address"]


def free_address(host: str, port: int) -> tuple[str, int]:
    """Return an address for a name, and a free port for 0.

    Servers tell late that a port is taken: Gunicorn after five tries, and Granian shares it with
    whoever else shares it.

    Raises:
        AddressError: Somebody listens there, or nobody can.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            found = probe.getsockname()
    except OSError as error:
        shown = f"[{host}]" if ":" in host else host
        raise AddressError(f"{shown}:{port}", error) from None
    return str(found[0]), int(found[1])
