"""The fast way through usual publishes says the same as the thorough one."""

import itertools
from typing import Any, TypeVar
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mqtt_ids.decoder import Decoder
from mqtt_ids.packets import Packet, PublishPacket
from mqtt_ids.plain_publishes import plain_publishes

VERSIONS = (3, 4, 5)
T = TypeVar("T")


def publish(
    first: int, topic: bytes, number: int | None, properties: bytes, payload: bytes
) -> bytes:
    """A PUBLISH whose fields need not go with its first byte."""
    body = len(topic).to_bytes(2, "big") + topic
    body += b"" if number is None else number.to_bytes(2, "big")
    body += properties + payload
    low, high = len(body) & 0x7F, len(body) >> 7
    return bytes((first, low | 0x80, high) if high else (first, low)) + body


def mostly(usual: st.SearchStrategy[T], other: st.SearchStrategy[T]) -> st.SearchStrategy[T]:
    """One flaw shows only in a packet that has no other."""
    return st.integers(0, 4).flatmap(lambda dice: other if dice == 0 else usual)


topics = mostly(
    st.sampled_from((b"a", b"a/b", b"home/room", b"\x01\x7f")),
    st.one_of(
        st.sampled_from(
            (b"", b"#", b"a/+", b"\0", b"a\0", b"a\xff", b"\xed\xa0\x80", "ö".encode())
        ),
        st.binary(max_size=6),
    ),
)
# Said in more bytes than needed, an alias, an alias of 0, cut off, or what another version says.
odd_properties = st.sampled_from(
    (b"", b"\0", b"\x80\0", b"\3\x23\0\1", b"\3\x23\0\0", b"\2\1\1", b"\x7f", b"\xff" * 4)
)
odd_pieces = st.one_of(
    st.sampled_from((b"\xc0\0", b"\xd0\0", b"\xe0\0", b"\x30\2\0\0", b"\x30\0", b"\x30\1\0")),
    st.binary(max_size=6),
)


@st.composite
def streams(draw: st.DrawFn, version: int) -> bytes:
    """Packets, some of them again and with other payloads, and what stands between them."""
    none = b"\0" if version == 5 else b""
    out = []
    for _ in range(draw(st.integers(0, 6))):
        first = draw(mostly(st.sampled_from((0x30, 0x31, 0x32, 0x33)), st.integers(0x34, 0x3F)))
        number = draw(mostly(st.sampled_from((1, 7, 0xFFFF)), st.just(0))) if first & 6 else None
        topic = draw(topics)
        properties = draw(mostly(st.just(none), odd_properties))
        size = draw(mostly(st.integers(0, 9), st.integers(100, 140)))
        for _ in range(draw(st.integers(1, 3))):
            payload = draw(st.binary(min_size=size, max_size=size))
            out.append(publish(first, topic, number, properties, payload))
        out.append(draw(mostly(st.just(b""), odd_pieces)))
    return b"".join(out)


usual = publish(0x30, b"a/b", None, b"", b"21.5")


def said(decoder: Decoder, chunks: list[bytes]) -> list[list[Packet]]:
    return [decoder.feed(chunk) for chunk in chunks]


def state(decoder: Decoder) -> tuple[object, ...]:
    """All that later bytes may be read by."""
    values = {name: getattr(decoder, name) for name in Decoder.__slots__}
    aliases = values.pop("_aliases")
    return (
        *sorted((name, repr(value)) for name, value in values.items()),
        repr(aliases and aliases._topics),
    )


def same(chunks: list[bytes], **options: Any) -> None:  # noqa: ANN401 - as Decoder takes
    quick, thorough = Decoder(**options), Decoder(**options)
    with patch("mqtt_ids.decoder.plain_publishes", lambda _data, at, _version, _out: at):
        wanted = said(thorough, chunks)
    assert said(quick, chunks) == wanted
    assert state(quick) == state(thorough)
    assert quick.end() == thorough.end()


@given(
    spoken=st.sampled_from(VERSIONS).flatmap(lambda each: st.tuples(st.just(each), streams(each))),
    cuts=st.lists(st.integers(0, 400), max_size=4),
    from_client=st.booleans(),
    in_the_middle=st.booleans(),
    max_packet=st.sampled_from((4, 127, 128, 135, 268_435_455)),
)
@example(spoken=(4, usual * 6), cuts=[3], from_client=True, in_the_middle=True, max_packet=127)
@example(spoken=(5, usual * 6), cuts=[50], from_client=False, in_the_middle=True, max_packet=128)
def test_both_ways_say_the_same(
    spoken: tuple[int, bytes],
    cuts: list[int],
    from_client: bool,  # noqa: FBT001 - given by name
    in_the_middle: bool,  # noqa: FBT001
    max_packet: int,
) -> None:
    version, stream = spoken
    ends = sorted({min(cut, len(stream)) for cut in (0, *cuts, len(stream))})
    chunks = [stream[a:b] for a, b in itertools.pairwise(ends)]
    if from_client and not in_the_middle:
        name = b"\0\6MQIsdp" if version == 3 else b"\0\4MQTT"
        body = name + bytes((version, 2, 0, 0)) + b"\0" * (version == 5) + b"\0\1c"
        chunks.insert(0, bytes((0x10, len(body))) + body)
    same(
        chunks,
        version=version,
        from_client=from_client,
        max_packet=max_packet,
        expect_connect=not in_the_middle,
    )


# Each with one thing that the fast way must leave to the thorough one, or tell apart.
SINGLE = (
    publish(0x30, b"", None, b"", b"x"),
    publish(0x30, b"a/+", None, b"", b"x"),
    publish(0x30, b"a/#", None, b"", b"x"),
    publish(0x30, b"a\0", None, b"", b"x"),
    publish(0x30, b"a\xff", None, b"", b"x"),
    publish(0x38, b"a/b", None, b"", b"x"),
    publish(0x34, b"a/b", 1, b"", b"x"),
    publish(0x36, b"a/b", 1, b"", b"x"),
    publish(0x32, b"a/b", 0, b"", b"x"),
    publish(0x32, b"a/b", 9, b"", b"21.5"),
    publish(0x31, b"a/b", None, b"", b"21.5"),
    publish(0x30, b"a/b", None, b"", b"x" * 122),
    publish(0x30, b"a/b", None, b"", b"x" * 123),
    publish(0x30, b"a/b", None, b"\3\x23\0\1", b"5"),
    publish(0x30, b"a/b", None, b"\x80\0", b"5"),
    b"\x30\5\0\4abc",  # a topic longer than its packet
    b"\x32\6\0\3abc\1",  # half of an identifier
    b"\x30\3\0\1a",
    b"\x30\x85\0\1" + b"a" * 140,  # a length in more bytes than needed
    b"\xc0\0",
)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("one", SINGLE)
def test_one_among_usual_ones(one: bytes, version: int) -> None:
    before = publish(0x30, b"a/b", None, b"\0" * (version == 5), b"21.5")
    for stream in (before + one, before + before + one + before, one + one + before):
        for cut in range(len(before) - 1, len(stream) + 1):
            same([stream[:cut], stream[cut:]], version=version, from_client=False)


@pytest.mark.parametrize("version", VERSIONS)
def test_it_is_taken(version: int) -> None:
    out: list[Packet] = []
    none = b"\0" if version == 5 else b""
    stream = b"".join(
        (
            publish(0x30, b"a/b", None, none, b"1"),
            publish(0x30, b"a/b", None, none, b"2"),
            publish(0x33, b"a/b", 7, none, b"22"),
            publish(0x33, b"a/c", 8, none, b""),
            b"\xc0\0",
        )
    )
    assert plain_publishes(stream, 0, version, out) == len(stream) - 2
    found = [each for each in out if isinstance(each, PublishPacket)]
    assert [(each.topic, each.payload_size, each.retain, each.packet_id) for each in found] == [
        ("a/b", 1, False, None),
        ("a/b", 1, False, None),
        ("a/b", 2, True, 7),
        ("a/c", 0, True, 8),
    ]
