"""The alert: what is published on `$ids/alerts`, one message per change of an incident.

The field names are contract (schema `mqtt-ids/alert/1`): none is renamed or removed. Inside the
core the times are seconds on the sensor's clock; `encode` turns them into wall time at the edge.
"""

import datetime as dt
from typing import Literal

import msgspec

SCHEMA = "mqtt-ids/alert/1"

State = Literal["open", "update", "closed"]
Severity = Literal["info", "low", "medium", "high", "critical"]
Attack = Literal[
    "dos",
    "flood",
    "slowite",
    "malformed",
    "brute-force",
    "enumeration",
    "takeover",
    "spoofing",
    "unusual",
    "silence",
    "login-failing",
    "new-client",
]
Action = Literal["none", "disconnected", "banned"]

SEVERITIES: tuple[Severity, ...] = ("info", "low", "medium", "high", "critical")


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """One feature that carries the reconstruction error, in words and figures.

    `observed` and `usual` are in `unit`; `share` is the feature's part of the whole error, 0..1,
    or None where a fact and not the network speaks.
    """

    feature: str
    observed: float | None
    usual: float | None
    unit: str
    share: float | None
    text: str


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One change of one incident. Times are seconds on the sensor's clock until encoded."""

    id: str
    state: State
    active: bool
    severity: Severity
    attack: Attack
    also: tuple[Attack, ...] = ()
    confidence: float
    mitre: tuple[str, ...] = ()
    time: float
    first_seen: float
    client_id: str | None = None
    username: str | None = None
    address: str | None = None
    clients: tuple[str, ...] = ()
    client_count: int = 0
    score: float | None = None
    threshold: float | None = None
    reasons: tuple[Reason, ...] = ()
    action: Action = "none"
    action_reason: str = "observe mode"
    action_until: float | None = None  # wall time, seconds since the epoch
    sensor: str = "lab"
    mode: Literal["observe", "protect"] = "observe"


def encode(alert: Alert, wall_offset: float) -> bytes:
    """The alert as JSON of schema 1. `wall_offset` is wall time minus the sensor's time, in s."""
    body = msgspec.to_builtins(alert)
    body["time"] = iso(alert.time + wall_offset)
    body["first_seen"] = iso(alert.first_seen + wall_offset)
    body["action_until"] = None if alert.action_until is None else iso(alert.action_until)
    return msgspec.json.encode({"schema": SCHEMA, **body})


def iso(wall: float) -> str:
    """Seconds since the epoch as RFC 3339 in UTC with one decimal: 2026-11-23T10:00:01.2Z."""
    moment = dt.datetime.fromtimestamp(round(wall, 1), tz=dt.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 100_000}Z"
