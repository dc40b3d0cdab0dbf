"""Capture files as frames: pcap and pcapng by their content, gzipped or not, from a pipe too.

Formats: draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng. dpkt names the fields and numbers;
the loops are ours, because dpkt's readers seek, make an object of each frame, and take quadratic
time over a block full of options.
"""

import gzip
import io
import struct
from collections.abc import Iterator
from typing import BinaryIO, cast

from dpkt import pcap

from mqtt_ids.errors import CaptureError
from mqtt_ids.sensors.capture import pcapng
from mqtt_ids.sensors.capture.bytestream import CHUNK, ByteStream, Damage
from mqtt_ids.sensors.capture.frame import LONGEST, Frame

__all__ = ["Frame", "frames"]

_MAGIC = 4  # bytes
_GZIP = b"\x1f\x8b"
_NANO = pcap.TCPDUMP_MAGIC_NANO
_MODIFIED = pcap.MODPCAP_MAGIC  # Kuznetzov's: eight bytes more of each frame
_PCAP = (pcap.TCPDUMP_MAGIC, _NANO, _MODIFIED)
_LINK_TYPE = 0x03FFFFFF  # the bits above tell of a frame check sequence

_RIGHT = "what tcpdump or Wireshark wrote (pcap, pcapng) is expected"
_UNPACK = "unpack it first"
_CONVERT = "convert it with: editcap -F pcapng"
_FOREIGN = (  # offset, bytes, what it is, what would be right
    (0, b"\x7fELF", "a program (ELF)", _RIGHT),
    (0, b"PK\x03\x04", "a zip archive", _UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "compressed with zstd", _UNPACK),
    (0, b"\x04\x22\x4d\x18", "compressed with lz4", _UNPACK),
    (0, b"\xfd7zXZ\x00", "compressed with xz", _UNPACK),
    (0, b"BZh", "compressed with bzip2", _UNPACK),
    (0, _GZIP, "compressed with gzip twice", _UNPACK),
    (257, b"ustar", "a tar archive", _UNPACK),
    (0, b"snoop\0\0\0", "a snoop capture", _CONVERT),
    (0, b"GMBU", "a Microsoft Network Monitor capture", _CONVERT),
    (0, b"PAR1", "a Parquet file", _RIGHT),
    # An ETL file has no magic, but its first buffer is one of type "header".
    (0x36, b"\x04\0", "a Windows trace (ETL)", "convert it with: pktmon etl2pcap"),
)


def frames(stream: BinaryIO, name: str) -> Iterator[Frame]:
    """The frames of a capture in the order of the file, each as soon as its last byte is there.

    `stream` is read forwards only and not closed; `name` stands in front of each error. A time
    stamp that is not there (pcapng's simple packet block) or beyond the year 9999 is the last one
    known, the epoch before any. Whatever the bytes are, what is held is bounded: by the longest
    block, of 16 MiB, and its copies.

    CaptureError is raised before the first frame for what is no capture, and after the last one
    that can be read for a capture that is cut off or damaged.
    """
    count = 0
    try:
        for frame in _read(ByteStream(stream)):
            yield frame
            count += 1
    except Damage as damage:
        after = f", after frame {count:,}" if count else ""
        raise CaptureError(f"{name}: {damage}{after}") from None


def _read(source: ByteStream) -> Iterator[Frame]:
    if not source.fill(0, _MAGIC, f"too short for a capture: {_RIGHT}"):
        raise Damage(f"empty: {_RIGHT}")
    if source.data.startswith(_GZIP):
        packed = io.BufferedReader(source, CHUNK)
        source = ByteStream(cast("BinaryIO", gzip.GzipFile(fileobj=packed, mode="rb")))
        if not source.fill(0, _MAGIC, f"too short for a capture: {_RIGHT}"):
            raise Damage(f"empty once unpacked: {_RIGHT}")
    if source.data.startswith(pcapng.MAGIC):
        return pcapng.frames(source)
    for order in "<>":
        magic = int.from_bytes(source.data[:_MAGIC], "little" if order == "<" else "big")
        if magic in _PCAP:
            return _pcap(source, order, magic)
    raise Damage(_foreign(source.data))


def _pcap(source: ByteStream, order: str, magic: int) -> Iterator[Frame]:
    """The frames of a pcap file, whose byte order and magic number are known."""
    head = pcap.FileHdr if order == ">" else pcap.LEFileHdr
    start = head.__hdr_len__
    source.fill(0, start, "cut off in its header")
    link = head(source.data[:start]).linktype & _LINK_TYPE
    units = 1_000_000_000 if magic == _NANO else 1_000_000
    layout = struct.Struct(order + ("IIII8x" if magic == _MODIFIED else "IIII"))
    unpack, size = layout.unpack_from, layout.size
    data, at = source.data, start
    while True:
        if len(data) - at < size:
            if not source.fill(at, size):
                return
            data, at = source.data, 0
        seconds, part, held, wire = unpack(data, at)
        if held > LONGEST:
            raise Damage(f"damaged (a frame of {held:,} bytes)")
        end = at + size + held
        if end > len(data):
            source.fill(at, size + held)
            data, at, end = source.data, 0, size + held
        yield seconds + part / units, link, max(wire, held), data[at + size : end]
        at = end


def _foreign(data: bytes) -> str:
    """What a file that is no capture looks like, and what would be right."""
    for offset, magic, looks, right in _FOREIGN:
        if data.startswith(magic, offset):
            return f"{looks}, not a capture: {right}"
    start = data[:512]
    if all(byte >= ord(" ") or byte in b"\t\n\r\f" for byte in start):
        return f"text, not a capture: {_RIGHT}"
    return f"no capture (it starts with {start[:8].hex(' ')}): {_RIGHT}"
