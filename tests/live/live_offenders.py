"""Offenders in protect mode: who is played, and what becomes of them and of their bans."""

import contextlib
import datetime as dt
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from live_attacks import LATE, WELCOME
from live_broker import Sockets, until
from live_home import FAMILY, Attack, brute_force, flood, half_open, password
from live_tools import Listener, Playing, Raw, Stage, Told

from mqtt_ids.lab import wire
from mqtt_ids.lab.actions import Connect

BAN: Final = 15  # seconds
STRUGGLES: Final = 3.0  # seconds that an offender goes on after its alert
CUT_WITHIN: Final = 1.0  # seconds after the alert
KNOCKS: Final = 10

BANNED: Final = "banned address"
INTRUDER: Final = "intruder"
# Offenders who must not be banned by their address: who shares it with a calm client, as the
# kitchen's sensor, the plug and the thermostat do here.
SHARING: Final[Mapping[str, Attack]] = {
    "floods next to calm": Attack(
        "flood", 4.0, "127.0.0.14", lambda at: flood(at, client_id=INTRUDER)
    ),
    "holds next to calm": Attack("slowite", 10.0, "127.0.0.15", half_open),
    "guesses next to calm": Attack("brute-force", 15.0, "127.0.0.16", brute_force),
}
SHARED_BY: Final = {
    "holds next to calm": "127.0.0.15 is shared with calm clients (DVES_4A7C21)",
    "guesses next to calm": "127.0.0.16 is shared with calm clients (thermostat-7)",
}


class Case(NamedTuple):
    """What became of one offender."""

    alarms: list[Told]  # above info, until it was stopped
    gone_after: float | None  # seconds from its first alarm until its connections were closed
    logins: int  # that were accepted later than `CUT_WITHIN` after that
    left: int  # connections from its address that lasted until it was stopped
    refused: bool  # whether a new connection that says nothing is closed at once
    enters: int  # how often it is let in after that, if it is banned by its address

    @property
    def actions(self) -> list[tuple[str, str]]:
        return [(told.alert["action"], told.alert["action_reason"]) for told in self.alarms]

    @property
    def ends(self) -> float:
        """When the ban on it ends, in wall time."""
        until_then: str = self.alarms[-1].alert["action_until"]
        return dt.datetime.fromisoformat(until_then).timestamp()

    def wait_until_over(self) -> None:
        """Until its ban has ended."""
        time.sleep(max(0.0, self.ends + 0.2 - time.time()))


class Scene(NamedTuple):
    """Where offenders are played: clients come to `port`."""

    port: int
    stage: Stage
    ear: Listener
    sockets: Sockets

    def offend(self, attacks: Mapping[str, Attack]) -> dict[str, Case]:
        """Play these at once, each until a while after its first alarm."""
        playing = {kind: self.stage.play(one.actors(one.address)) for kind, one in attacks.items()}
        began = time.monotonic()
        cases: dict[str, Case] = {}

        def ended() -> bool:
            for kind in playing.keys() - cases.keys():
                attack = attacks[kind]
                alarms = self.ear.alarms(attack.address)
                after = alarms[0].at + STRUGGLES if alarms else began + attack.limit + LATE
                if time.monotonic() >= after:
                    cases[kind] = self.end(attack, playing[kind], alarms)
            return len(cases) == len(playing)

        until(ended, 30.0, failing="an attack does not end")
        return cases

    def end(self, attack: Attack, playing: Playing, alarms: list[Told]) -> Case:
        told_at = alarms[0].at if alarms else time.monotonic()
        gone_after = self.sockets.gone_after(attack.address, told_at)
        logins = playing.connected_since(told_at + CUT_WITHIN)
        left = self.sockets.fewest_since(attack.address, time.monotonic() - 0.5)
        playing.stop()
        banned = any(told.alert["action_reason"].startswith(BANNED) for told in alarms)
        with Raw(self.port, attack.address) as silent:
            refused = banned and silent.is_closed(CUT_WITHIN)
        enters = sum(let_in(self.port, attack.address) for _ in range(KNOCKS)) if banned else 0
        return Case(alarms, gone_after, logins, left, refused, enters)


def let_in(port: int, address: str) -> bool:
    with Raw(port, address) as raw:
        with contextlib.suppress(ConnectionError):  # closed already
            raw.send(wire.connect(Connect(f"visitor-{address}", FAMILY, password(FAMILY))))
        return raw.receive(4) == WELCOME


Bans = dict[tuple[str, str], float]  # until when, in wall time, by kind and value


def in_force(bans: list[dict[str, Any]]) -> Bans:
    """Those of a status that have not ended."""
    now = time.time()
    found = {(ban["handle"]["kind"], ban["handle"]["value"]): ban["until"] for ban in bans}
    return {handle: end for handle, end in found.items() if end > now}
