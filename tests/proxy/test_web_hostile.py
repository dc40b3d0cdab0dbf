"""WebSocket in front, spoken by hand: fragments, text, compression, pages, and what is too much."""

import logging
import socket
from collections.abc import Iterator

import pytest
from live_broker import HOST, until
from proxy_tools import WITHIN, Fronted, Sink, connect, dial, publish, read, rest
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as open_web
from websockets.typing import Origin

from mqtt_ids.events import Closed, Connected, Opened
from mqtt_ids.sensors.proxy.options import Options
from mqtt_ids.sensors.proxy.web_layer import MOST, MOST_BEFORE

ACCEPTED = bytes.fromhex("20020000")
DISCONNECT = b"\xe0\0"
REQUEST = (
    b"GET /mqtt HTTP/1.1\r\nHost: broker\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: mqtt\r\n\r\n"
)


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink(ACCEPTED) as sink:
        yield sink


@pytest.fixture
def front(sink: Sink) -> Iterator[Fronted]:
    with Fronted(sink.port, front_web=True) as front:
        yield front
        front.empty()
        assert front.exceptions == []
        assert front.proxy._faults.count == 0
        assert (front.proxy.budget.total, front.proxy._trusted.total) == (0, 0)
        assert len(front.seen.of(Opened)) == len(front.seen.of(Closed))


def frame(data: bytes, opcode: Opcode = Opcode.BINARY, *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin=fin).serialize(mask=True)


def by_hand(port: int) -> socket.socket:
    one = dial(port)
    one.sendall(REQUEST)
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += one.recv(1)
    assert answer.startswith(b"HTTP/1.1 101 ")
    return one


def browser(port: int, page: str | None = None) -> ClientConnection:
    origin = None if page is None else Origin(page)
    return open_web(f"ws://{HOST}:{port}/mqtt", subprotocols=["mqtt"], origin=origin)  # type: ignore[list-item]


def test_fragments_become_one_stream(front: Fronted, sink: Sink) -> None:
    said = connect("c1") + publish("a", b"x" * 100_000)
    with browser(front.port) as web:
        web.send(said[at : at + 999] for at in range(0, len(said), 999))
        assert web.recv(WITHIN) == ACCEPTED
        until(lambda: bytes(sink.heard[0]) == said, WITHIN, failing="not all was heard")


def test_who_may_ask_for_compression_gets_none(front: Fronted, sink: Sink) -> None:
    with browser(front.port) as web:
        assert web.protocol.extensions == []
    one = by_hand(front.port)
    compressed = bytearray(frame(b"\x4a\x4c\x04\0"))
    compressed[0] |= 0x40
    one.sendall(compressed)
    assert read(one, 4)[2:] == (1002).to_bytes(2, "big")
    rest(one)
    assert sink.heard == []


def test_no_part_of_a_text_passes(front: Fronted, sink: Sink) -> None:
    one = by_hand(front.port)
    pieces = connect("c1")[:9], connect("c1")[9:]
    one.sendall(
        frame(pieces[0], Opcode.TEXT, fin=False) + frame(pieces[1], Opcode.CONT) + frame(b"")
    )
    assert read(one, 4)[2:] == (1003).to_bytes(2, "big")
    rest(one)
    front.empty()
    assert sink.heard == []


def test_a_page_from_elsewhere_is_sent_away_where_pages_are_named(sink: Sink) -> None:
    with Fronted(sink.port, front_web=True, origins=("https://home.example",)) as front:
        with pytest.raises(InvalidStatus, match="403"):
            browser(front.port, "https://evil.example")
        for page in ("https://home.example", None):
            with browser(front.port, page) as web:
                web.send(connect("c1"))
                assert web.recv(WITHIN) == ACCEPTED
        front.empty()
        assert len(sink.heard) == 2
    with Fronted(sink.port, front_web=True) as front, browser(front.port, "https://any.example"):
        pass


def test_a_message_that_is_too_large_is_refused_at_its_header(front: Fronted, sink: Sink) -> None:
    one = by_hand(front.port)
    one.sendall(frame(bytes(MOST_BEFORE + 1))[:14])
    assert read(one, 4)[2:] == (1009).to_bytes(2, "big")
    rest(one)
    two = by_hand(front.port)
    two.sendall(frame(connect("c1")))
    assert read(two, 6)[2:] == ACCEPTED
    large = publish("a", bytes(MOST - 1000))
    until(lambda: len(front.seen.of(Connected)) == 1, WITHIN)
    two.sendall(frame(large))
    until(lambda: bytes(sink.heard[0]) == connect("c1") + large, WITHIN, failing="not heard")
    two.sendall(frame(bytes(MOST + 1))[:14])
    assert read(two, 4)[2:] == (1009).to_bytes(2, "big")


def test_unfinished_messages_are_bounded_in_all(front: Fronted) -> None:
    held = [by_hand(front.port) for _ in range(50)]
    half = frame(bytes(MOST_BEFORE))[:-100]
    for one in held:
        one.sendall(half)
    until(lambda: len(front.seen.of(Closed)) >= 5, WITHIN, failing="none was cut")
    assert front.do(lambda: front.proxy.budget.total) <= 16 * 1024 * 1024
    for one in held:
        one.close()


def test_strangers_do_not_displace_who_is_accepted(front: Fronted, sink: Sink) -> None:
    one = by_hand(front.port)
    one.sendall(frame(connect("c1")))
    assert read(one, 6)[2:] == ACCEPTED
    strangers = [by_hand(front.port) for _ in range(45)]
    for each in strangers:
        each.sendall(frame(bytes(MOST_BEFORE))[:330_000])
    until(lambda: front.proxy.budget.total > 45 * 300_000, WITHIN, failing="not held")
    large = publish("a", bytes(3_000_000))  # more than there is room left for
    one.sendall(frame(large))
    until(lambda: bytes(sink.heard[0]) == connect("c1") + large, WITHIN, failing="not heard")
    for each in strangers:
        each.close()


def test_a_request_without_end_is_bounded(front: Fronted) -> None:
    one = dial(front.port)
    one.sendall(b"GET /mqtt HTTP/1.1\r\n" + b"X: " + b"y" * 20_000)
    rest(one)


def test_who_pings_and_never_reads_is_cut(front: Fronted) -> None:
    one = by_hand(front.port)
    pings = frame(b"p" * 125, Opcode.PING) * 500

    def until_cut() -> None:
        for _ in range(2000):
            one.sendall(pings)

    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        until_cut()


def test_all_that_was_said_before_the_goodbye_arrives(front: Fronted, sink: Sink) -> None:
    said = connect("c1") + publish("a", b"x" * 9000) + DISCONNECT
    for goodbye in (frame(b"\x03\xe8", Opcode.CLOSE), b""):
        one = by_hand(front.port)
        one.sendall(frame(said[:5]) + frame(said[5:]) + goodbye)
        if not goodbye:
            one.shutdown(socket.SHUT_WR)
        until(lambda: sink.heard and bytes(sink.heard[-1]) == said, WITHIN, failing="not heard")
        rest(one)
        front.empty()


@pytest.mark.parametrize(
    "early",
    [frame(b"\x03\xe8", Opcode.CLOSE), frame(connect("c1")), b"\xff" * 9, frame(b"", Opcode.PING)],
    ids=["goodbye", "CONNECT", "no frame", "ping"],  # masks are drawn anew in each process
)
def test_what_comes_before_our_answer_does_no_harm(front: Fronted, early: bytes) -> None:
    one = dial(front.port)
    one.sendall(REQUEST + early)
    one.shutdown(socket.SHUT_WR)
    rest(one)


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        REQUEST.replace(b"Upgrade: websocket", b"Upgrade: web\xb1 socket"),
        connect("c1"),
        b"\r\n\r\n",
        b"\0" * 99,
    ],
    ids=["no upgrade", "no text", "CONNECT", "nothing", "zeros"],
)
def test_who_asks_for_no_websocket_is_sent_away(front: Fronted, sink: Sink, said: bytes) -> None:
    one = dial(front.port)
    one.sendall(said)
    one.shutdown(socket.SHUT_WR)
    rest(one)
    front.empty()
    assert sink.heard == []


def test_nothing_of_it_is_logged(
    front: Fronted, sink: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        one = by_hand(front.port)
        one.sendall(frame(connect("c1", username="u", password="hunter2")))
        read(one, 6)
        one.close()
        front.empty()
    assert [each for each in caplog.records if "frames" in each.name] == []
    assert "hunter2" not in caplog.text


def test_a_broker_that_says_much_is_not_read_while_the_client_is_not(sink: Sink) -> None:
    options = Options(reserved=(b"$ids/",))
    with Fronted(sink.port, options, front_web=True) as front:
        one = by_hand(front.port)
        one.sendall(frame(connect("c1")))
        read(one, 6)
        broker = sink.sockets[0]
        broker.settimeout(0.5)
        with pytest.raises(TimeoutError):
            broker.sendall(publish("a", bytes(60_000_000)))
        (pair,) = front.proxy._pairs.values()
        assert pair.transport is not None
        assert pair.transport.get_write_buffer_size() < 400_000
        one.close()
        front.empty()
