"""Trials in simulated homes, the forms of attack, and the plan of them all."""

import itertools
import time
from typing import Any, get_args

import msgspec
import pytest

from mqtt_ids.alerts import Attack as Name
from mqtt_ids.evaluating import plan, trials
from mqtt_ids.evaluating.forms import BY_ID, FIVE, FORMS, Form
from mqtt_ids.evaluating.results import (
    CONSTANT,
    COUNTERS,
    HOME,
    MEAN_STD,
    NO_FACTS,
    OURS,
    PCA,
    START,
)
from mqtt_ids.evaluating.taught import Lesson, Taught, lessons, study, teach
from mqtt_ids.evaluating.trials import (
    AttackJob,
    AttackTrial,
    CalmJob,
    CalmTrial,
    Strike,
    attack_trials,
    calm_trial,
    rocs,
)
from mqtt_ids.lab import schooling
from mqtt_ids.lab.attackers import Identity
from mqtt_ids.lab.homes import make_home, record
from mqtt_ids.lab.samples import sample
from mqtt_ids.learning.samples import Samples

SEED = 9742

STRIKES = (
    Strike("flood 2,000/s", "client"),
    Strike("slowite, half-open", "address", draws=True),
    Strike("guess each 1.5 s", "new"),
    Strike("publishes on $ids/…", "address"),
    Strike("subscribes #", "new"),
)


# --- forms ---------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.id)
def test_each_form_can_be_played_by_each_of_its_identities(form: Form) -> None:
    home = make_home(SEED, family="test", size=6)
    for identity in form.identities:
        attack = form.attack(home, 1, 1000.0, identity, None)
        assert attack.identity == identity
        assert attack.truth.start == 1000.0
        assert attack.truth.end == 1000.0 + form.duration
        told = list(record(home, [attack], start=990.0, duration=20.0))
        assert attack.truth.connections
        assert told


def test_forms_bear_names_that_an_alert_can_bear() -> None:
    assert len(BY_ID) == len(FORMS)
    for form in FORMS:
        assert {form.name, *form.right, *form.notes} <= set(get_args(Name))
        assert form.within is None or form.within <= form.duration
    assert {form.name for form in FORMS if form.within is not None} >= FIVE
    assert {identity for form in FORMS for identity in form.identities} == set(get_args(Identity))


def test_the_times_allowed_are_those_of_the_design() -> None:
    allowed = {(form.name, form.within) for form in FORMS if form.within is not None}
    guesses = {("brute-force", 12.0), ("brute-force", 90.0), ("brute-force", 900.0)}
    assert allowed == guesses | {
        ("flood", 2.0), ("dos", 4.0), ("slowite", 2.0), ("malformed", 10.0),
    }  # fmt: skip


# --- trials --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def calm(taught: Taught) -> CalmTrial:
    job = CalmJob(seed=SEED, duration=900.0, taught=taught, size=5, mean_std=400.0)
    return calm_trial(job, time.process_time)


@pytest.fixture(scope="module")
def struck(taught: Taught) -> dict[str, AttackTrial]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trials, "CALM_FIRST", 1000.0)
        job = AttackJob(seed=SEED, strikes=STRIKES, taught=taught, constant=True)
        return {one.attack.form: one for one in attack_trials(job)}


def test_a_calm_home_is_watched_by_every_method(calm: CalmTrial) -> None:
    told = calm.calm
    assert told.alarms.keys() == {OURS, PCA, COUNTERS, MEAN_STD}
    assert (told.place, told.clients, told.duration) == (HOME, 5, 900.0)
    assert told.watched == {MEAN_STD: 400.0}
    assert told.alarms[OURS] == ()
    assert told.actions == 0
    assert told.cases == tuple(sorted(make_home(SEED, family="test", size=5).cases))
    assert calm.ours.sum() == calm.pca.sum() == told.vectors > 500
    assert 0.0 < told.highest < 8.0
    assert told.events > 50
    assert 0.0 < told.cpu < 60.0


def test_a_calm_trial_gives_the_same_each_time(taught: Taught) -> None:
    job = CalmJob(seed=SEED + 1, duration=120.0, taught=taught, place=START, size=3)
    first, second = (calm_trial(job, itertools.count().__next__) for _ in range(2))
    assert msgspec.json.encode(first.calm) == msgspec.json.encode(second.calm)
    assert first.calm.cpu == 1.0
    assert (first.ours == second.ours).all()
    assert (first.pca == second.pca).all()


def test_attacks_are_found_and_named_by_ours(struck: dict[str, AttackTrial]) -> None:
    for one in struck.values():
        attack = one.attack
        ours = attack.found[OURS]
        assert ours.after is not None, attack.form
        assert attack.within is None or ours.after <= attack.within
        assert ours.last_name in (attack.right or (attack.name,))
        assert ours.others == 0
        assert {PCA, COUNTERS} <= attack.found.keys()


def test_the_five_are_found_by_the_score_and_not_by_facts(struck: dict[str, AttackTrial]) -> None:
    for one in struck.values():
        found = one.attack.found
        if one.attack.name in FIVE:
            assert found[NO_FACTS].after is not None
            assert found[CONSTANT].after is None
        else:
            assert not {NO_FACTS, CONSTANT} & found.keys()


def test_an_attack_begins_between_two_ticks(struck: dict[str, AttackTrial]) -> None:
    delays = [one.attack.found[OURS].after for one in struck.values()]
    assert len({delay % 1.0 for delay in delays if delay is not None}) == len(delays)


def test_int8_and_float_are_held_against_each_other(struck: dict[str, AttackTrial]) -> None:
    agreement = struck["flood 2,000/s"].attack.agreement
    assert agreement is not None
    assert 0 < agreement.both <= min(agreement.int8, agreement.floats)


def test_a_curve_shows_the_attack_rise_above_the_threshold(struck: dict[str, AttackTrial]) -> None:
    assert [form for form, one in struck.items() if one.curve] == ["slowite, half-open"]
    curve = struck["slowite, half-open"].curve
    assert curve is not None
    assert len(curve.times) == len(curve.ratios) > 30
    assert list(curve.times) == sorted(curve.times)
    before = [ratio for when, ratio in zip(curve.times, curve.ratios, strict=True) if when < 0.0]
    assert max(before) < 1.0 < max(curve.ratios)
    ((since, until, name),) = curve.incidents
    assert 0.0 < since < until
    assert name == "slowite"


def test_rocs_are_made_of_what_the_scores_show(
    calm: CalmTrial, struck: dict[str, AttackTrial]
) -> None:
    ours, pca = rocs([calm], struck.values())
    assert (ours.method, pca.method) == (OURS, PCA)
    assert ours.area > 0.9
    assert rocs([calm], [struck["publishes on $ids/…"]]) == []
    assert rocs([], struck.values()) == []


@pytest.mark.parametrize("identity", ["new", "address", "client"])
def test_until_it_begins_nothing_tells_that_an_attack_is_to_come(identity: Identity) -> None:
    home = make_home(SEED, family="test", size=6)
    start, begin = 30_000.0, 30_400.0
    form = BY_ID["dos 10 x 70/s"]
    attack = form.attack(home, 5, begin, identity, None)
    events = record(home, [attack], start=start, duration=402.0, finish=False)
    before = [event for event in events if event.time < begin]
    assert before == list(record(home, start=start, duration=400.0, finish=False))


# --- what rivals are taught, and the plan --------------------------------------------------


def test_rivals_learn_from_homes_of_the_school_alone() -> None:
    for short in (False, True):
        for lesson in lessons(short=short):
            homes = schooling.CALIBRATION_HOMES if lesson.calibrates else schooling.TRAIN_HOMES
            assert lesson.seed in homes
    with pytest.raises(ValueError, match="calibrate"):
        teach([study(Lesson(seed=schooling.TRAIN_HOMES[1], hours=0.02))])


@pytest.mark.parametrize("short", [False, True])
def test_no_home_is_both_learned_from_and_tried(taught: Taught, *, short: bool) -> None:
    whole = plan.plan(short=short)
    calm, attacks = whole.calm(taught), whole.attacks(taught)
    seeds = [job.seed for job in calm] + [job.seed for job in attacks]
    assert len(set(seeds)) == len(seeds)
    assert not {*schooling.TRAIN_HOMES, *schooling.CALIBRATION_HOMES} & set(seeds)
    assert not {lesson.seed for lesson in whole.lessons} & set(seeds)


def test_the_whole_form_is_what_the_design_asks_for(taught: Taught) -> None:
    whole = plan.plan(short=False)
    calm = whole.calm(taught)
    weeks = [job for job in calm if job.place == HOME]
    assert (len(weeks), {job.duration for job in weeks}) == (20, {7 * 86_400.0})
    assert {3, 200} <= {job.size for job in weeks}
    assert sum(job.place == START for job in calm) == 100
    homes = whole.attacks(taught)
    everything = {(form.id, identity) for form in FORMS for identity in form.identities}
    for job in homes:
        assert {(one.form, one.identity) for one in job.strikes} == everything
    assert {one.form for job in homes for one in job.strikes if one.draws} == {
        form for form, _ in plan.DRAWN
    }
    assert any(job.constant for job in homes)


def test_every_third_lesson_is_very_eventful(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[float, float, float]] = []
    real = sample

    def spied(seed: int, **how: Any) -> Samples:  # noqa: ANN401 - whatever it is asked
        asked.append((how["eventful"], how["keep"], how["rare"]))
        return real(seed, **how)

    monkeypatch.setattr("mqtt_ids.evaluating.taught.sample", spied)
    train, kept = schooling.TRAIN_EVENTFUL, (schooling.KEPT, schooling.KEPT_RARE)
    for seed in (1001, 1002):  # the latter can be divided by three
        study(Lesson(seed=seed, hours=0.02))
    study(Lesson(seed=5001, hours=0.02, calibrates=True))
    calibrated = (3.0 * schooling.EVENTFUL, schooling.CALIBRATION_KEPT, 1.0)
    assert asked == [(train, *kept), (3.0 * train, *kept), calibrated]


def test_the_short_form_takes_the_attackers_in_the_forms_order() -> None:
    for form in FORMS:
        mine = [
            one.identity for one in plan.strikes(short=True, draws=False) if one.form == form.id
        ]
        ends = list(dict.fromkeys((form.identities[0], form.identities[-1])))
        assert mine == (ends if form.duration <= plan.PATIENT else [])


def test_the_short_form_tries_each_of_the_five() -> None:
    short = plan.strikes(short=True, draws=True)
    assert {BY_ID[one.form].name for one in short} >= FIVE
    assert {"new", "client"} <= {one.identity for one in short}
    assert len(short) < len(plan.strikes(short=False, draws=True)) / 1.5
