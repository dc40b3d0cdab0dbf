"""Fuzzed bytes from either side: they pass unchanged, nothing is raised, nothing is left behind."""

import random
import socket
from itertools import pairwise

import pytest
from live_broker import HOST, until
from proxy_tools import WITHIN, Fronted, connect, dial, packet, publish, read, rest

from mqtt_ids.sensors.proxy.options import Options

ACCEPTED = bytes.fromhex("20020000")


def mutated(rng: random.Random) -> bytes:
    """Packets with some bytes wrong."""
    version = rng.choice((4, 5))
    good = [publish("a/b", rng.randbytes(rng.randrange(300)), version=version),
            publish("a", qos=2, version=version), b"\xc0\0", b"\xe0\0",
            packet(0x82, b"\0\1\0\1#\0"), rng.randbytes(rng.randrange(50))]  # fmt: skip
    data = bytearray(b"".join(rng.choices(good, k=rng.randrange(1, 8))))
    for _ in range(rng.randrange(4) if data else 0):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def cut(rng: random.Random, data: bytes) -> list[bytes]:
    edges = sorted({0, len(data), *(rng.randrange(len(data) + 1) for _ in range(4))})
    return [data[a:b] for a, b in pairwise(edges)]


@pytest.mark.parametrize("seed", range(4))
def test_either_side_may_say_anything(seed: int) -> None:
    rng = random.Random(seed)
    with socket.create_server((HOST, 0)) as listener, Fronted(listener.getsockname()[1]) as front:
        for turn in range(60):
            up = (connect("fuzz", version=rng.choice((4, 5))) if turn % 4 else b"") + mutated(rng)
            down = (ACCEPTED if turn % 3 else b"") + mutated(rng)
            one = dial(front.port)
            for piece in cut(rng, up):
                one.sendall(piece)
            if not (turn % 4 or len(up) > 1):
                one.close()  # nothing can be said about one byte
                continue
            one.shutdown(socket.SHUT_WR)
            listener.settimeout(0.5)
            try:
                broker, _ = listener.accept()
            except TimeoutError:  # no whole first packet, so the broker is not bothered
                assert turn % 4 == 0
                rest(one)
                continue
            broker.settimeout(WITHIN)
            assert rest(broker) == up
            for piece in cut(rng, down):
                broker.sendall(piece)
            broker.close()
            assert rest(one) == down
        front.empty()
        assert front.exceptions == []
        assert front.proxy._faults.count == 0
        assert (len(front.proxy), len(front.proxy._waiting)) == (0, 0)
        assert len(front.proxy._lingering) == 0
        assert front.seen.kinds().count("Opened") == front.seen.kinds().count("Closed") == 60


def test_hundreds_that_hang_up_at_any_moment_leave_nothing() -> None:
    rng = random.Random(5)
    with socket.create_server((HOST, 0), backlog=512) as listener:
        options = Options(reserved=(b"$ids/",), connect_within=2.0)
        with Fronted(listener.getsockname()[1], options) as front:
            for turn in range(300):
                one = dial(front.port)
                whole = connect("gone") + publish("$ids/a", qos=1) + publish("a", b"z" * 5000)
                one.sendall(whole[: rng.randrange(len(whole))])
                if turn % 2:
                    linger = b"\1\0\0\0\0\0\0\0"  # a reset
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                one.close()
            listener.close()
            front.empty()
            assert front.exceptions == []
            assert front.proxy._faults.count == 0
            until(lambda: len(front.proxy._tasks) == 1, WITHIN, failing="tasks are left")


def test_unfinished_connects_are_bounded_in_all() -> None:
    with Fronted(1) as front:
        large = b"\x10\xfe\xff\x17" + bytes(390_000)  # 393,214 bytes were promised
        held = []
        for _ in range(50):
            one = dial(front.port)
            held.append(one)
            one.sendall(large)
        until(lambda: front.seen.kinds().count("Closed") >= 5, WITHIN, failing="none was cut")
        waiting = front.proxy._waiting.values()
        total = front.do(lambda: sum(len(pair.first or b"") for _, pair in waiting))
        assert total <= 16 * 1024 * 1024
        for one in held:
            one.close()
        front.empty()


def test_an_enormous_connect_is_not_held() -> None:
    with Fronted(1, Options(reserved=(b"$ids/",))) as front:
        one = dial(front.port)
        one.sendall(b"\x10\xff\xff\xff\x7f")
        assert read(one, 1) == b""
        front.empty()
