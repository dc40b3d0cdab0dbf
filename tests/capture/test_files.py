"""Capture files read as frames, against dpkt's writers and block classes of both byte orders."""

import bz2
import gzip
import io
import lzma
import os
import struct
import threading
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, cast

import pytest
from dpkt import pcap, pcapng
from hypothesis import given, settings
from hypothesis import strategies as st

from mqtt_ids.errors import CaptureError
from mqtt_ids.sensors.capture.bytestream import CHUNK
from mqtt_ids.sensors.capture.files import Frame, frames
from mqtt_ids.sensors.capture.frame import LONGEST
from mqtt_ids.sensors.capture.pcapng import END_OF_TIME, LONGEST_BLOCK, MOST_INTERFACES

ETHERNET, COOKED, RAW = 1, 113, 101
START = 1_591_954_801  # s
NAME = "home.pcap"

datas = st.binary(max_size=80)
ticks = st.integers(0, (1 << 63) - 1)
orders = st.sampled_from("<>")


def read(data: bytes) -> tuple[list[Frame], str | None]:
    """The frames of a file, and the error that ended it."""
    return drain(io.BytesIO(data))


def drain(stream: BinaryIO) -> tuple[list[Frame], str | None]:
    found: list[Frame] = []
    try:
        for frame in frames(stream, NAME):
            found.append(frame)  # noqa: PERF402  # what came before an error is wanted too
    except CaptureError as error:
        return found, str(error)
    return found, None


def whole(data: bytes) -> list[Frame]:
    """The frames of a file that has no fault."""
    found, error = read(data)
    assert error is None
    return found


# pcap: a header and packets in either byte order, by dpkt's structures.


def pcap_head(order: str = "<", *, magic: int = pcap.TCPDUMP_MAGIC, link: int = ETHERNET) -> bytes:
    head = pcap.FileHdr if order == ">" else pcap.LEFileHdr
    return bytes(head(magic=magic, linktype=link, snaplen=LONGEST))


def pcap_packet(order: str, seconds: int, part: int, data: bytes, wire: int | None = None) -> bytes:
    packet = pcap.PktHdr if order == ">" else pcap.LEPktHdr
    wire = len(data) if wire is None else wire
    return bytes(packet(tv_sec=seconds, tv_usec=part, caplen=len(data), len=wire)) + data


def small_pcap(order: str = "<") -> list[bytes]:
    """A capture in pieces: cut between them, it is whole."""
    return [
        pcap_head(order),
        pcap_packet(order, START, 250_000, b"one"),
        pcap_packet(order, START, 500_000, b""),
        pcap_packet(order, START + 1, 0, b"three, cut", wire=1_500),
    ]


# pcapng: blocks by dpkt's classes, which come in pairs.

Options = list[tuple[int, bytes]]


def section(order: str = "<") -> bytes:
    block = pcapng.SectionHeaderBlockLE if order == "<" else pcapng.SectionHeaderBlock
    return bytes(block())


def interface(
    order: str, link: int, options: Options | None = None, *, snapshot: int = LONGEST
) -> bytes:
    block = pcapng.InterfaceDescriptionBlockLE if order == "<" else pcapng.InterfaceDescriptionBlock
    option = pcapng.PcapngOptionLE if order == "<" else pcapng.PcapngOption
    opts = [option(code=code, data=value) for code, value in [*(options or []), (0, b"")]]
    return bytes(block(linktype=link, snaplen=snapshot, opts=opts))


def enhanced(order: str, number: int, stamp: int, data: bytes) -> bytes:
    block = pcapng.EnhancedPacketBlockLE if order == "<" else pcapng.EnhancedPacketBlock
    fields = {"ts_high": stamp >> 32, "ts_low": stamp & 0xFFFFFFFF, "pkt_data": data}
    return bytes(block(iface_id=number, **fields))


def obsolete(order: str, number: int, stamp: int, data: bytes) -> bytes:
    block = pcapng.PacketBlockLE if order == "<" else pcapng.PacketBlock
    fields = {"ts_high": stamp >> 32, "ts_low": stamp & 0xFFFFFFFF, "pkt_data": data}
    return bytes(block(iface_id=number, drops_count=7, **fields))


def block(order: str, kind: int, body: bytes) -> bytes:
    """Any block, for those that dpkt does not write."""
    padded = body + bytes(-len(body) % 4)
    size = struct.pack(order + "I", 12 + len(padded))
    return struct.pack(order + "I", kind) + size + padded + size


def simple(order: str, data: bytes, wire: int | None = None) -> bytes:
    wire = len(data) if wire is None else wire
    return block(order, pcapng.PCAPNG_BT_SPB, struct.pack(order + "I", wire) + data)


def small_pcapng(order: str = "<") -> list[bytes]:
    """A capture in pieces: cut between them, it is whole."""
    return [
        section(order),
        interface(order, ETHERNET),
        enhanced(order, 0, START * 1_000_000, b"one"),
        block(order, 5, b"statistics of the interface"),
        simple(order, b"two"),
        section(">" if order == "<" else "<"),
        interface(">" if order == "<" else "<", COOKED),
        obsolete(">" if order == "<" else "<", 0, (START + 2) * 1_000_000, b"three"),
    ]


def blocks(*pieces: bytes, order: str = "<") -> bytes:
    return section(order) + b"".join(pieces)


# What dpkt writes is what is read.


@given(
    packets=st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 999_999), datas)),
    nano=st.booleans(),
)
def test_pcap_as_dpkt_writes_it(*, packets: list[tuple[int, int, bytes]], nano: bool) -> None:
    out = io.BytesIO()
    writer = pcap.Writer(out, linktype=COOKED, nano=nano)
    units = 1_000_000_000 if nano else 1_000_000
    for seconds, part, data in packets:
        writer.writepkt_time(data, seconds + part / units)
    found = whole(out.getvalue())
    assert [(link, wire, data) for _, link, wire, data in found] == [
        (COOKED, len(data), data) for _, _, data in packets
    ]
    for frame, (seconds, part, _) in zip(found, packets, strict=True):
        assert frame[0] == pytest.approx(seconds + part / units, rel=0, abs=2e-6)


@given(
    order=orders,
    link=st.sampled_from([ETHERNET, COOKED, RAW, 276]),
    nano=st.booleans(),
    packets=st.lists(datas),
)
def test_pcap_of_both_byte_orders(
    *, order: str, link: int, nano: bool, packets: list[bytes]
) -> None:
    magic, part, fraction = pcap.TCPDUMP_MAGIC, 500_000, 0.5
    if nano:
        magic, part = pcap.TCPDUMP_MAGIC_NANO, 500_000_000
    out = [pcap_head(order, magic=magic, link=link)]
    out += [pcap_packet(order, START, part, data, len(data) + 9) for data in packets]
    assert whole(b"".join(out)) == [
        (START + fraction, link, len(data) + 9, data) for data in packets
    ]


@given(orders, st.lists(datas))
def test_kuznetzovs_pcap(order: str, packets: list[bytes]) -> None:
    head = pcap.PktModHdr if order == ">" else pcap.LEPktModHdr
    out = pcap_head(order, magic=pcap.MODPCAP_MAGIC)
    for data in packets:
        out += bytes(head(tv_sec=START, tv_usec=0, caplen=len(data), len=len(data))) + data
    assert whole(out) == [(float(START), ETHERNET, len(data), data) for data in packets]


def test_a_pcap_link_type_stands_in_the_lower_bits() -> None:
    """The upper ones say how long the frame check sequence is."""
    assert whole(pcap_head(link=0x14000001) + pcap_packet("<", 1, 0, b"x"))[0][1] == ETHERNET


@pytest.mark.parametrize("of", [pcap_head() + bytes(12), pcap_head() + bytes(8)])
def test_less_on_the_wire_than_captured_is_taken_as_captured(of: bytes) -> None:
    head = of[:24]
    assert whole(head + pcap_packet("<", 1, 0, b"four", wire=2)) == [(1.0, 1, 4, b"four")]


@given(st.lists(st.tuples(ticks, datas)))
def test_pcapng_as_dpkt_writes_it(packets: list[tuple[int, bytes]]) -> None:
    out = io.BytesIO()
    writer = pcapng.Writer(out, linktype=COOKED)
    for stamp, data in packets:
        writer.writepkt_time(data, (stamp % (1 << 51)) / 1_000_000)
    found = whole(out.getvalue())
    assert [frame[1:] for frame in found] == [(COOKED, len(data), data) for _, data in packets]
    for frame, (stamp, _) in zip(found, packets, strict=True):
        assert frame[0] == pytest.approx((stamp % (1 << 51)) / 1_000_000, rel=0, abs=2e-6)


@st.composite
def sections(draw: st.DrawFn) -> tuple[bytes, list[Frame]]:
    """A section of a few interfaces and frames, and what should be read."""
    order = draw(orders)
    kinds = draw(
        st.lists(
            st.tuples(
                st.integers(0, 300), st.sampled_from([3, 6, 9, 0x80 | 10]), st.integers(0, 9)
            ),
            min_size=1,
            max_size=4,
        )
    )
    out, expected = section(order), []
    for link, resolution, offset in kinds:
        options = [
            (pcapng.PCAPNG_OPT_IF_TSRESOL, bytes([resolution])),
            (pcapng.PCAPNG_OPT_IF_TSOFFSET, struct.pack(order + "q", offset)),
        ]
        out += interface(order, link, options)
    for number, stamp, data, old in draw(
        st.lists(
            st.tuples(st.integers(0, len(kinds) - 1), st.integers(0, 10**12), datas, st.booleans()),
            max_size=5,
        )
    ):
        link, resolution, offset = kinds[number]
        units = 2**10 if resolution & 0x80 else 10**resolution
        out += (obsolete if old else enhanced)(order, number, stamp, data)
        expected.append((stamp / units + offset, link, len(data), data))
        out += block(order, draw(st.sampled_from([4, 5, 0xBAD, 0x80000001])), draw(datas))
    return out, expected


@given(st.lists(sections(), min_size=1, max_size=3))
def test_sections_and_interfaces(drawn: list[tuple[bytes, list[Frame]]]) -> None:
    """Each with its own byte order, link types, resolutions and offsets."""
    assert whole(b"".join(data for data, _ in drawn)) == [
        frame for _, expected in drawn for frame in expected
    ]


@given(orders, datas, st.integers(1, 60))
def test_simple_packets(order: str, data: bytes, snapshot: int) -> None:
    """Of the first interface, at the last time known, cut to the snapshot length."""
    held = data[:snapshot]
    capture = blocks(
        interface(order, RAW, snapshot=snapshot),
        interface(order, COOKED),
        enhanced(order, 1, START * 1_000_000, b""),
        simple(order, held, wire=len(data)),
        order=order,
    )
    assert whole(capture)[1] == (float(START), RAW, len(data), held)


@pytest.mark.parametrize("stamp", [END_OF_TIME, (1 << 64) - 1])
def test_a_time_that_no_date_can_show_is_the_last_one_known(stamp: int) -> None:
    seconds: Options = [(pcapng.PCAPNG_OPT_IF_TSRESOL, b"\x00")]
    early: Options = [(pcapng.PCAPNG_OPT_IF_TSOFFSET, struct.pack("<q", -5))]
    capture = blocks(
        interface("<", 1, seconds),
        interface("<", 1, early),
        enhanced("<", 0, END_OF_TIME - 1, b""),
        enhanced("<", 0, stamp, b""),
        enhanced("<", 1, 4_000_000, b""),
    )
    assert [frame[0] for frame in whole(capture)] == [END_OF_TIME - 1.0] * 3


def test_the_finest_resolution_and_a_comment_that_is_no_text() -> None:
    options: Options = [(1, b"\xff\x00\xfe"), (pcapng.PCAPNG_OPT_IF_TSRESOL, b"\x7f")]
    capture = bytearray(blocks(interface("<", 1, [(2, b"eth0"), *options[1:]])))
    capture += enhanced("<", 0, 9, b"")
    assert whole(bytes(capture).replace(b"eth0", b"\xff\x00\xfe\xff"))[0][0] == 9 / 10**127


def test_options_that_are_cut_off_are_not_read() -> None:
    """A length beyond the block, and a time resolution of the wrong size: the default holds."""
    body = struct.pack("<HHIHHB3x", 1, 0, 0, pcapng.PCAPNG_OPT_IF_TSRESOL, 0xFFFF, 3)
    for options in (body, body[:12].replace(b"\xff\xff", b"\0\0"), body[:11]):
        capture = blocks(
            block("<", pcapng.PCAPNG_BT_IDB, options), enhanced("<", 0, 2_000_000, b"")
        )
        assert whole(capture)[0][0] == 2.0


# Cut off and damaged.


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("make", [small_pcap, small_pcapng])
def test_every_truncated_prefix(make: Callable[[str], list[bytes]], order: str) -> None:
    """What is whole is given; where nothing is missing there is no error, elsewhere one."""
    pieces = make(order)
    capture = b"".join(pieces)
    full = whole(capture)
    assert len(full) == 3
    ends = {len(b"".join(pieces[:count])) for count in range(1, len(pieces) + 1)}
    due = 0
    for cut in range(len(capture)):
        found, error = read(capture[:cut])
        if cut in ends:
            due = len(found)
        assert found == full[:due]
        assert (error is None) == (cut in ends)
        if found and error:
            assert error == f"{NAME}: cut off in the middle of a frame, after frame {due}"
    assert due == 2


def test_every_truncated_prefix_of_a_gzip() -> None:
    capture = b"".join(small_pcap())
    packed = gzip.compress(capture, mtime=0)
    full = whole(packed)
    assert full == whole(capture)
    for cut in range(len(packed)):
        found, error = read(packed[:cut])
        assert found == full[: len(found)]
        assert error is not None
        assert error.startswith(f"{NAME}: ")


def check(found: list[Frame], error: str | None) -> None:
    """What holds for the frames and the error of any file at all."""
    for time, _, wire, held in found:
        assert 0 <= time < END_OF_TIME
        assert len(held) <= wire
    assert error is None or (error.startswith(f"{NAME}: ") and "\n" not in error)


STARTS = [b"", pcap_head("<"), pcap_head(">"), section("<"), blocks(interface("<", 1)), b"\x1f\x8b"]


@settings(max_examples=300)
@given(st.sampled_from(STARTS), st.binary(max_size=300))
def test_any_bytes(start: bytes, data: bytes) -> None:
    check(*read(start + data))


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A capture of each kind, gzipped or not, with some bytes changed."""
    data = b"".join(draw(st.sampled_from([small_pcap, small_pcapng]))(draw(orders)))
    if draw(st.booleans()):
        data = gzip.compress(data, 1, mtime=0)
    wrong = bytearray(data)
    places = st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255))
    for at, value in draw(st.lists(places, min_size=1, max_size=5)):
        wrong[at] = value
    return bytes(wrong)


@settings(max_examples=500)
@given(damaged())
def test_any_damage(data: bytes) -> None:
    check(*read(data))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (pcap_head() + struct.pack("<IIII", 1, 0, LONGEST + 1, 9), "a frame of 263,169 bytes"),
        (pcap_head() + struct.pack("<IIII", 1, 0, 2**32 - 1, 9), "a frame of 4,294,967,295 bytes"),
        (section() + struct.pack("<III", 6, LONGEST_BLOCK + 4, 0), "a block of 16,777,220 bytes"),
        (section() + struct.pack("<III", 6, 8, 0), "a block of 8 bytes"),
        (section() + struct.pack("<III", 6, 21, 0), "a block of 21 bytes"),
        (section()[:-1] + b"\x01", "the two lengths of a block differ"),
        (section()[:8] + b"abcd" + section()[12:], "a section of no byte order"),
        (section().replace(b"\x01\0\0\0\xff", b"\x02\0\0\0\xff"), "pcapng of version 2"),
        (block("<", 0x0A0D0D0A, b"\x4d\x3c\x2b\x1a"), "a section without a head"),
        (blocks(block("<", 1, b"ab")), "an interface without a link type"),
        (blocks(interface("<", 1) * (MOST_INTERFACES + 1)), "more than 4,096 interfaces"),
        (blocks(enhanced("<", 0, 1, b"x")), "a frame of an unknown interface"),
        (blocks(interface("<", 1), obsolete("<", 1, 1, b"x")), "a frame of an unknown interface"),
        (blocks(simple("<", b"x")), "a frame of an unknown interface"),
        (blocks(interface("<", 1), block("<", 6, bytes(16))), "a frame without a head"),
        (blocks(interface("<", 1), block("<", 3, b"")), "a frame without a head"),
        (blocks(interface("<", 1), simple("<", b"x", wire=5)), "a frame of 5 bytes"),
        (
            blocks(interface("<", 1), block("<", 6, struct.pack("<IIIII", 0, 0, 0, 4, 4))),
            "a frame of 4 bytes",
        ),
        (
            blocks(
                interface("<", 1),
                block("<", 6, struct.pack("<IIIII", 0, 0, 0, LONGEST + 4, 0) + bytes(LONGEST + 4)),
            ),
            "a frame of 263,172 bytes",
        ),
    ],
)
def test_damage_is_told(data: bytes, says: str) -> None:
    found, error = read(data)
    assert not found
    assert error is not None
    assert says in error
    assert error.startswith(f"{NAME}: ")
    assert "\n" not in error


def test_the_largest_frame_is_read() -> None:
    data = bytes(LONGEST)
    assert whole(pcap_head() + pcap_packet("<", 1, 0, data))[0][3] == data
    assert whole(blocks(interface("<", 1), enhanced("<", 0, 1, data)))[0][3] == data


def test_what_came_before_the_damage_is_kept() -> None:
    capture = pcap_head() + pcap_packet("<", 1, 0, b"x") * 1_234 + b"\xff" * 16
    found, error = read(capture)
    assert len(found) == 1_234
    assert error == f"{NAME}: damaged (a frame of 4,294,967,295 bytes), after frame 1,234"


# No captures.


def packed(name: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, b"x")
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty: what tcpdump or Wireshark wrote"),
        (gzip.compress(b"", mtime=0), "empty once unpacked: what tcpdump or Wireshark wrote"),
        (b"\xd4\xc3\xb2", "too short for a capture: what tcpdump"),
        (pcap_head()[:20], "cut off in its header"),
        (b"\x7fELF\x02\x01\x01" + bytes(57), "a program (ELF), not a capture"),
        (packed("a.pcap"), "a zip archive, not a capture: unpack it first"),
        (bz2.compress(pcap_head()), "compressed with bzip2, not a capture: unpack it first"),
        (lzma.compress(pcap_head()), "compressed with xz, not a capture: unpack it first"),
        (gzip.compress(gzip.compress(pcap_head(), mtime=0), mtime=0), "compressed with gzip twice"),
        (b"\x28\xb5\x2f\xfd\x24\x00", "compressed with zstd, not a capture: unpack it first"),
        (bytes(257) + b"ustar" + bytes(250), "a tar archive, not a capture: unpack it first"),
        (
            b"snoop\0\0\0\0\0\0\2\0\0\0\4",
            "a snoop capture, not a capture: convert it with: editcap",
        ),
        (b"GMBU\0\2", "a Microsoft Network Monitor capture"),
        (b"PAR1\x15\0", "a Parquet file, not a capture"),
        (
            struct.pack("<IIII16s16xIHH", 4096, 500, 500, 0, b"", 500, 0, 4) + bytes(100),
            "a Windows trace (ETL), not a capture: convert it with: pktmon etl2pcap",
        ),
        (b"1700000000: New connection from 127.0.0.1\n", "text, not a capture: what tcpdump"),
        ("größer\n".encode(), "text, not a capture"),
        (b"\x00\x01\x02\x03\x04", "no capture (it starts with 00 01 02 03 04)"),
    ],
)
def test_what_is_no_capture_gets_one_clear_line(data: bytes, says: str) -> None:
    found, error = read(data)
    assert not found
    assert error is not None
    assert error.startswith(f"{NAME}: {says}")
    assert "\n" not in error


def test_the_error_comes_with_the_first_frame_asked_for() -> None:
    stream = frames(io.BytesIO(b"no capture"), NAME)
    with pytest.raises(CaptureError, match="text"):
        next(stream)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="Linux only")
def test_a_file_that_cannot_be_read() -> None:
    with Path("/proc/self/mem").open("rb") as stream:
        found, error = drain(stream)
    assert not found
    assert error == f"{NAME}: cannot be read (Input/output error)"


# Gzip.


def test_a_gzip_of_several_members() -> None:
    capture = b"".join(small_pcapng())
    assert whole(gzip.compress(capture[:61], mtime=0) + gzip.compress(capture[61:])) == whole(
        capture
    )


def test_a_gzip_whose_checksum_or_end_is_wrong_gives_what_it_held() -> None:
    capture = b"".join(small_pcap())
    right = gzip.compress(capture)
    for wrong in (right[:-8] + bytes(4) + right[-4:], right + b"garbage", right[:-1]):
        found, error = read(wrong)
        assert found == whole(capture)
        assert error is not None
        assert error.endswith("after frame 3")


# Pipes.


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        with suppress(OSError):
            os.close(end)


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("make", [small_pcap, small_pcapng])
def test_a_pipe_that_gives_byte_by_byte(
    make: Callable[[], list[bytes]], pipe: tuple[int, int], *, buffered: bool
) -> None:
    capture = b"".join(make())

    def write() -> None:
        for at in range(len(capture)):
            os.write(pipe[1], capture[at : at + 1])
        os.close(pipe[1])

    writer = threading.Thread(target=write)
    writer.start()
    with open(pipe[0], "rb", buffering=-1 if buffered else 0) as stream:  # noqa: PTH123
        assert drain(stream) == (whole(capture), None)
    writer.join()


@pytest.mark.parametrize("make", [small_pcap, small_pcapng])
def test_a_frame_is_given_before_the_next_is_written(
    make: Callable[[], list[bytes]], pipe: tuple[int, int]
) -> None:
    """Live: were a byte more asked for than a frame has, this would wait for ever."""
    pieces = make()
    full = whole(b"".join(pieces))
    with open(pipe[0], "rb") as stream:  # noqa: PTH123
        reader = frames(stream, NAME)
        count = 0
        for end in range(1, len(pieces) + 1):
            os.write(pipe[1], pieces[end - 1])
            if len(whole(b"".join(pieces[:end]))) > count:
                assert next(reader) == full[count]
                count += 1
        os.close(pipe[1])
        assert list(reader) == []
    assert count == 3


# Bounds.


class Endless(io.RawIOBase):
    """A head and then one piece over and over: as much as was asked for, up to an amount."""

    def __init__(self, head: bytes, piece: bytes, amount: int) -> None:
        self._left = amount
        self._head, self._piece = head, piece * (CHUNK // len(piece) + 2)
        self._size = len(piece)
        self._at = 0

    def read(self, size: int | None = -1) -> bytes:
        if self._head:
            head, self._head = self._head, b""
            return head
        size = min(self._left, CHUNK if size is None or size < 0 else size)
        data = self._piece[self._at : self._at + size]
        self._at = (self._at + size) % self._size
        self._left -= size
        return data


@pytest.mark.parametrize(
    ("head", "piece", "times", "each"),
    [
        (pcap_head(), pcap_packet("<", 1, 0, bytes(100_000)), 500, 1),
        (pcap_head(), pcap_packet("<", 1, 0, bytes(LONGEST)), 200, 1),
        (blocks(interface("<", 1)), enhanced("<", 0, 1, bytes(100_000)), 500, 1),
        (blocks(), block("<", 0xBAD, bytes(1_000_000)), 50, 0),
        (section(), section() + interface("<", 1) * 1_000, 100, 0),
    ],
    ids=["pcap", "pcap, the largest frames", "pcapng", "pcapng, other blocks", "interfaces"],
)
def test_memory_stays_flat(head: bytes, piece: bytes, times: int, each: int) -> None:
    stream = Endless(head, piece, times * len(piece))
    tracemalloc.start()
    try:
        count = sum(1 for _ in frames(cast("BinaryIO", stream), NAME))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == each * times
    assert peak < 6 * max(len(piece), CHUNK) + 1_000_000


@pytest.mark.parametrize("head", [pcap_head(), blocks(interface("<", 1))])
def test_an_absurd_length_is_no_allocation(head: bytes) -> None:
    stream = Endless(head + b"\x06\0\0\0" + b"\xfc\xff\xff\xff" * 3, bytes(1_000), 10_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(CaptureError, match="damaged"):
            list(frames(cast("BinaryIO", stream), NAME))
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
