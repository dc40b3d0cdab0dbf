"""A network between agent and broker that a test can cut, or turn into a hole."""

import contextlib
import socket
import threading
import time
from typing import NamedTuple, Self

from live_broker import HOST

REFUSED = bytes.fromhex("20020001")  # CONNACK: unacceptable protocol version


class Caller(NamedTuple):
    """On whose behalf a connection was opened, and when."""

    at: float
    address: str


class Relay:
    """Passes on to `target` what comes in at `port`; `old`: as a broker that knows no MQTT 5.

    The line of the PROXY protocol, where a connection begins with one, is noted in `callers`.
    """

    def __init__(self, target: int, *, old: bool = False) -> None:
        self.connections = 0
        self.callers: list[Caller] = []
        self._target = target
        self._old = old
        self._open = threading.Event()  # what comes is passed on
        self._open.set()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._refuses = False
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._open.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    @property
    def url(self) -> str:
        return f"mqtt://{HOST}:{self.port}"

    def cut(self) -> None:
        """Both ends are told that the other is gone, and so is whoever tries again."""
        self._refuses = True
        for pair in self._pairs:
            for one in pair:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def swallow(self) -> None:
        """From now on nothing passes, and nobody is told."""
        self._open.clear()

    def mend(self) -> None:
        """As at the beginning, for whoever comes; who was swallowed stays so."""
        self._refuses = False
        self._pairs.clear()
        self._open = threading.Event()
        self._open.set()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._begin, args=(client,), daemon=True).start()

    def _begin(self, client: socket.socket) -> None:
        first = b""
        with contextlib.suppress(OSError):
            first = b"" if self._refuses else self._first(client)
        at = first.find(b"MQTT")
        if self._old and at >= 0 and first[at + 4 : at + 5] == b"\5":
            client.sendall(REFUSED)
            first = b""
        if not first:
            client.close()
            return
        try:
            broker = socket.create_connection((HOST, self._target))
        except OSError:
            client.close()
            return
        self._pairs.append((client, broker))
        broker.sendall(first)
        is_open = self._open
        for source, target in ((client, broker), (broker, client)):
            threading.Thread(target=_pump, args=(source, target, is_open), daemon=True).start()

    def _first(self, client: socket.socket) -> bytes:
        """What is said first, without the line that tells on whose behalf."""
        first = client.recv(65_536)
        if not first.startswith(b"PROXY "):
            return first
        line, _, first = first.partition(b"\r\n")
        self.callers.append(Caller(time.monotonic(), line.split()[2].decode()))
        return first or client.recv(65_536)


def _pump(source: socket.socket, target: socket.socket, is_open: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            if not is_open.is_set():
                continue
            target.sendall(data)
    if not is_open.is_set():
        return
    for one in (source, target):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
