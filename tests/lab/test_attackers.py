"""Attackers on homes: what their events look like, and that only the truth tells."""

import collections
import random
from typing import Any

import pytest

from mqtt_ids.decoder import Decoder
from mqtt_ids.events import (
    AnyEvent,
    Closed,
    Connected,
    Disconnected,
    Malformed,
    Opened,
    Published,
    Refused,
    Subscribed,
)
from mqtt_ids.lab import fuzz, wire
from mqtt_ids.lab.actions import Connect, Publish, Send
from mqtt_ids.lab.attackers import Attack, Attacker, Identity
from mqtt_ids.lab.draws import KINDS, draw_attack
from mqtt_ids.lab.homes import make_home, record
from mqtt_ids.lab.household import Home
from mqtt_ids.packets import ConnectPacket, MalformedPacket, PublishPacket, SubscribePacket

START, LASTS = 400.0, 30.0
MOST_RATE = 3_000.0
IDENTITIES: tuple[Identity, ...] = ("new", "address", "client", "many")


@pytest.fixture(scope="module")
def home() -> Home:
    return next(
        home
        for home in (make_home(seed, size=10, style="plugs") for seed in range(50))
        if home.network == "lan" and not home.rules.anonymous
    )


def attacker(home: Home, identity: Identity = "new", seed: int = 1) -> Attacker:
    return Attacker(home, seed, start=START, duration=LASTS, identity=identity)


def during(home: Home, attack: Attack) -> list[AnyEvent]:
    """The events of the attack's own connections while it lasts."""
    events = list(record(home, [attack], duration=START + LASTS + 20.0))
    return [e for e in events if e.connection in attack.truth.connections and e.time >= START]


def count(events: list[AnyEvent], kind: type[AnyEvent]) -> int:
    return sum(isinstance(event, kind) for event in events)


@pytest.mark.parametrize("identity", IDENTITIES)
@pytest.mark.parametrize("rate", [2.0, 300.0, 5_000.0])
def test_flood(home: Home, identity: Identity, rate: float) -> None:
    attack = attacker(home, identity).flood(rate=rate)
    sent = count(during(home, attack), Published)
    assert sent == pytest.approx(rate * LASTS, rel=0.1, abs=15)


def test_flood_of_a_known_client_stays_on_its_connection(home: Home) -> None:
    by = attacker(home, "client")
    attack = by.flood(rate=50.0)
    events = during(home, attack)
    assert {event.client_id for event in events} == {by.victim.client_id}
    assert {event.address for event in events} == {by.victim.address}
    assert count(events, Opened) == 0


@pytest.mark.parametrize("mode", ["publish", "storm"])
def test_dos(home: Home, mode: str) -> None:
    attack = attacker(home).dos(connections=40, rate=5.0, mode=mode)
    events = during(home, attack)
    opened = count(events, Opened)
    assert opened == 40 if mode == "publish" else opened > 3_000
    assert count(events, Published) > 3_000
    if mode == "publish":
        assert {event.qos for event in events if isinstance(event, Published)} == {1}


@pytest.mark.parametrize("mode", ["keep-alive", "half-open", "empty", "drip"])
@pytest.mark.parametrize("identity", IDENTITIES)
def test_slowite(home: Home, mode: str, identity: Identity) -> None:
    attack = attacker(home, identity).slowite(connections=50, mode=mode, opens_in=2.0)
    events = [event for event in during(home, attack) if event.time < START + 5.0]
    assert count(events, Opened) == 50
    accepted = [event for event in events if isinstance(event, Connected)]
    assert len(accepted) == (50 if mode == "keep-alive" else 0)
    assert all(event.keep_alive == 65_535 for event in accepted)
    assert count(events, Published) == 0
    assert len({event.address for event in events}) == (50 if identity == "many" else 1)


@pytest.mark.parametrize("identity", IDENTITIES)
def test_malformed(home: Home, identity: Identity) -> None:
    by = attacker(home, identity)
    events = during(home, by.malformed(rate=6.0, broken=0.5))
    assert 60 < count(events, Opened) < 260
    reasons = {event.reason for event in events if isinstance(event, Malformed)}
    assert len(reasons) >= 5
    topics = [event.topic for event in events if isinstance(event, Published)]
    assert any(topic.startswith("$") or "//" in topic for topic in topics)
    ids = {event.client_id for event in events if isinstance(event, Connected)}
    assert (by.victim.client_id in ids) == (identity == "client")


@pytest.mark.parametrize("gap", [0.5, 3.0])
@pytest.mark.parametrize("identity", IDENTITIES)
def test_brute_force(home: Home, gap: float, identity: Identity) -> None:
    events = during(home, attacker(home, identity).brute_force(gap=gap))
    refused = [event for event in events if isinstance(event, Refused)]
    assert len(refused) == pytest.approx(LASTS / gap, rel=0.35, abs=2)
    assert len({event.credential for event in refused}) == len(refused)
    assert count(events, Connected) == 0


def test_brute_force_is_refused_where_anybody_may_enter() -> None:
    house = next(h for h in (make_home(s, size=5) for s in range(50)) if h.rules.anonymous)
    events = during(house, attacker(house).brute_force(gap=1.0))
    assert count(events, Refused) > 20


@pytest.mark.parametrize("identity", ["new", "address", "client"])
def test_enumeration(home: Home, identity: Identity) -> None:
    events = during(home, attacker(home, identity).enumeration())
    filters = [one for event in events if isinstance(event, Subscribed) for one in event.filters]
    assert {"#", "$SYS/#"} <= set(filters)


def test_a_takeover_is_a_fight(home: Home) -> None:
    by = attacker(home)
    attack = by.takeover(patience=1.0)
    events = list(record(home, [attack], duration=START + LASTS))
    won: collections.Counter[str] = collections.Counter(
        event.address
        for event in events
        if isinstance(event, Connected)
        and event.client_id == by.victim.client_id
        and event.time >= START
    )
    assert len(won) == 2
    assert min(won.values()) >= 2


def test_spoofing(home: Home) -> None:
    events = during(home, attacker(home).spoofing(mode="will"))
    assert [
        e for e in events if isinstance(e, Connected) and (e.will_topic or "").startswith("$ids/")
    ]
    events = during(home, attacker(home).spoofing(mode="alert", gap=1.0))
    assert [e for e in events if isinstance(e, Published) and e.topic.startswith("$ids/")]
    by = attacker(home)
    known = {topic for resident in home.residents for topic in resident.topics}
    events = during(home, by.spoofing(topics=5, gap=0.5))
    assert {e.topic for e in events if isinstance(e, Published)} <= known


def test_a_device_that_turns_keeps_its_habits_and_topics(home: Home) -> None:
    by = attacker(home)
    attack = by.turn(rate=20.0)
    calm = collections.Counter(type(e).__name__ for e in record(home, duration=START - 1))
    events = list(record(home, [attack], duration=START + LASTS + 20))
    before = collections.Counter(type(e).__name__ for e in events if e.time < START - 1)
    assert calm - collections.Counter(Closed=calm["Closed"]) == before - collections.Counter(
        Closed=before["Closed"]
    )
    mine = [e for e in events if isinstance(e, Published) and e.client_id == by.victim.client_id]
    more = [e for e in mine if START <= e.time < START + LASTS]
    assert len(more) == pytest.approx(20.0 * LASTS, rel=0.1)
    assert {e.topic for e in more} <= {e.topic for e in mine} | set(by.victim.topics)


def drawn(home: Home, kind: str, identity: Identity) -> Attack:
    """An attack with drawn settings on a plug, to whom nobody reacts; no flood of millions."""
    plug = next(resident for resident in home.residents if resident.kind.startswith("tasmota"))
    draws = (
        draw_attack(
            home, seed, kind=kind, start=START, duration=20.0, identity=identity, victim=plug
        )
        for seed in range(5, 50)
    )
    return next(
        attack for attack in draws if kind != "flood" or float(attack.settings["rate"]) < MOST_RATE
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("identity", IDENTITIES)
def test_drawn_attacks_play_and_others_live_on(home: Home, kind: str, identity: Identity) -> None:
    attack = drawn(home, kind, identity)
    events = list(record(home, [attack], duration=START + 60.0))
    mine = [e for e in events if e.connection in attack.truth.connections]
    if kind == "silence":  # nothing but its end, and that only where somebody closes it
        assert any(event.time < START for event in mine)
        assert sum(event.time > START + 1.0 for event in mine) <= 1
    else:
        assert any(event.time >= START for event in mine)
    calm = collections.Counter(e.client_id for e in record(home, duration=START + 60.0))
    seen = collections.Counter(e.client_id for e in events)
    for resident in home.residents:
        if resident.client_id not in attack.truth.client_ids and resident.address not in (
            attack.truth.addresses
        ):
            assert seen[resident.client_id] == pytest.approx(calm[resident.client_id], abs=6)


def test_draws_reach_from_patient_to_fierce(home: Home) -> None:
    rates, spans, gaps, each = [], [], [], set()
    for seed in range(400):
        flood = draw_attack(home, seed, kind="flood", start=START)
        rates.append(float(flood.settings["rate"]))
        spans.append(flood.truth.end - START)
        guesses = draw_attack(home, seed, kind="brute-force", start=START)
        gaps.append(float(guesses.settings["gap"]))
        assert guesses.truth.end - START > 24.9 * gaps[-1]
        if seed < 40:
            each.add(draw_attack(home, seed, kind="slowite", start=START).settings["each"])
        assert rates[-1] * spans[-1] < 3e6
    assert min(rates) < 4.0
    assert max(rates) > 5e5
    assert min(gaps) < 0.5
    assert max(gaps) > 60.0
    assert each == {1, 2, 3, 4, 5}


def test_a_flood_of_a_million_a_second_is_not_thinned(home: Home) -> None:
    by = Attacker(home, 1, start=5.0, duration=0.3)
    attack = by.flood(rate=1e6)
    sent = sum(
        event.connection in attack.truth.connections and isinstance(event, Published)
        for event in record(home, [attack], duration=6.0)
    )
    assert sent == pytest.approx(3e5, rel=0.1)


@pytest.mark.parametrize("kind", ["dos", "slowite"])
def test_a_botnet_has_a_few_connections_from_each_address(home: Home, kind: str) -> None:
    by = attacker(home, "many")
    attack = by.dos(connections=40, each=3) if kind == "dos" else by.slowite(connections=40, each=3)
    opened = [e for e in during(home, attack) if isinstance(e, Opened) and e.time < START + 3.0]
    from_each = collections.Counter(event.address for event in opened)
    assert sorted(from_each.values()) == [1, *[3] * 13]
    assert attack.truth.addresses == set(from_each)


@pytest.mark.parametrize(
    ("mode", "closed_by"), [("jammed", "broker"), ("stolen", "client"), ("stopped", "client")]
)
def test_silence(home: Home, mode: str, closed_by: str) -> None:
    by = Attacker(home, 3, start=START, duration=3_600.0, identity="new")
    attack = by.silence(mode=mode)
    assert (attack.kind, attack.identity, attack.truth.kind) == ("silence", "client", "silence")
    events = list(record(home, [attack], duration=START + 3_700.0))
    victim = [e for e in events if e.client_id == by.victim.client_id]
    assert [e for e in victim if isinstance(e, Published) and e.time < START]
    quiet = [e for e in victim if START + 1e-3 < e.time < START + 3_600.0]
    farewell = [e for e in victim if START <= e.time <= START + 1e-3]
    assert any(isinstance(e, Disconnected) for e in farewell) == (mode == "stopped")
    assert {e.by for e in (*farewell, *quiet) if isinstance(e, Closed)} == {closed_by}
    assert all(isinstance(event, Closed) for event in quiet)
    assert [e for e in victim if isinstance(e, Connected) and e.time >= START + 3_600.0]
    assert {e.connection for e in victim} <= attack.truth.connections


def test_the_same_seed_draws_the_same_attack(home: Home) -> None:
    def once() -> list[AnyEvent]:
        attack = draw_attack(home, 9, kind="dos", start=START, duration=20.0)
        return list(record(home, [attack], duration=START + 30.0))

    assert once() == once()


def test_names_tell_nothing(home: Home) -> None:
    """No two attackers share an id or a topic, and no event carries a label."""
    ids: list[str] = []
    for seed in range(12):
        attack = attacker(home, "new", seed).flood(rate=2.0)
        events = list(record(home, [attack], duration=START + LASTS))
        assert not any("attack" in repr(event).lower() for event in events)
        ids += attack.truth.client_ids
    assert len(set(ids)) == len(ids) == 12


def test_two_attacks_cannot_turn_one_client(home: Home) -> None:
    one = attacker(home, "client")
    two = Attacker(home, 2, start=START, duration=9.0, identity="client", victim=one.victim)
    with pytest.raises(ValueError, match="same client"):
        list(record(home, [one.flood(), two.flood()], duration=1.0))


def test_unknown_kind(home: Home) -> None:
    with pytest.raises(ValueError, match="flood"):
        draw_attack(home, 1, kind="evil", start=0.0)


BROKEN = [(False, name) for name in fuzz.BEFORE_CONNECT] + [
    (True, name) for name in fuzz.AFTER_CONNECT
]


@pytest.mark.parametrize(("connected", "name"), BROKEN)
def test_broken_packets_break_what_they_say(connected: bool, name: str) -> None:  # noqa: FBT001
    table = fuzz.AFTER_CONNECT if connected else fuzz.BEFORE_CONNECT
    for seed in range(20):
        decoder = Decoder(from_client=True)
        if connected:
            assert isinstance(decoder.feed(wire.connect(Connect("x")))[0], ConnectPacket)
        for action in table[name](random.Random(seed)):
            assert isinstance(action, Send)
            found = [*decoder.feed(action.data), *decoder.end()]
            assert isinstance(found[0], MalformedPacket)
            assert found[0].reason == (action.fault or "truncated")


def test_whole_packets_are_read_as_they_were_meant() -> None:
    connect = Connect("id", "user", "pass", 77, clean=False, will_topic="a/b")
    decoder = Decoder(from_client=True)
    stream = (
        wire.connect(connect)
        + wire.publish(Publish("t/ü", 70_000, 1, retain=True), 9)
        + wire.subscribe(("x/#", "y"), 1, 3)
    )
    first, second, third = decoder.feed(stream)
    assert isinstance(first, ConnectPacket)
    assert (first.client_id, first.username, first.password) == ("id", "user", b"pass")
    assert (first.keep_alive, first.clean_session, first.will_topic) == (77, False, "a/b")
    assert isinstance(second, PublishPacket)
    wanted: tuple[Any, ...] = ("t/ü", 70_000, 1, True, 9)
    got = (second.topic, second.payload_size, second.qos, second.retain, second.packet_id)
    assert got == wanted
    assert isinstance(third, SubscribePacket)
    assert third.filters == (("x/#", 1), ("y", 1))
