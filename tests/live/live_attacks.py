"""Attacks that are played until they are told, and what is told of them."""

import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from live_broker import until
from live_home import FAMILY, Attack, password
from live_tools import Listener, Playing, Raw, Stage, Told

from mqtt_ids.lab import wire
from mqtt_ids.lab.actions import Connect

GOES_ON: Final = 1.3  # seconds that an attack goes on after it was told; not in step with us
LATE: Final = 2.0  # seconds that we wait longer than is allowed, to tell late from never
FORGER, FORGER_AT = "forger", "127.0.2.2"
WELCOME: Final = b"\x20\x02\x00\x00"  # CONNACK


class Seen(NamedTuple):
    """An attack: when it began and ended, from where, and which ids the broker has let in."""

    began: float
    ended: float
    address: str
    client_ids: frozenset[str]


def alerts(ear: Listener) -> list[Told]:
    """Those of the detector: the forger's is an empty one."""
    return [told for told in ear.alerts() if told.alert]


def alarms(told: list[Told], since: float = 0.0) -> list[Told]:
    """Those above info."""
    return [one for one in told if one.at >= since and one.alert["severity"] != "info"]


def names(told: Told, attack: str) -> bool:
    """Whether this is what it is called."""
    return attack == told.alert["attack"] or attack in told.alert["also"]


def play_until_told(
    stage: Stage,
    attacks: Mapping[str, Attack],
    told: Callable[[str, float], bool],
    goes_on: float = GOES_ON,
) -> dict[str, Seen]:
    """Play these at once until each is `told` since they began, or is late, and a little longer."""
    playing = {kind: stage.play(one.actors(one.address)) for kind, one in attacks.items()}
    began = time.monotonic()
    longest = max(one.limit for one in attacks.values()) + LATE
    until(lambda: all(told(kind, began) for kind in attacks), longest)
    time.sleep(goes_on)
    for one in playing.values():
        one.stop()
    ended = time.monotonic()
    return {kind: _seen(one, ended, attacks[kind].address) for kind, one in playing.items()}


def _seen(playing: Playing, ended: float, address: str) -> Seen:
    assert playing.began is not None
    ids = (deed.client_id for _, deed in playing.deeds if deed.client_id)
    return Seen(playing.began, ended, address, frozenset(ids))


def forge(port: int, ear: Listener, within: float) -> Seen:
    """Publish as the detector does, until that is told as spoofing."""
    with Raw(port, FORGER_AT) as raw:
        raw.send(wire.connect(Connect(FORGER, FAMILY, password(FAMILY))))
        assert raw.receive(4) == WELCOME
        began = time.monotonic()
        raw.send(wire.packet(0x31, wire.text("$ids/alerts") + b"{}"))
        until(
            lambda: any(names(one, "spoofing") for one in alarms(alerts(ear), began)), within + LATE
        )
    return Seen(began, time.monotonic(), FORGER_AT, frozenset({FORGER}))
