"""A broker at another site that passes its clients' messages on, as Mosquitto's bridges do."""

from mqtt_ids.lab.client import Outage, Profile
from mqtt_ids.lab.habits import Every, Habit, Say, Sporadic
from mqtt_ids.lab.household import Household
from mqtt_ids.lab.train.firmware import room

_DAY = 86_400.0


def site_bridge(house: Household) -> None:
    """One client with another site's topics: QoS 1, and after an outage all that queued up."""
    rng = house.rng
    site = f"{rng.choice(('cabin', 'barn', 'office', 'parents', 'boat'))}{house.token(2)}"
    habits: list[Habit] = []
    topics: list[str] = []
    for _ in range(round(house.between(2, 40))):
        says = _device(house, site)
        topics += [say.topic for say in says]
        if house.chance(0.7):
            habits.append(Every(period=house.between(10.0, 900.0), says=says, jitter=0.02))
        else:
            habits.append(Sporadic(per_day=house.between(5, 2_000), says=says, one_of=True))
    state = f"$SYS/broker/connection/{site}/state"
    login = house.login("bridge")
    profile = Profile(
        client_id=f"{site}.{rng.choice(('home', 'main', 'up'))}",
        username=login[0],
        password=login[1],
        keep_alive=rng.choice((20, 60, 60, 300)),
        clean=house.chance(0.2),
        will_topic=state if house.chance(0.7) else None,
        filters=(f"{site}/+/set",) if house.chance(0.5) else ("#",),
        subscribe_each=True,
        qos=1,
        hello=(house.say(state, 1, 1, qos=1, retain=True),),
        hello_gap=house.between(0.0005, 0.01),
        queues=rng.choice((100, 1_000, 1_000)),
        outages=(
            Outage(
                mean=house.rare(house.between(0.3, 12.0) * _DAY),
                down=(5.0, house.between(60.0, 20_000.0)),
                manner="vanish",
            ),
        ),
        retry=(5.0, 30.0),
        pings_always=True,
    )
    house.add("site-bridge", profile, habits, address=house.lan_address(), topics=topics)


def _device(house: Household, site: str) -> tuple[Say, ...]:
    base = f"{site}/{room(house)}/{house.token(4)}"
    retain = house.chance(0.3)
    return tuple(
        house.say(f"{base}/{part}", 2, house.between(8, 400), qos=1, retain=retain)
        for part in ("state", "power", "battery")[: house.rng.randint(1, 3)]
    )
