"""One evening beside a broker: twelve calm clients, then each attack from an address of its own."""

import time
from typing import Any, Final, NamedTuple

from live_broker import until
from live_home import ATTACKS, FAMILY, LISTENER, password, residents
from live_tools import Listener, Playing, Raw, Stage, Told
from sidecar_setups import Setup
from sidecar_table import PROMISES

from mqtt_ids import control
from mqtt_ids.lab import wire
from mqtt_ids.lab.actions import Connect

CALM: Final = 4.0  # seconds of calm between what the agent needs to look around and an attack
GOES_ON: Final = 1.3  # seconds that an attack goes on after it was told; not in step with us
LATE: Final = 2.0  # seconds that we wait longer than is allowed, to tell late from never
# One after the other, but those that are held alike, and those that are slow to show, go together.
ROUNDS: Final = (("flood",), ("slowite", "half-open"), ("brute-force", "malformed"), ("dos",))
SHORT: Final = (("flood",), ("slowite", "half-open", "brute-force", "malformed"), ("dos",))
FORGER, FORGER_AT = "forger", "127.0.2.2"


class Seen(NamedTuple):
    """An attack: when it began and ended, from where, and which ids the broker has let in."""

    began: float
    ended: float
    address: str
    client_ids: frozenset[str]


class Evening(NamedTuple):
    """What was heard of it."""

    alerts: list[Told]
    attacks: dict[str, Seen]
    lost: list[str]
    clients: list[dict[str, Any]]  # what the control socket lists just before the first attack
    status: dict[str, Any]  # in the end
    memory: float  # MB, at its peak
    told: str  # what it said on standard error
    exit_code: int
    files: dict[str, bytes]  # what it has left behind, by name


def play(setup: Setup) -> Evening:
    """Play it, and stop the agent.

    Whoever is seen as one crowd is one incident at a time: then the agent is started afresh
    before the last attack.
    """
    lost: list[str] = []
    port, agent = setup.port, setup.agent
    with Listener(port, (LISTENER, password(LISTENER))) as ear, Stage(port) as stage, agent:
        if setup.agent_first:
            agent.ready()
        stage.play(residents(lost.append))
        if not setup.agent_first:
            agent.ready()
        time.sleep(CALM)
        clients = agent.ask(control.Clients())
        attacks: dict[str, Seen] = {}
        *rounds, last = SHORT if setup.is_blind else ROUNDS
        for together in rounds:
            attacks |= attack(stage, ear, setup.source, together)
        if setup.is_crowd:
            agent.stop()
            agent.start()
            agent.wait_for("connected to")
            time.sleep(CALM)
        attacks |= attack(stage, ear, setup.source, last)
        attacks["spoofing"] = spoof(port, ear, setup.source)
        status, memory = agent.status(), agent.memory("VmHWM")
        exit_code = agent.stop()
    told, files = agent.told, agent.files
    return Evening(alerts(ear), attacks, lost, clients, status, memory, told, exit_code, files)


def alerts(ear: Listener) -> list[Told]:
    """Those of the agent: the forger's is an empty one."""
    return [told for told in ear.alerts() if told.alert]


def alarms(told: list[Told], since: float = 0.0) -> list[Told]:
    """Those above info."""
    return [one for one in told if one.at >= since and one.alert["severity"] != "info"]


def names(told: Told, attack: str) -> bool:
    """Whether this is what it is called."""
    return attack == told.alert["attack"] or attack in told.alert["also"]


def attack(stage: Stage, ear: Listener, source: str, together: tuple[str, ...]) -> dict[str, Seen]:
    """Play these at once until each is told as it is promised, or is late, and a little longer."""
    playing = {kind: stage.play(ATTACKS[kind].actors(ATTACKS[kind].address)) for kind in together}
    began = time.monotonic()

    def told(kind: str) -> bool:
        promise = PROMISES[source, kind]
        if promise is None:
            return False
        whom = {ATTACKS[kind].address, None}
        heard = [one for one in alarms(alerts(ear), began) if one.alert["address"] in whom]
        return any(names(one, promise.name) for one in heard)

    longest = max(ATTACKS[kind].limit for kind in together) + LATE
    until(lambda: all(told(kind) for kind in together), longest)
    time.sleep(GOES_ON)
    for one in playing.values():
        one.stop()
    ended = time.monotonic()
    return {kind: _seen(one, ended, ATTACKS[kind].address) for kind, one in playing.items()}


def _seen(playing: Playing, ended: float, address: str) -> Seen:
    assert playing.began is not None
    ids = (deed.client_id for _, deed in playing.deeds if deed.client_id)
    return Seen(playing.began, ended, address, frozenset(ids))


def spoof(port: int, ear: Listener, source: str) -> Seen:
    """Publish as the detector does."""
    promise = PROMISES[source, "spoofing"]
    assert promise is not None
    with Raw(port, FORGER_AT) as raw:
        raw.send(wire.connect(Connect(FORGER, FAMILY, password(FAMILY))))
        assert raw.receive(4) == b"\x20\x02\x00\x00"
        began = time.monotonic()
        raw.send(wire.packet(0x31, wire.text("$ids/alerts") + b"{}"))
        until(
            lambda: any(names(one, "spoofing") for one in alarms(alerts(ear), began)),
            promise.within + LATE,
        )
    return Seen(began, time.monotonic(), FORGER_AT, frozenset({FORGER}))
