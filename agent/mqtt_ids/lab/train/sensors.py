"""MQTTset's eight sensors: fixed, without login, will, retain or quality of service.

Periodic or random as that testbed's table says; in its chatty form movement comes about three
times a second, smoke and door lock twice.
"""

from mqtt_ids.lab.client import Outage, Profile
from mqtt_ids.lab.habits import Every, Habit, Sporadic
from mqtt_ids.lab.household import Household

_PERIODIC = {
    "temperature": (60.0, 60.0, 120.0, 180.0),
    "light-intensity": (60.0, 120.0, 180.0),
    "humidity": (60.0, 60.0, 120.0, 180.0),
    "fan": (120.0, 180.0),
    "fan-speed": (60.0, 120.0),
}
_RANDOM_PER_DAY = {
    "motion": (60.0, 4_000.0),
    "co-gas": (20.0, 1_000.0),
    "smoke": (5.0, 500.0),
    "door-lock": (8.0, 400.0),
}
_CHATTY_PER_SECOND = {
    "motion": (1.2, 4.5),
    "smoke": (0.8, 3.0),
    "door-lock": (0.8, 3.0),
    "co-gas": (0.02, 0.8),
}
KINDS = (*_PERIODIC, *_RANDOM_PER_DAY)


def fixed_sensor(house: Household, kind: str, *, chatty: bool = False) -> None:
    """Add one of the eight kinds (the fan and its controller count apart)."""
    rng = house.rng
    name = f"{kind.replace('-', rng.choice('_ '))}{house.token(rng.randint(0, 4))}"
    topic = rng.choice((name, f"home/{name}", f"sensors/{kind}", f"{house.token(5)}/{kind}"))
    low = rng.randint(2, 40)
    says = (house.say(topic, low, low + rng.choice((0, 2, 10, 40))),)
    habit: Habit
    if kind in _PERIODIC:
        habit = Every(period=rng.choice(_PERIODIC[kind]), says=says, jitter=0.002)
    elif chatty and kind in _CHATTY_PER_SECOND:
        pace = house.between(*_CHATTY_PER_SECOND[kind])
        if house.chance(0.5):
            habit = Every(period=1.0 / pace, says=says, jitter=rng.choice((0.01, 0.3)))
        else:
            habit = Sporadic(per_day=pace * 86_400.0, says=says, follows="clock")
    else:
        habit = Sporadic(
            per_day=house.between(*_RANDOM_PER_DAY[kind]),
            says=says,
            follows="clock" if chatty else "people",
        )
    login = house.login("sensor")
    profile = Profile(
        client_id=name if house.chance(0.5) else f"{name}-{house.hexes(8)}",
        username=login[0],
        password=login[1],
        keep_alive=rng.choice((30, 60, 60, 60, 120)),
        pings_always=house.chance(0.5),
        outages=(Outage(mean=house.rare(house.between(2e5, 4e6)), down=(2.0, 200.0)),),
        retry=(house.between(0.5, 5.0), 60.0),
    )
    house.add(f"fixed-{kind}", profile, [habit], address=house.lan_address(), topics=[topic])
