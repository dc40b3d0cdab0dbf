"""Another broker, far away or in the shed, whose messages come in through one client."""

from mqtt_ids.lab.client import Outage, Profile
from mqtt_ids.lab.habits import Every, Habit, Sporadic
from mqtt_ids.lab.household import Household
from mqtt_ids.lab.unseen.gear import place

_HOUR = 3_600.0


def far_site(house: Household) -> None:
    """A bridge over a mobile link: prefixed topics at QoS 1, a queue that empties in one go."""
    rng = house.rng
    prefix = f"remote/{house.token(4)}"
    habits: list[Habit] = []
    topics: list[str] = []
    for _ in range(round(house.between(3, 60))):
        node = f"{prefix}/{place(house)}/{house.hexes(4)}"
        low = house.between(3, 700)
        says = tuple(
            house.say(f"{node}/{number}", low, low * 1.7, qos=rng.choice((1, 1, 2)))
            for number in range(rng.randint(1, 5))
        )
        topics += [say.topic for say in says]
        habits.append(
            Every(period=house.between(18, 1_500), says=says, one_of=house.chance(0.6), jitter=0.06)
            if house.chance(0.6)
            else Sporadic(per_day=house.between(2, 3_000), says=says, one_of=True, repeats=(1, 3))
        )
    login = house.login("link")
    profile = Profile(
        client_id=rng.choice((f"link-{house.token(5)}", f"{house.token(6)}.bridge-01")),
        username=login[0],
        password=login[1],
        keep_alive=rng.choice((30, 90, 240)),
        clean=house.chance(0.1),
        will_topic=f"{prefix}/alive",
        filters=(f"{prefix}/cmd/#",),
        qos=1,
        hello=(house.say(f"{prefix}/alive", 1, 5, qos=1, retain=True),),
        hello_gap=house.between(0.0008, 0.03),
        queues=rng.choice((200, 1_000, 4_000)),
        outages=(
            Outage(
                mean=house.rare(house.between(5, 400) * _HOUR),
                down=(9.0, house.between(90.0, 8 * _HOUR)),
                manner=rng.choice(("vanish", "drop")),
            ),
        ),
        retry=(2.0, 60.0),
    )
    house.add("site-bridge", profile, habits, address=house.lan_address(), topics=topics)
