"""A proxy in front of a port, in a thread of its own, and what it tells."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any, Self, TypeVar

from live_broker import HOST, until

from mqtt_ids.bans import Ban, Handle
from mqtt_ids.events import AnyEvent
from mqtt_ids.names import bounded
from mqtt_ids.readers import HostPort
from mqtt_ids.sensors.proxy.options import Listener, Options, Upstream
from mqtt_ids.sensors.proxy.proxy import Proxy

WITHIN = 10.0  # seconds
T = TypeVar("T")


class Watcher:
    """Stands in for the engine: notes events, and bars whom a test bars."""

    def __init__(self) -> None:
        self.events: list[AnyEvent] = []
        self.bans: set[Handle] = set()

    def feed(self, event: AnyEvent) -> None:
        self.events.append(event)

    def barred(
        self,
        *,
        address: str | None = None,
        client_id: str | None = None,
        username: str | None = None,
    ) -> Ban | None:
        claims = {"address": address, "client_id": client_id, "username": username}
        for kind, value in claims.items():
            for handle in self.bans:
                if value is not None and (handle.kind, handle.value) == (kind, bounded(value)):
                    return Ban(handle=handle, until=1e12, seconds=1.0, why="a test")
        return None

    def of(self, kind: type[T]) -> list[T]:
        return [event for event in list(self.events) if isinstance(event, kind)]

    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in list(self.events)]


class Fronted:
    """A proxy on `port` in front of `target`."""

    def __init__(
        self,
        target: int,
        options: Options | None = None,
        *,
        observer: Any = None,  # noqa: ANN401 - a test may bring a broken one
        front_tls: ssl.SSLContext | None = None,
        front_web: bool = False,
        origins: tuple[str, ...] = (),
        bound: socket.socket | None = None,
        **upstream: Any,  # noqa: ANN401 - as Upstream takes
    ) -> None:
        self.seen = Watcher()
        self.told: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(self._exception)
        self.exceptions: list[str] = []
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.proxy = Proxy(
            Upstream(address=HostPort(HOST, target), **upstream),
            options or Options(),
            observer or self.seen,
            tell=self.told.append,
        )
        self.port = 0
        self._listener = Listener(
            address=None if bound else HostPort(HOST, 0),
            bound=bound,
            tls=front_tls,
            web=front_web,
            origins=origins,
        )

    def _exception(self, _: object, context: dict[str, Any]) -> None:
        self.exceptions.append(f"{context.get('message')}: {context.get('exception')!r}")

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.proxy.start([self._listener]), self._loop).result(10)
        (self.port,) = self.proxy.ports
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self.proxy.stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def do(self, what: Callable[[], T]) -> T:
        """Call it in the proxy's thread."""

        async def call() -> T:
            return what()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(10)

    def empty(self) -> None:
        """Wait until nobody is connected."""
        until(lambda: len(self.proxy) == 0, WITHIN, failing=f"{len(self.proxy)} are left")


class Sink:
    """A broker that takes all bytes, and answers with those that a test gives it."""

    def __init__(self, answer: bytes = b"") -> None:
        self.heard: list[bytearray] = []
        self.sockets: list[socket.socket] = []
        self._answer = answer
        self._listener = socket.create_server((HOST, 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self.sockets:
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                one, _ = self._listener.accept()
                heard = bytearray()
                self.heard.append(heard)
                self.sockets.append(one)
                threading.Thread(target=self._serve, args=(one, heard), daemon=True).start()

    def _serve(self, one: socket.socket, heard: bytearray) -> None:
        with contextlib.suppress(OSError):
            if self._answer:
                one.sendall(self._answer)
            while data := one.recv(65_536):
                heard += data
            one.close()


def connect(client_id: str, *, version: int = 4, **more: Any) -> bytes:  # noqa: ANN401
    """A CONNECT packet; `will` is a topic, `username` and `password` text."""
    will, username, password = more.get("will"), more.get("username"), more.get("password")
    flags = 2 | (4 if will else 0) | (0x80 if username else 0) | (0x40 if password else 0)
    none = b"\0" if version == 5 else b""
    body = b"\0\4MQTT" + bytes((version, flags, 0, more.get("keep_alive", 60))) + none
    body += text(client_id)
    if will:
        body += none + text(will) + text("gone")
    for each in (username, password):
        if each:
            body += text(each)
    return packet(0x10, body)


def publish(
    topic: str, payload: bytes = b"x", *, qos: int = 0, number: int = 1, version: int = 4,
    alias: int | None = None,
) -> bytes:  # fmt: skip
    properties = b""
    if version == 5:
        properties = b"\0" if alias is None else b"\3\x23" + alias.to_bytes(2, "big")
    identifier = number.to_bytes(2, "big") if qos else b""
    return packet(0x30 | qos << 1, text(topic) + identifier + properties + payload)


def text(value: str) -> bytes:
    return len(value.encode()).to_bytes(2, "big") + value.encode()


def packet(first: int, body: bytes) -> bytes:
    length, head = len(body), bytearray((first,))
    while True:
        length, digit = divmod(length, 128)
        head.append(digit | (0x80 if length else 0))
        if not length:
            return bytes(head) + body


def dial(port: int) -> socket.socket:
    one = socket.create_connection((HOST, port), timeout=WITHIN)
    one.settimeout(WITHIN)
    return one


def read(one: socket.socket, count: int) -> bytes:
    """So many bytes, or what there is until the end."""
    data = b""
    while len(data) < count:
        more = one.recv(count - len(data))
        if not more:
            break
        data += more
    return data


def rest(one: socket.socket) -> bytes:
    """All that comes until the end, which must come."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while more := one.recv(65_536):
            data += more
    return data
