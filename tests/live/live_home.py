"""Twelve calm clients at twelve addresses, and the attacks, each from an address of its own."""

import random
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import msgspec
from live_tools import MARKER

from mqtt_ids.demo_scene import telling
from mqtt_ids.lab import attack_scripts as scripts
from mqtt_ids.lab import wire
from mqtt_ids.lab.actions import Actor, Clock, Connect, Lost, Open, Ping, Publish, Script, Send
from mqtt_ids.lab.client import Profile, Reaction, ScriptMaker, client
from mqtt_ids.lab.fuzz import word
from mqtt_ids.lab.habits import Every, Habit, Say, Sporadic
from mqtt_ids.lab.life import DAY, Life, Rhythm

FAMILY: Final = "family"  # a user name that many share, attackers too: they know the password
LISTENER: Final = "listener"
_LIFE: Final = Life("live", Rhythm())
_FOREVER: Final = 600.0  # seconds: an attack ends when it is stopped


def password(username: str) -> str:
    return f"{MARKER}-{username}"


def logins() -> dict[str, str]:
    """Everybody's password."""
    users = {FAMILY, LISTENER, "homeassistant", "zigbee2mqtt", "meter"}
    return {user: password(user) for user in sorted(users)}


def marked(size: int) -> bytes:
    """A payload with the marker in it."""
    return MARKER.encode().ljust(size, b".")


# The home.


def _say(
    topic: str, low: int, high: int | None = None, *, qos: int = 0, retain: bool = False
) -> Say:
    sizes = (low, low if high is None else high)
    return Say(topic, sizes, qos=qos, retain=retain, seed=random.Random(topic))


def _every(period: float, *says: Say, jitter: float = 0.02) -> Every:
    return Every(period=period, says=says, jitter=jitter)


def _now_and_then(gap: float, *says: Say, repeats: tuple[int, int] = (1, 1)) -> Sporadic:
    return Sporadic(
        per_day=DAY / gap, says=says, follows="clock", one_of=True, repeats=repeats, gap=0.2
    )


def _profile(client_id: str, user: str = FAMILY, **more: object) -> Profile:
    """A profile; what it does not say is as most libraries have it."""
    plain = Profile(client_id=client_id, username=user, password=password(user))
    return msgspec.structs.replace(plain, **more)


def _home_assistant() -> tuple[Profile, tuple[Habit, ...]]:
    rooms = [f"room{number}" for number in range(24)]
    filters = (
        "homeassistant/#", "homeassistant/status", "zigbee2mqtt/#", "tele/+/LWT", "esphome/+/state",
        *(f"stat/{room}/RESULT" for room in rooms), *(f"tele/{room}/SENSOR" for room in rooms),
    )  # fmt: skip
    profile = _profile(
        "2Qm7xVbLkT0aYdE4WcHs9u",
        "homeassistant",
        will_topic="homeassistant/status",
        filters=filters,
        subscribe_each=True,
        hello=(_say("homeassistant/status", 6, qos=1, retain=True),),
    )
    commands = (_say("cmnd/plug1/POWER", 2, 6), _say("zigbee2mqtt/lamp3/set", 20, 60))
    return profile, (_now_and_then(15.0, *commands),)


def _bridge() -> tuple[Profile, tuple[Habit, ...]]:
    lamps = tuple(_say(f"zigbee2mqtt/lamp{n}", 120, 300, retain=True) for n in range(12))
    found = tuple(
        _say(f"homeassistant/light/0x00158d{n:04x}/config", 500, 1_200, retain=True)
        for n in range(25)
    )
    states = (
        _say("zigbee2mqtt/bridge/state", 18, 20, retain=True),
        _say("zigbee2mqtt/bridge/info", 4_000, 6_000, retain=True),
        _say("zigbee2mqtt/bridge/devices", 20_000, retain=True),
    )
    profile = _profile(
        "mqttjs_5d1f03ac",
        "zigbee2mqtt",
        will_topic="zigbee2mqtt/bridge/state",
        filters=("zigbee2mqtt/+/set", "zigbee2mqtt/+/get", "zigbee2mqtt/bridge/request/#"),
        hello=(*states, *found, *lamps),
        hello_gap=0.01,
        reactions={"zigbee2mqtt/lamp3/set": Reaction(says=(lamps[3],))},
    )
    return profile, (_now_and_then(4.0, *lamps, repeats=(1, 3)),)


def _plug() -> tuple[Profile, tuple[Habit, ...]]:
    answer = _say("stat/plug1/RESULT", 14, 20)
    profile = _profile(
        "DVES_4A7C21",
        keep_alive=30,
        will_topic="tele/plug1/LWT",
        filters=("cmnd/plug1/#", "cmnd/tasmotas/#"),
        hello=(_say("tele/plug1/LWT", 6, retain=True), _say("tele/plug1/INFO1", 90, 120)),
        reactions={"cmnd/plug1/POWER": Reaction(says=(answer,))},
    )
    telemetry = (_say("tele/plug1/STATE", 300, 330), _say("tele/plug1/SENSOR", 180, 200))
    return profile, (_every(10.0, *telemetry),)


def _residents() -> Mapping[str, tuple[Profile, tuple[Habit, ...]]]:
    """Who lives where, but for the client whose payloads are marked."""
    return {
        "127.0.0.11": _home_assistant(),
        "127.0.0.12": _bridge(),
        "127.0.0.13": (
            _profile("meter-1", "meter", keep_alive=20),
            (_every(1.0, _say("meter/power", 8, 12)),),
        ),
        "127.0.0.14": (
            _profile("kitchen", keep_alive=15),
            (_every(5.0, _say("kitchen/climate", 40, 60)),),
        ),
        "127.0.0.15": _plug(),
        "127.0.0.16": (
            _profile("thermostat-7", filters=("heating/7/set",), qos=1),
            (_every(6.0, _say("heating/7/state", 80, 120, qos=1)),),
        ),
        "127.0.0.17": (
            _profile("porch-door", pings_always=True),
            (_now_and_then(12.0, _say("door/porch", 4, 6, qos=1, retain=True)),),
        ),
        "127.0.0.18": (
            _profile("esp-cellar", will_topic="esphome/cellar/status", keep_alive=15),
            (_every(8.0, _say("esphome/cellar/state", 4, 7), _say("esphome/cellar/rssi", 3)),),
        ),
        "127.0.0.19": (
            _profile("porch-cam", filters=("cam/porch/set",)),
            (
                _every(5.0, _say("cam/porch/image", 20_000, 30_000)),
                _now_and_then(6.0, _say("cam/porch/motion", 2, 3), repeats=(1, 4)),
            ),
        ),
        "127.0.0.20": (
            _profile("phone-ann", clean=False, keep_alive=60, qos=1, filters=("owntracks/+/+",)),
            (_now_and_then(20.0, _say("owntracks/ann/phone", 150, 220, qos=1, retain=True)),),
        ),
        "127.0.0.21": (
            _profile("solar", will_topic="solar/online", keep_alive=30),
            (_every(3.0, *(_say(f"solar/0/{name}", 4, 8) for name in ("power", "volt", "temp"))),),
        ),
    }


MARKED: Final = "weather"
MARKED_TOPIC: Final = "weather/now"
MARKED_AT: Final = "127.0.0.22"


def _weather(_clock: Clock, rng: random.Random) -> Script:
    """A client whose payloads bear the marker: each three seconds, and a ping now and then."""
    yield Open()
    yield Connect(MARKED, FAMILY, password(FAMILY), keep_alive=30)
    report = Send(wire.packet(0x31, wire.text(MARKED_TOPIC) + marked(60)))
    while True:
        for _ in range(4):
            if type((yield report)) is Lost or type((yield rng.uniform(2.8, 3.2))) is Lost:
                return
        yield Ping()


def addresses() -> dict[str, str]:
    """The address of each calm client."""
    found = {profile.client_id: address for address, (profile, _) in _residents().items()}
    return {**found, MARKED: MARKED_AT}


def residents(lost: Callable[[str], None]) -> list[Actor]:
    """The twelve, who all come at once, as after a power cut.

    `lost` is told of each that is cut off or not let in.
    """

    def one(client_id: str, address: str, script: ScriptMaker) -> Actor:
        return Actor(
            name=client_id,
            address=address,
            script=telling(script, client_id, lost),
            seed=client_id,
            client_id=client_id,
        )

    home = [
        one(profile.client_id, address, client(profile, habits, _LIFE))
        for address, (profile, habits) in _residents().items()
    ]
    return [*home, one(MARKED, MARKED_AT, _weather)]


# The attacks.


def _actor(address: str, script: ScriptMaker, number: int = 0, start: float = 0.0) -> Actor:
    name = f"{address}/{number}"
    return Actor(name=name, address=address, script=script, seed=name, start=start)


def _newcomer(seed: str) -> Connect:
    return Connect(word(random.Random(seed), 6, 20), FAMILY, password(FAMILY))


def flood(
    address: str, *, rate: float = 1_000.0, client_id: str | None = None, keep_alive: int = 60
) -> list[Actor]:
    """One client publishes `rate` messages/s, with the marker in each."""
    hello = msgspec.structs.replace(_newcomer(address), keep_alive=keep_alive)
    if client_id is not None:
        hello = msgspec.structs.replace(hello, client_id=client_id)
    batch = max(1, round(rate / 100))
    data = Send(wire.packet(0x30, wire.text("garden/humidity") + marked(64)) * batch)

    def pour(_: Clock, __: random.Random) -> Script:
        while type((yield data)) is not Lost and type((yield batch / rate)) is not Lost:
            pass

    return [_actor(address, scripts.session(lambda: hello, pour, _FOREVER))]


def dos(address: str, *, connections: int = 100, rate: float = 10.0) -> list[Actor]:
    """Many connections, opened within two seconds, each publishing at QoS 1."""

    def one(number: int) -> Actor:
        rng = random.Random(number)
        hello = _newcomer(f"{address}/{number}")

        def message() -> Publish:
            return Publish(f"home/{word(rng, 4, 8)}/state", 100, 1)

        script = scripts.session(lambda: hello, scripts.beat(rate, message, _FOREVER), _FOREVER)
        return _actor(address, script, number, 2.0 * number / connections)

    return [one(number) for number in range(connections)]


def slowite(address: str, *, connections: int = 100, keep_alive: int = 65_535) -> list[Actor]:
    """Whole CONNECTs with the longest keep-alive, within a second, then silence."""

    def one(number: int) -> Actor:
        hello = msgspec.structs.replace(_newcomer(f"{address}/{number}"), keep_alive=keep_alive)
        script = scripts.hold(hello, _FOREVER)
        return _actor(address, script, number, number / connections)

    return [one(number) for number in range(connections)]


def half_open(address: str, *, connections: int = 100, mode: str = "half-open") -> list[Actor]:
    """The first five bytes of a CONNECT, within a second, then silence."""
    script = scripts.half_open(mode, _newcomer(address), _FOREVER)
    return [_actor(address, script, number, number / connections) for number in range(connections)]


def malformed(address: str, *, rate: float = 3.0) -> list[Actor]:
    """A fuzzer; half of what it tries breaks the protocol."""
    rng = random.Random(address)

    def hello() -> Connect:
        return _newcomer(word(rng, 8, 8))

    return [_actor(address, scripts.fuzzer(hello, rate, 0.5, _FOREVER))]


def brute_force(address: str) -> list[Actor]:
    """A password guessed each second, the marker in each."""
    rng = random.Random(address)

    def guess() -> Connect:
        return Connect(word(rng, 6, 20), FAMILY, f"{MARKER}!{word(rng, 4, 12)}")

    return [_actor(address, scripts.guesses(guess, 1.0, 0.1, _FOREVER))]


class Attack(NamedTuple):
    """An attack: what it should be called, and within how many seconds of its first packet."""

    name: str
    limit: float
    address: str
    actors: Callable[[str], list[Actor]]


ATTACKS: Final[Mapping[str, Attack]] = {
    "flood": Attack("flood", 4.0, "127.0.1.1", flood),
    "slowite": Attack("slowite", 4.0, "127.0.1.2", slowite),
    "dos": Attack("dos", 6.0, "127.0.1.3", dos),
    "half-open": Attack("slowite", 10.0, "127.0.1.4", half_open),
    "malformed": Attack("malformed", 12.0, "127.0.1.5", malformed),
    "brute-force": Attack("brute-force", 15.0, "127.0.1.6", brute_force),
}
# One after the other, but those that are slow to show and cost the broker little go together.
ROUNDS: Final = (("flood",), ("slowite",), ("dos",), ("half-open", "malformed", "brute-force"))
