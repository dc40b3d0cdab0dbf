"""The usual PUBLISH packet, decoded fast: what floods are made of, and most of a calm day."""

from typing import Final

from mqtt_ids.packet_fields import MORE
from mqtt_ids.packets import PublishPacket

_FIRST: Final = frozenset((0x30, 0x31, 0x32, 0x33))  # QoS 0 or 1, no duplicate
_SHORTEST: Final = 5  # bytes: a topic of one character


def plain_publishes(data: bytes, at: int, out: list[PublishPacket]) -> int:
    """Decode the PUBLISH packets of MQTT 3 that begin at `at`; where the first other one begins.

    Taken are those under 130 bytes that are whole and sound; of any other nothing is said.
    """
    end, last, topic = len(data), b"", ""
    while end - at >= _SHORTEST:
        first, length = data[at], data[at + 1]
        stop = at + 2 + length
        if first not in _FIRST or length >= MORE or stop > end:
            break
        here = at + 4 + (data[at + 2] << 8 | data[at + 3])
        raw, identifier = data[at + 4 : here], None
        if first & 2:
            here += 2
            identifier = data[here - 2] << 8 | data[here - 1] if here <= stop else 0
        if here > stop or identifier == 0:
            break
        if raw != last or not raw:
            if not _is_topic(raw):
                break
            last, topic = raw, raw.decode()
        retain = first & 1 == 1
        size = stop - here
        out.append(
            PublishPacket(topic, size, first >> 1 & 1, retain, False, identifier, stop - at)  # noqa: FBT003 - no duplicate
        )
        at = stop
    return at


def _is_topic(raw: bytes) -> bool:
    """Whether this is surely a topic name: ASCII without wildcards and U+0000."""
    return raw.isascii() and not (b"#" in raw or b"+" in raw or b"\0" in raw) and raw != b""
