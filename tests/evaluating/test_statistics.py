"""Intervals hold what they promise, and averages do not forget what was never found."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_ids.evaluating import statistics, words
from mqtt_ids.evaluating.statistics import Interval

stats = pytest.importorskip("scipy.stats")

Z = 1.959964  # of the normal distribution, two-sided 95 %
TAIL = 0.025


@given(st.integers(1, 5_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_a_share_is_wilsons(trial: tuple[int, int]) -> None:
    count, trials = trial
    part = count / trials
    middle = (part + Z**2 / (2 * trials)) / (1 + Z**2 / trials)
    half = Z / (1 + Z**2 / trials)
    half *= math.sqrt(part * (1 - part) / trials + Z**2 / (4 * trials**2))
    low, high = statistics.share(count, trials)
    assert low == pytest.approx(max(0.0, middle - half), abs=1e-6)
    assert high == pytest.approx(min(1.0, middle + half), abs=1e-6)
    assert low - 1e-12 <= part <= high + 1e-12


def test_all_of_few_is_no_certainty() -> None:
    assert statistics.share(5, 5).low == pytest.approx(0.5655, abs=1e-4)


@given(st.integers(0, 300), st.floats(0.01, 1e3))
def test_a_rate_is_garwoods(count: int, exposure: float) -> None:
    low, high = statistics.rate(count, exposure)
    assert stats.poisson.cdf(count, high * exposure) == pytest.approx(TAIL, abs=1e-6)
    if count:
        assert stats.poisson.sf(count - 1, low * exposure) == pytest.approx(TAIL, abs=1e-6)
    else:
        assert low == 0.0


def test_no_event_leaves_a_rate_possible() -> None:
    assert statistics.rate(0, 20.0).high == pytest.approx(-math.log(TAIL) / 20.0)


@pytest.mark.parametrize("trial", [lambda: statistics.share(0, 0), lambda: statistics.rate(0, 0.0)])
def test_without_a_trial_nothing_is_estimated(trial: object) -> None:
    assert callable(trial)
    with pytest.raises(ValueError, match=r"n|time"):
        trial()


def test_what_was_never_found_counts_as_latest() -> None:
    assert statistics.times([1.0, None, 3.0]) == (3, 2, 3.0, 3.0)
    assert statistics.times([None, None, 1.0]) == (3, 1, None, 1.0)
    assert statistics.times([None]) == (1, 0, None, None)
    assert statistics.times([4.0, 2.0]) == (2, 2, 3.0, 4.0)


# --- in words ----------------------------------------------------------------------------------


@given(st.integers(2, 10**7))
def test_nearly_all_is_never_told_as_all(trials: int) -> None:
    assert words.percent(1.0) == "100 %"
    assert words.percent((trials - 1) / trials) != "100 %"
    assert words.percent(1 / trials) != "0 %"
    assert words.percent(0.0) == "0 %"


@pytest.mark.parametrize(
    ("time", "told"),
    [(0.84, "0.8 s"), (2.0, "2 s"), (41.3, "41 s"), (90.0, "90 s"), (900.0, "15 min"),
     (421.0, "7 min"), (604_800.0, "7 days"), (None, "never")],
)  # fmt: skip
def test_times_are_told_for_people(time: float | None, told: str) -> None:
    assert words.seconds(time) == told


@pytest.mark.parametrize(
    ("value", "told"),
    [(0.0, "0"), (0.05, "0.050"), (0.0013, "0.0013"), (1.75, "1.8"), (168.2, "168"),
     (1e6, "1,000,000")],
)  # fmt: skip
def test_figures_keep_two_digits(value: float, told: str) -> None:
    assert words.figure(value) == told


def test_intervals_have_one_unit() -> None:
    assert words.shares(Interval(0.565, 1.0)) == "56.5 to 100 %"
    assert words.rates(Interval(0.0, 0.28)) == "0 to 0.28"


def test_what_was_missed_is_told_beside_the_times() -> None:
    assert words.found(statistics.times([1.0, 2.0, 3.0, None])) == "2.5 s, worst 3 s, 1 missed"
    assert words.found(statistics.times([None, None])) == "never"


def test_a_long_list_is_cut_and_says_so() -> None:
    assert words.some(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
    assert words.some(["a", "b", "c"]) == "a, b, c"


def test_numbers_that_follow_each_other_are_one_run() -> None:
    names = ["home 9", "home 10", "home 11", "home 70", "calm.pcap", "dos2"]
    assert words.runs(names) == ["dos2", "home 9 to 11", "home 70", "calm.pcap"]
