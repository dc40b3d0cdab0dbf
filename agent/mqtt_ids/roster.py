"""Who is here: finds, or begins to track, the host, client and connection of an event."""

from functools import partial
from typing import Final

from mqtt_ids import events as ev
from mqtt_ids.connections import Connections
from mqtt_ids.registry import Registry
from mqtt_ids.subjects import ClientSubject, Connection, HostSubject

CONNECTIONS_PER_CLIENT: Final = 4
NEWCOMERS_KEPT: Final = 256
VISIT: Final = 60.0  # seconds: who was here for less, and has been gone for longer, was a visitor


class Roster:
    """The tracked subjects and open connections, all bounded by `max_clients`.

    `new_clients` and `new_hosts` are those that need a row of counters, `newcomers` the clients
    that people may be told of; whoever reads these lists empties them.
    """

    def __init__(self, max_clients: int) -> None:
        self.clients: Registry[ClientSubject] = Registry(max_clients, self._client_forgotten)
        self.hosts: Registry[HostSubject] = Registry(max_clients, self._host_forgotten)
        self.connections = Connections(max_clients * CONNECTIONS_PER_CLIENT)
        self.new_clients: list[ClientSubject] = []
        self.new_hosts: list[HostSubject] = []
        self.newcomers: list[ClientSubject] = []
        self.skipped = 0  # what was beyond the bounds
        self._client_share = max(max_clients // 4, 1)

    def host(self, event: ev.Event) -> HostSubject | None:
        """The host of `event`; None when there are too many."""
        host = self.hosts.get(event.address)
        if host is None:
            now = event.time
            host = self.hosts.add(event.address, lambda row: HostSubject(event.address, row, now))
            if host is None:
                self.skipped += 1
                return None
            self.new_hosts.append(host)
        return host

    def connection(self, event: ev.Event) -> Connection | None:
        """The connection of `event`; one that began before the sensor did is made up."""
        connection = self.connections.by_number.get(event.connection)
        if connection is not None:
            return connection
        connection = self.open(event)
        if connection is not None and event.client_id is not None:
            connection.answered = True
            connection.accepted = event.time
            self.attach(connection, event.client_id, event.time)
        return connection

    def open(self, event: ev.Event) -> Connection | None:
        """A connection that was not known before; None when there are too many."""
        host = self.host(event)
        if host is None:
            return None
        connection = self.connections.open(event.connection, host, event.port, event.time)
        self.skipped += connection is None
        return connection

    def attach(self, connection: Connection, client_id: str, now: float) -> ClientSubject | None:
        """Give `connection` to the client with this id; None, and to nobody, if it has no place."""
        host = connection.host
        client = self.clients.get(client_id) or self._newcomer(client_id, host, now)
        if client is None:
            self.skipped += 1
            self.connections.detach(connection)
            return None
        if client.host is not host:
            client.move(host, now)
        self.connections.attach(connection, client)
        return client

    def meet_host(self, address: str, since: float) -> HostSubject:
        """A host known since then. Before the first event, and no more than there is room for."""
        host = self.hosts.place(address, lambda row: HostSubject(address, row, since))
        self.new_hosts.append(host)
        return host

    def meet_client(self, client_id: str, address: str, since: float) -> ClientSubject:
        """A client known since then, last seen at `address`. When, and how many: as for hosts."""
        host = self.hosts.get(address)
        if host is None:
            host = HostSubject(address, 0, since)
            host.tracked = False
        client = self.clients.place(client_id, partial(ClientSubject, client_id, host, now=since))
        host.clients += 1
        self.new_clients.append(client)
        return client

    def meet_anew(self, client: ClientSubject, now: float) -> None:
        """Whoever has this id is a newcomer from now on."""
        client.start_again(now)
        if client not in self.newcomers and len(self.newcomers) < NEWCOMERS_KEPT:
            self.newcomers.append(client)

    def forget_unseen(self, before: float) -> None:
        """Forget whoever was last seen before then. Looks at each of them."""
        self.clients.expire(before)
        self.hosts.expire(before)

    def _newcomer(self, client_id: str, host: HostSubject, now: float) -> ClientSubject | None:
        if host.clients >= self._client_share and not self._forget_visitor(host, now):
            return None
        client = self.clients.add(client_id, lambda row: ClientSubject(client_id, host, row, now))
        if client is None:
            return None
        host.clients += 1
        self.new_clients.append(client)
        if len(self.newcomers) < NEWCOMERS_KEPT:
            self.newcomers.append(client)
        return client

    def _forget_visitor(self, host: HostSubject, now: float) -> bool:
        """Forget one that came to `host` once and went; whether there was one.

        Tools with ever new ids must not keep a device behind the same address unknown for ever;
        nor may they push out those that have been there for longer.
        """
        return self.clients.forget_first(
            lambda one: (
                one.host is host and one.last - one.since < VISIT and now - one.last >= VISIT
            )
        )

    @staticmethod
    def _client_forgotten(client: ClientSubject) -> None:
        client.host.clients -= 1

    def _host_forgotten(self, host: HostSubject) -> None:
        self.connections.uneasy.pop(host, None)
