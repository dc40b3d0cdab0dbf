"""What was said on one connection, as the events that a sensor beside the broker would give."""

import itertools

import capture_tools as tools
import msgspec
import pytest
from dialogue import (
    ACCEPTED,
    DISCONNECT,
    JOINED,
    PING,
    PONG,
    QOS_3,
    REFUSED,
    UNKNOWN,
    chat,
    connect,
    events,
    packet,
    publish,
    subscribe,
    text,
    told,
)

from mqtt_ids.events import Connected, Published
from mqtt_ids.lab.capture_writer import Frame
from mqtt_ids.lab.talks import Side
from mqtt_ids.sensors.capture.sensor import Capture


def one_sided(made: tools.Chat, port: int) -> list[Frame]:
    """Only what is sent from `port`."""
    pieces = [piece for piece in made.pieces if piece.source.port == port]
    return tools.framed(pieces)


# --- the usual way ------------------------------------------------------------------------------


def test_a_life_from_opening_to_end() -> None:
    made = chat(
        *JOINED,
        ("client", subscribe("a/#", "b")),
        ("server", b"\x90\x04\0\1\0\0"),
        ("client", publish("a/b", b"123", 1)),
        ("server", b"\x40\2\0\1"),
        ("client", packet(0xA2, b"\0\2" + text("b"))),
        ("client", PING),
        ("server", PONG),
        ("client", DISCONNECT),
    )
    made.close()
    found = events(made)
    assert told(found) == [
        "Opened",
        "Connected c",
        "Subscribed c",
        "Published c",
        "Unsubscribed c",
        "Pinged c",
        "Disconnected c",
        "Closed c",
    ]
    common = {"connection": 1, "address": "192.168.1.10", "port": 40_000}
    assert all(msgspec.to_builtins(event).items() >= common.items() for event in found)
    assert msgspec.to_builtins(found[3]).items() >= {"topic": "a/b", "size": 3, "qos": 1}.items()
    assert getattr(found[-1], "by", None) == "client"


def test_what_the_broker_has_stored_may_come_with_the_connack() -> None:
    made = chat(("client", connect()), ("server", ACCEPTED + publish() * 2), ("client", PING))
    assert told(events(made)) == ["Opened", "Connected c", "Pinged c"]


def test_an_id_that_is_empty_gets_a_name() -> None:
    found = events(chat(("client", connect("")), ("server", ACCEPTED), ("client", PING)))
    assert told(found)[1:] == [
        "Connected auto-192.168.1.10:40000",
        "Pinged auto-192.168.1.10:40000",
    ]
    assert getattr(found[1], "id_was_empty", None) is True


def test_an_id_that_the_broker_assigns_is_the_id() -> None:
    answer = packet(0x20, b"\0\0" + bytes((8, 0x12)) + text("given"))
    found = events(chat(("client", connect("", version=5)), ("server", answer), ("client", PING)))
    assert told(found)[1:] == ["Connected given", "Pinged given"]
    assert (getattr(found[1], "version", 0), getattr(found[1], "id_was_empty", None)) == (5, True)


def test_a_refusal_with_its_credential() -> None:
    def credential(password: str, capture: Capture) -> int:
        made = tools.Chat(first=(1000 * next(numbers), 500_000))
        made.open()
        made.say(connect("x", username="u", password=password))
        made.say(REFUSED, side="server")
        made.close("server")
        found = list(capture.read(made.frames()))
        assert [type(event).__name__ for event in found] == ["Opened", "Refused", "Closed"]
        assert getattr(found[2], "by", None) == "broker"
        assert (found[1].client_id, getattr(found[1], "username", None)) == ("x", "u")
        return int(getattr(found[1], "credential", 0))

    numbers = itertools.count(1)
    capture = Capture()
    first, again, other = (credential(word, capture) for word in ("one", "one", "two"))
    assert first == again != other
    assert credential("one", Capture()) != first  # the key is made at the start


# --- before the CONNACK -------------------------------------------------------------------------


def test_what_is_sent_before_the_connack_is_told_behind_it() -> None:
    made = chat(("client", connect() + publish() + DISCONNECT))
    assert told(events(chat(("client", connect())))) == ["Opened"]
    made.say(ACCEPTED, side="server")
    made.close()
    assert told(events(made)) == [
        "Opened",
        "Connected c",
        "Published c",
        "Disconnected c",
        "Closed c",
    ]


def test_what_is_sent_before_a_refusal_never_happened() -> None:
    made = chat(("client", connect() + publish()), ("server", REFUSED), ("client", publish()))
    assert told(events(made)) == ["Opened", "Refused c"]


def test_the_last_words_of_the_broker_count() -> None:
    """The client has said all and closed its side before the broker even answers."""
    made = tools.Chat()
    made.open()
    made.say(connect() + publish())
    made.pieces.append(made.talk.segment(made.now, "client", 0x11))
    made.say(ACCEPTED, side="server")
    made.pieces.append(made.talk.segment(made.now, "server", 0x11))
    assert told(events(made)) == ["Opened", "Connected c", "Published c", "Closed c"]


def test_a_broker_that_does_not_answer_hides_no_flood() -> None:
    made = chat(("client", connect()))
    for _ in range(150):
        made.say(publish())
    found = events(made)
    assert told(found) == ["Opened", *["Published"] * 150]
    made = chat(("client", connect()))
    for _ in range(90):
        made.say(publish())
    assert told(events(made)) == ["Opened", *["Published"] * 90]  # at the end of the capture


def test_after_a_second_without_an_answer_nothing_is_held() -> None:
    made = chat(("client", connect()), ("client", publish()))
    made.wait(1.5)
    made.say(publish())
    made.wait(1.5)
    made.say(ACCEPTED, side="server")
    made.say(publish())
    found = events(made)
    assert told(found) == ["Opened", "Published", "Published", "Connected c", "Published c"]
    assert found[1].time - found[0].time == pytest.approx(1.5)
    assert found[2].time == found[1].time


def test_a_connack_that_was_captured_too_early() -> None:
    frames = chat(*JOINED, ("client", PING)).frames()
    early = tools.late(frames, 3, 2)  # the CONNECT behind its answer
    assert told(events(tools.Chat(), early)) == ["Opened", "Connected c", "Pinged c"]


# --- only a part of it ----------------------------------------------------------------------------


def test_only_the_client_is_seen() -> None:
    made = chat(*JOINED, ("client", publish()))
    made.wait(2)
    made.say(publish())
    made.say(PONG, side="server")
    found = events(made, one_sided(made, 40_000))
    assert told(found) == ["Opened", "Connected c", "Published c", "Published c"]


def test_only_the_broker_is_seen() -> None:
    made = chat(*JOINED, ("server", PONG))
    made.wait(2)
    made.say(PONG, side="server")
    assert told(events(made, one_sided(made, 1883))) == ["Opened", f"Connected {UNKNOWN}"]
    made = chat(("client", connect()), ("server", REFUSED))
    made.close("server")
    assert told(events(made, one_sided(made, 1883))) == ["Opened", "Refused", "Closed"]


def test_a_start_in_mid_stream() -> None:
    made = tools.Chat()
    made.say(publish())
    made.say(PING)
    made.close()
    found = events(made)
    assert told(found) == [
        f"{kind} {UNKNOWN}" for kind in ("Connected", "Published", "Pinged", "Closed")
    ]
    assert found[0] == Connected(
        time=found[0].time, connection=1, address="192.168.1.10", port=40_000, client_id=UNKNOWN
    )


def test_a_start_in_the_middle_of_a_packet() -> None:
    made = tools.Chat(size=50)
    made.say(publish(payload=b"x" * 100)[60:])
    made.say(publish("a"))
    assert told(events(made)) == [f"Connected {UNKNOWN}", f"Published {UNKNOWN}"]


def test_a_start_in_mid_stream_with_mqtt_5() -> None:
    made = tools.Chat()
    made.say(packet(0x82, b"\0\1\0" + text("a/#") + b"\0"))
    found = events(made)
    assert told(found) == [f"Connected {UNKNOWN}", f"Subscribed {UNKNOWN}"]
    assert getattr(found[1], "filters", ()) == ("a/#",)


def test_a_start_in_mid_stream_of_one_who_sends_only_pictures() -> None:
    made = tools.Chat()
    for _ in range(4):
        made.say(publish("camera", bytes(10_000)))
    assert told(events(made)) == [f"Connected {UNKNOWN}", *[f"Published {UNKNOWN}"] * 4]


def test_a_start_in_a_payload_that_looks_like_the_start_of_others() -> None:
    made = tools.Chat(size=600)
    for _ in range(20):  # each seems to begin a PUBLISH of 2 MB
        made.say(b"\x30\x80\x80\x7f" + text("t") + bytes(593))
    made.say(publish("camera", bytes(1_500)) + PING)
    assert told(events(made)) == [
        f"{kind} {UNKNOWN}" for kind in ("Connected", "Published", "Pinged")
    ]


def test_a_start_just_before_the_connect() -> None:
    made = tools.Chat()
    made.say(connect())
    made.say(ACCEPTED, side="server")
    made.say(PING)
    assert told(events(made)) == ["Opened", "Connected c", "Pinged c"]


@pytest.mark.parametrize("data", [b"SSH-2.0-OpenSSH", b"\x16\x03\x01\x02\0", bytes(300)])
def test_a_stream_that_is_not_mqtt_gives_nothing(data: bytes) -> None:
    made = tools.Chat()
    for _ in range(5):
        made.say(data)
    made.close()
    assert told(events(made)) == []


def test_a_gap_swallows_the_connect() -> None:
    made = chat(*JOINED)
    made.wait(1)
    made.say(PING)
    frames = made.frames()
    del frames[3]
    assert told(events(made, frames)) == ["Opened", f"Connected {UNKNOWN}", f"Pinged {UNKNOWN}"]


def test_a_gap_swallows_the_connack() -> None:
    made = chat(*JOINED, ("client", PING))
    made.wait(1)
    made.say(PONG, side="server")
    frames = made.frames()
    del frames[5]
    assert told(events(made, frames)) == ["Opened", "Connected c", "Pinged c"]


def test_a_gap_inside_a_payload_hides_nothing() -> None:
    made = tools.Chat(size=100)
    made.open()
    made.say(connect())
    made.say(ACCEPTED, side="server")
    made.say(b"\x30\xec\x07" + text("big") + bytes(999), acked=False)
    made.say(publish("next"))
    frames = made.frames()
    del frames[10:13]
    found = events(made, frames)
    topics = [(event.topic, event.size) for event in found if isinstance(event, Published)]
    assert topics == [("big", 999), ("next", 2)]


def test_a_segment_that_is_cut_off_hides_nothing() -> None:
    made = chat(*JOINED, ("client", publish("big", bytes(100))), ("client", publish("next")))
    found = events(made, tools.snapped(made.frames(), 90))
    topics = [(event.topic, event.size) for event in found if isinstance(event, Published)]
    assert topics == [("big", 100), ("next", 2)]


# --- malformed ------------------------------------------------------------------------------------


def test_after_a_malformed_packet_the_client_goes_on_as_long_as_the_broker_lets_it() -> None:
    made = chat(*JOINED, ("client", QOS_3), ("client", PING))
    made.close("server")
    found = events(made)
    assert told(found) == ["Opened", "Connected c", "Malformed c", "Pinged c", "Closed c"]
    assert getattr(found[2], "reason", "") == "bad-qos"


def test_a_malformed_first_packet() -> None:
    made = chat(("client", PING), ("client", PING))
    made.close("server")
    found = events(made)
    assert told(found) == ["Opened", "Malformed", "Closed"]
    assert getattr(found[1], "reason", "") == "not-connect-first"


def test_a_malformed_connect_that_the_broker_takes() -> None:
    bad = connect().replace(b"MQTT", b"MQQT")
    made = chat(("client", bad), ("server", ACCEPTED), ("client", PING))
    assert told(events(made)) == [
        "Opened",
        "Malformed",
        f"Connected {UNKNOWN}",
        f"Pinged {UNKNOWN}",
    ]


def test_a_connect_that_is_too_large_and_that_the_broker_takes() -> None:
    body = text("MQTT") + b"\4\4\0\x3c" + text("c") + text("will")
    made = chat(("client", b"\x10\x80\x80\x20" + body + bytes(2**19 - len(body))))
    made.say(ACCEPTED, side="server")
    made.say(publish())
    assert told(events(made)) == [
        "Opened",
        "Malformed",
        f"Connected {UNKNOWN}",
        f"Published {UNKNOWN}",
    ]


def test_a_second_connect() -> None:
    made = chat(*JOINED, ("client", connect("other")), ("client", PING))
    found = events(made)
    assert told(found) == ["Opened", "Connected c", "Malformed c", "Pinged c"]
    assert getattr(found[2], "reason", "") == "second-connect"


@pytest.mark.parametrize(
    ("said", "side", "expected"),
    [
        ([("client", connect()[:9])], "client", ["Opened", "Malformed", "Closed"]),
        ([("client", connect()[:9])], "server", ["Opened", "Malformed", "Closed"]),
        ([*JOINED, ("client", publish()[:5])], "client", None),
        ([*JOINED, ("client", publish()[:5])], "server", ["Opened", "Connected c", "Closed c"]),
    ],
)
def test_an_end_inside_a_packet(
    said: list[tuple[Side, bytes]], side: Side, expected: list[str] | None
) -> None:
    """Where the broker hangs up on a client that it knows, that is not the client's fault."""
    for reset in (False, True):
        made = chat(*said)
        if reset:
            made.reset(side)
        else:
            made.close(side)
        usual = ["Opened", "Connected c", "Malformed c", "Closed c"]
        assert told(events(made)) == (expected or usual)


@pytest.mark.parametrize("words", [b"\xf0\x02\x18\0", b"\xe0\x01\x87"])
def test_a_broker_may_say_more_before_it_refuses(words: bytes) -> None:
    made = chat(("client", connect("x", version=5)), ("server", words))
    assert told(events(made)) == ["Opened"]
    made.say(b"\x20\x03\0\x87\0", side="server")
    assert told(events(made)) == ["Opened", "Refused x"]


def test_what_the_broker_says_wrongly_is_nobodys_fault() -> None:
    made = chat(*JOINED, ("server", b"\xf0\0"), ("server", PONG), ("client", PING))
    assert told(events(made)) == ["Opened", "Connected c", "Pinged c"]


def test_credentials_stay_out_of_everything() -> None:
    made = chat(("client", connect("x", username="u", password="canary-17")), ("server", ACCEPTED))
    capture = Capture()
    found = list(capture.read(made.frames()))
    known = itertools.chain(map(repr, found), [repr(_everything(capture))])
    assert not any("canary-17" in one for one in known)


def _everything(thing: object, depth: int = 0) -> object:
    """What an object holds, and what that holds."""
    if isinstance(thing, dict):
        return [_everything(each, depth) for each in (*thing.keys(), *thing.values())]
    if isinstance(thing, list | tuple | set):
        return [_everything(each, depth) for each in thing]
    if depth > 12 or not type(thing).__module__.startswith("mqtt_ids"):
        return thing
    names = [*getattr(thing, "__dict__", ())]
    for each in type(thing).__mro__:
        names += getattr(each, "__slots__", ())
    return [_everything(getattr(thing, name, None), depth + 1) for name in names]
