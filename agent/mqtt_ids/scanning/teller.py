"""Prose on standard output: wrapped and coloured on a terminal, whole lines in a pipe."""

import sys
import textwrap
from typing import Final

import click
from rich.console import Console
from rich.text import Text

from mqtt_ids.tables import safe

NARROWEST: Final = 40  # columns
WIDEST: Final = 100

_UNITS: Final = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


class Teller:
    """Prints paragraphs, with nothing in them that a terminal would obey."""

    def __init__(self) -> None:
        self._console: Console | None = None
        if sys.stdout.isatty():
            self._console = Console(highlight=False)  # it minds NO_COLOR by itself

    def line(self, text: str = "", *, word: str = "", style: str = "", indent: int = 0) -> None:
        """One line, or one wrapped paragraph; `word` stands in `style` before it, in a column.

        `indent` is the column's width; what goes on below stands under the text.
        """
        head, text = word.ljust(indent), safe(text)
        if self._console is None:
            click.echo((head + text).rstrip())
            return
        room = min(max(self._console.width, NARROWEST), WIDEST) - indent
        first, *others = textwrap.wrap(text, room) or [""]
        self._console.print(Text.assemble((head, style), first))
        for other in others:
            self._console.print(Text(" " * indent + other))

    def item(self, text: str, *, indent: int) -> None:
        """One entry of a list."""
        self.line(text, word=" " * indent + "- ", indent=indent + 2)


def length(seconds: float) -> str:
    """A length of time in its two largest units: 3 min 20 s."""
    whole = round(seconds)
    for place, (size, unit) in enumerate(_UNITS):
        if whole >= size:
            said = f"{whole // size} {unit}"
            smaller, smaller_unit = _UNITS[min(place + 1, len(_UNITS) - 1)]
            left = whole % size // smaller
            return f"{said} {left} {smaller_unit}" if left else said
    return "less than 1 s"


def counted(count: int, one: str, many: str = "") -> str:
    """A count and its noun: 1 client, 2,300 clients."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def listed(names: list[str], most: int, count: int) -> str:
    """The first few of `count` names: a, b and 5 more."""
    shown = names[:most]
    more = count - len(shown)
    if more > 0:
        return f"{', '.join(shown)} and {more:,} more"
    return " and ".join(filter(None, (", ".join(shown[:-1]), *shown[-1:])))
