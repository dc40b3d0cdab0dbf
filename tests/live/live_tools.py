"""A subscriber to what the detector says, a stage for live clients, and plain sockets."""

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterable
from importlib import resources
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from jsonschema import Draft202012Validator
from live_broker import HOST
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from mqtt_ids.lab.actions import Actor
from mqtt_ids.lab.deeds import Deed
from mqtt_ids.lab.live import perform

if TYPE_CHECKING:
    from concurrent.futures import Future

MARKER = "cAnArY-7f3e9b"  # in each password, and in payloads: it must never be told
SCHEMA = Draft202012Validator(
    json.loads((resources.files("mqtt_ids") / "alert.schema.json").read_text(encoding="utf-8"))
)
LONGEST = 300.0  # seconds; no script is performed for longer


# Who listens.


class Heard(NamedTuple):
    at: float
    topic: str
    payload: bytes
    retained: bool


class Told(NamedTuple):
    """An alert as it was received, and when."""

    at: float
    alert: dict[str, Any]


class Listener:
    """A plain paho client that subscribes to all that is said on `$ids/#`, and to more."""

    def __init__(self, port: int, login: tuple[str, str], *more: str) -> None:
        self.heard: list[Heard] = []
        self.connections = 0
        self._ready = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="listener")
        self._client.username_pw_set(*login)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._connected
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._take
        self._port = port
        self._filters = [("$ids/#", 1), *((one, 0) for one in more)]

    def __enter__(self) -> Self:
        self._client.connect(HOST, self._port, bind_address=HOST)
        self._client.loop_start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _connected(self, client: paho.Client, *_: object) -> None:
        self.connections += 1
        client.subscribe(self._filters)

    def _take(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        payload = bytes(message.payload)
        self.heard.append(Heard(time.monotonic(), message.topic, payload, message.retain))

    def on(self, topic: str) -> list[Heard]:
        return [heard for heard in list(self.heard) if heard.topic == topic]

    def alerts(self) -> list[Told]:
        return [Told(heard.at, json.loads(heard.payload)) for heard in self.on("$ids/alerts")]

    def alarms(self, address: str) -> list[Told]:
        """The alerts above info about this address."""
        return [
            told
            for told in self.alerts()
            if told.alert["severity"] != "info" and told.alert["address"] == address
        ]


# Who acts.


class Playing:
    """A performance that goes on. `began` is when its first connection was opened."""

    def __init__(self) -> None:
        self.began: float | None = None
        self.deeds: list[tuple[float, Deed]] = []
        self.ended = threading.Event()
        self.future: Future[None] | None = None

    def note(self, deed: Deed) -> None:
        now = time.monotonic()
        if self.began is None:
            self.began = now
        if deed.kind != "published":
            self.deeds.append((now, deed))

    def connected_since(self, moment: float) -> int:
        """How many logins were accepted since then."""
        return sum(at > moment and deed.kind == "connected" for at, deed in list(self.deeds))

    def stop(self) -> None:
        assert self.future is not None
        self.future.cancel()
        assert self.ended.wait(10)
        if not self.future.cancelled():
            self.future.result()


class Stage:
    """A thread in which scripts are performed as real clients, each from its own address."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._playing: list[Playing] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: object, __: TracebackType | None
    ) -> None:
        try:
            for playing in self._playing:
                playing.stop()
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop.close()

    def play(self, actors: Iterable[Actor]) -> Playing:
        """Begin to perform."""
        playing = Playing()
        self._playing.append(playing)
        work = self._perform(tuple(actors), playing)
        playing.future = asyncio.run_coroutine_threadsafe(work, self._loop)
        return playing

    async def _perform(self, actors: tuple[Actor, ...], playing: Playing) -> None:
        try:
            await perform(
                actors,
                port=self._port,
                duration=LONGEST,
                address_of=str,
                note=playing.note,
            )
        finally:
            playing.ended.set()


class Raw:
    """A plain socket from an address."""

    def __init__(self, port: int, address: str) -> None:
        self._socket = socket.create_connection((HOST, port), 5.0, (address, 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):  # gone already
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes a thread that receives
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def receive(self, size: int = 4, within: float = 5.0) -> bytes:
        """Up to `size` bytes; less at the end of the stream, which a reset is too."""
        self._socket.settimeout(within)
        data = b""
        with contextlib.suppress(ConnectionError):
            while len(data) < size and (more := self._socket.recv(size - len(data))):
                data += more
        return data

    def receive_some(self, within: float) -> bytes:
        """What there is, at least a byte; nothing at the end of the stream."""
        self._socket.settimeout(within)
        with contextlib.suppress(OSError):
            return self._socket.recv(65_536)
        return b""

    def is_closed(self, within: float) -> bool:
        """Whether the broker closes it in time; what comes before that is dropped."""
        end = time.monotonic() + within
        while (left := end - time.monotonic()) > 0:
            try:
                if not self.receive(65_536, left):
                    return True
            except TimeoutError:
                return False
        return False
