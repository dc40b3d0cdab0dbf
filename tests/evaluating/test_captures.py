"""Captures as trials: what belongs to whom, and that they are watched like any other trial.

The captures here come from the lab, under the names of MQTTset's files.
"""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import capture_tools as tools
import msgspec
import pytest

from mqtt_ids.errors import CaptureError
from mqtt_ids.evaluating import captures, mixing
from mqtt_ids.evaluating.capture_trials import LONGEST_PAUSE, Job, _without_holes, watched
from mqtt_ids.evaluating.captures import ATTACKS, CALM, INTO_CALM, Trial
from mqtt_ids.evaluating.results import (
    CAPTURE,
    COUNTERS,
    MQTTSET,
    NO_FACTS,
    OURS,
    PCA,
    Attack,
    Calm,
    Found,
)
from mqtt_ids.evaluating.taught import Lesson, Taught, study, teach
from mqtt_ids.events import SEES_ALL, AnyEvent, Opened, Pinged, Sees
from mqtt_ids.lab import capture_writer as writer
from mqtt_ids.lab.attackers import Attacker
from mqtt_ids.lab.homes import make_home, record
from mqtt_ids.sources.event_log import Writer

SEED = 9700
LASTS = 6.0  # seconds of the attack
LESSONS = (
    Lesson(seed=1001, hours=0.05),
    Lesson(seed=1000, hours=0.6),
    Lesson(seed=5000, hours=0.6, calibrates=True),
)


def attack_events() -> Iterator[AnyEvent]:
    """A flood on another home than the calm one, and nothing else of that home."""
    home = make_home(SEED, family="test", size=5)
    attack = Attacker(home, SEED, start=10.0, duration=LASTS).flood(rate=800.0)
    for event in record(home, [attack], duration=10.0 + LASTS):
        if event.connection in attack.truth.connections:
            yield event


@pytest.fixture(scope="module")
def taught() -> Taught:
    return teach(map(study, LESSONS))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A calm capture and one of the attacks; the others are not there."""
    made = tmp_path_factory.mktemp("captures")
    calm = tools.home_events(SEED + 1, clients=9, seconds=INTO_CALM + 60.0, family="test")
    tools.saved(made / CALM, writer.frames_of(calm, link=writer.COOKED))
    tools.saved(made / "flood.pcap", writer.frames_of(attack_events()))
    return made


def outcome(trial: Trial, taught: Taught) -> tuple[Calm | None, Attack | None, list[str]]:
    found = watched(Job(trial=trial, taught=taught), time.process_time)
    return found.calm, found.attack, found.faults


# --- which trials --------------------------------------------------------------------------------


def test_each_attack_is_tried_as_it_is_and_behind_some_clients(folder: Path) -> None:
    trials, missing = captures.mqttset(folder)
    assert len(missing) == len(ATTACKS) - 1
    assert all(str(folder) in line for line in missing)
    calm, own, *mixed = trials
    assert (calm.name, calm.source) == (None, CALM)
    assert (own.name, own.identity, own.within) == ("flood", "own", 2.0)
    assert [one.identity for one in mixed] == ["address", "client"] * captures.MIXES
    ids = mixing.clients(folder / CALM)
    whom = [one.behind for one in mixed if one.behind and one.behind.client_id]
    assert len({one.address for one in whom}) == captures.MIXES
    assert all(ids[one.address] == one.client_id for one in whom)
    assert {one.place for one in trials} == {MQTTSET}


def test_as_many_clients_as_are_asked_for_and_there(folder: Path) -> None:
    ids = [one for one in mixing.clients(folder / CALM).values() if one]
    assert len(ids) > captures.MIXES
    for asked, there in ((0, 0), (1, 1), (2, 2), (50, len(ids))):
        trials, _ = captures.mqttset(folder, mixes=asked)
        assert len(trials) == 2 + 2 * there
        assert all(one.behind.client_id != "" for one in trials if one.behind)


def test_only_in_a_mix_is_a_tool_that_idles_first_given_time() -> None:
    own = captures._recorded(Path(), "bruteforce.pcapng", None)
    behind = captures.Behind(calm=CALM, address="192.0.2.1")
    mixed = captures._recorded(Path(), "bruteforce.pcapng", behind)
    assert (own.prelude, mixed.prelude) == (0.0, ATTACKS["bruteforce.pcapng"].prelude)
    assert own.source == "bruteforce.pcapng"
    assert mixed.source == "bruteforce.pcapng behind 192.0.2.1, counted from second 20 on"


def test_what_the_user_gives_has_no_bar() -> None:
    calm, attack = captures.given(["night.pcap"], [("dos", "day.jsonl")])
    assert (calm.name, calm.place, attack.name, attack.place) == (None, CAPTURE, "dos", CAPTURE)
    assert attack.within is None


# --- who takes part ------------------------------------------------------------------------------


def test_in_a_capture_of_an_attack_everybody_attacks(folder: Path) -> None:
    scene = captures.opened(captures.mqttset(folder)[0][1])
    events = list(scene.events)
    assert scene.truth is not None
    assert scene.truth.addresses == {one.address for one in events}
    assert scene.truth.client_ids == {one.client_id for one in events} - {None}


@pytest.mark.parametrize("number", [2, 3])
def test_in_a_mix_only_the_attack_attacks(folder: Path, number: int) -> None:
    trial = captures.mqttset(folder)[0][number]
    scene = captures.opened(trial)
    before = [one for one in scene.events if scene.truth and one.time < scene.truth.start]
    assert scene.truth is not None
    assert trial.behind is not None
    own = mixing.clients(folder / CALM)[trial.behind.address]
    assert {one.address for one in before} > {trial.behind.address} == scene.truth.addresses
    assert scene.truth.start == pytest.approx(scene.start + INTO_CALM, abs=1.0)
    if trial.identity == "client":
        assert scene.truth.client_ids == {own}
    else:
        attackers = {one.client_id for one in attack_events()} - {None}
        assert scene.truth.client_ids == attackers
        assert own not in attackers


# --- what becomes of it --------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_flood_is_found_and_nobody_else_accused(
    folder: Path, taught: Taught, number: int
) -> None:
    trial = captures.mqttset(folder)[0][number]
    calm, attack, faults = outcome(trial, taught)
    assert calm is None
    assert attack is not None
    assert faults == []
    assert set(attack.found) == {OURS, NO_FACTS, PCA, COUNTERS}
    ours = attack.found[OURS]
    assert (ours.last_name, ours.others) == ("flood", 0)
    assert ours.after is not None
    assert 0.0 < ours.after <= LASTS
    assert (attack.form, attack.within) == ("flood.pcap", 2.0)
    assert attack.agreement is not None
    assert attack.agreement.both > 0
    if number == 1:  # the same, had it idled for all of that time but for half a second
        later = msgspec.structs.replace(trial, prelude=ours.after - 0.5)
        again = outcome(later, taught)[1]
        assert again is not None
        assert again.found[OURS].after == pytest.approx(0.5)
        assert not again.in_prelude
        early = outcome(msgspec.structs.replace(trial, prelude=ours.after + 0.5), taught)[1]
        assert early is not None
        assert (early.found[OURS].after, early.in_prelude) == (0.0, True)


def test_a_calm_capture_is_watched_to_its_end(folder: Path, taught: Taught) -> None:
    calm, attack, faults = outcome(captures.mqttset(folder)[0][0], taught)
    assert attack is None
    assert calm is not None
    assert faults == []
    assert calm.clients >= len(mixing.clients(folder / CALM))
    assert calm.duration == pytest.approx(INTO_CALM + 60.0, abs=10.0)
    assert calm.vectors > calm.duration
    assert set(calm.alarms) == {OURS, PCA, COUNTERS}
    assert calm.alarms[OURS] == ()
    assert calm.actions == 0
    assert 0.0 < calm.highest < 1.0


def test_an_event_log_is_watched_with_what_its_sensor_saw(tmp_path: Path, taught: Taught) -> None:
    path = tmp_path / "attack.jsonl"
    sees = SEES_ALL & ~Sees.CREDENTIALS
    with Writer(path, sees=sees) as log:
        for event in attack_events():
            log.write(event)
    (trial,) = captures.given([], [("flood", str(path))])
    assert captures.opened(trial).sees == sees
    _, attack, _ = outcome(trial, taught)
    assert attack is not None
    assert attack.found[OURS].last_name == "flood"
    assert attack.place == CAPTURE
    assert PCA not in attack.found  # what it learned holds where all is seen


def test_what_cannot_be_read_is_told(folder: Path, tmp_path: Path, taught: Taught) -> None:
    short = tmp_path / "short.pcap"
    short.write_bytes((folder / "flood.pcap").read_bytes()[:-7])
    (trial,) = captures.given([], [("flood", str(short))])
    _, attack, faults = outcome(trial, taught)
    assert attack is not None
    assert ["short.pcap" in line for line in faults] == [True]


def test_a_capture_without_mqtt_is_refused(tmp_path: Path) -> None:
    empty = tools.saved(tmp_path / "empty.pcap", [])
    with pytest.raises(CaptureError, match="no MQTT"):
        captures.opened(Trial(path=str(empty)))


def test_what_cannot_be_mixed_is_refused_in_a_line(folder: Path, tmp_path: Path) -> None:
    nobody = captures.Behind(calm=str(folder / CALM), address="203.0.113.99")
    with pytest.raises(CaptureError, match="cannot be mixed"):
        captures.opened(Trial(path=str(folder / "flood.pcap"), name="flood", behind=nobody))
    empty = tools.saved(tmp_path / "empty.pcap", [])
    somebody = captures.Behind(calm=nobody.calm, address=next(iter(mixing.clients(folder / CALM))))
    with pytest.raises(CaptureError, match="cannot be mixed"):
        captures.opened(Trial(path=str(empty), name="flood", behind=somebody))


@pytest.mark.parametrize("number", [2, 3])
def test_a_mixed_attack_ends_with_its_last_event(folder: Path, number: int) -> None:
    scene = captures.opened(captures.mqttset(folder)[0][number])
    truth = scene.truth
    assert truth is not None
    assert truth.end - truth.start == pytest.approx(LASTS, abs=1.0)


@pytest.mark.parametrize("name", ["enumeration", "new-client"])
def test_only_what_a_note_alone_tells_of_is_found_by_one(
    tmp_path: Path, taught: Taught, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    asked: list[set[str]] = []

    def spied(alerts: object, truth: object, *, notes: set[str]) -> Found:
        asked.append(set(notes))
        return Found(after=None)

    monkeypatch.setattr("mqtt_ids.evaluating.capture_trials.found", spied)
    path = tmp_path / "attack.jsonl"
    with Writer(path, sees=SEES_ALL) as log:
        for event in itertools.islice(attack_events(), 20):
            log.write(event)
    outcome(captures.given([], [(name, str(path))])[0], taught)
    assert asked
    assert all(notes == ({name} & {"enumeration", "silence"}) for notes in asked)


def test_a_calm_capture_in_which_nobody_connects_takes_no_attack(tmp_path: Path) -> None:
    tools.saved(tmp_path / CALM, [])
    with pytest.raises(CaptureError, match="nobody connects"):
        captures.mqttset(tmp_path)


def test_a_hole_of_years_costs_a_day() -> None:
    times = (0.0, 5.0, 5.0 + LONGEST_PAUSE, 3e8, 3e8 + 1.0, 6e8)
    events: list[AnyEvent] = [
        Opened(time=0.0, connection=1, address="192.0.2.1"),
        *(Pinged(time=one, connection=1, address="192.0.2.1", client_id="a") for one in times[1:]),
    ]
    found = [one.time for one in _without_holes(events)]
    end = 5.0 + 2 * LONGEST_PAUSE
    assert found == [0.0, 5.0, 5.0 + LONGEST_PAUSE, end, end + 1.0, end + 1.0 + LONGEST_PAUSE]
