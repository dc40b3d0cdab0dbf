import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mqtt_ids_model import (
    MASKED,
    Autoencoder,
    network_inputs,
    open_scorer,
    reconstruction_error,
    to_float,
    to_int8,
)
from mqtt_ids_model.arrays import Flags, Floats
from mqtt_ids_model.score import QUIETER
from mqtt_ids_model.scorer import NUMPY, Scorer

Vectors = tuple[Floats, Flags, Floats]


@pytest.fixture(scope="module", params=["float", "int8"])
def scorer(request: pytest.FixtureRequest, net: Autoencoder, calm: Vectors) -> Scorer:
    file = to_float(net) if request.param == "float" else to_int8(net, network_inputs(*calm))
    return open_scorer(file, NUMPY)


def score(scorer: Scorer, x: Floats, seen: Flags, context: Floats) -> Floats:
    return reconstruction_error(x, scorer.reconstruct(network_inputs(x, seen, context)), seen)[0]


def first(count: int, vectors: Vectors) -> Vectors:
    x, seen, context = vectors
    return x[:count].copy(), seen[:count].copy(), context[:count]


def test_inputs_are_clipped_masked_and_followed_by_the_context() -> None:
    x = np.array([[0.2, -1.0, 30.0, np.nan]], np.float32)
    seen = np.array([[True, True, True, False]])
    rows = network_inputs(x, seen, np.array([[7.0, -2.0]], np.float32))
    assert rows.dtype == np.float32
    assert rows.tolist() == [[np.float32(0.2), 0.0, 1.0, MASKED, 7.0, -2.0]]


def test_the_error_is_the_mean_square_over_what_is_seen() -> None:
    x = np.array([[0.5, 3.0, 9.0], [0.1, 0.2, 0.3]], np.float32)
    out = np.array([[0.0, 1.0, 0.0], [0.1, 0.2, 0.7]], np.float32)
    seen = np.array([[True, True, False], [True, True, True]])
    found, errors = reconstruction_error(x, out, seen)
    lower = QUIETER * 0.16
    np.testing.assert_allclose(found, [(0.25 + 4.0) / 2, lower / 3], rtol=1e-6)
    np.testing.assert_allclose(errors, [[0.25, 4.0, 0.0], [0.0, 0.0, lower]], rtol=1e-6)


@settings(max_examples=60)
@given(
    hnp.arrays(np.float32, (5, 4), elements=st.floats(0, 100, width=32)),
    hnp.arrays(np.float32, (5, 4), elements=st.floats(0, 1, width=32)),
    hnp.arrays(np.bool_, (5, 4)),
)
def test_errors_add_up_to_the_score(x: Floats, out: Floats, seen: Flags) -> None:
    seen[:, 0] = True
    found, errors = reconstruction_error(x, out, seen)
    np.testing.assert_allclose(errors.sum(axis=1) / seen.sum(axis=1), found, rtol=1e-5)
    assert (errors[~seen] == 0.0).all()
    assert (found >= 0.0).all()


def test_a_vector_of_which_nothing_is_seen_has_no_score() -> None:
    x = np.zeros((2, 3), np.float32)
    seen = np.array([[True, True, True], [False, False, False]])
    with pytest.raises(ValueError, match="no feature is seen"):
        reconstruction_error(x, x, seen)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_a_feature_that_is_not_a_number_is_refused_where_it_is_seen(value: float) -> None:
    x = np.array([[0.5, value]], np.float32)
    out = np.zeros((1, 2), np.float32)
    with pytest.raises(ValueError, match="finite"):
        reconstruction_error(x, out, np.array([[True, True]]))
    found, errors = reconstruction_error(x, out, np.array([[True, False]]))
    assert (found.tolist(), errors.tolist()) == ([0.25], [[0.25, 0.0]])


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_what_is_masked_never_influences_the_score(
    data: st.DataObject, scorer: Scorer, odd: Vectors
) -> None:
    x, seen, context = first(50, odd)
    seen &= data.draw(hnp.arrays(np.bool_, x.shape, elements=st.booleans()))
    seen[:, 0] = True
    before = score(scorer, x, seen, context)
    anything = st.floats(width=32, allow_nan=True, allow_infinity=True)
    x[~seen] = data.draw(anything)
    assert np.array_equal(score(scorer, x, seen, context), before)


@pytest.mark.parametrize("count", [1, 2, 5, 14])
def test_more_beyond_the_cap_is_never_less(count: int, scorer: Scorer, fresh_calm: Vectors) -> None:
    """One or several features from their cap to a million times it, each at its own pace."""
    x, seen, context = first(200, fresh_calm)
    rng = np.random.default_rng(count)
    features = rng.choice(x.shape[1], count, replace=False)
    seen[:, features] = True
    pace = rng.uniform(0.5, 1.0, count)
    last = np.zeros(len(x), np.float32)
    for power in np.linspace(0.0, 6.0, 61):
        x[:, features] = (10.0 ** (power * pace)).astype(np.float32)
        found = score(scorer, x, seen, context)
        assert (found >= last).all()
        last = found
    assert (last > 1e4).all()


def test_one_feature_far_out_scores_above_all_that_is_calm(
    scorer: Scorer, fresh_calm: Vectors
) -> None:
    x, seen, context = fresh_calm
    calm_score = score(scorer, x, seen, context)
    for feature in range(x.shape[1]):
        far = x.copy()
        far[:, feature] = 10.0
        found = score(scorer, far, seen, context)
        assert found[seen[:, feature]].min() > calm_score.max()
