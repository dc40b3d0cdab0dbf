"""Open connections, and how many of each sort a host holds.

A connection changes its sort by what happens on it, and by waiting: half-open after a second
without an answered CONNECT, silent when nothing follows its CONNECT. Bounded: at most `limit`.
"""

from collections import OrderedDict
from typing import Final

from mqtt_ids.counters import Gauge as G
from mqtt_ids.subjects import ClientSubject, Connection, HostSubject

HALF_OPEN_AFTER: Final = 1.0  # seconds without an answered CONNECT
SILENT_AFTER: Final = 10.0  # seconds without a packet after CONNECT

Waiting = OrderedDict[Connection, float]  # until when, the earliest first


class Connections:
    """The open connections by the sensor's number. Each method is O(1), `ripen` amortised.

    `uneasy` are hosts whose connections became half-open or silent: their gauges rise without
    an event. Whoever judges them takes them out.
    """

    def __init__(self, limit: int) -> None:
        self.by_number: dict[int, Connection] = {}
        self.uneasy: dict[HostSubject, None] = {}
        self._limit = limit
        self._unanswered: Waiting = OrderedDict()
        self._unheard: Waiting = OrderedDict()

    def __len__(self) -> int:
        return len(self.by_number)

    def open(self, number: int, host: HostSubject, port: int, now: float) -> Connection | None:
        """A connection from `host` that was just seen; None when there are too many."""
        if len(self.by_number) >= self._limit:
            return None
        connection = self.by_number[number] = Connection(host, port, now)
        host.gauges[G.CONNECTIONS] += 1
        host.last = now
        return connection

    def unanswered(self, connection: Connection) -> None:
        """`connection` was accepted by the broker's machine; its CONNECT is awaited."""
        self._unanswered[connection] = connection.opened + HALF_OPEN_AFTER

    def answered(self, connection: Connection) -> None:
        """The CONNECT on `connection` got an answer, or something else that ends the wait."""
        connection.answered = True
        self._unanswered.pop(connection, None)
        if connection.half_open:
            connection.half_open = False
            connection.host.gauges[G.HALF_OPEN] -= 1

    def accepted(self, connection: Connection, now: float, *, extreme: bool) -> None:
        """The broker accepted the CONNECT; `extreme` tells of its keep-alive."""
        self.answered(connection)
        if not connection.spoke and connection.accepted is None:
            self._unheard[connection] = now + SILENT_AFTER
        connection.accepted = now
        connection.host.gauges[G.EXTREME] += extreme - connection.extreme
        connection.extreme = extreme

    def spoke(self, connection: Connection) -> None:
        """Something other than a CONNECT arrived on `connection`."""
        if connection.spoke:
            return
        connection.spoke = True
        self._unheard.pop(connection, None)
        if connection.silent:
            connection.silent = False
            connection.host.gauges[G.SILENT] -= 1

    def attach(self, connection: Connection, client: ClientSubject) -> None:
        """From now on `connection` is the one of `client`."""
        self.detach(connection)
        client.connection = connection
        connection.client = client

    @staticmethod
    def detach(connection: Connection) -> None:
        """End the part of `connection` in its client, unless another took its place."""
        client = connection.client
        if client is not None and client.connection is connection:
            client.connection = None
        connection.client = None

    def close(self, number: int) -> None:
        """Forget the connection with this number, if it is known."""
        connection = self.by_number.pop(number, None)
        if connection is None:
            return
        self.detach(connection)
        self._unanswered.pop(connection, None)
        self._unheard.pop(connection, None)
        gauges = connection.host.gauges
        gauges[G.CONNECTIONS] -= 1
        gauges[G.HALF_OPEN] -= connection.half_open
        gauges[G.EXTREME] -= connection.extreme
        gauges[G.SILENT] -= connection.silent

    def ripen(self, now: float) -> None:
        """Let open connections become half-open or silent as time passes."""
        for connection in _ripe(self._unanswered, now):
            connection.half_open = True
            connection.host.gauges[G.HALF_OPEN] += 1
            self.uneasy[connection.host] = None
        for connection in _ripe(self._unheard, now):
            connection.silent = True
            connection.host.gauges[G.SILENT] += 1
            self.uneasy[connection.host] = None


def _ripe(waiting: Waiting, now: float) -> list[Connection]:
    ripe = []
    while waiting:
        connection, until = next(iter(waiting.items()))
        if until > now:
            break
        del waiting[connection]
        ripe.append(connection)
    return ripe
