"""What is normal for a client, as people read it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from mqtt_ids.habits import Habit, often, span, words

SENSOR = Habit(
    publishes=2 / 60,
    every=60.0,
    topics=2,
    size=24.0,
    connects=0.0,
    subscriptions=0.0,
    pings=1 / 45,
    known=3.2 * 86_400.0,
    share=1.0,
    earned=True,
)


@pytest.mark.parametrize(
    ("habit", "said"),
    [
        (SENSOR, "publishes 2 topics every 60 s, about 24 bytes, since 3 days"),
        (
            replace(SENSOR, every=None, publishes=0.5 / 60, topics=1),
            "publishes 30 times an hour on 1 topic, about 24 bytes, since 3 days",
        ),
        (
            replace(SENSOR, publishes=0.0, topics=0, size=None, connects=12 / 86_400),
            "publishes nothing, pings once a minute, connects 12 times a day, since 3 days",
        ),
        (replace(SENSOR, earned=False, known=75.0), "not known yet, here since 1 minute"),
        (
            replace(SENSOR, known=5400.0, share=0.05, connects=1 / 4320),
            "publishes 2 topics every 60 s, about 24 bytes, since 1 hour",
        ),
    ],
)
def test_a_habit_is_a_sentence(habit: Habit, said: str) -> None:
    assert words(habit) == said


@given(st.floats(0.0, 1e6, allow_nan=False), st.floats(0.0, 1e9))
def test_any_rate_and_any_time_can_be_said(rate: float, known: float) -> None:
    assert "times" in often(rate) or "once" in often(rate)
    assert span(known)
    assert words(replace(SENSOR, publishes=rate, known=known))
