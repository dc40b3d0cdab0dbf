"""Calm vectors from simulated homes."""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
import numpy as np

from mqtt_ids.events import SEES_ALL, Event
from mqtt_ids.lab.homes import Family, make_home, record
from mqtt_ids.lab.household import Home
from mqtt_ids.learning.samples import SUBJECTS_PER_SOURCE, Samples, joined, kept
from mqtt_ids.subjects import ClientSubject, HostSubject
from mqtt_ids.watch import Batch, Watch

Due = tuple[Batch[ClientSubject] | None, Batch[HostSubject] | None]

FIGHTERS: Final = "doubled-id/"  # how the names of such actors begin


def ticks(watch: Watch, events: Iterable[Event], start: float) -> Iterator[tuple[float, Due]]:
    """Feed `events` to `watch`; what is due, once a second of their time."""
    due = start + 1.0
    for event in events:
        while event.time >= due:
            yield due, watch.due(due)
            due += 1.0
        watch.feed(event)


def sample(
    seed: int,
    *,
    family: Family,
    duration: float,
    eventful: float,
    keep: float,
    rare: float = 1.0,
) -> Samples:
    """Vectors of a home over `duration` s: a share `keep` of all, `rare` of the notable."""
    rng = np.random.default_rng(seed)
    home = _at_peace(make_home(seed, family=family, eventful=eventful))
    start = float(rng.uniform(0, 7 * 86_400))
    watch = Watch(sees=SEES_ALL, max_clients=5000)
    parts: list[Samples] = []
    for now, batches in ticks(watch, record(home, start=start, duration=duration), start):
        parts += [kept(batch, now, rng, keep, rare) for batch in batches if batch is not None]
    samples = joined(parts)
    samples.subject += SUBJECTS_PER_SOURCE * seed
    return samples


def _at_peace(home: Home) -> Home:
    """The home without what is to be told: two devices that fight over one id are no calm."""
    actors = tuple(one for one in home.actors if not one.name.startswith(FIGHTERS))
    return msgspec.structs.replace(home, actors=actors)
