"""The table of docs/mosquitto.md: what is told of each attack by each source."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "mosquitto.md"
SOURCES: Final = ("everything", "default", "none")  # the table's columns
_CELL: Final = re.compile(r"`([a-z-]+)`, (client|address|nobody), (\d+) s")
_MISSED: Final = "not found"


class Promise(NamedTuple):
    """How an attack is called, whom the alert names, and after how many seconds at most."""

    name: str
    whom: str
    within: float


def promises(page: str) -> Mapping[tuple[str, str], Promise | None]:
    """By source and attack, from the table after the marker; None: it is not found."""
    lines = page.partition("<!-- attacks -->")[2].strip().splitlines()
    found: dict[tuple[str, str], Promise | None] = {}
    for line in lines[2:]:
        if not line.startswith("|"):
            break
        what, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        for source, cell in zip(SOURCES, cells, strict=True):
            found[source, what.partition(":")[0]] = _promise(cell)
    return found


def _promise(cell: str) -> Promise | None:
    if cell == _MISSED:
        return None
    match = _CELL.fullmatch(cell)
    assert match is not None, f"docs/mosquitto.md: {cell!r} is no cell of the table"
    return Promise(match[1], match[2], float(match[3]))


PROMISES: Final = promises(PAGE.read_text(encoding="utf-8"))
