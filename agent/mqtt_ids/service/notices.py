"""What systemd is told: that we are ready, how we are, that we live, that we stop.

The protocol is sd_notify(3) and sd_watchdog_enabled(3): each notice is one datagram of `KEY=value`
lines to the socket that NOTIFY_SOCKET names.
"""

import os
import socket
from collections.abc import Mapping, MutableMapping

__all__ = ["Notices"]

LONGEST = 256  # characters of a status
_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class Notices:
    """Never raises, never waits, and does nothing where nobody asked for notices.

    `every`: seconds from one `alive` to the next, half of what the watchdog allows; None where it
    is off. A notice that systemd could not take goes out with the next one.
    """

    def __init__(self, address: str | None, every: float | None = None) -> None:
        self.every = every
        self._address = address
        self._unsent: dict[str, str] = {}

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str] = os.environ) -> "Notices":
        """As systemd asks for it; the variables are taken out, for a child is not to answer."""
        found = {name: environ.pop(name) for name in _VARIABLES if name in environ}
        address = found.get("NOTIFY_SOCKET", "")
        if not address.startswith(("/", "@")):  # such as vsock:, for a machine's own systemd
            return cls(None)
        return cls(address, _every(found))

    def ready(self) -> None:
        """The start is over."""
        self._tell("READY", "1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`. What it says may come from the network: see `_line`."""
        self._tell("STATUS", _line(text))

    def stopping(self) -> None:
        """The end has begun."""
        self._tell("STOPPING", "1")

    def alive(self) -> None:
        """The watchdog waits again."""
        self._tell("WATCHDOG", "1")

    def _tell(self, key: str, value: str) -> None:
        if self._address is None:
            return
        self._unsent[key] = value
        text = "\n".join(f"{name}={each}" for name, each in self._unsent.items())
        # Linux has names that begin with a NUL instead of a path; systemd writes them with an @.
        name = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                out.settimeout(0)  # never wait
                out.sendto(text.encode(), name)
        except OSError:  # nobody there, or its queue is full
            return
        self._unsent.clear()


def _every(environ: Mapping[str, str]) -> float | None:
    """Half of the watchdog's time, in seconds, if it is set and meant for this process."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    given = environ.get("WATCHDOG_USEC", "")
    allowed = int(given) if given.isascii() and given.isdigit() and len(given) < 20 else 0  # noqa: PLR2004 - 64 bits
    return allowed / 2e6 if allowed else None


def _line(text: str) -> str:
    """Printable, on one line and short: a line break in it would be a notice of its own."""
    shown = "".join(each if each.isprintable() else " " for each in text[: 4 * LONGEST])
    return " ".join(shown.split())[:LONGEST]
