"""Captures: frames a second from file to verdict, and memory over two gigabytes of them."""

import contextlib
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dpkt
from report import Row

from mqtt_ids.events import SEES_ALL
from mqtt_ids.lab.capture_writer import frames_of, write_pcap
from mqtt_ids.lab.homes import make_home, record
from mqtt_ids.models import DEFAULT, open_model
from mqtt_ids.scanning.scan import Scan
from mqtt_ids.sources.source import open_events

CLIENTS = 30
EVENING = 18 * 3600.0
HOUR = 3600.0
SEED = 1
ROUNDS = 3
BAR = 30_000

CAMERAS = 4  # the seed of a home with cameras: large payloads, so that two gigabytes pass soon
PART = 1200.0  # seconds of it that are repeated
WHOLE = 2_000_000_000  # bytes
MEMORY_BAR = 1.05  # of what was held after a quarter
_HEADER, _RECORD = 24, struct.Struct("<IIII")


def run() -> list[Row]:
    """Speed on a simulated home, and on real traffic where MQTTSET_DIR names some; memory."""
    with tempfile.TemporaryDirectory() as folder:
        home = _home(Path(folder) / "home.pcap", SEED, HOUR)
        rows = _speed(f"capture, a home of {CLIENTS} clients", home, BAR)
        named = os.environ.get("MQTTSET_DIR")
        if named:
            rows += _speed("capture, MQTTset's legitimate.pcap", Path(named) / "legitimate.pcap")
        part = _home(Path(folder) / "cameras.pcap", CAMERAS, PART)
        return [*rows, _memory(part.read_bytes())]


def _home(path: Path, seed: int, seconds: float) -> Path:
    home = make_home(seed, size=CLIENTS)
    with path.open("wb") as stream:
        write_pcap(stream, frames_of(record(home, start=EVENING, duration=seconds)))
    return path


# --- speed ---------------------------------------------------------------------------------------


def _speed(what: str, path: Path, bar: int | None = None) -> list[Row]:
    """The best of some rounds, by turns with the baseline.

    To judge costs by the second, not by the frame: the fewer frames a second, the more it shows.
    """
    count, span = _parse(path)
    works = (_parse, _read, _scan)
    rounds = [[_timed(work, path) for work in works] for _ in range(ROUNDS)]
    bare, read, scanned = (count / min(spent) for spent in zip(*rounds, strict=True))
    what = f"{what}, {count:,} frames at {count / span:.0f}/s"
    baseline = "of dpkt that only parses the headers"
    return [
        Row(
            what=f"{what}: from file to events",
            measured=f"{read:,.0f} frames/s",
            against=f"{read / bare:.0%} {baseline}",
        ),
        Row(
            what=f"{what}: from file to verdict",
            measured=f"{scanned:,.0f} frames/s",
            against=f"{scanned / bare:.0%} {baseline}",
            bar="" if bar is None else f">= {bar:,}",
            met=None if bar is None else scanned >= bar,
        ),
    ]


def _timed(work: Callable[[Path], object], path: Path) -> float:
    """Seconds of processor time: what one core would take."""
    start = time.process_time()
    work(path)
    return time.process_time() - start


def _parse(path: Path) -> tuple[int, float]:
    """How many frames of TCP dpkt finds, and the seconds between the first and the last."""
    count, times = 0, []
    with path.open("rb") as stream:
        reader = dpkt.pcap.UniversalReader(stream)
        cooked = reader.datalink() == dpkt.pcap.DLT_LINUX_SLL
        kind = dpkt.sll.SLL if cooked else dpkt.ethernet.Ethernet
        for time_, data in reader:
            count += isinstance(kind(data).data.data, dpkt.tcp.TCP)
            times.append(time_)
    return count, float(times[-1] - times[0])


def _read(path: Path) -> None:
    for _ in open_events(str(path)).events:
        pass


def _scan(path: Path) -> None:
    """Read, judge, and let the clock run on past the end, as `mqtt-ids scan` does."""
    scan = Scan(open_model(DEFAULT), sees=SEES_ALL)
    for _ in scan.alerts(open_events(str(path)).events):
        pass
    for _ in scan.end():
        pass


# --- memory --------------------------------------------------------------------------------------


def _memory(part: bytes) -> Row:
    """`mqtt-ids scan -` reads the same part again and again from a pipe, each time later."""
    repeats = -(-WHOLE // len(part))
    held: list[float] = []
    start = time.perf_counter()
    with _scanning() as (process, pipe):
        for data in _repeated(part, repeats):
            pipe(data)
            held.append(_resident(process.pid))
    speed = repeats * len(part) / 1e6 / (time.perf_counter() - start)
    quarter = max(held[: len(held) // 4])
    rest = max(held[len(held) // 4 :])
    return Row(
        what=f"mqtt-ids scan -, {repeats * len(part) / 1e9:.1f} GB through a pipe",
        measured=f"{rest:.0f} MB at most",
        against=f"{quarter:.0f} MB in the first quarter, read at {speed:.0f} MB/s",
        bar=f"<= {MEMORY_BAR:.0%}",
        met=rest <= MEMORY_BAR * quarter,
    )


@contextlib.contextmanager
def _scanning() -> Iterator[tuple["subprocess.Popen[bytes]", Callable[[bytes], object]]]:
    command = [sys.executable, "-m", "mqtt_ids", "scan", "--json", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        if process.stdin is None:
            raise RuntimeError("no pipe")
        yield process, process.stdin.write
        process.stdin.close()
        if process.wait() not in {0, 1}:
            raise RuntimeError("the scan failed")


def _repeated(part: bytes, times: int) -> Iterator[bytes]:
    """The capture, then all of its frames again and again, each time as much later."""
    yield part[:_HEADER]
    buffer = bytearray(part[_HEADER:])
    places = list(_places(buffer))
    for _ in range(times):
        yield bytes(buffer)
        for place in places:
            seconds = int.from_bytes(buffer[place : place + 4], "little") + int(PART) + 1
            buffer[place : place + 4] = seconds.to_bytes(4, "little")


def _places(records: bytes | bytearray) -> Iterator[int]:
    """Where each record of a pcap begins, with the second of its time."""
    at = 0
    while at < len(records):
        yield at
        at += _RECORD.size + _RECORD.unpack_from(records, at)[2]


def _resident(process: int) -> float:
    """Resident memory in MB (10^6 bytes)."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("the scan has ended early")
