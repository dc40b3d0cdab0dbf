"""Packets that others encoded: amqtt's classes in all shapes, and a real paho client's bytes."""

import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import paho.mqtt.client as paho
import pytest
from amqtt.mqtt.connack import ConnackPacket as AmqttConnack
from amqtt.mqtt.connect import ConnectPacket as AmqttConnect
from amqtt.mqtt.connect import ConnectPayload, ConnectVariableHeader
from amqtt.mqtt.disconnect import DisconnectPacket as AmqttDisconnect
from amqtt.mqtt.pingreq import PingReqPacket as AmqttPingreq
from amqtt.mqtt.pingresp import PingRespPacket as AmqttPingresp
from amqtt.mqtt.puback import PubackPacket as AmqttPuback
from amqtt.mqtt.pubcomp import PubcompPacket as AmqttPubcomp
from amqtt.mqtt.publish import PublishPacket as AmqttPublish
from amqtt.mqtt.pubrec import PubrecPacket as AmqttPubrec
from amqtt.mqtt.pubrel import PubrelPacket as AmqttPubrel
from amqtt.mqtt.suback import SubackPacket as AmqttSuback
from amqtt.mqtt.subscribe import SubscribePacket as AmqttSubscribe
from amqtt.mqtt.unsuback import UnsubackPacket as AmqttUnsuback
from amqtt.mqtt.unsubscribe import UnsubscribePacket as AmqttUnsubscribe
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from mqtt_ids.decoder import Decoder
from mqtt_ids.packets import (
    AckPacket,
    AckType,
    ConnackPacket,
    ConnectPacket,
    DisconnectPacket,
    MalformedPacket,
    Packet,
    PacketType,
    PingreqPacket,
    PingrespPacket,
    PublishPacket,
    SubackPacket,
    SubscribePacket,
    UnsubackPacket,
    UnsubscribePacket,
)

Made = tuple[bytes, Packet]  # what an encoder made, and what must come out of it

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
topics = text.map(lambda t: t.replace("#", "h").replace("+", "p") or "t")
levels = st.one_of(st.just("+"), topics)
filters = st.builds(
    lambda head, last: "/".join([*head, last]), st.lists(levels, max_size=4), levels
)
filters |= filters.map(lambda f: f + "/#") | st.just("#")
ids = st.integers(1, 65535)
# Sizes around each change in the length of the remaining length, and plain small ones.
payloads = st.binary(max_size=200) | st.sampled_from([100, 127, 128, 16_383, 16_384]).map(bytes)


@st.composite
def connects(draw: st.DrawFn) -> Made:
    client_id, keep_alive, clean = draw(text), draw(st.integers(0, 65535)), draw(st.booleans())
    username, password = draw(st.none() | text), draw(st.none() | text)
    will = draw(st.none() | st.tuples(topics, payloads, st.integers(0, 2), st.booleans()))
    if username is None:
        password = None
    head = ConnectVariableHeader(keep_alive=keep_alive)
    head.clean_session_flag = clean
    head.username_flag, head.password_flag = username is not None, password is not None
    head.will_flag = will is not None
    topic, message, head.will_qos, head.will_retain_flag = will or (None, None, 0, False)
    body = ConnectPayload(client_id, topic, message, username, password)
    data = AmqttConnect(variable_header=head, payload=body).to_bytes()
    return data, ConnectPacket(
        version=4,
        client_id=client_id,
        username=username,
        password=None if password is None else password.encode(),
        keep_alive=keep_alive,
        clean_session=clean,
        will_topic=topic,
        will_size=len(message or b""),
        will_qos=head.will_qos,
        will_retain=head.will_retain_flag,
        size=len(data),
    )


@st.composite
def publishes(draw: st.DrawFn) -> Made:
    topic, payload, qos, retain = draw(topics), draw(payloads), draw(st.integers(0, 2)), draw(bool_)
    dup = draw(bool_) if qos else False
    number = draw(ids) if qos else None
    data = AmqttPublish.build(topic, payload, number, dup, qos, retain).to_bytes()
    return data, PublishPacket(topic, len(payload), qos, retain, dup, number, len(data))


bool_ = st.booleans()


def ack(encoder: type[Any], kind: AckType) -> st.SearchStrategy[Made]:
    return ids.map(lambda number: (encoder.build(number).to_bytes(), AckPacket(kind, number)))


def plain(encoder: type[Any], packet: Packet) -> st.SearchStrategy[Made]:
    return st.just((encoder().to_bytes(), packet))


acks = (
    ack(AmqttPuback, PacketType.PUBACK)
    | ack(AmqttPubrec, PacketType.PUBREC)
    | ack(AmqttPubrel, PacketType.PUBREL)
    | ack(AmqttPubcomp, PacketType.PUBCOMP)
)
wanted = st.lists(st.tuples(filters, st.integers(0, 2)), min_size=1, max_size=5)
codes = st.lists(st.sampled_from([0, 1, 2, 128]), min_size=1, max_size=5)
client_packets = (
    publishes()
    | acks
    | st.builds(
        lambda w, n: (AmqttSubscribe.build(w, n).to_bytes(), SubscribePacket(n, tuple(w))),
        wanted,
        ids,
    )
    | st.builds(
        lambda w, n: (AmqttUnsubscribe.build(w, n).to_bytes(), UnsubscribePacket(n, tuple(w))),
        st.lists(filters, min_size=1, max_size=5),
        ids,
    )
    | plain(AmqttPingreq, PingreqPacket())
    | plain(AmqttDisconnect, DisconnectPacket())
)
server_packets = (
    publishes()
    | acks
    | st.builds(
        lambda code, old: (AmqttConnack.build(old, code).to_bytes(), ConnackPacket(code, old)),
        st.integers(0, 5),
        bool_,
    )
    | st.builds(
        lambda c, n: (AmqttSuback.build(n, c).to_bytes(), SubackPacket(n, tuple(c))), codes, ids
    )
    | ids.map(lambda n: (AmqttUnsuback.build(n).to_bytes(), UnsubackPacket(n)))
    | plain(AmqttPingresp, PingrespPacket())
)


def cut(data: bytes, at: list[int]) -> Iterator[bytes]:
    """The slices of `data` between the positions in `at`, some of which may be empty."""
    places = [0, *sorted(min(place, len(data)) for place in at), len(data)]
    return (data[start:stop] for start, stop in itertools.pairwise(places))


def decode(decoder: Decoder, slices: Iterator[bytes]) -> list[Packet]:
    return [packet for part in slices for packet in decoder.feed(part)]


@given(connects(), st.lists(client_packets, max_size=8), st.lists(st.integers(0, 3000)))
def test_client_stream_in_any_slicing(connect: Made, rest: list[Made], at: list[int]) -> None:
    data = b"".join(made for made, _ in [connect, *rest])
    expected = [packet for _, packet in [connect, *rest]]
    decoder = Decoder(from_client=True)
    assert decoder.feed(data) == expected
    assert decoder.end() == []
    assert decode(Decoder(from_client=True), cut(data, at)) == expected
    assert decode(Decoder(from_client=True), cut(data, list(range(3000)))) == expected


@given(st.lists(server_packets, max_size=8), st.lists(st.integers(0, 3000)))
def test_server_stream_in_any_slicing(packets: list[Made], at: list[int]) -> None:
    data = b"".join(made for made, _ in packets)
    expected = [packet for _, packet in packets]
    assert Decoder(from_client=False).feed(bytearray(data)) == expected
    assert decode(Decoder(from_client=False), cut(data, at)) == expected
    assert decode(Decoder(from_client=False), cut(data, list(range(3000)))) == expected


def assert_every_prefix_is_truncated(fresh: Callable[[], Decoder], data: bytes) -> None:
    """No packet comes out of any prefix, whole or byte by byte, and its end says truncated.

    Of a long packet, only prefixes of up to 300 bytes, and the longest, are tried.
    """
    drip = fresh()
    for length in range(1, len(data)):
        if length <= 300:
            assert drip.feed(data[length - 1 : length]) == []
        if length <= 300 or length == len(data) - 1:
            decoder = fresh()
            assert decoder.feed(data[:length]) == []
            (end,) = decoder.end()
            assert isinstance(end, MalformedPacket)
            assert end.reason == "truncated"


def after_connect() -> Decoder:
    decoder = Decoder(from_client=True)
    decoder.feed(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00")
    return decoder


@settings(max_examples=50)
@given(connects())
def test_every_prefix_of_connect_is_truncated(made: Made) -> None:
    assert_every_prefix_is_truncated(lambda: Decoder(from_client=True), made[0])


@settings(max_examples=100)
@given(client_packets)
def test_every_prefix_of_a_client_packet_is_truncated(made: Made) -> None:
    assert_every_prefix_is_truncated(after_connect, made[0])


@settings(max_examples=100)
@given(server_packets)
def test_every_prefix_of_a_server_packet_is_truncated(made: Made) -> None:
    assert_every_prefix_is_truncated(lambda: Decoder(from_client=False), made[0])


CONNACKS = {3: b"\x20\x02\x00\x00", 4: b"\x20\x02\x00\x00", 5: b"\x20\x03\x00\x00\x00"}


def message(version: int, qos: int, packet_id: int) -> bytes:
    """PUBLISH of "!" on "a" from the server, so that the client acknowledges it."""
    body = b"\x00\x01a" + packet_id.to_bytes(2, "big") + (b"\x00" if version == 5 else b"") + b"!"
    return bytes([0x30 | qos << 1, len(body)]) + body


def properties(kind: int, **values: object) -> Properties:
    made = Properties(kind)  # type: ignore[no-untyped-call]
    for name, value in values.items():
        setattr(made, name, value)
    return made


class Recorder:
    """A listening socket that says what paho must hear, and keeps what paho says."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(10)
        self.port = self._listener.getsockname()[1]
        self._peer: socket.socket | None = None

    def accept(self, connack: bytes) -> None:
        self._peer, _ = self._listener.accept()
        self._peer.settimeout(10)
        self.wait(b"")
        self._peer.sendall(connack)

    def say(self, data: bytes, until: bytes) -> None:
        """Send `data`, then read on until `until` was heard."""
        assert self._peer is not None
        self._peer.sendall(data)
        self.wait(until)

    def wait(self, until: bytes) -> None:
        assert self._peer is not None
        start = len(self.data)
        while len(self.data) == start or until not in self.data[start:]:
            heard = self._peer.recv(65536)
            assert heard, "paho closed the connection"
            self.data += heard

    def read_to_the_end(self) -> None:
        assert self._peer is not None
        while heard := self._peer.recv(65536):
            self.data += heard

    def stop(self) -> None:
        if self._peer is not None:
            self._peer.close()
        self._listener.close()


def record(version: int) -> bytes:
    """What a paho client says in one session with everything in it."""
    recorder = Recorder()
    of_client: dict[str, Any] = {"clean_session": False}
    of_will: dict[str, Any] = {}
    of_connect: dict[str, Any] = {}
    if version == 5:
        of_client = {}
        of_will["properties"] = properties(PacketTypes.WILLMESSAGE, WillDelayInterval=5)
        of_connect["properties"] = properties(
            PacketTypes.CONNECT,
            SessionExpiryInterval=60,
            ReceiveMaximum=20,
            UserProperty=[("a", "1"), ("b", "2")],
        )
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id="écho",
        protocol=MQTTProtocolVersion(version),
        **of_client,
    )
    client.username_pw_set("user", "s3cret")
    client.will_set("gone/écho", b"bye!", qos=1, retain=True, **of_will)
    connected = threading.Event()
    client.on_connect = lambda *_: connected.set()
    client.connect_async("127.0.0.1", recorder.port, 30, **of_connect)
    client.loop_start()
    try:
        recorder.accept(CONNACKS[version])
        assert connected.wait(10)
        speak(client, recorder, version)
    finally:
        client.loop_stop()
        recorder.stop()
    return bytes(recorder.data)


def speak(client: paho.Client, recorder: Recorder, version: int) -> None:
    five = version == 5
    extra: dict[str, Any] = {}
    if five:
        extra["properties"] = properties(
            PacketTypes.PUBLISH, ContentType="text", UserProperty=("k", "v"), TopicAlias=7
        )
    client.publish("home/é", b"x" * 300, **extra)
    client.publish("home/1", "21.5", qos=1, retain=True)
    client.publish("home/2", None, qos=2)
    if five:
        mark = properties(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=9)
        client.subscribe("$share/g/home/#", 1, properties=mark)
    else:
        client.subscribe([("home/+", 1), ("#", 2)])
    client.unsubscribe(["home/+", "#"])
    recorder.wait(b"home/+")
    recorder.say(b"\x50\x02\x00\x03", until=b"\x62\x02\x00\x03")
    recorder.say(message(version, 1, 5), until=b"\x40\x02\x00\x05")
    recorder.say(message(version, 2, 6), until=b"\x50\x02\x00\x06")
    recorder.say(b"\x62\x02\x00\x06", until=b"\x70\x02\x00\x06")
    if five:
        client.disconnect(ReasonCode(PacketTypes.DISCONNECT, "Disconnect with will message"))
    else:
        client.disconnect()
    recorder.read_to_the_end()


def published(topic: str, payload_size: int, size: int, packet_id: int | None) -> PublishPacket:
    """One of `speak`'s PUBLISHes; paho counts packet identifiers at quality of service 0 too."""
    qos = 0 if packet_id is None else packet_id - 1
    return PublishPacket(
        topic, payload_size, qos, qos == 1, dup=False, packet_id=packet_id, size=size
    )


def said(version: int, sizes: list[int]) -> list[Packet]:
    """What `record` must decode to; `sizes` are those of CONNECT and the three PUBLISHes."""
    five = version == 5
    connect, first, second, third = sizes
    wanted = (("$share/g/home/#", 1),) if five else (("home/+", 1), ("#", 2))
    return [
        ConnectPacket(
            version=version,
            client_id="écho",
            username="user",
            password=b"s3cret",
            keep_alive=30,
            clean_session=five,  # paho 5: "clean start" on the first connection
            will_topic="gone/écho",
            will_size=4,
            will_qos=1,
            will_retain=True,
            size=connect,
        ),
        published("home/é", 300, first, None),
        published("home/1", 4, second, 2),
        published("home/2", 0, third, 3),
        SubscribePacket(4, wanted),
        UnsubscribePacket(5, ("home/+", "#")),
        AckPacket(PacketType.PUBREL, 3),
        AckPacket(PacketType.PUBACK, 5),
        AckPacket(PacketType.PUBREC, 6),
        AckPacket(PacketType.PUBCOMP, 6),
        DisconnectPacket(4 if five else 0),
    ]


def split(data: bytes) -> list[bytes]:
    """The packets of a stream, by their fixed headers alone."""
    packets = []
    while data:
        length, at = data[1] & 127, 2
        while data[at - 1] & 128:
            length |= (data[at] & 127) << 7 * (at - 1)
            at += 1
        packets.append(data[: at + length])
        data = data[at + length :]
    return packets


@pytest.fixture(scope="module", params=[3, 4, 5], ids=["3.1", "3.1.1", "5"])
def recording(request: pytest.FixtureRequest) -> tuple[int, list[bytes]]:
    version: int = request.param
    return version, split(record(version))


def test_what_paho_says(recording: tuple[int, list[bytes]]) -> None:
    version, packets = recording
    expected = said(version, [len(packet) for packet in packets[:4]])
    decoder = Decoder(from_client=True)
    assert decoder.feed(b"".join(packets)) == expected
    assert decoder.version == version
    assert decoder.end() == []


@given(at=st.lists(st.integers(0, 600)))
def test_what_paho_says_in_any_slicing(recording: tuple[int, list[bytes]], at: list[int]) -> None:
    version, packets = recording
    expected = said(version, [len(packet) for packet in packets[:4]])
    assert decode(Decoder(from_client=True), cut(b"".join(packets), at)) == expected


def test_every_prefix_of_what_paho_says_is_truncated(recording: tuple[int, list[bytes]]) -> None:
    _, packets = recording

    for index, packet in enumerate(packets):

        def fresh(before: bytes = b"".join(packets[:index])) -> Decoder:
            decoder = Decoder(from_client=True)
            decoder.feed(before)
            return decoder

        assert_every_prefix_is_truncated(fresh, packet)
