"""An alert as an OCSF Detection Finding (class 2004), which security information systems read.

https://schema.ocsf.io/1.4.0/classes/detection_finding with the profile security_control. What this
class has no attribute for, such as observed and usual figures, is in the evidence's `data`.
"""

import datetime as dt
from typing import Any, Final

import msgspec

from mqtt_ids.alerts import Action, Attack, Reason, Severity, State
from mqtt_ids.names import is_address
from mqtt_ids.release import release

SCHEMA: Final = "1.4.0"
CLASS: Final = 2004
CATEGORY: Final = 2

_ACTIVITY: Final[dict[State, tuple[int, str]]] = {
    "open": (1, "Create"),
    "update": (2, "Update"),
    "closed": (3, "Close"),
}
_STATUS: Final[dict[State, tuple[int, str]]] = {
    "open": (1, "New"),
    "update": (2, "In Progress"),
    "closed": (4, "Resolved"),
}
_SEVERITY: Final[dict[Severity, tuple[int, str]]] = {
    "info": (1, "Informational"),
    "low": (2, "Low"),
    "medium": (3, "Medium"),
    "high": (4, "High"),
    "critical": (5, "Critical"),
}
_DISPOSITION: Final[dict[Action, tuple[int, str]]] = {
    "none": (17, "Logged"),
    "disconnected": (6, "Dropped"),
    "banned": (2, "Blocked"),
}
_OBSERVED, _DENIED = (3, "Observed"), (2, "Denied")
_LEARNING, _RULE = (4, "Learning (ML/DL)"), (1, "Rule")
_TECHNIQUES: Final = {
    "T0812": "Default Credentials",
    "T0814": "Denial of Service",
    "T0855": "Unauthorized Command Message",
    "T0856": "Spoof Reporting Message",
    "T0861": "Point & Tag Identification",
    "T1110": "Brute Force",
}


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """An alert of schema 1, as it was published. Times have a zone."""

    id: str
    state: State
    severity: Severity
    attack: Attack
    also: tuple[Attack, ...]
    confidence: float
    mitre: tuple[str, ...]
    time: dt.datetime
    first_seen: dt.datetime
    client_id: str | None
    username: str | None
    address: str | None
    clients: tuple[str, ...]
    client_count: int
    score: float | None
    threshold: float | None
    reasons: tuple[Reason, ...]
    action: Action
    action_reason: str
    action_until: dt.datetime | None
    sensor: str
    mode: str


def finding(alert: bytes) -> bytes:
    """The finding that tells the same as an alert in JSON of schema 1; JSON too, in one line."""
    told = msgspec.json.decode(alert, type=Told)
    activity, activity_name = _ACTIVITY[told.state]
    status, status_name = _STATUS[told.state]
    severity, severity_name = _SEVERITY[told.severity]
    disposition, disposition_name = _DISPOSITION[told.action]
    action, action_name = _OBSERVED if told.action == "none" else _DENIED
    return msgspec.json.encode(
        {
            "activity_id": activity,
            "activity_name": activity_name,
            "category_uid": CATEGORY,
            "category_name": "Findings",
            "class_uid": CLASS,
            "class_name": "Detection Finding",
            "type_uid": CLASS * 100 + activity,
            "type_name": f"Detection Finding: {activity_name}",
            "time": _milliseconds(told.time),
            "severity_id": severity,
            "severity": severity_name,
            "status_id": status,
            "status": status_name,
            "status_detail": told.action_reason,
            "is_alert": told.severity != "info" and told.state != "closed",
            "confidence_score": round(told.confidence * 100),
            "message": _message(told),
            "action_id": action,
            "action": action_name,
            "disposition_id": disposition,
            "disposition": disposition_name,
            "metadata": _metadata(),
            "finding_info": _finding_info(told),
            "evidences": [_evidence(told)],
            "observables": _observables(told),
        }
    )


def _metadata() -> dict[str, Any]:
    product = {"name": "mqtt-ids", "vendor_name": "mqtt-ids", "version": release()}
    return {"version": SCHEMA, "product": product, "profiles": ["security_control"]}


def _finding_info(told: Told) -> dict[str, Any]:
    kind, kind_name = _LEARNING if told.score is not None else _RULE
    info: dict[str, Any] = {
        "uid": told.id,
        "title": told.attack,
        "types": [told.attack, *told.also],
        "desc": "; ".join(reason.text for reason in told.reasons) or told.attack,
        "first_seen_time": _milliseconds(told.first_seen),
        "last_seen_time": _milliseconds(told.time),
        "analytic": {"name": told.attack, "type_id": kind, "type": kind_name},
        "data_sources": [told.sensor],
    }
    if told.mitre:
        info["attacks"] = [{"technique": _technique(uid)} for uid in told.mitre]
    return info


def _technique(uid: str) -> dict[str, str]:
    name = _TECHNIQUES.get(uid)
    return {"uid": uid} if name is None else {"uid": uid, "name": name}


def _evidence(told: Told) -> dict[str, Any]:
    """Who it was, and everything of the alert that has no attribute of its own."""
    evidence: dict[str, Any] = {
        "data": {
            "client_id": told.client_id,
            "clients": told.clients,
            "client_count": told.client_count,
            "score": told.score,
            "threshold": told.threshold,
            "reasons": told.reasons,
            "mode": told.mode,
            "action_until": None if told.action_until is None else _milliseconds(told.action_until),
        }
    }
    endpoint = {}
    if told.address and is_address(told.address):
        endpoint["ip"] = told.address
    if told.client_id:
        endpoint["uid"] = told.client_id
    if endpoint:
        evidence["src_endpoint"] = endpoint
    if told.username:
        evidence["user"] = {"name": told.username}
    return evidence


def _observables(told: Told) -> list[dict[str, Any]]:
    """What may be searched for in the events of others."""
    found: list[dict[str, Any]] = []
    if told.address and is_address(told.address):
        found.append(_observable("evidences.src_endpoint.ip", 2, "IP Address", told.address))
    if told.username:
        found.append(_observable("evidences.user.name", 4, "User Name", told.username))
    if told.client_id:
        found.append(_observable("evidences.src_endpoint.uid", 99, "MQTT Client", told.client_id))
    return found


def _observable(name: str, kind: int, kind_name: str, value: str) -> dict[str, Any]:
    return {"name": name, "type_id": kind, "type": kind_name, "value": value}


def _message(told: Told) -> str:
    who = told.client_id or told.address or "nobody known"
    return f"{told.attack} by {who}: {told.reasons[0].text if told.reasons else told.state}"


def _milliseconds(moment: dt.datetime) -> int:
    return round(moment.timestamp() * 1000)
