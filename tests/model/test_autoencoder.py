import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mqtt_ids_model import Autoencoder, ModelError
from mqtt_ids_model.autoencoder import MAX_WEIGHT_BYTES, sigmoid

SMALL = Autoencoder.fresh(5, 4, seed=1)
SMALL_FILE = SMALL.to_bytes()


def test_the_network_is_the_papers() -> None:
    net = Autoencoder.fresh(72, 70, seed=1)
    assert net.sizes == (72, 128, 64, 32, 16, 32, 64, 128, 70)
    assert (net.inputs, net.outputs) == (72, 70)


def test_forward_is_relu_inside_and_sigmoid_at_the_end() -> None:
    weights = [
        (np.array([[1, -1], [2, 0]], np.float32), np.array([0.5, -1], np.float32)),
        (np.array([[1, 3]], np.float32), np.array([-2], np.float32)),
    ]
    net = Autoencoder(weights)
    # hidden: relu(0.25 - 1 + 0.5) = 0, relu(0.5 - 1) = 0; then relu(0.75 + 0.5), relu(0.5)
    out = net.forward(np.array([[0.25, 1.0], [0.75, 0.0]], np.float32))
    logits = np.array([[-2.0], [1.25 + 3 * 0.5 - 2]])
    np.testing.assert_allclose(out, 1 / (1 + np.exp(-logits)), rtol=1e-6)


def test_the_same_seed_gives_the_same_network_and_another_seed_another() -> None:
    one, same, other = (Autoencoder.fresh(5, 4, seed) for seed in (1, 1, 2))
    assert np.array_equal(one.parameters, same.parameters)
    assert not np.array_equal(one.parameters, other.parameters)


def test_layers_are_views_of_the_parameters_and_a_copy_has_its_own() -> None:
    net = Autoencoder.fresh(5, 4, seed=1)
    twin = net.copy()
    net.parameters[:] = 0.0
    assert not any(weights.any() or bias.any() for weights, bias in net.layers)
    assert np.array_equal(twin.parameters, SMALL.parameters)


def test_more_rows_than_one_pass_holds_are_all_reconstructed() -> None:
    x = np.random.default_rng(0).random((5000, 5), dtype=np.float32)
    out = SMALL.forward(x)
    np.testing.assert_allclose(out[4990:], SMALL.forward(x[4990:]), atol=1e-6)


def test_the_sigmoid_does_not_overflow() -> None:
    logits = np.array([-1e30, -200.0, 0.0, 200.0, 1e30], np.float32)
    with np.errstate(all="raise"):
        assert sigmoid(logits).tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]


@pytest.mark.parametrize(
    "shapes",
    [
        [],
        [((3, 2), (3,)), ((4, 2), (4,))],  # the second layer does not take what the first gives
        [((3, 2), (2,))],
        [((3,), (3,))],
        [((600, 2), (600,))],
        [((2, 600), (2,))],
        [((0, 2), (0,))],
        [((2, 0), (2,))],
    ],
)
def test_weights_that_do_not_chain_are_refused(shapes: list[tuple[tuple[int, ...], ...]]) -> None:
    weights = [(np.zeros(w, np.float32), np.zeros(b, np.float32)) for w, b in shapes]
    with pytest.raises(ValueError, match=r"layer|inputs"):
        Autoencoder(weights)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        Autoencoder([(np.full((2, 2), value, np.float32), np.zeros(2, np.float32))])


def test_saved_weights_come_back_bit_for_bit(tmp_path: Path) -> None:
    SMALL.save(tmp_path / "weights.npz")
    back = Autoencoder.load(tmp_path / "weights.npz")
    assert back.sizes == SMALL.sizes
    assert np.array_equal(back.parameters, SMALL.parameters)


def test_a_missing_weights_file_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"weights\.npz cannot be read: No such file"):
        Autoencoder.load(tmp_path / "weights.npz")


def archive(compression: int = zipfile.ZIP_STORED, **arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as file:
        for name, array in arrays.items():
            inner = io.BytesIO()
            np.lib.format.write_array(inner, array, allow_pickle=True)
            file.writestr(f"{name}.npy", inner.getvalue())
    return stream.getvalue()


W, B = np.ones((3, 2), np.float32), np.ones(3, np.float32)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a zip file"),
        (b"PK\x03\x04 nonsense", "not a zip file"),
        (archive(), "0 arrays"),
        (archive(w0=W), "1 arrays"),
        (archive(w0=W, x=B), "b0.npy"),
        (archive(w0=W, b0=B.astype(np.float64)), "not float32"),
        (archive(w0=np.asfortranarray(W), b0=B), "not float32 by rows"),
        (archive(w0=np.array([{}], dtype=object), b0=B), "not float32"),
        (archive(zipfile.ZIP_DEFLATED, w0=W, b0=B), "compressed"),
        (archive(w0=W * np.nan, b0=B), "not finite"),
        (archive(w0=W, b0=W), "do not fit"),
        (bytes(MAX_WEIGHT_BYTES + 1), "larger than"),
    ],
)
def test_other_files_than_weights_are_refused_in_one_line(data: bytes, reason: str) -> None:
    with pytest.raises(ModelError, match=reason) as caught:
        Autoencoder.from_bytes(data)
    assert "\n" not in str(caught.value)


def test_a_header_that_promises_too_much_allocates_nothing() -> None:
    data = archive(w0=W, b0=B)
    huge = data.replace(b"(3, 2)", b"(9**9,")
    assert huge != data
    with pytest.raises(ModelError):
        Autoencoder.from_bytes(huge)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_damaged_weights_are_refused_or_finite(data: st.DataObject) -> None:
    damaged = bytearray(SMALL_FILE)
    for _ in range(data.draw(st.integers(1, 8))):
        # headers and the archive's directory lie at the ends of the members
        where = data.draw(
            st.one_of(
                st.integers(0, len(damaged) - 1), st.integers(len(damaged) - 900, len(damaged) - 1)
            )
        )
        damaged[where] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.just(len(damaged)), st.integers(0, len(damaged))))
    try:
        net = Autoencoder.from_bytes(bytes(damaged[:cut]))
    except ModelError:
        return
    assert np.isfinite(net.parameters).all()
