"""The timeline of one incident, for people: its changes and what was done, in their order."""

import math
from typing import Any, Final, NamedTuple

from mqtt_ids.tables import line, safe

BAR: Final = 24  # characters of the longest bar
DECADES: Final = 4.0  # powers of ten from the threshold that it stands for
DOUBTLESS: Final = 10.0  # thresholds from which on a decimal tells nothing
SHOWN: Final = 40  # lines; of more, those in the middle are left out


class Row(NamedTuple):
    """A change, or something that was done. `ratio` is the score in multiples of its threshold."""

    time: str
    what: str
    severity: str | None
    text: str
    ratio: float | None


def rows(incident: dict[str, Any]) -> list[Row]:
    """What the agent answers about one incident, in the order of time."""
    changes = [
        Row(
            one["time"],
            one["state"],
            one["severity"],
            f"{one['attack']}, {_clients(one['client_count'])}",
            _ratio(one["score"], one["threshold"]),
        )
        for one in incident["timeline"]
    ]
    deeds = [Row(one["at"], one["what"], None, _deed(one), None) for one in incident["actions"]]
    return sorted([*changes, *deeds], key=lambda row: row.time)


def show_timeline(incident: dict[str, Any]) -> None:
    """A line for each change and each action; a bar shows how far the score is off."""
    found = rows(incident)
    if not found:
        return
    line("")
    for number, row in enumerate(found):
        left_out = len(found) - SHOWN
        if left_out > 0 and SHOWN // 2 <= number < SHOWN // 2 + left_out:
            if number == SHOWN // 2:
                line(f"  ... {left_out} more")
            continue
        shown = f"{_clock(row.time)}  {row.what:<10}  {row.severity or '':<8}  {safe(row.text)}"
        if row.ratio is not None:
            times = f"{row.ratio:,.0f}" if row.ratio >= DOUBTLESS else f"{row.ratio:.2g}"
            shown = f"{shown:<64}  {_bar(row.ratio)} {times} x threshold"
        line(shown.rstrip())


def _clients(count: int) -> str:
    return f"{count} client{'' if count == 1 else 's'}"


def _ratio(score: float | None, threshold: float | None) -> float | None:
    return None if score is None or not threshold else score / threshold


def _deed(entry: dict[str, Any]) -> str:
    handle = entry["handle"]
    whom = "" if handle is None else f"{handle['kind'].replace('_', ' ')} {handle['value']}"
    why = f" ({entry['why']})" if entry["why"] else ""
    return f"{whom}, by {entry['by']}{why}".removeprefix(", ")


def _clock(time: str) -> str:
    """As it stands in the alert, without the zone: 2026-11-23 10:00:01.2."""
    return time.replace("T", " ").removesuffix("Z")


def _bar(ratio: float) -> str:
    """Longer by as much with each power of ten; a dot up to the threshold."""
    if ratio <= 1.0:
        return "."
    return "#" * max(round(min(math.log10(ratio) / DECADES, 1.0) * BAR), 1)
