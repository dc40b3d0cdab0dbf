"""Plays the same scripts as real clients of a real broker on this machine, in real time.

Each host of the scripts gets a source address of its own on the loopback network. Sockets are
raw, so that broken packets and half-open connections can be sent. Bounded in time (`duration`)
and in connections.
"""

import asyncio
import collections
import contextlib
import itertools
import random
from collections.abc import Callable, Iterable

from mqtt_ids.decoder import Decoder
from mqtt_ids.lab import wire
from mqtt_ids.lab.actions import (
    Action,
    Actor,
    Clock,
    Connect,
    Disconnect,
    Drop,
    Lost,
    Open,
    Publish,
    Restart,
    Send,
    Signal,
    Subscribe,
    Vanish,
    Woken,
)
from mqtt_ids.lab.deeds import KINDS, Deed, Loopback
from mqtt_ids.packets import AckPacket, ConnackPacket, Packet, PacketType, PublishPacket

_HOST = "127.0.0.1"
_CONNACK_WITHIN = 10.0  # seconds
_CLOSED_WITHIN = 0.3  # how long a broker has to close after a broken packet
_INBOX = 256
_SLACK = 1.0  # seconds that a late script may hurry to make up for
_PUBLISH_ANSWERS = {1: 0x40, 2: 0x50}  # by QoS, the first byte of PUBACK and PUBREC
_ACK_ANSWERS = {PacketType.PUBREC: 0x62, PacketType.PUBREL: 0x70}  # of PUBREL and PUBCOMP


async def perform(
    actors: Iterable[Actor],
    *,
    port: int,
    duration: float,
    start: float = 0.0,
    speed: float = 1.0,
    connections: int = 1_500,
    address_of: Callable[[str], str] | None = None,
    note: Callable[[Deed], None] | None = None,
) -> collections.Counter[str]:
    """Perform the scripts from `start` for `duration` seconds of theirs; what was done, counted.

    With a `speed` of 10, ten of their seconds pass in one. At most `connections` are open at a
    time; more are refused to the scripts. The broker listens on 127.0.0.1:`port`.
    `note` is told of each deed. `Restart` is not done.
    """
    stage = _Stage(port, start, speed, connections, address_of or Loopback(), note)
    tasks = [asyncio.create_task(stage.act(actor)) for actor in actors]
    try:
        done, _ = await asyncio.wait(tasks, timeout=duration / speed)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await stage.close()
    return stage.tally


class _Stage:
    """What all clients of one performance share."""

    def __init__(
        self,
        port: int,
        start: float,
        speed: float,
        connections: int,
        address_of: Callable[[str], str],
        note: Callable[[Deed], None] | None,
    ) -> None:
        self.port, self.speed = port, speed
        self.free = connections
        self.address_of = address_of
        self.tally: collections.Counter[str] = collections.Counter()
        self._note = note
        self._start = start
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._clock = Clock(start)
        self._links: set[_Link] = set()

    def now(self) -> float:
        """The time on the scripts' clock."""
        return self._start + (self._loop.time() - self._began) * self.speed

    async def act(self, actor: Actor) -> None:
        """Perform one script to its end."""
        await asyncio.sleep(max(0.0, actor.start - self.now()) / self.speed)
        self._clock.now = self.now()
        script = actor.script(self._clock, random.Random(actor.seed))
        client = _Client(self, actor)
        signal: Signal | None = None
        due = self.now()
        while True:
            self._clock.now = self.now()
            try:
                action = script.send(signal)
            except StopIteration:
                return  # what is open stays open, as in virtual time
            if isinstance(action, float):
                due = max(due, self.now() - _SLACK * self.speed) + action
                signal = await client.rest((due - self.now()) / self.speed)
                if signal is not None:
                    due = self.now()
            else:
                signal = await client.do(action)

    def did(self, client: "_Client", kind: str, action: Action | None = None) -> None:
        """Count a deed, and tell of it."""
        self.tally[kind] += 1
        publish = action if isinstance(action, Publish) else None
        if self._note is not None:
            deed = Deed(
                time=self.now(),
                actor=client.actor.name,
                kind=kind,
                address=client.address,
                client_id=client.client_id,
                topic=publish.topic if publish else None,
                size=publish.size if publish else None,
            )
            self._note(deed)

    def keep(self, link: "_Link") -> None:
        """Remember an open connection."""
        self._links.add(link)
        self.free -= 1

    def forget(self, link: "_Link") -> None:
        """It is closed."""
        if link in self._links:
            self._links.remove(link)
            self.free += 1

    async def close(self) -> None:
        """Close what is left."""
        await asyncio.gather(*(link.end() for link in list(self._links)), return_exceptions=True)


class _Link:
    """One connection: the bytes out, and the packets that come in."""

    def __init__(
        self, stage: _Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._stage, self._reader, self.writer = stage, reader, writer
        self._decoder = Decoder(from_client=False)
        self.connack: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self.inbox: asyncio.Queue[Signal] = asyncio.Queue(_INBOX)
        self.wakes: set[str] = set()
        self.gone = asyncio.Event()
        stage.keep(self)
        self._task = asyncio.create_task(self._read())

    def end(self) -> asyncio.Task[None]:
        """Close; the task that ends with it."""
        self.writer.close()
        self._task.cancel()
        self._stage.forget(self)
        return self._task

    async def _read(self) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await self._reader.read(65_536):
                for packet in self._decoder.feed(data):
                    self._take(packet)
        self.gone.set()
        if not self.connack.done():
            self.connack.set_result(None)
        self.writer.close()
        self._stage.forget(self)
        with contextlib.suppress(asyncio.QueueFull):
            self.inbox.put_nowait(Lost("none"))

    def _take(self, packet: Packet) -> None:
        if isinstance(packet, ConnackPacket):
            if not self.connack.done():
                self.connack.set_result(packet.code)
        elif isinstance(packet, PublishPacket):
            if packet.packet_id is not None:
                self.writer.write(wire.ack(_PUBLISH_ANSWERS[packet.qos], packet.packet_id))
            if packet.topic in self.wakes and not self.inbox.full():
                self.inbox.put_nowait(Woken(packet.topic))
        elif isinstance(packet, AckPacket) and packet.type in _ACK_ANSWERS:
            self.writer.write(wire.ack(_ACK_ANSWERS[packet.type], packet.packet_id))


class _Client:
    """Performs the actions of one script."""

    def __init__(self, stage: _Stage, actor: Actor) -> None:
        self._stage, self.actor = stage, actor
        self.address = stage.address_of(actor.address)
        self.client_id: str | None = None
        self._link: _Link | None = None
        self._ids = itertools.cycle(range(1, 65_536))

    async def rest(self, seconds: float) -> Signal | None:
        """Wait, unless a message or the loss of the connection comes before."""
        link = self._link
        if seconds <= 0.0 and (link is None or link.inbox.empty()):
            await asyncio.sleep(0)
            return None
        if link is None:
            await asyncio.sleep(seconds)
            return None
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                signal = await link.inbox.get()
        except TimeoutError:
            return None
        if isinstance(signal, Lost):
            self._lose()
        return signal

    async def do(self, action: Action) -> Signal | None:
        """Perform one action."""
        if isinstance(action, Open):
            return await self._open(action)
        if isinstance(action, Restart):
            return None  # the broker is not ours to restart
        link = self._link
        if link is None or link.gone.is_set():
            self._lose()
            return Lost("none")
        try:
            return await self._send(link, action)
        except ConnectionError:
            self._lose()
            return Lost("none")

    def leave(self) -> None:
        """Close the connection, if there is one."""
        if self._link is not None:
            self._link.end()
            self._lose()

    def _lose(self) -> None:
        self._link = self.client_id = None

    async def _open(self, action: Open) -> Signal | None:
        self.leave()
        stage = self._stage
        if stage.free <= 0:
            return Lost("unreachable")
        self.address = stage.address_of(action.address or self.actor.address)
        try:
            streams = await asyncio.open_connection(_HOST, stage.port, local_addr=(self.address, 0))
        except OSError:
            return Lost("unreachable")
        self._link = _Link(stage, *streams)
        if self.actor.truth is not None:
            self.actor.truth.addresses.add(self.address)
        stage.did(self, "opened")
        return None

    async def _send(self, link: _Link, action: Action) -> Signal | None:
        if isinstance(action, Connect):
            return await self._connect(link, action)
        if isinstance(action, Vanish):
            self._lose()  # the stage keeps the connection to its end
            return None
        if isinstance(action, Send):
            link.writer.write(action.data)
            if action.fault is not None:
                return await self._broken(link)
        elif not isinstance(action, Drop):
            link.writer.write(wire.encode(action, next(self._ids)))
            self._stage.did(self, KINDS[type(action)], action)
        if isinstance(action, Subscribe):
            link.wakes.update(action.wakes)
        if isinstance(action, Drop | Disconnect):
            self._stage.did(self, "closed")
            self.leave()
        else:
            await link.writer.drain()
        return None

    async def _connect(self, link: _Link, action: Connect) -> Signal | None:
        if self.actor.truth is not None and action.client_id:
            self.actor.truth.client_ids.add(action.client_id)
        link.writer.write(wire.connect(action))
        code = None  # closed, or silent for too long
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CONNACK_WITHIN):
                code = await link.connack
        if code != 0:
            self._stage.did(self, "refused")
            self.leave()
            return Lost("refused")
        self.client_id = action.client_id
        self._stage.did(self, "connected")
        return None

    async def _broken(self, link: _Link) -> Signal:
        """After a broken packet: some brokers close, and with those that do not we do."""
        self._stage.did(self, "malformed")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSED_WITHIN):
                await link.gone.wait()
        self.leave()
        return Lost("malformed")
