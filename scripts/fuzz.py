"""Throws broken input at whatever reads an attacker's bytes: `make fuzz`.

Five targets: the MQTT decoder, the readers of capture files, the capture sensor behind them, the
sidecar's sources with the reader of Mosquitto's log, and the parts of the inline proxy. Input is
real traffic of the lab, or lines of such a log, with damage done to it. Nothing may raise, hang,
hold more than its bound, or depend on where the bytes were cut. Each input follows from the seed
and its number:

    python scripts/fuzz.py --count 1000000 --seed 7
    python scripts/fuzz.py --seed 7 --only 123456
"""

import argparse
import contextlib
import io
import itertools
import random
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final, NoReturn

from fuzz_input import MOSTLY, RARELY, SOMETIMES, Corpus, damaged, frame, shaken
from fuzz_log import LEVELS, log_lines
from fuzz_proxy import try_proxy

from mqtt_ids.decoder import MAX_HEADER, Decoder
from mqtt_ids.errors import CaptureError
from mqtt_ids.events import AnyEvent, Closed, Opened
from mqtt_ids.lab import capture_writer as writer
from mqtt_ids.names import LONGEST
from mqtt_ids.packet_headers import MAX_BODY
from mqtt_ids.sensors.capture.files import frames
from mqtt_ids.sensors.capture.sensor import Capture
from mqtt_ids.sidecar.sources import LOG_TOPICS, UPTIME, Sources
from mqtt_ids.uplink.session import Received

PATIENCE: Final = 10  # seconds for one input
GROWTH: Final = 128 * 1024  # kB by which the process may grow after its first inputs
MAX_CONNECT: Final = 1000
BOUND: Final = max(MAX_CONNECT, MAX_BODY) + MAX_HEADER
_TURNS: Final = (
    lambda sources, _: sources.away("mqtt-ids-fuzz"),
    lambda sources, _: sources.file_is_gone(),
    lambda sources, now: sources.online(None, now),
)
_IDS: Final = ("lamp", "", "x" * 70_000, "mqtt-ids-fuzz", "Client lamp disconnected.")
LONGEST_STREAM: Final = 600  # bytes, mostly: damage is to hit something


class FaultError(Exception):
    """An input that broke a promise."""


def _require(*, promise: bool, text: str) -> None:
    if not promise:
        raise FaultError(text)


# --- the targets ---------------------------------------------------------------------------------


def try_decoder(rng: random.Random, corpus: Corpus) -> None:
    """One stream in one piece and in slices: the same packets, and no more held than allowed."""
    stream = rng.choice(corpus.streams)
    start = rng.randrange(len(stream) + 1) if rng.random() < SOMETIMES else 0
    length = len(stream) if rng.random() < RARELY else LONGEST_STREAM
    data = damaged(rng, stream[start : start + length], corpus.streams)
    whole, sliced = (
        Decoder(
            from_client=from_client,
            version=version,
            max_connect=MAX_CONNECT,
            expect_connect=not start,
        )
        for from_client, version in [(rng.random() < MOSTLY, rng.choice((3, 4, 5)))]
        for _ in range(2)
    )
    packets = whole.feed(data)
    cuts = sorted(rng.choices(range(len(data) + 1), k=rng.choice((1, 3, 10))))
    found = []
    for begin, end in itertools.pairwise((0, *cuts, len(data))):
        found += sliced.feed(data[begin:end])
        _require(promise=sliced.buffered <= BOUND, text=f"{sliced.buffered} bytes are held")
    _require(promise=found == packets, text="slicing changes the packets")
    if rng.random() < SOMETIMES:
        hole = rng.choice((1, 40, 70_000))
        _require(promise=sliced.missed(hole) == whole.missed(hole), text="slicing changes a hole")
        _require(promise=sliced.feed(data) == whole.feed(data), text="... and what follows it")
    _require(promise=sliced.end() == whole.end(), text="slicing changes the end")


def try_files(rng: random.Random, corpus: Corpus) -> None:
    """A damaged capture file, through the sensor."""
    data = damaged(rng, rng.choice(corpus.files), corpus.files)
    stream = _Dripping(data, rng) if rng.random() < SOMETIMES else io.BytesIO(data)
    capture = Capture()
    with contextlib.suppress(CaptureError):
        _check(capture.read(frames(stream, "fuzz")))  # type: ignore[arg-type]


def try_sensor(rng: random.Random, corpus: Corpus) -> None:
    """Damaged segments in whole frames, and whole frames with damaged headers."""
    pieces = rng.choice(corpus.pieces)
    start = rng.randrange(len(pieces)) if rng.random() < MOSTLY else 0
    link = rng.choice(writer.LINKS)
    made = [frame(piece, link) for piece in shaken(rng, pieces[start : start + 30], corpus.streams)]
    for place in rng.choices(range(len(made) or 1), k=rng.choice((0, 1, 3)))[: len(made)]:
        when, link, wire, data = made[place]
        made[place] = when, link, wire, damaged(rng, data[:60], corpus.streams) + data[60:]
    _check(Capture().read(made))


def try_log(rng: random.Random, corpus: Corpus) -> None:  # noqa: ARG001 - it has its own
    """A log of a broker with hostile clients, by its file and its topics at once."""
    events: list[AnyEvent] = []
    sources = Sources(
        events.append,
        client_id="mqtt-ids-fuzz",
        own_topics=("$ids/alerts",),
        is_ours=lambda _topic, _data: False,
        somebody_else=lambda _topic: None,
        follows_file=rng.random() < MOSTLY,
    )
    now = 0.0
    for _ in range(rng.choice((1, 3, 6))):
        lines = list(log_lines(rng, rng.choice((1, 10, 60))))
        sources.thinning.active = rng.random() < SOMETIMES
        if rng.random() < MOSTLY:
            sources.lines(lines, now, rng.choice((0, 0, 1000)), old=rng.random() < SOMETIMES)
        if rng.random() < SOMETIMES:
            rng.choice(_TURNS)(sources, now)
        for line in lines[: rng.choice((0, 5, 60))]:
            topic = rng.choice((LOG_TOPICS + rng.choice(LEVELS), UPTIME, "$ids/alerts", "a/b"))
            names = tuple(("$clientid", name) for name in rng.choices(_IDS, k=rng.randrange(3)))
            sources.message(Received(topic, line, 0, rng.random() < SOMETIMES, now, names), now)
        now += rng.choice((0.0, 0.2, 3.0, 400.0))
        sources.pass_time(now)
    _check(iter(events), crowd=0)


def _check(events: Iterator[AnyEvent], *, crowd: int | None = None) -> None:
    """Time goes on, names are bounded, and nobody speaks before the opening or after the end."""
    last, opened, closed = float("-inf"), set(), set()
    for event in events:
        number = event.connection
        if number == crowd:
            continue
        _require(promise=event.time >= last, text="time goes back")
        _require(promise=len(event.client_id or "") <= LONGEST, text="an id of any length")
        _require(promise=number not in closed, text=f"{event} after the end")
        if isinstance(event, Opened):
            _require(promise=number not in opened, text="opened twice")
            opened.add(number)
        elif isinstance(event, Closed):
            closed.add(number)
        last = event.time


class _Dripping(io.RawIOBase):
    """A pipe: it gives a few bytes at a time and cannot seek."""

    def __init__(self, data: bytes, rng: random.Random) -> None:
        super().__init__()
        self._stream, self._rng = io.BytesIO(data), rng

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        return self._stream.read(size if size < 0 else min(size, self._rng.randint(1, 900)))

    def readinto(self, buffer: bytearray, /) -> int:  # type: ignore[override]
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


TARGETS: Final[tuple[Callable[[random.Random, Corpus], None], ...]] = (
    *(try_decoder,) * 16,
    *(try_files,) * 2,
    *(try_sensor,) * 2,
    *(try_proxy,) * 4,
    try_log,
)


# --- running -------------------------------------------------------------------------------------


def one_input(seed: int, number: int, corpus: Corpus) -> None:
    """The input of this number, which is the same each time."""
    rng = random.Random(seed << 32 | number)  # noqa: S311 - a seed, not a secret
    try:
        rng.choice(TARGETS)(rng, corpus)
    except Exception as error:
        raise FaultError(f"input {number} of seed {seed}: {error!r}") from error


def run(count: int, seed: int, *, tell: Callable[[int], None] = lambda _: None) -> None:
    """`count` inputs; FaultError at the first that breaks a promise. `tell` hears of each."""
    corpus = Corpus()
    before = 0
    for number in range(count):
        tell(number)
        one_input(seed, number, corpus)
        if number == count // 10:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    _require(promise=grown <= GROWTH, text=f"memory grew by {grown} kB in {count} inputs")


def _tell(number: int) -> None:
    """Show how far we are, and begin to lose patience with this input."""
    signal.alarm(PATIENCE)
    if number and number % 50_000 == 0:
        print(f"{number:,} inputs", file=sys.stderr, flush=True)


def _too_slow(*_: object) -> NoReturn:
    raise TimeoutError(f"longer than {PATIENCE} s")


def main() -> None:
    """Run as many inputs as are asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=1_000_000, help="how many inputs")
    parser.add_argument("--seed", type=int, default=1, help="which inputs")
    parser.add_argument("--only", type=int, help="the number of one input, to see it fail again")
    chosen = parser.parse_args()
    signal.signal(signal.SIGALRM, _too_slow)
    if chosen.only is not None:
        one_input(chosen.seed, chosen.only, Corpus())
        return
    start = time.perf_counter()
    run(chosen.count, chosen.seed, tell=_tell)
    spent = time.perf_counter() - start
    print(f"{chosen.count:,} inputs of seed {chosen.seed}: no fault in {spent:.0f} s")


if __name__ == "__main__":
    main()
