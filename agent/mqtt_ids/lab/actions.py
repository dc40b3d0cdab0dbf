"""What a simulated client does: scripts of actions in relative time, and what it is told back.

A script is a generator. It yields an action, or a float (wait that many seconds), and is sent
None when that went as planned, else a signal: `Lost` when its connection is gone or was never
made, `Woken` when a message arrived on a topic that it wants to hear of. A script has at most one
connection at a time; an attacker with a thousand connections is a thousand scripts. The virtual
player and the live player perform the same scripts.
"""

import random
from collections.abc import Callable, Generator
from typing import Literal

import msgspec


class Open(msgspec.Struct, frozen=True, gc=False):
    """Open a TCP connection, from `address` or, where None, from the actor's own."""

    address: str | None = None


class Connect(msgspec.Struct, frozen=True, gc=False):
    """Send a CONNECT and await the CONNACK. An empty `client_id` asks the broker for one."""

    client_id: str
    username: str | None = None
    password: str | None = None
    keep_alive: int = 60
    clean: bool = True
    will_topic: str | None = None
    version: int = 4

    def __repr__(self) -> str:
        """Without the password."""
        return f"Connect(client_id={self.client_id!r}, username={self.username!r})"


class Publish(msgspec.Struct, frozen=True, gc=False):
    """Send a PUBLISH of `size` payload bytes."""

    topic: str
    size: int
    qos: int = 0
    retain: bool = False


class Subscribe(msgspec.Struct, frozen=True):
    """Send a SUBSCRIBE. A message on a topic in `wakes` wakes the script (exact topics)."""

    filters: tuple[str, ...]
    wakes: tuple[str, ...] = ()
    qos: int = 0


class Unsubscribe(msgspec.Struct, frozen=True):
    """Send an UNSUBSCRIBE."""

    filters: tuple[str, ...]


class Ping(msgspec.Struct, frozen=True, gc=False):
    """Send a PINGREQ."""


class Disconnect(msgspec.Struct, frozen=True, gc=False):
    """Send a DISCONNECT, then close the connection."""


class Drop(msgspec.Struct, frozen=True, gc=False):
    """Close the connection without a DISCONNECT."""


class Vanish(msgspec.Struct, frozen=True, gc=False):
    """Go away without a word: the connection stays until the broker gives it up."""


class Send(msgspec.Struct, frozen=True, gc=False):
    """Send raw bytes. `fault` names what a decoder finds wrong in them.

    With `fault` None the bytes are a beginning: nothing is wrong yet, and they are `truncated`
    when the connection ends. A fault ends the connection, as MQTT 3.1.1 clause 4.8 demands.
    """

    data: bytes
    fault: str | None = None


class Restart(msgspec.Struct, frozen=True, gc=False):
    """Stop the broker for `down` seconds; with `power`, the whole home loses power."""

    down: float
    power: bool = False


class Lost(msgspec.Struct, frozen=True, gc=False):
    """There is no connection (any more), and why."""

    reason: Literal[
        "none", "unreachable", "refused", "takeover", "timeout", "malformed", "restart", "power"
    ]


class Woken(msgspec.Struct, frozen=True, gc=False):
    """A message arrived on this topic."""

    topic: str


Action = (
    Open
    | Connect
    | Publish
    | Subscribe
    | Unsubscribe
    | Ping
    | Disconnect
    | Drop
    | Vanish
    | Send
    | Restart
    | float
)
Signal = Lost | Woken
Script = Generator[Action, Signal | None, None]
Step = Publish | float
"""A part of a burst: a message, or a wait between two."""


class Clock:
    """The time of the scene, set by the player before it resumes a script.

    `now` is in seconds; 0 is a Monday at midnight in the home's own time.
    """

    __slots__ = ("now",)

    def __init__(self, now: float) -> None:
        self.now = now


class Truth(msgspec.Struct, kw_only=True):
    """What an attack really was. The players fill the three sets; no event points here."""

    kind: str
    start: float
    end: float
    addresses: set[str] = msgspec.field(default_factory=set)
    client_ids: set[str] = msgspec.field(default_factory=set)
    connections: set[int] = msgspec.field(default_factory=set)


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who performs a script: from where, from when on, and with which random numbers.

    `script` makes a fresh generator, so that an actor can be played again. `client_id` is the id
    that it usually has, or None. `truth` is None for all who are part of normal life.
    """

    name: str
    address: str
    script: Callable[[Clock, random.Random], Script]
    seed: str
    start: float = 0.0
    client_id: str | None = None
    truth: Truth | None = None
