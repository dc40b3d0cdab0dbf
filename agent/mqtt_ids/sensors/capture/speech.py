"""What language a connection speaks: MQTT as it is, MQTT over WebSocket, TLS, or none of ours.

The client's first bytes tell, and where they might be two things, the server's first bytes do:

    10 …   ─► MQTT                              16 03 … ─► 15 or 16 ─► TLS, of which we read nothing
    "GET " ─► "HTTP/" ─► WebSocket, or a web page         anything else ─► MQTT, malformed
"""

from typing import Final, Protocol

from mqtt_ids.packets import AckPacket, Packet, PublishPacket
from mqtt_ids.sensors.capture.figures import PLACES, Figures
from mqtt_ids.sensors.capture.finder import Finder
from mqtt_ids.sensors.capture.websocket import HEAD_END, MOST_HEAD, WebSocket

GET: Final = b"GET "
HTTP: Final = b"HTTP/"
TLS_HANDSHAKE: Final = b"\x16"  # RFC 8446, section 5.1
TLS_ALERT: Final = b"\x15"
CONNECT: Final = b"\x10"
PUBLISH: Final = 3


class Ear(Protocol):
    """Hears one direction: bytes in order become packets. `Finder` says what each means."""

    @property
    def held(self) -> int:
        """Bytes held."""

    def feed(self, data: bytes) -> list[Packet]:
        """The next bytes."""

    def missed(self, count: int) -> list[Packet]:
        """So many of them were not seen."""

    def end(self) -> list[Packet]:
        """There are no more."""

    def speak(self, version: int) -> None:
        """The protocol level is known."""

    def read_on(self) -> None:
        """The other side reads on, also where framing was lost."""

    def give_way(self) -> None:
        """Hold nothing any more."""


class Deaf:
    """Hears nothing."""

    held = 0

    def feed(self, _: bytes) -> list[Packet]:
        """Nothing."""
        return []

    def missed(self, _: int) -> list[Packet]:
        """Nothing."""
        return []

    def end(self) -> list[Packet]:
        """Nothing."""
        return []

    def speak(self, _: int) -> None:
        """Nothing."""

    def read_on(self) -> None:
        """Nothing."""

    def give_way(self) -> None:
        """Nothing."""


DEAF: Final = Deaf()


class Speech:
    """Both directions of one connection as packets, which it counts.

    `is_mqtt` tells that there is no doubt about it; `doubtful` that the server's next bytes
    decide, and have to go to `resolve` first. `encrypted` says that it is TLS.
    """

    __slots__ = (
        "_begun",
        "_claim",
        "_client",
        "_figures",
        "_server",
        "_socket",
        "_web",
        "doubtful",
        "encrypted",
        "is_mqtt",
    )

    def __init__(self, figures: Figures, *, whole: bool, web: bool) -> None:
        """`whole` tells that it is heard from its start, `web` that the port is WebSocket's."""
        self._figures = figures
        self._web = web
        self._begun = not whole
        self._claim = bytearray()  # what the client said while there is doubt
        self._client: Ear = Finder(from_client=True, whole=whole)
        self._server: Ear = Finder(from_client=False, whole=whole)
        self._socket: WebSocket | None = None
        self.is_mqtt = not web
        self.doubtful = False
        self.encrypted = False
        if web and not whole:
            self._unwrap(whole=False)

    @property
    def held(self) -> int:
        """Bytes held, of both directions."""
        return self._client.held + self._server.held + len(self._claim)

    def client(self, data: bytes) -> list[Packet]:
        """The packets that end in the client's next bytes."""
        if self._begun:
            return self._count(self._client.feed(data))
        return self._begin(data)

    def client_missed(self, count: int) -> list[Packet]:
        """The packets that are known to end in bytes of the client that were not seen."""
        self._figures.gaps += 1
        if not self._begun:
            self._begun = True
            self.doubtful = False
            if self._claim[:1] == TLS_HANDSHAKE:
                self._ignore()
            elif self._web or self._claim:
                self._unwrap(whole=False)
            self._claim.clear()
        return self._count(self._client.missed(count))

    def client_end(self) -> list[Packet]:
        """The client's bytes have ended."""
        rest = self._as_mqtt() if self.doubtful else []
        return rest + self._count(self._client.end())

    def resolve(self, answer: bytes) -> list[Packet]:
        """The packets of what the client said while there was doubt, which the server ends."""
        claim = self._claim[:1]
        if claim == TLS_HANDSHAKE and answer[:1] in {TLS_HANDSHAKE, TLS_ALERT}:
            self.encrypted = True
            self._figures.encrypted += 1
            self._ignore()
            return []
        if claim == GET[:1] and HTTP.startswith(answer[: len(HTTP)]):
            return self._as_websocket()
        return self._as_mqtt()

    def server(self, data: bytes) -> list[Packet]:
        """The packets that end in the broker's next bytes."""
        if not self._begun and data.startswith(HTTP):
            self._as_websocket()  # the request was not seen, or not yet
        packets = self._count(self._server.feed(data))
        if self._socket is not None:
            self.is_mqtt = self._socket.agreed
        return packets

    def server_missed(self, count: int) -> list[Packet]:
        """The packets that are known to end in bytes of the broker that were not seen."""
        self._figures.gaps += 1
        if self.doubtful and self._claim[:1] == TLS_HANDSHAKE:
            self._ignore()
        elif self.doubtful:
            self._as_websocket()
        return self._count(self._server.missed(count))

    def speak(self, version: int) -> None:
        """A CONNECT has told the protocol level."""
        self._client.speak(version)
        self._server.speak(version)

    def read_on(self) -> None:
        """The broker has accepted what the client said: it reads on."""
        self._client.read_on()

    def give_way(self) -> None:
        """Hold nothing any more."""
        if self.doubtful:
            self._ignore()
        self._client.give_way()
        self._server.give_way()

    def _begin(self, data: bytes) -> list[Packet]:
        """The client's first bytes, or more of those that leave doubt."""
        if not self.doubtful:
            self.doubtful = GET.startswith(data[: len(GET)]) or data[:1] == TLS_HANDSHAKE
            if not self.doubtful:
                self._begun = True
                if self._web and data[:1] != CONNECT:
                    self._ignore()
                return self._count(self._client.feed(data))
        claim = self._claim
        claim += data
        if len(claim) > MOST_HEAD:
            return self._as_mqtt()
        end = claim.find(HEAD_END)
        if claim[:1] == GET[:1] and 0 <= end < len(claim) - len(HEAD_END):
            return self._as_websocket()  # nobody goes on before the answer: it was not seen
        return []

    def _as_mqtt(self) -> list[Packet]:
        """It was meant for a broker that speaks MQTT and nothing else."""
        claim = self._settle()
        if self._web:
            self._ignore()
        return self._count(self._client.feed(claim))

    def _as_websocket(self) -> list[Packet]:
        claim = self._settle()
        self._unwrap(whole=True)
        return self._count(self._client.feed(claim))

    def _settle(self) -> bytes:
        """No doubt any more; what was said meanwhile."""
        claim = bytes(self._claim)
        self._claim.clear()
        self.doubtful = False
        self._begun = True
        return claim

    def _unwrap(self, *, whole: bool) -> None:
        self._socket = WebSocket(whole=whole)
        self._client = self._socket.client
        self._server = self._socket.server

    def _ignore(self) -> None:
        self._settle()
        self._client = self._server = DEAF

    def _count(self, packets: list[Packet]) -> list[Packet]:
        counts = self._figures.packets
        for packet in packets:
            kind = type(packet)
            if kind is PublishPacket:
                counts[PUBLISH] += 1
            elif type(packet) is AckPacket:
                counts[packet.type] += 1
            else:
                counts[PLACES[kind]] += 1
        return packets
