"""The bars of the scores: int8 against float, a flood that grows, and single features."""

from collections.abc import Iterator
from typing import Final

from mqtt_ids.evaluating import words
from mqtt_ids.evaluating.barring import each, share
from mqtt_ids.evaluating.figures import climbs
from mqtt_ids.evaluating.results import Agreement, Bar, Results, Step

CONFIRMED: Final = 0.95  # of the positives of int8 by float, and of float by int8
FALL: Final = 0.05  # of the highest score so far, while a flood grows
SURE: Final = 1000.0  # messages/s from which on a flood must be an attack

_HOST: Final = "host of a "


def agreement(results: Results) -> Iterator[Bar]:
    """By the name of the attack for which it is worst: a loud one must not hide another."""
    sums: dict[str, Agreement] = {}
    for one in results.attacks:
        if one.agreement is not None:
            before = sums.get(one.name, Agreement())
            sums[one.name] = Agreement(
                int8=before.int8 + one.agreement.int8,
                floats=before.floats + one.agreement.floats,
                both=before.both + one.agreement.both,
            )
    both = {name: counted.both for name, counted in sums.items()}
    floats = {name: counted.floats for name, counted in sums.items()}
    int8 = {name: counted.int8 for name, counted in sums.items()}
    yield from _confirmed("positives of float that int8 confirms, for each attack", both, floats)
    yield from _confirmed("positives of int8 that float confirms, for each attack", both, int8)


def _confirmed(what: str, both: dict[str, int], whole: dict[str, int]) -> Iterator[Bar]:
    there = sorted(name for name, number in whole.items() if number)
    if there:
        worst = min(there, key=lambda name: both[name] / whole[name])
        parts = sum(both[name] for name in there) / sum(whole[name] for name in there)
        pooled = f"the worst is {worst}, all together {words.percent(parts)}"
        yield share(what, CONFIRMED, both[worst], whole[worst], pooled)


def ladder(results: Results) -> Iterator[Bar]:
    """From a thousand a second on it is an attack; once it is, it stays one, and never less."""
    rungs = list(climbs(results.steps))
    if not rungs:
        return
    unseen = _unseen(results.steps)
    back = [
        step
        for step, before in rungs
        if step.verdict == "calm" and any(one.verdict != "calm" for one in before)
    ]
    back += [step for step in results.steps if step.afterwards == "calm"]
    fall = max(_fall(step.int8, max(one.int8 for one in before)) for step, before in rungs)
    told = f"{len(rungs)} rungs, by {', '.join(sorted({step.by for step, _ in rungs}))}"
    bad = (
        f"no attack at {words.some(unseen)}" if unseen else "",
        f"calm again at {words.some([_told(step) for step in back])}" if back else "",
    )
    yield Bar(
        what="a flood that grows: an attack, of client or host, and never calm again",
        required=f"from {SURE:,.0f} messages/s on; never, in a rung or from rung to rung",
        measured=f"{'; '.join(filter(None, bad)) or 'always'} in {told}",
        holds=not unseen and not back,
        trials=len(rungs),
    )
    yield Bar(
        what="a flood that grows: the score never falls",
        required=f"by more than {words.percent(FALL)}",
        measured=f"by {words.percent(fall)} at most, in {told}",
        holds=fall <= FALL,
        trials=len(rungs),
    )


def _unseen(steps: list[Step]) -> list[str]:
    """The loud rungs at which neither the client nor its host is an attack; all where no loud."""
    verdicts: dict[tuple[float, str], set[str]] = {}
    for step in steps:
        whose = step.by.removeprefix(_HOST)
        verdicts.setdefault((step.rate, whose), set()).add(step.verdict)
    loud = {rung: held for rung, held in verdicts.items() if rung[0] >= SURE}
    if not loud:
        return [f"{SURE:,.0f}/s, which was not tried"]
    return [
        f"{rate:,.0f}/s by a {whose}"
        for (rate, whose), held in sorted(loud.items())
        if "attack" not in held
    ]


def _told(step: Step) -> str:
    return f"{step.rate:,.0f}/s ({step.by})"


def _fall(score: float, highest: float) -> float:
    return max(0.0, 1.0 - score / highest) if highest > 0.0 else 0.0


def probes(results: Results) -> Iterator[Bar]:
    """A feature that was in no vector was not found."""
    due = [one for one in results.probes if one.drivable]
    if not due:
        return
    bad = sorted({one.feature for one in due if one.found < one.trials or not one.trials})
    features = len({one.feature for one in due})
    yield each(
        "one feature alone far out of range: found, for each that an attack can drive",
        "all",
        features - len(bad),
        features,
        f"{sum(one.trials for one in due):,} vectors",
        f"not always: {words.some(bad)}" if bad else "",
    )
