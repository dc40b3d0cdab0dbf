"""A real amqtt broker with the plugin, whose engine only writes down, and raw clients."""

import asyncio
import contextlib
import socket
import sys
import time
import types
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

from amqtt.broker import Broker
from amqtt.plugins.base import BaseAuthPlugin
from amqtt.session import Session

from mqtt_ids.bans import Ban, Handle
from mqtt_ids.events import AnyEvent
from mqtt_ids.lab import wire
from mqtt_ids.lab.actions import Connect, Publish
from mqtt_ids.responders.act import Actuator
from mqtt_ids.responders.publish import Publish as PublishCall
from mqtt_ids_plugin import IDSPlugin
from mqtt_ids_plugin.plugin import Runnable

PASSWORD = "right"
PINGREQ, PINGRESP = b"\xc0\x00", b"\xd0\x00"
DISCONNECT = b"\xe0\x00"
_E = TypeVar("_E")


class Recorder:
    """An engine that writes down what it is told, and bars whom a test bars."""

    def __init__(self, actuator: Actuator, publish: PublishCall) -> None:
        self.actuator = actuator
        self.publish = publish
        self.events: list[AnyEvent] = []
        self.bans: set[Handle] = set()
        self.broken = False
        self.running = False
        self.failure: Exception | None = None

    async def start(self) -> None:
        if self.failure is not None:
            raise self.failure
        self.running = True

    async def stop(self) -> None:
        if self.running:
            self.running = False
            self.publish("$ids/status", b"offline", True)  # noqa: FBT003

    def feed(self, event: AnyEvent) -> None:
        if self.broken:
            raise ValueError("broken on purpose")
        self.events.append(event)

    def barred(
        self,
        *,
        address: str | None = None,
        client_id: str | None = None,
        username: str | None = None,
    ) -> Ban | None:
        asked = (
            Handle("address", address or ""),
            Handle("client_id", client_id or ""),
            Handle("username", username or ""),
        )
        for handle in asked:
            if handle in self.bans:
                return Ban(handle=handle, until=time.time() + 60, seconds=60, why="test")
        return None

    def of(self, kind: type[_E]) -> list[_E]:
        return [event for event in self.events if type(event) is kind]


class RecordingPlugin(IDSPlugin):
    """The plugin with a recorder for an engine."""

    def _make_engine(self, actuator: Actuator, publish: PublishCall) -> Runnable:
        self.recorder = Recorder(actuator, publish)
        return self.recorder

    @property
    def kept_out(self) -> int:
        return self._gate.kept_out

    def spare(self, most_held: int) -> None:
        self._table.most_held = most_held

    def hurry(self, connect_within: float) -> None:
        self._gate._connect_within = connect_within


class PasswordPlugin(BaseAuthPlugin):
    """Admits who gives the password, and whoever gives no user name."""

    asked = 0

    async def authenticate(self, *, session: Session) -> bool | None:
        type(self).asked += 1
        return session.username is None or session.password == PASSWORD


_module = types.ModuleType("recording_plugins")
_module.__dict__.update(RecordingPlugin=RecordingPlugin, PasswordPlugin=PasswordPlugin)
sys.modules["recording_plugins"] = _module


class Home:
    """A broker with a recording plugin."""

    def __init__(self, broker: Broker, port: int, plugin: RecordingPlugin) -> None:
        self.broker = broker
        self.port = port
        self.plugin = plugin
        self.recorder = plugin.recorder

    async def client(self, address: str = "127.0.0.1") -> "Client":
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, local_addr=(address, 0)
        )
        return Client(reader, writer)

    async def connected(self, connect: Connect, address: str = "127.0.0.1") -> "Client":
        client = await self.client(address)
        assert await client.connect(connect) == 0
        return client

    async def until(self, what: Callable[[], object], within: float = 5.0) -> None:
        async with asyncio.timeout(within):
            while not what():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def sees(self, kind: type[_E], count: int = 1, within: float = 5.0) -> list[_E]:
        await self.until(lambda: len(self.recorder.of(kind)) >= count, within)
        found = self.recorder.of(kind)
        assert len(found) == count
        return found


class Client:
    """A raw client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.port: int = writer.get_extra_info("sockname")[1]

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def receive(self, size: int, within: float = 5.0) -> bytes:
        async with asyncio.timeout(within):
            return await self.reader.readexactly(size)

    async def connect(self, connect: Connect) -> int:
        await self.send(wire.connect(connect))
        return (await self.receive(4))[3]

    async def publish(self, topic: str, *, size: int = 1, qos: int = 0) -> None:
        await self.send(wire.publish(Publish(topic=topic, size=size, qos=qos), 1))

    async def subscribe(self, *filters: str) -> None:
        await self.send(wire.subscribe(filters, 0, 7))
        await self.receive(4 + len(filters))

    async def is_alive(self) -> bool:
        await self.send(PINGREQ)
        return await self.receive(2) == PINGRESP

    async def is_cut(self, within: float = 5.0) -> bool:
        """Whether the broker closes the connection."""
        async with asyncio.timeout(within):
            with contextlib.suppress(ConnectionError):
                while await self.reader.read(65536):
                    pass
            return True

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def home(
    folder: Path, kind: str = "tcp", max_connections: int = -1, **settings: object
) -> AsyncIterator[Home]:
    port = free_port()
    listener = {"type": kind, "bind": f"127.0.0.1:{port}", "max_connections": max_connections}
    broker = Broker(
        {
            "listeners": {"default": listener},
            "plugins": {
                "recording_plugins.RecordingPlugin": {"state_dir": str(folder), **settings},
                "recording_plugins.PasswordPlugin": {},
            },
        }
    )
    plugin = broker.plugins_manager.get_plugin("RecordingPlugin")
    assert isinstance(plugin, RecordingPlugin)
    await broker.start()
    try:
        yield Home(broker, port, plugin)
    finally:
        await broker.shutdown()
