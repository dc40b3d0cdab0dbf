import math
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mqtt_ids_model import decluster, mean_std, peaks_over_threshold
from mqtt_ids_model.threshold import FEWEST_PEAKS, STEADY, Tail, fit_tail

EXCESS = st.floats(1e-6, 1e3)


def pareto(shape: float, scale: float, count: int, seed: int) -> np.ndarray:
    odds = np.random.default_rng(seed).random(count)
    if shape == 0.0:
        return -scale * np.log(odds)
    return scale * (odds**-shape - 1.0) / shape


def test_mean_std_is_equation_three() -> None:
    assert mean_std([1.0, 2.0, 3.0, 6.0]) == pytest.approx(3.0 + math.sqrt(3.5))


@pytest.mark.parametrize("scores", [[], [0.1, float("nan")], [float("inf")], [[0.1]]])
def test_mean_std_refuses_what_are_not_scores(scores: list[float]) -> None:
    with pytest.raises(ValueError, match=r"no scores|finite"):
        mean_std(scores)


@pytest.mark.parametrize("shape", [-0.4, -0.2, 0.0, 0.2, 0.4])
def test_the_fit_finds_the_tail_it_was_drawn_from(shape: float) -> None:
    tail = fit_tail(pareto(shape, 2.0, 50_000, seed=1))
    assert tail.steady
    assert tail.shape == pytest.approx(shape, abs=0.04)
    assert tail.scale == pytest.approx(2.0, rel=0.06)


@pytest.mark.parametrize(("shape", "fallback"), [(0.8, STEADY[1]), (1.5, STEADY[1]), (-0.8, 0.0)])
def test_a_wild_shape_falls_back(shape: float, fallback: float) -> None:
    excesses = pareto(shape, 2.0, 5000, seed=2)
    tail = fit_tail(excesses)
    assert (tail.shape, tail.steady) == (fallback, False)
    # the scale keeps the mean excess
    assert tail.scale / (1 - tail.shape) == pytest.approx(float(excesses.mean()))


@pytest.mark.parametrize("excesses", [[1.0], [2.0] * 50, list(np.linspace(1, 2, FEWEST_PEAKS - 1))])
def test_few_or_equal_peaks_fall_back_to_an_exponential_tail(excesses: list[float]) -> None:
    tail = fit_tail(excesses)
    assert (tail.shape, tail.steady) == (0.0, False)
    assert tail.scale == pytest.approx(np.mean(excesses))


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.3])
@pytest.mark.parametrize("odds", [1.0, 0.5, 0.01])
def test_the_excess_is_passed_with_the_odds_it_was_asked_for(shape: float, odds: float) -> None:
    tail = Tail(shape, 2.0, steady=True)
    y = tail.excess(odds)
    if tail.shape == 0.0:
        passed = math.exp(-y / tail.scale)
    else:
        passed = (1 + tail.shape * y / tail.scale) ** (-1 / tail.shape)
    assert passed == pytest.approx(odds)


def test_the_level_keeps_the_budget_on_calm_that_was_not_seen() -> None:
    """Ten home-weeks of 30 peaks each decide for a thousand more."""
    rng = np.random.default_rng(3)
    for shape in (-0.2, 0.0, 0.3):
        odds = rng.random(300)
        peaks = 0.01 + (-0.002 * np.log(odds) if shape == 0 else 0.002 * (odds**-shape - 1) / shape)
        level = peaks_over_threshold(peaks, base=0.01, exposure=10, budget=1)
        later = 0.01 + pareto(shape, 0.002, 30_000, seed=4)
        assert 0.3 < (later > level).sum() / 1000 < 2.0


@settings(max_examples=200)
@given(
    st.lists(EXCESS, max_size=60),
    st.floats(0.0, 10.0),
    st.floats(0.1, 200.0),
    st.floats(0.01, 10.0),
)
def test_the_level_keeps_the_budget_on_the_peaks_themselves(
    excesses: list[float], base: float, exposure: float, budget: float
) -> None:
    peaks = [base + excess for excess in excesses if base + excess > base]
    level = peaks_over_threshold(peaks, base=base, exposure=exposure, budget=budget)
    assert math.isfinite(level)
    assert level >= base
    assert sum(peak > level for peak in peaks) <= budget * exposure


@settings(max_examples=100)
@given(st.lists(EXCESS, min_size=1, max_size=60), st.floats(0.1, 50.0), st.floats(0.05, 5.0))
def test_a_smaller_budget_never_lowers_the_level(
    excesses: list[float], exposure: float, budget: float
) -> None:
    levels = [
        peaks_over_threshold(excesses, base=0.0, exposure=exposure, budget=budget * factor)
        for factor in (2.0, 1.0, 0.5, 0.1)
    ]
    assert levels == sorted(levels)


@settings(max_examples=100)
@given(st.lists(st.floats(0.01, 100.0), min_size=1, max_size=60), st.floats(0.01, 100.0))
def test_the_level_scales_with_the_scores(excesses: list[float], factor: float) -> None:
    one = peaks_over_threshold(excesses, base=0.0, exposure=10, budget=1)
    scaled = peaks_over_threshold(np.multiply(excesses, factor), base=0.0, exposure=10, budget=1)
    # a shape on the very edge of steady may fall on either side
    assert scaled == pytest.approx(one * factor, rel=1e-3)


def test_no_peaks_mean_that_the_base_is_enough() -> None:
    assert peaks_over_threshold([], base=0.02, exposure=5, budget=1) == 0.02


@pytest.mark.parametrize(
    ("peaks", "exposure", "budget"),
    [
        ([0.5], 1.0, 1.0),
        ([2.0], 0.0, 1.0),
        ([2.0], 1.0, 0.0),
        ([2.0], -1.0, 1.0),
        ([float("nan")], 1.0, 1.0),
        ([2.0], float("nan"), 1.0),
    ],
)
def test_peaks_that_make_no_sense_are_refused(
    peaks: list[float], exposure: float, budget: float
) -> None:
    with pytest.raises(ValueError, match=r"above|finite"):
        peaks_over_threshold(peaks, base=1.0, exposure=exposure, budget=budget)


@pytest.mark.parametrize("excesses", [[], [0.0, 1.0], [-1.0]])
def test_a_tail_needs_excesses_above_zero(excesses: list[float]) -> None:
    with pytest.raises(ValueError, match="excesses"):
        fit_tail(excesses)


def test_one_odd_minute_counts_once_per_subject() -> None:
    times = [0, 1, 2, 60, 100, 1, 5]
    scores = [3.0, 5.0, 4.0, 2.0, 0.5, 7.0, 0.1]
    subjects = [1, 1, 1, 1, 1, 2, 2]
    found = decluster(times, scores, subjects, gap=10, base=1.0)
    assert sorted(found) == [2.0, 5.0, 7.0]


def test_nothing_above_the_base_gives_no_clusters() -> None:
    assert decluster([1, 2], [0.5, 1.0], [1, 1], gap=10, base=1.0).tolist() == []


def test_arrays_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="2 times, 1 scores, 2 subjects"):
        decluster([1, 2], [0.5], [1, 1], gap=10, base=0.1)


ROW = st.tuples(st.floats(0, 100), st.floats(0, 10), st.integers(0, 3))


@given(st.lists(ROW, max_size=40), st.floats(0.1, 20), st.floats(0, 10), st.randoms())
def test_clusters_are_those_of_a_plain_walk(
    rows: list[tuple[float, float, int]], gap: float, base: float, random: Random
) -> None:
    wanted = []
    for subject in range(4):
        last = -math.inf
        for time, score in sorted((t, s) for t, s, whose in rows if whose == subject and s > base):
            if time - last > gap:
                wanted.append(score)
            wanted[-1] = max(wanted[-1], score)
            last = time
    random.shuffle(rows)
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    found = decluster(*columns, gap=gap, base=base)
    assert sorted(found) == sorted(wanted)
