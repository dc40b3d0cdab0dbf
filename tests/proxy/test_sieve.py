"""The sieve and the framing, on streams cut anywhere: against the decoder, and against fuzz."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from proxy_tools import packet, publish

from mqtt_ids.decoder import Decoder
from mqtt_ids.packets import PublishPacket
from mqtt_ids.sensors.proxy.sieve import CannotSiftError, Dropped, Framing, Sieve

RESERVED = (b"$ids/", b"home/ids/alerts")

topics = st.one_of(
    st.sampled_from(
        ["$ids/", "$ids/alerts", "$ids", "$idX/", "$", "home/ids/alerts", "home/ids/alert", "a"]
    ),
    st.text(alphabet="$ids/hæ", min_size=1, max_size=20),
)
payloads = st.one_of(st.binary(max_size=30), st.just(b"$ids/" * 60))


@st.composite
def publishes(draw: st.DrawFn, version: int) -> tuple[bytes, str, int, int | None]:
    topic, qos = draw(topics), draw(st.sampled_from((0, 1, 2)))
    number = draw(st.integers(1, 65_535))
    whole = publish(topic, draw(payloads), qos=qos, number=number, version=version)
    return whole, topic, qos, number if qos else None


others = st.sampled_from(
    [b"\xc0\0", packet(0x40, b"\0\1"), packet(0x82, b"\0\1" + b"\0\5$ids/" + b"\0")]
)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(edges) if a < b]


def is_reserved(topic: str) -> bool:
    return topic.encode().startswith(RESERVED)


@pytest.mark.parametrize("version", [4, 5])
@given(data=st.data())
def test_exactly_the_reserved_packets_are_taken_out(version: int, data: st.DataObject) -> None:
    said = data.draw(st.lists(st.one_of(publishes(version), others), max_size=12))
    wanted, dropped, stream = b"", [], b""
    for each in said:
        whole = each if isinstance(each, bytes) else each[0]
        stream += whole
        if isinstance(each, bytes) or not is_reserved(each[1]):
            wanted += whole
        else:
            dropped.append(Dropped(each[2], each[3]))
    sieve = Sieve(RESERVED, version)
    passed, taken = b"", []
    for piece in cut(stream, data.draw(st.lists(st.integers(0, 10_000), max_size=20))):
        some, out = sieve.feed(piece)
        passed += some
        taken += out
        assert wanted.startswith(passed)
        assert sieve.held < 100
    assert (passed, taken) == (wanted, dropped)
    assert sieve.held == 0


@given(stream=st.binary(max_size=400), places=st.lists(st.integers(0, 400), max_size=10))
def test_whatever_comes_nothing_passes_on_a_reserved_topic(
    stream: bytes, places: list[int]
) -> None:
    sieve, framing, passed = Sieve((b"$",), 4), Framing(), b""
    try:
        for piece in cut(stream, places):
            framing.feed(piece)
            passed += sieve.feed(piece)[0]
    except CannotSiftError:
        pass
    decoder = Decoder(from_client=True, expect_connect=False)
    found = [each for each in decoder.feed(passed) if isinstance(each, PublishPacket)]
    assert not any((each.topic or "").startswith("$") for each in found)
    assert len(passed) <= len(stream)


@given(stream=st.binary(max_size=400), places=st.lists(st.integers(0, 400), max_size=10))
def test_framing_is_the_same_however_it_is_cut(stream: bytes, places: list[int]) -> None:
    whole, pieces = Framing(), Framing()
    whole.feed(stream)
    for piece in cut(stream, places):
        pieces.feed(piece)
    assert (whole.between_packets, whole.lost) == (pieces.between_packets, pieces.lost)


@given(
    packets=st.lists(st.one_of(publishes(4).map(lambda each: each[0]), others), max_size=8),
    places=st.lists(st.integers(0, 4000), max_size=10),
)
def test_framing_ends_where_a_packet_ends(packets: list[bytes], places: list[int]) -> None:
    stream, ends, at = b"".join(packets), {0}, 0
    for each in packets:
        ends.add(len(each) + max(ends))
    framing = Framing()
    for piece in cut(stream, places):
        framing.feed(piece)
        at += len(piece)
        assert framing.between_packets == (at in ends)


def test_an_alias_of_what_was_dropped_is_dropped_until_it_means_something_else() -> None:
    sieve = Sieve(RESERVED, 5)
    keep = publish("a", version=5, alias=1)
    again = publish("", version=5, alias=1)
    stolen = publish("$ids/a", version=5, alias=1)
    assert sieve.feed(keep + again + stolen + again)[0] == keep + again
    assert sieve.feed(again)[0] == b""
    assert sieve.feed(keep + again)[0] == keep + again


def test_a_reserved_packet_that_cannot_be_read_is_told() -> None:
    sieve = Sieve(RESERVED, 5)
    with pytest.raises(CannotSiftError):
        sieve.feed(packet(0x32, b"\0\6$ids/a"))


def test_a_length_that_no_packet_has_ends_the_sifting() -> None:
    sieve = Sieve(RESERVED, 4)
    bad = b"\x30\xff\xff\xff\xff\xff"
    assert sieve.feed(bad[:4])[0] == b""
    assert sieve.feed(bad[4:])[0] == bad
    assert sieve.lost
    assert sieve.feed(publish("$ids/a"))[0] == publish("$ids/a")
