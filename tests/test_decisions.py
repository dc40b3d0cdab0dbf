"""What people decided: kept, bounded, ended in time; and a database of the version before."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mqtt_ids import decisions as decisions_module
from mqtt_ids.accepted import Accepted
from mqtt_ids.database import APPLICATION
from mqtt_ids.decisions import DROPPED_AFTER, Decisions
from mqtt_ids.errors import ControlError
from mqtt_ids.policy import Ban, Handle
from mqtt_ids.store import FILE, Store

NOW = 1.8e9
REASON = {"feature": "publish_rate_10s", "observed": 20.0, "usual": 0.1, "share": 0.6}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "state", incidents_kept=100)
    store.open()
    yield store
    store.close()


def nobody_waits() -> None:
    """The answer is not awaited."""


def alert(name: str = "01A", **changes: Any) -> bytes:  # noqa: ANN401
    body: dict[str, Any] = {
        "id": name,
        "attack": "unusual",
        "client_id": "door",
        "address": "192.0.2.1",
        "reasons": [REASON],
        **changes,
    }
    return json.dumps(body).encode()


class Heard(list[Accepted]):
    """What was put in force, one after the other."""


def decisions(store: Store) -> tuple[Decisions, Heard]:
    heard = Heard()
    return Decisions(store, heard.append), heard


def incidents(one: Decisions, now: float = NOW) -> list[object]:
    return [entry["incident"] for entry in one.listed(now)]


def test_what_was_accepted_is_in_force_and_survives(store: Store, tmp_path: Path) -> None:
    one, heard = decisions(store)
    one.accept(alert(), None, NOW, nobody_waits)
    assert heard[-1]
    assert one.accepted is heard[-1]
    store.close()
    again = Store(tmp_path / "state", incidents_kept=100)
    again.open()
    other, heard = decisions(again)
    other.restore(NOW)
    assert incidents(other) == ["01A"]
    assert heard[-1]
    other.undo("01A", NOW)
    assert not heard[-1]
    again.close()


def test_it_ends_in_time_and_a_clock_that_was_ahead_costs_nothing(store: Store) -> None:
    one, heard = decisions(store)
    one.accept(alert(), 60.0, NOW, nobody_waits)
    one.expire(NOW + 59.0)
    assert heard[-1]
    one.expire(NOW + 61.0)
    assert not heard[-1]
    assert incidents(one, NOW + 61.0) == []
    one.accept(alert("01B"), None, NOW, nobody_waits)  # the clock is right again
    assert incidents(one) == ["01A", "01B"]


def test_what_ended_long_ago_is_dropped_at_the_start(store: Store, tmp_path: Path) -> None:
    one, _ = decisions(store)
    one.accept(alert(), 60.0, NOW, nobody_waits)
    one.accept(alert("01B"), None, NOW, nobody_waits)
    store.close()
    for _ in range(2):
        again = Store(tmp_path / "state", incidents_kept=100)
        again.open()
        other, _ = decisions(again)
        other.restore(NOW + DROPPED_AFTER + 61.0)
        again.close()
    last = Store(tmp_path / "state", incidents_kept=100)
    last.open()
    assert [found.incident for found in last.accepted()] == ["01B"]
    last.close()


def test_there_are_not_too_many(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decisions_module, "MOST", 20)
    one, _ = decisions(store)
    for number in range(20):
        one.accept(alert(str(number)), None, NOW, nobody_waits)
    with pytest.raises(ControlError, match="undo some first"):
        one.accept(alert("too many"), None, NOW, nobody_waits)
    one.accept(alert("0"), 60.0, NOW, nobody_waits)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"reasons": []}, "no feature"),
        ({"reasons": [{**REASON, "share": 0.01}]}, "no feature"),
        ({"reasons": [{**REASON, "observed": None}]}, "no feature"),
        ({"reasons": [{**REASON, "feature": "of an old model"}]}, "no feature"),
        ({"client_id": None, "address": None}, "nobody in particular"),
        ({"client_id": None, "address": "?stand-in"}, "nobody in particular"),
    ],
)
def test_what_cannot_be_accepted_is_refused(
    store: Store, changes: dict[str, Any], told: str
) -> None:
    one, heard = decisions(store)
    with pytest.raises(ControlError, match=told):
        one.accept(alert(**changes), None, NOW, nobody_waits)
    assert heard == []
    assert incidents(one) == []


@pytest.mark.parametrize("seconds", [0.0, -5.0, 1e10])
def test_a_length_out_of_bounds_is_refused(store: Store, seconds: float) -> None:
    with pytest.raises(ControlError, match="1s to 3660d"):
        decisions(store)[0].accept(alert(), seconds, NOW, nobody_waits)


OLD_SCHEMA = """
CREATE TABLE bans (
    kind TEXT NOT NULL, value TEXT NOT NULL, ban BLOB NOT NULL, PRIMARY KEY (kind, value)
) WITHOUT ROWID;
CREATE TABLE incidents (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, open INTEGER NOT NULL, alert BLOB NOT NULL
);
CREATE TABLE audit (seq INTEGER PRIMARY KEY, entry BLOB NOT NULL);
PRAGMA user_version = 1;
INSERT INTO bans VALUES ('address', '192.0.2.9', CAST('{"handle":
    {"kind":"address","value":"192.0.2.9"},"until":2e9,"seconds":600.0,"why":"flood"}' AS BLOB));
INSERT INTO incidents VALUES (1, '01OLD', 0, CAST('{"id":"01OLD"}' AS BLOB));
"""


def test_the_database_of_the_version_before_is_taken_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    with contextlib.closing(sqlite3.connect(folder / FILE)) as connection:
        connection.executescript(OLD_SCHEMA)
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
    for _ in range(2):
        store = Store(folder, incidents_kept=100)
        store.open()
        assert store.incident("01OLD") == b'{"id":"01OLD"}'
        (ban,) = store.bans()
        assert ban == Ban(
            handle=Handle("address", "192.0.2.9"), until=2e9, seconds=600.0, why="flood"
        )
        one, _ = decisions(store)
        one.restore(NOW)
        one.accept(alert(), None, NOW, nobody_waits)
        store.close()
    assert caplog.records == []
    store = Store(folder, incidents_kept=100)
    store.open()
    assert [found.incident for found in store.accepted()] == ["01A"]
    store.close()
