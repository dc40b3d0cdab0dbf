"""What TCP does not obey, the sensor does not believe: stray SYNs, RSTs and ends."""

import capture_tools as tools
import pytest
from dialogue import (
    ACCEPTED,
    DISCONNECT,
    JOINED,
    PING,
    REFUSED,
    chat,
    connect,
    events,
    publish,
    text,
    told,
)

from mqtt_ids.events import Closed, Malformed
from mqtt_ids.lab.talks import ACK, FIN, RST, SYN, Piece, Side
from mqtt_ids.sensors.capture.sensor import Capture

UNSEEN = 60_000  # bytes beyond what a client has said


def forged(made: tools.Chat, flags: int, ahead: int, data: bytes = b"") -> Piece:
    """A segment of the client, so far ahead of what it has said."""
    piece = made.talk.segment(made.now, "client", ACK)
    return piece._replace(seq=piece.seq + ahead, flags=flags, data=data)


# --- SYN ------------------------------------------------------------------------------------------


def test_data_on_a_syn_opens_nothing() -> None:
    made = tools.Chat()
    made.pieces.append(made.talk.segment(0.0, "client", SYN, b"x" * 120))
    assert told(events(made)) == []


def test_data_on_a_syn_that_is_not_acknowledged_is_sent_again() -> None:
    made = chat(*JOINED)
    made.pieces[0] = made.pieces[0]._replace(data=connect())
    assert told(events(made)) == ["Opened", "Connected c"]


def test_data_on_a_syn_counts_once_it_is_acknowledged() -> None:
    made = tools.Chat()
    made.pieces.append(made.talk.segment(0.0, "client", SYN, connect()))
    made.pieces.append(made.talk.segment(0.0, "server", SYN | ACK))
    made.say(ACCEPTED, side="server")
    made.say(PING)
    assert told(events(made)) == ["Opened", "Connected c", "Pinged c"]


def test_data_on_syns_is_held_within_bounds() -> None:
    capture = Capture()
    made = tools.Chat()
    made.pieces.append(made.talk.segment(0.0, "client", SYN, b"x" * 4_096))
    made.pieces.append(made.pieces[0]._replace(data=b"x" * 9_000))
    assert list(capture.read(made.frames())) == []
    (flow,) = capture._flows
    assert flow.held == flow.booked == 4_096
    flow.give_way(0.0)
    assert flow.held == 0


def test_a_syn_that_is_not_answered_ends_nothing() -> None:
    made = chat(*JOINED)
    made.pieces.append(forged(made, SYN, UNSEEN, b"data"))
    made.pieces.append(made.talk.segment(made.now, "server", ACK))  # the challenge
    made.say(PING)
    assert told(events(made)) == ["Opened", "Connected c", "Pinged c"]


def test_a_syn_ack_begins_a_connection_whose_syn_was_not_captured() -> None:
    for ending in ("close", "reset", "say"):
        first, second = chat(*JOINED), tools.Chat(first=(77_000, 99_000))
        getattr(first, ending)(*([b""] if ending == "say" else []))
        second.open()
        second.say(connect("d"))
        second.say(ACCEPTED, side="server")
        found = events(first, [*first.frames(), *second.frames()[1:]])
        assert told(found) == ["Opened", "Connected c", "Closed c", "Opened", "Connected d"]


def test_a_connection_that_is_captured_twice_is_one() -> None:
    made = chat(("client", connect("x")), ("server", REFUSED))
    made.close("server")
    later = [(time + 0.01, link, wire, data) for time, link, wire, data in made.frames()]
    found = events(made, [*made.frames(), *later])
    assert told(found) == ["Opened", "Refused x", "Closed"]


def test_a_syn_is_believed_where_the_broker_is_not_seen() -> None:
    first, second = chat(*JOINED), tools.Chat(first=(77_000, 99_000))
    second.open()
    second.say(connect("d"))
    pieces = [one for one in (*first.pieces, *second.pieces) if one.source.port != 1883]
    found = events(first, tools.framed(pieces))
    assert [event.connection for event in found if type(event).__name__ == "Opened"] == [1, 2]


# --- an end whose last words come late, or never --------------------------------------------------


def test_last_words_that_are_captured_after_the_end() -> None:
    made = chat(*JOINED)
    made.say(DISCONNECT)
    made.close("server")
    frames = tools.late(made.frames(), -5 % len(made.pieces), 2)
    assert told(events(made, frames)) == ["Opened", "Connected c", "Disconnected c", "Closed c"]


@pytest.mark.parametrize("side", ["client", "server"])
def test_last_words_that_were_not_captured(side: Side) -> None:
    made = chat(*JOINED)
    made.say(DISCONNECT)
    made.close(side)
    lost = tools.dropped(made.frames(), -5)
    assert told(events(made, lost)) == ["Opened", "Connected c", "Closed c"]


def test_a_short_life_of_which_only_the_client_is_seen() -> None:
    made = chat(*JOINED, ("client", publish()), ("client", DISCONNECT))
    made.close()
    pieces = [one for one in made.pieces if one.source.port != 1883]
    found = events(made, tools.framed(pieces))
    assert told(found) == ["Opened", "Connected c", "Published c", "Disconnected c", "Closed c"]


def test_a_short_life_of_which_only_the_broker_is_seen_in_mqtt_5() -> None:
    made = chat(("client", connect("", version=5)), ("server", b"\x20\x06\0\0\3\x22\0\x0a"))
    made.close("server")
    capture = Capture()
    pieces = [one for one in made.pieces if one.source.port == 1883]
    found = list(capture.read(tools.framed(pieces)))
    assert told(found)[1] == "Connected ?192.168.1.10:40000"
    assert capture.packets[None] == 0


# --- RST and FIN ----------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [RST, FIN | ACK])
def test_an_end_that_the_broker_has_not_believed(flags: int) -> None:
    made = chat(*JOINED)
    made.pieces.append(forged(made, flags, 5))
    for _ in range(20):
        made.wait(0.1)
        made.say(publish("still/here"))
    found = events(made)
    assert told(found).count("Published ?192.168.1.10:40000") >= 15


@pytest.mark.parametrize("flags", [RST, FIN | ACK])
def test_an_end_and_a_syn_that_the_broker_has_not_believed(flags: int) -> None:
    made = chat(*JOINED)
    made.pieces.append(forged(made, flags, 5))
    made.pieces.append(forged(made, SYN, 50_000_000))
    for _ in range(20):
        made.wait(0.1)
        made.say(publish("still/here"))
    assert told(events(made)).count("Published ?192.168.1.10:40000") >= 15


def test_a_reset_behind_what_was_not_captured_blames_nobody() -> None:
    made = chat(*JOINED)
    made.say(publish(payload=b"x" * 100)[:50])
    made.pieces.append(forged(made, RST, 55))
    found = events(made)
    assert told(found) == ["Opened", "Connected c", "Published c", "Closed c"]
    assert isinstance(found[-1], Closed)
    assert found[-1].by == "client"


def test_a_connect_whose_end_was_not_captured_is_not_malformed() -> None:
    made = tools.Chat(size=20)
    made.open()
    made.say(connect("a-client-with-a-long-name"))
    made.pieces = [*made.pieces[:4], *made.pieces[5:]]  # without the second of two segments
    made.close("server")
    capture = Capture()
    found = list(capture.read(made.frames()))
    assert not any(isinstance(event, Malformed) for event in found)
    assert capture.figures.gaps == 1


def test_a_packet_that_was_cut_short_is_malformed() -> None:
    made = chat(*JOINED)
    made.say(b"\x30\x20" + text("t"))
    made.reset()
    assert told(events(made)) == ["Opened", "Connected c", "Malformed c", "Closed c"]
