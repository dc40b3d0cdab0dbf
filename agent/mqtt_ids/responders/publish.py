"""What is told to the world: alerts, the retained status and the retained summary.

`publish(topic, data, retain)` is the sensor's; it must return at once. The last will that says
`offline` when we die is the sensor's too: an embedded broker has none to give.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from mqtt_ids.detecting import ClientView
from mqtt_ids.settings import Mode, Topics

Publish = Callable[[str, bytes, bool], None]

SUMMARY_SCHEMA = "mqtt-ids/summary/1"
EVERY = 60.0  # seconds from one summary to the next when nothing changes
AT_MOST = 5.0  # seconds between two summaries whatever changes


class Learning(msgspec.Struct, frozen=True, kw_only=True):
    """How far the normal of each connected client is known: `learned` of `clients` have one."""

    state: Literal["starting", "learning", "learned"]
    learned: int
    clients: int

    @classmethod
    def of(cls, clients: Sequence[ClientView]) -> "Learning":
        """How far it is with these clients."""
        learned = sum(view.learned for view in clients)
        if not learned:
            return cls(state="starting", learned=0, clients=len(clients))
        done = learned == len(clients)
        return cls(state="learned" if done else "learning", learned=learned, clients=len(clients))


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What `$ids/summary` holds. `time` is RFC 3339, `lag` in seconds.

    `clients` are connected, `open_incidents` counts notes (info) too, `active` only what is above.
    `skipped` counts events that were not judged, `errors` faults inside the detector.
    """

    time: str
    mode: Mode
    sensor: str
    learning: Learning
    clients: int
    open_incidents: int
    active: int
    bans: int
    lag: float
    events: int
    skipped: int
    errors: int
    unwritten: int


class Publisher:
    """Publishes on the topics of the settings, and keeps summaries rare.

    `withdraw` takes away what others have retained on our behalf; `also` gets each alert as well.
    """

    def __init__(
        self,
        publish: Publish,
        topics: Topics,
        withdraw: Callable[[], None] = lambda: None,
        also: Callable[[bytes], None] = lambda _: None,
    ) -> None:
        self._publish = publish
        self._also = also
        self._topics = topics
        self._withdraw = withdraw
        self._sent: float | None = None
        self._gist: tuple[object, ...] = ()

    def alert(self, data: bytes) -> None:
        """One change of one incident, not retained."""
        try:
            self._publish(self._topics.alerts, data, False)  # noqa: FBT003 - the sensor's signature
        finally:
            self._also(data)

    def status(self, status: Literal["online", "offline"]) -> None:
        """Whether we watch, retained."""
        self._publish(self._topics.status, status.encode(), True)  # noqa: FBT003

    def wants_summary(self, gist: tuple[object, ...], now: float) -> bool:
        """Whether a summary is due: once a minute, and soon after its gist has changed."""
        if self._sent is None:
            return True
        return now - self._sent >= (EVERY if gist == self._gist else AT_MOST)

    def summary(self, summary: Summary, gist: tuple[object, ...], now: float) -> None:
        """The summary, retained."""
        body = {"schema": SUMMARY_SCHEMA, **msgspec.to_builtins(summary)}
        self._publish(self._topics.summary, msgspec.json.encode(body), True)  # noqa: FBT003
        self._sent, self._gist = now, gist

    def clear(self) -> None:
        """Take our retained messages away. The next summary comes in its turn."""
        for topic in (self._topics.status, self._topics.summary):
            self._publish(topic, b"", True)  # noqa: FBT003
        self._withdraw()
