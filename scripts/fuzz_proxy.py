"""What the fuzzer asks of the inline proxy's parts, without a socket: guard, witness, WebSocket."""

import asyncio
import itertools
import random
from typing import Final

from fuzz_input import MOSTLY, SOMETIMES, Corpus, damaged

from mqtt_ids.decoder import MAX_HEADER, Decoder
from mqtt_ids.packet_headers import MAX_BODY
from mqtt_ids.packets import PublishPacket
from mqtt_ids.peer import Peer
from mqtt_ids.sensors.proxy.budget import Budget
from mqtt_ids.sensors.proxy.guard import MOST_ANSWERS
from mqtt_ids.sensors.proxy.sieve import CannotSiftError, Framing, Sieve
from mqtt_ids.sensors.proxy.web_layer import WebLayer, server_protocol
from mqtt_ids.sensors.proxy.witness import LONGEST_HELD, MAX_CONNECT, Witness

LONGEST_STREAM: Final = 3_000  # bytes, mostly: damage is to hit something
RESERVED: Final = ("$ids/", "home", "h", "zigbee2mqtt/")
ACCEPTED: Final = bytes.fromhex("20020000")
HELD: Final = max(MAX_CONNECT, MAX_BODY) + MAX_HEADER + 65_536 + LONGEST_HELD
ABOVE_FULL: Final = 16 * 1024 * 1024


def try_proxy(rng: random.Random, corpus: Corpus) -> None:
    """One stream, in slices, through each of the proxy's parts."""
    stream = rng.choice(corpus.streams)[: LONGEST_STREAM if rng.random() < MOSTLY else None]
    data = damaged(rng, stream, corpus.streams)
    cuts = sorted(rng.choices(range(len(data) + 1), k=rng.choice((1, 3, 30))))
    slices = [data[a:b] for a, b in itertools.pairwise((0, *cuts, len(data))) if a < b]
    _sieve(rng, data, slices)
    _witness(rng, slices)
    _web(data, slices)


def _promise(kept: bool, text: str) -> None:  # noqa: FBT001 - the promise, and then its words
    if not kept:
        raise AssertionError(text)


def _sieve(rng: random.Random, data: bytes, slices: list[bytes]) -> None:
    """Cut anywhere, the same passes; and nothing on a reserved topic."""
    version, prefix = rng.choice((3, 4, 5)), rng.choice(RESERVED).encode()
    passed = []
    for pieces in ([data], slices):
        sieve, framing, out = Sieve((prefix,), version), Framing(), b""
        for piece in pieces:
            framing.feed(piece)
        try:
            for piece in pieces:
                out += sieve.feed(piece)[0]
                _promise(sieve.held <= MAX_BODY + MAX_HEADER + MOST_ANSWERS, "the sieve holds")
        except CannotSiftError:
            out += b"..."
        passed.append((out, framing.between_packets, framing.lost))
    _promise(passed[0][1:] == passed[1][1:], "slicing changes the framing")
    whole, sliced = passed[0][0], passed[1][0]
    if whole.endswith(b"..."):  # what came before the bad packet may be held then
        return
    _promise(whole == sliced, "slicing changes what passes")
    decoder = Decoder(from_client=True, version=version, expect_connect=False)
    for packet in decoder.feed(whole):
        topic = packet.topic if isinstance(packet, PublishPacket) else None
        _promise(not (topic or "").startswith(prefix.decode()), "a reserved topic passes")


def _witness(rng: random.Random, slices: list[bytes]) -> None:
    """No fault, little held, and one end."""
    events: list[object] = []
    faults: list[Exception] = []
    peer = Peer(1, "192.0.2.1", 1, events.append)
    witness = Witness(peer, b"key", lambda: 0.0, faults.append)
    for piece in slices:
        witness.client(piece)
        _promise(witness.held <= HELD, f"{witness.held} bytes are held")
        if rng.random() < SOMETIMES:
            witness.server(rng.choice((ACCEPTED, piece)))
    witness.client_ended()
    witness.end("client")
    witness.client(slices[0] if slices else b"")
    _promise(not faults, f"a fault: {faults}")
    _promise(type(events[-1]).__name__ == "Closed", "something comes after the end")


class _Below(asyncio.Transport):
    """TCP, as far as a layer sees it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = 0
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += len(data)

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


class _Above(asyncio.Protocol):
    """An end of a pair, as far as a layer sees it."""

    def __init__(self) -> None:
        self.heard = b""

    def data_received(self, data: bytes) -> None:
        self.heard += data


def _web(data: bytes, slices: list[bytes]) -> None:
    """Cut anywhere, the same is handed up; and no fault."""
    found = []
    for pieces in ([data], slices):
        faults: list[Exception] = []
        above, below, budget = _Above(), _Below(), Budget(ABOVE_FULL)
        layer = WebLayer(server_protocol(()), above, memoryview(bytearray()), budget, faults.append)
        layer.connection_made(below)
        for piece in pieces:
            layer.data_received(piece)
        if not below.closed:
            layer.eof_received()
        layer.connection_lost(None)
        _promise(not faults, f"a fault: {faults}")
        _promise(budget.total == 0, "it holds something after its end")
        found.append((above.heard, below.closed))
    _promise(found[0] == found[1], "slicing changes what is handed up")
