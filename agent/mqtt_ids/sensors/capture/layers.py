"""A frame's TCP segment: link layer, IPv4 or IPv6, TCP.

No object is made of the layers between, and no bytes raise: what is not whole is no segment.
"""

import struct
from ipaddress import ip_address
from typing import NamedTuple

from dpkt import ethernet, ip, pcap

from mqtt_ids.names import canonical

# Where the type of what follows stands, and where that begins.
_TYPED = {
    pcap.DLT_EN10MB: (12, 14),
    pcap.DLT_LINUX_SLL: (14, 16),
    pcap.DLT_LINUX_SLL2: (0, 20),
}
_RAW = frozenset({12, 14, 101, 228, 229})  # BSD's DLT_RAWs, LINKTYPE_RAW, IPv4, IPv6
_LOOPBACK = frozenset({0, 108})  # LINKTYPE_NULL and LINKTYPE_LOOP
_FAMILIES = frozenset(  # AF_INET, and AF_INET6 of Linux, Windows and the BSDs, in both byte orders
    struct.pack(order + "I", family) for order in "<>" for family in (2, 10, 23, 24, 28, 30)
)

_IPV4 = struct.pack(">H", ethernet.ETH_TYPE_IP)
_IPV6 = struct.pack(">H", ethernet.ETH_TYPE_IP6)
_TAGS = frozenset({b"\x81\x00", b"\x88\xa8", b"\x91\x00"})  # 802.1Q, 802.1ad, and before 802.1ad

_TCP = ip.IP_PROTO_TCP
_FRAGMENT = ip.IP_PROTO_FRAGMENT
_AUTHENTICATION = ip.IP_PROTO_AH
# Hop-by-hop, routing, destination, mobility, HIP, shim6 (RFC 6564: all of one shape).
_EXTENSIONS = frozenset({0, 43, 60, 135, 139, 140})

# Offset 0 and no more to come, whatever the two bits between: an "atomic" fragment (RFC 6946).
_WHOLE = frozenset({b"\x00\x00", b"\x00\x02", b"\x00\x04", b"\x00\x06"})

_VERSION_6 = 6
_IPV4_SIZES = frozenset(range(20, 61, 4))
_LARGEST = 8 * 65_535  # bytes that Linux sends as one (GSO_MAX_SIZE)
_SHORTEST_TCP = 20  # bytes
_TCP_SEEN = 14  # bytes of it that we read
_ACK = 0x10

_v4 = struct.Struct(">BxHxxHxBxx4s4s").unpack_from
_v6 = struct.Struct(">4xHBx16s16s").unpack_from
_tcp = struct.Struct(">HHIIBB").unpack_from
_new = tuple.__new__  # half the time that Segment(...) takes


class Segment(NamedTuple):
    """One TCP segment. `flags` is the header's byte of that name (FIN 1, SYN 2, RST 4, ACK 16)."""

    src: bytes  # address, 4 or 16 bytes
    sport: int
    dst: bytes
    dport: int
    seq: int
    ack: int | None  # None without the flag
    flags: int
    data: bytes  # payload, as far as it was captured
    missing: int  # bytes of payload on the wire behind `data`, cut off by the snapshot length


def is_known(link: int) -> bool:
    """Whether frames of this link type can be read at all."""
    return link in _TYPED or link in _RAW or link in _LOOPBACK


def address(packed: bytes) -> str:
    """An address of 4 or 16 bytes as it is compared: IPv4 within IPv6 as IPv4."""
    return canonical(str(ip_address(packed)))


def segment(link: int, data: bytes, wire: int) -> Segment | None:
    """The TCP segment in a frame of `wire` bytes, of which `data` was captured.

    None where there is none to be had: another protocol, a fragment, an unknown link type, or
    headers that are cut off or contradict each other. A datagram that claims more than the wire
    carried is among these, since its receiver drops it as well; no checksum is looked at, for
    network cards fill them in behind a capture's back.
    """
    typed = _TYPED.get(link)
    if typed is not None:
        where, at = typed
        kind = data[where : where + 2]
        while kind in _TAGS:
            kind = data[at + 2 : at + 4]
            at += 4
        if kind == _IPV4:
            return _ipv4(data, at, wire)
        return _ipv6(data, at, wire) if kind == _IPV6 else None
    at = 0
    if link in _LOOPBACK and data[:4] in _FAMILIES:
        at = 4
    elif link not in _RAW:
        return None
    if data[at : at + 1] < b"\x60":  # the upper half is the version; each checks its own
        return _ipv4(data, at, wire)
    return _ipv6(data, at, wire)


def _ipv4(data: bytes, at: int, wire: int) -> Segment | None:
    """RFC 791."""
    if len(data) < at + 20:
        return None
    head, total, fragment, protocol, src, dst = _v4(data, at)
    size = (head - 0x40) * 4  # version 4, and 0 to 15 words
    if size not in _IPV4_SIZES or protocol != _TCP or fragment & 0x3FFF:
        return None
    return _segment(data, src, dst, at + size, at + total if total else _unsaid(at, wire), wire)


def _ipv6(data: bytes, at: int, wire: int) -> Segment | None:
    """RFC 8200, its extension headers skipped."""
    if len(data) < at + 40 or data[at] >> 4 != _VERSION_6:
        return None
    total, protocol, src, dst = _v6(data, at)
    start = at + 40
    end = start + total if total else _unsaid(start, wire)
    while protocol != _TCP:
        if start + 8 > len(data):
            return None
        if protocol in _EXTENSIONS:
            size = (data[start + 1] + 1) * 8
        elif protocol == _AUTHENTICATION:
            size = (data[start + 1] + 2) * 4
        elif protocol == _FRAGMENT and data[start + 2 : start + 4] in _WHOLE:
            size = 8
        else:
            return None
        protocol = data[start]
        start += size
    return _segment(data, src, dst, start, end, wire)


def _unsaid(at: int, wire: int) -> int:
    """The end of a datagram of length 0: what a card is handed to cut into segments."""
    return min(wire, at + _LARGEST)


def _segment(data: bytes, src: bytes, dst: bytes, at: int, end: int, wire: int) -> Segment | None:
    """RFC 9293: the segment that begins at `at` and ends, on the wire, at `end`."""
    if len(data) < at + _TCP_SEEN or end > wire:
        return None
    sport, dport, seq, ack, offset, flags = _tcp(data, at)
    size = (offset >> 4) * 4
    start = at + size
    if size < _SHORTEST_TCP or start > end:
        return None
    missing = end - max(start, len(data))
    return _new(
        Segment,
        (
            src,
            sport,
            dst,
            dport,
            seq,
            ack if flags & _ACK else None,
            flags,
            data[start:end],
            max(0, missing),
        ),
    )
