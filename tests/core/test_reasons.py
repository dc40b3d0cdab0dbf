"""Reasons: three, different ones, and their words are their figures."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_ids.alerts import Reason
from mqtt_ids.facts import Fact, FactKind
from mqtt_ids.feature_table import FEATURES, NAMES
from mqtt_ids.reasons import figure, from_fact, reasons
from mqtt_ids.windows import Floats

PLACE = {name: place for place, name in enumerate(NAMES)}
N = len(NAMES)
NAN = float("nan")
LEVELS = st.floats(0.0, 1e9, width=32)


def vector(default: float = 0.0, **values: float) -> Floats:
    row = np.full(N, default, np.float32)
    for name, value in values.items():
        row[PLACE[name]] = value
    return row


def stem(name: str) -> str:
    return re.sub(r"_(2s|10s|1m|10m)$", "", name).removeprefix("unlike_")


@given(
    errors=st.lists(st.floats(0.0, 900.0, width=32), min_size=N, max_size=N),
    above=st.lists(st.booleans(), min_size=N, max_size=N),
    observed=st.lists(LEVELS, min_size=N, max_size=N),
    usual=st.lists(LEVELS | st.just(NAN), min_size=N, max_size=N),
)
def test_at_most_three_different_ones_the_worst_first(
    errors: list[float], above: list[bool], observed: list[float], usual: list[float]
) -> None:
    error = np.array(errors, np.float32)
    excess = np.where(above, error, 0.0).astype(np.float32)
    given_ = reasons(error, excess, np.array(observed, np.float32), np.array(usual, np.float32), {})
    carrying = [name for name, value in zip(NAMES, excess, strict=True) if value > 0.0]
    stems = {stem(name) for name in carrying}
    assert len(given_) == min(3, len(carrying))
    assert len({stem(reason.feature) for reason in given_}) == min(3, len(stems))
    found = [float(excess[PLACE[reason.feature]]) for reason in given_]
    assert found == sorted(found, reverse=True)
    if given_:
        assert found[0] == excess.max()
    for reason in given_:
        place = PLACE[reason.feature]
        assert reason.observed == pytest.approx(observed[place], rel=1e-5)
        assert reason.share == pytest.approx(error[place] / error.sum(), abs=1e-4)
        assert reason.unit == FEATURES[place].unit
        if math.isnan(usual[place]):
            assert reason.usual is None
        else:
            assert reason.usual == pytest.approx(usual[place], rel=1e-5)


def one(name: str, observed: float, usual: float = NAN, p999: float | None = None) -> Reason:
    error = vector(**{name: 1.0})
    typical = {} if p999 is None else {name: {"p50": 0.0, "p999": p999}}
    (reason,) = reasons(
        error, error, vector(**{name: observed}), vector(NAN, **{name: usual}), typical
    )
    return reason


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (one("publish_rate_10s", 812.0, 0.9), "publishes 812 messages/s, usually 0.9"),
        (one("publish_rate_10s", 12345.6, 0.03), "publishes 12,346 messages/s, usually 0.03"),
        (one("publish_rate_10s", 5.0, 0.0), "publishes 5 messages/s, usually none"),
        (
            one("host_opens_10s", 150.0, p999=7.25),
            "opens 150 connections in 10 s; calm homes stay below 7.25",
        ),
        (
            one("host_half_open", 40.0, p999=0.0),
            "holds 40 connections that never finished CONNECT; in calm homes almost none do",
        ),
        (
            one("connects_10s", 0.9, p999=1.1),
            "connects 0.9 times in 10 s; calm homes: up to 1.1",
        ),
        (one("host_malformed_1m", 9.5), "sends 9.5 malformed packets in a minute"),
        (
            one("unlike_publish_rate_1m", 30.0, 2.0, p999=9.0),
            "publishes 30 messages/s, usually 2",
        ),
    ],
)
def test_words(reason: Reason, text: str) -> None:
    assert reason.text == text


def test_once_in_a_while_is_not_none() -> None:
    assert one("publish_rate_10m", 5.0, 1 / 30.0).text.endswith("usually 0.033")
    assert one("acknowledged_share", 1.0, 0.03).text.endswith("100% of its messages, usually 3%")
    assert one("host_opens_10s", 50.0, 0.03).text.endswith("usually none")


@given(st.floats(0.0, 1e38))
def test_a_figure_is_plain_and_true_to_three_digits(value: float) -> None:
    said = figure(value)
    assert "e" not in said.replace("less than", "")
    if said == "less than 0.0005":
        assert 0.0 < value < 0.0005
        return
    back = float(said.replace(",", ""))
    assert back == pytest.approx(value, rel=0.06 if value < 1 else 0.006)


def test_a_figure_beyond_counting_is_said_so() -> None:
    assert figure(math.inf) == "more than can be counted"


def test_a_fact_is_a_reason_without_a_share() -> None:
    fact = Fact(
        kind=FactKind.SILENCE,
        time=1.0,
        address="10.0.0.1",
        client_id="c",
        text="has published nothing for 90 s, usually every 10 s",
        observed=90.0,
        usual=10.0,
        unit="s",
    )
    assert from_fact(fact) == Reason(
        feature="silence", observed=90.0, usual=10.0, unit="s", share=None, text=fact.text
    )
