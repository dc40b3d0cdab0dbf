"""Protect mode against a real broker: offenders are cut off and kept out, and nobody else is.

One evening is played: twelve calm clients; offenders whom policy must spare, or take by something
narrower than their address; then each attack from an address of its own; then what becomes of the
bans. The tests look at what was seen of it: by the kernel, by a subscriber, by the clients.
"""

import datetime as dt
import logging
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pytest
from live_broker import HOST, Broker, Sockets, until
from live_home import (
    ATTACKS,
    FAMILY,
    LISTENER,
    ROUNDS,
    Attack,
    addresses,
    brute_force,
    flood,
    half_open,
    logins,
    password,
    residents,
)
from live_tools import SCHEMA, Listener, Playing, Raw, Stage, Told

from mqtt_ids import control
from mqtt_ids.lab import wire
from mqtt_ids.lab.actions import Connect

pytestmark = [pytest.mark.broker, pytest.mark.slow]

log = logging.getLogger(__name__)

WARM_UP = 12.0  # seconds of calm before the first offender
SETTLED = 32.0  # seconds after the start from when on a newcomer is nobody established
BAN = 15  # seconds
STRUGGLES = 3.0  # seconds that an offender goes on after its alert
CUT_WITHIN = 1.0  # seconds after the alert
LATE = 2.0  # seconds that we wait longer than is allowed, to tell late from never

BANNED = "banned address"
INTRUDER = "intruder"
ALLOW = {"client_ids": ["load-*"], "addresses": ["127.0.3.0/24"]}
# Offenders who must not be banned by their address: who shares it with a calm client, as the
# kitchen's sensor, the plug and the thermostat do here, and who stands on the allow-list.
SPARED: Mapping[str, Attack] = {
    "floods next to calm": Attack(
        "flood", 4.0, "127.0.0.14", lambda at: flood(at, client_id=INTRUDER)
    ),
    "holds next to calm": Attack("slowite", 10.0, "127.0.0.15", half_open),
    "guesses next to calm": Attack("brute-force", 15.0, "127.0.0.16", brute_force),
    "allowed by id": Attack(
        "flood", 4.0, "127.0.2.1", lambda at: flood(at, client_id="load-tester")
    ),
    "allowed by address": Attack("flood", 4.0, "127.0.3.1", flood),
}


Bans = dict[tuple[str, str], float]  # until when, in wall time, by kind and value


class Case(NamedTuple):
    """What became of one offender."""

    alarms: list[Told]  # above info, until it was stopped
    gone_after: float | None  # seconds from its first alarm until its connections were closed
    logins: int  # that were accepted later than `CUT_WITHIN` after that
    left: int  # connections from its address that lasted until it was stopped
    refused: bool  # whether a new connection that says nothing is closed at once

    @property
    def actions(self) -> list[tuple[str, str]]:
        return [(told.alert["action"], told.alert["action_reason"]) for told in self.alarms]


class Evening(NamedTuple):
    spared: dict[str, Case]
    offenders: dict[str, Case]
    lost: list[str]  # calm clients
    listener_connections: int  # until the restart
    enters: dict[str, bool]  # who was let in, by when it was tried
    status: list[bytes]
    bans: tuple[Bans, Bans]  # of before the restart, those that outlasted it; and those after
    alerts: list[Told]


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    folder = tmp_path_factory.mktemp("protect")
    protect = {"ban": f"{BAN}s"}
    with Broker(folder, logins(), mode="protect", protect=protect, allow=ALLOW) as broker:
        yield play(broker)


def play(broker: Broker) -> Evening:
    began = time.monotonic()
    lost: list[str] = []
    enters: dict[str, bool] = {}
    with (
        Listener(broker.port, (LISTENER, password(LISTENER))) as ear,
        Sockets(broker.port) as sockets,
    ):
        with Stage(broker.port) as stage:
            scene = _Scene(broker, stage, ear, sockets)
            stage.play(residents(lost.append))
            time.sleep(WARM_UP)
            spared = scene.offend(SPARED)
            enters["another id at the shared address"] = let_in(broker.port, "127.0.0.14")
            time.sleep(max(0.0, began + SETTLED - time.monotonic()))
            offenders: dict[str, Case] = {}
            for together in ROUNDS:
                offenders |= scene.offend({kind: ATTACKS[kind] for kind in together})
            lost_by_then = list(lost)
        connections = ear.connections
        first, last = offenders["flood"], offenders["brute-force"]
        wait_until_over(first)
        enters["after its ban"] = let_in(broker.port, ATTACKS["flood"].address)
        bans = restart(broker, ear)
        enters["banned before the restart"] = let_in(broker.port, ATTACKS["brute-force"].address)
        assert time.time() < ends(last) - 1.0, "the restart outlasted the ban"
        status = [heard.payload for heard in ear.on("$ids/status")]
        broker.ask(control.Release())
        enters["after release"] = let_in(broker.port, ATTACKS["brute-force"].address)
    return Evening(
        spared=spared,
        offenders=offenders,
        lost=lost_by_then,
        listener_connections=connections,
        enters=enters,
        status=status,
        bans=bans,
        alerts=ear.alerts(),
    )


class _Scene(NamedTuple):
    broker: Broker
    stage: Stage
    ear: Listener
    sockets: Sockets

    def offend(self, attacks: Mapping[str, Attack]) -> dict[str, Case]:
        """Play these at once, each until a while after its first alarm."""
        playing = {kind: self.stage.play(one.actors(one.address)) for kind, one in attacks.items()}
        began = time.monotonic()
        cases: dict[str, Case] = {}

        def ended() -> bool:
            for kind in playing.keys() - cases.keys():
                attack = attacks[kind]
                alarms = self.ear.alarms(attack.address)
                after = alarms[0].at + STRUGGLES if alarms else began + attack.limit + LATE
                if time.monotonic() >= after:
                    cases[kind] = self.end(attack, playing[kind], alarms)
            return len(cases) == len(playing)

        until(ended, 30.0, failing="an attack does not end")
        return cases

    def end(self, attack: Attack, playing: Playing, alarms: list[Told]) -> Case:
        told_at = alarms[0].at if alarms else time.monotonic()
        gone_after = self.sockets.gone_after(attack.address, told_at)
        logins = playing.connected_since(told_at + CUT_WITHIN)
        left = self.sockets.fewest_since(attack.address, time.monotonic() - 0.5)
        playing.stop()
        banned = any(told.alert["action_reason"].startswith(BANNED) for told in alarms)
        with Raw(self.broker.port, attack.address) as silent:
            refused = banned and silent.is_closed(CUT_WITHIN)
        return Case(alarms, gone_after, logins, left, refused)


def let_in(port: int, address: str) -> bool:
    with Raw(port, address) as raw:
        raw.send(wire.connect(Connect(f"visitor-{address}", FAMILY, password(FAMILY))))
        return raw.receive(4) == b"\x20\x02\x00\x00"


def ends(case: Case) -> float:
    """When the ban on it ends, in wall time."""
    until_then: str = case.alarms[-1].alert["action_until"]
    return dt.datetime.fromisoformat(until_then).timestamp()


def wait_until_over(case: Case) -> None:
    time.sleep(max(0.0, ends(case) + 0.2 - time.time()))


def restart(broker: Broker, ear: Listener) -> tuple[Bans, Bans]:
    """Stop the broker and start it again; its bans before, as far as they last, and after."""
    before = in_force(broker)
    assert broker.stop() == 0
    broker.start()
    until(lambda: ear.connections == 2, 15.0, failing="the listener does not come back")
    until(lambda: len(ear.on("$ids/status")) == 3, 5.0)
    after = in_force(broker)
    lasting = {handle: end for handle, end in before.items() if end > time.time()}
    return lasting, after


def in_force(broker: Broker) -> Bans:
    now = time.time()
    bans: list[dict[str, Any]] = broker.told()["bans"]
    found = {(ban["handle"]["kind"], ban["handle"]["value"]): ban["until"] for ban in bans}
    return {handle: end for handle, end in found.items() if end > now}


@pytest.mark.parametrize("kind", ATTACKS)
def test_an_offender_is_cut_off_within_a_second_of_its_alert(evening: Evening, kind: str) -> None:
    case = evening.offenders[kind]
    assert case.alarms, "it was never told"
    assert case.gone_after is not None, case.actions
    log.info("%s: cut off %.2f s after its alert", kind, case.gone_after)
    assert case.gone_after <= CUT_WITHIN
    for _, alert in case.alarms:
        assert alert["action"] == "banned", alert
        assert alert["action_reason"] == f"banned address {ATTACKS[kind].address} for {BAN}s"
        assert alert["mode"] == "protect"


@pytest.mark.parametrize("kind", ATTACKS)
def test_an_offender_is_refused_before_it_says_connect(evening: Evening, kind: str) -> None:
    case = evening.offenders[kind]
    assert case.refused
    assert case.logins == 0


def test_no_calm_client_loses_its_connection(evening: Evening) -> None:
    assert evening.lost == []
    assert evening.listener_connections == 1


def test_no_calm_client_is_accused(evening: Evening) -> None:
    """But those whose address an offender shares: by id they are not."""
    shared = {one.address for one in SPARED.values()}
    places = {*addresses().values(), HOST} - shared
    accusing = [
        alert
        for _, alert in evening.alerts
        if alert["severity"] != "info"
        and ({alert["client_id"], *alert["clients"]} & {*addresses()} or alert["address"] in places)
    ]
    assert accusing == []


def test_who_floods_from_a_calm_client_s_address_is_taken_by_its_id(evening: Evening) -> None:
    case = evening.spared["floods next to calm"]
    assert case.actions
    assert {*case.actions} == {("banned", f"banned client {INTRUDER} for {BAN}s")}
    assert case.logins == 0
    assert case.left == 1  # the calm client's
    assert evening.enters["another id at the shared address"]


def test_who_holds_connections_from_there_is_not_banned(evening: Evening) -> None:
    """Those that have waited for CONNECT for long are closed; before that there is no handle."""
    case = evening.spared["holds next to calm"]
    assert case.actions[-1][0] == "disconnected"
    for action, reason in case.actions:
        if action == "none":
            assert "127.0.0.15 is shared with calm clients (DVES_4A7C21)" in reason
        else:
            assert action == "disconnected"
            assert reason.startswith("disconnected connection ")


def test_who_guesses_passwords_from_there_is_only_told_of(evening: Evening) -> None:
    case = evening.spared["guesses next to calm"]
    assert case.actions
    for action, reason in case.actions:
        assert action == "none"
        assert "127.0.0.16 is shared with calm clients (thermostat-7)" in reason


@pytest.mark.parametrize("kind", ["allowed by id", "allowed by address"])
def test_who_is_on_the_allow_list_is_told_of_and_never_cut(evening: Evening, kind: str) -> None:
    case = evening.spared[kind]
    assert case.actions
    for action, reason in case.actions:
        assert action == "none"
        assert reason.endswith(" is on the allow-list")
    assert case.gone_after is None


def test_a_ban_ends_by_itself(evening: Evening) -> None:
    assert evening.offenders["flood"].refused
    assert evening.enters["after its ban"]


def test_a_restart_keeps_the_bans(evening: Evening) -> None:
    lasting, after = evening.bans
    assert ("address", ATTACKS["brute-force"].address) in lasting
    assert after == lasting
    assert not evening.enters["banned before the restart"]


def test_a_restart_is_told(evening: Evening) -> None:
    assert evening.status == [b"online", b"offline", b"online"]


def test_release_lifts_what_is_left(evening: Evening) -> None:
    assert evening.enters["after release"]


def test_every_alert_keeps_the_schema(evening: Evening) -> None:
    assert evening.alerts
    for _, alert in evening.alerts:
        SCHEMA.validate(alert)
