"""Sockets of our own to listen on, and whether one of them is the broker's."""

import contextlib
import errno
import socket
from collections.abc import Iterable
from typing import Final

from mqtt_ids.errors import StartError
from mqtt_ids.readers import HostPort

__all__ = ["bind", "is_broker"]

EVERYWHERE: Final = {"0.0.0.0": socket.AF_INET, "::": socket.AF_INET6}  # noqa: S104 - looked for


def bind(place: HostPort) -> list[socket.socket]:
    """A socket for each address that the host has: bound, and not listening yet.

    `::` takes in IPv4 as well. Raises StartError.
    """
    bound: list[socket.socket] = []
    try:
        for family, address in _addresses(place):
            bound.append(_bound(family, address))
    except OSError as error:
        for each in bound:
            each.close()
        in_use = error.errno == errno.EADDRINUSE
        why = "the port is in use by another program" if in_use else error.strerror or str(error)
        hint = "; stop that one, or choose another with --listen" if in_use else ""
        raise StartError(f"cannot listen on {place}: {why}{hint}") from None
    return bound


def is_broker(place: HostPort, broker: HostPort) -> bool:
    """Whether who calls the broker would reach us, who listen at `place`."""
    if place.port != broker.port:
        return False
    with contextlib.suppress(OSError):  # a name that nobody knows yet
        theirs = {address[0] for _, address in _addresses(broker)}
        if place.host in EVERYWHERE:
            return any(map(_is_ours, theirs))
        return bool(theirs & {address[0] for _, address in _addresses(place)})
    return place.host == broker.host


def _addresses(place: HostPort) -> Iterable[tuple[int, tuple[str, int]]]:
    found = socket.getaddrinfo(
        place.host, place.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    return dict.fromkeys((family, (str(at[0]), int(at[1]))) for family, _, _, _, at in found)


def _bound(family: int, address: tuple[str, int]) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            alone = 0 if address[0] == "::" else 1
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, alone)
        made.bind(address)
        made.setblocking(False)  # noqa: FBT003 - socket takes it by place only
    except OSError:
        made.close()
        raise
    return made


def _is_ours(address: str) -> bool:
    """Whether this machine has the address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True
