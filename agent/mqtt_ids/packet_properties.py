"""The properties of MQTT 5 packets: checked and skipped, but for the three that matter here."""

from collections.abc import Callable
from typing import Final, NamedTuple

from mqtt_ids.packet_fields import Fields, MalformedError, check_topic
from mqtt_ids.packets import PacketType

WILL: Final = 0  # the will's own properties inside CONNECT; 0 is no packet type
_SUBSCRIPTION_ID: Final = 0x0B
_ASSIGNED_CLIENT_ID: Final = 0x12
_TOPIC_ALIAS: Final = 0x23
_USER_PROPERTY: Final = 0x26

_ANY_LONG: Final = 0xFFFF_FFFF


class Properties(NamedTuple):
    """The properties that are kept, each None where the packet has none."""

    topic_alias: int | None
    subscription_id: int | None
    assigned_client_id: str | None


class _Property(NamedTuple):
    """How one property is read, which packets may hold it, and the range of its integer."""

    read: Callable[[Fields], int | str | None]
    holders: frozenset[int]
    low: int = 0
    high: int = _ANY_LONG


def _response_topic(fields: Fields) -> None:
    """A topic name (section 3.3.2.3.5)."""
    check_topic(fields.text())


def _pair(fields: Fields) -> None:
    """A pair of texts."""
    fields.text()
    fields.text()


def _binary(fields: Fields) -> None:
    """Binary data of any content."""
    fields.binary()


_CONNECT: Final = frozenset({PacketType.CONNECT})
_CONNACK: Final = frozenset({PacketType.CONNACK})
_BOTH: Final = _CONNECT | _CONNACK
_AUTH: Final = _BOTH | {PacketType.AUTH}
_PUBLISH: Final = frozenset({PacketType.PUBLISH})
_MESSAGE: Final = frozenset({PacketType.PUBLISH, WILL})
_SUBSCRIBE: Final = frozenset({PacketType.SUBSCRIBE})
_DISCONNECT: Final = frozenset({PacketType.DISCONNECT})
_EVERY: Final = frozenset({WILL, *PacketType}) - {PacketType.PINGREQ, PacketType.PINGRESP}
_ANSWERS: Final = _EVERY - _MESSAGE - _SUBSCRIBE - {PacketType.CONNECT, PacketType.UNSUBSCRIBE}

# MQTT 5, table 2-4, and the value ranges of chapter 3.
_PROPERTIES: Final = {
    0x01: _Property(Fields.byte, _MESSAGE, high=1),  # payload format indicator
    0x02: _Property(Fields.long, _MESSAGE),  # message expiry interval
    0x03: _Property(Fields.text, _MESSAGE),  # content type
    0x08: _Property(_response_topic, _MESSAGE),
    0x09: _Property(_binary, _MESSAGE),  # correlation data
    _SUBSCRIPTION_ID: _Property(Fields.variable, _PUBLISH | _SUBSCRIBE, low=1),
    0x11: _Property(Fields.long, _BOTH | _DISCONNECT),  # session expiry interval
    _ASSIGNED_CLIENT_ID: _Property(Fields.text, _CONNACK),
    0x13: _Property(Fields.word, _CONNACK),  # server keep alive
    0x15: _Property(Fields.text, _AUTH),  # authentication method
    0x16: _Property(_binary, _AUTH),  # authentication data
    0x17: _Property(Fields.byte, _CONNECT, high=1),  # request problem information
    0x18: _Property(Fields.long, frozenset({WILL})),  # will delay interval
    0x19: _Property(Fields.byte, _CONNECT, high=1),  # request response information
    0x1A: _Property(Fields.text, _CONNACK),  # response information
    0x1C: _Property(Fields.text, _CONNACK | _DISCONNECT),  # server reference
    0x1F: _Property(Fields.text, _ANSWERS),  # reason string
    0x21: _Property(Fields.word, _BOTH, low=1),  # receive maximum
    0x22: _Property(Fields.word, _BOTH),  # topic alias maximum
    _TOPIC_ALIAS: _Property(Fields.word, _PUBLISH),
    0x24: _Property(Fields.byte, _CONNACK, high=1),  # maximum quality of service
    0x25: _Property(Fields.byte, _CONNACK, high=1),  # retain available
    _USER_PROPERTY: _Property(_pair, _EVERY),
    0x27: _Property(Fields.long, _BOTH, low=1),  # maximum packet size
    0x28: _Property(Fields.byte, _CONNACK, high=1),  # wildcard subscriptions
    0x29: _Property(Fields.byte, _CONNACK, high=1),  # subscription identifiers
    0x2A: _Property(Fields.byte, _CONNACK, high=1),  # shared subscriptions
}


def read_properties(fields: Fields, holder: int) -> Properties:
    """Read the properties of a packet of type `holder` (or WILL), with their length before them.

    Raises MalformedError("bad-property"), or what a field raises.
    """
    block = fields.part(fields.variable())
    numbers: dict[int, int] = {}
    assigned_client_id = None
    seen = 0  # one bit per identifier
    while block.left:
        identifier = block.byte()
        rule = _PROPERTIES.get(identifier)
        if rule is None or holder not in rule.holders:
            raise MalformedError("bad-property", f"property {identifier:#04x} has no place here")
        if seen >> identifier & 1 and not _may_repeat(identifier, holder):
            raise MalformedError("bad-property", f"property {identifier:#04x} is repeated")
        seen |= 1 << identifier
        value = rule.read(block)
        if isinstance(value, int):
            if not rule.low <= value <= rule.high:
                raise MalformedError("bad-property", f"property {identifier:#04x} is out of range")
            numbers[identifier] = value
        elif identifier == _ASSIGNED_CLIENT_ID:
            assigned_client_id = value
    return Properties(
        topic_alias=numbers.get(_TOPIC_ALIAS),
        subscription_id=numbers.get(_SUBSCRIPTION_ID),
        assigned_client_id=assigned_client_id,
    )


def _may_repeat(identifier: int, holder: int) -> bool:
    """Tell whether a packet may hold this property more than once (sections 2.2.2, 3.3.2.3.8)."""
    return identifier == _USER_PROPERTY or (
        identifier == _SUBSCRIPTION_ID and holder == PacketType.PUBLISH
    )
