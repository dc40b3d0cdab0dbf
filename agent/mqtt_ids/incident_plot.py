"""The picture of one incident: its score over time, its severity, and what was done.

Needs matplotlib, which the extra `plot` brings.
"""

import datetime as dt
import io
import warnings
from pathlib import Path
from typing import Any, Final

from mqtt_ids.names import short
from mqtt_ids.scanning.plots import COLOURS, write
from mqtt_ids.tables import safe
from mqtt_ids.timeline import Row, rows

_SIZE: Final = (10.0, 4.5)  # inches
_DPI: Final = 120
_NAMED: Final = 12  # actions whose names are written beside their line


def plot(path: Path, incident: dict[str, Any]) -> None:
    """Draw to `path`, as PNG or SVG by its ending. Raises IdsError where that cannot be written."""
    from matplotlib import dates  # noqa: PLC0415 - an extra
    from matplotlib.figure import Figure  # noqa: PLC0415

    found = rows(incident)
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    who = incident["client_id"] or incident["address"] or "nobody known"
    title = f"{incident['attack']} by {short(who)}, severity {incident['severity']}, since"
    axes.set_title(
        safe(f"{title} {incident['first_seen']}"), parse_math=False, loc="left", fontsize="medium"
    )
    axes.set_ylabel("score, in multiples of the threshold")
    axes.set_yscale("log")
    scored = [(_moment(row), row.ratio, row.severity) for row in found if row.ratio]
    days, ratios = [day for day, _, _ in scored], [ratio for _, ratio, _ in scored]
    axes.plot(days, ratios, color="#333333", linewidth=1.0, drawstyle="steps-post")
    colours = [COLOURS.get(severity or "", "gray") for _, _, severity in scored]
    axes.scatter(days, ratios, color=colours, zorder=3)
    axes.axhline(1.0, color="black", linewidth=1.0, linestyle="--")
    for row in [row for row in found if row.severity is None][:_NAMED]:
        axes.axvline(_moment(row), color="#0072b2", linewidth=1.0)
        axes.annotate(
            safe(row.what),
            (_moment(row), 1.0),
            xycoords=("data", "axes fraction"),
            rotation=90,
            va="top",
            ha="right",
            fontsize="small",
            parse_math=False,
        )
    locator = dates.AutoDateLocator(tz=dt.UTC)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, tz=dt.UTC))  # type: ignore[no-untyped-call]
    axes.set_xlabel("time (UTC)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a client id in letters that the font lacks
        image = io.BytesIO()
        figure.savefig(image, format=path.suffix[1:], dpi=_DPI)
    write(path, image.getvalue())


def _moment(row: Row) -> float:
    """Its time as matplotlib counts it: days since 1970."""
    return dt.datetime.fromisoformat(row.time).timestamp() / 86_400.0
