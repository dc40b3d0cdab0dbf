"""What a client and a broker say to each other so that a sensor sees a given event.

MQTT 3.1, 3.1.1 and 5. `Speech` holds what one connection has to remember.
"""

import random
import struct
from collections.abc import Callable
from typing import Final

from mqtt_ids.events import (
    AnyEvent,
    Connected,
    Disconnected,
    Malformed,
    Pinged,
    Published,
    Refused,
    Subscribed,
    Unsubscribed,
)
from mqtt_ids.lab import fuzz, wire
from mqtt_ids.lab.actions import Send
from mqtt_ids.lab.talks import Side
from mqtt_ids.packets import MQTT_5, MQTT_31, MQTT_311

Said = list[tuple[Side, bytes]]

PASSWORD: Final = "let-me-in"  # noqa: S105 - whoever is accepted has one, and all have the same
_WILL, _USERNAME, _PASSWORD, _CLEAN = 0x04, 0x80, 0x40, 0x02
_FIRST_MQTT_5_CODE: Final = 0x80
_NAMES: Final = {MQTT_31: "MQIsdp", MQTT_311: "MQTT", MQTT_5: "MQTT"}
_TRUNCATED: Final = b"\x30\x20\x00\x04half"


class Speech:
    """The packets of one connection. `version` is learned from its CONNECT."""

    def __init__(self, version: int = MQTT_311) -> None:
        self.version = version
        self._packet_id = 0

    def of(self, event: AnyEvent) -> Said:
        """What is said for this event, in order; nothing where only TCP tells of it.

        Raises ValueError for a malformed packet of a kind that no script of the lab sends.
        """
        said: Said = []
        match event:
            case Connected():
                self.version = event.version
                said = [("client", connect(event)), ("server", self._accepted(event))]
            case Refused():
                self.version = _version(event)
                said = [("client", connect(event)), ("server", self._connack(event.code))]
            case Published():
                said = self._published(event)
            case Subscribed():
                body = b"".join(wire.text(one) + b"\x00" for one in event.filters)
                said = self._request(0x82, body, 0x90, bytes(len(event.filters)))
            case Unsubscribed():
                body = b"".join(map(wire.text, event.filters))
                codes = bytes(len(event.filters)) if self.version == MQTT_5 else b""
                said = self._request(0xA2, body, 0xB0, codes)
            case Pinged():
                said = [("client", b"\xc0\x00"), ("server", b"\xd0\x00")]
            case Disconnected():
                reason = bytes([event.reason]) if event.reason else b""
                said = [("client", wire.packet(0xE0, reason))]
            case Malformed():
                said = [("client", malformed(event))]
        return said

    @property
    def _properties(self) -> bytes:
        return b"\x00" if self.version == MQTT_5 else b""

    def _next_id(self) -> bytes:
        self._packet_id = self._packet_id % 0xFFFF + 1
        return struct.pack("!H", self._packet_id)

    def _accepted(self, event: Connected) -> bytes:
        if not event.id_was_empty or self.version != MQTT_5:
            return self._connack(0)
        assigned = b"\x12" + wire.text(event.client_id or "")  # section 3.2.2.3.7
        return wire.packet(0x20, b"\x00\x00" + bytes([len(assigned)]) + assigned)

    def _connack(self, code: int) -> bytes:
        return wire.packet(0x20, bytes([0, code]) + self._properties)

    def _published(self, event: Published) -> Said:
        qos, packet_id = event.qos, self._next_id() if event.qos else b""
        body = wire.text(event.topic) + packet_id + self._properties + bytes(event.size)
        said: Said = [("client", wire.packet(0x30 | qos << 1 | event.retain, body))]
        if qos == 1:
            said.append(("server", wire.packet(0x40, packet_id)))
        elif qos:
            said += [
                ("server", wire.packet(0x50, packet_id)),
                ("client", wire.packet(0x62, packet_id)),
                ("server", wire.packet(0x70, packet_id)),
            ]
        return said

    def _request(self, first: int, body: bytes, answer: int, codes: bytes) -> Said:
        head = self._next_id() + self._properties
        return [
            ("client", wire.packet(first, head + body)),
            ("server", wire.packet(answer, head + codes)),
        ]


def connect(event: Connected | Refused) -> bytes:
    """The CONNECT behind this event; for `Refused` the credential is the password."""
    keep_alive, flags, client_id, password = 60, _CLEAN, event.client_id or "", PASSWORD
    if isinstance(event, Connected):
        keep_alive, flags = event.keep_alive, _CLEAN if event.clean_session else 0
        client_id = "" if event.id_was_empty else client_id
    elif event.credential is not None:
        password = f"{event.credential:016x}"
    version = _version(event)
    properties = b"\x00" if version == MQTT_5 else b""
    payload = wire.text(client_id)
    if event.will_topic is not None:
        flags |= _WILL
        payload += properties + wire.text(event.will_topic) + wire.text("offline")
    if event.username is not None:
        flags |= _USERNAME | _PASSWORD
        payload += wire.text(event.username) + wire.text(password)
    head = wire.text(_NAMES[version]) + struct.pack("!BBH", version, flags, keep_alive)
    return wire.packet(0x10, head + properties + payload)


def _version(event: Connected | Refused) -> int:
    """The protocol level; a refusal tells it only by its code."""
    if isinstance(event, Connected):
        return event.version
    return MQTT_5 if event.code >= _FIRST_MQTT_5_CODE else MQTT_311


def malformed(event: Malformed) -> bytes:
    """Bytes in which a decoder of MQTT 3.1.1 finds what this event says is wrong."""
    if event.reason == "truncated":
        return wire.packet(0x10, bytes(20))[:6] if event.client_id is None else _TRUNCATED
    made = _FAULTS.get((event.client_id is not None, event.reason))
    if made is None:
        raise ValueError(f"no script sends what is wrong by {event.reason!r}")
    return made


def _faults() -> dict[tuple[bool, str], bytes]:
    """What the lab's fuzzer sends: by whether a CONNECT was accepted before, and by fault."""
    found: dict[tuple[bool, str], bytes] = {}
    tables = ((False, fuzz.BEFORE_CONNECT), (True, fuzz.AFTER_CONNECT))
    for accepted, table in tables:
        for attempt in table.values():
            _add(found, attempt, accepted=accepted)
    return found


def _add(
    found: dict[tuple[bool, str], bytes],
    attempt: Callable[[random.Random], fuzz.Attempt],
    *,
    accepted: bool,
) -> None:
    for action in attempt(random.Random(1)):
        if isinstance(action, Send) and action.fault is not None:
            found[accepted, action.fault] = action.data


_FAULTS: Final = _faults()
