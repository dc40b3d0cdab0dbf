"""What is kept of each change of an incident, beside the last alert in full."""

import logging

import msgspec

from mqtt_ids.alerts import Action, Attack, Severity, State

log = logging.getLogger(__name__)


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """One change of an incident, in short: the alert's keys of these names."""

    time: str  # RFC 3339
    state: State
    severity: Severity
    attack: Attack
    score: float | None
    threshold: float | None
    client_count: int
    action: Action
    action_reason: str


def moment(alert: bytes) -> Moment | None:
    """What an alert in JSON of schema 1 is in short; None, and a line, where it is none."""
    try:
        return msgspec.json.decode(alert, type=Moment)
    except msgspec.DecodeError as error:
        log.debug("no alert of schema 1: %s", error)
        return None
