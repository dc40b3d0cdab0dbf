"""The tools themselves: what they write is what dpkt and our decoder read."""

import io
import random
from collections import Counter
from ipaddress import ip_address
from pathlib import Path

import capture_tools as tools
import dpkt
import pytest

from mqtt_ids.decoder import Decoder
from mqtt_ids.evaluating import mixing
from mqtt_ids.events import AnyEvent, Connected, Malformed, Published
from mqtt_ids.lab import capture_writer as writer
from mqtt_ids.lab import fuzz
from mqtt_ids.lab.actions import Connect, Publish, Send
from mqtt_ids.lab.speech import malformed
from mqtt_ids.lab.talks import Endpoint
from mqtt_ids.lab.wire import connect, publish
from mqtt_ids.packets import ConnectPacket, MalformedPacket, Packet, PublishPacket
from mqtt_ids.sensors.capture import files

HEADERS = {writer.NULL: 4, writer.ETHERNET: 14, writer.LOOP: 4, writer.COOKED: 16, 276: 20}
CHAT = (connect(Connect("sensor")), publish(Publish("home/t", 3000)))


def chat(*, size: int = 1460, port: int = 40_000, start: float = 0.0) -> tools.Chat:
    """One client that publishes twice, and the broker's CONNACK."""
    made = tools.Chat(Endpoint(tools.CLIENT.address, port), size=size)
    made.wait(start + 0.25)
    made.open()
    made.say(CHAT[0])
    made.say(b"\x20\x02\x00\x00", side="server")
    made.wait(1.0)
    made.say(CHAT[1])
    made.say(CHAT[1])
    made.close()
    return made


def tcp_of(frame: writer.Frame) -> dpkt.tcp.TCP:
    """The segment in a frame, after both its checksums were found right."""
    _, link, _, data = frame
    data = data[HEADERS.get(link, 0) :]
    ip = (dpkt.ip6.IP6 if data[0] >> 4 == 6 else dpkt.ip.IP)(data)
    sums = ip.data.sum, getattr(ip, "sum", None)
    ip.data.sum = 0
    if sums[1] is not None:
        ip.sum = 0
    assert bytes(ip) == data
    assert (ip.data.sum, getattr(ip, "sum", None)) == sums
    assert isinstance(ip.data, dpkt.tcp.TCP)
    assert len(ip.data) == (ip.plen if isinstance(ip, dpkt.ip6.IP6) else ip.len - 20)
    return ip.data


def said(frames: list[writer.Frame], port: int) -> bytes:
    """The client's stream: its segments must lie one behind the other without a hole."""
    stream, following = b"", None
    for tcp in map(tcp_of, frames):
        if tcp.sport != port:
            continue
        assert following in {None, tcp.seq}
        following = tcp.seq + len(tcp.data) + bool(tcp.flags & 3)
        stream += tcp.data
    return stream


def decoded(stream: bytes) -> list[Packet]:
    return Decoder(from_client=True).feed(stream)


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nano", [False, True])
def test_dpkt_reads_the_pcap(order: writer.ByteOrder, *, nano: bool) -> None:
    frames = chat().frames()
    reader = dpkt.pcap.Reader(tools.pcap(frames, order=order, nano=nano))
    assert reader.datalink() == writer.ETHERNET
    assert_same(list(reader), frames)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("digits", [3, 6, 9])
def test_dpkt_reads_the_pcapng(order: writer.ByteOrder, digits: int) -> None:
    frames = chat().frames(writer.COOKED)
    reader = dpkt.pcapng.Reader(tools.pcapng(frames, order=order, digits=digits))
    assert reader.datalink() == writer.COOKED
    assert_same(list(reader), frames)


def assert_same(read: list[tuple[float, bytes]], frames: list[writer.Frame]) -> None:
    assert [data for _, data in read] == [frame[3] for frame in frames]
    times = [float(time) for time, _ in read]  # dpkt gives nanoseconds as decimals
    assert times == pytest.approx([frame[0] for frame in frames], abs=1e-3, rel=0)


def test_snapped_frames_keep_their_length_on_the_wire() -> None:
    frames = tools.snapped(chat().frames(), 60)
    stream = tools.pcap(frames)
    lengths = []
    stream.seek(24)
    while head := stream.read(16):
        header = dpkt.pcap.LEPktHdr(head)
        lengths.append((header.len, len(stream.read(header.caplen))))
    assert lengths == [(wire, len(data)) for _, _, wire, data in frames]
    assert max(lengths) == (1514, 60)


# --- frames --------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", writer.LINKS)
def test_every_link_layer_carries_the_conversation(link: int) -> None:
    six = link == writer.IPV6
    made = tools.Chat(*((tools.CLIENT_6, tools.SERVER_6) if six else ()))
    made.open()
    made.say(b"".join(CHAT))
    made.close()
    packets = decoded(said(made.frames(link), 40_000))
    assert [type(packet) for packet in packets] == [ConnectPacket, PublishPacket]


@pytest.mark.parametrize(
    ("link", "kind", "tags"),
    [
        (writer.ETHERNET, dpkt.ethernet.Ethernet, ()),
        (writer.ETHERNET, dpkt.ethernet.Ethernet, (7,)),
        (writer.ETHERNET, dpkt.ethernet.Ethernet, (7, 9)),
        (writer.COOKED, dpkt.sll.SLL, ()),
        (writer.COOKED_2, dpkt.sll2.SLL2, ()),
        (writer.NULL, dpkt.loopback.Loopback, ()),
    ],
)
def test_dpkt_unwraps_the_frame(link: int, kind: type[dpkt.Packet], tags: tuple[int, ...]) -> None:
    for frame, piece in zip(
        tools.framed(chat().pieces, link, vlans=tags), chat().pieces, strict=True
    ):
        unwrapped = kind(frame[3])
        assert unwrapped.data.data.data == piece.data
        assert [tag.id for tag in getattr(unwrapped, "vlan_tags", ())] == list(tags)


def test_a_link_type_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="link type 147"):
        tools.framed(chat().pieces, 147)


# --- a home --------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["train", "test"])
def test_a_home_is_said_whole(family: str) -> None:
    events = tools.home_events(3, clients=12, seconds=400, family=family)
    streams: dict[Endpoint, list[bytes]] = {}
    for piece in writer.pieces_of(events):
        if piece.target.port == writer.PORT:
            if piece.flags & 2:
                streams.setdefault(piece.source, []).append(b"")
            streams[piece.source][-1] += piece.data
    packets = [packet for each in streams.values() for one in each for packet in decoded(one)]
    assert not [packet for packet in packets if isinstance(packet, MalformedPacket)]
    assert contents(packets) == told(events)


def contents(packets: list[Packet]) -> Counter[tuple[object, ...]]:
    return Counter(
        (one.client_id, one.username, one.keep_alive, one.will_topic, one.version)
        if isinstance(one, ConnectPacket)
        else (one.topic, one.payload_size, one.qos, one.retain)
        for one in packets
        if isinstance(one, ConnectPacket | PublishPacket)
    )


def told(events: list[AnyEvent]) -> Counter[tuple[object, ...]]:
    found: Counter[tuple[object, ...]] = Counter()
    for event in events:
        if isinstance(event, Connected):
            name = "" if event.id_was_empty else event.client_id
            who = (name, event.username, event.keep_alive, event.will_topic, event.version)
            found[who] += 1
        elif isinstance(event, Published):
            found[event.topic, event.size, event.qos, event.retain] += 1
    return found


def test_the_lab_can_say_every_fault_of_its_fuzzer() -> None:
    for accepted, table in ((False, fuzz.BEFORE_CONNECT), (True, fuzz.AFTER_CONNECT)):
        for attempt in table.values():
            for action in attempt(random.Random(2)):
                if isinstance(action, Send):
                    assert_faulty(action.fault or "truncated", accepted=accepted)


def assert_faulty(reason: str, *, accepted: bool) -> None:
    client_id = "c" if accepted else None
    event = Malformed(time=0, connection=1, address="::1", client_id=client_id, reason=reason)
    decoder = Decoder(from_client=True)
    if accepted:
        decoder.feed(CHAT[0])
    found = decoder.feed(malformed(event)) + decoder.end()
    assert isinstance(found[0], MalformedPacket)
    assert found[0].reason == reason


# --- what happens on the way ---------------------------------------------------------------------


def test_frames_get_lost_doubled_and_late() -> None:
    frames = chat().frames()
    assert tools.dropped(frames, 0, -1) == frames[1:-1]
    assert tools.doubled(frames, 3)[3:5] == [frames[3], frames[3]]
    moved = tools.late(frames, 3, 2)
    assert [frame[3] for frame in moved[3:6]] == [frames[n][3] for n in (4, 5, 3)]
    assert [frame[0] for frame in moved] == [frame[0] for frame in frames]


# --- mixing --------------------------------------------------------------------------------------


@pytest.fixture
def calm(tmp_path: Path) -> Path:
    return saved(tmp_path / "calm.pcap", tools.home_events(clients=6), writer.COOKED)


def saved(path: Path, events: list[AnyEvent], link: int) -> Path:
    return tools.saved(path, writer.frames_of(events, link=link))


def attack(path: Path, *, size: int, link: int = writer.ETHERNET) -> Path:
    """Two connections with a day between them and the calm capture, another broker's."""
    pieces = [*chat(size=size, start=86_400.0).pieces, *chat(port=40_001, start=86_405.0).pieces]
    with path.open("wb") as stream:
        writer.write_pcapng(stream, tools.framed(pieces, link))
    return path


@pytest.mark.parametrize("client_id", [None, "a", "sensor", "a client with a longer name", 150])
@pytest.mark.parametrize("size", [7, 1460])
def test_an_attack_is_mapped_onto_a_calm_client(
    calm: Path, tmp_path: Path, client_id: str | int | None, size: int
) -> None:
    claimed = "x" * client_id if isinstance(client_id, int) else client_id
    onto, own = next(iter(mixing.clients(calm).items()))
    other, out = attack(tmp_path / "attack.pcapng", size=size), tmp_path / "mix.pcap"
    mixed = mixing.mix(calm, other, onto=onto, at=60.0, client_id=claimed)
    before, after = read(calm), read(tools.saved(out, mixed.frames))
    added = after.copy()
    for frame in before:
        added.remove(frame)
    assert len(added) == len(after) - len(before) == len(read_any(other))
    assert [frame[0] for frame in after] == sorted(frame[0] for frame in after)
    assert added[0][0] == pytest.approx(before[0][0] + 60.0)
    assert (mixed.start, mixed.end) == pytest.approx((added[0][0], added[-1][0]))
    for port in (40_000, 40_001):
        packets = decoded(said(added, port))
        assert [type(one) for one in packets] == [ConnectPacket, PublishPacket, PublishPacket]
        assert isinstance(packets[0], ConnectPacket)
        assert packets[0].client_id == ("sensor" if claimed is None else claimed)
        assert acknowledged(added, port)
    broker = writer.BROKER[ip_address(onto).version]
    assert ways(added) == {(onto, broker), (broker, onto)}
    assert own not in {"", claimed}


def ways(frames: list[writer.Frame]) -> set[tuple[str, str]]:
    """Who speaks to whom; the broker's port must be on the broker's side."""
    found = set()
    for _, _, _, data in frames:
        ip = dpkt.sll.SLL(data).data
        source, target = str(ip_address(ip.src)), str(ip_address(ip.dst))
        assert (ip.data.dport == writer.PORT) == (target in writer.BROKER.values())
        found.add((source, target))
    return found


def acknowledged(frames: list[writer.Frame], port: int) -> bool:
    """Whether the broker acknowledges exactly what the client said, and not a byte more."""
    upto = None
    for tcp in map(tcp_of, frames):
        if tcp.sport == port:
            upto = tcp.seq + len(tcp.data) + bool(tcp.flags & 3)
        elif tcp.dport == port and tcp.ack > (upto or 0):
            return False
    return any(tcp.dport == port and tcp.ack == upto for tcp in map(tcp_of, frames))


def read_any(path: Path) -> list[writer.Frame]:
    with path.open("rb") as stream:
        return list(files.frames(stream, path.name))


def read(path: Path) -> list[writer.Frame]:
    stream = io.BytesIO(path.read_bytes())
    return [(time, writer.COOKED, len(data), data) for time, data in dpkt.pcap.Reader(stream)]


def test_a_port_that_the_calm_client_uses_is_not_used_again(tmp_path: Path) -> None:
    with (tmp_path / "calm.pcap").open("wb") as stream:
        writer.write_pcap(stream, chat().frames(writer.COOKED))
    other, out = attack(tmp_path / "attack.pcapng", size=1460), tmp_path / "mix.pcap"
    mixed = mixing.mix(tmp_path / "calm.pcap", other, onto=tools.CLIENT.address, at=0.5)
    tools.saved(out, mixed.frames)
    used = {tcp.sport for tcp in map(tcp_of, read(out)) if tcp.dport == writer.PORT}
    assert used == {40_000, 40_001, 20_000}


def test_an_attack_over_ipv4_is_mapped_onto_ipv6(tmp_path: Path) -> None:
    home = tools.Chat(tools.CLIENT_6, tools.SERVER_6)
    home.open()
    home.say(CHAT[0])
    home.say(b"\x20\x02\x00\x00", side="server")
    (tmp_path / "calm.pcap").write_bytes(tools.pcap(home.frames(writer.COOKED)).getvalue())
    other, out = attack(tmp_path / "attack.pcapng", size=1460), tmp_path / "mix.pcap"
    mixed = mixing.mix(tmp_path / "calm.pcap", other, onto="fd00::10", at=1.0, client_id="mine")
    tools.saved(out, mixed.frames)
    assert ways(read(out)) == {("fd00::10", "fd00::2"), ("fd00::2", "fd00::10")}
    assert [type(one) for one in decoded(said(read(out), 40_001))] == [
        ConnectPacket,
        PublishPacket,
        PublishPacket,
    ]


def test_a_client_that_is_not_there_is_refused(calm: Path, tmp_path: Path) -> None:
    other = attack(tmp_path / "attack.pcapng", size=1460)
    with pytest.raises(ValueError, match="no client"):
        mixing.mix(calm, other, onto="203.0.113.1", at=0.0)
