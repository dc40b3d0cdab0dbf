"""The agent beside a real Mosquitto: what docs/mosquitto.md promises of each source is so.

In each set-up one evening is played; the tests look at what a plain subscriber heard of it.
"""

import json
import logging
from collections.abc import Iterator
from typing import Final, NamedTuple

import pytest
from live_attacks import alarms, names
from live_broker import HOST
from live_home import ATTACKS, addresses
from live_tools import MARKER, SCHEMA, Told
from mosquitto_broker import needs_mosquitto
from sidecar_evening import Evening, play
from sidecar_setups import SETUPS
from sidecar_table import PROMISES, SOURCES, Promise

pytestmark = [pytest.mark.broker, pytest.mark.slow, needs_mosquitto, pytest.mark.timeout(240)]

log = logging.getLogger(__name__)

SPOOFING_LIMIT: Final = 4.0  # seconds
KINDS: Final = (*ATTACKS, "spoofing")
LIMITS: Final = {kind: one.limit for kind, one in ATTACKS.items()} | {"spoofing": SPOOFING_LIMIT}
NAMES: Final = {kind: one.name for kind, one in ATTACKS.items()} | {"spoofing": "spoofing"}
MADE_UP: Final = "auto-"  # how ids begin that the broker gives to who has none


class Played(NamedTuple):
    """An evening, and the column of the table that tells what to expect of it."""

    name: str
    source: str
    agent_first: bool
    evening: Evening

    def promise(self, kind: str) -> Promise | None:
        return PROMISES[self.source, kind]

    def told(self, kind: str) -> list[Told]:
        """The alarms that are about this attack: of its time, and its address or nobody's."""
        seen = self.evening.attacks[kind]
        return [
            told
            for told in alarms(self.evening.alerts, seen.began)
            if told.alert["address"] in {seen.address, None}
        ]


# The same lines from the same file: dynamic security and TLS have tests of their own.
ALIKE: Final = frozenset({"dynamic security", "TLS"})
PLAYED: Final = [
    pytest.param(name, marks=[pytest.mark.long] if name in ALIKE else []) for name in SETUPS
]


@pytest.fixture(scope="module", params=PLAYED)
def played(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Played]:
    with SETUPS[request.param](tmp_path_factory.mktemp("side")) as setup:
        yield Played(request.param, setup.source, setup.agent_first, play(setup))


def test_the_table_has_a_cell_for_each_source_and_attack() -> None:
    assert set(PROMISES) == {(source, kind) for source in SOURCES for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_the_table_promises_all_that_a_whole_log_shows(kind: str) -> None:
    promise = PROMISES["everything", kind]
    assert promise is not None
    assert (promise.name, promise.whom == "nobody") == (NAMES[kind], False)
    assert promise.within <= LIMITS[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_told_as_the_table_says(played: Played, kind: str) -> None:
    promise, seen = played.promise(kind), played.evening.attacks[kind]
    if promise is None:
        during = [told for told in played.told(kind) if told.alert["address"] == seen.address]
        assert during == [], "the table says that it is not found"
        return
    wanted = None if promise.whom == "nobody" else seen.address
    told = [
        one
        for one in played.told(kind)
        if names(one, promise.name) and one.alert["address"] == wanted
    ]
    assert told, [one.alert for one in played.told(kind)]
    after = told[0].at - seen.began
    log.info("%s, %s: told after %.1f s", played.name, kind, after)
    assert after <= promise.within


@pytest.mark.parametrize("kind", KINDS)
def test_the_alert_names_whom_the_table_says(played: Played, kind: str) -> None:
    promise, seen = played.promise(kind), played.evening.attacks[kind]
    for told in played.told(kind) if promise is not None else ():
        alert = told.alert
        if alert["address"] is None:
            assert (alert["client_id"], alert["username"]) == (None, None)
            assert (alert["clients"], alert["client_count"]) == ([], 0)
        elif promise is not None and names(told, promise.name):
            ids = {name for name in alert["clients"] if not name.startswith(MADE_UP)}
            assert ids <= seen.client_ids
            if promise.whom == "client":
                assert {alert["client_id"]} == seen.client_ids


def test_an_address_is_told_of_its_own_attack_only(played: Played) -> None:
    by_address = {one.address: NAMES[kind] for kind, one in played.evening.attacks.items()}
    for told in alarms(played.evening.alerts):
        address = told.alert["address"]
        if address is not None:
            assert told.alert["attack"] == by_address[address], told.alert


def test_an_alarm_has_three_reasons_of_what_was_seen(played: Played) -> None:
    for told in alarms(played.evening.alerts):
        alert = told.alert
        SCHEMA.validate(alert)
        assert alert["sensor"] == "mosquitto"
        assert (alert["action"], alert["action_reason"]) == ("none", "observe mode")
        texts = [reason["text"] for reason in alert["reasons"]]
        assert len(texts) == 3 or names(told, "spoofing"), texts
        assert not any("password" in text for text in texts)


def test_nobody_calm_is_accused(played: Played) -> None:
    calm, places = {*addresses(), "listener"}, {*addresses().values(), HOST}
    first = min(seen.began for seen in played.evening.attacks.values())
    for told in played.evening.alerts:
        alert = told.alert
        assert not alert["client_id"] or not alert["client_id"].startswith("mqtt-ids-"), alert
        if alert["severity"] != "info":
            assert told.at > first, "an alarm before the first attack"
            assert not {alert["client_id"], *alert["clients"]} & calm
            assert alert["address"] not in places


def test_nobody_calm_loses_its_connection(played: Played) -> None:
    assert played.evening.lost == []


def test_who_is_there_is_known(played: Played) -> None:
    """As far as the source shows it, and without the agent itself."""
    known = {one["client_id"]: one["address"] for one in played.evening.clients}
    known.pop("listener", None)  # it was there before, and says next to nothing
    if played.agent_first:
        assert known == addresses()
    elif played.source == "everything":
        assert set(known) <= set(addresses())
        assert len(known) >= 8  # some say nothing for long
    else:
        assert known == {}


def test_all_went_well(played: Played) -> None:
    evening = played.evening
    status = evening.status
    assert evening.exit_code == 0
    assert (status["skipped"], status["errors"], status["lag"] < 2.0) == (0, 0, True)
    assert "Traceback" not in evening.told
    assert evening.memory <= 90.0


def test_no_payload_and_no_password_is_in_any_file(played: Played) -> None:
    files = played.evening.files
    assert {"state.db", "agent.out"} <= files.keys()
    assert MARKER not in played.evening.told
    assert [name for name, data in files.items() if MARKER.encode() in data] == []
    if played.name != "dynamic security":  # where the agent is another's
        written = [json.loads(line) for line in files["alerts.jsonl"].splitlines()]
        opened = {told.alert["id"] for told in played.evening.alerts}
        assert opened == {one["id"] for one in written}
