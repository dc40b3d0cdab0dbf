"""pcapng: sections of interfaces and frames (draft-ietf-opsawg-pcapng, section 4)."""

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from dpkt import pcapng

from mqtt_ids.sensors.capture.bytestream import ByteStream, Damage
from mqtt_ids.sensors.capture.frame import LONGEST, Frame

MAGIC = struct.pack(">I", pcapng.PCAPNG_BT_SHB)  # the same in both byte orders
LONGEST_BLOCK = 16 * 1024 * 1024  # bytes, as Wireshark reads them
MOST_INTERFACES = 4_096  # of one section; each is held
END_OF_TIME = 253_402_300_800  # s: the year 10,000, which no date can show

_SMALLEST = 12  # bytes of a block: its type, and its length at both ends
_PACKET_HEAD = 20  # bytes


Unpack = Callable[[bytes, int], tuple[int, ...]]


class _Interface(NamedTuple):
    link: int
    longest: int  # bytes captured of a frame at most
    units: int  # of a time stamp, to a second
    offset: int  # s added to each time stamp


def frames(source: ByteStream) -> Iterator[Frame]:
    """The frames of all sections. Damage after the last one that can be read."""
    section = Section("<", 0.0)
    data, at = source.data, 0
    while True:
        if len(data) - at < _SMALLEST:
            if not source.fill(at, _SMALLEST):
                return
            data, at = source.data, 0
        if data.startswith(MAGIC, at):
            section = Section(_order(data[at + 8 : at + 12]), section.time)
        kind, length = section.head(data, at)
        if not _SMALLEST <= length <= LONGEST_BLOCK or length % 4:
            raise Damage(f"damaged (a block of {length:,} bytes)")
        end = at + length
        if end > len(data):
            source.fill(at, length)
            data, at, end = source.data, 0, length
        if data[at + 4 : at + 8] != data[end - 4 : end]:
            raise Damage("damaged (the two lengths of a block differ)")
        frame = section.read(kind, data, at + 8, end - 4)
        if frame is not None:
            yield frame
        at = end


def _order(magic: bytes) -> str:
    for order in "<>":
        if magic == struct.pack(order + "I", pcapng.BYTE_ORDER_MAGIC):
            return order
    raise Damage("damaged (a section of no byte order)")


class Section:
    """One section: its byte order, its interfaces, and how its blocks are read."""

    def __init__(self, order: str, time: float) -> None:
        self.time = time  # of the last frame
        self.head = struct.Struct(order + "II").unpack_from
        self._order = order
        self._interfaces: list[_Interface] = []
        self._enhanced_head = struct.Struct(order + "IIIII").unpack_from
        self._obsolete_head = struct.Struct(order + "HxxIIII").unpack_from

    def read(self, kind: int, data: bytes, at: int, end: int) -> Frame | None:
        """The frame in a block's content, `data[at:end]`; None where that holds none.

        Damage where the content is not what a block of this type has.
        """
        if kind == pcapng.PCAPNG_BT_EPB:
            return self._packet(self._enhanced_head, data, at, end)
        if kind == pcapng.PCAPNG_BT_PB:
            return self._packet(self._obsolete_head, data, at, end)
        if kind == pcapng.PCAPNG_BT_SPB:
            return self._simple(data, at, end)
        if kind == pcapng.PCAPNG_BT_IDB:
            self._interface(data, at, end)
        elif kind == pcapng.PCAPNG_BT_SHB:
            self._section(data, at, end)
        return None

    def _section(self, data: bytes, at: int, end: int) -> None:
        if end - at < 16:  # noqa: PLR2004  # byte-order magic, version, length of the section
            raise Damage("damaged (a section without a head)")
        (major,) = struct.unpack_from(self._order + "H", data, at + 4)
        if major != pcapng.PCAPNG_VERSION_MAJOR:
            raise Damage(f"pcapng of version {major}, and only 1 is known")

    def _interface(self, data: bytes, at: int, end: int) -> None:
        if end - at < 8:  # noqa: PLR2004  # link type, reserved, snapshot length
            raise Damage("damaged (an interface without a link type)")
        if len(self._interfaces) == MOST_INTERFACES:
            raise Damage(f"damaged (more than {MOST_INTERFACES:,} interfaces)")
        link, snapshot = struct.unpack_from(self._order + "HxxI", data, at)
        units, offset = 1_000_000, 0
        for code, value in self._options(data, at + 8, end):
            if code == pcapng.PCAPNG_OPT_IF_TSRESOL and len(value) == 1:
                exponent = value[0] & 0x7F
                units = 2**exponent if value[0] & 0x80 else 10**exponent
            elif code == pcapng.PCAPNG_OPT_IF_TSOFFSET and len(value) == 8:  # noqa: PLR2004
                (offset,) = struct.unpack(self._order + "q", value)
        self._interfaces.append(_Interface(link, snapshot or LONGEST, units, offset))

    def _options(self, data: bytes, at: int, end: int) -> Iterator[tuple[int, bytes]]:
        """Code and value of each option; none behind one that is cut off."""
        while at + 4 <= end:
            code, length = struct.unpack_from(self._order + "HH", data, at)
            if code == pcapng.PCAPNG_OPT_ENDOFOPT or at + 4 + length > end:
                return
            yield code, data[at + 4 : at + 4 + length]
            at += 4 + (length + 3) // 4 * 4

    def _packet(self, head: Unpack, data: bytes, at: int, end: int) -> Frame:
        """An enhanced packet block, or the obsolete packet block: their heads differ."""
        start = at + _PACKET_HEAD
        if start > end:
            raise Damage("damaged (a frame without a head)")
        number, high, low, held, wire = head(data, at)
        if number >= len(self._interfaces):
            raise Damage("damaged (a frame of an unknown interface)")
        if held > end - start or held > LONGEST:
            raise Damage(f"damaged (a frame of {held:,} bytes)")
        link, _, units, offset = self._interfaces[number]
        time = (high << 32 | low) / units + offset
        if 0 <= time < END_OF_TIME:
            self.time = time
        return self.time, link, max(wire, held), data[start : start + held]

    def _simple(self, data: bytes, at: int, end: int) -> Frame:
        """A simple packet block: of the first interface, and how much was captured is implied."""
        start = at + 4
        if start > end:
            raise Damage("damaged (a frame without a head)")
        if not self._interfaces:
            raise Damage("damaged (a frame of an unknown interface)")
        (wire,) = struct.unpack_from(self._order + "I", data, at)
        link, longest, _, _ = self._interfaces[0]
        held = min(wire, longest)
        if held > end - start or held > LONGEST:
            raise Damage(f"damaged (a frame of {held:,} bytes)")
        return self.time, link, wire, data[start : start + held]
