"""Whom a vector describes: clients by id, hosts by address, and their open connections.

How many of each there may be is bounded by `registry` and `roster`.
"""

from collections import deque

from mqtt_ids.counters import Client as C
from mqtt_ids.counters import Gauge as G
from mqtt_ids.counters import Host as H
from mqtt_ids.topics import Sieve

_CLIENT_ZEROS = [0.0] * C.COUNT
_HOST_ZEROS = [0.0] * H.COUNT
_RECENT_CREDENTIALS = 4
_SERIES_ENDS_AFTER = 60.0  # seconds without a refused log-in
_MOST_BEFORE = 4  # refused log-ins before the second credential that count with it
_BURST = 1.0  # seconds in which publishes are one turn
_RHYTHM_PACE = 0.05  # how much of the mean interval each new one makes up
_RECENT_TAKEOVERS = 8
_AT_HOME_AFTER = 86_400.0  # seconds at one address after which that is a client's home


class HostSubject:
    """One address. `counts` holds what happened since the last fold, or None for nothing."""

    __slots__ = (
        "address",
        "clients",
        "counts",
        "credentials",
        "gauges",
        "last",
        "refused_at",
        "refused_before",
        "row",
        "since",
        "tracked",
        "welcome",
    )

    def __init__(self, address: str, row: int, now: float) -> None:
        self.address = address
        self.row = row  # its own only while it is tracked
        self.tracked = True
        self.since = now
        self.last = now
        self.clients = 0  # tracked clients that were last seen here
        self.counts: list[float] | None = None
        self.gauges = [0] * G.COUNT
        self.credentials: deque[int] | None = None
        self.welcome = False  # somebody here was let in
        self.refused_at = now  # the last refused log-in
        self.refused_before = 0  # refused log-ins of a stranger with one and the same credential

    @property
    def connected(self) -> bool:
        """Whether any connection from here is open."""
        return self.gauges[G.CONNECTIONS] > 0

    def zero(self) -> list[float]:
        """Begin counting after a fold."""
        self.counts = counts = _HOST_ZEROS.copy()
        return counts

    def let_in(self) -> None:
        """Somebody here was accepted: whoever is refused here is no stranger any more."""
        self.welcome = True
        self.gauges[G.TRIES] = 0

    def end_series(self, now: float) -> None:
        """Log-ins that were refused long ago are not in a row with what comes now."""
        if now - self.refused_at > _SERIES_ENDS_AFTER:
            self.gauges[G.TRIES] = self.refused_before = 0

    def tried(self, credential: int, now: float) -> bool:
        """Whether `credential` was among the last few refused from here; remembers it.

        A stranger who goes from one credential to the next guesses. One who comes back to an
        earlier one is two devices, each with its own.
        """
        if self.credentials is None:
            self.credentials = deque(maxlen=_RECENT_CREDENTIALS)
        recent = self.credentials
        self.end_series(now)
        self.refused_at = now
        known = credential in recent
        if known and credential != recent[-1]:
            self.gauges[G.TRIES] = self.refused_before = 0
        elif not self.welcome:
            self._count_try(changed=not known and bool(recent))
        if not known:
            recent.append(credential)
        return known

    def _count_try(self, *, changed: bool) -> None:
        """One more refused log-in in a row. The first credential alone is none, and no guess."""
        tries = self.gauges[G.TRIES]
        if tries:
            self.gauges[G.TRIES] = tries + 1
        elif changed and self.refused_before:
            self.gauges[G.TRIES] = self.refused_before + 1
        else:
            self.refused_before = min(self.refused_before + 1, _MOST_BEFORE)


class ClientSubject:
    """One client id, as accepted by the broker."""

    __slots__ = (
        "arrived",
        "connection",
        "counts",
        "gap",
        "gap_spread",
        "gaps",
        "home",
        "host",
        "id",
        "keep_alive",
        "last",
        "last_publish",
        "last_topic",
        "row",
        "sieve",
        "since",
        "takeovers",
        "tracked",
        "turn",
        "username",
        "wide",
    )

    def __init__(self, client_id: str, host: HostSubject, row: int, now: float) -> None:
        self.id = client_id
        self.row = row  # its own only while it is tracked
        self.tracked = True
        self.host = host
        self.username: str | None = None
        self.keep_alive = 0
        self.last = now
        self.connection: Connection | None = None
        self.counts: list[float] | None = None
        self.takeovers: deque[tuple[float, str]] | None = None
        self.start_again(now)

    @property
    def connected(self) -> bool:
        """Whether a connection with this id is open."""
        return self.connection is not None

    def start_again(self, now: float) -> None:
        """Know nothing of what it did before now."""
        self.home = self.host.address  # where it was first seen, or has lived for long
        self.arrived = now  # at `host`
        self.since = now
        self.sieve: Sieve | None = None
        self.wide = False  # has subscribed to everything before
        # The rhythm of its publishes: how many gaps, their fading mean and mean deviation, in s.
        self.last_publish: float | None = None
        self.last_topic: int | None = None  # its hash
        self.turn: float | None = None  # when the latest burst of them began
        self.gaps = 0
        self.gap = 0.0
        self.gap_spread = 0.0

    def zero(self) -> list[float]:
        """Begin counting after a fold."""
        self.counts = counts = _CLIENT_ZEROS.copy()
        return counts

    def move(self, host: HostSubject, now: float) -> None:
        """From now on it is seen at `host`."""
        if now - self.arrived >= _AT_HOME_AFTER:
            self.home = self.host.address
        self.arrived = now
        self.host.clients -= 1
        host.clients += 1
        self.host = host

    def sift(self, topic: str) -> bool:
        """Whether `topic` is certainly new to this client; remembers it."""
        if self.sieve is None:
            self.sieve = Sieve()
        return self.sieve.add(topic)

    def keep_rhythm(self, now: float) -> None:
        """Note a publish at `now`. Those of one burst are one turn: a burst is no rhythm."""
        self.last_publish = now
        last = self.turn
        if last is not None and now - last < _BURST:
            return
        self.turn = now
        if last is None:
            return
        gap = now - last
        self.gaps += 1
        if self.gaps == 1:
            self.gap = gap
            return
        error = gap - self.gap
        self.gap += _RHYTHM_PACE * error
        self.gap_spread += _RHYTHM_PACE * (abs(error) - self.gap_spread)

    def taken_over(self, now: float, address: str) -> deque[tuple[float, str]]:
        """Remember that this id was taken over by `address`; the latest few take-overs."""
        if self.takeovers is None:
            self.takeovers = deque(maxlen=_RECENT_TAKEOVERS)
        self.takeovers.append((now, address))
        return self.takeovers


class Connection:
    """One open TCP connection. `client` is None until its CONNECT was accepted (or untracked)."""

    __slots__ = (
        "accepted",
        "answered",
        "client",
        "extreme",
        "goodbye",
        "half_open",
        "host",
        "opened",
        "port",
        "silent",
        "spoke",
    )

    def __init__(self, host: HostSubject, port: int, now: float) -> None:
        self.host = host
        self.port = port
        self.opened = now
        self.accepted: float | None = None
        self.answered = False
        self.client: ClientSubject | None = None
        self.extreme = False
        self.goodbye = False
        self.half_open = False
        self.silent = False
        self.spoke = False
