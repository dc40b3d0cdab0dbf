"""Software of the unseen homes: controllers, bridges, recorders, loggers."""

from mqtt_ids.lab.client import Outage, Profile, Reaction
from mqtt_ids.lab.habits import Episode, Every, Habit, Say, Sporadic
from mqtt_ids.lab.household import Household
from mqtt_ids.lab.unseen.gear import losses, place
from mqtt_ids.lab.visits import port_probe

_HOUR = 3_600.0
_ZWAVE_VALUES = ("49/0/Air_temperature", "50/0/value/66049", "37/0/currentValue")


def _updates(house: Household) -> tuple[Outage, ...]:
    mean = house.rare(house.between(30, 900) * _HOUR)
    return (Outage(mean=mean, down=(1.5, 100), manner=house.rng.choice(("disconnect", "drop"))),)


def controller(house: Household) -> None:
    """A controller such as openHAB or ioBroker: many filters, commands, rules on the clock."""
    rng = house.rng
    birth = house.birth_topic or "openhab/status"
    habits: list[Habit] = []
    orders = tuple(house.commands)
    if orders:
        habits.append(Sporadic(per_day=house.between(8, 420), says=orders, one_of=True))
        some = orders[: rng.randint(1, 8)]
        habits.append(
            Every(period=rng.choice((600, 1_800, 3_600)), says=some, aligned=True, gap=0.01)
        )
        house.case("top-of-the-hour")
    items = tuple(
        house.say(f"openhab/item/{house.token(6)}", 1, 40, retain=house.chance(0.5))
        for _ in range(rng.randint(1, 60))
    )
    habits.append(Sporadic(per_day=house.between(30, 26_000), says=items, one_of=True))
    filters = tuple(f"{house.token(5)}/{house.token(4)}/+" for _ in range(rng.randint(4, 150)))
    login = house.login("openhab")
    down = Outage(
        mean=house.rare(house.between(14, 200) * _HOUR), down=(15, 240), manner="disconnect"
    )
    profile = Profile(
        client_id=f"{rng.choice(('openhab', 'iobroker', 'domoticz'))}-{house.token(6)}",
        username=login[0],
        password=login[1],
        keep_alive=rng.choice((30, 60, 120)),
        clean=house.chance(0.6),
        will_topic=birth,
        filters=(*filters, birth),
        subscribe_each=house.chance(0.7),
        hello=(house.say(birth, 2, 7, retain=True),),
        outages=(down,),
        boots=(25, 300),
    )
    house.case("controller-restarts")
    house.add("controller", profile, habits, address=house.server_address(), topics=[birth])
    if house.chance(0.4):
        probe = port_probe(rng.choice((45.0, 90.0, 150.0)))
        house.add_script("port-probe", probe, address=house.server_address())


def zwave_bridge(house: Household) -> None:
    """A Z-Wave or KNX bridge: nested topics, retained, QoS 1; everything again after a birth."""
    rng = house.rng
    root = rng.choice(("zwave", f"zw{house.token(2)}", "knx"))
    habits: list[Habit] = []
    values: list[Say] = []
    for _ in range(round(house.between(8, 90))):
        node = f"{root}/{place(house)}/{house.token(4)}"
        some = _ZWAVE_VALUES[: rng.randint(1, 3)]
        low = house.between(30, 700)
        values += [house.say(f"{node}/{one}", low, low * 2, qos=1, retain=True) for one in some]
        recent = tuple(values[-2:])
        follows = rng.choice(("people", "clock"))
        per_day = house.between(3, 7_000)
        if follows == "people":
            habits.append(Sporadic(per_day=per_day, says=recent, one_of=True))
        else:
            habits.append(Every(period=86_400 / per_day, says=recent, one_of=True, jitter=0.25))
    house.case("over-the-air")
    house.case("long-json-bridge")
    habits.append(
        Episode(  # new firmware for a node, in small pieces
            per_day=house.often(0.03), lasts=(400, 3_900), period=house.between(0.26, 0.55),
            during=(house.say(f"{root}/_EVENTS/node/update", 120, 600),), follows="clock",
        )
    )  # fmt: skip
    names = (f"{root}/_CLIENTS/gw-{house.token(3)}/{part}" for part in ("version", "status"))
    hello = [house.say(name, 20, 160, retain=True) for name in names]
    reactions = {}
    if house.birth_topic is not None:
        house.case("states-after-birth")
        again = Reaction(says=tuple(values), after=(4, 15), gap=house.between(0.002, 0.03))
        reactions[house.birth_topic] = again
    login = house.login("zwave")
    profile = Profile(
        client_id=f"ZWAVE_GATEWAY-{house.token(6)}",
        username=login[0],
        password=login[1],
        keep_alive=60,
        clean=house.chance(0.4),
        will_topic=hello[-1].topic,
        version=rng.choice((4, 4, 5)),
        filters=(f"{root}/+/+/+/+/set", f"{root}/_CLIENTS/+/api/#", *reactions),
        qos=1,
        hello=(*hello, *values),
        hello_gap=house.between(0.0015, 0.012),
        reactions=reactions,
        outages=_updates(house),
        boots=(15, 150),
    )
    topics = [value.topic for value in values]
    house.add("radio-bridge", profile, habits, address=house.server_address(), topics=topics)


def energy_hub(house: Household) -> None:
    """A Venus-like hub: hundreds of topics, all of them again when its reader asks each minute."""
    rng, mark = house.rng, house.hexes(12)
    parts = ("Ac/Power", "Dc/0/Voltage", "Soc", "State", "Yield/User")
    count = round(house.between(25, 320))
    values = [house.say(f"N/{mark}/{parts[n % 5]}/{n}", 11, 60) for n in range(count)]
    ask = house.say(f"R/{mark}/keepalive", 0, 40)
    fast = tuple(rng.sample(values, k=min(count, rng.randint(3, 30))))
    habits = [Sporadic(per_day=house.between(2e4, 4e5), says=fast, one_of=True, follows="clock")]
    login = house.login("energy")
    hub = Profile(
        client_id=f"venus-{mark[:6]}",
        username=login[0],
        password=login[1],
        keep_alive=60,
        filters=(f"R/{mark}/#", f"W/{mark}/#"),
        reactions={ask.topic: Reaction(says=tuple(values), after=(0.02, 0.3), gap=0.001)},
        outages=_updates(house),
        boots=(30, 100),
    )
    address = house.lan_address()
    house.add("energy-hub", hub, habits, address=address, topics=[say.topic for say in values])
    reader = Profile(
        client_id=f"vrm-reader-{house.token(4)}",
        username=login[0],
        password=login[1],
        keep_alive=30,
        filters=(f"N/{mark}/#",),
        outages=_updates(house),
    )
    asks = [Every(period=rng.choice((30, 50, 55, 300)), says=(ask,), jitter=0.003)]
    address = house.server_address()
    house.add("energy-reader", reader, asks, address=address, topics=[ask.topic])


def recorder(house: Household) -> None:
    """A video recorder: pictures and object events in bursts, statistics by the minute."""
    house.case("camera-bursts")
    root = f"{house.rng.choice(('agentdvr', 'blueiris', 'motioneye'))}/{house.token(3)}"
    habits: list[Habit] = []
    topics = []
    for _ in range(house.rng.randint(1, 9)):
        eye = f"{root}/{place(house)}{house.rng.randint(1, 9)}"
        low = house.between(14e3, 110e3)
        still = house.say(f"{eye}/image", low, low * house.rng.uniform(1.1, 2.5))
        says = (house.say(f"{eye}/objects", 120, 2_600), house.say(f"{eye}/active", 1, 5))
        habits.append(
            Episode(
                per_day=house.between(2, 90), lasts=(4, 420), period=house.between(0.13, 2.2),
                during=says, begins=(still,) * house.rng.randint(1, 6),
            )
        )  # fmt: skip
        if house.chance(0.3):
            habits.append(Every(period=house.between(0.8, 120), says=(still,), jitter=0.08))
        topics.append(says[0].topic)
    habits.append(Every(period=60, says=(house.say(f"{root}/stats", 300, 9_000),)))
    login = house.login("nvr")
    profile = Profile(
        client_id=root.replace("/", "_"),
        username=login[0],
        password=login[1],
        keep_alive=house.rng.choice((60, 100)),
        will_topic=f"{root}/online",
        filters=(f"{root}/cmd/#",),
        outages=_updates(house),
    )
    house.add("recorder", profile, habits, address=house.server_address(), topics=topics)


def metrics(house: Household) -> None:
    """Telegraf or Glances: a host's figures, dozens of topics in step each ten seconds."""
    host = house.token(5)
    says = tuple(
        house.say(f"telegraf/{host}/{house.token(5)}", 60, 900)
        for _ in range(round(house.between(4, 70)))
    )
    habits = [
        Every(period=house.rng.choice((10, 15, 30, 60)), says=says, aligned=True, jitter=0.001)
    ]
    login = house.login("telegraf")
    profile = Profile(
        client_id=f"Telegraf-Output-{house.token(20)}",
        username=login[0],
        password=login[1],
        keep_alive=house.rng.choice((30, 60)),
        outages=_updates(house),
        pings_always=True,
    )
    topics = [say.topic for say in says]
    house.add("metrics", profile, habits, address=house.server_address(), topics=topics)


def listener(house: Household) -> None:
    """A database writer: subscribes to everything for good and says nothing."""
    login = house.login("influx")
    profile = Profile(
        client_id=f"{house.rng.choice(('influx', 'mqtt2sql', 'grafana'))}_{house.token(5)}",
        username=login[0],
        password=login[1],
        keep_alive=house.rng.choice((30, 60, 240)),
        clean=house.chance(0.5),
        filters=("#",),
        qos=house.rng.choice((0, 1, 2)),
        outages=_updates(house),
        retry=(3, 12),
    )
    house.case("service-subscribes-all")
    house.add("listener", profile, [], address=house.server_address(), topics=[])


def flows(house: Household) -> None:
    """Scripts (AppDaemon, n8n): answers within milliseconds, now and then a volley."""
    names = [f"flow/{house.token(3)}/{house.token(5)}" for _ in range(house.rng.randint(2, 40))]
    says = tuple(house.say(name, 1, 260, qos=house.rng.choice((0, 1, 1))) for name in names)
    volley = says[: house.rng.randint(2, len(says))]
    habits: list[Habit] = [
        Sporadic(per_day=house.between(40, 9_000), says=says, one_of=True, repeats=(1, 3)),
        Every(period=house.rng.choice((120, 900, 3_600)), says=volley, gap=0.006, aligned=True),
    ]
    login = house.login("flows")
    profile = Profile(
        client_id=f"appdaemon_{house.token(6)}_client",
        username=login[0],
        password=login[1],
        keep_alive=60,
        filters=("+/+/status", f"flow/{house.token(3)}/#"),
        outages=(Outage(mean=house.rare(house.between(8, 400) * _HOUR), down=(1, 12)),),
    )
    house.add("flows", profile, habits, address=house.server_address(), topics=names)


def configurator(house: Household) -> None:
    """A gateway that announces its devices anew every few minutes, retained."""
    root = f"disc/{house.token(4)}"
    count = round(house.between(30, 380))
    configs = tuple(house.say(f"{root}/{n}/config", 240, 1_250, retain=True) for n in range(count))
    values = tuple(house.say(f"{root}/{n}/value", 1, 20) for n in range(min(count, 25)))
    habits: list[Habit] = [
        Every(
            period=house.rng.choice((240, 300, 900)), says=configs, gap=house.between(0.0015, 0.02)
        ),
        Sporadic(per_day=house.between(300, 15_000), says=values, one_of=True, follows="clock"),
    ]
    login = house.login("disc")
    reactions = {}
    if house.birth_topic is not None and house.chance(0.7):
        house.case("discovery-after-birth")
        reactions[house.birth_topic] = Reaction(says=configs, after=(1, 20), gap=0.008)
    profile = Profile(
        client_id=f"tuya2mqtt-{house.token(4)}",
        username=login[0],
        password=login[1],
        keep_alive=house.rng.choice((30, 45)),
        filters=tuple(reactions),
        hello=configs,
        hello_gap=0.004,
        reactions=reactions,
        outages=losses(house, wired=True),
    )
    topics = [say.topic for say in values]
    house.add("periodic-discovery", profile, habits, address=house.server_address(), topics=topics)
