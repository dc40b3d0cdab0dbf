"""What detection must reach, and whether it did.

Each rule gives the bars that the trials can answer. A rule without a trial gives none, and a line
for what was left out: what was not tried never holds.
"""

from collections.abc import Iterator
from typing import Final

from mqtt_ids.evaluating import statistics, words
from mqtt_ids.evaluating.barring import Rule, each, forms, is_found, is_named, share, watched
from mqtt_ids.evaluating.bars_of_homes import actions, homes, starts
from mqtt_ids.evaluating.bars_of_scores import agreement, ladder, probes
from mqtt_ids.evaluating.figures import KNOWN, alarms, contest, in_time
from mqtt_ids.evaluating.forms import FIVE
from mqtt_ids.evaluating.results import (
    CONSTANT,
    COUNTERS,
    HOME,
    MQTTSET,
    NO_FACTS,
    OURS,
    PCA,
    Attack,
    Bar,
    Found,
    Results,
)
from mqtt_ids.evaluating.statistics import WEEK

BELOW: Final = 0.9999  # of a calm capture's vectors
_EVERY: Final = 99  # forms that are named where each matters


def judge(results: Results) -> tuple[list[Bar], list[str]]:
    """The bars that there are trials for, and a line for each that there are none for."""
    bars, left_out = list[Bar](), list[str]()
    for what, rule in _RULES.items():
        judged = list(rule(results))
        bars += judged
        if not judged:
            left_out.append(f"{what}: not tried")
    return bars, left_out


def _captures(results: Results) -> Iterator[Bar]:
    trials = [one for one in watched(results, MQTTSET) if one.identity not in KNOWN]
    if not trials:
        return
    untried = sorted(FIVE - {one.name for one in trials})
    good = [one for one in trials if in_time(one) and is_named(one)]
    bad = forms("not", [one for one in trials if one not in good])
    yield each(
        "MQTTset: the five attacks, found in time and rightly named",
        "all",
        len(good),
        len(trials) + len(untried),
        bad,
        f"no capture of {', '.join(untried)}" if untried else "",
    )


def _calm_captures(results: Results) -> Iterator[Bar]:
    calm = [one for one in results.calm if one.place == MQTTSET]
    counted, vectors = alarms(calm), sum(one.vectors for one in calm)
    if counted is None or not vectors:
        return
    hours = counted.weeks * WEEK / 3600.0
    yield Bar(
        what="MQTTset: no alarm in its legitimate traffic",
        required="none",
        measured=f"{counted.number} in {60.0 * hours:.0f} min",
        holds=counted.number == 0,
        trials=len(calm),
        interval=f"{words.rates(statistics.rate(counted.number, hours))} an hour",
    )
    below = vectors - sum(one.above for one in calm)
    yield share("MQTTset: legitimate vectors below the threshold", BELOW, below, vectors)


def _times(results: Results) -> Iterator[Bar]:
    """One bar for each name and time allowed."""
    groups: dict[tuple[str, float], list[Attack]] = {}
    for one in watched(results, HOME):
        if one.within is not None:
            groups.setdefault((one.name, one.within), []).append(one)
    for (name, within), trials in sorted(groups.items()):
        yield each(
            f"{name}: found within {words.seconds(within)} ({_intensities(trials)})",
            "all",
            sum(map(in_time, trials)),
            len(trials),
            f"median {words.found(statistics.times(one.found[OURS].after for one in trials))}",
            forms("late", [one for one in trials if not in_time(one)]),
        )


def _intensities(trials: list[Attack]) -> str:
    """Which forms they are of, without the attack's name."""
    forms = {one.form.removeprefix(one.name).lstrip(" ,") for one in trials}
    return "; ".join(sorted(forms))


def _known(place: str, where: str) -> Rule:
    def rule(results: Results) -> Iterator[Bar]:
        trials = [one for one in watched(results, place) if one.identity in KNOWN]
        due = [one for one in trials if one.name in FIVE]
        if due:
            missed = [one for one in due if not is_found(one)]
            misnamed = [one for one in due if is_found(one) and not is_named(one)]
            yield each(
                f"behind a known client, {where}: the five attacks in every form, found and"
                " rightly named",
                "all",
                sum(map(is_named, due)),
                len(due),
                forms("missed", missed, _EVERY),
                forms("misnamed", misnamed, _EVERY),
            )
        if trials:
            accusing = [one for one in trials if one.found[OURS].others]
            yield each(
                f"behind a known client, {where}: nobody else accused",
                "in all",
                len(trials) - len(accusing),
                len(trials),
                forms("not", accusing),
            )

    return rule


def _rival(rival: str) -> Rule:
    def rule(results: Results) -> Iterator[Bar]:
        met = contest(results, rival)
        if met is None:
            return
        later = f", later in {len(met.later)}: {words.some(met.later)}" if met.later else ""
        yield Bar(
            what=f"against {rival}: false alarms, and time to detect",
            required="no more false alarms, and sooner or equal",
            measured=f"{words.figure(met.ours.rate)} against {words.figure(met.rival.rate)}"
            f" false alarms a home and week; sooner in {len(met.sooner)} of {len(met.times)}"
            f" forms of attack{later}",
            holds=met.ours.rate <= met.rival.rate and not met.later,
            trials=sum(ours.trials for ours, _ in met.times.values()),
        )

    return rule


def _constant(results: Results) -> Iterator[Bar]:
    trials = [one for one in results.attacks if CONSTANT in one.found and one.name in FIVE]
    if trials:
        # A fact about the same attacker, such as a publish on another's topic, is not the attack.
        missed = [one for one in trials if one.name not in _names(one.found[CONSTANT])]
        other = sum(one.found[CONSTANT].after is not None for one in missed)
        what = "with the score held constant, the five attacks are missed"
        remark = f"accused by a fact as something else: {other}" if other else ""
        yield each(what, "all", len(missed), len(trials), remark)


def _names(found: Found) -> set[str | None]:
    return {found.first_name, found.last_name}


def _no_facts(results: Results) -> Iterator[Bar]:
    trials = [
        one for one in results.attacks if {OURS, NO_FACTS} <= one.found.keys() and one.name in FIVE
    ]
    if not trials:
        return
    held = [one for one in trials if is_found(one)]
    lost = [one for one in held if one.found[NO_FACTS].after is None]
    kept = len(held) - len(lost)
    told = f"{words.of(kept, len(held))} of those found with them; {len(trials):,} tried"
    yield Bar(
        what="without the facts, the five attacks are still found",
        required="all of those found with them",
        measured="; ".join(filter(None, [told, forms("lost", lost)])),
        holds=bool(held) and not lost,
        trials=len(trials),
        interval=words.shares(statistics.share(kept, len(held))) if held else None,
    )


_RULES: Final[dict[str, Rule]] = {
    "false alarms in unseen homes": homes,
    "the first minutes of unseen homes": starts,
    "disconnections in unseen homes": actions,
    "the attacks of MQTTset": _captures,
    "the legitimate traffic of MQTTset": _calm_captures,
    "time to detect": _times,
    "attacks behind a known client in simulated homes": _known(HOME, "simulated homes"),
    "attacks behind a known client of MQTTset": _known(MQTTSET, "MQTTset"),
    "the quantised model against float": agreement,
    "a flood that grows": ladder,
    "single features": probes,
    "PCA as a rival": _rival(PCA),
    "three counters as a rival": _rival(COUNTERS),
    "the score held constant": _constant,
    "the facts removed": _no_facts,
}
