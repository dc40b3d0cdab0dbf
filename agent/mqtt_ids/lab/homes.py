"""Simulated homes: drawn from a seed, and recorded in virtual time with or without attacks."""

import heapq
import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import msgspec

from mqtt_ids.events import AnyEvent
from mqtt_ids.lab.actions import Actor
from mqtt_ids.lab.attackers import Attack
from mqtt_ids.lab.household import Home
from mqtt_ids.lab.play import play
from mqtt_ids.lab.train.home import build as _build_train
from mqtt_ids.lab.unseen.home import build as _build_unseen

Family = Literal["train", "test"]
_BUILDERS = {"train": _build_train, "test": _build_unseen}


def make_home(
    seed: int,
    *,
    family: Family = "train",
    size: int | None = None,
    style: str | None = None,
    eventful: float = 1.0,
) -> Home:
    """The home of this seed, the same each time.

    `size` is the number of clients that live there (None: 3 to 200, small ones oftener);
    `style` a mix of the family (None: drawn). `eventful` multiplies how often rare events of
    normal life come: restarts, power cuts, updates, tests, visitors; 1 is real life.
    """
    return _BUILDERS[family](seed, size=size, style=style, eventful=eventful)


def record(
    home: Home,
    attacks: Sequence[Attack] = (),
    *,
    start: float = 0.0,
    duration: float,
    finish: bool = True,
) -> Iterator[AnyEvent]:
    """The events of a home, and of attacks on it, for `duration` seconds from `start`.

    `start` is in seconds since a Monday's midnight; events carry such times, and the attacks'
    own starts are on the same clock. Everybody connects at `start`, as when the power comes back.
    With `finish` all is closed at the end. An attack's truth is filled as the events are drawn.
    """
    return play(cast(home, attacks), home.rules, start=start, end=start + duration, finish=finish)


def cast(home: Home, attacks: Sequence[Attack] = ()) -> tuple[Actor, ...]:
    """Who acts: the home's actors, those that stand in for some of them, and the attackers.

    Two attacks may not turn the same client: ValueError.
    """
    actors = list(home.actors)
    replaced: set[int] = set()
    for attack in attacks:
        for number, actor in attack.replaced.items():
            if number in replaced:
                raise ValueError(f"two attacks turn the same client: {actor.name}")
            replaced.add(number)
            actors[number] = actor
    return (*actors, *(actor for attack in attacks for actor in attack.actors))


def shift(
    events: Iterable[AnyEvent], seconds: float, *, connections: int = 0
) -> Iterator[AnyEvent]:
    """The same events `seconds` later, their connections numbered `connections` higher."""
    for event in events:
        yield msgspec.structs.replace(
            event, time=event.time + seconds, connection=event.connection + connections
        )


def merge(*streams: Iterable[AnyEvent]) -> Iterator[AnyEvent]:
    """Several streams as one in time order. Their connection numbers must not overlap."""
    return heapq.merge(*streams, key=operator.attrgetter("time"))
