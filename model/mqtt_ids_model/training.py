"""Training: the masked loss, its gradient, Adam, and fine-tuning with fake quantisation.

The loss is the paper's mean squared error over the features that are seen:
sum(seen * (out - target)**2) / sum(seen), per batch. Everything runs in float32 on one thread in
buffers made once; the same seed gives the same weights on the same machine.

Fake quantisation rounds weights and activations in the forward pass as `quantise` will, and lets
the gradient pass straight through the rounding (but not beyond a range), so that the weights
settle where rounding hurts least.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mqtt_ids_model.arrays import Flags, Floats
from mqtt_ids_model.autoencoder import Autoencoder, layer_views, sigmoid
from mqtt_ids_model.int8 import Affine
from mqtt_ids_model.quantise import equalise, grids, measure, weight_steps

Corrupt = Callable[[np.random.Generator, Floats, Flags], Floats]
Progress = Callable[[int, float], None]

WARM_UP = 100  # steps; Adam's very first steps move every weight by the whole rate

_ROUNDED_ROWS = 65_536  # rows that measure activation ranges before each epoch


def train(  # noqa: PLR0913 - the settings of a training run, by name
    net: Autoencoder,
    x: Floats,
    target: Floats,
    seen: NDArray[np.generic],
    *,
    epochs: int,
    seed: int,
    rate: float = 1e-3,
    batch: int = 256,
    corrupt: Corrupt | None = None,
    fake_quant: bool = False,
    progress: Progress | None = None,
) -> list[float]:
    """Train `net` in place; the mean loss of each epoch.

    x (n, inputs), target (n, outputs), seen (n, outputs) 0/1 of any type. The rate rises over
    WARM_UP steps and falls along a cosine to 0; fine-tune a trained net at 1e-4 or less.

    `corrupt(rng, x_batch, seen_batch)` may change its x_batch in place; what it returns goes into
    the network while the target stays clean (a denoising autoencoder). The units of `net` are
    equalised (see quantise.py) before training with `fake_quant`, else after it.

    Raises ValueError where shapes do not fit or there are no rows.
    """
    _check(net, x, target, seen, batch)
    rng = np.random.default_rng(seed)
    work = _Pass(net, batch)
    adam = _Adam(net.parameters)
    steps = epochs * math.ceil(len(x) / batch)
    schedule = (_rate(rate, step, steps) for step in itertools.count())
    if fake_quant:
        equalise(net, x)
    losses = []
    for epoch in range(epochs):
        work.rounding = _Rounding.of(net, x, rng) if fake_quant else None
        order = rng.permutation(len(x))
        total = 0.0
        for start in range(0, len(x), batch):
            rows = order[start : start + batch]
            inputs, wanted, flags = work.gather(x, target, seen, rows)
            if corrupt is not None:
                inputs = corrupt(rng, inputs, flags)
            work.forward(inputs)
            total += work.backward(wanted, flags) * len(rows)
            adam.step(net.parameters, work.gradient, next(schedule))
        losses.append(total / len(x))
        if progress is not None:
            progress(epoch, losses[-1])
    if not fake_quant:
        equalise(net, x)
    return losses


class _Pass:
    """One forward and one backward pass over at most `batch` rows, in buffers made once."""

    def __init__(self, net: Autoencoder, batch: int) -> None:
        self.net = net
        self.rounding: _Rounding | None = None
        self.gradient: Floats = np.zeros_like(net.parameters)
        self._slopes = layer_views(self.gradient, net.sizes)
        self._inputs = np.empty((batch, net.inputs), np.float32)
        self._target = np.empty((batch, net.outputs), np.float32)
        self._seen = np.empty((batch, net.outputs), np.bool_)
        self._values = [np.empty((batch, size), np.float32) for size in net.sizes[1:]]
        self._deltas = [np.empty((batch, size), np.float32) for size in net.sizes[1:]]
        self._passes = [np.empty((batch, size), np.bool_) for size in net.sizes[1:]]
        self._activations: list[Floats] = []
        self._weights: list[Floats] = []

    def gather(
        self, x: Floats, target: Floats, seen: NDArray[np.generic], rows: NDArray[np.int64]
    ) -> tuple[Floats, Floats, Flags]:
        """Copy these rows of the three arrays into this pass's buffers."""
        count = len(rows)
        inputs, wanted = self._inputs[:count], self._target[:count]
        flags = self._seen[:count]
        # mode "clip" lets numpy write straight into `out`; the rows are in range anyway
        np.take(x, rows, axis=0, out=inputs, mode="clip")
        np.take(target, rows, axis=0, out=wanted, mode="clip")
        np.not_equal(seen[rows], 0, out=flags)
        return inputs, wanted, flags

    def forward(self, inputs: Floats) -> Floats:
        """The reconstruction of `inputs`; keeps what `backward` needs."""
        count = len(inputs)
        rounding = self.rounding
        self._weights = [
            weights if rounding is None else rounded_weights(weights)
            for weights, _ in self.net.layers
        ]
        values = inputs if rounding is None else rounding.inputs(inputs)
        self._activations = [values]
        last = len(self.net.layers) - 1
        for number, weights in enumerate(self._weights):
            values = np.matmul(values, weights.T, out=self._values[number][:count])
            values += self.net.layers[number][1]
            passes = self._passes[number][:count]
            if number < last:
                np.greater(values, 0.0, out=passes)
                np.maximum(values, 0.0, out=values)
            if rounding is not None:
                rounding.layer(number, values, passes, relu=number < last)
            elif number == last:
                passes.fill(1)
            self._activations.append(values)
        return sigmoid(values)

    def backward(self, target: Floats, seen: Flags) -> float:
        """Fill `gradient` for the last forward pass; the loss."""
        out = self._activations[-1]
        delta = self._deltas[-1][: len(out)]
        np.subtract(out, target, out=delta)
        delta *= seen
        count = max(int(np.count_nonzero(seen)), 1)
        loss = float(np.vdot(delta, delta)) / count
        delta *= np.float32(2.0 / count)
        delta *= out
        np.subtract(1.0, out, out=out)
        delta *= out
        delta *= self._passes[-1][: len(out)]
        for number in range(len(self._weights) - 1, -1, -1):
            slope, bias_slope = self._slopes[number]
            np.matmul(delta.T, self._activations[number], out=slope)
            np.sum(delta, axis=0, out=bias_slope)
            if number:
                below = self._deltas[number - 1][: len(delta)]
                np.matmul(delta, self._weights[number], out=below)
                below *= self._passes[number - 1][: len(delta)]
                delta = below
        return loss


class _Adam:
    """Adam (Kingma and Ba, 2015) over one vector of parameters."""

    def __init__(self, parameters: Floats, first: float = 0.9, second: float = 0.999) -> None:
        self._decay = (first, second)
        self._mean = np.zeros_like(parameters)
        self._square = np.zeros_like(parameters)
        self._scratch = np.empty_like(parameters)
        self._steps = 0

    def step(self, parameters: Floats, gradient: Floats, rate: float) -> None:
        """Move `parameters` against `gradient`, in place."""
        first, second = self._decay
        self._steps += 1
        scratch = self._scratch
        self._mean *= np.float32(first)
        self._mean += np.multiply(gradient, np.float32(1.0 - first), out=scratch)
        self._square *= np.float32(second)
        np.multiply(gradient, gradient, out=scratch)
        scratch *= np.float32(1.0 - second)
        self._square += scratch
        np.sqrt(self._square, out=scratch)
        scratch *= np.float32(1.0 / math.sqrt(1.0 - second**self._steps))
        scratch += np.float32(1e-8)
        np.divide(self._mean, scratch, out=scratch)
        scratch *= np.float32(rate / (1.0 - first**self._steps))
        parameters -= scratch


@dataclass(frozen=True, slots=True)
class _Rounding:
    """The int8 grid of every activation tensor, fixed for one epoch."""

    grid_in: Affine
    grids: tuple[Affine, ...]

    @classmethod
    def of(cls, net: Autoencoder, x: Floats, rng: np.random.Generator) -> "_Rounding":
        """Measured by full minimum and maximum over x, or over many rows drawn from it."""
        rows = x if len(x) <= _ROUNDED_ROWS else x[rng.choice(len(x), _ROUNDED_ROWS, replace=False)]
        grid_in, *outputs = grids(net, measure(net, rows))
        return cls(grid_in, tuple(outputs))

    def inputs(self, values: Floats) -> Floats:
        """The rounded inputs, as a new array."""
        rounded = values.copy()
        _round(self.grid_in, rounded)
        return rounded

    def layer(self, number: int, values: Floats, passes: Flags, *, relu: bool) -> None:
        """Round a layer's values in place; clear `passes` where they lie beyond the range."""
        grid = self.grids[number]
        low, high = grid.step * (-128 - grid.zero), grid.step * (127 - grid.zero)
        within = values <= np.float32(high)
        if relu:
            passes &= within
        else:
            np.logical_and(within, values >= np.float32(low), out=passes)
        _round(grid, values)


def rounded_weights(weights: Floats) -> Floats:
    """The weights as int8 per output channel will hold them."""
    steps = weight_steps(weights)[:, None]
    rounded = weights / steps
    np.rint(rounded, out=rounded)
    rounded *= steps
    return rounded


def _round(grid: Affine, values: Floats) -> None:
    values /= np.float32(grid.step)
    np.rint(values, out=values)
    np.clip(values, -128 - grid.zero, 127 - grid.zero, out=values)
    values *= np.float32(grid.step)


def _rate(peak: float, step: int, steps: int) -> float:
    """Warm-up, then half a cosine down to 0."""
    return peak * min((step + 1) / WARM_UP, 0.5 * (1.0 + math.cos(math.pi * step / steps)))


def _check(
    net: Autoencoder, x: Floats, target: Floats, seen: NDArray[np.generic], batch: int
) -> None:
    wanted: Sequence[tuple[str, NDArray[np.generic], int]] = (
        ("x", x, net.inputs),
        ("target", target, net.outputs),
        ("seen", seen, net.outputs),
    )
    for name, array, width in wanted:
        if array.shape != (len(x), width):
            raise ValueError(f"{name} is {array.shape}; ({len(x)}, {width}) is needed")
    if not len(x) or batch < 1:
        raise ValueError("training needs rows and a batch of at least 1")
