"""Clients of no make at all: whatever a legitimate device might be, drawn from wide ranges.

Real homes hold devices that nobody listed. Whoever learns a list of makes takes the next one for
an attack; so many clients to train on are drawn from ranges of what devices do at all: how much
they announce when they start, how much they subscribe to, how often and how much they publish.
"""

from typing import Literal

from mqtt_ids.lab.client import Outage, Profile, Reaction
from mqtt_ids.lab.habits import Episode, Every, Follows, Habit, Say, Sporadic
from mqtt_ids.lab.household import Household

_DAY = 86_400.0
# fmt: off
_KEEP_ALIVES = (2, 3, 5, 10, 15, 20, 30, 30, 60, 60, 60, 60, 90, 100, 120, 180, 240, 300, 600,
                1_200, 1_800)
# fmt: on
_FOLLOWS: tuple[Follows, ...] = ("clock", "clock", "people", "sun", "night")
_MANNERS: tuple[Literal["disconnect", "drop", "vanish"], ...] = ("disconnect", "drop", "vanish")
_BUSIEST = 30.0  # messages/s on average
_HEAVIEST = 1.5e6  # bytes/s on average
_LARGEST = 3e5  # bytes


def anything(house: Household) -> None:
    """A client of no known make."""
    rng = house.rng
    base = "/".join(house.token(rng.randint(2, 8)) for _ in range(rng.randint(1, 3)))
    states = _topics(house, base, _many(house, 1, 150))
    hello = _hello(house, base, states)
    habits = [_habit(house, states) for _ in range(rng.choice((1, 1, 1, 2, 2, 3)))]
    if house.chance(0.4):
        habits.append(_volley(house, base, states))
    reactions = {}
    if house.birth_topic is not None and house.chance(0.3):
        after = (house.between(0.1, 5.0), house.between(5.0, 40.0))
        gap = house.between(0.001, 0.05)
        reactions[house.birth_topic] = Reaction(says=hello or tuple(states), after=after, gap=gap)
    filters = tuple(f"{house.token(6)}/{house.token(4)}/+" for _ in range(_many(house, 0, 200)))
    login = house.login(house.token(5))
    profile = Profile(
        client_id=f"{house.token(rng.randint(3, 22))}",
        username=login[0],
        password=login[1],
        keep_alive=rng.choice(_KEEP_ALIVES),
        clean=house.chance(0.7),
        will_topic=f"{base}/status" if house.chance(0.6) else None,
        version=rng.choice((3, 4, 4, 4, 4, 5)),
        filters=(*filters, *reactions),
        subscribe_each=house.chance(0.6),
        qos=rng.choice((0, 0, 1, 2)),
        hello=hello,
        hello_gap=rng.choice((0.0, house.between(0.0005, 0.3))),
        reactions=reactions,
        outages=_outages(house),
        retry=(house.between(0.3, 15.0), house.between(15.0, 120.0)),
        boots=(house.between(1.0, 10.0), house.between(10.0, 200.0)),
        pings_always=house.chance(0.3),
        ping_at=rng.choice((0.5, 0.75, 1.0)),
        queues=_many(house, 10, 1_000) if house.chance(0.1) else 0,
    )
    address = house.server_address() if house.chance(0.4) else house.lan_address()
    topics = [state.topic for state in states]
    house.add("anything", profile, habits, address=address, topics=topics)


def _many(house: Household, low: int, high: int) -> int:
    """So many things: mostly few, sometimes as many as `high`."""
    return round(house.between(low + 1, high + 1)) - 1


def _topics(house: Household, base: str, count: int) -> list[Say]:
    qos, retain = house.rng.choice((0, 0, 0, 1, 1, 2)), house.chance(0.5)
    low = house.between(1, _LARGEST if house.chance(0.15) else 1_500)
    high = low * house.between(1.0, 4.0)
    return [house.say(f"{base}/{n}", low, high, qos=qos, retain=retain) for n in range(count)]


def _hello(house: Household, base: str, states: list[Say]) -> tuple[Say, ...]:
    """What it says when it connects: nothing, a line, its states, or long announcements."""
    rng = house.rng
    low = house.between(2, 1_500)
    retain, qos = house.chance(0.8), rng.choice((0, 0, 1))
    configs = [
        house.say(f"{base}/{n}/config", low, low * 2, retain=retain, qos=qos)
        for n in range(_many(house, 0, 450) if house.chance(0.6) else 0)
    ]
    said = [*configs, *states] if house.chance(0.5) else configs
    if house.chance(0.2):
        rng.shuffle(said)
    if house.chance(0.15):  # readings that it could not send while it was away
        said += rng.choices(states[:3], k=_many(house, 1, 200))
    return tuple(said)


def _habit(house: Household, states: list[Say]) -> Habit:
    """When it publishes: by the clock, by chance, or in episodes; never more than homes bear."""
    rng = house.rng
    some = tuple(rng.sample(states, k=min(len(states), _many(house, 1, 40))))
    size = max(say.pick[0].size for say in some)
    shortest = max(1.0 / _BUSIEST, size / _HEAVIEST)
    follows = rng.choice(_FOLLOWS)
    kind = rng.choice(("every", "sporadic", "episode"))
    if kind == "every":
        one_of = house.chance(0.4)
        period = house.between(shortest * (1 if one_of else len(some)), 3_600.0)
        jitter = rng.choice((0.001, 0.02, 0.3))
        return Every(period=period, says=some, jitter=jitter, one_of=one_of, follows=follows)
    if kind == "sporadic":
        per_day = min(house.between(1, 3e5), _DAY / shortest / 4)
        repeats = (1, rng.choice((1, 1, 2, 5)))
        return Sporadic(per_day=per_day, says=some, follows=follows, one_of=True, repeats=repeats)
    return Episode(
        per_day=house.between(0.1, 60.0),
        lasts=(house.between(2.0, 100.0), house.between(100.0, 6_000.0)),
        period=house.between(shortest * 1.5, 10.0),
        during=some,
        one_of=True,
        follows=follows,
    )


def _volley(house: Household, base: str, states: list[Say]) -> Habit:
    """Much at once, each so often: all it has, or what it never said before."""
    count = _many(house, 1, 300)
    said = states if house.chance(0.5) else _topics(house, f"{base}/all", count)
    volley = tuple(house.rng.sample(said, k=min(len(said), count)))
    period = max(house.between(10, 3_600), len(volley) / _BUSIEST * 4)
    gap = house.rng.choice((0.0, house.between(0.0005, 0.05)))
    jumps = house.rare(house.between(1.0, 60.0) * _DAY) if house.chance(0.3) else None
    return Every(period=period, says=volley, gap=gap, aligned=house.chance(0.3), jumps=jumps)


def _outages(house: Household) -> tuple[Outage, ...]:
    manner = house.rng.choice(_MANNERS)
    mean = house.rare(house.between(0.5, 30.0) * _DAY)
    return (
        Outage(mean=mean, down=(house.between(0.5, 5.0), house.between(5.0, 300.0)), manner=manner),
    )
