"""Float32 to int8: weights per output channel, activations per tensor.

A real value is step * (q - zero) with q in -128..127, as in the TensorFlow Lite 8-bit
specification. Weights have zero 0, biases are int32 with the step of input times weight.

Three things keep the rounding error small:

- *Equalised units.* One step serves a whole layer, so a unit that never gets far from 0 would be
  rounded away beside a loud one. ReLU lets a unit be scaled down when the next layer's weights
  are scaled up, so each is first brought to the same maximum (Nagel et al., "Data-free
  quantization through weight equalization and bias correction", 2019). `train` does it, before
  fine-tuning with fake quantisation and after any other training, so that `quantise` uses the
  very grid that the weights were tuned for.
- *Logits only as far as they matter.* A sigmoid in int8 has the fixed step 1/256; beyond
  LOGITS its result no longer changes, so the step of the logits need not cover more.
- *Ranges that reach as far as attacks do.* An activation beyond its range saturates, and attacks
  drive activations where calm rows never go. So ranges are the full minimum and maximum, never a
  moving average, over the calibration rows and over copies of them in which some features were
  put to 0 or 1, the ends of what a network can be given. With calm rows alone the error that
  int8 adds on odd rows was eight times larger.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mqtt_ids_model.arrays import Floats
from mqtt_ids_model.autoencoder import Autoencoder
from mqtt_ids_model.int8 import BIAS_LIMIT, Affine, Int8Layer, Int8Network

STRONGEST = 8.0  # weight of an equalised unit; beyond, what it reaches is hard to foresee
LOGITS = (-6.25, 5.25)  # sigmoid rounds to 0/256 below -6.236 and to 255/256 above 5.137

_ROWS = 4096  # rows that one pass holds in memory
_ODD_ROWS = 16_384  # copies of calibration rows with features put to 0 or 1


@dataclass(frozen=True, slots=True)
class Ranges:
    """What each activation tensor reaches: the inputs, each hidden layer, the logits."""

    inputs: tuple[float, float]
    hidden: tuple[float, ...]  # maximum; the minimum of a ReLU is 0
    logits: tuple[float, float]


def quantise(net: Autoencoder, calibration: Floats) -> Int8Network:
    """The int8 network of `net`. Its ranges are those that `calibration` (n, inputs) reaches.

    Calm rows are enough. Raises ValueError where there are none.
    """
    network_input, *outputs = grids(net, measure(net, calibration))
    layers = []
    before = network_input
    for (weights, bias), output in zip(net.layers, outputs, strict=True):
        # The kernels drop a channel whose rescaling shifts by more than 31 bits.
        finest = np.float32(output.step / before.step * 2.0**-29)
        steps = np.maximum(_channel_steps(weights, bias, before), finest)
        layers.append(
            Int8Layer(
                weights=np.rint(weights / steps[:, None]).astype(np.int8),
                steps=steps,
                bias=np.rint(bias / (np.float64(before.step) * steps)).astype(np.int32),
                output=output,
            )
        )
        before = output
    return Int8Network(network_input, layers)


def grids(net: Autoencoder, ranges: Ranges) -> list[Affine]:
    """The int8 grid of the inputs and of each layer's output."""
    made = [affine(*ranges.inputs)]
    tops = [(0.0, top) for top in ranges.hidden]
    for (weights, bias), (low, high) in zip(net.layers, [*tops, ranges.logits], strict=True):
        # The kernels' fixed point wants products of steps below half the output's step.
        coarsest = float(_channel_steps(weights, bias, made[-1]).max())
        made.append(affine(low, high, finest=2.0 * made[-1].step * coarsest))
    return made


def equalise(net: Autoencoder, rows: Floats) -> None:
    """Bring each hidden unit's maximum over `rows` to 1, in place; the function stays the same.

    A unit that is nearly dead stays below 1: its weights grow to STRONGEST at most. Equalising
    twice changes nothing.
    """
    for number, tops in enumerate(_unit_maxima(net, rows)):
        weights, bias = net.layers[number]
        strength = np.maximum(np.abs(weights).max(axis=1), np.abs(bias))
        scale = np.maximum(tops, strength / np.float32(STRONGEST))
        scale[scale == 0.0] = 1.0
        weights /= scale[:, None]
        bias /= scale
        following = net.layers[number + 1][0]
        following *= scale


def measure(net: Autoencoder, rows: Floats) -> Ranges:
    """Full minimum and maximum of every activation over `rows` (n, inputs) and odd copies."""
    extremes = np.array(
        [
            [(values.min(), values.max()) for values in activations]
            for activations in _passes(net, rows)
        ]
    )  # (passes, layers + 1, 2)
    lows, highs = extremes[:, :, 0].min(axis=0), extremes[:, :, 1].max(axis=0)
    return Ranges(
        inputs=(min(0.0, float(lows[0])), max(1.0, float(highs[0]))),
        hidden=tuple(map(float, highs[1:-1])),
        logits=(max(float(lows[-1]), LOGITS[0]), min(float(highs[-1]), LOGITS[1])),
    )


def affine(low: float, high: float, finest: float = 1e-9) -> Affine:
    """The step and zero that cover [low, high] and represent 0 exactly.

    The step is at least `finest`. It is a float32 value, as it will be in the file.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    step = float(np.float32(max((high - low) / 255.0, finest)))
    zero = round(-128.0 - low / step)
    return Affine(step, min(max(zero, -128), 127))


def weight_steps(weights: Floats) -> Floats:
    """One step per output channel (row), so that its largest weight becomes +-127."""
    tops = np.abs(weights).max(axis=1)
    return np.where(tops > 0.0, tops / np.float32(127.0), np.float32(1e-9)).astype(np.float32)


def _channel_steps(weights: Floats, bias: Floats, before: Affine) -> Floats:
    """The steps of the weights, wide enough for the bias: its step is theirs times the input's."""
    enough = np.abs(bias) / (before.step * BIAS_LIMIT / 2)
    return np.maximum(weight_steps(weights), enough).astype(np.float32)


def _blocks(net: Autoencoder, rows: Floats) -> Iterator[Floats]:
    """The rows, then copies with features at 0 or 1 (a random share of them); a block at a time."""
    if not len(rows):
        raise ValueError("no calibration rows")
    for start in range(0, len(rows), _ROWS):
        yield rows[start : start + _ROWS]
    rng = np.random.default_rng(0)
    for _ in range(0, _ODD_ROWS, _ROWS):
        odd = rows[rng.integers(0, len(rows), _ROWS)]
        features = odd[:, : net.outputs]
        hit = rng.random(features.shape) < rng.random((_ROWS, 1))
        features[hit] = rng.integers(0, 2, np.count_nonzero(hit))
        yield odd


def _passes(net: Autoencoder, rows: Floats) -> Iterator[list[Floats]]:
    """For each block: the inputs, every hidden layer's output, the logits."""
    for block in _blocks(net, rows):
        activations = [block]
        for number, (weights, bias) in enumerate(net.layers):
            values = activations[-1] @ weights.T + bias
            if number < len(net.layers) - 1:
                np.maximum(values, 0.0, out=values)
            activations.append(values)
        yield activations


def _unit_maxima(net: Autoencoder, rows: Floats) -> list[Floats]:
    """The largest activation of every hidden unit, per hidden layer."""
    blocks = [
        [values.max(axis=0) for values in activations[1:-1]] for activations in _passes(net, rows)
    ]
    return [np.max(layer, axis=0) for layer in zip(*blocks, strict=True)]
