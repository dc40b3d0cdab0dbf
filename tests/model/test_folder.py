"""A model's folder: what is saved loads again, and everything else is refused in one line."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mqtt_ids_model import (
    Autoencoder,
    Card,
    Model,
    ModelError,
    load_model,
    network_inputs,
    save_model,
    to_float,
    to_int8,
)
from mqtt_ids_model.arrays import Flags, Floats
from mqtt_ids_model.card import MAX_CARD_BYTES, decode_card
from mqtt_ids_model.folder import TOLERANCE
from mqtt_ids_model.scorer import NUMPY

Vectors = tuple[Floats, Flags, Floats]
Save = Callable[[Path], Card]

FEATURES = tuple(f"feature_{number}" for number in range(14))
CONTEXT = ("role", "age")


def golden(calm: Vectors, odd: Vectors) -> Vectors:
    x, seen, context = (np.concatenate([a[:6], b[:6]]) for a, b in zip(calm, odd, strict=True))
    x[3] *= 1000.0
    return x, seen, context


@pytest.fixture(scope="module")
def saving(net: Autoencoder, int8_file: bytes, calm: Vectors, odd: Vectors) -> dict[str, Any]:
    """What `save_model` is given besides the folder."""
    return {
        "model": int8_file,
        "net": net,
        "features": FEATURES,
        "units": ("1/s",) * len(FEATURES),
        "context": CONTEXT,
        "thresholds": {"all": {"budget": 0.02, "mean-std": 0.01}},
        "golden": golden(calm, odd),
        "typical": {FEATURES[0]: {"p50": 0.1, "p999": 0.7}},
        "trained": {"seed": 7, "rows": {"homes": 3}},
    }


@pytest.fixture
def folder(tmp_path: Path, saving: dict[str, Any]) -> Path:
    save_model(tmp_path / "model", **saving)
    return tmp_path / "model"


def refused(folder: Path, reason: str, **others: Any) -> None:  # noqa: ANN401 - passed on
    with pytest.raises(ModelError, match=reason) as caught:
        load_model(folder, **{"features": FEATURES, "context": CONTEXT, **others})
    assert str(caught.value).startswith(f"{folder}: ")
    assert "\n" not in str(caught.value)


def edit(folder: Path, **changes: Any) -> None:  # noqa: ANN401 - JSON
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | changes))


def rehash(folder: Path, name: str, data: bytes) -> None:
    """Put another file in place and let the card name its hash, as a clever thief would."""
    (folder / name).write_bytes(data)
    card = json.loads((folder / "card.json").read_text())
    edit(folder, sha256=card["sha256"] | {name: hashlib.sha256(data).hexdigest()})


def test_what_is_saved_loads_and_scores_the_same(
    tmp_path: Path, saving: dict[str, Any], odd: Vectors, runtime: str
) -> None:
    saved = save_model(tmp_path / "a" / "model", **saving)
    model = load_model(tmp_path / "a" / "model", FEATURES, CONTEXT)
    assert isinstance(model, Model)
    assert model.card == saved
    assert model.scorer.runtime == runtime
    assert model.net is not None
    assert np.array_equal(model.net.parameters, saving["net"].parameters)
    numpy = load_model(tmp_path / "a" / "model", FEATURES, CONTEXT, prefer=NUMPY)
    found, wanted = model.score(*odd), numpy.score(*odd)
    assert np.array_equal(found.score, wanted.score)
    assert np.array_equal(found.errors, wanted.errors)
    assert found.reconstruction.shape == odd[0].shape
    sums = found.errors.sum(axis=1) / odd[1].sum(axis=1)
    np.testing.assert_allclose(found.score, sums, rtol=1e-5)


def test_the_card_keeps_what_it_was_given(folder: Path) -> None:
    card = load_model(folder, FEATURES, CONTEXT).card
    assert card.thresholds["all"] == {"budget": 0.02, "mean-std": 0.01}
    assert card.typical[FEATURES[0]]["p999"] == 0.7
    assert card.trained == {"seed": 7, "rows": {"homes": 3}}
    assert card.layers == (16, 128, 64, 32, 16, 32, 64, 128, 14)
    assert card.golden.tolerance == TOLERANCE
    assert json.loads((folder / "card.json").read_text())["schema"] == "mqtt-ids/model/1"


def test_a_model_without_weights_loads_without_a_net(
    tmp_path: Path, saving: dict[str, Any]
) -> None:
    save_model(tmp_path, **(saving | {"net": None}))
    assert not (tmp_path / "weights.npz").exists()
    assert load_model(tmp_path, FEATURES, CONTEXT).net is None


def test_a_float_model_loads_too(tmp_path: Path, saving: dict[str, Any]) -> None:
    save_model(tmp_path, **(saving | {"model": to_float(saving["net"])}))
    load_model(tmp_path, FEATURES, CONTEXT)
    load_model(tmp_path, FEATURES, CONTEXT, prefer=NUMPY)


@pytest.mark.parametrize("name", ["card.json", "model.tflite", "weights.npz"])
def test_a_missing_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    refused(folder, f"{name} cannot be read: No such file")


@pytest.mark.parametrize("name", ["card.json", "model.tflite", "weights.npz"])
def test_a_folder_or_pipe_in_place_of_a_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)
    refused(folder, f"{name} is not a regular file")
    (folder / name).unlink()
    (folder / name).mkdir()
    refused(folder, f"{name} is not a regular file")


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "none", "card.json cannot be read")
    refused(tmp_path / ("x" * 300), "card.json cannot be read")


@pytest.mark.parametrize(
    ("name", "size"),
    [("card.json", MAX_CARD_BYTES), ("model.tflite", 1_000_000), ("weights.npz", 4_000_000)],
)
def test_a_file_that_is_too_large_is_refused(folder: Path, name: str, size: int) -> None:
    with (folder / name).open("ab") as file:
        file.truncate(size + 1)
    refused(folder, f"{name} is larger than")


@pytest.mark.parametrize("name", ["model.tflite", "weights.npz"])
def test_one_changed_bit_is_refused(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    refused(folder, rf"{name} is not the file that card\.json was made for")


def test_another_model_with_its_hash_is_caught_by_the_golden_vectors(
    folder: Path, calm: Vectors
) -> None:
    other = Autoencoder.fresh(16, 14, seed=99)
    rehash(folder, "model.tflite", to_int8(other, network_inputs(*calm)))
    refused(folder, "golden vector .* its card says")


def test_a_network_of_other_widths_is_refused(folder: Path, calm: Vectors) -> None:
    rows = network_inputs(*calm)[:, :15]
    rehash(folder, "model.tflite", to_int8(Autoencoder.fresh(15, 14, seed=1), rows))
    refused(folder, r"model\.tflite has layers \(15, ")


def test_weights_of_other_widths_are_refused(folder: Path) -> None:
    rehash(folder, "weights.npz", Autoencoder.fresh(15, 14, seed=1).to_bytes())
    refused(folder, r"weights\.npz has layers \(15, ")


@pytest.mark.parametrize("name", ["model.tflite", "weights.npz"])
def test_other_bytes_with_their_hash_are_refused(folder: Path, name: str) -> None:
    rehash(folder, name, b"\x1c\0\0\0TFL3" + bytes(500))
    refused(folder, r"model: 0 subgraphs|weights: not those")


def test_weights_beyond_all_measure_are_refused(folder: Path, saving: dict[str, Any]) -> None:
    net = saving["net"].copy()
    net.parameters[:] = 3e38
    rehash(folder, "model.tflite", to_float(net))
    with np.errstate(all="ignore"):
        refused(folder, "golden vector")


def test_other_features_are_refused_by_name(folder: Path) -> None:
    other = ("another", *FEATURES[1:])
    refused(folder, "feature 0 is 'feature_0' in the model, 'another' in this", features=other)
    swapped = (*FEATURES[:5], FEATURES[6], FEATURES[5], *FEATURES[7:])
    refused(folder, "feature 5 is 'feature_5' in the model, 'feature_6'", features=swapped)
    refused(folder, "has 14 features, this program has 13", features=FEATURES[:13])
    refused(folder, "context input 0 is 'role'", context=("age", "role"))
    refused(folder, "has 2 context inputs, this program has 0", context=())


def test_an_unknown_runtime_is_refused(folder: Path) -> None:
    refused(folder, "runtime 'torch' is unknown", prefer="torch")


GOOD_ROW = [0.5] * 14

CARDS: dict[str, tuple[dict[str, Any], str]] = {
    "another schema": ({"schema": "mqtt-ids/model/2"}, "schema"),
    "a number for names": ({"features": 5}, "features"),
    "a name twice": ({"features": ["a"] * 14}, "only once"),
    "an empty name": ({"features": ["", *FEATURES[1:]]}, "must be there"),
    "a context named as a feature": ({"context": ["role", FEATURES[0]]}, "only once"),
    "no features": ({"features": []}, "must be there"),
    "a unit too few": ({"units": ["s"]}, "1 units for 14 features"),
    "other ends": ({"layers": [10, 14]}, "do not go from 16 inputs"),
    "one layer": ({"layers": [14]}, "do not go from"),
    "other widths": ({"layers": [16, 99, 14]}, "has layers"),
    "no hash": ({"sha256": {}}, "must name model.tflite"),
    "a hash of another file": ({"sha256": {"model.tflite": "0" * 64, "x": "0"}}, "may name"),
    "no hexadecimal": ({"sha256": {"model.tflite": "g" * 64}}, "64 hexadecimal"),
    "no thresholds": ({"thresholds": {}}, "no thresholds"),
    "half a threshold": ({"thresholds": {"all": {"budget": 0.1}}}, "budget and mean-std"),
    "a third threshold": (
        {"thresholds": {"all": {"budget": 0.1, "mean-std": 0.1, "x": 1}}},
        "budget and mean-std",
    ),
    "a threshold below 0": (
        {"thresholds": {"all": {"budget": -0.1, "mean-std": 0.1}}},
        "above 0",
    ),
    "a threshold of 0": ({"thresholds": {"all": {"budget": 0, "mean-std": 0.1}}}, "above 0"),
    "a threshold in words": (
        {"thresholds": {"all": {"budget": "low", "mean-std": 0.1}}},
        "Expected `float`",
    ),
    "a threshold of nothing": (
        {"thresholds": {"all": {"budget": None, "mean-std": 0.1}}},
        "Expected `float`",
    ),
    "typical values of a stranger": ({"typical": {"x": {"p50": 0, "p999": 1}}}, "typical"),
    "half of what is typical": ({"typical": {FEATURES[0]: {"p50": 0}}}, "p50 and p999"),
    "no golden": ({"golden": None}, "golden"),
}

GOLDEN: dict[str, tuple[dict[str, Any], str]] = {
    "none": ({"x": [], "seen": [], "context": [], "scores": []}, "no golden vectors"),
    "short rows": ({"x": [[0.5]] * 12}, "12 rows of 14"),
    "fewer rows": ({"x": [GOOD_ROW]}, "12 rows of 14"),
    "nothing seen": ({"seen": [[False] * 14] * 12}, "nothing is seen"),
    "numbers for flags": ({"seen": [[1] * 14] * 12}, "Expected `bool`"),
    "a context too wide": ({"context": [[0, 0, 0]] * 12}, "12 rows of 2"),
    "a negative score": ({"scores": [-0.1] * 12}, "not negative"),
    "other scores": ({"scores": [0.5] * 12}, "golden vector"),
    "no tolerance": ({"tolerance": 0}, "tolerance"),
    "any tolerance": ({"tolerance": 1e9}, "tolerance"),
}


@pytest.mark.parametrize("case", CARDS)
def test_a_card_with_a_wrong_field_is_refused(folder: Path, case: str) -> None:
    changes, reason = CARDS[case]
    edit(folder, **changes)
    refused(folder, reason)


@pytest.mark.parametrize("case", GOLDEN)
def test_golden_vectors_that_make_no_sense_are_refused(folder: Path, case: str) -> None:
    changes, reason = GOLDEN[case]
    card = json.loads((folder / "card.json").read_text())
    edit(folder, golden=card["golden"] | changes)
    refused(folder, reason)


@pytest.mark.parametrize(
    "field",
    [
        "features",
        "units",
        "context",
        "layers",
        "sha256",
        "thresholds",
        "golden",
        "typical",
        "trained",
    ],
)
def test_a_card_without_a_field_is_refused(folder: Path, field: str) -> None:
    card = json.loads((folder / "card.json").read_text())
    del card[field]
    (folder / "card.json").write_text(json.dumps(card))
    refused(folder, f"missing required field `{field}`")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\xff\xfe",
        b'{"schema": "\xff"}',
        b"[" * 100_000,
        b'{"trained":' * 50_000,
    ],
)
def test_what_is_not_a_card_is_refused(folder: Path, text: bytes) -> None:
    (folder / "card.json").write_bytes(text)
    refused(folder, "card: ")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none_are_refused(folder: Path, number: str) -> None:
    text = (folder / "card.json").read_text()
    assert '"budget": 0.02' in text
    (folder / "card.json").write_text(text.replace('"budget": 0.02', f'"budget": {number}'))
    refused(folder, "card: ")


def test_a_later_card_may_hold_more(folder: Path) -> None:
    edit(folder, invented_later={"x": 1})
    load_model(folder, FEATURES, CONTEXT)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_cards_are_cards_or_model_errors(data: st.DataObject, folder: Path) -> None:
    text = bytearray((folder / "card.json").read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        where = data.draw(st.integers(0, len(text) - 1))
        text[where : where + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    with contextlib.suppress(ModelError):
        assert isinstance(decode_card(bytes(text)), Card)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"thresholds": {"all": {"budget": float("nan"), "mean-std": 0.1}}}, "above 0"),
        ({"features": FEATURES[:13], "units": ["s"] * 13, "typical": {}}, "do not go from 15"),
        ({"trained": {"when": object()}}, "cannot be written as JSON"),
        ({"trained": {"figure": {1, 2}, "x": lambda: 1}}, "cannot be written as JSON"),
        ({"model": b"no model"}, "not a .tflite file"),
    ],
)
def test_what_would_be_refused_on_loading_is_not_saved(
    tmp_path: Path, saving: dict[str, Any], change: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ModelError, match=reason):
        save_model(tmp_path / "model", **(saving | change))
    assert not (tmp_path / "model").exists()


def test_a_net_of_other_widths_is_not_saved(tmp_path: Path, saving: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=r"weights\.npz has layers"):
        save_model(tmp_path / "model", **(saving | {"net": Autoencoder.fresh(3, 2, seed=1)}))
    assert not (tmp_path / "model").exists()


def test_a_folder_that_cannot_be_written_is_a_model_error(
    tmp_path: Path, saving: dict[str, Any]
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ModelError, match="cannot be written"):
        save_model(tmp_path / "file" / "model", **saving)


class Crash(BaseException):
    """The power is cut."""


def steps_of_saving(monkeypatch: pytest.MonkeyPatch, crash_at: int) -> None:
    """Let the machine stop at the n-th thing that saving does to the disk."""
    done = 0

    def counted(act: Callable[..., Any]) -> Callable[..., Any]:
        def inner(*args: Any, **options: Any) -> Any:  # noqa: ANN401 - passed on
            nonlocal done
            done += 1
            if done > crash_at:
                raise Crash
            return act(*args, **options)

        return inner

    monkeypatch.setattr(os, "fsync", counted(os.fsync))
    monkeypatch.setattr(Path, "replace", counted(Path.replace))
    monkeypatch.setattr(Path, "open", counted(Path.open))


def test_a_crash_at_any_moment_leaves_one_whole_model_or_a_refusal(
    tmp_path: Path, saving: dict[str, Any], calm: Vectors
) -> None:
    later = saving["net"].copy()
    later.parameters[-5:] += 0.5
    new = saving | {"net": later, "model": to_int8(later, network_inputs(*calm))}
    outcomes = []
    for crash_at in range(10):
        folder = tmp_path / str(crash_at)
        old_card = save_model(folder, **saving)
        with pytest.MonkeyPatch.context() as patch:
            steps_of_saving(patch, crash_at)
            with pytest.raises(Crash):
                save_model(folder, **new)
        try:
            found = load_model(folder, FEATURES, CONTEXT, prefer=NUMPY)
        except ModelError:
            refused(folder, "sha256 differs", prefer=NUMPY)
            outcomes.append("refused")
        else:
            assert found.net is not None
            is_old = np.array_equal(found.net.parameters, saving["net"].parameters)
            assert is_old == (found.card == old_card)
            outcomes.append("old" if is_old else "new")
        new_card = save_model(folder, **new)  # and nothing is in the way of another try
        assert load_model(folder, FEATURES, CONTEXT, prefer=NUMPY).card == new_card
        shutil.rmtree(folder)
    assert outcomes == ["old"] * 7 + ["refused"] * 2 + ["new"]


def test_saving_leaves_nothing_else_behind(folder: Path) -> None:
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["card.json", "model.tflite", "weights.npz"]
