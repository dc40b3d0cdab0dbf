"""All connections that are open, and what only shows as time passes: silence, peers that hang.

amqtt does not enforce the keep-alive [MQTT-3.1.2-24], waits for ever on a peer that does not
read, and would let connections without CONNECT use up its sockets.
"""

import asyncio
import itertools
import logging
import resource
from collections.abc import Callable, Iterator
from typing import Final

from mqtt_ids.bans import Ban, Handle, HandleKind
from mqtt_ids.events import AnyEvent
from mqtt_ids.faults import Faults
from mqtt_ids.names import canonical
from mqtt_ids_plugin.connection import Connection
from mqtt_ids_plugin.tap import TappedReader, TappedWriter

log = logging.getLogger(__name__)

SWEEP: Final = 1.0  # seconds from one look at all connections to the next
GRACE: Final = 1.5  # keep-alives that a client may be silent [MQTT-3.1.2-24]
STUCK: Final = 10.0  # seconds that a peer may leave unread what the broker writes
STUCK_IN_THE_WAY: Final = 1.0  # the same, while others wait for it
FEWEST_WAITING: Final = 64
MOST_HELD: Final = 128 * 1024 * 1024  # bytes of unfinished packets, of all clients together


class Link:
    """One connection with its tap.

    `claim` is the client id that its CONNECT claims until `settled`, and `replaced` the connection
    that had it. `done` is set when the broker has let go.
    """

    __slots__ = ("claim", "connection", "done", "reader", "replaced", "settled", "writer")

    def __init__(self, connection: Connection, reader: TappedReader, writer: TappedWriter) -> None:
        self.connection = connection
        self.reader = reader
        self.writer = writer
        self.claim: str | None = None
        self.replaced: Connection | None = None
        self.settled = asyncio.Event()
        self.done = asyncio.Event()


class Table:
    """The open connections by number, by client id, and those that wait for their CONNECT."""

    offers: frozenset[HandleKind] = frozenset({"connection", "client_id", "username", "address"})

    def __init__(
        self,
        emit: Callable[[AnyEvent], None],
        reserved: Callable[[str], bool],
        clock: Callable[[], float],
        max_clients: int,
    ) -> None:
        self.on_failure: Callable[[Handle, str], None] = lambda _handle, _why: None  # never fails
        self.pressed: Callable[[], bool] = lambda: False  # whether clients wait for others to read
        self.emit = emit
        self.reserved = reserved
        self.clock = clock
        self._numbers = itertools.count(1)
        self._links: dict[int, Link] = {}
        self._clients: dict[str, Link] = {}
        self._waiting: dict[int, Link] = {}  # in the order of their opening
        self._most_waiting = _most_waiting(max_clients)
        self.most_held = MOST_HELD
        self._faults = Faults()
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._links)

    def open(self, peer: tuple[str, int]) -> Connection:
        """A new connection, told of."""
        now = self.clock()
        connection = Connection(next(self._numbers), peer, self.emit, self.reserved, now)
        connection.opened(now)
        return connection

    def add(self, link: Link) -> None:
        """Keep an eye on it. Where too many wait for CONNECT, the longest waiting has to go."""
        number = link.connection.number
        self._links[number] = link
        self._waiting[number] = link
        if len(self._waiting) > self._most_waiting:
            self._cut(next(iter(self._waiting.values())))

    def greeted(self, link: Link) -> None:
        """Its CONNECT was read."""
        self._waiting.pop(link.connection.number, None)

    def accepted(self, link: Link, client_id: str) -> None:
        """The broker has accepted it under this id."""
        self._clients[client_id] = link

    def client(self, client_id: str) -> Link | None:
        """The connection that is accepted under this id."""
        return self._clients.get(client_id)

    def remove(self, link: Link) -> None:
        """The broker has let go of it."""
        connection = link.connection
        self._links.pop(connection.number, None)
        self._waiting.pop(connection.number, None)
        if self._clients.get(connection.client_id or "") is link:
            del self._clients[connection.client_id or ""]
        link.done.set()

    def disconnect(self, handle: Handle) -> int:
        """Cut the connections that bear `handle`; how many.

        The will, if any, is published: MQTT asks for it [MQTT-3.1.2-8], and a home wants to know
        that a device is gone. A will on `$ids/...` has not come as far as this.
        """
        links = [link for link in self._bearing(handle) if not link.connection.closed]
        for link in links:
            self._cut(link)
        return len(links)

    def obstacle(self, handle: Handle) -> str | None:  # noqa: ARG002 - the protocol's
        """Nothing stands in the way of a ban here."""
        return None

    def keep_out(self, ban: Ban) -> None:
        """Nothing to do: the broker asks us about each connection."""

    def let_in(self, handle: Handle) -> None:
        """Nothing to do: the broker asks us about each connection."""

    def _bearing(self, handle: Handle) -> Iterator[Link]:
        value = handle.value
        match handle.kind:
            case "connection":
                link = self._links.get(int(value)) if value.isdecimal() else None
                return iter(() if link is None else (link,))
            case "client_id":
                link = self._clients.get(value)
                return iter(() if link is None else (link,))
            case "username":
                links = self._clients.values()
                return (link for link in links if link.connection.username == value)
            case "address":
                wanted = canonical(value)
                everybody = self._links.values()
                return (link for link in everybody if link.connection.address == wanted)

    def _cut(self, link: Link, by: str = "ids") -> None:
        self._waiting.pop(link.connection.number, None)
        link.connection.end(by, self.clock())
        link.writer.abort()

    def replace(self, link: Link) -> None:
        """Cut a connection whose client id another one has proven to own [MQTT-3.1.4-2].

        Its end is told only after the new connection's answer: the two are one story.
        """
        link.connection.held = True
        self._cut(link, "broker")

    def start(self) -> None:
        """Begin to look at all connections once a second."""
        self._task = asyncio.create_task(self._run(), name="mqtt-ids-sweep")

    def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        due = self.clock() + SWEEP
        while True:
            await asyncio.sleep(max(due - self.clock(), 0.0))
            now = self.clock()
            late = now - due > SWEEP
            due = now + SWEEP
            if not late:  # else what clients have sent lies unread: that is not their silence
                try:
                    self.sweep(now)
                except Exception as error:  # noqa: BLE001 - the next one may be fine
                    self._faults.caught("the look at all connections", error, now)

    def sweep(self, now: float) -> None:
        """Cut the clients that were silent for too long, and the peers that do not read."""
        patience_with_stuck = STUCK_IN_THE_WAY if self.pressed() else STUCK
        for link in list(self._links.values()):
            connection = link.connection
            if link.writer.stuck(now) > patience_with_stuck:
                log.info("%s does not read: cut off", connection.address)
                self._cut(link)
                continue
            patience = connection.keep_alive * GRACE
            if not patience or connection.client_id is None or connection.closed:
                continue
            if connection.paused:
                connection.heard = now
            elif now - connection.heard > patience:
                link.reader.truncated()
                self._cut(link)
        self._bound_held()

    def _bound_held(self) -> None:
        """Cut who holds most, where large packets that are never finished eat up the memory."""
        links = [link for link in self._links.values() if not link.connection.closed]
        held = sum(link.reader.held for link in links)
        if held <= self.most_held:
            return
        for link in sorted(links, key=lambda link: -link.reader.held):
            if held <= self.most_held:
                break
            held -= link.reader.held
            log.info("%s holds %d bytes: cut off", link.connection.address, link.reader.held)
            link.reader.truncated()
            self._cut(link)


def _most_waiting(max_clients: int) -> int:
    """How many connections may wait for CONNECT: they must not use up the process's sockets."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = max_clients if soft == resource.RLIM_INFINITY else soft // 2
    return max(FEWEST_WAITING, min(max_clients, files))
