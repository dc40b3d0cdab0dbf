"""`mqtt-ids scan` where something fails around it: the disk, the streams, the clock, the names."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from mqtt_ids import events as ev
from mqtt_ids.errors import CaptureError
from mqtt_ids.events import AnyEvent
from mqtt_ids.lab.capture_writer import MONDAY, Frame, frames_of, write_pcap, write_pcapng
from mqtt_ids.scanning.keeping import Keeping
from mqtt_ids.scanning.run import Choices, Scanning
from mqtt_ids.scanning.teller import LAST_DATE
from mqtt_ids.sources.event_log import Writer
from mqtt_ids.sources.source import open_events

SCAN = (sys.executable, "-m", "mqtt_ids", "scan")
LAST_DAY = 253_402_300_800.0 - 86_400.0  # 31 December 9999
EVIL = "\x1b[2J\x9b31m\u202e\u2066漢"
FLOOD = 10.0  # seconds


def flooding(client_id: str = "porch-cam", topic: str = "t") -> list[AnyEvent]:
    """A client that joins and floods."""
    who = {"connection": 1, "address": "192.0.2.9"}
    first: list[AnyEvent] = [
        ev.Opened(time=0.0, **who),  # type: ignore[arg-type]
        ev.Connected(time=0.0, client_id=client_id, **who),  # type: ignore[arg-type]
    ]
    times = (number / 500.0 for number in range(int(FLOOD * 500)))
    return first + [
        ev.Published(time=time, client_id=client_id, topic=topic, size=9, **who)  # type: ignore[arg-type]
        for time in times
    ]


@pytest.fixture
def night(tmp_path: Path) -> str:
    return capture(tmp_path / "night.pcap", frames_of(flooding()))


def capture(path: Path, frames: Iterable[Frame]) -> str:
    with path.open("wb") as file:
        (write_pcapng if path.suffix == ".pcapng" else write_pcap)(file, frames)
    return str(path)


def log(path: Path, events: Iterable[AnyEvent], offset: float = MONDAY) -> str:
    with Writer(path, wall=lambda time: time + offset) as writer:
        for event in events:
            writer.write(event)
    return str(path)


def moved(by: float, since: float = 0.0) -> list[Frame]:
    """The flood's frames, those from `since` on at another time."""
    return [
        (time + (by if time >= MONDAY + since else 0.0), link, wire, data)
        for time, link, wire, data in frames_of(flooding())
    ]


def scan(
    *arguments: str, stdin: str | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    with open(stdin or os.devnull, "rb") as source:  # noqa: PTH123 - either is text
        return subprocess.run(
            [*SCAN, *arguments],
            capture_output=True,
            text=True,
            encoding=environment.get("PYTHONIOENCODING", "utf-8"),
            timeout=120,
            check=False,
            stdin=source,
            env={**os.environ, "TZ": "UTC", **environment},
        )


# --- the disk and the streams --------------------------------------------------------------------


def broken(writer: Writer, monkeypatch: pytest.MonkeyPatch, since: float) -> None:
    """From the event at `since` on, the log cannot be written."""
    write = writer.write

    def failing(event: AnyEvent) -> None:
        if event.time >= since:
            raise CaptureError("night.jsonl: cannot be written (No space left on device)")
        write(event)

    monkeypatch.setattr(writer, "write", failing)


def test_a_full_disk_does_not_end_the_watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, events = list[str](), flooding()[:100]
    writer = Writer(tmp_path / "night.jsonl")
    broken(writer, monkeypatch, since=0.1)
    with Keeping(writer, told.append) as keeping:
        assert list(keeping.through(events)) == events
        assert keeping.failed
    assert told == ["night.jsonl: cannot be written (No space left on device)"]


def test_a_log_that_fails_is_said_after_the_story_is_told(
    tmp_path: Path,
    night: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Failing(Writer):
        def write(self, _event: AnyEvent) -> None:
            self._discard()
            raise CaptureError("x.jsonl: cannot be written (No space left on device)")

    monkeypatch.setattr("mqtt_ids.scanning.run.Writer", Failing)
    path = tmp_path / "x.jsonl"
    assert Scanning(Choices(captures=(night,), events=path)).run() == 2
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == "1 incident found."
    assert err == "mqtt-ids: x.jsonl: cannot be written (No space left on device)\n"
    assert [file.name for file in tmp_path.iterdir()] == ["night.pcap"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="it stands for a full disk")
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_standard_output_that_cannot_be_written_is_said_in_one_line(
    night: str, options: tuple[str, ...]
) -> None:
    with Path("/dev/full").open("wb") as full:
        result = subprocess.run(
            [*SCAN, *options, night], stdout=full, stderr=subprocess.PIPE, check=False, timeout=60
        )
    assert result.returncode == 2
    (line,) = result.stderr.decode().splitlines()
    assert line.startswith("mqtt-ids: standard output: cannot be written (")


@pytest.mark.parametrize("closed", [1, 2])
@pytest.mark.parametrize("options", ["", "--json"])
def test_a_stream_that_is_closed_is_no_fault(night: str, closed: int, options: str) -> None:
    shell = f'exec "$@" {options} {closed}>&-'
    result = subprocess.run(
        ["/bin/sh", "-c", shell, "sh", *SCAN, night], capture_output=True, check=False, timeout=60
    )
    assert (result.returncode, result.stderr) == (1, b"")


def test_a_plot_that_cannot_be_written_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    result = scan("--plot", str(tmp_path / "no" / "plot.png"), "no-such-capture")
    assert (result.returncode, result.stdout) == (2, "")
    assert "plot.png: cannot be written (No such file or directory)" in result.stderr


def test_a_file_on_standard_input_is_no_pipe(night: str) -> None:
    result = scan("-", stdin=night)
    assert result.returncode == 1
    assert result.stdout.count(" flood by ") == 1, "in the story, and not as it opens"


# --- what is not there -----------------------------------------------------------------------


def test_in_json_a_capture_without_mqtt_says_so_on_standard_error(night: str) -> None:
    result = scan("--json", "--port", "1884", night)
    assert (result.returncode, result.stdout) == (0, "")
    assert result.stderr == (
        f"mqtt-ids: {night}: no MQTT was seen; no connection to port 1884 was seen;"
        " --port chooses another port\n"
    )


def test_one_is_no_plural(tmp_path: Path) -> None:
    (one, *_) = frames_of(flooding(), port=8883)
    other = (one[0], 147, len(one[3]), one[3])  # a link type of nobody's
    source = open_events(capture(tmp_path / "tls.pcapng", [one, other]))
    assert list(source.events) == []
    assert source.notes()[1:] == [
        "1 encrypted connection was not read",
        "1 frame of an unknown link type (147) was not read",
    ]


# --- the clock -------------------------------------------------------------------------------


def test_a_clock_that_was_put_back_is_told(tmp_path: Path) -> None:
    result = scan(capture(tmp_path / "back.pcap", moved(-7_200.0, since=5.0)))
    span = result.stdout.splitlines()[1]
    assert span.startswith("20 Nov 2023 00:00:00 to 19 Nov 2023 22:00:09 UTC (")
    assert span.endswith(" s); the clock was put back")


def test_an_incident_that_goes_on_lasts_to_the_end_of_the_capture(night: str) -> None:
    result = scan(night)
    times = next(line for line in result.stdout.splitlines() if line.endswith(", to the end"))
    assert "for 8 s" in times or "for 9 s" in times, "and not into the time after it"


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Etc/GMT+12"])
def test_the_last_day_of_the_calendar_has_a_story(tmp_path: Path, zone: str) -> None:
    late = capture(tmp_path / "late.pcapng", moved(LAST_DAY + 86_380.0 - MONDAY))
    for options in ((), ("--json",)):
        result = scan(*options, late, TZ=zone)
        assert (result.returncode, result.stderr) == (1, "")
        assert "9999" in result.stdout


@pytest.mark.parametrize("offset", [-1e300, -1e18, 1e18, 1e300])
def test_an_event_log_of_no_day_at_all_is_told(tmp_path: Path, offset: float) -> None:
    path = log(tmp_path / "x.jsonl", flooding(), offset)
    scanning = Scanning(Choices(captures=(path,)))
    assert scanning.run() == 1
    assert scanning._wall(0.0) in {0.0, LAST_DATE}


# --- names -----------------------------------------------------------------------------------


def test_json_holds_nothing_that_a_terminal_would_obey(tmp_path: Path) -> None:
    result = scan("--json", log(tmp_path / "x.jsonl", flooding(EVIL)))
    assert {char for char in result.stdout if not char.isprintable()} == {"\n"}
    assert {json.loads(line)["client_id"] for line in result.stdout.splitlines()} >= {EVIL}


def test_a_story_is_told_in_the_letters_that_there_are(tmp_path: Path) -> None:
    result = scan(log(tmp_path / "x.jsonl", flooding("漢é")), PYTHONIOENCODING="iso8859-1")
    assert result.returncode == 1
    assert r"flood by \u6f22é at" in result.stdout


def test_a_payload_is_in_no_output(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    canary, nothing = "CANARY", b"\0" * 9  # what the lab's clients say
    said = canary.encode().ljust(len(nothing))
    frames = frames_of(flooding())
    held = [(time, link, wire, data.replace(nothing, said)) for time, link, wire, data in frames]
    path = capture(tmp_path / "night.pcap", held)
    assert canary.encode() in Path(path).read_bytes()
    names = [tmp_path / name for name in ("x.jsonl", "x.parquet", "x.svg")]
    result = scan("--events", str(names[0]), "--plot", str(names[2]), path)
    again = scan("--json", "--events", str(names[1]), path)
    outputs = result.stdout + result.stderr + again.stdout + again.stderr
    assert canary not in outputs
    assert not any(canary.encode() in name.read_bytes() for name in names)
