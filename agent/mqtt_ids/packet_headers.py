"""The headers of MQTT packets: what the first byte may say, and where a PUBLISH's payload starts.

Section numbers are those of the MQTT 5 standard.
"""

from typing import Final

from mqtt_ids.packet_fields import (
    LENGTH_BYTES,
    FramingLostError,
    MalformedError,
    variable_integer,
)
from mqtt_ids.packets import MQTT_5, MQTT_31, PacketType

MAX_QOS: Final = 2
MAX_BODY: Final = 131_072  # room for the longest topic (65,535 bytes) and as much of properties

RETAIN: Final = 0x01
DUP: Final = 0x08

_BY_BOTH: Final = frozenset(
    {
        PacketType.PUBLISH,
        PacketType.PUBACK,
        PacketType.PUBREC,
        PacketType.PUBREL,
        PacketType.PUBCOMP,
        PacketType.AUTH,
    }
)
_BY_CLIENT: Final = _BY_BOTH | {
    PacketType.CONNECT,
    PacketType.SUBSCRIBE,
    PacketType.UNSUBSCRIBE,
    PacketType.PINGREQ,
    PacketType.DISCONNECT,
}
_BY_SERVER: Final = _BY_BOTH | {
    PacketType.CONNACK,
    PacketType.SUBACK,
    PacketType.UNSUBACK,
    PacketType.PINGRESP,
}
_BY_SERVER_5: Final = _BY_SERVER | {PacketType.DISCONNECT}

# The flags that a type must have, where they are not 0 (section 2.1.3).
_FLAGS: Final[dict[int, int]] = {
    PacketType.PUBREL: 2,
    PacketType.SUBSCRIBE: 2,
    PacketType.UNSUBSCRIBE: 2,
}


def check_first_byte(first: int, *, from_client: bool, version: int) -> None:
    """Raise MalformedError unless this sender may begin a packet so, any but PUBLISH.

    MQTT 3.1 gives the flags of most types no meaning, so they are not looked at there.
    """
    kind = first >> 4
    if kind == 0 or (kind == PacketType.AUTH and version < MQTT_5):
        raise MalformedError("reserved-type", f"packet type {kind}")
    by_server = _BY_SERVER_5 if version == MQTT_5 else _BY_SERVER
    if kind not in (_BY_CLIENT if from_client else by_server):
        raise MalformedError("wrong-direction", f"packet type {kind}")
    if version > MQTT_31 and first & 0x0F != _FLAGS.get(kind, 0):
        raise MalformedError("bad-flags", f"reserved flags of packet type {kind}")


def check_publish_flags(first: int, version: int) -> None:
    """Raise MalformedError unless a PUBLISH may begin so (section 3.3.1)."""
    qos = first >> 1 & 3
    if qos > MAX_QOS:
        raise MalformedError("bad-qos", "PUBLISH at quality of service 3")
    if first & DUP and not qos and version > MQTT_31:
        raise MalformedError("bad-flags", "PUBLISH is a duplicate at quality of service 0")


def long_length(data: bytes, at: int) -> tuple[int, int]:
    """A remaining length of more than one byte, and where the body starts; (0, 0) to wait."""
    end = len(data)
    found = variable_integer(data, at + 1, end)
    if found is not None:
        return found
    if end - at > LENGTH_BYTES:
        raise FramingLostError("remaining-length", "a length of more than four bytes")
    return 0, 0


def payload_start(data: bytes, body: int, stop: int, *, has_id: bool, version: int) -> int:
    """Where the payload of the PUBLISH in `data[body:stop]` starts.

    A result past the end of `data` says how far `data` must reach for more to be known. Raises
    MalformedError where the packet stops before, or where more than MAX_BODY would be held.
    """
    limit = min(stop, len(data))
    here = body + 2
    if here <= limit:
        here += data[body] << 8 | data[body + 1]
        if has_id:
            here += 2
        if version == MQTT_5 and here <= limit:
            here = _after_properties(data, here, limit)
    if here > stop:
        raise MalformedError("bad-length", "PUBLISH is too short for its fields")
    if here - body > MAX_BODY:
        raise MalformedError("too-large", "PUBLISH with too many properties")
    return here


def _after_properties(data: bytes, here: int, limit: int) -> int:
    """Where the properties at `here` end, or `limit + 1` while their length is not complete."""
    found = variable_integer(data, here, limit)
    if found is not None:
        length, start = found
        return start + length
    if limit - here >= LENGTH_BYTES:
        raise MalformedError("bad-length", "a property length without an end")
    return limit + 1
