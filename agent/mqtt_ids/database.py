"""The SQLite file in the state folder: its schema, and each thing read from it or written to it.

Synchronous, and without a thread or a clock of its own; `store.py` keeps it off the event loop.
"""

import contextlib
import logging
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

from mqtt_ids.acceptance import Acceptance
from mqtt_ids.changes import Changes, Entry
from mqtt_ids.errors import StateError
from mqtt_ids.history import Moment, moment
from mqtt_ids.policy import Ban

log = logging.getLogger(__name__)

T = TypeVar("T")

VERSION = 2
APPLICATION = 0x6D696473  # "mids": tells our file from any other SQLite file
AUDIT_KEPT = 10_000
HISTORY_KEPT = 10_000

_ACCEPTED = """
CREATE TABLE accepted (
    incident TEXT NOT NULL PRIMARY KEY, acceptance BLOB NOT NULL
) WITHOUT ROWID;
"""
_HISTORY = """
CREATE TABLE history (seq INTEGER PRIMARY KEY, incident TEXT NOT NULL, moment BLOB NOT NULL);
"""
_SCHEMA = f"""{_ACCEPTED}{_HISTORY}
CREATE TABLE bans (
    kind TEXT NOT NULL, value TEXT NOT NULL, ban BLOB NOT NULL, PRIMARY KEY (kind, value)
) WITHOUT ROWID;
CREATE TABLE incidents (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, open INTEGER NOT NULL, alert BLOB NOT NULL
);
CREATE TABLE audit (seq INTEGER PRIMARY KEY, entry BLOB NOT NULL);
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
"""

# What brings a file of an older version to the next one.
_UPGRADES = {1: f"{_ACCEPTED}{_HISTORY} PRAGMA user_version = 2;"}
_TABLES = {
    1: {"audit", "bans", "incidents"},
    2: {"accepted", "audit", "bans", "history", "incidents"},
}


class Database:
    """An open database. What goes wrong later is raised as sqlite3.Error."""

    def __init__(self, file: Path) -> None:
        """Open the file, or make it.

        What is damaged, not ours, or of a newer version is set aside with one line in the log,
        and a fresh file takes its place. Raises StateError where the folder allows neither.
        """
        try:
            _private(file)
            problem = _problem(file)
            if problem is not None:
                aside = _set_aside(file)
                log.warning("%s %s: set aside as %s, starting afresh", file, problem, aside.name)
                _private(file)
            self._connection = _connect(file)
        except OSError as error:
            raise StateError(f"{file}: cannot be used: {error.strerror}") from None
        except sqlite3.Error as error:
            raise StateError(f"{file}: cannot be used: {error}") from None

    def close(self) -> None:
        """Close the file; the journal is folded into it."""
        self._connection.close()

    def write(self, changes: Changes, incidents_kept: int) -> None:
        """Write all of it or nothing, and drop what is past the limits."""
        with self._connection as db:
            db.execute("BEGIN IMMEDIATE")
            db.executemany(
                "INSERT INTO incidents (id, open, alert) VALUES (?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET open = excluded.open, alert = excluded.alert",
                [(name, one.open, one.alert) for name, one in changes.incidents.items()],
            )
            moments = ((name, moment(one.alert)) for name, one in changes.incidents.items())
            db.executemany(
                "INSERT INTO history (incident, moment) VALUES (?, ?)",
                [(name, msgspec.json.encode(one)) for name, one in moments if one is not None],
            )
            for handle, ban in changes.bans.items():
                key = (handle.kind, handle.value)
                if ban is None:
                    db.execute("DELETE FROM bans WHERE kind = ? AND value = ?", key)
                else:
                    db.execute(
                        "INSERT OR REPLACE INTO bans (kind, value, ban) VALUES (?, ?, ?)",
                        (*key, msgspec.json.encode(ban)),
                    )
            for incident, acceptance in changes.accepted.items():
                if acceptance is None:
                    db.execute("DELETE FROM accepted WHERE incident = ?", (incident,))
                else:
                    db.execute(
                        "INSERT OR REPLACE INTO accepted (incident, acceptance) VALUES (?, ?)",
                        (incident, msgspec.json.encode(acceptance)),
                    )
            db.executemany(
                "INSERT INTO audit (entry) VALUES (?)",
                [(msgspec.json.encode(entry),) for entry in changes.audit],
            )
            for table, kept in (
                ("incidents", incidents_kept),
                ("audit", AUDIT_KEPT),
                ("history", HISTORY_KEPT),
            ):
                db.execute(
                    f"DELETE FROM {table} WHERE seq <= (SELECT max(seq) FROM {table}) - ?",  # noqa: S608 - names of our own
                    (kept,),
                )

    def bans(self) -> list[Ban]:
        """All bans, ended ones included. One that cannot be read is left out, and said so."""
        rows = self._connection.execute("SELECT ban FROM bans")
        return _readable(rows, Ban, "ban")

    def accepted(self) -> list[Acceptance]:
        """What was accepted, ended ones included. What cannot be read is left out, and said so."""
        rows = self._connection.execute("SELECT acceptance FROM accepted")
        return _readable(rows, Acceptance, "acceptance")

    def incidents(self, limit: int) -> list[tuple[str, bytes]]:
        """The ids and last alerts of the newest incidents, the newest first."""
        rows = self._connection.execute(
            "SELECT id, alert FROM incidents ORDER BY seq DESC LIMIT ?", (limit,)
        )
        return rows.fetchall()

    def incident(self, name: str) -> bytes | None:
        """The last alert of one incident."""
        row = self._connection.execute(
            "SELECT alert FROM incidents WHERE id = ?", (name,)
        ).fetchone()
        return None if row is None else bytes(row[0])

    def left_open(self) -> list[tuple[str, bytes]]:
        """The ids and last alerts of incidents that were open when the last process ended."""
        return self._connection.execute(
            "SELECT id, alert FROM incidents WHERE open ORDER BY seq"
        ).fetchall()

    def audit(self, limit: int) -> list[Entry]:
        """The newest entries of the log of actions, the newest first."""
        rows = self._connection.execute(
            "SELECT entry FROM audit ORDER BY seq DESC LIMIT ?", (limit,)
        )
        return [msgspec.json.decode(data, type=Entry) for (data,) in rows]

    def history(self, name: str) -> list[Moment]:
        """The changes of one incident that are kept, the oldest first."""
        rows = self._connection.execute(
            "SELECT moment FROM history WHERE incident = ? ORDER BY seq", (name,)
        )
        return [msgspec.json.decode(data, type=Moment) for (data,) in rows]

    def audit_of(self, name: str) -> list[Entry]:
        """What was done about one incident, the oldest first."""
        rows = self._connection.execute(
            "SELECT entry FROM audit WHERE json_extract(CAST(entry AS TEXT), '$.incident') = ?"
            " ORDER BY seq",
            (name,),
        )
        return [msgspec.json.decode(data, type=Entry) for (data,) in rows]


def _readable(rows: Iterable[tuple[bytes]], kind: type[T], what: str) -> list[T]:
    found = []
    for (data,) in rows:
        try:
            found.append(msgspec.json.decode(data, type=kind))
        except msgspec.DecodeError as error:
            log.warning("a stored %s cannot be read and is left out: %s", what, error)
    return found


def _connect(file: Path) -> sqlite3.Connection:
    """A connection for any thread: `store.py` lets one at a time use it."""
    connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False, timeout=1.0)
    try:
        # NORMAL: a power cut may lose the last second, but never the file.
        connection.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -512;"
            "PRAGMA journal_size_limit = 1048576; PRAGMA wal_autocheckpoint = 250;"
        )
        if _number(connection, "PRAGMA user_version") == 0 and not _tables(connection):
            connection.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
        while (upgrade := _UPGRADES.get(_number(connection, "PRAGMA user_version"))) is not None:
            connection.executescript(f"BEGIN; {upgrade} COMMIT;")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _problem(file: Path) -> str | None:
    """What is wrong with the file that is there; None where it is ours and whole, or empty."""
    try:
        with contextlib.closing(sqlite3.connect(file, timeout=1.0)) as connection:
            checked = connection.execute("PRAGMA quick_check(1)").fetchone()
            application = _number(connection, "PRAGMA application_id")
            version = _number(connection, "PRAGMA user_version")
            tables = _tables(connection)
    except sqlite3.DatabaseError as error:
        if str(error.sqlite_errorname).startswith(_OF_THE_DISK):
            raise
        return "is damaged, or no database"
    if checked[0] != "ok":
        return "is damaged"
    if not tables and application == version == 0:
        return None
    if application != APPLICATION:
        return "belongs to another program"
    if version > VERSION:
        return f"was written by a newer version (schema {version}, known is {VERSION})"
    return None if tables == _TABLES.get(version) else "lacks a table"


# Errors that a fresh file would meet as well.
_OF_THE_DISK = tuple(
    f"SQLITE_{name}" for name in ("CANTOPEN", "READONLY", "PERM", "FULL", "IOERR", "BUSY", "LOCKED")
)


def _number(connection: sqlite3.Connection, question: str) -> int:
    return int(connection.execute(question).fetchone()[0])


def _tables(connection: sqlite3.Connection) -> set[str]:
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    return {name for (name,) in rows}


def _private(file: Path) -> None:
    """Make sure that the file is there, for its owner only; SQLite's journals take its mode."""
    os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _set_aside(file: Path) -> Path:
    """Rename the file and its journals. One generation is kept: a disk must not fill up."""
    aside = file.with_name(f"{file.name}.set-aside")
    for ending in ("", "-wal", "-shm"):
        part = file.with_name(f"{file.name}{ending}")
        if part.exists():
            part.replace(aside.with_name(f"{aside.name}{ending}"))
    return aside
