"""Mosquitto's log as an attacker may shape it: lines of 2.0 and 2.1 around names of his choice."""

import random
from collections.abc import Iterator
from typing import Final

from fuzz_input import MOSTLY, RARELY, SOMETIMES, damaged

from mqtt_ids.sensors.mosquitto.lines import CUT

# {i} is an id, {t} a topic or filter, {u} a user name; {p} is a port.
_LINES: Final = (
    "mosquitto version 2.0.11 starting",
    "mosquitto version 2.1.2 terminating",
    "New connection from 10.0.0.{p}:{p} on port 1883.",
    "New connection from ::1:{p} on port 1883.",
    "New client connected from 10.0.0.{p}:{p} as {i} (p2, c1, k60).",
    "New client connected from 10.0.0.{p}:{p} as {i} (p5, c0, k65535, u'{u}').",
    "New client connected from ::1:{p} as {i} (p4, c1, k0, u'{u}').",
    "No will message specified.",
    "Will message specified (4 bytes) (r0, q0).",
    "\t{t}",
    "\t{t} (QoS 1)",
    "\t{t} (denied)",
    "Sending CONNACK to {i} (0, 0)",
    "Sending CONNACK to 10.0.0.{p} (0, 5)",
    "Sending CONNACK to {i} (1, 135)",
    "Received PUBLISH from {i} (d0, q1, r0, m7, '{t}', ... (5 bytes))",
    "Received PUBLISH from {i} (d0, q0, r1, m0, '{t}', ... (268435455 bytes))",
    "Denied PUBLISH from {i} (d0, q2, r0, m7, '{t}', ... (5 bytes))",
    "Dropped too large PUBLISH from {i} (d0, q2, r0, m7, '{t}', ... (5 bytes))",
    "Sending PUBLISH to {i} (d0, q1, r0, m7, '{t}', ... (5 bytes))",
    "Received SUBSCRIBE from {i}",
    "Received UNSUBSCRIBE from {i}",
    "Received PINGREQ from {i}",
    "Received DISCONNECT from {i}",
    "{i} 1 {t}",
    "{i} {t}",
    "Sending SUBACK to {i}",
    "Sending UNSUBACK to {i}",
    "Client {i} closed its connection.",
    "Client {i} disconnected.",
    "Client {i} has exceeded timeout, disconnecting.",
    "Client {i} disconnected due to protocol error.",
    "Client {i} disconnected, not authorised.",
    "Client <unknown> disconnected, not authorised.",
    "Client {i} already connected, closing old connection.",
    "Client {i} [10.0.0.{p}:{p}] disconnected: session taken over.",
    "Client {i} [10.0.0.{p}:{p}] disconnected: exceeded timeout.",
    "Client connection from 10.0.0.{p} denied: max_connections exceeded.",
    "Bad client {i} sending multiple CONNECT messages.",
    "Bad socket read/write on client {i}: Invalid arguments provided.",
    "Socket error on client {i}, disconnecting.",
    "Protocol error from {i}: wrong.",
    'Invalid protocol "{t}" in CONNECT from 10.0.0.{p}.',
    "Invalid protocol version 9 in CONNECT from 10.0.0.{p}.",
)
_NAMES: Final = (
    "lamp",
    "lamp 1",
    "<unknown>",
    "(null)",
    "",
    "é\u2028",
    "x (d0",
    "10.0.0.1",
    "a" * 900,
)
_STAMPS: Final = ("1795466419: ", "", "2026-11-23T20:42:02+0100: ", "Mon Nov 23 20:42:02 2026: ")
LEVELS: Final = ("N", "E", "W", "I", "M/subscribe", "M/unsubscribe", "WS", "", "M/subscribe/x")


def log_lines(rng: random.Random, count: int) -> Iterator[bytes]:
    """Lines as the broker writes them, but for the damage that is done to some."""
    stamp = rng.choice(_STAMPS)
    names = [_name(rng) for _ in range(4)]
    others = [line.encode() for line in _LINES]
    for _ in range(count):
        port = rng.randrange(6)
        line = rng.choice(_LINES)
        for key in "itu":
            line = line.replace("{" + key + "}", rng.choice(names))
        data = (stamp + line.replace("{p}", str(port))).encode("utf-8", "replace")[:CUT]
        if rng.random() < SOMETIMES:
            data = damaged(rng, data, others)
        yield from data.split(b"\n")


def _name(rng: random.Random) -> str:
    """Plain, or one that reads like a line or a part of one."""
    if rng.random() < MOSTLY:
        return rng.choice(_NAMES)
    line = rng.choice(_LINES).replace("{i}", "lamp").replace("{t}", "a/b")
    begin = rng.randrange(len(line)) if rng.random() < SOMETIMES else 0
    return line[begin:] * (40 if rng.random() < RARELY else 1)
