"""The fast way through usual publishes says the same as the thorough one."""

from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st
from proxy_tools import packet, publish

from mqtt_ids.decoder import Decoder
from mqtt_ids.plain_publishes import plain_publishes

topics = st.one_of(st.text(max_size=12), st.sampled_from(["a", "a/b", "", "a/#", "+", "ö", "\0"]))
packets = st.builds(
    lambda topic, payload, qos, number, retain: bytes(
        (0x30 | qos << 1 | retain, *publish(topic, payload, qos=qos, number=number)[1:])
    ),
    topics,
    st.one_of(st.binary(max_size=30), st.binary(min_size=120, max_size=140)),
    st.sampled_from((0, 0, 1, 1, 2, 3)),
    st.integers(0, 3),
    st.sampled_from((0, 1, 8)),
)
streams = st.lists(st.one_of(packets, st.just(b"\xc0\0"), st.binary(max_size=6)), max_size=10)


@given(pieces=streams)
def test_both_ways_say_the_same(pieces: list[bytes]) -> None:
    stream = b"".join(pieces)
    quick, thorough = (Decoder(from_client=True, expect_connect=True) for _ in range(2))
    for each in (quick, thorough):
        each.feed(packet(0x10, b"\0\4MQTT\4\2\0\0\0\1c"))
    with patch("mqtt_ids.decoder.plain_publishes", lambda _data, at, _out: at):
        wanted = thorough.feed(stream)
    assert (quick.feed(stream), quick.held) == (wanted, thorough.held)


def test_it_is_taken() -> None:
    out = []  # type: ignore[var-annotated]
    stream = publish("a/b", b"1") + publish("a/b", b"22", qos=1, number=7) + b"\xc0\0"
    assert plain_publishes(stream, 0, out) == len(stream) - 2
    assert [(each.topic, each.payload_size, each.packet_id) for each in out] == [
        ("a/b", 1, None),
        ("a/b", 2, 7),
    ]
