"""Prose on standard output: wrapped and coloured on a terminal, whole lines in a pipe."""

import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TextIO

import click
from rich.console import Console
from rich.text import Text

from mqtt_ids.errors import IdsError
from mqtt_ids.tables import safe

NARROWEST: Final = 40  # columns
WIDEST: Final = 100

LAST_DATE: Final = 253_402_214_400.0  # s since 1970: a day before the year 10,000, in any zone

_UNITS: Final = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


class Teller:
    """Prints paragraphs, with nothing in them that a terminal would obey."""

    def __init__(self) -> None:
        self._console: Console | None = None
        if is_terminal(sys.stdout):
            self._console = Console(highlight=False)  # it minds NO_COLOR by itself

    def line(self, text: str = "", *, word: str = "", style: str = "", indent: int = 0) -> None:
        """One line, or one wrapped paragraph; `word` stands in `style` before it, in a column.

        `indent` is the column's width; what goes on below stands under the text.
        """
        with writing_out():
            self._line(_spelled(safe(text)), word.ljust(indent), style, indent)

    def _line(self, text: str, head: str, style: str, indent: int) -> None:
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


@contextmanager
def writing_out() -> Iterator[None]:
    """Raises IdsError where standard output cannot be written; one that went away is no error."""
    try:
        yield
    except BrokenPipeError:  # for the command line: `mqtt-ids scan night.pcap | head`
        raise
    except OSError as error:
        raise IdsError(f"standard output: cannot be written ({error.strerror})") from None


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal; one that was closed before we began is None."""
    return stream is not None and stream.isatty()


def _spelled(text: str) -> str:
    """`text` in the letters that standard output has; the others are escaped."""
    letters = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(letters, "backslashreplace").decode(letters)


def dated(wall: float) -> float:
    """A wall time, or the nearest that can be told as a date: from 1970 to the year 9999."""
    return min(max(wall, 0.0), LAST_DATE)


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
