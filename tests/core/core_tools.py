"""A sensor's pen: writes events by hand, and random lives of a broker for properties."""

import random
from collections.abc import Iterator

from hypothesis import strategies as st

from mqtt_ids import events as ev

ROUTER = "192.168.1.1"


class Pen:
    """Writes the events of one sensor. Connections are numbered as they are opened."""

    def __init__(self, start: float = 0.0) -> None:
        self.now = start
        self._next = 0
        self._ids: dict[int, str] = {}
        self._addresses: dict[int, str] = {}

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def opened(self, address: str = ROUTER) -> ev.Opened:
        self._next += 1
        self._addresses[self._next] = address
        return ev.Opened(time=self.now, connection=self._next, address=address, port=50_000)

    def connected(
        self,
        connection: int,
        client_id: str,
        *,
        username: str | None = None,
        keep_alive: int = 60,
        will_topic: str | None = None,
        id_was_empty: bool = False,
    ) -> ev.Connected:
        self._ids[connection] = client_id
        return ev.Connected(
            time=self.now,
            connection=connection,
            address=self._addresses[connection],
            client_id=client_id,
            username=username,
            keep_alive=keep_alive,
            will_topic=will_topic,
            id_was_empty=id_was_empty,
        )

    def refused(
        self, connection: int, *, code: int = 5, credential: int | None = None, **more: str
    ) -> ev.Refused:
        return ev.Refused(
            time=self.now,
            connection=connection,
            address=self._addresses[connection],
            code=code,
            credential=credential,
            client_id=more.get("client_id"),
            username=more.get("username"),
            will_topic=more.get("will_topic"),
        )

    def published(
        self,
        connection: int,
        topic: str = "home/t",
        size: int = 20,
        *,
        qos: int = 0,
        retain: bool = False,
    ) -> ev.Published:
        return ev.Published(
            time=self.now,
            connection=connection,
            address=self._addresses[connection],
            client_id=self._ids.get(connection),
            topic=topic,
            size=size,
            qos=qos,
            retain=retain,
        )

    def subscribed(self, connection: int, *filters: str) -> ev.Subscribed:
        return ev.Subscribed(
            time=self.now,
            connection=connection,
            address=self._addresses[connection],
            client_id=self._ids.get(connection),
            filters=filters,
        )

    def pinged(self, connection: int) -> ev.Pinged:
        return ev.Pinged(
            time=self.now,
            connection=connection,
            address=self._addresses[connection],
            client_id=self._ids.get(connection),
        )

    def malformed(self, connection: int) -> ev.Malformed:
        return ev.Malformed(
            time=self.now,
            connection=connection,
            address=self._addresses[connection],
            client_id=self._ids.get(connection),
            reason="bad-flags",
        )

    def disconnected(self, connection: int) -> ev.Disconnected:
        return ev.Disconnected(
            time=self.now,
            connection=connection,
            address=self._addresses[connection],
            client_id=self._ids.get(connection),
        )

    def closed(self, connection: int) -> ev.Closed:
        return ev.Closed(
            time=self.now,
            connection=connection,
            address=self._addresses[connection],
            client_id=self._ids.get(connection),
        )

    def joined(
        self,
        client_id: str,
        address: str = ROUTER,
        *,
        username: str | None = None,
        keep_alive: int = 60,
        will_topic: str | None = None,
    ) -> tuple[int, list[ev.Event]]:
        """A connection and its CONNECT, accepted at once; its number, and the two events."""
        opened = self.opened(address)
        connection = opened.connection
        connected = self.connected(
            connection,
            client_id,
            username=username,
            keep_alive=keep_alive,
            will_topic=will_topic,
        )
        return connection, [opened, connected]


TOPICS = ("home/t", "home/u", "a//b", "$SYS/x", "$ids/alerts", "..", "x" * 300)
FILTERS = ("#", "home/+", "$SYS/#", "home/t")
STEPS = st.sampled_from((0.0, 0.0, 0.01, 0.4, 1.0, 3.0, 12.0))


@st.composite
def chaos(draw: st.DrawFn) -> list[ev.AnyEvent]:
    """Events in any order at all, as from a sensor that lost some: only time keeps order."""
    count = draw(st.integers(1, 60))
    rng = random.Random(draw(st.integers(0, 2**32)))
    steps = draw(st.lists(STEPS, min_size=count, max_size=count))
    connections, hosts, ids = (draw(st.integers(1, most)) for most in (6, 3, 4))
    now, events = 0.0, []
    for step in steps:
        now += step
        connection = rng.randrange(connections)
        address = f"10.0.0.{connection % hosts}"
        client_id = f"c{rng.randrange(ids)}"
        events.append(anything(rng, now, connection, address, client_id))
    return events


def anything(
    rng: random.Random, time: float, connection: int, address: str, client_id: str
) -> ev.AnyEvent:
    """One event of a random kind, with random contents."""
    kind = rng.choice(KINDS)
    base = {"time": time, "connection": connection, "address": address}
    if kind is ev.Opened:
        return ev.Opened(**base)  # type: ignore[arg-type]
    if kind is ev.Refused:
        return ev.Refused(
            **base,  # type: ignore[arg-type]
            client_id=client_id,
            code=rng.choice((1, 2, 4, 5, 0x86)),
            credential=rng.choice((None, 1, 2, 3)),
            will_topic=rng.choice((None, "$ids/x", "w")),
        )
    known = client_id if rng.random() < 0.8 else None
    common = {**base, "client_id": known}
    return _said(rng, kind, common)


def _said(rng: random.Random, kind: type, common: dict[str, object]) -> ev.AnyEvent:
    contents: dict[type, dict[str, object]] = {
        ev.Connected: {
            "keep_alive": rng.choice((0, 60, 65_535)),
            "id_was_empty": rng.random() < 0.2,
            "will_topic": rng.choice((None, "$ids/x", "w")),
        },
        ev.Published: {
            "topic": rng.choice(TOPICS),
            "size": rng.choice((0, 20, 10**9)),
            "qos": rng.randrange(3),
            "retain": rng.random() < 0.5,
        },
        ev.Subscribed: {"filters": tuple(rng.sample(FILTERS, rng.randrange(3)))},
        ev.Unsubscribed: {"filters": ("home/t",)},
        ev.Malformed: {"reason": "bad-flags"},
    }
    made: ev.AnyEvent = kind(**common, **contents.get(kind, {}))
    return made


KINDS: tuple[type[ev.AnyEvent], ...] = (
    ev.Opened,
    ev.Opened,
    ev.Connected,
    ev.Connected,
    ev.Refused,
    ev.Published,
    ev.Published,
    ev.Subscribed,
    ev.Unsubscribed,
    ev.Pinged,
    ev.Malformed,
    ev.Disconnected,
    ev.Closed,
    ev.Closed,
)


def calm_home(pen: Pen, clients: int, seconds: int) -> Iterator[ev.Event]:
    """Sensors that join and then publish, each every five seconds, from addresses of their own."""
    numbers = []
    for client in range(clients):
        number, events = pen.joined(f"sensor-{client}", f"192.168.1.{10 + client}")
        numbers.append(number)
        yield from events
    for second in range(seconds):
        pen.wait(1.0)
        for client, number in enumerate(numbers):
            if (second + client) % 5 == 0:
                yield pen.published(number, f"home/sensor-{client}/state")
            if (second + client) % 50 == 0:
                yield pen.pinged(number)
