"""Detection in homes that the shipped model never saw, beside the dumbest thing that might do.

Virtual time; every trial is a home of its own. Homes to train on come of other makers and seeds.
"""

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Final, NamedTuple

from report import Row

from mqtt_ids.alerts import Alert
from mqtt_ids.detector import Detector
from mqtt_ids.events import SEES_ALL, AnyEvent, Opened, Published
from mqtt_ids.lab.attackers import Attack, Attacker
from mqtt_ids.lab.homes import make_home, record
from mqtt_ids.models import DEFAULT, open_model

WINDOW: Final = 10.0  # seconds of the three counters
MARGIN: Final = 2.0  # times what they reach in the homes to train on
TAUGHT: Final = range(1000, 1040)
TAUGHT_FOR: Final = 1800.0  # seconds
STARTS: Final = range(20_000, 20_100)
START: Final = 720.0  # seconds
CALM: Final = range(21_000, 21_020)
CALM_FOR: Final = 6 * 3600.0  # seconds
EVENTFUL: Final = 4.0  # times as many restarts, updates and visitors as in life
TRIALS: Final = 5  # of each form, from an address of its own and from a known one
BEFORE, DURING = 1800.0, 60.0  # seconds of calm, and of the attack
MONDAY_EVENING: Final = 18.5 * 3600.0
FORMS: Final[tuple[tuple[str, str, dict[str, Any]], ...]] = (
    ("dos", "dos", {"connections": 100, "rate": 10.0}),
    ("dos", "dos", {"connections": 10, "rate": 70.0}),
    ("flood", "flood", {"rate": 2000.0}),
    ("flood", "flood", {"rate": 200.0}),
    ("slowite", "slowite", {"connections": 100}),
    ("slowite", "slowite", {"connections": 50, "mode": "half-open"}),
    ("malformed", "malformed", {}),
    ("brute-force", "brute_force", {}),
)

Counts = tuple[float, float, float]  # connections, publishes and all events


class Trial(NamedTuple):
    """What became of one home: false alarms of ours and of the three counters; when each found."""

    alarms: int
    counted: int
    after: float | None = None
    named: bool = False
    counted_after: float | None = None


class Counters:
    """Three counters per address and 10 s; a limit for each."""

    def __init__(self) -> None:
        self._window = -1
        self._seen: dict[str, list[int]] = {}

    def count(self, event: AnyEvent) -> Counts:
        """What its address has reached in this window, with this event."""
        window = int(event.time // WINDOW)
        if window != self._window:
            self._window, self._seen = window, {}
        seen = self._seen.setdefault(event.address, [0, 0, 0])
        seen[0] += isinstance(event, Opened)
        seen[1] += isinstance(event, Published)
        seen[2] += 1
        return seen[0], seen[1], seen[2]


def run() -> list[Row]:
    """False alarms, then time to detect by attack."""
    with ProcessPoolExecutor() as pool:
        reached = list(pool.map(_reached, TAUGHT))
        limits = tuple(MARGIN * max(column) for column in zip(*reached, strict=True))
        starts = list(pool.map(_calm, [(seed, START, 1.0, limits) for seed in STARTS]))
        days = list(pool.map(_calm, [(seed, CALM_FOR, EVENTFUL, limits) for seed in CALM]))
        rows = [
            _peace(f"first {START / 60:.0f} minutes of {len(STARTS)} unseen homes", starts),
            _peace(f"{CALM_FOR / 3600:.0f} hours of {len(CALM)} unseen, eventful homes", days),
        ]
        for number, form in enumerate(FORMS):
            jobs = [
                (22_000 + 10 * number + trial, identity, form, limits)
                for trial in range(TRIALS)
                for identity in ("new", "address")
            ]
            rows.append(_found(form, list(pool.map(_attacked, jobs))))
    return rows


def _peace(what: str, trials: list[Trial]) -> Row:
    ours = sum(trial.alarms for trial in trials)
    counted = sum(trial.counted for trial in trials)
    return Row(
        what=f"{what}: false alarms",
        measured=f"{ours} in {sum(trial.alarms > 0 for trial in trials)} homes",
        against=f"{counted} in {sum(trial.counted > 0 for trial in trials)} by three counters",
    )


def _found(form: tuple[str, str, dict[str, Any]], trials: list[Trial]) -> Row:
    name, _, how = form
    words = ", ".join(f"{key} {value:g}" if key != "mode" else value for key, value in how.items())
    named = sum(trial.named for trial in trials)
    return Row(
        what=f"{name}{f' ({words})' if words else ''}: found after, median and worst",
        measured=f"{_times([one.after for one in trials])}; named in {named} of {len(trials)},"
        f" {sum(trial.alarms for trial in trials)} others accused",
        against=f"{_times([one.counted_after for one in trials])} by three counters",
    )


def _times(times: list[float | None]) -> str:
    found = [time for time in times if time is not None]
    missed = len(times) - len(found)
    told = f"{statistics.median(found):.1f} and {max(found):.1f} s" if found else "never"
    return f"{told}, {missed} missed" if missed and found else told


def _reached(seed: int) -> Counts:
    """The most that the three counters reach in a home to train on."""
    counters, most = Counters(), (0.0, 0.0, 0.0)
    for event in record(make_home(seed), start=MONDAY_EVENING, duration=TAUGHT_FOR):
        first, second, third = counters.count(event)
        most = max(most[0], first), max(most[1], second), max(most[2], third)
    return most


def _calm(job: tuple[int, float, float, Counts]) -> Trial:
    seed, duration, eventful, limits = job
    home = make_home(seed, family="test", eventful=eventful)
    counted: Counter[tuple[str, int]] = Counter()
    counters = Counters()
    opened = 0
    for event, alarms in _watched(record(home, start=MONDAY_EVENING, duration=duration)):
        opened += sum(alarm.state == "open" for alarm in alarms)
        if _beyond(counters.count(event), limits):
            counted[event.address, int(event.time // 60.0)] += 1  # one alarm a minute
    return Trial(alarms=opened, counted=len(counted))


def _attacked(job: tuple[int, str, tuple[str, str, dict[str, Any]], Counts]) -> Trial:
    seed, identity, (name, maker, how), limits = job
    home = make_home(seed, family="test")
    begin = MONDAY_EVENING + BEFORE
    attacker = Attacker(home, seed, start=begin, duration=DURING, identity=identity)  # type: ignore[arg-type] # one of its identities
    attack: Attack = getattr(attacker, maker)(**how)
    counters = Counters()
    after = counted_after = None
    named = False
    others = 0
    events = record(home, [attack], start=MONDAY_EVENING, duration=BEFORE + DURING)
    for event, alarms in _watched(events):
        for alarm in alarms:
            if alarm.address not in attack.truth.addresses:
                others += alarm.state == "open"
            elif alarm.state != "closed":
                after = alarm.time - begin if after is None else after
                named = alarm.attack == name
        found = counted_after is None and event.address in attack.truth.addresses
        if found and event.time >= begin and _beyond(counters.count(event), limits):
            counted_after = event.time - begin
    return Trial(others, 0, after, named, counted_after)


def _watched(events: Iterable[AnyEvent]) -> Iterator[tuple[AnyEvent, list[Alert]]]:
    """Each event, and the alerts above info that were told just before it."""
    detector, due = Detector(open_model(DEFAULT), sees=SEES_ALL), MONDAY_EVENING + 1.0
    for event in events:
        alarms: list[Alert] = []
        while event.time >= due:
            alarms += [alert for alert in detector.tick(due) if alert.severity != "info"]
            due += 1.0
        detector.feed(event)
        yield event, alarms


def _beyond(counts: Counts, limits: Counts) -> bool:
    return any(count > limit for count, limit in zip(counts, limits, strict=True))
