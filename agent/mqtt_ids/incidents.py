"""Incidents: one attack by one subject, from first sign to calm, as one alert with a stable id.

Notes (info) of what comes again and again are gathered: a health check with ever new ids, or a
device with a stale password, is one note per address and not one a minute.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Final

import msgspec

from mqtt_ids.alerts import SEVERITIES, Alert, Attack, Reason, Severity, State
from mqtt_ids.attacks import MITRE
from mqtt_ids.names import LONGEST
from mqtt_ids.policy import is_grave

CALM_AFTER: Final = 60.0  # seconds without a sign after which an incident closes
NOTE_CLOSES_AFTER: Final = 10.0  # the same for info, which is a note
REPEATED_CLOSES_AFTER: Final = 3600.0  # the same for notes of what comes again and again
FIGHT_CLOSES_AFTER: Final = (
    7200.0  # the same for a fight over an id: both come back, again and again
)
REPEATED: Final = frozenset({"new-client", "enumeration", "login-failing"})
UPDATE_EVERY: Final = 5.0  # seconds between two updates of one incident at the least
REFRESH_EVERY: Final = 60.0  # seconds after which an incident that goes on is told again
MOST_OPEN: Final = 500  # beyond that, signs of new incidents are only counted
MOST_NOTES: Final = 100  # the same for info, which must not crowd out an alarm
MOST_PER_ADDRESS: Final = 20  # beyond that, further clients join the latest of their address
MOST_CLIENTS: Final = 1000  # ids remembered per incident
CLIENTS_SHOWN: Final = 20
LONGEST_ID: Final = LONGEST  # characters of an id or user name in an alert


class Sign(msgspec.Struct, frozen=True, kw_only=True):
    """One reason to open or keep an incident: an attack verdict on a subject, or a fact.

    `clients` are the ids that take part. `whole_host` tells that the host and not one client is
    meant. `score` and `threshold` are None for a fact.
    """

    time: float
    first_seen: float
    attack: Attack
    severity: Severity
    confidence: float
    address: str
    client_id: str | None
    username: str | None
    clients: tuple[str, ...]
    whole_host: bool
    reasons: tuple[Reason, ...]
    score: float | None = None
    threshold: float | None = None


class Incident:
    """One open incident."""

    __slots__ = ("also", "clients", "id", "last", "names", "sign", "told", "told_at", "whole_host")

    def __init__(self, incident_id: str, sign: Sign) -> None:
        self.id = incident_id
        self.sign = sign  # the strongest so far
        self.last = sign.time
        self.also: list[Attack] = []
        self.clients: dict[str, None] = dict.fromkeys(sign.clients[:MOST_CLIENTS])
        self.whole_host = sign.whole_host
        self.names: set[Attack] = set()  # under which it was told so far
        self.told: tuple[object, ...] | None = None
        self.told_at = sign.time

    @property
    def address(self) -> str:
        """Where it comes from."""
        return self.sign.address

    @property
    def first_seen(self) -> float:
        """Its first sign, in seconds on the sensor's clock."""
        return self.sign.first_seen

    @property
    def is_note(self) -> bool:
        """Whether it is mere information and no alarm."""
        return self.sign.severity == "info"

    @property
    def is_fight(self) -> bool:
        """Whether an id is fought over in it, from one address as well as from another."""
        return "takeover" in (self.sign.attack, *self.also)

    def is_meant_by(self, sign: Sign) -> bool:
        """Whether `sign` belongs to this incident: the same subject, or its host."""
        if (sign.severity == "info") != self.is_note:
            return False
        if self.is_note:
            same = (self.sign.attack, self.address) == (sign.attack, sign.address)
            return same and (sign.attack in REPEATED or self.sign.client_id == sign.client_id)
        if sign.address != self.address:
            fought_over = self.is_fight and sign.client_id in self.clients
            same = sign.client_id is not None and sign.client_id == self.sign.client_id
            return same or fought_over
        return self.whole_host or sign.whole_host or sign.client_id in self.clients

    def add(self, sign: Sign) -> None:
        """Take in a further sign; the strongest one gives name, severity and reasons."""
        self.last = max(self.last, sign.time)
        before = self.sign
        self._involve(
            sign.clients, grave=is_grave(sign.severity), was_grave=is_grave(before.severity)
        )
        first = min(before.first_seen, sign.first_seen)
        if _weight(sign, whole=sign.whole_host) >= _weight(before, whole=self.whole_host):
            self._rename(sign.attack)
            self.sign = msgspec.structs.replace(sign, first_seen=first)
        elif sign.attack != before.attack and sign.attack not in self.also:
            self.also.append(sign.attack)
        self.whole_host = self.whole_host or sign.whole_host

    def _involve(self, clients: tuple[str, ...], *, grave: bool, was_grave: bool) -> None:
        """Who takes part in what is acted upon: not a client that merely did something odd nearby.

        It would be cut off with the attacker, and would no longer save an address that both share.
        """
        if grave and not was_grave:
            self.clients.clear()
        if grave or not was_grave:
            for client in clients[: MOST_CLIENTS - len(self.clients)]:
                self.clients[client] = None

    def _rename(self, attack: Attack) -> None:
        if attack != self.sign.attack and self.sign.attack not in self.also:
            self.also.append(self.sign.attack)
        if attack in self.also:
            self.also.remove(attack)

    def essence(self) -> tuple[object, ...]:
        """What is worth an update when it changes."""
        scale = len(self.clients).bit_length()
        return (self.sign.attack, self.sign.severity, tuple(self.also), scale)


def _weight(sign: Sign, *, whole: bool) -> tuple[int, int, float]:
    """Named before unnamed, graver before lighter, the whole host before one of its clients."""
    ratio = 0.0 if sign.score is None or sign.threshold is None else sign.score / sign.threshold
    named = sign.attack != "unusual"
    return (2 * SEVERITIES.index(sign.severity) + named, int(whole), ratio)


class _Finder:
    """Open incidents of one sort by what they are about: O(1) a sign, however many are open."""

    def __init__(self, incidents: Iterable[Incident]) -> None:
        self._by_address: dict[str, dict[str, Incident]] = {}
        self._by_client: dict[str, dict[str, Incident]] = {}
        for incident in incidents:
            self.note(incident)

    def note(self, incident: Incident) -> None:
        """Know `incident` by what it is about now. What it was about before does no harm."""
        self._by_address.setdefault(incident.address, {})[incident.id] = incident
        names = incident.clients if incident.is_fight else (incident.sign.client_id,)
        for name in names:
            if name is not None:
                self._by_client.setdefault(name, {})[incident.id] = incident

    def meant_by(self, sign: Sign) -> Incident | None:
        """The incident that `sign` belongs to: of its address, else of its client."""
        near = chain(self.at(sign.address), self._by_client.get(sign.client_id or "", {}).values())
        return next((one for one in near if one.is_meant_by(sign)), None)

    def at(self, address: str) -> list[Incident]:
        """The incidents of this address, the latest last."""
        known = self._by_address.get(address, {}).values()
        return [incident for incident in known if incident.address == address]


class Incidents:
    """The open incidents. `skipped` counts signs that found no room."""

    def __init__(self, new_id: Callable[[], str]) -> None:
        self._new_id = new_id
        self._alarms: dict[str, Incident] = {}
        self._notes: dict[str, Incident] = {}
        self.skipped = 0

    def __iter__(self) -> Iterator[Incident]:
        return chain(self._alarms.values(), self._notes.values())

    def get(self, incident_id: str) -> Incident | None:
        """The open incident with this id."""
        return self._alarms.get(incident_id) or self._notes.get(incident_id)

    @property
    def active(self) -> bool:
        """Whether an incident above info is open."""
        return bool(self._alarms)

    def tick(self, signs: Iterable[Sign], now: float) -> list[Alert]:
        """Take in the signs of this tick; what changed, as alerts."""
        opened: dict[str, Incident] = {}
        alarms, notes = _Finder(self._alarms.values()), _Finder(self._notes.values())
        for sign in signs:
            self._take(sign, notes if sign.severity == "info" else alarms, opened)
        changes: list[tuple[Incident, State]] = [(i, "open") for i in opened.values()]
        changes += [(i, "update") for i in self if _is_worth_telling(i, now)]
        for incident in [i for i in self if _is_over(i, now)]:
            del (self._notes if incident.is_note else self._alarms)[incident.id]
            changes.append((incident, "closed"))
        return [self._alert(incident, state, now) for incident, state in changes]

    def end(self, now: float) -> list[Alert]:
        """Close all that are open, as alerts: nobody watches any more."""
        incidents = list(self)
        self._alarms.clear()
        self._notes.clear()
        return [self._alert(incident, "closed", now) for incident in incidents]

    def _take(self, sign: Sign, finder: _Finder, opened: dict[str, Incident]) -> None:
        is_note = sign.severity == "info"
        kin, most = (self._notes, MOST_NOTES) if is_note else (self._alarms, MOST_OPEN)
        meant = finder.meant_by(sign)
        if meant is None and not is_note:
            here = finder.at(sign.address)
            meant = here[-1] if len(here) >= MOST_PER_ADDRESS else None
        if meant is not None:
            meant.add(sign)
            finder.note(meant)
        elif len(kin) >= most:
            self.skipped += 1
        else:
            incident = Incident(self._new_id(), sign)
            kin[incident.id] = opened[incident.id] = incident
            finder.note(incident)

    def _alert(self, incident: Incident, state: State, now: float) -> Alert:
        incident.told = incident.essence()
        incident.names.add(incident.sign.attack)
        incident.told_at = now
        sign = incident.sign
        clients = tuple(incident.clients)
        return Alert(
            id=incident.id,
            state=state,
            active=self.active,
            severity=sign.severity,
            attack=sign.attack,
            also=tuple(incident.also),
            confidence=round(sign.confidence, 3),
            mitre=MITRE.get(sign.attack, ()),
            time=now,
            first_seen=sign.first_seen,
            client_id=_cut(sign.client_id),
            username=_cut(sign.username),
            address=sign.address,
            clients=tuple(client[:LONGEST_ID] for client in clients[:CLIENTS_SHOWN]),
            client_count=len(clients),
            score=sign.score,
            threshold=sign.threshold,
            reasons=sign.reasons,
        )


def _cut(text: str | None) -> str | None:
    return None if text is None else text[:LONGEST_ID]


def _is_worth_telling(incident: Incident, now: float) -> bool:
    since = now - incident.told_at
    if incident.told is None or _is_over(incident, now):
        return False
    if incident.sign.attack not in incident.names:  # a better name is told at once, and once
        return True
    if since < UPDATE_EVERY:
        return False
    going_on = incident.last > incident.told_at and since >= REFRESH_EVERY
    return incident.told != incident.essence() or (going_on and not incident.is_note)


def _is_over(incident: Incident, now: float) -> bool:
    after = FIGHT_CLOSES_AFTER if incident.is_fight else CALM_AFTER
    if incident.is_note:
        again = incident.sign.attack in REPEATED
        after = REPEATED_CLOSES_AFTER if again else NOTE_CLOSES_AFTER
    return now - incident.last >= after
