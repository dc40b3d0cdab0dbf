"""Protect mode against a real broker: offenders are cut off and kept out, and nobody else is.

One evening is played: twelve calm clients; offenders whom policy must spare, or take by something
narrower than their address; then each attack from an address of its own; then what becomes of the
bans. The tests look at what was seen of it: by the kernel, by a subscriber, by the clients.
"""

import logging
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import pytest
from live_broker import HOST, Broker, Sockets, until
from live_home import (
    ATTACKS,
    LISTENER,
    ROUNDS,
    Attack,
    addresses,
    flood,
    logins,
    password,
    residents,
)
from live_offenders import (
    BAN,
    CUT_WITHIN,
    INTRUDER,
    SHARED_BY,
    SHARING,
    Bans,
    Case,
    Scene,
    in_force,
    let_in,
)
from live_tools import SCHEMA, Listener, Stage, Told

from mqtt_ids import control

pytestmark = [pytest.mark.broker, pytest.mark.slow]

log = logging.getLogger(__name__)

WARM_UP = 12.0  # seconds of calm before the first offender
SETTLED = 32.0  # seconds after the start from when on a newcomer is nobody established

ALLOW = {"client_ids": ["load-*"], "addresses": ["127.0.3.0/24"]}
# Offenders who must not be banned by their address: they share it, or stand on the allow-list.
SPARED: Mapping[str, Attack] = {
    **SHARING,
    "allowed by id": Attack(
        "flood", 4.0, "127.0.2.1", lambda at: flood(at, client_id="load-tester")
    ),
    "allowed by address": Attack("flood", 4.0, "127.0.3.1", flood),
}


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
            scene = Scene(broker.port, stage, ear, sockets)
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
        first.wait_until_over()
        enters["after its ban"] = let_in(broker.port, ATTACKS["flood"].address)
        bans = restart(broker, ear)
        enters["banned before the restart"] = let_in(broker.port, ATTACKS["brute-force"].address)
        assert time.time() < last.ends - 1.0, "the restart outlasted the ban"
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


def restart(broker: Broker, ear: Listener) -> tuple[Bans, Bans]:
    """Stop the broker and start it again; its bans before, as far as they last, and after."""
    before = in_force(broker.told()["bans"])
    assert broker.stop() == 0
    broker.start()
    until(lambda: ear.connections == 2, 15.0, failing="the listener does not come back")
    until(lambda: len(ear.on("$ids/status")) == 3, 5.0)
    after = in_force(broker.told()["bans"])
    lasting = {handle: end for handle, end in before.items() if end > time.time()}
    return lasting, after


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
    assert (case.logins, case.enters) == (0, 0)


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
            assert SHARED_BY["holds next to calm"] in reason
        else:
            assert action == "disconnected"
            assert reason.startswith("disconnected connection ")


def test_who_guesses_passwords_from_there_is_only_told_of(evening: Evening) -> None:
    case = evening.spared["guesses next to calm"]
    assert case.actions
    for action, reason in case.actions:
        assert action == "none"
        assert SHARED_BY["guesses next to calm"] in reason


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
