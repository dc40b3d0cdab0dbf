"""Mask classes: which thresholds of a model's card hold for whom.

A vector with fewer features that are seen has another error. So there is a threshold for each
sensor, role, and whether the subject has a normal.
"""

from typing import Literal

from mqtt_ids.events import SENSORS, Sees
from mqtt_ids.feature_table import Role
from mqtt_ids_model import Card, ModelError

Threshold = Literal["budget", "mean-std"] | float
"""Which of the card's thresholds decides, or a number for all."""


def mask_class(role: Role, *, earned: bool) -> str:
    """Which of a sensor's thresholds a vector is held against: by role, and if it has a normal."""
    return f"{role.value}/{'learned' if earned else 'new'}"


def in_card(sensor: str, mask: str) -> str:
    """How the card calls a mask class of one of `events.SENSORS`."""
    return f"{sensor}/{mask}"


def thresholds(card: Card, sees: Sees, threshold: Threshold) -> dict[str, float]:
    """The threshold of each mask class, for a sensor that sees so much or, if none does, least off.

    Raises ModelError where the card lacks one.
    """
    sensor = min(SENSORS, key=lambda name: (SENSORS[name] ^ sees).value.bit_count())
    found = {}
    for role in Role:
        for earned in (False, True):
            mask = mask_class(role, earned=earned)
            values = card.thresholds.get(in_card(sensor, mask))
            if values is None:
                raise ModelError(f"the model's card has no threshold for {in_card(sensor, mask)}")
            found[mask] = float(values[threshold]) if isinstance(threshold, str) else threshold
    return found
