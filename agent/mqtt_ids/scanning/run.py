"""One run of `mqtt-ids scan`: opens what is named, scans it, and hands on what was found."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from itertools import chain
from pathlib import Path
from typing import Final

import click
import msgspec
from rich.console import Console, RenderableType
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from mqtt_ids.alerts import Alert, encode
from mqtt_ids.errors import IdsError, TrainingError
from mqtt_ids.events import AnyEvent
from mqtt_ids.mask_classes import Threshold
from mqtt_ids.models import open_model
from mqtt_ids.readers import spell
from mqtt_ids.scanning import plots
from mqtt_ids.scanning.breaking_off import BreakingOff
from mqtt_ids.scanning.curves import Curves
from mqtt_ids.scanning.findings import NOTE
from mqtt_ids.scanning.keeping import Keeping
from mqtt_ids.scanning.scan import Scan
from mqtt_ids.scanning.story import Story
from mqtt_ids.scanning.teller import Teller, dated, is_terminal, writing_out
from mqtt_ids.sources.event_log import Writer
from mqtt_ids.sources.files import STDIN, Meter
from mqtt_ids.sources.plain import plain
from mqtt_ids.sources.series import Series, open_series
from mqtt_ids.sources.source import Source
from mqtt_ids.tables import safe

SENSOR: Final = "capture"
FOUND: Final = 1  # exit code: an incident above info
UNWRITTEN: Final = 2  # exit code: a file that was asked for is not there


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line says. `learn_first` is in seconds; ports are None for the usual."""

    captures: tuple[str, ...]
    as_json: bool = False
    events: Path | None = None
    plot: Path | None = None
    learn_first: float | None = None
    learn_from: tuple[str, ...] = ()
    ports: frozenset[int] | None = None
    websocket_ports: frozenset[int] | None = None
    model: str = "default"
    threshold: Threshold = "budget"


class Scanning:
    """Opens what was chosen. Raises IdsError or ModelError, in one line, where that fails."""

    def __init__(self, choices: Choices) -> None:
        if choices.learn_first is not None and choices.learn_from:
            raise IdsError("learn from --learn-first or from --learn-from, and not from both")
        if STDIN in choices.learn_from:
            raise IdsError("--learn-from needs a file; standard input can only be scanned")
        if choices.plot is not None:
            plots.needed(choices.plot)
        model = open_model(choices.model)
        self._choices = choices
        self._source = self._opened(choices.captures)
        self._meters = [self._source.meter]
        self._joined: Series | None = None  # the calm source, and then the one to scan
        if choices.learn_from:
            calm = self._opened(choices.learn_from)
            self._meters.append(calm.meter)
            self._joined = Series([calm, self._source], seamless=True)
        whole = self._source if self._joined is None else self._joined
        self._whole = whole
        self._curves = None if choices.plot is None else Curves()
        self._scan = Scan(model, sees=whole.sees, threshold=choices.threshold, curves=self._curves)
        self._story = Story(Teller(), self._scan, self._source, self._wall)
        self._breaking = BreakingOff(self._meters)
        self._log: Keeping | None = None
        self._complaints: list[str] = []

    def _opened(self, paths: tuple[str, ...]) -> Source:
        choices = self._choices
        return open_series(paths, ports=choices.ports, websocket_ports=choices.websocket_ports)

    def run(self) -> int:
        """Scan, and tell what was found; the exit code.

        Raises IdsError where not even the first event can be read, where the calm part is too
        short, and where the plot or standard output cannot be written.
        """
        choices = self._choices
        with ExitStack() as stack:
            stack.enter_context(self._breaking)
            if choices.events is not None:
                log = Writer(choices.events, sees=self._source.sees, wall=self._whole.wall)
                self._log = stack.enter_context(Keeping(log, self._complain))
            stack.enter_context(self._progress())
            for alert in self._alerts():
                self._tell(alert)
        self._tell_faults()
        if not choices.as_json:
            self._story.tell()
        if choices.plot is not None and self._curves is not None:
            title, found = self._source.name, self._scan.findings
            plots.plot(choices.plot, self._curves, found, self._wall, title)
        if self._log is not None and self._log.failed:
            return UNWRITTEN
        if self._breaking.asked and not self._is_live:
            return self._breaking.code
        return FOUND if self._scan.findings.count else 0

    @property
    def _is_live(self) -> bool:
        """Whether it comes through a pipe, and so ends when somebody says so."""
        return self._source.meter.is_live

    def _alerts(self) -> Iterator[Alert]:
        scan, joined, seconds = self._scan, self._joined, self._choices.learn_first
        if joined is not None:
            yield from scan.learn(self._breaking.until(joined.part(0)))
            scan.recount()
            yield from scan.alerts(self._kept(joined.part(1)))
        elif seconds is not None:
            parted = _Parted(self._kept(self._source.events), seconds)
            yield from scan.learn(parted.first())
            if parted.rest is None and not self._breaking.asked:
                raise TrainingError(f"nothing is left to scan after the first {spell(seconds)}")
            yield from scan.alerts(parted.rest or ())
        else:
            yield from scan.alerts(self._kept(self._source.events))
        yield from scan.end()

    def _kept(self, events: Iterable[AnyEvent]) -> Iterator[AnyEvent]:
        """The events to scan: up to Ctrl-C, and written down where that was asked for."""
        until = self._breaking.until(events)
        return until if self._log is None else self._log.through(until)

    def _wall(self, time: float) -> float:
        """The wall time of an event's time, as far as dates go."""
        return dated(self._whole.wall(time))

    def _complain(self, why: str) -> None:
        """Say that something failed; where a bar is drawn, after that."""
        if self._is_live:
            click.echo(f"mqtt-ids: {safe(why)}", err=True)
        else:
            self._complaints.append(why)

    def _tell_faults(self) -> None:
        """What was not read or written to its end. That nothing was seen would not show in JSON."""
        source = self._source
        faults = [*source.faults(), *self._complaints]
        if self._choices.as_json and not self._scan.census.events:
            faults.append("; ".join([f"{source.name}: no MQTT was seen", *source.notes()]))
        for fault in faults:
            click.echo(f"mqtt-ids: {safe(fault)}", err=True)

    def _tell(self, alert: Alert) -> None:
        """Tell of an alert at once, where somebody waits for that."""
        if self._choices.as_json:
            named = msgspec.structs.replace(alert, sensor=SENSOR)
            with writing_out():
                click.echo(plain(encode(named, self._wall(alert.time) - alert.time)))
        elif self._is_live and alert.state == "open" and alert.severity != NOTE:
            self._story.opening(alert)

    def _progress(self) -> AbstractContextManager[object]:
        """How far it is, on a terminal that nothing else is written to."""
        told_here = self._choices.as_json and is_terminal(sys.stdout)
        if self._is_live or told_here or not is_terminal(sys.stderr):
            return nullcontext()
        return Bar(self._source.name, self._meters)


class Bar(Progress):
    """How much of some files was read, drawn a few times a second by a thread of its own."""

    def __init__(self, name: str, meters: Sequence[Meter]) -> None:
        super().__init__(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._meters = meters
        sizes = [meter.size for meter in meters]
        total = None if None in sizes else sum(size or 0 for size in sizes)
        self._reading = self.add_task(safe(name), total=total)

    def get_renderables(self) -> Iterable[RenderableType]:
        """What is drawn now."""
        if self.task_ids:
            done = sum(meter.bytes_read for meter in self._meters)
            self.update(self._reading, completed=done)
        yield from super().get_renderables()


class _Parted:
    """Events in two parts: those of the first `seconds`, and the `rest` (None: there is none)."""

    def __init__(self, events: Iterator[AnyEvent], seconds: float) -> None:
        self._events = events
        self._seconds = seconds
        self.rest: Iterator[AnyEvent] | None = None

    def first(self) -> Iterator[AnyEvent]:
        """The first part; after it there is a `rest`."""
        end: float | None = None
        for event in self._events:
            if end is None:
                end = event.time + self._seconds
            if event.time >= end:
                self.rest = chain((event,), self._events)
                return
            yield event
