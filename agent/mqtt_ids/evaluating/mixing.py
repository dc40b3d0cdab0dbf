"""Maps an attack of one capture onto a client of another: as if that client had done it.

The attacker gets the client's address (and id, where one is given), the attacked broker that of
the client's own; frames get the calm capture's link header, and times its clock. TCP's sequence
numbers follow where a CONNECT gets longer or shorter.
"""

import heapq
import itertools
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Final, NamedTuple

import dpkt

from mqtt_ids.lab.capture_writer import PORT, Frame
from mqtt_ids.lab.wire import packet, text
from mqtt_ids.sensors.capture.files import frames

_HEADERS: Final = {0: 4, 1: 14, 12: 0, 14: 0, 101: 0, 108: 4, 113: 16, 228: 0, 229: 0, 276: 20}
_VLANS: Final = (b"\x81\x00", b"\x88\xa8")
_CONNECT: Final = 0x10
_MODULUS: Final = 1 << 32
_IP4, _IP6 = 4, 6
_MOST: Final = 0xFFFF  # what a total length can say


class Mixed(NamedTuple):
    """When the attack begins and ends in the mix (s since the epoch), and the frames of both."""

    start: float
    end: float
    frames: Iterator[Frame]


class _Seen(NamedTuple):
    """A frame with MQTT's port in it. `src` and `dst` are packed addresses."""

    frame: Frame
    header: bytes  # of the link layer
    src: bytes
    dst: bytes
    tcp: dpkt.tcp.TCP

    @property
    def by_client(self) -> bool:
        return bool(self.tcp.dport == PORT)

    @property
    def client(self) -> tuple[bytes, int]:
        return (self.src, self.tcp.sport) if self.by_client else (self.dst, self.tcp.dport)


def mix(calm: Path, attack: Path, *, onto: str, at: float, client_id: str | None = None) -> Mixed:
    """Both captures as one, the attack `at` seconds after the calm capture's start.

    `onto` is the address of a client in the calm capture; with `client_id` every CONNECT of the
    attack claims that id. ValueError where there is no such client, seen in both directions, or no
    attack to see.
    """
    calm_frames, attack_frames = _read(calm), _read(attack)
    calm_seen = [one for one in map(_look, calm_frames) if one is not None]
    seen = [one for one in map(_look, attack_frames) if one is not None]
    packed = ip_address(onto).packed
    of_client = [one for one in calm_seen if one.client[0] == packed]
    if {one.by_client for one in of_client} != {True, False} or not seen:
        raise ValueError(f"{onto} is no client with a broker in {calm}, or {attack} holds no MQTT")
    shift = calm_frames[0][0] + at - seen[0].frame[0]
    mapped = list(_Mapping(of_client, seen, client_id).frames(seen, shift))
    both = heapq.merge(calm_frames, mapped, key=lambda frame: frame[0])
    times = [frame[0] for frame in mapped]
    return Mixed(min(times), max(times), both)


def clients(capture: Path) -> dict[str, str]:
    """The client ids that CONNECTs claim, by address; the first one of each address."""
    found: dict[str, str] = {}
    for one in filter(None, map(_look, _read(capture))):
        if one.by_client and one.tcp.data[:1] == bytes([_CONNECT]):
            place = _client_id(one.tcp.data)
            if place is not None:
                start, stop = place
                name = one.tcp.data[start + 2 : stop].decode(errors="replace")
                found.setdefault(str(ip_address(one.src)), name)
    return found


class _Mapping:
    """How the attack's frames change."""

    def __init__(self, calm: list[_Seen], attack: list[_Seen], client_id: str | None) -> None:
        self._headers = {one.by_client: one.header for one in reversed(calm)}
        self._link = calm[0].frame[1]
        first = next(one for one in calm if one.by_client)
        self._client, self._broker = first.src, first.dst
        taken = {port for _, port in (one.client for one in calm)}
        free = (port for port in itertools.count(20_000) if port not in taken)
        self._ports: dict[tuple[bytes, int], int] = {}
        for end in dict.fromkeys(one.client for one in attack):
            self._ports[end] = next(free) if end[1] in taken else end[1]
            taken.add(self._ports[end])
        self._flows = [] if client_id is None else _flows(attack, client_id)

    def frames(self, attack: list[_Seen], shift: float) -> Iterator[Frame]:
        """The mapped frames, in the attack's order."""
        flows = dict.fromkeys(self._ports, _Flow())
        starts = {id(flow.start): flow for flow in self._flows}
        for one in attack:
            flows[one.client] = starts.get(id(one), flows[one.client])
            tcp = self._segment(one, flows[one.client])
            header = self._headers[one.by_client]
            source, target = self._client, self._broker
            if not one.by_client:
                source, target = target, source
            data = header + _datagram(source, target, tcp)
            time, _, wire, captured = one.frame
            yield time + shift, self._link, len(data) + wire - len(captured), data

    def _segment(self, one: _Seen, flow: "_Flow") -> dpkt.tcp.TCP:
        tcp, port = one.tcp, self._ports[one.client]
        seq, ack, data = tcp.seq, tcp.ack, tcp.data
        if one.by_client:
            seq, data = flow.said(seq, data)
        elif tcp.flags & dpkt.tcp.TH_ACK:
            ack = flow.moved(ack)
        return dpkt.tcp.TCP(
            sport=port if one.by_client else PORT,
            dport=PORT if one.by_client else port,
            seq=seq,
            ack=ack,
            off=tcp.off,
            flags=tcp.flags,
            win=tcp.win,
            urp=tcp.urp,
            opts=tcp.opts,
            data=data,
        )


class _Flow:
    """The client's side of one connection, whose CONNECT may change its length.

    Positions count from the first byte of the stream; the CONNECT is at its start.
    """

    def __init__(self, start: _Seen | None = None) -> None:
        self.start = start
        self.old = self.new = b""  # the CONNECT
        self._first = 0 if start is None else start.tcp.seq + 1

    def learn(self, stream: bytes, client_id: str) -> None:
        """Change the CONNECT that begins this stream, if it can be read so far."""
        length = _length(stream)
        place = _client_id(stream)
        if length is None or place is None or len(stream) < length:
            return
        start, stop = place
        _, body = _remaining(stream) or (0, 0)
        self.old = stream[:length]
        changed = stream[body:start] + text(client_id) + stream[stop:length]
        self.new = packet(stream[0], changed)

    def moved(self, seq: int) -> int:
        """Where a sequence number of the client's lies now."""
        at = (seq - self._first) % _MODULUS
        return seq if at >= _MODULUS // 2 else (self._first + self._place(at)) % _MODULUS

    def said(self, seq: int, data: bytes) -> tuple[int, bytes]:
        """A segment's sequence number and data as they are now."""
        at = (seq - self._first) % _MODULUS
        if at >= len(self.old):
            return self.moved(seq), data
        changed = self.new[self._place(at) : self._place(at + len(data))]
        return self.moved(seq), changed + data[max(0, len(self.old) - at) :]

    def _place(self, at: int) -> int:
        longer = len(self.new) - len(self.old)
        return at + longer if at >= len(self.old) else min(at, len(self.new))


def _flows(attack: list[_Seen], client_id: str) -> list[_Flow]:
    """The connections that begin in the capture, each with its CONNECT changed."""
    open_flows: dict[tuple[bytes, int], tuple[_Flow, dict[int, bytes]]] = {}
    flows: list[tuple[_Flow, dict[int, bytes]]] = []
    for one in attack:
        if not one.by_client:
            continue
        known = open_flows.get(one.client)
        if one.tcp.flags & dpkt.tcp.TH_SYN:
            if known is None or known[0].start is None or known[0].start.tcp.seq != one.tcp.seq:
                open_flows[one.client] = _Flow(one), {}
                flows.append(open_flows[one.client])
        elif known is not None and one.tcp.data:
            known[1].setdefault(one.tcp.seq, one.tcp.data)
    for flow, segments in flows:
        if flow.start is not None:
            flow.learn(_beginning(flow.start.tcp.seq + 1, segments), client_id)
    return [flow for flow, _ in flows]


def _beginning(first: int, segments: dict[int, bytes]) -> bytes:
    """The stream from its first byte on, as far as these segments have it."""
    stream = b""
    while segments and (data := segments.get((first + len(stream)) % _MODULUS)):
        stream += data
    return stream


# --- bytes ---------------------------------------------------------------------------------------


def _read(path: Path) -> list[Frame]:
    with path.open("rb") as stream:
        return list(frames(stream, path.name))


def _look(frame: Frame) -> _Seen | None:
    _, link, _, data = frame
    at = _HEADERS.get(link)
    if at is None:
        return None
    while data[at - 2 : at] in _VLANS:
        at += 4
    version = data[at] >> 4 if len(data) > at else 0
    if version not in {_IP4, _IP6}:
        return None
    try:
        ip = (dpkt.ip.IP if version == _IP4 else dpkt.ip6.IP6)(data[at:])
    except dpkt.UnpackError:
        return None
    tcp = ip.data
    if not isinstance(tcp, dpkt.tcp.TCP) or PORT not in {tcp.sport, tcp.dport}:
        return None
    return _Seen(frame, data[:at], ip.src, ip.dst, tcp)


def _datagram(source: bytes, target: bytes, tcp: dpkt.tcp.TCP) -> bytes:
    """An IP datagram with right checksums; too long for its length field, it says 0 (RFC 7323)."""
    if len(source) != _IP4:
        ip = dpkt.ip6.IP6(src=source, dst=target, nxt=dpkt.ip.IP_PROTO_TCP, hlim=64, data=tcp)
        ip.plen = len(tcp) if len(tcp) <= _MOST else 0
        return bytes(ip)
    if len(tcp) + 20 <= _MOST:
        return bytes(dpkt.ip.IP(src=source, dst=target, p=dpkt.ip.IP_PROTO_TCP, df=1, data=tcp))
    head = dpkt.ip.IP(src=source, dst=target, p=dpkt.ip.IP_PROTO_TCP, df=1, len=0, sum=0)
    return bytes(head.pack_hdr()) + bytes(tcp)


def _remaining(data: bytes) -> tuple[int, int] | None:
    """The remaining length and where the body starts; None while it is not complete."""
    value = 0
    for digit, byte in enumerate(data[1:5]):
        value |= (byte & 0x7F) << 7 * digit
        if not byte & 0x80:
            return value, digit + 2
    return None


def _length(data: bytes) -> int | None:
    found = _remaining(data)
    return None if found is None else sum(found)


def _client_id(data: bytes) -> tuple[int, int] | None:
    """Where the client id of a CONNECT lies, its length included; None where it has none."""
    found = _remaining(data)
    if found is None or data[0] != _CONNECT:
        return None
    at = found[1]
    at += 2 + int.from_bytes(data[at : at + 2], "big")  # the protocol's name
    version = data[at : at + 1]
    at += 4  # level, flags, keep-alive
    if version == b"\x05":
        properties = _remaining(b"\0" + data[at:])
        if properties is None:
            return None
        at += properties[0] + properties[1] - 1
    stop = at + 2 + int.from_bytes(data[at : at + 2], "big")
    return (at, stop) if stop <= min(len(data), sum(found)) else None
