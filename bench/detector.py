"""The detector by itself: events a second on one core, and bytes per tracked client."""

import itertools
import statistics
import time
import tracemalloc
from collections.abc import Iterable

from report import Row

from mqtt_ids.detector import Detector
from mqtt_ids.events import SEES_ALL, AnyEvent, Connected, Event, Opened, Published
from mqtt_ids.models import DEFAULT, open_model

CLIENTS = 100
PACE = 1_500  # publishes of each client in a second: together the bar
SECONDS = 6
CALM_SECONDS = 60
BAR = 150_000  # events/s
TRACKED = 5_000
TOPICS = 4
BYTES_BAR = 4_096


class Baseline:
    """Takes events and ticks as a detector does, finds the method for each, and does nothing."""

    def __init__(self) -> None:
        self._takes = dict.fromkeys((Opened, Connected, Published), self._take)

    def feed(self, event: Event) -> None:
        """Dispatch one event by its kind."""
        self._takes[type(event)](event)

    def tick(self, now: float) -> list[object]:
        """Nothing to judge."""
        del now
        return []

    def _take(self, event: Event) -> None:
        pass


def run() -> list[Row]:
    """All figures of the detector."""
    return [_throughput(), _calm_tick(), _memory()]


def _throughput() -> Row:
    events, spent = _timed(_fresh_detector(), PACE, SECONDS)
    same, idle = _timed(Baseline(), PACE, SECONDS)
    rate, most = events / sum(spent), same / sum(idle)
    return Row(
        what=f"detector, {CLIENTS} clients at {PACE:,}/s each, ticks included",
        measured=f"{rate:,.0f} events/s",
        against=f"{rate / most:.1%} of a loop that only dispatches",
        bar=f">= {BAR:,}",
        met=rate >= BAR,
    )


def _calm_tick() -> Row:
    _, spent = _timed(_fresh_detector(), 1, CALM_SECONDS)
    return Row(
        what=f"detector, {CLIENTS} clients at 1/s each, one second of them",
        measured=f"{1e3 * statistics.median(spent):.1f} ms",
    )


def _timed(detector: Detector | Baseline, pace: int, seconds: int) -> tuple[int, list[float]]:
    """How many events were fed, and how long each second of them took."""
    for event in _arrivals(CLIENTS):
        detector.feed(event)
    spent, fed = [], 0
    for second in range(1, seconds + 1):
        events = list(_publishes(CLIENTS, pace, float(second)))
        start = time.perf_counter()
        feed = detector.feed
        for event in events:
            feed(event)
        detector.tick(second + 1.0)
        spent.append(time.perf_counter() - start)
        fed += len(events)
    if isinstance(detector, Detector) and detector.watch.tally.skipped:
        raise RuntimeError("some events were skipped")
    return fed, spent


def _memory() -> Row:
    model = open_model(DEFAULT)
    tracemalloc.start()
    detector = Detector(model, sees=SEES_ALL, max_clients=TRACKED)
    # Events are made one by one: what outlives them is held by the detector.
    for event in itertools.chain(_arrivals(TRACKED), _publishes(TRACKED, TOPICS, 1.0)):
        detector.feed(event)
    detector.tick(2.0)
    for event in _publishes(TRACKED, TOPICS, 2.0):
        detector.feed(event)
    held, _ = tracemalloc.get_traced_memory()  # numpy reports its arrays to tracemalloc as well
    tracemalloc.stop()
    tracked = len(detector.clients())
    if tracked != TRACKED:
        raise RuntimeError(f"{tracked} of {TRACKED} clients are tracked")
    each, arrays = held / TRACKED, detector.watch.nbytes / TRACKED
    return Row(
        what=f"detector, {TRACKED:,} clients, each with an address and {TOPICS} topics",
        measured=f"{each:,.0f} bytes a client",
        against=f"{arrays:,.0f} of them in arrays",
        bar=f"<= {BYTES_BAR:,}",
        met=each <= BYTES_BAR,
    )


def _fresh_detector() -> Detector:
    return Detector(open_model(DEFAULT), sees=SEES_ALL)


def _arrivals(clients: int) -> Iterable[AnyEvent]:
    for number in range(clients):
        yield Opened(time=0.0, connection=number, address=_address(number), port=40_000)
        yield Connected(
            time=0.0,
            connection=number,
            address=_address(number),
            port=40_000,
            client_id=_name(number),
        )


def _publishes(clients: int, pace: int, start: float) -> Iterable[AnyEvent]:
    """Each client publishes `pace` times in the second from `start`, on its topics in turn."""
    for turn in range(pace):
        now = start + turn / pace
        for number in range(clients):
            yield Published(
                time=now,
                connection=number,
                address=_address(number),
                port=40_000,
                client_id=_name(number),
                topic=f"home/{_name(number)}/{turn % TOPICS}",
                size=64,
            )


def _name(number: int) -> str:
    return f"client-{number}"


def _address(number: int) -> str:
    return f"10.0.{number // 250}.{number % 250}"
