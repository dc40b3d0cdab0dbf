"""Tricks to get past a ban, past the reserved topics, or to stay for ever."""

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest
from live_broker import until
from proxy_tools import WITHIN, Fronted, Sink, connect, dial, publish, read, rest, text

from mqtt_ids.bans import Handle
from mqtt_ids.events import Closed, Connected
from mqtt_ids.sensors.proxy.options import Options
from mqtt_ids.sensors.proxy.proxy import STALL

ACCEPTED = bytes.fromhex("20020000")
ACCEPTED_5 = bytes.fromhex("2003000000")
PROTECT = Options(reserved=(b"$ids/",))


def stuck(front: Fronted, broker: socket.socket) -> bool:
    """Send some more; whether we do not read it any more."""
    broker.setblocking(False)  # noqa: FBT003 - the socket's own
    with contextlib.suppress(BlockingIOError):
        broker.send(bytes(1_000_000))
    return bool(front.proxy._stalled)


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink(ACCEPTED) as sink:
        yield sink


def test_a_sound_connect_behind_a_broken_one_does_not_count(sink: Sink) -> None:
    broken = bytearray(connect("c1", will="$ids/alerts"))
    broken[0] |= 1  # a reserved flag, which not every broker looks at
    with Fronted(sink.port, PROTECT) as front:
        front.seen.bans.add(Handle("client_id", "c1"))
        one = dial(front.port)
        one.sendall(bytes(broken) + connect("c2"))
        assert rest(one) == b""
        front.empty()
        assert sink.heard == []


@pytest.mark.parametrize("handle", [Handle("client_id", "c1"), Handle("username", "eve")])
def test_who_waits_for_the_brokers_answer_is_cut_as_well(handle: Handle) -> None:
    with Sink() as silent, Fronted(silent.port) as front:
        one = dial(front.port)
        one.sendall(connect("c1", username="eve"))
        until(lambda: bool(silent.heard and silent.heard[0]), WITHIN)
        assert front.do(lambda: front.proxy.disconnect(handle)) == 1
        assert rest(one) == b""
        front.empty()


def test_all_with_one_id_are_cut_where_the_broker_lets_several_in(sink: Sink) -> None:
    with Fronted(sink.port) as front:
        both = [dial(front.port) for _ in range(2)]
        for one in both:
            one.sendall(connect("c1"))
            assert read(one, 4) == ACCEPTED
        until(lambda: len(front.seen.of(Connected)) == 2, WITHIN)
        assert front.do(lambda: front.proxy.disconnect(Handle("client_id", "c1"))) == 2
        front.empty()


@pytest.mark.parametrize("version", [4, 5])
def test_nothing_passes_behind_a_length_that_no_packet_has(version: int) -> None:
    accepted = ACCEPTED_5 if version == 5 else ACCEPTED
    with Sink(accepted) as sink, Fronted(sink.port, PROTECT) as front:
        one = dial(front.port)
        one.sendall(connect("c1", version=version))
        assert read(one, len(accepted)) == accepted
        one.sendall(b"\x30\xff\xff\xff\xff\x7f" + publish("$ids/alerts", version=version))
        assert rest(one) == b""
        front.empty()
        assert bytes(sink.heard[0]) == connect("c1", version=version)


@pytest.mark.parametrize("length", [0, 1, 2, 5])
def test_a_reserved_topic_does_not_reach_beyond_its_packet(sink: Sink, length: int) -> None:
    with Fronted(sink.port, PROTECT) as front:
        one = dial(front.port)
        one.sendall(connect("c1"))
        assert read(one, 4) == ACCEPTED
        one.sendall(bytes((0x30, length)) + text("$ids/alerts"))  # amqtt reads all of it
        assert rest(one) == b""
        front.empty()
        assert bytes(sink.heard[0]) == connect("c1")


def test_aliases_of_what_is_dropped_are_bounded() -> None:
    with Sink(ACCEPTED_5) as sink, Fronted(sink.port, PROTECT) as front:
        one = dial(front.port)
        one.sendall(connect("c1", version=5))
        assert read(one, 5) == ACCEPTED_5
        many = (publish("$ids/a", version=5, alias=number) for number in range(1, 1_100))
        one.sendall(b"".join(many))
        assert rest(one) == b""
        front.empty()
        assert bytes(sink.heard[0]) == connect("c1", version=5)


def test_who_never_reads_is_cut_although_its_broker_s_end_is_not_heard(sink: Sink) -> None:
    with Fronted(sink.port) as front:
        one = dial(front.port)
        one.sendall(connect("c1"))
        assert read(one, 4) == ACCEPTED
        broker = sink.sockets[0]
        until(lambda: stuck(front, broker), WITHIN, failing="it is never full")
        broker.setblocking(True)  # noqa: FBT003 - the socket's own
        broker.shutdown(socket.SHUT_WR)
        now = time.monotonic()
        front.do(lambda: front.proxy.sweep(now + STALL - 5))
        assert len(front.proxy) == 1
        front.do(lambda: front.proxy.sweep(now + STALL + 5))
        front.empty()
        assert [each.by for each in front.seen.of(Closed)] == ["client"]


def test_who_reads_again_may_stay(sink: Sink) -> None:
    with Fronted(sink.port) as front:
        one = dial(front.port)
        one.sendall(connect("c1"))
        assert read(one, 4) == ACCEPTED
        until(lambda: stuck(front, sink.sockets[0]), WITHIN, failing="it is never full")
        until(lambda: bool(one.recv(1_000_000)) and not front.proxy._stalled, WITHIN)
        front.do(lambda: front.proxy.sweep(time.monotonic() + STALL + 5))
        assert len(front.proxy) == 1
