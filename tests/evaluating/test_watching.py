"""Several methods on one stream, and what alerts are worth when the truth is known."""

from collections.abc import Iterator

import pytest

from mqtt_ids.alerts import Alert, Attack, Severity, State
from mqtt_ids.detector import Detector
from mqtt_ids.evaluating.results import CONSTANT, MEAN_STD, NO_FACTS, OURS, Found
from mqtt_ids.evaluating.watching import (
    GRACE,
    PAST_THE_END,
    Told,
    Watcher,
    accuses,
    alarms,
    completing,
    found,
    watch,
)
from mqtt_ids.events import SEES_ALL, AnyEvent, Closed, Connected, Opened, Published
from mqtt_ids.lab import attackers
from mqtt_ids.lab.actions import Truth
from mqtt_ids.lab.attackers import Attacker, Identity
from mqtt_ids.lab.homes import make_home, record
from mqtt_ids.models import DEFAULT, open_model

SEED = 9740
START, CALM, ATTACK = 50_000.0, 600.0, 12.0
BEGIN = START + CALM


def told(
    time: float,
    *,
    number: str = "1",
    attack: Attack = "flood",
    severity: Severity = "high",
    state: State = "open",
    address: str = "10.0.0.9",
    clients: tuple[str, ...] = ("thief",),
    score: float | None = 2.0,
) -> Alert:
    return Alert(
        id=number,
        state=state,
        active=True,
        severity=severity,
        attack=attack,
        confidence=1.0,
        time=time,
        first_seen=time,
        client_id=clients[0] if len(clients) == 1 else None,
        address=address,
        clients=clients,
        score=score,
        threshold=0.5,
    )


@pytest.fixture
def truth() -> Truth:
    return Truth(
        kind="flood", start=100.0, end=160.0, addresses={"10.0.0.9"}, client_ids={"thief", "gang"}
    )


@pytest.mark.parametrize(
    ("address", "clients", "attacker", "others"),
    [
        ("10.0.0.9", ("thief",), True, False),
        ("10.0.0.9", ("thief", "gang"), True, False),
        ("10.0.0.9", (), True, False),
        ("10.0.0.9", ("thief", "lamp"), True, True),
        ("10.0.0.9", ("lamp",), False, True),  # they share an address
        ("10.0.0.1", ("thief",), True, False),  # it fights with its owner
        ("10.0.0.1", ("lamp",), False, True),
        ("10.0.0.1", (), False, True),
    ],
)
def test_whom_an_alert_accuses(
    truth: Truth, address: str, clients: tuple[str, ...], *, attacker: bool, others: bool
) -> None:
    assert accuses(told(110.0, address=address, clients=clients), truth) == (attacker, others)


def test_what_was_found_counts_from_the_start_and_bears_the_last_name(truth: Truth) -> None:
    alerts = [
        told(90.0, number="0"),  # it was accused before it did anything
        told(95.0, number="2", clients=("lamp",)),
        told(101.0, number="2", clients=("lamp",), state="update"),
        told(102.0, attack="unusual", severity="low"),
        told(103.0, number="3", clients=("lamp", "thief"), attack="malformed", severity="medium"),
        told(104.0, state="update", attack="dos"),
        told(105.0, number="3", clients=("lamp",), state="update"),
        told(170.0, state="closed", attack="slowite"),
    ]
    assert found(alerts, truth) == Found(after=2.0, first_name="unusual", last_name="dos", others=1)
    assert found(alerts[:3], truth) == Found(after=None)


def test_what_is_told_at_the_very_start_was_judged_before_it(truth: Truth) -> None:
    assert found([told(100.0)], truth) == Found(after=None)
    assert found([told(100.0, clients=("lamp",))], truth).others == 0
    assert found([told(100.1)], truth).after == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("attack", "severity", "after"),
    [("flood", "high", None), ("dos", "high", 5.0), ("flood", "critical", 5.0)],
)
def test_an_incident_from_before_counts_once_it_is_told_otherwise(
    truth: Truth, attack: Attack, severity: Severity, after: float | None
) -> None:
    alerts = [
        told(90.0, attack="unusual", severity="low"),
        told(95.0, state="update"),
        told(103.0, state="update"),
        told(105.0, state="update", attack=attack, severity=severity),
    ]
    assert found(alerts, truth).after == after
    back = [*alerts, told(107.0, state="update")]
    assert found(back, truth).last_name == (None if after is None else "flood")


def test_long_after_the_end_nothing_new_is_found(truth: Truth) -> None:
    late = truth.end + GRACE
    assert found([told(late + 0.1)], truth) == Found(after=None)
    assert found([told(late)], truth).after == late - truth.start
    renamed = [told(110.0), told(late + 9.0, state="update", attack="dos")]
    assert found(renamed, truth).last_name == "dos"
    truth.end = float("inf")
    assert found([told(late + 900.0)], truth).after == late + 900.0 - truth.start


def test_a_note_counts_only_under_the_name_that_is_asked_for(truth: Truth) -> None:
    alerts = [
        told(101.0, severity="info", attack="new-client"),
        told(103.0, number="2", severity="info", attack="enumeration"),
        told(104.0, number="3", severity="info", attack="enumeration", clients=("lamp",)),
    ]
    assert found(alerts, truth).after is None
    assert found(alerts, truth, notes=("enumeration",)) == Found(
        after=3.0, first_name="enumeration", last_name="enumeration", others=0
    )


def test_an_alarm_is_an_incident() -> None:
    alerts = [
        told(10.0, attack="unusual"),
        told(11.0, number="2", severity="info", attack="new-client"),
        told(15.0, state="update", score=4.0),
        told(80.0, state="closed", score=4.0),
        told(90.0, number="3", score=None),
    ]
    first, second = alarms(alerts, OURS, 10.0, lambda alert: f"at {alert.address}")
    assert (first.time, first.attack, first.ratio, first.case) == (0.0, "flood", 8.0, "at 10.0.0.9")
    assert (second.time, second.ratio) == (80.0, None)
    assert [one.attack for one in alarms(alerts, "PCA", 10.0)] == [None, None]


def test_ids_that_the_broker_made_up_are_the_attackers_too(truth: Truth) -> None:
    truth.connections.add(7)
    events = [
        Connected(time=1.0, connection=6, address="10.0.0.9", client_id="lamp"),
        Connected(time=2.0, connection=7, address="10.0.0.9", client_id="auto-7"),
    ]
    assert list(completing(events, truth)) == events
    assert truth.client_ids == {"thief", "gang", "auto-7"}


def calm() -> Iterator[AnyEvent]:
    return record(make_home(SEED, family="test", size=4), start=START, duration=CALM, finish=False)


def attacked(identity: Identity) -> tuple[attackers.Attack, Iterator[AnyEvent]]:
    home = make_home(SEED, family="test", size=4)
    attacker = Attacker(home, SEED, start=BEGIN, duration=ATTACK, identity=identity)
    attack = attacker.flood(rate=500.0)
    return attack, record(home, [attack], start=START, duration=CALM + ATTACK, finish=False)


def gist(alerts: list[Alert]) -> list[tuple[object, ...]]:
    """All but the random ids."""
    return [
        (a.time, a.state, a.attack, a.severity, a.address, a.client_id, a.score) for a in alerts
    ]


@pytest.mark.parametrize("identity", ["new", "address", "client"])
def test_a_fork_finds_what_a_watcher_of_its_own_finds(identity: Identity) -> None:
    model = open_model(DEFAULT)
    watcher = Watcher(model, start=START, also=(NO_FACTS, CONSTANT))
    watcher.take(calm())
    before = {method: gist(alerts) for method, alerts in watcher.told().items()}

    attack, events = attacked(identity)
    fork = watcher.fork({OURS, NO_FACTS})
    fork.take(event for event in events if event.time >= BEGIN)

    whole = Watcher(model, start=START, also=(NO_FACTS,))
    whole.take(attacked(identity)[1])
    assert fork.told().keys() == {OURS, NO_FACTS}
    for method, alerts in whole.told().items():
        assert gist(fork.told()[method]) == gist(alerts)
        assert found(alerts, attack.truth).after is not None
    assert {method: gist(alerts) for method, alerts in watcher.told().items()} == before


def test_it_is_ticked_as_in_life() -> None:
    attack, events = attacked("new")
    recorded = list(events)
    told = watch(Watcher(open_model(DEFAULT), start=START), recorded, attack.truth)

    detector, due, expected = Detector(open_model(DEFAULT), sees=SEES_ALL), START + 1.0, []
    for event in recorded:
        while event.time >= due:
            expected += detector.tick(due)
            due += 1.0
        detector.feed(event)
    while due <= recorded[-1].time + PAST_THE_END:
        expected += [one for one in detector.tick(due) if one.attack != "silence"]
        due += 1.0
    assert gist(told[OURS]) == gist(expected)


def test_the_ablations_are_what_they_say() -> None:
    attack, events = attacked("address")
    watcher = Watcher(open_model(DEFAULT), start=START, also=(CONSTANT, MEAN_STD))
    told: Told = watch(watcher, events, attack.truth)
    assert found(told[OURS], attack.truth).last_name == "flood"
    assert all(alert.score is None for alert in told[CONSTANT])
    # The paper's threshold is far lower.
    assert len(alarms(told[MEAN_STD], MEAN_STD, START)) >= len(alarms(told[OURS], OURS, START))


def test_that_all_are_silent_after_the_end_is_no_news() -> None:
    who = {"connection": 1, "address": "10.0.0.2", "port": 5000}
    events: list[AnyEvent] = [
        Opened(time=0.1, **who),  # type: ignore[arg-type]
        Connected(time=0.2, client_id="clock", keep_alive=2, **who),  # type: ignore[arg-type]
    ]
    events += [
        Published(time=1.0 + n, client_id="clock", topic="t", size=5, **who)  # type: ignore[arg-type]
        for n in range(40)
    ]

    def silences(*, closed: bool) -> int:
        rest: list[AnyEvent] = [Closed(time=80.0, **who)] if closed else []  # type: ignore[arg-type]
        told = watch(Watcher(open_model(DEFAULT), start=0.0), events + rest)
        return sum(alert.attack == "silence" and alert.state == "open" for alert in told[OURS])

    assert silences(closed=False) == 0
    assert silences(closed=True) == 1  # it fell silent while there still was something to see
