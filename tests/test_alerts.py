"""The alert's JSON: every alert keeps the shipped schema, and the schema refuses what does not."""

import json
import typing
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from mqtt_ids import alerts
from mqtt_ids.alerts import Alert, Reason

SCHEMA = json.loads((resources.files("mqtt_ids") / "alert.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA)

CENTURY = 4_102_444_800.0  # 2100-01-01 in seconds since the epoch
FIGURES = st.none() | st.floats()  # infinite and not-a-number too: JSON knows neither
NAMES = st.text(max_size=40)
SHARES = st.floats(0.0, 1.0)

REASONS = st.builds(
    Reason,
    feature=st.text(min_size=1, max_size=20),
    observed=FIGURES,
    usual=FIGURES,
    unit=st.text(max_size=10),
    share=st.none() | SHARES,
    text=st.text(min_size=1),
)


@st.composite
def any_alert(draw: st.DrawFn) -> Alert:
    """Any alert that the detector and the responders may make of an incident."""
    state = draw(st.sampled_from(typing.get_args(alerts.State)))
    severity = draw(st.sampled_from(alerts.SEVERITIES))
    goes_on = state != "closed" and severity != "info"
    attack = st.sampled_from(typing.get_args(alerts.Attack))
    techniques = st.from_regex(r"T[0-9]{4}(\.[0-9]{3})?", fullmatch=True)
    return Alert(
        id=draw(st.text(min_size=1, max_size=26)),
        state=state,
        active=goes_on or draw(st.booleans()),
        severity=severity,
        attack=draw(attack),
        also=tuple(draw(st.lists(attack, unique=True, max_size=3))),
        confidence=draw(SHARES),
        mitre=tuple(draw(st.lists(techniques, max_size=2))),
        time=draw(st.floats(0.0, 1e8)),
        first_seen=draw(st.floats(0.0, 1e8)),
        client_id=draw(st.none() | NAMES),
        username=draw(st.none() | NAMES),
        address=draw(st.none() | NAMES),
        clients=tuple(draw(st.lists(NAMES, max_size=20))),
        client_count=draw(st.integers(0, 10**6)),
        score=draw(st.none() | st.floats(0.0, 1e6)),
        threshold=draw(st.none() | st.floats(0.0, 1e6)),
        reasons=tuple(draw(st.lists(REASONS, max_size=3))),
        action=draw(st.sampled_from(typing.get_args(alerts.Action))),
        action_reason=draw(st.text()),
        action_until=draw(st.none() | st.floats(0.0, CENTURY)),
        sensor=draw(st.text()),
        mode=draw(st.sampled_from(["observe", "protect"])),
    )


WALL_OFFSETS = st.floats(0.0, CENTURY - 1e8)

FLOOD = Alert(
    id="01JDK3V8Q2M4",
    state="open",
    active=True,
    severity="high",
    attack="flood",
    also=("unusual",),
    confidence=0.97,
    mitre=("T0814",),
    time=11.24,
    first_seen=10.4,
    client_id="porch-cam",
    username="cams",
    address="192.168.1.40",
    clients=("porch-cam",),
    client_count=1,
    score=0.083,
    threshold=0.0021,
    reasons=(
        Reason(
            feature="publish_rate_10s",
            observed=812.0,
            usual=0.9,
            unit="1/s",
            share=0.61,
            text="publishes 812 messages/s, usually 0.9",
        ),
    ),
    sensor="amqtt",
)


def as_published(alert: Alert, wall_offset: float = 0.0) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(alerts.encode(alert, wall_offset))
    return body


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@given(any_alert(), WALL_OFFSETS)
def test_every_alert_keeps_the_schema(alert: Alert, wall_offset: float) -> None:
    VALIDATOR.validate(as_published(alert, wall_offset))


@given(any_alert(), WALL_OFFSETS)
def test_times_are_rfc_3339_in_utc(alert: Alert, wall_offset: float) -> None:
    body = as_published(alert, wall_offset)
    for key, wall in {
        "time": alert.time + wall_offset,
        "first_seen": alert.first_seen + wall_offset,
        "action_until": alert.action_until,
    }.items():
        if wall is None:
            assert body[key] is None
            continue
        assert body[key].endswith("Z")
        moment = datetime.fromisoformat(body[key])
        assert moment.tzinfo == UTC
        assert abs(moment.timestamp() - wall) <= 0.1


def test_an_alert_reads_as_the_contract_says() -> None:
    assert as_published(FLOOD, 1_795_428_000.0) == {
        "schema": "mqtt-ids/alert/1",
        "id": "01JDK3V8Q2M4",
        "state": "open",
        "active": True,
        "severity": "high",
        "attack": "flood",
        "also": ["unusual"],
        "confidence": 0.97,
        "mitre": ["T0814"],
        "time": "2026-11-23T10:00:11.2Z",
        "first_seen": "2026-11-23T10:00:10.4Z",
        "client_id": "porch-cam",
        "username": "cams",
        "address": "192.168.1.40",
        "clients": ["porch-cam"],
        "client_count": 1,
        "score": 0.083,
        "threshold": 0.0021,
        "reasons": [
            {
                "feature": "publish_rate_10s",
                "observed": 812.0,
                "usual": 0.9,
                "unit": "1/s",
                "share": 0.61,
                "text": "publishes 812 messages/s, usually 0.9",
            }
        ],
        "action": "none",
        "action_reason": "observe mode",
        "action_until": None,
        "sensor": "amqtt",
        "mode": "observe",
    }


def test_the_schema_names_every_key_of_an_alert_and_requires_it() -> None:
    keys = {"schema", *msgspec.structs.asdict(FLOOD)}
    assert set(SCHEMA["properties"]) == set(SCHEMA["required"]) == keys
    reason = SCHEMA["$defs"]["reason"]
    keys = set(msgspec.structs.asdict(FLOOD.reasons[0]))
    assert set(reason["properties"]) == set(reason["required"]) == keys


@pytest.mark.parametrize(
    ("found", "known"),
    [
        (SCHEMA["properties"]["state"], alerts.State),
        (SCHEMA["properties"]["severity"], alerts.Severity),
        (SCHEMA["properties"]["action"], alerts.Action),
        (SCHEMA["$defs"]["attack"], alerts.Attack),
    ],
)
def test_the_schema_knows_the_same_words(found: dict[str, Any], known: object) -> None:
    assert found["enum"] == list(typing.get_args(known))


@pytest.mark.parametrize("key", SCHEMA["required"])
def test_an_alert_without_one_of_its_keys_is_refused(key: str) -> None:
    body = as_published(FLOOD)
    del body[key]
    assert not VALIDATOR.is_valid(body)


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "mqtt-ids/alert/2"},
        {"id": None},
        {"state": "reopened"},
        {"active": False},  # while this incident is open and above info
        {"severity": "grave"},
        {"attack": "flooding"},
        {"also": ["flood", "flood"]},
        {"confidence": 1.2},
        {"mitre": ["DoS"]},
        {"time": 1_795_428_000},
        {"time": "2026-11-23 10:00:11"},
        {"first_seen": None},
        {"client_id": 7},
        {"clients": [f"client-{number}" for number in range(21)]},
        {"client_count": -1},
        {"score": "high"},
        {"reasons": [{"text": "too much"}]},
        {"action": "killed"},
        {"action_until": "soon"},
        {"mode": "watch"},
    ],
)
def test_an_alert_with_a_wrong_value_is_refused(change: dict[str, Any]) -> None:
    assert VALIDATOR.is_valid(as_published(FLOOD))
    assert not VALIDATOR.is_valid(as_published(FLOOD) | change)


def test_readers_ignore_keys_that_they_do_not_know() -> None:
    VALIDATOR.validate(as_published(FLOOD) | {"weather": "fine"})
