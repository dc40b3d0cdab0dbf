"""MQTT over WebSocket (MQTT 5 section 6, RFC 6455): both directions of one connection unwrapped.

    request ─► response 101, subprotocol mqtt ─► frames ─► their payloads, in order ─► packets

Heads are parsed by the websockets library. Its frame parser wants each frame whole, however
large it is, and cannot go on after a gap; so payloads pass through here as they come.
"""

from collections.abc import Callable, Generator, Iterator
from typing import Final, TypeVar

from websockets.datastructures import Headers
from websockets.exceptions import WebSocketException
from websockets.headers import parse_subprotocol
from websockets.http11 import Request, Response
from websockets.streams import StreamReader

from mqtt_ids.packets import Packet
from mqtt_ids.sensors.capture.finder import Finder
from mqtt_ids.sensors.capture.inflate import inflaters
from mqtt_ids.sensors.capture.streams import UNKNOWN, Piece
from mqtt_ids.sensors.capture.websocket_frames import BadFrameError, Frames

T = TypeVar("T")

MOST_HEAD: Final = 16_384  # bytes of a request or response
HEAD_END: Final = b"\r\n\r\n"
SWITCHING: Final = 101
SUBPROTOCOLS: Final = frozenset({"mqtt", "mqttv3.1"})

# What the library raises for a head that it does not like.
_BAD_HEAD: Final = (EOFError, LookupError, RuntimeError, ValueError, WebSocketException)


class WebSocket:
    """Both directions. `agreed` tells that it is MQTT; `refused` that it is not, for good."""

    def __init__(self, *, whole: bool) -> None:
        """`whole` tells that it is heard from the request on; else that both have agreed."""
        self.agreed = not whole
        self.refused = False
        self._asked_for_mqtt = False
        self.client = Unwrapper(self, from_client=True, whole=whole)
        self.server = Unwrapper(self, from_client=False, whole=whole)

    def request(self, head: bytes) -> None:
        """The client's head is there."""
        request = _parse(head, lambda reader: Request.parse(reader.read_line))
        self._asked_for_mqtt = request is not None and _names_mqtt(request.headers)
        self.refused = self.refused or not self._asked_for_mqtt

    def response(self, head: bytes) -> None:
        """The server's head is there. Some servers do not name the subprotocol they agree to."""
        response = _parse(
            head,
            lambda reader: Response.parse(
                reader.read_line, reader.read_exact, reader.read_to_eof, include_body=False
            ),
        )
        if response is None or response.status_code != SWITCHING:
            self.refused = True
        elif self._asked_for_mqtt or _names_mqtt(response.headers):
            self.agreed = not self.refused
        found = None if response is None else response.headers.get_all("Sec-WebSocket-Extensions")
        if found:
            both = inflaters(", ".join(found))
            if both is not None:
                self.client.frames.inflater, self.server.frames.inflater = both

    def goes_on(self, *, from_client: bool) -> bool:
        """Whether what follows the heads counts.

        A client says no more before it has the answer: if we have none, it was not seen.
        """
        if not self.refused and from_client and self._asked_for_mqtt:
            self.agreed = True
        return self.agreed and not self.refused


class Unwrapper:
    """One direction: the head, then frames, then packets. An `Ear`; bounded, and never raises."""

    def __init__(self, socket: WebSocket, *, from_client: bool, whole: bool) -> None:
        self._socket = socket
        self._from_client = from_client
        self._head: bytearray | None = bytearray() if whole else None
        self._finder = Finder(from_client=from_client, whole=whole)
        self._whole = whole
        self.frames = Frames(masked=from_client, whole=whole)

    @property
    def held(self) -> int:
        """Bytes held."""
        return len(self._head or b"") + self.frames.held + self._finder.held

    def feed(self, data: bytes) -> list[Packet]:
        """The packets that end in the next bytes."""
        if self._head is not None:
            data = self._behind_head(data)
        if not data or not self._socket.goes_on(from_client=self._from_client):
            return []
        return self._unwrapped(self.frames.feed(data))

    def missed(self, count: int) -> list[Packet]:
        """The packets that are known to end in bytes that were not seen."""
        if self._head is not None:  # both will have agreed, or frames will not be found
            self._head = None
            self._socket.agreed = True
            self.frames.lose()
            self._finder.give_way()
        self._whole = False
        return self._unwrapped(self.frames.missed(count))

    def end(self) -> list[Packet]:
        """There are no more bytes."""
        return [] if self._socket.refused else self._finder.end()

    def speak(self, version: int) -> None:
        """The protocol level is known."""
        self._finder.speak(version)

    def read_on(self) -> None:
        """The broker reads on."""
        self._finder.read_on()

    def give_way(self) -> None:
        """Hold nothing any more."""
        if self._head is not None:
            self._head = None
            self._socket.refused = True
        self._whole = False
        self.frames.give_way()
        self._finder.give_way()

    def _behind_head(self, data: bytes) -> bytes:
        """What follows the head, once it is complete."""
        head = self._head = self._head or bytearray()
        head += data
        end = head.find(HEAD_END, max(0, len(head) - len(data) - len(HEAD_END)))
        if end < 0:
            self._socket.refused = self._socket.refused or len(head) > MOST_HEAD
            if self._socket.refused:
                head.clear()
            return b""
        end += len(HEAD_END)
        self._head = None
        (self._socket.request if self._from_client else self._socket.response)(bytes(head[:end]))
        return bytes(head[end:])

    def _unwrapped(self, pieces: Iterator[Piece]) -> list[Packet]:
        packets: list[Packet] = []
        finder = self._finder
        try:
            for piece in pieces:
                if isinstance(piece, bytes):
                    packets += finder.feed(piece)
                else:
                    packets += finder.missed(piece)
        except BadFrameError:
            if self._whole:  # then either side closes (RFC 6455 section 7.1.7)
                self._socket.refused = True
            self.frames.lose()
            packets += finder.missed(UNKNOWN)
        self.frames.proven = self.frames.proven or finder.found
        return packets


def _parse(head: bytes, parser: Callable[[StreamReader], Generator[None, None, T]]) -> T | None:
    """What the library makes of a whole head; None where it is not one."""
    reader = StreamReader()
    reader.feed_data(head)
    reader.feed_eof()
    try:
        next(parser(reader))
    except StopIteration as found:
        parsed: T = found.value
        return parsed
    except _BAD_HEAD:
        return None
    return None


def _names_mqtt(headers: Headers) -> bool:
    """Whether a head speaks of the subprotocol mqtt."""
    try:
        named = [parse_subprotocol(value) for value in headers.get_all("Sec-WebSocket-Protocol")]
    except WebSocketException:
        return False
    return any(name.lower() in SUBPROTOCOLS for names in named for name in names)
