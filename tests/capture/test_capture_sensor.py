"""The sensor as a whole: what the network and the capture do to frames does not change events."""

import itertools
import random
from collections.abc import Iterable, Iterator

import capture_tools as tools
import msgspec
import pytest
from dialogue import ACCEPTED, DISCONNECT, JOINED, PING, connect, packet, publish, told
from hypothesis import given, settings
from hypothesis import strategies as st

from mqtt_ids.errors import CaptureError
from mqtt_ids.events import AnyEvent, Closed, Opened, Published
from mqtt_ids.lab.capture_writer import MONDAY, Frame
from mqtt_ids.lab.talks import Endpoint, Side
from mqtt_ids.packets import PacketType
from mqtt_ids.sensors.capture.flow import Flow
from mqtt_ids.sensors.capture.flows import VISITS
from mqtt_ids.sensors.capture.sensor import Capture

APART = 0.001  # s between two frames


def chat(*, port: int = 40_000, server: int = 1883, size: int = 1460) -> tools.Chat:
    made = tools.Chat(
        Endpoint(tools.CLIENT.address, port), Endpoint(tools.SERVER.address, server), size=size
    )
    made.open()
    return made


def joined(**more: int) -> tools.Chat:
    made = chat(**more)
    for side, data in JOINED:
        made.say(data, side=side)
    return made


def read(frames: Iterable[Frame], capture: Capture | None = None) -> list[AnyEvent]:
    return list((capture or Capture()).read(frames))


def plain(events: list[AnyEvent]) -> list[object]:
    """The events but for their times."""
    return [msgspec.to_builtins(event) | {"time": None} for event in events]


# --- the way of the frames ----------------------------------------------------------------------


def said(rng: random.Random, count: int) -> bytes:
    """Packets of a client."""
    kinds = (
        lambda: PING,
        lambda: publish(f"home/{rng.randrange(99)}", rng.randbytes(rng.randrange(60))),
        lambda: publish("q", b"x", rng.randrange(3)),
        lambda: packet(0x82, b"\0\1\0\3a/#\0"),
        lambda: b"\x36\x05\x00\x01t\x00\x01",  # malformed
    )
    return b"".join(rng.choice(kinds)() for _ in range(count))


def spaced(frames: Iterable[Frame]) -> list[Frame]:
    """One millisecond from each frame to the next."""
    return [(MONDAY + place * APART, *frame[1:]) for place, frame in enumerate(frames)]


def conversation(rng: random.Random, size: int) -> tools.Chat:
    made = joined(size=size)
    for _ in range(rng.randint(1, 4)):
        made.say(said(rng, rng.randint(1, 8)), acked=rng.random() < 0.7)
    made.say(DISCONNECT)
    return made


@settings(max_examples=60)
@given(
    st.integers(0, 2**32),
    st.sampled_from((3, 20, 1460)),
    st.sampled_from((0, 1, 3, 8)),
    st.floats(0, 0.5),
)
def test_any_way_of_the_frames_gives_the_same_events(
    seed: int, size: int, window: int, again: float
) -> None:
    whole = conversation(random.Random(seed), 60_000)
    rng = random.Random(seed)
    sliced = conversation(rng, size)
    expected = read(whole.frames())
    frames = []
    for frame in sliced.frames():
        frames += [frame] * (1 + (rng.random() < again))
    head, rest = frames[:5], frames[5:]
    order = sorted(range(len(rest)), key=lambda place: place + rng.uniform(0, window))
    capture = Capture()
    found = read(spaced([*head, *(rest[place] for place in order)]), capture)
    assert plain(found) == plain(expected)
    assert capture.figures.gaps == 0


@settings(max_examples=60)
@given(
    st.integers(0, 2**32),
    st.sampled_from((40, 300, 1460)),
    st.floats(0.05, 0.9),
    st.sampled_from((0, 8)),
)
def test_packets_behind_a_gap_are_found_again(
    seed: int, size: int, loss: float, skipped: int
) -> None:
    rng = random.Random(seed)
    made = conversation(rng, size)
    made.pieces = made.pieces[: -2 if made.pieces[-1].data else -3]  # without DISCONNECT
    made.pieces = made.pieces[skipped:]
    frames = [frame for frame in made.frames() if rng.random() >= loss]
    again = tools.Chat(size=size)
    again.talk = made.talk
    again.say(b"".join(publish("x", bytes(9)) for _ in range(100)))
    for number in range(50):
        again.say(publish("after", bytes(number)))
    found = read(spaced([*frames, *again.frames()]))
    after = [event.size for event in found if isinstance(event, Published)]
    assert after[-40:] == list(range(10, 50))
    assert [event.time for event in found] == sorted(event.time for event in found)


# --- several connections ------------------------------------------------------------------------


def test_a_syn_on_known_ports_ends_the_old_connection() -> None:
    first, second = joined(), tools.Chat(first=(77_000, 99_000))
    second.open()
    second.say(connect("d"))
    second.say(ACCEPTED, side="server")
    found = read([*first.frames(), *second.frames()])
    assert told(found) == ["Opened", "Connected c", "Closed c", "Opened", "Connected d"]
    assert [event.connection for event in found] == [1, 1, 1, 2, 2]


def test_a_syn_that_is_sent_again_is_no_new_connection() -> None:
    frames = joined().frames()
    assert told(read([frames[0], *frames, frames[0]])) == ["Opened", "Connected c"]


def test_only_a_whole_handshake_opens_a_connection() -> None:
    scanned = chat()
    assert told(read(scanned.frames()[:2])) == []
    assert told(read(scanned.frames())) == ["Opened"]
    refused = tools.Chat()
    refused.open()
    refused.pieces = refused.pieces[:1]
    refused.reset("server")
    assert told(read(refused.frames())) == []


def test_without_the_syn_ack_the_first_data_opens_a_connection() -> None:
    frames = joined().frames()
    assert told(read([frames[0], *frames[2:3]])) == []
    assert told(read([frames[0], *frames[3:]])) == ["Opened", "Connected c"]


@pytest.mark.parametrize("side", ["client", "server"])
def test_who_ends_it(side: Side) -> None:
    by = {"client": "client", "server": "broker"}[side]
    made = joined()
    made.close(side)
    assert getattr(read(made.frames())[-1], "by", "") == by
    made = joined()
    made.reset(side)
    made.say(PING)
    found = read(made.frames())
    assert told(found) == ["Opened", "Connected c", "Closed c"]
    assert getattr(found[-1], "by", "") == by


def test_a_client_that_ends_alone_is_given_a_second() -> None:
    made = joined()
    made.pieces.append(made.talk.segment(made.now, "client", 0x11))
    other = joined(port=40_001)
    other.wait(1.5)
    other.say(PING)
    found = read([*made.frames(), *other.frames()])
    closed = next(event for event in found if isinstance(event, Closed))
    assert closed.time - found[0].time == pytest.approx(1.5)


def test_a_reset_that_nobody_would_believe() -> None:
    made = joined()
    forged = made.talk.segment(0.0, "client", 0x04)._replace(seq=3_000_000_000)
    made.pieces.append(forged)
    made.say(PING)
    assert told(read(made.frames())) == ["Opened", "Connected c", "Pinged c"]


def test_other_ports_are_other_peoples() -> None:
    assert read(joined(server=1884).frames()) == []
    found = list(Capture(ports=frozenset({1884})).read(joined(server=1884).frames()))
    assert told(found) == ["Opened", "Connected c"]


# --- what is counted ----------------------------------------------------------------------------


def test_what_is_counted() -> None:
    made = joined()
    made.say(PING + b"\x36\x05\x00\x01t\x00\x01")
    made.say(b"\x40\2\0\1", side="server")
    junk = (MONDAY + 9, 147, 60, bytes(60))
    capture = Capture()
    read([*made.frames(), junk], capture)
    assert capture.packets == {
        PacketType.CONNECT: 1,
        PacketType.CONNACK: 1,
        PacketType.PINGREQ: 1,
        PacketType.PUBACK: 1,
        None: 1,
    }
    figures = capture.figures
    assert (figures.frames, figures.segments, figures.connections) == (12, 11, 1)
    assert figures.unreadable == {147: 1}
    assert (capture.first, capture.last) == (MONDAY, MONDAY + 9)


def test_gaps_are_counted() -> None:
    made = joined()
    made.say(PING)
    made.wait(1)
    made.say(PING)
    capture = Capture()
    read(tools.dropped(made.frames(), 7), capture)
    assert capture.packets[PacketType.PINGREQ] == 1
    assert capture.figures.gaps == 1


def test_packets_after_the_end_are_counted_and_not_told() -> None:
    made = joined()
    made.pieces.append(made.talk.segment(0.0, "server", 0x11))
    made.say(publish())
    capture = Capture()
    assert told(read(made.frames(), capture)) == ["Opened", "Connected c", "Closed c"]
    assert capture.packets[PacketType.PUBLISH] == 1


def test_tls_is_counted_and_not_read() -> None:
    capture = Capture()
    for port in (40_000, 40_001):
        made = chat(port=port, server=8883)
        made.say(b"\x16\x03\x01\0\4\1\0\0\0")
        assert read(made.frames(), capture) == []
    assert capture.figures.encrypted == 2


def test_tls_on_a_port_of_mqtt_is_noticed() -> None:
    """Only the first connection is told of: after that we know who speaks TLS there."""
    capture = Capture()
    for port, expected in ((40_000, ["Opened", "Closed"]), (40_001, [])):
        made = chat(port=port)
        made.say(b"\x16\x03\x01\0\4\1\0\0\0")
        made.say(b"\x16\x03\x03\0\4\2\0\0\0", side="server")
        made.say(b"\x17\x03\x03\0\4data")
        assert told(read(made.frames(), capture)) == expected
    assert capture.figures.encrypted == 2


def test_tls_that_the_broker_does_not_speak_is_malformed() -> None:
    made = chat()
    made.say(b"\x16\x03\x01\0\4\1\0\0\0")
    made.close("server")
    assert told(read(made.frames())) == ["Opened", "Malformed", "Closed"]


# --- the clock ------------------------------------------------------------------------------------


def at(*times: float) -> list[Frame]:
    """A client that pings at these times."""
    made = joined()
    frames = [(MONDAY + times[0], *frame[1:]) for frame in made.frames()]
    for time in times:
        more = tools.Chat()
        more.talk = made.talk
        more.say(PING, acked=False)
        frames += [(MONDAY + time, *frame[1:]) for frame in more.frames()]
    return frames


def test_time_never_goes_back() -> None:
    capture = Capture()
    found = read(at(100.0, 99.5, 101.0, 50.0, 60.0), capture)[2:]
    assert [event.time - MONDAY for event in found] == [100.0, 100.0, 101.0, 101.0, 111.0]
    walls = [capture.wall(event.time) - MONDAY for event in found[:2]]
    assert walls == [100.0, 100.0]
    assert capture.wall(found[-1].time) - MONDAY == 60.0


def test_many_captures_are_one_sensor() -> None:
    capture = Capture()
    frames = at(1.0, 2.0, 3.0, 4.0)
    found = read(frames[:-2], capture) + read(frames[-2:], capture)
    assert plain(found) == plain(read(frames))


def test_a_capture_that_breaks_off_keeps_what_was_read() -> None:
    def broken() -> Iterator[Frame]:
        made = joined()
        made.say(publish("t", bytes(1000)), acked=False)
        yield from made.frames()
        made = joined(port=40_001)
        yield from tools.late(made.frames(), 3, 0)[:4]
        raise CaptureError("cut off")

    found: list[AnyEvent] = []
    with pytest.raises(CaptureError, match="cut off"):
        found.extend(Capture().read(broken()))
    assert told(found) == ["Opened", "Connected c", "Published c", "Opened"]


# --- bounds ---------------------------------------------------------------------------------------


def idle(keep_alive: int, seconds: float) -> list[AnyEvent]:
    """What is told when somebody else still speaks after `seconds`."""
    made = chat()
    body = connect()[:10] + keep_alive.to_bytes(2, "big") + connect()[12:]
    made.say(body)
    made.say(ACCEPTED, side="server")
    other = joined(port=40_001)
    for _ in range(4):
        other.wait(seconds)
        other.say(PING)
    return [one for one in read([*made.frames(), *other.frames()]) if one.connection == 1]


def test_who_is_silent_for_too_long_is_gone() -> None:
    assert told(idle(10, 37.0))[2:] == ["Closed c"]
    assert told(idle(60, 37.0))[2:] == []
    assert told(idle(0, 1700.0))[2:] == []
    assert told(idle(0, 2500.0))[2:] == ["Closed c"]


def test_what_time_brings_waits_for_no_other_connection() -> None:
    made = joined()
    made.pieces.append(made.talk.segment(made.now, "client", 0x11))
    frames = made.frames()
    arp = (frames[0][0] + 1.5, *frames[0][1:3], bytes(60))

    def live() -> Iterator[Frame]:
        yield from frames
        yield arp
        pytest.fail("the end was not told")

    told_so_far = list(itertools.islice(Capture().read(live()), 3))
    assert told(told_so_far) == ["Opened", "Connected c", "Closed c"]


def test_the_sweeps_cost_each_frame_little(monkeypatch: pytest.MonkeyPatch) -> None:
    visits = 0
    settle = Flow.settle

    def counted(flow: Flow, now: float) -> None:
        nonlocal visits
        visits += 1
        settle(flow, now)

    monkeypatch.setattr(Flow, "settle", counted)
    capture = Capture()
    for port in range(2000, 2500):
        made = chat(port=port)
        made.say(connect().replace(b"\0\x3c", b"\0\0"))  # no keep-alive
        made.say(ACCEPTED, side="server")
        read(made.frames(), capture)
    visits = 0
    read(at(*(61.0 * step for step in range(1, 101))), capture)
    assert 1_000 <= visits <= VISITS * (len(at(*range(100))) + 10)  # the first sweep is free


def test_a_user_name_is_not_held_until_the_connack() -> None:
    capture = Capture()
    made = chat()
    made.say(connect(username="n" * 10_000, password="p"))
    read(made.frames(), capture)
    (flow,) = capture._flows
    assert flow.talk is not None
    waiting = flow.talk._peer.connect
    assert waiting is not None
    assert waiting.username is None


def test_the_table_is_bounded() -> None:
    """A flood of SYNs does not push out those who are connected."""
    capture = Capture()
    capture._flows._most = 64
    found = read(joined(port=1000).frames(), capture)
    for port in range(2000, 4000):
        found += read(chat(port=port).frames()[:1], capture)
        assert len(capture._flows) <= 64
    found += read(at(1.0)[-1:], capture)
    assert told(found)[:2] == ["Opened", "Connected c"]
    assert not any(isinstance(event, Closed) for event in found)
    for port in range(2000, 2200):
        found += read(joined(port=port).frames(), capture)
    assert len(capture._flows) <= 64
    opened = sum(isinstance(event, Opened) for event in found)
    closed = sum(isinstance(event, Closed) for event in found)
    assert opened - closed <= 64


CUT_OFF = b"\x30\xa4\x4e\x27\x10" + b"x" * 5000  # in the middle of a topic of 10,000 bytes


def test_what_is_held_is_bounded_in_total() -> None:
    """The oldest holder gives way, and goes on from its next packet."""
    capture = Capture()
    capture._flows._most_held = 100_000
    chats = [joined(port=port) for port in range(2000, 2040)]
    found = []
    for made in chats:
        made.say(CUT_OFF)
        found += read(made.frames(), capture)
        made.pieces.clear()
        assert capture._flows.held <= 100_000
    assert capture._flows.held > 90_000
    for made in chats:
        made.say(b"x" * 5018)
        made.say(publish("again"), acked=False)
        found += read(made.frames(), capture)
    again = [event.connection for event in found if getattr(event, "topic", "") == "again"]
    assert again == list(range(1, 41))
    assert capture._flows.held == 0


EARLY = publish("x" * 100, b"\0")
ALIAS = packet(0x30, b"\0\x64" + b"x" * 100 + b"\3\x23\0\1")
PAYLOAD = b"\x30\xff\x7f\x03\xe8" + b"x" * 1000 + b"\0" + b"payload"


@pytest.mark.parametrize(
    ("data", "answer", "least"),
    [(EARLY, b"", 1000), (ALIAS, b"\x20\3\0\0\0", 100), (PAYLOAD, b"\x20\3\0\0\0", 1000)],
)
def test_whatever_is_held_is_in_the_books(data: bytes, answer: bytes, least: int) -> None:
    made = chat()
    made.say(connect(version=5))
    made.say(answer, side="server")
    for _ in range(10 if data is EARLY else 1):
        made.say(data)
    held: list[int] = []

    def watched() -> Iterator[Frame]:
        yield from made.frames()
        held.extend(flow.held for flow in capture._flows)

    capture = Capture()
    read(watched(), capture)
    assert least <= held[0] <= 2 * least
