"""Every alert as a finding keeps the schema that OCSF has published, and says the same."""

import json
from typing import Any

import pytest
from outlet_tools import complaints, told

from mqtt_ids import attacks
from mqtt_ids.alerts import Attack, Severity, State
from mqtt_ids.responders import ocsf

VERSIONS = ("1.4.0", "1.5.0", "1.6.0", "1.7.0", "1.8.0")  # ours, and those that came later


def finding(**changes: object) -> dict[str, Any]:
    line = ocsf.finding(told(**changes))
    assert b"\n" not in line
    found: dict[str, Any] = json.loads(line)
    return found


CHANGES: list[dict[str, object]] = [
    {},
    {"state": "update", "severity": "critical", "confidence": 1.0},
    {"state": "closed", "active": False, "action": "disconnected"},
    {"action": "banned", "action_until": 1_795_428_600.0, "mode": "protect"},
    {"severity": "info", "active": False, "attack": "silence", "mitre": (), "confidence": 0.0},
    {"client_id": None, "username": None, "clients": (), "client_count": 0},
    {"address": None},
    {"address": "/run/mosquitto.sock"},
    {"address": "fd00::7"},
    {"client_id": None, "username": None, "address": None, "clients": (), "client_count": 0},
    {"client_id": "", "username": ""},
    {"client_id": 'x"\n\u2028\x1b[31m', "username": "\udfff".encode("utf-8", "replace").decode()},
    {"score": None, "threshold": None, "reasons": ()},
    {"score": float("inf"), "threshold": float("nan")},
    {"clients": tuple(f"client-{number}" for number in range(20)), "client_count": 1000},
]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_finding_keeps_the_published_schema(change: dict[str, object], version: str) -> None:
    assert complaints(finding(**change), version) == []


@pytest.mark.parametrize("attack", attacks.SEVERITY)
def test_every_attack_and_its_techniques_keep_it(attack: Attack) -> None:
    mitre = attacks.MITRE.get(attack, ())
    found = finding(attack=attack, severity=attacks.SEVERITY[attack], mitre=mitre)
    assert complaints(found) == []
    techniques = [one["technique"] for one in found["finding_info"].get("attacks", ())]
    assert [one["uid"] for one in techniques] == list(mitre)
    assert all(one["name"] for one in techniques)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"time": "2026-11-23T10:00:11.2Z"}, "$.time"),
        ({"activity_id": 7}, "$.activity_id"),
        ({"severity_id": None}, "$.severity_id"),
        ({"action_id": 9}, "$.action_id"),
        ({"observables": [{"value": "x"}]}, "$.observables[0]"),
        ({"evidences": [{"name": "x"}]}, "$.evidences[0]"),
        ({"weather": "fine"}, "$"),
    ],
)
def test_the_schema_refuses_what_is_wrong(change: dict[str, Any], where: str) -> None:
    (complaint, *_) = complaints(finding() | change)
    assert complaint.startswith(f"{where}: ")


@pytest.mark.parametrize("key", ["time", "metadata", "finding_info", "type_uid", "severity_id"])
def test_the_schema_misses_what_is_required(key: str) -> None:
    found = finding()
    del found[key]
    assert complaints(found) != []


def test_it_says_what_the_alert_says() -> None:
    found = finding(action="banned", action_reason="kept out by its address")
    assert (found["class_uid"], found["category_uid"], found["type_uid"]) == (2004, 2, 200_401)
    assert found["time"] == 1_795_428_011_200
    assert found["finding_info"]["uid"] == "01JDK3V8Q2M4YXN0Z7C5RT9WBE"
    assert found["finding_info"]["first_seen_time"] == 1_795_428_010_400
    assert found["message"] == "flood by porch-cam: publishes 812 messages/s, usually 0.9"
    assert (found["severity"], found["confidence_score"], found["is_alert"]) == ("High", 97, True)
    assert (found["action"], found["disposition"]) == ("Denied", "Blocked")
    assert found["status_detail"] == "kept out by its address"
    (evidence,) = found["evidences"]
    assert evidence["src_endpoint"] == {"ip": "192.168.1.40", "uid": "porch-cam"}
    assert evidence["user"] == {"name": "cams"}
    assert evidence["data"]["reasons"][0]["observed"] == 812.0
    assert [one["value"] for one in found["observables"]] == ["192.168.1.40", "cams", "porch-cam"]


@pytest.mark.parametrize(
    ("state", "activity", "status"),
    [
        ("open", "Create", "New"),
        ("update", "Update", "In Progress"),
        ("closed", "Close", "Resolved"),
    ],
)
def test_an_incident_opens_changes_and_closes(state: State, activity: str, status: str) -> None:
    found = finding(state=state)
    assert (found["activity_name"], found["status"]) == (activity, status)
    assert found["type_uid"] == 200_400 + found["activity_id"]
    assert found["is_alert"] is (state != "closed")


@pytest.mark.parametrize(
    ("severity", "number"), [("info", 1), ("low", 2), ("medium", 3), ("high", 4), ("critical", 5)]
)
def test_a_severity_has_its_number(severity: Severity, number: int) -> None:
    found = finding(severity=severity)
    assert (found["severity_id"], found["is_alert"]) == (number, severity != "info")
