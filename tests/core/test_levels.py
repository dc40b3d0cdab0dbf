"""At which threshold calm would have raised an alarm, against the verdicts themselves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_ids.learning.levels import GAP, fires, firing_levels
from mqtt_ids.verdicts import AT_ONCE, Verdict, Verdicts

THRESHOLD = 0.01
ROW = np.array([0], np.intp)
# Ratios are kept off the places where a last digit decides.
gaps = st.lists(st.sampled_from([1.0, 2.0, 7.0, 9.0, 30.0, 61.0]), min_size=1, max_size=40)
ratios = st.sampled_from([0.5, 0.9, 1.05, 1.3, 1.6, 2.1, 3.3, 4.7, 7.9, 8.3])


def judged(times: np.ndarray, scores: np.ndarray) -> bool:
    verdicts = Verdicts()
    verdicts.start(0)
    fresh, threshold = np.array([True]), np.array([THRESHOLD])
    found = [
        verdicts.judge(ROW, np.array([score], np.float32), threshold, fresh, float(time))[0]
        for time, score in zip(times, scores, strict=True)
    ]
    return Verdict.ATTACK in found


@given(gaps, st.data())
def test_it_fires_when_the_verdict_is_an_attack(apart: list[float], data: st.DataObject) -> None:
    times = np.cumsum(apart)
    chosen = data.draw(st.lists(ratios, min_size=len(apart), max_size=len(apart)))
    scores = THRESHOLD * np.array(chosen)
    assert fires(THRESHOLD, times, scores) == judged(times, scores)


@pytest.mark.parametrize("lasts", [1, 3, 300])
def test_the_level_is_where_it_begins_to_fire(lasts: int) -> None:
    times = np.arange(lasts, dtype=float)
    scores = np.full(lasts, 0.02, np.float32)
    (level,) = firing_levels(times, scores, np.zeros(lasts, np.int64))
    values = scores.astype(float)
    assert fires(level * 0.999, times, values)
    assert not fires(level * 1.001, times, values)


def test_one_score_alone_fires_only_far_below_it() -> None:
    (level,) = firing_levels(np.zeros(1), np.array([0.8], np.float32), np.zeros(1, np.int64))
    assert level == pytest.approx(0.8 / AT_ONCE)


def test_subjects_and_quiet_part_clusters() -> None:
    times = np.array([0.0, 1.0, 2.0 + GAP, 0.5])
    subjects = np.array([7, 7, 7, 8])
    scores = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    levels = firing_levels(times, scores, subjects)
    both = firing_levels(times[:2], scores[:2], subjects[:2])
    assert len(both) == 1
    assert sorted(levels) == pytest.approx(sorted([*both, 0.3 / AT_ONCE, 0.4 / AT_ONCE]))
