"""Who plays in the demo: a home that the shipped model has never seen, and five attackers."""

import random
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec
from pwdlib.hashers.argon2 import Argon2Hasher

from mqtt_ids.lab.actions import (
    Actor,
    Clock,
    Connect,
    Disconnect,
    Drop,
    Lost,
    Open,
    Script,
    Signal,
    Vanish,
)
from mqtt_ids.lab.attackers import Attack, Attacker
from mqtt_ids.lab.client import ScriptMaker
from mqtt_ids.lab.deeds import Loopback
from mqtt_ids.lab.homes import cast, make_home
from mqtt_ids.lab.household import Home
from mqtt_ids.lab.life import DAY, HOUR

EVENING: Final = DAY + 18.5 * HOUR  # Tuesday: everybody is at home
_HOME: Final = 30  # fourteen clients that stay, each at an address of its own
_OPENS: Final = (Open, Connect)
_LEAVES: Final = (Drop, Disconnect, Vanish)

# Each attack, and for how long at most: from its first packet on it should be found by then.
LIMITS: Final[Mapping[str, float]] = {
    "dos": 6.0,
    "flood": 4.0,
    "slowite": 4.0,
    "malformed": 12.0,
    "brute-force": 15.0,
}
LONGEST: Final = 600.0  # seconds; no script is performed for longer
FLOOD: Final = 500.0  # messages/s


class Scene:
    """The home, who may log in, and the attacks, all on the loopback network.

    `lost` is told the id of each calm client that loses its connection or is kept out.
    """

    def __init__(self, lost: Callable[[str], None]) -> None:
        self.address_of = Loopback()
        home = make_home(_HOME, family="test", size=14, style="house")
        self._home = home
        self.logins = dict(home.rules.logins)
        self.actors = _spied(home, lost)
        self.addresses = frozenset(self.address_of(actor.address) for actor in self.actors)

    @property
    def calm(self) -> dict[str, str]:
        """The id of each client that lives there, and its loopback address."""
        return {one.client_id: self.address_of(one.address) for one in self._home.residents}

    def viewer(self) -> tuple[str, str]:
        """A login for who reads the alerts."""
        name = "viewer"
        self.logins[name] = secrets.token_urlsafe()
        return name, self.logins[name]

    def attack(self, kind: str) -> tuple[str, Attack]:
        """The attack, from time 0 of its own clock on, and the loopback address it comes from."""
        number = list(LIMITS).index(kind)
        home = self._home
        # One spare address each: attackers draw theirs, and two must not draw the same.
        spare = home.spare_addresses[number : number + 1]
        alone = msgspec.structs.replace(home, spare_addresses=spare)
        attacker = Attacker(alone, number, start=0.0, duration=LONGEST)
        makers: dict[str, Callable[[], Attack]] = {
            "dos": attacker.dos,
            "flood": lambda: attacker.flood(rate=FLOOD),
            "slowite": attacker.slowite,
            "malformed": attacker.malformed,
            "brute-force": attacker.brute_force,
        }
        return self.address_of(spare[0]), makers[kind]()


def write_passwords(logins: Mapping[str, str], file: Path) -> None:
    """A password file as amqtt reads it.

    The hashes are cheap on purpose: with costly ones a hundred CONNECTs in a second would load
    this machine more by the hashing than by the attack that is to be shown.
    """
    hasher = Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1)
    lines = [f"{name}:{hasher.hash(password)}\n" for name, password in logins.items()]
    file.touch(mode=0o600)
    file.write_text("".join(lines), encoding="utf-8")


def _spied(home: Home, lost: Callable[[str], None]) -> tuple[Actor, ...]:
    """The home's actors, those who live there with a script that tells of losses."""
    living = {resident.actor: resident.client_id for resident in home.residents}
    return tuple(
        msgspec.structs.replace(actor, script=telling(actor.script, living[number], lost))
        if number in living
        else actor
        for number, actor in enumerate(cast(home))
    )


def telling(script: ScriptMaker, client_id: str, lost: Callable[[str], None]) -> ScriptMaker:
    """The same script, which tells when its client is cut off or not let in."""

    def spied(clock: Clock, rng: random.Random) -> Script:
        inner = script(clock, rng)
        signal: Signal | None = None
        connected = False
        while True:
            try:
                action = inner.send(signal)
            except StopIteration:
                return
            signal = yield action
            gone = isinstance(signal, Lost)
            if gone and (connected or isinstance(action, _OPENS)):
                lost(client_id)
            if isinstance(action, Connect):
                connected = not gone
            elif gone or isinstance(action, (Open, *_LEAVES)):
                connected = False

    return spied
