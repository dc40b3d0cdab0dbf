"""The plot of a scan: each subject's score over time against its threshold, and the incidents.

Needs matplotlib, which the extra `plot` brings.
"""

import datetime as dt
import importlib.util
import io
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mqtt_ids.errors import IdsError
from mqtt_ids.names import short
from mqtt_ids.scanning.curves import Curve, Curves
from mqtt_ids.scanning.findings import Findings
from mqtt_ids.scanning.teller import LAST_DATE
from mqtt_ids.tables import safe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUBJECTS: Final = 12
INCIDENTS: Final = 20  # that are shaded and named, the gravest
BREAK: Final = 60.0  # seconds without a score after which a line is broken
_SIZE: Final = (12.0, 6.5)  # inches
_DPI: Final = 120
ROWS: Final = 5  # of incidents' names, one below the other
ROW: Final = 0.035  # of the plot's height
_LINES: Final = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00",
    "#5d3a9b", "#8c564b", "#bcbd22", "#000000", "#7f7f7f", "#17becf",
)  # fmt: skip
COLOURS: Final = {"critical": "#7f0000", "high": "#d62728", "medium": "#a86400", "low": "#0072b2"}

Wall = Callable[[float], float]


def needed(path: Path) -> None:
    """Raises IdsError where there is no matplotlib, or no way to write `path`."""
    if importlib.util.find_spec("matplotlib") is None:
        raise IdsError("a plot needs matplotlib; install it with: pip install 'mqtt-ids[plot]'")
    if path.is_dir():
        raise IdsError(f"{path}: is a folder; name a file in it")
    write(path, None)


def plot(path: Path, curves: Curves, findings: Findings, wall: Wall, title: str) -> None:
    """Draw to `path`, as PNG or SVG by its ending. `wall` turns the events' times into wall time.

    Raises IdsError where the file cannot be written.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a client id in letters that the font lacks
        figure = _figure(curves, findings, wall, title)
        image = io.BytesIO()
        figure.savefig(image, format=path.suffix[1:], dpi=_DPI)
    write(path, image.getvalue())


def write(path: Path, image: bytes | None) -> None:
    """Write a file whole or not at all; None tries whether that could be done."""
    part = path.with_name(f".{path.name}.part")
    try:
        try:
            part.write_bytes(image or b"")
            if image is not None:
                part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise IdsError(f"{path}: cannot be written ({error.strerror})") from None


def _figure(curves: Curves, findings: Findings, wall: Wall, title: str) -> "Figure":
    from matplotlib.figure import Figure  # noqa: PLC0415 - an extra

    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    axes.set_title(safe(title), parse_math=False, loc="left", fontsize="medium")
    axes.set_ylabel("score, in multiples of the threshold")
    axes.set_yscale("log")
    drawn = curves.highest(SUBJECTS)
    if not drawn:
        axes.text(0.5, 0.5, "nobody was judged", transform=axes.transAxes, ha="center")
        return figure
    lines = [
        axes.plot(*_points(curve, wall), color=colour, linewidth=1.6 if curve.top > 1.0 else 0.8)[0]
        for curve, colour in zip(drawn, _LINES, strict=False)
    ]
    lines.append(axes.axhline(1.0, color="black", linewidth=1.0, linestyle="--"))
    _show_dates(axes, wall(drawn[0].times[0]))
    _shade(axes, findings, wall)
    names = [safe(short(curve.name)) for curve in drawn]
    legend = axes.legend(lines, [*names, "threshold"], loc="upper left", bbox_to_anchor=(1.0, 1.0))
    for text in legend.get_texts():
        text.set_parse_math(False)
        text.set_fontsize("small")
    return figure


def _points(curve: Curve, wall: Wall) -> tuple[list[float], list[float]]:
    """Days and ratios; the line is broken where its subject was not judged for long."""
    longest = max(BREAK, 4.0 * curve.step)
    days, ratios = list[float](), list[float]()
    before = wall(curve.times[0])
    for time, ratio in zip(map(wall, curve.times), curve.ratios, strict=True):
        if abs(time - before) > longest:  # the clock may have been put back
            days.append(_day(before))
            ratios.append(math.nan)
        days.append(_day(time))
        ratios.append(ratio)
        before = time
    return days, ratios


def _shade(axes: "Axes", findings: Findings, wall: Wall) -> None:
    """Shade and name the gravest incidents; the names stand above all lines."""
    left, right = axes.get_xlim()
    right = min(right, _day(LAST_DATE))  # matplotlib knows no date beyond
    axes.set_xlim(left, right)
    bottom, top = axes.get_ylim()
    shown = sorted(findings.gravest()[:INCIDENTS], key=lambda one: one.alert.first_seen)
    rows = min(len(shown), ROWS)
    share = ROW * (rows + 0.5)  # of the height
    axes.set_ylim(bottom, top * (top / bottom) ** (share / (1.0 - share)))
    for number, one in enumerate(shown):
        alert = one.alert
        since, until = _day(wall(alert.first_seen)), _day(wall(one.last))
        until = max(until, since + (right - left) / 400)
        colour = COLOURS.get(alert.severity, "gray")
        axes.axvspan(since, until, color=colour, alpha=0.18, linewidth=0)
        late = since > left + 0.7 * (right - left)
        axes.annotate(
            safe(f"{alert.attack}: {short(alert.client_id or alert.address or '?')}"),
            (until if late else since, 1.0 - ROW * (number % ROWS + 0.5)),
            xycoords=("data", "axes fraction"),
            ha="right" if late else "left",
            va="center",
            color=colour,
            fontsize="small",
            parse_math=False,
        )


def _show_dates(axes: "Axes", wall: float) -> None:
    """Show the days as dates and times of the zone that we are in."""
    from matplotlib import dates  # noqa: PLC0415 - an extra

    local = dt.datetime.fromtimestamp(wall, tz=dt.UTC).astimezone()
    locator = dates.AutoDateLocator(tz=local.tzinfo)  # type: ignore[no-untyped-call]
    formatter = dates.ConciseDateFormatter(locator, tz=local.tzinfo)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(formatter)
    axes.set_xlabel(f"time ({local:%Z})")


def _day(wall: float) -> float:
    """Wall time as matplotlib counts it: days since 1970."""
    return wall / 86_400.0
