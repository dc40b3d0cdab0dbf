"""Calm of the lab's homes, learned along with one's own.

A few days at home show no power cut, no update and few guests. A network that is taught by them
alone forgets what the lab has shown it of these.
"""

from typing import Final

from mqtt_ids.lab.samples import sample
from mqtt_ids.learning.samples import Samples, joined

HOMES: Final = range(1000, 1024)  # of those that the shipped model was taught with
LASTS: Final = 900.0  # seconds of each
EVENTFUL: Final = 30.0  # times as many restarts, updates and visitors as in real life
KEPT, KEPT_RARE = 0.1, 0.5  # of all vectors, and of the notable ones


def rehearsal() -> Samples:
    """The same vectors each time."""
    return joined(
        sample(
            seed,
            family="train",
            duration=LASTS,
            eventful=EVENTFUL,
            keep=KEPT,
            rare=KEPT_RARE,
        )
        for seed in HOMES
    )
