"""Attackers: scripts with intensity, duration, identity and patience.

Ids, topics and logins are drawn the way homes draw theirs, or taken from the home under attack:
nothing in an event says that it is an attack. What really happened is told by `Truth` alone.
"""

import random
from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from mqtt_ids.lab import attack_scripts
from mqtt_ids.lab.actions import Action, Actor, Connect, Disconnect, Drop, Publish, Truth, Vanish
from mqtt_ids.lab.attack_names import Names
from mqtt_ids.lab.client import ScriptMaker
from mqtt_ids.lab.fuzz import word
from mqtt_ids.lab.household import Home, Resident

Identity = Literal["new", "address", "client", "many"]


class Attack(msgspec.Struct, frozen=True, kw_only=True):
    """One attack on one home, to be recorded once.

    `actors` come in addition to the home's; `replaced` maps the index of a home's actor to the
    one that stands in for it. `truth` is filled while it is played.
    """

    kind: str
    identity: Identity
    truth: Truth
    actors: tuple[Actor, ...]
    replaced: Mapping[int, Actor]
    settings: Mapping[str, float | str]


class Attacker(Names):
    """Somebody about to attack a home, at `start` for `duration` seconds.

    identity `new`: an unused address and own ids; `address`: a known client's address and own
    ids; `client`: that client itself, by address and id; `many`: many unused addresses.
    """

    def __init__(
        self,
        home: Home,
        seed: int,
        *,
        start: float,
        duration: float,
        identity: Identity = "new",
        victim: Resident | None = None,
    ) -> None:
        self._seed = f"{home.family}/{home.seed}/attack/{seed}"
        rng = random.Random(self._seed)
        staying = [resident for resident in home.residents if resident.stays]
        super().__init__(home, rng, victim or rng.choice(staying or home.residents))
        self.identity = identity
        self.start, self.end = float(start), float(start + duration)
        self._spare = self.rng.sample(home.spare_addresses, len(home.spare_addresses))
        self._actors: list[Actor] = []
        self._replaced: dict[int, Actor] = {}
        self._truth = Truth(kind="", start=self.start, end=self.end)
        self._each = 1  # connections from each of many addresses

    def lasts(self, seconds: float) -> None:
        """Go on for at least so long; to be said before what is done."""
        self.end = max(self.end, self.start + seconds)

    def flood(
        self, *, rate: float = 200.0, size: int = 64, topics: str = "one", keep_alive: int = 60,
        qos: int = 0,
    ) -> Attack:  # fmt: skip
        """One client publishes `rate` messages/s; topics `one`, `random` or `own`."""
        names = self.topic_source(topics)
        workers = self._workers()
        beat = attack_scripts.beat(rate / workers, lambda: Publish(names(), size, qos), self.end)
        for number in range(workers):
            self._on_one_connection(beat, keep_alive, number=number)
        return self._done("flood", rate=rate, size=size, topics=topics, keep_alive=keep_alive)

    def dos(
        self, *, connections: int = 100, rate: float = 10.0, size: int = 100, mode: str = "publish",
        opens_in: float = 2.0, each: int = 1,
    ) -> Attack:  # fmt: skip
        """Many connections load the broker; from many addresses, `each` so many of them.

        `publish`: each publishes `rate` a second at QoS 1; `storm`: each connects, says one thing
        and goes, `rate` times a second.
        """
        self._each = each
        names = self.topic_source("random")
        qos = 1 if mode == "publish" else self.rng.choice((0, 1))

        def one() -> Publish:
            return Publish(names(), size, qos)

        for number in range(connections):
            begin = self.start + opens_in * number / connections
            script: ScriptMaker
            if mode == "publish":
                beat = attack_scripts.beat(rate, one, self.end)
                script = attack_scripts.session(self._hello(number), beat, self.end)
            else:
                script = attack_scripts.storm(self._hello(number), one, rate, self.end)
            self._add(script, number, begin)
        return self._done(
            "dos", connections=connections, rate=rate, size=size, mode=mode, each=each
        )

    def slowite(
        self, *, connections: int = 100, mode: str = "keep-alive", opens_in: float = 1.0,
        keep_alive: int = 65_535, each: int = 1,
    ) -> Attack:  # fmt: skip
        """Connections held open and silent; from many addresses, `each` so many of them.

        `keep-alive`: whole CONNECTs with a long keep-alive; `half-open`: the first five bytes of
        a CONNECT; `empty`: not one byte; `drip`: a byte each five seconds.
        """
        self._each = each
        for number in range(connections):
            begin = self.start + opens_in * number / max(1, connections - 1)
            if mode == "keep-alive":
                hello = self._hello(number)()
                hello = msgspec.structs.replace(hello, keep_alive=keep_alive)
                script = attack_scripts.hold(hello, self.end)
            else:
                script = attack_scripts.half_open(mode, self.connect(), self.end)
            self._add(script, number, begin)
        return self._done(
            "slowite", connections=connections, mode=mode, opens_in=opens_in,
            keep_alive=keep_alive, each=each,
        )  # fmt: skip

    def malformed(self, *, rate: float = 3.0, broken: float = 0.5) -> Attack:
        """A fuzzer: `rate` attempts a second, of which a share `broken` breaks the protocol."""
        workers = self._workers()
        for number in range(workers):
            script = attack_scripts.fuzzer(self._hello(number), rate / workers, broken, self.end)
            self._add(script, number, self.start)
        return self._done("malformed", rate=rate, broken=broken)

    def brute_force(
        self, *, gap: float = 1.0, ids: str = "random", users: int = 1, jitter: float = 0.1
    ) -> Attack:
        """A guess each `gap` seconds, each on a connection of its own, with another password."""
        rng = self.rng
        names = [
            self.victim.username or word(rng, 3, 10),
            *(word(rng, 3, 10) for _ in range(users)),
        ]
        same = self.victim.client_id if self.identity == "client" else self.client_id()

        def guess() -> Connect:
            name = same if ids == "same" or self.identity == "client" else self.client_id()
            user = names[0] if users <= 1 else rng.choice(names[1:])
            return Connect(name, user, f"{word(rng, 4, 12)}!{word(rng, 2, 2)}")

        workers = self._workers()
        for number in range(workers):
            script = attack_scripts.guesses(guess, gap * workers, jitter, self.end)
            self._add(script, number, self.start + gap * number, beside=True)
        return self._done("brute-force", gap=gap, ids=ids, users=users)

    def enumeration(self, *, mode: str = "all", filters: int = 50) -> Attack:
        """Looks at everything: `all` (`#` and `$SYS/#`), `hash` (`#`) or `many` filters."""
        wanted: list[tuple[str, ...]] = [("#",), ("$SYS/#",)] if mode == "all" else [("#",)]
        if mode == "many":
            words = [self.topic_source("random")() for _ in range(filters)]
            wanted = [(f"{one.split('/')[0]}/{word(self.rng)}/#",) for one in words]
        self._on_one_connection(attack_scripts.looks(wanted, self.end), 60)
        return self._done("enumeration", mode=mode, filters=len(wanted))

    def takeover(self, *, patience: float = 3.0) -> Attack:
        """Connects with a known id again and again, and its owner does too: a fight."""
        victim = self.victim
        connect = Connect(victim.client_id, victim.username, victim.password)
        self._truth.client_ids.add(victim.client_id)
        self._add(attack_scripts.fight(connect, patience, self.end), 0, self.start, beside=True)
        return self._done("takeover", patience=patience)

    def spoofing(self, *, mode: str = "topic", topics: int = 3, gap: float = 10.0) -> Attack:
        """Publishes on topics of others (`topic`), on `$ids/…` (`alert`), or leaves a `will`."""
        rng = self.rng
        known = [t for r in self.home.residents if r is not self.victim for t in r.topics]
        picked = rng.sample(known, min(topics, len(known))) or [word(rng, 4, 9)]
        will = None
        if mode != "topic":
            picked = [f"$ids/{rng.choice(('alerts', 'status', 'summary'))}"]
        if mode == "will":
            will = picked[0]
            beat = attack_scripts.looks([], self.end)
        else:
            beat = attack_scripts.beat(
                1.0 / gap, lambda: Publish(rng.choice(picked), rng.randint(2, 300)), self.end
            )
        self._on_one_connection(beat, 60, will=will)
        return self._done("spoofing", mode=mode, topics=len(picked), gap=gap)

    def turn(self, *, rate: float = 1.0, size: int | None = None) -> Attack:
        """A known client publishes on its own topics at another pace; its habits go on."""
        self.identity = "client"
        rng, topics = self.rng, self.victim.topics or (word(self.rng, 3, 8),)

        def one() -> Publish:
            return Publish(rng.choice(topics), rng.randint(2, 80) if size is None else size)

        self._on_one_connection(attack_scripts.beat(rate, one, self.end), 60)
        return self._done("turn", rate=rate)

    def silence(self, *, mode: str = "jammed") -> Attack:
        """A known client is made to fall silent, and is back at the end.

        `jammed`: its connection is there until the broker gives it up; `stolen`: it is closed
        without a DISCONNECT; `stopped`: with one.
        """
        self.identity = "client"
        ways: Mapping[str, Action] = {"jammed": Vanish(), "stolen": Drop(), "stopped": Disconnect()}
        old = self.home.actors[self.victim.actor]
        script = attack_scripts.silenced(old.script, self.start, self.end, ways[mode])
        self._stand_in(script)
        return self._done("silence", mode=mode)

    # Putting it together.

    def _hello(self, number: int) -> Callable[[], Connect]:
        """The CONNECTs of an actor: as a known client, the first actor has that client's id."""
        victim = self.victim
        if self.identity == "client" and number == 0:
            return lambda: Connect(victim.client_id, victim.username, victim.password)
        return self.connect

    def _workers(self) -> int:
        """Among how many the work is shared: with many addresses some, else one."""
        if self.identity != "many":
            return 1
        return max(1, min(len(self._spare), self.rng.randint(4, 20)))

    def _address(self, number: int) -> str:
        if self.identity in {"address", "client"}:
            return self.victim.address
        if not self._spare:
            return self.victim.address
        if self.identity != "many":
            return self._spare[0]
        return self._spare[number // self._each % len(self._spare)]

    def _add(self, script: ScriptMaker, number: int, start: float, *, beside: bool = False) -> None:
        """An actor of the attack. As a known client the first one silences that client."""
        self._truth.addresses.add(self._address(number))
        actor = Actor(
            name=f"attack/{number}",
            address=self._address(number),
            script=script,
            seed=f"{self._seed}/{number}",
            start=start,
            truth=self._truth,
        )
        self._actors.append(actor)
        if self.identity == "client" and number == 0 and not beside:
            old = self.home.actors[self.victim.actor]
            quiet = attack_scripts.silenced(old.script, self.start, self.end)
            self._replaced[self.victim.actor] = msgspec.structs.replace(old, script=quiet)

    def _on_one_connection(
        self, beat: ScriptMaker, keep_alive: int, *, will: str | None = None, number: int = 0
    ) -> None:
        """Acts on one connection: its own, or that of the known client, whose habits go on."""
        if self.identity == "client" and will is None:
            old = self.home.actors[self.victim.actor]
            self._stand_in(attack_scripts.turned(old.script, beat, self.start, self.end))
            return
        hello = self._hello(number)()
        hello = msgspec.structs.replace(hello, keep_alive=keep_alive, will_topic=will)
        self._add(attack_scripts.session(lambda: hello, beat, self.end), number, self.start)

    def _stand_in(self, script: ScriptMaker) -> None:
        """The known client performs this script in place of its own."""
        victim = self.victim
        old = self.home.actors[victim.actor]
        self._replaced[victim.actor] = msgspec.structs.replace(
            old, script=script, truth=self._truth
        )
        self._truth.addresses.add(victim.address)
        self._truth.client_ids.add(victim.client_id)

    def _done(self, kind: str, **settings: float | str) -> Attack:
        self._truth.kind, self._truth.end = kind, self.end
        return Attack(
            kind=kind,
            identity=self.identity,
            truth=self._truth,
            actors=tuple(self._actors),
            replaced=self._replaced,
            settings=settings,
        )
