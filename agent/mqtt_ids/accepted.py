"""What a person has accepted: it is normal for this client and for that feature, up to a level.

Nothing else is widened by it: not another feature, not another client, and not ten times as much.
The network still judges; what it finds odd in an accepted feature does not count while the figure
stays within the level. So the new habit is calm, and enters the normal by itself.
"""

from collections.abc import Callable, Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mqtt_ids.acceptance import Acceptance
from mqtt_ids.counters import Client as C
from mqtt_ids.counters import Host as H
from mqtt_ids.facts import Fact, FactKind
from mqtt_ids.feature_table import FEATURES, Feature, Role, Shape
from mqtt_ids.features import Figures
from mqtt_ids.reasons import figure
from mqtt_ids.subjects import ClientSubject, HostSubject
from mqtt_ids.watch import AnyBatch
from mqtt_ids.windows import Floats, weight
from mqtt_ids_model import Scores

MARGIN: Final = 2.0  # times what was seen is still what was accepted
BURSTS: Final = 4.0  # times the pace, where a shorter window looks
USUAL_SIZE: Final = 1024.0  # bytes of a message, where a subject's own are not known

# Counters of a client and of its host that speak of the same thing.
_KIN: Final = (
    ({C.PUBLISHES, C.REPEATS}, {H.PUBLISHES}),
    ({C.BYTES}, {H.BYTES}),
    ({C.CONNECTS}, {H.CONNECTS, H.OPENS, H.SHORT}),
    ({C.NEW_TOPICS}, {H.NEW_TOPICS}),
    ({C.FOREIGN_TOPICS}, {H.FOREIGN_TOPICS}),
    ({C.ODD_TOPICS}, {H.ODD_NAMES}),
    ({C.ABRUPT}, {H.ABRUPT}),
    ({C.FILTERS}, {H.FILTERS}),
    ({C.WIDE_FILTERS}, {H.WIDE_FILTERS}),
    ({C.PINGS}, {H.PINGS}),
    ({C.MALFORMED}, {H.MALFORMED}),
    ({C.SPRAYED}, {H.SPRAYED}),
)
_MEANS: Final = frozenset({Shape.MEAN, Shape.UNLIKE_MEAN})
_PLACE: Final = {feature.name: place for place, feature in enumerate(FEATURES)}
_SIZE: Final = _PLACE["unlike_payload_mean"]
_PACES: Final = [_PLACE["publish_rate_10s"], _PLACE["host_publish_rate_10s"]]
_FACTS: Final = frozenset(kind.value for kind in FactKind)
_BYTES: Final = np.array(
    [
        f.shape not in _MEANS and f.counter == (C.BYTES if f.role is Role.CLIENT else H.BYTES)
        for f in FEATURES
    ]
)


def levels(observed: Iterable[tuple[str, float]]) -> dict[str, float]:
    """The features that speak of what was observed, by name, and how far each is widened."""
    wide: dict[str, float] = {}
    for name, seen in observed:
        if name in _PLACE:
            feature = FEATURES[_PLACE[name]]
            for kin in FEATURES:
                if _is_kin(feature, kin):
                    level = MARGIN * _as_seen_by(kin, feature, seen)
                    wide[kin.name] = max(wide.get(kin.name, 0.0), level)
    return wide


def facts(names: Iterable[str]) -> tuple[str, ...]:
    """Those of a reason's features that are facts."""
    return tuple(name for name in names if name in _FACTS)


def words(wide: dict[str, float], kinds: Iterable[str]) -> list[str]:
    """What was accepted, for people: one line for each thing that is counted."""
    least: dict[tuple[Role, int, bool], Feature] = {}
    for feature in FEATURES:
        if feature.name in wide:
            about = (feature.role, feature.counter, feature.shape in _MEANS)
            known = least.setdefault(about, feature)
            if wide[feature.name] < wide[known.name]:
                least[about] = feature
    return [*(one.phrase.format(figure(wide[one.name])) for one in least.values()), *kinds]


def _is_kin(one: Feature, other: Feature) -> bool:
    if one.window is None or other.window is None:
        return one is other
    if Shape.SHARE in {one.shape, other.shape}:
        return one is other
    if (one.shape in _MEANS) != (other.shape in _MEANS):
        return False
    if (one.role, one.counter) == (other.role, other.counter):
        return True
    return any(_speaks_of(one, kin) and _speaks_of(other, kin) for kin in _KIN)


def _speaks_of(feature: Feature, kin: tuple[set[int], set[int]]) -> bool:
    return feature.counter in kin[feature.role is Role.HOST]


def _as_seen_by(kin: Feature, feature: Feature, seen: float) -> float:
    """What `kin` shows where `feature` shows `seen` for long, or in bursts."""
    if kin is feature or feature.window is None or kin.window is None or feature.shape in _MEANS:
        return seen
    pace = seen if feature.is_rate else seen / weight(feature.window)
    if kin.window < feature.window:
        pace *= min(BURSTS, feature.window / kin.window)
    return pace if kin.is_rate else max(pace * weight(kin.window), min(seen, 1.0))


class Accepted:
    """The acceptances in force."""

    def __init__(self, acceptances: Iterable[Acceptance] = ()) -> None:
        self._levels: dict[tuple[Role, str], Floats] = {}
        self._facts: set[tuple[str, str]] = set()
        for one in acceptances:
            self._widen(Role.CLIENT, one.client_id, one.levels)
            self._widen(Role.HOST, one.address, one.levels)
            whom = one.client_id if one.client_id is not None else one.address
            self._facts |= {(kind, whom) for kind in one.facts if whom is not None}

    def __bool__(self) -> bool:
        return bool(self._levels or self._facts)

    def covers(self, fact: Fact) -> bool:
        """Whether this was accepted of whom it is about."""
        whom = fact.client_id if fact.client_id is not None else fact.address
        return (fact.kind.value, whom) in self._facts

    def of(self, subject: ClientSubject | HostSubject) -> Floats | None:
        """Up to which figure each feature of the subject counts for nothing; None: all count."""
        if isinstance(subject, ClientSubject):
            return self._levels.get((Role.CLIENT, subject.id))
        return self._levels.get((Role.HOST, subject.address))

    def _widen(self, role: Role, whom: str | None, wide: dict[str, float]) -> None:
        mine = {_PLACE[name]: level for name, level in wide.items() if name in _PLACE}
        mine = {place: level for place, level in mine.items() if FEATURES[place].role is role}
        if whom is None or not mine:
            return
        known = self._levels.setdefault((role, whom), np.zeros(len(FEATURES), np.float32))
        for place, level in mine.items():
            known[place] = max(known[place], level)


def forgiven(
    accepted: Accepted,
    batch: AnyBatch,
    scores: Scores,
    thresholds: NDArray[np.float64],
    figures: Callable[[NDArray[np.intp]], Figures],
) -> Scores:
    """The scores without what was accepted. `figures` are those of some rows of the batch."""
    odd = np.flatnonzero(scores.score > thresholds)
    places = [place for place in odd if accepted.of(batch.subjects[place]) is not None]
    if not places:
        return scores
    score, errors = scores.score.copy(), scores.errors.copy()
    seen = batch.vectors.seen.sum(axis=1)
    told = figures(np.array(places, np.intp))
    for number, place in enumerate(places):
        wide = accepted.of(batch.subjects[place])
        if wide is not None:
            errors[place, _within(wide, told.observed[number], told.usual[number])] = 0.0
            score[place] = errors[place].sum() / seen[place]
    return Scores(score, errors, scores.reconstruction)


def _within(wide: Floats, observed: Floats, usual: Floats) -> NDArray[np.bool_]:
    """Which features count for nothing. Who may send more messages may send more bytes by them."""
    size = USUAL_SIZE if np.isnan(usual[_SIZE]) else max(float(usual[_SIZE]), 1.0)
    bytes_by_pace = wide[_PACES].max() * size * MARGIN
    level = np.where(_BYTES, np.maximum(wide, bytes_by_pace), wide)
    within: NDArray[np.bool_] = (level > 0.0) & (observed <= level)
    return within
