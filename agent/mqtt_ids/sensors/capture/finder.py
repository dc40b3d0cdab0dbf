"""The packets of one direction, found again after a start in mid-stream or a gap.

    gap or start ─► search ─► three packets in a row, or whole packets to a segment's end ─► found
                      ▲                                                                        │
                      └──────────────── gap that was not inside a payload ◄────────────────────┘

Nothing is told of bytes that only look like packets: they wait until the boundary has proved
itself. Each piece is one segment or part of one, and packets mostly begin where segments do.
"""

import re
from collections.abc import Iterator
from typing import Final

from mqtt_ids.decoder import PROOF, Decoder
from mqtt_ids.packets import MQTT_5, MQTT_311, Packet

MAX_CONNECT: Final = 400_000  # bytes
_CONNACK: Final = b"\x20"
_VERSIONS: Final = (MQTT_311, MQTT_5)  # to try where no CONNECT was seen

MOST_STARTS: Final = 16  # places in one piece to try
MOST_CANDIDATES: Final = 8  # that wait for more pieces
STUCK: Final = 512  # bytes
MOST_FAILURES: Final = 256  # pieces in vain, after which only their beginnings are tried

# How a packet may begin inside a piece: a PUBLISH whose topic has up to 255 bytes, an
# acknowledgement, PINGREQ or PINGRESP. Payloads of text hold no zero byte.
_START: Final = re.compile(
    rb"[\x30-\x35\x3a-\x3d](?:[\x80-\xff]{1,3}[\x01-\x7f]|[\x03-\x7f])\x00[\x01-\xff]"
    rb"|[\x40\x50\x62\x70]\x02|[\xc0\xd0]\x00"
)


class _Candidate:
    """A decoder that began where a packet may begin, and what it has found from there."""

    __slots__ = ("_fed", "decoder", "packets")

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self.packets: list[Packet] = []
        self._fed = 0

    @property
    def stuck(self) -> bool:
        """Whether it waits for long for the end of a first packet, which may be none."""
        return not self.packets and self._fed > STUCK

    @property
    def hopeless(self) -> bool:
        """Whether it may be dropped: it is wrong, or stuck with more than a payload to count."""
        return self.decoder.lost or (self.stuck and self.decoder.buffered > 0)

    def feed(self, data: bytes) -> None:
        """The next bytes, or the first."""
        self._fed += len(data)
        self.packets += self.decoder.feed(data)

    def proves(self, enough: int) -> bool:
        """Whether it did begin at a boundary: so many whole packets, or three, say so."""
        found = len(self.packets)
        return found >= PROOF or (found >= enough and self.decoder.between_packets)


class Finder:
    """Decodes one direction; bounded like the decoder, and never raises.

    `version` is the protocol level, or None while nothing has told it. `found` tells that it is
    known where packets begin. Where the framing of a stream is lost that was seen from its first
    byte on, it stays lost: no broker reads on, unless `read_on` says so.
    """

    __slots__ = (
        "_candidates",
        "_decoder",
        "_failures",
        "_from_client",
        "_over",
        "_whole",
        "found",
        "version",
    )

    def __init__(self, *, from_client: bool, whole: bool) -> None:
        """`whole` tells that the first byte is the stream's first."""
        self.version: int | None = None
        self.found = whole
        self._from_client = from_client
        self._whole = whole
        self._over = False
        self._failures = 0
        self._decoder: Decoder | None = None
        self._candidates: list[_Candidate] | None = None  # of a search

    @property
    def held(self) -> int:
        """Bytes held."""
        if self._decoder is not None:
            return self._decoder.held
        return sum(one.decoder.held for one in self._candidates or ())

    def speak(self, version: int) -> None:
        """The CONNECT has told the protocol level."""
        self.version = version
        if self._decoder is not None:
            self._decoder.version = version

    def feed(self, data: bytes) -> list[Packet]:
        """Take the next bytes; the packets that end in them."""
        decoder = self._decoder
        if not self.found:
            return [] if self._over else self._search(data)
        if decoder is None:
            decoder = self._decoder = self._new(whole=True, version=self._told_by(data))
        packets = decoder.feed(data)
        if not decoder.lost:
            return packets
        self._over = self._whole
        self._lose()
        return packets or self.feed(data)

    def missed(self, count: int) -> list[Packet]:
        """The next `count` bytes were not seen; the packets that are known to end in them."""
        self._whole = False
        decoder = self._decoder
        if decoder is None:
            self._lose()
            return []
        packets = decoder.missed(count)
        if decoder.lost:
            self._lose()
        return packets

    def end(self) -> list[Packet]:
        """The stream has ended; a MalformedPacket where that was inside a packet."""
        return [] if self._decoder is None else self._decoder.end()

    def give_way(self) -> None:
        """Forget what is held; what comes next is searched for packets."""
        self._whole = False
        self._lose()

    def read_on(self) -> None:
        """The broker reads on, whatever we think of the framing."""
        self._over = self._whole = False

    def _lose(self) -> None:
        self.found = False
        self._decoder = None
        self._candidates = None

    def _new(self, *, whole: bool, version: int | None = None) -> Decoder:
        return Decoder(
            from_client=self._from_client,
            version=version or self.version or MQTT_311,
            max_connect=MAX_CONNECT,
            expect_connect=whole,
        )

    def _told_by(self, data: bytes) -> int | None:
        """The version that a broker's first bytes tell, where no CONNECT has."""
        is_long_connack = not self._from_client and data[:1] == _CONNACK and data[1:2] > b"\2"
        return MQTT_5 if self.version is None and is_long_connack else None

    def _search(self, data: bytes) -> list[Packet]:
        candidates = self._candidates = self._candidates or []
        for one in candidates:
            one.feed(data)
            if one.proves(1):
                return self._find(one)
        candidates[:] = [one for one in candidates if not one.hopeless]
        for start in self._starts(data):
            for version in _VERSIONS if self.version is None else (self.version,):
                one = _Candidate(self._new(whole=False, version=version))
                one.feed(data[start:])
                if one.decoder.lost:
                    continue
                if one.proves(2 if start else 1):
                    return self._find(one)
                if not start:
                    _consider(one, candidates)
        self._failures += 1
        return []

    def _find(self, one: _Candidate) -> list[Packet]:
        self.found = True
        self._decoder = one.decoder
        self._candidates = None
        self._failures = 0
        return one.packets

    def _starts(self, data: bytes) -> Iterator[int]:
        """Places in `data` where a packet may begin."""
        yield 0
        at = 1
        for _ in range(MOST_STARTS if self._failures < MOST_FAILURES else 0):
            match = _START.search(data, at)
            if match is None:
                return
            yield match.start()
            at = match.start() + 1


def _consider(one: _Candidate, candidates: list[_Candidate]) -> None:
    """Keep one that may prove itself later; where there are too many, one that is stuck goes."""
    if len(candidates) == MOST_CANDIDATES:
        stuck = next((each for each in candidates if each.stuck), None)
        if stuck is None:
            return
        candidates.remove(stuck)
    candidates.append(one)
