"""What a detector knows is taken out of it and put into another, and nothing odd gets in by it."""

import math
from collections.abc import Callable, Iterable

import numpy as np
import pytest
from core_tools import Pen, calm_home, chaos
from detector_tools import detector, watched
from hypothesis import given, settings
from msgspec.structs import replace

from mqtt_ids import events as ev
from mqtt_ids.alerts import Alert
from mqtt_ids.counters import Client as C
from mqtt_ids.detecting import CLIENTS
from mqtt_ids.detector import Detector
from mqtt_ids.feature_table import Role
from mqtt_ids.lab.homes import make_home, record
from mqtt_ids.memory import Memory
from mqtt_ids.models import open_model
from mqtt_ids.normal import SLOT
from mqtt_ids.snapshot import Learned, Snapshot, UnusableSnapshot, decode, encode
from mqtt_ids.watch import FORGOTTEN_AFTER
from mqtt_ids_model import Model

Make = Callable[[], Detector]
WHILE = 1800
DAY = 86_400.0
LEARNED_FOR = 3000


@pytest.fixture(scope="module")
def shipped() -> Model:
    return open_model("default")


@pytest.fixture(scope="module")
def make(shipped: Model) -> Make:
    return lambda: detector(shipped)


def memory(watcher: Detector) -> Memory:
    return watcher.memories[CLIENTS]


def through_a_file(learned: Learned) -> Learned:
    return decode(encode(Snapshot(wall=0.0, parts={"x": learned}))).parts["x"]


def restarted(
    make: Make, before: Detector, now: float, *, at: float, gone: float = 0.0
) -> Detector:
    """Another detector that knows, at `at` on a clock of its own, what `before` knew at `now`."""
    after = make()
    memory(after).put_back(through_a_file(memory(before).take(now)), at, gone)
    return after


def publishing(
    pen: Pen, connection: int, topic: str, *, every: float, for_: float
) -> Iterable[ev.Event]:
    """Calm publishes of one client."""
    for _ in range(int(for_ / every)):
        pen.wait(every)
        yield pen.published(connection, topic, 24)


@given(chaos())
@settings(max_examples=30, deadline=None)
def test_what_is_put_back_is_what_was_taken(make: Make, life: list[ev.AnyEvent]) -> None:
    before = make()
    watched(before, life)
    now = life[-1].time + 2.0
    taken = memory(before).take(now)
    after = make()
    memory(after).put_back(through_a_file(taken), now, 0.0)
    again = memory(after).take(now)
    assert math.isclose(again.turn, taken.turn)
    assert math.isclose(again.watched, taken.watched)
    assert replace(again, turn=taken.turn, watched=taken.watched) == taken


def test_normals_go_on_where_they_were(make: Make) -> None:
    pen = Pen()
    one = make()
    watched(one, calm_home(pen, 3, LEARNED_FOR))
    now = pen.now + 1.0
    other = restarted(make, one, now, at=now)
    assert other.watch.earned(list(other.watch.tally.clients)).all()
    further = list(calm_home(pen, 3, int(2.5 * SLOT)))
    watched(one, further, start=now)
    watched(other, further, start=now)
    # The one restart has cost a repeat each: which topic came last is not kept.
    np.testing.assert_allclose(rates(one), rates(other), rtol=1e-2, atol=1e-6)


def rates(watcher: Detector) -> np.ndarray:
    """What is usual for clients and hosts, by name."""
    found = []
    for role, subjects in (
        (Role.CLIENT, {one.id: one.row for one in watcher.watch.tally.clients}),
        (Role.HOST, {one.address: one.row for one in watcher.watch.tally.hosts}),
    ):
        rows = np.array([subjects[name] for name in sorted(subjects)])
        found.append(watcher.watch.normal(role).rates(rows).ravel())
    return np.concatenate(found)


def test_a_restored_client_is_no_newcomer_and_another_is(make: Make) -> None:
    pen = Pen()
    before = make()
    watched(before, calm_home(pen, 2, WHILE))
    after = restarted(make, before, pen.now + 1.0, at=9.0, gone=30.0)
    back, stranger = Pen(9.0), Pen(9.0)
    told = watched(
        after,
        [*back.joined("sensor-0", "192.168.1.10")[1], *stranger.joined("who", "192.168.1.99")[1]],
        start=9.0,
    )
    assert [(a.attack, a.client_id) for a in told] == [("new-client", "who")]


def attacked(make: Make) -> tuple[Detector, Pen, int]:
    """A client that was calm for long, and then turned: it is odd at the last tick."""
    pen = Pen()
    watcher = make()
    connection, events = pen.joined("door", "192.168.1.20")
    calm = [*events, *publishing(pen, connection, "door", every=60.0, for_=LEARNED_FOR)]
    watched(watcher, calm)
    began = pen.now
    flood = list(publishing(pen, connection, "door", every=0.05, for_=30.0))
    told = watched(watcher, flood, start=began + 1.0)
    assert any(alert.severity != "info" for alert in told)
    return watcher, pen, connection


def test_who_was_odd_at_the_stop_does_not_become_normal(make: Make) -> None:
    before, pen, _ = attacked(make)
    row = np.array([0])
    usual = before.watch.normal(Role.CLIENT).rates(row)[0, C.PUBLISHES]
    after = restarted(make, before, pen.now + 1.0, at=0.0)
    for turn in range(1, 4):  # the flood's slot, were it learned, would be part by now
        after.tick(turn * (SLOT + 1.0))
    assert after.watch.normal(Role.CLIENT).rates(row)[0, C.PUBLISHES] <= usual * 1.01


def test_who_was_odd_just_after_a_turn_is_held_back_too(make: Make) -> None:
    """The turn has cleared the mark, and nobody has judged since."""
    before, pen, _ = attacked(make)
    before.watch.normal(Role.CLIENT).turn(pen.now + 0.5)
    after = restarted(make, before, pen.now + 1.0, at=0.0)
    taken = memory(after).take(0.0).clients.columns["odd"]
    assert taken[0] == 1


def test_the_attack_that_goes_on_is_found_again(make: Make) -> None:
    before, pen, connection = attacked(make)
    start = pen.now + 1.0
    after = restarted(make, before, start, at=start)
    flood = list(publishing(pen, connection, "door", every=0.05, for_=30.0))
    told = watched(after, flood, start=start)
    assert told[0].client_id == "door"
    assert told[0].severity != "info"


def test_who_owns_a_topic_is_known_by_the_next_process(make: Make) -> None:
    pen = Pen()
    before = make()
    connection, events = pen.joined("lock", "192.168.1.20")
    watched(before, [*events, *publishing(pen, connection, "lock/set", every=30.0, for_=WHILE)])
    after = restarted(make, before, pen.now, at=0.0)
    other = Pen()
    thief, joined = other.joined("thief", "192.168.1.66")
    told = watched(after, [*joined, other.published(thief, "lock/set")])
    assert ("spoofing", "low") in [(alert.attack, alert.severity) for alert in told]
    assert "lock/set" not in repr(memory(before).take(pen.now)), "topics are kept as digests"


def silences(told: Iterable[Alert]) -> list[str | None]:
    return [a.client_id for a in told if a.attack == "silence" and a.state == "open"]


def test_nobody_is_silent_because_we_were_away(make: Make) -> None:
    pen = Pen()
    before = make()
    connection, events = pen.joined("t", "192.168.1.20")
    watched(before, [*events, *publishing(pen, connection, "t", every=60.0, for_=LEARNED_FOR)])
    after = restarted(make, before, pen.now, at=0.0, gone=5 * DAY)
    soon = [alert for now in range(170) for alert in after.tick(float(now))]
    assert silences(soon) == []
    later = [alert for now in range(170, 220) for alert in after.tick(float(now))]
    assert silences(later) == ["t"], "three intervals later it is"


def test_who_is_silent_is_told_once_over_any_restarts(make: Make) -> None:
    pen = Pen()
    watcher = make()
    connection, events = pen.joined("t", "192.168.1.20")
    watched(watcher, [*events, *publishing(pen, connection, "t", every=10.0, for_=600.0)])
    began, now = pen.now, pen.now + 300.0
    assert silences(watched(watcher, [], start=began, until=now)) == ["t"]
    for _ in range(2):
        watcher = restarted(make, watcher, now, at=now)
        began, now = now, now + 300.0
        assert silences(watched(watcher, [], start=began, until=now)) == []
    pen.now = now
    watched(watcher, publishing(pen, connection, "t", every=10.0, for_=100.0), start=now)
    later = watched(watcher, [], start=pen.now, until=pen.now + 300.0)
    assert silences(later) == ["t"], "it had come back"


def alarms(watcher: Detector, events: Iterable[ev.Event]) -> list[tuple[str, str | None]]:
    """What is told above info of events that begin at any time."""
    told: list[Alert] = []
    due = -math.inf
    for event in events:
        while event.time >= due:
            due = event.time + 1.0 if due == -math.inf else due + 1.0
            told += watcher.tick(due - 1.0)
        watcher.feed(event)
    return [(alert.attack, alert.client_id) for alert in told if alert.severity != "info"]


def test_a_home_that_comes_back_at_once_is_calm(make: Make) -> None:
    """The broker restarts, and we with it: everybody connects anew, who has a normal."""
    home = make_home(90_005, family="test", size=12, eventful=0.3)
    start, half = 30_000.0, 7200.0
    before = make()
    assert alarms(before, record(home, start=start, duration=half, finish=False)) == []
    after = restarted(make, before, start + half, at=start + half, gone=5.0)
    assert sum(view.learned for view in after.clients()) > 6
    again = record(home, start=start + half + 5.0, duration=1800.0, finish=False)
    assert alarms(after, again) == []


@pytest.mark.parametrize("gone", [0.0, 60.0, 6 * DAY])
def test_time_away_only_moves_the_dates(make: Make, gone: float) -> None:
    pen = Pen()
    before = make()
    watched(before, calm_home(pen, 2, WHILE))
    now = pen.now + 1.0
    after = restarted(make, before, now, at=50.0, gone=gone)
    for old, new in zip(before.clients(), after.clients(), strict=True):
        assert math.isclose(50.0 - new.since, now - old.since + gone, rel_tol=1e-6, abs_tol=0.1)
        assert math.isclose(50.0 - new.last, now - old.last + gone, rel_tol=1e-6, abs_tol=0.1)
    assert math.isclose(memory(after).take(50.0).turn, memory(before).take(now).turn)


def test_who_is_unseen_for_a_month_is_forgotten(make: Make) -> None:
    pen = Pen()
    watcher = make()
    gone, events = pen.joined("gone", "192.168.1.20")
    stays, more = pen.joined("stays", "192.168.1.21")
    watched(watcher, [*events, *more, pen.published(gone, "t"), pen.closed(gone)])
    late = FORGOTTEN_AFTER + 7200.0
    watcher.feed(ev.Pinged(time=late, connection=stays, address="192.168.1.21", client_id="stays"))
    watcher.tick(late + 1.0)
    assert [view.client_id for view in watcher.clients()] == ["stays"]


def test_fewer_places_keep_those_seen_last(shipped: Model) -> None:
    before = detector(shipped)
    pen = Pen()
    for number in range(8):
        pen.wait(5.0)
        watched(before, pen.joined(f"c{number}", f"10.0.0.{number}")[1], start=pen.now)
    after = detector(shipped, max_clients=3)
    memory(after).put_back(memory(before).take(pen.now), 0.0, 0.0)
    assert [view.client_id for view in after.clients()] == ["c5", "c6", "c7"]
    assert [host.address for host in after.watch.tally.hosts] == [f"10.0.0.{n}" for n in (5, 6, 7)]


def test_normals_of_other_counters_are_learned_anew_and_the_clients_known(make: Make) -> None:
    pen = Pen()
    before = make()
    watched(before, calm_home(pen, 2, LEARNED_FOR))
    learned = memory(before).take(pen.now)
    clients = replace(learned.clients, counters=["SOMETHING_ELSE", *learned.clients.counters])
    after = make()
    memory(after).put_back(replace(learned, clients=clients), 0.0, 0.0)
    assert {view.client_id for view in after.clients()} == {"sensor-0", "sensor-1"}
    assert not any(view.learned for view in after.clients())


@pytest.mark.parametrize("column", ["total", "since", "sieve"])
def test_columns_that_do_not_fit_change_nothing(make: Make, column: str) -> None:
    pen = Pen()
    before = make()
    watched(before, calm_home(pen, 2, 60))
    learned = memory(before).take(pen.now)
    learned.clients.columns[column] = learned.clients.columns[column][:-1]
    after = make()
    with pytest.raises(UnusableSnapshot):
        memory(after).put_back(learned, 0.0, 0.0)
    assert after.clients() == []


@pytest.mark.parametrize("column", ["total", "gap", "slot_age"])
def test_what_is_no_number_is_refused(make: Make, column: str) -> None:
    pen = Pen()
    before = make()
    watched(before, calm_home(pen, 1, 10))
    learned = memory(before).take(pen.now)
    width = len(learned.clients.columns[column])
    learned.clients.columns[column] = b"\xff" * width  # not a number, in each place
    with pytest.raises(UnusableSnapshot):
        memory(make()).put_back(learned, 0.0, 0.0)


def test_a_forgotten_client_is_a_newcomer_again(make: Make) -> None:
    pen = Pen()
    watcher = make()
    watched(watcher, calm_home(pen, 2, LEARNED_FOR))
    assert memory(watcher).forget("sensor-0", pen.now)
    views = {view.client_id: view for view in watcher.clients()}
    assert not views["sensor-0"].learned
    assert views["sensor-0"].connected
    assert views["sensor-1"].learned
    told = watcher.tick(pen.now + 1.0)
    assert [(a.attack, a.client_id) for a in told] == [("new-client", "sensor-0")]
    assert watcher.watch.tally.topics.owner("home/sensor-0/state") is None
    assert watcher.watch.tally.topics.owner("home/sensor-1/state") is not None
    assert not memory(watcher).forget("nobody", pen.now)


def test_a_forgotten_client_that_is_away_is_not_known_at_all(make: Make) -> None:
    pen = Pen()
    watcher = make()
    connection, events = pen.joined("gone", "192.168.1.20")
    watched(watcher, [*events, pen.closed(connection)])
    assert memory(watcher).forget("gone", pen.now)
    assert watcher.clients() == []
