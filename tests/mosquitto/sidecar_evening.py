"""One evening beside a broker: twelve calm clients, then each attack from an address of its own."""

import time
from typing import Any, Final, NamedTuple

from live_attacks import Seen, alarms, alerts, forge, names, play_until_told
from live_home import ATTACKS, LISTENER, password, residents
from live_tools import Listener, Stage, Told
from sidecar_setups import Setup
from sidecar_table import PROMISES

from mqtt_ids import control

CALM: Final = 4.0  # seconds of calm between what the agent needs to look around and an attack
# One after the other, but those that are held alike, and those that are slow to show, go together.
ROUNDS: Final = (("flood",), ("slowite", "half-open"), ("brute-force", "malformed"), ("dos",))
SHORT: Final = (("flood",), ("slowite", "half-open", "brute-force", "malformed"), ("dos",))


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


def attack(stage: Stage, ear: Listener, source: str, together: tuple[str, ...]) -> dict[str, Seen]:
    """Play these at once until each is told as it is promised."""

    def told(kind: str, began: float) -> bool:
        promise = PROMISES[source, kind]
        if promise is None:
            return False
        whom = {ATTACKS[kind].address, None}
        heard = [one for one in alarms(alerts(ear), began) if one.alert["address"] in whom]
        return any(names(one, promise.name) for one in heard)

    return play_until_told(stage, {kind: ATTACKS[kind] for kind in together}, told)


def spoof(port: int, ear: Listener, source: str) -> Seen:
    """Publish as the detector does."""
    promise = PROMISES[source, "spoofing"]
    assert promise is not None
    return forge(port, ear, promise.within)
