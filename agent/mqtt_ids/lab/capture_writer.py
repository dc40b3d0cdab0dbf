"""Writes captures: events as frames of any link layer, and frames as pcap or pcapng files.

dpkt builds headers and checksums. A capture made here is real in form and free of anyone's data.
"""

import struct
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from typing import BinaryIO, Final, Literal

import dpkt

from mqtt_ids.events import AnyEvent, Closed, Opened
from mqtt_ids.lab.speech import Speech
from mqtt_ids.lab.talks import SYN, Endpoint, Piece, Talk, ports

Frame = tuple[float, int, int, bytes]  # s since the epoch, link type, bytes on the wire, captured
ByteOrder = Literal["<", ">"]

NULL, ETHERNET, RAW, LOOP, COOKED, COOKED_2 = 0, 1, 101, 108, 113, 276
IPV4, IPV6 = 228, 229  # raw IP of one version
RAW_ALIASES: Final = (12, 14)
LINKS: Final = (NULL, ETHERNET, *RAW_ALIASES, RAW, LOOP, COOKED, IPV4, IPV6, COOKED_2)

BROKER: Final = {4: "192.168.1.2", 6: "fd00::2"}  # the broker's address, by IP version
PORT: Final = 1883
MONDAY: Final = 1_700_438_400.0  # 2023-11-20, 00:00 UTC: the lab's second 0

_TCP: Final = 6
_MAX_SEGMENT_OPTION: Final = b"\x02\x04\x05\xb4"
_IP6: Final = 6
_CLIENT_MAC, _BROKER_MAC = b"\x02\0\0\0\0\x10", b"\x02\0\0\0\0\x02"


def frames_of(
    events: Iterable[AnyEvent], *, link: int = ETHERNET, wall: float = MONDAY, port: int = PORT
) -> Iterator[Frame]:
    """The frames in which a capture sensor sees these events. Time 0 of theirs is at `wall`.

    Everything that belongs to one event happens at its time. A connection without `Opened` is
    seen from its middle on; one whose port is in use gets another. What ends stays ended.
    """
    for piece in pieces_of(events, port=port):
        data = encapsulate(piece, link)
        yield wall + piece.time, link, len(data), data


def pieces_of(events: Iterable[AnyEvent], *, port: int = PORT) -> Iterator[Piece]:
    """The TCP segments in which a sensor sees these events."""
    talks: dict[int, tuple[Talk, Speech]] = {}
    used: set[Endpoint] = set()
    for event in events:
        now, found = event.time, talks.get(event.connection)
        if found is None:
            talk, speech = found = talks[event.connection] = _begin(event, used, port)
            used.add(talk.ends["client"])
        else:
            talk, speech = found
        if isinstance(event, Opened):
            yield from talk.open(now)
        elif isinstance(event, Closed):
            if event.by == "ids":
                yield from talk.reset(now, "server")
            else:
                yield from talk.close(now, "client" if event.by == "client" else "server")
            used.discard(talk.ends["client"])
            del talks[event.connection]
        else:
            for side, data in speech.of(event):
                yield from talk.say(now, side, data)


def _begin(event: AnyEvent, used: set[Endpoint], port: int) -> tuple[Talk, Speech]:
    client = next(ports(used, Endpoint(event.address, event.port or 50_000)))
    server = Endpoint(BROKER[ip_address(event.address).version], port)
    first = event.connection * 7_919 % (1 << 32), event.connection * 104_729 % (1 << 32)
    return Talk(client, server, first=first), Speech()


# --- frames ----------------------------------------------------------------------------------


def encapsulate(piece: Piece, link: int = ETHERNET, *, vlans: tuple[int, ...] = ()) -> bytes:
    """The frame around a segment, with right checksums. ValueError for an unknown link type.

    `vlans` are 802.1Q tags, the outermost first; only Ethernet and cooked captures carry them.
    """
    return around(datagram(piece), link, vlans=vlans, to_broker=piece.target.port == PORT)


def datagram(piece: Piece) -> bytes:
    """The IP datagram of a segment."""
    options = _MAX_SEGMENT_OPTION if piece.flags & SYN else b""
    tcp = dpkt.tcp.TCP(
        sport=piece.source.port,
        dport=piece.target.port,
        seq=piece.seq,
        ack=piece.ack,
        off=5 + len(options) // 4,
        flags=piece.flags,
        opts=options,
        data=piece.data,
    )
    source, target = ip_address(piece.source.address), ip_address(piece.target.address)
    if source.version == _IP6:
        ip = dpkt.ip6.IP6(src=source.packed, dst=target.packed, nxt=_TCP, hlim=64, data=tcp)
        ip.plen = len(tcp)
    else:
        ip = dpkt.ip.IP(src=source.packed, dst=target.packed, p=_TCP, df=1, data=tcp)
    return bytes(ip)


def around(
    packet: bytes, link: int, *, vlans: tuple[int, ...] = (), to_broker: bool = True
) -> bytes:
    """The link layer's header before an IP datagram, and the datagram."""
    version = packet[0] >> 4
    kind = dpkt.ethernet.ETH_TYPE_IP6 if version == _IP6 else dpkt.ethernet.ETH_TYPE_IP
    tags = b""
    for tag in reversed(vlans):  # each tag names the type of what follows it
        tags = struct.pack("!HH", tag, kind) + tags
        kind = dpkt.ethernet.ETH_TYPE_8021Q
    if link == ETHERNET:
        macs = _BROKER_MAC + _CLIENT_MAC if to_broker else _CLIENT_MAC + _BROKER_MAC
        return macs + struct.pack("!H", kind) + tags + packet
    if link == COOKED:
        return bytes(dpkt.sll.SLL(ethtype=kind, hdr=_CLIENT_MAC + b"\0\0", data=tags + packet))
    if link == COOKED_2:
        return bytes(dpkt.sll2.SLL2(ethtype=kind, hdr=_CLIENT_MAC + b"\0\0", data=tags + packet))
    if link in {NULL, LOOP}:
        family = 30 if version == _IP6 else 2  # AF_INET6 as macOS has it, AF_INET
        return struct.pack("!I" if link == LOOP else "=I", family) + packet
    if link in LINKS:
        return packet
    raise ValueError(f"link type {link} is not one of {LINKS}")


# --- files -----------------------------------------------------------------------------------


def write_pcap(
    stream: BinaryIO,
    frames: Iterable[Frame],
    *,
    order: ByteOrder = "<",
    nano: bool = False,
    snaplen: int = 262_144,
) -> None:
    """A pcap file. Its link type is the first frame's (Ethernet where there is none)."""
    header, record = (
        (dpkt.pcap.LEFileHdr, dpkt.pcap.LEPktHdr)
        if order == "<"
        else (dpkt.pcap.FileHdr, dpkt.pcap.PktHdr)
    )
    magic = dpkt.pcap.TCPDUMP_MAGIC_NANO if nano else dpkt.pcap.TCPDUMP_MAGIC
    started = False
    unit = 10**9 if nano else 10**6
    pack = record()._pack_hdr  # noqa: SLF001 - a header at a time is ten times slower
    for time, link, wire, data in frames:
        if not started:
            stream.write(bytes(header(magic=magic, snaplen=snaplen, linktype=link)))
            started = True
        ticks = round(time * unit)
        stream.write(pack(ticks // unit, ticks % unit, len(data), wire) + data)
    if not started:
        stream.write(bytes(header(magic=magic, snaplen=snaplen, linktype=ETHERNET)))


def write_pcapng(
    stream: BinaryIO, frames: Iterable[Frame], *, order: ByteOrder = "<", digits: int = 6
) -> None:
    """A section of a pcapng file, with an interface for each link type as it first comes.

    Times have `digits` decimal places (if_tsresol). Several calls write several sections.
    """
    little = order == "<"
    ng = dpkt.pcapng
    section = ng.SectionHeaderBlockLE if little else ng.SectionHeaderBlock
    stream.write(bytes(section()))
    interfaces: dict[int, int] = {}
    for time, link, wire, data in frames:
        number = interfaces.get(link)
        if number is None:
            number = interfaces[link] = len(interfaces)
            stream.write(_interface(link, digits, little=little))
        ticks = round(time * 10**digits)
        padded = data + bytes(-len(data) % 4)
        length = 32 + len(padded)
        head = (ng.PCAPNG_BT_EPB, length, number, ticks >> 32, ticks & 0xFFFFFFFF, len(data), wire)
        stream.write(struct.pack(f"{order}7I", *head) + padded + struct.pack(f"{order}I", length))


def _interface(link: int, digits: int, *, little: bool) -> bytes:
    ng = dpkt.pcapng
    block = ng.InterfaceDescriptionBlockLE if little else ng.InterfaceDescriptionBlock
    option = ng.PcapngOptionLE if little else ng.PcapngOption
    resolution = option(code=ng.PCAPNG_OPT_IF_TSRESOL, data=bytes([digits]))
    return bytes(block(linktype=link, snaplen=0, opts=[resolution, option()]))
