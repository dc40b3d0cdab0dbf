"""Loads for what stands in front of a broker, on blocking sockets. Each is bounded in time."""

import contextlib
import socket
import time
from typing import Final

import clients
import msgspec
from fronts import Front

from mqtt_ids.lab import wire
from mqtt_ids.lab.actions import Publish

SECONDS: Final = 0.25
CLIENTS: Final = 100
BULK: Final = 100  # messages in one write
LOGINS: Final = 100
AT_ONCE: Final = 20  # of them
PAYLOAD: Final = 16  # bytes
PINGREQ: Final = b"\xc0\0"
PINGRESP_SIZE: Final = 2
PUBACK_SIZE: Final = 4


class Trial(msgspec.Struct, frozen=True):
    """So many messages or logins, how many a second, and the front's processor time in seconds."""

    done: int
    rate: float
    cpu: float


class _Stopwatch:
    """Takes the time, and the front's processor time."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._used = front.cpu()
        self._start = time.perf_counter()

    @property
    def runs(self) -> bool:
        """Whether the time of a load is not over."""
        return time.perf_counter() - self._start < SECONDS

    def trial(self, count: int) -> Trial:
        """So many were done."""
        spent = time.perf_counter() - self._start
        return Trial(count, count / spent, self._front.cpu() - self._used)


def by_turns(front: Front, qos: int) -> Trial:
    """Each client writes one message; at QoS 1 all answers are awaited before the next turn."""
    with contextlib.ExitStack() as stack:
        links = [stack.enter_context(link) for link in greeted(front.port, CLIENTS)]
        messages = [_message(number, qos) for number in range(CLIENTS)]
        pairs = list(zip(links, messages, strict=True))
        watch, count = _Stopwatch(front), 0
        while watch.runs:
            for link, message in pairs:
                link.sendall(message)
            count += CLIENTS
            for link in links if qos else links[-1:]:
                _answered(link, qos)
        if not qos:
            for link in links:
                _answered(link, qos)
        return watch.trial(count)


def in_bulk(front: Front) -> Trial:
    """One client, as fast as it is read, at QoS 0."""
    (link,) = greeted(front.port, 1)
    with link:
        block, count = _message(0, 0) * BULK, 0
        watch = _Stopwatch(front)
        while watch.runs:
            link.sendall(block)
            count += BULK
        _answered(link, 0)
        return watch.trial(count)


def logins(front: Front) -> Trial:
    """Clients come, some at once, are accepted, and go."""
    watch = _Stopwatch(front)
    for _ in range(LOGINS // AT_ONCE):
        for link in greeted(front.port, AT_ONCE):
            link.close()
    return watch.trial(LOGINS)


def pings(front: Front, count: int) -> list[float]:
    """Microseconds from PINGREQ to PINGRESP, one after the other, of one client that is there."""
    (link,) = greeted(front.port, 1)
    times = []
    with link:
        for _ in range(count):
            start = time.perf_counter()
            _answered(link, 0)
            times.append(1e6 * (time.perf_counter() - start))
    return times


def _answered(link: socket.socket, qos: int) -> None:
    """Wait for a PUBACK; at QoS 0 ask for a PINGRESP, which comes behind all that was sent."""
    if not qos:
        link.sendall(PINGREQ)
    clients.exactly(link, PUBACK_SIZE if qos else PINGRESP_SIZE)


def greeted(port: int, count: int) -> list[socket.socket]:
    """Clients that were accepted, each from an address of its own."""
    return [
        clients.connected(
            port, f"load-{number:04}", address=f"127.0.{number // 250}.{number % 250 + 2}"
        )
        for number in range(count)
    ]


def _message(number: int, qos: int) -> bytes:
    return wire.publish(Publish(topic=f"home/{number:04}/state", size=PAYLOAD, qos=qos))
