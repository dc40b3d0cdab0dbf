"""What survives a restart, and what happens when the disk does not play along."""

import contextlib
import json
import logging
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mqtt_ids import database
from mqtt_ids import store as store_module
from mqtt_ids.alerts import Alert, State, encode
from mqtt_ids.changes import Changes, Entry, Record
from mqtt_ids.database import Database
from mqtt_ids.errors import StateError
from mqtt_ids.policy import Ban, Handle
from mqtt_ids.store import FILE, Store


def ban(value: str = "192.0.2.9", until: float = 2e9) -> Ban:
    return Ban(handle=Handle("address", value), until=until, seconds=600.0, why="flood")


def an_alert(name: str, state: str = "open") -> bytes:
    return json.dumps({"id": name, "state": state}).encode()


def wait_until(true: Callable[[], bool]) -> None:
    for _ in range(500):
        if true():
            return
        time.sleep(0.02)
    pytest.fail("it did not come to pass within 10 s")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "below" / "state"


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    store = Store(folder, incidents_kept=100)
    store.open()
    yield store
    store.close()


def reopened(folder: Path, incidents_kept: int = 100) -> Store:
    store = Store(folder, incidents_kept=incidents_kept)
    store.open()
    return store


def reopened_and_closed(folder: Path) -> list[bytes]:
    store = reopened(folder)
    found = store.incidents(100)
    store.close()
    return found


def test_the_folder_and_its_files_are_their_owners_alone(store: Store, folder: Path) -> None:
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for file in folder.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_bans_incidents_and_the_log_survive_a_restart(store: Store, folder: Path) -> None:
    store.put_ban(ban("192.0.2.9"))
    store.put_ban(ban("192.0.2.10"))
    store.drop_ban(Handle("address", "192.0.2.10"), urgent=True)
    store.put_incident("a", an_alert("a"), is_open=True, urgent=True)
    store.put_incident("b", an_alert("b"), is_open=True, urgent=False)
    store.put_incident("a", an_alert("a", "closed"), is_open=False, urgent=False)
    store.log(Entry(at="now", what="ban", by="policy", handle=Handle("address", "192.0.2.9")))
    store.close()
    again = reopened(folder)
    assert again.bans() == [ban("192.0.2.9")]
    assert again.incidents(10) == [an_alert("b"), an_alert("a", "closed")]
    assert again.left_open() == [("b", an_alert("b"))]
    assert again.incident("a") == an_alert("a", "closed")
    assert [entry.what for entry in again.audit(10)] == ["ban"]
    again.close()


def test_what_is_not_written_yet_is_read_all_the_same(store: Store) -> None:
    store.put_incident("a", an_alert("a"), is_open=True, urgent=False)
    assert store.incidents(10) == [an_alert("a")]
    assert store.incident("a") == an_alert("a")
    assert store.incident("b") is None


def test_an_urgent_change_is_written_at_once_and_an_update_is_not(
    store: Store, folder: Path
) -> None:
    def written() -> int:
        with contextlib.closing(sqlite3.connect(folder / FILE)) as reader:
            return int(reader.execute("SELECT count(*) FROM incidents").fetchone()[0])

    store.put_incident("a", an_alert("a"), is_open=True, urgent=False)
    time.sleep(0.3)
    assert written() == 0
    store.put_incident("b", an_alert("b"), is_open=True, urgent=True)
    wait_until(lambda: written() == 2)


def a_whole_alert(name: str, score: float = 0.5, state: State = "update") -> bytes:
    alert = Alert(
        id=name,
        state=state,
        active=True,
        severity="high",
        attack="flood",
        confidence=0.9,
        time=score,
        first_seen=0.0,
        score=score,
        threshold=0.01,
    )
    return encode(alert, 1_795_428_000.0)


def test_each_change_that_is_written_is_kept_and_those_that_melted_are_one(
    store: Store, folder: Path
) -> None:
    store.put_incident("a", a_whole_alert("a", 1.0, "open"), is_open=True, urgent=True)
    wait_until(lambda: not store._changes.incidents and not store._writing.incidents)
    for score in (2.0, 3.0, 4.0):
        store.put_incident("a", a_whole_alert("a", score), is_open=True, urgent=False)
    store.put_incident("b", a_whole_alert("b"), is_open=True, urgent=False)
    store.log(Entry(at="now", what="ban", by="policy", incident="a"))
    store.log(Entry(at="now", what="ban", by="policy", incident="b"))
    told = [("open", 1.0), ("update", 4.0)]
    assert [(one.state, one.score) for one in store.history("a")] == told
    assert [one.incident for one in store.audit_of("a")] == ["a"]
    store.close()
    again = reopened(folder)
    assert [(one.state, one.score) for one in again.history("a")] == told
    assert [one.incident for one in again.audit_of("a")] == ["a"]
    assert again.history("c") == []
    again.close()


def test_the_history_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "HISTORY_KEPT", 5)
    store = reopened(folder)
    for number in range(20):
        alert = a_whole_alert(str(number))
        store.put_incident(str(number), alert, is_open=True, urgent=False)
    store.close()
    again = reopened(folder)
    assert [number for number in range(20) if again.history(str(number))] == [*range(15, 20)]
    again.close()


def test_a_file_of_the_version_before_is_taken_over(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = reopened(folder)
    store.put_ban(ban())
    store.put_incident("a", a_whole_alert("a"), is_open=True, urgent=False)
    store.close()
    execute(folder / FILE, "DROP TABLE history")
    execute(folder / FILE, "DROP TABLE accepted")
    execute(folder / FILE, "PRAGMA user_version = 1")
    again = reopened(folder)
    assert (again.bans(), again.incident("a")) == ([ban()], a_whole_alert("a"))
    assert again.history("a") == []
    again.put_incident("a", a_whole_alert("a", 2.0), is_open=True, urgent=False)
    again.close()
    last = reopened(folder)
    assert [one.score for one in last.history("a")] == [2.0]
    last.close()
    assert caplog.records == []


def test_a_process_that_is_killed_keeps_what_was_urgent(folder: Path) -> None:
    script = f"""
import time
from pathlib import Path
from mqtt_ids.policy import Ban, Handle
from mqtt_ids.store import Store
store = Store(Path({str(folder)!r}), incidents_kept=10)
store.open()
store.put_ban(Ban(handle=Handle("address", "192.0.2.9"), until=2e9, seconds=600.0, why="flood"))
while store._changes or store._writing: time.sleep(0.01)
print("written", flush=True)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"written\n"
    process.kill()
    process.communicate(timeout=10)
    again = reopened(folder)
    assert again.bans() == [ban("192.0.2.9")]
    again.close()


def test_incidents_and_log_are_bounded(folder: Path) -> None:
    store = reopened(folder, incidents_kept=5)
    for number in range(20):
        store.put_incident(f"{number:02d}", an_alert(str(number)), is_open=False, urgent=False)
    store.close()
    again = reopened(folder, incidents_kept=5)
    assert again.incidents(100) == [an_alert(str(number)) for number in range(19, 14, -1)]
    again.close()


def test_what_waits_is_bounded_and_what_is_lost_is_counted() -> None:
    changes = Changes(limit=3)
    for number in range(5):
        changes.put_incident(str(number), Record(b"{}", open=True))
        changes.put_ban(Handle("address", str(number)), None)
    assert list(changes.incidents) == ["2", "3", "4"]
    assert len(changes.bans) == 3
    newer = Changes(limit=3)
    newer.put_incident("9", Record(b"{}", open=False))
    changes.merge(newer)
    assert list(changes.incidents) == ["3", "4", "9"]
    assert changes.dropped == 5


def test_two_instances_do_not_share_a_folder(store: Store, folder: Path) -> None:
    with pytest.raises(StateError, match=rf"in use by another mqtt-ids \(process {os.getpid()}\)"):
        Store(folder, incidents_kept=10).open()
    store.close()
    reopened(folder).close()


def scramble(file: Path) -> None:
    whole = file.read_bytes()
    third = len(whole) // 3
    file.write_bytes(whole[:third] + b"\xaa" * third + whole[2 * third :])


def cut(file: Path) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])


def replace_by_photos(file: Path) -> None:
    file.unlink()
    execute(file, "CREATE TABLE photos (name TEXT)")


def execute(file: Path, statement: str) -> None:
    connection = sqlite3.connect(file)
    with connection:
        connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_text("no database, and longer than the header of one" * 10),
        cut,
        scramble,
        replace_by_photos,
        lambda file: execute(file, "PRAGMA user_version = 99"),
        lambda file: execute(file, "DROP TABLE bans"),
        lambda file: execute(file, "DROP TABLE history"),
        lambda file: execute(file, "DROP TABLE accepted"),
    ],
    ids=["text", "cut", "scrambled", "foreign", "newer", "lacking", "half", "other-half"],
)
def test_a_file_that_cannot_be_used_is_set_aside(
    folder: Path, damage: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    store = reopened(folder, incidents_kept=10_000)
    for number in range(2000):
        store.put_incident(str(number), an_alert(str(number)), is_open=False, urgent=False)
    store.put_ban(ban())
    store.close()
    file = folder / FILE
    damage(file)
    changed = file.read_bytes()
    with caplog.at_level(logging.WARNING):
        again = reopened(folder)
    assert again.bans() == []
    again.put_ban(ban("10.0.0.1"))
    again.close()
    (line,) = [record.getMessage() for record in caplog.records]
    assert "set aside as state.db.set-aside" in line
    assert (folder / "state.db.set-aside").read_bytes() == changed
    last = reopened(folder)
    assert last.bans() == [ban("10.0.0.1")]
    last.close()


def test_an_empty_file_is_a_fresh_start(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder.mkdir(parents=True)
    (folder / FILE).touch()
    reopened(folder).close()
    assert caplog.records == []


def test_one_ban_that_cannot_be_read_does_not_cost_the_others(store: Store, folder: Path) -> None:
    store.put_ban(ban())
    store.close()
    execute(folder / FILE, "INSERT INTO bans VALUES ('address', 'x', '{}')")
    again = reopened(folder)
    assert again.bans() == [ban()]
    again.close()


# These fail for root as well: no permission is needed to see that a file is no folder.
def test_a_folder_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "state"):
        with pytest.raises(StateError, match="cannot be used") as caught:
            Store(place, incidents_kept=10).open()
        assert "\n" not in str(caught.value)


def test_a_folder_that_anybody_may_write_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(StateError, match="anybody may write to it"):
        Store(tmp_path, incidents_kept=10).open()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o777  # not ours to change


def test_a_database_that_is_a_folder_is_told_and_the_lock_is_given_back(folder: Path) -> None:
    (folder / FILE).mkdir(parents=True)
    with pytest.raises(StateError, match=r"state\.db: cannot be used"):
        Store(folder, incidents_kept=10).open()
    (folder / FILE).rmdir()
    reopened(folder).close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of half a megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    options = ("-t", "tmpfs", "-o", "size=512k,mode=700", "tmpfs", str(disk))
    if mount is None or subprocess.run([mount, *options], check=False).returncode != 0:
        pytest.skip("this user may not mount a small disk")
    yield disk
    subprocess.run([shutil.which("umount") or "umount", "-l", str(disk)], check=True)


def fill(file: Path) -> None:
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as stream:
        while stream.write(bytes(4096)):
            pass


def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "EVERY", 0.05)
    monkeypatch.setattr(store_module, "SOON", 0.01)


def test_a_full_disk_is_logged_once_counted_and_never_fatal(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    quick(monkeypatch)
    store = reopened(small_disk)
    ballast = small_disk / "ballast"
    fill(ballast)
    for number in range(20):
        store.put_ban(ban(f"192.0.2.{number}"))
    store.put_incident("a", b"x" * 100_000, is_open=True, urgent=True)
    wait_until(lambda: store.failures >= 3)
    assert store.unwritten == 21
    assert store.incident("a") == b"x" * 100_000
    errors = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "going on in memory" in errors[0]
    ballast.unlink()
    wait_until(lambda: store.unwritten == 0)
    assert any("is written again" in one.getMessage() for one in caplog.records)
    store.close()
    again = reopened(small_disk)
    assert len(again.bans()) == 20
    again.close()


def test_a_database_that_may_not_grow_is_no_reason_to_stop(
    store: Store, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    quick(monkeypatch)
    database = store._database
    assert database is not None
    database._connection.execute("PRAGMA max_page_count = 8")
    store.put_incident("a", b"x" * 100_000, is_open=True, urgent=True)
    wait_until(lambda: store.failures >= 1)
    assert store.unwritten == 1
    database._connection.execute("PRAGMA max_page_count = 100000")
    wait_until(lambda: store.unwritten == 0)
    store.close()
    again = reopened(folder)
    assert again.incident("a") == b"x" * 100_000
    again.close()


def test_a_storm_of_changes_stays_within_the_days_budget(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setattr(store_module, "SOON", 0.001)
    monkeypatch.setattr(store_module, "BURST_BYTES", 200_000)
    costs: list[int] = []
    write = Database.write

    def counted(database: Database, changes: Changes, incidents_kept: int) -> None:
        costs.append(changes.cost())
        write(database, changes, incidents_kept)

    monkeypatch.setattr(Database, "write", counted)
    store = reopened(folder)
    for number in range(200):
        store.put_incident(f"{number % 7}", b"x" * 1500, is_open=True, urgent=True)
        time.sleep(0.005)
    assert 100_000 < sum(costs) < 200_000 + max(costs)
    assert store.incidents(10)[0] == b"x" * 1500
    store.close()
    assert len(reopened_and_closed(folder)) == 7


def test_the_estimate_of_what_a_write_costs_is_not_below_what_it_takes(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    database = Database(file)
    journal = tmp_path / "state.db-wal"
    for round_number in range(30):
        before = journal.stat().st_size
        changes = Changes()
        for number in range(5):
            name = f"{round_number}-{number}"
            changes.put_incident(name, Record(b"x" * 1500, open=True))
            changes.put_ban(Handle("address", name), ban(name))
        database.write(changes, 10_000)
        grown = journal.stat().st_size - before
        assert 2 * grown <= changes.cost()  # the checkpoint writes each page once more
    database.close()
