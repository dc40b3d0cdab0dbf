"""The card beside a model: what its inputs mean, which files it is made of, where calm ends.

The card is what a model is checked against before it is used, so each of its fields is checked
as well: a wrong type, a NaN or a threshold below 0 is refused with one clear line.
"""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NoReturn

import msgspec
import numpy as np

from mqtt_ids_model.arrays import Flags, Floats
from mqtt_ids_model.errors import ModelError

SCHEMA: Literal["mqtt-ids/model/1"] = "mqtt-ids/model/1"
MODEL_FILE, WEIGHTS_FILE, CARD_FILE = "model.tflite", "weights.npz", "card.json"
THRESHOLDS = frozenset({"budget", "mean-std"})  # one of each per mask class
TYPICAL = frozenset({"p50", "p999"})  # quantiles of calm values, in a feature's own scale
MAX_CARD_BYTES = 1_000_000
MAX_TOLERANCE = 0.01

_HASH = re.compile(r"[0-9a-f]{64}")

Rows = tuple[tuple[float, ...], ...]


class Golden(msgspec.Struct, frozen=True, kw_only=True):
    """Vectors and the scores that every runtime must give them.

    A score may be off by `tolerance` times itself, or by `tolerance` where it is below 1.
    """

    x: Rows  # (n, F), unclipped
    seen: tuple[tuple[bool, ...], ...]  # (n, F)
    context: Rows  # (n, C)
    scores: tuple[float, ...]
    tolerance: float

    def arrays(self) -> tuple[Floats, Flags, Floats]:
        """x, seen and context as `Model.score` takes them."""
        return (
            np.array(self.x, np.float32),
            np.array(self.seen, np.bool_),
            np.array(self.context, np.float32).reshape(len(self.x), -1),
        )


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """A model's manifest. Order counts in `features` and `context`: it is the order of inputs."""

    schema: Literal["mqtt-ids/model/1"]
    features: tuple[str, ...]
    units: tuple[str, ...]  # of the features
    context: tuple[str, ...]
    layers: tuple[int, ...]  # widths from input to output
    sha256: dict[str, str]  # of MODEL_FILE and, where there is one, of WEIGHTS_FILE
    thresholds: dict[str, dict[str, float]]  # mask class -> the keys of THRESHOLDS
    golden: Golden
    typical: dict[str, dict[str, float]]  # feature -> the keys of TYPICAL
    trained: dict[str, Any]  # provenance: seed, command, figures


def encode_card(card: Card) -> bytes:
    """The card as JSON for a file. Raises ModelError where `decode_card` would refuse it."""
    _check(card)
    try:
        return msgspec.json.format(msgspec.json.encode(card), indent=1) + b"\n"
    except (TypeError, ValueError) as error:
        raise ModelError(f"card: cannot be written as JSON: {error}") from error


def decode_card(data: bytes) -> Card:
    """The card in the bytes of a JSON file, checked. Raises ModelError."""
    try:
        card = msgspec.json.decode(data, type=Card)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ModelError(f"card: {error}") from error
    _check(card)
    return card


def _check(card: Card) -> None:
    """Everything that types alone do not say."""
    names = [*card.features, *card.context]
    if not card.features or len(set(names)) != len(names) or not all(names):
        _refuse("feature and context names must be there, and each only once")
    if len(card.units) != len(card.features):
        _refuse(f"{len(card.units)} units for {len(card.features)} features")
    ends = (len(names), len(card.features))
    if len(card.layers) < 2 or (card.layers[0], card.layers[-1]) != ends:  # noqa: PLR2004 - two ends
        _refuse(f"layers {card.layers} do not go from {ends[0]} inputs to {ends[1]} outputs")
    if MODEL_FILE not in card.sha256 or not set(card.sha256) <= {MODEL_FILE, WEIGHTS_FILE}:
        _refuse(f"sha256 must name {MODEL_FILE}, and may name {WEIGHTS_FILE}")
    if not all(_HASH.fullmatch(value) for value in card.sha256.values()):
        _refuse("a sha256 is 64 hexadecimal digits")
    _check_figures(card)
    _check_golden(card)


def _check_figures(card: Card) -> None:
    if not card.thresholds:
        _refuse("no thresholds")
    for mask, values in card.thresholds.items():
        if set(values) != THRESHOLDS:
            _refuse(f"thresholds of {mask!r} must be {' and '.join(sorted(THRESHOLDS))}")
        if not all(math.isfinite(value) and value > 0.0 for value in values.values()):
            _refuse(f"thresholds of {mask!r} must be finite and above 0")
    for feature, values in card.typical.items():
        if feature not in card.features or set(values) != TYPICAL:
            _refuse(f"typical values of {feature!r} must be p50 and p999 of a feature")
        if not _finite(values.values()):
            _refuse(f"typical values of {feature!r} must be finite")


def _check_golden(card: Card) -> None:
    golden = card.golden
    count = len(golden.scores)
    features, context = len(card.features), len(card.context)
    if not count:
        _refuse("no golden vectors")
    shapes: tuple[tuple[str, Sequence[Sequence[float]], int], ...] = (
        ("x", golden.x, features),
        ("seen", golden.seen, features),
        ("context", golden.context, context),
    )
    for name, rows, width in shapes:
        if len(rows) != count or any(len(row) != width for row in rows):
            _refuse(f"golden {name} must be {count} rows of {width}")
        if not all(_finite(row) for row in rows):
            _refuse(f"golden {name} must be finite")
    if not all(any(row) for row in golden.seen):
        _refuse("a golden vector of which nothing is seen")
    if not _finite(golden.scores) or min(golden.scores) < 0.0:
        _refuse("golden scores must be finite and not negative")
    if not 0.0 < golden.tolerance <= MAX_TOLERANCE:
        _refuse(f"golden tolerance {golden.tolerance} is not above 0 and at most {MAX_TOLERANCE}")


def _finite(values: Iterable[float]) -> bool:
    return all(math.isfinite(value) for value in values)


def _refuse(what: str) -> NoReturn:
    raise ModelError(f"card: {what}")
