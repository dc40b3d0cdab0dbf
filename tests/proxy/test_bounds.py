"""What one who means harm may fill: nothing grows with what it sends, and nothing is left of it."""

import asyncio
import functools
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from live_broker import HOST, until
from proxy_tools import WITHIN, Fronted, Sink, connect, dial, packet, publish, read, rest, text

from mqtt_ids.bans import Handle
from mqtt_ids.events import Closed, Connected, Opened, Published, Subscribed
from mqtt_ids.sensors.proxy.options import Options

ACCEPTED = bytes.fromhex("20020000")
ACCEPTED_5 = bytes.fromhex("2003000000")
PROTECT = Options(reserved=(b"$ids/", b"home/alerts\0"))
RESET = b"\1\0\0\0\0\0\0\0"  # SO_LINGER


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink(ACCEPTED) as sink:
        yield sink


def fill(one: socket.socket, piece: bytes, most: int = 60_000_000) -> int:
    """Send until nothing goes any more; how many bytes went."""
    one.setblocking(False)  # noqa: FBT003 - the socket's own
    sent, still = 0, 0
    while still < 20:
        try:
            sent += one.send(piece)
            still = 0
        except BlockingIOError:
            still += 1
            time.sleep(0.02)
        assert sent < most, "it is never full"
    return sent


def test_answers_to_what_is_reserved_are_bounded_for_who_does_not_read(sink: Sink) -> None:
    bad = publish("$ids/a", b"", qos=1)
    with Fronted(sink.port, PROTECT) as front:
        one = dial(front.port)
        one.sendall(connect("c1"))
        read(one, 4)

        def until_cut() -> None:
            for _ in range(100_000):
                one.sendall(bad * 400)  # their answers fill the buffers of the way back

        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            until_cut()
        front.empty()
        assert front.seen.of(Closed)[0].by == "ids"


def test_a_large_connect_does_not_lift_the_back_pressure(monkeypatch: pytest.MonkeyPatch) -> None:
    async def narrow(*args: Any) -> asyncio.Transport:  # noqa: ANN401 - as Caller.call takes
        far = await call(*args)
        far.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        return far

    with socket.create_server((HOST, 0)) as listener, Fronted(listener.getsockname()[1]) as front:
        call = front.proxy.caller.call
        monkeypatch.setattr(front.proxy.caller, "call", narrow)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one = dial(front.port)
        four = b"".join(text(each * 65_000) for each in ("w", "p", "u", "s"))
        one.sendall(packet(0x10, b"\0\4MQTT\4\xc6\0\0" + text("c") + four))
        broker, _ = listener.accept()
        fill(one, publish("a", b"z" * 60_000))
        (pair,) = front.proxy._pairs.values()
        assert pair.far is not None
        assert pair.far.get_write_buffer_size() < 500_000
        broker.close()


def test_who_is_cut_while_the_broker_is_called_leaves_no_call() -> None:
    # A full backlog: the kernel answers nobody any more.
    with socket.create_server((HOST, 0), backlog=0) as full:
        held = [socket.socket() for _ in range(4)]
        for each in held:
            each.setblocking(False)  # noqa: FBT003 - the socket's own
            each.connect_ex(full.getsockname())
        with Fronted(full.getsockname()[1], Options(broker_within=60.0)) as front:
            clients = [dial(front.port) for _ in range(20)]
            for number, one in enumerate(clients):
                one.sendall(connect(f"c{number}"))
            until(lambda: front.do(lambda: len(front.proxy._tasks)) == 21, WITHIN)
            assert front.do(lambda: front.proxy.disconnect(Handle("address", HOST))) == 20
            assert [rest(one) for one in clients] == [b""] * 20
            front.empty()
            until(lambda: len(front.proxy._tasks) == 1, WITHIN, failing="calls are left")
            assert front.exceptions == []
        for each in held:
            each.close()


def test_packets_that_never_end_are_bounded_in_all() -> None:
    half = packet(0x82, b"\0\1" + text("a" * 65_000) + b"\0")[:-10]
    with Sink(ACCEPTED) as sink, Fronted(sink.port) as front:
        held = []
        for number in range(300):
            one = dial(front.port)
            held.append(one)
            one.sendall(connect(f"c{number}") + half)
        until(lambda: len(front.seen.of(Closed)) >= 30, 20, failing="none was cut")
        assert front.do(lambda: front.proxy.budget.total) <= 16 * 1024 * 1024
        for one in held:
            one.close()
        front.empty()
        assert front.proxy.budget.total == 0


def test_what_is_said_before_the_answer_is_held_within_bounds() -> None:
    early = packet(0x82, b"\0\1" + text("a" * 3000) + b"\0")
    with Sink() as sink, Fronted(sink.port) as front:
        one = dial(front.port)
        one.sendall(connect("c1") + early * 60)
        until(lambda: len(front.seen.of(Subscribed)) == 58, WITHIN, failing="all is held")
        sink.sockets[0].sendall(ACCEPTED)
        until(lambda: len(front.seen.of(Subscribed)) == 60, WITHIN, failing="the held are lost")


def came(front: Fronted, count: int) -> bool:
    return len(front.seen.of(Opened)) == count


def test_lines_for_people_are_few_whatever_the_broker_does() -> None:
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
    with Fronted(port) as front:
        for turn in range(20):
            one = dial(front.port)
            if turn % 2:
                with socket.create_server((HOST, port)):
                    one.sendall(connect("c1"))
                    until(functools.partial(came, front, turn + 1), WITHIN)
                    until(lambda: len(front.proxy._waiting) == 0, WITHIN)
                    until(lambda: front.do(lambda: len(front.proxy._tasks)) == 1, WITHIN)
            else:
                one.sendall(connect("c1"))
                rest(one)
            one.close()
        assert 2 <= len(front.told) <= 6
        assert front.told[1].endswith("is back")


@pytest.mark.parametrize("version", [4, 5])
def test_who_speaks_mqtt_5_hears_why_it_is_cut(version: int) -> None:
    accepted = ACCEPTED_5 if version == 5 else ACCEPTED
    with Sink(accepted) as sink, Fronted(sink.port, PROTECT) as front:
        one, two = dial(front.port), dial(front.port)
        for each, name in ((one, "c1"), (two, "c2")):
            each.sendall(connect(name, version=version))
            assert read(each, len(accepted)) == accepted
        until(lambda: len(front.seen.of(Connected)) == 2, WITHIN)
        second = front.proxy._pairs[2]
        sink.sockets[1].sendall(publish("a", b"half of it", version=version)[:-3])
        until(lambda: second._guard and not second._guard.between_packets, WITHIN)
        for handle in (Handle("client_id", "c1"), Handle("client_id", "c2")):
            cut = functools.partial(front.proxy.disconnect, handle)
            assert front.do(cut) == 1
        assert rest(one) == (b"\xe0\x01\x98" if version == 5 else b"")
        assert b"\x98" not in rest(two)
        front.empty()
        assert [each.by for each in front.seen.of(Closed)] == ["ids", "ids"]


def test_nobody_gets_in_while_it_stops(sink: Sink) -> None:
    front = Fronted(sink.port)
    with front:
        one = dial(front.port)
        one.sendall(connect("c1"))
        assert read(one, 4) == ACCEPTED
    assert rest(one) == b""
    with pytest.raises(ConnectionError):
        dial(front.port)


def test_a_topic_may_be_reserved_as_a_whole(sink: Sink) -> None:
    said = [publish("home/alerts"), publish("home/alerts2"), publish("home/alert")]
    with Fronted(sink.port, PROTECT) as front:
        one = dial(front.port)
        one.sendall(connect("c1") + b"".join(said))
        wanted = connect("c1") + said[1] + said[2]
        until(lambda: sink.heard and bytes(sink.heard[0]) == wanted, WITHIN, failing="differs")
        assert len(front.seen.of(Published)) == 3
        two = dial(front.port)
        two.sendall(connect("c2", will="home/alerts"))
        assert rest(two).hex() == "20020005"
        three = dial(front.port)
        three.sendall(connect("c3", will="home/alerts2"))
        assert read(three, 4) == ACCEPTED
