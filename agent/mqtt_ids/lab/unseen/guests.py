"""Clients of the unseen homes that come and go, and what goes wrong there."""

from mqtt_ids.lab.actions import Connect
from mqtt_ids.lab.client import Outage, Profile, client
from mqtt_ids.lab.habits import Every
from mqtt_ids.lab.household import Household
from mqtt_ids.lab.unseen.gear import losses, place
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

_HOUR = 3_600.0


def sleeping_sensor(house: Household) -> None:
    """A battery sensor (letter box, water meter, e-paper): wakes, reports, sleeps."""
    root = f"{place(house)}/{house.rng.choice(('lbox', 'wmeter', 'eink', 'probe'))}{house.hexes(2)}"
    says = tuple(
        house.say(f"{root}/{part}", 1, 220, qos=house.rng.choice((0, 1)), retain=True)
        for part in ("v", "bat", "meta", "fw")[: house.rng.randint(1, 4)]
    )
    login = house.login("sleepy")
    profile = Profile(
        client_id=f"zz-{house.hexes(6)}", username=login[0], password=login[1],
        keep_alive=house.rng.choice((10, 30, 120)), clean=house.chance(0.5),
        filters=(f"{root}/cfg",) if house.chance(0.4) else (),
    )  # fmt: skip
    period = house.rng.choice((180.0, 290.0, 320.0, 900.0, 3_600.0))
    script = sleeper(profile, says, period, house.rng.choice((0.01, 0.08)))
    topics = [say.topic for say in says]
    house.add_script(
        "sleeping-sensor", script, address=house.lan_address(), profile=profile, topics=topics
    )


def job(house: Household) -> None:
    """A timer on the server that publishes and goes, with an id made by the broker or a tool."""
    login = house.login("jobs")
    topic = f"jobs/{house.token(3)}/{house.rng.choice(('ok', 'zfs', 'ups', 'rsync'))}"
    name = "" if house.chance(0.5) else f"job{house.token(3)}"
    profile = Profile(client_id=name, username=login[0], password=login[1], keep_alive=60)
    says = (house.say(topic, 1, 900, qos=1),)
    script = sleeper(profile, says, house.rng.choice((30.0, 120.0, 600.0, 3_600.0)), 0.001)
    address = house.server_address()
    house.add_script("job", script, address=address, profile=profile, topics=[topic])


def health(house: Household) -> None:
    """A container's health check that reads one of the broker's own topics."""
    login = house.login("health")
    profile = Profile(
        client_id="" if house.chance(0.5) else f"hc{house.token(2)}", username=login[0],
        password=login[1], filters=(house.rng.choice(("$SYS/broker/version", "$SYS/#", "hc/t")),),
    )  # fmt: skip
    script = sleeper(profile, (), house.rng.choice((20.0, 45.0, 120.0)), 0.002)
    house.add_script("health-check", script, address=house.server_address())


def wanderer(house: Household) -> None:
    """A phone or watch that reports where it is, over Wi-Fi and the mobile network by turns."""
    root = f"loc/{house.token(4)}"
    login = house.login("loc")
    profile = Profile(
        client_id=f"gb-{house.token(7)}", username=login[0], password=login[1],
        keep_alive=house.rng.choice((30, 120, 900, 2_700)), clean=house.chance(0.3),
        will_topic=f"{root}/gone", filters=(f"{root}/ask",), qos=house.rng.choice((1, 2)),
    )  # fmt: skip
    says = (house.say(root, 90, 410, qos=1, retain=True),)
    at_home = house.lan_address()
    mobile = (
        f"100.{house.rng.randint(64, 127)}.{house.rng.randint(0, 255)}.{house.rng.randint(1, 254)}"
    )
    addresses = (at_home,) if house.plan.network == "nat" else (at_home, at_home, mobile)
    script = phone(
        profile, says, addresses=addresses, stays=(90.0, house.between(900, 30_000)),
        period=house.between(45, 2_000),
    )  # fmt: skip
    house.case("roaming")
    house.add_script("wanderer", script, address=at_home, profile=profile, topics=[root])


def onlooker(house: Household) -> None:
    """Somebody with MQTTX or a shell, who looks at everything for a while."""
    rng = house.rng
    person = Person(
        lambda draw: f"mqttx_{draw.getrandbits(32):08x}", house.login("me"), life=house.life,
        per_day=house.often(house.between(0.08, 0.6)), stays=(30.0, 9_000.0),
        filters=rng.choice((("#",), ("#", "$SYS/#"), ("+/#",), ("$SYS/#",))),
        commands=tuple(house.commands[:6]), keep_alive=rng.choice((30, 60, 90)),
    )  # fmt: skip
    house.case("reads-everything")
    house.add_script("onlooker", person.script, address=house.lan_address())


def trial(house: Household) -> None:
    """Trials of a connection: ids that live for a moment."""
    script = set_up_test(
        lambda draw: f"test{draw.randint(1, 99_999)}", house.login("me"),
        house.often(house.between(0.03, 0.4)),
    )  # fmt: skip
    house.add_script("set-up-test", script, address=house.lan_address())


def watcher(house: Household) -> None:
    """Uptime monitoring that only opens the port."""
    script = port_probe(house.rng.choice((20.0, 60.0, 90.0, 240.0)))
    house.add_script("port-probe", script, address=house.server_address())


def forgotten(house: Household) -> None:
    """A device that nobody told the new password."""
    wrong = Connect(f"alt{house.hexes(6)}", f"dev{house.token(3)}", house.token(9), keep_alive=30)
    script = failing_login(
        wrong, house.between(4.5, 75), (900.0, 50 * _HOUR),
        (house.rare(3 * _HOUR), house.rare(300 * _HOUR)),
    )  # fmt: skip
    house.add_script("stale-password", script, address=house.lan_address())


def fumbler(house: Household) -> None:
    """A password copied badly into a phone, a web page or a new device, until it is right."""
    rng = house.rng
    device = house.chance(0.4)  # a device keeps its id, and stays once it is let in
    mark = rng.choice(("mqttx_", "dash-", "IoTOnOff", "openbk"))
    person = Typist(
        name=lambda draw: f"{mark}{draw.getrandbits(24):06x}", login=house.login("me"),
        per_day=house.often(house.between(0.04, 0.35)), wrong=(1, 4),
        pauses=(house.between(2, 9), house.between(9, 30)),
        stays=(600.0, 40_000.0) if device else (15.0, 1_500.0),
        filters=(f"{place(house)}/cfg/#",) if device else ("#",),
        gives_up=0.2, renames=not device,
    )  # fmt: skip
    address = house.known_address() if house.chance(0.5) else house.lan_address()
    house.add_script("mistyped-password", person.script, address=address)


def cloned(house: Household) -> None:
    """A board copied with its id: the two of them throw each other out for a while."""
    login = house.login("clone")
    profile = Profile(
        client_id=f"board-{house.token(2)}", username=login[0], password=login[1],
        keep_alive=20, retry=(house.between(1.5, 12), 20.0),
    )  # fmt: skip
    says = (house.say(f"{place(house)}/{house.token(3)}/v", 1, 20),)
    maker = client(profile, (Every(period=house.between(4, 90), says=says),), house.life)
    house.add_script(
        "bench-sensor", maker, address=house.lan_address(), profile=profile,
        topics=[says[0].topic],
    )  # fmt: skip
    twin = starts_later(maker, (house.rare(9 * _HOUR), house.rare(500 * _HOUR)), (90.0, 2_400.0))
    house.add_script("doubled-id", twin, address=house.lan_address())


def arrival(house: Household) -> None:
    """A device bought while the detector is already running."""
    login = house.login("arrival")
    root = f"{house.token(4)}/{place(house)}"
    says = tuple(house.say(f"{root}/{n}", 1, 340) for n in range(house.rng.randint(1, 8)))
    profile = Profile(
        client_id=f"{house.hexes(10)}", username=login[0], password=login[1],
        keep_alive=house.rng.choice((20, 60, 600)), will_topic=f"{root}/w",
        filters=(f"{root}/in/#",), hello=says, outages=losses(house, wired=False),
    )  # fmt: skip
    habits = [
        Every(period=house.between(1.5, 900), says=says, one_of=house.chance(0.5), jitter=0.1)
    ]
    house.add(
        "newcomer", profile, habits, address=house.lan_address(),
        topics=[say.topic for say in says], start=house.rare(house.between(1, 140) * _HOUR),
    )  # fmt: skip


def old_controller(house: Household) -> None:
    """A programmable controller with a keep-alive of many hours, or none."""
    root = f"plc/{house.hexes(3)}"
    login = house.login("plc")
    profile = Profile(
        client_id=f"LOGO{house.hexes(4)}", username=login[0], password=login[1],
        keep_alive=house.rng.choice((18_000, 21_600, 43_200, 0)),
        outages=(Outage(mean=house.rare(house.between(20, 700) * _HOUR), down=(5, 900)),),
        retry=(10, 60),
    )  # fmt: skip
    says = (house.say(f"{root}/io", 12, 420),)
    habits = [Every(period=house.between(3, 700), says=says, jitter=0.02)]
    house.add(
        "odd-keep-alive", profile, habits, address=house.lan_address(), topics=[says[0].topic]
    )


def upkeep(house: Household) -> None:
    """The broker is restarted about weekly, and now and then the power fails."""
    house.case("power-cut")
    mean = house.rare(house.between(60, 400) * _HOUR)
    script = caretaker(mean, house.rare(1_300 * _HOUR), (0.8, 55.0))
    house.add_script("broker-restart", script, address="")
