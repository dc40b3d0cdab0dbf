"""Each bar holds where it should, is missed where one thing is wrong, and is left out untried."""

import math

import msgspec
import pytest
from evaluation_tools import alarm, attack, bare, calm, found, made_up

from mqtt_ids.evaluating import tables
from mqtt_ids.evaluating.bars import judge
from mqtt_ids.evaluating.figures import alarms, contest
from mqtt_ids.evaluating.results import (
    CONSTANT,
    COUNTERS,
    MEAN_STD,
    MQTTSET,
    NO_FACTS,
    OURS,
    PCA,
    START,
    Agreement,
    Bar,
    Probe,
    Results,
    Step,
)
from mqtt_ids.evaluating.statistics import WEEK

pytest.importorskip("scipy")


def bar(results: Results, words: str) -> Bar:
    """The one bar whose words begin so."""
    (only,) = (bar for bar in judge(results)[0] if bar.what.startswith(words))
    return only


def of(**parts: object) -> Results:
    results: Results = msgspec.structs.replace(bare(), **parts)
    return results


def test_what_was_not_tried_gives_no_bar_and_is_left_out() -> None:
    bars, left_out = judge(bare())
    assert bars == []
    assert len(left_out) == len(set(left_out)) == 15
    assert all(line.endswith("not tried") for line in left_out)


def test_what_was_tried_is_not_left_out() -> None:
    bars, left_out = judge(made_up())
    assert left_out == []
    assert len({bar.what for bar in bars}) == len(bars)
    assert all(bar.trials > 0 for bar in bars)


@pytest.mark.parametrize(
    ("what", "good", "bad"),
    [
        (
            "unseen homes: false alarms",
            of(calm=[calm(1, ours=[alarm()]), calm(2)]),
            of(calm=[calm(1, ours=[alarm(), alarm()]), calm(2)]),
        ),
        (
            "unseen homes: false alarms",
            of(calm=[calm(1, duration=WEEK / 2)]),
            of(calm=[calm(1, duration=WEEK / 2, ours=[alarm()])]),
        ),
        (
            "the first minutes",
            of(calm=[calm(n, place=START, ours=[alarm()] * (n == 0)) for n in range(100)]),
            of(calm=[calm(n, place=START, ours=[alarm()] * (n < 2)) for n in range(100)]),
        ),
        (
            "behind a known client, simulated homes: the five",
            of(attacks=[attack(identity="client", within=None)]),
            of(attacks=[attack(identity="client", within=None, after=math.inf)]),
        ),
        (
            "positives of float",
            of(attacks=[attack(agreement=Agreement(int8=1000, floats=1000, both=1000))]),
            of(
                attacks=[
                    attack(agreement=Agreement(int8=1000, floats=1000, both=1000)),
                    attack("dos", "dos", agreement=Agreement(int8=10, floats=10, both=9)),
                ]
            ),
        ),
        (
            "unseen homes: nobody",
            of(calm=[calm(1), calm(2, place=START)]),
            of(calm=[calm(1), calm(2, place=START, actions=1)]),
        ),
        (
            "MQTTset: no alarm",
            of(calm=[calm(place=MQTTSET)]),
            of(calm=[calm(place=MQTTSET, ours=[alarm()])]),
        ),
        (
            "MQTTset: legitimate vectors",
            of(calm=[calm(place=MQTTSET, vectors=10_000, above=1)]),
            of(calm=[calm(place=MQTTSET, vectors=10_000, above=2)]),
        ),
        (
            "flood: found within 2 s",
            of(attacks=[attack(after=2.0)]),
            of(attacks=[attack(after=2.1)]),
        ),
        (
            "behind a known client, simulated homes: the five",
            of(attacks=[attack(identity="client", after=99.0)]),
            of(attacks=[attack(identity="client", after=math.inf)]),
        ),
        (
            "behind a known client, simulated homes: the five",
            of(attacks=[attack(identity="address", said="unusual", right=("unusual",))]),
            of(attacks=[attack(identity="address", said="unusual")]),
        ),
        (
            "behind a known client, MQTTset: nobody",
            of(attacks=[attack(identity="address", place=MQTTSET)]),
            of(attacks=[attack(identity="address", place=MQTTSET, others=1)]),
        ),
        (
            "positives of float",
            of(attacks=[attack(agreement=Agreement(int8=95, floats=100, both=95))]),
            of(attacks=[attack(agreement=Agreement(int8=94, floats=100, both=94))]),
        ),
        (
            "positives of int8",
            of(attacks=[attack(agreement=Agreement(int8=100, floats=95, both=95))]),
            of(attacks=[attack(agreement=Agreement(int8=100, floats=94, both=94))]),
        ),
        (
            "with the score held constant",
            of(attacks=[attack(beside={CONSTANT: found(math.inf, None)})]),
            of(attacks=[attack(beside={CONSTANT: found(1.0, "flood")})]),
        ),
        (
            "without the facts",
            of(attacks=[attack(beside={NO_FACTS: found(9.0, "flood")})]),
            of(attacks=[attack(beside={NO_FACTS: found(math.inf, None)})]),
        ),
    ],
)  # fmt: skip
def test_one_wrong_thing_misses_a_bar(what: str, good: Results, bad: Results) -> None:
    assert bar(good, what).holds
    assert not bar(bad, what).holds


def mqttset(**changed: object) -> Results:
    names = ("brute-force", "dos", "flood", "malformed", "slowite")
    attacks = [attack(name, name, place=MQTTSET, identity="own") for name in names]
    return of(attacks=[*attacks[:-1], msgspec.structs.replace(attacks[-1], **changed)])


@pytest.mark.parametrize(
    "changed",
    [
        {"within": 0.5},
        {"found": {OURS: found(0.8, "dos")}},
        {"found": {OURS: found(math.inf, None)}},
        {"name": "flood"},  # and slowite was not tried
    ],
)
def test_all_five_of_mqttset_must_be_found_in_time_and_named(changed: dict[str, object]) -> None:
    what = "MQTTset: the five attacks"
    assert bar(mqttset(), what).holds
    assert not bar(mqttset(**changed), what).holds


def test_each_time_allowed_is_a_bar_of_its_own() -> None:
    trials = [attack("fast", "brute-force", within=within) for within in (12.0, 90.0, 900.0)]
    bars, _ = judge(of(attacks=[*trials, attack(within=None)]))
    told = [bar.what for bar in bars]
    assert told == [
        f"brute-force: found within {time} (fast)" for time in ("12 s", "90 s", "15 min")
    ]


def flood(*scores: float, verdicts: str = "aaaaaaaaaa", afterwards: str = "attack") -> Results:
    names = {"a": "attack", "c": "calm", "o": "odd"}
    return of(
        steps=[
            Step(
                rate=10.0 ** (n + 2),
                by="new client",
                int8=score,
                floats=score,
                verdict=names[told],
                afterwards=afterwards if told == "a" else None,
            )
            for n, (score, told) in enumerate(zip(scores, verdicts, strict=False))
        ]
    )


def test_a_flood_that_grows_stays_an_attack() -> None:
    what = "a flood that grows: an attack"
    assert bar(flood(1, 2, 3, verdicts="caa"), what).holds
    assert bar(flood(1, 2, 3, verdicts="caa", afterwards="odd"), what).holds
    assert not bar(flood(1, 2, 3, verdicts="aca"), what).holds
    assert not bar(flood(1, 2, 3, afterwards="calm"), what).holds, "within a rung"
    assert not bar(flood(1, 2, 3, verdicts="ccc"), what).holds, "all calm is no success"
    assert not bar(flood(1, 2, 3, verdicts="coa"), what).holds


def test_the_client_or_its_host_must_be_an_attack() -> None:
    what = "a flood that grows: an attack"
    results = flood(1, 2, 3, verdicts="ccc")
    results.steps += [
        msgspec.structs.replace(step, by="host of a new client", verdict="attack")
        for step in results.steps
    ]
    assert bar(results, what).holds


def test_a_flood_that_grows_does_not_creep_down() -> None:
    what = "a flood that grows: the score"
    assert bar(flood(100.0, 96.0), what).holds
    assert not bar(flood(100.0, 94.0), what).holds
    assert not bar(flood(100.0, 97.0, 94.0), what).holds, "against the highest, not the last"


def test_only_what_an_attack_can_drive_must_be_found_alone() -> None:
    def probe(feature: str, found: int, *, drivable: bool) -> Probe:
        return Probe(
            feature=feature, role="host", drivable=drivable, trials=40, found=found, at_once=0
        )

    what = "one feature alone"
    assert bar(
        of(probes=[probe("a", 40, drivable=True), probe("b", 0, drivable=False)]), what
    ).holds
    assert not bar(of(probes=[probe("a", 39, drivable=True)]), what).holds
    unseen = msgspec.structs.replace(probe("a", 0, drivable=True), trials=0)
    assert not bar(of(probes=[unseen]), what).holds, "none of none is not found"
    assert tables.probes([unseen]).rows


def rival(pca: tuple[float, ...], rivals: int, ours: int = 0) -> Results:
    attacks = [attack(f"form {n}", beside={PCA: found(time, None)}) for n, time in enumerate(pca)]
    return of(attacks=attacks, calm=[calm(ours=[alarm()] * ours, rivals=(rivals, 0))])


@pytest.mark.parametrize(
    ("results", "holds"),
    [
        (rival((1.0, math.inf), 1), True),
        (rival((1.0, 0.7), 1), False),  # sooner in one form
        (rival((0.8, 0.8), 1), True),  # equal
        (rival((1.0,), 0), True),  # both are silent
        (rival((1.0,), 1, ours=1), True),  # as loud
        (rival((1.0,), 1, ours=2), False),
    ],
)
def test_a_rival_must_be_beaten_in_peace_and_in_time(results: Results, holds: bool) -> None:  # noqa: FBT001 - what must be
    assert bar(results, "against PCA").holds is holds


def test_a_form_that_is_only_noted_is_no_contest() -> None:
    results = rival((1.0,), 0)
    results.attacks.append(attack("subscribes #", "enumeration", beside={PCA: found(9.0, None)}))
    met = contest(results, PCA)
    assert met is not None
    assert list(met.times) == ["form 0"]


def test_fewer_found_is_later_however_soon() -> None:
    soon = [attack("form", after=after) for after in (0.1, 0.1, math.inf)]
    beside = {PCA: found(5.0, None)}
    results = rival((1.0,), 0)
    results.attacks = [msgspec.structs.replace(one, found={**one.found, **beside}) for one in soon]
    met = contest(results, PCA)
    assert met is not None
    assert (met.sooner, met.later) == ([], ["form"])


def test_what_was_missed_with_the_facts_still_counts() -> None:
    missed = attack(after=math.inf, beside={NO_FACTS: found(math.inf, None)})
    told = bar(of(attacks=[missed]), "without the facts")
    assert (told.trials, told.holds) == (1, False)


def test_another_accusation_by_a_fact_is_told() -> None:
    told = bar(of(attacks=[attack(beside={CONSTANT: found(1.0, "spoofing")})]), "with the score")
    assert told.holds
    assert told.measured.endswith("accused by a fact as something else: 1")


def test_where_a_rival_is_better_the_bar_says_so() -> None:
    assert "later in 1: form 1" in bar(rival((1.0, 0.7), 1), "against PCA").measured


def test_a_rival_is_held_against_the_same_streams_only() -> None:
    lonely = msgspec.structs.replace(calm(7), alarms={OURS: (alarm(),) * 50})
    results = rival((1.0,), 1)
    results.calm.append(lonely)
    met = contest(results, PCA)
    assert met is not None
    assert met.ours.number == 0
    assert met.ours.weeks == met.rival.weeks == pytest.approx(1.0)
    assert contest(of(calm=results.calm), PCA) is None
    assert contest(results, COUNTERS) is None


def test_a_method_that_watched_a_day_is_counted_for_a_day() -> None:
    watched = msgspec.structs.replace(
        calm(), alarms={MEAN_STD: (alarm(),)}, watched={MEAN_STD: WEEK / 7.0}
    )
    counted = alarms([watched], MEAN_STD, beside=MEAN_STD)
    assert counted is not None
    assert counted.rate == pytest.approx(7.0)
