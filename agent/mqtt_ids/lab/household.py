"""What a home is, and the means to furnish one: addresses, logins, names, clients.

No table of devices is here: each family of homes has its own.
"""

import collections
import itertools
import random
from collections.abc import Sequence
from typing import Literal

import msgspec

from mqtt_ids.lab.actions import Actor
from mqtt_ids.lab.broker import Rules
from mqtt_ids.lab.client import Profile, ScriptMaker, client
from mqtt_ids.lab.habits import Habit, Say, log_uniform
from mqtt_ids.lab.life import Life, Rhythm

Logins = Literal["open", "one", "kinds", "each"]
Network = Literal["lan", "docker", "nat"]
Span = tuple[float, float]
_MANY = 3  # so many clients with one user name or address share it
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


class Resident(msgspec.Struct, frozen=True, kw_only=True):
    """A client of the home as an attacker could know it. `topics` are those it publishes on.

    `actor` is its index among the home's actors; `stays` tells that it stays connected.
    """

    kind: str
    actor: int
    client_id: str
    address: str
    username: str | None
    password: str | None
    topics: tuple[str, ...]
    stays: bool

    def __repr__(self) -> str:
        """Without the password."""
        return f"Resident({self.kind!r}, client_id={self.client_id!r}, address={self.address!r})"


class Home(msgspec.Struct, frozen=True, kw_only=True):
    """A simulated home. `cases` names the kinds of clients and of normal life that are in it."""

    seed: int
    family: str
    style: str
    network: Network
    rules: Rules
    actors: tuple[Actor, ...]
    residents: tuple[Resident, ...]
    cases: frozenset[str]
    spare_addresses: tuple[str, ...]  # of its network, used by nobody


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How a home's network and logins are laid out."""

    family: str
    style: str
    size: int
    network: Network
    logins: Logins
    subnet: str  # "192.168.1."
    gateway: str  # the one address that hides all clients of software on the server
    users: tuple[str, ...]
    anonymous_too: bool
    connect_timeout: float | None


class Household:
    """A home being furnished. Device makers call `add`, `add_script` and the drawing helpers.

    `eventful` multiplies how often rare events come (restarts, updates, visitors).
    """

    def __init__(self, seed: int, plan: Plan, rhythm: Rhythm, eventful: float) -> None:
        self.rng = random.Random(f"{plan.family}/home/{seed}")
        self.plan = plan
        self.eventful = eventful
        self.life = Life(f"{plan.family}/life/{seed}", rhythm)
        self.commands: list[Say] = []  # what a controller of this home may publish
        self.birth_topic: str | None = None
        self.in_step = 0.0  # the share of devices here that report at the top of the hour
        self._seed = seed
        self._actors: list[Actor] = []
        self._residents: list[Resident] = []
        self._cases: set[str] = set()
        self._hosts = list(range(10, 251))
        self.rng.shuffle(self._hosts)
        self._passwords: dict[str, str] = {}
        self._taken: set[str] = set()  # ids; an empty one is nobody's

    @property
    def count(self) -> int:
        """How many clients live here for good."""
        return len(self._residents)

    def finish(self) -> Home:
        """The furnished home."""
        plan = self.plan
        self._note_what_is_shared()
        if self.life.rhythm.clock_changes is not None:
            self.case("daylight-saving")
        if any(map(self.life.on_holiday, range(7))):
            self.case("holiday")
        # Every broker knows one user at least: a wrong password is refused where all may enter.
        self._passwords.setdefault(plan.users[0], self.token(12))
        rules = Rules(
            anonymous=plan.logins == "open" or plan.anonymous_too,
            logins=self._passwords,
            connect_timeout=plan.connect_timeout,
            key=f"{plan.family}{self._seed}".encode(),
        )
        return Home(
            seed=self._seed,
            family=plan.family,
            style=plan.style,
            network=plan.network,
            rules=rules,
            actors=tuple(self._actors),
            residents=tuple(self._residents),
            cases=frozenset(self._cases),
            spare_addresses=tuple(f"{plan.subnet}{host}" for host in self._hosts),
        )

    def case(self, name: str) -> None:
        """Note that this case of normal life is in the home."""
        self._cases.add(name)

    def _note_what_is_shared(self) -> None:
        for case, those in (
            ("shared-address", collections.Counter(one.address for one in self._residents)),
            ("shared-user", collections.Counter(one.username for one in self._residents)),
        ):
            del those[None]
            if those and those.most_common(1)[0][1] >= _MANY:
                self.case(case)

    def known_address(self) -> str:
        """An address that a client which lives here has already."""
        return self.rng.choice(self._residents).address

    def lan_address(self) -> str:
        """A new address of the home's own network; behind NAT always the one."""
        if self.plan.network == "nat":
            return self.plan.gateway
        return f"{self.plan.subnet}{self._hosts.pop()}" if self._hosts else self.plan.gateway

    def server_address(self) -> str:
        """The address of software that runs beside the broker; with Docker shared by all of it."""
        return self.lan_address() if self.plan.network == "lan" else self.plan.gateway

    def login(self, kind: str) -> tuple[str | None, str | None]:
        """User name and password for a client of this kind, by the home's custom."""
        plan = self.plan
        if plan.logins == "open":
            return None, None
        if plan.logins == "one":
            name = plan.users[0]
        elif plan.logins == "kinds":
            name = f"{plan.users[1]}{kind}"
        else:
            name = f"{kind}-{self.token(4)}"
        if name not in self._passwords:
            self._passwords[name] = self.token(10)
        return name, self._passwords[name]

    def shared_login(self, name: str) -> tuple[str | None, str | None]:
        """The login that a firmware gives to all its devices."""
        if self.plan.logins == "open":
            return None, None
        return name, self._passwords.setdefault(name, self.token(8))

    def token(self, length: int) -> str:
        """Random letters and digits."""
        return "".join(self.rng.choices(_LETTERS, k=length))

    def hexes(self, length: int) -> str:
        """Random hexadecimal digits."""
        return f"{self.rng.getrandbits(4 * length):0{length}x}"

    def between(self, low: float, high: float) -> float:
        """A number between the two, as likely in each octave."""
        return log_uniform(self.rng, low, high)

    def chance(self, probability: float) -> bool:
        """True so often."""
        return self.rng.random() < probability

    def rare(self, mean: float) -> float:
        """The mean time between rare events, shortened in an eventful home."""
        return mean / self.eventful

    def often(self, per_day: float) -> float:
        """The daily number of rare events, raised in an eventful home."""
        return per_day * self.eventful

    def say(
        self, topic: str, low: float, high: float, *, qos: int = 0, retain: bool = False
    ) -> Say:
        """A topic with payloads between two sizes in bytes."""
        return Say(topic, (int(low), int(max(low, high))), qos=qos, retain=retain, seed=self.rng)

    def add(
        self,
        kind: str,
        profile: Profile,
        habits: Sequence[Habit],
        *,
        address: str,
        topics: Sequence[str],
        start: float = 0.0,
    ) -> None:
        """Add a client that stays connected. Where its id is taken, it gets a number behind."""
        taken, name = self._taken, profile.client_id
        numbers = (f"{name}-{number}" for number in itertools.count(2))
        free = next(each for each in itertools.chain((name,), numbers) if each not in taken)
        profile = msgspec.structs.replace(profile, client_id=free)
        script = client(profile, tuple(habits), self.life)
        self.add_script(
            kind, script, address=address, profile=profile, topics=topics, start=start, stays=True
        )

    def add_script(
        self,
        kind: str,
        script: ScriptMaker,
        *,
        address: str,
        profile: Profile | None = None,
        topics: Sequence[str] = (),
        start: float = 0.0,
        stays: bool = False,
    ) -> None:
        """Add an actor with a script of its own; with a profile it is also a resident.

        One whose id is taken is left out: who fights over an id here does so on purpose.
        """
        if profile is not None and profile.client_id in self._taken:
            return
        number = len(self._actors)
        name = kind if profile is None else profile.client_id
        self._cases.add(kind)
        self._actors.append(
            Actor(
                name=f"{kind}/{name}",
                address=address,
                script=script,
                seed=f"{self.plan.family}/{self._seed}/{number}",
                start=start,
                client_id=None if profile is None else profile.client_id,
            )
        )
        if profile is not None:
            self._taken.add(profile.client_id)
            self._taken.discard("")
            self._residents.append(
                Resident(
                    kind=kind,
                    actor=number,
                    client_id=profile.client_id,
                    address=address,
                    username=profile.username,
                    password=profile.password,
                    topics=tuple(topics),
                    stays=stays,
                )
            )
