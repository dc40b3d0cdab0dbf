"""The proxy in front of a sink: what passes, what is refused, what is told, how it ends."""

import socket
import time
from collections.abc import Iterator

import pytest
from live_broker import HOST, free_port, until
from proxy_tools import WITHIN, Fronted, Sink, connect, dial, publish, read, rest

from mqtt_ids.bans import Handle
from mqtt_ids.events import Closed, Connected, Malformed, Published, Refused
from mqtt_ids.sensors.proxy.options import Options

ACCEPTED = bytes.fromhex("20020000")
ACCEPTED_5 = bytes.fromhex("2003000000")
DISCONNECT = b"\xe0\0"
PROTECT = Options(reserved=(b"$ids/",))


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink(ACCEPTED) as sink:
        yield sink


def heard(sink: Sink, what: bytes) -> None:
    if not until(lambda: sink.heard and sink.heard[-1] == what, WITHIN):
        ends = [(len(each), bytes(each[-80:])) for each in sink.heard]
        pytest.fail(f"heard {ends}, expected {len(what)} bytes that end in {what[-80:]!r}")


def test_bytes_pass_unchanged_and_are_told(sink: Sink) -> None:
    said = connect("c1", username="u", password="secret") + publish("a/b", b"12") + DISCONNECT
    with Fronted(sink.port) as front:
        one = dial(front.port)
        one.sendall(said)
        assert read(one, 4) == ACCEPTED
        one.shutdown(socket.SHUT_WR)
        heard(sink, said)
        assert rest(one) == b""
        front.empty()
        kinds = ["Opened", "Connected", "Published", "Disconnected", "Closed"]
        assert front.seen.kinds() == kinds
        (connected,) = front.seen.of(Connected)
        assert (connected.client_id, connected.username, connected.port) == (
            "c1", "u", one.getsockname()[1],
        )  # fmt: skip
        (published,) = front.seen.of(Published)
        assert (published.topic, published.size, published.client_id) == ("a/b", 2, "c1")
        assert front.seen.of(Closed)[0].by == "client"
        assert "secret" not in repr(front.seen.events)
        assert front.exceptions == []


@pytest.mark.parametrize("options", [Options(), PROTECT])
def test_one_byte_at_a_time(sink: Sink, options: Options) -> None:
    said = connect("c1") + publish("$id", b"1") + publish("$idX/ids", b"2" * 200) + DISCONNECT
    with Fronted(sink.port, options) as front:
        one = dial(front.port)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in said:
            one.send(bytes((byte,)))
        heard(sink, said)
        assert len(front.seen.of(Published)) == 2


def test_a_banned_address_does_not_reach_the_broker_and_is_not_told_of(sink: Sink) -> None:
    with Fronted(sink.port) as front:
        front.seen.bans.add(Handle("address", HOST))
        one = dial(front.port)
        assert rest(one) == b""
        assert (front.proxy.kept_out, sink.heard, front.seen.events) == (1, [], [])
        front.empty()


@pytest.mark.parametrize(("version", "answer"), [(4, "20020005"), (5, "2003008700")])
@pytest.mark.parametrize("handle", [Handle("client_id", "c1"), Handle("username", "u")])
def test_a_barred_client_is_refused_at_its_connect(
    sink: Sink, version: int, answer: str, handle: Handle
) -> None:
    with Fronted(sink.port) as front:
        front.seen.bans.add(handle)
        one = dial(front.port)
        one.sendall(connect("c1", version=version, username="u"))
        assert rest(one).hex() == answer
        assert sink.heard == []
        (refused,) = front.seen.of(Refused)
        assert (refused.client_id, refused.code) == ("c1", bytes.fromhex(answer)[3])
        front.empty()
        assert front.seen.of(Closed)[0].by == "ids"


def test_the_broker_refuses_and_that_is_told() -> None:
    with Sink(bytes.fromhex("20020004")) as sink, Fronted(sink.port) as front:
        one = dial(front.port)
        one.sendall(connect("c1", username="u") + publish("a"))
        assert read(one, 4).hex() == "20020004"
        sink.sockets[0].shutdown(socket.SHUT_RDWR)
        assert rest(one) == b""
        front.empty()
        assert front.seen.kinds() == ["Opened", "Refused", "Closed"]
        assert front.seen.of(Closed)[0].by == "broker"


@pytest.mark.parametrize(("version", "answer"), [(4, "20020003"), (5, "2003008800")])
def test_without_a_broker_clients_are_told_so_and_people_once(version: int, answer: str) -> None:
    port = free_port()
    with Fronted(port) as front:
        for _ in range(3):
            one = dial(front.port)
            one.sendall(connect("c1", version=version))
            assert rest(one).hex() == answer
        assert len(front.told) == 1
        assert "cannot be reached" in front.told[0]
        assert front.seen.of(Refused) == []
        front.empty()


def test_the_broker_is_told_to_be_back() -> None:
    port = free_port()
    with Fronted(port) as front:
        one = dial(front.port)
        one.sendall(connect("c1"))
        rest(one)
        listener = socket.create_server((HOST, port))
        two = dial(front.port)
        two.sendall(connect("c1"))
        until(lambda: len(front.told) == 2, WITHIN, failing=str(front.told))
        assert front.told[1].endswith("is back")
        listener.close()


def test_who_sends_no_connect_in_time_is_cut_and_never_seen_by_the_broker(sink: Sink) -> None:
    with Fronted(sink.port, Options(connect_within=0.5)) as front:
        silent, slow = dial(front.port), dial(front.port)
        slow.sendall(connect("c1")[:9])
        assert (rest(silent), rest(slow)) == (b"", b"")
        assert sink.heard == []
        front.empty()
        assert [each.by for each in front.seen.of(Closed)] == ["ids", "ids"]
        assert [each.reason for each in front.seen.of(Malformed)] == ["truncated"]


def test_when_all_places_are_taken_the_longest_waiting_has_to_go(sink: Sink) -> None:
    with Fronted(sink.port, Options(max_connections=2)) as front:
        waiting, greeted = dial(front.port), dial(front.port)
        greeted.sendall(connect("c1"))
        read(greeted, 4)
        third = dial(front.port)
        assert rest(waiting) == b""
        third.sendall(connect("c3"))
        assert read(third, 4) == ACCEPTED
        until(lambda: len(front.proxy) == 2, WITHIN)
        fourth = dial(front.port)
        assert rest(fourth) == b""
        assert front.proxy.turned_away == 1
        assert len(front.told) == 1


@pytest.mark.parametrize(
    "handle",
    [Handle("client_id", "c1"), Handle("username", "u"), Handle("address", HOST),
     Handle("connection", "1")],
)  # fmt: skip
def test_a_connection_is_closed_by_any_handle(sink: Sink, handle: Handle) -> None:
    with Fronted(sink.port) as front:
        one = dial(front.port)
        one.sendall(connect("c1", username="u"))
        read(one, 4)
        until(lambda: front.seen.of(Connected), WITHIN)
        assert front.do(lambda: front.proxy.disconnect(handle)) == 1
        assert rest(one) == b""
        front.empty()
        assert front.do(lambda: front.proxy.disconnect(handle)) == 0
        assert front.seen.of(Closed)[0].by == "ids"


def test_bytes_that_are_no_mqtt_pass_unless_we_protect(sink: Sink) -> None:
    said = b"GET / HTTP/1.1\r\n\r\n" * 40
    with Fronted(sink.port) as front:
        one = dial(front.port)
        one.sendall(said)
        heard(sink, said)
        assert [each.reason for each in front.seen.of(Malformed)] == ["not-connect-first"]
    with Fronted(sink.port, PROTECT) as front:
        one = dial(front.port)
        one.sendall(said)
        rest(one)
        front.empty()
    assert len(sink.heard) == 1


def test_what_the_decoder_gives_up_on_still_passes(sink: Sink) -> None:
    said = connect("c1") + b"\x30\xff\xff\xff\xff\xff" + bytes(range(256)) * 500
    with Fronted(sink.port) as front:
        one = dial(front.port)
        one.sendall(said)
        heard(sink, said)
        assert len(front.seen.of(Malformed)) == 1


class Broken:
    """An observer that always fails once somebody is connected."""

    def feed(self, event: object) -> None:
        if type(event) in {Connected, Published}:
            raise LookupError("broken")

    def barred(self, **_: object) -> None:
        return None


@pytest.mark.parametrize("closed", [False, True])
def test_a_fault_of_ours_lets_the_bytes_pass_or_closes(sink: Sink, *, closed: bool) -> None:
    said = connect("c1") + publish("a")
    with Fronted(sink.port, Options(fail_closed=closed), observer=Broken()) as front:
        one = dial(front.port)
        one.sendall(said)
        if closed:
            assert rest(one) in {ACCEPTED, b""}
            front.empty()
            return
        assert read(one, 4) == ACCEPTED
        for turn in range(5):
            one.sendall(publish("a", str(turn).encode()))
        heard(sink, said + b"".join(publish("a", str(n).encode()) for n in range(5)))
        one.close()
        front.empty()
        assert front.exceptions == []


def test_a_client_that_does_not_read_stops_the_reading_from_the_broker(sink: Sink) -> None:
    with Fronted(sink.port) as front:
        one = dial(front.port)
        one.sendall(connect("c1"))
        read(one, 4)
        broker = sink.sockets[0]
        broker.setblocking(False)  # noqa: FBT003 - the socket's own
        piece, sent, still = publish("a", b"z" * 60_000), 0, 0
        while still < 20:
            try:
                sent += broker.send(piece)
                still = 0
            except BlockingIOError:
                still += 1
                time.sleep(0.02)
            assert sent < 60_000_000, "it is never full"
        pair = next(iter(front.proxy._pairs.values()))
        assert pair.transport is not None
        assert pair.transport.get_write_buffer_size() < 400_000
        got = 0
        while got < sent:
            got += len(one.recv(1_000_000))
        assert got == sent
        broker.setblocking(True)  # noqa: FBT003
        broker.sendall(b"end")
        assert read(one, 3) == b"end"


def test_a_broker_that_does_not_read_stops_the_reading_from_the_client() -> None:
    with socket.create_server((HOST, 0)) as listener, Fronted(listener.getsockname()[1]) as front:
        one = dial(front.port)
        one.sendall(connect("c1"))
        broker, _ = listener.accept()
        one.setblocking(False)  # noqa: FBT003
        piece, sent, still = publish("a", b"z" * 60_000), 0, 0
        while still < 20:
            try:
                sent += one.send(piece)
                still = 0
            except BlockingIOError:
                still += 1
                time.sleep(0.02)
            assert sent < 60_000_000, "it is never full"
        got, want = 0, sent + len(connect("c1"))
        while got < want:
            got += len(broker.recv(1_000_000))
        assert got == want
        broker.close()


def test_the_brokers_last_words_reach_who_has_closed_its_half() -> None:
    with socket.create_server((HOST, 0)) as listener, Fronted(listener.getsockname()[1]) as front:
        one = dial(front.port)
        one.sendall(connect("c1"))
        broker, _ = listener.accept()
        one.shutdown(socket.SHUT_WR)
        assert read(broker, 1000) == connect("c1")
        broker.sendall(ACCEPTED + publish("last", b"words"))
        broker.close()
        assert rest(one) == ACCEPTED + publish("last", b"words")
        front.empty()
        assert front.seen.of(Closed)[0].by == "client"


def test_who_says_all_and_goes_is_heard() -> None:
    said = connect("c1") + publish("a", b"y" * 300_000) + DISCONNECT
    # A broker that answers would meet a reset, which takes from the client what it has not sent.
    with Sink() as sink, Fronted(sink.port) as front:
        one = dial(front.port)
        one.sendall(said)
        one.close()
        heard(sink, said)
        front.empty()
        assert front.seen.kinds() == ["Opened", "Published", "Disconnected", "Closed"]


def test_a_socket_that_is_bound_already_is_listened_on(sink: Sink) -> None:
    with socket.create_server((HOST, 0)) as bound:
        one = dial(bound.getsockname()[1])  # before anybody serves
        one.sendall(connect("c1"))
        with Fronted(sink.port, bound=bound.dup()):
            assert read(one, 4) == ACCEPTED
        assert rest(one) == b""


def test_small_packets_are_not_held_back(sink: Sink) -> None:
    with Fronted(sink.port) as front:
        one = dial(front.port)
        one.sendall(connect("c1"))
        read(one, 4)
        pair = next(iter(front.proxy._pairs.values()))
        for transport in (pair.transport, pair.far):
            assert transport is not None
            raw = transport.get_extra_info("socket")
            assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


def test_a_reserved_topic_is_dropped_and_answered(sink: Sink) -> None:
    first, last = publish("a"), publish("b", b"x" * 70_000)
    bad = [publish("$ids/alerts", b"{}" * 50_000), publish("$ids/a", qos=1, number=7),
           publish("$ids/", qos=2, number=8)]  # fmt: skip
    with Fronted(sink.port, PROTECT) as front:
        one = dial(front.port)
        one.sendall(connect("c1") + first + bad[0] + bad[1] + last + bad[2] + first)
        heard(sink, connect("c1") + first + last + first)
        assert read(one, 12) == ACCEPTED + bytes.fromhex("40020007" + "50020008")
        assert front.proxy.dropped == 3
        assert [e.topic for e in front.seen.of(Published)] == [
            "a", "$ids/alerts", "$ids/a", "b", "$ids/", "a",
        ]  # fmt: skip


def test_a_will_on_a_reserved_topic_is_refused(sink: Sink) -> None:
    with Fronted(sink.port, PROTECT) as front:
        one = dial(front.port)
        one.sendall(connect("c1", will="$ids/status"))
        assert rest(one).hex() == "20020005"
        assert front.seen.of(Refused)[0].will_topic == "$ids/status"
    with Fronted(sink.port) as front:
        one = dial(front.port)
        one.sendall(connect("c1", will="$ids/status"))
        assert read(one, 4) == ACCEPTED


def test_an_answer_waits_for_the_end_of_the_brokers_packet() -> None:
    with Sink() as sink, Fronted(sink.port, PROTECT) as front:
        one = dial(front.port)
        one.sendall(connect("c1", version=5) + publish("$ids/a", qos=1, number=9, version=5))
        until(lambda: front.proxy.dropped == 1 and sink.sockets, WITHIN)
        broker = sink.sockets[0]
        down = publish("a", b"p" * 1000, version=5)
        broker.sendall(ACCEPTED_5 + down[:500])
        assert read(one, 505) == ACCEPTED_5 + down[:500]
        broker.sendall(down[500:])
        assert read(one, len(down) - 500 + 5) == down[500:] + bytes.fromhex("4003000987")


@pytest.mark.parametrize(
    ("form", "begins"), [(1, b"PROXY TCP4 127.0.0.1 127.0.0.1 "), (2, b"\r\n\r\n\0\r\nQUIT\n")]
)
def test_the_broker_is_told_who_comes(sink: Sink, form: int, begins: bytes) -> None:
    with Fronted(sink.port, proxy_protocol=form) as front:
        one = dial(front.port)
        one.sendall(connect("c1"))
        read(one, 4)
        until(lambda: bytes(sink.heard[0]).endswith(connect("c1")), WITHIN)
        head = bytes(sink.heard[0])[: -len(connect("c1"))]
        assert head.startswith(begins)
        port, ours = one.getsockname()[1], front.port
        if form == 1:
            assert head.endswith(f" {port} {ours}\r\n".encode())
        else:
            addresses = socket.inet_aton(HOST) * 2
            assert head[12:] == b"\x21\x11\0\x0c" + addresses + port.to_bytes(2, "big") + (
                ours.to_bytes(2, "big")
            )
