"""Alerts in a file: whole lines, rotated and bounded; a disk that refuses them is waited for."""

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live_broker import until
from outlet_tools import fill, needs_mount, small_disk, told

from mqtt_ids import settings as keys
from mqtt_ids.responders import export, ocsf
from mqtt_ids.responders.export import Export
from mqtt_ids.responders.lines import LinesFile

WITHIN = 20.0  # seconds
GOES_ON = "alerts wait, and go out on MQTT as ever"
LINE = b'{"n":1}\n'


@contextlib.contextmanager
def exporting(file: Path, **settings: Any) -> Iterator[Export]:  # noqa: ANN401 - the struct's own
    outlet = Export(file, keys.Export(file=file, **settings))
    outlet.start()
    try:
        yield outlet
    finally:
        outlet.stop()


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_bytes().splitlines()] if file.exists() else []


def append(written: LinesFile, count: int, size: int) -> None:
    for number in range(count):
        written.append(json.dumps({"n": number, "x": "x" * size}).encode() + b"\n")


def test_an_alert_is_a_line_and_soon_there(tmp_path: Path) -> None:
    file = tmp_path / "alerts.jsonl"
    with exporting(file) as outlet:
        outlet.alert(told())
        until(lambda: lines(file), WITHIN, failing="no line")
        assert outlet.unwritten == 0
    assert file.read_bytes() == told() + b"\n"
    assert file.stat().st_mode & 0o777 & ~0o640 == 0


def test_ocsf_is_the_same_alert_as_a_finding(tmp_path: Path) -> None:
    file = tmp_path / "alerts.jsonl"
    with exporting(file, format="ocsf") as outlet:
        outlet.alert(told())
    assert file.read_bytes() == ocsf.finding(told()) + b"\n"


def test_updates_that_wait_melt_into_the_last(tmp_path: Path) -> None:
    file = tmp_path / "alerts.jsonl"
    with exporting(file) as outlet:
        for score in range(5):
            outlet.alert(told(state="update", score=float(score)))
        outlet.alert(told(state="update", id="other"))
    assert [(one["id"], one["score"]) for one in lines(file)] == [
        ("01JDK3V8Q2M4YXN0Z7C5RT9WBE", 4.0),
        ("other", 0.083),
    ]


def test_what_was_written_before_a_restart_stays(tmp_path: Path) -> None:
    file = tmp_path / "alerts.jsonl"
    for name in ("first", "second"):
        with exporting(file) as outlet:
            outlet.alert(told(id=name))
    assert [one["id"] for one in lines(file)] == ["first", "second"]


def test_it_rotates_and_keeps_so_many(tmp_path: Path) -> None:
    file = tmp_path / "alerts.jsonl"
    written = LinesFile(file, max_size=100, keep=2)
    for number in range(60):
        written.append(b'{"n":%d}\n' % number)
    written.close()
    found = {path.name: lines(path) for path in tmp_path.iterdir()}
    assert set(found) == {"alerts.jsonl", "alerts.jsonl.1", "alerts.jsonl.2"}
    assert max(path.stat().st_size for path in tmp_path.iterdir()) <= 100
    together = [*found["alerts.jsonl.2"], *found["alerts.jsonl.1"], *found["alerts.jsonl"]]
    numbers = [one["n"] for one in together]
    assert numbers == list(range(numbers[0], 60))


def test_with_none_to_keep_it_begins_again(tmp_path: Path) -> None:
    file = tmp_path / "alerts.jsonl"
    written = LinesFile(file, max_size=20, keep=0)
    for _ in range(10):
        written.append(LINE)
    written.close()
    assert [path.name for path in tmp_path.iterdir()] == ["alerts.jsonl"]
    assert 0 < file.stat().st_size <= 20


def test_a_file_that_logrotate_moved_is_left_to_it(tmp_path: Path) -> None:
    file = tmp_path / "alerts.jsonl"
    written = LinesFile(file, max_size=10_000, keep=5)
    written.append(LINE)
    file.rename(tmp_path / "moved")
    written.append(LINE)
    file.unlink()
    written.append(LINE)
    assert (lines(file), lines(tmp_path / "moved")) == ([{"n": 1}], [{"n": 1}])
    os.truncate(file, 0)  # logrotate's copytruncate
    written.append(LINE)
    assert lines(file) == [{"n": 1}]
    written.close()


def test_a_line_that_a_power_cut_tore_spoils_no_other(tmp_path: Path) -> None:
    file = tmp_path / "alerts.jsonl"
    file.write_bytes(LINE + b'{"n":')
    written = LinesFile(file, max_size=10_000, keep=5)
    written.append(LINE)
    written.close()
    assert file.read_bytes() == LINE + b'{"n":\n' + LINE


@needs_mount
def test_a_full_disk_takes_no_half_line(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64) as disk:
        written = LinesFile(disk / "alerts.jsonl", max_size=10_000_000, keep=5)
        with pytest.raises(OSError, match="No space left"):
            append(written, 100, size=3000)
        there = lines(disk / "alerts.jsonl")  # each can be read
        assert [one["n"] for one in there] == list(range(len(there)))
        assert len(there) > 3
        written.close()


@needs_mount
def test_alerts_wait_for_a_full_disk_which_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "AGAIN", 0.1)
    with small_disk(tmp_path / "disk", 64) as disk:
        file = disk / "alerts.jsonl"
        filler = fill(disk)
        with exporting(file) as outlet:
            for number in range(20):
                outlet.alert(told(id=f"id-{number}"))
            until(lambda: outlet.unwritten == 20, WITHIN, failing="not told")
            outlet.alert(told(id="id-20"))
            time.sleep(1.5)  # and tried again
            filler.unlink()
            until(lambda: outlet.unwritten == 0, WITHIN, failing="never written")
        assert [one["id"] for one in lines(file)] == [f"id-{number}" for number in range(21)]
    assert [record.getMessage() for record in caplog.records] == [
        f"{file}: cannot be written: No space left on device; {GOES_ON}",
        f"{file}: is written again; 0 alerts are lost",
    ]


def test_a_folder_that_is_not_there_yet_is_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "AGAIN", 0.1)
    file = tmp_path / "later" / "alerts.jsonl"
    with exporting(file) as outlet:
        outlet.alert(told())
        until(lambda: outlet.unwritten == 1, WITHIN, failing="not told")
        file.parent.mkdir()
        until(lambda: lines(file), WITHIN, failing="never written")
    assert "No such file or directory" in caplog.records[0].getMessage()


def test_what_waits_is_bounded_and_the_oldest_are_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outlet = Export(tmp_path, keys.Export(file=tmp_path))  # a folder: nothing can be written
    outlet.start()
    for number in range(export.HELD_LINES + 500):
        outlet.alert(told(id=f"id-{number}"))
    until(lambda: outlet.unwritten == export.HELD_LINES + 500, WITHIN, failing="not told")
    with outlet._wake:
        assert len(outlet._waiting) <= export.HELD_LINES
        assert outlet._held == sum(map(len, outlet._waiting.values())) <= export.HELD_BYTES
    outlet.stop()
    assert len([record for record in caplog.records if "oldest" in record.getMessage()]) == 1


def test_a_day_writes_no_more_than_its_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "SOON", 0.01)
    monkeypatch.setattr(export, "AGAIN", 0.01)
    monkeypatch.setattr(export, "BURST_BYTES", 50_000)
    file = tmp_path / "alerts.jsonl"
    with exporting(file) as outlet:
        for number in range(200):
            outlet.alert(told(id=f"id-{number}"))
            time.sleep(0.01)
        time.sleep(0.3)
        spent = file.stat().st_size
    assert 1000 < spent <= 50_000
    assert len(lines(file)) == 200  # the stop writes what waits


def test_a_reader_of_a_pipe_who_stalls_holds_nobody_up(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with exporting(pipe) as outlet:
        outlet.alert(told())  # nobody reads: it cannot even be opened
        until(lambda: outlet.unwritten == 1, WITHIN, failing="not told")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        written = LinesFile(pipe, max_size=100, keep=5)
        with pytest.raises(OSError, match=r"temporarily|nobody reads"):
            append(written, 1000, size=5000)  # each more than a pipe takes whole
        while len(os.read(reader, 1 << 16)) == 1 << 16:
            pass
        written.append(LINE)
        assert os.read(reader, 1 << 16).endswith(b"\n" + LINE)
        written.close()
    finally:
        os.close(reader)


def test_a_disk_that_hangs_does_not_hang_the_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outlet = Export(tmp_path / "alerts.jsonl", keys.Export())
    outlet.start()
    let_go = threading.Event()
    monkeypatch.setattr(outlet._lines, "append", lambda _: let_go.wait(WITHIN))
    outlet.alert(told())
    began = time.monotonic()
    outlet.stop(0.5)
    assert time.monotonic() - began < 10.0
    let_go.set()
