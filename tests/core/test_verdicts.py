"""From scores to verdicts: persistence, and at once when it is far beyond."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_ids.verdicts import (
    AT_ONCE,
    ENOUGH,
    HALF_LIFE,
    SLOW_EVERY,
    SLOW_HALF_LIFE,
    Verdict,
    Verdicts,
)

ROW = np.array([0], np.intp)
THRESHOLD = 0.01


class Court:
    """One subject before the judge, once a second."""

    def __init__(self) -> None:
        self.verdicts = Verdicts()
        self.verdicts.start(0)
        self.now = 1000.0

    def judge(self, ratio: float, *, fresh: bool = True, after: float = 1.0) -> Verdict:
        self.now += after
        scores = np.array([ratio * THRESHOLD], np.float32)
        found = self.verdicts.judge(ROW, scores, np.array([THRESHOLD]), np.array([fresh]), self.now)
        assert found[0] == self.verdicts.verdict(0)
        return Verdict(int(found[0]))


def test_calm_below_the_threshold_for_ever() -> None:
    court = Court()
    assert {court.judge(0.999) for _ in range(1000)} == {Verdict.CALM}


@pytest.mark.parametrize("ratio", [1.01, 2.0, 4.0, AT_ONCE - 0.1])
def test_one_odd_second_is_no_attack(ratio: float) -> None:
    court = Court()
    assert court.judge(0.5) is Verdict.CALM
    assert court.judge(ratio) is Verdict.ODD
    assert [court.judge(0.5) for _ in range(100)] == [Verdict.CALM] * 100


@pytest.mark.parametrize("ratio", [AT_ONCE + 0.1, 100.0, 1e6])
def test_far_beyond_is_an_attack_at_once(ratio: float) -> None:
    assert Court().judge(ratio) is Verdict.ATTACK


def test_odd_scores_that_persist_are_an_attack() -> None:
    court = Court()
    verdicts = [court.judge(2.0) for _ in range(6)]
    assert verdicts[:3] == [Verdict.ODD] * 3
    assert verdicts[3:] == [Verdict.ATTACK] * 3


def test_odd_seconds_far_apart_are_no_attack() -> None:
    court = Court()
    for _ in range(100):
        assert court.judge(4.0) is Verdict.ODD
        for _ in range(3):
            assert court.judge(0.5, after=SLOW_HALF_LIFE / 2) is Verdict.CALM


@pytest.mark.parametrize("ratio", [1.5, 2.0, 6.0])
def test_what_comes_back_each_minute_is_an_attack_in_the_end(ratio: float) -> None:
    court = Court()
    verdicts = []
    for _ in range(20):
        court.judge(0.9 * ratio, fresh=False, after=30.0)
        verdicts.append(court.judge(ratio, after=30.0))
    assert verdicts[:2] == [Verdict.ODD] * 2
    assert verdicts[-1] is Verdict.ATTACK


def test_what_fades_beside_daily_life_does_not_come_back() -> None:
    court = Court()
    assert court.judge(40.0) is Verdict.ATTACK
    for step in range(100):
        court.judge(max(2.0, 40.0 * 0.95**step), fresh=False)
    fading = [court.judge(2.0 * 0.995**step, after=10.0) for step in range(100)]
    assert set(fading) == {Verdict.ODD}


def test_slow_evidence_takes_one_score_in_so_many_seconds() -> None:
    often, seldom = Court(), Court()
    for _ in range(int(SLOW_EVERY)):
        often.judge(1.05)  # too little
    assert often.judge(3.0) is Verdict.ODD
    assert seldom.judge(3.0) is Verdict.ODD
    assert often.verdicts._slow[0] == seldom.verdicts._slow[0]


def test_barely_odd_is_never_an_attack() -> None:
    court = Court()
    assert {court.judge(1.1) for _ in range(1000)} == {Verdict.ODD}


def test_counters_that_only_fade_are_no_sign() -> None:
    court = Court()
    assert court.judge(6.0) is Verdict.ODD
    fading = [court.judge(6.0 * 0.9**step, fresh=False) for step in range(60)]
    assert Verdict.ATTACK not in fading
    assert fading[0] is Verdict.ODD
    assert fading[-1] is Verdict.CALM


def test_after_an_attack_fading_is_odd_and_then_calm() -> None:
    court = Court()
    assert court.judge(100.0) is Verdict.ATTACK
    assert court.judge(90.0, fresh=False) is Verdict.ODD
    assert court.judge(0.9, fresh=False) is Verdict.CALM


def test_evidence_outlasts_a_calm_second() -> None:
    court = Court()
    assert [court.judge(ratio) for ratio in (3.9, 0.5, 3.9)] == [
        Verdict.ODD, Verdict.CALM, Verdict.ATTACK,
    ]  # fmt: skip


def test_when_it_began_is_the_last_turn_from_calm() -> None:
    court = Court()
    court.judge(0.5)
    court.judge(2.0)
    began = court.now
    for _ in range(5):
        court.judge(2.0)
    assert court.verdicts.began(0) == began
    court.judge(0.5)
    court.judge(2.0)
    assert court.verdicts.began(0) == court.now


def test_the_latest_score_is_known_and_unknown_before_the_first() -> None:
    court = Court()
    assert court.verdicts.score(0) is None
    assert court.verdicts.score(1000) is None
    assert court.verdicts.verdict(1000) is Verdict.CALM
    court.judge(0.5)
    assert court.verdicts.score(0) == pytest.approx(0.5 * THRESHOLD)


def test_a_row_given_away_is_innocent() -> None:
    court = Court()
    court.judge(7.0)
    court.verdicts.start(0)
    assert court.verdicts.verdict(0) is Verdict.CALM
    assert court.verdicts.score(0) is None
    assert court.judge(2.0) is Verdict.ODD


def test_rows_are_judged_apart() -> None:
    verdicts = Verdicts()
    rows = np.array([0, 50], np.intp)
    for row in rows:
        verdicts.start(int(row))
    found = verdicts.judge(
        rows,
        np.array([0.5, 0.5], np.float32),
        np.array([1.0, 0.01]),
        np.array([True, True]),
        1.0,
    )
    assert found.tolist() == [Verdict.CALM, Verdict.ATTACK]


@given(st.lists(st.floats(0.0, 50.0), min_size=1, max_size=60))
def test_louder_is_never_judged_milder(ratios: list[float]) -> None:
    quiet, loud = Court(), Court()
    for ratio in ratios:
        assert loud.judge(ratio * 1.5) >= quiet.judge(ratio)


@given(st.lists(st.tuples(st.floats(0.0, 50.0), st.booleans()), min_size=1, max_size=60))
def test_an_attack_is_odd_fresh_and_has_enough_evidence(
    seconds: list[tuple[float, bool]],
) -> None:
    court, evidence = Court(), 0.0
    for ratio, fresh in seconds:
        verdict = court.judge(ratio, fresh=fresh)
        if fresh and ratio > 0.0:
            evidence = evidence * 0.5 ** (1.0 / HALF_LIFE) + min(max(np.log2(ratio), 0.0), 4.0)
        else:
            evidence *= 0.5 ** (1.0 / HALF_LIFE)
        if verdict is Verdict.ATTACK:
            assert fresh
            assert ratio > 1.0
            assert evidence >= ENOUGH - 1e-3
        elif verdict is Verdict.CALM:
            assert ratio <= 1.001


@given(st.lists(st.tuples(st.floats(0.0, 40.0), st.floats(0.1, 30.0)), max_size=30))
def test_the_short_way_for_calm_changes_nothing(seconds: list[tuple[float, float]]) -> None:
    long, short = Court(), Court()
    for ratio, after in seconds:
        found = long.judge(ratio, after=after)
        if ratio > 0.999:  # the threshold itself, but for rounding
            assert short.judge(ratio, after=after) is found
        else:
            short.now += after
            short.verdicts.calm(ROW, np.array([ratio * THRESHOLD], np.float32))
        assert short.verdicts.verdict(0) is long.verdicts.verdict(0)
        assert short.verdicts.score(0) == long.verdicts.score(0)
