"""The sockets that systemd listens on for us, so that a restart refuses nobody.

The protocol is sd_listen_fds(3).
"""

import os
import socket
from collections.abc import MutableMapping, Sequence
from typing import Final, Literal, NamedTuple, cast, get_args

from mqtt_ids.errors import StartError

__all__ = ["Inherited", "Kind", "inherited"]

Kind = Literal["mqtt", "mqtts", "ws", "wss"]

FIRST: Final = 3  # the descriptor that systemd begins with
MOST: Final = 64  # sockets
_VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


class Inherited(NamedTuple):
    """A socket that listens already, and what is spoken there."""

    kind: Kind
    bound: socket.socket


def inherited(
    environ: MutableMapping[str, str] = os.environ, first: int = FIRST
) -> tuple[Inherited, ...]:
    """The sockets passed to this process; none where nobody passed any.

    The variables are taken out, for a child is not to answer. Raises StartError for what can be
    no listener of ours.
    """
    found = {name: environ.pop(name) for name in _VARIABLES if name in environ}
    count = found.get("LISTEN_FDS", "")
    if found.get("LISTEN_PID") != str(os.getpid()) or not count.isascii() or not count.isdigit():
        return ()
    if int(count[:9]) > MOST:
        raise StartError(f"LISTEN_FDS: {count[:9]} sockets; expected at most {MOST}")
    names = found.get("LISTEN_FDNAMES", "").split(":")
    return tuple(
        Inherited(_kind(names, number), _taken(first + number, number))
        for number in range(int(count))
    )


def _kind(names: Sequence[str], number: int) -> Kind:
    """By its name; without one the first is plain MQTT."""
    name = names[number] if number < len(names) else ""
    if name in get_args(Kind):
        return cast("Kind", name)
    if number == 0:
        return "mqtt"
    raise StartError(
        f"socket {number + 1} from systemd: named {name[:64]!r}; expected"
        f" FileDescriptorName={', '.join(get_args(Kind))} in its unit"
    )


def _taken(descriptor: int, number: int) -> socket.socket:
    try:
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - os takes it by place only
        bound = socket.socket(fileno=descriptor)
        listens = bool(bound.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except OSError as error:
        raise StartError(
            f"socket {number + 1} from systemd: cannot be used: {error.strerror}"
        ) from None
    tcp = bound.family in {socket.AF_INET, socket.AF_INET6} and bound.type == socket.SOCK_STREAM
    if not (tcp and listens):
        raise StartError(
            f"socket {number + 1} from systemd: is no TCP socket that listens; expected"
            " ListenStream=HOST:PORT, without Accept=yes"
        )
    bound.setblocking(False)  # noqa: FBT003 - the same
    return bound
