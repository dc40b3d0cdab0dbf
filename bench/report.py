"""The table that a run of the benchmarks prints."""

from collections.abc import Sequence

import msgspec

HEADINGS = ("what", "measured", "against", "bar", "")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One figure. `against` is the same run's baseline; `met` is None where there is no bar."""

    what: str
    measured: str
    against: str = ""
    bar: str = ""
    met: bool | None = None


def show(rows: Sequence[Row]) -> None:
    """Print the rows as a Markdown table."""
    cells = [HEADINGS, *(_cells(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, tuple("-" * width for width in widths))
    for row in cells:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print(f"| {' | '.join(padded)} |")


def _cells(row: Row) -> tuple[str, ...]:
    met = {None: "", True: "met", False: "MISSED"}[row.met]
    return (row.what, row.measured, row.against, row.bar, met)
