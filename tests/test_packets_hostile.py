"""Streams that mean harm: never an exception, never more held than the bound, never slow."""

import itertools
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mqtt_ids.decoder import MAX_HEADER, Decoder
from mqtt_ids.packet_headers import MAX_BODY
from mqtt_ids.packets import MalformedPacket, Packet, PublishPacket

MAX_CONNECT = 1000
BOUND = max(MAX_CONNECT, MAX_BODY) + MAX_HEADER

CONNECT = {
    3: b"\x10\x0f\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x01c",
    4: b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c",
    5: b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x01c",
}
# Pieces of real packets, so that chance gets past the headers.
PIECES = [
    *CONNECT.values(),
    b"\x30\x05\x00\x01ahi",
    b"\x32\x08\x00\x01a\x00\x01\x00hi",
    b"\x30\x0a\x00\x01a\x05\x23\x00\x01\x01\x00",
    b"\x30\x06\x00\x00\x03\x23\x00\x01",
    b"\x82\x06\x00\x01\x00\x01a\x00",
    b"\x82\x08\x00\x01\x00\x00\x02a#\x01",
    b"\xa2\x05\x00\x01\x00\x01a",
    b"\x40\x02\x00\x01",
    b"\x62\x03\x00\x01\x92",
    b"\x90\x03\x00\x01\x80",
    b"\x20\x02\x00\x00",
    b"\x20\x08\x00\x00\x05\x12\x00\x02me",
    b"\xc0\x00",
    b"\xd0\x00",
    b"\xe0\x00",
    b"\xf0\x01\x18",
    b"\x30\xff\x7f\x00\x01a",
    b"\x82\xff\xff\x07",
    b"\xff\xff\xff\xff",
    b"GET / HTTP/1.1\r\n\r\n",
]
pieces = st.lists(st.sampled_from(PIECES) | st.binary(max_size=12), max_size=30).map(b"".join)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Real packets strung together with some bytes changed, or plain random bytes."""
    data = bytearray(draw(pieces | st.binary(max_size=400)))
    changes = st.tuples(st.integers(0, max(0, len(data) - 1)), st.integers(0, 255))
    for at, value in draw(st.lists(changes, max_size=6)) if data else []:
        data[at] = value
    return bytes(data)


@st.composite
def decoders(draw: st.DrawFn) -> tuple[Decoder, Decoder]:
    """Two decoders in the same state, of any kind."""
    from_client, start = draw(st.booleans()), draw(st.booleans())
    version, large = draw(st.sampled_from([3, 4, 5])), draw(st.sampled_from([20, 268_435_455]))
    first, second = (
        Decoder(
            from_client=from_client,
            version=version,
            max_packet=large,
            max_connect=MAX_CONNECT,
            expect_connect=start,
        )
        for _ in range(2)
    )
    if from_client and draw(st.booleans()):
        assert first.feed(CONNECT[version]) == second.feed(CONNECT[version])
    return first, second


@settings(max_examples=1000)
@given(decoders(), streams(), st.lists(st.integers(0, 400), max_size=20))
def test_any_bytes_in_any_slicing(
    pair: tuple[Decoder, Decoder], data: bytes, at: list[int]
) -> None:
    whole, sliced = pair
    expected = whole.feed(data)
    places = [0, *sorted(min(place, len(data)) for place in at), len(data)]
    packets: list[Packet] = []
    for start, stop in itertools.pairwise(places):
        packets += sliced.feed(memoryview(data)[start:stop])
        assert sliced.buffered <= min(stop, BOUND)
    assert packets == expected
    assert (sliced.lost, sliced.version, sliced.buffered) == (
        whole.lost,
        whole.version,
        whole.buffered,
    )
    assert sliced.end() == whole.end()
    assert sliced.lost
    assert sliced.feed(data) == []
    assert sliced.buffered == 0


@settings(max_examples=300)
@given(streams(), st.sampled_from([3, 4, 5]))
def test_details_quote_nothing_of_what_was_sent(data: bytes, version: int) -> None:
    of_client, of_server = Decoder(from_client=True), Decoder(from_client=False, version=version)
    for packet in of_client.feed(CONNECT[version] + data) + of_server.feed(data):
        if isinstance(packet, MalformedPacket):
            assert packet.detail.isascii()
            assert packet.detail.isprintable()
            assert len(packet.detail) < 80


def length_of(size: int) -> bytes:
    return bytes([size & 127 | 128, size >> 7 & 127 | 128, size >> 14 & 127 | 128, size >> 21])


def after_connect(version: int, max_connect: int = 400_000) -> Decoder:
    decoder = Decoder(from_client=True, max_connect=max_connect)
    decoder.feed(CONNECT[version])
    return decoder


LONG_TOPIC = b"\xff\xff" + b"t" * 65_535
USER_PROPERTIES = b"\x26\x00\x00\x00\x00" * 13_000  # 65,000 bytes: their length is e8 fb 03
LARGEST = {
    "CONNECT": (None, 0x10, bytes(400_000)),
    "SUBSCRIBE": (4, 0x82, b"\x00\x01" + bytes(MAX_BODY - 2)),
    "filters": (4, 0x82, b"\x00\x01" + b"\x00\x01a\x00" * 30_000),
    "topic": (4, 0x30, LONG_TOPIC),
    "properties": (5, 0x32, LONG_TOPIC + b"\x00\x01" + b"\xe8\xfb\x03" + USER_PROPERTIES + b"!"),
}


class Counting(Decoder):
    """Counts how often held bytes are read again from their start."""

    reads = 0

    def _decode(self, data: bytes, out: list[Packet]) -> None:
        self.reads += 1
        super()._decode(data, out)


@pytest.mark.parametrize(("version", "first", "body"), LARGEST.values(), ids=LARGEST)
def test_largest_packets_byte_by_byte(version: int | None, first: int, body: bytes) -> None:
    data = bytes([first]) + length_of(len(body)) + body
    decoder = Counting(from_client=True)
    if version is not None:
        decoder.feed(CONNECT[version])
    decoder.reads = 0
    bound = (400_000 if version is None else MAX_BODY) + MAX_HEADER
    packets: list[Packet] = []
    most = 0
    for at in range(len(data)):
        packets += decoder.feed(data[at : at + 1])
        most = max(most, decoder.buffered)
    assert len(packets) == 1
    assert 60_000 < most <= bound
    # Each reading copies what is held: with a fixed number of them the time stays linear.
    assert decoder.reads < 16


@pytest.mark.parametrize("version", [4, 5])
def test_payload_of_256_megabytes_takes_no_memory(version: int) -> None:
    size = 268_435_455
    head = b"\x00\x01a" + (b"\x00" if version == 5 else b"")
    chunk = bytes(1 << 20)
    decoder = after_connect(version)
    tracemalloc.start()
    try:
        assert decoder.feed(b"\x30\xff\xff\xff\x7f" + head) == []
        left = size - len(head)
        while left > len(chunk):
            assert decoder.feed(chunk) == []
            assert decoder.buffered == 0
            left -= len(chunk)
        assert decoder.feed(chunk[: left - 1]) == []
        (packet,) = decoder.feed(b"\x00")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert packet == PublishPacket(
        topic="a",
        payload_size=size - len(head),
        qos=0,
        retain=False,
        dup=False,
        packet_id=None,
        size=size + 5,
    )
    assert peak < 2 << 20  # the last slice of the chunk is the test's own


REFUSED = {
    "SUBSCRIBE": b"\x82" + length_of(200_000),
    "PINGREQ": b"\xc0" + length_of(200_000),
    "reserved": b"\x00" + length_of(200_000),
    "wrong direction": b"\xd0" + length_of(100_000),
    "second CONNECT": b"\x10" + length_of(100_000),
    "properties": b"\x30" + length_of(200_000) + LONG_TOPIC + b"\x80\x80\x04",
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
def test_nothing_is_held_of_a_packet_that_is_refused(data: bytes) -> None:
    decoder = after_connect(5)
    assert [type(packet) for packet in decoder.feed(data)] == [MalformedPacket]
    assert decoder.feed(bytes(5000)) == []
    assert decoder.buffered == 0
    assert not decoder.lost
