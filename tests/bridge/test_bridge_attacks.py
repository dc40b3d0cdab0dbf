"""In front of a Mosquitto that logs nothing: each attack is found, named and told of.

One evening is played: twelve calm clients, then each attack from an address of its own, then two
who speak on the detector's own topics. The tests look at what a plain subscriber heard of it.
"""

import logging
import time
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pytest
from bridge_home import EVERY, ROUNDS, Home, at_home
from live_attacks import (
    WELCOME,
    Seen,
    alarms,
    alerts,
    forge,
    names,
    play_until_told,
)
from live_broker import HOST, until
from live_home import FAMILY, LISTENER, addresses, password, residents
from live_tools import MARKER, SCHEMA, Listener, Raw, Stage, Told
from mosquitto_broker import needs_mosquitto

from mqtt_ids import control
from mqtt_ids.lab import wire
from mqtt_ids.lab.actions import Connect

pytestmark = [pytest.mark.broker, pytest.mark.slow, needs_mosquitto]

log = logging.getLogger(__name__)

CALM: Final = 5.0  # seconds before the first attack
SPOOFING_LIMIT: Final = 4.0  # seconds
HEIR, HEIR_AT = "heir", "127.0.2.1"
SPOOFING: Final = ("publishes as the detector", "leaves a will as the detector")
KINDS: Final = (*EVERY, *SPOOFING)
LIMITS: Final = {kind: one.limit for kind, one in EVERY.items()} | dict.fromkeys(
    SPOOFING, SPOOFING_LIMIT
)
NAMES: Final = {kind: one.name for kind, one in EVERY.items()} | dict.fromkeys(SPOOFING, "spoofing")
ONE_CLIENT: Final = ("flood", *SPOOFING)  # that comes under one id
CLAIMED: Final = ("malformed", "brute-force")  # ids that the broker has not let in are told as well
MOST: Final = 90.0  # MB


class Evening(NamedTuple):
    """What was heard of it."""

    alerts: list[Told]
    attacks: dict[str, Seen]
    lost: list[str]
    listener_connections: int
    clients: list[dict[str, Any]]  # what the control socket lists just before the first attack
    status: dict[str, Any]  # in the end
    memory: float  # MB, at its peak
    told: str  # what it said on standard error
    kept: dict[str, bytes]  # the files of its state folder
    exit_code: int
    broker_told: str  # since it began to serve

    def of(self, kind: str) -> list[Told]:
        """The alarms about the address from which this came."""
        address = self.attacks[kind].address
        return [told for told in alarms(self.alerts) if told.alert["address"] == address]


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    with at_home(tmp_path_factory.mktemp("bridge")) as home:
        yield play(home)


def play(home: Home) -> Evening:
    port, agent = home.port, home.agent
    as_it_begins = home.broker.told
    lost: list[str] = []
    attacks: dict[str, Seen] = {}
    with Listener(port, (LISTENER, password(LISTENER))) as ear:
        with Stage(port) as stage:
            stage.play(residents(lost.append))
            time.sleep(CALM)
            clients = agent.ask(control.Clients())
            for together in ROUNDS:
                attacks |= attack(stage, ear, together)
            attacks[SPOOFING[0]] = forge(port, ear, SPOOFING_LIMIT)
            attacks[SPOOFING[1]] = bequeath(port, ear)
            status, memory = agent.status(), agent.memory("VmHWM")
            lost_by_then = list(lost)
        connections = ear.connections
        kept = {one.name: one.read_bytes() for one in agent.state.rglob("*") if one.is_file()}
        exit_code = agent.stop()
    home.broker.stop()  # what it has not written yet comes now
    return Evening(
        alerts=alerts(ear),
        attacks=attacks,
        lost=lost_by_then,
        listener_connections=connections,
        clients=clients,
        status=status,
        memory=memory,
        told=agent.told,
        kept=kept,
        exit_code=exit_code,
        broker_told=home.broker.told.removeprefix(as_it_begins),
    )


def attack(stage: Stage, ear: Listener, together: tuple[str, ...]) -> dict[str, Seen]:
    """Play these at once until each is rightly named, and a little longer."""

    def told(kind: str, began: float) -> bool:
        heard = [one for one in alarms(alerts(ear), began) if names(one, NAMES[kind])]
        return any(one.alert["address"] == EVERY[kind].address for one in heard)

    return play_until_told(stage, {kind: EVERY[kind] for kind in together}, told)


def bequeath(port: int, ear: Listener) -> Seen:
    """Connect with a will on a topic of the detector's."""
    will = Connect(HEIR, FAMILY, password(FAMILY), will_topic="$ids/status")
    with Raw(port, HEIR_AT) as raw:
        began = time.monotonic()
        raw.send(wire.connect(will))
        assert raw.receive(4) == WELCOME
        until(
            lambda: any(one.alert["address"] == HEIR_AT for one in alarms(alerts(ear), began)),
            SPOOFING_LIMIT,
        )
        raw.send(b"\xe0\x00")  # DISCONNECT: the will is not left
        assert raw.is_closed(5.0)
    return Seen(began, time.monotonic(), HEIR_AT, frozenset({HEIR}))


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_told_in_time(evening: Evening, kind: str) -> None:
    told = evening.of(kind)
    assert told, "it was never told"
    after = told[0].at - evening.attacks[kind].began
    log.info("%s: told after %.1f s as %s", kind, after, told[0].alert["attack"])
    assert after <= LIMITS[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_rightly_named(evening: Evening, kind: str) -> None:
    """From the first alert on, and after the attack has stopped as well."""
    assert {told.alert["attack"] for told in evening.of(kind)} == {NAMES[kind]}


@pytest.mark.parametrize("kind", KINDS)
def test_the_alert_names_whom_the_broker_has_let_in(evening: Evening, kind: str) -> None:
    ids = evening.attacks[kind].client_ids
    for told in evening.of(kind):
        alert = told.alert
        if kind in ONE_CLIENT:
            assert {alert["client_id"]} == ids == {*alert["clients"]}
        elif kind not in CLAIMED:
            assert {*alert["clients"]} <= ids
            assert alert["client_count"] <= len(ids)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_one_incident_with_three_reasons(evening: Evening, kind: str) -> None:
    told = evening.of(kind)
    assert len({one.alert["id"] for one in told}) == 1
    for one in told:
        SCHEMA.validate(one.alert)
        assert (one.alert["sensor"], one.alert["mode"]) == ("proxy", "observe")
        assert (one.alert["action"], one.alert["action_reason"]) == ("none", "observe mode")
        reasons = [reason["text"] for reason in one.alert["reasons"]]
        assert len(reasons) == 3 or kind in SPOOFING, reasons


def test_who_is_there_is_known(evening: Evening) -> None:
    known = {one["client_id"]: one["address"] for one in evening.clients}
    assert known == {**addresses(), "listener": HOST}


def test_nobody_else_is_accused(evening: Evening) -> None:
    attackers = {one.address for one in evening.attacks.values()}
    calm = {*addresses(), "listener"}
    for told in alarms(evening.alerts):
        assert told.alert["address"] in attackers, told.alert
        assert not {told.alert["client_id"], *told.alert["clients"]} & calm
    assert not any(
        (told.alert["client_id"] or "").startswith("mqtt-ids-") for told in evening.alerts
    )


def test_nobody_calm_loses_its_connection(evening: Evening) -> None:
    assert evening.lost == []
    assert evening.listener_connections == 1


def test_the_broker_said_nothing(evening: Evening) -> None:
    assert evening.broker_told == ""


def test_all_went_well(evening: Evening) -> None:
    status = evening.status
    log.info("peak %.1f MB, lag %.2f s", evening.memory, status["lag"])
    assert evening.exit_code == 0
    assert (status["skipped"], status["errors"], status["lag"] < 2.0) == (0, 0, True)
    assert "Traceback" not in evening.told
    assert evening.memory <= MOST


def test_no_payload_and_no_password_leaves_the_sensor(evening: Evening) -> None:
    """The marker was in every password, and in the flood's payloads."""
    assert MARKER not in evening.told
    assert [name for name, data in evening.kept.items() if MARKER.encode() in data] == []
    assert "state.db" in evening.kept
