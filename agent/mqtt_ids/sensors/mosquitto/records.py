"""What a line of Mosquitto's log says. Names are bytes as the log has them, perhaps cut."""

import re
from typing import Final

import msgspec


class Record(msgspec.Struct, frozen=True, gc=False):
    """One line."""


class Started(Record, frozen=True, gc=False):
    """The broker starts, or ends: nobody is connected. `old` tells that it is 2.0 or before."""

    old: bool


class Opening(Record, frozen=True, gc=False):
    """A TCP connection was accepted."""

    address: bytes
    port: int


class Reading(Record, frozen=True, gc=False):
    """One way to read a connect line; `protocol` as it is written, None where nothing is shown."""

    name: bytes
    protocol: bytes | None = None
    clean_session: bool = True
    keep_alive: int = 60
    username: bytes | None = None


class Accepted(Record, frozen=True):
    """A CONNECT was accepted. The first reading has the longest id, which frames nobody."""

    address: bytes
    port: int
    readings: tuple[Reading, ...]


class Ended(Record, frozen=True, gc=False):
    """A connection is over. `reason` is empty after a DISCONNECT.

    `whole` is the name in 2.0's format; where the line may be 2.1's, `name`, `address` and `port`
    are read from it.
    """

    whole: bytes
    reason: bytes
    name: bytes | None = None
    address: bytes | None = None
    port: int = 0


class TakenOver(Record, frozen=True, gc=False):
    """Another connection comes with the same id."""

    name: bytes


class TurnedAway(Record, frozen=True, gc=False):
    """A connection was closed as soon as it was accepted: there are too many."""

    address: bytes


class Fault(Record, frozen=True, gc=False):
    """Somebody broke the protocol; that the connection ends is a line of its own."""

    reason: bytes


class Answered(Record, frozen=True, gc=False):
    """A CONNACK was sent. `name` is the id in force, or else the address or the id claimed."""

    name: bytes
    code: int


class Said(Record, frozen=True, gc=False):
    """A packet other than PUBLISH came from `name`."""

    packet: bytes
    name: bytes


class Sent(Record, frozen=True, gc=False):
    """A PUBLISH came. Only who knows the ids can tell where in `rest` the id ends."""

    rest: bytes


class Will(Record, frozen=True, gc=False):
    """The CONNECT left a will; its topic is the next line, if `topic_follows`."""

    topic_follows: bool


class Indented(Record, frozen=True, gc=False):
    """A topic or filter that belongs to the line before."""

    text: bytes


class Acknowledged(Record, frozen=True, gc=False):
    """A SUBACK or UNSUBACK was sent."""


class Noise(Record, frozen=True, gc=False):
    """A line that tells nothing of a client; `debug` tells that only a debug log has it."""

    debug: bool = False


AnyRecord = (
    Started
    | Opening
    | Accepted
    | Ended
    | TakenOver
    | TurnedAway
    | Fault
    | Answered
    | Said
    | Sent
    | Will
    | Indented
    | Acknowledged
    | Noise
)

# What only a debug log has.
DEBUG_ONLY: Final = frozenset({Sent, Said, Answered, Will, Indented, Acknowledged})
SUBSCRIBED: Final = re.compile(rb" [012] ")  # within each `ID QOS FILTER`
