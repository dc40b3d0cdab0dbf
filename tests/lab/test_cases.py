"""Every case of normal life is in homes of both families, and has the shape that it should."""

import collections
import random

import pytest

from mqtt_ids.events import AnyEvent, Connected, Opened, Published
from mqtt_ids.lab.actions import Actor, Clock, Restart, Script
from mqtt_ids.lab.broker import Rules
from mqtt_ids.lab.client import Outage, Profile, client
from mqtt_ids.lab.habits import Every, Say
from mqtt_ids.lab.homes import Family, make_home, record
from mqtt_ids.lab.household import Home
from mqtt_ids.lab.life import DAY, HOUR, Life, Rhythm
from mqtt_ids.lab.play import play

BOTH: tuple[Family, ...] = ("train", "test")
SEEDS = range(300)
FEWEST = 6  # homes of SEEDS with a case

# What calm homes must have in them: the case in words, and the names of the lab for it.
CASES: dict[str, frozenset[str]] = {
    "the controller's supervisor probes the port": frozenset({"port-probe"}),
    "the controller restarts": frozenset({"controller-restarts"}),
    "discovery again after its birth": frozenset({"discovery-after-birth"}),
    "a bridge repeats all states after its birth": frozenset({"states-after-birth"}),
    "periodic discovery": frozenset({"periodic-discovery"}),
    "set-up tests": frozenset({"set-up-test"}),
    "the broker restarts": frozenset({"broker-restart"}),
    "the power comes back": frozenset({"power-cut"}),
    "an update over the air, last seen": frozenset({"over-the-air"}),
    "cameras": frozenset({"camera-bursts"}),
    "deep sleepers": frozenset({"deep-sleeper", "sleeping-sensor"}),
    "a user name of many": frozenset({"shared-user"}),
    "an address of many": frozenset({"shared-address"}),
    "a person who reads everything": frozenset({"reads-everything"}),
    "software that reads everything": frozenset({"service-subscribes-all"}),
    "the top of the hour": frozenset({"top-of-the-hour"}),
    "daylight saving": frozenset({"daylight-saving"}),
    "a clock that jumps": frozenset({"clock-jump"}),
    "bridges with long JSON and many topics": frozenset({"long-json-bridge"}),
    "a broker of another site": frozenset({"site-bridge"}),
    "a stale password": frozenset({"stale-password"}),
    "a mistyped password": frozenset({"mistyped-password"}),
    "a roaming phone": frozenset({"roaming"}),
    "a doubled client id": frozenset({"doubled-id"}),
    "a new device": frozenset({"newcomer"}),
    "odd keep-alives": frozenset({"odd-keep-alive"}),
    "people on holiday": frozenset({"holiday"}),
}


@pytest.fixture(scope="module")
def homes() -> dict[Family, list[Home]]:
    return {family: [make_home(seed, family=family) for seed in SEEDS] for family in BOTH}


@pytest.mark.parametrize("family", BOTH)
@pytest.mark.parametrize("case", CASES)
def test_both_families_have_each_case(
    homes: dict[Family, list[Home]], family: Family, case: str
) -> None:
    having = sum(bool(home.cases & CASES[case]) for home in homes[family])
    assert having >= FEWEST


@pytest.mark.parametrize("family", BOTH)
def test_homes_have_3_to_200_clients_and_small_ones_are_oftener(
    homes: dict[Family, list[Home]], family: Family
) -> None:
    sizes = sorted(len(home.residents) for home in homes[family])
    assert 2 <= sizes[0] <= 4
    assert 150 <= sizes[-1] <= 203
    assert sum(size > 100 for size in sizes) >= 2
    assert sizes[150] < 25
    assert sizes[270] < 80


def one_client(profile: Profile, habits: tuple[Every, ...], rhythm: Rhythm | None = None) -> Actor:
    script = client(profile, habits, Life("test", rhythm or Rhythm()))
    return Actor(name="one", address="10.0.0.2", script=script, seed="1")


def published(actors: list[Actor], hours: float) -> list[float]:
    events = play(actors, Rules(), end=hours * HOUR)
    return [event.time for event in events if isinstance(event, Published)]


def some(topic: str = "a/b") -> tuple[Say, ...]:
    return (Say(topic, (3, 9), seed=random.Random(1)),)


@pytest.mark.parametrize("moves", [HOUR, -HOUR])
def test_daylight_saving_moves_what_keeps_local_time_by_an_hour_once(moves: float) -> None:
    rhythm = Rhythm(clock_changes=2.5 * DAY, clock_moves=moves)
    daily = Every(period=DAY, says=some(), aligned=True, jitter=0.0)
    times = published([one_client(Profile(client_id="c"), (daily,), rhythm)], 24 * 5.5)
    assert times == pytest.approx([2 * DAY, *(day * DAY - moves for day in (3, 4, 5))], abs=1.0)
    life = Life("test", rhythm)
    still = Life("test", Rhythm())
    assert all(life.activity(hour * HOUR) == still.activity(hour * HOUR) for hour in range(60))
    later = [hour * 0.25 * HOUR for hour in range(4 * 61, 4 * 140)]
    assert [life.activity(at) for at in later] == [still.activity(at + moves) for at in later]
    assert [life.sun(at) for at in later] == [still.sun(at) for at in later]
    quarterly = Every(period=900.0, says=some(), aligned=True, jitter=0.0)
    times = published([one_client(Profile(client_id="c"), (quarterly,), rhythm)], 24 * 4)
    assert all(time % 900.0 == pytest.approx(0.0, abs=1e-3) for time in times)


def test_a_clock_that_jumps_shifts_its_device_and_may_catch_up() -> None:
    phases, fastest = set(), 0
    for seed in range(20):
        habit = Every(period=300.0, says=some(), aligned=True, jitter=0.0, jumps=6 * HOUR)
        script = client(Profile(client_id="c"), (habit,), Life("test", Rhythm()))
        actor = Actor(name="one", address="10.0.0.2", script=script, seed=str(seed))
        times = published([actor], 24)
        phases |= {round(time % 300.0) for time in times}
        fastest = max(fastest, *collections.Counter(int(time) // 5 for time in times).values())
        assert len(times) == pytest.approx(24 * 12, abs=60)
    assert len(phases) > 20
    assert 3 <= fastest <= 13


def test_a_power_cut_brings_timers_from_power_on_in_step() -> None:
    def cut(_: Clock, __: random.Random) -> Script:
        yield 1_234.0
        yield Restart(20.0, power=True)
        yield DAY

    def plug(number: int, first: float | None) -> Actor:
        habit = Every(period=300.0, says=some(f"p/{number}"), jitter=0.0, first=first)
        profile = Profile(client_id=f"c{number}", boots=(4.0, 6.0))
        return Actor(
            name=f"{number}", address=f"10.0.0.{number}", seed=f"{number}",
            script=client(profile, (habit,), Life("test", Rhythm())),
        )  # fmt: skip

    for first, in_step in ((10.0, True), (None, False)):
        actors = [plug(number, first) for number in range(12)]
        cutter = Actor(name="cut", address="", script=cut, seed="x")
        times = published([*actors, cutter], 1.5)
        busiest = max(collections.Counter(int(at) // 10 for at in times if at > 1_300).values())
        assert (busiest >= 10) == in_step


@pytest.mark.parametrize("family", BOTH)
def test_a_bridge_drains_its_queue_after_an_outage(family: Family) -> None:
    drained = 0
    for seed in range(40):
        home = make_home(seed, family=family, size=20, eventful=30.0)
        bridges = [resident for resident in home.residents if resident.kind == "site-bridge"]
        if not bridges:
            continue
        actor = home.actors[bridges[0].actor]
        events = list(play([actor], home.rules, end=12 * HOUR))
        drained = max(drained, most_at_once(events))
        assert {event.qos for event in events if isinstance(event, Published)} <= {1, 2}
        assert all(event.clean_session for event in events if isinstance(event, Connected)) in {
            True,
            False,
        }
    assert drained >= 60


def most_at_once(events: list[AnyEvent]) -> int:
    """The most messages within ten seconds of a CONNECT."""
    accepted = [event.time for event in events if isinstance(event, Connected)]
    counted = collections.Counter(int(e.time) for e in events if isinstance(e, Published))
    return max((sum(counted[int(at) + n] for n in range(10)) for at in accepted[1:]), default=0)


def test_messages_beyond_the_queue_are_lost_and_the_oldest_are_kept() -> None:
    habit = Every(period=1.0, says=some(), jitter=0.0)
    for queues in (0, 50):
        profile = Profile(
            client_id="c", queues=queues, hello_gap=0.001,
            outages=(Outage(mean=600.0, down=(200.0, 200.1)),),
        )  # fmt: skip
        events = list(play([one_client(profile, (habit,))], Rules(), end=2_000.0))
        assert len([event for event in events if isinstance(event, Opened)]) > 1
        assert (most_at_once(events) > 50) == (queues > 0)
        assert most_at_once(events) <= queues + 12


@pytest.mark.parametrize("family", BOTH)
def test_holidays_last_for_days_and_are_quiet(
    homes: dict[Family, list[Home]], family: Family
) -> None:
    quiet = sum("holiday" in home.cases for home in homes[family])
    assert 0.04 < quiet / len(SEEDS) < 0.4
    life = Life("test", Rhythm(holiday_chance=0.05, holiday_days=(3, 9)))
    away = "".join("-x"[life.on_holiday(day)] for day in range(400))
    trips = away.replace("-", " ").split()
    assert len(trips) > 5
    assert min(map(len, trips)) >= 3
    for day, gone in enumerate(away):
        assert gone == "-" or life.activity(day * DAY + 15 * HOUR) <= Rhythm().away_level
    assert max(life.activity(day * DAY + 20 * HOUR) for day in range(400)) == 1.0


@pytest.mark.parametrize("family", BOTH)
def test_homes_are_in_step_at_the_top_of_the_hour(
    homes: dict[Family, list[Home]], family: Family
) -> None:
    """In some home twice as many clients publish in those seconds as in others."""
    best = 0.0
    for home in homes[family]:
        if "top-of-the-hour" in home.cases and 10 <= len(home.residents) <= 25:
            best = max(best, rush(home))
        if best >= 2.0:
            break
    assert best >= 2.0


def rush(home: Home) -> float:
    """How many clients publish around ten o'clock, as a multiple of those in quiet seconds."""
    around: dict[int, set[str | None]] = collections.defaultdict(set)
    for event in record(home, start=8.9 * HOUR, duration=1.2 * HOUR):
        if isinstance(event, Published) and event.time > 9.8 * HOUR:
            around[int(event.time + 3.0) // 6].add(event.client_id)
    hour = int(10 * HOUR + 3.0) // 6
    others = [len(around[window]) for window in range(hour - 110, hour + 50) if window != hour]
    return len(around[hour]) / (sum(others) / len(others) + 1.0)
