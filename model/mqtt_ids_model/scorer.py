"""Reconstructions from a .tflite file, by whichever runtime is installed.

Order: ai-edge-litert, tflite-runtime, numpy. All three give the same int8 results bit for bit on
x86-64; elsewhere, allow for an output that differs by a step (1/256) here and there. A float
file agrees within 1e-5.

Rows go through interpreters of a few fixed sizes, padded to the next one, so that nothing is
allocated anew from call to call.
"""

from typing import Protocol

import numpy as np

from mqtt_ids_model import reader, runtimes, tflite
from mqtt_ids_model.arrays import Floats
from mqtt_ids_model.autoencoder import Autoencoder
from mqtt_ids_model.errors import ModelError
from mqtt_ids_model.int8 import Int8Network

NUMPY = "numpy"
RUNTIMES = (runtimes.AI_EDGE_LITERT, runtimes.TFLITE_RUNTIME, NUMPY)  # in order of preference
BATCHES = {128: 64, 64: 32, 32: 16, 16: 1, 1: 0}  # rows per call: where more than so many are left


class Scorer(Protocol):
    """Reconstructs rows with a checked model. Use one from one thread at a time."""

    runtime: str  # one of RUNTIMES
    sizes: tuple[int, ...]  # widths from input to output

    def reconstruct(self, x: Floats) -> Floats:
        """Rows x (n, inputs) float32: a new array (n, outputs) float32 in [0, 1]."""


def open_scorer(model: bytes, prefer: str | None = None) -> Scorer:
    """A scorer for the bytes of a .tflite file, with runtime `prefer` or the first that works.

    The runtime is given what our own writer makes of the network that was read and checked,
    never the bytes themselves. Raises ModelError where the file is refused, or where the
    preferred runtime is unknown or not installed.
    """
    network = reader.from_bytes(model)
    if prefer is not None and prefer not in RUNTIMES:
        raise ModelError(f"runtime {prefer!r} is unknown; use one of {', '.join(RUNTIMES)}")
    for name in RUNTIMES if prefer is None else (prefer,):
        if name == NUMPY:
            return _NumpyScorer(network)
        try:
            return _TfliteScorer(name, network)
        except runtimes.RuntimeMissingError as error:
            if prefer is not None:
                raise ModelError(f"runtime not usable: {error}") from error
    return _NumpyScorer(network)


class _NumpyScorer:
    """The network's own arithmetic in numpy, where no runtime can be installed."""

    runtime = NUMPY

    def __init__(self, network: Autoencoder | Int8Network) -> None:
        self.sizes = network.sizes
        self._network = network

    def reconstruct(self, x: Floats) -> Floats:
        return self._network.forward(_checked(x, self.sizes[0]))


class _TfliteScorer:
    """One interpreter per batch size, made when first needed."""

    def __init__(self, runtime: str, network: Autoencoder | Int8Network) -> None:
        self.runtime = runtime
        self.sizes = network.sizes
        self._put = network.snap if isinstance(network, Int8Network) else _copy
        self._module = runtimes.load(runtime)
        self._model = tflite.to_bytes(network)
        self._rows = {size: np.zeros((size, network.inputs), np.float32) for size in BATCHES}
        self._interpreters: dict[int, runtimes.FixedBatch] = {}
        self._interpreter(1)  # a runtime that cannot run the model says so here

    def reconstruct(self, x: Floats) -> Floats:
        x = _checked(x, self.sizes[0])
        parts = []
        while len(x):
            size = next(size for size, least in BATCHES.items() if len(x) > least)
            parts.append(self._run(x[:size], size))
            x = x[size:]
        if len(parts) == 1:
            return parts[0]
        return np.concatenate([np.empty((0, self.sizes[-1]), np.float32), *parts])

    def _run(self, part: Floats, size: int) -> Floats:
        """At most `size` rows, padded to as many with whatever was there before."""
        rows = self._rows[size]
        self._put(part, rows[: len(part)])
        return self._interpreter(size).run(rows)[: len(part)]

    def _interpreter(self, size: int) -> runtimes.FixedBatch:
        interpreter = self._interpreters.get(size)
        if interpreter is None:
            interpreter = runtimes.FixedBatch(self._module, self._model, size, self.sizes[0])
            self._interpreters[size] = interpreter
        return interpreter


def _copy(x: Floats, out: Floats) -> None:
    out[:] = x


def _checked(x: Floats, width: int) -> Floats:
    if x.ndim != 2 or x.shape[1] != width:  # noqa: PLR2004 - rows and columns
        raise ValueError(f"rows of shape {x.shape}; (n, {width}) is needed")
    return np.ascontiguousarray(x, np.float32)
