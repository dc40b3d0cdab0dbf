"""Trials in simulated homes that nobody has learned from: calm weeks, start-ups, and attacks.

A home is watched while it is calm once, and then each attack strikes a copy of what was known by
then: the same as if each had a home of its own, in a fraction of the time. No method is told what
is true; whom an attack involves only serves to judge what they said.
"""

import functools
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec
import numpy as np

from mqtt_ids.alerts import Alert
from mqtt_ids.evaluating.evidence import Evidence, curve
from mqtt_ids.evaluating.forms import BY_ID, FIVE, SLOW, STEADY, Form
from mqtt_ids.evaluating.guard import Guard
from mqtt_ids.evaluating.results import (
    CONSTANT,
    HOME,
    MEAN_STD,
    NO_FACTS,
    OURS,
    PCA,
    Attack,
    Calm,
    Curve,
    Roc,
)
from mqtt_ids.evaluating.rivals import OtherThresholds, PcaRival, ThreeCounters
from mqtt_ids.evaluating.spread import Bins, Spread, alike, joined, roc
from mqtt_ids.evaluating.taught import Taught
from mqtt_ids.evaluating.watching import VectorRival, Watcher, alarms, completing, found, noted
from mqtt_ids.events import AnyEvent, Published
from mqtt_ids.lab import attackers
from mqtt_ids.lab.homes import make_home, record
from mqtt_ids.lab.household import Home, Resident
from mqtt_ids.models import DEFAULT, open_model
from mqtt_ids.scanning.curves import Curves
from mqtt_ids_model import Model

WEEK: Final = 7 * 86_400.0
CALM_FIRST: Final = 3000.0  # seconds before an attack: clients have a normal by then
AFTERWARDS: Final = 30.0  # seconds of calm after it


class CalmJob(msgspec.Struct, frozen=True, kw_only=True):
    """A calm home to watch for `duration` seconds.

    `size` is its number of clients, or drawn. For the first `mean_std` seconds the paper's
    threshold is tried as well.
    """

    seed: int
    duration: float
    taught: Taught
    place: str = HOME
    size: int | None = None
    mean_std: float = 0.0
    model: str = DEFAULT


class CalmTrial(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it, and how the scores of all its vectors are spread."""

    calm: Calm
    ours: Bins
    pca: Bins


class Strike(msgspec.Struct, frozen=True):
    """An attack of this form, by id. `draws` asks for the attacker's score over time."""

    form: str
    identity: attackers.Identity
    draws: bool = False


class AttackJob(msgspec.Struct, frozen=True, kw_only=True):
    """A home, and attacks that strike it one by one, each as if there were no other.

    With `constant` the five attacks of MQTTset are watched with the score held constant as well.
    """

    seed: int
    strikes: tuple[Strike, ...]
    taught: Taught
    constant: bool = False
    model: str = DEFAULT


class AttackTrial(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one attack, and how the scores of the attacker's vectors are spread."""

    attack: Attack
    ours: Bins
    pca: Bins
    curve: Curve | None = None


# --- calm ----------------------------------------------------------------------------------


def calm_trial(job: CalmJob, clock: Callable[[], float]) -> CalmTrial:
    """Watch a calm home. `clock` tells seconds of processor time."""
    began = clock()
    home = make_home(job.seed, family="test", size=job.size)
    start = float(np.random.default_rng(job.seed).uniform(0.0, WEEK))
    model = _model(job.model)
    pca, counted, guard = PcaRival(job.taught.components), Spread(), Guard()
    judges: list[VectorRival] = [pca]
    if job.mean_std:
        judges.append(OtherThresholds(model.card, until=start + job.mean_std))
    watcher = Watcher(
        model,
        start=start,
        eager=[ThreeCounters(job.taught.limits)],
        judges=judges,
        observers=[lambda judged: counted.add(judged.scores / judged.thresholds)],
        heeds=guard.heed,
    )
    watcher.take(record(home, start=start, duration=job.duration, finish=False))
    told = watcher.told()
    watched = {MEAN_STD: min(job.mean_std, job.duration)} if job.mean_std else {}
    calm = Calm(
        source=f"home {job.seed}",
        style=home.style,
        clients=len(home.residents),
        duration=job.duration,
        events=watcher.events,
        cases=tuple(sorted(home.cases)),
        vectors=counted.vectors,
        above=counted.above,
        highest=counted.highest,
        alarms={
            method: alarms(alerts, method, start, _cases(home)) for method, alerts in told.items()
        },
        notes=noted(told[OURS]),
        actions=len(guard.acted),
        cpu=clock() - began,
        place=job.place,
        watched=watched,
    )
    return CalmTrial(calm=calm, ours=counted.bins, pca=pca.spread.bins)


def _cases(home: Home) -> Callable[[Alert], str | None]:
    """Of what kind an alert's client is; where it names none, what there is at its address."""
    by_id = {one.client_id: one.kind for one in home.residents}
    by_address: dict[str, set[str]] = {}
    for actor in home.actors:
        by_address.setdefault(actor.address, set()).add(actor.name.partition("/")[0])

    def case(alert: Alert) -> str | None:
        named = by_id.get(alert.client_id or "")
        near = by_address.get(alert.address or "", set())
        return named or (next(iter(near)) if len(near) == 1 else None)

    return case


# --- attacks -------------------------------------------------------------------------------


def attack_trials(job: AttackJob) -> list[AttackTrial]:
    """Watch a home, and then each of the attacks on it."""
    ground = _Ground(job)
    return [ground.trial(strike, number) for number, strike in enumerate(job.strikes)]


class _Ground:
    """A home that has been calm for long enough, and whoever has watched it."""

    def __init__(self, job: AttackJob) -> None:
        self._job = job
        self._home = make_home(job.seed, family="test")
        self._model = _model(job.model)
        self._start = float(np.random.default_rng(job.seed).uniform(0.0, WEEK))
        self._begin = self._start + CALM_FIRST
        self._published: Counter[str] = Counter()
        self._watcher = self._watching(self._also(FIVE))
        self._watcher.take(self._counted(self._events()))

    def trial(self, strike: Strike, number: int) -> AttackTrial:
        """One attack, as if there had been no other."""
        form = BY_ID[strike.form]
        seed = 1000 * self._job.seed + number
        victim = self._victim(form, seed)
        phase = float(np.random.default_rng(seed).uniform())  # between two ticks of the clock
        attack = form.attack(self._home, seed, self._begin + phase, strike.identity, victim)
        truth, curves = attack.truth, Curves()
        evidence = Evidence(self._model, self._job.taught.components, truth)
        if strike.draws:  # what came before is to be seen too
            watcher = self._watching(self._also({form.name}))
            watcher.observe(curves.see)
            watcher.take(self._events())
        else:
            watcher = self._watcher.fork({OURS, *self._also({form.name})})
        watcher.observe(evidence.judge)
        watcher.take(completing(self._events(attack, phase + form.duration + AFTERWARDS), truth))
        told = watcher.told()
        return AttackTrial(
            attack=Attack(
                form=form.id,
                name=form.name,
                source=f"home {self._job.seed}",
                identity=strike.identity,
                clients=len(self._home.residents),
                found={
                    method: found(alerts, truth, notes=form.notes)
                    for method, alerts in told.items()
                },
                agreement=evidence.agreement,
                right=(form.name, *form.right) if form.right else (),
                within=form.within,
            ),
            ours=evidence.ours.bins,
            pca=evidence.pca.bins,
            curve=curve(curves, told[OURS], truth, f"{form.id}, {strike.identity}")
            if strike.draws
            else None,
        )

    def _also(self, names: Iterable[str]) -> set[str]:
        """Which ablations watch attacks of these names."""
        if FIVE.isdisjoint(names):
            return set()
        return {NO_FACTS, CONSTANT} if self._job.constant else {NO_FACTS}

    def _watching(self, also: set[str]) -> Watcher:
        return Watcher(
            self._model,
            start=self._start,
            also=sorted(also),
            eager=[ThreeCounters(self._job.taught.limits)],
            judges=[PcaRival(self._job.taught.components)],
        )

    def _events(
        self, attack: attackers.Attack | None = None, longer: float = 0.0
    ) -> Iterator[AnyEvent]:
        """The calm before, or an attack and what comes after it."""
        attacks = () if attack is None else (attack,)
        events = record(
            self._home, attacks, start=self._start, duration=CALM_FIRST + longer, finish=False
        )
        if attack is None:
            return events
        return itertools.dropwhile(lambda event: event.time < self._begin, events)

    def _counted(self, events: Iterable[AnyEvent]) -> Iterator[AnyEvent]:
        for event in events:
            if type(event) is Published:
                self._published[event.client_id or ""] += 1
            yield event

    def _victim(self, form: Form, seed: int) -> Resident | None:
        """Whom it strikes, where the form asks for somebody; None leaves it to the attacker."""
        if form.victim == "any":
            return None
        staying = [one for one in self._home.residents if one.stays and one.topics]
        slow = form.victim == "slow"
        rates = {one: self._published[one.client_id] / CALM_FIRST for one in staying}
        fit = [one for one in staying if (rates[one] <= SLOW if slow else rates[one] >= STEADY)]
        if not fit:  # whoever comes nearest
            fit = sorted(staying, key=rates.__getitem__, reverse=not slow)[:1]
        return fit[int(np.random.default_rng(seed).integers(len(fit)))] if fit else None


# --- together ------------------------------------------------------------------------------


def rocs(calm: Iterable[CalmTrial], attacks: Iterable[AttackTrial]) -> list[Roc]:
    """Single vectors of attackers against those of calm homes, by ours and by PCA.

    Each attack counts alike, however long it took; so does each vector of calm. Attacks that a
    fact alone tells of are left out. Empty where there is nothing to compare.
    """
    calm = list(calm)
    scored = [one for one in attacks if BY_ID[one.attack.form].in_scores and one.ours.any()]
    if not calm or not scored:
        return []
    return [
        roc(OURS, joined([one.ours for one in calm]), joined([alike(one.ours) for one in scored])),
        roc(PCA, joined([one.pca for one in calm]), joined([alike(one.pca) for one in scored])),
    ]


@functools.cache
def _model(name: str) -> Model:
    """One model for all trials of a process."""
    return open_model(name)
