"""The bars of calm: how seldom unseen homes are disturbed."""

import math
from collections.abc import Iterator
from typing import Final

from mqtt_ids.evaluating import statistics, words
from mqtt_ids.evaluating.barring import each
from mqtt_ids.evaluating.figures import alarms
from mqtt_ids.evaluating.results import HOME, OURS, START, Bar, Calm, Results
from mqtt_ids.evaluating.statistics import WEEK

NOISY_STARTS: Final = 0.01  # of the homes, at most

_SLACK: Final = 1.0  # seconds that a full week may lack


def homes(results: Results) -> Iterator[Bar]:
    """One alarm in each full week; a home that was watched for less has none to give."""
    calm = [one for one in results.calm if one.place == HOME and OURS in one.alarms]
    counted = alarms(calm)
    if counted is None:
        return
    noisy = [one.source for one in calm if len(one.alarms[OURS]) > _allowed(one)]
    told = f"{words.many(counted.number, 'alarm')} in {words.figure(counted.weeks)} home-weeks"
    yield Bar(
        what="unseen homes: false alarms in a full week, in every home",
        required="≤ 1, and none in less than a week",
        measured=f"{words.of(len(calm) - len(noisy), len(calm))} homes; {told}"
        f"{f'; more in {words.some(noisy)}' if noisy else ''}",
        holds=not noisy,
        trials=len(calm),
        interval=f"{words.rates(statistics.rate(*counted))} a home and week",
    )


def _allowed(calm: Calm) -> int:
    return math.floor((calm.duration + _SLACK) / WEEK)


def starts(results: Results) -> Iterator[Bar]:
    """Calm from the first minute."""
    calm = [one for one in results.calm if one.place == START and OURS in one.alarms]
    if not calm:
        return
    noisy = [one.source for one in calm if one.alarms[OURS]]
    told = f"{words.of(len(noisy), len(calm))} homes with one"
    yield Bar(
        what="the first minutes of unseen homes: no false alarm",
        required="≤ 1 home in 100 with one",
        measured=f"{told}: {words.some(noisy)}" if noisy else told,
        holds=len(noisy) <= NOISY_STARTS * len(calm),
        trials=len(calm),
        interval=words.shares(statistics.share(len(noisy), len(calm))),
    )


def actions(results: Results) -> Iterator[Bar]:
    """What the policy would have done in mode protect."""
    calm = [one for one in results.calm if one.place in {HOME, START}]
    if calm:
        still = sum(one.actions == 0 for one in calm)
        yield each("unseen homes: nobody would be disconnected", "in all", still, len(calm))
