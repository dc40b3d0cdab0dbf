"""What `mqtt-ids top` shows: one answer of the agent after the other, as a picture of now.

The agent keeps no history of scores: what the small curves show was seen since the command began.
Client ids are an attacker's words, and are shown with nothing in them that a terminal would obey.
"""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from mqtt_ids.readers import spell
from mqtt_ids.reasons import figure
from mqtt_ids.tables import COLOURS, safe

CURVE: Final = 20  # answers that a curve shows
BLOCKS: Final = " ▁▂▃▄▅▆▇█"
LETTERS: Final = " .:-=+*#@"  # the same where the terminal knows no blocks
AT_THRESHOLD: Final = 6  # the height of a score at its threshold; two more are for what is above
_DECADES: Final = 3.0  # below the threshold, that the heights up to there cover
_CURVES: Final = 1000  # clients whose curves are remembered
_BESIDE: Final = 12  # lines that are no client
_FEWEST: Final = 3

HEADINGS: Final = ("CLIENT", "ADDRESS", "VERDICT", "MESSAGES", "SCORE", "OF THRESHOLD", "LEARNED")


class Board:
    """What is shown. `take` each answer, or say what is wrong instead; then `picture` it."""

    def __init__(self, *, blocks: bool = True) -> None:
        self._heights = BLOCKS if blocks else LETTERS
        self._curves: dict[str, deque[float | None]] = {}
        self._answer: Mapping[str, Any] = {}
        self._trouble: str | None = None

    def take(self, answer: Mapping[str, Any]) -> None:
        """The agent has answered."""
        self._answer, self._trouble = answer, None
        for one in answer["oddest"]:
            curve = self._curves.pop(one["client_id"], deque(maxlen=CURVE))
            curve.append(one["ratio"])
            self._curves[one["client_id"]] = curve  # the latest last
        while len(self._curves) > _CURVES:
            del self._curves[next(iter(self._curves))]

    def missed(self, trouble: str) -> None:
        """The agent has not answered."""
        self._trouble = trouble

    def picture(self, height: int) -> Group:
        """All of it, in so many lines."""
        lines: list[Text | Table] = [Text(line) for line in header(self._answer)]
        if self._trouble is not None:
            lines.append(Text(f"{safe(self._trouble)}; trying again", style="bold yellow"))
        if self._answer:
            most = max(height - _BESIDE, _FEWEST)
            lines += [Text(""), self._clients(most)]
            lines += [Text(line) for line in _going_on(self._answer)]
        lines.append(Text("q to quit", style="dim"))
        return Group(*lines)

    def _clients(self, most: int) -> Table:
        shown = Table(box=None, header_style="bold", pad_edge=False)
        for number, heading in enumerate((*HEADINGS, "LATELY")):
            shown.add_column(heading, no_wrap=True, justify="right" if number in _RIGHT else "left")
        for one in self._answer["oddest"][:most]:
            style = COLOURS.get(one["verdict"], "")
            curve = Text(self.curve(one["client_id"]), style=style)
            cells = [
                Text(safe(cell), style=style if n == _VERDICT else "") for n, cell in _cells(one)
            ]
            shown.add_row(*cells, curve)
        return shown

    def curve(self, client_id: str) -> str:
        """How near to its threshold this client came, answer by answer, the latest last."""
        return "".join(map(self._height, self._curves.get(client_id, ())))

    def _height(self, ratio: float | None) -> str:
        if ratio is None or ratio <= 0.0:
            return self._heights[0]
        decades = math.log10(ratio)
        if decades <= 0.0:
            height = AT_THRESHOLD * (1.0 + decades / _DECADES)
            return self._heights[min(max(math.ceil(height), 1), AT_THRESHOLD)]
        return self._heights[-2 if decades < 1.0 else -1]


_RIGHT: Final = frozenset({3, 4, 5, 6})
_VERDICT: Final = 2


def header(answer: Mapping[str, Any]) -> list[str]:
    """How the agent is, in two lines; none before it has answered."""
    if not answer:
        return []
    running = spell(float(int(answer["running_for"])))
    agent = f"mqtt-ids  {answer['sensor']}, mode {answer['mode']}, for {running}"
    clients = f"clients {answer['clients']}: {answer['connected']} connected"
    known = f"{answer['learned']} with a known normal"
    incidents = f"{answer['active']} active, {answer['open_incidents']} open with notes"
    return [
        f"{agent}   events {answer['events']}, lag {answer['lag']} s",
        f"{clients}, {known}   incidents {incidents}   bans {answer['bans']}",
    ]


def rows(answer: Mapping[str, Any]) -> list[list[str]]:
    """The clients as cells of text."""
    return [[cell for _, cell in _cells(one)] for one in answer["oddest"]]


def _cells(one: Mapping[str, Any]) -> Sequence[tuple[int, str]]:
    cells = (
        one["client_id"] if one["connected"] else f"({one['client_id']})",
        one["address"] or "-",
        one["verdict"],
        f"{figure(one['rate'])}/s",
        "-" if one["score"] is None else f"{one['score']:.3g}",
        "-" if one["ratio"] is None else f"{one['ratio']:.0%}",
        f"{one['learned']:.0%}",
    )
    return list(enumerate(cells))


def _going_on(answer: Mapping[str, Any]) -> list[str]:
    """The open incidents and the last actions, a line each."""
    incidents = [
        f"{one['severity']:<8}  {one['attack']} by {one['client_id'] or '-'} at"
        f" {one['address'] or '-'}  {one['action']}  {one['id']}"
        for one in answer["incidents"]
    ]
    actions = [
        f"{one['at']}  {one['what']} by {one['by']} {(one['handle'] or {}).get('value', '')}"
        for one in answer["actions"]
    ]
    return [safe(line) for line in ["", *(incidents or ["no incident is open"]), *actions]]
