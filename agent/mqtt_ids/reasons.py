"""Reasons in words: the features that carry the error, observed against usual."""

import math
from collections.abc import Mapping
from typing import Final

import numpy as np

from mqtt_ids.alerts import Reason
from mqtt_ids.facts import Fact
from mqtt_ids.feature_table import FEATURES, Feature, Shape
from mqtt_ids.windows import Floats

MOST: Final = 3
_WINDOW_LABELS = ("_2s", "_10s", "_1m", "_10m")
_LEAST_SHOWN = 0.0005
_NONE_BELOW = 0.1  # of a count
_NO_RATE_BELOW = 0.0005  # of a mean rate, or of a share: once in half an hour is not none


def reasons(
    errors: Floats,
    excess: Floats,
    observed: Floats,
    usual: Floats,
    typical: Mapping[str, Mapping[str, float]],
) -> tuple[Reason, ...]:
    """The three features with most of the error, worst first.

    They are of three counters where so many carry error, else also other windows of the same.

    All arrays have one value per feature: squared errors, the same where the subject did more
    than expected (else 0), figures in units (`usual` NaN where it has no normal of its own).
    `typical` are quantiles of calm homes, in units, for those.
    """
    whole = max(float(errors.sum()), 1e-12)
    return tuple(
        _reason(FEATURES[place], observed[place], usual[place], errors[place] / whole, typical)
        for place in _worst(excess)
    )


def from_fact(fact: Fact) -> Reason:
    """A fact as a reason; no share, for the network was not asked."""
    return Reason(
        feature=fact.kind.value,
        observed=fact.observed,
        usual=fact.usual,
        unit=fact.unit,
        share=None,
        text=fact.text,
    )


def figure(value: float) -> str:
    """A figure for people: at most three digits that count, no exponent."""
    if not math.isfinite(value):
        return "more than can be counted"
    if abs(value) >= 100:  # noqa: PLR2004 - three digits
        return f"{value:,.0f}"
    if 0 < abs(value) < _LEAST_SHOWN:
        return f"less than {_LEAST_SHOWN}"
    return f"{value:.2g}" if abs(value) < 1 else f"{value:.3g}"


def _worst(excess: Floats) -> list[int]:
    """The places of the three that tell most, worst first."""
    worst = [int(place) for place in np.argsort(excess)[::-1] if excess[place] > 0.0]
    firsts: dict[str, int] = {}
    for place in worst:
        firsts.setdefault(_stem(FEATURES[place].name), place)
    others = [place for place in worst if place not in firsts.values()]
    chosen = [*firsts.values(), *others][:MOST]
    return sorted(chosen, key=worst.index)


def _stem(name: str) -> str:
    for label in _WINDOW_LABELS:
        name = name.removesuffix(label)
    return name.removeprefix("unlike_")


def _reason(
    feature: Feature,
    observed: float,
    usual: float,
    share: float,
    typical: Mapping[str, Mapping[str, float]],
) -> Reason:
    own = not math.isnan(usual)
    level = float(usual) if own else typical.get(feature.name, {}).get("p999")
    said = feature.phrase.format(_figure(feature, float(observed)))
    return Reason(
        feature=feature.name,
        observed=float(f"{observed:.6g}"),
        usual=None if level is None else float(f"{level:.6g}"),
        unit=feature.unit,
        share=round(float(share), 4),
        text=said + _compared(feature, float(observed), level, own=own),
    )


def _figure(feature: Feature, value: float) -> str:
    return f"{value:.0%}" if feature.shape is Shape.SHARE else figure(value)


def _compared(feature: Feature, observed: float, level: float | None, *, own: bool) -> str:
    if level is None:
        return ""
    if level < (_NO_RATE_BELOW if feature.is_rate or feature.shape is Shape.SHARE else _NONE_BELOW):
        return ", usually none" if own else "; in calm homes almost none do"
    told = _figure(feature, level)
    if own:
        return f", usually {told}"
    return f"; calm homes stay below {told}" if observed > level else f"; calm homes: up to {told}"
