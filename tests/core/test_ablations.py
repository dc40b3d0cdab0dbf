"""What finds the attacks: the network, and nothing else.

With the score held constant the five attacks are missed; with the facts taken away they are
still found, and named. Calm homes of a family that the network never saw raise no alarm.
"""

import numpy as np
import pytest
from detector_tools import watched

from mqtt_ids.alerts import Alert
from mqtt_ids.detector import Detector
from mqtt_ids.events import SEES_ALL
from mqtt_ids.lab.attackers import Attack, Attacker
from mqtt_ids.lab.homes import make_home, record
from mqtt_ids.models import open_model
from mqtt_ids_model import Model, Scores
from mqtt_ids_model.arrays import Flags, Floats

CALM_FIRST = 1500.0  # seconds
ATTACK = 60.0
SEED = 9103
WITHIN = {"dos": 6.0, "flood": 4.0, "slowite": 4.0, "malformed": 12.0, "brute-force": 15.0}


class Unmoved(Model):
    """A model that gives every vector the same score."""

    def score(self, x: Floats, seen: Flags, context: Floats) -> Scores:
        found = super().score(x, seen, context)
        return Scores(np.full_like(found.score, 1e-4), found.errors, found.reconstruction)


def attack(kind: str, at: float) -> Attack:
    attacker = Attacker(make_home(SEED, family="test"), SEED, start=at, duration=ATTACK)
    if kind == "flood":
        return attacker.flood(rate=1000.0)
    if kind == "dos":
        return attacker.dos(connections=30, rate=20.0)
    if kind == "slowite":
        return attacker.slowite(connections=100)
    return attacker.malformed() if kind == "malformed" else attacker.brute_force()


def attacked(kind: str, detector: Detector) -> tuple[Attack, list[Alert]]:
    start = 40_000.0
    one = attack(kind, start + CALM_FIRST)
    home = make_home(SEED, family="test")
    events = record(home, [one], start=start, duration=CALM_FIRST + ATTACK)
    told = watched(detector, events, start=start)
    return one, [alert for alert in told if alert.severity != "info"]


@pytest.mark.parametrize("facts", [True, False])
@pytest.mark.parametrize("kind", sorted(WITHIN))
def test_with_the_score_held_constant_every_attack_is_missed(kind: str, *, facts: bool) -> None:
    model = open_model("default")
    unmoved = Unmoved(model.card, model.scorer, model.net)
    _, told = attacked(kind, Detector(unmoved, sees=SEES_ALL, facts=facts))
    assert told == []


@pytest.mark.parametrize("kind", sorted(WITHIN))
def test_without_facts_every_attack_is_found_and_named(kind: str) -> None:
    detector = Detector(open_model("default"), sees=SEES_ALL, facts=False)
    one, told = attacked(kind, detector)
    first = told[0]
    assert first.attack == kind
    assert first.address in one.truth.addresses
    assert first.time - one.truth.start <= WITHIN[kind]
    assert {alert.address for alert in told} <= set(one.truth.addresses)
    assert len({alert.id for alert in told}) == 1
