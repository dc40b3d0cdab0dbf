"""Raw MQTT clients on blocking sockets, so that the broker is what is measured."""

import contextlib
import socket
import threading
import time

from mqtt_ids.lab import wire
from mqtt_ids.lab.actions import Connect, Publish

PATIENCE = 60.0  # seconds
CONNACK_SIZE, SUBACK_SIZE = 4, 5
CHUNK = 262_144


def connected(
    port: int, client_id: str, *, address: str = "127.0.0.1", keep_alive: int = 60
) -> socket.socket:
    """A client that the broker has accepted, from an address of its own."""
    link = socket.create_connection(
        ("127.0.0.1", port), timeout=PATIENCE, source_address=(address, 0)
    )
    return greet(link, client_id, keep_alive)


def greet(link: socket.socket, client_id: str, keep_alive: int = 60) -> socket.socket:
    """The same over a link that is there."""
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    link.sendall(wire.connect(Connect(client_id=client_id, keep_alive=keep_alive)))
    if exactly(link, CONNACK_SIZE)[3] != 0:
        raise RuntimeError(f"{client_id} was refused")
    return link


def subscribed(
    port: int, client_id: str, topic_filter: str, *, address: str = "127.0.0.1"
) -> socket.socket:
    """A client that has subscribed at QoS 0."""
    link = connected(port, client_id, address=address)
    link.sendall(wire.subscribe((topic_filter,), 0, 1))
    exactly(link, SUBACK_SIZE)
    return link


def exactly(link: socket.socket, size: int) -> bytes:
    """So many bytes. Raises ConnectionError at an early end."""
    data = b""
    while len(data) < size:
        piece = link.recv(size - len(data))
        if not piece:
            raise ConnectionError("the broker closed the connection")
        data += piece
    return data


def message(topic: str) -> bytes:
    """A PUBLISH of 64 bytes at QoS 0."""
    return wire.publish(Publish(topic=topic, size=64))


class Counter(threading.Thread):
    """Reads until so many bytes have come; `ended` is when, on `time.perf_counter`."""

    def __init__(self, link: socket.socket, size: int) -> None:
        super().__init__(daemon=True)
        self.ended: float | None = None
        self._link = link
        self._left = size

    def run(self) -> None:
        """Read."""
        while self._left > 0:
            piece = self._link.recv(CHUNK)
            if not piece:
                return
            self._left -= len(piece)
        self.ended = time.perf_counter()


class Listener(threading.Thread):
    """Reads until a text has come; `heard` is when, on `time.perf_counter`."""

    def __init__(self, link: socket.socket, text: bytes) -> None:
        super().__init__(daemon=True)
        self.heard: float | None = None
        self.data = b""
        self._link = link
        self._text = text

    def run(self) -> None:
        """Read."""
        with contextlib.suppress(OSError):  # who gave up waiting has closed the socket
            while self._text not in self.data:
                piece = self._link.recv(CHUNK)
                if not piece:
                    return
                self.data += piece
            self.heard = time.perf_counter()
