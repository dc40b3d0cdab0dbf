"""What became of connections, told as events, each in its order; nothing of ourselves."""

import re
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any, Final

from mqtt_ids.events import (
    AnyEvent,
    Closed,
    Connected,
    Disconnected,
    Malformed,
    Opened,
    Pinged,
    Refused,
    Subscribed,
    Unsubscribed,
)
from mqtt_ids.names import bounded, canonical
from mqtt_ids.sensors.mosquitto.lines import KEY, PROTOCOLS
from mqtt_ids.sensors.mosquitto.links import Link, Links
from mqtt_ids.sensors.mosquitto.records import Reading

# An id that the broker made up, unless `auto_id_prefix` says otherwise.
_MADE_UP: Final = re.compile(rb"auto-[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}")
OWN_IDS: Final = 4  # the present one, and earlier ones of which lines may be on their way
_UNKNOWN_VERSION: Final = 4


class Teller:
    """Writes events to `out` and keeps `links` as they tell. `now` is the time of the next ones."""

    def __init__(self, out: list[AnyEvent], most_ids: int, most_waiting: int) -> None:
        self.links = Links(most_ids, most_waiting)
        self.now = 0.0
        self.skipped = 0
        self._out = out
        self._own: dict[bytes, tuple[str, int] | None] = {}
        self._elsewhere = False
        self._seen_at: str | None = None  # where the broker sees us: no proxy is between
        self._leaving: Link | None = None  # taken over; by whom is about to be told

    def at(self, now: float) -> float:
        """The time is `now`, or still what it was."""
        self.now = max(now, self.now)
        return self.now

    def told(self) -> list[AnyEvent]:
        """The events since the last call."""
        out = self._out.copy()
        self._out.clear()
        return out

    def tell(self, event: AnyEvent) -> None:
        """An event that needs nothing more."""
        self._out.append(event)

    def leave_out(
        self, client_id: str, end: tuple[str, int] | None, *, elsewhere: bool = False
    ) -> None:
        """Tell nothing of this client; with `elsewhere` from whatever end it comes."""
        self._elsewhere = elsewhere
        where = None if end is None else (canonical(end[0]), end[1])
        key = client_id.encode("utf-8", "replace")[:KEY]
        settled = where is not None and not elsewhere
        self._own = {} if settled else {one: at for one, at in self._own.items() if one != key}
        self._own[key] = where
        if len(self._own) > OWN_IDS:
            del self._own[next(iter(self._own))]
        link = self.links.by_id.get(key)
        if link is not None and where is not None and self._is_own(link):
            self._hide(link)

    # --- a connection begins -----------------------------------------------------------------

    def opened(self, address: bytes, port: int) -> None:
        """A connection was accepted."""
        link, given_up = self.links.begin(address, port, self.now)
        if given_up is not None:
            self.closed(given_up, "broker")
        link.own = (link.address, port) in self._own.values()
        self._open(link)

    def turned_away(self, address: bytes) -> None:
        """A connection was accepted and closed."""
        self.closed(self.met_at(address, 0), "broker")

    def met_at(self, address: bytes, port: int) -> Link:
        """A connection from there whose beginning no line has told."""
        link = self.links.make(address, port, self.now)
        self._open(link)
        return link

    def met(self, name: bytes) -> Link | None:
        """A client that was there before us; None if there are too many."""
        link = self.links.meet(name, self.now)
        if link is None:
            self.skipped += 1
            return None
        link.own = link.key in self._own
        if not link.own:
            self._out.append(Connected(**self._seen(link)))
        return link

    def joined(self, link: Link, reading: Reading, will_topic: str | None) -> None:
        """The CONNECT was accepted. Who had the id before goes after that, as in a take-over."""
        before = self.links.by_id.get(reading.name[:KEY])
        if before is not None and before is not self._leaving:
            self.closed(before, "client")  # of which the line was lost
        placed = self.links.name(link, reading.name)
        if self._is_own(link):
            self._hide(link)
        elif placed:
            self._connected(link, reading, will_topic)
        else:
            self.skipped += 1
            link.client_id = None
            self.closed(link, "broker")
        self.leave()

    def _connected(self, link: Link, reading: Reading, will_topic: str | None) -> None:
        user = reading.username
        self._out.append(
            Connected(
                **self._seen(link),
                username=None if user is None else bounded(user.decode("utf-8", "replace")),
                keep_alive=reading.keep_alive,
                clean_session=reading.clean_session,
                version=PROTOCOLS.get(reading.protocol or b"", _UNKNOWN_VERSION),
                will_topic=will_topic,
                id_was_empty=_MADE_UP.fullmatch(reading.name) is not None,
            )
        )

    def _is_own(self, link: Link) -> bool:
        if link.key not in self._own:
            return False
        where = self._own[link.key]
        if where == (link.address, link.port):
            self._seen_at = link.address
            return True
        if self._seen_at is not None:  # from elsewhere it is somebody who has taken our id
            return where is None and _same_place(link.address, self._seen_at)
        return where is None or self._elsewhere

    def _hide(self, link: Link) -> None:
        """It is ourselves: what was told of it is taken back."""
        if not link.own:
            self._out.append(Closed(**{**self._seen(link), "client_id": None}, by="ids"))
            link.own = True

    def refused(self, link: Link, code: int, claim: bytes | None = None) -> None:
        """The CONNECT was refused; `claim` is the id it came with."""
        link.refused = True
        claimed = None if not claim else bounded(claim.decode("utf-8", "replace"))
        self._tell(link, Refused, code=code, client_id=claimed)

    # --- and ends ----------------------------------------------------------------------------

    def leaves(self, link: Link) -> None:
        """Another connection takes over its id: it is closed once that has been told."""
        if self._leaving is not link:
            self.leave()
        self._leaving = link

    def leave(self) -> None:
        """Whoever was taken over is gone."""
        link, self._leaving = self._leaving, None
        if link is not None:
            self.closed(link, "broker")

    def closed(self, link: Link, by: str) -> None:
        """The connection is over: told once."""
        if link.gone:
            return
        link.gone = True
        self.links.remove(link)
        self._tell(link, Closed, by=by)

    def all_closed(self) -> None:
        """The broker ends, and all connections with it."""
        self.leave()
        for link in [*self.links.waiting.values(), *self.links.by_id.values()]:
            self.closed(link, "broker")

    # --- what clients say --------------------------------------------------------------------

    def pinged(self, link: Link) -> None:
        """PINGREQ."""
        self._tell(link, Pinged)

    def said_goodbye(self, link: Link) -> None:
        """DISCONNECT."""
        link.goodbye = True
        self._tell(link, Disconnected)

    def malformed(self, link: Link, reason: bytes) -> None:
        """Its packets broke the protocol."""
        self._tell(link, Malformed, reason=reason.decode("ascii", "replace"))

    def asked(self, link: Link, filters: Sequence[str], *, subscribes: bool) -> None:
        """SUBSCRIBE or UNSUBSCRIBE."""
        self._tell(link, Subscribed if subscribes else Unsubscribed, filters=tuple(filters))

    def _open(self, link: Link) -> None:
        self._tell(link, Opened)

    def _tell(self, link: Link, kind: type[AnyEvent], **more: Any) -> None:  # noqa: ANN401
        if not link.own:
            self._out.append(kind(**{**self._seen(link), **more}))

    def _seen(self, link: Link) -> dict[str, Any]:
        return {
            "time": self.now,
            "connection": link.number,
            "address": link.address,
            "port": link.port,
            "client_id": link.client_id,
        }


def _same_place(one: str, other: str) -> bool:
    """Whether both are one address, or this machine by either of its names."""
    try:
        return one == other or (ip_address(one).is_loopback and ip_address(other).is_loopback)
    except ValueError:  # a stand-in
        return False
