"""Attacks with settings drawn from wide ranges."""

import random
from collections.abc import Callable, Mapping

from mqtt_ids.lab.attackers import Attack, Attacker, Identity
from mqtt_ids.lab.habits import log_uniform
from mqtt_ids.lab.household import Home, Resident

_MOST_MESSAGES = 2e6  # of a flood, so that the fastest are the shortest
_IDENTITIES: tuple[Identity, ...] = ("new", "address", "client", "many")


def draw_attack(
    home: Home, seed: int, *, kind: str | None = None, start: float, duration: float | None = None,
    identity: Identity | None = None, victim: Resident | None = None,
) -> Attack:  # fmt: skip
    """An attack with settings drawn from wide ranges; what is given stays as given.

    Only that a patient one lasts longer than `duration` where it could show nothing else.
    `kind` is one of `KINDS`. ValueError for another.
    """
    rng = random.Random(f"{home.family}/{home.seed}/draw/{seed}")
    kind = kind or rng.choice(KINDS)
    if kind not in KINDS:
        raise ValueError(f"no such attack: {kind!r}; there are {', '.join(KINDS)}")
    if identity is None:
        identity = rng.choices(_IDENTITIES, (0.4, 0.25, 0.25, 0.1))[0]
    if duration is None:
        duration = log_uniform(rng, 1.0 if kind == "flood" else 20.0, 600.0)
    by = Attacker(home, seed, start=start, duration=duration, identity=identity, victim=victim)
    return _DRAWS[kind](by, rng)


def _draw_flood(by: Attacker, rng: random.Random) -> Attack:
    longest = max(1.0, by.end - by.start)
    return by.flood(
        rate=log_uniform(rng, 2.0, min(1e6, _MOST_MESSAGES / longest)),
        size=round(log_uniform(rng, 2, 20_000)),
        topics=rng.choice(("one", "random", "own")),
        keep_alive=rng.choice((0, 60, 60)),
        qos=rng.choice((0, 0, 1)),
    )


def _draw_dos(by: Attacker, rng: random.Random) -> Attack:
    connections = round(log_uniform(rng, 10, 500))
    mode = rng.choice(("publish", "publish", "storm"))
    total = log_uniform(rng, 50.0, 3_000.0) / (10.0 if mode == "storm" else 1.0)
    return by.dos(
        connections=connections,
        rate=max(0.05, total / connections),
        size=round(log_uniform(rng, 10, 50_000)),
        mode=mode,
        opens_in=log_uniform(rng, 0.3, 10.0),
        each=rng.randint(1, 5),
    )


def _draw_slowite(by: Attacker, rng: random.Random) -> Attack:
    return by.slowite(
        connections=round(log_uniform(rng, 20, 1_000)),
        mode=rng.choice(("keep-alive", "keep-alive", "half-open", "empty", "drip")),
        opens_in=log_uniform(rng, 0.5, 60.0),
        keep_alive=rng.choice((65_535, 65_535, 0, rng.randint(18_000, 65_535))),
        each=rng.randint(1, 5),
    )


def _draw_malformed(by: Attacker, rng: random.Random) -> Attack:
    return by.malformed(rate=log_uniform(rng, 1.0, 10.0), broken=rng.uniform(0.1, 0.9))


def _draw_brute_force(by: Attacker, rng: random.Random) -> Attack:
    gap = log_uniform(rng, 0.2, 120.0)
    by.lasts(25 * gap)
    return by.brute_force(
        gap=gap,
        ids=rng.choice(("random", "same")),
        users=rng.choice((1, 1, 5, 50)),
        jitter=rng.uniform(0.02, 0.6),
    )


def _draw_enumeration(by: Attacker, rng: random.Random) -> Attack:
    return by.enumeration(mode=rng.choice(("all", "hash", "many")), filters=rng.randint(20, 300))


def _draw_takeover(by: Attacker, rng: random.Random) -> Attack:
    patience = log_uniform(rng, 0.5, 30.0)
    by.lasts(6 * patience)
    return by.takeover(patience=patience)


def _draw_spoofing(by: Attacker, rng: random.Random) -> Attack:
    mode = rng.choice(("topic", "topic", "alert", "will"))
    return by.spoofing(mode=mode, topics=rng.randint(1, 50), gap=log_uniform(rng, 0.05, 20.0))


def _draw_turn(by: Attacker, rng: random.Random) -> Attack:
    rate = log_uniform(rng, 0.05, 50.0)
    by.lasts(20 / rate)
    return by.turn(rate=rate)


def _draw_silence(by: Attacker, rng: random.Random) -> Attack:
    by.lasts(log_uniform(rng, 900.0, 14_400.0))
    return by.silence(mode=rng.choice(("jammed", "stolen", "stopped")))


_DRAWS: Mapping[str, Callable[[Attacker, random.Random], Attack]] = {
    "flood": _draw_flood,
    "dos": _draw_dos,
    "slowite": _draw_slowite,
    "malformed": _draw_malformed,
    "brute-force": _draw_brute_force,
    "enumeration": _draw_enumeration,
    "takeover": _draw_takeover,
    "spoofing": _draw_spoofing,
    "turn": _draw_turn,
    "silence": _draw_silence,
}
KINDS = tuple(_DRAWS)
