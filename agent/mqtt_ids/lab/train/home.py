"""How the homes to train on are put together: styles, mixes, networks and logins."""

import functools
import random
from collections.abc import Callable, Mapping

from mqtt_ids.lab.habits import log_uniform
from mqtt_ids.lab.household import Home, Household, Logins, Network, Plan
from mqtt_ids.lab.life import DAY, HOUR, Rhythm
from mqtt_ids.lab.train import (
    anything,
    appliances,
    bridges,
    cameras,
    firmware,
    sensors,
    services,
    visitors,
)

_NETWORKS: tuple[Network, ...] = ("lan", "docker", "nat")
_LOGINS: tuple[Logins, ...] = ("open", "one", "kinds", "each")
_SENSORS = {
    f"fixed-{kind}": functools.partial(sensors.fixed_sensor, kind=kind) for kind in sensors.KINDS
}
_CHATTY = {
    f"chatty-{kind}": functools.partial(sensors.fixed_sensor, kind=kind, chatty=True)
    for kind in sensors.KINDS
}
_APPLIANCES = {
    kind: functools.partial(appliances.appliance, kind=kind) for kind in appliances.APPLIANCES
}
MAKERS: Mapping[str, Callable[[Household], None]] = {
    **_SENSORS,
    **_CHATTY,
    **_APPLIANCES,
    "anything": anything.anything,
    "tasmota": firmware.tasmota,
    "tasmota-meter": firmware.tasmota_meter,
    "esphome": firmware.esphome,
    "shelly": firmware.shelly,
    "led-controller": firmware.wled,
    "home-made": firmware.home_made,
    "odd-keep-alive": firmware.odd_keep_alive,
    "over-the-air": firmware.updating_device,
    "zigbee-bridge": services.zigbee_bridge,
    "frigate": cameras.frigate,
    "camera": cameras.camera,
    "node-red": services.node_red,
    "rtl-433": services.rtl_433,
    "periodic-discovery": services.periodic_discovery,
    "site-bridge": bridges.site_bridge,
    "deep-sleeper": visitors.deep_sleeper,
    "shell-script": visitors.shell_script,
    "presence-phone": visitors.presence_phone,
    "newcomer": visitors.newcomer,
    "doubled-id": visitors.doubled_id,
}

# Weights of the kinds that a style draws from; what is not named weighs nothing.
_EVERY = dict.fromkeys(_APPLIANCES, 0.4) | {
    "deep-sleeper": 0.8, "presence-phone": 0.7, "newcomer": 0.3, "odd-keep-alive": 0.25,
    "over-the-air": 0.3, "doubled-id": 0.03, "home-made": 0.6, "shell-script": 0.3,
    "site-bridge": 0.15, "periodic-discovery": 0.1,
}  # fmt: skip
STYLES: Mapping[str, Mapping[str, float]] = {
    "testbed": dict.fromkeys(_CHATTY, 1.0),
    "sensors": dict.fromkeys(_SENSORS, 1.0) | {"deep-sleeper": 1.0, "home-made": 0.5},
    "plugs": _EVERY | {"tasmota": 6.0, "tasmota-meter": 3.0, "shelly": 2.0},
    "maker": _EVERY | {"esphome": 5.0, "home-made": 4.0, "led-controller": 1.5, "node-red": 0.6},
    "zigbee": _EVERY | {"zigbee-bridge": 0.8, "shelly": 1.0, "tasmota": 1.0},
    "cameras": _EVERY | {"camera": 3.0, "frigate": 0.7, "esphome": 1.0},
    "mixed": _EVERY | dict.fromkeys(_SENSORS, 0.15) | {
        "tasmota": 2.0, "tasmota-meter": 1.0, "esphome": 2.0, "shelly": 2.0, "led-controller": 0.6,
        "zigbee-bridge": 0.4, "frigate": 0.2, "camera": 0.4, "node-red": 0.3, "rtl-433": 0.2,
        "periodic-discovery": 0.2,
    },
}  # fmt: skip
_STYLE_WEIGHTS = {
    "testbed": 1.0, "sensors": 0.7, "plugs": 1.2, "maker": 1.2, "zigbee": 1.2, "cameras": 0.6,
    "mixed": 3.0,
}  # fmt: skip
_STRANGE = (0.05, 0.2, 0.4, 1.0)  # clients of no known make, to each of a known one
_SETS_CLOCKS = 0.1  # the share of homes whose week has the change of daylight saving in it
# At most so many of a kind in one home.
_AT_MOST = {"zigbee-bridge": 3, "frigate": 1, "node-red": 2, "rtl-433": 1, "periodic-discovery": 2,
            "doubled-id": 1, "presence-phone": 5, "odd-keep-alive": 3,
            "site-bridge": 2}  # fmt: skip


def build(seed: int, *, size: int | None, style: str | None, eventful: float) -> Home:
    """The home of this seed: `size` clients that live there; 3 to 200 where None."""
    rng = random.Random(f"train/plan/{seed}")
    if style is None:
        style = rng.choices(list(_STYLE_WEIGHTS), list(_STYLE_WEIGHTS.values()))[0]
    plan = _plan(rng, size, style)
    house = Household(seed, plan, _rhythm(rng), eventful)
    controlled = style not in {"testbed", "sensors"} and house.chance(0.8)
    if controlled:
        house.birth_topic = "homeassistant/status"
    house.in_step = house.rng.choice((0.0, 0.0, 0.25, 0.8))
    if style == "zigbee":
        services.zigbee_bridge(house)
    if style == "cameras":
        (cameras.frigate if house.chance(0.6) else cameras.camera)(house)
    strange = sum(STYLES[style].values()) * rng.choice(_STRANGE)
    _fill(house, {**STYLES[style], "anything": strange}, plan.size - controlled)
    if controlled:
        services.home_assistant(house)
    _visitors(house, controlled=controlled)
    return house.finish()


def _plan(rng: random.Random, size: int | None, style: str) -> Plan:
    if size is None:
        size = rng.randint(6, 12) if style == "testbed" else _size(rng)
    network = rng.choices(_NETWORKS, (0.5, 0.38, 0.12))[0]
    subnet = rng.choice(("192.168.1.", "192.168.0.", "192.168.178.", "10.0.0.", "192.168.86."))
    docker = rng.choice(("172.17.0.1", "172.18.0.1", "172.30.32.1"))
    logins: Logins = "open"
    if style != "testbed":
        logins = rng.choices(_LOGINS, (0.3, 0.35, 0.2, 0.15))[0]
    return Plan(
        family="train",
        style=style,
        size=size,
        network=network,
        logins=logins,
        subnet=subnet,
        gateway=docker if network == "docker" else f"{subnet}1",
        users=(rng.choice(("mqtt", "mqttuser", "home", "user")), rng.choice(("", "iot-"))),
        anonymous_too=rng.choices((True, False), (0.2, 0.8))[0],
        connect_timeout=rng.choice((None, 10.0, 90.0)),
    )


def _size(rng: random.Random) -> int:
    """Mostly up to 60 clients, small homes oftener; one home in 25 is larger."""
    if rng.random() < 1 / 25:
        return round(log_uniform(rng, 60, 200))
    return round(log_uniform(rng, 3, 60))


def _rhythm(rng: random.Random) -> Rhythm:
    return Rhythm(
        wakes=rng.uniform(5.0, 9.0),
        sleeps=rng.uniform(21.5, 23.8),
        leaves=rng.uniform(7.0, 10.5),
        returns=rng.uniform(13.0, 19.5),
        spread=rng.uniform(0.2, 1.2),
        works_from_home=rng.random(),
        night_level=rng.uniform(0.01, 0.15),
        away_level=rng.uniform(0.02, 0.4),
        holiday_chance=rng.uniform(0.0, 0.03),
        holiday_days=(1, rng.randint(2, 12)),
        day_length=rng.uniform(8.0, 16.5),
        clock_changes=6 * DAY + 2 * HOUR if rng.random() < _SETS_CLOCKS else None,
        clock_moves=rng.choice((-HOUR, HOUR)),
    )


def _fill(house: Household, weights: Mapping[str, float], size: int) -> None:
    tilt = {kind: weight * house.between(0.3, 3.0) for kind, weight in weights.items()}
    drawn: dict[str, int] = {}
    while house.count < size:
        kind = house.rng.choices(list(tilt), list(tilt.values()))[0]
        drawn[kind] = drawn.get(kind, 0) + 1
        if drawn[kind] >= _AT_MOST.get(kind, house.plan.size):
            del tilt[kind]
        MAKERS[kind](house)


def _visitors(house: Household, *, controlled: bool) -> None:
    visitors.restarts(house)
    for maker, chance in (
        (visitors.explorer, 0.5 if controlled else 0.25),
        (visitors.tester, 0.5 if controlled else 0.15),
        (visitors.watchdog, 0.25),
        (visitors.health_check, 0.12),
        (visitors.misconfigured, 0.1),
        (visitors.stale_password, 0.0 if house.plan.logins == "open" else 0.2),
        (visitors.mistyped_password, 0.0 if house.plan.logins == "open" else 0.3),
    ):
        if house.chance(min(1.0, chance * house.eventful**0.5)):
            maker(house)
