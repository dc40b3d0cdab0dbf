"""Fading windows: what is read is the sum of all that happened, each faded by its age."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_ids.windows import HALF_LIVES, Windows, grown, weight

ONE = np.array([0], np.intp)


def amounts(*values: float) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.array([values], np.float32)


@given(
    st.lists(st.tuples(st.floats(0.0, 300.0), st.floats(0.0, 1000.0)), min_size=1, max_size=30),
    st.floats(0.0, 3000.0),
)
def test_a_count_is_the_sum_of_its_events_each_faded_by_its_age(
    steps: list[tuple[float, float]], wait: float
) -> None:
    windows, now = Windows(1), 0.0
    windows.start(0, now)
    happened = []
    for step, amount in steps:
        now += step
        windows.add(ONE, amounts(amount), now)
        happened.append((now, amount))
    now += wait
    for place, half_life in enumerate(HALF_LIVES):
        direct = sum(amount * 2.0 ** (-(now - time) / half_life) for time, amount in happened)
        assert windows.read(ONE, now)[0, 0, place] == pytest.approx(direct, rel=1e-4, abs=1e-6)


@given(st.lists(st.floats(0.0, 50.0), min_size=1, max_size=20))
def test_reading_changes_nothing(times: list[float]) -> None:
    read, unread = Windows(2), Windows(2)
    for windows in (read, unread):
        windows.start(0, 0.0)
        windows.add(ONE, amounts(7.0, 3.0), 0.0)
    now = 0.0
    for step in times:
        now += step
        read.read(ONE, now)
    assert np.array_equal(read.read(ONE, now), unread.read(ONE, now))


def test_adding_and_reading_at_once_is_the_one_after_the_other() -> None:
    rows, more = np.array([2, 0, 1], np.intp), np.array([[5.0, 1.0], [0.5, 7.0]], np.float32)
    after, at_once = Windows(2), Windows(2)
    for windows in (after, at_once):
        for row in range(3):
            windows.start(row, 0.0)
            windows.add(np.array([row], np.intp), amounts(3.0, 11.0), 1.0 + row)
    after.add(rows[:2], more, 7.7)
    assert np.array_equal(at_once.add_and_read(rows, more, 7.7), after.read(rows, 7.7))
    assert np.array_equal(at_once.read(rows, 9.1), after.read(rows, 9.1))


def test_a_steady_rate_settles_at_rate_times_weight() -> None:
    windows = Windows(1)
    windows.start(0, 0.0)
    for second in range(1, 6001):
        windows.add(ONE, amounts(3.0), float(second))
    settled = windows.read(ONE, 6000.5)[0, 0]
    assert settled == pytest.approx([3.0 * weight(h) for h in HALF_LIVES], rel=0.01)


def test_half_is_left_after_each_half_life() -> None:
    windows = Windows(1)
    windows.start(0, 0.0)
    windows.add(ONE, amounts(8.0), 0.0)
    for place, half_life in enumerate(HALF_LIVES):
        assert windows.read(ONE, half_life)[0, 0, place] == pytest.approx(4.0)
        assert windows.read(ONE, 3 * half_life)[0, 0, place] == pytest.approx(1.0)


def test_a_clock_that_steps_back_never_makes_more_of_a_count() -> None:
    windows = Windows(1)
    windows.start(0, 100.0)
    windows.add(ONE, amounts(8.0), 100.0)
    assert windows.read(ONE, 50.0)[0, 0] == pytest.approx([8.0] * len(HALF_LIVES))


def test_rows_are_apart_and_folded_together() -> None:
    windows = Windows(2)
    rows = np.array([0, 3, 40], np.intp)
    for row in rows:
        windows.start(int(row), 0.0)
    windows.add(rows, np.array([[1, 2], [3, 4], [5, 6]], np.float32), 0.0)
    windows.add(rows[:1], amounts(10.0, 10.0), 0.0)
    assert windows.read(rows, 0.0)[:, :, 0].tolist() == [[11, 12], [3, 4], [5, 6]]


def test_a_row_begins_empty_however_often_it_is_given_away() -> None:
    windows = Windows(1)
    windows.start(0, 0.0)
    windows.add(ONE, amounts(8.0), 0.0)
    windows.start(0, 5.0)
    assert not windows.read(ONE, 5.0).any()


def test_growing_keeps_what_was_counted_and_wastes_little() -> None:
    windows = Windows(1)
    windows.start(0, 0.0)
    windows.add(ONE, amounts(8.0), 0.0)
    before = windows.nbytes
    for row in range(1, 1000):
        windows.start(row, 0.0)
    assert windows.read(ONE, 0.0)[0, 0, 0] == 8.0
    assert before / 16 * 1000 <= windows.nbytes <= before / 16 * 1000 * 1.13


@given(st.integers(1, 40), st.integers(0, 500))
def test_grown_has_the_row_and_zeros_behind(length: int, row: int) -> None:
    longer = grown(np.ones((length, 2)), row)
    assert len(longer) > row
    assert longer[:length].all()
    assert not longer[length:].any()
