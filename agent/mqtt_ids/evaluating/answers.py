"""The first questions that anybody has, and what an evaluation answers."""

from collections.abc import Callable
from typing import Final, NamedTuple

from mqtt_ids.evaluating import statistics, words
from mqtt_ids.evaluating.figures import alarms, contest, in_time, named, only_noted
from mqtt_ids.evaluating.results import (
    CAPTURE,
    COUNTERS,
    HOME,
    OURS,
    PCA,
    START,
    Attack,
    Results,
)
from mqtt_ids.evaluating.statistics import WEEK


class Answer(NamedTuple):
    """A question, one figure, and what stands behind it."""

    question: str
    figure: str
    told: list[str]


def answers(results: Results) -> list[Answer]:
    """Those questions that there are trials for."""
    found = (question(results) for question in _QUESTIONS)
    return [answer for answer in found if answer is not None]


def _peace(results: Results) -> Answer | None:
    return _in_homes(results) or _in_captures(results)


def _in_homes(results: Results) -> Answer | None:
    calm = [one for one in results.calm if one.place == HOME]
    counted = alarms(calm)
    if counted is None:
        return None
    first = [one for one in results.calm if one.place == START and OURS in one.alarms]
    noisy = words.of(sum(bool(one.alarms[OURS]) for one in first), len(first))
    cut = sum(one.actions for one in results.calm if one.place in {HOME, START})
    return Answer(
        "Does it cry wolf in a home it has never seen?",
        f"{words.many(counted.number, 'false alarm')} in {words.figure(counted.weeks)} home-weeks",
        [
            f"{words.figure(counted.rate)} a home and week",
            f"95 % interval {words.rates(statistics.rate(*counted))}",
            *([f"{noisy} homes with one in the first minutes after a start"] if first else []),
            f"{len(calm)} homes; cut off in mode protect: {f'{cut} times' if cut else 'nobody'}",
        ],
    )


def _in_captures(results: Results) -> Answer | None:
    calm = [one for one in results.calm if one.place == CAPTURE]
    counted = alarms(calm)
    if counted is None:
        return None
    days = counted.weeks * 7.0
    return Answer(
        "Does it cry wolf on your calm captures?",
        f"{words.many(counted.number, 'false alarm')} in {words.seconds(counted.weeks * WEEK)}",
        [
            f"{words.figure(counted.number / days)} a day",
            f"95 % interval {words.rates(statistics.rate(counted.number, days))}",
        ],
    )


def _sight(results: Results) -> Answer | None:
    trials = _tried(results)
    if not trials:
        return None
    times = statistics.times(one.found[OURS].after for one in trials)
    soon = words.seconds(times.median)
    due = [one for one in trials if one.within is not None]
    own = all(one.place == CAPTURE for one in trials)
    which = " of your captures" if own else ", of every form and intensity tried"
    good = words.of(sum(map(in_time, due)), len(due))
    allowed = [f"{good} that a time is set for were found within it"] if due else []
    return Answer(
        "Does it see an attack, and how soon?",
        f"{words.percent(times.found / times.trials)} found",
        [
            f"{words.of(times.found, times.trials)} attacks{which}",
            f"95 % interval {words.shares(statistics.share(times.found, times.trials))}",
            "most of them never" if times.median is None else f"half of them within {soon}",
            *allowed,
        ],
    )


def _blame(results: Results) -> Answer | None:
    trials = [one for one in _tried(results) if one.found[OURS].after is not None]
    if not trials:
        return None
    right = sum(named(one, one.found[OURS]) for one in trials)
    alone = sum(one.found[OURS].others == 0 for one in trials)
    return Answer(
        "Does it say what it is, and blame nobody else?",
        f"{words.percent(right / len(trials))} rightly named",
        [
            f"{words.of(right, len(trials))} that were found",
            f"95 % interval {words.shares(statistics.share(right, len(trials)))}",
            f"in {words.of(alone, len(trials))} nobody else was accused",
        ],
    )


def _worth(results: Results) -> Answer | None:
    met = {rival: contest(results, rival) for rival in (PCA, COUNTERS)}
    there = {rival: one for rival, one in met.items() if one is not None}
    if not there:
        return None
    louder = any(one.ours.rate > one.rival.rate for one in there.values())
    later = any(one.later for one in there.values())
    return Answer(
        "Would something simpler do as well?",
        "One of them is quieter" if louder else "No, but sooner here and there" if later else "No",
        [
            f"{rival}: {words.figure(one.rival.rate)} false alarms a home and week; sooner in"
            f" {words.of(len(one.later), len(one.times))} forms of attack, later or never in"
            f" {len(one.sooner)}"
            for rival, one in there.items()
        ],
    )


def _tried(results: Results) -> list[Attack]:
    """All attacks but those of which there is never more than a note."""
    return [one for one in results.attacks if OURS in one.found and not only_noted(one)]


_QUESTIONS: Final[tuple[Callable[[Results], Answer | None], ...]] = (_peace, _sight, _blame, _worth)
