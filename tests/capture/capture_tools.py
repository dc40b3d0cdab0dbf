"""Captures by hand: conversations as frames, and what networks and captures do to them.

`mqtt_ids.lab.capture_writer` makes the frames; here they get lost, doubled, late and cut off.
"""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from mqtt_ids.events import AnyEvent
from mqtt_ids.lab.capture_writer import (
    BROKER,
    ETHERNET,
    MONDAY,
    PORT,
    ByteOrder,
    Frame,
    encapsulate,
    write_pcap,
    write_pcapng,
)
from mqtt_ids.lab.homes import make_home, record
from mqtt_ids.lab.talks import Endpoint, Piece, Side, Talk

CLIENT = Endpoint("192.168.1.10", 40_000)
SERVER = Endpoint(BROKER[4], PORT)
CLIENT_6 = Endpoint("fd00::10", 40_000)
SERVER_6 = Endpoint(BROKER[6], PORT)


class Chat:
    """A conversation as it is captured, in `pieces`; `wait` lets time pass in it."""

    def __init__(
        self,
        client: Endpoint = CLIENT,
        server: Endpoint = SERVER,
        *,
        first: tuple[int, int] = (1000, 500_000),
        size: int = 1460,
    ) -> None:
        self.talk = Talk(client, server, first=first, size=size)
        self.now = 0.0
        self.pieces: list[Piece] = []

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def open(self) -> None:
        self.pieces += self.talk.open(self.now)

    def say(self, data: bytes, *, side: Side = "client", acked: bool = True) -> None:
        self.pieces += self.talk.say(self.now, side, data, acked=acked)

    def close(self, side: Side = "client") -> None:
        self.pieces += self.talk.close(self.now, side)

    def reset(self, side: Side = "client") -> None:
        self.pieces += self.talk.reset(self.now, side)

    def frames(self, link: int = ETHERNET) -> list[Frame]:
        return framed(self.pieces, link)


def framed(
    pieces: Iterable[Piece], link: int = ETHERNET, *, vlans: tuple[int, ...] = ()
) -> list[Frame]:
    """The frames of these segments."""
    made = []
    for piece in pieces:
        data = encapsulate(piece, link, vlans=vlans)
        made.append((MONDAY + piece.time, link, len(data), data))
    return made


def pcap(frames: Iterable[Frame], *, order: ByteOrder = "<", nano: bool = False) -> io.BytesIO:
    """A pcap file, open at its start."""
    stream = io.BytesIO()
    write_pcap(stream, frames, order=order, nano=nano)
    stream.seek(0)
    return stream


def saved(path: Path, frames: Iterable[Frame]) -> Path:
    """`path`, at which these frames are written as pcap."""
    with path.open("wb") as stream:
        write_pcap(stream, frames)
    return path


def pcapng(frames: Iterable[Frame], *, order: ByteOrder = "<", digits: int = 6) -> io.BytesIO:
    """A pcapng file, open at its start."""
    stream = io.BytesIO()
    write_pcapng(stream, frames, order=order, digits=digits)
    stream.seek(0)
    return stream


def home_events(
    seed: int = 1, *, clients: int = 8, seconds: float = 300.0, family: str = "train"
) -> list[AnyEvent]:
    """Some minutes of a simulated home, in which everybody connects at the start."""
    home = make_home(seed, family="test" if family == "test" else "train", size=clients)
    return list(record(home, duration=seconds))


# --- what happens on the way ---------------------------------------------------------------------


def dropped(frames: Sequence[Frame], *numbers: int) -> list[Frame]:
    """Without some frames."""
    gone = {number % len(frames) for number in numbers}
    return [frame for number, frame in enumerate(frames) if number not in gone]


def doubled(frames: Sequence[Frame], *numbers: int) -> list[Frame]:
    """Some frames twice, as when they are sent again."""
    again = {number % len(frames) for number in numbers}
    return [
        frame for number, frame in enumerate(frames) for _ in range(2 if number in again else 1)
    ]


def late(frames: Sequence[Frame], number: int, by: int) -> list[Frame]:
    """One frame comes `by` frames later; the capture's times stay in order."""
    contents = [frame[1:] for frame in frames]
    contents.insert(number + by, contents.pop(number))
    return [(frame[0], *content) for frame, content in zip(frames, contents, strict=True)]


def snapped(frames: Iterable[Frame], length: int) -> list[Frame]:
    """Each frame cut off at `length` bytes, as by tcpdump -s."""
    return [(time, link, wire, data[:length]) for time, link, wire, data in frames]
