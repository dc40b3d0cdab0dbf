"""Software on the server: Zigbee2MQTT, Home Assistant, Node-RED, rtl_433 and the like."""

from mqtt_ids.lab.client import Outage, Profile, Reaction
from mqtt_ids.lab.habits import Episode, Every, Habit, Say, Sporadic
from mqtt_ids.lab.household import Household
from mqtt_ids.lab.train.firmware import room
from mqtt_ids.lab.visits import port_probe

_DAY = 86_400.0
_ZIGBEE = (  # kind, reports a day (low, high), follows the people
    ("contact", (4, 120), True),
    ("motion", (40, 1_500), True),
    ("climate", (40, 600), False),
    ("plug", (300, 15_000), False),
    ("bulb", (2, 120), True),
    ("button", (1, 40), True),
    ("leak", (1, 8), False),
    ("radiator", (30, 500), False),
)


def service_restarts(house: Household) -> tuple[Outage, ...]:
    """Updates and restarts of software on the server."""
    mean = house.rare(house.between(2.0, 30.0) * _DAY)
    return (Outage(mean=mean, down=(2.0, 60.0), manner="disconnect"),)


def zigbee_bridge(house: Household) -> None:
    """Zigbee2MQTT: one client, 10 to 200 topics, long JSON, all cached states after a birth."""
    rng = house.rng
    base = "zigbee2mqtt" if house.chance(0.75) else f"z2m_{house.token(3)}"
    count = round(house.between(5, 120))
    retain, qos = house.chance(0.6), rng.choice((0, 0, 0, 1))
    habits: list[Habit] = []
    states: list[Say] = []
    for _ in range(count):
        kind, per_day, people = rng.choice(_ZIGBEE)
        name = rng.choice(
            (f"0x{house.hexes(16)}", f"{room(house)}_{kind}", f"{room(house)}/{kind}")
        )
        low = house.between(60, 500)
        state = house.say(f"{base}/{name}", low, low * 1.3, qos=qos, retain=retain)
        states.append(state)
        habits.append(
            Sporadic(
                per_day=house.between(*per_day),
                says=(state,),
                follows="people" if people else "clock",
                repeats=(1, rng.choice((1, 1, 2, 4))),
                gap=0.03,
            )
        )
        if kind in ("bulb", "plug") and house.chance(0.6):
            house.commands.append(house.say(f"{base}/{name}/set", 15, 60))
    house.case("over-the-air")
    house.case("long-json-bridge")
    heard = rng.sample(states, k=min(count, 3))
    habits.append(  # an update, or a device that wakes the others: last_seen for long
        Episode(
            per_day=house.often(0.04),
            lasts=(600.0, 5_400.0),
            period=house.between(0.25, 0.5),
            during=tuple(heard),
            one_of=True,
            follows="clock",
        )
    )
    if house.chance(0.3):
        log = (house.say(f"{base}/bridge/logging", 80, 500),)
        habits.append(Sporadic(per_day=house.between(50, 5_000), says=log, follows="clock"))
    _add_zigbee(house, base, habits, states)


def _add_zigbee(house: Household, base: str, habits: list[Habit], states: list[Say]) -> None:
    bridge = (
        house.say(f"{base}/bridge/state", 18, 20, retain=True),
        house.say(f"{base}/bridge/info", 3_000, 60_000, retain=True),
        house.say(
            f"{base}/bridge/devices",
            5_000 + 900 * len(states),
            8_000 + 1_500 * len(states),
            retain=True,
        ),
        house.say(f"{base}/bridge/groups", 2, 3_000, retain=True),
        house.say(f"{base}/bridge/extensions", 2, 2, retain=True),
    )
    sensors = max(1, round(len(states) * house.between(2.0, 6.0)))
    discovery = tuple(
        house.say(
            f"homeassistant/sensor/0x{house.hexes(16)}/{number}/config", 500, 1_400, retain=True
        )
        for number in range(sensors)
    )
    reactions = {}
    if house.birth_topic is not None:
        house.case("states-after-birth")
        house.case("discovery-after-birth")
        gap = house.between(0.001, 0.02)
        again = Reaction(says=(*discovery, *states), after=(28.0, 32.0), gap=gap)
        reactions[house.birth_topic] = again
    login = house.login("zigbee2mqtt")
    profile = Profile(
        client_id=f"mqttjs_{house.hexes(8)}",
        username=login[0],
        password=login[1],
        keep_alive=60,
        will_topic=f"{base}/bridge/state",
        version=4 if house.chance(0.7) else 5,
        filters=(f"{base}/+/set", f"{base}/+/get", f"{base}/bridge/request/#", *reactions),
        subscribe_each=True,
        hello=(*bridge, *discovery, *states) if house.birth_topic else (*bridge, *states),
        hello_gap=house.between(0.001, 0.01),
        reactions=reactions,
        outages=service_restarts(house),
        retry=(1.0, 5.0),
        boots=(20.0, 120.0),
    )
    topics = [state.topic for state in states]
    house.add("zigbee-bridge", profile, habits, address=house.server_address(), topics=topics)


def home_assistant(house: Household) -> None:
    """Home Assistant: many filters at the start, commands, birth and will, restarts; its probe."""
    rng = house.rng
    birth = house.birth_topic or "homeassistant/status"
    many = round(house.between(5, 1_200))
    roots = ("tele", "stat", "zigbee2mqtt", "shellies", house.token(4))
    known = (f"{rng.choice(roots)}/{house.token(6)}" for _ in range(many))
    filters = ("homeassistant/#", "homeassistant/+/+/config", birth, *known)
    habits: list[Habit] = []
    if house.commands:
        says = tuple(house.commands)
        habits.append(Sporadic(per_day=house.between(5, 600), says=says, one_of=True))
        if house.chance(0.5):  # automations on the clock
            pick = tuple(rng.sample(says, k=min(len(says), rng.randint(1, 6))))
            habits.append(
                Every(period=rng.choice((900.0, 3600.0)), says=pick, aligned=True, gap=0.03)
            )
            house.case("top-of-the-hour")
    if house.chance(0.3):
        names = [f"hass/statestream/{house.token(8)}/state" for _ in range(rng.randint(5, 80))]
        stream = tuple(house.say(name, 1, 30, retain=True) for name in names)
        per_day = house.between(500, 40_000)
        habits.append(Sporadic(per_day=per_day, says=stream, one_of=True, follows="people"))
    login = house.login("homeassistant")
    restarts = Outage(
        mean=house.rare(house.between(0.7, 6.0) * _DAY), down=(8.0, 180.0), manner="disconnect"
    )
    profile = Profile(
        client_id=house.token(22) if house.chance(0.7) else "homeassistant",
        username=login[0],
        password=login[1],
        keep_alive=60,
        will_topic=birth,
        filters=filters,
        subscribe_each=house.chance(0.5),
        hello=(house.say(birth, 6, 6, retain=house.chance(0.2)),),
        outages=(restarts,),
        retry=(1.0, 30.0),
        boots=(30.0, 180.0),
        pings_always=True,
    )
    house.case("controller-restarts")
    address = house.server_address()
    house.add("home-assistant", profile, habits, address=address, topics=[birth])
    if house.chance(0.6):
        house.add_script("port-probe", port_probe(120.0), address=house.server_address())


def node_red(house: Household) -> None:
    """Node-RED: broad subscriptions and flows that answer within milliseconds."""
    rng = house.rng
    names = [f"nr/{room(house)}/{house.token(4)}" for _ in range(rng.randint(1, 25))]
    says = tuple(house.say(name, 2, 120, qos=rng.choice((0, 0, 1, 2))) for name in names)
    habits: list[Habit] = [
        Sporadic(per_day=house.between(20, 20_000), says=says, one_of=True),
        Every(
            period=rng.choice((10.0, 60.0, 300.0, 3600.0)),
            says=says,
            aligned=house.chance(0.5),
            gap=0.004,
        ),
    ]
    if house.commands:
        habits.append(
            Sporadic(per_day=house.between(2, 200), says=tuple(house.commands), one_of=True)
        )
    login = house.login("nodered")
    wide = ("#",) if house.chance(0.35) else ("zigbee2mqtt/+", "tele/#", "stat/+/POWER")
    if wide == ("#",):
        house.case("service-subscribes-all")
    deploys = Outage(
        mean=house.rare(house.between(1.0, 20.0) * _DAY), down=(1.0, 5.0), manner="disconnect"
    )
    profile = Profile(
        client_id=f"nodered_{house.hexes(16)}",
        username=login[0],
        password=login[1],
        keep_alive=60,
        filters=(*wide, f"nr/{house.token(4)}/in"),
        subscribe_each=True,
        outages=(deploys,),
        retry=(15.0, 15.0),
        boots=(20.0, 60.0),
    )
    house.add("node-red", profile, habits, address=house.server_address(), topics=names)


def rtl_433(house: Household) -> None:
    """rtl_433: whatever the radio hears, irregular, many topics, neighbours' sensors among them."""
    rng = house.rng
    base = f"rtl_433/{house.token(5)}"
    habits: list[Habit] = []
    topics: list[str] = []
    for _ in range(round(house.between(3, 60))):
        model = rng.choice(
            ("Acurite-Tower", "Oregon", "TPMS", "Nexus-TH", "LaCrosse", "Fineoffset")
        )
        names = [f"{base}/devices/{model}/{rng.randint(1, 9999)}/{part}" for part in
                 ("time", "temperature_C", "battery_ok", "humidity")]  # fmt: skip
        says = tuple(house.say(name, 1, 20) for name in names[: rng.randint(2, 4)])
        topics.extend(names[:2])
        if house.chance(0.6):
            habits.append(
                Every(period=house.between(20.0, 400.0), says=says, jitter=0.02, skips=0.3)
            )
        else:
            habits.append(Sporadic(per_day=house.between(0.5, 400.0), says=says, follows="clock"))
    events = (house.say(f"{base}/events", 150, 320),)
    habits.append(
        Sporadic(per_day=house.between(500, 20_000), says=events, follows="clock", repeats=(1, 3))
    )
    login = house.login("rtl")
    profile = Profile(
        client_id=f"rtl_433-{house.hexes(8)}",
        username=login[0],
        password=login[1],
        keep_alive=60,
        will_topic=f"{base}/availability",
        outages=service_restarts(house),
    )
    house.add("rtl-433", profile, habits, address=house.server_address(), topics=topics)


def periodic_discovery(house: Household) -> None:
    """A gateway that repeats hundreds of retained configs each 300 s."""
    base = f"gw-{house.token(4)}"
    count = round(house.between(20, 450))
    sorts = ("sensor", "switch", "light")
    names = (f"homeassistant/{house.rng.choice(sorts)}/{base}_{n}/config" for n in range(count))
    configs = tuple(house.say(name, 300, 900, retain=True) for name in names)
    states = tuple(house.say(f"{base}/{n}/state", 2, 60) for n in range(min(count, 40)))
    habits: list[Habit] = [
        Every(
            period=house.rng.choice((300.0, 300.0, 600.0)),
            says=configs,
            gap=house.between(0.001, 0.03),
        ),
        Sporadic(per_day=house.between(200, 20_000), says=states, one_of=True, follows="clock"),
    ]
    login = house.login("gateway")
    reactions = {}
    if house.birth_topic is not None:
        house.case("discovery-after-birth")
        reactions[house.birth_topic] = Reaction(says=configs, after=(0.5, 10.0), gap=0.005)
    profile = Profile(
        client_id=base,
        username=login[0],
        password=login[1],
        keep_alive=house.rng.choice((30, 60)),
        filters=(f"{base}/+/set", *reactions),
        hello=configs,
        hello_gap=0.005,
        reactions=reactions,
        outages=service_restarts(house),
    )
    topics = [say.topic for say in states]
    house.add("periodic-discovery", profile, habits, address=house.server_address(), topics=topics)
