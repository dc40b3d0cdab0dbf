"""Which trials make up an evaluation, and on which homes.

No home here is one that the model learned from or was calibrated on. Those of the whole form are
looked at by it alone; the short form has homes that anybody may look at while developing.
"""

from typing import Final

import msgspec

from mqtt_ids.evaluating.forms import FORMS, Form
from mqtt_ids.evaluating.results import HOME, START
from mqtt_ids.evaluating.taught import Lesson, Taught, lessons
from mqtt_ids.evaluating.trials import WEEK, AttackJob, CalmJob, Strike
from mqtt_ids.lab.attackers import Identity
from mqtt_ids.models import DEFAULT

CALM_HOMES: Final = range(90_000, 90_020)
START_HOMES: Final = range(91_000, 91_100)
ATTACKED_HOMES: Final = range(92_000, 92_016)
SIZES: Final = {90_000: 200, 90_001: 3, 91_000: 200}  # the others draw theirs
FIRST_MINUTES: Final = 900.0  # seconds of a start-up
MEAN_STD: Final = 86_400.0  # seconds for which the paper's threshold is tried in each calm home
CONSTANT_IN: Final = 3  # attacked homes where the score is held constant as well

SHORT_CALM: Final = range(9_700, 9_702)
SHORT_STARTS: Final = range(9_710, 9_713)
SHORT_ATTACKED: Final = range(9_720, 9_721)
SHORT_FOR: Final = 2700.0  # seconds of calm
PATIENT: Final = 60.0  # seconds that an attack of the short form takes at most

# Whose scores are drawn over time, in the first of the attacked homes.
DRAWN: Final = frozenset(
    {
        ("flood 200/s", "client"),
        ("dos 100 x 10/s", "address"),
        ("slowite, half-open", "new"),
        ("malformed 3/s", "address"),
        ("guess each 10 s", "address"),
        ("turn 1/s", "client"),
    }
)
SHORT_DRAWN: Final = frozenset({("slowite, half-open", "new")})


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The trials of an evaluation; jobs are sorted by how long they take, the longest first."""

    short: bool
    lessons: tuple[Lesson, ...]

    def calm(self, taught: Taught, model: str = DEFAULT) -> list[CalmJob]:
        """Calm homes, and start-ups."""
        homes, starts = (SHORT_CALM, SHORT_STARTS) if self.short else (CALM_HOMES, START_HOMES)
        duration = SHORT_FOR if self.short else WEEK
        watched = [
            CalmJob(
                seed=seed,
                duration=duration,
                taught=taught,
                place=HOME,
                size=SIZES.get(seed),
                mean_std=min(MEAN_STD, duration),
                model=model,
            )
            for seed in homes
        ]
        return watched + [
            CalmJob(
                seed=seed,
                duration=FIRST_MINUTES,
                taught=taught,
                place=START,
                size=SIZES.get(seed),
                model=model,
            )
            for seed in starts
        ]

    def attacks(self, taught: Taught, model: str = DEFAULT) -> list[AttackJob]:
        """Homes, and all the attacks on each of them."""
        homes = SHORT_ATTACKED if self.short else ATTACKED_HOMES
        return [
            AttackJob(
                seed=seed,
                strikes=strikes(short=self.short, draws=number == 0),
                taught=taught,
                constant=number < CONSTANT_IN,
                model=model,
            )
            for number, seed in enumerate(homes)
        ]


def plan(*, short: bool) -> Plan:
    """The whole form, or the short one."""
    return Plan(short=short, lessons=tuple(lessons(short=short)))


def strikes(*, short: bool, draws: bool) -> tuple[Strike, ...]:
    """The attacks on one home; with `draws`, some come with a curve.

    In the short form these are the quick ones, by a newcomer or the known client itself.
    """
    drawn = (SHORT_DRAWN if short else DRAWN) if draws else frozenset()
    return tuple(
        Strike(form.id, identity, draws=(form.id, identity) in drawn)
        for form in FORMS
        for identity in _identities(form, short=short)
        if not short or form.duration <= PATIENT
    )


def _identities(form: Form, *, short: bool) -> tuple[Identity, ...]:
    """By whom: in the short form by the least known attacker, and by the best known."""
    if not short:
        return form.identities
    return tuple(dict.fromkeys((form.identities[0], form.identities[-1])))
