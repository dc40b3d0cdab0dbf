"""Mosquitto's log: lines a second from file to lines, to events, and to verdicts."""

import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from report import Row

from mqtt_ids.detector import Detector
from mqtt_ids.events import SENSORS, AnyEvent
from mqtt_ids.models import DEFAULT, open_model
from mqtt_ids.sensors.mosquitto.follow import Follower
from mqtt_ids.sensors.mosquitto.reader import Reader
from mqtt_ids.sidecar.sources import Sources
from mqtt_ids.sidecar.tail import SHARE

CLIENTS = 200
LINES = 300_000
BAR = 100_000  # lines/s
ROUNDS = 3
SEED = 7
BASELINE = "of a loop over the file's lines"


def run() -> list[Row]:
    """The best of some rounds, by turns with the baseline; each on one core."""
    lines = list(_log())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mosquitto.log"
        data = b"\n".join(lines) + b"\n"
        works: list[Callable[[], int]] = [
            lambda: _bare(path, data),
            lambda: _follow(path, data, lambda _: None),
            lambda: _read(lines),
            lambda: _sense(path, data),
            lambda: _judge(path, data),
        ]
        rounds = [[_timed(work) for work in works] for _ in range(ROUNDS)]
    bare, *rates = (LINES / min(spent) for spent in zip(*rounds, strict=True))
    names = ("followed to its end", "from lines to events", "from file to events", "... to verdict")
    what = f"Mosquitto's debug log of {CLIENTS} clients"
    return [
        Row(
            what=f"{what}: {name}",
            measured=f"{rate:,.0f} lines/s",
            against=f"{rate / bare:.0%} {BASELINE}",
            bar=f">= {BAR:,}" if name == names[2] else "",
            met=rate >= BAR if name == names[2] else None,
        )
        for name, rate in zip(names, rates, strict=True)
    ]


def _log() -> Iterator[bytes]:
    return map(str.encode, _texts())


def _texts() -> Iterator[str]:
    """Each joins; then of five lines four are publishes, as many a second as the bar says."""
    for number in range(CLIENTS):
        at, end, name = (
            1_795_466_419,
            f"10.0.0.{number % 250}:{40_000 + number}",
            f"sensor-{number}",
        )
        yield f"{at}: New connection from {end} on port 1883."
        yield f"{at}: New client connected from {end} as {name} (p2, c1, k60, u'bob')."
        yield f"{at}: No will message specified."
        yield f"{at}: Sending CONNACK to {name} (0, 0)"
    rng = random.Random(SEED)
    for number in range(LINES - 4 * CLIENTS):
        at, client, other = 1_795_466_420 + number // BAR, *rng.choices(range(CLIENTS), k=2)
        rest = f"(d0, q{number % 2}, r0, m0, 'home/room-{client}/state', ... (27 bytes))"
        if number % 5:
            yield f"{at}: Received PUBLISH from sensor-{client} {rest}"
        elif number % 3:
            yield f"{at}: Sending PUBLISH to sensor-{other} {rest}"
        else:
            yield f"{at}: Received PINGREQ from sensor-{client}"


def _timed(work: Callable[[], int]) -> float:
    """Seconds of processor time: what one core would take."""
    start = time.process_time()
    found = work()
    spent = time.process_time() - start
    if found != LINES:
        raise RuntimeError(f"{found:,} of {LINES:,} lines were read")
    return spent


def _bare(path: Path, data: bytes) -> int:
    path.write_bytes(data)
    with path.open("rb") as file:
        return sum(1 for _ in file)


def _follow(path: Path, data: bytes, take: Callable[[list[bytes]], None]) -> int:
    path.unlink()
    follower, found = Follower(path), 0
    path.write_bytes(data)
    while lines := list(follower.read()):
        take(lines)
        found += len(lines)
    follower.close()
    return found


def _read(lines: list[bytes]) -> int:
    reader = Reader()
    for begin in range(0, LINES, SHARE):
        reader.read(lines[begin : begin + SHARE], float(begin // BAR))
    return LINES - reader.unknown - reader.unplaced


def _sense(path: Path, data: bytes) -> int:
    reader = Reader()
    found = _follow(path, data, lambda lines: _drop(reader.read(lines, 1.0)))
    return found - reader.unknown - reader.unplaced


def _drop(_: list[AnyEvent]) -> None:
    pass


def _judge(path: Path, data: bytes) -> int:
    """As the sidecar does it, with a tick for each second of such a log."""
    detector = Detector(open_model(DEFAULT), sees=SENSORS["debug-log"])
    sources = Sources(
        detector.feed,
        client_id="mqtt-ids-bench",
        own_topics=(),
        is_ours=lambda _topic, _data: False,
        somebody_else=lambda _topic: None,
        follows_file=True,
    )
    read, now = 0, 0.0

    def take(lines: list[bytes]) -> None:
        nonlocal read, now
        for begin in range(0, len(lines), SHARE):
            share = lines[begin : begin + SHARE]
            read += len(share)
            sources.lines(share, read / BAR)
            if read / BAR >= now + 1.0:
                now += 1.0
                detector.tick(now)

    return _follow(path, data, take) - sources.unknown
