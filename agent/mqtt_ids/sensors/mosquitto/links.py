"""Who is connected, as the log tells it: by id, and, until the CONNECT is accepted, by waiting.

New connection ─► waiting ─┬─ New client connected ─► known by its id ─┐
                           └─ refused, given up, nonsense ─────────────┴─► gone
"""

from itertools import islice
from typing import Final

from mqtt_ids.names import STAND_IN, bounded, canonical
from mqtt_ids.sensors.mosquitto.lines import KEY
from mqtt_ids.sensors.mosquitto.records import Ended

MARK: Final = b" (d"  # what follows the id in a PUBLISH line
UNKNOWN: Final = b"<unknown>"  # what 2.0 calls a client without an id
QOS: Final = frozenset({b"0", b"1", b"2"})
SEARCHED: Final = 64  # of the waiting, for one from an address

End = tuple[bytes, int]  # the client's address and port


class Link:
    """One connection. `client_id` is None until the broker has accepted its CONNECT."""

    __slots__ = (
        "address",
        "client_id",
        "end",
        "gone",
        "goodbye",
        "key",
        "number",
        "opened",
        "own",
        "refused",
    )

    def __init__(self, number: int, address: str, end: End, now: float) -> None:
        self.number = number
        self.address = address
        self.end = end
        self.opened = now
        self.key = b""
        self.client_id: str | None = None
        self.own = self.goodbye = self.refused = self.gone = False

    @property
    def port(self) -> int:
        """The client's port; 0 where it is not known."""
        return self.end[1]


class Links:
    """The connections there are; at most so many `waiting` and so many known by their ids.

    Ids are compared by their first `KEY` bytes: the rest of a line may have been cut off.
    """

    def __init__(self, most_ids: int, most_waiting: int) -> None:
        self.by_id: dict[bytes, Link] = {}
        self.waiting: dict[End, Link] = {}  # the oldest first
        self.posing: set[bytes] = set()  # ids with MARK in them
        self._by_end: dict[End, Link] = {}
        self._most_ids = most_ids
        self._most_waiting = most_waiting
        self._number = 0

    def begin(self, address: bytes, port: int, now: float) -> tuple[Link, Link | None]:
        """A connection that was just opened, and one that has to be given up for it, if any."""
        link = self.make(address, port, now)
        given_up = self.waiting.pop(link.end, None)
        if given_up is None and len(self.waiting) >= self._most_waiting:
            given_up = self.waiting.pop(next(iter(self.waiting)))
        if given_up is not None:
            self._by_end.pop(given_up.end, None)
        self.waiting[link.end] = self._by_end[link.end] = link
        return link, given_up

    def make(self, address: bytes, port: int, now: float) -> Link:
        """A connection with the next number, which is not kept."""
        self._number += 1
        return Link(
            self._number, canonical(address.decode("ascii", "replace")), (address, port), now
        )

    def meet(self, name: bytes, now: float) -> Link | None:
        """A connection that was there before us: its address is not known. None: too many."""
        client_id = bounded(name.decode("utf-8", "replace"))
        link = self.make(b"", 0, now)
        link.address = f"{STAND_IN}{client_id}"
        return link if self.name(link, name) else None

    def taken(self, address: bytes, port: int) -> Link | None:
        """The waiting connection that a connect line speaks of; it waits no longer."""
        return self.waiting.pop((address, port), None)

    def name(self, link: Link, name: bytes) -> bool:
        """From now on this id is that of `link`. False where there are too many ids."""
        key = name[:KEY]
        link.client_id = bounded(name.decode("utf-8", "replace"))
        if key not in self.by_id and len(self.by_id) >= self._most_ids:
            self._forget_end(link)
            return False
        link.key = key
        self.by_id[key] = link
        if link.port:
            self._by_end[link.end] = link
        if MARK in key:
            self.posing.add(key)
        return True

    def remove(self, link: Link) -> None:
        """`link` is gone, and its id too, unless another has it now."""
        if self.waiting.get(link.end) is link:
            del self.waiting[link.end]
        self._forget_end(link)
        if self.by_id.get(link.key) is link:
            del self.by_id[link.key]
            self.posing.discard(link.key)

    def _forget_end(self, link: Link) -> None:
        if self._by_end.get(link.end) is link:
            del self._by_end[link.end]

    def ended(self, line: Ended, *, old: bool | None) -> Link | None:
        """Whose end this line tells; None where nobody can be told. `old`: the broker is 2.0."""
        literal = self.by_id.get(line.whole[:KEY])
        if old and literal is not None:
            return None if self._is_stranger(line) else literal
        if line.address is not None and line.name is not None:
            link = self._by_end.get((line.address, line.port))
            if link is not None:
                return link
            if literal is None:
                link = self.by_id.get(line.name[:KEY])  # a met one, whose address was not known
                return None if link is None or link.port else link
        return literal

    def _is_stranger(self, line: Ended) -> bool:
        """Whether a line of `<unknown>` cannot be of a client that has chosen this very id."""
        return line.whole == UNKNOWN and line.reason == b"not authorised" and bool(self.waiting)

    def oldest(self) -> Link | None:
        """The connection that has waited longest."""
        return next(iter(self.waiting.values()), None)

    def latest(self) -> tuple[Link | None, Link | None]:
        """The connection that came last, and the one before it, of those that wait."""
        order = reversed(self.waiting.values())
        return next(order, None), next(order, None)

    def waiting_from(self, address: bytes) -> Link | None:
        """The latest waiting connection from `address`."""
        latest = islice(reversed(self.waiting.values()), SEARCHED)
        return next((each for each in latest if each.end[0] == address), None)

    def subscriber(self, text: bytes) -> tuple[Link, bytes] | None:
        """Who has the longest known id that begins `ID QOS FILTER`, and the filter."""
        found = None
        at = text.find(b" ", 0, KEY + 1)
        while at >= 0:
            if text[at + 1 : at + 2] in QOS and text[at + 2 : at + 3] == b" ":
                link = self.by_id.get(text[:at])
                found = found if link is None else (link, text[at + 3 :])
            at = text.find(b" ", at + 1, KEY + 1)
        return found

    def unsubscriber(self, text: bytes) -> tuple[Link, bytes] | None:
        """The same for `ID FILTER`."""
        at = text.rfind(b" ", 0, KEY + 1)
        while at > 0:
            link = self.by_id.get(text[:at])
            if link is not None:
                return link, text[at + 1 :]
            at = text.rfind(b" ", 0, at)
        return None
