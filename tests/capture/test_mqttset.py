"""What `mqtt-ids scan` finds in MQTTset with the shipped model, which never saw any of it.

The captures stay where MQTTSET_DIR says; the mixes live as long as the test.
"""

import json
import subprocess
import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import capture_tools as tools
import pytest

from mqtt_ids.evaluating import mixing
from mqtt_ids.events import SEES_ALL
from mqtt_ids.models import DEFAULT, open_model
from mqtt_ids.scanning.scan import Scan
from mqtt_ids.sensors.capture.files import frames
from mqtt_ids.sources.source import open_events

pytestmark = [pytest.mark.data, pytest.mark.slow]

CALM = "legitimate.pcap"
BELOW = 0.999  # of the calm capture's vectors
INTO_CALM = 1200.0  # seconds of calm before a mixed attack
MIXES = 3  # calm clients that each attack is mapped onto


class Attack(NamedTuple):
    """What must be found in a capture, and how many seconds after the attack's first frame.

    For `prelude` seconds it does nothing yet that a known client's own mistake could not be.
    """

    name: str
    within: float
    prelude: float = 0.0


ATTACKS = {
    # The first password is guessed after 20 s; until then it logs in without one, in two ways.
    "bruteforce.pcapng": Attack("brute-force", 12.0, prelude=20.0),
    "dos.pcap": Attack("dos", 4.0),
    "flood.pcap": Attack("flood", 2.0),
    # It connects and subscribes, and nothing else, until then.
    "malformed.pcap": Attack("malformed", 10.0, prelude=2.7),
    "slowite.pcap": Attack("slowite", 2.0),
}

Alert = dict[str, Any]


class Scanned(NamedTuple):
    """What the command line said; `alarms` are the alerts above info."""

    code: int
    alarms: list[Alert]


def scan(*captures: Path) -> Scanned:
    command = [sys.executable, "-m", "mqtt_ids", "scan", "--json", *map(str, captures)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=170)
    assert run.returncode in {0, 1}, run.stderr
    alerts = [json.loads(line) for line in run.stdout.splitlines()]
    return Scanned(run.returncode, [one for one in alerts if one["severity"] != "info"])


def final(alarms: Iterable[Alert]) -> list[Alert]:
    """The last word on each incident."""
    return list({one["id"]: one for one in alarms}.values())


def when(alert: Alert) -> float:
    return datetime.fromisoformat(alert["time"]).timestamp()


def assert_found(scanned: Scanned, attack: Attack, start: float) -> None:
    told = [(one["attack"], one["severity"], when(one) - start) for one in scanned.alarms]
    assert scanned.code == 1, told
    incidents = final(scanned.alarms)
    assert {one["attack"] for one in incidents} == {attack.name}, told
    assert all(one["reasons"] for one in incidents)
    assert min(map(when, scanned.alarms)) - start <= attack.within, told


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_found_and_named_in_time(mqttset: Path, name: str) -> None:
    with (mqttset / name).open("rb") as stream:
        start = next(frames(stream, name))[0]
    assert_found(scan(mqttset / name), ATTACKS[name], start)


def test_no_alarm_in_legitimate_traffic(mqttset: Path) -> None:
    assert scan(mqttset / CALM) == Scanned(0, [])


def test_legitimate_vectors_are_below_the_threshold(mqttset: Path) -> None:
    scanned = Scan(open_model(DEFAULT), sees=SEES_ALL)
    for _ in scanned.alerts(open_events(str(mqttset / CALM)).events):
        pass
    for _ in scanned.end():
        pass
    assert scanned.judgements > 1000
    assert 1.0 - scanned.odd / scanned.judgements >= BELOW


def mixed_with(mqttset: Path) -> list[tuple[str, str]]:
    """Some calm clients, by address and id: the first, the last, and some between."""
    calm = sorted(mixing.clients(mqttset / CALM).items())
    return [calm[round(n * (len(calm) - 1) / (MIXES - 1))] for n in range(MIXES)]


@pytest.mark.parametrize("turn", range(MIXES))
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_by_a_known_client_is_found_and_nobody_else_accused(
    mqttset: Path, tmp_path: Path, name: str, turn: int
) -> None:
    address, client_id = mixed_with(mqttset)[turn]
    mixed = mixing.mix(
        mqttset / CALM, mqttset / name, onto=address, at=INTO_CALM, client_id=client_id
    )
    scanned = scan(tools.saved(tmp_path / "mixed.pcap", mixed.frames))
    assert {one["address"] for one in scanned.alarms} == {address}
    accused = {who for one in scanned.alarms for who in (one["client_id"], *one["clients"])}
    assert accused <= {None, client_id}
    assert_found(scanned, ATTACKS[name], mixed.start + ATTACKS[name].prelude)


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_from_a_known_address_accuses_no_calm_client(
    mqttset: Path, tmp_path: Path, name: str
) -> None:
    calm = mixing.clients(mqttset / CALM)
    address, own = mixed_with(mqttset)[0]
    mixed = mixing.mix(mqttset / CALM, mqttset / name, onto=address, at=INTO_CALM)
    scanned = scan(tools.saved(tmp_path / "mixed.pcap", mixed.frames))
    assert {one["address"] for one in scanned.alarms} == {address}
    accused = {who for one in scanned.alarms for who in (one["client_id"], *one["clients"])}
    assert not accused & (set(calm.values()) - {own})
    assert_found(scanned, ATTACKS[name], mixed.start + ATTACKS[name].prelude)
