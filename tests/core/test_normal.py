"""A subject's own normal: earned by calm, held back a slot, kept clean of what is odd."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_ids.normal import EARNED_AFTER, EARNED_EVENTS, HALF_LIFE, SLOT, Normal

ROW = np.array([0], np.intp)
EVENT, BYTES = 0, 1


class Life:
    """One subject, slot by slot."""

    def __init__(self) -> None:
        self.normal = Normal(2, (EVENT,))
        self.now = 0.0
        self.normal.start(0, self.now)

    def slot(self, events: float, *, odd: bool = False) -> None:
        self.normal.add(ROW, np.array([[events, 100.0 * events]], np.float32))
        if odd:
            self.normal.taint(ROW)
        self.now += SLOT
        self.normal.turn(self.now)

    @property
    def rate(self) -> float:
        return float(self.normal.rates(ROW)[0, EVENT])

    @property
    def earned(self) -> bool:
        return bool(self.normal.earned(ROW)[0])


def test_a_steady_rate_becomes_the_normal() -> None:
    life = Life()
    for _ in range(20):
        life.slot(60.0)
    assert life.rate == pytest.approx(60.0 / SLOT, rel=1e-3)
    assert float(life.normal.rates(ROW)[0, BYTES]) == pytest.approx(6000.0 / SLOT, rel=1e-3)


def test_a_slot_is_held_back_for_one_slot() -> None:
    life = Life()
    life.slot(60.0)
    assert life.rate == 0.0
    life.slot(0.0)
    assert life.rate == pytest.approx(60.0 / SLOT, rel=1e-3)


@pytest.mark.parametrize("odd_slot", [2, 3])
def test_what_was_odd_in_the_slot_or_in_the_next_is_never_learned(odd_slot: int) -> None:
    life = Life()
    for _ in range(2):
        life.slot(6.0)
    for number in (2, 3):
        life.slot(90_000.0 if number == 2 else 6.0, odd=number == odd_slot)
    for _ in range(4):
        life.slot(6.0)
    assert life.rate == pytest.approx(6.0 / SLOT, rel=1e-3)


def test_one_is_tainted_and_its_neighbour_learns() -> None:
    normal = Normal(1, (0,))
    rows = np.array([0, 1], np.intp)
    for row in (0, 1):
        normal.start(row, 0.0)
    normal.add(rows, np.full((2, 1), 60.0, np.float32))
    normal.taint(rows[:1])
    for turn in (1, 2):
        normal.turn(turn * SLOT)
    assert normal.rates(rows)[:, 0] == pytest.approx([0.0, 60.0 / SLOT])


def test_a_normal_is_earned_by_time_and_by_events() -> None:
    life = Life()
    earned = []
    for _ in range(math.ceil(EARNED_AFTER / SLOT) + 1):  # the last one is held back
        life.slot(EARNED_EVENTS)
        earned.append(life.earned)
    assert earned == [False] * (len(earned) - 1) + [True]
    idle = Life()
    for _ in range(50):
        idle.slot(0.01)
    assert not idle.earned


def test_a_partial_first_slot_counts_for_its_own_length_only() -> None:
    normal = Normal(1, (0,))
    normal.start(0, SLOT - 10.0)
    normal.add(ROW, np.array([[20.0]], np.float32))
    normal.turn(SLOT)
    normal.turn(2 * SLOT)
    assert normal.rates(ROW)[0, 0] == pytest.approx(2.0)


def test_a_day_halves_the_weight_of_the_past() -> None:
    life = Life()
    for _ in range(3 * int(HALF_LIFE / SLOT)):
        life.slot(100.0)
    old = life.rate
    for _ in range(int(HALF_LIFE / SLOT)):
        life.slot(0.0)
    # An eighth is missing from three days, so four days hold 7/8 of a whole past, halved.
    assert life.rate == pytest.approx(old * (7 / 16) / (15 / 16), rel=0.02)


@given(st.lists(st.tuples(st.floats(0.0, 1e6), st.booleans()), max_size=40))
def test_the_normal_never_leaves_the_range_of_what_was_calm(
    slots: list[tuple[float, bool]],
) -> None:
    life = Life()
    for events, odd in slots:
        life.slot(events, odd=odd)
    calm = [events for events, odd in slots if not odd]
    assert 0.0 <= life.rate <= max(calm, default=0.0) / SLOT * 1.001


def test_a_row_given_away_has_no_normal() -> None:
    life = Life()
    for _ in range(10):
        life.slot(60.0, odd=True)
        life.slot(60.0)
        life.slot(60.0)
    assert life.rate > 0.0
    life.normal.start(0, life.now)
    assert (life.rate, life.earned) == (0.0, False)
    life.slot(5.0)
    life.slot(5.0)
    assert life.rate == pytest.approx(5.0 / SLOT, rel=1e-3)
