"""The MQTT decoder: bytes in, packets out, no I/O.

It reads one direction of one connection, in MQTT 3.1, 3.1.1 or 5, from bytes cut anywhere:

    feed ─► fixed header ─┬► PUBLISH: topic, id, properties ─► payload, counted as it passes ─┬►
                          └► all others: the body, held whole and then read ──────────────────┘

A packet that breaks the protocol becomes a MalformedPacket and decoding goes on with the next;
only what cannot be recovered from sets `lost`. Section numbers are those of the MQTT 5 standard.
"""

from typing import Final

from mqtt_ids.packet_bodies import Header, decode_body
from mqtt_ids.packet_fields import (
    LENGTH_BYTES,
    MORE,
    Fields,
    FramingLostError,
    MalformedError,
    check_topic,
    decode_text,
)
from mqtt_ids.packet_headers import (
    DUP,
    MAX_BODY,
    RETAIN,
    check_first_byte,
    check_publish_flags,
    long_length,
    payload_start,
)
from mqtt_ids.packet_properties import read_properties
from mqtt_ids.packets import ConnectPacket, MalformedPacket, Packet, PacketType, PublishPacket
from mqtt_ids.plain_publishes import plain_publishes
from mqtt_ids.topic_aliases import TopicAliases

MAX_HEADER: Final = 1 + LENGTH_BYTES
PROOF: Final = 3  # packets in a row that prove the boundary of a start in mid-stream

_PUBLISH: Final = 3
_DUP_OR_QOS_2: Final = 0x0C


class Decoder:
    """Decodes one direction of one connection.

    `version` is the protocol level. The client's decoder learns it from CONNECT; set it on the
    server's. `lost` tells that framing is lost: everything after is ignored.
    """

    __slots__ = (
        "_aliases",
        "_buffer",
        "_connect_seen",
        "_expecting",
        "_from_client",
        "_from_start",
        "_max_connect",
        "_max_packet",
        "_need",
        "_pending",
        "_skip",
        "_unproven",
        "lost",
        "version",
    )

    def __init__(
        self,
        *,
        from_client: bool,
        version: int = 4,
        max_packet: int = 268_435_455,
        max_connect: int = 400_000,
        expect_connect: bool = True,
    ) -> None:
        """Begin at the start of a stream, or, without `expect_connect`, in its middle.

        `max_packet` and `max_connect` bound the remaining length, in bytes. A start in mid-stream
        takes the first byte for the start of a packet. Until three packets have proved that,
        anything malformed sets `lost` without a MalformedPacket: try again at the next segment.
        """
        self.version = version
        self.lost = False
        self._from_client = from_client
        self._max_packet = max_packet
        self._max_connect = max_connect
        self._expecting = from_client and expect_connect  # the first byte is still to come
        self._unproven = 0 if expect_connect else PROOF  # packets still to prove the boundary
        self._connect_seen = False
        self._from_start = expect_connect
        self._aliases: TopicAliases | None = None  # from the first on: most clients use none
        self._buffer = bytearray()  # the part held of a packet that is not complete
        self._need = 0  # how long the buffer must be to get any further
        self._skip = 0  # bytes still to come of the payload, or of a packet that was refused
        self._pending: Packet | None = None  # the PUBLISH that is complete after them

    @property
    def buffered(self) -> int:
        """Bytes held, never of a payload: at most max(max_connect, MAX_BODY) + MAX_HEADER."""
        return len(self._buffer)

    @property
    def held(self) -> int:
        """Bytes held in all: buffered, in topics with an alias, in one whose payload is to come."""
        topic = self._pending.topic if type(self._pending) is PublishPacket else None
        aliases = 0 if self._aliases is None else self._aliases.held
        return len(self._buffer) + aliases + len(topic or "")

    @property
    def between_packets(self) -> bool:
        """Whether the last byte that was fed ended a packet."""
        return not (self._buffer or self._skip or self.lost)

    def feed(self, data: bytes | bytearray | memoryview) -> list[Packet]:
        """Take the next bytes of the stream; the packets that end in them. Never raises."""
        out: list[Packet] = []
        if self.lost:
            return out
        if not isinstance(data, bytes):
            data = bytes(data)
        if self._skip:
            data = self._count(data, out)
        elif self._buffer:
            self._buffer += data
            if len(self._buffer) < self._need:
                return out
            data = bytes(self._buffer)
            self._buffer.clear()
        if data:
            self._decode(data, out)
        return out

    def missed(self, count: int) -> list[Packet]:
        """The next `count` bytes were not seen; the packets that are known to end in them.

        In a payload they are but counted. Anywhere else, or beyond its end, `lost` is set.
        """
        out: list[Packet] = []
        left = self._skip - count
        if left <= 0 and self._pending is not None:
            out.append(self._pending)
            self._pending = None
        self._skip = max(left, 0)
        if left < 0:
            self._lose()
        return out

    def end(self) -> list[Packet]:
        """The stream has ended: MalformedPacket("truncated") if that was inside a packet.

        Nothing where the packet was refused already, or where a start in mid-stream is unproven.
        """
        inside = bool(self._buffer) or self._pending is not None
        blamed = inside and not self._unproven
        self._lose()
        if blamed:
            return [MalformedPacket("truncated", "the stream ended inside a packet")]
        return []

    def _count(self, data: bytes, out: list[Packet]) -> bytes:
        """Count what belongs to a payload, and give out its PUBLISH at the end; what is left."""
        skip = self._skip
        if len(data) < skip:
            self._skip = skip - len(data)
            return b""
        self._skip = 0
        if self._pending is not None:
            out.append(self._pending)
            self._pending = None
        return data[skip:]

    def _decode(self, data: bytes, out: list[Packet]) -> None:
        """Decode `data`, which begins with a packet, and hold what is left of it."""
        if self._expecting:
            self._check_first(data[0], out)
        at = 0
        end = len(data)
        self._need = 2
        usual = not self._unproven and self._max_packet >= MORE
        while end - at > 1 and not self.lost:
            if usual and data[at] >> 4 == _PUBLISH:
                before, at = at, plain_publishes(data, at, self.version, out)
                if at > before:
                    continue
            stop = self._packet(data, at, out)
            if stop is None:
                break
            if stop > end:
                self._skip = stop - end
                return
            at = stop
        if at < end and not self.lost:
            self._buffer += data[at:]

    def _packet(self, data: bytes, at: int, out: list[Packet]) -> int | None:
        """Decode the packet at `at`; where it stops, or None while `_need` bytes are not there.

        A PUBLISH whose payload goes on after `data` waits in `_pending`.
        """
        end = len(data)
        stop = end
        try:
            length, body = data[at + 1], at + 2
            if length >= MORE:
                length, body = long_length(data, at)
                if not body:
                    self._need = end - at + 1
                    return None
            stop = body + length
            publish = data[at] >> 4 == _PUBLISH
            packet = (self._publish if publish else self._other)(data, at, body, stop)
        except MalformedError as error:
            self._blame(error, out)
            return end if self.lost else stop
        if packet is None:
            return None
        if self._unproven:
            self._unproven -= 1
        if stop > end:
            self._pending = packet
        else:
            out.append(packet)
        return stop

    def _publish(self, data: bytes, at: int, body: int, stop: int) -> PublishPacket | None:
        """The PUBLISH at `at`, or None while its part before the payload is not complete."""
        flags = data[at]
        if flags & _DUP_OR_QOS_2:
            check_publish_flags(flags, self.version)
        if stop - body > self._max_packet:
            raise MalformedError("too-large", f"PUBLISH of {stop - body} bytes")
        qos = flags >> 1 & 3
        payload_at = payload_start(data, body, stop, has_id=qos > 0, version=self.version)
        if payload_at > len(data):
            self._need = payload_at - at
            return None
        here = body + 2 + (data[body] << 8 | data[body + 1])
        text = decode_text(data[body + 2 : here])
        topic: str | None = text
        identifier = None
        if qos:
            identifier = data[here] << 8 | data[here + 1]
            here += 2
        if payload_at - here > 1:  # more than a property length of 0
            topic = self._topic(text, Fields(data, here, payload_at))
        elif not text or "#" in text or "+" in text:
            check_topic(text)
        if identifier == 0:
            raise MalformedError("packet-id", "packet identifier 0")
        size = stop - payload_at
        retain, dup = flags & RETAIN != 0, flags & DUP != 0
        return PublishPacket(topic, size, qos, retain, dup, identifier, stop - at)

    def _topic(self, topic: str, fields: Fields) -> str | None:
        """The topic of a PUBLISH with properties (section 3.3.2.3)."""
        properties = read_properties(fields, PacketType.PUBLISH)
        if properties.subscription_id is not None and self._from_client:
            raise MalformedError("bad-property", "a client's PUBLISH with subscription identifier")
        alias = properties.topic_alias
        if topic or alias is None:
            check_topic(topic)
        if alias is None:
            return topic
        if self._aliases is None:
            self._aliases = TopicAliases(complete=self._from_start)
        return self._aliases.resolve(topic, alias)

    def _other(self, data: bytes, at: int, body: int, stop: int) -> Packet | None:
        """The packet at `at`, any but PUBLISH, or None while it is not complete."""
        first = data[at]
        check_first_byte(first, from_client=self._from_client, version=self.version)
        self._check_size(first >> 4, stop - body)
        if stop > len(data):
            self._need = stop - at
            return None
        kind = PacketType(first >> 4)
        if kind is PacketType.CONNECT:
            self._connect_seen = True
        packet = decode_body(Header(kind, self.version, stop - at), Fields(data, body, stop))
        if isinstance(packet, ConnectPacket):
            self.version = packet.version
        return packet

    def _check_size(self, kind: int, length: int) -> None:
        """Refuse what is too large before anything of it is held."""
        if kind != PacketType.CONNECT:
            if length > min(MAX_BODY, self._max_packet):
                raise MalformedError("too-large", f"packet type {kind} of {length} bytes")
        elif self._connect_seen:
            raise MalformedError("second-connect", "CONNECT on a connection that had one")
        elif length > self._max_connect:
            raise FramingLostError("too-large", f"CONNECT of {length} bytes")

    def _check_first(self, first: int, out: list[Packet]) -> None:
        """A client's first packet is CONNECT (section 3.1): one byte betrays another protocol."""
        self._expecting = False
        if first >> 4 != PacketType.CONNECT:
            detail = f"the first byte is {first:#04x}"
            self._blame(FramingLostError("not-connect-first", detail), out)

    def _blame(self, error: MalformedError, out: list[Packet]) -> None:
        """Report a malformed packet, unless a start in mid-stream may itself be what is wrong."""
        if self._unproven:
            self._lose()
            return
        out.append(MalformedPacket(error.reason, error.detail))
        if isinstance(error, FramingLostError):
            self._lose()

    def _lose(self) -> None:
        """Ignore everything from now on, and hold nothing."""
        self.lost = True
        self._buffer.clear()
        self._skip = 0
        self._pending = None
