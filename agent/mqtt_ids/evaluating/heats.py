"""The maps of a report: names given against true ones, and what carries the error."""

from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple

from mqtt_ids.evaluating import statistics, words
from mqtt_ids.evaluating.results import OURS, Attack, Confusion

MISSED: Final = "(not found)"
TOP_FEATURES: Final = 14  # columns of the map of shares

Counts = dict[str, dict[str, int]]  # how often which name was given, by true name


class Cell(NamedTuple):
    """One field of a heat map: how strong, 0..1, and what is written in it."""

    text: str
    strength: float
    right: bool = True


class Heat(NamedTuple):
    """A table of fields; each row has its name."""

    heads: tuple[str, ...]
    rows: list[tuple[str, list[Cell]]]


def right(attacks: Iterable[Attack]) -> set[tuple[str, str]]:
    """Which names are right besides the true one: pairs (true, said)."""
    return {(one.name, name) for one in attacks for name in one.right}


def given(attacks: Iterable[Attack]) -> Counts:
    """The names that ours gave in the trials, by true name."""
    counts: dict[str, Counter[str]] = {}
    for one in attacks:
        if OURS in one.found:
            found = one.found[OURS]
            name = MISSED if found.after is None else found.last_name or "?"
            counts.setdefault(one.name, Counter())[name] += 1
    return {name: dict(each) for name, each in counts.items()}


def confusion(counts: Counts, right: Iterable[tuple[str, str]] = ()) -> Heat:
    """Rows are the truth, columns what was said; strength is the part of the row.

    `right` are pairs (true, said) that are right besides the same name.
    """
    well = {*right, *((name, name) for name in counts)}
    true = sorted(counts)
    said = {name for each in counts.values() for name in each}
    heads = [name for name in true if name in said]
    heads += sorted(said - set(heads), key=lambda name: (name == MISSED, name))
    rows = []
    for name in true:
        whole = max(1, sum(counts[name].values()))
        cells = [(head, counts[name].get(head, 0)) for head in heads]
        rows.append(
            (
                name,
                [Cell(str(n) if n else "", n / whole, (name, head) in well) for head, n in cells],
            )
        )
    return Heat(tuple(heads), rows)


def accuracy(one: Confusion) -> str:
    """How often the name was right, wrong, and none was given; "no alarm" where there was none."""
    whole = sum(sum(each.values()) for each in one.counts.values())
    if not whole:
        return "no alarm"
    right = sum(each.get(name, 0) for name, each in one.counts.items())
    unnamed = sum(each.get("unusual", 0) for name, each in one.counts.items() if name != "unusual")
    wrong = whole - right - unnamed
    return (
        f"right {words.percent(right / whole)} ({words.shares(statistics.share(right, whole))}),"
        f" wrong {words.percent(wrong / whole)}, unusual {words.percent(unnamed / whole)}"
        f" of {whole:,}"
    )


def shares(carried: dict[str, dict[str, float]]) -> Heat:
    """Which features carried the error, by attack; those that carry most come first."""
    sums: Counter[str] = Counter()
    for each in carried.values():
        sums.update(each)
    heads = [name for name, _ in sums.most_common(TOP_FEATURES)]
    rows = []
    for name in sorted(carried):
        parts = [carried[name].get(head, 0.0) for head in heads]
        rows.append((name, [Cell(f"{100 * p:.0f}" if p >= 0.005 else "", p) for p in parts]))  # noqa: PLR2004 - rounds to 1 %
    return Heat(tuple(heads), rows)
