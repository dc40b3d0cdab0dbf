"""Each feature alone, far out of range: whether it is found, whatever the others say.

Calm vectors of homes that the model never saw, of which one feature after the other is set to what
three times its cap gives. A feature that compares with a subject's own normal has no cap: it is
set to what ten thousand times the usual gives, which is as far out on the scale of most features.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from mqtt_ids.counters import Client, Gauge, Host
from mqtt_ids.evaluating.results import Probe
from mqtt_ids.evaluating.watching import Watcher
from mqtt_ids.events import SEES_ALL
from mqtt_ids.feature_table import FEATURES, NAMES, Feature, Role, Shape
from mqtt_ids.features import Layout, State
from mqtt_ids.lab.homes import make_home, record
from mqtt_ids.models import DEFAULT, open_model
from mqtt_ids.verdicts import AT_ONCE, ENOUGH, HALF_LIFE
from mqtt_ids.views import Judged
from mqtt_ids.windows import HALF_LIVES, Floats, weight
from mqtt_ids_model import Model

FAR: Final = 3.0  # times the cap
FAR_UNLIKE: Final = 10_000.0  # times the usual
# Thresholds of a score that becomes an alarm when it comes once a second for ever.
IN_TIME: Final = 2.0 ** (ENOUGH * (1.0 - 2.0 ** (-1.0 / HALF_LIFE)))
WATCHED: Final = 3000.0  # seconds of each home: some subjects without a normal, then with one
HOMES: Final = tuple(range(76_000, 76_010))  # of the whole form,
SHORT_HOMES: Final = tuple(range(9_500, 9_504))  # and of the short one, for developing
PER_CLASS: Final = 6  # vectors of a home, of each role, without a normal and with one
WEEK: Final = 7 * 86_400.0  # seconds

_MESSAGES: Final = 1000.0  # that a share or a mean is taken over
_USUAL: Final = 1e6  # a second, or bytes a message: so many that no count of events is too few

# Nothing that a client does takes these out of range, and why. They are probed as far as they go.
NOT_DRIVABLE: Final[Mapping[str, str]] = {
    "retained_share": "a share is 1 at most, and calm bridges reach it",
    "acknowledged_share": "a share is 1 at most, and calm bridges reach it",
    "host_acknowledged_share": "a share is 1 at most, and calm bridges reach it",
    "unlike_payload_mean": "held at forty times the usual, as one picture among readings may be",
}


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Homes of the test family, by seed, whose calm vectors are probed."""

    seeds: tuple[int, ...]
    model: str = DEFAULT


class Vectors(msgspec.Struct, frozen=True, kw_only=True):
    """Calm vectors as a detector judged them (n rows), and what each was held against."""

    x: Floats
    seen: NDArray[np.bool_]
    context: Floats
    is_host: NDArray[np.bool_]
    threshold: NDArray[np.float64]


def jobs(*, short: bool, model: str = DEFAULT) -> list[Job]:
    """One job: what it takes is to watch the homes."""
    return [Job(seeds=SHORT_HOMES if short else HOMES, model=model)]


def probe(job: Job) -> list[Probe]:
    """One probe of each feature, in the vectors of its role in which it is seen."""
    model = open_model(job.model)
    vectors = _joined(calm_vectors(seed, model) for seed in job.seeds)
    return [_probed(feature, vectors, model) for feature in FEATURES]


def calm_vectors(seed: int, model: Model) -> Vectors:
    """Vectors of one home that were below their threshold, as many of each class as there are."""
    keeper = _Keeper(np.random.default_rng(seed))
    start = float(np.random.default_rng((seed, 1)).uniform(0.0, WEEK))
    watcher = Watcher(model, start=start, observers=(keeper.see,))
    watcher.take(record(make_home(seed, family="test"), start=start, duration=WATCHED))
    return _joined(keeper.kept)


def far(feature: Feature) -> float:
    """What the feature is when it is far out of range; one that ends before, as far as it goes."""
    is_host = feature.role is Role.HOST
    width = Host.COUNT if is_host else Client.COUNT
    publishes = Host.PUBLISHES if is_host else Client.PUBLISHES
    counts = np.zeros((1, width, len(HALF_LIVES)), np.float32)
    rates = np.zeros((1, width), np.float32)
    gauges = np.zeros((1, Gauge.COUNT if is_host else 0), np.float32)
    if feature.window is None:
        gauges[0, feature.counter] = FAR * feature.cap
    else:
        counts[0, publishes] = _MESSAGES
        rates[0, publishes] = 1.0
        rates[0, feature.counter] = _USUAL
        amount = _amount(feature, feature.window)
        counts[0, feature.counter, HALF_LIVES.index(feature.window)] = amount
    state = State(
        counts=counts, gauges=gauges, rates=rates, earned=np.ones(1, bool), ages=np.zeros(1)
    )
    x = Layout(feature.role, SEES_ALL).vectors(state).x
    return float(x[0, NAMES.index(feature.name)])


def _amount(feature: Feature, window: float) -> float:
    """How many there are in the window, or how many in _MESSAGES messages, when it is far out."""
    if feature.shape is Shape.SHARE:
        return _MESSAGES
    if feature.learned:
        span = _MESSAGES if feature.shape is Shape.UNLIKE_MEAN else weight(window)
        return FAR_UNLIKE * _USUAL * span
    return FAR * feature.cap * (_MESSAGES if feature.shape is Shape.MEAN else 1.0)


def _probed(feature: Feature, vectors: Vectors, model: Model) -> Probe:
    place = NAMES.index(feature.name)
    rows = np.flatnonzero((vectors.is_host == (feature.role is Role.HOST)) & vectors.seen[:, place])
    x = vectors.x[rows].copy()
    x[:, place] = far(feature)
    scores = model.score(x, vectors.seen[rows], vectors.context[rows]).score
    ratios = scores / vectors.threshold[rows]
    return Probe(
        feature=feature.name,
        role=feature.role.value,
        drivable=feature.name not in NOT_DRIVABLE,
        trials=len(rows),
        found=int((ratios >= IN_TIME).sum()),
        at_once=int((ratios >= AT_ONCE).sum()),
    )


class _Keeper:
    """Keeps a few vectors of each role and class, any as likely as any other round's."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._kept: dict[tuple[Role, bool], list[Vectors]] = {}
        self._rounds: dict[tuple[Role, bool], int] = {}

    @property
    def kept(self) -> Iterable[Vectors]:
        """All of them."""
        return [vectors for each in self._kept.values() for vectors in each]

    def see(self, judged: Judged) -> None:
        """Take in one round of judging: one calm vector of each class may be kept."""
        role, earned = judged.batch.role, judged.batch.state.earned
        calm = judged.scores <= judged.thresholds
        for learned in (False, True):
            rows = np.flatnonzero(calm & (earned == learned))
            if not len(rows):
                continue
            kept = self._kept.setdefault((role, learned), [])
            rounds = self._rounds[role, learned] = self._rounds.get((role, learned), 0) + 1
            place = int(self._rng.integers(rounds))  # reservoir sampling
            if len(kept) < PER_CLASS:
                kept.append(_row(judged, int(self._rng.choice(rows))))
            elif place < PER_CLASS:
                kept[place] = _row(judged, int(self._rng.choice(rows)))


def _row(judged: Judged, row: int) -> Vectors:
    vectors = judged.batch.vectors
    return Vectors(
        x=vectors.x[[row]],
        seen=vectors.seen[[row]],
        context=vectors.context[[row]],
        is_host=np.array([judged.batch.role is Role.HOST]),
        threshold=judged.thresholds[[row]],
    )


def _joined(parts: Iterable[Vectors]) -> Vectors:
    columns = zip(*map(msgspec.structs.astuple, parts), strict=True)
    x, seen, context, is_host, threshold = map(np.concatenate, columns)
    return Vectors(x=x, seen=seen, context=context, is_host=is_host, threshold=threshold)
