"""What is published by nobody in particular, judged as if one client published all of it.

A plain subscription does not tell who has published. To the detector, the whole house is then one
client like a bridge, in an instance of its own: a flood, or a topic of ours that somebody has
written to, is found all the same. An alert about it names nobody.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Final

import msgspec

from mqtt_ids.accepted import Accepted
from mqtt_ids.alerts import Alert
from mqtt_ids.detecting import CLIENTS, ClientView, Detecting
from mqtt_ids.events import AnyEvent, Connected, Opened, Published, Refused, Unsubscribed
from mqtt_ids.memory import Memory
from mqtt_ids.names import STAND_IN
from mqtt_ids.policy import Neighbours
from mqtt_ids.sidecar.guesses import Guesses, reworded
from mqtt_ids.standings import Standings
from mqtt_ids.uplink.session import Received

CONNECTION: Final = 0  # the log's have numbers from 1 on
NOBODY: Final = STAND_IN
CROWD: Final = "the crowd"


def crowd_publish(message: Received, now: float) -> Published:
    """The event of a message whose publisher is not known."""
    return Published(
        time=now,
        connection=CONNECTION,
        address=NOBODY,
        client_id=NOBODY,
        topic=message.topic,
        size=len(message.payload),
        qos=message.qos,
    )


class WithCrowd:
    """A detector of clients beside one of the crowd; to the engine they are one.

    Clients' refused log-ins are numbered by their pace, for no source shows their passwords.
    Unless the source `hears` each packet, nobody is held to be silent after a CONNECT.
    """

    def __init__(self, clients: Detecting, crowd: Detecting, *, hears: bool = True) -> None:
        self._clients = clients
        self._hears = hears
        self._crowd = crowd
        self._active = {True: False, False: False}  # whether the crowd, or a client, is alarming
        self._began = False
        self._guesses = Guesses()

    @property
    def skipped(self) -> int:
        """What was beyond the bounds of both."""
        return self._clients.skipped + self._crowd.skipped

    @property
    def accepted(self) -> Accepted:
        """What was accepted of clients; the crowd is nobody."""
        return self._clients.accepted

    @accepted.setter
    def accepted(self, accepted: Accepted) -> None:
        self._clients.accepted = accepted

    @property
    def memories(self) -> dict[str, Memory]:
        """What both know of their clients."""
        return {CLIENTS: self._clients.memories[CLIENTS], CROWD: self._crowd.memories[CLIENTS]}

    def feed(self, event: AnyEvent) -> None:
        """Take in one event. O(1)."""
        if event.connection != CONNECTION:
            if isinstance(event, Refused):
                event = self._guesses.numbered(event)
            self._clients.feed(event)
            if type(event) is Connected and not self._hears:
                self._clients.feed(_said_something(event))
            return
        if not self._began:
            self._began = True
            now = event.time
            self._crowd.feed(Opened(time=now, connection=CONNECTION, address=NOBODY))
            self._crowd.feed(
                Connected(time=now, connection=CONNECTION, address=NOBODY, client_id=NOBODY)
            )
        self._crowd.feed(event)

    def tick(self, now: float) -> list[Alert]:
        """Judge everybody at `now`, and tell what has changed."""
        of_clients = list(map(reworded, self._clients.tick(now)))
        of_crowd = [alert for alert in self._crowd.tick(now) if alert.severity != "info"]
        for alerts, crowd in ((of_clients, False), (of_crowd, True)):
            if alerts:
                self._active[crowd] = alerts[-1].active
        active = any(self._active.values())
        return [
            msgspec.structs.replace(alert, active=active)
            for alert in chain(of_clients, map(_nameless, of_crowd))
        ]

    def end(self, now: float) -> list[Alert]:
        """Close all incidents, for nobody watches any more."""
        of_crowd = [alert for alert in self._crowd.end(now) if alert.severity != "info"]
        return [*map(reworded, self._clients.end(now)), *map(_nameless, of_crowd)]

    def clients(self) -> Sequence[ClientView]:
        """All clients that are known; the crowd is none."""
        return self._clients.clients()

    def standings(self, most: int, now: float) -> Standings:
        """The oddest clients, at most so many, as they are now."""
        return self._clients.standings(most, now)

    def goes_on(self, incident_id: str) -> bool:
        """Whether an open incident had a sign in the last few seconds."""
        return self._clients.goes_on(incident_id) or self._crowd.goes_on(incident_id)

    def neighbours(self, incident_id: str) -> Neighbours:
        """The calm clients near an incident; of the crowd nobody knows any."""
        return self._clients.neighbours(incident_id)


def _said_something(event: Connected) -> Unsubscribed:
    """A packet that tells no more than that one came."""
    return Unsubscribed(
        time=event.time,
        connection=event.connection,
        address=event.address,
        port=event.port,
        client_id=event.client_id,
        filters=(),
    )


def _nameless(alert: Alert) -> Alert:
    return msgspec.structs.replace(
        alert, client_id=None, username=None, address=None, clients=(), client_count=0
    )
