"""The pictures of a report, as SVG to stand inside a page.

Ink and paper are the page's own, light or dark: what is drawn in a colour of `_MEANT` gets one
of its style sheet. Colours tell methods apart for the colour-blind too, and so do markers
(M. Okabe, K. Ito, 2008). matplotlib is imported where it is used: it is in the extra `evaluate`.
"""

import functools
import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, ParamSpec

from mqtt_ids.evaluating import words
from mqtt_ids.evaluating.results import (
    CONSTANT,
    COUNTERS,
    MEAN_STD,
    NO_FACTS,
    OURS,
    PCA,
    Curve,
    Roc,
    Step,
)
from mqtt_ids.evaluating.statistics import Interval, Times
from mqtt_ids.tables import safe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.typing import RcKeyType

_INK, _FAINT, _BLUE = "#010203", "#040506", "#0072b2"
_MEANT: Final = {_INK: "currentColor", _FAINT: "var(--faint)", _BLUE: "var(--cool)"}
_COLOURS: Final = {
    OURS: _BLUE,
    PCA: "#e69f00",
    COUNTERS: "#cc79a7",
    NO_FACTS: "#56b4e9",
    MEAN_STD: "#009e73",
    CONSTANT: "#808080",
}
_MARKERS: Final = {OURS: "o", PCA: "s", COUNTERS: "^", NO_FACTS: "D", MEAN_STD: "v", CONSTANT: "x"}
_ALARM: Final = "#d55e00"
_WIDTH: Final = 9.0  # inches
_NARROW: Final = 7.0
_ROW: Final = 0.27  # inches, of a picture with a row for each thing
_LONGEST: Final = 30  # letters of a label
_SOONEST: Final = 0.1  # seconds: where the axis of times begins
_COUNTS: Final = (5, 10, 20, 50, 100, 200, 500, 1000)
_STYLE: Final["dict[RcKeyType, Any]"] = {
    "svg.fonttype": "none",  # letters stay letters, in the page's own type
    "svg.hashsalt": "mqtt-ids",  # the same results give the same picture
    "font.size": 9.0,
    "text.parse_math": False,
    "text.color": _INK,
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": _FAINT,
    "grid.linewidth": 0.5,
    "xtick.color": _FAINT,
    "ytick.color": _FAINT,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "legend.frameon": False,
}
P = ParamSpec("P")

# What matplotlib writes for a file of its own, and a page must not have twice.
_DROPPED: Final = re.compile(
    r"^.*?(?=<svg)|<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->"
    r"|font-family: [^;\"]*; | id=\"[A-Za-z.]+\d*_\d+\"",
    re.DOTALL,
)


class Case(NamedTuple):
    """False alarms in homes that have something in their life: `number` in `weeks` of them.

    `about` counts those about that very kind of client.
    """

    name: str
    rate: float
    interval: Interval
    number: int
    weeks: float
    about: int


class Race(NamedTuple):
    """How soon each method found one form of attack, and by when it should be found."""

    form: str
    times: Mapping[str, Times]
    within: float | None


def _styled(draw: Callable[P, str]) -> Callable[P, str]:
    """Draw in the report's style, whatever style is set around it."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> str:
        import matplotlib as mpl  # noqa: PLC0415 - an extra

        with mpl.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return drawn


@_styled
def homes(counts: Mapping[str, Mapping[str, float]]) -> str:
    """False alarms a week by home (outer) and method; the bar is at one."""
    figure, axes = _sheet(2.6)
    methods = list(dict.fromkeys(method for each in counts.values() for method in each))
    for number, method in enumerate(methods):
        shift = 0.22 * (number - (len(methods) - 1) / 2.0)
        places = [place + shift for place, each in enumerate(counts.values()) if method in each]
        values = [each[method] for each in counts.values() if method in each]
        axes.vlines(places, 0.0, values, color=_COLOURS[method], linewidth=1.0)
        _dots(axes, places, values, method)
    axes.axhline(1.0, color=_INK, linewidth=1.0, linestyle="--", label="bar")
    highest = max((value for each in counts.values() for value in each.values()), default=0.0)
    axes.set_yscale("symlog", linthresh=2.0)
    axes.set_yticks([0, 1, 2, *(mark for mark in _COUNTS if mark < highest)])
    axes.set_yticks([], minor=True)
    axes.yaxis.set_major_formatter(_plain)
    axes.set_ylim(-0.15, max(2.0, 1.2 * highest))
    axes.set_xticks(range(len(counts)), list(map(_label, counts)), rotation=45, ha="right")
    axes.grid(visible=False, axis="x")
    axes.set_ylabel("false alarms a week")
    _legend(axes)
    return _svg(figure, "False alarms a week by home and method")


@_styled
def cases(rates: Sequence[Case]) -> str:
    """False alarms by what is part of life in a home, with intervals; the bar is at one."""
    figure, axes = _sheet(0.7 + _ROW * len(rates))
    places = range(len(rates))
    for place, case in enumerate(rates):
        axes.plot(case.interval, (place, place), color=_COLOURS[OURS], linewidth=1.5)
    _dots(axes, [case.rate for case in rates], places, OURS)
    axes.axvline(1.0, color=_INK, linewidth=1.0, linestyle="--")
    _rows(axes, [case.name for case in rates])
    axes.set_xlim(left=-0.01)
    axes.set_xlabel(
        "false alarms a home and week in homes that have it, with 95 % intervals; dashed: the bar"
    )
    return _svg(figure, "False alarms by what is part of life in a home")


@_styled
def times(races: Sequence[Race]) -> str:
    """Time to detect by form of attack: medians, and ours up to its worst."""
    figure, axes = _sheet(1.0 + _ROW * len(races))
    axes.set_xscale("log")
    every = [race.times for race in races]
    worst = max((each.worst or 0.0 for one in every for each in one.values()), default=1.0)
    never = 3.0 * max(worst, 10.0, *(race.within or 0.0 for race in races))
    for method in dict.fromkeys(method for race in races for method in race.times):
        at = [place for place, race in enumerate(races) if method in race.times]
        medians = [every[place][method].median for place in at]
        _dots(axes, [_soon(never if time is None else time) for time in medians], at, method)
    for place, race in enumerate(races):
        ours = race.times.get(OURS)
        if ours is not None and ours.median is not None and ours.worst is not None:
            span = (_soon(ours.median), _soon(ours.worst))
            axes.plot(span, (place, place), color=_COLOURS[OURS], linewidth=1.5)
        if race.within is not None:
            axes.plot((race.within,), (place,), "|", color=_INK, markersize=11, markeredgewidth=1.5)
    _rows(axes, [race.form for race in races])
    _mark_times(axes, never)
    _legend(axes)
    return _svg(figure, "Time to detect by form of attack and method")


@_styled
def roc(curves: Sequence[Roc]) -> str:
    """True against false positive rates; the rare false positives are what counts."""
    figure, axes = _sheet(3.6, width=_NARROW)
    rarest = min((rate for curve in curves for rate in curve.false if rate > 0.0), default=1e-3)
    left = 10.0 ** math.floor(math.log10(rarest))
    for curve in curves:
        colour = _COLOURS.get(curve.method, _INK)
        points = [max(rate, left) for rate in curve.false], curve.true
        label = f"{_label(curve.method)}: area {curve.area:.4f}"
        axes.plot(*points, color=colour, linewidth=1.8, drawstyle="steps-post", label=label)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(_plain)
    axes.set_xlim(left, 1.0)
    axes.set_ylim(0.0, 1.02)
    axes.set_xlabel("share of calm vectors above the threshold")
    axes.set_ylabel("share of the attack's vectors above")
    _legend(axes)
    return _svg(figure, "Receiver operating characteristic of single vectors")


@_styled
def ladder(steps: Sequence[Step]) -> str:
    """The highest score as a flood grows, by whom; int8 drawn through, float dashed."""
    figure, axes = _sheet(3.6, width=_NARROW)
    for by, colour in zip(
        dict.fromkeys(step.by for step in steps), _COLOURS.values(), strict=False
    ):
        rungs = sorted((step for step in steps if step.by == by), key=lambda step: step.rate)
        rates = [step.rate for step in rungs]
        axes.plot(
            rates, [s.int8 for s in rungs], "o-", color=colour, markersize=4, label=_label(by)
        )
        axes.plot(rates, [s.floats for s in rungs], "--", color=colour, linewidth=1.0)
    axes.axhline(1.0, color=_INK, linewidth=1.0, linestyle=":", label="threshold")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter(_plain)
    axes.yaxis.set_major_formatter(_plain)
    axes.set_xlabel("messages/s")
    axes.set_ylabel("score in thresholds (dashed: float)")
    _legend(axes)
    return _svg(figure, "Highest score as a flood grows")


@_styled
def score(curve: Curve) -> str:
    """One subject's score over time, its threshold, and the incidents."""
    figure, axes = _sheet(2.2)
    lowest = min((ratio for ratio in curve.ratios if ratio > 0.0), default=0.1)
    ratios = [max(ratio, lowest) for ratio in curve.ratios]
    axes.plot(curve.times, ratios, color=_COLOURS[OURS], linewidth=1.2)
    axes.axhline(1.0, color=_INK, linewidth=1.0, linestyle="--")
    for since, until, name in curve.incidents:
        axes.axvspan(since, until, color=_ALARM, alpha=0.2, linewidth=0)
        axes.annotate(
            _label(name),
            (since, 1.0),
            xycoords=("data", "axes fraction"),
            ha="left",
            va="bottom",
            color=_ALARM,
        )
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(_plain)
    axes.set_xlabel("seconds")
    axes.set_ylabel("score in thresholds")
    return _svg(figure, f"Score over time: {safe(curve.title)}")


def _sheet(height: float, *, width: float = _WIDTH) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure  # noqa: PLC0415 - an extra

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _dots(axes: "Axes", x: Sequence[float], y: Sequence[float], method: str) -> None:
    """A method's marks; those of rivals are hollow."""
    colour = _COLOURS[method]
    face = colour if method == OURS else "none"
    marker = _MARKERS[method]
    size = 26 if method == OURS else 30
    axes.scatter(
        x, y, s=size, marker=marker, facecolors=face, edgecolors=colour, label=method, zorder=3
    )


def _rows(axes: "Axes", names: Sequence[str]) -> None:
    """One row for each name, from the top."""
    axes.set_yticks(range(len(names)), list(map(_label, names)))
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")


def _label(name: str) -> str:
    """A name with a place of its own; a long one is cut, and nothing in it is a command."""
    told = safe(name)
    return told if len(told) <= _LONGEST else f"{told[: _LONGEST - 1]}…"


def _soon(time: float) -> float:
    return max(time, _SOONEST)


def _mark_times(axes: "Axes", never: float) -> None:
    """Ticks in seconds and minutes, and one for never."""
    marks = [mark for mark in (0.1, 1.0, 10.0, 60.0, 600.0, 3600.0) if mark < never / 2.0]
    labels = ["≤ 0.1 s", *map(words.seconds, marks[1:]), "never"]
    axes.set_xticks([*marks, never], labels)
    axes.set_xticks([], minor=True)
    axes.set_xlim(0.7 * _SOONEST, 1.5 * never)
    axes.set_xlabel("median time to detect; a line goes to the worst of ours, | is the bar")


def _plain(value: float, _place: float) -> str:
    """A figure at an axis, never as a power of ten."""
    return f"{value:,.7f}".rstrip("0").rstrip(".")


def _legend(axes: "Axes") -> None:
    axes.figure.legend(loc="outside upper left", ncols=5)


def _svg(figure: "Figure", title: str) -> str:
    """The figure as an element for a page; it is `title` to those who cannot see it."""
    image = io.StringIO()
    figure.savefig(image, format="svg", transparent=True, metadata={"Date": None})
    text = _DROPPED.sub("", image.getvalue())
    text = re.sub(r"font: [\d.]+px [^;\"]*", "font: inherit", text)
    for drawn, meant in _MEANT.items():
        text = text.replace(drawn, meant)
    label = title.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return text.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
