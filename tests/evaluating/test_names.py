"""Names by rules and by a classifier: both from the same signs, told by what really happened."""

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import pytest
from detector_tools import watched

from mqtt_ids.detector import Detector
from mqtt_ids.evaluating import captures, names
from mqtt_ids.evaluating.classifier import KINDS, UNNAMED, Classifier, best, inputs
from mqtt_ids.evaluating.names import Job, collect, compare, jobs, true_name
from mqtt_ids.evaluating.results import Confusion
from mqtt_ids.evaluating.witness import Accused, Collected, collect_events, ratio
from mqtt_ids.events import SEES_ALL
from mqtt_ids.feature_table import NAMES
from mqtt_ids.incidents import Sign
from mqtt_ids.lab.attackers import Attack, Attacker
from mqtt_ids.lab.homes import Family, make_home, record
from mqtt_ids.lab.household import Home
from mqtt_ids.models import open_model
from mqtt_ids.sources.event_log import Writer
from mqtt_ids.windows import Floats

LOUD = ("slowite", "malformed", "dos")
START = 50_000.0
Confusions = dict[str, Confusion]


def attack_on(home: Home, seed: int, kind: str) -> Attack:
    """An attack that no home can hide."""
    attacker = Attacker(home, seed, start=START + 60.0, duration=20.0)
    if kind == "slowite":
        return attacker.slowite(connections=80 + seed % 7)
    return attacker.malformed(rate=8.0) if kind == "malformed" else attacker.dos()


def trials(family: Family, seeds: range) -> list[Collected]:
    found = []
    for seed, kind in zip(seeds, LOUD * len(seeds), strict=False):
        home = make_home(seed, family=family, size=6)
        attack = attack_on(home, seed, kind)
        events = record(home, [attack], start=START, duration=80.0, finish=False)
        model = open_model("default")
        found.append(collect_events(events, attack.truth, name=kind, source="", model=model))
    return found


@pytest.fixture(scope="module")
def taught() -> list[Collected]:
    return trials("train", range(928, 934))


@pytest.fixture(scope="module")
def asked() -> list[Collected]:
    return trials("test", range(9300, 9303))


# --- what is collected ---------------------------------------------------------------------------


def test_the_vector_kept_with_a_sign_is_the_one_it_was_read_from(asked: list[Collected]) -> None:
    pairs = [
        (sign, trial.errors[row])
        for trial in asked
        for accused in trial.rounds
        for sign, row in zip(accused.signs, accused.rows, strict=True)
        if row is not None
    ]
    assert len(pairs) > 20
    for sign, errors in pairs:
        assert sign.score is not None
        seen = float(errors.sum()) / sign.score  # a score is the mean over what is seen
        assert seen == pytest.approx(round(seen), abs=1e-2)
        assert 10 < seen <= len(NAMES)


def test_a_sign_without_a_vector_is_a_fact(asked: list[Collected], taught: list[Collected]) -> None:
    for trial in (*asked, *taught):
        for accused in trial.rounds:
            for sign, row in zip(accused.signs, accused.rows, strict=True):
                assert (row is None) == (sign.score is None)


def test_the_rules_name_is_the_one_that_the_detector_gives() -> None:
    home = make_home(9303, family="test", size=6)
    attack = attack_on(home, 1, "dos")
    events = list(record(home, [attack], start=START, duration=80.0))
    model = open_model("default")
    truth = attack.truth
    mine = collect_events(events, truth, name="dos", source="", model=model)
    told = watched(Detector(model, sees=SEES_ALL), events, start=START)
    final = [one for one in told if one.severity != "info" and one.address in truth.addresses][-1]
    rounds = [(accused.time, accused.signs) for accused in mine.rounds]
    assert names._last_name(rounds) == final.attack


def test_a_job_gives_the_same_each_time_in_another_process_too() -> None:
    job = Job(family="test", seed=9310, kind="dos")
    again = collect(job)
    with ProcessPoolExecutor(1) as pool:
        once = pool.submit(collect, job).result()
    assert (once.name, once.source) == ("dos", "home 9310")
    assert once.rounds == again.rounds
    assert np.array_equal(once.rows, again.rows)


def test_only_the_attackers_signs_are_kept() -> None:
    home = make_home(9303, family="test", size=6)
    both = [attack_on(home, 1, "dos"), attack_on(home, 2, "slowite")]
    events = list(record(home, both, start=START, duration=80.0))
    assert not both[0].truth.addresses & both[1].truth.addresses
    model = open_model("default")
    for attack in both:
        truth = attack.truth
        kept = collect_events(events, truth, name=attack.kind, source="", model=model)
        addresses = {sign.address for accused in kept.rounds for sign in accused.signs}
        assert addresses == truth.addresses


def test_a_device_that_turns_loud_is_a_flood() -> None:
    home = make_home(9303, family="test")
    rates = {0.1: UNNAMED, 1.0: UNNAMED, 50.0: "flood"}
    for rate, name in rates.items():
        attack = Attacker(home, 1, start=0.0, duration=9.0, identity="client").turn(rate=rate)
        assert true_name(attack) == name


def test_no_home_is_both_learned_from_and_asked_about() -> None:
    for short in (False, True):
        planned = jobs(short=short)
        seeds = [{one.seed for one in planned if one.family == who} for who in ("train", "test")]
        assert not seeds[0] & seeds[1]
        for who in ("train", "test"):
            kinds = {one.kind for one in planned if one.family == who}
            assert kinds == set(names.DURATIONS)


def test_of_captures_those_with_a_name_of_ours_are_asked_about() -> None:
    recorded = captures.given(["calm.pcap"], [("flood", "a.pcap"), ("my attack", "b.pcap")])
    planned = [job for job in jobs(short=True, recorded=recorded) if job.capture is not None]
    assert [(job.family, job.capture.path) for job in planned if job.capture] == [
        ("test", "a.pcap")
    ]


def test_a_calm_capture_has_nothing_to_name(tmp_path: Path) -> None:
    path = tmp_path / "night.jsonl"
    with Writer(path, sees=SEES_ALL) as log:
        for event in record(make_home(9300, family="test"), duration=5.0):
            log.write(event)
    with pytest.raises(ValueError, match="is calm"):
        collect(Job(family="test", capture=captures.given([str(path)], [])[0]))


@pytest.mark.slow
def test_the_flood_of_mqttset_is_named(mqttset: Path) -> None:
    trial = captures.Trial(path=str(mqttset / "flood.pcap"), name="flood")
    found = collect(Job(family="test", capture=trial))
    rounds = [(accused.time, accused.signs) for accused in found.rounds]
    assert names._last_name(rounds) == "flood"


# --- the comparison ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compared(
    taught: list[Collected], asked: list[Collected]
) -> tuple[Confusions, dict[str, dict[str, float]], str]:
    confusions, shares, verdict = compare(taught, asked)
    return {one.by: one for one in confusions}, shares, verdict


def test_both_name_the_same_trials_and_the_same_vectors(
    compared: tuple[Confusions, dict[str, dict[str, float]], str], asked: list[Collected]
) -> None:
    confusions = compared[0]
    for what in ("", ", per vector"):
        rules, learned = (confusions[f"{who}{what}"].counts for who in ("rules", "classifier"))
        sums = {name: sum(row.values()) for name, row in rules.items()}
        assert sums == {name: sum(row.values()) for name, row in learned.items()}
    by_trial = confusions["rules"].counts
    assert sum(sum(row.values()) for row in by_trial.values()) == len(asked)
    by_vector = confusions["rules, per vector"].counts
    assert {name: sum(row.values()) for name, row in by_vector.items()} == {
        trial.name: len(trial.rows) for trial in asked
    }


def test_of_few_alarms_nothing_is_said(taught: list[Collected], asked: list[Collected]) -> None:
    nothing: tuple[list[Confusion], dict[str, dict[str, float]], str]
    nothing = ([], {}, "too few alarms to compare names")
    assert compare([], []) == nothing
    assert compare(taught[:3], asked) == nothing
    assert compare([taught[0]] * 4, asked) == nothing  # one name
    alone = [taught[0], taught[0], taught[0], taught[1]]  # without the last, there is one name
    assert len(compare(alone, [])[0]) == 4


def test_the_rules_name_what_is_loud(
    compared: tuple[Confusions, dict[str, dict[str, float]], str],
) -> None:
    counts = compared[0]["rules"].counts
    assert {name: set(row) for name, row in counts.items()} == {name: {name} for name in LOUD}


def test_shares_are_parts_of_the_whole_error(
    compared: tuple[Confusions, dict[str, dict[str, float]], str],
) -> None:
    shares = compared[1]
    assert set(shares) == set(LOUD)
    for row in shares.values():
        assert set(row) <= set(NAMES)
        assert 0.3 < sum(row.values()) <= 1.0 + 1e-6


def test_the_sentence_tells_the_counts(
    compared: tuple[Confusions, dict[str, dict[str, float]], str], asked: list[Collected]
) -> None:
    confusions, _, verdict = compared
    for who in ("rules", "classifier"):
        right = sum(row.get(name, 0) for name, row in confusions[who].counts.items())
        assert f"{right} rightly" in verdict
    assert f"of {len(asked)} trials with an alarm (of {len(asked)})" in verdict


@pytest.mark.parametrize(
    ("rules", "learned", "word"),
    [
        ({"dos": {"dos": 2}}, {"dos": {"dos": 1, "unusual": 1}}, "better"),
        ({"dos": {"unusual": 1, "dos": 1}}, {"dos": {"flood": 1, "dos": 1}}, "better"),
        ({"dos": {"flood": 1, "dos": 1}}, {"dos": {"dos": 2}}, "worse"),
        ({"unusual": {"unusual": 1}}, {"unusual": {"unusual": 1}}, "no worse"),
    ],
)
def test_a_wrong_name_is_worse_than_none(
    rules: names.Counts, learned: names.Counts, word: str
) -> None:
    assert f"name {word} than" in names._verdict(rules, learned, asked=2)


def named_by_the_network(found: list[Collected]) -> Sign:
    signs = (sign for trial in found for one in trial.rounds for sign in one.signs)
    return next(sign for sign in signs if sign.score is not None)


def test_a_note_gives_a_trial_no_name(asked: list[Collected]) -> None:
    alarm = named_by_the_network(asked)
    assert names._last_name([(1.0, [alarm])]) == alarm.attack
    note = msgspec.structs.replace(alarm, attack="enumeration", severity="info")
    assert names._last_name([(1.0, [note])]) is None
    assert names._last_name([]) is None


def test_a_fact_keeps_its_name_whatever_the_classifier_says(asked: list[Collected]) -> None:
    sign = named_by_the_network(asked)
    fact = msgspec.structs.replace(sign, score=None, threshold=None, attack="spoofing")
    accused = Accused(time=1.0, signs=(sign, fact), rows=(0, None))
    assert [one.attack for one in names._renamed(accused, ["takeover"])] == ["takeover", "spoofing"]
    assert ratio(fact) == 0.0 < ratio(sign)


# --- the classifier ------------------------------------------------------------------------------


def cloud(middle: float, count: int, seed: int) -> Floats:
    """Rows of noise in which the second input tells."""
    rows = np.random.default_rng(seed).uniform(0.0, 1.0, (count, 6)).astype(np.float32)
    rows[:, 1] = middle + 0.1 * rows[:, 1]
    return rows


def test_what_is_not_seen_tells_the_classifier_nothing() -> None:
    x = np.random.default_rng(1).uniform(0.0, 3.0, (2, len(NAMES))).astype(np.float32)
    seen = np.zeros(x.shape, bool)
    seen[:, :3] = True
    other = x.copy()
    other[:, 3:] = 7.0
    errors = np.where(seen, 0.5, 0.0).astype(np.float32)
    assert np.array_equal(inputs(x, seen, errors, [1, 2]), inputs(other, seen, errors, [1, 2]))
    assert not np.array_equal(inputs(x, seen, errors, [1, 1]), inputs(x, seen, errors, [1, 9]))


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_learns_what_parts_two_names(kind: str) -> None:
    rows = np.concatenate([cloud(0.0, 60, 1), cloud(0.6, 60, 2)])
    called = np.repeat(["dos", "flood"], 60)
    learned = Classifier(kind)
    learned.fit(rows, called, np.repeat(np.arange(12), 10))
    assert learned.names(cloud(0.0, 5, 3)) == ["dos"] * 5
    assert learned.names(cloud(0.6, 5, 4)) == ["flood"] * 5
    assert learned.explained().partition("all names: ")[2].startswith(NAMES[1])


def test_where_names_are_as_likely_none_is_given() -> None:
    rows = np.tile(cloud(0.5, 1, 1), (30, 1))
    called = np.tile(["dos", "flood", "slowite"], 10)
    learned = best(rows, called, np.arange(30))
    assert learned.names(rows[:1]) == [UNNAMED]


def test_a_long_trial_weighs_no_more_than_a_short_one() -> None:
    here = cloud(0.5, 1, 1)
    rows = np.tile(here, (1000 + 3, 1))
    called = np.array(["dos"] * 1000 + ["flood"] * 3)
    one_each = np.array([0] * 1000 + [1, 1, 1])
    for kind in KINDS:
        learned = Classifier(kind)
        learned.fit(rows, called, one_each)
        likely = learned._model.predict_proba(here)[0]
        assert likely == pytest.approx([0.5, 0.5], abs=0.2)
