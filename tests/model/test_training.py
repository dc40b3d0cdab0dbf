import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from mqtt_ids_model import Autoencoder, network_inputs, to_int8, train
from mqtt_ids_model.arrays import Flags, Floats
from mqtt_ids_model.quantise import affine, measure, quantise
from mqtt_ids_model.training import _Adam, _Pass, _rate, _Rounding, rounded_weights

Vectors = tuple[Floats, Flags, Floats]


def random_net(sizes: Sequence[int], seed: int = 0) -> Autoencoder:
    rng = np.random.default_rng(seed)
    return Autoencoder(
        [
            (
                rng.normal(0, 0.6, (b, a)).astype(np.float32),
                rng.normal(0, 0.3, b).astype(np.float32),
            )
            for a, b in itertools.pairwise(sizes)
        ]
    )


def masked_loss(net: Autoencoder, x: Floats, target: Floats, seen: Flags) -> float:
    """The loss, by the book and in float64."""
    values = x.astype(np.float64)
    for number, (weights, bias) in enumerate(net.layers):
        values = values @ weights.astype(np.float64).T + bias
        if number < len(net.layers) - 1:
            values = np.maximum(values, 0.0)
    out = 1 / (1 + np.exp(-values))
    return float((seen * (out - target) ** 2).sum() / seen.sum())


def test_gradients_equal_finite_differences() -> None:
    rng = np.random.default_rng(1)
    net = random_net((6, 8, 5, 7, 4))
    x, target = (rng.random((9, width), dtype=np.float32) for width in (6, 4))
    seen = rng.random((9, 4)) < 0.7
    work = _Pass(net, batch=16)
    work.forward(x)
    loss = work.backward(target, seen)
    assert loss == pytest.approx(masked_loss(net, x, target, seen), rel=1e-5)
    step = 1e-3
    for place in rng.choice(len(net.parameters), 80, replace=False):
        kept = net.parameters[place]
        net.parameters[place] = kept + np.float32(step)
        above = masked_loss(net, x, target, seen)
        net.parameters[place] = kept - np.float32(step)
        below = masked_loss(net, x, target, seen)
        net.parameters[place] = kept
        slope = (above - below) / (2 * step)
        assert work.gradient[place] == pytest.approx(slope, rel=2e-2, abs=2e-5)


def test_what_is_not_seen_has_no_gradient() -> None:
    rng = np.random.default_rng(2)
    net = random_net((5, 6, 3))
    x = rng.random((4, 5), dtype=np.float32)
    seen = np.array([[True, False, True]] * 4)
    work = _Pass(net, batch=4)
    gradients = []
    for hidden_target in (0.0, 1.0):
        target = np.full((4, 3), 0.25, np.float32)
        target[:, 1] = hidden_target
        work.forward(x)
        work.backward(target, seen)
        gradients.append(work.gradient.copy())
    assert np.array_equal(gradients[0], gradients[1])
    weights, bias = net.sizes[-2] * 3, 3
    last_layer = gradients[0][-(weights + bias) :]
    assert not last_layer[:weights].reshape(3, -1)[1].any()
    assert gradients[0].any()


def test_adam_is_adam() -> None:
    """Against the algorithm as printed (Kingma and Ba, 2015, algorithm 1), in float64."""
    rng = np.random.default_rng(3)
    parameters = rng.normal(size=7).astype(np.float32)
    wanted = parameters.astype(np.float64)
    mean, square = np.zeros(7), np.zeros(7)
    adam = _Adam(parameters)
    for t in range(1, 6):
        gradient = rng.normal(size=7).astype(np.float32)
        adam.step(parameters, gradient, 0.01)
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient.astype(np.float64) ** 2
        wanted -= 0.01 * (mean / (1 - 0.9**t)) / (np.sqrt(square / (1 - 0.999**t)) + 1e-8)
    np.testing.assert_allclose(parameters, wanted, rtol=1e-4)


def test_the_rate_warms_up_then_falls_to_nothing() -> None:
    rates = [_rate(1.0, step, 10_000) for step in range(10_000)]
    assert rates[0] == pytest.approx(0.01)
    assert max(rates) == pytest.approx(1.0, abs=1e-3)
    assert rates[5000] == pytest.approx(0.5, abs=1e-3)
    assert 0.0 < rates[-1] < 1e-6
    top = rates.index(max(rates))
    assert top < 110
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


def small_run(seed: int, *, fake_quant: bool = False) -> tuple[Autoencoder, list[float]]:
    rng = np.random.default_rng(0)
    x = rng.random((500, 6), dtype=np.float32)
    x[:, 3:] = x[:, :3]
    net = Autoencoder.fresh(6, 6, seed=1)
    ones = np.ones(x.shape, np.bool_)
    return net, train(net, x, x, ones, epochs=8, seed=seed, batch=64, fake_quant=fake_quant)


def test_training_learns_and_reports_the_loss_of_each_epoch() -> None:
    _, losses = small_run(seed=1)
    assert len(losses) == 8
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize("fake_quant", [False, True])
def test_the_same_seed_trains_the_same_weights(*, fake_quant: bool) -> None:
    one, same, other = (small_run(seed, fake_quant=fake_quant)[0] for seed in (1, 1, 2))
    assert np.array_equal(one.parameters, same.parameters)
    assert not np.array_equal(one.parameters, other.parameters)


def test_progress_hears_of_each_epoch() -> None:
    heard: list[tuple[int, float]] = []
    x = np.random.default_rng(0).random((50, 4), dtype=np.float32)
    net = Autoencoder.fresh(4, 4, seed=1)
    losses = train(
        net, x, x, x > 0, epochs=3, seed=1, progress=lambda epoch, loss: heard.append((epoch, loss))
    )
    assert heard == list(enumerate(losses))


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_flags_may_be_bool_bytes_or_floats(kind: type[np.uint8 | np.float32]) -> None:
    x = np.random.default_rng(0).random((90, 4), dtype=np.float32)
    seen = x > 0.3
    nets = [Autoencoder.fresh(4, 4, seed=1) for _ in range(2)]
    train(nets[0], x, x, seen, epochs=1, seed=1)
    train(nets[1], x, x, seen.astype(kind), epochs=1, seed=1)
    assert np.array_equal(nets[0].parameters, nets[1].parameters)


def test_a_denoising_network_predicts_a_feature_from_the_others() -> None:
    rng = np.random.default_rng(4)
    x = rng.random((4000, 1), dtype=np.float32).repeat(4, axis=1)  # four features, always equal

    def replace_one(rng: np.random.Generator, rows: Floats, seen: Flags) -> Floats:
        assert seen.shape == (len(rows), 4)
        rows[np.arange(len(rows)), rng.integers(0, 4, len(rows))] = rng.random(len(rows))
        return rows

    net = Autoencoder.fresh(4, 4, seed=1)
    ones = np.ones(x.shape, np.bool_)
    train(net, x.copy(), x, ones, epochs=30, seed=5, batch=128, corrupt=replace_one)
    probe = np.full((1, 4), 0.2, np.float32)
    probe[0, 2] = 0.9
    assert net.forward(probe)[0, 2] == pytest.approx(0.2, abs=0.15)


def test_training_leaves_its_data_alone() -> None:
    rng = np.random.default_rng(0)
    x = rng.random((100, 4), dtype=np.float32)
    before = x.copy()

    def wipe(_rng: np.random.Generator, rows: Floats, _seen: Flags) -> Floats:
        rows[:] = 0.0
        return rows

    train(Autoencoder.fresh(4, 4, seed=1), x, x, x > 0, epochs=1, seed=1, corrupt=wipe)
    assert np.array_equal(x, before)


@pytest.mark.parametrize(
    ("x", "target", "seen"),
    [
        ((10, 5), (10, 4), (10, 4)),
        ((10, 4), (9, 4), (10, 4)),
        ((10, 4), (10, 4), (10, 3)),
        ((0, 4), (0, 4), (0, 4)),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    x: tuple[int, int], target: tuple[int, int], seen: tuple[int, int]
) -> None:
    net = Autoencoder.fresh(4, 4, seed=1)
    arrays = [np.zeros(shape, np.float32) for shape in (x, target, seen)]
    with pytest.raises(ValueError, match=r"needed|needs"):
        train(net, *arrays, epochs=1, seed=1)


def test_rounded_weights_lie_on_the_int8_grid_of_their_row() -> None:
    weights = np.random.default_rng(6).normal(size=(5, 9)).astype(np.float32)
    weights[3] = 0.0
    rounded = rounded_weights(weights)
    tops = np.abs(weights).max(axis=1, keepdims=True)
    steps = np.where(tops > 0, tops / 127, 1)
    whole = rounded / steps
    np.testing.assert_allclose(whole, np.rint(whole), atol=1e-4)
    assert np.abs(rounded - weights).max() <= steps.max() / 2 * 1.001


def test_a_fake_quantised_pass_predicts_the_int8_network(net: Autoencoder, calm: Vectors) -> None:
    """What fine-tuning sees is what the quantised file will do, but for a rounding now and then."""
    rows = network_inputs(*calm)[:512]
    work = _Pass(net, batch=512)
    plain = work.forward(rows).copy()
    work.rounding = _Rounding.of(net, rows, np.random.default_rng(0))
    faked = work.forward(rows)
    real = quantise(net, rows).forward(rows)
    assert np.square(faked - real).mean() < np.square(plain - real).mean() / 3


def test_gradients_pass_straight_through_rounding_but_not_beyond_a_range() -> None:
    net = random_net((3, 4, 2), seed=7)
    x = np.random.default_rng(8).random((64, 3), dtype=np.float32)
    target, seen = np.zeros((64, 2), np.float32), np.ones((64, 2), np.bool_)
    work = _Pass(net, batch=64)
    work.forward(x)
    work.backward(target, seen)
    plain = work.gradient.copy()
    work.rounding = _Rounding.of(net, x, np.random.default_rng(0))
    work.forward(x)
    work.backward(target, seen)
    np.testing.assert_allclose(work.gradient, plain, atol=0.05 * np.abs(plain).max())
    nothing = affine(0.0, 1e-6)  # a range that every activation of the hidden layer exceeds
    work.rounding = _Rounding(work.rounding.grid_in, (nothing, work.rounding.grids[1]))
    work.forward(x)
    work.backward(target, seen)
    assert not work.gradient[: 3 * 4 + 4].any()
    assert work.gradient[3 * 4 + 4 :].any()


def test_fine_tuning_with_fake_quantisation_lowers_the_error_of_int8(
    net: Autoencoder, calm: Vectors
) -> None:
    x, seen, _ = calm
    rows, target = network_inputs(*calm), np.clip(x, 0.0, 1.0)

    def error(one: Autoencoder) -> float:
        out = quantise(one, rows).forward(rows)
        return float((seen * (out - target) ** 2).sum() / seen.sum())

    tuned = net.copy()
    train(tuned, rows, target, seen, epochs=4, seed=9, rate=1e-4, fake_quant=True)
    longer = net.copy()
    train(longer, rows, target, seen, epochs=4, seed=9, rate=1e-4)
    assert error(tuned) < error(net)
    assert error(tuned) < error(longer)


def test_ranges_cover_what_calibration_reaches(net: Autoencoder, calm: Vectors) -> None:
    rows = network_inputs(*calm)
    ranges = measure(net, rows)
    first = np.maximum(rows @ net.layers[0][0].T + net.layers[0][1], 0.0)
    assert ranges.inputs == (0.0, 1.0)
    assert ranges.hidden[0] >= float(first.max()) * 0.999
    assert -6.25 <= ranges.logits[0] < ranges.logits[1] <= 5.25
    assert len(to_int8(net, rows)) < 100_000
