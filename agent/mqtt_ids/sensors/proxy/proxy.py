"""The proxy: listens in front of a broker, keeps the pairs, and is the hand that closes one."""

import asyncio
import functools
import itertools
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final, Protocol

from mqtt_ids.bans import Ban, Handle, HandleKind
from mqtt_ids.events import AnyEvent
from mqtt_ids.faults import Faults
from mqtt_ids.names import canonical
from mqtt_ids.peer import Peer
from mqtt_ids.sensors.proxy.options import Listener, Options, Upstream
from mqtt_ids.sensors.proxy.pair import Pair
from mqtt_ids.sensors.proxy.web import WebEnd
from mqtt_ids.sensors.proxy.witness import Witness

log = logging.getLogger(__name__)

READ: Final = 65_536  # bytes that are read of one connection before it is the next one's turn
BACKLOG: Final = 1024
SWEEP: Final = 1.0  # seconds
LINGER: Final = 5.0  # seconds for a peer to take in what was written, before it is cut off
MOST_HELD: Final = 16 * 1024 * 1024  # bytes of unfinished CONNECTs, of all clients together


class Observer(Protocol):
    """The part of the engine that the proxy sees. Neither call raises."""

    def feed(self, event: AnyEvent) -> None:
        """Take in what a client did."""

    def barred(
        self,
        *,
        address: str | None = None,
        client_id: str | None = None,
        username: str | None = None,
    ) -> Ban | None:
        """The ban that keeps this one out."""


class Proxy:
    """Everything in front of one broker. Of an engine's actuator it has what is asked of it.

    `tell` gets one line when the broker goes away, and one when it is back.
    """

    offers: frozenset[HandleKind] = frozenset({"connection", "client_id", "username", "address"})

    def __init__(
        self,
        upstream: Upstream,
        options: Options,
        observer: Observer,
        *,
        tell: Callable[[str], None] = log.warning,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.on_failure: Callable[[Handle, str], None] = lambda _handle, _why: None  # never fails
        self.upstream = upstream
        self.options = options
        self.clock = clock
        self.buffer = memoryview(bytearray(READ))
        self.kept_out = 0  # connections from banned addresses, which are not told of
        self.turned_away = 0  # connections beyond what can be served
        self.dropped = 0  # publishes on reserved topics
        self._observer = observer
        self._tell = tell
        self._key = secrets.token_bytes(32)
        self._numbers = itertools.count(1)
        self._pairs: dict[int, Pair] = {}
        self._clients: dict[str, Pair] = {}
        self._waiting: OrderedDict[int, Pair] = OrderedDict()  # for CONNECT, the oldest first
        self._lingering: OrderedDict[int, tuple[float, Pair]] = OrderedDict()
        self._held = 0  # bytes of those that wait
        self._away = False
        self._full = False
        self._faults = Faults()
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []

    def __len__(self) -> int:
        return len(self._pairs)

    # --- its life ----------------------------------------------------------------------------

    async def start(self, listeners: Iterable[Listener]) -> None:
        """Listen there. Raises OSError; then it listens nowhere."""
        loop = asyncio.get_running_loop()
        try:
            for each in listeners:
                where: dict[str, Any] = {"sock": each.bound}
                if each.address is not None:
                    where = {"host": each.address.host or None, "port": each.address.port}
                factory = functools.partial(self._end, each)
                self._servers.append(await loop.create_server(factory, **where, backlog=BACKLOG))
        except OSError:
            await self.stop()
            raise
        self.spawn(self._sweep())

    def _end(self, listener: Listener) -> asyncio.BufferedProtocol:
        pair = Pair(self, listener)
        return WebEnd(pair, self.buffer) if listener.web else pair

    @property
    def ports(self) -> tuple[int, ...]:
        """Where it listens."""
        return tuple(s.getsockname()[1] for server in self._servers for s in server.sockets)

    async def stop(self) -> None:
        """Take in nobody any more, and close all connections."""
        for server in self._servers:
            server.close()
        for pair in list(self._pairs.values()):
            pair.cut("ids")
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this beside."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- what a pair tells and asks ----------------------------------------------------------

    def admit(self, pair: Pair) -> bool:
        """Whether who has come may stay; then it is told of."""
        found = None if pair.transport is None else pair.transport.get_extra_info("peername")
        if not found:  # gone already
            return False
        address = canonical(found[0].partition("%")[0])
        if self._observer.barred(address=address) is not None:
            self.kept_out += 1
            return False
        if not self._has_room():
            self.turned_away += 1
            return False
        now = self.clock()
        pair.number, pair.opened = next(self._numbers), now
        peer = Peer(pair.number, address, found[1], self._observer.feed)
        pair.witness = Witness(peer, self._key)
        self._pairs[pair.number] = self._waiting[pair.number] = pair
        peer.opened(now)
        return True

    def _has_room(self) -> bool:
        """Room for one more: who has waited longest without a CONNECT makes it."""
        if len(self._pairs) < self.options.max_connections:
            self._full = False
            return True
        if not self._full:
            self._full = True
            self._tell(f"{len(self._pairs)} connections are open, and no more are taken")
        if not self._waiting:
            return False
        self._give_up(next(iter(self._waiting.values())))
        return True

    def weigh(self, more: int) -> None:
        """More of a CONNECT is held; where that is too much in all, the largest has to go."""
        self._held += more
        if self._held <= MOST_HELD:
            return
        self._held = sum(len(each.first or b"") for each in self._waiting.values())
        if self._held > MOST_HELD:
            largest = max(self._waiting.values(), key=lambda each: len(each.first or b""))
            self._held -= len(largest.first or b"")
            log.info("connection %d holds most: cut off", largest.number)
            self._give_up(largest)

    def greeted(self, pair: Pair) -> None:
        """It waits for its CONNECT no longer."""
        if self._waiting.pop(pair.number, None) is not None and not self._waiting:
            self._held = 0

    def barred(self, client_id: str | None, username: str | None) -> bool:
        """Whether who says to be this has to stay outside."""
        return self._observer.barred(client_id=client_id, username=username) is not None

    def joined(self, pair: Pair) -> None:
        """The broker has accepted it."""
        if pair.witness is not None and pair.witness.peer.client_id:
            self._clients[pair.witness.peer.client_id] = pair

    def left(self, pair: Pair) -> None:
        """It is over, and was told."""
        self.greeted(pair)
        name = "" if pair.witness is None else pair.witness.peer.client_id or ""
        if self._clients.get(name) is pair:
            del self._clients[name]

    def linger(self, pair: Pair) -> None:
        """It must be gone within some seconds."""
        self._lingering.setdefault(pair.number, (self.clock() + LINGER, pair))

    def forget(self, pair: Pair) -> None:
        """Both its ends are gone."""
        self._pairs.pop(pair.number, None)
        self._lingering.pop(pair.number, None)

    def failed(self, error: Exception) -> None:
        """We have made a mistake about a connection."""
        self._faults.caught("the proxy", error, self.clock())

    def broker_is_away(self, error: OSError) -> None:
        """A call was not answered."""
        if not self._away:
            self._away = True
            why = error.strerror or str(error) or "no answer in time"
            self._tell(
                f"the broker at {self.upstream.address} cannot be reached: {why};"
                " clients are refused until it is back"
            )

    def broker_is_there(self) -> None:
        """A call was answered."""
        if self._away:
            self._away = False
            self._tell(f"the broker at {self.upstream.address} is back")

    # --- as an actuator ----------------------------------------------------------------------

    def obstacle(self, handle: Handle) -> str | None:  # noqa: ARG002 - the protocol's
        """Nothing stands in the way of a ban here."""
        return None

    def disconnect(self, handle: Handle) -> int:
        """Cut the connections that bear `handle`; how many. The broker publishes their wills."""
        pairs = [pair for pair in self._bearing(handle) if not pair.over]
        for pair in pairs:
            pair.cut("ids")
        return len(pairs)

    def keep_out(self, ban: Ban) -> None:
        """Nothing to do: each connection is asked about."""

    def let_in(self, handle: Handle) -> None:
        """Nothing to do: each connection is asked about."""

    def _bearing(self, handle: Handle) -> Iterable[Pair]:
        value = handle.value
        match handle.kind:
            case "connection":
                pair = self._pairs.get(int(value)) if value.isdecimal() else None
                return () if pair is None else (pair,)
            case "client_id":
                pair = self._clients.get(value)
                return () if pair is None else (pair,)
            case "username":
                return [p for p in self._clients.values() if _peer(p).username == value]
            case "address":
                wanted = canonical(value)
                return [p for p in self._pairs.values() if _peer(p).address == wanted]

    # --- what time brings --------------------------------------------------------------------

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP)
            try:
                self.sweep(self.clock())
            except Exception as error:  # noqa: BLE001 - the next one may be fine
                self.failed(error)

    def sweep(self, now: float) -> None:
        """Cut who has not sent its CONNECT in time, and who does not let go."""
        while self._waiting:
            pair = next(iter(self._waiting.values()))
            if now - pair.opened < self.options.connect_within:
                break
            self._give_up(pair)
        while self._lingering:
            number, (until, pair) = next(iter(self._lingering.items()))
            if now < until:
                break
            del self._lingering[number]
            pair.cut("ids")

    def _give_up(self, pair: Pair) -> None:
        """End one that waits for its CONNECT."""
        if pair.witness is not None:
            pair.witness.client_ended(self.clock())
        pair.cut("ids")
        self._waiting.pop(pair.number, None)


def _peer(pair: Pair) -> Peer:
    if pair.witness is None:
        raise LookupError("only who was admitted is listed")
    return pair.witness.peer
