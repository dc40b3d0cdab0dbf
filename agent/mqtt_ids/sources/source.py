"""Where events come from when nobody is watching live: captures and event logs.

What a file is, is told by its content. A capture may come through a pipe, and is then read as it
comes. Several captures, such as `tcpdump -C` writes, are one: a connection goes on in the next.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from mqtt_ids.errors import CaptureError
from mqtt_ids.events import SEES_ALL, AnyEvent, Sees
from mqtt_ids.sources.event_log import read_lines
from mqtt_ids.sources.event_table import read_table
from mqtt_ids.sources.files import Meter, SourceFile

if TYPE_CHECKING:
    from mqtt_ids.sensors.capture.files import Frame


class Source(Protocol):
    """Events, and what else can be told of where they come from."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def sees(self) -> Sees:
        """What its sensor saw."""

    @property
    def meter(self) -> Meter:
        """How far the reading has come."""

    @property
    def events(self) -> Iterator[AnyEvent]:
        """The events, once. Raises CaptureError where not even the first can be read."""

    @property
    def frames(self) -> int | None:
        """How many frames were read so far; None for an event log."""

    @property
    def packets(self) -> Counter[str]:
        """How many MQTT packets of each type, both ways; none for an event log."""

    @property
    def span(self) -> tuple[float, float] | None:
        """The wall times of the first and the last frame so far; None for an event log."""

    def wall(self, time: float) -> float:
        """The wall time of an event's time, both in seconds."""

    def faults(self) -> list[str]:
        """Which files could not be read to their end, so far, in one line each."""

    def notes(self) -> list[str]:
        """What else was not read, so far, in one line each."""


def open_events(
    path: str,
    *,
    ports: frozenset[int] | None = None,
    websocket_ports: frozenset[int] | None = None,
) -> Source:
    """The events of one capture or event log; `-` is standard input.

    `ports` are those of MQTT over TCP and over WebSocket; None: the usual ones. Raises
    CaptureError where the file cannot be opened.
    """
    file = SourceFile(path, Meter())
    return Captured([file], ports, websocket_ports) if file.kind == "capture" else Logged(file)


class Captured:
    """The events of captures that follow each other, as one sensor saw them."""

    sees = SEES_ALL

    def __init__(
        self,
        files: Sequence[SourceFile],
        ports: frozenset[int] | None,
        websocket_ports: frozenset[int] | None,
    ) -> None:
        from mqtt_ids.sensors.capture.sensor import PORTS, Capture  # noqa: PLC0415 - loads dpkt

        chosen = {"ports": ports, "websocket_ports": websocket_ports}
        self._files = files
        self._capture = Capture(**{key: value for key, value in chosen.items() if value})
        self._where = _ports(ports or PORTS)
        self._faults: list[str] = []
        self.name = _names([file.name for file in files])
        self.meter = files[0].meter

    @property
    def events(self) -> Iterator[AnyEvent]:
        """The events, once. Raises CaptureError where not even the first frame can be read."""
        return self._capture.read(self._frames())

    def _frames(self) -> Iterator["Frame"]:
        from mqtt_ids.sensors.capture.files import frames  # noqa: PLC0415 - loads dpkt

        for file in self._files:
            try:
                with file.open() as stream:
                    yield from frames(stream, file.name)
            except CaptureError as error:
                if not self._capture.frames:
                    raise
                self._faults.append(str(error))

    @property
    def frames(self) -> int:
        """How many frames were read so far."""
        return self._capture.frames

    @property
    def packets(self) -> Counter[str]:
        """How many MQTT packets of each type, both ways."""
        return Counter(
            {
                "malformed" if kind is None else kind.name.lower(): count
                for kind, count in self._capture.packets.items()
            }
        )

    @property
    def span(self) -> tuple[float, float] | None:
        """The wall times of the first and the last frame so far."""
        first, last = self._capture.first, self._capture.last
        return None if first is None or last is None else (first, last)

    def wall(self, time: float) -> float:
        """The wall time of an event's time, both in seconds."""
        return self._capture.wall(time)

    def faults(self) -> list[str]:
        """Which files could not be read to their end, so far."""
        return self._faults

    def notes(self) -> list[str]:
        """What else was not read, so far, in one line each."""
        figures = self._capture.figures
        notes = []
        if self.frames and not figures.connections:
            notes.append(f"no connection to {self._where} was seen; --port chooses another port")
        if figures.encrypted:
            notes.append(f"{_many(figures.encrypted, 'encrypted connection')} not read")
        if figures.gaps:
            gaps = f"{figures.gaps:,} gap{'' if figures.gaps == 1 else 's'}"
            notes.append(f"{gaps}: not all that was said is in the capture")
        if figures.unreadable:
            kinds = ", ".join(map(str, sorted(figures.unreadable)))
            many = _many(figures.unreadable.total(), "frame", f" of an unknown link type ({kinds})")
            notes.append(f"{many} not read")
        return notes


class Logged:
    """The events of an event log."""

    frames = None
    span = None

    def __init__(self, file: SourceFile) -> None:
        self.name = file.name
        self.meter = file.meter
        self.packets = Counter[str]()
        self._faults: list[str] = []
        if file.kind == "lines":
            self._header, self._events = read_lines(file.open(), self.name)
        elif file.is_regular:
            self._header, self._events = read_table(file.path, self.name)
        else:
            raise CaptureError(f"{self.name}: Parquet needs a file, and not a pipe")

    @property
    def sees(self) -> Sees:
        """What its sensor saw."""
        return self._header.what_is_seen()

    @property
    def events(self) -> Iterator[AnyEvent]:
        """The events, once. Raises CaptureError where not even the first can be read."""
        first = True
        try:
            for event in self._events:
                first = False
                yield event
        except CaptureError as error:
            if first:
                raise
            self._faults.append(str(error))

    def wall(self, time: float) -> float:
        """The wall time of an event's time, both in seconds."""
        return time + self._header.wall_offset

    def faults(self) -> list[str]:
        """That it could not be read to its end, if so."""
        return self._faults

    def notes(self) -> list[str]:
        """What else was not read, so far: nothing."""
        return []


def _names(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _many(count: int, noun: str, more: str = "") -> str:
    return f"1 {noun}{more} was" if count == 1 else f"{count:,} {noun}s{more} were"


def _ports(ports: frozenset[int]) -> str:
    return f"port{'s' if len(ports) > 1 else ''} {', '.join(map(str, sorted(ports)))}"
