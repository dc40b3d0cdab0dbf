"""MQTT 3.1.1 packets as bytes, whole or broken, for scripts and for the live player."""

import struct

from mqtt_ids.lab.actions import (
    Action,
    Connect,
    Disconnect,
    Ping,
    Publish,
    Subscribe,
    Unsubscribe,
)

_CLEAN, _WILL, _PASSWORD, _USERNAME = 0x02, 0x04, 0x40, 0x80


def encode(action: Action, packet_id: int) -> bytes:
    """The packet of this action; TypeError for an action that is no packet."""
    if isinstance(action, Connect):
        return connect(action)
    if isinstance(action, Publish):
        return publish(action, packet_id)
    if isinstance(action, Subscribe):
        return subscribe(action.filters, action.qos, packet_id)
    if isinstance(action, Unsubscribe):
        return unsubscribe(action.filters, packet_id)
    if isinstance(action, Ping):
        return b"\xc0\x00"
    if isinstance(action, Disconnect):
        return b"\xe0\x00"
    raise TypeError(f"{action!r} is no packet")


def packet(first: int, body: bytes) -> bytes:
    """A packet with this first byte (type and flags) and its remaining length."""
    length, digits = len(body), bytearray()
    while True:
        length, digit = divmod(length, 128)
        digits.append(digit | 0x80 if length else digit)
        if not length:
            return bytes([first]) + bytes(digits) + body


def text(value: str | bytes) -> bytes:
    """A string with its length before it."""
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("!H", len(data)) + data


def connect(action: Connect, *, protocol: str = "MQTT", more_flags: int = 0) -> bytes:
    """CONNECT. The will, where there is one, says `offline`. Always protocol level 4."""
    flags, payload = more_flags, text(action.client_id)
    if action.clean:
        flags |= _CLEAN
    if action.will_topic is not None:
        flags |= _WILL
        payload += text(action.will_topic) + text("offline")
    if action.username is not None:
        flags |= _USERNAME
        payload += text(action.username)
        if action.password is not None:
            flags |= _PASSWORD
            payload += text(action.password)
    head = text(protocol) + struct.pack("!BBH", 4, flags, action.keep_alive)
    return packet(0x10, head + payload)


def publish(action: Publish, packet_id: int = 1) -> bytes:
    """PUBLISH with a payload of as many bytes as the action says."""
    return broken_publish(action.topic, action.size, action.qos, packet_id, retain=action.retain)


def broken_publish(
    topic: str | bytes, size: int, qos: int = 0, packet_id: int = 1, *, retain: bool = False
) -> bytes:
    """PUBLISH on any topic and quality of service, right or wrong."""
    marks = struct.pack("!H", packet_id) if qos else b""
    return packet(0x30 | qos << 1 | retain, text(topic) + marks + b"0" * size)


def subscribe(filters: tuple[str, ...], qos: int, packet_id: int, *, first: int = 0x82) -> bytes:
    """SUBSCRIBE; with another `first` byte its flags are wrong."""
    body = b"".join(text(one) + bytes([qos]) for one in filters)
    return packet(first, struct.pack("!H", packet_id) + body)


def unsubscribe(filters: tuple[str, ...], packet_id: int) -> bytes:
    """UNSUBSCRIBE."""
    body = b"".join(text(one) for one in filters)
    return packet(0xA2, struct.pack("!H", packet_id) + body)


def ack(first: int, packet_id: int) -> bytes:
    """PUBACK, PUBREC, PUBREL or PUBCOMP, by its first byte."""
    return packet(first, struct.pack("!H", packet_id))
