"""The decoder's cases by hand: what each packet says, and what is wrong with the malformed ones."""

import pytest
from rich.pretty import pretty_repr

from mqtt_ids.decoder import Decoder
from mqtt_ids.packets import (
    AckPacket,
    AuthPacket,
    ConnackPacket,
    ConnectPacket,
    DisconnectPacket,
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

PING = b"\xc0\x00"
PINGRESP = b"\xd0\x00"


def text(content: str | bytes) -> bytes:
    raw = content if isinstance(content, bytes) else content.encode()
    return len(raw).to_bytes(2, "big") + raw


def packet(first: int, body: bytes) -> bytes:
    length = len(body)
    header = bytearray([first])
    while True:
        length, low = divmod(length, 128)
        header.append(low | (128 if length else 0))
        if not length:
            return bytes(header) + body


def connect(version: int = 4, flags: int = 2, rest: bytes = b"", name: str | bytes = "") -> bytes:
    """CONNECT with keep-alive 60 and client id "c"; `rest` is what follows the id."""
    name = name or ("MQIsdp" if version == 3 else "MQTT")
    properties = b"\x00" if version == 5 else b""
    body = text(name) + bytes([version, flags]) + b"\x00\x3c" + properties + text("c") + rest
    return packet(0x10, body)


def client(version: int = 4) -> Decoder:
    """The decoder of a client's stream, after its CONNECT."""
    decoder = Decoder(from_client=True)
    (first,) = decoder.feed(connect(version))
    assert isinstance(first, ConnectPacket)
    return decoder


def reasons(packets: list[Packet]) -> list[str]:
    """The reason of each malformed packet, and the type of each good one."""
    return [getattr(p, "reason", "") or type(p).__name__ for p in packets]


def connected(**known: object) -> ConnectPacket:
    plain = {
        "version": 4,
        "client_id": "c",
        "username": None,
        "password": None,
        "keep_alive": 60,
        "clean_session": True,
        "will_topic": None,
        "will_size": 0,
        "will_qos": 0,
        "will_retain": False,
    }
    return ConnectPacket(**{**plain, **known})  # type: ignore[arg-type]


def published(
    topic: str | None,
    payload_size: int,
    *,
    size: int,
    qos: int = 0,
    retain: bool = False,
    dup: bool = False,
    packet_id: int | None = None,
) -> PublishPacket:
    return PublishPacket(topic, payload_size, qos, retain, dup, packet_id, size)


USER_PROPERTIES = b"\x26" + text("k") + text("v") + b"\x26" + text("k") + text("v")
CONNECT_PROPERTIES = b"\x11\x00\x00\x00\x0a\x21\x00\x14\x27\x00\x01\x00\x00" + USER_PROPERTIES
CONNECTS = {
    "3.1": (connect(3), connected(version=3, size=17)),
    "3.1 with flags that mean nothing there": (connect(3, 0x3B), connected(version=3, size=17)),
    "3.1 without the announced user name": (connect(3, 0xC2), connected(version=3, size=17)),
    "3.1.1": (connect(4), connected(size=15)),
    "3.1.1 from a bridge": (connect(0x84), connected(size=15)),
    "5": (connect(5), connected(version=5, size=16)),
    "no clean session": (connect(4, 0), connected(clean_session=False, size=15)),
    "a will": (
        connect(4, 0x2E, text("gone/é") + text(b"\x00\xff!")),
        connected(will_topic="gone/é", will_size=3, will_qos=1, will_retain=True, size=29),
    ),
    "user name and password": (
        connect(4, 0xC2, text("u") + text(b"\x00s")),
        connected(username="u", password=b"\x00s", size=22),
    ),
    "empty user name and password": (
        connect(4, 0xC2, text("") + text(b"")),
        connected(username="", password=b"", size=19),
    ),
    "5: a password alone": (
        connect(5, 0x42, text(b"s")),
        connected(version=5, password=b"s", size=19),
    ),
    "5: properties everywhere": (
        packet(
            0x10,
            text("MQTT")
            + bytes([5, 0xC6, 0x00, 0x1E, len(CONNECT_PROPERTIES)])
            + CONNECT_PROPERTIES
            + text("id")
            + bytes([5 + len(USER_PROPERTIES)])
            + (b"\x18\x00\x00\x00\x05" + USER_PROPERTIES)
            + (text("w") + text(b"bye") + text("u") + text(b"s")),
        ),
        connected(
            version=5,
            client_id="id",
            username="u",
            password=b"s",
            keep_alive=30,
            will_topic="w",
            will_size=3,
            size=78,
        ),
    ),
}


@pytest.mark.parametrize(("data", "expected"), CONNECTS.values(), ids=CONNECTS)
def test_connect(data: bytes, expected: ConnectPacket) -> None:
    decoder = Decoder(from_client=True)
    assert decoder.feed(data) == [expected]
    assert decoder.version == expected.version
    assert decoder.end() == []


def test_no_representation_shows_the_password() -> None:
    data = connect(4, 0xC2, text("user") + text(b"hunter2"))
    (packet_,) = Decoder(from_client=True).feed(data)
    assert isinstance(packet_, ConnectPacket)
    assert packet_.password == b"hunter2"
    for shown in (repr(packet_), str(packet_), f"{[packet_]}", pretty_repr(packet_)):
        assert "hunter2" not in shown
        assert "has_password=True" in shown
        assert "username='user'" in shown


ACK = PacketType
CLIENT: list[tuple[int, bytes, Packet]] = [
    (4, packet(0x30, text("a/b") + b"xyz"), published("a/b", 3, size=10)),
    (4, packet(0x30, text("a")), published("a", 0, size=5)),
    (
        4,
        packet(0x3D, text("a") + b"\x01\x00z"),
        published("a", 1, qos=2, retain=True, dup=True, packet_id=256, size=8),
    ),
    (4, packet(0x32, text("$x") + b"\x00\x01"), published("$x", 0, qos=1, packet_id=1, size=8)),
    (3, packet(0x38, text("a")), published("a", 0, dup=True, size=5)),
    (5, packet(0x31, text("a") + b"\x00z"), published("a", 1, retain=True, size=7)),
    (
        5,
        packet(0x32, text("a") + b"\x00\x09\x14\x01\x01" + USER_PROPERTIES + b"\x08\x00\x01rz"),
        published("a", 1, qos=1, packet_id=9, size=29),
    ),
    (4, packet(0x40, b"\x00\x07"), AckPacket(ACK.PUBACK, 7)),
    (4, packet(0x50, b"\x00\x07"), AckPacket(ACK.PUBREC, 7)),
    (4, packet(0x62, b"\x00\x07"), AckPacket(ACK.PUBREL, 7)),
    (4, packet(0x70, b"\xff\xff"), AckPacket(ACK.PUBCOMP, 65535)),
    (5, packet(0x40, b"\x00\x07"), AckPacket(ACK.PUBACK, 7)),
    (5, packet(0x40, b"\x00\x07\x10"), AckPacket(ACK.PUBACK, 7, 16)),
    (5, packet(0x62, b"\x00\x07\x92\x04\x1f\x00\x01!"), AckPacket(ACK.PUBREL, 7, 146)),
    (
        4,
        packet(0x82, b"\x00\x01" + text("#") + b"\x00" + text("+/a/#") + b"\x02"),
        SubscribePacket(1, (("#", 0), ("+/a/#", 2))),
    ),
    (3, packet(0x8A, b"\x00\x01" + text("a") + b"\xfd"), SubscribePacket(1, (("a", 1),))),
    (
        5,
        packet(0x82, b"\x00\x01\x02\x0b\x05" + text("$share/g/+") + b"\x29"),
        SubscribePacket(1, (("$share/g/+", 1),)),
    ),
    (4, packet(0xA2, b"\x00\x02" + text("a") + text("+/+")), UnsubscribePacket(2, ("a", "+/+"))),
    (5, packet(0xA2, b"\x00\x02\x00" + text("a")), UnsubscribePacket(2, ("a",))),
    (4, PING, PingreqPacket()),
    (4, b"\xe0\x00", DisconnectPacket()),
    (5, b"\xe0\x00", DisconnectPacket()),
    (5, b"\xe0\x01\x04", DisconnectPacket(4)),
    (5, b"\xe0\x07\x00\x05\x11\x00\x00\x00\x09", DisconnectPacket()),
    (5, b"\xf0\x00", AuthPacket()),
    (5, packet(0xF0, b"\x18\x05\x15\x00\x02no"), AuthPacket(24)),
]
SERVER: list[tuple[int, bytes, Packet]] = [
    (4, b"\x20\x02\x00\x00", ConnackPacket(0, session_present=False)),
    (4, b"\x20\x02\x01\x05", ConnackPacket(5, session_present=True)),
    (5, b"\x20\x02\x00\x01", ConnackPacket(1, session_present=False)),
    (5, packet(0x20, b"\x00\x87\x00"), ConnackPacket(0x87, session_present=False)),
    (
        5,
        packet(0x20, b"\x01\x00\x05\x12\x00\x02me"),
        ConnackPacket(0, session_present=True, assigned_client_id="me"),
    ),
    (4, packet(0x31, text("a") + b"z"), published("a", 1, retain=True, size=6)),
    (
        5,
        packet(0x30, text("a") + b"\x04\x0b\x01\x0b\x02"),
        published("a", 0, size=10),
    ),
    (4, packet(0x50, b"\x00\x07"), AckPacket(ACK.PUBREC, 7)),
    (4, packet(0x90, b"\x00\x01\x00\x01\x02\x80"), SubackPacket(1, (0, 1, 2, 128))),
    (5, packet(0x90, b"\x00\x01\x00\x87"), SubackPacket(1, (0x87,))),
    (4, packet(0xB0, b"\x00\x01"), UnsubackPacket(1)),
    (5, packet(0xB0, b"\x00\x01\x00\x00\x11"), UnsubackPacket(1, (0, 17))),
    (4, PINGRESP, PingrespPacket()),
    (5, b"\xe0\x01\x8e", DisconnectPacket(0x8E)),
    (5, packet(0xE0, b"\x9c\x04\x1c\x00\x01s"), DisconnectPacket(0x9C)),
    (5, packet(0xF0, b"\x18\x00"), AuthPacket(24)),
]


@pytest.mark.parametrize(("version", "data", "expected"), CLIENT)
def test_client_packet(version: int, data: bytes, expected: Packet) -> None:
    decoder = client(version)
    assert decoder.feed(data + data) == [expected, expected]
    assert decoder.end() == []


@pytest.mark.parametrize(("version", "data", "expected"), SERVER)
def test_server_packet(version: int, data: bytes, expected: Packet) -> None:
    decoder = Decoder(from_client=False)
    decoder.version = version
    assert decoder.feed(data + data) == [expected, expected]
    assert decoder.end() == []


def properties(block: bytes) -> bytes:
    return bytes([len(block)]) + block


BAD_CONNECTS = {
    "reserved flag": (connect(4, 3), "bad-flags"),
    "reserved flags of the fixed header": (b"\x11" + connect(4)[1:], "bad-flags"),
    "retain without a will": (connect(4, 0x22), "will-flags"),
    "qos without a will": (connect(5, 0x0A), "will-flags"),
    "qos 3 will": (connect(4, 0x1E, text("w") + text("")), "bad-qos"),
    "qos 3 will in 3.1": (connect(3, 0x1E, text("w") + text("")), "bad-qos"),
    "wildcard will": (connect(4, 6, text("w/#") + text("")), "wildcard-topic"),
    "empty will topic": (connect(4, 6, text("") + text("")), "empty-topic"),
    "password alone": (connect(4, 0x42, text("s")), "password-without-username"),
    "password alone in 3.1": (connect(3, 0x42, text("s")), "password-without-username"),
    "user name missing": (connect(4, 0x82), "bad-length"),
    "bytes too many": (connect(4, 2, b"!"), "bad-length"),
    "empty": (b"\x10\x00", "bad-length"),
    "another name": (connect(4, name="MQTt"), "protocol-name"),
    "level 6": (connect(6), "protocol-version"),
    "level 3 as MQTT": (connect(3, name="MQTT"), "protocol-version"),
    "level 4 as MQIsdp": (connect(4, name="MQIsdp"), "protocol-version"),
    "name not UTF-8": (connect(4, name=b"MQT\xff"), "bad-utf8"),
    "user name with U+0000": (connect(4, 0x82, text("a\0b")), "bad-utf8"),
    "user name with a surrogate": (connect(4, 0x82, text(b"\xed\xa0\x80")), "bad-utf8"),
    "5: no property length": (packet(0x10, text("MQTT") + b"\x05\x02\x00\x3c"), "bad-length"),
}


@pytest.mark.parametrize(("data", "reason"), BAD_CONNECTS.values(), ids=BAD_CONNECTS)
def test_malformed_connect(data: bytes, reason: str) -> None:
    decoder = Decoder(from_client=True)
    assert reasons(decoder.feed(data + PING)) == [reason, "PingreqPacket"]
    assert not decoder.lost


MALFORMED = [
    (4, packet(0x36, text("a") + b"\x00\x01"), "bad-qos"),
    (3, packet(0x36, text("a") + b"\x00\x01"), "bad-qos"),
    (4, packet(0x38, text("a")), "bad-flags"),
    (4, packet(0x30, text("a/#")), "wildcard-topic"),
    (4, packet(0x30, text("+/a") + b"z" * 200), "wildcard-topic"),
    (4, packet(0x30, text("") + b"z"), "empty-topic"),
    (4, packet(0x30, text(b"\xc3")), "bad-utf8"),
    (4, packet(0x30, text(b"\xc0\xaf")), "bad-utf8"),
    (4, packet(0x30, text(b"\xed\xa0\x80")), "bad-utf8"),
    (4, packet(0x30, text("a\0")), "bad-utf8"),
    (4, packet(0x30, b""), "bad-length"),
    (4, packet(0x30, b"\x00"), "bad-length"),
    (4, packet(0x30, b"\x00\x05a"), "bad-length"),
    (4, packet(0x32, text("a") + b"\x00"), "bad-length"),
    (4, packet(0x32, text("a") + b"\x00\x00"), "packet-id"),
    (5, packet(0x30, text("a")), "bad-length"),
    (5, packet(0x30, text("a") + b"\x05\x01\x00"), "bad-length"),
    (5, packet(0x30, text("a") + b"\x80"), "bad-length"),
    (5, packet(0x30, text("a") + b"\x80\x80\x80\x80"), "bad-length"),
    (5, packet(0x30, text("a") + properties(b"\x01\x02")), "bad-property"),
    (5, packet(0x30, text("a") + properties(b"\x01\x00\x01\x00")), "bad-property"),
    (5, packet(0x30, text("a") + properties(b"\x0b\x01")), "bad-property"),
    (5, packet(0x30, text("a") + properties(b"\x11\x00\x00\x00\x00")), "bad-property"),
    (5, packet(0x30, text("a") + properties(b"\x7f")), "bad-property"),
    (5, packet(0x30, text("a") + properties(b"\x02\x00")), "bad-length"),
    (5, packet(0x30, text("a") + properties(b"\x26" + text("k"))), "bad-length"),
    (5, packet(0x30, text("a") + properties(b"\x03" + text(b"\xff"))), "bad-utf8"),
    (5, packet(0x30, text("a") + properties(b"\x08" + text("r/#"))), "wildcard-topic"),
    (5, packet(0x30, text("") + properties(b"")), "empty-topic"),
    (5, packet(0x30, text("") + properties(b"\x01\x00")), "empty-topic"),
    (5, packet(0x30, text("") + properties(b"\x23\x00\x01")), "topic-alias"),
    (5, packet(0x30, text("a") + properties(b"\x23\x00\x00")), "topic-alias"),
    (5, packet(0x30, text("a") + properties(b"\x23\x00\x41")), "topic-alias"),
    (5, packet(0x30, text("#") + properties(b"\x23\x00\x01")), "wildcard-topic"),
    (4, packet(0x82, b"\x00\x01"), "no-filter"),
    (4, packet(0x82, b"\x00\x00" + text("a") + b"\x00"), "packet-id"),
    (4, packet(0x82, b"\x00\x01" + text("a#") + b"\x00"), "bad-filter"),
    (4, packet(0x82, b"\x00\x01" + text("+a") + b"\x00"), "bad-filter"),
    (4, packet(0x82, b"\x00\x01" + text("a/#/b") + b"\x00"), "bad-filter"),
    (4, packet(0x82, b"\x00\x01" + text("a+/b") + b"\x00"), "bad-filter"),
    (4, packet(0x82, b"\x00\x01" + text("++") + b"\x00"), "bad-filter"),
    (4, packet(0x82, b"\x00\x01" + text("") + b"\x00"), "bad-filter"),
    (4, packet(0x82, b"\x00\x01" + text("a") + b"\x03"), "bad-qos"),
    (4, packet(0x82, b"\x00\x01" + text("a") + b"\x04"), "bad-flags"),
    (4, packet(0x82, b"\x00\x01" + text("a")), "bad-length"),
    (4, packet(0x80, b"\x00\x01" + text("a") + b"\x00"), "bad-flags"),
    (5, packet(0x82, b"\x00\x01\x00" + text("a") + b"\x30"), "bad-flags"),
    (5, packet(0x82, b"\x00\x01\x00" + text("a") + b"\x40"), "bad-flags"),
    (5, packet(0x82, b"\x00\x01\x00" + text("$share/g/a") + b"\x04"), "bad-flags"),
    (5, packet(0x82, b"\x00\x01\x00" + text("$share/g") + b"\x00"), "bad-filter"),
    (5, packet(0x82, b"\x00\x01\x00" + text("$share//a") + b"\x00"), "bad-filter"),
    (5, packet(0x82, b"\x00\x01\x00" + text("$share/+/a") + b"\x00"), "bad-filter"),
    (5, packet(0x82, b"\x00\x01\x02\x0b\x00" + text("a") + b"\x00"), "bad-property"),
    (4, packet(0xA2, b"\x00\x01"), "no-filter"),
    (4, packet(0xA2, b"\x00\x00" + text("a")), "packet-id"),
    (4, packet(0xA2, b"\x00\x01" + text("#/a")), "bad-filter"),
    (4, packet(0xA0, b"\x00\x01" + text("a")), "bad-flags"),
    (4, packet(0x40, b"\x00\x00"), "packet-id"),
    (4, packet(0x40, b"\x00"), "bad-length"),
    (4, packet(0x40, b"\x00\x01\x00"), "bad-length"),
    (4, packet(0x60, b"\x00\x01"), "bad-flags"),
    (4, packet(0xC0, b"!"), "bad-length"),
    (4, b"\xc1\x00", "bad-flags"),
    (4, b"\xe0\x01\x00", "bad-length"),
    (4, b"\x00\x00", "reserved-type"),
    (4, b"\xf0\x00", "reserved-type"),
    (4, b"\x20\x02\x00\x00", "wrong-direction"),
    (4, b"\xd0\x00", "wrong-direction"),
    (4, connect(4), "second-connect"),
    (5, connect(4), "second-connect"),
    (4, packet(0x82, bytes(131_073)), "too-large"),
    (5, packet(0x30, text("a") + b"\xfd\xff\x07" + bytes(131_069)), "too-large"),
]


@pytest.mark.parametrize(("version", "data", "reason"), MALFORMED)
def test_malformed_packet_of_a_client(version: int, data: bytes, reason: str) -> None:
    decoder = client(version)
    assert reasons(decoder.feed(data + PING)) == [reason, "PingreqPacket"]
    assert not decoder.lost
    assert decoder.end() == []


MALFORMED_BY_SERVER = [
    (4, b"\x20\x02\x02\x00", "bad-flags"),
    (4, b"\x20\x03\x00\x00\x00", "bad-length"),
    (5, packet(0x20, b"\x00\x00" + properties(b"\x24\x02")), "bad-property"),
    (5, packet(0x20, b"\x00\x00" + properties(b"\x21\x00\x00")), "bad-property"),
    (4, connect(4), "wrong-direction"),
    (4, packet(0x82, b"\x00\x01" + text("a") + b"\x00"), "wrong-direction"),
    (4, b"\xe0\x00", "wrong-direction"),
    (4, packet(0x90, b"\x00\x01\x03"), "bad-code"),
    (4, packet(0x90, b"\x00\x00\x01"), "packet-id"),
    (4, packet(0xB0, b"\x00\x01\x00"), "bad-length"),
    (4, packet(0x30, text("#")), "wildcard-topic"),
]


@pytest.mark.parametrize(("version", "data", "reason"), MALFORMED_BY_SERVER)
def test_malformed_packet_of_a_server(version: int, data: bytes, reason: str) -> None:
    decoder = Decoder(from_client=False, version=version)
    assert reasons(decoder.feed(data + PINGRESP)) == [reason, "PingrespPacket"]


STRANGERS = [b"GET / HTTP/1.1\r\n", b"SSH-2.0-", b"\x00", b"\x30\x03\x00\x01a", PING, b"\xff" * 9]


@pytest.mark.parametrize("data", STRANGERS)
def test_first_byte_that_is_not_connect_proves_another_protocol(data: bytes) -> None:
    decoder = Decoder(from_client=True)
    assert reasons(decoder.feed(data[:1])) == ["not-connect-first"]
    assert decoder.lost
    assert decoder.feed(data[1:] + connect()) == []
    assert decoder.end() == []


def test_remaining_length_of_five_bytes_loses_the_framing_at_the_fourth() -> None:
    decoder = client()
    assert decoder.feed(b"\x30\xff\xff\xff") == []
    assert reasons(decoder.feed(b"\x80")) == ["remaining-length"]
    assert decoder.lost
    assert decoder.feed(PING) == []
    assert decoder.buffered == 0


def test_connect_that_announces_too_much_loses_the_framing_at_once() -> None:
    decoder = Decoder(from_client=True, max_connect=1000)
    assert decoder.feed(b"\x10\xe8\x07") == []  # 1000 bytes
    decoder = Decoder(from_client=True, max_connect=1000)
    assert reasons(decoder.feed(b"\x10\xe9\x07")) == ["too-large"]
    assert decoder.lost
    assert decoder.buffered == 0


def test_packets_larger_than_allowed_are_passed_over() -> None:
    decoder = Decoder(from_client=False, max_packet=10)
    large = packet(0x30, text("a") + bytes(8))
    assert reasons(decoder.feed(large[:2])) == ["too-large"]
    assert reasons(decoder.feed(large[2:] + PINGRESP)) == ["PingrespPacket"]
    assert reasons(decoder.feed(packet(0x90, bytes(11)) + PINGRESP)) == [
        "too-large",
        "PingrespPacket",
    ]
    exact = packet(0x30, text("a") + bytes(7))
    assert reasons(decoder.feed(exact)) == ["PublishPacket"]


def test_malformed_publish_is_known_before_its_payload_ends() -> None:
    decoder = client()
    data = packet(0x30, text("a/#") + b"z" * 500)
    assert reasons(decoder.feed(data[:8])) == ["wildcard-topic"]
    assert decoder.feed(data[8:-1]) == []
    assert reasons(decoder.feed(data[-1:] + PING)) == ["PingreqPacket"]


def test_property_length_without_an_end_is_known_at_its_fourth_byte() -> None:
    decoder = client(5)
    data = packet(0x30, text("a") + b"\x80" * 9)
    assert decoder.feed(data[:8]) == []
    assert reasons(decoder.feed(data[8:9])) == ["bad-length"]


def test_truncated_once_and_not_for_what_was_refused() -> None:
    decoder = client()
    decoder.feed(packet(0x30, text("a") + b"zz")[:-1])
    assert reasons(decoder.end()) == ["truncated"]
    assert decoder.end() == []
    refused = client()
    assert reasons(refused.feed(packet(0x30, text("#") + b"zz")[:-1])) == ["wildcard-topic"]
    assert refused.end() == []


def alias(topic: str, number: int) -> bytes:
    return packet(0x30, text(topic) + properties(b"\x23" + number.to_bytes(2, "big")))


def test_topic_aliases_resolve() -> None:
    decoder = client(5)
    data = alias("a/b", 1) + alias("c", 64) + alias("", 1) + alias("d", 1) + alias("", 1)
    topics = [p.topic for p in decoder.feed(data + alias("", 64)) if isinstance(p, PublishPacket)]
    assert topics == ["a/b", "c", "a/b", "d", "d", "c"]


def test_text_of_topic_aliases_is_bounded() -> None:
    decoder = client(5)
    long = "x" * 32_768
    assert reasons(decoder.feed(alias(long, 1) + alias(long, 2))) == ["PublishPacket"] * 2
    assert reasons(decoder.feed(alias("y", 3))) == ["topic-alias"]
    assert (
        reasons(decoder.feed(alias("y", 1) + alias("y", 3) + alias("", 2))) == ["PublishPacket"] * 3
    )


def test_alias_set_before_a_start_in_mid_stream_has_no_topic() -> None:
    decoder = Decoder(from_client=True, version=5, expect_connect=False)
    (packet_,) = decoder.feed(alias("", 3))
    assert packet_ == published(None, 0, size=8)


def test_start_in_mid_stream_goes_on_where_a_packet_begins() -> None:
    decoder = Decoder(from_client=True, expect_connect=False)
    assert reasons(decoder.feed(PING + packet(0x30, text("a")) + PING)) == [
        "PingreqPacket",
        "PublishPacket",
        "PingreqPacket",
    ]
    assert reasons(decoder.feed(packet(0x30, text("#")) + PING)) == [
        "wildcard-topic",
        "PingreqPacket",
    ]


NONSENSE = [b'{"temperature": 21.5}', b"12,5", b"\xff\xd8\xff\xe0\x00\x10JFIF", PINGRESP, b"\0\0\0"]


@pytest.mark.parametrize("data", NONSENSE)
@pytest.mark.parametrize("before", [b"", PING, PING + PING])
def test_start_in_mid_stream_gives_up_on_nonsense_without_blame(data: bytes, before: bytes) -> None:
    decoder = Decoder(from_client=True, expect_connect=False)
    decoder.feed(before)
    assert decoder.feed(data) == []
    assert decoder.lost
    assert decoder.end() == []


def test_end_of_an_unproven_stream_blames_nobody() -> None:
    decoder = Decoder(from_client=True, expect_connect=False)
    assert decoder.feed(PING + b"\x30\x10\x00") == [PingreqPacket()]
    assert decoder.end() == []
