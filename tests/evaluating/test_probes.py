"""One feature alone, far out of range: how far that is, and that only what is odd is found."""

import numpy as np
import pytest

from mqtt_ids.evaluating import probes
from mqtt_ids.evaluating.probes import FAR, FAR_UNLIKE, NOT_DRIVABLE, PER_CLASS, Vectors, far
from mqtt_ids.evaluating.results import Probe
from mqtt_ids.evaluating.watching import Unmoved
from mqtt_ids.feature_table import CONTEXT, FEATURES, NAMES, Role
from mqtt_ids.features import unlikeness
from mqtt_ids.models import DEFAULT, open_model
from mqtt_ids.verdicts import Verdict, Verdicts
from mqtt_ids_model import Model

SEED = 9714


@pytest.fixture(scope="module")
def model() -> Model:
    return open_model(DEFAULT)


@pytest.fixture(scope="module")
def vectors(model: Model) -> Vectors:
    return probes.calm_vectors(SEED, model)


def test_only_features_that_there_are_cannot_be_driven() -> None:
    assert set(NOT_DRIVABLE) < set(NAMES)


def test_far_is_beyond_what_calm_reaches_where_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {feature.name: far(feature) for feature in FEATURES}
    monkeypatch.setattr(probes, "FAR", 2 * FAR)
    monkeypatch.setattr(probes, "FAR_UNLIKE", 2 * FAR_UNLIKE)
    for feature in FEATURES:
        value, farther = values[feature.name], far(feature)
        if feature.name in NOT_DRIVABLE:
            assert 0.99 <= value <= 1.0, feature.name
            assert farther == pytest.approx(value, abs=1e-3), feature.name
        else:
            assert value >= np.sqrt(FAR) - 1e-3, feature.name
            assert farther > value, feature.name
    assert values["publish_rate_10s"] == pytest.approx(np.sqrt(FAR))
    assert values["payload_mean"] == pytest.approx(np.sqrt(FAR), rel=1e-3)
    assert values["host_tries"] == pytest.approx(np.sqrt(FAR))
    assert values["sprayed_2s"] == pytest.approx(FAR)
    assert values["unlike_byte_rate_1m"] == pytest.approx(
        unlikeness(np.array([FAR_UNLIKE], np.float32), np.ones(1, np.float32), 0.0)[0], rel=1e-3
    )


def test_the_vectors_are_of_each_class_and_calm(vectors: Vectors, model: Model) -> None:
    earned = vectors.context[:, CONTEXT.index("has_normal")] > 0
    for is_host in (False, True):
        for learned in (False, True):
            assert ((vectors.is_host == is_host) & (earned == learned)).sum() == PER_CLASS
    scores = model.score(vectors.x, vectors.seen, vectors.context).score
    assert (scores <= vectors.threshold).all()


def probed(name: str, vectors: Vectors, model: Model) -> Probe:
    return probes._probed(FEATURES[NAMES.index(name)], vectors, model)


def test_a_feature_is_probed_where_it_is_seen(vectors: Vectors, model: Model) -> None:
    assert probed("host_opens_10s", vectors, model).trials == 2 * PER_CLASS
    assert probed("unlike_host_opens_10m", vectors, model).trials == PER_CLASS


def test_what_moves_no_score_is_not_found(vectors: Vectors, model: Model) -> None:
    unmoved = Unmoved(model.card, model.scorer, model.net)
    found = probed("host_tries", vectors, model)
    assert found.found == found.trials
    assert probed("host_tries", vectors, unmoved).found == 0
    # Two features that lie within their range all the time move it as little.
    share = probed("host_acknowledged_share", vectors, model)
    assert not share.drivable
    assert share.found < share.trials


def test_found_is_what_becomes_an_alarm_once_a_second() -> None:
    for ratio, verdict in ((1.001, Verdict.ATTACK), (0.999, Verdict.ODD)):
        verdicts = Verdicts()
        verdicts.start(0)
        row, fresh = np.zeros(1, np.intp), np.ones(1, bool)
        score = np.full(1, ratio * probes.IN_TIME, np.float32)
        for second in range(600):
            verdicts.judge(row, score, np.ones(1), fresh, float(second))
        assert verdicts.verdict(0) is verdict


def test_each_feature_is_probed_in_its_role() -> None:
    found = probes.probe(probes.Job(seeds=(SEED,)))
    assert [one.feature for one in found] == list(NAMES)
    assert {one.role for one in found} == {role.value for role in Role}
    assert all(one.at_once <= one.found <= one.trials for one in found)
    assert all(one.drivable == (one.feature not in NOT_DRIVABLE) for one in found)


def test_enough_homes_for_twenty_vectors_of_each_class() -> None:
    for short in (False, True):
        (job,) = probes.jobs(short=short)
        assert len(job.seeds) * PER_CLASS >= 20
