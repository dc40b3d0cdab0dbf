"""The witness: hears both sides of one connection, beside the bytes, and tells what was said.

    CONNECT ─► asked: what follows is held ─┬─ CONNACK 0 ─────► joined, and the held is told
                                            └─ CONNACK other ─► Refused, and the held is dropped

The broker's side is heard up to its CONNACK, and then no more. The proxy decides nothing by it but
whether a CONNECT may pass.
"""

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from mqtt_ids.decoder import Decoder
from mqtt_ids.names import bounded
from mqtt_ids.packets import (
    ConnackPacket,
    ConnectPacket,
    DisconnectPacket,
    MalformedPacket,
    Packet,
    PublishPacket,
    SubscribePacket,
    UnsubscribePacket,
)
from mqtt_ids.peer import ACCEPTED, Peer, held

MAX_CONNECT: Final = 400_000  # bytes
MOST_HELD: Final = 100  # packets between CONNECT and CONNACK
LONGEST_HELD: Final = 8_192  # characters of their topics
T = TypeVar("T")


class Witness:
    """Hears one connection for `peer`. No call raises: after a fault it is `deaf`.

    It tells `failed` of the fault, and hears nothing more but the end.
    """

    __slots__ = (
        "_client",
        "_clock",
        "_early",
        "_failed",
        "_key",
        "_length",
        "_server",
        "asked",
        "deaf",
        "joined",
        "peer",
        "stumped",
    )

    def __init__(
        self,
        peer: Peer,
        key: bytes,
        clock: Callable[[], float],
        failed: Callable[[Exception], None],
    ) -> None:
        """`key` hashes credentials."""
        self.peer = peer
        self.deaf = False
        self._clock = clock
        self._failed = failed
        self.asked = False  # a whole CONNECT was read
        self.stumped = False  # what came first is no CONNECT that we can read
        self.joined = False  # the broker has accepted the client
        self._key = key
        self._client = Decoder(from_client=True, max_connect=MAX_CONNECT)
        self._server: Decoder | None = None
        self._early: list[Packet] | None = None
        self._length = 0  # characters of the topics there

    @property
    def held(self) -> int:
        """Bytes held of the client."""
        return self._client.held + self._length

    @property
    def version(self) -> int:
        """The protocol level of its CONNECT."""
        return self._client.version

    def client(self, data: bytes) -> None:
        """The client's next bytes."""
        if not self.deaf:
            self._safely(self._client_said, data)

    def server(self, data: bytes) -> None:
        """The broker's next bytes; those after its CONNACK are of no use."""
        if not self.deaf:
            self._safely(self._server_said, data)

    def refused(self, code: int) -> None:
        """We have refused the CONNECT ourselves."""
        self._drop_early()
        self._safely(self.peer.answered, code)

    def client_ended(self) -> None:
        """The client has sent all that it had to send."""
        self._safely(self._tell_all, self._client.end())

    def end(self, by: str) -> None:
        """The connection is over."""
        self._safely(self._tell_all, self._drop_early())
        self._safely(self.peer.end, by)

    def _safely(self, do: Callable[[T, float], None], what: T) -> None:
        try:
            do(what, self._clock())
        except Exception as error:  # noqa: BLE001 - the bytes go on, whatever is wrong with us
            self.deaf = True
            self._failed(error)

    def _client_said(self, data: bytes, now: float) -> None:
        peer = self.peer
        if peer.goodbye or peer.closed:
            return  # nothing counts after DISCONNECT [MQTT-3.14.4-2]
        packets = self._client.feed(data)
        if not self.joined:
            self._before(packets, now)
            return
        tell = peer.tell
        for packet in packets:
            tell(packet, now)
            if type(packet) is DisconnectPacket:
                return

    def _tell_all(self, packets: Iterable[Packet], now: float) -> None:
        """What is still to be told of the client."""
        for packet in packets:
            if not (self.peer.closed or self.peer.goodbye):
                self.peer.tell(packet, now)

    def _before(self, packets: list[Packet], now: float) -> None:
        """What the client says before it is accepted."""
        peer = self.peer
        for packet in packets:
            if type(packet) is ConnectPacket and not self.stumped:  # the broker may take the first
                self.asked = True
                peer.claim(held(packet), self._key)
            elif not self.asked:
                self.stumped = True
                peer.tell(packet, now)
            else:
                self._hold(packet, now)

    def _server_said(self, data: bytes, now: float) -> None:
        if self.joined or self.peer.closed:
            return
        if self._server is None:
            self._server = Decoder(from_client=False, version=self.version)
        for packet in self._server.feed(data):
            if type(packet) is ConnackPacket:
                self._answered(packet, now)
            elif type(packet) is MalformedPacket and not self.asked:
                self._join(None, now)  # it understands a client that we do not

    def _hold(self, packet: Packet, now: float) -> None:
        if self._early is None:
            self._early = []
        length = self._length + _text(packet)
        if len(self._early) < MOST_HELD and length <= LONGEST_HELD:
            self._early.append(packet)
            self._length = length
        else:
            self.peer.tell(packet, now)

    def _drop_early(self) -> list[Packet]:
        """What was held, which is not held any more."""
        early, self._early, self._length = self._early or [], None, 0
        return early

    def _answered(self, packet: ConnackPacket, now: float) -> None:
        if packet.code == ACCEPTED:
            self._join(packet.assigned_client_id, now)
        else:
            self._drop_early()  # the broker will not have read it
            self.peer.answered(packet.code, now)

    def _join(self, assigned: str | None, now: float) -> None:
        peer = self.peer
        self.joined = True
        self._server = None
        unnamed = f"auto-{peer.address}:{peer.port}"
        if peer.connect is None:
            peer.met(unnamed, now)
        else:
            peer.answered(ACCEPTED, now, bounded(peer.connect.client_id or assigned or unnamed))
        self._tell_all(self._drop_early(), now)


def _text(packet: Packet) -> int:
    """Characters of the topics in a packet."""
    match packet:
        case PublishPacket():
            return len(packet.topic or "")
        case SubscribePacket():
            return sum(len(name) for name, _ in packet.filters)
        case UnsubscribePacket():
            return sum(map(len, packet.filters))
    return 0
