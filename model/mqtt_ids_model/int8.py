"""An int8 network and its arithmetic in numpy, bit for bit as TensorFlow Lite's own kernels do it.

Measured on x86-64: identical to tflite-runtime 2.14 and ai-edge-litert 2.3 with the built-in
kernels (no delegate), once the inputs lie on their steps (`snap`). It is the scorer where no
runtime can be installed, and the tests' oracle.

A fully connected layer sums int8 products in int32 and multiplies the sum by
input step * weight step / output step, held as a 31-bit fraction and a right shift, rounding
half up after each of the two (gemmlowp's fixed point, as in ruy).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mqtt_ids_model.arrays import Floats

SIGMOID_STEP = 1.0 / 256.0  # fixed by the TensorFlow Lite 8-bit specification, with zero -128

BIAS_LIMIT = 2**30  # leaves room for the products in an int32 sum

_LOW, _HIGH = -128, 127
_ROWS = 1024  # rows that one pass holds in memory


@dataclass(frozen=True, slots=True)
class Affine:
    """How a tensor's int8 values stand for real ones: step * (q - zero)."""

    step: float
    zero: int


SIGMOID = Affine(SIGMOID_STEP, _LOW)


@dataclass(frozen=True, slots=True, eq=False)
class Int8Layer:
    """A fully connected layer: weights (out, in) int8, steps (out,) float32, bias (out,) int32."""

    weights: NDArray[np.int8]
    steps: Floats
    bias: NDArray[np.int32]
    output: Affine


class Int8Network:
    """Float rows in, float rows out, int8 between: quantise, layers, sigmoid, dequantise.

    ReLU after every layer but the last, sigmoid after the last.
    """

    def __init__(self, network_input: Affine, layers: Sequence[Int8Layer]) -> None:
        """Raises ValueError where the kernels could not hold a step, a zero or a bias."""
        for grid in (network_input, *(layer.output for layer in layers)):
            if not (math.isfinite(grid.step) and grid.step > 0.0 and _LOW <= grid.zero <= _HIGH):
                raise ValueError(f"step {grid.step} and zero {grid.zero} of an int8 tensor")
        self.input = network_input
        self.layers = tuple(layers)
        self.sizes: tuple[int, ...] = (
            layers[0].weights.shape[1],
            *(len(layer.bias) for layer in layers),
        )
        before = [network_input, *(layer.output for layer in layers)]
        self._steps = [
            _Step.of(layer, entering, relu=layer is not layers[-1])
            for layer, entering in zip(layers, before, strict=False)
        ]
        self._sigmoid = _sigmoid_table(layers[-1].output)

    @property
    def inputs(self) -> int:
        """Values in one input row."""
        return self.sizes[0]

    @property
    def outputs(self) -> int:
        """Values in one output row."""
        return self.sizes[-1]

    def forward(self, x: Floats) -> Floats:
        """Reconstruct rows x (n, inputs): (n, outputs), multiples of 1/256 in [0, 255/256]."""
        result = np.empty((len(x), self.outputs), np.float32)
        for start in range(0, len(x), _ROWS):
            part = x[start : start + _ROWS]
            values = self._whole_steps(part, np.empty_like(part))
            for step in self._steps:
                values = step.run(values)
            logits = values.astype(np.int16) + np.int16(self.layers[-1].output.zero - _LOW)
            result[start : start + _ROWS] = self._sigmoid[logits]
        return result

    def snap(self, x: Floats, out: Floats) -> None:
        """Round rows x to the steps of the input, into `out`: values on which all runtimes agree.

        Of a value halfway between two steps each runtime thinks otherwise (ai-edge-litert takes
        the even one, tflite-runtime the upper), and features that count up to a cap of 6 or 10
        meet such values.
        """
        self._whole_steps(x, out)
        out *= np.float32(self.input.step)

    def _whole_steps(self, x: Floats, out: Floats) -> Floats:
        """The inputs as q - zero, in `out`."""
        np.rint(np.divide(x, np.float32(self.input.step), out=out), out=out)
        np.maximum(out, _LOW - self.input.zero, out=out)  # np.clip takes twice the time
        return np.minimum(out, _HIGH - self.input.zero, out=out)


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """One layer, prepared. Values that enter and leave are q - zero, as float32.

    Float32 sums of int8 products are exact below 2**24, which MAX_WIDTH in autoencoder.py
    guarantees, and BLAS is many times faster on floats than numpy is on integers.
    """

    weights: Floats  # (in, out)
    bias: NDArray[np.int64]
    fraction: NDArray[np.int64]
    shift: NDArray[np.int64]
    half: NDArray[np.int64]
    low: int
    high: int

    @classmethod
    def of(cls, layer: Int8Layer, entering: Affine, *, relu: bool) -> "_Step":
        if (np.abs(layer.bias.astype(np.int64)) > BIAS_LIMIT).any():
            raise ValueError("a bias that could overflow the int32 sum")
        zero = layer.output.zero
        rescale = np.float64(entering.step) * layer.steps.astype(np.float64) / layer.output.step
        if not ((rescale > 2.0**-30) & (rescale < 1.0)).all():
            raise ValueError("steps that the kernels' fixed point cannot hold")
        fraction, exponent = np.frexp(rescale)
        whole = np.floor(fraction * 2.0**31 + 0.5).astype(np.int64)
        shift = -exponent.astype(np.int64)
        return cls(
            weights=np.ascontiguousarray(layer.weights.T, dtype=np.float32),
            bias=layer.bias.astype(np.int64),
            fraction=whole,
            shift=shift,
            half=(1 << shift) >> 1,
            low=0 if relu else _LOW - zero,
            high=_HIGH - zero,
        )

    def run(self, values: Floats) -> Floats:
        sums = (values @ self.weights).astype(np.int64)
        sums += self.bias
        sums *= self.fraction
        sums += 1 << 30
        sums >>= 31
        sums += self.half
        sums >>= self.shift
        return np.clip(sums, self.low, self.high).astype(np.float32)


def _sigmoid_table(logits: Affine) -> Floats:
    """The dequantised sigmoid for each of the 256 int8 logits, from -128 up."""
    real = logits.step * (np.arange(_LOW, _HIGH + 1) - logits.zero)
    curve = 0.5 + 0.5 * np.tanh(0.5 * real)
    whole = np.minimum(np.floor(curve / SIGMOID_STEP + 0.5), 255.0)
    return np.asarray(whole * SIGMOID_STEP, np.float32)
