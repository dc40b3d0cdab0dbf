"""Observe mode against a real broker: each attack is found, named and told, and nobody else is.

One evening is played: twelve calm clients, then each attack from an address of its own, then two
who speak on the detector's own topics. The tests look at what a plain subscriber heard of it.
"""

import json
import logging
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from live_attacks import play_until_told
from live_broker import HOST, Broker, free_port, until
from live_home import (
    ATTACKS,
    FAMILY,
    LISTENER,
    MARKED_TOPIC,
    ROUNDS,
    addresses,
    logins,
    marked,
    password,
    residents,
)
from live_tools import MARKER, SCHEMA, Heard, Listener, Raw, Stage, Told
from outlet_tools import complaints, numbers, scrape

from mqtt_ids import control
from mqtt_ids.lab import wire
from mqtt_ids.lab.actions import Connect
from mqtt_ids.readers import HostPort

pytestmark = [pytest.mark.broker, pytest.mark.slow]

log = logging.getLogger(__name__)

WARM_UP = 12.0  # seconds of calm before the first attack
GOES_ON = 3.3  # seconds that an attack goes on after it was rightly named; not in step with us
SETTLES = 6.0  # seconds after which a change of an incident has been told
WILL_AT, PUBLISHER_AT = "127.0.2.1", "127.0.2.2"
SPOOFED = marked(40)


class Evening(NamedTuple):
    """What was heard of it. `began` is when the first packet of each attack was sent."""

    began: dict[str, float]
    heard: list[Heard]
    alerts: list[Told]
    alarms: dict[str, list[Told]]  # above info, by address
    lost: list[str]
    listener_connections: int
    clients: list[dict[str, Any]]  # what the control socket lists just before the first attack
    will_code: bytes
    publisher_cut: bool
    exit_code: int
    written: list[tuple[str, bytes]]  # files, what the broker logged, and what whoever asks is told


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    folder = tmp_path_factory.mktemp("observe")
    export = {"file": str(folder / "state" / "alerts.jsonl"), "format": "ocsf"}
    metrics = HostPort(HOST, free_port())
    with Broker(folder, logins(), mode="observe", export=export, metrics=str(metrics)) as broker:
        yield play(broker, metrics)


def play(broker: Broker, metrics: HostPort) -> Evening:
    lost: list[str] = []
    with Listener(broker.port, (LISTENER, password(LISTENER)), MARKED_TOPIC) as ear:
        with Stage(broker.port) as stage:
            stage.play(residents(lost.append))
            time.sleep(WARM_UP)
            clients = broker.ask(control.Clients())
            began: dict[str, float] = {}
            for together in ROUNDS:
                began |= attack(stage, ear, together)
            will_code, publisher_cut = spoof(broker.port)
            time.sleep(SETTLES)
            lost_by_then = list(lost)
        written = files(broker)  # a database leaves more behind while it is open
        written += answers(broker, metrics)
        exit_code = broker.stop()
        until(lambda: ear.on("$ids/status")[-1].payload == b"offline", 5.0)
    found = sorted({told.alert["address"] for told in ear.alerts()})
    return Evening(
        began=began,
        heard=ear.heard,
        alerts=ear.alerts(),
        alarms={address: ear.alarms(address) for address in found},
        lost=lost_by_then,
        listener_connections=ear.connections,
        clients=clients,
        will_code=will_code,
        publisher_cut=publisher_cut,
        exit_code=exit_code,
        written=[*written, *files(broker)],
    )


def files(broker: Broker) -> list[tuple[str, bytes]]:
    paths = [broker.log, *broker.state.rglob("*")]
    return [(path.name, path.read_bytes()) for path in paths if path.is_file()]


def answers(broker: Broker, metrics: HostPort) -> list[tuple[str, bytes]]:
    """What the control socket and the metrics tell."""
    requests = (control.Status(), control.Clients(), control.Incidents())
    told = [(type(one).__name__, json.dumps(broker.ask(one)).encode()) for one in requests]
    return [*told, ("metrics", scrape(metrics)[1].encode())]


def attack(stage: Stage, ear: Listener, together: tuple[str, ...]) -> dict[str, float]:
    """Play these at once until each is rightly named, and a little longer; when they began."""
    attacks = {kind: ATTACKS[kind] for kind in together}

    def named(kind: str, _: float) -> bool:
        alarms = ear.alarms(ATTACKS[kind].address)
        return bool(alarms) and alarms[-1].alert["attack"] == ATTACKS[kind].name

    seen = play_until_told(stage, attacks, named, GOES_ON)
    return {kind: one.began for kind, one in seen.items()}


def spoof(port: int) -> tuple[bytes, bool]:
    """The answer to a will on `$ids/...`, and whether who publishes there is cut off."""
    will = Connect("will-er", FAMILY, password(FAMILY), will_topic="$ids/alerts")
    with Raw(port, WILL_AT) as raw:
        raw.send(wire.connect(will))
        will_code = raw.receive(4)
    with Raw(port, PUBLISHER_AT) as raw:
        raw.send(wire.connect(Connect("forger", FAMILY, password(FAMILY))))
        assert raw.receive(4) == b"\x20\x02\x00\x00"
        raw.send(wire.packet(0x31, wire.text("$ids/alerts") + SPOOFED))
        return will_code, raw.is_closed(2.0)


@pytest.mark.parametrize("kind", ATTACKS)
def test_it_is_told_in_time(evening: Evening, kind: str) -> None:
    alarms = evening.alarms.get(ATTACKS[kind].address)
    assert alarms, "it was never told"
    after = alarms[0].at - evening.began[kind]
    names = [told.alert["attack"] for told in alarms]
    log.info("%s: told after %.1f s as %s", kind, after, ", ".join(names))
    assert after <= ATTACKS[kind].limit, names


@pytest.mark.parametrize("kind", ATTACKS)
def test_it_is_rightly_named(evening: Evening, kind: str) -> None:
    """From the first alert on, and after the attack has stopped as well."""
    alarms = evening.alarms[ATTACKS[kind].address]
    assert {told.alert["attack"] for told in alarms} == {ATTACKS[kind].name}, alarms


@pytest.mark.parametrize("kind", ATTACKS)
def test_it_is_one_incident_with_three_reasons(evening: Evening, kind: str) -> None:
    alarms = evening.alarms[ATTACKS[kind].address]
    assert len({told.alert["id"] for told in alarms}) == 1, alarms
    assert alarms[0].alert["state"] == "open"
    for _, alert in alarms:
        assert len(alert["reasons"]) >= 3, alert
        assert all(reason["text"] for reason in alert["reasons"])
        assert (alert["action"], alert["action_reason"]) == ("none", "observe mode")


def test_every_alert_keeps_the_schema(evening: Evening) -> None:
    assert evening.alerts
    for _, alert in evening.alerts:
        SCHEMA.validate(alert)


def test_twelve_calm_clients_were_there(evening: Evening) -> None:
    connected = {client["client_id"]: client["address"] for client in evening.clients}
    assert len(addresses()) == 12
    assert connected == {**addresses(), "listener": HOST}


def test_nobody_calm_is_accused(evening: Evening) -> None:
    calm, places = {*addresses(), "listener"}, {*addresses().values(), HOST}
    accusing = [
        alert
        for _, alert in evening.alerts
        if alert["severity"] != "info"
        and ({alert["client_id"], *alert["clients"]} & calm or alert["address"] in places)
    ]
    assert accusing == []


def test_nobody_is_accused_from_nowhere(evening: Evening) -> None:
    """Every alarm is about an address from which an attack came, or where calm clients are."""
    attackers = {one.address for one in ATTACKS.values()} | {WILL_AT, PUBLISHER_AT}
    assert set(evening.alarms) <= attackers | {*addresses().values(), HOST}


def test_nobody_calm_loses_its_connection(evening: Evening) -> None:
    assert evening.lost == []
    assert evening.listener_connections == 1


@pytest.mark.parametrize("address", [WILL_AT, PUBLISHER_AT])
def test_who_speaks_as_the_detector_is_told_as_spoofing(evening: Evening, address: str) -> None:
    (first, *_) = evening.alarms[address]
    assert (first.alert["attack"], first.alert["severity"]) == ("spoofing", "high")
    assert first.alert["reasons"]


def test_who_speaks_as_the_detector_is_refused_and_not_heard(evening: Evening) -> None:
    assert evening.will_code == b"\x20\x02\x00\x05"
    assert evening.publisher_cut
    assert all(heard.payload not in {SPOOFED, b"offline"} for heard in on(evening, "$ids/alerts"))


def test_the_file_tells_the_same_as_findings(evening: Evening) -> None:
    file = next(data for name, data in reversed(evening.written) if name == "alerts.jsonl")
    found = [json.loads(line) for line in file.splitlines()]
    assert [one for one in found if complaints(one)] == []
    opened = [told.alert["id"] for told in evening.alerts if told.alert["state"] == "open"]
    created = [one["finding_info"]["uid"] for one in found if one["activity_name"] == "Create"]
    assert created == opened


def test_the_metrics_count_what_was_told(evening: Evening) -> None:
    text = next(data for name, data in evening.written if name == "metrics").decode()
    found = numbers(text)
    alerts = sum(count for name, count in found.items() if name.startswith("mqtt_ids_alerts_total"))
    assert 0 < alerts <= len(evening.alerts)
    assert found["mqtt_ids_active_incidents"] >= len(ATTACKS)
    assert found["mqtt_ids_score_ratio_count,role=client"] > 100
    far = found["mqtt_ids_score_ratio_bucket,le=1.0,role=host"]
    assert 0 < far < found["mqtt_ids_score_ratio_count,role=host"]


def on(evening: Evening, topic: str) -> list[Heard]:
    return [heard for heard in evening.heard if heard.topic == topic]


def test_the_status_is_retained_and_says_offline_in_the_end(evening: Evening) -> None:
    first, *_, last = on(evening, "$ids/status")
    assert (first.payload, first.retained) == (b"online", True)
    assert last.payload == b"offline"
    assert evening.exit_code == 0


def test_the_summary_is_retained_and_counts(evening: Evening) -> None:
    first, *later = on(evening, "$ids/summary")
    assert first.retained
    told = [json.loads(heard.payload) for heard in (first, *later)]
    for one in told:
        assert (one["schema"], one["mode"]) == ("mqtt-ids/summary/1", "observe")
        assert (one["lag"] >= 0, one["skipped"], one["errors"]) == (True, 0, 0)
    assert told[0]["clients"] == 0
    assert max(one["clients"] for one in told) >= 12
    assert max(one["open_incidents"] for one in told) >= len(ATTACKS)
    assert told[-1]["active"] >= len(ATTACKS)


def test_no_payload_and_no_password_leaves_the_sensor(evening: Evening) -> None:
    """The marker was in every password, in a calm client's payloads and in the flood's."""
    secret = MARKER.encode()
    assert all(heard.payload == marked(60) for heard in on(evening, MARKED_TOPIC))
    assert len(on(evening, MARKED_TOPIC)) >= 10
    ours = [heard for heard in evening.heard if heard.topic != MARKED_TOPIC]
    assert {heard.topic for heard in ours} == {"$ids/alerts", "$ids/status", "$ids/summary"}
    assert [heard for heard in ours if secret in heard.payload] == []
    assert [name for name, data in evening.written if secret in data] == []
    outlets = {"state.db", "broker.log", "alerts.jsonl", "metrics", "Status", "Incidents"}
    assert outlets <= {name for name, data in evening.written if data}
    logged = next(data for name, data in evening.written if name == "broker.log")
    assert b"watching as amqtt" in logged
