"""What the detector is held against: principal components on its vectors, and three counters.

Both learn from homes of the training family alone, as the shipped model did. What they find is
told like the detector's own: as incidents, so that one attack is one alarm.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from mqtt_ids.alerts import Alert
from mqtt_ids.evaluating.results import COUNTERS, MEAN_STD, PCA
from mqtt_ids.evaluating.spread import Spread
from mqtt_ids.evaluating.telling import Persistence, Story, Subject, sign
from mqtt_ids.events import SEES_ALL, Event, Opened, Published
from mqtt_ids.feature_table import Role
from mqtt_ids.learning.lessons import CALM_CLASSES, of_class
from mqtt_ids.learning.levels import firing_levels, within_budget
from mqtt_ids.learning.samples import Samples
from mqtt_ids.mask_classes import mask_class, thresholds
from mqtt_ids.views import Judged
from mqtt_ids.windows import Floats
from mqtt_ids_model import Card, network_inputs, reconstruction_error

WINDOW: Final = 10.0  # seconds of the three counters
MARGIN: Final = 2.0  # times what they reach in calm homes
COMPONENTS: Final = 16
_ROUNDS: Final = 64  # of judging, that PCA scores at once

Counts = tuple[float, float, float]  # connections, publishes and all events


# --- three counters ------------------------------------------------------------------------


class Counters:
    """Three counters per address and 10 s."""

    def __init__(self) -> None:
        self._window = -1
        self._seen: dict[str, list[int]] = {}

    def count(self, event: Event) -> Sequence[int]:
        """What its address has reached in this window, with this event; see `Counts`."""
        window = int(event.time // WINDOW)
        if window != self._window:
            self._window, self._seen = window, {}
        seen = self._seen.get(event.address)
        if seen is None:
            seen = self._seen[event.address] = [0, 0, 0]
        kind = type(event)
        if kind is Published:
            seen[1] += 1
        elif kind is Opened:
            seen[0] += 1
        seen[2] += 1
        return seen


def reached(events: Iterable[Event]) -> Counts:
    """The most that the three counters reach in a stream."""
    counters, most = Counters(), [0, 0, 0]
    for event in events:
        most = [max(pair) for pair in zip(most, counters.count(event), strict=True)]
    return most[0], most[1], most[2]


def limits(each: Iterable[Counts]) -> Counts:
    """The counters' limits, from what they reach in calm homes."""
    first, second, third = (MARGIN * max(column) for column in zip(*each, strict=True))
    return first, second, third


class ThreeCounters:
    """Accuses an address that passes a limit, at the very event."""

    method: str = COUNTERS

    def __init__(self, limits: Counts) -> None:
        self._limits = limits
        self._counters = Counters()
        self._story = Story()
        self._told: dict[str, float] = {}  # when an address was last accused

    def feed(self, event: Event) -> None:
        """Count one event."""
        seen = self._counters.count(event)
        first, second, third = self._limits
        if seen[2] > third or seen[1] > second or seen[0] > first:
            self._accuse(event, max(n / limit for n, limit in zip(seen, self._limits, strict=True)))

    def alerts(self) -> list[Alert]:
        """All that it has told."""
        return self._story.alerts

    def _accuse(self, event: Event, ratio: float) -> None:
        if event.time - self._told.get(event.address, -np.inf) >= 1.0:
            self._told[event.address] = event.time
            self._story.tell([sign(event.time, event.address, ratio, 1.0)], event.time)


# --- other scores, or other thresholds, on the detector's vectors --------------------------


class OtherThresholds:
    """The detector's scores, held against the card's mean + std: the paper's threshold.

    The normals are kept from what is odd by the budget's threshold, as the detector keeps them.
    """

    method: str = MEAN_STD

    def __init__(self, card: Card, *, until: float = math.inf) -> None:
        """It watches up to the time `until`, where the sensor sees all.

        Raises ModelError where the card lacks a threshold.
        """
        self._held = thresholds(card, SEES_ALL, "mean-std")
        self._until = until
        self._persistence = Persistence()

    def judge(self, judged: Judged) -> None:
        """Take in one round."""
        if judged.time > self._until:
            return
        batch = judged.batch
        new, learned = (self._held[mask_class(batch.role, earned=one)] for one in (False, True))
        held = np.where(batch.state.earned, learned, new)
        if (judged.scores > held).any():
            self._persistence.judge(
                batch.role, batch.subjects, judged.scores, held, judged.fresh, judged.time
            )

    def alerts(self) -> list[Alert]:
        """All that it has told."""
        return self._persistence.story.alerts


class Components(msgspec.Struct, frozen=True, kw_only=True):
    """Principal components of calm vectors, and where calm ends.

    `mean` (I,) and `axes` (C, I) are of the network's inputs; `thresholds` is indexed by whether
    it is a host and whether it has a normal.
    """

    mean: Floats
    axes: Floats
    thresholds: NDArray[np.float64]

    def scores(self, x: Floats, seen: NDArray[np.bool_], context: Floats) -> Floats:
        """The reconstruction errors of vectors, over the unclipped features that are seen."""
        weights = (network_inputs(x, seen, context) - self.mean) @ self.axes.T
        features = x.shape[1]
        back = (weights @ self.axes[:, :features] + self.mean[:features]).astype(np.float32)
        return reconstruction_error(x, back, seen)[0]

    def thresholds_of(self, role: Role, earned: NDArray[np.bool_]) -> NDArray[np.float64]:
        """What subjects of this role are held against, by who has a normal."""
        new, learned = self.thresholds[int(role is Role.HOST)].tolist()
        held: NDArray[np.float64] = np.where(earned, learned, new)
        return held


def components(calm: Samples, other: Samples, weeks: float) -> Components:
    """The first COMPONENTS of `calm`; thresholds by the shipped model's budget on `other`.

    `other` is of other homes that were calm for so many weeks. Raises ValueError where a mask
    class is not among its vectors.
    """
    from sklearn.decomposition import PCA as Pca  # noqa: N811, PLC0415 - only the extra brings it

    fitted = Pca(COMPONENTS, svd_solver="covariance_eigh").fit(
        network_inputs(calm.x, calm.seen, calm.context)
    )
    mean, axes = fitted.mean_.astype(np.float32), fitted.components_.astype(np.float32)
    untaught = Components(mean=mean, axes=axes, thresholds=np.zeros((2, 2)))
    scores = untaught.scores(other.x, other.seen, other.context)
    thresholds = np.zeros((2, 2))
    for role, earned in CALM_CLASSES:
        mine = of_class(other, role, earned=earned)
        if not mine.any():
            has = "with" if earned else "without"
            raise ValueError(f"no calm vector of a {role.value} {has} a normal")
        levels = firing_levels(other.time[mine], scores[mine], other.subject[mine])
        thresholds[int(role is Role.HOST), int(earned)] = within_budget(levels, weeks)
    return msgspec.structs.replace(untaught, thresholds=thresholds)


class _Round(NamedTuple):
    """What is kept of a round until it is scored."""

    time: float
    role: Role
    subjects: Sequence[Subject]
    fresh: NDArray[np.bool_]
    thresholds: NDArray[np.float64]


class PcaRival:
    """Principal components in the place of the network. Rounds are scored many at a time."""

    method: str = PCA

    def __init__(self, components: Components) -> None:
        self._components = components
        self._persistence = Persistence()
        self._rounds: list[_Round] = []
        self._vectors: list[tuple[Floats, NDArray[np.bool_], Floats]] = []
        self.spread = Spread()

    def judge(self, judged: Judged) -> None:
        """Take in one round."""
        batch, vectors = judged.batch, judged.batch.vectors
        thresholds = self._components.thresholds_of(batch.role, batch.state.earned)
        self._rounds.append(
            _Round(judged.time, batch.role, batch.subjects, judged.fresh, thresholds)
        )
        self._vectors.append((vectors.x.copy(), vectors.seen.copy(), vectors.context.copy()))
        if len(self._rounds) >= _ROUNDS:
            self._score()

    def alerts(self) -> list[Alert]:
        """All that it has told."""
        self._score()
        return self._persistence.story.alerts

    def _score(self) -> None:
        if not self._rounds:
            return
        x, seen, context = (np.concatenate(each) for each in zip(*self._vectors, strict=True))
        scores = self._components.scores(x, seen, context)
        start = 0
        for one in self._rounds:
            mine = scores[start : start + len(one.subjects)]
            start += len(mine)
            if (mine > one.thresholds).any():
                self._persistence.judge(
                    one.role, one.subjects, mine, one.thresholds, one.fresh, one.time
                )
        self.spread.add(scores / np.concatenate([one.thresholds for one in self._rounds]))
        self._rounds, self._vectors = [], []
