"""Write into docs/ what the code and the shipped model say of themselves.

    make venv && .venv/bin/python scripts/generated_docs.py

What stands outside the markers of a page is written by hand and stays as it is.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from mqtt_ids import features
from mqtt_ids.models import DEFAULT, open_model
from mqtt_ids_model import Card

DOCS: Final = Path(__file__).resolve().parent.parent / "docs"


def page(text: str, part: str, content: str) -> str:
    """`text` with `content` between the markers of `part`; ValueError where one is missing."""
    first, last = f"<!-- {part}: begin -->\n", f"<!-- {part}: end -->\n"
    before, begin, rest = text.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise ValueError(f"the markers {first!r} and {last!r} are missing")
    return f"{before}{begin}\n{content}\n{end}{after}"


def training(card: Card) -> str:
    """What the card says of the training, as Markdown."""
    facts = {name: value for name, value in card.trained.items() if name != "calibration"}
    rows = [("what", "value"), ("layers", "-".join(map(str, card.layers)))]
    rows += [(name.replace("_", " "), f"{value:,}") for name, value in facts.items()]
    rows += [(f"SHA-256 of `{file}`", f"`{digest}`") for file, digest in card.sha256.items()]
    return _table(rows)


def thresholds(card: Card) -> str:
    """Thresholds and calm figures by mask class, as Markdown."""
    figures: Mapping[str, Mapping[str, float]] = card.trained["calibration"]
    rows = [
        (
            "mask class", "threshold (budget)", "calm vectors", "below it", "mean + std",
            "below that", "highest calm firing level",
        )
    ]  # fmt: skip
    rows += [
        (
            f"`{name}`",
            f"{values['budget']:.5f}",
            f"{figures[name]['vectors']:,.0f}",
            f"{figures[name]['below_budget']:.4%}",
            f"{values['mean-std']:.5f}",
            f"{figures[name]['below_mean_std']:.2%}",
            f"{figures[name]['highest_level']:.2f} thresholds",
        )
        for name, values in card.thresholds.items()
    ]
    return _table(rows)


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    head, *body = (f"| {' | '.join(row)} |\n" for row in rows)
    return head + "|---" * len(rows[0]) + "|\n" + "".join(body)


def contents() -> dict[tuple[str, str], Callable[[], str]]:
    """By page and part, what makes the part."""
    card = open_model(DEFAULT).card
    return {
        ("features.md", "features"): features.document,
        ("model.md", "training"): lambda: training(card),
        ("model.md", "thresholds"): lambda: thresholds(card),
    }


if __name__ == "__main__":
    for (name, part), make in contents().items():
        path = DOCS / name
        path.write_text(page(path.read_text(), part, make()))
