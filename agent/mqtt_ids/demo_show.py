"""The demo on the terminal: a live view, or plain lines in a pipe and under NO_COLOR.

Client ids and reasons hold an attacker's words: they are shown with nothing in them that a
terminal would obey.
"""

import os
import sys
from collections import deque
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mqtt_ids.demo_report import CALM, Report, Sighting, Trial
from mqtt_ids.tables import line, safe, table

HEADINGS = ("ATTACK", "DETECTED AFTER", "NAMED AS", "CALM CLIENTS DISTURBED")
SHOWN = 7  # alerts at a time
_COLOURS = {"critical": "bold red", "high": "red", "medium": "yellow"}


class Show(Protocol):
    """Where the demo tells what happens. Times are seconds since it began."""

    def step(self, text: str, now: float) -> None:
        """Something begins."""

    def alert(self, sighting: Sighting, now: float) -> None:
        """An alert was received."""

    def beat(self, report: Report, published: int, now: float) -> None:
        """A moment has passed; the home has `published` so many messages."""

    def end(self, report: Report) -> None:
        """Nothing more happens: the table."""

    def close(self) -> None:
        """Leave the terminal as it was found, whatever happened. Twice does no harm."""


def show() -> Show:
    """What fits standard output."""
    plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ
    return Plain() if plain else Lively(Console())


def rows(report: Report) -> list[tuple[str, str, str, str]]:
    """The table's rows, as text."""
    return [_row(trial) for trial in report.trials]


def verdict(report: Report) -> str:
    """The whole in one sentence."""
    attacks = [trial for trial in report.trials if trial.attack != CALM]
    named = sum(trial.recognised for trial in attacks)
    disturbed = set[str]().union(*(trial.disturbed for trial in report.trials))
    whom = f"disturbed: {', '.join(sorted(disturbed))}" if disturbed else "nobody else disturbed"
    return f"{named} of {len(attacks)} attacks found and rightly named, {whom}"


class Plain:
    """One line for each thing that happens."""

    def step(self, text: str, now: float) -> None:
        """Something begins."""
        line(f"{now:5.1f} s  {text}")

    def alert(self, sighting: Sighting, now: float) -> None:
        """An alert was received; that a note changed is not worth a line."""
        if sighting.alarms or sighting.state == "open":
            line(f"{now:5.1f} s  {'ALERT' if sighting.alarms else 'note '} {_told(sighting)}")

    def beat(self, report: Report, published: int, now: float) -> None:
        """Nothing: time passes by itself."""

    def end(self, report: Report) -> None:
        """The table."""
        line("")
        table(HEADINGS, rows(report), "")
        line("")
        line(verdict(report))

    def close(self) -> None:
        """Nothing is to be undone."""


class Lively:
    """A picture that is drawn anew a few times a second."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._text, self._since = "starting", 0.0
        self._alerts: deque[tuple[float, Sighting]] = deque(maxlen=SHOWN)
        self._live = Live(console=console, auto_refresh=False)
        self._live.start()

    def step(self, text: str, now: float) -> None:
        """Something begins."""
        self._text, self._since = text, now

    def alert(self, sighting: Sighting, now: float) -> None:
        """An alert was received; notes stay out of the picture."""
        if sighting.alarms:
            self._alerts.append((now, sighting))

    def beat(self, report: Report, published: int, now: float) -> None:
        """Draw."""
        head = Text.assemble(
            ("mqtt-ids demo", "bold"), f"  {now:4.0f} s  {published} messages at home"
        )
        foot = f"{safe(self._text)}  {now - self._since:.0f} s"
        self._draw(report, head, Text(foot, "cyan"))

    def end(self, report: Report) -> None:
        """The last picture stays."""
        colour = "green" if report.passed else "red"
        head = Text("mqtt-ids demo", "bold")
        self._draw(report, head, Text(safe(verdict(report)), colour))

    def close(self) -> None:
        """Give the cursor back."""
        self._live.stop()

    def _draw(self, report: Report, head: Text, foot: Text) -> None:
        blank = Text()
        parts = (head, blank, _table(report), blank, self._received(), blank, foot)
        self._live.update(Group(*parts), refresh=True)

    def _received(self) -> Group:
        lines = []
        for now, one in self._alerts:
            severity = (f"{one.severity:8}  ", _COLOURS.get(one.severity, ""))
            text = Text.assemble(f"{now:5.1f} s  ", severity, safe(_told(one, brief=True)))
            text.no_wrap, text.overflow = True, "ellipsis"
            lines.append(text)
        return Group(*lines)


def _table(report: Report) -> Table:
    shown = Table(box=None, header_style="bold", pad_edge=False)
    for heading in HEADINGS:
        shown.add_column(heading, no_wrap=True)
    for trial, row in zip(report.trials, rows(report), strict=True):
        colour = "" if not trial.over else "green" if trial.passed else "red"
        shown.add_row(*(Text(safe(cell), colour) for cell in row))
    return shown


def _row(trial: Trial) -> tuple[str, str, str, str]:
    disturbed = str(len(trial.disturbed))
    if trial.attack == CALM:
        return (trial.attack, "-", "-", disturbed)
    after = trial.detected_after
    pending = "missed" if trial.over else "..."
    when = pending if after is None else f"{after:.1f} s"
    return (trial.attack, when, ", ".join(trial.names) or "-", disturbed)


def _told(sighting: Sighting, *, brief: bool = False) -> str:
    """An alert in one line."""
    who = [sighting.client_id, sighting.address]
    if sighting.client_id is None and sighting.client_count:
        who.append(f"{sighting.client_count} clients")
    said = ", ".join(word for word in who if word)
    severity = "" if brief else f"{sighting.severity} "
    change = "" if sighting.state == "open" else f" ({sighting.state})"
    why = "; ".join(sighting.reasons[:1] if brief else sighting.reasons)
    return f"{severity}{sighting.attack}{change} by {said or 'nobody known'}: {why}"
