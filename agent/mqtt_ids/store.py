"""What survives a restart: bans, incidents and the log of actions; and whole files beside them.

Nothing here makes the event loop wait: changes are handed over in memory, and one thread writes
them. Changes to one incident melt into the last one. An SD card wears, so an update waits for the
minute while a new incident or a ban is written within a second, and all of it stays within a
daily budget of bytes. A disk that is full is counted and logged once; what is in memory stays
true without it.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from mqtt_ids.acceptance import Acceptance
from mqtt_ids.allowance import Allowance
from mqtt_ids.changes import Changes, Entry, Record
from mqtt_ids.database import Database
from mqtt_ids.errors import StateError
from mqtt_ids.history import Moment, moment
from mqtt_ids.policy import Ban, Handle
from mqtt_ids.state_files import StateFiles
from mqtt_ids.state_folder import StateFolder

log = logging.getLogger(__name__)

FILE = "state.db"
EVERY = 60.0  # seconds between writes when nothing is urgent
SOON = 1.0  # seconds in which urgent changes are gathered into one write
PROMPT = 0.25  # the same, where somebody waits for the write
DAY_BYTES = 24_000_000  # what the database may write in a day, BURST_BYTES of it at once
BURST_BYTES = 4_000_000

T = TypeVar("T")


class Store:
    """The state folder and the database in it. One process at a time."""

    def __init__(self, folder: Path, *, incidents_kept: int) -> None:
        self._folder = StateFolder(folder)
        self._file = folder / FILE
        self._kept = incidents_kept
        self._database: Database | None = None
        self._using = threading.Lock()  # the database: the writer, or whoever reads
        self._wake = threading.Condition()  # guards what follows
        self._changes = Changes()
        self._writing = Changes()  # what the writer has taken and not yet finished
        self._urgent = False
        self._waiters: list[Callable[[], None]] = []  # to be told of the next write
        self._closing = False
        self._dropped = 0
        self._failing = False
        self.failures = 0  # writes that failed since the start
        self._writer: threading.Thread | None = None
        self.files = StateFiles(folder)

    def open(self) -> None:
        """Take the folder, check the database, start the writer. Raises StateError."""
        self._folder.open()
        try:
            self._database = Database(self._file)
        except StateError:
            self._folder.close()
            raise
        self._writer = threading.Thread(target=self._run, name="mqtt-ids-store", daemon=True)
        self._writer.start()

    def close(self, patience: float = 5.0) -> None:
        """Write what waits, at most `patience` seconds long, and give the folder back."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._writer is not None:
            self._writer.join(patience)
            self._writer = None
        if self._using.acquire(timeout=patience):  # a disk that hangs must not hang us
            if self._database is not None:
                self._database.close()
                self._database = None
            self._using.release()
        self._folder.close()

    @property
    def unwritten(self) -> int:
        """Changes that are lost, or that wait because the disk refuses them; 0 if all is well."""
        with self._wake:
            held = self._changes
            waiting = len(held.incidents) + len(held.bans) + len(held.accepted)
            lost = self._dropped + held.dropped + self.files.failing
            return lost + (waiting if self._failing else 0)

    # Changes: each returns at once.

    def put_incident(self, name: str, alert: bytes, *, is_open: bool, urgent: bool) -> None:
        """Remember the last alert (JSON) of an incident."""
        with self._wake:
            self._changes.put_incident(name, Record(alert, is_open))
            self._hurry(urgent=urgent)

    def put_ban(self, ban: Ban, written: Callable[[], None] | None = None) -> None:
        """Remember a ban. `written` is called from another thread once no SIGKILL can undo it.

        It is not called where the disk refuses the write.
        """
        with self._wake:
            self._changes.put_ban(ban.handle, ban)
            self._hurry(urgent=True)
            if written is not None:
                self._waiters.append(written)
                self._wake.notify()

    def drop_ban(self, handle: Handle, *, urgent: bool) -> None:
        """Forget a ban. One that has ended by itself is not urgent: no restart revives it."""
        with self._wake:
            self._changes.put_ban(handle, None)
            self._hurry(urgent=urgent)

    def put_accepted(
        self, incident: str, acceptance: Acceptance | None, written: Callable[[], None]
    ) -> None:
        """Remember, or forget, that an incident was accepted. `written`: as for a ban."""
        with self._wake:
            self._changes.put_accepted(incident, acceptance)
            self._hurry(urgent=True)
            self._waiters.append(written)
            self._wake.notify()

    def log(self, entry: Entry) -> None:
        """Add to the log of actions, with the next write."""
        with self._wake:
            self._changes.audit.append(entry)

    def put_file(self, name: str, make: Callable[[], bytes]) -> None:
        """Write a whole file, made in the writer's thread. Of one name only the latest waits."""
        self.files.put(name, make)
        with self._wake:
            self._wake.notify()

    def _hurry(self, *, urgent: bool) -> None:
        if urgent and not self._urgent:
            self._urgent = True
            self._wake.notify()

    # Reading: call it from a thread, or before the event loop is busy.

    def bans(self) -> list[Ban]:
        """All bans that are stored, ended ones included."""
        return self._read(Database.bans, [])

    def accepted(self) -> list[Acceptance]:
        """All that was accepted and stored, ended ones included."""
        return self._read(Database.accepted, [])

    def left_open(self) -> list[tuple[str, bytes]]:
        """The incidents that were open when the last process ended: id and last alert."""
        return self._read(Database.left_open, [])

    def incidents(self, limit: int) -> list[bytes]:
        """The last alerts of the newest incidents, the newest first, unwritten ones included."""
        with self._wake:
            waiting = {
                name: one.alert
                for changes in (self._writing, self._changes)
                for name, one in changes.incidents.items()
            }
        rows: list[tuple[str, bytes]] = []
        stored = dict(self._read(lambda database: database.incidents(limit), rows))
        fresh = [waiting[name] for name in reversed(waiting) if name not in stored]
        known = [waiting.get(name, alert) for name, alert in stored.items()]
        return [*fresh, *known][:limit]

    def incident(self, name: str) -> bytes | None:
        """The last alert of one incident; None where there is none of this id."""
        with self._wake:
            held = (self._changes.incidents, self._writing.incidents)
            waiting = next((one[name] for one in held if name in one), None)
        if waiting is not None:
            return waiting.alert
        return self._read(lambda database: database.incident(name), None)

    def history(self, name: str) -> list[Moment]:
        """The changes of one incident that are kept, the oldest first, unwritten ones included.

        Those that were told within the minute have melted into one.
        """
        with self._wake:
            held = (self._writing.incidents, self._changes.incidents)
            waiting = [moment(one[name].alert) for one in held if name in one]
        none: list[Moment] = []
        stored = self._read(lambda database: database.history(name), none)
        return [*stored, *(one for one in waiting if one is not None and one not in stored)]

    def audit_of(self, name: str) -> list[Entry]:
        """What was done about one incident, the oldest first."""
        with self._wake:
            held = (self._writing.audit, self._changes.audit)
            waiting = [entry for one in held for entry in one if entry.incident == name]
        none: list[Entry] = []
        stored = self._read(lambda database: database.audit_of(name), none)
        return [*stored, *(entry for entry in waiting if entry not in stored)]

    def audit(self, limit: int) -> list[Entry]:
        """The newest entries of the log of actions, the newest first."""
        return self._read(lambda database: database.audit(limit), [])

    def _read(self, ask: Callable[[Database], T], otherwise: T) -> T:
        with self._using:
            if self._database is None:
                return otherwise
            try:
                return ask(self._database)
            except sqlite3.Error as error:
                log.warning("%s: cannot be read: %s", self._file, error)
                return otherwise

    # The writer's thread.

    def _run(self) -> None:
        allowance = Allowance(day=DAY_BYTES, burst=BURST_BYTES, now=time.monotonic())
        while not self._closing:
            self._wait_for_changes()
            with self._wake:
                if self._urgent and not self._closing:
                    self._wake.wait_for(lambda: self._closing or bool(self._waiters), SOON)
                    self._wake.wait_for(lambda: self._closing, PROMPT)
            more = allowance.spend(self._write(allowance.left(time.monotonic())))
            if self._failing or not more:
                self._pause()
        self._write(float("inf"))
        self.files.write()

    def _wait_for_changes(self) -> None:
        """Until something is urgent, or for a minute. Files do not wait for it."""
        until = time.monotonic() + EVERY
        while True:
            with self._wake:
                left = until - time.monotonic()
                self._wake.wait_for(
                    lambda: self._urgent or self._closing or self.files.waiting, max(left, 0.0)
                )
                if self._urgent or self._closing or not self.files.waiting:
                    return
            self.files.write()

    def _pause(self) -> None:
        """Wait for the next minute, whatever is urgent."""
        with self._wake:
            self._wake.wait_for(lambda: self._closing, EVERY)

    def _write(self, budget: float) -> int:
        """Write what waits if the budget is not used up; how many bytes that took."""
        if budget <= 0:
            return 0
        with self._wake:
            changes = self._writing = self._changes
            self._changes = Changes()
            self._urgent = False
            waiters, self._waiters = self._waiters, []
        error = self._try(changes) if changes else None
        with self._wake:
            self._writing = Changes()
            if error is not None:
                changes.merge(self._changes)
                self._changes = changes
            else:
                self._dropped += changes.dropped
        if error is None:
            for written in waiters:
                written()
        if not changes:
            return 0
        self._tell(error)
        return changes.cost()

    def _try(self, changes: Changes) -> sqlite3.Error | None:
        with self._using:
            if self._database is None:
                return None
            try:
                self._database.write(changes, self._kept)
            except sqlite3.Error as error:
                return error
        return None

    def _tell(self, error: sqlite3.Error | None) -> None:
        """Log the first failure of a row, and its end."""
        if error is not None:
            self.failures += 1
            if not self._failing:
                log.error("%s: cannot be written: %s; going on in memory", self._file, error)
        elif self._failing:
            log.warning("%s: is written again", self._file)
        self._failing = error is not None
