"""Protect mode in front of a broker: offenders are cut off, and the broker sees them no more.

One evening is played: twelve calm clients; offenders who share an address with one of them; then
each attack from an address of its own; then what becomes of the bans. Before the broker stands a
relay that notes on whose behalf each connection comes: the agent says so by the PROXY protocol.
"""

import logging
import time
from collections.abc import Iterator
from typing import Final, NamedTuple

import pytest
from bridge_home import EVERY, ROUNDS, Home, at_home
from live_attacks import FORGER, FORGER_AT, WELCOME
from live_broker import HOST, Sockets, until
from live_home import FAMILY, LISTENER, addresses, marked, password, residents
from live_offenders import (
    INTRUDER,
    SHARED_BY,
    SHARING,
    Case,
    Scene,
    let_in,
)
from live_tools import SCHEMA, Heard, Listener, Raw, Stage, Told
from mosquitto_broker import needs_mosquitto
from relay import Caller

from mqtt_ids import control
from mqtt_ids.lab import wire
from mqtt_ids.lab.actions import Connect

pytestmark = [pytest.mark.broker, pytest.mark.slow, needs_mosquitto]

log = logging.getLogger(__name__)

CALM: Final = 7.0  # seconds before the first offender: who comes with one is taken for a part of it
BAN: Final = 12  # seconds
CUT_WITHIN: Final = 2.0  # seconds after the alert
UNDER_WAY: Final = 1.0  # seconds for a connection to the broker that was called for before
HEIR_AT: Final = "127.0.2.1"
SPOOFED: Final = marked(40)
REFUSED: Final = b"\x20\x02\x00\x05"  # CONNACK: not authorised
# In the first half minute everybody counts as one whom a mistake would hurt.
PROTECT: Final = {"ban": f"{BAN}s", "max_share": 1.0}


class Forgery(NamedTuple):
    """What became of a will and of a publish on the detector's topics."""

    will_code: bytes
    publish_code: bytes  # the answer to the first publish, which asks for one
    cut_off: bool
    enters: dict[str, bool]  # who of them is let in afterwards


class Evening(NamedTuple):
    sharing: dict[str, Case]
    offenders: dict[str, Case]
    forgery: Forgery
    lost: list[str]  # calm clients
    listener_connections: int
    enters: dict[str, bool]  # who was let in, by when it was tried
    callers: list[Caller]  # who came to the broker until the bans ended
    heard: list[Heard]
    alerts: list[Told]
    errors: int

    def calls(self, address: str, since: float = 0.0) -> int:
        """How often the broker was called on behalf of this one."""
        return sum(one.address == address and one.at > since for one in self.callers)


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    inline = {"proxy_protocol": "v1"}
    folder = tmp_path_factory.mktemp("bridge")
    with at_home(folder, mode="protect", protect=PROTECT, inline=inline) as home:
        yield play(home)


def play(home: Home) -> Evening:
    lost: list[str] = []
    enters: dict[str, bool] = {}
    port = home.port
    with Listener(port, (LISTENER, password(LISTENER))) as ear, Sockets(port, 0.1) as sockets:
        with Stage(port) as stage:
            scene = Scene(port, stage, ear, sockets)
            stage.play(residents(lost.append))
            time.sleep(CALM)
            forgery = forge(port, ear)
            sharing = scene.offend(SHARING)
            enters["another id at the shared address"] = let_in(port, "127.0.0.14")
            offenders: dict[str, Case] = {}
            for together in ROUNDS:
                offenders |= scene.offend({kind: EVERY[kind] for kind in together})
            lost_by_then = list(lost)
        connections, callers = ear.connections, list(home.relay.callers)
        enters |= after(home, offenders["flood"])
        status = home.agent.status()
    return Evening(
        sharing=sharing,
        offenders=offenders,
        forgery=forgery,
        lost=lost_by_then,
        listener_connections=connections,
        enters=enters,
        callers=callers,
        heard=ear.heard,
        alerts=ear.alerts(),
        errors=status["errors"],
    )


def forge(port: int, ear: Listener) -> Forgery:
    """Leave a will, and publish, where only the detector speaks."""
    with Raw(port, HEIR_AT) as raw:
        will = Connect("heir", FAMILY, password(FAMILY), will_topic="$ids/alerts")
        raw.send(wire.connect(will))
        will_code = raw.receive(4)
    with Raw(port, FORGER_AT) as raw:
        raw.send(wire.connect(Connect(FORGER, FAMILY, password(FAMILY))))
        assert raw.receive(4) == WELCOME
        packet = wire.packet(0x33, wire.text("$ids/alerts") + b"\x00\x07" + SPOOFED)
        for byte in packet:  # however it comes
            raw.send(bytes((byte,)))
        publish_code = raw.receive(4)
        until(lambda: ear.alarms(FORGER_AT), CUT_WITHIN)
        cut_off = raw.is_closed(CUT_WITHIN)
    enters = {address: let_in(port, address) for address in (HEIR_AT, FORGER_AT)}
    return Forgery(will_code, publish_code, cut_off, enters)


def after(home: Home, first: Case) -> dict[str, bool]:
    """Who is let in once the first ban is over, and before and after all are lifted."""
    last = EVERY["dos"].address
    first.wait_until_over()
    enters = {"after its ban": let_in(home.port, EVERY["flood"].address)}
    enters["before the release"] = let_in(home.port, last)
    home.agent.ask(control.Release())
    return {**enters, "after the release": let_in(home.port, last)}


@pytest.mark.parametrize("kind", EVERY)
def test_an_offender_is_cut_off_and_kept_out(evening: Evening, kind: str) -> None:
    case = evening.offenders[kind]
    assert case.alarms, "it was never told"
    assert case.gone_after is not None, case.actions
    log.info("%s: cut off %.2f s after its alert", kind, case.gone_after)
    assert case.gone_after <= CUT_WITHIN
    assert case.refused
    assert (case.logins, case.enters) == (0, 0)
    for _, alert in case.alarms:
        assert (alert["attack"], alert["sensor"]) == (EVERY[kind].name, "proxy")
        assert alert["action"] == "banned", alert
        assert alert["action_reason"] == f"banned address {EVERY[kind].address} for {BAN}s"


@pytest.mark.parametrize("kind", EVERY)
def test_the_broker_never_sees_who_is_refused(evening: Evening, kind: str) -> None:
    """Although it comes again and again; and one without a whole CONNECT never did."""
    told_at = evening.offenders[kind].alarms[0].at
    address = EVERY[kind].address
    assert evening.calls(address, told_at + UNDER_WAY) == 0
    if kind in {"half-open", "drip"}:
        assert evening.calls(address) == 0


def test_the_broker_knows_all_others_by_their_address(evening: Evening) -> None:
    known = {one.address for one in evening.callers}
    assert known >= {*addresses().values(), HOST}


def test_a_will_on_the_detector_s_topics_is_refused(evening: Evening) -> None:
    assert evening.forgery.will_code == REFUSED
    assert evening.calls(HEIR_AT) == 0


def test_a_publish_on_the_detector_s_topics_is_never_heard(evening: Evening) -> None:
    assert evening.forgery.publish_code == b"\x40\x02\x00\x07"  # its sender learns nothing
    assert evening.calls(FORGER_AT) == 1
    alerts = [heard for heard in evening.heard if heard.topic == "$ids/alerts"]
    assert alerts
    assert not any(heard.payload == SPOOFED for heard in evening.heard)


@pytest.mark.parametrize("address", [HEIR_AT, FORGER_AT])
def test_who_speaks_as_the_detector_is_kept_out(evening: Evening, address: str) -> None:
    alarms = [told.alert for told in evening.alerts if told.alert["address"] == address]
    assert {(alert["attack"], alert["action"]) for alert in alarms} == {("spoofing", "banned")}
    assert not evening.forgery.enters[address]
    assert evening.forgery.cut_off


def test_no_calm_client_loses_its_connection(evening: Evening) -> None:
    assert evening.lost == []
    assert evening.listener_connections == 1


def test_no_calm_client_is_accused(evening: Evening) -> None:
    """But those whose address an offender shares: by id they are not."""
    shared = {one.address for one in SHARING.values()}
    places = {*addresses().values(), HOST} - shared
    for _, alert in evening.alerts:
        SCHEMA.validate(alert)
        if alert["severity"] != "info":
            assert not {alert["client_id"], *alert["clients"]} & {*addresses(), "listener"}
            assert alert["address"] not in places


def test_who_floods_from_a_calm_client_s_address_is_taken_by_its_id(evening: Evening) -> None:
    case = evening.sharing["floods next to calm"]
    assert case.actions
    assert {*case.actions} == {("banned", f"banned client {INTRUDER} for {BAN}s")}
    assert case.logins == 0
    assert case.left == 1  # the calm client's
    assert evening.enters["another id at the shared address"]


def test_who_holds_connections_from_there_loses_those(evening: Evening) -> None:
    case = evening.sharing["holds next to calm"]
    assert case.actions[-1][0] == "disconnected"
    for action, reason in case.actions:
        if action == "none":
            assert SHARED_BY["holds next to calm"] in reason
        else:
            assert reason.startswith("disconnected connection ")


def test_who_guesses_passwords_from_there_is_only_told_of(evening: Evening) -> None:
    case = evening.sharing["guesses next to calm"]
    assert case.actions
    for action, reason in case.actions:
        assert action == "none"
        assert SHARED_BY["guesses next to calm"] in reason


def test_a_ban_ends_by_itself(evening: Evening) -> None:
    assert evening.offenders["flood"].refused
    assert evening.enters["after its ban"]


def test_release_lifts_what_is_left(evening: Evening) -> None:
    assert not evening.enters["before the release"]
    assert evening.enters["after the release"]


def test_nothing_went_wrong(evening: Evening) -> None:
    assert evening.errors == 0
