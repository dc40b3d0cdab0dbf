"""A flood that grows, rung by rung."""

from typing import get_args

import pytest

from mqtt_ids.evaluating import ladder
from mqtt_ids.evaluating.ladder import FEW_RATES, IDENTITIES, RATES, Identity, Job, climb

SEED = 9722


def test_the_rungs_go_from_a_hundred_to_a_million() -> None:
    assert (RATES[0], RATES[-1], len(RATES)) == (100, 1_000_000, 9)
    assert set(FEW_RATES) < set(RATES)
    jobs = ladder.jobs(short=False)
    assert {(job.rate, job.identity) for job in jobs} == {
        (rate, identity) for rate in RATES for identity in IDENTITIES
    }
    assert len(jobs) == len(RATES) * len(IDENTITIES)
    assert {job.rate for job in ladder.jobs(short=True)} == set(FEW_RATES)


@pytest.mark.parametrize("identity", get_args(Identity))
def test_the_score_grows_with_the_flood(identity: Identity) -> None:
    low, high = (climb(Job(rate=rate, identity=identity, seed=SEED)) for rate in (100, 5000))
    assert [step.by for step in low] == [step.by for step in high]
    assert low[0].by == ("new client" if identity == "new" else "known client")
    for before, after in zip(low, high, strict=True):
        assert (before.rate, after.rate) == (100.0, 5000.0)
        assert after.int8 > before.int8 > 0.0
        assert after.floats == pytest.approx(after.int8, rel=0.1)
        assert after.verdict == "attack"
        assert after.afterwards in {"odd", "attack"}
