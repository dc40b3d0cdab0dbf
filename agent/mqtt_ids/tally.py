"""Counts each event for the client and the host that it speaks of. O(1) per event, no clock."""

from collections import deque
from collections.abc import Callable
from typing import Final

from mqtt_ids import events as ev
from mqtt_ids.counters import Client as C
from mqtt_ids.counters import Gauge as G
from mqtt_ids.counters import Host as H
from mqtt_ids.facts import Fact, FactKind
from mqtt_ids.subjects import ClientSubject, Connection, HostSubject, Registry
from mqtt_ids.topics import Topics

HALF_OPEN_AFTER: Final = 1.0  # seconds without an answered CONNECT
SILENT_AFTER: Final = 10.0  # seconds without a packet after CONNECT
SHORT_LIFE: Final = 2.0  # seconds
EXTREME_KEEP_ALIVE: Final = 18_000  # seconds: five hours
LONG_TOPIC: Final = 200  # characters
OWN_TOPICS: Final = "$ids/"
FIGHT: Final = 3  # take-overs by turns within FIGHT_WITHIN seconds
FIGHT_WITHIN: Final = 300.0
FACTS_KEPT: Final = 256
TOPICS_PER_CLIENT: Final = 8
_WIDE = ("#", "+/#", "$SYS/#", "/#")


class Tally:
    """The subjects and what happened to each since the last fold.

    `clients_to_fold` and `hosts_to_fold` list the subjects with something to fold; whoever folds
    empties them. `facts` likewise; beyond `FACTS_KEPT` between two folds they are only counted.
    """

    def __init__(self, max_clients: int) -> None:
        self.clients: Registry[ClientSubject] = Registry(max_clients, self._client_forgotten)
        self.hosts: Registry[HostSubject] = Registry(max_clients, self._host_forgotten)
        self.connections: dict[int, Connection] = {}
        self.topics = Topics(max_clients * TOPICS_PER_CLIENT)
        self.clients_to_fold: list[ClientSubject] = []
        self.hosts_to_fold: list[HostSubject] = []
        self.new_clients: list[ClientSubject] = []
        self.new_hosts: list[HostSubject] = []
        self.newcomers: list[ClientSubject] = []  # clients never seen before, for people
        self.facts: list[Fact] = []
        self.uneasy: dict[HostSubject, None] = {}  # hosts with half-open or silent connections
        self.skipped = 0  # events of connections or subjects beyond the bounds
        self._client_share = max(max_clients // 4, 1)
        self._max_connections = max_clients * 4
        self._ripening: deque[tuple[float, Connection]] = deque()
        self._hushed: deque[tuple[float, Connection]] = deque()
        self._counters: dict[type[ev.Event], Callable[..., None]] = {
            ev.Opened: self._opened,
            ev.Connected: self._connected,
            ev.Refused: self._refused,
            ev.Published: self._published,
            ev.Subscribed: self._subscribed,
            ev.Unsubscribed: self._unsubscribed,
            ev.Pinged: self._pinged,
            ev.Malformed: self._malformed,
            ev.Disconnected: self._disconnected,
            ev.Closed: self._closed,
        }

    def count(self, event: ev.Event) -> None:
        """Count one event."""
        self._counters[type(event)](event)

    def ripen(self, now: float) -> None:
        """Let open connections become half-open or silent as time passes. Amortised O(1)."""
        while self._ripening and self._ripening[0][0] <= now:
            connection = self._ripening.popleft()[1]
            if not (connection.answered or connection.closed):
                connection.half_open = True
                connection.host.gauges[G.HALF_OPEN] += 1
                self.uneasy[connection.host] = None
        while self._hushed and self._hushed[0][0] <= now:
            connection = self._hushed.popleft()[1]
            if not (connection.spoke or connection.closed):
                connection.silent = True
                connection.host.gauges[G.SILENT] += 1
                self.uneasy[connection.host] = None

    # --- whom an event speaks of -----------------------------------------------------------

    def _host(self, event: ev.Event) -> HostSubject | None:
        host = self.hosts.get(event.address)
        if host is None:
            now = event.time
            host = self.hosts.add(event.address, lambda row: HostSubject(event.address, row, now))
            if host is None:
                self.skipped += 1
                return None
            self.new_hosts.append(host)
        return host

    def _connection(self, event: ev.Event) -> Connection | None:
        """The connection of `event`; one that began before the sensor did is made up."""
        connection = self.connections.get(event.connection)
        if connection is not None:
            return connection
        connection = self._open(event)
        if connection is not None and event.client_id is not None:
            connection.answered = True
            connection.accepted = event.time
            self._attach(connection, event.client_id, event.time)
        return connection

    def _open(self, event: ev.Event) -> Connection | None:
        host = self._host(event)
        if host is None or len(self.connections) >= self._max_connections:
            self.skipped += 1
            return None
        connection = Connection(host, event.port, event.time)
        self.connections[event.connection] = connection
        host.gauges[G.CONNECTIONS] += 1
        host.last = event.time
        return connection

    def _attach(self, connection: Connection, client_id: str, now: float) -> ClientSubject | None:
        host = connection.host
        client = self.clients.get(client_id)
        if client is None:
            if host.clients >= self._client_share:
                self.skipped += 1
                return None
            client = self.clients.add(
                client_id, lambda row: ClientSubject(client_id, host, row, now)
            )
            if client is None:
                self.skipped += 1
                return None
            host.clients += 1
            self.new_clients.append(client)
            if len(self.newcomers) < FACTS_KEPT:
                self.newcomers.append(client)
        elif client.host is not host:
            client.host.clients -= 1
            host.clients += 1
            client.host = host
        client.connection = connection
        connection.client = client
        return client

    def _client_counts(self, client: ClientSubject, now: float) -> list[float]:
        client.last = now
        if client.counts is None:
            self.clients_to_fold.append(client)
            return client.zero()
        return client.counts

    def _host_counts(self, host: HostSubject, now: float) -> list[float]:
        host.last = now
        if host.counts is None:
            self.hosts_to_fold.append(host)
            return host.zero()
        return host.counts

    def _client_forgotten(self, client: ClientSubject) -> None:
        client.host.clients -= 1
        client.counts = None

    def _host_forgotten(self, host: HostSubject) -> None:
        host.counts = None
        self.uneasy.pop(host, None)

    def _note(self, fact: Fact) -> None:
        if len(self.facts) < FACTS_KEPT:
            self.facts.append(fact)
        else:
            self.skipped += 1

    # --- one method per kind of event ------------------------------------------------------

    def _opened(self, event: ev.Opened) -> None:
        connection = self._open(event)
        if connection is not None:
            self._host_counts(connection.host, event.time)[H.OPENS] += 1
            self._ripening.append((event.time + HALF_OPEN_AFTER, connection))

    def _answered(self, connection: Connection) -> None:
        connection.answered = True
        if connection.half_open:
            connection.half_open = False
            connection.host.gauges[G.HALF_OPEN] -= 1

    def _connected(self, event: ev.Connected) -> None:
        connection = self.connections.get(event.connection) or self._open(event)
        if connection is None or event.client_id is None:
            return
        self._answered(connection)
        connection.accepted = event.time
        self._hushed.append((event.time + SILENT_AFTER, connection))
        host = connection.host
        counts = self._host_counts(host, event.time)
        counts[H.CONNECTS] += 1
        counts[H.EMPTY_IDS] += event.id_was_empty
        if event.keep_alive == 0 or event.keep_alive >= EXTREME_KEEP_ALIVE:
            counts[H.EXTREME] += 1
            connection.extreme = True
            host.gauges[G.EXTREME] += 1
        known = self.clients.get(event.client_id)
        counts[H.NEW_IDS] += known is None
        before = None if known is None else known.connection
        client = self._attach(connection, event.client_id, event.time)
        if client is not None:
            client.username = event.username
            client.keep_alive = event.keep_alive
            own = self._client_counts(client, event.time)
            own[C.CONNECTS] += 1
            if before is not None and before is not connection and before.host is not host:
                own[C.TAKEOVERS] += 1
                self._fought_over(client, event)
        if event.will_topic is not None and event.will_topic.startswith(OWN_TOPICS):
            self._on_own_topic(event, event.client_id, event.username, "leaves a will")

    def _refused(self, event: ev.Refused) -> None:
        connection = self.connections.get(event.connection) or self._open(event)
        if connection is None:
            return
        self._answered(connection)
        host = connection.host
        counts = self._host_counts(host, event.time)
        if event.will_topic is not None and event.will_topic.startswith(OWN_TOPICS):
            self._on_own_topic(event, event.client_id, event.username, "leaves a will")
        elif event.code not in _LOGIN_CODES:
            counts[H.REFUSED] += 1
        elif event.credential is not None and host.tried(event.credential):
            counts[H.RETRIES] += 1
            self._stale_password(event)
        else:
            counts[H.GUESSES] += 1

    def _published(self, event: ev.Published) -> None:
        connection = self.connections.get(event.connection) or self._connection(event)
        if connection is None:
            return
        if not connection.spoke:
            self._spoke(connection)
        now = event.time
        host = connection.host
        counts = host.counts
        if counts is None:
            counts = self._host_counts(host, now)
        counts[H.PUBLISHES] += 1
        counts[H.BYTES] += event.size
        client = connection.client
        if client is None:
            return
        own = client.counts
        if own is None:
            own = self._client_counts(client, now)
        client.last = host.last = now
        own[C.PUBLISHES] += 1
        own[C.BYTES] += event.size
        if event.retain:
            own[C.RETAINED] += 1
        if event.qos:
            own[C.ACKNOWLEDGED] += 1
            counts[H.ACKNOWLEDGED] += 1
        self._rhythm(client, now)
        topic = event.topic
        owner = self.topics.owner(topic)
        if owner is not None and owner.client == client.id:
            owner.last = now
            owner.count += 1
        else:
            self._unusual_topic(event, client, own, counts)
        if topic[:1] == "$" or len(topic) > LONG_TOPIC or "//" in topic or ".." in topic:
            own[C.ODD_TOPICS] += 1
            counts[H.ODD_TOPICS] += 1
            if topic.startswith(OWN_TOPICS):
                self._on_own_topic(event, client.id, client.username, "publishes")

    def _subscribed(self, event: ev.Subscribed) -> None:
        self._filters(event, event.filters)

    def _unsubscribed(self, event: ev.Unsubscribed) -> None:
        connection = self._connection(event)
        if connection is not None:
            self._spoke(connection)
            self._host_counts(connection.host, event.time)

    def _pinged(self, event: ev.Pinged) -> None:
        connection = self._connection(event)
        if connection is None:
            return
        self._spoke(connection)
        self._host_counts(connection.host, event.time)[H.PINGS] += 1
        if connection.client is not None:
            self._client_counts(connection.client, event.time)[C.PINGS] += 1

    def _malformed(self, event: ev.Malformed) -> None:
        connection = self._connection(event)
        if connection is None:
            return
        self._answered(connection)
        self._spoke(connection)
        self._host_counts(connection.host, event.time)[H.MALFORMED] += 1
        if connection.client is not None:
            self._client_counts(connection.client, event.time)[C.MALFORMED] += 1

    def _disconnected(self, event: ev.Disconnected) -> None:
        connection = self.connections.get(event.connection)
        if connection is not None:
            self._spoke(connection)
            connection.goodbye = True

    def _closed(self, event: ev.Closed) -> None:
        connection = self.connections.pop(event.connection, None)
        if connection is None:
            return
        host = connection.host
        counts = self._host_counts(host, event.time)
        if not connection.answered:
            counts[H.EARLY] += 1
        if connection.accepted is not None and event.time - connection.accepted < SHORT_LIFE:
            counts[H.SHORT] += 1
        client = connection.client
        taken_over = client is not None and client.connection is not connection
        if connection.accepted is not None and not connection.goodbye and not taken_over:
            counts[H.ABRUPT] += 1
            if client is not None:
                self._client_counts(client, event.time)[C.ABRUPT] += 1
        gauges = host.gauges
        gauges[G.CONNECTIONS] -= 1
        gauges[G.HALF_OPEN] -= connection.half_open
        gauges[G.EXTREME] -= connection.extreme
        gauges[G.SILENT] -= connection.silent
        connection.closed = True
        if client is not None and not taken_over:
            client.connection = None
            client.last = event.time

    # --- what an event may reveal ----------------------------------------------------------

    @staticmethod
    def _spoke(connection: Connection) -> None:
        connection.spoke = True
        if connection.silent:
            connection.silent = False
            connection.host.gauges[G.SILENT] -= 1

    @staticmethod
    def _rhythm(client: ClientSubject, now: float) -> None:
        last, client.last_publish = client.last_publish, now
        if last is None:
            return
        gap = now - last
        client.gaps += 1
        if client.gaps == 1:
            client.gap = gap
            return
        error = gap - client.gap
        client.gap += 0.05 * error
        client.gap_spread += 0.05 * (abs(error) - client.gap_spread)

    def _unusual_topic(
        self, event: ev.Published, client: ClientSubject, own: list[float], counts: list[float]
    ) -> None:
        topic, now = event.topic, event.time
        owner = self.topics.owner(topic)
        new = client.sift(topic)
        if new:
            own[C.NEW_TOPICS] += 1
            counts[H.NEW_TOPICS] += 1
        if owner is None:
            self.topics.claim(topic, client.id, client.host.address, now)
        elif not owner.defended(now):
            owner.shared = True
        elif new:
            own[C.FOREIGN_TOPICS] += 1
            counts[H.FOREIGN_TOPICS] += 1
            if owner.count >= _SETTLED_PUBLISHES:
                self._on_foreign_topic(event, client, owner.count)

    def _filters(self, event: ev.Subscribed, filters: tuple[str, ...]) -> None:
        connection = self._connection(event)
        if connection is None:
            return
        self._spoke(connection)
        wide = sum(topic_filter in _WIDE for topic_filter in filters)
        counts = self._host_counts(connection.host, event.time)
        counts[H.FILTERS] += len(filters)
        counts[H.WIDE_FILTERS] += wide
        client = connection.client
        if client is None:
            return
        own = self._client_counts(client, event.time)
        own[C.FILTERS] += len(filters)
        own[C.WIDE_FILTERS] += wide
        if wide and not client.wide:
            client.wide = True
            self._note(
                Fact(
                    kind=FactKind.FIRST_WIDE_FILTER,
                    time=event.time,
                    address=event.address,
                    client_id=client.id,
                    username=client.username,
                    text="subscribes to everything, for the first time",
                    observed=float(wide),
                    usual=0.0,
                    unit="filters",
                )
            )

    def _fought_over(self, client: ClientSubject, event: ev.Connected) -> None:
        turns = client.taken_over(event.time, event.address)
        recent = [turn for turn in turns if event.time - turn[0] <= FIGHT_WITHIN]
        if len(recent) < FIGHT:
            return
        addresses = sorted({address for _, address in recent})
        self._note(
            Fact(
                kind=FactKind.TAKEOVER,
                time=event.time,
                address=event.address,
                client_id=client.id,
                username=client.username,
                text=f"is fought over by {' and '.join(addresses[:3])}",
                observed=float(len(recent)),
                usual=0.0,
                unit=f"take-overs in {FIGHT_WITHIN:.0f} s",
            )
        )

    def _on_own_topic(
        self, event: ev.Event, client_id: str | None, username: str | None, what: str
    ) -> None:
        self._note(
            Fact(
                kind=FactKind.IDS_TOPIC,
                time=event.time,
                address=event.address,
                client_id=client_id,
                username=username,
                text=f"{what} on {OWN_TOPICS}…, where only the detector speaks",
            )
        )

    def _on_foreign_topic(self, event: ev.Published, client: ClientSubject, count: int) -> None:
        self._note(
            Fact(
                kind=FactKind.FOREIGN_TOPIC,
                time=event.time,
                address=event.address,
                client_id=client.id,
                username=client.username,
                text=f"publishes on a topic that another client had to itself for {count} messages",
                observed=1.0,
                usual=0.0,
                unit="topics",
            )
        )

    def _stale_password(self, event: ev.Refused) -> None:
        self._note(
            Fact(
                kind=FactKind.STALE_PASSWORD,
                time=event.time,
                address=event.address,
                client_id=event.client_id,
                username=event.username,
                text="is refused again and again with one and the same password",
            )
        )


_LOGIN_CODES = frozenset({4, 5, 0x86, 0x87})  # 3.1.1: bad credential, not authorised; 5: likewise
_SETTLED_PUBLISHES = 20
