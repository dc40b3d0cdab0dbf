"""What is to be written to the database, and what a line of the log of actions holds."""

from collections import deque
from typing import Literal

import msgspec

from mqtt_ids.acceptance import Acceptance
from mqtt_ids.policy import Ban, Handle

What = Literal[
    "ban",
    "unban",
    "release",
    "expired",
    "disconnect",
    "lifted",
    "failed",
    "accept",
    "unaccept",
    "forget",
]


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the log of actions. `at` is wall time as RFC 3339."""

    at: str
    what: What
    by: Literal["policy", "hand"]
    handle: Handle | None = None
    why: str | None = None
    incident: str | None = None


class Record(msgspec.Struct, frozen=True):
    """An incident as its last alert (JSON of schema 1) left it."""

    alert: bytes
    open: bool


class Changes:
    """What is to be written: the last state of each incident and ban, and new log entries.

    At most `limit` of each kind are held; of more, the oldest are dropped and counted.
    """

    def __init__(self, limit: int = 2000) -> None:
        self._limit = limit
        self.incidents: dict[str, Record] = {}
        self.bans: dict[Handle, Ban | None] = {}
        self.accepted: dict[str, Acceptance | None] = {}
        self.audit: deque[Entry] = deque(maxlen=limit)
        self.dropped = 0

    def __bool__(self) -> bool:
        return bool(self.incidents or self.bans or self.accepted or self.audit)

    def put_incident(self, name: str, record: Record) -> None:
        """An incident has changed."""
        self.incidents[name] = record
        if len(self.incidents) > self._limit:
            del self.incidents[next(iter(self.incidents))]
            self.dropped += 1

    def put_ban(self, handle: Handle, ban: Ban | None) -> None:
        """A ban was made, or lifted (None)."""
        self.bans[handle] = ban
        if len(self.bans) > self._limit:
            del self.bans[next(iter(self.bans))]
            self.dropped += 1

    def put_accepted(self, incident: str, acceptance: Acceptance | None) -> None:
        """An incident was accepted, or is no longer (None). Only people do, and not often."""
        self.accepted[incident] = acceptance

    def merge(self, newer: "Changes") -> None:
        """Take what came after these in, on top."""
        for name, record in newer.incidents.items():
            self.put_incident(name, record)
        for handle, ban in newer.bans.items():
            self.put_ban(handle, ban)
        self.accepted |= newer.accepted
        self.audit.extend(newer.audit)
        self.dropped += newer.dropped

    def cost(self) -> int:
        """About how many bytes writing this puts on the card, journal and checkpoint included.

        SQLite writes whole pages of 4 kB, each twice: one or two a row, and a few for the trees.
        """
        rows = len(self.incidents) + len(self.bans) + len(self.accepted)
        rows += (len(self.audit) + len(self.incidents)) // 16
        text = sum(len(record.alert) for record in self.incidents.values())
        return 2 * ((rows + 4) * 4096 + text)
