"""Wi-Fi devices by their firmware: Tasmota, ESPHome, Shelly, WLED and home-made ones."""

from mqtt_ids.lab.client import Outage, Profile, Reaction
from mqtt_ids.lab.habits import Episode, Every, Habit, Say, Sporadic
from mqtt_ids.lab.household import Household

_DAY = 86_400.0
_ROOMS = (
    "kitchen", "bath", "bedroom", "office", "garage", "hall", "attic", "cellar", "porch",
    "livingroom", "kids", "laundry", "garden", "shed",
)  # fmt: skip


def room(house: Household) -> str:
    """A room's name, sometimes numbered."""
    name = house.rng.choice(_ROOMS)
    return f"{name}{house.rng.randint(1, 4)}" if house.chance(0.3) else name


def by_the_clock(house: Household, says: tuple[Say, ...]) -> list[Habit]:
    """What a device says at the hour, the quarter or midnight, with many others or alone.

    Its own clock may jump: without a battery it starts wrong and is set over the network.
    """
    if not house.chance(house.in_step):
        return []
    house.case("top-of-the-hour")
    jumps = None
    if house.chance(0.3):
        jumps = house.rare(house.between(2.0, 60.0) * _DAY)
        house.case("clock-jump")
    period = house.rng.choice((900.0, 3_600.0, 3_600.0, _DAY))
    jitter = 3.0 / period * house.rng.random()
    return [Every(period=period, says=says, aligned=True, jitter=jitter, jumps=jumps, gap=0.02)]


def wifi_outages(house: Household, manner: str = "vanish") -> tuple[Outage, ...]:
    """Lost Wi-Fi, reboots and updates, rarer or more often by device."""
    updates = Outage(mean=house.rare(house.between(10, 90) * _DAY), down=(5.0, 90.0))
    if house.chance(0.15):  # bad reception
        return (
            Outage(mean=house.between(600.0, 40_000.0), down=(1.0, 60.0), manner="vanish"),
            updates,
        )
    mean = house.rare(house.between(1.0, 30.0) * _DAY)
    lost = Outage(mean=mean, down=(2.0, 120.0), manner="vanish" if manner == "vanish" else "drop")
    return (lost, updates)


def tasmota(house: Household, *, metered: bool = False) -> None:
    """Tasmota: a will, telemetry each 300 s in step with a keep-alive of 30, one shared user."""
    rng, mark = house.rng, house.hexes(6).upper()
    topic = rng.choice(
        (f"tasmota_{mark}", f"{room(house)}_plug", f"{room(house)}-{house.token(2)}")
    )
    tele, stat, command = f"tele/{topic}", f"stat/{topic}", f"cmnd/{topic}"
    teleperiod = rng.choice((300.0, 300.0, 300.0, 60.0, 10.0 if metered else 300.0))
    state = house.say(f"{tele}/STATE", 260, 420)
    telemetry = [state, house.say(f"{tele}/SENSOR", 120, 420)] if metered else [state]
    result = (
        house.say(f"{stat}/RESULT", 14, 40),
        house.say(f"{stat}/POWER", 2, 3, retain=house.chance(0.3)),
    )
    hello = [
        house.say(f"{tele}/LWT", 6, 6, retain=True),
        house.say(command + "/POWER", 0, 0),
        house.say(f"{tele}/INFO1", 80, 130),
        house.say(f"{tele}/INFO2", 60, 110),
        house.say(f"{tele}/INFO3", 60, 110),
        state,
    ]
    if house.chance(0.7):
        hello.insert(2, house.say(f"tasmota/discovery/{mark}/config", 500, 900, retain=True))
        hello.insert(3, house.say(f"tasmota/discovery/{mark}/sensors", 60, 400, retain=True))
    login = house.shared_login("DVES_USER") if house.chance(0.6) else house.login("tasmota")
    house.commands.append(house.say(f"{command}/POWER", 2, 6))
    habits: list[Habit] = [
        Every(
            period=teleperiod, says=tuple(telemetry), jitter=0.0005, gap=0.03,
            first=house.between(4.0, 15.0) if house.chance(0.5) else None,
        ),
        Sporadic(per_day=house.between(0.5, 60.0), says=result, follows="people"),
        *by_the_clock(house, tuple(telemetry)),
    ]  # fmt: skip
    profile = Profile(
        client_id=f"DVES_{mark}",
        username=login[0],
        password=login[1],
        keep_alive=30,
        will_topic=f"{tele}/LWT",
        filters=(f"{command}/#", "cmnd/tasmotas/#", f"cmnd/DVES_{mark}_fb/#"),
        subscribe_each=True,
        hello=tuple(hello),
        hello_gap=0.05,
        reactions={f"{command}/POWER": Reaction(says=result, after=(0.02, 0.2))},
        outages=wifi_outages(house),
        retry=(rng.choice((1.0, 10.0)), 120.0),
        boots=(4.0, 15.0),
        pings_always=True,
    )
    topics = [say.topic for say in (*telemetry, *result)]
    house.add("tasmota", profile, habits, address=house.lan_address(), topics=topics)


def tasmota_meter(house: Household) -> None:
    """A Tasmota plug that measures power."""
    tasmota(house, metered=True)


def esphome(house: Household) -> None:
    """ESPHome: clean_session false, discovery at each connect, birth and will, states each 60 s."""
    rng = house.rng
    node = f"{room(house)}-{rng.choice(('node', 'esp', 'sensor', 'climate'))}{house.token(2)}"
    count = round(house.between(1, 16))
    names = [f"{node}/sensor/{rng.choice(_ROOMS)}_{number}/state" for number in range(count)]
    states = [house.say(name, 2, 7, retain=True) for name in names]
    configs = tuple(
        house.say(f"homeassistant/sensor/{node}/{number}/config", 320, 620, retain=True)
        for number in range(count)
    )
    status = house.say(f"{node}/status", 6, 6, retain=True)
    logs = house.chance(0.15)
    period = rng.choice((60.0, 60.0, 60.0, 30.0, 10.0, 300.0))
    habits: list[Habit] = [Every(period=period, says=(state,), jitter=0.001) for state in states]
    if logs:
        debug = (house.say(f"{node}/debug", 40, 160),)
        habits.append(Every(period=period / (count + 1), says=debug, jitter=0.2))
    if house.chance(0.3):
        motion = (house.say(f"{node}/binary_sensor/motion/state", 2, 3, retain=True),)
        habits.append(Sporadic(per_day=house.between(20, 1500), says=motion))
    login = house.login("esphome")
    hello = (status, *configs) if house.chance(0.8) else (status,)
    reactions = {}
    if house.birth_topic is not None and house.chance(0.3):
        house.case("discovery-after-birth")
        reactions[house.birth_topic] = Reaction(says=configs, after=(0.0, 1.0), gap=0.02)
    profile = Profile(
        client_id=f"{node}-{house.hexes(12)}",
        username=login[0],
        password=login[1],
        keep_alive=15,
        clean=False,
        will_topic=f"{node}/status",
        filters=(f"{node}/switch/+/command", *reactions),
        hello=(*hello, *states),
        hello_gap=house.between(0.005, 0.1),
        reactions=reactions,
        outages=wifi_outages(house),
        retry=(1.0, 60.0),
        ping_at=rng.choice((0.5, 0.75)),
    )
    house.add("esphome", profile, habits, address=house.lan_address(), topics=names)


def shelly(house: Household) -> None:
    """Shelly of the second generation: QoS 1, retained, a long JSON status each 30 to 60 s."""
    rng, mark = house.rng, house.hexes(12)
    model = rng.choice(("shellyplus1pm", "shellypro3em", "shellyplusplugs", "shellyht", "shelly1"))
    base = rng.choice((f"{model}-{mark}", f"shellies/{model}-{mark[:6]}", f"{room(house)}/{model}"))
    qos, retain = rng.choice((0, 1, 1)), house.chance(0.6)
    status = house.say(f"{base}/status/switch:0", 180, 700, qos=qos, retain=retain)
    power = house.say(f"{base}/events/rpc", 140, 420, qos=qos)
    online = house.say(f"{base}/online", 4, 5, qos=qos, retain=True)
    rpc = house.say(f"{base}/rpc", 60, 140)
    house.commands.append(rpc)
    habits: list[Habit] = [
        Every(period=house.between(25.0, 75.0), says=(status,), jitter=0.02),
        Sporadic(per_day=house.between(20, 8_000), says=(power,), follows="people"),
        *by_the_clock(house, (status,)),
    ]
    if model == "shellypro3em":
        em = (house.say(f"{base}/status/em:0", 500, 900, qos=qos, retain=retain),)
        habits.append(Every(period=rng.choice((1.0, 5.0, 10.0)), says=em, jitter=0.05))
    login = house.login("shelly")
    profile = Profile(
        client_id=f"{model}-{mark}",
        username=login[0],
        password=login[1],
        keep_alive=60,
        clean=house.chance(0.5),
        will_topic=f"{base}/online",
        filters=(f"{base}/rpc", f"{base}/command", "shellies/command"),
        subscribe_each=house.chance(0.5),
        qos=1,
        hello=(online, house.say(f"{base}/announce", 150, 250), status),
        reactions={rpc.topic: Reaction(says=(power, status), after=(0.05, 0.4), gap=0.05)},
        outages=wifi_outages(house, "drop"),
        retry=(2.0, 60.0),
    )
    house.add("shelly", profile, habits, address=house.lan_address(), topics=[status.topic])


def wled(house: Household) -> None:
    """A LED controller: quiet, then bursts of state when somebody plays with colours."""
    mark = house.hexes(6)
    base = f"wled/{mark}" if house.chance(0.6) else f"wled/{room(house)}"
    state = (
        house.say(f"{base}/g", 1, 3, retain=True),
        house.say(f"{base}/c", 7, 9, retain=True),
        house.say(f"{base}/v", 600, 1_400),
    )
    order = house.say(base, 1, 60)
    house.commands.append(order)
    habits = [
        Episode(
            per_day=house.between(0.3, 6.0),
            lasts=(2.0, 90.0),
            period=house.between(0.15, 2.0),
            during=state,
        ),
    ]
    login = house.login("wled")
    profile = Profile(
        client_id=f"WLED-{mark}",
        username=login[0],
        password=login[1],
        keep_alive=15,
        will_topic=f"{base}/status",
        filters=(base, f"{base}/col", f"{base}/api", "wled/all"),
        subscribe_each=True,
        hello=(house.say(f"{base}/status", 6, 6, retain=True), *state),
        reactions={base: Reaction(says=state, after=(0.05, 0.5))},
        outages=wifi_outages(house),
        pings_always=house.chance(0.5),
    )
    topics = [say.topic for say in state]
    house.add("led-controller", profile, habits, address=house.lan_address(), topics=topics)


def home_made(house: Household) -> None:
    """Somebody's own sketch with PubSubClient: few readings, odd intervals, sometimes chatty."""
    rng = house.rng
    base = rng.choice((f"{room(house)}/{house.token(4)}", house.token(6), f"esp/{house.token(3)}"))
    values = rng.sample(("temp", "hum", "rssi", "vcc", "soil", "lux", "dist", "co2"), k=3)
    says = tuple(house.say(f"{base}/{value}", 1, 8, retain=house.chance(0.3)) for value in values)
    period = house.between(0.7, 1_800.0)
    habits: list[Habit] = [Every(period=period, says=says, jitter=house.between(0.001, 0.1))]
    habits += by_the_clock(house, says)
    if house.chance(0.3):
        habits.append(Sporadic(per_day=house.between(2, 300), says=says[:1]))
    login = house.login("esp")
    profile = Profile(
        client_id=rng.choice((f"ESP8266Client-{house.hexes(4)}", f"esp-{house.token(5)}", base)),
        username=login[0],
        password=login[1],
        keep_alive=rng.choice((15, 15, 60)),
        filters=(f"{base}/set",) if house.chance(0.6) else (),
        outages=wifi_outages(house),
        retry=(5.0, 5.0),
        pings_always=True,
    )
    topics = [say.topic for say in says]
    house.add("home-made", profile, habits, address=house.lan_address(), topics=topics)


def odd_keep_alive(house: Household) -> None:
    """A device with a keep-alive of five hours or none at all; it never pings."""
    rng = house.rng
    name = f"{rng.choice(('gw', 'plc', 'unit', 'node'))}{house.token(4)}"
    says = (house.say(f"{name}/data", 8, 200),)
    login = house.login("legacy")
    profile = Profile(
        client_id=name,
        username=login[0],
        password=login[1],
        keep_alive=rng.choice((18_000, 18_000, 36_000, 0, 0)),
        outages=(Outage(mean=house.rare(house.between(0.5, 20.0) * _DAY), down=(2.0, 600.0)),),
        retry=(5.0, 30.0),
    )
    habits = [Every(period=house.between(5.0, 1_200.0), says=says, jitter=0.05)]
    house.add(
        "odd-keep-alive", profile, habits, address=house.lan_address(), topics=[says[0].topic]
    )


def updating_device(house: Household) -> None:
    """A device whose updates over the air report progress a few times a second for long."""
    name = f"ota-{house.token(5)}"
    progress: tuple[Say, ...] = (house.say(f"{name}/update/progress", 40, 400),)
    state = (house.say(f"{name}/state", 30, 200, retain=True),)
    habits: list[Habit] = [
        Every(period=house.between(30.0, 600.0), says=state, jitter=0.1),
        Episode(
            per_day=house.often(0.05),
            lasts=(120.0, 4_500.0),
            period=house.between(0.25, 0.5),
            during=progress,
            follows="clock",
        ),
    ]
    login = house.login("device")
    profile = Profile(
        client_id=name,
        username=login[0],
        password=login[1],
        keep_alive=60,
        will_topic=f"{name}/availability",
        filters=(f"{name}/set",),
        outages=wifi_outages(house),
    )
    house.add("over-the-air", profile, habits, address=house.lan_address(), topics=[state[0].topic])
