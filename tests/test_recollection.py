"""When what was learned is written, how much that wears the disk, and what is not taken up."""

import logging
import random
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from live_broker import until

from mqtt_ids import events as ev
from mqtt_ids.detecting import CLIENTS
from mqtt_ids.detector import Detector
from mqtt_ids.events import SEES_ALL, SENSORS
from mqtt_ids.models import open_model
from mqtt_ids.recollection import DAY_BYTES, EVERY, PAGE, VIEWS_KEPT, Recollection, pace
from mqtt_ids.snapshot import LONGEST, Snapshot, decode, encode
from mqtt_ids.store import DAY_BYTES as DATABASE_BYTES
from mqtt_ids.store import Store
from mqtt_ids_model import Model

FILE = f"normals-{SEES_ALL.value:x}.state"
BUDGET = 50_000_000  # bytes a day, with everything on


@pytest.fixture(scope="module")
def model() -> Model:
    return open_model("default")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "state", incidents_kept=100)
    store.open()
    yield store
    store.close()


class Clock:
    wall = 1.8e9

    def __call__(self) -> float:
        return self.wall


def home(model: Model, clients: int = 5) -> Detector:
    """A detector that has just seen so many clients, each unlike the others."""
    watcher = Detector(model, sees=SEES_ALL)
    rng = random.Random(clients)
    for number in range(clients):
        base = {
            "time": 1.0,
            "connection": number,
            "address": f"10.0.{number // 250}.{number % 250}",
        }
        name = f"device-{rng.randrange(10**9)}"
        watcher.feed(ev.Connected(**base, client_id=name, username=f"u{number % 3}"))  # type: ignore[arg-type]
        for _ in range(rng.randrange(2, 40)):
            watcher.feed(
                ev.Published(
                    **base,  # type: ignore[arg-type]
                    client_id=name,
                    topic=f"{name}/{rng.randrange(4)}",
                    size=rng.randrange(2000),
                )
            )
    watcher.tick(2.0)
    for turn in range(3):
        watcher.tick(700.0 * (turn + 1))
    return watcher


def names(watcher: Detector) -> set[str]:
    return {view.client_id for view in watcher.clients()}


def test_it_is_written_each_minute_and_no_more_often(
    model: Model, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    puts: list[str] = []
    monkeypatch.setattr(store, "put_file", lambda name, _make: puts.append(name))
    recollection, watcher = Recollection(store, Clock()), home(model)
    recollection.take_up(watcher.memories, SEES_ALL, 3000.0)
    asked: list[int] = []
    for second in range(1, 200):
        recollection.keep(watcher.memories, SEES_ALL, 3000.0 + second)
        if len(puts) > len(asked):
            asked.append(second)
    assert asked == [60, 120, 180]


@pytest.mark.parametrize("size", [0, 1, 4096, 100_000, 5_000_000])
def test_a_day_of_snapshots_stays_within_the_budget(size: int) -> None:
    pages = -(-size // PAGE) + 2
    assert pages * PAGE * 86_400.0 / pace(size) <= DAY_BYTES * 1.0001
    assert pace(size) >= EVERY
    assert DAY_BYTES + DATABASE_BYTES <= BUDGET


@pytest.mark.parametrize(("clients", "most"), [(20, 60.0), (50, 60.0), (100, 90.0)])
def test_a_home_is_written_often(model: Model, clients: int, most: float) -> None:
    watcher = home(model, clients)
    size = len(content(watcher))
    assert pace(size) <= most, f"{size} bytes"


def content(watcher: Detector) -> bytes:
    learned = watcher.memories[CLIENTS].take(3000.0)
    return encode(Snapshot(wall=0.0, parts={CLIENTS: learned}))


def test_it_is_taken_up_after_a_stop(model: Model, store: Store) -> None:
    watcher = home(model)
    kept(store, watcher)
    fresh = Detector(model, sees=SEES_ALL)
    Recollection(store, Clock()).take_up(fresh.memories, SEES_ALL, 1.0)
    assert names(fresh) == names(watcher)
    assert stat.S_IMODE((store._file.parent / FILE).stat().st_mode) == 0o600


def kept(store: Store, watcher: Detector) -> Path:
    recollection = Recollection(store, Clock())
    recollection.keep_at_last(watcher.memories, SEES_ALL, 3000.0)
    until(lambda: not store.files.waiting, 10.0, failing="it is not written")
    return store._file.parent / FILE


def test_whoever_is_stopped_again_and_again_does_not_wear_the_disk(
    model: Model, store: Store
) -> None:
    recollection, watcher = Recollection(store, Clock()), home(model)
    recollection.take_up(watcher.memories, SEES_ALL, 3000.0)
    recollection.keep_at_last(watcher.memories, SEES_ALL, 3059.0)
    assert not store.files.waiting


def test_each_view_has_its_own(model: Model, store: Store) -> None:
    """Who sees no publishes learns that nobody publishes; who sees them must not believe it."""
    watcher = home(model)
    kept(store, watcher)
    blind = Detector(model, sees=SENSORS["log"])
    Recollection(store, Clock()).take_up(blind.memories, SENSORS["log"], 1.0)
    assert names(blind) == set()


def test_a_view_that_changes_and_changes_back_finds_what_is_not_yet_written(
    model: Model, store: Store
) -> None:
    recollection, watcher = Recollection(store, Clock()), home(model)
    recollection.keep_at_last(watcher.memories, SEES_ALL, 3000.0)
    fresh = Detector(model, sees=SEES_ALL)
    recollection.take_up(fresh.memories, SEES_ALL, 3001.0)
    assert names(fresh) == names(watcher)


def test_few_views_are_kept(model: Model, store: Store) -> None:
    folder = store._file.parent
    for number in range(10):
        (folder / f"normals-{number}.state").write_bytes(b"")
    Recollection(store, Clock()).take_up({}, SEES_ALL, 1.0)
    assert len(list(folder.glob("normals-*.state"))) == VIEWS_KEPT


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-7])


def scramble(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(bytes(data))


def newer(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b"normals 1", b"normals 2", 1))


def huge(file: Path) -> None:
    with file.open("r+b") as stream:
        stream.truncate(LONGEST + 10)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (cut, "is damaged"),
        (scramble, "is damaged"),
        (huge, "is damaged"),
        (newer, "newer version"),
        (lambda file: file.write_bytes(b""), "no snapshot of ours"),
        (lambda file: file.write_bytes(b"SQLite format 3\0" * 99), "no snapshot of ours"),
    ],
    ids=["cut", "scrambled", "huge", "newer", "empty", "foreign"],
)
def test_a_file_that_cannot_be_used_is_set_aside_with_one_line(
    model: Model,
    store: Store,
    damage: Callable[[Path], object],
    told: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    watcher = home(model)
    file = kept(store, watcher)
    damage(file)
    fresh = Detector(model, sees=SEES_ALL)
    with caplog.at_level(logging.INFO):
        Recollection(store, Clock()).take_up(fresh.memories, SEES_ALL, 1.0)
    (line,) = [record.getMessage() for record in caplog.records]
    assert told in line
    assert f"set aside as {FILE}.set-aside, learning anew" in line
    assert not file.exists()
    assert file.with_name(f"{FILE}.set-aside").exists()
    assert names(fresh) == set()
    kept(store, watcher)
    decode(file.read_bytes())


@pytest.mark.parametrize(("moved", "away"), [(3600.0, 3600.0), (-1e8, 0.0), (1e9, 7 * 86_400.0)])
def test_a_clock_that_jumps_only_moves_dates_and_not_far(
    model: Model, store: Store, moved: float, away: float
) -> None:
    watcher = home(model)
    kept(store, watcher)
    clock, fresh = Clock(), Detector(model, sees=SEES_ALL)
    clock.wall += moved
    Recollection(store, clock).take_up(fresh.memories, SEES_ALL, 50.0)
    (age,) = {round(50.0 - view.since, 1) for view in fresh.clients()}
    assert age == pytest.approx(2999.0 + away)


def test_a_full_disk_is_told_once_and_the_next_one_is_written(
    store: Store, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    store.close()
    files = store.files
    (tmp_path / "state" / "f.new").mkdir()  # in the way, as nothing can be written
    for _ in range(3):
        files.put("f", lambda: b"x")
        files.write()
    assert len(caplog.records) == 1
    assert (files.failures, store.unwritten) == (3, 1)
    (tmp_path / "state" / "f.new").rmdir()
    files.put("f", lambda: b"y")
    files.write()
    assert files.read("f", 10) == b"y"
    assert store.unwritten == 0
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
