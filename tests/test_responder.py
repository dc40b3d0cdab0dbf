"""What the responder tells a hand that keeps out by itself, and what it is told by it."""

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from mqtt_ids.alerts import Alert
from mqtt_ids.bans import Ban, Bans, Handle, HandleKind
from mqtt_ids.changes import Changes
from mqtt_ids.database import Database
from mqtt_ids.errors import ControlError
from mqtt_ids.policy import Neighbours, Scene
from mqtt_ids.responders.act import Responder
from mqtt_ids.settings import Settings
from mqtt_ids.store import Store

ALICE = Handle("username", "alice")
NOW = 1_800_000_000.0


class Hand:
    """Writes down who is kept out, and what was stored by then."""

    offers: frozenset[HandleKind] = frozenset({"username", "address"})

    def __init__(self, file: Path) -> None:
        self.on_failure: Callable[[Handle, str], None] = lambda _handle, _why: None
        self.out: dict[Handle, Ban] = {}
        self.let: list[Handle] = []
        self.stored: list[str] = []
        self.at: list[float] = []
        self.obstacles: dict[Handle, str] = {}
        self._file = file

    def obstacle(self, handle: Handle) -> str | None:
        return self.obstacles.get(handle)

    def disconnect(self, handle: Handle) -> int:  # noqa: ARG002 - the protocol's
        return 0

    def keep_out(self, ban: Ban) -> None:
        self.at.append(time.monotonic())
        with closing(sqlite3.connect(self._file)) as reader:
            self.stored = [value for (value,) in reader.execute("SELECT value FROM bans")]
        self.out[ban.handle] = ban

    def let_in(self, handle: Handle) -> None:
        self.let.append(handle)
        self.out.pop(handle, None)


class Home:
    def __init__(self, folder: Path, **keys: object) -> None:
        self.store = Store(folder, incidents_kept=10)
        self.hand = Hand(folder / "state.db")
        settings = Settings.from_mapping({"mode": "protect", "state_dir": str(folder), **keys})
        self.responder = Responder(settings, self.hand, self.store, self._failed)

    def _failed(self, what: str, error: Exception) -> None:
        raise AssertionError(what) from error

    def alert(self, **changes: object) -> Alert:
        one = Alert(
            id="01JD",
            state="open",
            active=True,
            severity="high",
            attack="flood",
            confidence=0.9,
            time=1.0,
            first_seen=0.0,
            username="alice",
        )
        told = msgspec.structs.replace(one, **changes)
        return self.responder.respond(told, Neighbours(connected=9), Scene(), NOW)

    async def settled(self, what: Callable[[], object]) -> None:
        async with asyncio.timeout(5.0):
            while not what():  # noqa: ASYNC110 - a hand and a disk send no events
                await asyncio.sleep(0.01)


def played(folder: Path, play: Callable[[Home], Awaitable[None]], **keys: object) -> None:
    async def run() -> None:
        home = Home(folder, **keys)
        home.store.open()
        try:
            home.responder.restore(home.store.bans(), NOW)
            await play(home)
        finally:
            await asyncio.to_thread(home.store.close)

    asyncio.run(run())


def test_a_ban_is_stored_before_it_is_in_force_and_both_at_once(tmp_path: Path) -> None:
    async def play(home: Home) -> None:
        began = time.monotonic()
        assert home.alert().action == "banned"
        assert home.hand.out == {}, "the disk first"
        await home.settled(lambda: home.hand.out)
        assert home.hand.stored == ["alice"]
        assert home.hand.at[0] - began < 1.0

    played(tmp_path, play)


def test_a_disk_that_refuses_does_not_keep_the_offender_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_database: Database, _changes: Changes, _kept: int) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    async def play(home: Home) -> None:
        monkeypatch.setattr(Database, "write", full)
        home.alert()
        await home.settled(lambda: home.hand.out)
        assert home.hand.stored == []

    played(tmp_path, play)
    assert "the disk does not take a ban" in caplog.text


def test_a_ban_that_was_lifted_before_it_was_written_never_begins(tmp_path: Path) -> None:
    async def play(home: Home) -> None:
        home.alert()
        home.responder.lift(ALICE, NOW)
        await asyncio.sleep(1.2)
        assert home.hand.at == []

    played(tmp_path, play)


def test_bans_are_put_again_at_the_start_and_ended_ones_let_in(tmp_path: Path) -> None:
    async def first(home: Home) -> None:
        for name, seconds in (("alice", 600.0), ("bob", 1.0)):
            home.responder.impose(Handle("username", name), seconds, "test", NOW - 10)

    async def second(home: Home) -> None:
        assert [*home.hand.out] == [ALICE]
        assert home.hand.let == [Handle("username", "bob")], "it may have been left in force"
        home.responder.let_everybody_in()
        assert home.hand.out == {}

    async def third(home: Home) -> None:
        assert [*home.hand.out] == [ALICE], "a stop leaves it stored"
        home.responder.expire(NOW + 600)
        assert home.hand.out == {}

    played(tmp_path, first)
    played(tmp_path, second)
    played(tmp_path, third)


def test_who_switches_protection_off_lets_in_whom_policy_banned(tmp_path: Path) -> None:
    async def protect(home: Home) -> None:
        home.alert()
        await home.settled(lambda: home.hand.out)

    async def observe(home: Home) -> None:
        assert home.hand.out == {}
        assert len(home.responder.bans) == 0

    played(tmp_path, protect)
    played(tmp_path, observe, mode="observe")


def test_a_ban_that_did_not_work_is_none_and_is_not_tried_again(tmp_path: Path) -> None:
    async def play(home: Home) -> None:
        assert home.alert().action == "banned"
        await home.settled(lambda: home.hand.out)
        home.hand.on_failure(ALICE, "the broker refuses")
        assert len(home.responder.bans) == 0
        assert home.responder.take_undone() == {"01JD"}
        assert home.responder.take_undone() == set()
        for _ in range(3):
            told = home.alert(state="update")
            assert (told.action, told.action_until) == ("none", None)
            assert told.action_reason.endswith("its address is not known; the broker refuses")
        assert home.alert(id="01JE").action == "banned", "another incident may try"
        await home.settled(lambda: len(home.hand.at) == 2)
        home.hand.on_failure(Handle("username", "nobody"), "there is no such ban")
        await home.settled(home.store.bans)
        noted = {entry.what: entry.why for entry in home.store.audit(9)}
        assert noted["failed"] == "the broker refuses"

    played(tmp_path, play)


def test_by_hand_an_obstacle_is_told(tmp_path: Path) -> None:
    async def play(home: Home) -> None:
        home.hand.obstacles[ALICE] = "user alice is our own"
        with pytest.raises(ControlError, match="user alice is our own"):
            home.responder.impose(ALICE, 60.0, "test", NOW)

    played(tmp_path, play)


def test_a_ban_that_makes_room_for_a_newer_one_is_let_in() -> None:
    gone: list[Ban] = []
    bans = Bans(limit=1, displaced=gone.append)
    for name in ("alice", "bob"):
        handle = Handle("username", name)
        bans.add(Ban(handle=handle, until=NOW + 9, seconds=9.0, why="test"))
    assert [ban.handle for ban in gone] == [ALICE]
