"""The witness: hears both sides of one connection, beside the bytes, and tells what was said.

    CONNECT ─► asked: what follows is held ─┬─ CONNACK 0 ─────► joined, and the held is told
                                            └─ CONNACK other ─► Refused, and the held is dropped

The broker's side is heard up to its CONNACK, and then no more. The proxy decides nothing by it but
whether a CONNECT may pass.
"""

from typing import Final

from msgspec import structs

from mqtt_ids.decoder import Decoder
from mqtt_ids.names import bounded
from mqtt_ids.packets import (
    ConnackPacket,
    ConnectPacket,
    DisconnectPacket,
    MalformedPacket,
    Packet,
)
from mqtt_ids.peer import ACCEPTED, Peer

MAX_CONNECT: Final = 400_000  # bytes
MOST_HELD: Final = 100  # packets between CONNECT and CONNACK


class Witness:
    """Hears one connection for `peer`. Its calls may raise: its caller outlives that."""

    __slots__ = ("_client", "_early", "_key", "_server", "asked", "joined", "peer", "stumped")

    def __init__(self, peer: Peer, key: bytes) -> None:
        """`key` hashes credentials."""
        self.peer = peer
        self.asked = False  # a whole CONNECT was read
        self.stumped = False  # what came first is no CONNECT that we can read
        self.joined = False  # the broker has accepted the client
        self._key = key
        self._client = Decoder(from_client=True, max_connect=MAX_CONNECT)
        self._server: Decoder | None = None
        self._early: list[Packet] | None = None

    @property
    def version(self) -> int:
        """The protocol level of its CONNECT."""
        return self._client.version

    def client(self, data: bytes, now: float) -> None:
        """The client's next bytes."""
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

    def _before(self, packets: list[Packet], now: float) -> None:
        """What the client says before it is accepted."""
        peer = self.peer
        for packet in packets:
            if type(packet) is ConnectPacket:
                self.asked = True
                peer.claim(_short(packet), self._key)
            elif not self.asked:
                self.stumped = True
                peer.tell(packet, now)
            else:
                self._hold(packet, now)

    def server(self, data: bytes, now: float) -> None:
        """The broker's next bytes."""
        if self.joined or self.peer.closed:
            return
        if self._server is None:
            self._server = Decoder(from_client=False, version=self.version)
        for packet in self._server.feed(data):
            if type(packet) is ConnackPacket:
                self._answered(packet, now)
            elif type(packet) is MalformedPacket and not self.asked:
                self._join(None, now)  # it understands a client that we do not

    def refused(self, code: int, now: float) -> None:
        """We have refused the CONNECT ourselves."""
        self._early = None
        self.peer.answered(code, now)

    def client_ended(self, now: float) -> None:
        """The client has sent all that it had to send."""
        if self.peer.closed or self.peer.goodbye:
            return
        for packet in self._client.end():
            self.peer.tell(packet, now)

    def end(self, by: str, now: float) -> None:
        """The connection is over."""
        early, self._early = self._early, None
        for packet in early or ():
            self.peer.tell(packet, now)
        self.peer.end(by, now)

    def _hold(self, packet: Packet, now: float) -> None:
        if self._early is None:
            self._early = []
        if len(self._early) < MOST_HELD:
            self._early.append(packet)
        else:
            self.peer.tell(packet, now)

    def _answered(self, packet: ConnackPacket, now: float) -> None:
        if packet.code == ACCEPTED:
            self._join(packet.assigned_client_id, now)
        else:
            self._early = None  # the broker will not have read it
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
        early, self._early = self._early, None
        for packet in early or ():
            if not peer.goodbye:
                peer.tell(packet, now)


def _short(connect: ConnectPacket) -> ConnectPacket:
    """The CONNECT as it may be held until it is answered."""
    will = connect.will_topic
    return structs.replace(
        connect,
        client_id=bounded(connect.client_id),
        will_topic=None if will is None else bounded(will),
    )
