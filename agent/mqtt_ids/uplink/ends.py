"""Our end of a connection, as the broker sees it."""

from ipaddress import ip_address
from typing import Any

from paho.mqtt.client import Client

__all__ = ["end_of"]


def end_of(client: Client) -> tuple[str, int] | None:
    """Our address and port, if the broker is on this very machine; elsewhere it may see others."""
    sock: Any = client.socket()  # with TLS or not
    try:
        here: tuple[str, int] = sock.getsockname()[:2]
        there: tuple[str, int] = sock.getpeername()[:2]
        local = here[0] == there[0] or ip_address(there[0]).is_loopback
    except (AttributeError, OSError, ValueError):  # a WebSocket's wrapper, or it is lost already
        return None
    return here if local else None
