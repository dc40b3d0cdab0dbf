"""From fading counters to vectors: scale, compare with the subject's own normal, mask.

Each feature is near 0..1 for homes. Beyond its cap it goes on as the square root of how many
caps it is (at most `FURTHEST`), a steep one as the very number, so that the reconstruction error
grows with the attack; the network itself sees it clipped to 1.
"""

import math
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from mqtt_ids.counters import Client, Host
from mqtt_ids.events import Sees
from mqtt_ids.feature_table import FEATURES, Feature, Role, Shape
from mqtt_ids.windows import HALF_LIVES, Floats, weight

FURTHEST: Final = 30.0  # the most that one feature can be, in caps' square roots
LEAST_UNLIKE: Final = 0.45  # being quieter than usual is no attack
MOST_UNLIKE_MEAN: Final = 1.0  # one picture among readings says no more than forty times the size
OLD: Final = 14_400.0  # seconds after which a subject is of full age: the lab teaches no older
OLD_UNKNOWN: Final = 900.0  # the same without a normal: who rarely wakes stays a newcomer
_OLDEST = np.array([OLD_UNKNOWN, OLD])  # without a normal, and with one
_FULL_AGE = 86_400.0  # seconds that would be 1 in the context

# The shapes by what is computed with them: LOG and MEAN, all that is per publish, what is unlike.
_ORDER: Final = (
    Shape.LINEAR,
    Shape.STEEP,
    Shape.LOG,
    Shape.MEAN,
    Shape.SHARE,
    Shape.UNLIKE_MEAN,
    Shape.UNLIKE,
    Shape.UNLIKE_LONG,
    Shape.UNLIKE_STEEP,
)
_UNLIKE_SLOPE = 0.5 * 2.5 / math.log(1e4)
_STEEPER = 6.0  # times the slope, beyond 1
_LEVEL_TO = 1.5  # updates, prints and washes come as far: 1,600 times the usual for minutes
_BEYOND_LEVEL = 4.0  # times the slope
_COUNT_DAMP = 1.0  # events: one more or less says little
_BYTES_DAMP = 10_000.0  # bytes, likewise
_SIZE_DAMP = 20.0  # bytes
_SHARE_DAMP = 1.0  # publishes
_FEWEST_PUBLISHES = 0.5  # below this a mean per publish fades towards zero


class Vectors(msgspec.Struct, frozen=True, kw_only=True):
    """Vectors of subjects of one role: n rows, one column per feature of the whole table.

    `x` is scaled and unclipped; `seen` tells which features are seen and earned;
    `context` is what the network is told beside it, in the order of `feature_table.CONTEXT`.
    """

    x: Floats
    seen: NDArray[np.bool_]
    context: Floats


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """The same vectors in the features' units, for people; NaN where there is no normal."""

    observed: Floats
    usual: Floats


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of n subjects of one role at one moment.

    `counts` is n x counters x half-lives, `gauges` n x gauges (no columns for clients), `rates`
    n x counters (usual events per second), `earned` says who has a normal, `ages` is in seconds.
    """

    counts: Floats
    gauges: Floats
    rates: Floats
    earned: NDArray[np.bool_]
    ages: NDArray[np.float64]


class Layout:
    """The columns of one role and how to fill them; made once per detector.

    Inside, features are sorted so that those that are computed alike lie side by side: a slice
    of an array is free, and a pick of columns is not.
    """

    def __init__(self, role: Role, sees: Sees) -> None:
        self._is_host = role is Role.HOST
        self._publishes = Host.PUBLISHES if self._is_host else Client.PUBLISHES
        self._width = (Host.COUNT if self._is_host else Client.COUNT) * len(HALF_LIVES)
        mine = [place for place, feature in enumerate(FEATURES) if feature.role is role]
        columns = sorted(mine, key=lambda place: _ORDER.index(FEATURES[place].shape))
        features = [FEATURES[place] for place in columns]
        shapes = [f.shape for f in features]
        starts = {shape: sum(_ORDER.index(s) < i for s in shapes) for i, shape in enumerate(_ORDER)}
        self._of = {s: slice(start, start + shapes.count(s)) for s, start in starts.items()}
        self._capped = slice(starts[Shape.LINEAR], starts[Shape.SHARE])
        self._logs = slice(starts[Shape.LOG], starts[Shape.SHARE])
        self._per_publish = slice(starts[Shape.MEAN], starts[Shape.UNLIKE])
        self._columns = np.array(columns)
        self._sources = np.array([self._source(f) for f in features])
        self._denominators = np.array(
            [self._denominator(f) for f in features[self._per_publish]], np.intp
        )
        shares = np.array([[f.shape is Shape.SHARE] for f in features[self._per_publish]])
        either = np.where(shares, (0.0, _SHARE_DAMP), (_FEWEST_PUBLISHES, 0.0))
        self._fewest, self._share_damps = either.T.astype(np.float32)
        self._counters = np.array([0 if f.window is None else f.counter for f in features])
        self._spans = np.array(
            [weight(f.window) if f.window else 1.0 for f in features], np.float32
        )
        self._half_lives = np.array([f.window or 1.0 for f in features])
        self._caps = np.array([max(f.cap, 1.0) for f in features])
        self._log_caps = np.log1p(self._caps[self._logs])
        damps = [_BYTES_DAMP if f.unit == "B/s" else _COUNT_DAMP for f in features]
        self._unlike = slice(starts[Shape.UNLIKE], len(features))
        self._damps = np.array(damps[self._unlike])
        self._rates = np.array([f.is_rate for f in features])
        self._counted = np.array([f.window is not None for f in features])
        # Each with a row for who has no normal yet, and one for who has.
        self._seen = np.array([_seen(role, sees, earned=earned) for earned in (False, True)])
        self._contexts = np.array([[self._is_host, 0, 0], [self._is_host, 0, 1]], np.float32)

    @property
    def sees_nothing(self) -> bool:
        """Whether the sensor sees nothing of a subject without a normal: it cannot be judged."""
        return not self._seen[0].any()

    def _source(self, feature: Feature) -> int:
        if feature.window is None:
            return self._width + feature.counter
        return feature.counter * len(HALF_LIVES) + HALF_LIVES.index(feature.window)

    def _denominator(self, feature: Feature) -> int:
        return self._publishes * len(HALF_LIVES) + HALF_LIVES.index(feature.window or HALF_LIVES[0])

    def vectors(self, state: State) -> Vectors:
        """The subjects' vectors."""
        found, publishes = self._found(state)
        x = np.zeros((len(found), len(FEATURES)), np.float32)
        x[:, self._columns] = self._scaled(state, found, publishes)
        seen = self._seen.take(state.earned, axis=0)
        return Vectors(x=x, seen=seen, context=self._context(state))

    def figures(self, state: State) -> Figures:
        """The subjects' observed and usual figures, for reasons in words.

        A rate is the mean over the fading window, or since the subject was first seen if that is
        shorter; a count is what is left in the fading window.
        """
        found, publishes = self._found(state)
        filled = 1.0 - np.exp2(-np.maximum(state.ages, 1.0)[:, None] / self._half_lives)
        covered = np.where(self._rates, self._spans * filled, 1.0)
        observed = np.divide(found, covered, dtype=np.float32)
        whole_span = np.where(self._rates, self._spans, 1.0)
        usual = np.divide(self._expected(state, slice(None)), whole_span, dtype=np.float32)
        means = self._per_publish
        observed[:, means] = found[:, means] / np.maximum(publishes, 1e-6)
        usual[:, means] = self._usual_mean(state, means)
        usual[~state.earned] = np.nan
        usual[:, ~self._counted] = np.nan
        whole = np.full((2, len(found), len(FEATURES)), np.nan, np.float32)
        whole[0][:, self._columns] = observed
        whole[1][:, self._columns] = usual
        return Figures(observed=whole[0], usual=whole[1])

    def _found(self, state: State) -> tuple[Floats, Floats]:
        """What the features are made of, and the publishes that belong to `_per_publish`."""
        flat = np.concatenate([state.counts.reshape(len(state.counts), -1), state.gauges], axis=1)
        return flat.take(self._sources, axis=1), flat.take(self._denominators, axis=1)

    def _expected(self, state: State, places: slice) -> Floats:
        expected = state.rates.take(self._counters[places], axis=1)
        expected *= self._spans[places]
        return expected

    def _usual_mean(self, state: State, places: slice) -> Floats:
        publishes = state.rates[:, self._publishes, None]
        mean = state.rates.take(self._counters[places], axis=1)
        mean /= np.maximum(publishes, 1e-9)
        return mean

    def _scaled(self, state: State, found: Floats, publishes: Floats) -> Floats:
        """The features of `found`, which is used up, scaled in place of it."""
        capped, unlike, sizes = self._capped, self._unlike, self._of[Shape.UNLIKE_MEAN]
        found[:, self._per_publish] /= np.maximum(publishes, self._fewest) + self._share_damps
        found[:, capped] = self._within_caps(found[:, capped])
        found[:, unlike] = unlikeness(found[:, unlike], self._expected(state, unlike), self._damps)
        if found[:, unlike].max(initial=0.0) > 1.0:  # seldom; up to 1 these leave all as it is
            long, steep = self._of[Shape.UNLIKE_LONG], self._of[Shape.UNLIKE_STEEP]
            found[:, long] = levelled(found[:, long])
            found[:, steep] = steeper(found[:, steep])
        if sizes.start < sizes.stop:
            alike = unlikeness(found[:, sizes], self._usual_mean(state, sizes), _SIZE_DAMP)
            found[:, sizes] = np.minimum(alike, MOST_UNLIKE_MEAN)
        return found

    def _within_caps(self, counts: Floats) -> NDArray[np.float64]:
        """The features that have a cap (they come first), scaled."""
        scaled: NDArray[np.float64] = counts / self._caps[self._capped]
        logs = self._logs
        if scaled.max(initial=0.0) <= 1.0:  # nearly always, and cheaper
            scaled[:, logs] = np.log1p(counts[:, logs], dtype=np.float64)
            scaled[:, logs] /= self._log_caps
            return scaled
        linear, steep = self._of[Shape.LINEAR], self._of[Shape.STEEP]
        scaled[:, linear] = capped_linear(counts[:, linear], self._caps[linear])
        np.minimum(scaled[:, steep], FURTHEST, out=scaled[:, steep])
        scaled[:, logs] = capped_log(counts[:, logs], self._caps[logs], self._log_caps)
        return scaled

    def _context(self, state: State) -> Floats:
        context = self._contexts.take(state.earned, axis=0)
        oldest = _OLDEST.take(state.earned)
        context[:, 1] = scaled_age(np.minimum(np.maximum(state.ages, 0.0), oldest))
        return context


def _seen(role: Role, sees: Sees, *, earned: bool) -> list[bool]:
    """Which features are seen of a subject of this role."""
    return [f.role is role and f.needs in sees and (earned or not f.learned) for f in FEATURES]


def scaled_age(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """An age as the context has it; a day would be 1."""
    scaled: NDArray[np.float64] = np.log1p(seconds / 60.0) / math.log1p(_FULL_AGE / 60.0)
    return scaled


def capped_log(
    counts: Floats, caps: NDArray[np.float64], log_caps: NDArray[np.float64] | None = None
) -> Floats:
    """log1p(n) / log1p(cap) up to the cap, then the square root of n / cap; never falls.

    `log_caps` are log1p(caps), where they are at hand.
    """
    over = np.maximum(counts / caps, 1.0)
    below = np.log1p(np.minimum(counts, caps))
    below /= np.log1p(caps) if log_caps is None else log_caps
    value: Floats = np.where(over > 1.0, np.minimum(np.sqrt(over), FURTHEST), below)
    return value


def capped_linear(counts: Floats, caps: NDArray[np.float64]) -> Floats:
    """As a part of the cap up to the cap, then its square root; never falls."""
    ratio = counts / caps
    value: Floats = np.where(ratio > 1.0, np.minimum(np.sqrt(ratio), FURTHEST), ratio)
    return value


def unlikeness(counts: Floats, expected: Floats, damp: float | NDArray[np.float64]) -> Floats:
    """Log-ratio of `counts` to `expected`, 0.5 when alike and 1 at forty times; never falls."""
    ratio = (counts + damp) / (expected + damp)
    value = 0.5 + _UNLIKE_SLOPE * np.log(ratio)
    bounded: Floats = np.minimum(np.maximum(value, LEAST_UNLIKE), FURTHEST)
    return bounded


def steeper(value: Floats) -> Floats:
    """The same up to 1, and beyond it six times as steep; at most FURTHEST."""
    beyond = np.maximum(value - 1.0, 0.0)
    steep: Floats = np.minimum(value + (_STEEPER - 1.0) * beyond, FURTHEST)
    return steep


def levelled(value: Floats) -> Floats:
    """The same up to 1, level for a while, and then four times as steep; at most FURTHEST."""
    beyond = np.maximum(value - _LEVEL_TO, 0.0)
    level: Floats = np.minimum(np.minimum(value, 1.0) + _BEYOND_LEVEL * beyond, FURTHEST)
    return level


def in_units(x: Floats) -> Floats:
    """Scaled values (n x features, at most 1 each) back in units; NaN for the learned ones."""
    figures = np.full_like(x, np.nan)
    for place, feature in enumerate(FEATURES):
        value = np.minimum(x[:, place], 1.0)
        span = weight(feature.window) if feature.window and feature.is_rate else 1.0
        if feature.shape in (Shape.LOG, Shape.MEAN):
            figures[:, place] = np.expm1(value * math.log1p(feature.cap)) / span
        elif feature.shape in (Shape.LINEAR, Shape.STEEP, Shape.SHARE):
            figures[:, place] = value * feature.cap / span
    return figures


def document() -> str:
    """The feature table as Markdown."""
    head = "| feature | of | unit | scale | cap | why |\n|---|---|---|---|---|---|\n"
    rows = (
        f"| `{f.name}` | {f.role.value} | {f.unit} | {f.shape.value} "
        f"| {f'{f.cap:g}' if f.cap else '-'} | {f.why} |\n"
        for f in FEATURES
    )
    return head + "".join(rows)
