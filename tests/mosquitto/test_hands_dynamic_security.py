"""Users kept out by a real Mosquitto's dynamic security, and let in again whatever happens."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hands_tools import (
    ADMIN,
    OWN,
    OWN_RIGHTS,
    PASSWORD,
    Agent,
    Asker,
    Device,
    Guarded,
    Held,
    devices,
)
from live_broker import HOST, until
from mosquitto_broker import Mosquitto, needs_mosquitto

from mqtt_ids.bans import Handle
from mqtt_ids.hands import dialogue
from mqtt_ids.hands.hands import Hands
from mqtt_ids.hands.users import ends, mark

WITHIN = 10.0  # seconds
ALICE = Handle("username", "alice")

pytestmark = [pytest.mark.broker, needs_mosquitto, pytest.mark.timeout(90)]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    broker = Guarded(tmp_path_factory.mktemp("broker"))
    broker.start()
    broker.add_own_user()
    yield broker
    broker.kill()


@pytest.fixture
def asker(guarded: Guarded) -> Iterator[Asker]:
    with Asker(guarded) as asker:
        for name in ("alice", "bob", "family"):
            asker.do("createClient", username=name, password=PASSWORD)
        yield asker
        for name in ("alice", "bob", "family"):
            asker.do("deleteClient", username=name)
        for role in asker.roles():
            if role.startswith("mqtt-ids-ban"):
                asker.do("deleteRole", rolename=role)


def soon(what: Callable[[], object]) -> None:
    until(what, WITHIN, failing="it did not come true")


def test_an_offender_is_off_and_refused_and_neighbours_stand(
    guarded: Guarded, asker: Asker, tmp_path: Path
) -> None:
    offender = Device(guarded.port, "alice")
    neighbours = (Device(guarded.port, "bob"), Device(guarded.port, "family"))
    with devices(offender, *neighbours), Agent(tmp_path / "s", HOST, guarded.port, OWN) as agent:
        agent.ready()
        told = agent.do("alert", clients=["device-alice"], near=[], username="alice")
        assert (told["action"], told["reason"]) == ("banned", "banned user alice for 10m")
        until(lambda: not offender.connected, 2.0, failing="still there")
        assert offender.connect().refused
        assert [each.ended for each in neighbours] == [0, 0]
        assert agent.do("release") == {"released": 1}
        soon(lambda: not asker.disabled("alice"))
        assert offender.connect().connected
        assert asker.user("alice")["roles"] == []
        assert not [role for role in asker.roles() if role.startswith("mqtt-ids-ban")]


def test_whom_a_ban_would_hit_wrongly_is_left_alone_with_the_reason(
    guarded: Guarded, asker: Asker, tmp_path: Path
) -> None:
    with Agent(tmp_path / "s", HOST, guarded.port, OWN) as agent:
        agent.ready()
        for near, user, why in (
            (["tv"], "family", "user family is shared with calm clients (tv)"),
            ([], "nobody", "dynamic security knows no user nobody"),
            ([], None, "it gave no user name"),
            ([], OWN, f"user {OWN} is our own"),
            ([], ADMIN, f"user {ADMIN} administers the broker"),
        ):
            told = agent.do("alert", clients=["x"], near=near, username=user)
            assert told["action"] == "none"
            assert why in told["reason"]
        assert "knows no user" in agent.do("ban", kind="username", value="who", seconds=9)["error"]
        assert agent.do("state")["bans"] == []
    assert not asker.disabled("family")


def test_who_administers_through_a_group_is_left_alone(
    guarded: Guarded, asker: Asker, tmp_path: Path
) -> None:
    asker.do("createGroup", groupname="chiefs", roles=[{"rolename": "admin"}])
    asker.do("addGroupClient", groupname="chiefs", username="alice")
    with Held(guarded, tmp_path) as held:
        held.ready()
        assert held.call(lambda: held.hands.obstacle(ALICE)) == "user alice administers the broker"
        held.keep_out(ALICE, time.time() + 60)  # by whoever does not ask first
        soon(lambda: held.failures)
        assert held.failures == [(ALICE, "user alice administers the broker")]
    assert not asker.disabled("alice")
    asker.do("deleteGroup", groupname="chiefs")


def test_a_ban_ends_at_its_time(guarded: Guarded, asker: Asker, tmp_path: Path) -> None:
    with Agent(tmp_path / "s", HOST, guarded.port, OWN) as agent:
        agent.ready()
        agent.do("ban", kind="username", value="alice", seconds=1.5)
        soon(lambda: asker.disabled("alice"))
        assert ends(asker.user("alice")["roles"][0]["rolename"]) == pytest.approx(
            time.time() + 1.5, abs=2.0
        )
        soon(lambda: not asker.disabled("alice"))
        assert agent.do("state")["bans"] == []


def test_a_stop_lets_in_and_the_next_start_keeps_out_again(
    guarded: Guarded, asker: Asker, tmp_path: Path
) -> None:
    with Agent(tmp_path / "s", HOST, guarded.port, OWN) as agent:
        agent.ready()
        agent.do("ban", kind="username", value="alice", seconds=300)
        soon(lambda: asker.disabled("alice"))
        agent.stop()
        assert not asker.disabled("alice")
    with Agent(tmp_path / "s", HOST, guarded.port, OWN):
        soon(lambda: asker.disabled("alice"))


def test_a_killed_agent_lifts_what_has_ended_once_it_runs_again(
    guarded: Guarded, asker: Asker, tmp_path: Path
) -> None:
    with Agent(tmp_path / "s", HOST, guarded.port, OWN) as agent:
        agent.ready()
        agent.do("ban", kind="username", value="alice", seconds=1.0)
        agent.do("ban", kind="username", value="bob", seconds=300)
        soon(lambda: asker.disabled("alice") and asker.disabled("bob"))
        assert {*agent.do("state")["written"]} == {"alice", "bob"}, "stored before it is in force"
        agent.kill()
    time.sleep(1.0)
    assert asker.disabled("alice"), "nobody is there to let it in"
    with Agent(tmp_path / "s", HOST, guarded.port, OWN) as agent:
        soon(lambda: not asker.disabled("alice"))
        assert asker.disabled("bob")
        assert agent.do("state")["bans"] == ["bob"]
        assert agent.do("lift", kind="username", value="bob") == {"lifted": "bob"}
        soon(lambda: not asker.disabled("bob"))


def test_what_an_agent_without_memory_left_behind_ends_at_its_time(
    guarded: Guarded, asker: Asker, tmp_path: Path
) -> None:
    for name, left in (("alice", -1.0), ("bob", 300.0)):
        role = mark(name, time.time() + left)
        asker.do("createRole", rolename=role)
        asker.do("addClientRole", username=name, rolename=role)
        asker.do("disableClient", username=name)
    with Held(guarded, tmp_path) as held:
        held.ready()
        soon(lambda: not asker.disabled("alice"))
        assert asker.disabled("bob"), "another agent may want it so"
        assert asker.user("alice")["roles"] == []


def test_whom_a_person_has_disabled_stays_so(
    guarded: Guarded, asker: Asker, tmp_path: Path
) -> None:
    asker.do("disableClient", username="alice")
    with Held(guarded, tmp_path) as held:
        held.ready()
        why = "user alice is disabled in the broker already"
        assert held.call(lambda: held.hands.obstacle(ALICE)) == why
        held.keep_out(ALICE, time.time() + 60)
        soon(lambda: held.failures)
        held.let_in(ALICE)
    assert "disabled in the broker already" in held.failures[0][1]
    assert asker.disabled("alice")
    assert asker.user("alice")["roles"] == []


def test_whom_a_person_has_enabled_stays_so(guarded: Guarded, asker: Asker, tmp_path: Path) -> None:
    with Held(guarded, tmp_path) as held:
        held.ready()
        held.keep_out(ALICE, time.time() + 60)
        soon(lambda: asker.disabled("alice"))
        asker.do("enableClient", username="alice")
        held.call(held.hands.online)  # as after each new connection: it looks who there is
        soon(lambda: held.failures)
        assert held.failures == [(ALICE, "somebody has changed it in the broker")]
        soon(lambda: not asker.user("alice")["roles"])
    assert not asker.disabled("alice")


def test_what_is_asked_while_the_broker_is_away_is_done_once_it_is_back(tmp_path: Path) -> None:
    with Guarded(tmp_path) as broker:
        broker.add_own_user()
        with Asker(broker) as asker:
            for name in ("alice", "bob"):
                asker.do("createClient", username=name, password=PASSWORD)
        with Held(broker, tmp_path) as held:
            held.ready()
            held.keep_out(ALICE, time.time() + 60)
            until(lambda: held.hands._users._held == {"alice"}, WITHIN, failing="not disabled")
            broker.stop()
            soon(lambda: held.hands.offers.isdisjoint({"username"}))
            why = held.call(lambda: held.hands.obstacle(ALICE))
            assert why == "dynamic security: not connected to the broker"
            held.let_in(ALICE)
            held.keep_out(Handle("username", "bob"), time.time() + 60)
            broker.start()
            with Asker(broker) as asker:
                soon(lambda: asker.disabled("bob") and not asker.disabled("alice"))
            assert held.failures == []
            broker.stop()
            broker.start()
            held.ready()
            assert held.failures == []


def test_a_user_that_is_made_later_is_found(guarded: Guarded, asker: Asker, tmp_path: Path) -> None:
    with Held(guarded, tmp_path) as held:
        held.ready()
        carol = Handle("username", "carol")
        assert "knows no user" in held.call(lambda: held.hands.obstacle(carol))
        asker.do("createClient", username="carol", password=PASSWORD)
        held.call(lambda: held.hands.pass_time(time.monotonic()))
        assert held.call(lambda: held.hands.obstacle(carol)), "not asked again all the time"
        held.call(lambda: held.hands.pass_time(time.monotonic() + 31))
        soon(lambda: held.call(lambda: held.hands.obstacle(carol)) is None)
        asker.do("deleteClient", username="carol")


def test_without_dynamic_security_or_the_right_to_it_there_is_no_such_hand(
    guarded: Guarded, asker: Asker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialogue, "WITHIN", 0.5)
    plain = Mosquitto(tmp_path)
    plain.start()
    try:
        for broker, user in ((plain, None), (guarded, "bob")):
            with Held(broker, tmp_path, user) as held:
                until(lambda: "no answer" in str(held.hands.reasons), WITHIN)
                assert "username" not in held.hands.offers
                assert "may not publish on $CONTROL/dynamic-security/v1" in held.hands.reasons[0]
                why = held.call(lambda: held.hands.obstacle(ALICE))
                assert why == held.hands.reasons[0]
    finally:
        plain.kill()


def test_the_role_that_the_docs_tell_of_is_enough(guarded: Guarded, tmp_path: Path) -> None:
    wanted = {"$SYS/broker/version", "$ids/alerts", "homeassistant/status"}
    with Held(guarded, tmp_path) as held:
        held.ready()
        held.link.listen_to([*Hands.filters, "$SYS/#", "$ids/alerts", "homeassistant/status"])

        def all_came() -> bool:
            for topic in ("$ids/alerts", "homeassistant/status"):
                held.link.publish(topic, b"x")
            return {message.topic for message in held.messages} >= wanted

        soon(all_came)
    page = Path(__file__).parents[2].joinpath("docs", "response.md").read_text(encoding="utf-8")
    for kind, topic in OWN_RIGHTS:
        assert f"addRoleACL mqtt-ids {kind} '{topic}' allow" in page
