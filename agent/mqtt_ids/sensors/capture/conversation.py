"""One connection, both directions in order: what was said on it becomes events.

    CONNECT ─► asked: what follows is held ─┬─ CONNACK 0 ─────► joined, and the held is told
                                            ├─ CONNACK other ─► Refused, and the held is dropped
                                            └─ no answer seen ► told without a client id
    no CONNECT seen, but MQTT ─► joined as "?ADDRESS:PORT"

A capture shows what the broker did, so nothing is decided here: after a malformed packet the
client goes on for as long as the broker lets it.
"""

from typing import Final

from mqtt_ids.names import bounded
from mqtt_ids.packets import (
    AuthPacket,
    ConnackPacket,
    ConnectPacket,
    DisconnectPacket,
    MalformedPacket,
    Packet,
    PublishPacket,
)
from mqtt_ids.peer import ACCEPTED, Peer, held
from mqtt_ids.sensors.capture.speech import Speech

MOST_HELD: Final = 100  # packets between CONNECT and CONNACK
MOST_HELD_BYTES: Final = 65_536  # of them together

# What a broker may say to whom it has not accepted (MQTT 5 sections 4.12 and 4.13).
_BEFORE_CONNACK: Final = frozenset({AuthPacket, DisconnectPacket, MalformedPacket})


class Conversation:
    """What a client and the broker say to each other.

    `client`, `server` take the bytes of each; `client_missed`, `server_missed` say that there was
    a gap. `now` is the time of the frame. `due` asks for `late` to be called in a second.
    """

    __slots__ = (
        "_asked",
        "_blamed",
        "_early",
        "_ended",
        "_held",
        "_held_bytes",
        "_joined",
        "_key",
        "_patient",
        "_peer",
        "_refused",
        "_speech",
        "_told",
        "_whole",
        "due",
    )

    def __init__(self, peer: Peer, key: bytes, speech: Speech, *, whole: bool) -> None:
        """`key` hashes credentials. `whole` tells that it is heard from its start."""
        self.due = False
        self._peer = peer
        self._key = key
        self._speech = speech
        self._whole = whole  # the client's direction, up to here
        self._told = False  # of the connection, by Opened or Connected
        self._asked = self._joined = self._refused = self._ended = False
        self._blamed = False  # before any CONNECT
        self._patient = True  # with the CONNACK
        self._early: ConnackPacket | None = None  # captured before what it answers
        self._held: list[Packet] | None = None
        self._held_bytes = 0

    @property
    def closed(self) -> bool:
        """Whether it is over: nothing more is told."""
        return self._peer.closed

    @property
    def encrypted(self) -> bool:
        """Whether it is TLS, of which nothing can be read."""
        return self._speech.encrypted

    @property
    def keep_alive(self) -> int:
        """Seconds, as the accepted CONNECT said; 0 for none, and while it is not known."""
        return self._peer.keep_alive

    @property
    def held(self) -> int:
        """Bytes held, of both directions."""
        return self._speech.held + self._held_bytes

    def opened(self, now: float) -> None:
        """The TCP connection is there; it is told when it is one to tell of."""
        if self._speech.is_mqtt:
            self._open(now)

    def client(self, data: bytes, now: float) -> None:
        """The client's next bytes."""
        packets = self._speech.client(data)
        if packets:
            self._heard(packets, now)

    def client_missed(self, count: int, now: float) -> None:
        """So many bytes of the client were not seen."""
        self._whole = False
        self._heard(self._speech.client_missed(count), now)
        self._answer_early(now)

    def server(self, data: bytes, now: float) -> None:
        """The broker's next bytes."""
        speech = self._speech
        if speech.doubtful:
            self._heard(speech.resolve(data), now)
            if speech.encrypted:
                self.close("client", now)
                self.due = True
        packets = speech.server(data)
        if speech.is_mqtt and self._whole and not (self._told or self._peer.closed):
            self._open(now)
        if packets:
            self._answered(packets, now)

    def server_missed(self, count: int, now: float) -> None:
        """So many bytes of the broker were not seen: its CONNACK may be among them."""
        self._answered(self._speech.server_missed(count), now)
        self.due = self.due or self._asked

    def client_ended(self, now: float) -> None:
        """The client has sent all that it had to send: the broker's last words may follow."""
        if not self._ended:
            self._ended = self.due = True
            self._heard(self._speech.client_end(), now)

    def late(self, now: float, *, seen: bool) -> None:
        """A second has gone without a CONNACK; `seen` tells that it would have been seen."""
        if self._joined or self._refused or self._peer.closed:
            return
        self._answer_unseen(now)
        if self._asked and not (seen or self._joined):
            self._join(now)
        self._release(now)

    def give_way(self, now: float) -> None:
        """Hold nothing any more: what comes next is searched for packets."""
        self._release(now)
        self._whole = False
        self._speech.give_way()

    def close(self, by: str, now: float, *, seen: bool = True) -> None:
        """The connection is over: told once, if it was told of, and then nothing more is.

        `seen` tells that a CONNACK would have been seen. Else who went on was accepted.
        """
        if self._peer.closed:
            return
        if by == "client" or not self._joined:
            self.client_ended(now)
        self._answer_unseen(now)
        if self._held and not seen:
            self._join(now)
        self._release(now)
        if self._told:
            self._peer.end(by, now)
        self._peer.closed = True

    # --- what the client says ----------------------------------------------------------------

    def _heard(self, packets: list[Packet], now: float) -> None:
        peer = self._peer
        for packet in packets:
            if peer.closed or peer.goodbye or self._refused:
                return
            if type(packet) is ConnectPacket:
                self._connect(packet, now)
            elif self._joined:
                peer.tell(packet, now)
            elif self._asked and self._patient:
                self._hold(packet, now)
            elif self._asked:
                self._tell(packet, now)
            elif self._whole:
                self._blame(packet, now)
            elif type(packet) is not MalformedPacket:
                self._meet(now)
                peer.tell(packet, now)

    def _blame(self, packet: Packet, now: float) -> None:
        """No CONNECT, but malformed, or behind what is: the broker will hang up, or answer."""
        if not self._blamed and type(packet) is MalformedPacket:
            self._blamed = True
            self._tell(packet, now)
            self._answer_early(now)

    def _connect(self, connect: ConnectPacket, now: float) -> None:
        if self._joined or self._asked:
            second = MalformedPacket("second-connect", "CONNECT after CONNECT")
            self._heard([second], now)
            return
        self._open(now)
        self._asked = self.due = True
        self._speech.speak(connect.version)
        self._peer.claim(held(connect), self._key)
        self._answer_early(now)

    def _hold(self, packet: Packet, now: float) -> None:
        if self._held is None:
            self._held = []
        self._held.append(packet)
        self._held_bytes += _weight(packet)
        if len(self._held) > MOST_HELD or self._held_bytes > MOST_HELD_BYTES:
            self._release(now)

    def _release(self, now: float) -> None:
        self._patient = False
        held, self._held = self._held, None
        self._held_bytes = 0
        for packet in held or ():
            self._tell(packet, now)

    def _tell(self, packet: Packet, now: float) -> None:
        self._open(now)
        if not self._peer.goodbye:
            self._peer.tell(packet, now)

    def _open(self, now: float) -> None:
        if not self._told:
            self._told = True
            self._peer.opened(now)

    # --- what the broker says ----------------------------------------------------------------

    def _answered(self, packets: list[Packet], now: float) -> None:
        for packet in packets:
            if self._joined or self._peer.closed:
                return
            if type(packet) is ConnackPacket:
                self._connack(packet, now)
            elif self._asked and not self._refused and type(packet) not in _BEFORE_CONNACK:
                self._join(now)  # only who is connected is told anything else

    def _connack(self, packet: ConnackPacket, now: float) -> None:
        if self._joined or self._refused:
            return
        if self._whole and not (self._asked or self._blamed):
            self._early = packet
            self.due = True
        elif packet.code == ACCEPTED:
            self._join(now, packet.assigned_client_id)
        else:
            self._refused = True
            self._held = None  # the broker will not have read it
            self._held_bytes = 0
            if self._asked or not self._whole:
                self._open(now)
                self._peer.answered(packet.code, now)

    def _answer_unseen(self, now: float) -> None:
        """The broker has answered a client whose CONNECT will not be seen any more."""
        if self._early is not None:
            self._whole = False
            self._answer_early(now)

    def _answer_early(self, now: float) -> None:
        """Take up the CONNACK that was captured before what it answers."""
        early, self._early = self._early, None
        if early is not None and not self._peer.closed:
            self._connack(early, now)

    def _join(self, now: float, assigned: str | None = None) -> None:
        """The broker has accepted the client."""
        peer = self._peer
        if peer.connect is None:
            self._meet(now)
            self._speech.read_on()
        else:
            self._joined = True
            made_up = assigned or f"auto-{peer.address}:{peer.port}"
            peer.answered(ACCEPTED, now, bounded(peer.connect.client_id or made_up))
        self._release(now)

    def _meet(self, now: float) -> None:
        """It is connected, and nobody saw how."""
        self._joined = self._told = True
        self._peer.met(f"?{self._peer.address}:{self._peer.port}", now)


def _weight(packet: Packet) -> int:
    """About how many bytes are held with a packet."""
    if type(packet) is PublishPacket:
        return 64 + len(packet.topic or "")
    return 64 + sum(64 + len(str(each)) for each in getattr(packet, "filters", ()))
