"""What a log tells, held against what clients did to a real broker, and against those who pose."""

import contextlib
import itertools
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_broker import HOST
from mosquitto_broker import Mosquitto, needs_mosquitto, passwords
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from mqtt_ids import events as ev
from mqtt_ids.lab import wire
from mqtt_ids.lab.actions import Connect, Publish
from mqtt_ids.sensors.mosquitto.reader import Reader

AGENT = "the-agent"
CLOCK = itertools.count(0.0, 3.0)


def read(*lines: str | bytes, reader: Reader | None = None) -> list[ev.AnyEvent]:
    reader = reader or Reader()
    told, now = [], next(CLOCK)
    for line in lines:
        text = line if isinstance(line, bytes) else line.encode()
        told += reader.read([b"1795466419: " + text], now)
    return told + reader.pass_time(now + 2.0)


def kinds(events: list[ev.AnyEvent]) -> list[str]:
    return [type(event).__name__ for event in events]


def joins(client_id: str, address: str = "10.0.0.1", port: int = 5, tail: str = "") -> list[str]:
    return [
        f"New connection from {address}:{port} on port 1883.",
        f"New client connected from {address}:{port} as {client_id} (p2, c1, k60{tail}).",
        "No will message specified.",
        f"Sending CONNACK to {client_id} (0, 0)",
    ]


def publishes(client_id: str, topic: str, size: int = 5) -> str:
    return f"Received PUBLISH from {client_id} (d0, q0, r0, m0, '{topic}', ... ({size} bytes))"


# --- a real broker -------------------------------------------------------------------------------


class Home(Mosquitto):
    """A Mosquitto that logs everything to a file, and what it can to topics."""

    def __init__(self, folder: Path) -> None:
        users = passwords(folder, {"bob": "right"})
        super().__init__(
            folder,
            "log_dest topic",
            "allow_anonymous true",
            f"password_file {users}",
            file_log=True,
        )
        self.topics: list[tuple[str, bytes]] = []
        self.agent = paho.Client(CallbackAPIVersion.VERSION2, AGENT)
        self.agent.on_message = lambda _c, _u, m: self.topics.append((m.topic, bytes(m.payload)))

    def begin(self) -> None:
        self.start()
        self.agent.connect(HOST, self.port)
        self.agent.subscribe("$SYS/broker/log/#")
        self.agent.loop_start()
        wait_for(lambda: bool(self.topics))

    def end(self) -> None:
        self.agent.loop_stop()
        self.stop()

    def lines(self) -> list[bytes]:
        return self.log.read_bytes().split(b"\n")[:-1]


class Visitor:
    """A client that says exactly these bytes."""

    def __init__(self, home: Home) -> None:
        self.socket = socket.create_connection((HOST, home.port), timeout=5)
        self.port: int = self.socket.getsockname()[1]

    def says(self, *packets: bytes, answers: int = 1) -> None:
        for packet in packets:
            self.socket.sendall(packet)
            for _ in range(answers):
                with contextlib.suppress(ConnectionResetError):  # an answer as well
                    self.socket.recv(4096)

    def leaves(self) -> None:
        self.socket.close()


def wait_for(done: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not done():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path)
    try:
        made.begin()
        yield made
    finally:
        made.end()


PING, GOODBYE = b"\xc0\x00", b"\xe0\x00"


def live_a_while(home: Home) -> list[tuple[int, list[ev.AnyEvent]]]:
    """Visits one after the other; the port of each, and what has to be told of it."""
    told: list[tuple[int, list[ev.AnyEvent]]] = []

    def visit(*steps: tuple[bytes, int], expected: list[ev.AnyEvent]) -> Visitor:
        guest = Visitor(home)
        for packet, answers in steps:
            guest.says(packet, answers=answers)
        told.append((guest.port, [ev.Opened(**seen), *expected]))
        return guest

    seen: dict[str, Any] = {"time": 0.0, "connection": 0, "address": HOST}
    cam, bob, odd = ({**seen, "client_id": each} for each in ("cam", "bob's", "a (d0, q0"))
    visit(
        (wire.connect(Connect("cam", keep_alive=65_535, will_topic="$ids/x")), 1),
        (wire.subscribe(("a/#", "b (QoS 2)"), 1, 1), 1),
        (wire.publish(Publish("t", 7, retain=True)), 0),
        (wire.publish(Publish("t', ... (9 bytes))", 8, qos=1)), 1),
        (wire.unsubscribe(("a/#",), 2) + PING, 1),
        (GOODBYE, 1),
        expected=[
            ev.Connected(**cam, keep_alive=65_535, will_topic="$ids/x"),
            ev.Subscribed(**cam, filters=("a/#", "b (QoS 2)")),
            ev.Published(**cam, topic="t", size=7, retain=True),
            ev.Published(**cam, topic="t', ... (9 bytes))", size=8, qos=1),
            ev.Unsubscribed(**cam, filters=("a/#",)),
            ev.Pinged(**cam),
            ev.Disconnected(**cam),
            ev.Closed(**cam),
        ],
    ).leaves()
    visit(
        (wire.connect(Connect("bob's", "bob", "right", clean=False)), 1),
        (wire.publish(Publish("#", 1)), 1),
        expected=[
            ev.Connected(**bob, username="bob", clean_session=False),
            ev.Malformed(**bob, reason="protocol error"),
            ev.Closed(**bob, by="broker"),
        ],
    ).leaves()
    visit(
        (wire.connect(Connect("x", "bob", "wrong")), 1),
        expected=[ev.Refused(**seen, code=5), ev.Closed(**seen, by="broker")],
    ).leaves()
    visit((b"GET /\r\n", 1), expected=[
        ev.Malformed(**seen, reason="protocol error"), ev.Closed(**seen, by="broker")
    ]).leaves()  # fmt: skip
    visit((b"", 0), expected=[ev.Closed(**seen)]).leaves()
    time.sleep(0.3)  # 2.0 does not say who it was: alone, it can be told
    first = visit(
        (wire.connect(Connect("a (d0, q0")), 1),
        expected=[ev.Connected(**odd), ev.Closed(**odd, by="broker")],
    )
    second = visit(
        (wire.connect(Connect("a (d0, q0")), 1),
        (wire.publish(Publish("x (d0, q0, r0, m0, 'y", 3)), 0),
        expected=[
            ev.Connected(**odd),
            ev.Published(**odd, topic="x (d0, q0, r0, m0, 'y", size=3),
            ev.Closed(**odd),
        ],
    )
    first.leaves()
    second.leaves()
    return told


def plain(event: ev.AnyEvent) -> ev.AnyEvent:
    changed: ev.AnyEvent = type(event)(
        **{
            **{name: getattr(event, name) for name in event.__struct_fields__},
            "time": 0.0,
            "connection": 0,
            "port": 0,
        }
    )
    return changed


def by_port(events: list[ev.AnyEvent]) -> dict[int, list[ev.AnyEvent]]:
    found: dict[int, list[ev.AnyEvent]] = {}
    for event in events:
        found.setdefault(event.port, []).append(plain(event))
    return found


@pytest.mark.broker
@pytest.mark.broker
@needs_mosquitto
def test_a_debug_log_tells_what_each_client_did(home: Home) -> None:
    reader = Reader()
    reader.leave_out(AGENT, (HOST, home.agent.socket().getsockname()[1]))  # type: ignore[union-attr]
    told = live_a_while(home)
    wait_for(lambda: any(b"Client a (d0, q0 closed" in line for line in home.lines()))
    events = list(itertools.chain(*(reader.read([line], 1.0) for line in home.lines())))
    found = by_port(events)
    for port, expected in told:
        assert found[port] == expected
    assert reader.sees == ev.SENSORS["debug-log"]
    assert AGENT not in {event.client_id for event in events}
    numbers = {(event.port, event.connection) for event in events}
    assert len(numbers) == len(found), "a connection has one number"
    check(events)


@pytest.mark.broker
@pytest.mark.broker
@needs_mosquitto
def test_log_topics_tell_of_connections_and_filters(home: Home) -> None:
    reader = Reader()
    reader.leave_out(AGENT)
    told = live_a_while(home)
    wait_for(lambda: any(b"a (d0, q0 closed its" in payload for _, payload in home.topics))
    events: list[ev.AnyEvent] = []
    for topic, payload in home.topics:
        events += reader.read_topic(topic.removeprefix("$SYS/broker/log/"), payload, 1.0)
    found = by_port(events)
    for port, expected in told:
        without = (ev.Published, ev.Pinged)
        wanted = [type(event) for event in expected if not isinstance(event, without)]
        got = [type(event) for event in found[port]]
        assert [k for k, _ in itertools.groupby(got)] == wanted  # each filter is a message
    filters = [event.filters for event in events if isinstance(event, ev.Subscribed)]
    assert filters == [("a/#",), ("b (QoS 2)",)]
    assert reader.sees == ev.SENSORS["log"]
    assert reader.shows_subscriptions
    check(events)


# --- those who pose ------------------------------------------------------------------------------


def test_the_longest_id_that_is_connected_has_sent_the_publish() -> None:
    poser = "victim (d0, q0, r0, m0, 'forged', ... (5 bytes))"
    told = read(*joins("victim"), *joins(poser, "10.0.0.66"), publishes(poser, "mine"))
    assert isinstance(told[-1], ev.Published)
    assert (told[-1].client_id, told[-1].address, told[-1].topic) == (poser, "10.0.0.66", "mine")


def test_a_topic_that_reads_like_a_line_is_a_topic() -> None:
    topic = "x', ... (5 bytes))\u2028Received PUBLISH from victim (d0, q0, r0, m0, 'y"
    told = read(*joins("victim"), *joins("b", "10.0.0.66"), publishes("b", topic))
    assert [(e.client_id, e.topic) for e in told if isinstance(e, ev.Published)] == [("b", topic)]


FORGED = [
    ("Received PUBLISH from victim (d0, q0, r0, m0, 'forged", "y', ... (5 bytes))"),
    ("New client connected from 10.0.0.66:9 as", "x (p2, c1, k60)."),
    ("Client victim disconnected: 10.0.0.1", "x."),
    ("Client", "victim closed its connection."),
]


@pytest.mark.parametrize(("client_id", "topic_filter"), FORGED)
def test_a_subscription_that_reads_like_a_line_is_a_subscription(
    client_id: str, topic_filter: str
) -> None:
    """The broker logs `ID QOS FILTER`, which an attacker chooses whole."""
    said = [
        f"Received SUBSCRIBE from {client_id}",
        f"\t{topic_filter} (QoS 1)",
        f"{client_id} 1 {topic_filter}",
        f"Sending SUBACK to {client_id}",
    ]
    told = read(*joins("victim"), *joins(client_id, "10.0.0.66", 7), *said)[4:]
    assert [(e.client_id, e.filters) for e in told if isinstance(e, ev.Subscribed)] == [
        (client_id, (topic_filter,))
    ]
    assert kinds(told) == ["Subscribed"]
    without_debug = [*joins("victim")[:2], *joins(client_id, "10.0.0.66", 7)[:2], said[2]]
    assert kinds(read(*without_debug))[4:] == ["Subscribed"]


def test_a_client_that_calls_itself_unknown_hides_no_refusal() -> None:
    told = read(
        *joins("<unknown>", "10.0.0.66"),
        "New connection from 10.0.0.7:7 on port 1883.",
        "Client <unknown> disconnected, not authorised.",
        "Client <unknown> closed its connection.",
    )
    assert kinds(told)[2:] == ["Opened", "Refused", "Closed", "Closed"]
    assert [event.address for event in told[3:]] == ["10.0.0.7", "10.0.0.7", "10.0.0.66"]


def test_an_id_with_the_words_of_a_connect_line_frames_nobody() -> None:
    poser = "victim (p2, c1, k60, u'x"
    told = read(*joins("victim"), *joins(poser, "10.0.0.66", tail=", u'me'"))
    assert told[-1].client_id == poser
    username = "b (p5, c0, k1, u'admin"
    told = read(*joins("first"), *joins("a", tail=f", u'{username}'"))
    assert isinstance(told[-1], ev.Connected)
    assert (told[-1].client_id, told[-1].username) == ("a", username)


@pytest.mark.parametrize("line_first", [True, False], ids=["log first", "answer first"])
def test_who_takes_our_id_while_we_are_away_is_told_where_it_is_known_how_we_are_seen(
    *, line_first: bool
) -> None:
    reader = Reader()
    reader.leave_out(AGENT)
    ours = [
        b"New connection from 127.0.0.1:5 on port 1883.",
        b"New client connected from 127.0.0.1:5 as %s (p5, c1, k30)." % AGENT.encode(),
    ]
    theirs = [
        b"New connection from 10.0.0.66:6 on port 1883.",
        b"New client connected from 10.0.0.66:6 as %s (p2, c1, k30)." % AGENT.encode(),
    ]
    if line_first:
        reader.read(ours, 1.0)
    reader.leave_out(AGENT, ("127.0.0.1", 5), elsewhere=True)
    if not line_first:
        reader.read(ours, 1.0)
    reader.leave_out(AGENT)
    told = reader.read(theirs, 2.0)
    assert [type(event) for event in told] == [ev.Opened, ev.Connected]
    assert told[-1].client_id == AGENT
    back = [line.replace(b"127.0.0.1:5", b"::1:7") for line in ours]
    assert not [one for one in reader.read(back, 3.0) if isinstance(one, ev.Connected)]


def test_who_takes_our_id_elsewhere_is_told() -> None:
    reader = Reader()
    reader.leave_out(AGENT, ("10.0.0.1", 5))
    told = read(*joins(AGENT), publishes(AGENT, "x"), reader=reader)
    assert told == []
    told = read(*joins(AGENT, "10.0.0.66"), publishes(AGENT, "x"), reader=reader)
    assert kinds(told) == ["Opened", "Connected", "Published"]


# --- what else a log may hold --------------------------------------------------------------------


def test_2_1_names_who_was_refused_and_from_where() -> None:
    told = read(
        *[line.replace("p2", "p4") for line in joins("victim")],
        "New connection from 10.0.0.7:7 on port 1883.",
        "New connection from 10.0.0.8:8 on port 1883.",
        "Sending CONNACK to victim (0, 135)",
        "Client victim [10.0.0.7:7] disconnected: not authorised.",
        "Client 10.0.0.8 [10.0.0.8:8] disconnected: protocol error.",
        "Client victim [10.0.0.1:5] disconnected: session taken over.",
        *joins("victim", "10.0.0.9", 9),
        "Client victim [10.0.0.9:9] disconnected.",
    )
    assert kinds(told)[2:] == [
        "Opened", "Opened", "Refused", "Closed", "Malformed", "Closed",
        "Opened", "Connected", "Closed", "Disconnected", "Closed",
    ]  # fmt: skip
    refused = told[4]
    assert isinstance(refused, ev.Refused)
    assert (refused.client_id, refused.address, refused.code) == ("victim", "10.0.0.7", 135)
    assert refused.credential is None
    assert [event.address for event in told[9:12]] == ["10.0.0.9", "10.0.0.1", "10.0.0.9"]


def test_2_0_with_an_id_that_ends_like_2_1() -> None:
    poser = "victim [10.0.0.1:5]"
    told = read(*joins("victim"), *joins(poser, "10.0.0.66"), f"Client {poser} disconnected.")
    assert told[-1].client_id == poser


def test_clients_that_were_there_before_us_are_met() -> None:
    told = read("Received PINGREQ from old", publishes("older", "t"), publishes("old", "t"))
    assert kinds(told) == ["Connected", "Pinged", "Connected", "Published", "Published"]
    assert [event.address for event in told] == ["?old", "?old", "?older", "?older", "?old"]


def test_half_open_connections_stay_open_until_they_are_surely_gone() -> None:
    reader = Reader()
    lines = [b"1: New connection from 10.0.0.66:%d on port 1883." % port for port in range(3)]
    assert kinds(reader.read(lines, 0.0)) == ["Opened"] * 3
    assert reader.pass_time(120.0) == []
    told = reader.read([b"1: Client <unknown> has exceeded timeout, disconnecting."], 120.0)
    assert [(event.port, type(event)) for event in told] == [(0, ev.Closed)]
    assert [event.port for event in reader.pass_time(400.0)] == [1, 2]


def test_2_0_does_not_say_who_left_and_the_guess_is_mended() -> None:
    told = read(
        "New connection from 10.0.0.1:1 on port 1883.",
        "New connection from 10.0.0.2:2 on port 1883.",
        "Client <unknown> closed its connection.",
        *joins("b", "10.0.0.2", 2)[1:],
    )
    assert [(event.port, type(event)) for event in told] == [
        (1, ev.Opened), (2, ev.Opened), (2, ev.Closed), (2, ev.Opened), (1, ev.Closed),
        (2, ev.Connected),
    ]  # fmt: skip


def test_a_restart_closes_all_and_debug_may_go_away() -> None:
    reader = Reader()
    read(*joins("a"), *joins("b", port=6), reader=reader)
    assert reader.sensor == "debug-log"
    told = read("mosquitto version 2.0.11 starting", *joins("a", port=8)[:2], reader=reader)
    assert kinds(told) == ["Closed", "Closed", "Opened", "Connected"]
    assert reader.sensor == "log"


def test_lines_that_were_cut_still_name_their_client() -> None:
    name, told = b"n" * 2000, []
    reader = Reader()
    for head in (
        b"New connection from 10.0.0.1:5 on port 1883.",
        b"New client connected from 10.0.0.1:5 as " + name,
        b"No will message specified.",
        b"Sending CONNACK to " + name,
        b"Received PUBLISH from " + name,
        b"Client " + name,
    ):
        told += reader.read([(b"1795466419: " + head)[:999]], 1.0)
    assert kinds(told) == ["Opened", "Connected", "Published", "Closed"]
    line = b"1795466419: Received PUBLISH from a (d0, q1, r1, m7, '" + name
    told = read(*joins("a"), reader=reader)
    (publish,) = reader.read([line[:999]], 1.0)
    assert isinstance(publish, ev.Published)
    assert (publish.client_id, publish.qos, publish.size) == ("a", 1, 0)
    assert publish.topic == "n" * len(publish.topic) != ""


def test_everything_is_bounded() -> None:
    reader = Reader(most_ids=10, most_waiting=10)
    told: list[ev.AnyEvent] = []
    for port in range(100):
        told += read(*joins(f"c{port}", port=port), reader=reader)
        told += read(f"New connection from 10.0.0.66:{port} on port 1883.", reader=reader)
    check(told)
    assert sum(isinstance(event, ev.Connected) for event in told) == 10
    assert reader.skipped == 90
    assert kinds(told).count("Opened") - kinds(told).count("Closed") == 20


# --- any bytes -----------------------------------------------------------------------------------

IDS = ["a", "victim", "<unknown>", "Client", "a (d0, q0, r0, m0, 'x", "New client connected from",
       "a 1 b", "v [1.2.3.4:1]", "1795466419: a", "é\u2028"]  # fmt: skip
PIECES = st.one_of(
    st.sampled_from(IDS)
    .flatmap(
        lambda i: st.sampled_from(
            [
                *joins(i, "1.2.3.4", 1),
                *joins(i, "1.2.3.5", 2, f", u'{i}'"),
                publishes(i, i),
                publishes(i, publishes(i, "t")),
                f"Received SUBSCRIBE from {i}",
                f"Received UNSUBSCRIBE from {i}",
                f"Received DISCONNECT from {i}",
                f"\t{i} (QoS 1)",
                f"\t{i}",
                f"{i} 1 {i}",
                f"Sending SUBACK to {i}",
                f"Sending CONNACK to {i} (0, 5)",
                "Sending CONNACK to 1.2.3.4 (0, 5)",
                f"Client {i} already connected, closing old connection.",
                f"Client {i} [1.2.3.4:1] disconnected: session taken over.",
                f"Client {i} [1.2.3.4:1] disconnected: protocol error.",
                f"Client {i} disconnected due to malformed packet.",
                f"Client {i} disconnected.",
                f"Client {i} closed its connection.",
                "Invalid protocol version 9 in CONNECT from 1.2.3.4.",
                "Client connection from 1.2.3.4 denied: max_connections exceeded.",
                "Will message specified (4 bytes) (r0, q0).",
                "mosquitto version 2.1.2 starting",
            ]
        )
    )
    .map(str.encode),
    st.binary(max_size=60),
)


def check(events: list[ev.AnyEvent]) -> None:
    """The order that every sensor keeps: open, connected at most once, closed, nothing after."""
    opened: set[int] = set()
    ids: dict[int, str] = {}
    closed: set[int] = set()
    now = 0.0
    for event in events:
        assert event.time >= now
        now = event.time
        number = event.connection
        assert number not in closed
        if isinstance(event, ev.Opened):
            assert number not in opened
            opened.add(number)
        elif isinstance(event, ev.Connected):
            assert number not in ids
            assert event.client_id is not None
            ids[number] = event.client_id
        elif isinstance(event, ev.Closed):
            closed.add(number)
        if not isinstance(event, ev.Opened | ev.Refused) and event.client_id is not None:
            assert ids[number] == event.client_id
        assert number in opened or number in ids


@settings(max_examples=60)
@given(
    st.lists(st.tuples(PIECES, st.integers(0, 30)), max_size=40),
    st.sampled_from([b"", b"1795466419: ", b"Mon Nov 23 20:42:02 2026: "]),
    st.booleans(),
)
def test_no_lines_break_the_order_of_events(
    pieces: list[tuple[bytes, int]],
    stamp: bytes,
    debug: bool,  # noqa: FBT001
) -> None:
    reader, events = Reader(most_ids=6, most_waiting=4), []
    reader.leave_out("1795466419: a")
    if debug:
        events += reader.read([stamp + b"No will message specified."], 0.0)
    for now, (piece, lost) in enumerate(pieces):
        line = (stamp + piece)[: -lost if lost < 5 and lost else None]
        events += reader.read(line.split(b"\n"), float(now // 4))
        if lost == 9:
            events += reader.read_topic("M/subscribe", stamp + piece, float(now // 4))
            events += reader.pass_time(float(now // 4))
    events += reader.pass_time(1000.0)
    check(events)
