"""The usual PUBLISH packet, decoded fast: what floods are made of, and most of a calm day."""

import re
from typing import Final

from mqtt_ids.packet_fields import MORE
from mqtt_ids.packets import MQTT_5, Packet, PublishPacket

_FIRST: Final = frozenset((0x30, 0x31, 0x32, 0x33))  # QoS 0 or 1, no duplicate
_SHORTEST: Final = 5  # bytes: a topic of one character
# Surely a topic name: ASCII without U+0000 and the wildcards "#" (23) and "+" (2B).
_is_topic: Final = re.compile(rb"[\x01-\x22\x24-\x2a\x2c-\x7f]+").fullmatch


def plain_publishes(data: bytes, at: int, version: int, out: list[Packet]) -> int:
    """Decode the PUBLISH packets that begin at `at`; where the first other packet begins.

    Taken are those under 130 bytes that are whole, sound and without properties; of any other
    nothing is said. Those that are the same but for their payload are one and the same record.
    """
    end, five, last, topic = len(data), version == MQTT_5, b"", ""
    while end - at >= _SHORTEST:
        first, length = data[at], data[at + 1]
        stop = at + 2 + length
        if first not in _FIRST or length >= MORE or stop > end:
            break
        payload = here = at + 4 + (data[at + 2] << 8 | data[at + 3])
        identifier = None
        if first & 2:
            payload += 2
            identifier = data[here] << 8 | data[here + 1] if payload <= stop else 0
        if five:
            payload += 1
        if payload > stop or identifier == 0 or (five and data[payload - 1]):  # properties
            break
        raw = data[at + 4 : here]
        if raw != last or not raw:
            if not _is_topic(raw):
                break
            last, topic = raw, raw.decode()
        qos, retain = first >> 1 & 1, first & 1 == 1
        size = stop - at
        out.append(PublishPacket(topic, stop - payload, qos, retain, False, identifier, size))  # noqa: FBT003 - no duplicate
        if identifier is None and data[stop : stop + 2] == data[at : at + 2]:
            at = _alike(data, data[at:payload], stop, size, out)
        else:
            at = stop
    return at


def _alike(data: bytes, header: bytes, at: int, size: int, out: list[Packet]) -> int:
    """Take the packets of `size` bytes with this very header from `at`; where they end."""
    publish, last = out[-1], len(data) - size
    while at <= last and data.startswith(header, at):
        out.append(publish)
        at += size
    return at
