"""Counts each event for the client and the host that it speaks of. O(1) per event, no clock."""

from collections.abc import Callable
from typing import Final

from mqtt_ids import events as ev
from mqtt_ids import facts
from mqtt_ids.counters import Client as C
from mqtt_ids.counters import Host as H
from mqtt_ids.facts import FIGHT_WITHIN, OWN_TOPICS, Fact
from mqtt_ids.roster import Roster
from mqtt_ids.subjects import ClientSubject, HostSubject
from mqtt_ids.topics import SETTLED_PUBLISHES, Topics

SHORT_LIFE: Final = 2.0  # seconds
EXTREME_KEEP_ALIVE: Final = 18_000  # seconds: five hours
LONG_NAME: Final = 200  # characters of a topic or a client id
FIGHT: Final = 3  # take-overs by turns within FIGHT_WITHIN seconds
FACTS_KEPT: Final = 256
TOPICS_PER_CLIENT: Final = 8
SHARED: Final = "$share"  # $share/GROUP/FILTER: a shared subscription, MQTT 5 section 4.8.2
LOGIN_CODES: Final = frozenset({4, 5, 0x86, 0x87})  # bad credential, not authorised: 3.1.1, and 5

Count = Callable[..., None]


def is_odd(name: str) -> bool:
    """Whether no device would use this topic or client id, while a fuzzer would."""
    return name[:1] == "$" or len(name) > LONG_NAME or "//" in name or ".." in name


def is_wide(topic_filter: str) -> bool:
    """Whether the filter names no level, so that it takes in what it knows nothing of.

    Not only `#`: `+/+/#` is the same in other words.
    """
    if "#" not in topic_filter and "+" not in topic_filter:
        return False
    levels = topic_filter.split("/")
    if levels[0] == SHARED:
        levels = levels[2:]
    if levels and levels[0] == "$SYS":
        levels = levels[1:]
    return all(level in {"#", "+", ""} for level in levels)


class Tally(Roster):
    """The subjects and what happened to each since the last fold.

    `clients_to_fold` and `hosts_to_fold` list the subjects with something to fold; whoever folds
    empties them. `facts` likewise; beyond `FACTS_KEPT` between two folds they are only counted.
    """

    def __init__(self, max_clients: int) -> None:
        super().__init__(max_clients)
        self.topics = Topics(max_clients * TOPICS_PER_CLIENT)
        self.clients_to_fold: list[ClientSubject] = []
        self.hosts_to_fold: list[HostSubject] = []
        self.facts: list[Fact] = []
        self._known = self.connections.by_number
        self._counts: dict[type[ev.Event], Count] = {
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
        self._counts[type(event)](event)

    # --- the running counts of a subject ---------------------------------------------------

    def _client_counts(self, client: ClientSubject, now: float) -> list[float]:
        client.last = now
        if client.counts is None:
            self.clients_to_fold.append(client)
            if client.tracked:
                self.clients.touch(client.id)
            return client.zero()
        return client.counts

    def _host_counts(self, host: HostSubject, now: float) -> list[float]:
        host.last = now
        if host.counts is None:
            self.hosts_to_fold.append(host)
            if host.tracked:
                self.hosts.touch(host.address)
            return host.zero()
        return host.counts

    def _note(self, fact: Fact) -> None:
        if len(self.facts) < FACTS_KEPT:
            self.facts.append(fact)
        else:
            self.skipped += 1

    # --- one method per kind of event ------------------------------------------------------

    def _opened(self, event: ev.Opened) -> None:
        self.connections.close(event.connection)  # a number that is used again: its Closed was lost
        connection = self.open(event)
        if connection is not None:
            connection.host.end_series(event.time)
            self._host_counts(connection.host, event.time)[H.OPENS] += 1
            self.connections.unanswered(connection)

    def _connected(self, event: ev.Connected) -> None:
        connection = self._known.get(event.connection) or self.open(event)
        if connection is None or event.client_id is None:
            return
        extreme = event.keep_alive == 0 or event.keep_alive >= EXTREME_KEEP_ALIVE
        self.connections.accepted(connection, event.time, extreme=extreme)
        host = connection.host
        known = self.clients.get(event.client_id)
        counts = self._host_counts(host, event.time)
        counts[H.CONNECTS] += 1
        counts[H.EMPTY_IDS] += event.id_was_empty
        counts[H.ODD_NAMES] += is_odd(event.client_id)
        counts[H.EXTREME] += extreme
        counts[H.NEW_IDS] += known is None
        before = None if known is None else known.connection
        host.let_in()
        client = self.attach(connection, event.client_id, event.time)
        if client is not None:
            client.username = event.username
            client.keep_alive = event.keep_alive
            own = self._client_counts(client, event.time)
            own[C.CONNECTS] += 1
            if before is not None and before.host is not host:
                own[C.TAKEOVERS] += 1
                self._fought_over(client, event)
        self._will(event)

    def _refused(self, event: ev.Refused) -> None:
        connection = self._known.get(event.connection) or self.open(event)
        if connection is None:
            return
        self.connections.answered(connection)
        host = connection.host
        counts = self._host_counts(host, event.time)
        if self._will(event):
            return
        if event.code not in LOGIN_CODES or event.credential is None:
            counts[H.REFUSED] += 1
        elif host.tried(event.credential, event.time):
            counts[H.RETRIES] += 1
            if (
                counts[H.RETRIES] == 1
            ):  # since the last fold: one is told, and leaves room for others
                self._note(facts.stale_password(event))
        else:
            counts[H.GUESSES] += 1

    def _published(self, event: ev.Published) -> None:  # noqa: C901, PLR0915 - hot: little is called
        connection = self._known.get(event.connection) or self.connection(event)
        if connection is None:
            return
        if not connection.spoke:
            self.connections.spoke(connection)
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
        client.keep_rhythm(now)
        topic = event.topic
        place = hash(topic)
        if place == client.last_topic:
            own[C.REPEATS] += 1
        client.last_topic = place
        owner = self.topics.owner(topic)
        if owner is not None and owner.client == client.id:
            owner.last = now
            owner.count += 1
        else:
            self._unusual_topic(event, client, own, counts)
        if is_odd(topic):
            own[C.ODD_TOPICS] += 1
            counts[H.ODD_NAMES] += 1
            if topic.startswith(OWN_TOPICS):
                self._note(facts.on_ids_topic(event, client.id, client.username, "publishes"))

    def _subscribed(self, event: ev.Subscribed) -> None:
        connection = self.connection(event)
        if connection is None:
            return
        self.connections.spoke(connection)
        wide = sum(is_wide(topic_filter) for topic_filter in event.filters)
        counts = self._host_counts(connection.host, event.time)
        counts[H.FILTERS] += len(event.filters)
        counts[H.WIDE_FILTERS] += wide
        client = connection.client
        if client is None:
            return
        own = self._client_counts(client, event.time)
        own[C.FILTERS] += len(event.filters)
        own[C.WIDE_FILTERS] += wide
        if wide and not client.wide:
            client.wide = True
            self._note(facts.first_wide_filter(event, client, wide))

    def _unsubscribed(self, event: ev.Unsubscribed) -> None:
        connection = self.connection(event)
        if connection is not None:
            self.connections.spoke(connection)
            self._host_counts(connection.host, event.time)

    def _pinged(self, event: ev.Pinged) -> None:
        connection = self.connection(event)
        if connection is None:
            return
        self.connections.spoke(connection)
        self._host_counts(connection.host, event.time)[H.PINGS] += 1
        if connection.client is not None:
            self._client_counts(connection.client, event.time)[C.PINGS] += 1

    def _malformed(self, event: ev.Malformed) -> None:
        connection = self.connection(event)
        if connection is None:
            return
        self.connections.answered(connection)
        self.connections.spoke(connection)
        self._host_counts(connection.host, event.time)[H.MALFORMED] += 1
        if connection.client is not None:
            self._client_counts(connection.client, event.time)[C.MALFORMED] += 1

    def _disconnected(self, event: ev.Disconnected) -> None:
        connection = self._known.get(event.connection)
        if connection is not None:
            self.connections.spoke(connection)
            connection.goodbye = True

    def _closed(self, event: ev.Closed) -> None:
        connection = self._known.get(event.connection)
        if connection is None:
            return
        now, client, accepted = event.time, connection.client, connection.accepted
        taken_over = client is not None and client.connection is not connection
        self.connections.close(event.connection)
        counts = self._host_counts(connection.host, now)
        if not connection.answered:
            counts[H.EARLY] += 1
        if accepted is not None and now - accepted < SHORT_LIFE:
            counts[H.SHORT] += 1
        if accepted is not None and not connection.goodbye and not taken_over:
            counts[H.ABRUPT] += 1
            if client is not None:
                self._client_counts(client, now)[C.ABRUPT] += 1
        if client is not None and not taken_over:
            client.last = now

    # --- what an event may reveal ----------------------------------------------------------

    def _unusual_topic(
        self, event: ev.Published, client: ClientSubject, own: list[float], counts: list[float]
    ) -> None:
        topic, now = event.topic, event.time
        owner = self.topics.owner(topic)
        new = client.sift(topic)
        if new:
            own[C.NEW_TOPICS] += 1
            counts[H.NEW_TOPICS] += 1
            if event.qos and not event.retain:
                own[C.SPRAYED] += 1
                counts[H.SPRAYED] += 1
        if owner is None:
            self.topics.claim(topic, client.id, client.host.address, now)
        elif not owner.defended(now):
            owner.shared = True
        elif new:
            own[C.FOREIGN_TOPICS] += 1
            counts[H.FOREIGN_TOPICS] += 1
            if owner.count >= SETTLED_PUBLISHES:
                self._note(facts.on_foreign_topic(event, client, owner.count))

    def _fought_over(self, client: ClientSubject, event: ev.Connected) -> None:
        turns = client.taken_over(event.time, event.address)
        rivals = [address for time, address in turns if event.time - time <= FIGHT_WITHIN]
        if len(rivals) >= FIGHT:
            self._note(facts.takeover(event, client, rivals))

    def _will(self, event: ev.Connected | ev.Refused) -> bool:
        """Whether the CONNECT leaves a will on a topic of ours."""
        if event.will_topic is None or not event.will_topic.startswith(OWN_TOPICS):
            return False
        # Whoever is refused may have claimed any name: nobody may be blamed by it.
        proven = type(event) is ev.Connected
        client_id, username = (event.client_id, event.username) if proven else (None, None)
        self._note(facts.on_ids_topic(event, client_id, username, "leaves a will"))
        return True
