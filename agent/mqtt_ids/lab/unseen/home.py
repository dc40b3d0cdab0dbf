"""How the unseen homes are put together. Nothing here comes from the training tables."""

import functools
import random
from collections.abc import Callable, Mapping

from mqtt_ids.lab.habits import log_uniform
from mqtt_ids.lab.household import Home, Household, Logins, Network, Plan
from mqtt_ids.lab.life import DAY, HOUR, Rhythm
from mqtt_ids.lab.unseen import gear, guests, links, software

_GEAR = {kind: functools.partial(gear.gear, kind=kind) for kind in gear.GEAR}
MAKERS: Mapping[str, Callable[[Household], None]] = {
    **_GEAR,
    "radio-bridge": software.zwave_bridge,
    "energy-hub": software.energy_hub,
    "recorder": software.recorder,
    "metrics": software.metrics,
    "listener": software.listener,
    "flows": software.flows,
    "configurator": software.configurator,
    "far-site": links.far_site,
    "sleeping-sensor": guests.sleeping_sensor,
    "job": guests.job,
    "wanderer": guests.wanderer,
    "cloned": guests.cloned,
    "arrival": guests.arrival,
    "old-controller": guests.old_controller,
}
_BASE = dict.fromkeys(_GEAR, 1.0) | {
    "bench-sensor": 0.3, "sleeping-sensor": 2.0, "job": 0.8, "wanderer": 1.6, "cloned": 0.08,
    "arrival": 0.7, "old-controller": 0.6, "flows": 0.5, "metrics": 0.6, "listener": 0.5,
    "recorder": 0.5, "radio-bridge": 0.7, "energy-hub": 0.4, "configurator": 0.4,
    "far-site": 0.5,
}  # fmt: skip
STYLES: Mapping[str, Mapping[str, float]] = {
    "bench": {"bench-sensor": 1.0},
    "house": _BASE,
    "energy": _BASE | {
        "inverter-gateway": 4.0, "utility-meter": 4.0, "battery-bank": 3.0, "heat-pump": 3.0,
        "energy-hub": 2.0, "boiler-gateway": 2.0,
    },
    "presence": _BASE | {"room-presence": 7.0, "beacon-gateway": 4.0, "wanderer": 5.0},
    "rural": _BASE | {
        "lora-gateway": 3.0, "mesh-radio": 3.0, "wind-station": 4.0, "sleeping-sensor": 8.0,
        "old-controller": 2.0,
    },
    "homie": _BASE | {"homie-node": 12.0, "flows": 1.0},
}  # fmt: skip
_CHANCES = {"bench": 1.0, "house": 4.0, "energy": 1.5, "presence": 1.5, "rural": 1.5, "homie": 1.0}
_ONCE = frozenset({"energy-hub", "recorder", "listener", "configurator", "cloned", "radio-bridge",
                   "far-site"})  # fmt: skip
_SUMMER = 0.15  # how many homes have the change of daylight saving in their week
_NETWORKS: tuple[Network, ...] = ("lan", "docker", "nat")
_LOGINS: tuple[Logins, ...] = ("open", "one", "kinds", "each")


def build(seed: int, *, size: int | None, style: str | None, eventful: float) -> Home:
    """The home of this seed: `size` clients that live there; 3 to 200 where None."""
    rng = random.Random(f"test/plan/{seed}")
    style = style or rng.choices(list(_CHANCES), list(_CHANCES.values()))[0]
    plan = _plan(rng, size, style)
    house = Household(seed, plan, _rhythm(rng), eventful)
    controlled = style != "bench" and house.chance(0.7)
    if controlled:
        house.birth_topic = house.rng.choice(("openhab/status", "hub/online"))
    house.in_step = house.rng.choice((0.0, 0.1, 0.6))
    weights = {kind: w * house.between(0.25, 4.0) for kind, w in STYLES[style].items()}
    while house.count < plan.size - controlled:
        kind = house.rng.choices(list(weights), list(weights.values()))[0]
        if kind in _ONCE:
            del weights[kind]
        MAKERS[kind](house)
    if controlled:
        software.controller(house)
    guests.upkeep(house)
    for maker, chance in (
        (guests.onlooker, 0.5),
        (guests.trial, 0.3),
        (guests.watcher, 0.3),
        (guests.health, 0.15),
        (guests.forgotten, 0.0 if plan.logins == "open" else 0.3),
        (guests.fumbler, 0.0 if plan.logins == "open" else 0.4),
    ):
        if house.chance(min(1.0, chance * eventful**0.5)):
            maker(house)
    return house.finish()


def _plan(rng: random.Random, size: int | None, style: str) -> Plan:
    if size is None:
        size = rng.randint(3, 14) if style == "bench" else round(log_uniform(rng, 3, _most(rng)))
    network = rng.choices(_NETWORKS, (0.55, 0.33, 0.12))[0]
    subnet = rng.choice(("10.1.7.", "192.168.50.", "172.20.4.", "fd12:9a::", "192.168.4."))
    inner = rng.choice(("172.19.0.1", "10.88.0.1", "172.21.0.1"))
    return Plan(
        family="test",
        style=style,
        size=size,
        network=network,
        logins="open" if style == "bench" else rng.choices(_LOGINS, (0.25, 0.3, 0.2, 0.25))[0],
        subnet=subnet,
        gateway=inner if network == "docker" else f"{subnet}254",
        users=(rng.choice(("iot", "broker", "hausnetz")), rng.choice(("u_", "svc-"))),
        anonymous_too=rng.choices((True, False), (0.15, 0.85))[0],
        connect_timeout=rng.choice((None, 15.0, 60.0)),
    )


def _most(rng: random.Random) -> float:
    """The size that a home stays below: few are really large."""
    return rng.choices((25.0, 70.0, 200.0), (0.35, 0.5, 0.15))[0]


def _rhythm(rng: random.Random) -> Rhythm:
    return Rhythm(
        wakes=rng.uniform(4.5, 8.5),
        sleeps=rng.uniform(21.0, 23.9),
        leaves=rng.uniform(6.0, 11.0),
        returns=rng.uniform(12.0, 20.5),
        spread=rng.uniform(0.3, 1.5),
        works_from_home=rng.uniform(0.0, 0.8),
        night_level=rng.uniform(0.02, 0.2),
        away_level=rng.uniform(0.03, 0.35),
        holiday_chance=rng.uniform(0.0, 0.04),
        holiday_days=(1, rng.choice((1, 3, 16))),
        day_length=rng.uniform(7.5, 17.0),
        clock_changes=6 * DAY + rng.choice((1, 2, 3)) * HOUR if rng.random() < _SUMMER else None,
        clock_moves=rng.choice((HOUR, -HOUR)),
    )
