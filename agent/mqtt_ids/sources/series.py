"""Several sources as one: time goes on from one to the next, and connections end with theirs."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from mqtt_ids.errors import CaptureError
from mqtt_ids.events import AnyEvent, Closed, Connected, Opened, Sees
from mqtt_ids.sources.files import STDIN, Meter, SourceFile
from mqtt_ids.sources.source import Captured, Logged, Source

MOST_OPEN: Final = 65_536  # connections that are remembered, to be closed
PAUSE: Final = 1.0  # seconds between two sources whose own times do not go on


def open_series(
    paths: Sequence[str],
    *,
    ports: frozenset[int] | None = None,
    websocket_ports: frozenset[int] | None = None,
) -> Source:
    """Captures and event logs in the order of their times, as one source.

    `ports` as in `open_events`. Raises CaptureError where one of them cannot be opened, or is
    neither.
    """
    if len(paths) > 1:
        if STDIN in paths:
            raise CaptureError("standard input must be the only capture; several need names")
        paths = sorted(paths, key=_begins)
    meter = Meter()
    files = [SourceFile(path, meter) for path in paths]
    if all(file.kind == "capture" for file in files):
        return Captured(files, ports, websocket_ports)
    parts = [
        Captured([file], ports, websocket_ports) if file.kind == "capture" else Logged(file)
        for file in files
    ]
    return parts[0] if len(parts) == 1 else Series(parts)


def _begins(path: str) -> float:
    """The time of what comes first in a file; one in which there is nothing is the last."""
    from mqtt_ids.sensors.capture.files import frames  # noqa: PLC0415 - loads dpkt

    pipe = CaptureError(f"{path}: is a pipe, and must be the only capture")
    if Path(path).is_fifo():  # to open it would wait for somebody to write
        raise pipe
    file = SourceFile(path, Meter())
    if not file.is_regular:
        raise pipe
    if not file.size:  # what tcpdump has begun and not yet written to
        return math.inf
    if file.kind != "capture":
        return next((event.time for event in Logged(file).events), math.inf)
    with file.open() as stream:
        return next((frame[0] for frame in frames(stream, file.name)), math.inf)


class Series:
    """Sources one after the other, with one clock and one numbering of connections.

    A source that begins before the one before it ended is moved to a second after that end; with
    `seamless` any is, however long afterwards it was taken.
    """

    def __init__(self, sources: Sequence[Source], *, seamless: bool = False) -> None:
        self._sources = sources
        self._seamless = seamless
        self._shifts: list[tuple[float, float, Source]] = []  # since when, by how much, of which
        self._last: float | None = None
        self._top = 0  # the highest number of a connection so far
        self._open: dict[int, AnyEvent] = {}
        self._faults: list[str] = []

    @property
    def name(self) -> str:
        """For people."""
        return ", ".join(source.name for source in self._sources)

    @property
    def sees(self) -> Sees:
        """What all of their sensors saw."""
        sees = self._sources[0].sees
        for source in self._sources[1:]:
            sees &= source.sees
        return sees

    @property
    def meter(self) -> Meter:
        """How far the reading has come, over all of them."""
        return self._sources[0].meter

    @property
    def frames(self) -> int | None:
        """How many frames were read so far; None where none of them is a capture."""
        known = [source.frames for source in self._sources if source.frames is not None]
        return sum(known) if known else None

    @property
    def packets(self) -> Counter[str]:
        """How many MQTT packets of each type."""
        return sum((source.packets for source in self._sources), Counter[str]())

    @property
    def events(self) -> Iterator[AnyEvent]:
        """The events of all, once."""
        for number in range(len(self._sources)):
            yield from self.part(number)

    def part(self, number: int) -> Iterator[AnyEvent]:
        """The events of one of them, after those of the ones before it."""
        replace, base, shift = msgspec.structs.replace, self._top, 0.0
        source = self._sources[number]
        begun = False
        for event in self._readable(source):
            if not begun:
                begun = True
                yield from self._closings()
                shift = self._begin(source, event.time)
            moved = replace(event, time=event.time + shift, connection=event.connection + base)
            self._last = moved.time
            self._track(moved)
            yield moved

    def _readable(self, source: Source) -> Iterator[AnyEvent]:
        """The events of `source`, none where it cannot be read any more and others could be."""
        try:
            yield from source.events
        except CaptureError as error:
            if self._seamless or self._last is None:
                raise
            self._faults.append(str(error))

    def _begin(self, source: Source, time: float) -> float:
        """By how many seconds the events of `source`, which begins at `time`, are moved."""
        shift = 0.0
        if self._last is not None and (self._seamless or time < self._last):
            shift = self._last + PAUSE - time
        self._shifts.append((time + shift, shift, source))
        return shift

    def _track(self, event: AnyEvent) -> None:
        number = event.connection
        self._top = max(self._top, number)
        if type(event) is Closed:
            self._open.pop(number, None)
        elif type(event) is Opened or type(event) is Connected or number not in self._open:
            self._open[number] = event
            if len(self._open) > MOST_OPEN:
                del self._open[next(iter(self._open))]

    def _closings(self) -> Iterator[AnyEvent]:
        """The ends of all connections that are open, when a source is over."""
        for event in self._open.values():
            yield Closed(
                time=event.time if self._last is None else self._last,
                connection=event.connection,
                address=event.address,
                port=event.port,
                client_id=event.client_id,
                by="broker",
            )
        self._open.clear()

    @property
    def span(self) -> tuple[float, float] | None:
        """The wall times of the first and the last frame so far; None with an event log."""
        spans = [source.span for source in self._sources]
        known = [span for span in spans if span is not None]
        return (known[0][0], known[-1][1]) if known and len(known) == len(spans) else None

    def wall(self, time: float) -> float:
        """The wall time of an event's time."""
        for since, shift, source in reversed(self._shifts):
            if time >= since:
                return source.wall(time - shift)
        return self._sources[0].wall(time)

    def faults(self) -> list[str]:
        """Which files could not be read to their end, so far, in one line each."""
        return [fault for source in self._sources for fault in source.faults()] + self._faults

    def notes(self) -> list[str]:
        """What else was not read, so far, in one line each."""
        return [note for source in self._sources for note in source.notes()]
