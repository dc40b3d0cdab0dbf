"""From events to alerts, with the shipped model: who is found, who is left in peace."""

import itertools
import json
import random
import tracemalloc
from collections.abc import Iterator
from importlib import resources

import msgspec
import numpy as np
import pytest
from core_tools import ROUTER, Pen, anything, calm_home, chaos
from detector_tools import detector, watched
from hypothesis import given, settings
from jsonschema import Draft202012Validator

from mqtt_ids import events as ev
from mqtt_ids.alerts import Alert, encode
from mqtt_ids.detector import Detector
from mqtt_ids.events import SEES_ALL, SENSORS, Sees
from mqtt_ids.feature_table import Role
from mqtt_ids.incidents import CALM_AFTER, MOST_NOTES, MOST_OPEN, Sign
from mqtt_ids.mask_classes import in_card, mask_class
from mqtt_ids.models import open_model
from mqtt_ids_model import Model, ModelError

SCHEMA = Draft202012Validator(
    json.loads((resources.files("mqtt_ids") / "alert.schema.json").read_text())
)
CALM = 300  # seconds of calm before whatever happens
EVIL = "10.0.0.66"


@pytest.fixture(scope="module")
def model() -> Model:
    return open_model("default")


# --- attacks, as a sensor would write them -------------------------------------------------


def flood(pen: Pen, seconds: int = 5, rate: int = 500) -> Iterator[ev.Event]:
    number, events = pen.joined("flooder", EVIL, username="mallory")
    yield from events
    for _ in range(seconds * rate):
        pen.wait(1.0 / rate)
        yield pen.published(number, "spam", 200)


def dos(pen: Pen) -> Iterator[ev.Event]:
    for client in range(400):  # within four seconds as many as in a large home that starts
        pen.wait(0.02)
        number, events = pen.joined(f"zombie-{client}", EVIL)
        yield from events
        for _ in range(10):
            yield pen.published(number, f"spam/{client}", 500)


def half_open(pen: Pen) -> Iterator[ev.Event]:
    held = []
    for _ in range(80):
        pen.wait(0.05)
        held.append(pen.opened(EVIL))
        yield held[-1]
    pen.wait(20.0)
    for opened in held:
        yield pen.closed(opened.connection)


def slowite(pen: Pen) -> Iterator[ev.Event]:
    held = []
    for client in range(80):
        pen.wait(0.05)
        number, events = pen.joined(f"slow-{client}", EVIL, keep_alive=65_535)
        held.append(number)
        yield from events
    pen.wait(20.0)
    for number in held:
        yield pen.closed(number)


def malformed(pen: Pen) -> Iterator[ev.Event]:
    for _ in range(20):
        pen.wait(0.3)
        opened = pen.opened(EVIL)
        yield opened
        yield pen.malformed(opened.connection)
        yield pen.closed(opened.connection)


def brute_force(pen: Pen) -> Iterator[ev.Event]:
    for credential in range(15):
        pen.wait(1.0)
        opened = pen.opened(EVIL)
        yield opened
        yield pen.refused(opened.connection, credential=credential, username="admin")
        yield pen.closed(opened.connection)


def calm_then(*attack: ev.Event, pen: Pen) -> list[ev.Event]:
    return [*calm_home(pen, 8, CALM), *attack]


def alarms(alerts: list[Alert]) -> list[Alert]:
    return [alert for alert in alerts if alert.severity != "info"]


def test_a_calm_home_raises_no_alarm(model: Model) -> None:
    assert alarms(watched(detector(model), calm_home(Pen(), 8, 1500))) == []


@pytest.mark.parametrize(
    ("attack", "script", "within"),
    [
        ("flood", flood, 4.0),
        ("dos", dos, 6.0),
        ("slowite", half_open, 10.0),
        ("slowite", slowite, 4.0),
        ("malformed", malformed, 12.0),
        ("brute-force", brute_force, 15.0),
    ],
)
@pytest.mark.parametrize("facts", [True, False])
def test_each_attack_is_found_named_told_with_reasons_and_closed(
    model: Model, attack: str, script: object, within: float, *, facts: bool
) -> None:
    pen = Pen()
    events = [*calm_home(pen, 8, CALM)]
    events += script(pen)  # type: ignore[operator]
    end = pen.now + CALM_AFTER + 30.0
    told = alarms(watched(detector(model, facts=facts), events, until=end))
    assert {alert.address for alert in told} == {EVIL}
    assert {alert.id for alert in told} == {told[0].id}, "one incident"
    assert (told[0].state, told[-1].state) == ("open", "closed")
    assert told[0].time - CALM <= within
    assert attack == told[-1].attack
    assert [alert.active for alert in told] == [True] * (len(told) - 1) + [False]
    for alert in told:
        assert alert.score is not None
        assert alert.threshold is not None
        assert alert.score > alert.threshold
        assert 0.0 < alert.confidence <= 1.0
        assert len(alert.reasons) == 3
        assert len({reason.feature for reason in alert.reasons}) == 3
        assert CALM - 1.0 <= alert.first_seen <= alert.time
        SCHEMA.validate(json.loads(encode(alert, 1_700_000_000.0)))


def test_a_flood_names_its_client_and_its_user(model: Model) -> None:
    pen = Pen()
    told = alarms(watched(detector(model), [*calm_home(pen, 8, CALM), *flood(pen)]))
    assert (told[0].client_id, told[0].username) == ("flooder", "mallory")
    assert told[0].clients == ("flooder",)
    words = " ".join(reason.text for reason in told[0].reasons)
    assert "messages/s" in words


def test_a_known_client_that_turns_is_found_and_its_normal_is_kept_clean(model: Model) -> None:
    pen, watcher = Pen(), detector(model)
    number, events = pen.joined("camera", "192.168.1.77")
    for second in range(2400):
        pen.wait(1.0)
        events.append(pen.published(number, "home/camera", 100))
        if second % 60 == 30:
            events.append(pen.pinged(number))
    assert alarms(watched(watcher, events)) == []
    (view,) = watcher.clients()
    assert (view.learned, view.verdict, view.connected) == (True, "calm", True)
    turned = []
    start = pen.now
    for _ in range(10_000):
        pen.wait(0.002)
        turned.append(pen.published(number, "home/camera", 100))
    told = alarms(watched(watcher, turned, start=start))
    assert [alert.client_id for alert in told[:1]] == ["camera"]
    assert told[0].time - start <= 4.0
    assert watcher.clients()[0].verdict == "attack"
    usual = next(r.usual for r in told[-1].reasons if r.feature.startswith("publish_rate"))
    assert usual == pytest.approx(1.0, rel=0.05)
    after = [pen.now + 1.0 + second for second in range(3600)]
    quiet = []
    for pen.now in after:
        quiet.append(pen.published(number, "home/camera", 100))
    watched(watcher, quiet, start=after[0])
    (client,) = watcher.watch.tally.clients
    learned = watcher.watch._clients.normal.rates
    assert learned(np.array([client.row]))[0, 0] == pytest.approx(1.0, rel=0.05)


# --- facts ---------------------------------------------------------------------------------


def test_a_fact_is_told_though_the_network_is_calm_and_not_when_facts_are_off(
    model: Model,
) -> None:
    told = []
    for facts in (True, False):
        pen = Pen()
        events = [*calm_home(pen, 4, CALM)]
        number, joined = pen.joined("liar", EVIL)
        events += [*joined, pen.published(number, "$ids/alerts", 30)]
        told.append(alarms(watched(detector(model, facts=facts), events, until=CALM + 100.0)))
    assert [(a.attack, a.state, a.client_id) for a in told[0]] == [
        ("spoofing", "open", "liar"),
        ("spoofing", "closed", "liar"),
    ]
    assert told[0][0].score is None
    assert [reason.feature for reason in told[0][0].reasons] == ["ids-topic"]
    assert told[1] == []


def test_notes_are_no_alarm(model: Model) -> None:
    pen = Pen()
    events = [*calm_home(pen, 4, 700)]
    number, joined = pen.joined("phone", "192.168.1.99")
    events += [*joined, pen.subscribed(number, "#")]
    told = watched(detector(model), events, until=pen.now + 30.0)
    assert {alert.attack for alert in told} == {"new-client", "enumeration"}
    assert {alert.severity for alert in told} == {"info"}
    assert not any(alert.active for alert in told)


# --- views ---------------------------------------------------------------------------------


def test_neighbours_are_the_calm_clients_nearby_and_not_who_came_with_the_attack(
    model: Model,
) -> None:
    pen, watcher = Pen(), detector(model)
    events = [*calm_home(pen, 4, CALM - 100)]
    bridge = [pen.joined(f"behind-{n}", EVIL, username="home") for n in range(3)]
    events += [event for _, joined in bridge for event in joined]
    for _ in range(100):
        pen.wait(1.0)
        events += [pen.published(number, f"behind/{number}") for number, _ in bridge]
    told = alarms(watched(watcher, [*events, *dos(pen)]))
    near = watcher.neighbours(told[0].id)
    assert sorted(near.address) == ["behind-0", "behind-1", "behind-2"]
    assert near.username == ()
    assert near.connected == 4 + 3
    assert watcher.neighbours("nonsense").address == ()


def test_a_script_with_ever_new_ids_is_not_accused_of_what_its_neighbour_does(model: Model) -> None:
    """Both are behind one address. Held connections that never spoke bear no id at all."""
    pen, watcher = Pen(), detector(model)
    number, joined = pen.joined("lamp", ROUTER)
    calls = itertools.count()

    def evening(seconds: int) -> Iterator[ev.Event]:
        for second in range(seconds):
            pen.wait(1.0)
            if second % 5 == 0:
                yield pen.published(number, "home/lamp/state")
            if second % 60 == 30:
                run, events = pen.joined(f"run-{next(calls)}", ROUTER)
                yield from events
                yield pen.published(run, "cron/done", 2)
                yield pen.disconnected(run)
                yield pen.closed(run)

    watched(watcher, [*joined, *evening(5400)])
    start = pen.now
    held = [pen.opened(ROUTER) for _ in range(100)]
    alerts = watched(watcher, [*held, *evening(180)], start=start)
    loud = [alert for alert in alerts if alert.severity != "info"]
    assert {alert.attack for alert in loud} == {"slowite"}
    assert {alert.address for alert in loud} == {ROUTER}
    assert not any(alert.clients for alert in loud)


def test_who_takes_back_its_own_id_is_spared_at_home(model: Model) -> None:
    pen, watcher = Pen(), detector(model)
    home = "10.0.0.7"
    events = [*calm_home(pen, 4, CALM)]
    number, joined = pen.joined("cam", home)
    events += [*joined, pen.closed(number)]
    for turn in range(7):
        pen.wait(10.0)
        events += pen.joined("cam", home if turn % 2 else EVIL)[1]
    (told,) = [one for one in alarms(watched(watcher, events)) if one.state == "open"]
    assert (told.attack, told.client_id, told.address) == ("takeover", "cam", EVIL)
    assert watcher.neighbours(told.id).address == ()
    fight = Sign(  # as the network may see it, which knows of no home
        time=pen.now,
        first_seen=pen.now,
        attack="takeover",
        severity="medium",
        confidence=0.9,
        address=home,
        client_id="cam",
        username=None,
        clients=("cam",),
        whole_host=True,
        reasons=(),
    )
    watcher._incidents.tick((fight,), pen.now)
    assert watcher.neighbours(told.id).address == ("cam",)


def test_what_a_refused_will_claims_is_nobodys_doing(model: Model) -> None:
    pen, watcher = Pen(), detector(model)
    events = [*calm_home(pen, 4, CALM)]
    for claimed in ("victim", "ha-core"):
        opened = pen.opened(EVIL)
        refused = pen.refused(opened.connection, client_id=claimed, will_topic="$ids/x")
        events += [opened, refused, pen.closed(opened.connection)]
        pen.wait(3.0)
    (told,) = [one for one in alarms(watched(watcher, events)) if one.state == "open"]
    assert (told.attack, told.address, told.client_id, told.clients) == ("spoofing", EVIL, None, ())


def test_clients_are_shown_as_they_are(model: Model) -> None:
    pen, watcher = Pen(), detector(model)
    number, events = pen.joined("one", "10.0.0.1", username="u")
    gone, more = pen.joined("two", "10.0.0.2")
    watched(watcher, [*events, *more, pen.published(number), pen.closed(gone)], until=5.0)
    views = {view.client_id: view for view in watcher.clients()}
    assert set(views) == {"one", "two"}
    assert (views["one"].address, views["one"].username) == ("10.0.0.1", "u")
    assert [views[name].connected for name in ("one", "two")] == [True, False]
    assert [views[name].verdict for name in ("one", "two")] == ["calm", "calm"]
    assert views["one"].score is not None
    assert not views["one"].learned


def test_a_client_is_shown_before_the_first_tick(model: Model) -> None:
    watcher = detector(model)
    for event in Pen().joined("one")[1]:
        watcher.feed(event)
    (view,) = watcher.clients()
    assert (view.client_id, view.verdict, view.score) == ("one", "calm", None)


# --- thresholds ----------------------------------------------------------------------------


def test_a_number_is_a_threshold_for_everybody(model: Model) -> None:
    for threshold, found in ((1e-6, True), (1e6, False)):
        watcher = Detector(model, sees=SEES_ALL, threshold=threshold, facts=False)
        pen = Pen()
        told = watched(watcher, [*calm_home(pen, 4, 60), *flood(pen, seconds=2)])
        assert bool(told) == found


def test_a_card_that_lacks_a_threshold_is_refused(model: Model) -> None:
    thresholds = dict(model.card.thresholds)
    del thresholds[in_card("all", mask_class(Role.HOST, earned=True))]
    card = msgspec.structs.replace(model.card, thresholds=thresholds)
    with pytest.raises(ModelError, match="no threshold for all/host/learned"):
        Detector(Model(card, model.scorer, None), sees=SEES_ALL)


def test_the_card_has_a_threshold_for_each_mask_class_of_each_sensor(model: Model) -> None:
    masks = [mask_class(role, earned=earned) for role in Role for earned in (False, True)]
    assert set(model.card.thresholds) == {in_card(one, mask) for one in SENSORS for mask in masks}


@pytest.mark.parametrize(
    ("sees", "sensor"),
    [(sees, name) for name, sees in SENSORS.items()]
    + [(SEES_ALL & ~Sees.PINGS, "all"), (Sees.CONNECTIONS | Sees.KEEP_ALIVE, "log")],
)
def test_thresholds_are_those_of_the_sensor(model: Model, sees: Sees, sensor: str) -> None:
    mask = mask_class(Role.HOST, earned=False)
    found = Detector(model, sees=sees).thresholds[mask]
    assert found == model.card.thresholds[in_card(sensor, mask)]["budget"]


# --- promises ------------------------------------------------------------------------------


def mixed(seed: int, count: int) -> Iterator[ev.Event]:
    """A home, an attack, and a random crowd."""
    pen, rng = Pen(), random.Random(seed)
    yield from calm_home(pen, 4, 60)
    yield from flood(pen, seconds=2)
    for _ in range(count):
        pen.wait(rng.choice((0.0, 0.01, 0.3)))
        number, address = rng.randrange(1000, 1050), f"10.1.0.{rng.randrange(9)}"
        yield anything(rng, pen.now, number, address, f"c{rng.randrange(20)}")


def test_the_same_events_give_the_same_alerts(model: Model) -> None:
    runs = [watched(detector(model), mixed(7, 1500), until=500.0) for _ in range(2)]
    assert runs[0] == runs[1]
    assert alarms(runs[0])
    assert watched(detector(model), mixed(8, 1500), until=500.0) != runs[0]


@settings(max_examples=25)
@given(events=chaos())
def test_whatever_a_sensor_says_the_detector_lives(model: Model, events: list[ev.AnyEvent]) -> None:
    for alert in watched(detector(model), events, until=events[-1].time + 30.0):
        SCHEMA.validate(json.loads(encode(alert, 1_700_000_000.0)))


@pytest.mark.parametrize("sees", list(Sees))
def test_a_sensor_that_sees_only_one_thing_is_no_error(model: Model, sees: Sees) -> None:
    watcher = Detector(model, sees=sees)
    watched(watcher, calm_home(Pen(), 3, 30))
    assert len(watcher.clients()) == 3


def crowd(rng: random.Random, first: int, count: int) -> Iterator[ev.Event]:
    """Clients with ids, addresses and topics never used before, who all come once."""
    for number in range(first, first + count):
        time, address = number / 200.0, f"2001:db8::{rng.randrange(2**32):x}"
        client_id = f"id-{rng.randrange(2**64):x}"
        common = {"time": time, "connection": number, "address": address}
        yield ev.Opened(**common)  # type: ignore[arg-type]
        yield ev.Connected(**common, client_id=client_id, username=client_id)  # type: ignore[arg-type]
        for topic in range(3):
            yield ev.Published(
                **common,  # type: ignore[arg-type]
                client_id=client_id,
                topic=f"{client_id}/{topic}",
                size=rng.randrange(10_000),
            )
        yield ev.Subscribed(**common, client_id=client_id, filters=("#",))  # type: ignore[arg-type]
        if number % 2:
            yield ev.Closed(**common, client_id=client_id)  # type: ignore[arg-type]


def test_twenty_thousand_names_leave_memory_bounded(model: Model) -> None:
    watcher, rng = detector(model, max_clients=500), random.Random(1)
    watched(watcher, crowd(rng, 0, 5000))
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        told = watched(watcher, crowd(rng, 5000, 15_000), start=25.0)
        del told
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    tally = watcher.watch.tally
    assert len(watcher.clients()) <= 500
    assert len(tally.hosts) <= 500
    assert len(tally.connections) <= 2000
    assert len(tally.topics) <= 4000
    assert len(list(watcher._incidents)) <= MOST_OPEN + MOST_NOTES
    assert tally.skipped > 0
    assert after - before < 2_000_000
