"""Bytes that the decoder did not see: what is still known, and what is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_ids.decoder import Decoder
from mqtt_ids.packets import Packet, PublishPacket

PING = b"\xc0\x00"


def text(content: str) -> bytes:
    return len(content).to_bytes(2, "big") + content.encode()


def packet(first: int, body: bytes) -> bytes:
    more, low = divmod(len(body), 128)
    return bytes((first, low | 128, more) if more else (first, low)) + body


def client() -> Decoder:
    """The decoder of a client's stream, after its CONNECT."""
    decoder = Decoder(from_client=True)
    assert reasons(decoder.feed(packet(0x10, text("MQTT") + b"\4\2\0\0" + text("c")))) == [
        "ConnectPacket"
    ]
    return decoder


def reasons(packets: list[Packet]) -> list[str]:
    """The reason of each malformed packet, and the type of each good one."""
    return [getattr(one, "reason", "") or type(one).__name__ for one in packets]


LARGE = packet(0x30, text("t") + bytes(200))  # 3 bytes of header, 3 of topic, 200 of payload
HEAD = len(LARGE) - 200


@given(st.integers(0, 200), st.integers(0, 200))
def test_a_hole_in_a_payload_hides_nothing(start: int, stop: int) -> None:
    start, stop = sorted((start, stop))
    decoder = client()
    seen = decoder.feed(LARGE[: HEAD + start])
    seen += decoder.missed(stop - start)
    seen += decoder.feed(LARGE[HEAD + stop :] + PING)
    assert reasons(seen) == ["PublishPacket", "PingreqPacket"]
    assert isinstance(seen[0], PublishPacket)
    assert seen[0].payload_size == 200
    assert not decoder.lost


def test_a_publish_is_given_out_where_its_payload_ends() -> None:
    decoder = client()
    decoder.feed(LARGE[:-100])
    assert decoder.missed(99) == []
    assert reasons(decoder.missed(1)) == ["PublishPacket"]
    assert decoder.between_packets


def test_a_hole_beyond_the_payload_tells_of_the_publish_and_loses_the_boundary() -> None:
    decoder = client()
    decoder.feed(LARGE[:-100])
    assert reasons(decoder.missed(101)) == ["PublishPacket"]
    assert decoder.lost
    assert decoder.feed(PING) == []
    assert decoder.end() == []


def test_a_hole_in_a_refused_packet_is_counted_too() -> None:
    decoder = client()
    refused = packet(0x36, text("t") + bytes(200))
    assert reasons(decoder.feed(refused[:50])) == ["bad-qos"]
    assert decoder.missed(100) == []
    assert reasons(decoder.feed(refused[150:] + PING)) == ["PingreqPacket"]


@pytest.mark.parametrize("before", [b"", PING, LARGE[:1], LARGE[: HEAD - 1], b"\x82\x10\x00"])
def test_a_hole_anywhere_else_loses_the_boundary(before: bytes) -> None:
    decoder = client()
    decoder.feed(before)
    assert decoder.missed(1) == []
    assert decoder.lost
    assert (decoder.held, decoder.buffered) == (0, 0)


def test_a_hole_of_nothing_is_none() -> None:
    decoder = client()
    decoder.feed(LARGE[:2])
    assert decoder.missed(0) == []
    assert reasons(decoder.feed(LARGE[2:])) == ["PublishPacket"]


def test_a_hole_as_large_as_the_largest_packet_takes_no_memory() -> None:
    decoder = client()
    decoder.feed(b"\x30\xff\xff\xff\x7f" + text("t"))
    assert decoder.missed(268_435_000) == []
    assert reasons(decoder.feed(bytes(452))) == ["PublishPacket"]


def test_what_is_held_is_told() -> None:
    decoder = Decoder(from_client=True)
    assert decoder.held == 0
    decoder.feed(packet(0x10, text("MQTT") + b"\5\2\0\0\0" + text("c")))
    decoder.feed(packet(0x30, text("topic") + b"\3\x23\0\1"))
    assert decoder.held == len("topic")
    decoder.feed(packet(0x30, text("a/b") + b"\0" + bytes(50))[:-1])
    assert decoder.held == len("topic") + len("a/b")
    decoder.feed(b"\0" + PING[:1])
    assert decoder.held == len("topic") + 1
    assert not decoder.between_packets
