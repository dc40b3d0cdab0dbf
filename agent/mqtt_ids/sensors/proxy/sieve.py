"""The sieve: takes whole PUBLISH packets on reserved topics out of a client's bytes.

    bytes ─► fixed header ─┬► not PUBLISH, or on another topic ─► passed on as they came
                           └► PUBLISH on a reserved topic ──────► dropped to its last byte

Held back is only the beginning of a packet whose topic is not known yet: a dozen bytes, and up to
a topic and its properties where the topic does begin like a reserved one. It follows the client's
stream from behind its CONNECT.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from mqtt_ids.packet_fields import LENGTH_BYTES, MORE, Fields, MalformedError, variable_integer
from mqtt_ids.packet_headers import payload_start
from mqtt_ids.packet_properties import read_properties
from mqtt_ids.packets import MQTT_5, PacketType

NOT_AUTHORISED: Final = 0x87  # MQTT 5, section 2.4
_PUBLISH: Final = 3
_ACK: Final = {1: 0x40, 2: 0x50}  # PUBACK, PUBREC
_WAIT: Final = -1
_MOST_DEAD: Final = 1_000  # topic aliases; brokers offer ten


class Dropped(NamedTuple):
    """A PUBLISH that was taken out. `packet_id` is None at quality of service 0."""

    qos: int
    packet_id: int | None

    def answer(self, version: int) -> bytes:
        """What the broker would have said, so that the client does not send it again."""
        if self.packet_id is None:
            return b""
        first, number = _ACK[self.qos], self.packet_id.to_bytes(2, "big")
        if version == MQTT_5:
            return bytes((first, 3)) + number + bytes((NOT_AUTHORISED,))
        return bytes((first, 2)) + number


class CannotSiftError(Exception):
    """A packet on a reserved topic cannot be read: nothing of it may pass."""


class Framing:
    """Where the packets of a stream begin and end, and nothing else."""

    __slots__ = ("_header", "_left", "lost")

    def __init__(self) -> None:
        self.lost = False  # a length that no packet has
        self._header = b""
        self._left = 0

    @property
    def between_packets(self) -> bool:
        """Whether the last byte ended a packet."""
        return not (self._header or self._left or self.lost)

    def feed(self, data: bytes) -> None:
        """The next bytes."""
        if self.lost:
            return
        if self._left >= len(data):
            self._left -= len(data)
            return
        at, self._left = self._left, 0
        if self._header:
            data, at, self._header = self._header + data, 0, b""
        end = len(data)
        while at < end and not self.lost:
            if end - at > 1 and data[at + 1] < MORE:
                at += 2 + data[at + 1]
                continue
            found = variable_integer(data, at + 1, end)
            if found is None:
                self.lost = end - at > LENGTH_BYTES
                self._header = data[at:]
                return
            at = sum(found)
        self._left = at - end


class Sieve:
    """Sifts what one client sends after its CONNECT. `lost` says that everything passes now."""

    __slots__ = (
        "_dead",
        "_dropping",
        "_firsts",
        "_held",
        "_left",
        "_longest",
        "_prefixes",
        "lost",
        "version",
    )

    def __init__(self, prefixes: Sequence[bytes], version: int) -> None:
        """Take out what is published on a topic that begins with one of `prefixes`.

        One that ends in U+0000, which no topic has, is a topic as a whole.
        """
        self.lost = False
        self.version = version
        self._prefixes = tuple(prefixes)
        self._firsts = bytes({prefix[0] for prefix in self._prefixes})
        self._longest = max(map(len, self._prefixes))
        self._held = b""  # the beginning of a packet
        self._left = 0  # bytes still to come of the one that goes on
        self._dropping = False  # it
        self._dead: set[int] = set()  # topic aliases that were set by what was dropped

    @property
    def held(self) -> int:
        """Bytes held back."""
        return len(self._held)

    def feed(self, data: bytes) -> tuple[bytes, list[Dropped]]:
        """What passes of the next bytes, and which packets do not. Raises CannotSiftError."""
        if self.lost:
            return data, []
        if self._held:
            data, self._held = self._held + data, b""
        start = at = min(self._left, len(data))
        self._left -= at
        if self._left:
            return (b"" if self._dropping else data), []
        if not self._dropping:
            start = 0
        self._dropping = False
        return self._packets(data, start, at)

    def _packets(self, data: bytes, start: int, at: int) -> tuple[bytes, list[Dropped]]:
        """Sift `data[start:]`, in which a packet begins at `at`."""
        pieces: list[bytes] = []
        dropped: list[Dropped] = []
        end, firsts = len(data), self._firsts
        while end - at > 1:
            length, body = data[at + 1], at + 2
            if length >= MORE:
                found = variable_integer(data, at + 1, end)
                if found is None:
                    break
                length, body = found
            stop = body + length
            # Most topics show in their first byte that they are not reserved.
            if data[at] >> 4 == _PUBLISH and (
                body + 2 >= end
                or data[body + 2] in firsts
                or (data[body] << 8 | data[body + 1]) + 2 > length
                or self._dead
            ):
                verdict = self._verdict(data, at, body, stop)
                if verdict is _WAITING:
                    break
                if verdict is not None:
                    pieces.append(data[start:at])
                    dropped.append(verdict)
                    start = min(stop, end)
                    self._dropping = stop > end
            at = stop
        if at >= end:
            self._left = at - end
        elif end - at > LENGTH_BYTES and data[at + 1] >= MORE and not self._waits(data, at, end):
            self.lost = True
        else:
            self._held = data[at:]
            end = at
        pieces.append(data[start:end])
        return (pieces[0] if len(pieces) == 1 else b"".join(pieces)), dropped

    @staticmethod
    def _waits(data: bytes, at: int, end: int) -> bool:
        """Whether the length is sound, and the packet only waits for its topic."""
        return variable_integer(data, at + 1, end) is not None

    def _verdict(self, data: bytes, at: int, body: int, stop: int) -> Dropped | None:
        """Whether to drop the PUBLISH at `at`: `_WAITING` while that cannot be known."""
        here, end = body + 2, min(stop, len(data))
        if here > end and here <= stop:
            return _WAITING
        length = 0 if here > stop else data[body] << 8 | data[body + 1]
        if here + length > stop:  # where not every broker stops reading
            raise CannotSiftError("a topic that reaches beyond its packet")
        if not length:
            return self._aliased(data, at, body, stop) if self._dead else None
        shown = data[here : min(here + min(length, self._longest), end)]
        whole = len(shown) == length
        reserved = (shown + b"\0" if whole else shown).startswith(self._prefixes)
        if not reserved and not self._may_become(shown, length):
            if self._dead:
                return self._revived(data, at, body, stop)
            return None
        if not reserved:
            return _WAITING
        return self._reserved(data, at, body, stop)

    def _may_become(self, shown: bytes, length: int) -> bool:
        """Whether a topic of `length` bytes of which this is seen may be reserved."""
        if len(shown) == length:
            return False
        most = length + 1
        return any(p.startswith(shown) and len(shown) < len(p) <= most for p in self._prefixes)

    def _reserved(self, data: bytes, at: int, body: int, stop: int) -> Dropped:
        header = self._header(data, at, body, stop)
        if header is None:
            return _WAITING
        dropped, alias = header
        if alias is not None:
            self._dead.add(alias)
            if len(self._dead) > _MOST_DEAD:
                raise CannotSiftError("too many topic aliases")
        return dropped

    def _aliased(self, data: bytes, at: int, body: int, stop: int) -> Dropped | None:
        """A PUBLISH whose topic is in an alias, which may be one that the broker has not seen."""
        header = self._header(data, at, body, stop)
        if header is None:
            return _WAITING
        dropped, alias = header
        return dropped if alias in self._dead else None

    def _revived(self, data: bytes, at: int, body: int, stop: int) -> Dropped | None:
        """A PUBLISH that may give a new topic to an alias."""
        header = self._header(data, at, body, stop)
        if header is None:
            return _WAITING
        self._dead.discard(header[1] or 0)
        return None

    def _header(
        self, data: bytes, at: int, body: int, stop: int
    ) -> tuple[Dropped, int | None] | None:
        """How the PUBLISH is answered and its topic alias; None while they are not there."""
        qos = data[at] >> 1 & 3
        try:
            payload = payload_start(data, body, stop, has_id=qos > 0, version=self.version)
            if payload > len(data):
                return None
            here = body + 2 + (data[body] << 8 | data[body + 1])
            number = None
            if qos:
                number = data[here] << 8 | data[here + 1]
                here += 2
            alias = None
            if self.version == MQTT_5:
                fields = Fields(data, here, payload)
                alias = read_properties(fields, PacketType.PUBLISH).topic_alias
        except MalformedError as error:
            raise CannotSiftError(str(error)) from None
        if qos not in {0, *_ACK}:
            raise CannotSiftError("quality of service 3")
        return Dropped(qos, number), alias


_WAITING: Final = Dropped(_WAIT, None)
