"""The agent's own connection to the broker: kept up, told about, and never in anybody's way.

One thread connects, sends and receives. What it receives goes to the event loop through a bounded
queue that never makes the thread wait; what is to be sent waits in a bounded outbox while there
is no broker.
"""

import asyncio
import random
import secrets
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Literal, NamedTuple

from mqtt_ids.uplink.access import Access
from mqtt_ids.uplink.outbox import Message, Outbox
from mqtt_ids.uplink.session import End, Received, Session, Version, Wishes

__all__ = ["Pace", "Received", "State", "Uplink"]

AT_ONCE = 500  # messages that one turn of the event loop takes
MOST = 10_000  # messages that wait for the event loop
MOST_BYTES = 16 << 20  # of their payloads
STABLE = 10.0  # seconds after which a connection counts as a good one
MOST_KICKS = 2  # failures that are counted, of connections that the broker had let in
LAST_WORDS = 8.0  # seconds that stopping may take: a farewell, or a connection being tried
LONGEST_TOPIC = 65_535  # bytes


class State(NamedTuple):
    """One line for people. A note tells something, and changes nothing."""

    name: Literal["online", "away", "refused", "stopped", "note"]
    text: str


class Pace(NamedTuple):
    """Seconds between attempts: doubling from `first` to `most`; flat once we were refused."""

    first: float = 1.0
    most: float = 60.0
    refused: float = 60.0

    def delay(self, failures: int, *, refused: bool = False) -> float:
        """How long to wait after so many failures in a row: up to half is left to chance."""
        longest = self.refused if refused else min(self.most, self.first * 2 ** min(failures, 30))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - to spread, not to hide


class Uplink:
    """Keeps one connection to the broker.

    `on_message` and `on_state` are called in the event loop of `start`, in the order in which
    things happened; `on_state` once for each change. With a status topic every connection begins
    with a retained `online` there, and the broker says `offline` when it ends.
    """

    def __init__(
        self,
        access: Access,
        *,
        client_id: str,
        on_state: Callable[[State], None],
        on_message: Callable[[Received], None],
        filters: Sequence[str] = (),
        status_topic: str | None = None,
        version: Version = "5",
        pace: Pace | None = None,
    ) -> None:
        self.received = 0
        self.lost = 0  # messages that the event loop was too slow for
        self.online = False
        self.version: Version = version  # of MQTT, as far as the broker knows it
        self.end: tuple[str, int] | None = None  # ours, if the broker is on this machine
        self._access = access
        self.client_id = client_id  # changes when somebody else seems to use it
        self._name = client_id
        self._filters = tuple(filters)
        self._status_topic = status_topic
        self._on_state = on_state
        self._on_message = on_message
        self._pace = pace or Pace()
        self._outbox = Outbox()
        self._inbox: deque[Received] = deque()
        self._inbox_bytes = 0
        self._scheduled = False  # a turn of the event loop is on its way
        self._lock = threading.Lock()  # of the four above
        self._told: set[State] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._wake, self._wakes = socket.socketpair()
        self._wakes.settimeout(0)  # never wait

    def __repr__(self) -> str:
        return f"Uplink({self._access!r})"

    @property
    def waiting(self) -> int:
        """How many messages the broker does not have yet."""
        return len(self._outbox)

    @property
    def dropped(self) -> int:
        """How many messages were given up because too many waited."""
        return self._outbox.dropped

    async def start(self) -> None:
        """Begin to connect; returns at once, whether there is a broker or not."""
        self._loop = asyncio.get_running_loop()
        warning = self._access.warning()
        if warning is not None:
            self._note(warning)
        self._thread = threading.Thread(target=self._run, name="mqtt-ids-uplink", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Send what waits if that is quick, say offline, disconnect. Twice does no harm."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        if self.online and self._status_topic is not None:
            self.publish(self._status_topic, b"offline", retain=True)
        self._stopping.set()
        self._rouse()
        await asyncio.to_thread(thread.join, LAST_WORDS)
        if not thread.is_alive():  # else it hangs in a look-up of a name, and ends after that
            self._wake.close()
            self._wakes.close()

    def publish(self, topic: str, payload: bytes, retain: bool = False, qos: int = 1) -> None:  # noqa: FBT001, FBT002 - the responders' signature
        """Send now, or once there is a broker. Returns at once, from any thread.

        Of what is retained only the newest of each topic waits, of the rest the newest thousand in
        order. At QoS 0 what was on its way when the connection broke is gone, at 1 it may come
        twice. Raises ValueError for what can be no message.
        """
        if not topic or set(topic) & set("+#\0") or len(topic.encode()) > LONGEST_TOPIC:
            raise ValueError(f"{topic[:64]!r} is no topic to publish on")
        if qos not in {0, 1, 2}:
            raise ValueError(f"{qos!r} is no quality of service")
        self._outbox.put(Message(topic, payload, retain=retain, qos=qos))
        self._rouse()

    def listen_to(self, filters: Sequence[str]) -> None:
        """Be subscribed to these from now on, over each connection. From any thread."""
        self._filters = tuple(filters)
        self._rouse()

    # In the thread.

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            end = self._session().run()
            self.online = False
            if end.kind == "too new" and self.version == "5":
                self._note(f"{end.text}; going on with 3.1.1")
                self.version = "3.1.1"
                continue
            failures = 0 if end.lasted is not None and end.lasted >= STABLE else failures
            if end.lasted is not None and end.lasted < STABLE:
                # Whoever uses our id ends each connection of ours; nobody knows the next one.
                self.client_id = f"{self._name}-{secrets.token_hex(3)}"
                failures = min(failures, MOST_KICKS)
            self._tell_end(end)
            self._stopping.wait(self._pace.delay(failures, refused=end.kind == "refused"))
            failures += 1
        self._tell(State("stopped", f"no longer connected to {self._access!r}"))

    def _session(self) -> Session:
        return Session(
            self._access,
            Wishes(
                client_id=self.client_id,
                filters=lambda: self._filters,
                status_topic=self._status_topic,
            ),
            self.version,
            outbox=self._outbox,
            receive=self._receive,
            note=self._note,
            online=self._is_online,
            stopping=self._stopping.is_set,
            wake=self._wake,
        )

    def _is_online(self, end: tuple[str, int] | None) -> None:
        self.online, self.end = True, end
        self._told.clear()
        self._tell(State("online", f"connected to {self._access!r} with MQTT {self.version}"))

    def _tell_end(self, end: End) -> None:
        if end.kind == "stopped" or self._stopping.is_set():
            return
        name: Literal["away", "refused"] = "refused" if end.kind == "refused" else "away"
        how = "slowly" if name == "refused" else "until it works"
        self._tell(State(name, f"{end.text}; trying again {how}"))

    def _note(self, text: str) -> None:
        self._tell(State("note", text))

    def _tell(self, state: State) -> None:
        """Each thing once until we are online again."""
        if state in self._told or self._loop is None:
            return
        if len(self._told) < AT_ONCE:
            self._told.add(state)
        with suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(self._on_state, state)

    def _rouse(self) -> None:
        """Wake the thread from its wait; it is awake already if its pipe is full."""
        with suppress(OSError):
            self._wakes.send(b"\0")

    def _receive(self, message: Received) -> None:
        with self._lock:
            self.received += 1
            size = self._inbox_bytes + len(message.payload)
            if len(self._inbox) >= MOST or (self._inbox and size > MOST_BYTES):
                self.lost += 1
                return
            self._inbox.append(message)
            self._inbox_bytes = size
            if self._scheduled:
                return
            self._scheduled = True
        self._schedule()

    def _schedule(self) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._deliver)

    # In the event loop.

    def _deliver(self) -> None:
        """Hand over a share of what waits, so that a flood leaves the loop time for others."""
        with self._lock:
            share = [self._inbox.popleft() for _ in range(min(len(self._inbox), AT_ONCE))]
            self._inbox_bytes -= sum(len(message.payload) for message in share)
            self._scheduled = bool(self._inbox)
            again = self._scheduled
        if again:
            self._schedule()
        for message in share:
            self._on_message(message)
