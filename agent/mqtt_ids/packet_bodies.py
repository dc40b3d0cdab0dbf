"""The bodies of all MQTT packets but PUBLISH: what follows the fixed header, held whole.

Section numbers are those of the MQTT 5 standard unless 3.1 or 3.1.1 is named. A body that its
version's standard forbids raises MalformedError; MQTT 3.1 forbids less than its successors.
"""

from collections.abc import Callable
from typing import Final, NamedTuple, cast

from mqtt_ids.packet_fields import Fields, MalformedError, check_filter, check_topic, packet_id
from mqtt_ids.packet_headers import MAX_QOS
from mqtt_ids.packet_properties import WILL, read_properties
from mqtt_ids.packets import (
    MQTT_5,
    MQTT_31,
    MQTT_311,
    AckPacket,
    AckType,
    AuthPacket,
    ConnackPacket,
    ConnectPacket,
    DisconnectPacket,
    Packet,
    PacketType,
    PingreqPacket,
    PingrespPacket,
    SubackPacket,
    SubscribePacket,
    UnsubackPacket,
    UnsubscribePacket,
)

_PROTOCOLS: Final = {"MQIsdp": (MQTT_31,), "MQTT": (MQTT_311, MQTT_5)}
_BRIDGE: Final = 0x80  # Mosquitto's bridges set this bit in the protocol level

# The flags of CONNECT (section 3.1.2.3).
_RESERVED: Final = 0x01
_CLEAN: Final = 0x02
_WILL: Final = 0x04
_WILL_RETAIN: Final = 0x20
_PASSWORD: Final = 0x40
_USERNAME: Final = 0x80

# The options of a subscription (section 3.8.3.1).
_NO_LOCAL: Final = 0x04
_OPTIONS_5: Final = 0x3F
_RETAIN_HANDLING: Final = 0x30  # both bits together are an error

_REFUSED: Final = 0x80


class Header(NamedTuple):
    """What is known of a packet before its body. `size` counts the whole packet."""

    type: PacketType
    version: int
    size: int


def decode_body(header: Header, body: Fields) -> Packet:
    """Decode the packet; raises MalformedError unless it fills the body exactly."""
    packet = _BODIES[header.type](header, body)
    body.finish()
    return packet


def _connect(header: Header, body: Fields) -> ConnectPacket:
    version = _protocol(body.text(), body.byte())
    flags = body.byte()
    _check_connect_flags(flags, version)
    keep_alive = body.word()
    if version == MQTT_5:
        read_properties(body, PacketType.CONNECT)
    client_id = body.text()
    will_topic, will_size = _will(body, version) if flags & _WILL else (None, 0)
    # In 3.1 the remaining length wins over the flags of user name and password (section 3.1).
    optional = version == MQTT_31
    has_username = flags & _USERNAME and (body.left or not optional)
    username = body.text() if has_username else None
    has_password = flags & _PASSWORD and (body.left or not optional)
    return ConnectPacket(
        version=version,
        client_id=client_id,
        username=username,
        password=body.binary() if has_password else None,
        keep_alive=keep_alive,
        clean_session=bool(flags & _CLEAN),
        will_topic=will_topic,
        will_size=will_size,
        will_qos=flags >> 3 & 3 if flags & _WILL else 0,
        will_retain=bool(flags & _WILL and flags & _WILL_RETAIN),
        size=header.size,
    )


def _protocol(name: str, level: int) -> int:
    """The version that protocol name and level stand for (sections 3.1.2.1 and 3.1.2.2)."""
    versions = _PROTOCOLS.get(name)
    if versions is None:
        raise MalformedError("protocol-name", "neither MQTT nor MQIsdp")
    version = level & ~_BRIDGE
    if version not in versions:
        raise MalformedError("protocol-version", f"protocol level {level}")
    return version


def _check_connect_flags(flags: int, version: int) -> None:
    """Section 3.1.2.3. In 3.1 unused flags mean nothing, so only QoS 3 is wrong there."""
    has_will = flags & _WILL
    qos = flags >> 3 & 3
    if has_will and qos > MAX_QOS:
        raise MalformedError("bad-qos", "a will of quality of service 3")
    if flags & _PASSWORD and not flags & _USERNAME and version < MQTT_5:
        raise MalformedError("password-without-username", "password flag without user name flag")
    if version == MQTT_31:
        return
    if flags & _RESERVED:
        raise MalformedError("bad-flags", "the reserved flag of CONNECT is set")
    if not has_will and (qos or flags & _WILL_RETAIN):
        raise MalformedError("will-flags", "quality of service or retain without a will")


def _will(body: Fields, version: int) -> tuple[str, int]:
    """The will's topic and the size of its payload (sections 3.1.3.2 to 3.1.3.4)."""
    if version == MQTT_5:
        read_properties(body, WILL)
    topic = body.text()
    check_topic(topic)
    return topic, len(body.binary())


def _connack(header: Header, body: Fields) -> ConnackPacket:
    flags, code = body.byte(), body.byte()
    if flags > 1 and header.version != MQTT_31:
        raise MalformedError("bad-flags", "a reserved flag of CONNACK is set")
    # A server that does not speak MQTT 5 refuses it in the words of 3.1.1, without properties.
    if header.version < MQTT_5 or not body.left:
        return ConnackPacket(code, bool(flags & 1))
    properties = read_properties(body, PacketType.CONNACK)
    return ConnackPacket(code, bool(flags & 1), properties.assigned_client_id)


def _ack(header: Header, body: Fields) -> AckPacket:
    identifier = packet_id(body)
    return AckPacket(cast("AckType", header.type), identifier, _reason(header, body))


def _reason(header: Header, body: Fields) -> int:
    """MQTT 5's reason code and properties, of which the end may be left out (section 3.4.2)."""
    if header.version < MQTT_5 or not body.left:
        return 0
    reason = body.byte()
    if body.left:
        read_properties(body, header.type)
    return reason


def _subscribe(header: Header, body: Fields) -> SubscribePacket:
    identifier = packet_id(body)
    if header.version == MQTT_5:
        read_properties(body, header.type)
    filters = []
    while body.left:
        topic_filter = body.text()
        check_filter(topic_filter, header.version)
        filters.append((topic_filter, _requested_qos(body.byte(), topic_filter, header.version)))
    if not filters:
        raise MalformedError("no-filter", "SUBSCRIBE without a topic filter")
    return SubscribePacket(identifier, tuple(filters))


def _requested_qos(options: int, topic_filter: str, version: int) -> int:
    """The quality of service in a subscription's options (section 3.8.3.1; 3.1.1: 3.8.3)."""
    qos = options & 3
    if qos > MAX_QOS:
        raise MalformedError("bad-qos", "a subscription at quality of service 3")
    if version == MQTT_31:
        return qos
    reserved = options & ~(_OPTIONS_5 if version == MQTT_5 else 3)
    if reserved or options & _RETAIN_HANDLING == _RETAIN_HANDLING:
        raise MalformedError("bad-flags", "reserved options of a subscription are set")
    if options & _NO_LOCAL and topic_filter.startswith("$share/"):
        raise MalformedError("bad-flags", "no local on a shared subscription")
    return qos


def _suback(header: Header, body: Fields) -> SubackPacket:
    identifier = packet_id(body)
    if header.version == MQTT_5:
        read_properties(body, header.type)
    codes = _codes(body)
    if any(MAX_QOS < code < _REFUSED for code in codes):
        raise MalformedError("bad-code", "a code of SUBACK that no version defines")
    return SubackPacket(identifier, codes)


def _unsubscribe(header: Header, body: Fields) -> UnsubscribePacket:
    identifier = packet_id(body)
    if header.version == MQTT_5:
        read_properties(body, header.type)
    filters = []
    while body.left:
        topic_filter = body.text()
        check_filter(topic_filter, header.version)
        filters.append(topic_filter)
    if not filters:
        raise MalformedError("no-filter", "UNSUBSCRIBE without a topic filter")
    return UnsubscribePacket(identifier, tuple(filters))


def _unsuback(header: Header, body: Fields) -> UnsubackPacket:
    identifier = packet_id(body)
    if header.version < MQTT_5:
        return UnsubackPacket(identifier)
    read_properties(body, header.type)
    return UnsubackPacket(identifier, _codes(body))


def _codes(body: Fields) -> tuple[int, ...]:
    """All that is left, one code a byte."""
    return tuple(body.byte() for _ in range(body.left))


_BODIES: Final[dict[PacketType, Callable[[Header, Fields], Packet]]] = {
    PacketType.CONNECT: _connect,
    PacketType.CONNACK: _connack,
    PacketType.PUBACK: _ack,
    PacketType.PUBREC: _ack,
    PacketType.PUBREL: _ack,
    PacketType.PUBCOMP: _ack,
    PacketType.SUBSCRIBE: _subscribe,
    PacketType.SUBACK: _suback,
    PacketType.UNSUBSCRIBE: _unsubscribe,
    PacketType.UNSUBACK: _unsuback,
    PacketType.PINGREQ: lambda _header, _body: PingreqPacket(),
    PacketType.PINGRESP: lambda _header, _body: PingrespPacket(),
    PacketType.DISCONNECT: lambda header, body: DisconnectPacket(_reason(header, body)),
    PacketType.AUTH: lambda header, body: AuthPacket(_reason(header, body)),
}
