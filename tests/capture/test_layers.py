"""Segments out of frames of each link layer, against dpkt as the encoder."""

import struct

import pytest
from dpkt import dpkt, ethernet, ip, ip6, loopback, sll, sll2, tcp, udp
from hypothesis import given
from hypothesis import strategies as st

from mqtt_ids.sensors.capture.layers import Segment, address, is_known, segment

ETHERNET, SLL, SLL2 = 1, 113, 276
RAW = [12, 14, 101]
LINKS = [ETHERNET, SLL, SLL2, *RAW, 228, 229, 0, 108]
V4 = (b"\xc0\xa8\x00\x05", b"\x0a\x10\x64\x49")
V6 = (bytes.fromhex("fd00") + bytes(13) + b"\x05", bytes.fromhex("fd00") + bytes(13) + b"\x49")

ports = st.integers(0, 65_535)
numbers = st.integers(0, 2**32 - 1)


def transport(data: bytes, options: bytes = b"", **fields: int) -> tcp.TCP:
    made = tcp.TCP(**{"sport": 50_000, "dport": 1883, "seq": 7, "ack": 9, "flags": 0x18, **fields})
    made.opts, made.data = options, data
    made.off = 5 + len(options) // 4
    return made


def v4(inner: dpkt.Packet, options: bytes = b"") -> ip.IP:
    packet = ip.IP(src=V4[0], dst=V4[1], p=ip.IP_PROTO_TCP)
    packet.opts, packet.data = options, inner
    packet.hl = 5 + len(options) // 4
    packet.len = packet.hl * 4 + len(bytes(inner))
    return packet


def v6(inner: dpkt.Packet | bytes, after: int = ip.IP_PROTO_TCP) -> ip6.IP6:
    packet = ip6.IP6(src=V6[0], dst=V6[1], nxt=after, hlim=64)
    packet.extension_hdrs, packet.data = {}, bytes(inner)
    packet.plen = len(bytes(inner))
    return packet


def framed(link: int, packet: ip.IP | ip6.IP6) -> bytes:
    """The packet in a frame of a link type, by dpkt."""
    six = isinstance(packet, ip6.IP6)
    kind = ethernet.ETH_TYPE_IP6 if six else ethernet.ETH_TYPE_IP
    if link == ETHERNET:
        return bytes(ethernet.Ethernet(type=kind, data=bytes(packet)))
    if link == SLL:
        return bytes(sll.SLL(ethtype=kind, data=bytes(packet)))
    if link == SLL2:
        return bytes(sll2.SLL2(ethtype=kind, data=bytes(packet)))
    if link in (0, 108):
        return bytes(loopback.Loopback(family=30 if six else 2, data=bytes(packet)))
    return bytes(packet)


def seen(link: int, frame: bytes) -> Segment | None:
    """The segment of a frame that was captured whole."""
    return segment(link, frame, len(frame))


EXPECTED = Segment(V4[0], 50_000, V4[1], 1883, 7, 9, 0x18, b"hello", 0)
EXPECTED6 = EXPECTED._replace(src=V6[0], dst=V6[1])
HELLO = transport(b"hello")


headers = st.fixed_dictionaries(
    {"sport": ports, "dport": ports, "seq": numbers, "ack": numbers, "flags": st.integers(0, 255)}
)
words = st.integers(0, 10)  # of options


@pytest.mark.parametrize("link", LINKS)
@given(headers, words, words, st.binary(max_size=100))
def test_each_link_layer(
    link: int, header: dict[str, int], tcp_words: int, ip_words: int, data: bytes
) -> None:
    inner = transport(data, b"\x01" * 4 * tcp_words, **header)
    told = header["ack"] if header["flags"] & tcp.TH_ACK else None
    rest = (header["dport"], header["seq"], told, header["flags"], data, 0)
    packet = framed(link, v4(inner, b"\x01" * 4 * ip_words))
    assert seen(link, packet) == (V4[0], header["sport"], V4[1], *rest)
    assert seen(link, framed(link, v6(inner))) == (V6[0], header["sport"], V6[1], *rest)


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize(("packet", "head"), [(v4(HELLO, bytes(8)), 28), (v6(HELLO), 40)])
def test_cut_by_every_snapshot_length(link: int, packet: ip.IP | ip6.IP6, head: int) -> None:
    """As long as the TCP header's flags are there, what is missing of the payload is known."""
    frame = framed(link, packet)
    head += len(frame) - len(bytes(packet))
    for length in range(len(frame)):
        cut = segment(link, frame[:length], len(frame))
        assert (cut is not None) == (length >= head + 14)
        if cut is not None:
            assert cut.data == b"hello"[: max(0, length - head - 20)]
            assert len(cut.data) + cut.missing == 5


@given(st.sampled_from([*LINKS, 105, 147]), st.binary(max_size=150), st.integers(0, 2**32))
def test_any_bytes(link: int, data: bytes, more: int) -> None:
    check(link, data, len(data) + more)


@given(
    st.sampled_from(LINKS),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 93), st.integers(0, 255)), max_size=4),
    st.integers(0, 2**32),
)
def test_any_damage(link: int, six: bool, changes: list[tuple[int, int]], more: int) -> None:  # noqa: FBT001
    data = bytearray(framed(link, v6(HELLO) if six else v4(HELLO)))
    for at, value in changes:
        data[at % len(data)] = value
    check(link, bytes(data), len(data) + more)


def check(link: int, data: bytes, wire: int) -> None:
    """What holds for a frame of any bytes."""
    found = segment(link, data, wire)
    if found is not None:
        assert len(found.src) == len(found.dst)
        assert len(found.src) in (4, 16)
        assert found.data in data
        assert 0 <= found.missing <= 8 * 65_535
        assert found.missing == 0 or len(found.data) + found.missing < wire


@pytest.mark.parametrize("link", [ETHERNET, SLL, SLL2])
@pytest.mark.parametrize(
    "tags", [b"\x81\x00", b"\x88\xa8\x81\x00", b"\x91\x00" * 2, b"\x81\x00" * 9]
)
def test_any_stack_of_vlan_tags(link: int, tags: bytes) -> None:
    for packet, expected in ((v4(HELLO), EXPECTED), (v6(HELLO), EXPECTED6)):
        frame = framed(link, packet)
        where = 12 if link == ETHERNET else 14 if link == SLL else 0
        start = len(frame) - len(bytes(packet))
        types = [tags[at : at + 2] for at in range(0, len(tags), 2)] + [frame[where : where + 2]]
        inner = b"".join(b"\x00\x05" + kind for kind in types[1:])
        frame = frame[:where] + types[0] + frame[where + 2 : start] + inner + frame[start:]
        assert seen(link, frame) == expected
    assert seen(link, frame[: where + 2] + tags * 5_000) is None


def test_a_vlan_tag_as_dpkt_writes_it() -> None:
    frame = ethernet.Ethernet(type=ethernet.ETH_TYPE_8021Q, data=b"")
    tag = struct.pack(">HH", 0x6005, ethernet.ETH_TYPE_IP)
    assert seen(ETHERNET, bytes(frame) + tag + bytes(v4(HELLO))) == EXPECTED


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("link", [0, 108])
def test_loopback_of_each_system(link: int, order: str) -> None:
    """The family has the capturing machine's byte order and, for IPv6, its number."""
    assert seen(link, struct.pack(order + "I", 2) + bytes(v4(HELLO))) == EXPECTED
    for family in (10, 23, 24, 28, 30):
        assert seen(link, struct.pack(order + "I", family) + bytes(v6(HELLO))) == EXPECTED6
    assert seen(link, struct.pack(order + "I", 7) + bytes(v4(HELLO))) is None


def test_padding_is_no_payload() -> None:
    """An Ethernet frame has 60 bytes at least, and may end in a check sequence."""
    for padding in (1, 14, 100):
        for packet, expected in ((v4(HELLO), EXPECTED), (v6(HELLO), EXPECTED6)):
            assert seen(ETHERNET, framed(ETHERNET, packet) + b"p" * padding) == expected
    empty = transport(b"")
    padded = framed(ETHERNET, v4(empty)) + bytes(6)
    assert seen(ETHERNET, padded) == EXPECTED._replace(data=b"")


def test_padding_that_was_cut_off_is_not_missing() -> None:
    frame = framed(ETHERNET, v4(HELLO))
    assert segment(ETHERNET, frame, len(frame) + 6) == EXPECTED


def claiming(packet: ip.IP | ip6.IP6, length: int) -> bytes:
    """The packet on Ethernet with another length in its header: dpkt corrects what it writes."""
    frame = framed(ETHERNET, packet)
    where = 18 if isinstance(packet, ip6.IP6) else 16
    return frame[:where] + struct.pack(">H", length) + frame[where + 2 :]


def test_a_length_of_zero_is_a_large_send() -> None:
    """It ends where the frame does; a wire length beyond any send is not believed."""
    large = bytes(range(256)) * 300
    for packet, expected in ((v4(transport(b"")), EXPECTED), (v6(transport(b"")), EXPECTED6)):
        frame = claiming(packet, 0) + large
        assert seen(ETHERNET, frame) == expected._replace(data=large)
        cut = segment(ETHERNET, frame[:200], len(frame))
        assert cut is not None
        assert len(cut.data) + cut.missing == len(large)
        absurd = segment(ETHERNET, frame, 2**32 - 1)
        assert absurd is not None
        assert len(absurd.data) + absurd.missing < 8 * 65_535


@pytest.mark.parametrize("more", [1, 100, 60_000])
def test_a_datagram_longer_than_the_wire_is_dropped(more: int) -> None:
    """Its receiver drops it too: what it says must not be heard here alone."""
    for frame in (claiming(v4(HELLO), 45 + more), claiming(v6(HELLO), 25 + more)):
        assert seen(ETHERNET, frame) is None
        assert segment(ETHERNET, frame, len(frame) + more - 1) is None
        assert segment(ETHERNET, frame, len(frame) + more) is not None


def test_headers_that_contradict_each_other() -> None:
    frame = framed(ETHERNET, v4(HELLO))
    assert seen(ETHERNET, frame[:14] + b"\x44" + frame[15:]) is None  # a header of 16 bytes
    assert seen(ETHERNET, frame[:14] + b"\x55" + frame[15:]) is None  # version 5
    assert seen(ETHERNET, frame[:12] + b"\x86\xdd" + frame[14:]) is None  # told to be IPv6
    assert seen(ETHERNET, frame[:16] + b"\x00\x18" + frame[18:]) is None  # ends within TCP
    assert seen(ETHERNET, frame[:46] + b"\x40" + frame[47:]) is None  # TCP of 16 bytes
    assert seen(ETHERNET, frame[:46] + b"\xf0" + frame[47:]) is None  # TCP of 60 bytes
    six = framed(ETHERNET, v6(HELLO))
    assert seen(ETHERNET, six[:12] + b"\x08\x00" + six[14:]) is None  # told to be IPv4
    assert seen(ETHERNET, frame[:12] + b"\x08\x06" + frame[14:]) is None  # told to be ARP


@pytest.mark.parametrize("offset", [ip.IP_MF, 1, 100, ip.IP_MF | 5])
def test_fragments_are_none(offset: int) -> None:
    packet = bytes(v4(HELLO))
    assert seen(101, packet[:6] + struct.pack(">H", offset) + packet[8:]) is None
    head = struct.pack(">BxHI", 6, 1 if offset & ip.IP_MF else 8, 1)
    assert seen(101, bytes(v6(head + bytes(HELLO), ip.IP_PROTO_FRAGMENT))) is None


def test_do_not_fragment_is_no_fragment() -> None:
    packet = bytes(v4(HELLO))
    assert seen(101, packet[:6] + struct.pack(">H", ip.IP_DF) + packet[8:]) == EXPECTED


@pytest.mark.parametrize(
    "chain",
    [
        [(0, b"\x00" + bytes(6))],
        [(43, b"\x02" + bytes(22))],
        [(60, b"\x00" + bytes(6)), (44, bytes(7))],
        [(51, b"\x04" + bytes(22))],
        [(0, b"\x01" + bytes(14)), (60, b"\x00" + bytes(6)), (135, b"\x00" + bytes(6))],
    ],
)
def test_extension_headers_are_skipped(chain: list[tuple[int, bytes]]) -> None:
    """Each has its length in units of its own; a fragment header of a whole datagram counts."""
    following = [kind for kind, _ in chain[1:]] + [ip.IP_PROTO_TCP]
    heads = b"".join(
        bytes([after]) + rest for after, (_, rest) in zip(following, chain, strict=True)
    )
    packet = bytes(v6(heads + bytes(HELLO), chain[0][0]))
    assert seen(101, packet) == EXPECTED6
    for length in range(40 + len(heads) + 14):
        assert segment(101, packet[:length], len(packet)) is None


def test_extension_headers_as_dpkt_writes_them() -> None:
    packet = v6(HELLO, ip.IP_PROTO_HOPOPTS)
    options = ip6.IP6HopOptsHeader(nxt=ip.IP_PROTO_TCP, len=0)
    whole = bytes(options)[:2] + b"\x01\x04\x00\x00\x00\x00" + bytes(HELLO)
    packet.data, packet.plen = whole, len(whole)
    assert seen(101, bytes(packet)) == EXPECTED6


def test_other_protocols_are_none() -> None:
    datagram = udp.UDP(sport=1883, dport=1883, data=b"hello", ulen=13)
    packet = v4(datagram)
    packet.p = ip.IP_PROTO_UDP
    assert seen(101, bytes(packet)) is None
    assert seen(101, bytes(v6(datagram, ip.IP_PROTO_UDP))) is None
    assert seen(101, bytes(v6(HELLO, ip.IP_PROTO_ESP))) is None
    assert seen(101, bytes(v6(HELLO, ip.IP_PROTO_NONE))) is None


def test_which_link_types_are_known() -> None:
    assert [link for link in range(300) if is_known(link)] == sorted(LINKS)
    for link in set(range(300)) - set(LINKS):
        assert seen(link, bytes(v4(HELLO))) is None


@pytest.mark.parametrize(
    ("packed", "text"),
    [
        (V4[0], "192.168.0.5"),
        (V6[0], "fd00::5"),
        (bytes(15) + b"\x01", "::1"),
        (bytes(10) + b"\xff\xff" + V4[0], "192.168.0.5"),
    ],
)
def test_addresses_have_one_spelling(packed: bytes, text: str) -> None:
    assert address(packed) == text
