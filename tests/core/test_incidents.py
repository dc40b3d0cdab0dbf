"""Incidents: one alert per attack, told once, kept up to date, and closed."""

import itertools
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_ids.alerts import Alert, Attack, Reason, Severity
from mqtt_ids.incidents import (
    CALM_AFTER,
    CLIENTS_SHOWN,
    FIGHT_CLOSES_AFTER,
    LONGEST_ID,
    MOST_CLIENTS,
    MOST_NOTES,
    MOST_OPEN,
    MOST_PER_ADDRESS,
    NOTE_CLOSES_AFTER,
    REFRESH_EVERY,
    REPEATED_CLOSES_AFTER,
    UPDATE_EVERY,
    Incidents,
    Sign,
)

WHY = Reason(feature="f", observed=1.0, usual=0.0, unit="", share=1.0, text="does something")


def sign(
    time: float,
    client: str | None = "c",
    attack: Attack = "flood",
    severity: Severity = "high",
    *,
    address: str = "10.0.0.66",
    score: float | None = 0.1,
    clients: tuple[str, ...] | None = None,
) -> Sign:
    """A sign of a client, or of a whole host where `client` is None."""
    taking_part = () if client is None else (client,)
    return Sign(
        time=time,
        first_seen=time - 1.0,
        attack=attack,
        severity=severity,
        confidence=0.9,
        address=address,
        client_id=client,
        username=None,
        clients=taking_part if clients is None else clients,
        whole_host=client is None,
        reasons=(WHY,),
        score=score,
        threshold=None if score is None else 0.01,
    )


def note(time: float, client: str = "c", *, address: str = "10.0.0.66") -> Sign:
    return sign(time, client, "silence", "info", address=address, score=None)


class Desk:
    """The incidents, and all alerts so far."""

    def __init__(self) -> None:
        numbers = itertools.count(1)
        self.incidents = Incidents(lambda: f"id-{next(numbers)}")
        self.told: list[Alert] = []

    def tick(self, now: float, *signs: Sign) -> list[Alert]:
        alerts = self.incidents.tick(signs, now)
        self.told += alerts
        return alerts

    def states(self) -> list[tuple[str, str]]:
        return [(alert.id, alert.state) for alert in self.told]


def test_an_attack_opens_goes_on_and_closes_as_one() -> None:
    desk = Desk()
    for second in range(120):
        desk.tick(float(second), sign(float(second)))
    for second in range(120, 300):
        desk.tick(float(second))
    assert [alert.state for alert in desk.told] == ["open", "update", "update", "closed"]
    opened, updated, again, closed = desk.told
    assert (opened.time, updated.time, again.time) == (0.0, REFRESH_EVERY, 2 * REFRESH_EVERY)
    assert {alert.id for alert in desk.told} == {"id-1"}
    assert closed.time == 119.0 + CALM_AFTER
    assert [alert.active for alert in desk.told] == [True, True, True, False]
    assert {alert.first_seen for alert in desk.told} == {-1.0}
    assert (opened.client_id, opened.clients, opened.client_count) == ("c", ("c",), 1)
    assert opened.reasons == (WHY,)
    assert opened.mitre


def test_a_pause_shorter_than_calm_is_the_same_incident_and_a_longer_one_is_not() -> None:
    desk = Desk()
    desk.tick(0.0, sign(0.0))
    desk.tick(CALM_AFTER - 1.0, sign(CALM_AFTER - 1.0))
    assert desk.states() == [("id-1", "open")]
    desk.tick(3 * CALM_AFTER)
    desk.tick(3 * CALM_AFTER + 1, sign(3 * CALM_AFTER + 1))
    assert desk.states() == [("id-1", "open"), ("id-1", "closed"), ("id-2", "open")]


def test_a_host_and_its_client_are_one_incident_whoever_comes_first() -> None:
    for signs in ((sign(0.0, "c"), sign(0.0, None)), (sign(0.0, None), sign(0.0, "c"))):
        desk = Desk()
        (alert,) = desk.tick(0.0, *signs)
        assert alert.state == "open"
        assert alert.clients == ("c",)


def test_two_clients_at_one_address_are_two_until_the_host_is_meant() -> None:
    desk = Desk()
    assert len(desk.tick(0.0, sign(0.0, "a"), sign(0.0, "b"))) == 2
    desk.tick(1.0, sign(1.0, None, "dos", clients=("a", "b")))
    assert len(list(desk.incidents)) == 2, "no third one"


def test_one_id_at_two_addresses_is_one_incident() -> None:
    desk = Desk()
    desk.tick(0.0, sign(0.0, "c", "takeover", "medium", address="10.0.0.1"))
    desk.tick(1.0, sign(1.0, "c", "takeover", "medium", address="10.0.0.2"))
    assert desk.states() == [("id-1", "open")]


def test_a_fight_that_pauses_is_one_incident() -> None:
    desk = Desk()
    for time in (0.0, FIGHT_CLOSES_AFTER - 1.0, 2 * FIGHT_CLOSES_AFTER - 3.0):
        desk.tick(time, sign(time, "c", "takeover", "medium"))
    assert {name for name, _ in desk.states()} == {"id-1"}
    assert "closed" not in {state for _, state in desk.states()}
    desk.tick(4 * FIGHT_CLOSES_AFTER)
    assert desk.states()[-1] == ("id-1", "closed")


def test_a_fight_seen_at_a_host_and_at_the_other_rival_is_one_incident() -> None:
    """At one address it is many connections as well, by whatever clients are odd there."""
    desk = Desk()
    first = sign(0.0, None, "dos", address="10.0.0.1", clients=("c", "d"))
    desk.tick(0.0, first, sign(0.0, "c", "takeover", "medium", address="10.0.0.1"))
    desk.tick(300.0, sign(300.0, "c", "takeover", "medium", address="10.0.0.2"))
    desk.tick(301.0, sign(301.0, "e", "flood", "high", address="10.0.0.2"))
    assert [name for name, state in desk.states() if state == "open"] == ["id-1", "id-2"]


def test_two_hosts_are_two_incidents() -> None:
    desk = Desk()
    desk.tick(0.0, sign(0.0, None, address="10.0.0.1"), sign(0.0, None, address="10.0.0.2"))
    assert desk.states() == [("id-1", "open"), ("id-2", "open")]


def test_the_strongest_sign_gives_the_name_and_the_others_are_told_as_well() -> None:
    desk = Desk()
    desk.tick(0.0, sign(0.0, attack="unusual", severity="low"))
    desk.tick(6.0, sign(6.0, attack="flood"))
    desk.tick(12.0, sign(12.0, attack="malformed", severity="medium"))
    assert [(a.attack, a.also, a.severity) for a in desk.told] == [
        ("unusual", (), "low"),
        ("flood", ("unusual",), "high"),
        ("flood", ("unusual", "malformed"), "high"),
    ]


def test_who_did_something_odd_nearby_takes_no_part_in_an_attack() -> None:
    desk = Desk()
    (odd,) = desk.tick(0.0, sign(0.0, "tv", "spoofing", "low", score=None))
    assert odd.clients == ("tv",)
    desk.tick(6.0, sign(6.0, None, "dos", clients=("bad-1", "bad-2")))
    desk.tick(7.0, sign(7.0, "lamp", "unusual", "low"), sign(7.0, None, "dos", clients=("bad-3",)))
    (incident,) = desk.incidents
    assert list(incident.clients) == ["bad-1", "bad-2", "bad-3"]


def test_a_name_that_comes_back_is_not_told_as_another() -> None:
    desk = Desk()
    for second, attack in enumerate(("flood", "dos", "flood", "dos", "flood")):
        desk.tick(float(second), sign(float(second), attack=attack))  # type: ignore[arg-type]
    desk.tick(10.0)
    assert (desk.told[-1].attack, desk.told[-1].also) == ("flood", ("dos",))


def test_updates_keep_their_distance() -> None:
    desk = Desk()
    names: tuple[Attack, ...] = ("flood", "dos")
    for tenth in range(600):
        now = tenth / 10.0
        desk.tick(now, sign(now, attack=names[tenth % 2], score=0.1 + tenth))
    times = [alert.time for alert in desk.told]
    gaps = [later - before for before, later in itertools.pairwise(times)]
    assert [alert.attack for alert in desk.told[:2]] == ["flood", "dos"]
    assert gaps[0] == pytest.approx(0.1), "a name that it did not have before is told at once"
    assert len(times) > 3
    assert min(gaps[1:]) >= UPDATE_EVERY, "and once"


def test_a_note_is_told_once_and_is_never_active() -> None:
    desk = Desk()
    for second in range(200):
        signs = [note(float(second))] if second < 150 else []
        desk.tick(float(second), *signs)
    assert desk.states() == [("id-1", "open"), ("id-1", "closed")]
    assert not any(alert.active for alert in desk.told)
    assert desk.told[1].time == 149.0 + NOTE_CLOSES_AFTER


def test_notes_of_what_comes_again_and_again_are_gathered_per_address() -> None:
    desk = Desk()
    for minute in range(120):
        now = 60.0 * minute
        again = [sign(now, f"id-{minute}", "new-client", "info", score=None)]
        again.append(sign(now, "stale", "login-failing", "info", address="10.0.0.9", score=None))
        desk.tick(now, *again)
    opened = [alert for alert in desk.told if alert.state == "open"]
    assert [alert.attack for alert in opened] == ["new-client", "login-failing"]
    updates = [alert.client_count for alert in desk.told if alert.state == "update"]
    assert updates == [2, 4, 8, 16, 32, 64], "each doubling"
    ended = desk.tick(119 * 60.0 + REPEATED_CLOSES_AFTER)
    assert [alert.state for alert in ended] == ["closed", "closed"]


def test_a_note_neither_becomes_an_alarm_nor_hides_one() -> None:
    desk = Desk()
    desk.tick(0.0, note(0.0))
    desk.tick(1.0, sign(1.0))
    assert [(alert.severity, alert.active) for alert in desk.told] == [
        ("info", False),
        ("high", True),
    ]
    desk.tick(2.0, note(2.0, "d"))
    assert desk.told[-1].active, "because of the other"


def test_a_thousand_notes_leave_room_for_an_alarm() -> None:
    desk = Desk()
    desk.tick(0.0, *(note(0.0, f"c{number}") for number in range(1000)))
    assert len(desk.told) == MOST_NOTES
    assert desk.incidents.skipped == 1000 - MOST_NOTES
    assert [alert.attack for alert in desk.tick(1.0, sign(1.0))] == ["flood"]


def test_a_thousand_clients_of_one_address_leave_room_for_other_addresses() -> None:
    desk = Desk()
    signs = [sign(0.0, f"c{number}") for number in range(1000)]
    assert len(desk.tick(0.0, *signs)) == MOST_PER_ADDRESS
    assert len(desk.tick(1.0, sign(1.0, "other", address="10.0.0.7"))) == 1
    behind = {client for incident in desk.incidents for client in incident.clients}
    assert behind == {f"c{number}" for number in range(1000)} | {"other"}


def test_open_incidents_are_bounded() -> None:
    desk = Desk()
    desk.tick(0.0, *(sign(0.0, None, address=f"2001:db8::{n:x}") for n in range(MOST_OPEN + 7)))
    assert len(list(desk.incidents)) == MOST_OPEN
    assert desk.incidents.skipped == 7


def test_clients_of_an_incident_are_bounded_and_few_are_shown() -> None:
    desk = Desk()
    names = tuple(f"c{number}" for number in range(5000))
    (alert,) = desk.tick(0.0, sign(0.0, None, clients=names))
    assert (len(alert.clients), alert.client_count) == (CLIENTS_SHOWN, MOST_CLIENTS)
    for second in range(1, 50):
        more = tuple(f"{second}-{number}" for number in range(100))
        desk.tick(float(second), sign(float(second), None, clients=more))
    assert max(len(incident.clients) for incident in desk.incidents) == MOST_CLIENTS


def test_long_names_are_cut_in_the_alert() -> None:
    desk = Desk()
    long = "x" * 65_535
    (alert,) = desk.tick(0.0, msgspec.structs.replace(sign(0.0, long), username=long))
    assert alert.client_id == alert.username == alert.clients[0] == "x" * LONGEST_ID


def test_an_open_incident_is_found_by_its_id() -> None:
    desk = Desk()
    (alarm,) = desk.tick(0.0, sign(0.0))
    (told,) = desk.tick(1.0, note(1.0))
    for alert in (alarm, told):
        incident = desk.incidents.get(alert.id)
        assert incident is not None
        assert incident.id == alert.id
    desk.tick(1000.0)
    assert desk.incidents.get(alarm.id) is None
    assert desk.incidents.get("nonsense") is None


@pytest.mark.parametrize("seed", range(10))
def test_each_incident_opens_once_first_and_closes_once_last(seed: int) -> None:
    rng = random.Random(seed)
    desk, now = Desk(), 0.0
    attacks: tuple[Attack, ...] = ("flood", "dos", "unusual", "spoofing")
    grave: tuple[Severity, ...] = ("low", "medium", "high", "critical")
    for _ in range(400):
        now += rng.choice((0.5, 1.0, 1.0, 5.0, 40.0))
        signs = [
            sign(
                now,
                rng.choice((None, "a", "b", "c")),
                rng.choice(attacks),
                rng.choice(grave),
                address=f"10.0.0.{rng.randrange(4)}",
                score=rng.choice((None, 0.02, 0.5)),
            )
            for _ in range(rng.choice((0, 0, 1, 3)))
        ]
        signs += [note(now, "n")] * rng.randrange(2)
        for alert in desk.tick(now, *signs):
            alarms = {i.id for i in desk.incidents if not i.is_note}
            assert alert.active == bool(alarms)
            assert (alert.severity == "info") == (alert.attack == "silence")
    now += 1000.0
    desk.tick(now)
    assert not list(desk.incidents)
    by_id: dict[str, list[str]] = {}
    for alert in desk.told:
        by_id.setdefault(alert.id, []).append(alert.state)
    for states in by_id.values():
        assert (states[0], states[-1]) == ("open", "closed")
        assert set(states[1:-1]) <= {"update"}


@given(st.lists(st.floats(0.0, 200.0), min_size=1, max_size=20))
def test_first_seen_and_severity_never_get_less(gaps: list[float]) -> None:
    desk, now = Desk(), 0.0
    for number, gap in enumerate(gaps):
        now += min(gap, CALM_AFTER - 1.0)
        desk.tick(now, sign(now, severity="high" if number == 3 else "low"))
    assert {alert.first_seen for alert in desk.told} == {desk.told[0].first_seen}
    order = [alert.severity for alert in desk.told]
    assert order == sorted(order, key=("low", "high").index)


def test_at_the_end_all_are_closed() -> None:
    incidents = Incidents(iter("abcdef").__next__)
    incidents.tick([sign(1.0), note(1.0, "d", address="10.0.0.7")], 1.0)
    told = incidents.end(2.0)
    assert [(alert.state, alert.time) for alert in told] == [("closed", 2.0)] * 2
    assert not any(alert.active for alert in told)
    assert not list(incidents)
    assert not incidents.end(3.0)
