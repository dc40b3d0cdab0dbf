"""Vectors: the table's promises, and each figure by its definition from the raw events."""

import math
from collections import Counter
from collections.abc import Iterable

import numpy as np
import pytest
from core_tools import Pen, calm_home, chaos
from hypothesis import given
from hypothesis import strategies as st

from mqtt_ids import events as ev
from mqtt_ids.counters import Client, Gauge, Host
from mqtt_ids.events import SEES_ALL, Sees
from mqtt_ids.feature_table import CONTEXT, FEATURES, NAMES, Feature, Role, Shape
from mqtt_ids.features import (
    FURTHEST,
    LEAST_UNLIKE,
    OLD,
    OLD_UNKNOWN,
    Layout,
    State,
    capped_linear,
    capped_log,
    document,
    in_units,
    unlikeness,
)
from mqtt_ids.watch import QUIET_EVERY, RESTING_EVERY, RESTS_AFTER, AnyBatch, Watch
from mqtt_ids.windows import HALF_LIVES, Floats, weight

PLACE = {name: place for place, name in enumerate(NAMES)}
WIDTHS = {Role.CLIENT: (Client.COUNT, 0), Role.HOST: (Host.COUNT, Gauge.COUNT)}


def state(
    role: Role, counts: Floats, *, gauges: Floats | None = None, earned: bool = False
) -> State:
    width, gauge_width = WIDTHS[role]
    n = len(counts)
    return State(
        counts=counts,
        gauges=np.zeros((n, gauge_width), np.float32) if gauges is None else gauges,
        rates=np.full((n, width), 0.01, np.float32),
        earned=np.full(n, earned),
        ages=np.full(n, 100.0),
    )


def empty(role: Role, n: int = 1) -> Floats:
    return np.zeros((n, WIDTHS[role][0], len(HALF_LIVES)), np.float32)


# --- the table -----------------------------------------------------------------------------


def test_names_are_unique_and_say_the_role() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert not set(NAMES) & set(CONTEXT)
    for feature in FEATURES:
        said = feature.name.removeprefix("unlike_").startswith("host_")
        assert said == (feature.role is Role.HOST), feature.name


@pytest.mark.parametrize("feature", FEATURES, ids=NAMES)
def test_each_row_keeps_the_tables_promises(feature: Feature) -> None:
    assert feature.why
    assert feature.unit
    assert feature.phrase.count("{}") == 1
    assert feature.needs in SEES_ALL
    assert feature.window is None or feature.window in HALF_LIVES
    columns = WIDTHS[feature.role][feature.window is None]
    assert 0 <= feature.counter < columns
    assert (feature.cap > 0) != feature.learned
    if feature.window is not None and not feature.is_rate and "_1" in feature.name:
        assert feature.phrase.endswith(("in 10 s", "in a minute", "in 10 minutes"))


def test_every_counter_and_gauge_is_used() -> None:
    for role, (counters, gauges) in WIDTHS.items():
        mine = [feature for feature in FEATURES if feature.role is role]
        used = {feature.counter for feature in mine if feature.window is not None}
        held = {feature.counter for feature in mine if feature.window is None}
        assert used == set(range(counters))
        assert held == set(range(gauges))


def test_the_document_has_a_line_for_each_feature() -> None:
    lines = document().splitlines()
    assert len(lines) == len(FEATURES) + 2
    assert all(f"`{name}`" in line for name, line in zip(NAMES, lines[2:], strict=True))
    assert all(line.count("|") == 7 for line in lines)


# --- scales --------------------------------------------------------------------------------


@given(
    st.lists(st.floats(0.0, 1e12), min_size=2, max_size=20),
    st.floats(1.0, 1e9),
)
def test_more_is_never_less(counts: list[float], cap: float) -> None:
    column = np.sort(np.array(counts, np.float32))
    caps = np.full(len(column), cap)
    for scaled in (
        capped_log(column, caps),
        capped_linear(column, caps),
        unlikeness(column, np.full(len(column), 5.0, np.float32), 1.0),
    ):
        assert np.isfinite(scaled).all()
        assert (np.diff(scaled) >= -1e-6).all()
        assert scaled.min() >= 0.0
        assert scaled.max() <= FURTHEST


@pytest.mark.parametrize("scale", [capped_log, capped_linear])
def test_the_cap_is_one_and_beyond_it_goes_the_root(scale: object) -> None:
    counts = np.array([0.0, 700.0, 2800.0, 70_000.0, 7e8], np.float32)
    scaled = scale(counts, np.full(5, 700.0))  # type: ignore[operator]
    assert scaled == pytest.approx([0.0, 1.0, 2.0, 10.0, FURTHEST])


def test_unlikeness_is_a_half_when_alike_and_one_at_forty_times() -> None:
    counts = np.array([0.0, 999.0, 39_999.0], np.float32)
    scaled = unlikeness(counts, np.full(3, 999.0, np.float32), 1.0)
    assert scaled == pytest.approx([LEAST_UNLIKE, 0.5, 1.0], abs=0.01)


def test_the_unusual_busyness_of_the_idle_counts_less_than_that_of_the_busy() -> None:
    once_where_none = unlikeness(np.ones(1, np.float32), np.zeros(1, np.float32), 1.0)
    assert once_where_none[0] < 0.6


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("factor", [1e2, 1e4, 1e6])
def test_a_flood_that_grows_never_lowers_a_value(role: Role, factor: float) -> None:
    layout = Layout(role, SEES_ALL)
    counts = empty(role, 2)
    counts[0], counts[1] = 10.0, 10.0 * factor
    x = layout.vectors(state(role, counts, earned=True)).x
    shares = [f.shape in {Shape.SHARE, Shape.MEAN, Shape.UNLIKE_MEAN} for f in FEATURES]
    assert (x[1] >= x[0] - 0.1 * np.array(shares)).all()


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("factor", [1e3, 1e6])
def test_a_loud_subject_changes_nothing_for_others(role: Role, factor: float) -> None:
    layout = Layout(role, SEES_ALL)
    counts = empty(role, 2)
    counts[0] = 0.37
    alone = layout.vectors(state(role, counts[:1], earned=True)).x[0]
    counts[1] = factor
    both = layout.vectors(state(role, counts, earned=True)).x
    assert both[1].max() > 1.0
    assert np.array_equal(both[0], alone)


# --- masks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("earned", [False, True])
@given(flags=st.integers(0, 2 ** len(Sees) - 1))
def test_a_feature_is_seen_where_the_sensor_sees_all_it_needs_and_it_is_earned(
    role: Role, flags: int, *, earned: bool
) -> None:
    sees = Sees(flags)
    seen = Layout(role, sees).vectors(state(role, empty(role), earned=earned)).seen[0]
    wanted = [
        feature.role is role and feature.needs in sees and (earned or not feature.learned)
        for feature in FEATURES
    ]
    assert seen.tolist() == wanted


@pytest.mark.parametrize("role", list(Role))
def test_one_role_never_shows_in_the_columns_of_the_other(role: Role) -> None:
    full = empty(role) + 100.0
    vectors = Layout(role, SEES_ALL).vectors(state(role, full, earned=True))
    others = [place for place, feature in enumerate(FEATURES) if feature.role is not role]
    assert not vectors.x[0, others].any()
    assert not vectors.seen[0, others].any()


def test_the_context_tells_role_age_and_normal() -> None:
    ages = (0.0, 300.0, OLD_UNKNOWN, 3600.0, OLD, 30 * OLD)
    for role in Role:
        for earned in (False, True):
            told = state(role, empty(role, len(ages)), earned=earned)
            told.ages[:] = ages
            context = Layout(role, SEES_ALL).vectors(told).context
            assert context[:, 0].tolist() == [role is Role.HOST] * len(ages)
            assert context[:, 2].tolist() == [earned] * len(ages)
            rises = np.diff(context[:, 1]) > 0
            assert rises.tolist() == [True, True, earned, earned, False]


# --- figures -------------------------------------------------------------------------------


def test_in_units_undoes_the_scale() -> None:
    for role in Role:
        counts = empty(role, 1) + 3.0
        gauges = np.full((1, WIDTHS[role][1]), 2.0, np.float32)  # no more than a cap
        layout, told = Layout(role, SEES_ALL), state(role, counts, gauges=gauges)
        told.ages[:] = OLD
        x, observed = layout.vectors(told).x, layout.figures(told).observed
        back = in_units(x)
        for place, feature in enumerate(FEATURES):
            if feature.role is not role:
                continue
            if feature.learned:
                assert math.isnan(back[0, place])
            elif feature.shape is not Shape.SHARE:
                assert back[0, place] == pytest.approx(observed[0, place], rel=1e-3), feature.name


def test_usual_figures_are_the_normal_and_unknown_without_one() -> None:
    layout = Layout(Role.CLIENT, SEES_ALL)
    rates = np.zeros((1, Client.COUNT), np.float32)
    rates[0, [Client.PUBLISHES, Client.BYTES, Client.CONNECTS]] = 0.5, 40.0, 1 / 600.0
    for earned in (True, False):
        told = State(
            counts=empty(Role.CLIENT),
            gauges=np.zeros((1, 0), np.float32),
            rates=rates,
            earned=np.array([earned]),
            ages=np.zeros(1),
        )
        usual = layout.figures(told).usual[0]
        if earned:
            assert usual[PLACE["publish_rate_10s"]] == pytest.approx(0.5)
            assert usual[PLACE["unlike_publish_rate_10m"]] == pytest.approx(0.5)
            assert usual[PLACE["payload_mean"]] == pytest.approx(80.0)
            assert usual[PLACE["connects_10m"]] == pytest.approx(weight(600.0) / 600.0)
        else:
            assert np.isnan(usual).all()


def faded(events: Iterable[tuple[float, float]], now: float, half_life: float) -> float:
    """The definition: amounts by their times, each faded by its age."""
    return sum(amount * math.exp2((time - now) / half_life) for time, amount in events)


def covered(half_life: float, age: float) -> float:
    """The definition: the fading window's integral over as long as the subject is known."""
    return weight(half_life) * (1.0 - math.exp2(-age / half_life))


def batch_of(watch: Watch, now: float, role: Role) -> AnyBatch:
    for batch in watch.due(now):
        if batch is not None and batch.role is role:
            return batch
    raise AssertionError("nobody is due")


def test_figures_are_what_the_raw_events_say_by_definition() -> None:
    pen, watch = Pen(1000.0), Watch(sees=SEES_ALL, max_clients=100)
    one, events = pen.joined("one")
    two, more = pen.joined("two")
    written: list[ev.Event] = [*events, *more]
    for second in range(120):
        pen.wait(1.0)
        if second % 2:
            written.append(pen.published(one, "home/one", 50, qos=1))
        if second % 3 == 0:
            written.append(pen.published(two, f"home/two/{second}", 10))
        if second % 30 == 0:
            written.append(pen.subscribed(one, "#"))
    for event in written:
        watch.feed(event)
    pen.wait(1.0)
    batch = batch_of(watch, pen.now, Role.HOST)
    observed = watch.figures(batch, np.array([0])).observed[0]
    publishes = [(e.time, 1.0) for e in written if isinstance(e, ev.Published)]
    sizes = [(e.time, float(e.size)) for e in written if isinstance(e, ev.Published)]
    asked = [(e.time, 1.0) for e in written if isinstance(e, ev.Published) and e.qos]
    wide = [(e.time, 1.0) for e in written if isinstance(e, ev.Subscribed)]
    opens = [(e.time, 1.0) for e in written if isinstance(e, ev.Opened)]
    now = pen.now
    age = now - written[0].time
    defined = {
        "host_publish_rate_10s": faded(publishes, now, 10.0) / covered(10.0, age),
        "host_publish_rate_1m": faded(publishes, now, 60.0) / covered(60.0, age),
        "host_byte_rate_10m": faded(sizes, now, 600.0) / covered(600.0, age),
        "host_opens_10m": faded(opens, now, 600.0),
        "host_wide_filters_10m": faded(wide, now, 600.0),
        "host_payload_mean": faded(sizes, now, 60.0) / faded(publishes, now, 60.0),
        "host_acknowledged_share": faded(asked, now, 600.0) / faded(publishes, now, 600.0),
        "host_connections": 2.0,
    }
    for name, value in defined.items():
        # Events are folded once a second: at most one second young.
        slack = 2.0 ** (1.0 / min(FEATURES[PLACE[name]].window or 600.0, 600.0)) - 1.0
        assert observed[PLACE[name]] == pytest.approx(value, rel=slack + 1e-3), name


@given(chaos())
def test_every_value_is_finite_whatever_came(events: list[ev.AnyEvent]) -> None:
    watch = Watch(sees=SEES_ALL, max_clients=100)
    for event in events:
        watch.feed(event)
    for batch in watch.due(events[-1].time + 1.0):
        if batch is None:
            continue
        vectors = batch.vectors
        assert np.isfinite(vectors.x).all()
        assert np.isfinite(vectors.context).all()
        assert vectors.x.dtype == vectors.context.dtype == np.float32
        assert (vectors.context >= 0.0).all()
        assert (vectors.context <= 1.0).all()
        assert (vectors.x >= 0.0).all()
        assert vectors.seen.any(axis=1).all()
        observed = watch.figures(batch, np.arange(len(batch.subjects))).observed
        assert np.isfinite(observed[vectors.seen]).all()


# --- who is due ----------------------------------------------------------------------------


def test_who_has_news_is_due_at_once_and_the_quiet_in_turn() -> None:
    pen, watch = Pen(), Watch(sees=SEES_ALL, max_clients=100)
    numbers = []
    for number in range(30):
        connection, events = pen.joined(f"c{number}", f"10.0.0.{number}")
        numbers.append(connection)
        for event in events:
            watch.feed(event)
    watch.due(pen.now)
    due: list[str] = []
    for _ in range(QUIET_EVERY):
        pen.wait(1.0)
        watch.feed(pen.pinged(numbers[7]))
        batch = watch.due(pen.now)[0]
        assert batch is not None
        names = [client.id for client in batch.subjects]
        assert len(set(names)) == len(names)
        assert "c7" in names
        due += names
    assert set(due) == {f"c{number}" for number in range(30)}
    assert len(due) < 30 + 2 * QUIET_EVERY


def test_who_is_gone_for_long_is_hardly_ever_due_until_it_comes_again() -> None:
    pen, watch = Pen(), Watch(sees=SEES_ALL, max_clients=100, rests_after=RESTS_AFTER)
    for name in ("stays", "leaves"):
        connection, events = pen.joined(name, "10.0.0.1")
        for event in events:
            watch.feed(event)
    watch.feed(pen.disconnected(connection))
    watch.feed(pen.closed(connection))
    watch.due(pen.now)
    pen.wait(RESTS_AFTER + 1.0)

    def due(ticks: int) -> Counter[str]:
        met: Counter[str] = Counter()
        for _ in range(ticks):
            pen.wait(1.0)
            batch = watch.due(pen.now)[0]
            met.update(client.id for client in (batch.subjects if batch else ()))
        return met

    assert due(RESTING_EVERY) == {"stays": RESTING_EVERY // QUIET_EVERY, "leaves": 1}
    for event in pen.joined("leaves", "10.0.0.1")[1]:
        watch.feed(event)
    assert due(3 * QUIET_EVERY)["leaves"] >= 3


def test_a_host_with_half_open_connections_is_due_each_second() -> None:
    pen, watch = Pen(), Watch(sees=SEES_ALL, max_clients=100)
    watch.feed(pen.opened("10.0.0.66"))
    for _ in range(20):
        pen.wait(1.0)
        batch = watch.due(pen.now)[1]
        assert batch is not None
        assert [host.address for host in batch.subjects] == ["10.0.0.66"]
    assert batch is not None
    assert batch.vectors.x[0, PLACE["host_half_open"]] > 0.0


def test_the_pace_of_the_caller_between_two_folds_changes_nothing() -> None:
    ends = []
    for ticks in (False, True):
        pen, watch = Pen(), Watch(sees=SEES_ALL, max_clients=100)
        for event in calm_home(pen, 6, 120):
            watch.feed(event)
            if ticks and event.time == int(event.time):
                watch.due(event.time)
        pen.wait(1.0)
        batch = watch.due(pen.now)[1]
        assert batch is not None
        by_address = {
            host.address: row for host, row in zip(batch.subjects, batch.vectors.x, strict=True)
        }
        ends.append(by_address)
    shared = set(ends[0]) & set(ends[1])
    assert shared
    for address in shared:
        assert ends[0][address] == pytest.approx(ends[1][address], abs=0.02)


def test_whether_a_fold_comes_just_before_changes_nothing() -> None:
    pen, at_once, folded = Pen(), *(Watch(sees=SEES_ALL, max_clients=100) for _ in range(2))
    judged = 0
    for event in calm_home(pen, 6, 60):
        at_once.feed(event)
        folded.feed(event)
        if event.time != int(event.time):
            continue
        folded.fold(event.time)
        for batch, same in zip(at_once.due(event.time), folded.due(event.time), strict=True):
            if batch is not None and same is not None:
                assert np.array_equal(batch.vectors.x, same.vectors.x)
                judged += len(batch.subjects)
    assert judged > 60


def test_a_row_given_to_another_starts_from_nothing() -> None:
    pen, watch = Pen(), Watch(sees=SEES_ALL, max_clients=4)
    connection, events = pen.joined("loud", "10.0.0.1")
    for event in events:
        watch.feed(event)
    for _ in range(500):
        watch.feed(pen.published(connection, "t", 1000))
    watch.feed(pen.closed(connection))
    pen.wait(1.0)
    watch.due(pen.now)
    for number in range(5):
        connection, events = pen.joined(f"new-{number}", f"10.0.1.{number}")
        for event in (*events, pen.closed(connection)):
            watch.feed(event)
    assert watch.tally.clients.get("loud") is None
    batch = watch.due(pen.now)[0]
    assert batch is not None
    assert {client.id for client in batch.subjects} <= {f"new-{number}" for number in range(5)}
    assert not batch.state.counts[:, Client.PUBLISHES].any()


def test_the_bytes_of_a_subject_stay_within_the_promise() -> None:
    pen, watch = Pen(), Watch(sees=SEES_ALL, max_clients=5000)
    for host in range(40):
        for number in range(100):
            for event in pen.joined(f"c{host}-{number}", f"10.0.0.{host}")[1]:
                watch.feed(event)
    watch.due(pen.now)
    assert watch.nbytes / 4000 <= 1024
