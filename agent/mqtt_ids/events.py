"""What a sensor saw a client do: immutable records, and what each sensor can see at all.

Times are seconds on the sensor's own monotonic clock (a capture brings its own). Nothing here
holds a payload or a password: a sensor counts payload bytes and hashes credentials with a key
that lives in memory only.
"""

import enum
from collections.abc import Mapping
from typing import Final

import msgspec


class Sees(enum.Flag):
    """What a sensor can observe. Features that need more than its sensor sees are masked."""

    CONNECTIONS = enum.auto()  # opens and closes of TCP connections, half-open ones included
    REFUSALS = enum.auto()  # CONNECTs that the broker refused
    CREDENTIALS = enum.auto()  # whether two refused CONNECTs tried the same credential
    PUBLISHES = enum.auto()  # each PUBLISH with its publisher, topic, QoS and retain flag
    SIZES = enum.auto()  # payload bytes of each PUBLISH
    SUBSCRIPTIONS = enum.auto()  # SUBSCRIBE and UNSUBSCRIBE with their filters
    PINGS = enum.auto()  # PINGREQ
    MALFORMED = enum.auto()  # packets that break the protocol
    KEEP_ALIVE = enum.auto()  # keep-alive, clean session, protocol version of each CONNECT
    DISCONNECTS = enum.auto()  # whether a client said DISCONNECT before its connection closed


SEES_ALL = ~Sees(0)

# The sensors there are, by what they see; for each the model's card holds thresholds of its own.
SENSORS: Final[Mapping[str, Sees]] = {
    "all": SEES_ALL,  # inside the broker, in front of it, or a capture
    "debug-log": SEES_ALL & ~Sees.CREDENTIALS,  # Mosquitto's log with every packet in it
    "log": SEES_ALL & ~(Sees.CREDENTIALS | Sees.PUBLISHES | Sees.SIZES | Sees.PINGS),  # its default
}


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="kind"):
    """One thing that a sensor saw. `time` never decreases within one sensor.

    `connection` names one TCP connection within the sensor's life; `address` is the true peer
    of that connection, whatever the session remembers. `client_id` is None until the broker has
    accepted the CONNECT (before that an id is only a claim), except in `Refused`. Ids and user
    names are `names.bounded`: a sensor hands on none of any length.
    """

    time: float
    connection: int
    address: str
    port: int = 0
    client_id: str | None = None


class Opened(Event, frozen=True, kw_only=True, gc=False, tag="opened"):
    """A TCP connection was accepted; no byte of MQTT was seen yet."""


class Connected(Event, frozen=True, kw_only=True, gc=False, tag="connected"):
    """The broker accepted a CONNECT. `client_id` is the id in force.

    `id_was_empty` tells that the client sent an empty id and the broker made one up.
    `version` is the protocol level: 3 (3.1), 4 (3.1.1) or 5. `keep_alive` is in seconds.
    """

    username: str | None = None
    keep_alive: int = 60
    clean_session: bool = True
    version: int = 4
    will_topic: str | None = None
    id_was_empty: bool = False


class Refused(Event, frozen=True, kw_only=True, gc=False, tag="refused"):
    """The broker answered a CONNECT with a CONNACK code other than 0.

    `client_id` and `username` are claims. `credential` is a keyed hash of user name and
    password (64 bits), or None where the sensor cannot see credentials.
    """

    code: int
    username: str | None = None
    credential: int | None = None
    will_topic: str | None = None


class Published(Event, frozen=True, kw_only=True, gc=False, tag="published"):
    """A client sent a PUBLISH. `size` counts payload bytes."""

    topic: str
    size: int
    qos: int = 0
    retain: bool = False


class Subscribed(Event, frozen=True, kw_only=True, gc=False, tag="subscribed"):
    """A client sent a SUBSCRIBE with these topic filters."""

    filters: tuple[str, ...]


class Unsubscribed(Event, frozen=True, kw_only=True, gc=False, tag="unsubscribed"):
    """A client sent an UNSUBSCRIBE with these topic filters."""

    filters: tuple[str, ...]


class Pinged(Event, frozen=True, kw_only=True, gc=False, tag="pinged"):
    """A client sent a PINGREQ."""


class Malformed(Event, frozen=True, kw_only=True, gc=False, tag="malformed"):
    """A client sent bytes that break MQTT. `client_id` is None before the CONNECT was accepted."""

    reason: str


class Disconnected(Event, frozen=True, kw_only=True, gc=False, tag="disconnected"):
    """A client said goodbye with a DISCONNECT packet. `reason` is the MQTT 5 code, else 0."""

    reason: int = 0


class Closed(Event, frozen=True, kw_only=True, gc=False, tag="closed"):
    """A TCP connection ended. `by` tells which side ended it: client, broker or us."""

    by: str = "client"  # client | broker | ids


AnyEvent = (
    Opened
    | Connected
    | Refused
    | Published
    | Subscribed
    | Unsubscribed
    | Pinged
    | Malformed
    | Disconnected
    | Closed
)
