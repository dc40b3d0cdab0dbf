"""Clients that come and go, and the odd things that happen in any home."""

from mqtt_ids.lab.actions import Connect
from mqtt_ids.lab.client import Outage, Profile, client
from mqtt_ids.lab.habits import Every
from mqtt_ids.lab.household import Household
from mqtt_ids.lab.train.firmware import room
from mqtt_ids.lab.visits import (
    Person,
    Typist,
    caretaker,
    failing_login,
    phone,
    port_probe,
    set_up_test,
    sleeper,
    starts_later,
)

_DAY = 86_400.0


def deep_sleeper(house: Household) -> None:
    """CONNECT, one or a few messages, DISCONNECT, about every five minutes."""
    base = f"{house.rng.choice(('bat', 'leaf', 'soil', 'mail', 'tank'))}/{house.token(4)}"
    says = tuple(
        house.say(
            f"{base}/{part}", 2, 160, retain=house.chance(0.5), qos=house.rng.choice((0, 0, 1))
        )
        for part in ("state", "battery", "rssi")[: house.rng.randint(1, 3)]
    )
    login = house.login("battery")
    profile = Profile(
        client_id=f"{base.replace('/', '-')}", username=login[0], password=login[1],
        keep_alive=house.rng.choice((15, 60)),
    )  # fmt: skip
    period = house.rng.choice((300.0, 300.0, 600.0, house.between(30.0, 3_600.0)))
    script = sleeper(profile, says, period, house.rng.choice((0.005, 0.05, 0.3)))
    topics = [say.topic for say in says]
    address = house.lan_address()
    house.add_script("deep-sleeper", script, address=address, profile=profile, topics=topics)


def shell_script(house: Household) -> None:
    """A scheduled job that calls mosquitto_pub: a random id each minute or so."""
    topic = f"server/{house.token(4)}/{house.rng.choice(('disk', 'load', 'backup', 'speedtest'))}"
    login = house.login("script")
    profile = Profile(client_id="", username=login[0], password=login[1])
    if house.chance(0.5):
        profile = Profile(client_id=f"mosq-{house.token(18)}", username=login[0], password=login[1])
    says = (house.say(topic, 2, 400, retain=house.chance(0.4)),)
    script = sleeper(profile, says, house.between(8.0, 1_800.0), 0.002)
    address = house.server_address()
    house.add_script("shell-script", script, address=address, profile=profile, topics=[topic])


def health_check(house: Household) -> None:
    """A container's health check: connects, subscribes to the broker's own topics, goes."""
    login = house.login("health")
    profile = Profile(
        client_id=f"health-{house.token(4)}" if house.chance(0.6) else "",
        username=login[0],
        password=login[1],
        filters=(house.rng.choice(("$SYS/broker/uptime", "$SYS/#", "healthcheck")),),
    )
    script = sleeper(profile, (), house.between(8.0, 600.0), 0.003)
    house.add_script("health-check", script, address=house.server_address())


def presence_phone(house: Household) -> None:
    """OwnTracks: QoS 1, flaky, leaves without DISCONNECT, comes back from another address."""
    mark = house.token(2)
    base = f"owntracks/{house.token(5)}/{mark}"
    login = house.login("phone")
    profile = Profile(
        client_id=f"{base.split('/')[1]}-{mark}", username=login[0], password=login[1],
        keep_alive=house.rng.choice((60, 300, 1_800, 3_600)), clean=False, will_topic=base,
        filters=(f"{base}/cmd", "owntracks/+/+", "owntracks/+/+/event"), qos=1,
    )  # fmt: skip
    says = (house.say(base, 120, 260, qos=1, retain=True),)
    home, away = house.lan_address(), house.server_address()
    script = phone(
        profile, says, addresses=(home, home, away), stays=(60.0, house.between(600.0, 40_000.0)),
        period=house.between(60.0, 3_000.0),
    )  # fmt: skip
    house.case("roaming")
    house.add_script("presence-phone", script, address=home, profile=profile, topics=[base])


def explorer(house: Household) -> None:
    """A person with MQTT Explorer on some evenings."""
    rng = house.rng
    login = house.login("admin")
    person = Person(
        lambda draw: f"mqtt-explorer-{draw.getrandbits(32):08x}", login, life=house.life,
        per_day=house.often(house.between(0.05, 0.8)), stays=(60.0, 5_000.0),
        filters=rng.choice((("#", "$SYS/#"), ("#",), ("#", "$SYS/#"), ("zigbee2mqtt/#",))),
        commands=tuple(house.commands[:10]),
    )  # fmt: skip
    address = house.lan_address()
    house.case("reads-everything")
    house.add_script("explorer", person.script, address=address)


def tester(house: Household) -> None:
    """Set-up tests: random ids that live a second."""
    script = set_up_test(
        lambda draw: "".join(draw.choices("0123456789ABCDEFabcdef", k=20)),
        house.login("homeassistant"),
        house.often(house.between(0.02, 0.5)),
    )
    house.add_script("set-up-test", script, address=house.server_address())


def watchdog(house: Household) -> None:
    """A monitor that only opens the port."""
    script = port_probe(house.between(5.0, 600.0))
    house.add_script("port-probe", script, address=house.server_address())


def stale_password(house: Household) -> None:
    """A device whose password was changed: the same wrong credential for hours or days."""
    name = f"{house.rng.choice(('old', 'spare', 'guest'))}-{house.token(4)}"
    wrong = Connect(f"{name}-{house.hexes(4)}", name, house.token(8))
    script = failing_login(
        wrong, house.between(1.5, 90.0), (1_800.0, 2.5 * _DAY),
        (house.rare(0.2 * _DAY), house.rare(10.0 * _DAY)),
    )  # fmt: skip
    house.add_script("stale-password", script, address=house.lan_address())


def mistyped_password(house: Household) -> None:
    """Somebody at a tool, or setting a device up, who gets the password wrong a few times."""
    rng = house.rng
    prefix = rng.choice(("mqtt-explorer-", "mqttfx_", "ESP32_", "tasmota_", ""))
    person = Typist(
        name=lambda draw: f"{prefix}{draw.getrandbits(32):08x}", login=house.login("admin"),
        per_day=house.often(house.between(0.03, 0.3)), wrong=(1, rng.choice((1, 2, 3, 4))),
        pauses=(house.between(3.0, 10.0), house.between(12.0, 45.0)), stays=(2.0, 2_000.0),
        filters=rng.choice(((), ("#",), (f"{room(house)}/+/set",))), renames=house.chance(0.5),
        gives_up=rng.choice((0.1, 0.4)),
    )  # fmt: skip
    address = house.known_address() if house.chance(0.4) else house.lan_address()
    house.add_script("mistyped-password", person.script, address=address)


def misconfigured(house: Household) -> None:
    """A device that the broker does not want, and that tries again for ever."""
    script = failing_login(
        Connect("", clean=False), house.between(1.5, 90.0), (600.0, 2.5 * _DAY),
        (house.rare(0.2 * _DAY), house.rare(10.0 * _DAY)),
    )  # fmt: skip
    house.add_script("misconfigured", script, address=house.lan_address())


def doubled_id(house: Household) -> None:
    """Two boards with the same flashed id, for the hour until somebody notices."""
    name = f"ESP32Client-{house.token(2)}"
    login = house.login("esp")
    profile = Profile(
        client_id=name, username=login[0], password=login[1], keep_alive=15,
        retry=(house.between(2.0, 10.0), 10.0), pings_always=True,
    )  # fmt: skip
    says = (house.say(f"{room(house)}/{house.token(4)}", 2, 40),)
    habits = (Every(period=house.between(10.0, 120.0), says=says),)
    first = client(profile, habits, house.life)
    topics = [says[0].topic]
    house.add_script(
        "home-made", first, address=house.lan_address(), profile=profile, topics=topics
    )
    second = starts_later(
        client(profile, habits, house.life),
        (house.rare(0.3 * _DAY), house.rare(20 * _DAY)),
        (120.0, 3_600.0),
    )
    house.add_script("doubled-id", second, address=house.lan_address())


def newcomer(house: Household) -> None:
    """A device that is new in the home midway."""
    login = house.login("new")
    base = f"{room(house)}/{house.token(5)}"
    says = tuple(
        house.say(f"{base}/{house.token(4)}", 2, 200) for _ in range(house.rng.randint(1, 4))
    )
    profile = Profile(
        client_id=f"{house.token(6)}-{house.hexes(6)}", username=login[0], password=login[1],
        will_topic=f"{base}/lwt", filters=(f"{base}/#",), keep_alive=house.rng.choice((15, 30, 60)),
        outages=(Outage(mean=house.rare(house.between(1, 20) * _DAY), down=(2.0, 100.0)),),
    )  # fmt: skip
    habits = [Every(period=house.between(2.0, 600.0), says=says, jitter=0.05)]
    house.add(
        "newcomer", profile, habits, address=house.lan_address(),
        topics=[say.topic for say in says], start=house.rare(house.between(0.02, 5.0) * _DAY),
    )  # fmt: skip


def restarts(house: Household) -> None:
    """The broker restarts about weekly; a power cut comes a few times a year."""
    house.case("power-cut")
    script = caretaker(
        house.rare(house.between(3.0, 14.0) * _DAY), house.rare(60.0 * _DAY), (1.0, 40.0)
    )
    house.add_script("broker-restart", script, address="")
