"""What the fuzzer throws: real traffic of the lab, and the damage that is done to it."""

import gzip
import io
import itertools
import random
import struct
from collections.abc import Iterator, Sequence
from typing import Final

from mqtt_ids.lab import capture_writer as writer
from mqtt_ids.lab import fuzz as lab_fuzz
from mqtt_ids.lab.actions import Send
from mqtt_ids.lab.homes import make_home, record
from mqtt_ids.lab.talks import Endpoint, Piece, Side, Talk

RARELY, SOMETIMES, MOSTLY = 0.01, 0.15, 0.7

STEPS: Final = (-70_000, -1460, -10, -1, 1, 10, 1460, 70_000, 1 << 31)  # of sequence numbers
LONG_LENGTH: Final = 126  # announces a length of two bytes in a WebSocket frame
UPGRADE: Final = (
    b"GET /mqtt HTTP/1.1\r\nHost: broker\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: mqtt\r\n\r\n"
)
UPGRADED: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
)
TELLING: Final = (0, 1, 2, 3, 4, 5, 0x0C, 0x10, 0x12, 0x23, 0x30, 0x7F, 0x80, 0x82, 0xF0, 0xFF)


class Corpus:
    """Real traffic: streams of both sides, segments and capture files."""

    def __init__(self) -> None:
        self.pieces = [list(_conversations(seed)) for seed in range(3)]
        self.pieces.append(list(_over_websocket(self.pieces[0])))
        self.streams = [bytes(stream) for each in self.pieces for stream in _streams(each)]
        rng = random.Random(0)  # noqa: S311 - a seed, not a secret
        for table in (lab_fuzz.BEFORE_CONNECT, lab_fuzz.AFTER_CONNECT):
            for attempt in table.values():
                self.streams += [one.data for one in attempt(rng) if isinstance(one, Send)]
        self.files = [file for each in self.pieces for file in _files(each[:60])]


def _conversations(seed: int) -> Iterator[Piece]:
    home = make_home(seed, family="test" if seed % 2 else "train", size=6)
    return itertools.islice(writer.pieces_of(record(home, duration=600.0)), 600)


def _over_websocket(pieces: Sequence[Piece]) -> Iterator[Piece]:
    """What one client and its broker say, over WebSocket (RFC 6455)."""
    client = pieces[0].source
    talk = Talk(client, Endpoint(pieces[0].target.address, 9001))
    yield from talk.open(0.0)
    yield from talk.say(0.0, "client", UPGRADE)
    yield from talk.say(0.0, "server", UPGRADED)
    for piece in pieces:
        if client in {piece.source, piece.target} and piece.data:
            side: Side = "client" if piece.source == client else "server"
            yield from talk.say(piece.time, side, _binary(piece.data, masked=side == "client"))
    yield from talk.close(pieces[-1].time, "client")


def _binary(data: bytes, *, masked: bool) -> bytes:
    """A binary frame; a mask of zeros changes nothing."""
    mask = bytes(4) if masked else b""
    short = len(data) < LONG_LENGTH
    length = struct.pack("!B", len(data)) if short else struct.pack("!BH", LONG_LENGTH, len(data))
    return bytes([0x82, length[0] | (0x80 if masked else 0)]) + length[1:] + mask + data


def _streams(pieces: Sequence[Piece]) -> Iterator[bytearray]:
    streams: dict[object, bytearray] = {}
    for piece in pieces:
        streams.setdefault((piece.source, piece.target), bytearray()).extend(piece.data)
    return iter(streams.values())


def _files(pieces: Sequence[Piece]) -> Iterator[bytes]:
    order: writer.ByteOrder
    for order, link in itertools.product("<>", (writer.ETHERNET, writer.COOKED, writer.RAW)):  # type: ignore[assignment]
        made = [frame(piece, link) for piece in pieces]
        pcap, pcapng = io.BytesIO(), io.BytesIO()
        writer.write_pcap(pcap, made, order=order, nano=link == writer.RAW)
        writer.write_pcapng(pcapng, made[:20], order=order)
        writer.write_pcapng(pcapng, made[20:], order=order, digits=9)
        yield from (pcap.getvalue(), pcapng.getvalue())
    yield gzip.compress(pcap.getvalue(), 1)


def frame(piece: Piece, link: int) -> writer.Frame:
    """A segment as the lab's captures hold it."""
    data = writer.encapsulate(piece, link)
    return writer.MONDAY + piece.time, link, len(data), data


# --- damage --------------------------------------------------------------------------------------


def damaged(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """The bytes with some changed, lost, doubled, or put in from elsewhere."""
    made = bytearray(data)
    for _ in range(rng.choice((0, 1, 1, 2, 4, 12))):
        rng.choice(_DAMAGE)(rng, made, rng.randrange(len(made) + 1), others)
    if rng.random() < SOMETIMES:
        del made[rng.randrange(len(made) + 1) :]
    return bytes(made)


def _telling(rng: random.Random, made: bytearray, at: int, _: Sequence[bytes]) -> None:
    made[at : at + 1] = bytes([rng.choice(TELLING)])


def _any(rng: random.Random, made: bytearray, at: int, _: Sequence[bytes]) -> None:
    made[at : at + 1] = rng.randbytes(1)


def _lost(rng: random.Random, made: bytearray, at: int, _: Sequence[bytes]) -> None:
    del made[at : at + rng.randint(1, 8)]


def _added(rng: random.Random, made: bytearray, at: int, _: Sequence[bytes]) -> None:
    made[at:at] = rng.randbytes(rng.randint(1, 8))


def _from_elsewhere(rng: random.Random, made: bytearray, at: int, others: Sequence[bytes]) -> None:
    other = rng.choice(others)
    start = rng.randrange(len(other) + 1)
    made[at:at] = other[start : start + rng.randint(1, 60)]


def _extreme(rng: random.Random, made: bytearray, at: int, _: Sequence[bytes]) -> None:
    made[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", bytes(4)))


_DAMAGE: Final = (_telling, _any, _lost, _added, _from_elsewhere, _extreme)


def shaken(rng: random.Random, pieces: Sequence[Piece], others: Sequence[bytes]) -> list[Piece]:
    """Segments lost, doubled, moved, and with fields that were changed."""
    made: list[Piece] = []
    for piece in pieces:
        if rng.random() < SOMETIMES:
            made += rng.choice(_SHAKE)(rng, piece, others)
        else:
            made.append(piece)
        if rng.random() < RARELY:
            place = rng.randrange(max(0, len(made) - 8), len(made) + 1)
            made[place:place] = made[-1:]
    return made


def _gone(_: random.Random, piece: Piece, __: Sequence[bytes]) -> list[Piece]:
    return [] if piece.data else [piece]


def _again(_: random.Random, piece: Piece, __: Sequence[bytes]) -> list[Piece]:
    return [piece, piece]


def _elsewhere(rng: random.Random, piece: Piece, _: Sequence[bytes]) -> list[Piece]:
    return [piece._replace(seq=(piece.seq + rng.choice(STEPS)) % (1 << 32))]


def _answering(rng: random.Random, piece: Piece, _: Sequence[bytes]) -> list[Piece]:
    return [piece._replace(ack=(piece.ack + rng.choice(STEPS)) % (1 << 32))]


def _flagged(rng: random.Random, piece: Piece, _: Sequence[bytes]) -> list[Piece]:
    return [piece._replace(flags=rng.randrange(64))]


def _saying(rng: random.Random, piece: Piece, others: Sequence[bytes]) -> list[Piece]:
    return [piece._replace(data=damaged(rng, piece.data, others)[:60_000])]


def _at_another_time(rng: random.Random, piece: Piece, _: Sequence[bytes]) -> list[Piece]:
    return [piece._replace(time=piece.time + rng.choice((-5.0, -0.5, 0.5, 1e5)))]


_SHAKE: Final = (_gone, _again, _elsewhere, _answering, _flagged, _saying, _at_another_time)
