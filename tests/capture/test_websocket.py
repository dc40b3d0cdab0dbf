"""MQTT over WebSocket, written by the websockets library: the same events as without it."""

import random
import zlib

import capture_tools as tools
import pytest
from dialogue import ACCEPTED, DISCONNECT, PING, PONG, connect, publish, told
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from mqtt_ids.events import AnyEvent, Published
from mqtt_ids.lab.talks import Endpoint, Side
from mqtt_ids.packets import PacketType
from mqtt_ids.sensors.capture.inflate import CannotInflateError, Inflater, inflaters
from mqtt_ids.sensors.capture.sensor import Capture
from mqtt_ids.sensors.capture.websocket import MOST_HEAD, WebSocket

WEB = 9001
UNKNOWN = "?192.168.1.10:40000"
URI = parse_uri("ws://broker:9001/mqtt")


class Web:
    """A WebSocket of the library's own client and server, as it is captured."""

    def __init__(
        self,
        *,
        port: int = WEB,
        size: int = 1460,
        subprotocol: str = "mqtt",
        offers: str = "mqtt",
        deflate: bool = False,
        fresh: bool = False,
    ) -> None:
        self.chat = tools.Chat(server=Endpoint(tools.SERVER.address, port), size=size)
        names = [Subprotocol(subprotocol)] if subprotocol else None
        self.client = ClientProtocol(
            URI,
            subprotocols=[Subprotocol(offers)] if offers else None,
            extensions=[ClientPerMessageDeflateFactory(client_no_context_takeover=fresh)]
            if deflate
            else None,
        )
        self.server = ServerProtocol(
            subprotocols=names,
            extensions=[ServerPerMessageDeflateFactory()] if deflate else None,
            select_subprotocol=lambda _, offered: offered[0] if subprotocol and offered else None,
        )

    def open(self) -> "Web":
        self.chat.open()
        self.client.send_request(self.client.connect())
        self._flush("client")
        requests = self.server.events_received()
        self.server.send_response(self.server.accept(requests[0]))  # type: ignore[arg-type]
        self._flush("server")
        return self

    def say(self, *messages: bytes, side: Side = "client") -> None:
        for message in messages:
            (self.client if side == "client" else self.server).send_binary(message)
        self._flush(side)

    def join(self) -> "Web":
        self.open()
        self.say(connect())
        self.say(ACCEPTED, side="server")
        return self

    def _flush(self, side: Side) -> None:
        ours, theirs = (
            (self.client, self.server) if side == "client" else (self.server, self.client)
        )
        data = b"".join(ours.data_to_send())
        theirs.receive_data(data)
        self.chat.say(data, side=side)

    def events(self) -> list[AnyEvent]:
        return list(Capture().read(self.chat.frames()))


# --- the usual way -------------------------------------------------------------------------------


@pytest.mark.parametrize("port", [WEB, 1883])
def test_a_life_from_opening_to_end(port: int) -> None:
    web = Web(port=port).join()
    web.say(publish("a", b"123"), PING, DISCONNECT)
    web.say(PONG, side="server")
    web.chat.close()
    found = web.events()
    assert told(found) == [
        "Opened",
        *(f"{kind} c" for kind in ("Connected", "Published", "Pinged", "Disconnected", "Closed")),
    ]


def test_a_connection_that_only_opens_is_told_when_it_agrees() -> None:
    assert told(Web().open().events()) == ["Opened"]
    web = Web()
    web.chat.open()
    assert told(web.events()) == []


def test_a_server_need_not_name_the_subprotocol() -> None:
    web = Web()
    web.chat.open()
    web.chat.say(request("mqtt"))
    web.chat.say(response(""), side="server")
    web.chat.say(Frame(Opcode.BINARY, connect()).serialize(mask=True))
    web.chat.say(Frame(Opcode.BINARY, ACCEPTED).serialize(mask=False), side="server")
    assert told(web.events()) == ["Opened", "Connected c"]


def test_plain_mqtt_on_a_port_of_websocket() -> None:
    made = tools.Chat(server=Endpoint(tools.SERVER.address, WEB))
    made.open()
    made.say(connect())
    made.say(ACCEPTED, side="server")
    assert told(list(Capture().read(made.frames()))) == ["Opened", "Connected c"]


def test_messages_in_fragments_with_control_frames_between() -> None:
    web = Web().join()
    data = publish("a", b"x" * 20) + PING
    frames = [
        Frame(Opcode.BINARY, data[:7], fin=False),
        Frame(Opcode.PING, b"are you there"),
        Frame(Opcode.CONT, data[7:9], fin=False),
        Frame(Opcode.CONT, b"", fin=False),
        Frame(Opcode.PONG, b""),
        Frame(Opcode.CONT, data[9:]),
        Frame(Opcode.TEXT, b"no MQTT \xc0\x00", fin=False),
        Frame(Opcode.CONT, PING),
        Frame(Opcode.BINARY, PING),
    ]
    web.chat.say(b"".join(frame.serialize(mask=True) for frame in frames))
    assert told(web.events())[2:] == ["Published c", "Pinged c", "Pinged c"]


@pytest.mark.parametrize("size", [125, 126, 65_535, 65_536, 300_000])
def test_messages_of_any_length(size: int) -> None:
    web = Web(size=60_000).join()
    web.say(b"\x30" + length(size + 3) + b"\0\1t" + bytes(size))
    web.say(PING)
    found = web.events()
    assert [event.size for event in found if isinstance(event, Published)] == [size]
    assert told(found)[-1] == "Pinged c"


def length(size: int) -> bytes:
    out = bytearray()
    while True:
        size, low = divmod(size, 128)
        out.append(low | (128 if size else 0))
        if not size:
            return bytes(out)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32),
    size=st.sampled_from((1, 2, 5, 40)),
    deflate=st.booleans(),
    fresh=st.booleans(),
)
def test_any_slicing_gives_the_same_events(
    *, seed: int, size: int, deflate: bool, fresh: bool
) -> None:
    def life(size: int) -> list[AnyEvent]:
        rng = random.Random(seed)
        web = Web(size=size, deflate=deflate, fresh=fresh).join()
        for _ in range(5):
            web.say(*(publish("t", bytes(rng.randrange(90))) for _ in range(3)), PING)
            web.say(publish("s", bytes(rng.randrange(90))), side="server")
        return web.events()

    found = told(life(size))
    assert found == told(life(1460))
    assert found == ["Opened", "Connected c", *[*["Published c"] * 3, "Pinged c"] * 5]


# --- no MQTT -------------------------------------------------------------------------------------


def request(subprotocol: str) -> bytes:
    named = f"Sec-WebSocket-Protocol: {subprotocol}\r\n" if subprotocol else ""
    return (
        "GET /mqtt HTTP/1.1\r\nHost: broker\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{named}Sec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def response(subprotocol: str, more: str = "") -> bytes:
    named = f"Sec-WebSocket-Protocol: {subprotocol}\r\n" if subprotocol else ""
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n{named}{more}\r\n"
    ).encode()


PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n"


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        (GET, PAGE),
        (GET, b""),
        (request(""), response("")),
        (request("graphql-ws"), response("graphql-ws")),
        (request("mqtt"), FORBIDDEN),
        (b"GET " + b"x" * (2 * MOST_HEAD), PAGE),
        (b"POST / HTTP/1.1\r\n\r\n", PAGE),
        (b"\x16\x03\x01\0\5hello", b"\x16\x03\x03"),
    ],
)
def test_what_is_no_mqtt_gives_no_events(asked: bytes, answered: bytes) -> None:
    made = tools.Chat(server=Endpoint(tools.SERVER.address, 8080))
    made.open()
    made.say(asked)
    made.say(answered, side="server")
    made.say(Frame(Opcode.BINARY, connect()).serialize(mask=True))
    made.say(Frame(Opcode.BINARY, ACCEPTED).serialize(mask=False), side="server")
    made.close()
    assert told(list(Capture().read(made.frames()))) == []


def test_http_that_a_broker_does_not_speak_is_malformed() -> None:
    made = tools.Chat()
    made.open()
    made.say(GET)
    made.close("server")
    assert told(list(Capture().read(made.frames()))) == ["Opened", "Malformed", "Closed"]


@pytest.mark.parametrize(
    "bad",
    [
        b"\x83\x80\0\0\0\0",  # a reserved opcode
        b"\x82\x02\xc0\x00",  # not masked
        b"\xc2\x82\0\0\0\0\xc0\x00",  # compressed, and nobody agreed to that
        b"\x09\x80\0\0\0\0",  # a fragmented control frame
        b"\x89\xfe\0\x7e\0\0\0\0",  # a long one
        b"\xb2\x82\0\0\0\0\xc0\x00",  # reserved flags
    ],
)
def test_a_frame_that_breaks_the_rules_ends_it(bad: bytes) -> None:
    web = Web().join()
    web.chat.say(bad)
    web.say(PING)
    web.chat.close()
    assert told(web.events()) == ["Opened", "Connected c", "Closed c"]


# --- only a part of it ---------------------------------------------------------------------------


def test_a_start_in_mid_stream() -> None:
    web = Web().join()
    web.chat.pieces.clear()
    web.say(publish("a"))
    web.say(PING)
    assert told(web.events()) == [
        f"{kind} {UNKNOWN}" for kind in ("Connected", "Published", "Pinged")
    ]


def test_a_start_in_the_middle_of_a_frame() -> None:
    web = Web(size=50).join()
    web.say(publish("a", bytes(100)))
    web.chat.pieces = web.chat.pieces[-2:]
    web.say(publish("b"))
    assert told(web.events()) == [f"Connected {UNKNOWN}", f"Published {UNKNOWN}"]


def test_a_gap_inside_a_payload_hides_nothing() -> None:
    web = Web(size=50).join()
    web.say(publish("a", bytes(120)))
    del web.chat.pieces[-3]
    web.say(publish("b"))
    web.chat.wait(1)
    web.say(PING)
    found = web.events()
    topics = [event.topic for event in found if isinstance(event, Published)]
    assert topics == ["a", "b"]


@pytest.mark.parametrize("lost", range(3, 14))
def test_after_a_gap_anywhere_packets_are_found_again(lost: int) -> None:
    web = Web(size=100).join()
    for topic in "abcdefgh":
        web.chat.wait(0.1)
        web.say(publish(topic, bytes(30)))
    del web.chat.pieces[lost]
    found = web.events()
    topics = "".join(event.topic for event in found if isinstance(event, Published))
    assert topics.endswith("defgh")


@pytest.mark.parametrize("port", [WEB, 1883])
def test_only_the_broker_is_seen(port: int) -> None:
    web = Web(port=port).join()
    web.say(publish("a"), side="server")
    web.chat.pieces = [piece for piece in web.chat.pieces if piece.source.port == port]
    capture = Capture()
    assert told(list(capture.read(web.chat.frames()))) == ["Opened", f"Connected {UNKNOWN}"]
    assert capture.packets == {PacketType.CONNACK: 1, PacketType.PUBLISH: 1}


def test_only_the_client_is_seen() -> None:
    web = Web().join()
    web.chat.wait(2)
    web.say(PING)
    web.chat.pieces = [one for one in web.chat.pieces if one.source.port != WEB]
    assert told(web.events()) == ["Opened", "Connected c", "Pinged c"]


# --- compressed ----------------------------------------------------------------------------------


@pytest.mark.parametrize("fresh", [True, False])
def test_compressed_messages(*, fresh: bool) -> None:
    web = Web(deflate=True, fresh=fresh).join()
    for _ in range(20):
        web.say(publish("a/long/topic/again/and/again", b'{"value": 17.25}'))
    web.say(PING)
    assert told(web.events())[2:] == [*["Published c"] * 20, "Pinged c"]


def test_a_gap_in_compressed_messages_ends_them() -> None:
    web = Web(deflate=True).join()
    for number in range(20):
        web.say(publish("a/long/topic", str(number).encode()))
    del web.chat.pieces[15]
    found = web.events()
    assert told(found)[:3] == ["Opened", "Connected c", "Published c"]
    assert len(found) < 22


def test_what_is_absurdly_large_is_not_unpacked() -> None:
    bomb = zlib.compress(bytes(10_000_000))[2:]
    inflater = Inflater(bits=15, fresh=False)
    given_out: list[bytes] = []
    with pytest.raises(CannotInflateError):
        given_out.extend(inflater.feed(bomb))
    assert sum(map(len, given_out)) < 1_000_000


@pytest.mark.parametrize(
    "extensions", ["", "x-other", "permessage-deflate; what=9", "permessage-deflate; =", "\0"]
)
def test_extensions_that_we_do_not_know(extensions: str) -> None:
    assert inflaters(extensions) is None


# --- anything ------------------------------------------------------------------------------------

PARTS = [
    request("mqtt"),
    response("mqtt"),
    response("mqtt", "Sec-WebSocket-Extensions: permessage-deflate\r\n"),
    Frame(Opcode.BINARY, connect()).serialize(mask=True),
    Frame(Opcode.BINARY, ACCEPTED).serialize(mask=False),
    b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xc2\x85\0\0\0\0\x03\xc1\xff\x00\x00",
    b"\r\n\r\n",
]


@settings(max_examples=300)
@given(
    whole=st.booleans(),
    steps=st.lists(
        st.tuples(
            st.booleans(),
            st.one_of(st.sampled_from(PARTS), st.binary(max_size=40), st.integers(1, 1 << 28)),
        ),
        max_size=30,
    ),
)
def test_anything_at_all_stays_bounded(
    *, whole: bool, steps: list[tuple[bool, bytes | int]]
) -> None:
    socket = WebSocket(whole=whole)
    for is_client, step in steps:
        side = socket.client if is_client else socket.server
        if isinstance(step, int):
            side.missed(step)
        else:
            side.feed(step)
        assert side.held < MOST_HEAD + 100_000
    socket.client.end()
    socket.client.give_way()
    assert socket.client.held == 0
