"""Attacks that any model must find, played in the lab: the last test before one is saved.

The facts are switched off: only what the network finds counts.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from mqtt_ids.alerts import Alert
from mqtt_ids.detector import Detector
from mqtt_ids.events import SEES_ALL
from mqtt_ids.lab.attackers import Attack, Attacker, Identity
from mqtt_ids.lab.homes import make_home, record
from mqtt_ids_model import Model

HOME: Final = 900  # its seed; the shipped model was not taught with it
SIZE: Final = 5  # clients that live there
START: Final = 9.5 * 3600.0  # on a Monday, in s
LASTS: Final = 45.0  # seconds of each attack
TICK: Final = 1.0  # seconds
EARNED: Final = 2000.0  # seconds after which clients have normals: three slots, and some

# When, in s; what; by whom; how.
FORMS: Final[tuple[tuple[float, str, Identity, dict[str, Any]], ...]] = (
    (60.0, "flood", "new", {"rate": 200.0}),
    (180.0, "slowite", "new", {"connections": 100}),
    (300.0, "malformed", "new", {}),
    (420.0, "brute_force", "new", {}),
    (540.0, "dos", "new", {"connections": 100}),
    (EARNED, "flood", "client", {"rate": 200.0}),
)


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one attack: after how many seconds it was found; None for never."""

    kind: str
    after: float | None


def drill(model: Model) -> list[Found]:
    """Play the attacks before a detector with this model: by newcomers, then by a known client."""
    home = make_home(HOME, size=SIZE)
    attacks: list[Attack] = []
    for number, (begin, make, identity, how) in enumerate(FORMS):
        attacker = Attacker(home, number, start=START + begin, duration=LASTS, identity=identity)
        attacks.append(getattr(attacker, make)(**how))
    detector = Detector(model, sees=SEES_ALL, facts=False)
    alerts: list[Alert] = []
    due = START + TICK
    events = record(home, attacks, start=START, duration=EARNED + LASTS)
    for event in events:
        while event.time >= due:
            alerts += detector.tick(due)
            due += TICK
        detector.feed(event)
    return [Found(kind=attack.kind, after=_after(attack, alerts)) for attack in attacks]


def _after(attack: Attack, alerts: Sequence[Alert]) -> float | None:
    """Seconds from the attack's start to the first alert that accuses who did it."""
    truth = attack.truth
    accused = (
        alert.time - truth.start
        for alert in alerts
        if alert.address in truth.addresses
        and alert.severity != "info"
        and alert.state != "closed"
        and truth.start <= alert.time <= truth.end + TICK
    )
    return next(accused, None)
