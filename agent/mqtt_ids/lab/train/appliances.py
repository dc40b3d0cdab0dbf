"""Appliances that publish a state at a pace of their own and more while they work.

One table: each line is a kind of device with ranges, and each home draws its own from them.
"""

import msgspec

from mqtt_ids.lab.client import Outage, Profile, Reaction
from mqtt_ids.lab.habits import Episode, Every, Follows, Habit, Say, Sporadic
from mqtt_ids.lab.household import Household, Span
from mqtt_ids.lab.train.firmware import by_the_clock, room, wifi_outages


class Appliance(msgspec.Struct, frozen=True, kw_only=True):
    """Ranges (low, high) of a kind. Periods and lengths in seconds, sizes in bytes."""

    names: tuple[str, ...]
    parts: tuple[str, ...]  # topics below the device's own
    size: Span
    period: Span
    works_per_day: Span | None = None
    works_for: Span = (60.0, 600.0)
    works_period: Span = (1.0, 10.0)
    sudden_per_day: Span | None = None
    follows: Follows = "people"
    separate: float = 0.5  # chance that each part is a message of its own
    keep_alives: tuple[int, ...] = (15, 30, 60, 60, 60, 120)
    qos: tuple[int, ...] = (0, 0, 0, 1)
    retained: float = 0.3
    wired: float = 0.2
    listens: float = 0.5


APPLIANCES = {
    "energy-meter": Appliance(
        names=("p1", "meter", "sdm630", "smartmeter", "ir_reader"),
        parts=("power", "energy_import", "energy_export", "voltage_l1", "current_l1", "tariff"),
        size=(3, 12), period=(1.0, 10.0), separate=0.6, listens=0.1, wired=0.4,
    ),
    "solar-inverter": Appliance(
        names=("inverter", "sunspec", "pv", "hoymiles"),
        parts=("ac_power", "dc_power", "yield_day", "temperature", "status"),
        size=(3, 60), period=(1.0, 10.0), follows="sun", separate=0.6, wired=0.5, listens=0.3,
    ),
    "thermostat": Appliance(
        names=("thermostat", "trv", "heating", "hvac"),
        parts=("state", "setpoint", "mode"),
        size=(4, 260), period=(60.0, 900.0), sudden_per_day=(2, 40), retained=0.7,
    ),
    "power-plug": Appliance(
        names=("plug", "socket", "outlet"),
        parts=("power", "energy", "relay"),
        size=(3, 90), period=(2.0, 60.0), works_per_day=(0.5, 6.0), works_for=(300.0, 7_200.0),
        works_period=(0.5, 5.0), sudden_per_day=(0.5, 30.0),
    ),
    "ev-charger": Appliance(
        names=("openevse", "wallbox", "goe"),
        parts=("amp", "wh", "temp", "state", "pilot", "voltage"),
        size=(1, 120), period=(10.0, 300.0), works_per_day=(0.2, 1.5),
        works_for=(3_600.0, 30_000.0),
        works_period=(1.0, 30.0), retained=0.6, wired=0.4,
    ),
    "weather-station": Appliance(
        names=("weather", "ecowitt", "ws2900", "davis"),
        parts=("outtemp", "humidity", "wind", "gust", "rain", "pressure", "uv"),
        size=(3, 900), period=(2.5, 300.0), separate=0.5, listens=0.0,
    ),
    "doorbell": Appliance(
        names=("doorbell", "bell"),
        parts=("state", "snapshot"),
        size=(20, 60_000), period=(300.0, 3_600.0), sudden_per_day=(0.5, 15.0), separate=1.0,
    ),
    "media-player": Appliance(
        names=("kodi", "squeezelite", "cast", "sonos2mqtt"),
        parts=("state", "title", "progress"),
        size=(5, 700), period=(600.0, 3_600.0), works_per_day=(0.5, 4.0),
        works_for=(900.0, 9_000.0),
        works_period=(1.0, 30.0), retained=0.5,
    ),
    "vacuum": Appliance(
        names=("vacuum", "roborock", "valetudo"),
        parts=("state", "attributes", "map"),
        size=(100, 30_000), period=(60.0, 900.0), works_per_day=(0.3, 1.5),
        works_for=(900.0, 5_400.0), works_period=(0.7, 10.0), separate=0.8,
    ),
    "robot-mower": Appliance(
        names=("mower", "worx", "landroid"),
        parts=("status", "battery", "position"),
        size=(20, 1_500), period=(300.0, 1_200.0), works_per_day=(0.3, 2.0),
        works_for=(1_800.0, 10_000.0), works_period=(2.0, 60.0), follows="sun",
    ),
    "printer": Appliance(
        names=("octoprint", "klipper", "ender"),
        parts=("progress", "temperature/bed", "temperature/tool0", "event"),
        size=(30, 500), period=(30.0, 600.0), works_per_day=(0.1, 1.2),
        works_for=(1_800.0, 40_000.0),
        works_period=(0.5, 5.0), separate=0.8, wired=0.5,
    ),
    "alarm-panel": Appliance(
        names=("alarm", "envisalink", "paradox"),
        parts=("state", "zone", "partition", "trouble"),
        size=(4, 120), period=(30.0, 600.0), sudden_per_day=(30.0, 1_500.0), retained=0.8,
        qos=(0, 1, 1, 2),
    ),
    "irrigation": Appliance(
        names=("sprinkler", "opensprinkler", "garden-valve"),
        parts=("station", "flow", "weather"),
        size=(10, 300), period=(600.0, 3_600.0), works_per_day=(0.3, 2.0),
        works_for=(300.0, 3_600.0),
        works_period=(5.0, 60.0), follows="sun",
    ),
    "air-quality": Appliance(
        names=("air", "sds011", "co2meter"),
        parts=("pm25", "pm10", "co2", "voc"),
        size=(2, 80), period=(5.0, 300.0), listens=0.1,
    ),
    "ups": Appliance(
        names=("ups", "nut"),
        parts=("load", "charge", "runtime", "status", "input_voltage"),
        size=(2, 20), period=(5.0, 60.0), wired=1.0, separate=0.9, listens=0.0, retained=0.6,
    ),
}  # fmt: skip


def appliance(house: Household, kind: str) -> None:
    """Add one appliance of this kind."""
    table, rng = APPLIANCES[kind], house.rng
    name = rng.choice(table.names)
    mark = rng.choice((house.token(3), house.hexes(6), str(rng.randint(1, 9))))
    base = rng.choice((f"{name}/{mark}", f"{room(house)}/{name}{mark}", f"{name}_{mark}"))
    qos, retain = rng.choice(table.qos), house.chance(table.retained)
    low = house.between(table.size[0], table.size[1] / 1.5)
    high = low + (table.size[1] - low) * rng.random() ** 2
    if house.chance(table.separate):
        parts = rng.sample(table.parts, k=rng.randint(1, len(table.parts)))
        says = tuple(
            house.say(f"{base}/{part}", low, high, qos=qos, retain=retain) for part in parts
        )
    else:
        total = high * len(table.parts) * 0.7
        says = (house.say(base, total * 0.9, total * 1.1, qos=qos, retain=retain),)
    set_topic = f"{base}/set"
    listens = house.chance(table.listens)
    if listens:
        house.commands.append(house.say(set_topic, 2, 40))
    login = house.login(name)
    will = f"{base}/availability" if house.chance(0.5) else None
    hello = () if will is None else (house.say(will, 6, 7, retain=True),)
    answer = Reaction(says=says, after=(0.05, 1.5))
    wired = house.chance(table.wired)
    profile = Profile(
        client_id=f"{name}-{mark}" if house.chance(0.6) else f"{name}{house.hexes(8)}",
        username=login[0],
        password=login[1],
        keep_alive=rng.choice(table.keep_alives),
        clean=house.chance(0.85),
        will_topic=will,
        filters=(set_topic,) if listens else (),
        hello=hello,
        reactions={set_topic: answer} if listens else {},
        outages=(Outage(mean=house.rare(3e6), down=(5.0, 120.0)),)
        if wired
        else wifi_outages(house),
        retry=(house.between(0.5, 10.0), house.between(10.0, 120.0)),
        boots=(3.0, 60.0),
        pings_always=house.chance(0.5),
        ping_at=rng.choice((0.5, 0.75, 1.0)),
    )
    address = house.server_address() if wired else house.lan_address()
    topics = [say.topic for say in says]
    house.add(kind, profile, _habits(house, table, says), address=address, topics=topics)


def _habits(house: Household, table: Appliance, says: tuple[Say, ...]) -> list[Habit]:
    rng = house.rng
    habits: list[Habit] = [
        *by_the_clock(house, says),
        Every(
            period=house.between(*table.period),
            says=says,
            jitter=rng.choice((0.001, 0.01, 0.1)),
            aligned=house.chance(0.1),
            skips=rng.choice((0.0, 0.0, 0.4)),
            gap=rng.choice((0.0, 0.0, 0.01)),
            follows=table.follows if table.follows == "sun" else "clock",
        ),
    ]
    if table.works_per_day is not None:
        habits.append(
            Episode(
                per_day=house.between(*table.works_per_day),
                lasts=table.works_for,
                period=house.between(*table.works_period),
                during=says,
                follows=table.follows,
                jitter=rng.choice((0.02, 0.25)),
            )
        )
    if table.sudden_per_day is not None:
        per_day = house.between(*table.sudden_per_day)
        habits.append(Sporadic(per_day=per_day, says=says[:1], follows=table.follows))
    return habits
