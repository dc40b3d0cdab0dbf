"""What the trials come to: the counts and times that the bars and the report both tell."""

import math
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final, NamedTuple

from mqtt_ids.evaluating import forms, statistics
from mqtt_ids.evaluating.results import HOME, OURS, Attack, Calm, Found, Results, Step
from mqtt_ids.evaluating.statistics import WEEK, Times

KNOWN: Final = frozenset({"address", "client"})  # identities of a known client


class Alarms(NamedTuple):
    """Alarms in calm streams that were watched for `weeks` altogether."""

    number: int
    weeks: float

    @property
    def rate(self) -> float:
        """A home and week."""
        return self.number / self.weeks


class Contest(NamedTuple):
    """Ours against a rival: on the same calm streams, and form by form on the same attacks."""

    ours: Alarms
    rival: Alarms
    sooner: list[str]  # forms that ours found sooner or more often, and neither later nor less
    later: list[str]  # forms that ours found later or less often
    times: dict[str, tuple[Times, Times]]  # by form, ours first


def named(attack: Attack, found: Found) -> bool:
    """Whether the name that the incident bore last is right."""
    return found.last_name in (attack.name, *attack.right)


def only_noted(attack: Attack) -> bool:
    """Whether the lab's form of it is never more than a note of severity info."""
    form = forms.BY_ID.get(attack.form)
    return attack.place == HOME and form is not None and bool(form.notes)


def in_time(attack: Attack) -> bool:
    """Whether it was found within the time that its bar allows; False where no bar is set."""
    after = attack.found[OURS].after
    return after is not None and attack.within is not None and after <= attack.within


def alarms(calm: Iterable[Calm], method: str = OURS, *, beside: str = OURS) -> Alarms | None:
    """The false alarms of a method, over the streams that it and `beside` watched.

    None where there is none.
    """
    both = [one for one in calm if method in one.alarms and beside in one.alarms]
    weeks = sum(one.watched.get(method, one.duration) for one in both) / WEEK
    return Alarms(sum(len(one.alarms[method]) for one in both), weeks) if weeks else None


def contest(results: Results, rival: str) -> Contest | None:
    """How ours compares with a rival; None where they did not meet on calm and attacks both.

    Calm is that of homes, or of whatever else there is where no home was played. Forms that are
    only noted are left out: a rival has no notes.
    """
    calm = [one for one in results.calm if one.place == HOME] or results.calm
    ours, theirs = alarms(calm, OURS, beside=rival), alarms(calm, rival)
    times = dict(_times(results.attacks, rival))
    if ours is None or theirs is None or not times:
        return None
    return Contest(
        ours=ours,
        rival=theirs,
        sooner=[form for form, (one, other) in times.items() if _beats(one, other)],
        later=[form for form, (one, other) in times.items() if _is_later(one, other)],
        times=times,
    )


def _times(attacks: Iterable[Attack], rival: str) -> Iterator[tuple[str, tuple[Times, Times]]]:
    both = [one for one in attacks if OURS in one.found and rival in one.found]
    met = [one for one in both if not only_noted(one)]
    for form, group in groupby(sorted(met, key=lambda one: one.form), lambda one: one.form):
        after = [(one.found[OURS].after, one.found[rival].after) for one in group]
        ours, theirs = zip(*after, strict=True)
        yield form, (statistics.times(ours), statistics.times(theirs))


def _beats(one: Times, other: Times) -> bool:
    """Found sooner or more often, and neither later nor less often."""
    return _is_later(other, one) and not _is_later(one, other)


def _is_later(one: Times, other: Times) -> bool:
    """Found less often, or later by the median over all trials."""
    return one.found < other.found or _median(one) > _median(other)


def _median(times: Times) -> float:
    return math.inf if times.median is None else times.median


def climbs(steps: Iterable[Step]) -> Iterator[tuple[Step, list[Step]]]:
    """Each rung above the lowest, and all the rungs below it."""
    by_whom: dict[str, list[Step]] = {}
    for step in sorted(steps, key=lambda one: one.rate):
        before = by_whom.setdefault(step.by, [])
        if before:
            yield step, list(before)
        before.append(step)
