"""Mosquitto's log lines, of 2.0 and 2.1, as records. Nothing is known here of who is connected.

Each line is `[STAMP: ]TEXT`, cut at 999 bytes (`stamps` takes the stamp off). Ids, topics and user
names stand in it unescaped, so each pattern is anchored at whichever end the broker wrote itself;
where that leaves more than one reading, the record holds them all. Nothing raises on any bytes.
"""

import re
from collections.abc import Callable
from typing import Final

from mqtt_ids.sensors.mosquitto.records import (
    Accepted,
    Acknowledged,
    Answered,
    AnyRecord,
    Ended,
    Fault,
    Indented,
    Noise,
    Opening,
    Reading,
    Said,
    Sent,
    Started,
    TakenOver,
    TurnedAway,
    Will,
)

MOST_READINGS: Final = 8  # of one line
CUT: Final = 999  # bytes of a line, its stamp included; what was longer lost its end
KEY: Final = (
    800  # bytes of an id by which it is known: as many as the longest head leaves of a line
)

VERSION: Final = b"protocol version"  # a fault that CONNACK has a code for
PROTOCOLS: Final = {b"1": 3, b"2": 4, b"3": 3, b"4": 4, b"5": 5}  # 2.0 counts from 1, 2.1 from 3
OLD_PROTOCOLS: Final = frozenset({b"1", b"2"})
NEW: Final = (2, 1)  # the version whose lines differ
NEW_PROTOCOLS: Final = frozenset({b"3", b"4"})

DEBUG: Final = Noise(debug=True)
NOISE: Final = Noise()
_ACKNOWLEDGED: Final = Acknowledged()
_NO_WILL: Final = Will(topic_follows=False)
_WILL: Final = Will(topic_follows=True)

_STARTED: Final = re.compile(
    rb"mosquitto version (\d{1,3})\.(\d{1,3})\S{0,40} (?:starting|terminating)"
)
_OPENING: Final = re.compile(
    rb"New connection from ([0-9A-Fa-f.:]+|\(null\)):(\d{1,5}) on port \d{1,5}\."
)
_ACCEPTED: Final = re.compile(
    rb"New (?:client|bridge) connected from ([0-9A-Fa-f.:]+|\(null\)):(\d{1,5}) as (.*)", re.DOTALL
)
_CONNECT: Final = re.compile(rb" \(p(\d), c([01]), k(\d{1,5})(?:\)\.\Z|, u')")
_NEW_END: Final = re.compile(
    rb"Client (.*) \[([0-9A-Fa-f.:]+|\(null\)):(\d{1,5})\] disconnected(?:: (.*?))?\.?", re.DOTALL
)
_TURNED_AWAY: Final = re.compile(
    rb"(?:Client c|C)onnection from (\S+) denied(?:: | access )[^']*", re.DOTALL
)
_ANSWERED: Final = re.compile(rb"Sending CONNACK to (.*) \([01], (\d{1,3})\)", re.DOTALL)
_SAID: Final = re.compile(
    rb"Received (PINGREQ|SUBSCRIBE|UNSUBSCRIBE|DISCONNECT) from (.*)", re.DOTALL
)
_SENT: Final = re.compile(rb"(?:Denied|Dropped too large) PUBLISH from (.*)", re.DOTALL)
_FAULT: Final = re.compile(rb"Protocol error from .*: (.*?)\.?", re.DOTALL)
_BAD: Final = re.compile(rb"Bad socket read/write on client (.*): ([^:]*?)\.?", re.DOTALL)
_SOCKET: Final = re.compile(rb"Socket error on client (.*), disconnecting\.", re.DOTALL)

# How 2.0 ends its lines, and the reason in 2.1's words: only so can the id before it be told.
_ENDINGS: Final = {
    b" closed its connection.": b"connection closed by client",
    b" disconnected.": b"",
    b" has exceeded timeout, disconnecting.": b"exceeded timeout",
    b" been disconnected by administrative action.": b"administrative action",
    b" disconnected, not authorised.": b"not authorised",
    b" disconnected due to malformed packet.": b"malformed packet",
    b" disconnected due to protocol error.": b"protocol error",
    b" disconnected due to oversize packet.": b"oversize packet",
    b" disconnected due to oversize payload.": b"oversize payload",
    b" disconnected due to out of memory.": b"out of memory",
    b" disconnected due to using not allowed feature"
    b" (QoS too high, retain not supported, or bad AUTH method).": b"used disallowed feature",
}
_ENDS: Final = tuple(_ENDINGS)
_TAKEN_OVER: Final = b" already connected, closing old connection."
_ERROR: Final = b" disconnected: "
_RECEIVED: Final = b"Received PUBLISH from "
_CONNACK: Final = b"Sending CONNACK to "
_CLIENT: Final = b"Client "


def parse(text: bytes) -> AnyRecord | None:
    """What a line without its stamp says; None where no broker writes such about a client."""
    if text.startswith(_RECEIVED):
        return Sent(text[len(_RECEIVED) :])
    reader = _HEADS.get(text[:4])
    if reader is not None:
        return reader(text)
    return Indented(text[1:]) if text[:1] == b"\t" else None


def parse_cut(text: bytes) -> AnyRecord | None:
    """The same for a line that lost its end: within an id, a user name or a topic."""
    if text.startswith(_CONNACK):  # whoever is refused is seldom named, and never at such length
        return Answered(text[len(_CONNACK) :], 0)
    record = parse(text)
    if record is NOISE and text.startswith(_CLIENT) and len(text) >= len(_CLIENT) + KEY:
        return Ended(text[len(_CLIENT) :], b"connection closed by client")
    return record


def _sending(text: bytes) -> AnyRecord | None:
    if text.startswith(b"Sending PUBLISH to "):
        return DEBUG
    if text.startswith(_CONNACK):
        found = _ANSWERED.fullmatch(text)
        return DEBUG if found is None else Answered(found[1], int(found[2]))
    if text.startswith((b"Sending SUBACK to ", b"Sending UNSUBACK to ")):
        return _ACKNOWLEDGED
    return DEBUG


def _received(text: bytes) -> AnyRecord | None:
    found = _SAID.fullmatch(text)
    if found is not None:
        return Said(found[1], found[2])
    return DEBUG if b" from " in text else None


def _sent(text: bytes) -> AnyRecord | None:
    found = _SENT.fullmatch(text)
    return None if found is None else Sent(found[1])


def _new(text: bytes) -> AnyRecord | None:
    found = _OPENING.fullmatch(text)
    if found is not None:
        return Opening(found[1], int(found[2]))
    found = _ACCEPTED.fullmatch(text)
    if found is None:
        return None
    return Accepted(found[1], int(found[2]), _readings(found[3]))


def _readings(rest: bytes) -> tuple[Reading, ...]:
    """The readings of `ID (p2, c1, k60, u'USER').`, any part of which may be in ID or in USER."""
    whole, parts = rest.endswith(b")."), []
    for found in reversed(list(_CONNECT.finditer(rest))):
        username = None
        if found[0].endswith(b"u'"):
            username = rest[found.end() :]
            if whole and not username.endswith(b"')."):
                continue
            username = username.removesuffix(b"').")
        name, protocol, clean, keep_alive = rest[: found.start()], *found.groups()
        parts.append(Reading(name, protocol, clean == b"1", int(keep_alive), username))
        if len(parts) == MOST_READINGS:
            break
    if not (whole and parts):  # cut: perhaps within the id
        parts.insert(0, Reading(rest))
    return tuple(parts)


def _client(text: bytes) -> AnyRecord | None:
    if text.endswith(_TAKEN_OVER):
        return TakenOver(text[len(_CLIENT) : -len(_TAKEN_OVER)])
    if text.endswith(_ENDS):
        ending = next(each for each in _ENDS if text.endswith(each))
        whole, reason = text[len(_CLIENT) : -len(ending)], _ENDINGS[ending]
    elif (at := text.rfind(_ERROR)) >= 0:
        whole, reason = text[len(_CLIENT) : at], text[at + len(_ERROR) :].removesuffix(b".")
    else:
        return _turned_away(text) or NOISE
    found = _NEW_END.fullmatch(text)
    if found is None:
        return Ended(whole, reason)
    return Ended(whole, reason, found[1], found[2], int(found[3]))


def _turned_away(text: bytes) -> AnyRecord | None:
    found = _TURNED_AWAY.fullmatch(text)
    return None if found is None else TurnedAway(found[1])


def _bad(text: bytes) -> AnyRecord | None:
    found = _BAD.fullmatch(text)
    if found is not None:
        return Ended(found[1], found[2])
    if text.startswith(b"Bad client ") and text.endswith(b" sending multiple CONNECT messages."):
        return Fault(b"second CONNECT")
    return None


def _socket(text: bytes) -> AnyRecord | None:
    found = _SOCKET.fullmatch(text)
    return None if found is None else Ended(found[1], b"connection closed by client")


def _protocol(text: bytes) -> AnyRecord | None:
    found = _FAULT.fullmatch(text)
    return None if found is None else Fault(found[1])


def _invalid(text: bytes) -> AnyRecord | None:
    if text.startswith(b"Invalid protocol version "):
        return Fault(VERSION)
    if text.startswith(b"Invalid protocol "):
        return Fault(b"bad protocol name")
    what, _, who = text.rpartition(b" from ")
    return Fault(what) if who.endswith(b", disconnecting.") else None


def _will(text: bytes) -> AnyRecord | None:
    return _WILL if text.startswith(b"Will message specified (") else None


def _no_will(text: bytes) -> AnyRecord | None:
    return _NO_WILL if text == b"No will message specified." else None


def _mosquitto(text: bytes) -> AnyRecord | None:
    found = _STARTED.fullmatch(text)
    if found is None:
        return NOISE if text.startswith(b"mosquitto version ") else None
    return Started(old=(int(found[1]), int(found[2])) < NEW)


_HEADS: Final[dict[bytes, Callable[[bytes], AnyRecord | None]]] = {
    b"mosq": _mosquitto,
    b"Send": _sending,
    b"Rece": _received,
    b"Deni": _sent,
    b"Drop": _sent,
    b"New ": _new,
    b"Clie": _client,
    b"Conn": _turned_away,
    b"Bad ": _bad,
    b"Sock": _socket,
    b"Prot": _protocol,
    b"Inva": _invalid,
    b"Empt": _invalid,
    b"Will": _will,
    b"No w": _no_will,
}
