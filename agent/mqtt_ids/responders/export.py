"""Alerts into a file, one JSON object a line, for whoever collects logs.

Nothing here makes the event loop wait: lines are handed over in memory, and one thread writes
them. An SD card wears, so an update waits for the minute, melts into a later one of the same
incident, and all of it stays within a daily budget. Where the disk refuses, lines wait, and are
tried again; what waits is bounded.
"""

import logging
import threading
import time
from pathlib import Path

import msgspec

from mqtt_ids import settings as keys
from mqtt_ids.alerts import State
from mqtt_ids.allowance import Allowance
from mqtt_ids.responders import ocsf
from mqtt_ids.responders.lines import LinesFile

log = logging.getLogger(__name__)

EVERY = 60.0  # seconds from one write to the next where only updates wait
SOON = 1.0  # seconds in which what is more urgent is gathered
AGAIN = 10.0  # seconds after which a refused write is tried again
HELD_LINES = 1000
HELD_BYTES = 1_000_000  # of the lines that wait
DAY_BYTES = 5_000_000  # what may be written in a day; the first BURST_BYTES of it at once
BURST_BYTES = 500_000
PAGE = 4096  # bytes; a disk writes whole pages, and one more for the file's own record


class _Change(msgspec.Struct):
    """What of an alert decides how its line is kept."""

    id: str
    state: State


class Export:
    """Writes alerts to the file of the settings. `alert` returns at once."""

    def __init__(self, file: Path, settings: keys.Export) -> None:
        self._file = file
        self._lines = LinesFile(file, max_size=settings.max_size, keep=settings.keep)
        self._ocsf = settings.format == "ocsf"
        self._wake = threading.Condition()  # guards what follows
        self._waiting: dict[tuple[str, State], bytes] = {}
        self._held = 0  # bytes
        self._urgent = False
        self._closing = False
        self._failing = False
        self._lost = 0
        self._writer: threading.Thread | None = None

    def start(self) -> None:
        """Begin to write. What cannot be written yet is no reason not to start."""
        self._closing = False
        self._writer = threading.Thread(target=self._run, name="mqtt-ids-export", daemon=True)
        self._writer.start()

    def stop(self, patience: float = 5.0) -> None:
        """Write what waits, at most `patience` seconds long: a disk that hangs must not hang us."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._writer is not None:
            self._writer.join(patience)
            self._writer = None

    @property
    def unwritten(self) -> int:
        """Alerts that are lost, or that wait because the disk refuses them; 0 if all is well."""
        with self._wake:
            return self._lost + (len(self._waiting) if self._failing else 0)

    def alert(self, alert: bytes) -> None:
        """Put an alert (JSON of schema 1) in line."""
        change = msgspec.json.decode(alert, type=_Change)
        line = (ocsf.finding(alert) if self._ocsf else alert) + b"\n"
        with self._wake:
            self._hold((change.id, change.state), line)
            if change.state != "update" and not self._urgent:
                self._urgent = True
                self._wake.notify()

    def _hold(self, key: tuple[str, State], line: bytes) -> None:
        self._held += len(line) - len(self._waiting.pop(key, b""))
        self._waiting[key] = line
        while self._held > HELD_BYTES or len(self._waiting) > HELD_LINES:
            self._held -= len(self._waiting.pop(next(iter(self._waiting))))
            self._lost += 1
            if self._lost == 1:
                log.warning("%s: more alerts than may be written; the oldest are lost", self._file)

    # The writer's thread.

    def _run(self) -> None:
        allowance = Allowance(day=DAY_BYTES, burst=BURST_BYTES, now=time.monotonic())
        while not self._closing:
            with self._wake:
                self._wake.wait_for(lambda: self._urgent or self._closing, EVERY)
                self._wake.wait_for(lambda: self._closing, SOON)
            may = allowance.left(time.monotonic()) > 0
            more = allowance.spend(self._write()) if may else False
            with self._wake:
                if self._failing or not more:
                    self._wake.wait_for(lambda: self._closing, AGAIN)
        self._write()
        self._lines.close()

    def _write(self) -> int:
        """Write what waits; about how many bytes that puts on the disk."""
        with self._wake:
            taken, self._waiting = self._waiting, {}
            self._held = 0
            self._urgent = False
        if not taken:
            return 0
        data = b"".join(taken.values())
        try:
            self._lines.append(data)
        except OSError as error:
            self._tell(error)
            self._put_back(taken)
            return 0
        self._tell(None)
        return (len(data) // PAGE + 2) * PAGE

    def _put_back(self, lines: dict[tuple[str, State], bytes]) -> None:
        """In front of what came since."""
        with self._wake:
            newer, self._waiting = self._waiting, {}
            self._held = 0
            for key, line in (lines | newer).items():
                self._hold(key, line)
            self._urgent = True

    def _tell(self, error: OSError | None) -> None:
        """Log the first failure of a row, and its end."""
        if error is not None and not self._failing:
            log.error(
                "%s: cannot be written: %s; alerts wait, and go out on MQTT as ever",
                self._file,
                error.strerror,
            )
        elif error is None and self._failing:
            log.warning("%s: is written again; %d alerts are lost", self._file, self._lost)
        with self._wake:
            self._failing = error is not None
