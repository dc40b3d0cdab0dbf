"""Scripts give the same vectors in virtual time as from real clients, a real broker, our sensor.

A small home, each of the five attacks in all the forms that the lab knows, and a fight over a
client id are played both ways, and both streams of events are watched by the same code. Compared
is each subject's vector, in the features' own scale (1 is a feature's cap): the last one, and the
highest that each feature was at a whole second.

On an idle machine no feature differs by more than 0.01, for live scripts make up for the time
that they wait for answers. The tolerance is 0.05, for each feature but one, from what virtual time
gives when everything comes in time or up to 0.2 s late: a busy machine is late, and what is late
may miss a moment of looking, or be folded a second later and so fade less. `host_connections` may
differ by one connection, 0.13 where there are few: of connections that come one after the other,
one is open at the moment of looking, or none is.
"""

import asyncio
import collections
import itertools
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import plugin_tools
import pytest
from numpy.typing import NDArray

from mqtt_ids import features
from mqtt_ids.events import SEES_ALL, AnyEvent, Connected
from mqtt_ids.feature_table import NAMES
from mqtt_ids.lab.actions import Actor
from mqtt_ids.lab.attackers import Attack, Attacker
from mqtt_ids.lab.deeds import Loopback
from mqtt_ids.lab.homes import cast, make_home, shift
from mqtt_ids.lab.household import Home, Resident
from mqtt_ids.lab.live import perform
from mqtt_ids.lab.play import play
from mqtt_ids.watch import S, Watch, _Look, _Side

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.alone]

MORNING = 8 * 3600.0
LASTS = 13.0  # seconds
CONNECT_WITHIN = 6.0  # seconds; the broker then closes what is half-open, both ways
TOLERANCE = 0.05
LATE = 0.2  # seconds
BY_CHANCE = {"anything"}
FIGHTS = 8
WIDER = {"host_connections": 0.13}
ROOM = np.array([WIDER.get(name, TOLERANCE) for name in NAMES])
UNLIKE_CALM = 0.25  # by how much an attack must exceed what any calm client or host does

# Each attack, and the feature that tells of it most plainly.
ATTACKS = {
    "flood": "host_publish_rate_10s",
    "dos": "host_new_ids_10s",
    "dos, storm": "host_short_lives_1m",
    "slowite": "host_extreme_held",
    "slowite, half-open": "host_half_open",
    "slowite, empty": "host_early_closes_10s",
    "malformed": "host_malformed_10s",
    "brute-force": "host_guesses_10s",
}

Vector = NDArray[np.float32]
Subject = tuple[str, int]  # an address, and a client's place among those new there; 0 is the host
Vectors = dict[Subject, Vector]


class Watched(msgspec.Struct, frozen=True):
    """What is known of each subject: its last vector, and the highest of each feature."""

    end: Vectors
    peak: Vectors


class Expected(msgspec.Struct, frozen=True):
    """The vectors of virtual time, when everything comes in time and when it comes late."""

    prompt: Watched
    late: Watched


class Performance(msgspec.Struct, frozen=True):
    """The same scene in virtual time, live, and in virtual time with attacks half as strong."""

    virtual: Expected
    live: Watched
    half: Expected
    addresses: dict[str, str]  # of each attack
    fought_over: str  # the address of whose client id is taken again and again


def open_home() -> Home:
    """A small home where everybody has an address of his own, and may enter without a name.

    Nobody is in it who draws what to say after what he has missed: that depends on milliseconds.
    Who loses his id in it takes it back within a second or two.
    """
    homes = (make_home(seed, size=8) for seed in itertools.count(1))
    return next(
        home
        for home in homes
        if home.network == "lan"
        and all(who.username is None for who in home.residents)
        and all(who.kind not in BY_CHANCE for who in home.residents)
        and fights(home) >= FIGHTS
    )


def fights(home: Home) -> int:
    """How often the id that is fought over changes hands; its owner may be slow to come back."""
    by = Attacker(home, 1, start=MORNING + 1.3, duration=LASTS, victim=owner(home))
    events = play(cast(home, [by.takeover(patience=1.5)]), home.rules, start=MORNING,
                  end=MORNING + LASTS)  # fmt: skip
    ids = [event.client_id for event in events if isinstance(event, Connected)]
    return ids.count(owner(home).client_id)


def owner(home: Home) -> Resident:
    """Whose id is fought over."""
    return next(one for one in home.residents if one.stays)


def scene(home: Home, strength: float = 1.0) -> tuple[list[Actor], dict[str, str]]:
    """Who acts, all attacks at once; and the address of each attack."""

    def at(start: float, end: float) -> Attacker:
        number, when = next(numbers), MORNING + start
        return Attacker(home, number, start=when, duration=end - start, victim=owner(home))

    numbers = itertools.count(1)
    attacks: dict[str, Attack] = {
        "flood": at(2.3, 20).flood(rate=100 * strength),
        "dos": at(2.3, 20).dos(connections=round(30 * strength), rate=4, opens_in=3),
        "dos, storm": at(2.3, 11.5).dos(connections=1, rate=8 * strength, mode="storm"),
        "slowite": at(1.3, 11.5).slowite(connections=round(20 * strength), opens_in=2),
        "slowite, half-open": at(1.3, 20).slowite(
            connections=round(12 * strength), opens_in=2, mode="half-open"
        ),
        "slowite, empty": at(1.3, 9.5).slowite(
            connections=round(8 * strength), opens_in=2, mode="empty"
        ),
        "malformed": at(1.3, 11.5).malformed(rate=8 * strength),
        "brute-force": at(1.3, 11.5).brute_force(gap=1 / strength),
        "takeover": at(1.3, 20).takeover(patience=1.5 / strength),
    }
    addresses = dict(zip(attacks, home.spare_addresses, strict=False))
    actors = list(cast(home))
    for kind, attack in attacks.items():
        actors += [msgspec.structs.replace(one, address=addresses[kind]) for one in attack.actors]
    return actors, addresses


def virtually(actors: Iterable[Actor], home: Home, address_of: Loopback) -> Expected:
    rules = msgspec.structs.replace(home.rules, connect_timeout=CONNECT_WITHIN)
    end = MORNING + LASTS
    events = [
        msgspec.structs.replace(event, address=address_of(event.address))
        for event in play(actors, rules, start=MORNING, end=end, finish=False)
    ]
    return Expected(watched(events), watched(list(shift(events, LATE))))


async def really(actors: Iterable[Actor], folder: Path, address_of: Loopback) -> Watched:
    async with plugin_tools.home(folder) as broker:
        broker.plugin.hurry(CONNECT_WITHIN)
        began = time.monotonic()
        await perform(
            actors, port=broker.port, start=MORNING, duration=LASTS, address_of=address_of
        )
        return watched(list(shift(broker.recorder.events, MORNING - began)))


def watched(events: list[AnyEvent]) -> Watched:
    """Everybody's vectors, looked at once a second."""
    watch = Watch(sees=SEES_ALL, max_clients=1_000)
    left, places = collections.deque(events), arrivals(events)
    found = Watched({}, {})
    for second in range(1, int(LASTS) + 1):
        now = MORNING + second
        while left and left[0].time <= now:
            watch.feed(left.popleft())
        watch.fold(now)
        for who, vector in vectors(watch, now):
            subject = places.get(who, (who, 0))
            found.end[subject] = vector
            found.peak[subject] = np.fmax(vector, found.peak.get(subject, vector))
    return found


def arrivals(events: Iterable[AnyEvent]) -> dict[str, Subject]:
    """Each client id as a place in the order of first CONNECTs at an address.

    Made-up ids differ from one performance to the next; their order does not.
    """
    places: dict[str, Subject] = {}
    counts: collections.Counter[str] = collections.Counter()
    for event in events:
        if isinstance(event, Connected) and event.client_id and event.client_id not in places:
            counts[event.address] += 1
            places[event.client_id] = event.address, counts[event.address]
    return places


def vectors(watch: Watch, now: float) -> Iterator[tuple[str, Vector]]:
    """The vector of each client by id, and host by address; NaN where a feature is masked."""
    clients, hosts = list(watch.tally.clients), list(watch.tally.hosts)
    found = now_of(watch._clients, clients, np.empty((len(clients), 0), np.float32), now)
    for client, x, seen in zip(clients, found.x, found.seen, strict=True):
        yield client.id, np.where(seen, x, np.nan)
    gauges = np.array([host.gauges for host in hosts], np.float32)
    found = now_of(watch._hosts, hosts, gauges, now)
    for host, x, seen in zip(hosts, found.x, found.seen, strict=True):
        yield host.address, np.where(seen, x, np.nan)


def now_of(side: _Side[S], subjects: list[S], gauges: Vector, now: float) -> features.Vectors:
    rows = np.array([subject.row for subject in subjects], np.intp)
    look = _Look(subjects, rows, side.windows.read(rows, now))
    return side.layout.vectors(side.state(look, gauges, now))


def differences(expected: Expected, live: Watched, subjects: Iterable[Subject]) -> list[str]:
    """Where `live` is further from what is expected than the tolerance, in words."""
    prompt, late = expected.prompt, expected.late
    return [
        f"{subject} {name} {when}: {min(a, b):.3f} to {max(a, b):.3f}, live {c:.3f}"
        for subject in subjects
        for when, x, y, z in (
            ("at the end", prompt.end[subject], late.end[subject], live.end[subject]),
            ("at its peak", prompt.peak[subject], late.peak[subject], live.peak[subject]),
        )
        for name, a, b, c, room in zip(NAMES, x, y, z, ROOM, strict=True)
        if np.isnan(a) != np.isnan(c) or c < min(a, b) - room or c > max(a, b) + room
    ]


def common(performance: Performance, addresses: set[str]) -> list[Subject]:
    """The subjects at `addresses`; nearly all of them are in both performances."""
    watched_ones = (performance.virtual.late, performance.live)
    virtual, live = ({s for s in each.end if s[0] in addresses} for each in watched_ones)
    both = virtual & live
    assert {(address, 0) for address in addresses} <= both
    assert len(both) >= 0.9 * len(virtual | live)
    return sorted(both)


@pytest.fixture(scope="module")
def performance(tmp_path_factory: pytest.TempPathFactory) -> Performance:
    home, address_of = open_home(), Loopback()
    # A scene is made anew each time: attackers draw their ids and topics while they act.
    actors, addresses = scene(home)
    virtual = virtually(actors, home, address_of)
    actors, _ = scene(home)
    live = asyncio.run(really(actors, tmp_path_factory.mktemp("state"), address_of))
    actors, _ = scene(home, strength=0.5)
    half = virtually(actors, home, address_of)
    return Performance(
        virtual,
        live,
        half,
        {kind: address_of(address) for kind, address in addresses.items()},
        address_of(owner(home).address),
    )


def calm(performance: Performance) -> set[str]:
    addresses = {address for address, _ in performance.virtual.prompt.end}
    return addresses - set(performance.addresses.values())


@pytest.mark.parametrize("kind", ATTACKS)
def test_an_attack_gives_the_same_vectors_in_virtual_time_and_live(
    performance: Performance, kind: str
) -> None:
    subjects = common(performance, {performance.addresses[kind]})
    assert differences(performance.virtual, performance.live, subjects) == []


def test_a_home_gives_the_same_vectors_in_virtual_time_and_live(performance: Performance) -> None:
    subjects = common(performance, calm(performance))
    assert len([subject for subject in subjects if subject[1]]) >= 6
    assert differences(performance.virtual, performance.live, subjects) == []


def test_a_fight_over_an_id_gives_the_same_vectors_in_virtual_time_and_live(
    performance: Performance,
) -> None:
    live, client = performance.live, (performance.fought_over, 1)
    subjects = [client, (performance.addresses["takeover"], 0)]
    assert differences(performance.virtual, live, subjects) == []
    assert live.end[client][NAMES.index("takeovers_10m")] > 0.5
    assert differences(performance.half, live, subjects) != []


@pytest.mark.parametrize("kind", ATTACKS)
def test_what_is_compared_is_an_attack(performance: Performance, kind: str) -> None:
    live, place = performance.live, NAMES.index(ATTACKS[kind])
    most = max(live.peak[address, 0][place] for address in calm(performance))
    assert live.peak[performance.addresses[kind], 0][place] > most + UNLIKE_CALM


@pytest.mark.parametrize("kind", ATTACKS)
def test_half_the_attack_is_not_the_same(performance: Performance, kind: str) -> None:
    host = performance.addresses[kind], 0
    found = differences(performance.half, performance.live, [host])
    assert any(ATTACKS[kind] in difference for difference in found)
