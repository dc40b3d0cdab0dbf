"""Bans: by what an offender is taken, for how long, and which bans are in force.

Times are wall time, in seconds since the epoch: a ban outlives a restart, and the monotonic clock
does not.
"""

from collections.abc import Callable, Iterator
from typing import Literal

import msgspec

from mqtt_ids.names import bounded, canonical

HandleKind = Literal["connection", "client_id", "username", "address"]


class Handle(msgspec.Struct, frozen=True):
    """What an offender can be taken by. `value` of a connection is its number in decimal."""

    kind: HandleKind
    value: str


class Ban(msgspec.Struct, frozen=True, kw_only=True):
    """Nobody who bears `handle` is admitted before `until` (wall time, seconds since the epoch).

    `seconds` is the length it was given: when the clock is set back, a ban never lasts longer.
    `clients` counts the established clients that it keeps out, see `Scene.established`.
    """

    handle: Handle
    until: float
    seconds: float
    why: str
    by: Literal["policy", "hand"] = "policy"
    incident: str | None = None
    clients: int = 0


class Bans:
    """The bans in force, looked up in O(1).

    At most `limit`, and their handles at most `characters` long in all, for an attacker chooses
    ids of up to 65,535. The oldest make room, and `displaced` is told which; a ban by hand is
    never displaced.
    """

    def __init__(
        self,
        limit: int = 10_000,
        characters: int = 2_000_000,
        displaced: Callable[[Ban], None] = lambda _: None,
    ) -> None:
        self._displaced = displaced
        self._limit = limit
        self._characters = characters
        self._held = 0  # characters
        self._bans: dict[Handle, Ban] = {}
        self.clients = 0  # established clients that the bans by policy keep out

    def __len__(self) -> int:
        return len(self._bans)

    def __iter__(self) -> Iterator[Ban]:
        return iter(self._bans.values())

    def add(self, ban: Ban) -> Ban | None:
        """Put `ban` in force and return the one that stands: what a person has decided stays.

        None where the limit is reached by bans that people have made.
        """
        held = self._bans.get(ban.handle)
        if held is not None and held.by == "hand" and ban.by == "policy":
            return held
        self.lift(ban.handle)
        length = len(ban.handle.value)
        while len(self._bans) >= self._limit or self._held + length > self._characters:
            oldest = next((one for one in self if one.by == "policy"), None)
            if oldest is None:
                return None
            self.lift(oldest.handle)
            self._displaced(oldest)
        self._bans[ban.handle] = ban
        self._held += length
        self.clients += ban.clients
        return ban

    def lift(self, handle: Handle) -> Ban | None:
        """Take a ban out of force; None where there was none."""
        ban = self._bans.pop(handle, None)
        if ban is not None:
            self._held -= len(handle.value)
            self.clients -= ban.clients
        return ban

    def find(self, handle: Handle, now: float) -> Ban | None:
        """The ban in force on `handle` at wall time `now`."""
        ban = self._bans.get(handle)
        return ban if ban is not None and now < ban.until else None

    def keep_out(
        self, address: str | None, client_id: str | None, username: str | None, now: float
    ) -> Ban | None:
        """The ban in force at wall time `now` on who bears these names, as they were sent."""
        handles: tuple[tuple[HandleKind, str | None], ...] = (
            ("address", None if address is None else canonical(address)),
            ("client_id", None if client_id is None else bounded(client_id)),
            ("username", None if username is None else bounded(username)),
        )
        for kind, name in handles:
            ban = None if name is None else self.find(Handle(kind, name), now)
            if ban is not None:
                return ban
        return None

    def expire(self, now: float) -> list[Ban]:
        """Drop the bans that have ended by wall time `now`, and return them.

        A clock that was set back must not make a ban longer than it was meant to be: what is
        further away than the ban's whole length is brought back to that length.
        """
        for ban in [ban for ban in self if ban.until - now > ban.seconds]:
            self._bans[ban.handle] = msgspec.structs.replace(ban, until=now + ban.seconds)
        ended = [ban for ban in self if ban.until <= now]
        for ban in ended:
            self.lift(ban.handle)
        return ended
