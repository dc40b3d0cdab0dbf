"""Captures and event logs as trials: calm ones, attacks as recorded, and attacks behind a client.

Of MQTTset each attack is watched as it was recorded, and then as if a client of the calm capture
did it, after twenty minutes of calm: with the attack's own client ids, and with that client's.
"""

import math
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from mqtt_ids.errors import CaptureError
from mqtt_ids.evaluating import mixing
from mqtt_ids.evaluating.results import CAPTURE, MQTTSET
from mqtt_ids.events import SEES_ALL, AnyEvent, Sees
from mqtt_ids.lab.actions import Truth
from mqtt_ids.sensors.capture.sensor import Capture
from mqtt_ids.sources.source import open_events

CALM: Final = "legitimate.pcap"
INTO_CALM: Final = 1200.0  # seconds of calm before a mixed attack
MIXES: Final = 3  # calm clients that each attack is mapped onto


class Recorded(NamedTuple):
    """An attack of MQTTset: its name, and the time to detect that its bar allows (s).

    For `prelude` seconds it does nothing yet that a known client's own mistake could not be: a
    mix counts the time from then on.
    """

    name: str
    within: float
    prelude: float = 0.0


ATTACKS: Final = {
    # The first password is guessed after 20 s; until then it logs in without one, in two ways.
    "bruteforce.pcapng": Recorded("brute-force", 12.0, prelude=20.0),
    "dos.pcap": Recorded("dos", 4.0),
    "flood.pcap": Recorded("flood", 2.0),
    # It connects and subscribes, and nothing else, until then.
    "malformed.pcap": Recorded("malformed", 10.0, prelude=2.7),
    "slowite.pcap": Recorded("slowite", 2.0),
}


class Behind(msgspec.Struct, frozen=True, kw_only=True):
    """Whom an attack is mixed onto: a client of a calm capture, by address.

    With `client_id` the attack claims that id.
    """

    calm: str
    address: str
    client_id: str | None = None


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """A capture or event log to be watched; `name` is the attack in it, None where it is calm.

    In an attack everybody takes part, unless it is mixed `behind` a client. `within` and
    `prelude` as in `Recorded`.
    """

    path: str
    name: str | None = None
    behind: Behind | None = None
    within: float | None = None
    prelude: float = 0.0
    place: str = CAPTURE

    @property
    def source(self) -> str:
        """For people, with whatever makes its time to detect another than it seems."""
        told = Path(self.path).name
        if self.behind is not None:
            told += f" behind {self.behind.address}"
        return f"{told}, counted from second {self.prelude:g} on" if self.prelude else told

    @property
    def identity(self) -> str:
        """Behind what the attacker hides: `own`, `address` or `client`."""
        if self.behind is None:
            return "own"
        return "address" if self.behind.client_id is None else "client"


class Scene(NamedTuple):
    """What there is to watch, and the truth of it.

    `start` is the time of the first event. Who takes part is added to `truth`, None where all is
    calm, as `events` are drawn. `faults` gives, after the last of them, a line for each thing that
    could not be read.
    """

    events: Iterator[AnyEvent]
    sees: Sees
    start: float
    truth: Truth | None
    faults: Callable[[], list[str]]


def mqttset(folder: Path, *, mixes: int = MIXES) -> tuple[list[Trial], list[str]]:
    """The trials of MQTTset's cut in `folder`; a line for each of its files that is not there.

    Each attack is mixed onto so many clients. Raises CaptureError where the calm capture cannot
    be read.
    """
    files = [name for name in (CALM, *ATTACKS) if (folder / name).is_file()]
    missing = [f"{folder / name}: is not there" for name in (CALM, *ATTACKS) if name not in files]
    attacks = [name for name in files if name != CALM]
    trials = [_recorded(folder, name, None) for name in attacks]
    if CALM in files:
        calm = str(folder / CALM)
        whom = _spread_out(sorted(_clients(folder / CALM).items()), mixes)
        trials = [
            Trial(path=calm, place=MQTTSET),
            *trials,
            *(
                _recorded(folder, name, Behind(calm=calm, address=address, client_id=claimed))
                for name in attacks
                for address, own in whom
                for claimed in (None, own)
            ),
        ]
    return trials, missing


def given(calm: Iterable[str], attacks: Iterable[tuple[str, str]]) -> list[Trial]:
    """The trials of what the user gave: calm sources, and attacks as (name, source)."""
    return [
        *(Trial(path=path) for path in calm),
        *(Trial(path=path, name=name) for name, path in attacks),
    ]


def opened(trial: Trial) -> Scene:
    """The events of a trial. Raises CaptureError without a first one, and where a mix fails."""
    return _alone(trial) if trial.behind is None else _mixed(trial, trial.behind)


def _recorded(folder: Path, file: str, behind: Behind | None) -> Trial:
    attack = ATTACKS[file]
    return Trial(
        path=str(folder / file),
        name=attack.name,
        behind=behind,
        within=attack.within,
        prelude=0.0 if behind is None else attack.prelude,
        place=MQTTSET,
    )


def _spread_out(clients: list[tuple[str, str]], number: int) -> list[tuple[str, str]]:
    """So many of them, if there are: the first, the last, and some between."""
    step = (len(clients) - 1) / max(1, number - 1)
    return list(dict.fromkeys(clients[round(step * n)] for n in range(number)))


def _clients(calm: Path) -> dict[str, str]:
    found = {address: own for address, own in mixing.clients(calm).items() if own}
    if not found:
        raise CaptureError(
            f"{calm}: nobody connects in it, so no attack can be mixed onto a client"
        )
    return found


def _alone(trial: Trial) -> Scene:
    source = open_events(trial.path)
    events = source.events
    first = next(events, None)
    if first is None:
        raise CaptureError(f"{source.name}: holds no MQTT that can be read")
    events = chain([first], events)
    truth = None
    if trial.name is not None:
        span = source.span  # the attack begins with the first frame: an event may be later
        begin = first.time if span is None else min(span[0], first.time)
        truth = Truth(kind=trial.name, start=begin, end=math.inf)
        events = _with_everybody(events, truth)
    return Scene(events, source.sees, first.time, truth, lambda: source.faults() + source.notes())


def _mixed(trial: Trial, behind: Behind) -> Scene:
    try:
        mixed = mixing.mix(
            Path(behind.calm), Path(trial.path),
            onto=behind.address, at=INTO_CALM, client_id=behind.client_id,
        )  # fmt: skip
    except ValueError as error:
        raise CaptureError(f"{trial.source}: cannot be mixed: {error}") from error
    calm = open_events(behind.calm).events
    innocent = {one.client_id for one in calm if one.address == behind.address}
    truth = Truth(
        kind=trial.name or "", start=mixed.start, end=mixed.end, addresses={behind.address},
        client_ids=set() if behind.client_id is None else {behind.client_id},
    )  # fmt: skip
    events = Capture().read(mixed.frames)
    first = next(events, None)
    if first is None:
        raise CaptureError(f"{trial.source}: holds no MQTT that can be read")
    events = _with_newcomers(chain([first], events), truth, innocent)
    return Scene(events, SEES_ALL, first.time, truth, list)


def _with_everybody(events: Iterable[AnyEvent], truth: Truth) -> Iterator[AnyEvent]:
    """The same events; whoever they speak of is added to `truth`."""
    for event in events:
        truth.addresses.add(event.address)
        if event.client_id is not None:
            truth.client_ids.add(event.client_id)
        yield event


def _with_newcomers(
    events: Iterable[AnyEvent], truth: Truth, innocent: Collection[str | None]
) -> Iterator[AnyEvent]:
    """The same events; ids at the attacker's address that are not `innocent` go to `truth`."""
    for event in events:
        claimed = event.client_id
        if event.address in truth.addresses and claimed is not None and claimed not in innocent:
            truth.client_ids.add(claimed)
        yield event
