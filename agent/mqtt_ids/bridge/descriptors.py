"""How many connections the limit of open files allows."""

import contextlib
import resource
from typing import Final

EACH: Final = 2  # of a connection: the client's, and ours to the broker
OURS: Final = 64  # for all else: the state, the control socket, libraries


def raise_limit() -> int | None:
    """Raise the soft limit of open files to the hard one; what it is then, None if unlimited."""
    try:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with contextlib.suppress(OSError, ValueError):  # macOS does not take what it says itself
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    except OSError:
        return None  # a sandbox does not even tell
    return None if limit == resource.RLIM_INFINITY else limit


def connections(wanted: int, limit: int | None) -> tuple[int, str | None]:
    """How many of the wanted connections may be open, and a line where that is fewer."""
    room = wanted if limit is None else max((limit - OURS) // EACH, 1)
    if room >= wanted:
        return wanted, None
    return room, (
        f"{limit} open files are allowed: {room} connections at once, not the {wanted} of"
        " limits.max_clients; raise it with LimitNOFILE= or ulimit -n"
    )
