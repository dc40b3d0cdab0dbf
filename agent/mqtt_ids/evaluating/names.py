"""Names of attacks: the rules beside a small classifier on the same vectors.

Both name the very same signs of attackers, and both go through the incidents of the detector, so
that the name of a trial is the one that its incident bore last. The classifier learns from homes
of the training family; both are asked about homes of the other family, and about captures.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, cast

import msgspec
import numpy as np

from mqtt_ids import alerts, attacks
from mqtt_ids.alerts import SEVERITIES
from mqtt_ids.evaluating import captures
from mqtt_ids.evaluating.classifier import FOLDS, NAMES_NEEDED, UNNAMED, Classifier, best
from mqtt_ids.evaluating.results import Confusion
from mqtt_ids.evaluating.witness import Accused, Collected, collect_events, ratio
from mqtt_ids.feature_table import NAMES
from mqtt_ids.incidents import CALM_AFTER, Incidents, Sign
from mqtt_ids.lab.attackers import Attack
from mqtt_ids.lab.draws import draw_attack
from mqtt_ids.lab.homes import Family, make_home, record
from mqtt_ids.models import DEFAULT, open_model
from mqtt_ids_model import Model

TAUGHT: Final = range(73_000, 73_108)
ASKED: Final = range(74_000, 74_090)
FEW: Final = 9  # trials of each family in the short form: one of each kind
CALM_FIRST: Final = (900.0, 2400.0)  # seconds: clients without a normal, and with one
WEEK: Final = 7 * 86_400.0
LEARNED: Final = 40  # vectors of a trial that a classifier is shown: one looks like the next
SHOWN: Final = 5  # features of each attack that have a share in the picture
# How long each kind is watched, in s: what is quick may be loud, what is patient takes long.
DURATIONS: Final[Mapping[str, float]] = {
    "flood": 25.0,
    "dos": 25.0,
    "slowite": 60.0,
    "malformed": 60.0,
    "brute-force": 900.0,
    "enumeration": 60.0,
    "takeover": 300.0,
    "spoofing": 300.0,
    "turn": 300.0,
}
RULES_EXPLAIN: Final = (
    "Each name is a rule over how the error is shared among families of features, and a few "
    "figures in units; the alert's reasons are the features that made it."
)
TOO_FEW: Final = "too few alarms to compare names"

Counts = dict[str, dict[str, int]]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One attack to be named: of a lab home of this family, or of a capture.

    At home `kind` is one of DURATIONS. What is of the family `train` is to learn from.
    """

    family: Family
    seed: int = 0
    kind: str = ""
    capture: captures.Trial | None = None
    model: str = DEFAULT


def jobs(
    *, short: bool, recorded: Iterable[captures.Trial] = (), model: str = DEFAULT
) -> list[Job]:
    """The trials to learn names from (family `train`), and those to be asked about (`test`).

    Of `recorded` those are asked about that hold an attack with a name of ours.
    """
    plans: tuple[tuple[range, Family], ...] = ((TAUGHT, "train"), (ASKED, "test"))
    return [
        *(
            Job(family=family, seed=seed, kind=kind, model=model)
            for seeds, family in plans
            for seed, kind in zip(seeds[:FEW] if short else seeds, itertools.cycle(DURATIONS))
        ),
        *(
            Job(family="test", capture=trial, model=model)
            for trial in recorded
            if trial.name in attacks.SEVERITY
        ),
    ]


def collect(job: Job) -> Collected:
    """Watch the trial, and keep what the detector said of its attacker.

    Raises CaptureError where a capture cannot be read, and ValueError where it is a calm one.
    """
    if job.capture is not None:
        return _of_capture(job.capture, open_model(job.model))
    rng = np.random.default_rng(job.seed)
    home = make_home(job.seed, family=job.family)
    start, calm = float(rng.uniform(0.0, WEEK)), float(rng.choice(CALM_FIRST))
    duration = DURATIONS[job.kind]
    attack = draw_attack(home, job.seed, kind=job.kind, start=start + calm, duration=duration)
    return collect_events(
        record(home, [attack], start=start, duration=calm + duration, finish=False),
        attack.truth,
        name=true_name(attack),
        source=f"home {job.seed}",
        model=open_model(job.model),
    )


def _of_capture(trial: captures.Trial, model: Model) -> Collected:
    scene = captures.opened(trial)
    if scene.truth is None or trial.name is None:
        raise ValueError(f"{trial.source} is calm: there is nothing to name")
    return collect_events(
        scene.events,
        scene.truth,
        name=trial.name,
        source=trial.source,
        model=model,
        sees=scene.sees,
    )


def true_name(attack: Attack) -> str:
    """What an attack of the lab should be called: a device that turned loud is a flood."""
    if attack.kind != "turn":
        return attack.kind
    return "flood" if float(attack.settings["rate"]) >= attacks.LOUD_MESSAGES else UNNAMED


def compare(
    taught: Sequence[Collected], asked: Sequence[Collected]
) -> tuple[list[Confusion], dict[str, dict[str, float]], str]:
    """Confusions of both on `asked`, shares of the error by attack, and which one is better.

    The classifier is fitted to `taught`. Confusions are per trial, and per vector; a trial that
    raised no alarm has no name and is in none. Both are empty, and the sentence is TOO_FEW, where
    `taught` holds too few trials with vectors, or names, to learn from.
    """
    names = [one.name for one in taught if len(one.rows)]
    if len(names) < FOLDS or len(set(names)) < NAMES_NEEDED:
        return [], {}, TOO_FEW
    learned = _learned(taught)
    confusions = []
    trials: list[Counts] = []
    for who, namer, words in (
        ("rules", None, RULES_EXPLAIN),
        ("classifier", learned, learned.explained()),
    ):
        per_trial, per_vector = _confused(asked, namer)
        trials.append(per_trial)
        confusions.append(Confusion(by=who, counts=per_trial, explained=words))
        confusions.append(Confusion(by=f"{who}, per vector", counts=per_vector, explained=words))
    return confusions, _shares([*taught, *asked]), _verdict(*trials, asked=len(asked))


def _learned(taught: Sequence[Collected]) -> Classifier:
    """The best classifier for some vectors of each trial, evenly spread over it."""
    few = [
        one.rows[np.unique(np.linspace(0, len(one.rows) - 1, LEARNED).astype(int))]
        for one in taught
        if len(one.rows)
    ]
    lengths = [len(rows) for rows in few]
    names = np.repeat([one.name for one in taught if len(one.rows)], lengths)
    return best(np.concatenate(few), names, np.repeat(np.arange(len(few)), lengths))


def _confused(trials: Iterable[Collected], namer: Classifier | None) -> tuple[Counts, Counts]:
    """Names per trial and per vector; those of the rules where there is no `namer`."""
    per_trial: dict[str, Counter[str]] = {}
    per_vector: dict[str, Counter[str]] = {}
    for trial in trials:
        names = None if namer is None else namer.names(trial.rows)
        rounds = [(accused.time, _renamed(accused, names)) for accused in trial.rounds]
        given = [sign.attack for _, signs in rounds for sign in signs if sign.score is not None]
        per_vector.setdefault(trial.name, Counter()).update(given)
        last = _last_name(rounds)
        if last is not None:
            per_trial.setdefault(trial.name, Counter())[last] += 1
    return (
        {name: dict(counts) for name, counts in per_trial.items()},
        {name: dict(counts) for name, counts in per_vector.items() if counts},
    )


def _renamed(accused: Accused, names: Sequence[str] | None) -> list[Sign]:
    """The signs, those of vectors with the names given by row; a fact keeps its own."""
    if names is None:
        return list(accused.signs)
    return [
        sign if row is None else _called(sign, cast("alerts.Attack", names[row]))
        for sign, row in zip(accused.signs, accused.rows, strict=True)
    ]


def _called(sign: Sign, name: alerts.Attack) -> Sign:
    severity = attacks.severity(name, ratio(sign), len(sign.clients))
    return msgspec.structs.replace(sign, attack=name, severity=severity)


def _last_name(rounds: Sequence[tuple[float, Sequence[Sign]]]) -> str | None:
    """What the gravest incident of these signs was called at last; None where there was no alarm.

    A round is its time in seconds and the signs of it.
    """
    incidents = Incidents(map(str, itertools.count()).__next__)
    told: list[alerts.Alert] = []
    for now, signs in rounds:
        told += incidents.tick([], now - 1.0)  # so that what is over by now is closed before
        told += incidents.tick(signs, now)
    if rounds:
        told += incidents.tick([], rounds[-1][0] + CALM_AFTER)
    words = {alert.id: alert for alert in told if alert.severity != "info"}
    gravest = max(words.values(), key=lambda one: SEVERITIES.index(one.severity), default=None)
    return None if gravest is None else gravest.attack


def _shares(trials: Iterable[Collected]) -> dict[str, dict[str, float]]:
    """By attack, the mean share of the error that each of the weightiest features carries."""
    by_name: dict[str, list[np.ndarray]] = {}
    for trial in trials:
        if len(trial.errors):
            parts = trial.errors / trial.errors.sum(axis=1, keepdims=True)
            by_name.setdefault(trial.name, []).append(parts.mean(axis=0))
    means = {name: np.mean(parts, axis=0) for name, parts in by_name.items()}
    shown = sorted({int(place) for mean in means.values() for place in np.argsort(-mean)[:SHOWN]})
    return {
        name: {NAMES[place]: float(mean[place]) for place in shown} for name, mean in means.items()
    }


def _verdict(rules: Counts, learned: Counts, *, asked: int) -> str:
    """Which is better, in a sentence: a wrong name takes away what a right one is worth."""
    told = []
    marks = []
    for counts in (rules, learned):
        whole = max(1, sum(sum(row.values()) for row in counts.values()))
        right = sum(row.get(name, 0) for name, row in counts.items())
        unnamed = sum(row.get(UNNAMED, 0) for name, row in counts.items() if name != UNNAMED)
        wrong = whole - right - unnamed
        marks.append(right - wrong)
        told.append(f"{right} rightly, {unnamed} as {UNNAMED}, {wrong} wrongly")
    better = "no worse" if marks[0] == marks[1] else "better" if marks[0] > marks[1] else "worse"
    named = sum(sum(row.values()) for row in rules.values())
    return (
        f"The rules name {better} than the classifier: of {named} trials with an alarm (of "
        f"{asked}) they name {told[0]}; the classifier {told[1]}."
    )
