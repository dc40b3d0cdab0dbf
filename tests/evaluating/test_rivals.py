"""The rivals: what they learn, what they accuse, and that they tell it as the detector does."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from mqtt_ids.evaluating import rivals
from mqtt_ids.evaluating.rivals import (
    COMPONENTS,
    MARGIN,
    OtherThresholds,
    PcaRival,
    ThreeCounters,
    components,
    limits,
    reached,
)
from mqtt_ids.evaluating.spread import HIGHEST, LOWEST, PER_DOUBLING, Spread, alike, roc
from mqtt_ids.evaluating.taught import Taught
from mqtt_ids.evaluating.telling import Persistence
from mqtt_ids.evaluating.watching import Watcher, alarms, watch
from mqtt_ids.events import AnyEvent, Opened, Pinged, Published
from mqtt_ids.feature_table import CONTEXT, NAMES, Role
from mqtt_ids.incidents import CALM_AFTER
from mqtt_ids.lab.attackers import Attacker
from mqtt_ids.lab.homes import make_home, record
from mqtt_ids.learning.samples import Samples
from mqtt_ids.models import DEFAULT, open_model
from mqtt_ids.subjects import HostSubject
from mqtt_ids.verdicts import AT_ONCE
from mqtt_ids_model import Card, network_inputs
from mqtt_ids_model.score import QUIETER

SEED = 9741


def publishes(start: float, number: int, address: str = "10.0.0.2") -> list[AnyEvent]:
    """So many within a second."""
    return [
        Published(
            time=start + n / number, connection=1, address=address, client_id="a", topic="t", size=1
        )
        for n in range(number)
    ]


def accused(rival: ThreeCounters, events: list[AnyEvent]) -> list[tuple[float, str | None]]:
    for event in events:
        rival.feed(event)
    return [(one.time, one.address) for one in alarms(rival.alerts(), rival.method, 0.0)]


# --- three counters ------------------------------------------------------------------------


def test_counters_reach_their_most_in_one_window_of_one_address() -> None:
    other = publishes(5.0, 7, "10.0.0.3")
    opens: list[AnyEvent] = [Opened(time=12.0, connection=n, address="10.0.0.2") for n in range(3)]
    ping: list[AnyEvent] = [Pinged(time=13.0, connection=1, address="10.0.0.2")]
    assert reached([*publishes(1.0, 4), *other, *publishes(10.0, 2), *opens, *ping]) == (3, 7, 7)


def test_limits_are_twice_what_calm_homes_reach() -> None:
    assert limits([(1, 50, 60), (4, 20, 90)]) == (4 * MARGIN, 50 * MARGIN, 90 * MARGIN)


@pytest.mark.parametrize(
    ("held", "events"),
    [
        ((99.0, 10.0, 99.0), publishes(1.0, 10)),
        ((99.0, 99.0, 10.0), publishes(1.0, 10)),
        ((99.0, 10.0, 99.0), publishes(9.0, 10) + publishes(10.0, 10)),  # in two windows
        ((99.0, 10.0, 99.0), publishes(1.0, 10) + publishes(2.0, 10, "10.0.0.3")),
    ],
)
def test_what_reaches_a_limit_is_calm(
    held: tuple[float, float, float], events: list[AnyEvent]
) -> None:
    assert accused(ThreeCounters(held), events) == []


def test_the_event_that_passes_a_limit_is_an_alarm_at_once() -> None:
    events = publishes(1.0, 20)
    assert accused(ThreeCounters((99.0, 10.0, 99.0)), events) == [(events[10].time, "10.0.0.2")]
    assert accused(ThreeCounters((99.0, 99.0, 10.0)), events) == [(events[10].time, "10.0.0.2")]
    opens: list[AnyEvent] = [
        Opened(time=n / 10, connection=n, address="10.0.0.2") for n in range(20)
    ]
    assert accused(ThreeCounters((10.0, 99.0, 99.0)), opens) == [(1.0, "10.0.0.2")]


def test_what_goes_on_is_one_alarm_and_what_comes_back_is_another() -> None:
    goes_on = [event for n in range(30) for event in publishes(10.0 * n, 20)]
    rival = ThreeCounters((99.0, 10.0, 99.0))
    assert len(accused(rival, goes_on)) == 1
    back = 300.0 + CALM_AFTER
    assert [time for time, _ in accused(rival, publishes(back, 20))] == [0.5, back + 0.5]


# --- principal components ------------------------------------------------------------------


def samples(rng: np.random.Generator, subjects: int, *, host: bool, earned: bool) -> Samples:
    """Vectors along two directions, with a little noise."""
    rows = 40 * subjects
    ways = np.random.default_rng(7).random((2, len(NAMES)))
    x = 0.5 + 0.4 * (rng.random((rows, 2)) - 0.5) @ (ways - 0.5)
    x += 0.01 * rng.standard_normal(x.shape)
    context = np.zeros((rows, len(CONTEXT)), np.float32)
    context[:, 0], context[:, 2] = host, earned
    return Samples(
        x=x.astype(np.float32),
        seen=np.ones(x.shape, bool),
        context=context,
        time=np.tile(np.arange(40) * 1000.0, subjects),
        subject=np.repeat(np.arange(subjects) + 1000 * host + 100 * earned, 40),
    )


def calm_of_all(seed: int) -> Samples:
    rng = np.random.default_rng(seed)
    parts = [
        samples(rng, 5, host=host, earned=earned)
        for host in (False, True)
        for earned in (False, True)
    ]
    columns = ("x", "seen", "context", "time", "subject")
    return Samples(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in columns})


def test_components_reconstruct_calm_and_not_what_strays_from_it() -> None:
    calm, other = calm_of_all(1), calm_of_all(2)
    found = components(calm, other, weeks=1.0)
    assert found.axes.shape == (COMPONENTS, len(NAMES) + len(CONTEXT))
    np.testing.assert_allclose(found.axes @ found.axes.T, np.eye(COMPONENTS), atol=1e-4)
    scores = found.scores(other.x, other.seen, other.context)
    inputs = network_inputs(other.x, other.seen, other.context)
    back = (inputs - found.mean) @ found.axes.T @ found.axes + found.mean
    strays = other.x - back[:, : len(NAMES)]
    wanted = np.mean(np.where(strays < 0.0, QUIETER, 1.0) * strays**2, axis=1)
    np.testing.assert_allclose(scores, wanted, rtol=1e-3, atol=1e-7)

    # Calm homes stay within their budget, and more than the cap is never less.
    assert (found.thresholds > 0.0).all()
    for role, host in ((Role.CLIENT, 0.0), (Role.HOST, 1.0)):
        for earned in (False, True):
            mine = (other.context[:, 0] == host) & (other.context[:, 2] == earned)
            held = found.thresholds_of(role, np.array([earned]))
            assert (scores[mine] < AT_ONCE * held).all()  # each comes alone
    far = np.repeat(other.x[:1], 3, axis=0)
    far[:, 3] = (1.0, 5.0, 25.0)
    odd = found.scores(far, other.seen[:3], other.context[:3])
    assert odd[0] < odd[1] < odd[2]


def test_what_is_not_seen_does_not_count() -> None:
    found = components(calm_of_all(1), calm_of_all(2), weeks=1.0)
    x, context = calm_of_all(3).x[:2], calm_of_all(3).context[:2]
    seen = np.ones(x.shape, bool)
    seen[:, :10] = False
    x[1], context[1] = x[0], context[0]
    x[1, :10] = 30.0
    first, second = found.scores(x, seen, context)
    assert first == second


def test_calm_without_one_of_the_mask_classes_teaches_no_threshold() -> None:
    rng = np.random.default_rng(1)
    with pytest.raises(ValueError, match="of a client with a normal"):
        components(calm_of_all(1), samples(rng, 2, host=False, earned=False), weeks=1.0)


@pytest.mark.parametrize("rounds", [1, 64])
def test_pca_finds_a_flood_however_many_rounds_it_scores_at_once(
    taught: Taught, monkeypatch: pytest.MonkeyPatch, rounds: int
) -> None:
    monkeypatch.setattr(rivals, "_ROUNDS", rounds)
    home = make_home(SEED, family="test", size=4)
    attack = Attacker(home, 1, start=70_300.0, duration=10.0).flood(rate=3000.0)
    events = record(home, [attack], start=70_000.0, duration=320.0, finish=False)
    pca = PcaRival(taught.components)
    told = watch(Watcher(open_model(DEFAULT), start=70_000.0, judges=[pca]), events)
    mine = [one for one in alarms(told["PCA"], "PCA", 70_300.0) if one.time > 0.0]
    assert {one.address for one in mine} == attack.truth.addresses
    assert mine[0].time <= 3.0
    assert pca.spread.vectors > 300
    assert pca.spread.above >= 10


def test_evidence_is_not_handed_down_with_a_row() -> None:
    persistence = Persistence()
    score, held, fresh = np.array([0.4], np.float32), np.array([0.1]), np.array([True])
    first = HostSubject("10.0.0.1", 0, 0.0)
    persistence.judge(Role.HOST, [first], score, held, fresh, 1.0)
    persistence.judge(Role.HOST, [HostSubject("10.0.0.2", 0, 0.0)], score, held, fresh, 2.0)
    assert persistence.story.alerts == []
    persistence.judge(Role.HOST, [first], score, held, fresh, 3.0)  # it came back, and starts anew
    assert persistence.story.alerts == []
    persistence.judge(Role.HOST, [first], score, held, fresh, 4.0)
    assert [one.address for one in persistence.story.alerts] == ["10.0.0.1"]


# --- the paper's threshold, and how scores are spread --------------------------------------


def test_the_same_scores_against_the_papers_threshold() -> None:
    home = make_home(SEED, family="test", size=4)
    model = open_model(DEFAULT)
    other, until = OtherThresholds(model.card), OtherThresholds(model.card, until=70_000.0)
    until.method = "none of it"
    seen: list[float] = []

    def watched(judged: object) -> None:
        round_ = cast("SimpleNamespace", judged)
        seen.extend((round_.scores / round_.thresholds).tolist())

    watcher = Watcher(model, start=70_000.0, judges=[other, until], observers=[watched])
    told = watch(watcher, record(home, start=70_000.0, duration=1200.0, finish=False))
    assert max(seen) < 1.0
    assert all(alert.score is not None for alert in told["mean + std"])
    assert told["none of it"] == []


def test_equal_budgets_do_not_mix_up_the_papers_thresholds() -> None:
    masks = ("client/new", "client/learned", "host/new", "host/learned")
    held = {f"all/{mask}": {"budget": 0.5, "mean-std": 0.1 * n} for n, mask in enumerate(masks, 1)}
    rival = OtherThresholds(cast("Card", SimpleNamespace(thresholds=held)))
    asked: list[list[float]] = []
    spy = SimpleNamespace(judge=lambda *args: asked.append(args[3].tolist()))
    rival._persistence = cast("Persistence", spy)
    for role in (Role.CLIENT, Role.HOST):
        state = SimpleNamespace(earned=np.array([True, False]))
        batch = SimpleNamespace(role=role, state=state, subjects=[])
        scores, both = np.ones(2, np.float32), np.full(2, 0.5)
        judged = SimpleNamespace(time=1.0, batch=batch, scores=scores, thresholds=both, fresh=both)
        rival.judge(cast("Any", judged))
    assert asked == [pytest.approx([0.2, 0.1]), pytest.approx([0.4, 0.3])]


def test_a_spread_counts_each_vector_once() -> None:
    spread = Spread()
    spread.add(np.array([0.0, 1e-9, 0.5, 1.0]))
    spread.add(np.array([1.01, 3.0, 1e9], np.float32))
    assert (spread.vectors, spread.above) == (7, 3)
    assert spread.highest == pytest.approx(1e9)
    assert len(spread.bins) == (HIGHEST - LOWEST) * PER_DOUBLING
    assert (spread.bins[0], spread.bins[-1]) == (2, 1)
    assert spread.bins[-LOWEST * PER_DOUBLING] == 2  # 1.0 and 1.01
    assert Spread().highest == 0.0


def test_a_roc_of_what_is_apart_and_of_what_is_alike() -> None:
    low, high = Spread(), Spread()
    low.add(np.geomspace(0.01, 0.9, 5000))
    high.add(np.geomspace(1.5, 90.0, 100))
    apart = roc("ours", low.bins, alike(high.bins))
    assert apart.area == pytest.approx(1.0)
    assert len(apart.false) == len(apart.true) <= 200
    assert (apart.false[0], apart.true[0], apart.false[-1], apart.true[-1]) == (0.0, 0.0, 1.0, 1.0)
    assert roc("ours", low.bins, alike(low.bins)).area == pytest.approx(0.5)
    with pytest.raises(ValueError, match="calm and of attacks"):
        roc("ours", low.bins, Spread().bins)
