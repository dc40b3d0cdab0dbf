"""Devices of the unseen homes: one table of publishers, each with its own scheme of topics."""

import msgspec

from mqtt_ids.lab.client import Outage, Profile, Reaction
from mqtt_ids.lab.habits import Episode, Every, Habit, Say, Sporadic
from mqtt_ids.lab.household import Household, Span

_PLACES = ("eg", "og", "dg", "keller", "terrasse", "stall", "north", "south", "carport", "studio")


class Gear(msgspec.Struct, frozen=True, kw_only=True):
    """Ranges of a kind: `{id}`, `{place}`, `{mac}` in patterns are drawn per device.

    `count` is how many of the `leaves` topics it has (numbered on when there are too few);
    `together` publishes all of them each turn, else one at a time.
    """

    root: str
    leaves: tuple[str, ...]
    ids: str
    size: Span
    period: Span
    count: Span = (1, 4)
    together: float = 0.5
    keep_alives: tuple[int, ...] = (20, 45, 60, 90, 300)
    qos: tuple[int, ...] = (0,)
    retained: float = 0.4
    wired: float = 0.0
    will: str | None = "{root}/lwt"
    busy: tuple[Span, Span, Span] | None = None  # times a day, seconds long, period within
    sudden: Span | None = None  # times a day
    versions: tuple[int, ...] = (4,)


GEAR = {
    "homie-node": Gear(
        root="homie/{place}-{id}", leaves=("climate/degrees", "climate/percent", "node/uptime"),
        ids="{place}-{id}", size=(1, 14), period=(8, 420), count=(2, 9), qos=(1,), retained=1.0,
        will="{root}/$state", keep_alives=(10, 15, 25),
    ),
    "inverter-gateway": Gear(
        root="solar/{id}", leaves=("0/power", "0/voltage", "1/power", "1/yieldday", "status/rssi"),
        ids="OpenDTU-{mac}", size=(1, 9), period=(3.5, 14), count=(12, 60), together=0.9,
        retained=0.8, keep_alives=(10, 30),
    ),
    "boiler-gateway": Gear(
        root="ems/{id}", leaves=("boiler_data", "thermostat_data", "heartbeat", "shower_data"),
        ids="ems-{mac}", size=(80, 1_900), period=(8, 75), count=(2, 4), together=0.6,
    ),
    "utility-meter": Gear(
        root="dsmr/{place}", leaves=("reading/delivered_1", "reading/currently", "meter/phase_l1"),
        ids="slimmelezer-{id}", size=(2, 26), period=(0.8, 14), count=(5, 34), together=0.95,
        wired=0.5, will=None,
    ),
    "battery-bank": Gear(
        root="bms/{id}", leaves=("soc", "cell/1", "cell/2", "cell/3", "current", "temps"),
        ids="jkbms-{mac}", size=(2, 40), period=(0.9, 7), count=(6, 40), together=0.7,
    ),
    "heat-pump": Gear(
        root="panasonic_heat_pump/{id}", leaves=("main/Pump_Flow", "main/Outside_Temp", "stats"),
        ids="heishamon-{id}", size=(1, 420), period=(1.5, 40), count=(5, 70), together=0.1,
        retained=0.9,
    ),
    "room-presence": Gear(
        root="espresense/rooms/{place}", leaves=("telemetry", "phone:{id}", "irk:{mac}",
        "tag:{id}"),
        ids="espresense-{mac}", size=(90, 520), period=(0.25, 4), count=(2, 8), together=0.0,
        keep_alives=(5, 15), will="{root}/status",
    ),
    "beacon-gateway": Gear(
        root="home/OMG_{id}/BTtoMQTT", leaves=("A4C138{id}", "E7{mac}", "C0{mac}", "SYStoMQTT"),
        ids="OMG_{mac}", size=(110, 480), period=(0.4, 9), count=(4, 45), together=0.0,
    ),
    "lora-gateway": Gear(
        root="eu868/gateway/{mac}", leaves=("event/up", "event/stats", "state/conn"),
        ids="chirp-{mac}", size=(160, 1_300), period=(6, 55), count=(2, 3), together=0.05,
        qos=(0, 1), wired=0.8, versions=(4, 5),
    ),
    "mesh-radio": Gear(
        root="msh/EU_868/2/e/{place}", leaves=("!{mac}", "!{id}", "map"),
        ids="meshdev-{id}", size=(40, 260), period=(25, 480), count=(1, 3), together=0.0,
    ),
    "cleaning-robot": Gear(
        root="valetudo/{id}", leaves=("BatteryStateAttribute/level", "StatusStateAttribute/status",
                                      "MapData/map-data-hass", "CurrentStatistics/area"),
        ids="{id}-{mac}", size=(2, 42_000), period=(40, 260), count=(3, 9), retained=1.0,
        qos=(0, 1),
        busy=((0.4, 1.3), (1_100, 6_800), (0.9, 6)),
    ),
    "smart-lock": Gear(
        root="nuki/{mac}", leaves=("lock/state", "battery/level", "lock/json"),
        ids="nukihub{id}", size=(2, 380), period=(240, 2_400), sudden=(3, 45), retained=1.0,
        qos=(1,),
    ),
    "garage-opener": Gear(
        root="ratgdo/{id}", leaves=("status/door", "status/light", "status/obstruction"),
        ids="ratgdo-{mac}", size=(4, 9), period=(500, 4_000), sudden=(2, 26), retained=1.0,
    ),
    "car-logger": Gear(
        root="teslamate/cars/{id}", leaves=("state", "battery_level", "location", "odometer"),
        ids="Elixir.{mac}", size=(2, 70), period=(45, 900), count=(4, 40), retained=1.0, wired=1.0,
        busy=((0.3, 3.5), (500, 5_600), (1.5, 9)), together=0.3,
    ),
    "washing-machine": Gear(
        root="miele/{id}", leaves=("remainingtime", "programphase", "consumption"),
        ids="miele2{id}", size=(3, 640), period=(900, 5_000), wired=0.7,
        busy=((0.2, 1.4), (2_400, 11_000), (4, 55)),
    ),
    "pool-control": Gear(
        root="pool/{place}", leaves=("ph", "orp", "pump/rpm", "water/temp"),
        ids="poolpanel{id}", size=(2, 64), period=(9, 140), busy=((1, 3), (1_800, 16_000), (2, 12)),
    ),
    "aquarium": Gear(
        root="reef/{id}", leaves=("apex/temp", "apex/ph", "apex/salinity", "pumps"),
        ids="reefpi-{id}", size=(4, 190), period=(6, 70), qos=(0, 2), wired=0.3,
    ),
    "grow-tent": Gear(
        root="{place}/tent/{id}", leaves=("vpd", "par", "co2", "drip"), ids="tent_{mac}",
        size=(2, 120), period=(2.2, 95), sudden=(4, 220),
    ),
    "media-box": Gear(
        root="volumio/{place}", leaves=("state", "meta", "volume", "cover"), ids="vol-{id}",
        size=(4, 11_000), period=(700, 3_300), busy=((0.5, 5), (800, 12_000), (4, 26)),
    ),
    "picture-frame": Gear(
        root="frame/{place}{id}", leaves=("brightness", "motion", "photo"), ids="frame-{mac}",
        size=(2, 90), period=(50, 640), sudden=(20, 500), versions=(5,),
    ),
    "blinds": Gear(
        root="somfy/{place}/{id}", leaves=("position", "tilt", "direction"), ids="esp-somfy-{id}",
        size=(1, 5), period=(1_200, 7_000), sudden=(4, 60), retained=0.9,
    ),
    "wind-station": Gear(
        root="wx/{id}", leaves=("wind_dir", "wind_gust", "rain_rate", "lightning"),
        ids="weewx_{mac}", size=(3, 1_400), period=(1.8, 65), count=(3, 28), wired=0.6,
        together=0.5,
    ),
    "bench-sensor": Gear(
        root="s/{id}", leaves=("v",), ids="s{id}", size=(1, 90), period=(0.3, 50), count=(1, 1),
        keep_alives=(60, 65), retained=0.0, will=None,
    ),
}  # fmt: skip


def place(house: Household) -> str:
    """A part of the house."""
    return house.rng.choice(_PLACES)


def losses(house: Household, *, wired: bool) -> tuple[Outage, ...]:
    """How often a device drops off, by the quality of its link."""
    if wired:
        return (Outage(mean=house.rare(house.between(4e5, 5e6)), down=(3, 400), manner="drop"),)
    bad = house.chance(0.12)
    mean = house.between(900, 25_000) if bad else house.rare(house.between(6e4, 3e6))
    reboot = Outage(mean=house.rare(house.between(3e5, 9e6)), down=(6, 45), manner="drop")
    return (Outage(mean=mean, down=(1.5, 240), manner="vanish"), reboot)


def gear(house: Household, kind: str) -> None:
    """Add one device of this kind."""
    table, rng = GEAR[kind], house.rng
    marks = {"id": house.hexes(4), "mac": house.hexes(8), "place": place(house)}
    root = table.root.format(**marks)
    says = _says(house, table, root, marks)
    hello_gap = house.between(0.003, 0.08)
    login = house.login(kind.split("-", maxsplit=1)[0])
    will = None if table.will is None else table.will.format(root=root)
    wired = house.chance(table.wired)
    hello = _hello(house, kind, root, says, will)
    reactions = {}
    if house.chance(0.4):
        order = house.say(f"{root}/set", 1, 30)
        house.commands.append(order)
        reactions[order.topic] = Reaction(says=says[:2], after=(0.03, 0.9))
    if house.birth_topic is not None and hello and house.chance(0.25):
        house.case("discovery-after-birth")
        reactions[house.birth_topic] = Reaction(says=hello, after=(0.2, 12), gap=hello_gap)
    profile = Profile(
        client_id=table.ids.format(**marks),
        username=login[0],
        password=login[1],
        keep_alive=rng.choice(table.keep_alives),
        clean=house.chance(0.75),
        will_topic=will,
        version=rng.choice(table.versions),
        filters=(*reactions, f"{root}/+/set") if reactions else (),
        qos=rng.choice((0, 1)),
        hello=hello,
        hello_gap=hello_gap,
        reactions=reactions,
        outages=losses(house, wired=wired),
        retry=(house.between(1, 8), house.between(15, 300)),
        boots=(3, 45),
        pings_always=house.chance(0.6),
        ping_at=rng.choice((0.5, 0.66, 0.95)),
    )
    address = house.server_address() if wired else house.lan_address()
    topics = [say.topic for say in says]
    house.add(kind, profile, _habits(house, table, says), address=address, topics=topics)


def _says(house: Household, table: Gear, root: str, marks: dict[str, str]) -> tuple[Say, ...]:
    rng = house.rng
    retain, qos = house.chance(table.retained), rng.choice(table.qos)
    says = []
    for number in range(max(1, round(house.between(*table.count)))):
        leaf = table.leaves[number % len(table.leaves)].format(**marks)
        again = number // len(table.leaves)
        low = house.between(*table.size)
        high = min(table.size[1], low * rng.uniform(1.0, 1.6))
        topic = f"{root}/{leaf}{again}" if again else f"{root}/{leaf}"
        says.append(house.say(topic, low, high, qos=qos, retain=retain))
    return tuple(says)


def _hello(
    house: Household, kind: str, root: str, says: tuple[Say, ...], will: str | None
) -> tuple[Say, ...]:
    parts: list[Say] = []
    if will is not None:
        parts.append(house.say(will, 4, 8, retain=True))
    if kind == "homie-node":  # the convention has attributes below `$`
        leaves = ("$homie", "$name", "$nodes", "$implementation", "climate/$properties")
        parts += [house.say(f"{root}/{leaf}", 3, 60, qos=1, retain=True) for leaf in leaves]
    if house.chance(0.5):
        parts.extend(says)
    return tuple(parts)


def _habits(house: Household, table: Gear, says: tuple[Say, ...]) -> list[Habit]:
    rng = house.rng
    together = house.chance(table.together)
    habits: list[Habit] = [
        *_on_the_hour(house, says),
        *_updates(house, says[0].topic),
        Every(
            period=house.between(*table.period),
            says=says,
            one_of=not together,
            first=house.between(1.5, 25) if house.chance(0.3) else None,
            jitter=rng.choice((0.002, 0.03, 0.18)),
            aligned=house.chance(0.08),
            skips=rng.choice((0.0, 0.15, 0.5)),
            gap=rng.choice((0.0, 0.004, 0.02)) if together else 0.0,
        ),
    ]
    if table.busy is not None:
        per_day, lasts, period = table.busy
        habits.append(
            Episode(
                per_day=house.between(*per_day),
                lasts=lasts,
                period=house.between(*period),
                during=says[: rng.randint(1, len(says))],
                jitter=0.1,
            )
        )
    if table.sudden is not None:
        habits.append(Sporadic(per_day=house.between(*table.sudden), says=says[:2], one_of=True))
    return habits


def _updates(house: Household, topic: str) -> list[Habit]:
    """Firmware that tells of its own update as it goes on, up to four times a second."""
    if not house.chance(0.08):
        return []
    house.case("over-the-air")
    return [
        Episode(
            per_day=house.often(0.06),
            lasts=(150, 4_200),
            period=house.between(0.28, 0.9),
            during=(house.say(f"{topic}/ota", 10, 260),),
            follows="night",
        )
    ]


def _on_the_hour(house: Household, says: tuple[Say, ...]) -> list[Habit]:
    """Sums by the hour, the half or the quarter of a day; some clocks are set late, with a jump."""
    if not house.chance(house.in_step):
        return []
    house.case("top-of-the-hour")
    jumps = None
    if house.chance(0.25):
        house.case("clock-jump")
        jumps = house.rare(house.between(3e5, 4e6))
    period = house.rng.choice((1_800.0, 3_600.0, 3_600.0, 21_600.0))
    jitter = house.between(1e-5, 1e-3)
    return [Every(period=period, says=says, aligned=True, jitter=jitter, jumps=jumps, gap=0.01)]
