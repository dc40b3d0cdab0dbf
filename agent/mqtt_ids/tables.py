"""Tables and lines on standard output: coloured on a terminal, plain text in a pipe.

Client ids and topics are an attacker's words. What could move the cursor, colour the terminal or
break a line is shown as an escape.
"""

import sys
from collections.abc import Sequence

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

COLOURS = {
    "critical": "bold red",
    "high": "red",
    "medium": "yellow",
    "attack": "red",
    "odd": "yellow",
    "open": "bold",
    "online": "green",
}


def safe(value: object) -> str:
    """A value for the terminal: nothing in it is a command to the terminal."""
    text = "-" if value is None else str(value)
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def line(text: str) -> None:
    """One line of plain text."""
    click.echo(safe(text))


def table(headings: Sequence[str], rows: Sequence[Sequence[object]], empty: str) -> None:
    """A table, or the sentence `empty` where there is no row."""
    cells = [[safe(value) for value in row] for row in rows]
    if not cells:
        line(empty)
    elif sys.stdout.isatty():
        _rich(headings, cells)
    else:
        _plain(headings, cells)


def _rich(headings: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    shown = Table(box=None, header_style="bold", pad_edge=False)
    for heading in headings:
        shown.add_column(heading, overflow="fold")
    for row in cells:
        shown.add_row(*(Text(cell, style=COLOURS.get(cell, "")) for cell in row))
    Console().print(shown)  # it minds NO_COLOR by itself


def _plain(headings: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
    for row in (headings, *cells):
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(padded).rstrip())
