"""Homes of both families, recorded in virtual time."""

import ast
import collections
import itertools
from pathlib import Path

import pytest

import mqtt_ids.lab.train as train_package
import mqtt_ids.lab.unseen as unseen_package
from mqtt_ids.events import AnyEvent, Closed, Connected, Malformed, Opened, Published, Refused
from mqtt_ids.lab.homes import Family, make_home, merge, record, shift
from mqtt_ids.lab.play import play

BAD_CREDENTIALS = 5
MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
MOST_TRIES = 4  # at a password, before somebody knows it or gives up
BOTH: tuple[Family, ...] = ("train", "test")


@pytest.mark.parametrize("family", BOTH)
def test_the_same_seed_gives_the_same_events(family: Family) -> None:
    one, two = (
        list(record(make_home(7, family=family, size=12), start=8 * HOUR, duration=HOUR))
        for _ in range(2)
    )
    assert one == two
    other = list(record(make_home(8, family=family, size=12), start=8 * HOUR, duration=HOUR))
    assert one != other


@pytest.mark.parametrize("family", BOTH)
def test_a_home_can_be_recorded_again(family: Family) -> None:
    home = make_home(3, family=family, size=8)
    assert list(record(home, duration=HOUR)) == list(record(home, duration=HOUR))


@pytest.mark.parametrize(("family", "seed"), list(itertools.product(BOTH, range(6))))
def test_events_are_in_order_and_every_opened_closes(family: Family, seed: int) -> None:
    open_now: set[int] = set()
    accepted: dict[int, str | None] = {}
    taken_over: set[int] = set()
    last = 0.0
    home = make_home(seed, family=family, eventful=30.0)
    for event in record(home, start=100.0, duration=3 * HOUR):
        assert event.time >= last
        last = event.time
        if taken_over:  # the end of who was taken over comes next
            assert isinstance(event, Closed)
            assert {event.connection} == taken_over
            taken_over.clear()
        if isinstance(event, Opened):
            assert event.connection not in open_now
            open_now.add(event.connection)
            continue
        assert event.connection in open_now
        if isinstance(event, Connected):
            taken_over = {one for one, who in accepted.items() if who == event.client_id}
            accepted[event.connection] = event.client_id
        elif isinstance(event, Closed):
            open_now.remove(event.connection)
            accepted.pop(event.connection, None)
        elif not isinstance(event, Refused):
            assert event.client_id == accepted[event.connection]
    assert not open_now


@pytest.mark.parametrize("family", BOTH)
def test_normal_life_breaks_no_protocol_and_only_known_cases_are_refused(family: Family) -> None:
    refused_somewhere = False
    for seed in range(25):
        home = make_home(seed, family=family, size=6, eventful=40.0)
        events = list(record(home, start=18 * HOUR, duration=2 * HOUR))
        assert not [event for event in events if isinstance(event, Malformed)]
        refusals = [event for event in events if isinstance(event, Refused)]
        wrong = [one for one in refusals if one.code == BAD_CREDENTIALS]
        passwords = {one.credential for one in wrong}
        cases = home.cases & {"stale-password", "mistyped-password"}
        assert not passwords or cases
        if cases == {"stale-password"}:
            assert len(passwords) <= 1
        elif cases == {"mistyped-password"}:
            assert max(ever_new(wrong)) <= 2 * MOST_TRIES
        unwanted = [one for one in refusals if one.code != BAD_CREDENTIALS]
        assert not unwanted or "misconfigured" in home.cases
        refused_somewhere = refused_somewhere or bool(passwords)
    assert refused_somewhere


def ever_new(wrong: list[Refused]) -> list[int]:
    """How many passwords were tried in a row, with less than two minutes between two."""
    rows, last = [0], float("-inf")
    for one in wrong:
        if one.time - last > 2 * MINUTE:
            rows.append(0)
        rows[-1] += 1
        last = one.time
    return rows


@pytest.mark.parametrize("family", BOTH)
def test_a_mistyped_password_is_a_few_tries_and_then_the_right_one_or_none(family: Family) -> None:
    rows: collections.Counter[int] = collections.Counter()
    let_in, shared = 0, 0
    for seed in range(60):
        home = make_home(seed, family=family, size=5, eventful=60.0)
        if "mistyped-password" not in home.cases:
            continue
        name = next(a for a in home.actors if a.name.startswith("mistyped-password/"))
        shared += name.address in {resident.address for resident in home.residents}
        events = list(play([name], home.rules, end=12 * HOUR))
        wrong = [event for event in events if isinstance(event, Refused)]
        rows.update(ever_new(wrong)[1:])
        let_in += sum(isinstance(event, Connected) for event in events)
        assert len({one.credential for one in wrong}) >= 0.9 * len(wrong)
    assert {1, 2, 3, 4} <= set(rows)
    # Two spells may fall into the same minutes in homes as eventful as these.
    assert sum(many for tries, many in rows.items() if tries > MOST_TRIES) <= 0.05 * rows.total()
    assert 0.4 * rows.total() < let_in < rows.total()
    assert shared >= 3


@pytest.mark.parametrize("family", BOTH)
def test_homes_differ_a_lot(family: Family) -> None:
    sizes: list[int] = []
    rates: list[float] = []
    cases: set[str] = set()
    networks: set[str] = set()
    for seed in range(40):
        home = make_home(seed, family=family)
        cases |= home.cases
        networks.add(home.network)
        sizes.append(len(home.residents))
        events = itertools.islice(record(home, start=19 * HOUR, duration=600.0), 60_000)
        rates.append(sum(isinstance(event, Published) for event in events) / 600.0)
    assert min(sizes) <= 6
    assert max(sizes) >= 35
    assert min(rates) < 0.3
    assert 5.0 < max(rates) < 100.0
    assert networks == {"lan", "docker", "nat"}
    assert len(cases) >= 28
    assert cases >= {"broker-restart", "port-probe", "set-up-test", "stale-password", "newcomer"}
    assert cases >= {"roaming", "odd-keep-alive", "controller-restarts", "states-after-birth"}


@pytest.mark.parametrize("family", BOTH)
@pytest.mark.parametrize("size", [3, 30, 200])
def test_a_home_has_the_size_asked_for(family: Family, size: int) -> None:
    home = make_home(1, family=family, size=size)
    assert size <= len(home.residents) <= size + 2
    assert len({resident.client_id for resident in home.residents}) >= len(home.residents) * 0.9


def test_behind_one_address() -> None:
    home = next(home for home in map(make_home, range(60)) if home.network == "nat")
    assert len({event.address for event in record(home, duration=HOUR)}) == 1


def test_after_a_restart_all_come_back_within_a_minute() -> None:
    home = next(
        home
        for home in (make_home(seed, size=12, eventful=200.0) for seed in range(30))
        if home.style == "plugs"
    )
    events = list(record(home, duration=4 * HOUR))
    downs = collections.Counter(
        event.time for event in events if isinstance(event, Closed) and event.by == "broker"
    )
    moment, many = downs.most_common(1)[0]
    assert many >= 8
    back = {
        event.client_id
        for event in events
        if isinstance(event, Connected) and moment < event.time < moment + 240.0
    }
    assert len(back) >= many * 0.7


def test_a_birth_makes_the_bridge_repeat_its_states() -> None:
    home = next(
        home
        for home in (make_home(seed, style="zigbee", size=8, eventful=300.0) for seed in range(40))
        if {"home-assistant", "states-after-birth"} <= home.cases
    )
    bridges = {r.client_id for r in home.residents if r.kind == "zigbee-bridge"}
    controller = {r.client_id for r in home.residents if r.kind == "home-assistant"}
    births: list[float] = []
    pace: collections.Counter[int] = collections.Counter()
    for event in record(home, duration=6 * HOUR):
        if isinstance(event, Published):
            if event.client_id in controller and event.topic == "homeassistant/status":
                births.append(event.time)
            if event.client_id in bridges:
                pace[int(event.time)] += 1
    after = [
        max(pace[int(birth) + late] for late in range(26, 45))
        for birth in births
        if birth < 5.9 * HOUR
    ]
    assert len(after) >= 3
    assert max(after) >= 10


def test_people_sleep() -> None:
    home = make_home(2, size=25, style="plugs")
    # Clients of no make may as well be at work by night.
    known = {one.client_id for one in home.residents if one.kind != "anything"}
    night, evening = (
        sum(event.client_id in known for event in record(home, start=hour * HOUR, duration=HOUR))
        for hour in (3, 19)
    )
    assert night < evening


@pytest.mark.parametrize("package", [train_package, unseen_package])
def test_families_share_no_tables(package: object) -> None:
    folder = Path(str(getattr(package, "__file__", ""))).parent
    own = f"mqtt_ids.lab.{folder.name}"
    other = {"train": "mqtt_ids.lab.unseen", "unseen": "mqtt_ids.lab.train"}[folder.name]
    seen: set[str] = set()
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                seen.add(node.module)
                seen.update(f"{node.module}.{alias.name}" for alias in node.names)
            elif isinstance(node, ast.Import):
                seen.update(alias.name for alias in node.names)
    assert any(name.startswith(own) for name in seen)
    assert not [name for name in seen if name.startswith(other) or name == "mqtt_ids.lab.homes"]


def test_shifted_and_merged_streams_stay_in_order() -> None:
    one = list(record(make_home(1, size=4), duration=600.0))
    later = list(shift(one, 100.0, connections=10_000))
    both: list[AnyEvent] = list(merge(one, later))
    assert len(both) == 2 * len(one)
    assert [event.time for event in both] == sorted(event.time for event in both)
    assert later[0].time == one[0].time + 100.0
    assert not {event.connection for event in one} & {event.connection for event in later}
