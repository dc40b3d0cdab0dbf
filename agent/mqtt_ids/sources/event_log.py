"""Event logs: what a sensor saw, as JSON Lines (or as Parquet, `event_table`), for another day.

The first line is a header, each further one an event with the time of the sensor's own clock.
There are no payloads or passwords in events; the keyed hash of a credential becomes a small
number that means something within its file only. A log appears under its name when it is
complete; until then it grows beside it as `.NAME.part`.
"""

import io
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol

import msgspec

from mqtt_ids.errors import CaptureError
from mqtt_ids.events import (
    SEES_ALL,
    AnyEvent,
    Connected,
    Published,
    Refused,
    Sees,
    Subscribed,
    Unsubscribed,
)
from mqtt_ids.names import bounded
from mqtt_ids.sources.plain import plain

SCHEMA: Final = "mqtt-ids/events/1"
TABLE: Final = ".parquet"
LONGEST_LINE: Final = 1 << 20  # bytes; the longest SUBSCRIBE that a sensor decodes fits
CREDENTIALS_KEPT: Final = 65_536  # an attacker may try any number
FARTHEST: Final = 2.0**53  # seconds from 0; beyond, a float cannot count them


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What the events of a log have in common.

    `sees` names the flags of `events.Sees`. `wall_offset` is wall time minus the events' time, in
    seconds.
    """

    schema: str
    sensor: str = "capture"
    sees: tuple[str, ...]
    wall_offset: float = 0.0

    def what_is_seen(self) -> Sees:
        """The flags. Raises ValueError for one that does not exist."""
        seen = Sees(0)
        for name in self.sees:
            if name not in Sees.__members__:
                raise ValueError(f"no sensor sees {name!r}")
            seen |= Sees[name]
        return seen


class Form(Protocol):
    """A form that a log may have: its file is open from the start until `close`."""

    def write(self, event: AnyEvent) -> None:
        """Add an event."""

    def close(self) -> None:
        """All events are written. The file is closed even where that raises."""


class Writer(AbstractContextManager["Writer"]):
    """Writes a log; the file bears its name once the context is left without an error.

    The ending says in which form: `.jsonl` or `.parquet`. `wall` gives the wall time of an event's
    time. Raises CaptureError where the file cannot be written, which leaves nothing behind, or the
    form not without an extra package.
    """

    def __init__(
        self, path: Path, *, sees: Sees = SEES_ALL, wall: Callable[[float], float] | None = None
    ) -> None:
        self._path = path
        self._part = path.with_name(f".{path.name}.part")
        self._sees = tuple(flag.name or "" for flag in Sees if flag in sees)
        self._wall = wall
        self._numbers = _Numbers()
        self._form: Form | None = None
        self._given_up = False
        if path.suffix == TABLE:
            from mqtt_ids.sources.event_table import pyarrow  # noqa: PLC0415 - an extra

            pyarrow()
        if path.is_dir():
            raise CaptureError(f"{path}: is a folder; name a file in it")
        try:
            self._part.touch()
        except OSError as error:
            raise self._unwritable(error) from None

    def write(self, event: AnyEvent) -> None:
        """Add an event; topics, and what was a secret, are made small first."""
        try:
            if self._form is None:
                self._form = self._begun(event.time)
            self._form.write(_tidy(event, self._numbers))
        except OSError as error:
            self._discard()
            raise self._unwritable(error) from None

    def _begun(self, time: float) -> Form:
        """The file with its header; `time` is that of the first event."""
        offset = 0.0 if self._wall is None else self._wall(time) - time
        header = Header(schema=SCHEMA, sees=self._sees, wall_offset=offset)
        if self._path.suffix != TABLE:
            return _Lines(self._part, header)
        from mqtt_ids.sources.event_table import Table  # noqa: PLC0415 - an extra

        return Table(self._part, header)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give the file its name, or remove it after an error."""
        if kind is not None or self._given_up:
            self._discard()
            return
        try:
            if self._form is None:
                self._form = self._begun(0.0)
            self._form.close()
            self._part.replace(self._path)
        except OSError as error:
            self._discard()
            raise self._unwritable(error) from None

    def _discard(self) -> None:
        """Nothing is left of what was written; what fails here has failed before."""
        form, self._form, self._given_up = self._form, None, True
        with suppress(OSError, ValueError):  # pyarrow's errors are ValueErrors
            if form is not None:
                form.close()
        with suppress(OSError):
            self._part.unlink(missing_ok=True)

    def _unwritable(self, error: OSError) -> CaptureError:
        return CaptureError(f"{self._path}: cannot be written ({error.strerror or error})")


class _Lines:
    """The form of JSON Lines."""

    def __init__(self, path: Path, header: Header) -> None:
        self._file = path.open("wb", buffering=1 << 18)
        self._encoder = msgspec.json.Encoder()
        self._file.write(self._encoder.encode(header) + b"\n")

    def write(self, event: AnyEvent) -> None:
        """Add an event."""
        self._file.write(plain(self._encoder.encode(event)) + b"\n")

    def close(self) -> None:
        """All events are written."""
        with self._file as file:
            file.flush()
            os.fsync(file.fileno())


class _Numbers:
    """Small numbers for credentials, the same for the same one; bounded."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, int] = OrderedDict()
        self._next = 1

    def of(self, credential: int) -> int:
        """The number of `credential`; one that was forgotten gets another."""
        number = self._known.get(credential)
        if number is None:
            number = self._known[credential] = self._next
            self._next += 1
            if len(self._known) > CREDENTIALS_KEPT:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(credential)
        return number


def _tidy(event: AnyEvent, numbers: _Numbers) -> AnyEvent:
    """The event as it is written: with short topics, and without the hash of a credential."""
    replace = msgspec.structs.replace
    if isinstance(event, Published):
        topic = bounded(event.topic)
        return event if topic is event.topic else replace(event, topic=topic)
    if isinstance(event, Subscribed | Unsubscribed):
        return replace(event, filters=tuple(map(bounded, event.filters)))
    if isinstance(event, Connected) and event.will_topic is not None:
        return replace(event, will_topic=bounded(event.will_topic))
    if isinstance(event, Refused):
        will = None if event.will_topic is None else bounded(event.will_topic)
        known = None if event.credential is None else numbers.of(event.credential)
        return replace(event, will_topic=will, credential=known)
    return event


def read_lines(stream: io.BufferedIOBase, name: str) -> tuple[Header, Iterator[AnyEvent]]:
    """The header and the events of a log in JSON Lines; a pipe will do.

    Raises CaptureError, here for a header that is none, and after the events that can be read for
    a line that is damaged or cut off.
    """
    line = stream.readline(LONGEST_LINE)
    try:
        header = checked(msgspec.json.decode(line, type=Header))
    except (msgspec.DecodeError, ValueError):
        raise CaptureError(
            f"{name}: not an event log: its first line should hold the schema {SCHEMA}"
        ) from None
    return header, _events(stream, name)


def checked(header: Header) -> Header:
    """`header`, if this version can read what follows it. Raises ValueError."""
    if header.schema != SCHEMA:
        raise ValueError(f"schema {header.schema!r}")
    header.what_is_seen()
    return header


def _events(stream: io.BufferedIOBase, name: str) -> Iterator[AnyEvent]:
    decode = msgspec.json.Decoder(AnyEvent).decode
    number, before = 1, -FARTHEST
    while line := stream.readline(LONGEST_LINE):
        number += 1
        try:
            event = decode(line)
        except (msgspec.DecodeError, ValueError) as error:
            why = "cut off" if not line.endswith(b"\n") else _short(error)
            raise CaptureError(f"{name}: line {number} is damaged ({why})") from None
        if not before <= event.time <= FARTHEST:
            raise CaptureError(f"{name}: line {number} is damaged ({misplaced(event.time)})")
        before = event.time
        yield event


def misplaced(time: float) -> str:
    """What is wrong with a time that is not between the last one and the farthest."""
    return "its time is before the last" if abs(time) <= FARTHEST else "its time is out of range"


def _short(error: Exception) -> str:
    """What a decoder says, without the place, which means nothing to a person."""
    return str(error).partition(" - at ")[0].partition(" (byte ")[0]
