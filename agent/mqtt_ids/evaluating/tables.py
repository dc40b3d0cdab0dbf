"""The tables of a report: from results to rows of words. Nothing here is escaped yet."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from mqtt_ids.evaluating import statistics, words
from mqtt_ids.evaluating.figures import alarms, named
from mqtt_ids.evaluating.forms import FIVE
from mqtt_ids.evaluating.pictures import Case
from mqtt_ids.evaluating.results import (
    CONSTANT,
    COUNTERS,
    METHODS,
    NO_FACTS,
    OURS,
    PCA,
    Attack,
    Calm,
    Probe,
    Results,
    Step,
)

RIVALS: Final = (PCA, COUNTERS)
NOTHING: Final = "-"  # where a method did not take part
_DAY: Final = 86_400.0  # seconds
_WHO: Final = {
    "new": "newcomer",
    "address": "known address",
    "client": "known client",
    "many": "many addresses",
    "own": "as recorded",
}


class Table(NamedTuple):
    """Rows of words below `heads`; the first `plain` columns are words, the others figures."""

    heads: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    plain: int = 1


def methods(found: Iterable[Iterable[str]]) -> list[str]:
    """Which methods took part anywhere, in the order of METHODS."""
    there = {method for each in found for method in each}
    return [method for method in METHODS if method in there]


def rates(calm: Sequence[Calm]) -> Table:
    """False alarms a home and week, by method."""
    rows = []
    for method in methods(one.alarms for one in calm):
        counted = alarms(calm, method, beside=method)
        if counted is not None:
            homes = [len(one.alarms[method]) for one in calm if method in one.alarms]
            interval = statistics.rate(*counted)
            rows.append(
                (
                    method,
                    str(counted.number),
                    words.figure(counted.weeks),
                    words.figure(counted.rate),
                    words.rates(interval),
                    f"{max(homes)}",
                    words.of(sum(number > 0 for number in homes), len(homes)),
                )
            )
    heads = ("method", "false alarms", "home-weeks", "a home and week", "95 % interval")
    return Table((*heads, "most in one", "with any"), rows)


def starts(calm: Sequence[Calm]) -> Table:
    """In how many streams there was any false alarm, by method."""
    rows = []
    for method in methods(one.alarms for one in calm):
        homes = [len(one.alarms[method]) for one in calm if method in one.alarms]
        noisy = sum(number > 0 for number in homes)
        interval = words.shares(statistics.share(noisy, len(homes)))
        rows.append((method, str(sum(homes)), words.of(noisy, len(homes)), interval))
    return Table(("method", "false alarms", "homes with any", "95 % interval"), rows)


def homes(calm: Sequence[Calm]) -> Table:
    """Each stream by itself."""
    shown = methods(one.alarms for one in calm)
    heads = ("stream", "kind", "clients", "for", "events", "vectors above", "highest score")
    rows = [
        (
            one.source,
            one.style,
            str(one.clients),
            words.seconds(one.duration),
            f"{one.events:,}",
            words.of(one.above, one.vectors),
            words.figure(one.highest),
            *(str(len(one.alarms[name])) if name in one.alarms else NOTHING for name in shown),
            str(one.actions),
            ", ".join(f"{number} {name}" for name, number in sorted(one.notes.items())) or "none",
        )
        for one in calm
    ]
    return Table((*heads, *shown, "cut off", "notes (info)"), rows, plain=2)


def cases(calm: Sequence[Calm]) -> list[Case]:
    """False alarms in the homes that have each case of normal life; the most frequent first."""
    told = []
    for name in sorted({name for one in calm for name in one.cases}):
        having = [one for one in calm if name in one.cases and OURS in one.alarms]
        counted = alarms(having)
        if counted is not None:
            about = sum(alarm.case == name for one in having for alarm in one.alarms[OURS])
            interval = statistics.rate(*counted)
            told.append(Case(name, counted.rate, interval, counted.number, counted.weeks, about))
    return sorted(told, key=lambda case: (-case.rate, case.name))


def by_case(told: Sequence[Case]) -> Table:
    """The same in figures."""
    heads = ("homes with", "false alarms", "about it", "home-weeks", "a home and week")
    rows = [
        (
            case.name,
            str(case.number),
            str(case.about),
            words.figure(case.weeks),
            words.figure(case.rate),
            words.rates(case.interval),
        )
        for case in told
    ]
    return Table((*heads, "95 % interval"), rows)


def false_alarms(calm: Sequence[Calm]) -> Table:
    """Each false alarm of ours, with its reasons."""
    heads = ("stream", "after", "whom", "kind of client", "said to be", "score", "because")
    rows = [
        (
            one.source,
            f"day {alarm.time / _DAY:.2f}",
            alarm.client_id or alarm.address or "?",
            alarm.case or NOTHING,
            f"{alarm.attack} ({alarm.severity})",
            "a fact" if alarm.ratio is None else f"{words.figure(alarm.ratio)} thresholds",
            "; ".join(alarm.reasons),
        )
        for one in calm
        for alarm in one.alarms.get(OURS, ())
    ]
    return Table(heads, rows, plain=7)


def grouped(attacks: Iterable[Attack]) -> dict[tuple[str, str], list[Attack]]:
    """Trials by form and identity; forms in their own order."""
    groups: dict[tuple[str, str], list[Attack]] = {}
    every = list(attacks)
    order = {form: place for place, form in enumerate(dict.fromkeys(one.form for one in every))}
    for one in sorted(every, key=lambda one: order[one.form]):
        groups.setdefault((one.form, one.identity), []).append(one)
    return groups


def times(attacks: Sequence[Attack]) -> Table:
    """How soon each form was found by whom it was played, ours beside the rivals."""
    rivals = [name for name in methods(one.found for one in attacks) if name in RIVALS]
    heads = ("attack", "by", "trials", "bar", "found", "median", "worst", "rightly named")
    rows = []
    for (form, identity), trials in grouped(attacks).items():
        ours = [one for one in trials if OURS in one.found]
        after = statistics.times(one.found[OURS].after for one in ours)
        rows.append(
            (
                form,
                _WHO.get(identity, identity),
                str(len(trials)),
                NOTHING if trials[0].within is None else words.seconds(trials[0].within),
                str(after.found),
                words.seconds(after.median),
                words.seconds(after.worst),
                str(sum(named(one, one.found[OURS]) for one in ours)),
                str(sum(one.found[OURS].others > 0 for one in ours)),
                *(_median(trials, rival) for rival in rivals),
            )
        )
    return Table((*heads, "others accused", *rivals), rows, plain=2)


def _median(trials: Sequence[Attack], method: str) -> str:
    """A rival's median, and how many of how many it found where it is not all."""
    after = [one.found[method].after for one in trials if method in one.found]
    if not after:
        return NOTHING
    found = statistics.times(after)
    some = f" ({found.found} found)" if 0 < found.found < found.trials else ""
    return f"{words.seconds(found.median)}{some}"


def ablations(attacks: Sequence[Attack]) -> Table:
    """What is found of the five attacks with parts taken away; no rows where none was."""
    lesser = [name for name in (NO_FACTS, CONSTANT) if any(name in one.found for one in attacks)]
    rows = []
    for name in sorted(FIVE):
        trials = [one for one in attacks if one.name == name]
        if trials and lesser:
            rows.append((name, *(_share(trials, method) for method in (OURS, *lesser))))
    return Table(("attack", OURS, *lesser), rows)


def _share(trials: Sequence[Attack], method: str) -> str:
    after = [one.found[method].after for one in trials if method in one.found]
    return words.of(sum(time is not None for time in after), len(after)) if after else NOTHING


def probes(every: Iterable[Probe]) -> Table:
    """Each feature alone far out of range; those that were found least come first."""
    ordered = sorted(
        every, key=lambda one: (not one.drivable, one.found / max(1, one.trials), one.feature)
    )
    rows = [
        (
            one.feature,
            one.role,
            "yes" if one.drivable else "no",
            words.of(one.found, one.trials),
            words.of(one.at_once, one.trials),
        )
        for one in ordered
    ]
    heads = ("feature", "of", "an attack can drive it", "alarm if it lasts", "alarm at once")
    return Table(heads, rows, plain=3)


def ladder(steps: Iterable[Step]) -> Table:
    """Each rung of a flood that grows."""
    rows = [
        (
            step.by,
            f"{step.rate:,.0f}",
            words.figure(step.int8),
            words.figure(step.floats),
            step.verdict,
            step.afterwards or NOTHING,
        )
        for step in sorted(steps, key=lambda step: (step.by, step.rate))
    ]
    heads = ("by", "messages/s", "int8, thresholds", "float, thresholds", "gravest verdict")
    return Table((*heads, "mildest after an attack"), rows)


def agreement(results: Results) -> Table:
    """Vectors above the threshold by the quantised model and by float, by attack."""
    names = sorted({one.name for one in results.attacks if one.agreement is not None})
    rows = []
    for name in names:
        of = [one.agreement for one in results.attacks if one.name == name and one.agreement]
        both = sum(one.both for one in of)
        int8, floats = sum(one.int8 for one in of), sum(one.floats for one in of)
        confirmed = [words.percent(both / n) if n else NOTHING for n in (floats, int8)]
        rows.append((name, f"{int8:,}", f"{floats:,}", f"{both:,}", *confirmed))
    heads = ("attack", "int8", "float", "both", "int8 confirms", "float confirms")
    return Table(heads, rows)
