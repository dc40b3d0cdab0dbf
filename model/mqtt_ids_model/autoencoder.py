"""The paper's network in numpy: in -> 128 -> 64 -> 32 -> 16 -> 32 -> 64 -> 128 -> out.

ReLU inside, sigmoid at the end ("Towards the Implementation of a Dynamic IDS for IoT: Anomaly
Detection in MQTT Traffic": x' = decoder(encoder(x))). Inputs and outputs may differ in number:
context inputs help the network and are not reconstructed.

BLAS threads: two threads on a busy machine make these small products many times slower. Start the
program with OMP_NUM_THREADS=1; numpy offers no call for it.
"""

import io
import itertools
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mqtt_ids_model.arrays import Floats
from mqtt_ids_model.errors import ModelError

HIDDEN = (128, 64, 32, 16, 32, 64, 128)
MAX_WIDTH = 512  # widest layer; keeps int8 sums below 2**24, where float32 is still exact
MAX_LAYERS = 16
MAX_WEIGHT_BYTES = 4_000_000  # the paper's network with 512 inputs and outputs needs 0.6 MB

_ROWS = 4096  # rows that one pass holds in memory


class Autoencoder:
    """Float32 weights and the forward pass.

    `parameters` is one vector that holds all weights and biases; `layers` are views into it, one
    (weights (out, in), bias (out,)) per layer, so that an optimiser can move them all at once.
    """

    def __init__(self, weights: Sequence[tuple[Floats, Floats]]) -> None:
        """Copy the weights. Raises ValueError where shapes do not fit or one is not finite."""
        self.sizes = _chained_sizes(weights)
        self.parameters: Floats = np.concatenate(
            [np.ravel(part) for pair in weights for part in pair]
        ).astype(np.float32)
        if not np.isfinite(self.parameters).all():
            raise ValueError("a weight is not finite")
        self.layers = layer_views(self.parameters, self.sizes)

    @classmethod
    def fresh(cls, inputs: int, outputs: int, seed: int) -> "Autoencoder":
        """The paper's network before training: He's initialisation, Glorot's for the last layer."""
        rng = np.random.default_rng(seed)
        sizes = (inputs, *HIDDEN, outputs)
        weights = []
        for number, (wide, high) in enumerate(itertools.pairwise(sizes)):
            last = number == len(HIDDEN)
            spread = np.sqrt(2.0 / (wide + high)) if last else np.sqrt(2.0 / wide)
            drawn = rng.normal(0.0, spread, (high, wide)).astype(np.float32)
            weights.append((drawn, np.zeros(high, np.float32)))
        return cls(weights)

    @property
    def inputs(self) -> int:
        """Values in one input row."""
        return self.sizes[0]

    @property
    def outputs(self) -> int:
        """Values in one output row."""
        return self.sizes[-1]

    def copy(self) -> "Autoencoder":
        """The same network with weights of its own."""
        return Autoencoder(self.layers)

    def forward(self, x: Floats) -> Floats:
        """Reconstruct rows x (n, inputs), each value in [0, 1]: (n, outputs) in (0, 1)."""
        result = np.empty((len(x), self.outputs), np.float32)
        for start in range(0, len(x), _ROWS):
            values = x[start : start + _ROWS]
            for weights, bias in self.layers[:-1]:
                values = values @ weights.T
                values += bias
                np.maximum(values, 0.0, out=values)
            weights, bias = self.layers[-1]
            values = values @ weights.T
            values += bias
            result[start : start + _ROWS] = sigmoid(values)
        return result

    def save(self, path: Path) -> None:
        """Write the weights as .npz: arrays w0, b0, w1, b1, ..."""
        path.write_bytes(self.to_bytes())

    def to_bytes(self) -> bytes:
        """The weights as the bytes of an .npz file."""
        stream = io.BytesIO()
        named: dict[str, Any] = {
            name: part
            for number, pair in enumerate(self.layers)
            for name, part in zip((f"w{number}", f"b{number}"), pair, strict=True)
        }
        np.savez(stream, **named)
        return stream.getvalue()

    @classmethod
    def load(cls, path: Path) -> "Autoencoder":
        """Read what `save` wrote. Raises ModelError for anything else."""
        try:
            with path.open("rb") as file:
                data = file.read(MAX_WEIGHT_BYTES + 1)
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error.strerror}") from error
        return cls.from_bytes(data)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Autoencoder":
        """Read the bytes of an .npz file. Raises ModelError for anything `to_bytes` never makes."""
        if len(data) > MAX_WEIGHT_BYTES:
            raise ModelError(f"weights: larger than {MAX_WEIGHT_BYTES} bytes")
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                return cls(_read_layers(archive))
        except (
            ValueError,
            KeyError,
            OSError,
            EOFError,
            RuntimeError,
            OverflowError,
            struct.error,
            zipfile.BadZipFile,
        ) as error:
            raise ModelError(f"weights: not those of an autoencoder: {_one_line(error)}") from error


def layer_views(vector: Floats, sizes: Sequence[int]) -> list[tuple[Floats, Floats]]:
    """Cut a vector of parameters (or of their gradients) into (weights, bias) views per layer."""
    views = []
    start = 0
    for wide, high in itertools.pairwise(sizes):
        middle = start + wide * high
        views.append((vector[start:middle].reshape(high, wide), vector[middle : middle + high]))
        start = middle + high
    return views


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(-z)), computed in place. By tanh, which cannot overflow."""
    logits *= 0.5
    np.tanh(logits, out=logits)
    logits += 1.0
    logits *= 0.5
    return logits


def _chained_sizes(weights: Sequence[tuple[Floats, Floats]]) -> tuple[int, ...]:
    """The widths from input to output. Raises ValueError where a layer does not fit the next."""
    if not 1 <= len(weights) <= MAX_LAYERS:
        raise ValueError(f"{len(weights)} layers; 1 to {MAX_LAYERS} are allowed")
    sizes = [weights[0][0].shape[-1]]
    for number, (matrix, bias) in enumerate(weights):
        high = len(bias) if bias.ndim == 1 else 0
        if matrix.shape != (high, sizes[-1]) or not 1 <= high <= MAX_WIDTH:
            raise ValueError(
                f"layer {number}: weights {matrix.shape} and bias {bias.shape} do not fit"
            )
        sizes.append(high)
    if not 1 <= sizes[0] <= MAX_WIDTH:
        raise ValueError(f"{sizes[0]} inputs; 1 to {MAX_WIDTH} are allowed")
    return tuple(sizes)


def _read_layers(archive: zipfile.ZipFile) -> list[tuple[Floats, Floats]]:
    """The arrays of an .npz, without numpy's loader: no pickle, and no size taken on trust."""
    entries = archive.infolist()
    plain = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
    if not plain or sum(entry.file_size for entry in entries) > MAX_WEIGHT_BYTES:
        raise ValueError("compressed or too large")
    if not entries or len(entries) % 2 or len(entries) > 2 * MAX_LAYERS:
        raise ValueError(f"{len(entries)} arrays")
    return [
        (_read_array(archive, f"w{number}.npy"), _read_array(archive, f"b{number}.npy"))
        for number in range(len(entries) // 2)
    ]


def _read_array(archive: zipfile.ZipFile, name: str) -> Floats:
    data = archive.read(name)
    stream = io.BytesIO(data)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError(f"{name}: unknown version")
    shape, by_column, dtype = np.lib.format.read_array_header_1_0(stream)
    if by_column or dtype != np.float32:
        raise ValueError(f"{name}: not float32 by rows")
    return np.frombuffer(data, np.float32, offset=stream.tell()).reshape(shape)


def _one_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
