"""Captures and event logs, watched by the detector and its rivals like any other trial."""

import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from mqtt_ids.evaluating.captures import Scene, Trial, opened
from mqtt_ids.evaluating.evidence import Evidence
from mqtt_ids.evaluating.guard import Guard
from mqtt_ids.evaluating.results import NO_FACTS, OURS, Attack, Calm, Found
from mqtt_ids.evaluating.rivals import PcaRival, ThreeCounters
from mqtt_ids.evaluating.spread import Spread
from mqtt_ids.evaluating.taught import Taught
from mqtt_ids.evaluating.watching import Told, Watcher, alarms, found, noted
from mqtt_ids.events import SEES_ALL, AnyEvent, Connected
from mqtt_ids.lab.actions import Truth
from mqtt_ids.models import DEFAULT, open_model
from mqtt_ids.scanning.scan import Census

LONGEST_PAUSE: Final = 86_400.0  # seconds; a longer one is cut to it: each second costs a tick
NOTES: Final = frozenset({"silence", "enumeration"})  # attacks that a note alone may tell of


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A trial, and who watches it."""

    trial: Trial
    taught: Taught
    model: str = DEFAULT


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a trial: of calm, or of an attack. `faults` as of its scene."""

    calm: Calm | None = None
    attack: Attack | None = None
    faults: list[str]


def watched(job: Job, clock: Callable[[], float]) -> Outcome:
    """Watch a trial. `clock` tells seconds of processor time. Raises as `opened` does."""
    scene = opened(job.trial)
    if scene.truth is None:
        return Outcome(calm=_calm(job, scene, clock), faults=scene.faults())
    return Outcome(attack=_attack(job, scene, scene.truth), faults=scene.faults())


def _calm(job: Job, scene: Scene, clock: Callable[[], float]) -> Calm:
    began = clock()
    counted, guard, census = Spread(), Guard(), Census()
    watcher = _watcher(job, scene, guard)
    watcher.observe(lambda judged: counted.add(judged.scores / judged.thresholds))
    told = _told(watcher, scene, census)
    return Calm(
        source=job.trial.source,
        style="capture",
        clients=census.clients,
        duration=0.0 if census.last is None else census.last - scene.start,
        events=watcher.events,
        cases=(),
        vectors=counted.vectors,
        above=counted.above,
        highest=counted.highest,
        alarms={method: alarms(alerts, method, scene.start) for method, alerts in told.items()},
        notes=noted(told[OURS]),
        actions=len(guard.acted),
        cpu=clock() - began,
        place=job.trial.place,
    )


def _attack(job: Job, scene: Scene, truth: Truth) -> Attack:
    trial, census = job.trial, Census()
    watcher = _watcher(job, scene)
    evidence = Evidence(open_model(job.model), job.taught.components, truth)
    watcher.observe(evidence.judge)
    told = _told(watcher, scene, census)
    name = truth.kind
    notes = NOTES & {name}
    found_by = {method: found(alerts, truth, notes=notes) for method, alerts in told.items()}
    return Attack(
        form=Path(trial.path).name,
        name=name,
        source=trial.source,
        identity=trial.identity,
        clients=census.clients,
        found={method: _since(one, trial.prelude) for method, one in found_by.items()},
        agreement=evidence.agreement,
        place=trial.place,
        within=trial.within,
        in_prelude=_is_in(found_by[OURS], trial.prelude),
    )


def _is_in(one: Found, prelude: float) -> bool:
    """Whether it was found before the prelude's end."""
    return one.after is not None and one.after < prelude


def _since(one: Found, prelude: float) -> Found:
    """The same, counted from the prelude's end; what was found in the prelude counts as 0 s."""
    if one.after is None:
        return one
    after = 0.0 if _is_in(one, prelude) else one.after - prelude
    return msgspec.structs.replace(one, after=after)


def _watcher(job: Job, scene: Scene, guard: Guard | None = None) -> Watcher:
    """Whoever watches; on whole seconds, so that the same trial is judged at the same moments.

    PCA is left out where not all is seen: its thresholds hold for whole vectors only.
    """
    return Watcher(
        open_model(job.model),
        start=math.floor(scene.start),
        also=() if scene.truth is None else (NO_FACTS,),
        eager=[ThreeCounters(job.taught.limits)],
        judges=[PcaRival(job.taught.components)] if scene.sees == SEES_ALL else [],
        heeds=None if guard is None else guard.heed,
        sees=scene.sees,
    )


def _told(watcher: Watcher, scene: Scene, census: Census) -> Told:
    watcher.take(_counted(_without_holes(scene.events), census))
    watcher.finish()
    return watcher.told()


def _counted(events: Iterable[AnyEvent], census: Census) -> Iterator[AnyEvent]:
    for event in events:
        census.last = event.time
        if type(event) is Connected:
            census.count(event)
        yield event


def _without_holes(events: Iterable[AnyEvent]) -> Iterator[AnyEvent]:
    """The same events, with no pause longer than LONGEST_PAUSE."""
    last, ahead = math.inf, 0.0
    for event in events:
        ahead += max(0.0, event.time - last - LONGEST_PAUSE)
        last = event.time
        yield msgspec.structs.replace(event, time=event.time - ahead) if ahead else event
