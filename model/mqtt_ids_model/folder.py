"""A model's folder: model.tflite, weights.npz (float, for fine-tuning) and card.json.

The card holds the hashes of the other two and is written last, so whatever moment a crash
chooses, the folder holds either one whole model or files that its card does not fit, which
`load_model` refuses.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mqtt_ids_model.arrays import Flags, Floats
from mqtt_ids_model.autoencoder import MAX_WEIGHT_BYTES, Autoencoder
from mqtt_ids_model.card import (
    CARD_FILE,
    MAX_CARD_BYTES,
    MODEL_FILE,
    SCHEMA,
    WEIGHTS_FILE,
    Card,
    Golden,
    decode_card,
    encode_card,
)
from mqtt_ids_model.errors import ModelError
from mqtt_ids_model.model import Model
from mqtt_ids_model.reader import MAX_MODEL_BYTES
from mqtt_ids_model.score import network_inputs, reconstruction_error
from mqtt_ids_model.scorer import NUMPY, Scorer, open_scorer

TOLERANCE = 1e-4  # of golden scores; on x86-64 the runtimes agree to the bit


def load_model(
    folder: Path, features: Sequence[str], context: Sequence[str], *, prefer: str | None = None
) -> Model:
    """The model in `folder`, if it is for exactly these features and context inputs.

    Raises ModelError, in one line, for a file that is missing, too large or not what the card's
    hash says; for a card or a network that reader.py or card.py refuses; for other features; and
    where the golden scores do not come out. `prefer` names a runtime (see scorer.py).
    """
    try:
        card = decode_card(_read(folder / CARD_FILE, MAX_CARD_BYTES))
        _check_names("feature", card.features, features)
        _check_names("context input", card.context, context)
        scorer = open_scorer(_read_hashed(folder, MODEL_FILE, MAX_MODEL_BYTES, card), prefer)
        net = None
        if WEIGHTS_FILE in card.sha256:
            weights = _read_hashed(folder, WEIGHTS_FILE, MAX_WEIGHT_BYTES, card)
            net = Autoencoder.from_bytes(weights)
            _check_layers(card, WEIGHTS_FILE, net.sizes)
        _check_layers(card, MODEL_FILE, scorer.sizes)
        model = Model(card, scorer, net)
        model.check_golden()
    except ModelError as error:
        raise ModelError(f"{folder}: {error}") from error
    return model


def save_model(  # noqa: PLR0913 - a card's fields, by name
    folder: Path,
    *,
    model: bytes,
    net: Autoencoder | None,
    features: Sequence[str],
    units: Sequence[str],
    context: Sequence[str],
    thresholds: Mapping[str, Mapping[str, float]],
    golden: tuple[Floats, Flags, Floats],
    typical: Mapping[str, Mapping[str, float]],
    trained: Mapping[str, Any],
) -> Card:
    """Write a model that `load_model` will accept; the card that was made for it.

    `model` are the bytes of the .tflite file, `net` its float weights. `golden` are vectors as
    `Model.score` takes them (x, seen, context): choose some that are calm, masked, at their caps
    and far beyond. Raises ModelError where anything would be refused on loading, before a file
    is touched, and where the folder cannot be written.
    """
    files = {MODEL_FILE: model}
    if net is not None:
        files[WEIGHTS_FILE] = net.to_bytes()
    scorer = open_scorer(model, NUMPY)
    card = Card(
        schema=SCHEMA,
        features=tuple(features),
        units=tuple(units),
        context=tuple(context),
        layers=scorer.sizes,
        sha256={name: _hash(data) for name, data in files.items()},
        thresholds={mask: dict(values) for mask, values in thresholds.items()},
        golden=_golden(scorer, *golden),
        typical={feature: dict(values) for feature, values in typical.items()},
        trained=dict(trained),
    )
    files[CARD_FILE] = encode_card(card)
    if net is not None:
        _check_layers(card, WEIGHTS_FILE, net.sizes)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _replace(folder, files)  # the card is the last of them
    except OSError as error:
        raise ModelError(f"{folder}: cannot be written: {error.strerror}") from error
    return card


def _golden(scorer: Scorer, x: Floats, seen: Flags, context: Floats) -> Golden:
    reconstruction = scorer.reconstruct(network_inputs(x, seen, context))
    score, _ = reconstruction_error(x, reconstruction, seen)
    return Golden(
        x=tuple(map(tuple, x.tolist())),
        seen=tuple(map(tuple, seen.tolist())),
        context=tuple(map(tuple, context.tolist())),
        scores=tuple(score.tolist()),
        tolerance=TOLERANCE,
    )


def _check_layers(card: Card, name: str, sizes: tuple[int, ...]) -> None:
    if sizes != card.layers:
        raise ModelError(f"{name} has layers {sizes}; its card says {card.layers}")


def _check_names(what: str, card: Sequence[str], program: Sequence[str]) -> None:
    if len(card) != len(program):
        raise ModelError(f"the model has {len(card)} {what}s, this program has {len(program)}")
    for number, (theirs, ours) in enumerate(zip(card, program, strict=True)):
        if theirs != ours:
            raise ModelError(
                f"{what} {number} is {theirs!r} in the model, {ours!r} in this program"
            )


def _read_hashed(folder: Path, name: str, limit: int, card: Card) -> bytes:
    data = _read(folder / name, limit)
    if _hash(data) != card.sha256[name]:
        raise ModelError(f"{name} is not the file that {CARD_FILE} was made for (sha256 differs)")
    return data


def _read(path: Path, limit: int) -> bytes:
    """The bytes of a regular file of at most `limit` bytes."""
    try:
        if path.exists() and not path.is_file():
            raise ModelError(f"{path.name} is not a regular file")
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise ModelError(f"{path.name} cannot be read: {error.strerror}") from error
    if len(data) > limit:
        raise ModelError(f"{path.name} is larger than {limit} bytes")
    return data


def _replace(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put whole files in place, in this order, once all of them are on the disk."""
    for name, data in files.items():
        with (folder / f"{name}.new").open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    for name in files:
        (folder / f"{name}.new").replace(folder / name)
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
