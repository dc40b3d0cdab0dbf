"""What the rules of the bars share: how a bar is made of trials."""

from collections.abc import Callable, Iterable, Iterator

from mqtt_ids.evaluating import statistics, words
from mqtt_ids.evaluating.figures import named
from mqtt_ids.evaluating.results import OURS, Attack, Bar, Results

Rule = Callable[[Results], Iterator[Bar]]


def each(what: str, required: str, good: int, trials: int, *remarks: str) -> Bar:
    """A bar that every trial must reach. Empty remarks are left out."""
    return Bar(
        what=what,
        required=required,
        measured="; ".join([words.of(good, trials), *filter(None, remarks)]),
        holds=good == trials,
        trials=trials,
        interval=words.shares(statistics.share(good, trials)),
    )


def share(what: str, required: float, good: int, trials: int, *remarks: str) -> Bar:
    """A bar that a share of the trials must reach. Empty remarks are left out."""
    return Bar(
        what=what,
        required=f"≥ {words.percent(required)}",
        measured="; ".join([words.percent(good / trials), *filter(None, remarks)]),
        holds=good / trials >= required,
        trials=trials,
        interval=words.shares(statistics.share(good, trials)),
    )


def watched(results: Results, *places: str) -> list[Attack]:
    """The attacks of these places that ours watched."""
    return [one for one in results.attacks if one.place in places and OURS in one.found]


def forms(word: str, attacks: Iterable[Attack], most: int = 3) -> str:
    """Which forms they are of, `most` by name, after a word; nothing where there are none."""
    told = sorted({one.form for one in attacks})
    return f"{word}: {words.some(told, most)}" if told else ""


def is_found(attack: Attack) -> bool:
    """Whether ours found it at all."""
    return attack.found[OURS].after is not None


def is_named(attack: Attack) -> bool:
    """Whether ours found it and named it rightly."""
    return is_found(attack) and named(attack, attack.found[OURS])
