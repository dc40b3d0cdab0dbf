"""The proxy: listens in front of a broker, keeps the pairs, and is the hand that closes one."""

import asyncio
import functools
import itertools
import logging
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final

from mqtt_ids.bans import Ban, Handle, HandleKind
from mqtt_ids.faults import Faults
from mqtt_ids.names import canonical
from mqtt_ids.peer import Peer
from mqtt_ids.sensors.observer import Observer
from mqtt_ids.sensors.proxy.budget import Budget
from mqtt_ids.sensors.proxy.calling import Caller
from mqtt_ids.sensors.proxy.options import Listener, Options, Upstream
from mqtt_ids.sensors.proxy.pair import Pair
from mqtt_ids.sensors.proxy.tls_layer import TlsLayer
from mqtt_ids.sensors.proxy.web_layer import WebLayer, server_protocol
from mqtt_ids.sensors.proxy.witness import Witness

log = logging.getLogger(__name__)

READ: Final = 65_536  # bytes that are read of one connection before it is the next one's turn
BACKLOG: Final = 1024
SWEEP: Final = 1.0  # seconds
LINGER: Final = 5.0  # seconds for a peer to take in what was written, before it is cut off
STALL: Final = 300.0  # seconds for one who does not read, for then its broker's end is not heard
MOST_HELD: Final = 16 * 1024 * 1024  # bytes of unfinished packets, of all clients together
MOST_LINES: Final = 6  # for people, in a minute
MINUTE: Final = 60.0  # seconds


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
        self.options = options
        self.clock = clock
        self.buffer = memoryview(bytearray(READ))
        self.budget = Budget(MOST_HELD)
        self._trusted = Budget(MOST_HELD)  # apart, so that no stranger displaces who is accepted
        within, trusted = options.broker_within, self._trusted
        self.caller = Caller(upstream, within, self.buffer, trusted, self.failed)
        self.kept_out = 0  # connections from banned addresses, which are not told of
        self.turned_away = 0  # connections beyond what can be served, when they came
        self.dropped = 0  # publishes on reserved topics
        self._observer = observer
        self._tell = tell
        self._key = secrets.token_bytes(32)
        self._numbers = itertools.count(1)
        self._pairs: dict[int, Pair] = {}
        self._waiting: OrderedDict[int, tuple[float, Pair]] = OrderedDict()  # for CONNECT, since
        self._lingering: OrderedDict[int, tuple[float, Pair]] = OrderedDict()
        self._stalled: OrderedDict[int, tuple[float, Pair]] = OrderedDict()
        self._place = upstream.address
        self._lines: deque[float] = deque(maxlen=MOST_LINES)
        self._away = False  # and people were told
        self._full = False  # the same
        self._stopped = False
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
        """Who answers at a new connection: the pair, or the layer that TCP is right below."""
        pair = Pair(self)
        end: Pair | WebLayer | TlsLayer = pair
        if listener.web:
            protocol = server_protocol(listener.origins)
            end = WebLayer(protocol, end, self.buffer, self.budget, self.failed)
        if listener.tls is not None:
            end = TlsLayer(listener.tls, end, self.buffer, self.budget)
        return end

    @property
    def ports(self) -> tuple[int, ...]:
        """Where it listens."""
        return tuple(s.getsockname()[1] for server in self._servers for s in server.sockets)

    async def stop(self) -> None:
        """Take in nobody any more, and close all connections."""
        self._stopped = True
        for server in self._servers:
            server.close()
        for pair in list(self._pairs.values()):
            pair.cut("ids")
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do this beside."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # --- what a pair tells and asks ----------------------------------------------------------

    def admit(self, pair: Pair) -> bool:
        """Whether who has come may stay; then it is told of."""
        found = None if pair.transport is None else pair.transport.get_extra_info("peername")
        if not found or self._stopped:  # gone already, or we are
            return False
        address = canonical(found[0].partition("%")[0])
        if self._observer.barred(address=address) is not None:
            self.kept_out += 1
            return False
        if not self._has_room():
            self.turned_away += 1
            return False
        now = self.clock()
        pair.number = next(self._numbers)
        peer = Peer(pair.number, address, found[1], self._observer.feed)
        pair.witness = Witness(peer, self._key, self.clock, pair.failed)
        self._pairs[pair.number] = pair
        self._waiting[pair.number] = now, pair
        peer.opened(now)
        return True

    def _has_room(self) -> bool:
        """Room for one more: who has waited longest without a CONNECT makes it."""
        if len(self._pairs) < self.options.max_connections:
            self._full = False
            return True
        if not self._full:
            line = f"{len(self._pairs)} connections are open, and no more are taken"
            self._full = self._say(line)
        if not self._waiting:
            return False
        next(iter(self._waiting.values()))[1].give_up()
        return True

    def greeted(self, pair: Pair) -> None:
        """It waits for its CONNECT no longer."""
        self._waiting.pop(pair.number, None)

    def barred(self, client_id: str | None, username: str | None) -> bool:
        """Whether who says to be this has to stay outside."""
        return self._observer.barred(client_id=client_id, username=username) is not None

    def joined(self, pair: Pair) -> None:
        """The broker has accepted it."""
        if isinstance(pair.transport, WebLayer):
            pair.transport.trust(self._trusted)

    def left(self, pair: Pair) -> None:
        """It is over, and was told."""
        self.greeted(pair)

    def linger(self, pair: Pair) -> None:
        """It must be gone within some seconds."""
        self._lingering.setdefault(pair.number, (self.clock() + LINGER, pair))

    def stalled(self, pair: Pair) -> None:
        """Its client does not read."""
        self._stalled[pair.number] = self.clock() + STALL, pair

    def moves(self, pair: Pair) -> None:
        """Its client reads again."""
        self._stalled.pop(pair.number, None)

    def forget(self, pair: Pair) -> None:
        """Both its ends are gone."""
        for each in (self._pairs, self._lingering, self._stalled):
            each.pop(pair.number, None)
        pair.witness = None  # which knows it, too: what it holds must not wait for the collector

    def failed(self, error: Exception) -> None:
        """We have made a mistake about a connection."""
        self._faults.caught("the proxy", error, self.clock())

    def broker_is_away(self, error: OSError) -> None:
        """A call was not answered."""
        if not self._away:
            why = error.strerror or str(error) or "no answer in time"
            self._away = self._say(
                f"the broker at {self._place} cannot be reached: {why};"
                " clients are refused until it is back"
            )

    def broker_is_there(self) -> None:
        """A call was answered."""
        if self._away:
            self._away = not self._say(f"the broker at {self._place} is back")

    def _say(self, line: str) -> bool:
        """Tell people, unless they have heard much of late: who comes may be the cause of it."""
        now = self.clock()
        if len(self._lines) == MOST_LINES and now - self._lines[0] < MINUTE:
            return False
        self._lines.append(now)
        self._tell(line)
        return True

    # --- as an actuator ----------------------------------------------------------------------

    def obstacle(self, handle: Handle) -> str | None:  # noqa: ARG002 - the protocol's
        """Nothing stands in the way of a ban here."""
        return None

    def disconnect(self, handle: Handle) -> int:
        """Cut the connections that bear `handle`; how many. The broker publishes their wills."""
        pairs = [pair for pair in self._bearing(handle) if not pair.over]
        for pair in pairs:
            pair.dismiss()
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
                return [p for p in self._pairs.values() if _name(p) == value]
            case "username":
                return [p for p in self._pairs.values() if _peer(p).username == value]
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
            since, pair = next(iter(self._waiting.values()))
            if now - since < self.options.connect_within:
                break
            pair.give_up()
        for table in (self._lingering, self._stalled):
            while table:
                number, (until, pair) = next(iter(table.items()))
                if now < until:
                    break
                del table[number]
                pair.cut("client")


def _peer(pair: Pair) -> Peer:
    if pair.witness is None:
        raise LookupError("only who was admitted is listed")
    return pair.witness.peer


def _name(pair: Pair) -> str | None:
    """Its client id, be it that the broker has not answered yet."""
    peer = _peer(pair)
    return peer.client_id if peer.connect is None else peer.connect.client_id
