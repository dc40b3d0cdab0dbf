"""Cameras: Frigate on the server, and those that publish pictures themselves."""

from mqtt_ids.lab.client import Profile
from mqtt_ids.lab.habits import Episode, Every, Habit
from mqtt_ids.lab.household import Household
from mqtt_ids.lab.train.firmware import room
from mqtt_ids.lab.train.services import service_restarts


def frigate(house: Household) -> None:
    """Frigate: statistics, motion and object counts up to 30 messages/s, JPEG snapshots."""
    house.case("camera-bursts")
    base = "frigate" if house.chance(0.8) else f"nvr{house.token(2)}"
    habits: list[Habit] = []
    stats = (house.say(f"{base}/stats", 1_200, 6_000),)
    habits.append(Every(period=house.rng.choice((15.0, 60.0)), says=stats, jitter=0.005))
    topics = [stats[0].topic]
    for _ in range(house.rng.randint(1, 6)):
        eye = f"{base}/{room(house)}_{house.token(2)}"
        events = (
            house.say(f"{base}/events", 800, 3_000),
            house.say(f"{eye}/person", 1, 2, retain=True),
            house.say(f"{eye}/motion", 2, 3),
        )
        low = house.between(1e4, 6e4)
        jpeg = (
            house.say(f"{eye}/person/snapshot", low, low * house.between(1.2, 5.0), retain=True),
        )
        habits.append(
            Episode(
                per_day=house.between(3, 150),
                lasts=(3.0, 300.0),
                period=house.between(0.1, 3.0),
                during=events,
                begins=jpeg,
                ends=jpeg,
            )
        )
        topics.append(f"{eye}/person")
    login = house.login("frigate")
    profile = Profile(
        client_id=base,
        username=login[0],
        password=login[1],
        keep_alive=60,
        will_topic=f"{base}/available",
        filters=tuple(f"{topic}/set" for topic in topics[1:]) or (f"{base}/restart",),
        subscribe_each=True,
        hello=(house.say(f"{base}/available", 6, 6, retain=True),),
        outages=service_restarts(house),
        pings_always=True,
        boots=(20.0, 90.0),
    )
    house.add("frigate", profile, habits, address=house.server_address(), topics=topics)


def camera(house: Household) -> None:
    """A camera that publishes JPEGs of 10 to 300 kB: now and then, or several a second."""
    house.case("camera-bursts")
    base = f"cam/{room(house)}-{house.token(2)}"
    low = house.between(1e4, 1.2e5)
    picture = (house.say(f"{base}/jpeg", low, min(3e5, low * house.between(1.1, 3.0))),)
    habits: list[Habit] = [
        Episode(
            per_day=house.between(2, 120),
            lasts=(2.0, 120.0),
            period=house.between(0.08, 2.0),
            during=picture,
            begins=(house.say(f"{base}/motion", 2, 40),),
        ),
    ]
    if house.chance(0.5):
        habits.append(Every(period=house.between(2.0, 300.0), says=picture, jitter=0.05))
    login = house.login("camera")
    profile = Profile(
        client_id=f"{house.rng.choice(('esp32cam', 'ipcam', 'doods'))}-{house.hexes(6)}",
        username=login[0],
        password=login[1],
        keep_alive=house.rng.choice((15, 60, 120)),
        outages=service_restarts(house),
        retry=(2.0, 30.0),
    )
    house.add("camera", profile, habits, address=house.lan_address(), topics=[picture[0].topic])
