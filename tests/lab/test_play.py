"""The virtual player: the broker it models, told as short transcripts."""

import random
from collections.abc import Callable

import pytest

from mqtt_ids.events import AnyEvent, Closed, Connected, Disconnected, Malformed, Refused
from mqtt_ids.lab.actions import (
    Actor,
    Clock,
    Connect,
    Disconnect,
    Drop,
    Lost,
    Open,
    Ping,
    Publish,
    Restart,
    Script,
    Send,
    Signal,
    Subscribe,
    Vanish,
    Woken,
)
from mqtt_ids.lab.broker import Rules
from mqtt_ids.lab.play import play


def actor(script: Callable[[Clock, random.Random], Script], name: str = "a") -> Actor:
    return Actor(name=name, address="10.0.0.9", script=script, seed=name)


def doing(*actions: object, heard: list[Signal | None] | None = None) -> Actor:
    def script(_: Clock, __: random.Random) -> Script:
        for action in actions:
            signal = yield action  # type: ignore[misc]
            if heard is not None:
                heard.append(signal)

    return actor(script, str(actions))


def told(*actors: Actor, rules: Rules | None = None, end: float = 1000.0) -> list[AnyEvent]:
    return list(play(actors, rules or Rules(), end=end))


def kinds(events: list[AnyEvent]) -> list[str]:
    return [type(event).__name__ for event in events]


def test_a_whole_visit() -> None:
    events = told(
        doing(Open(), 1.0, Connect("x"), Subscribe(("a/#",)), Publish("a", 3), Ping(), Disconnect())
    )
    assert kinds(events) == [
        "Opened",
        "Connected",
        "Subscribed",
        "Published",
        "Pinged",
        "Disconnected",
        "Closed",
    ]
    assert [event.client_id for event in events] == [None] + ["x"] * 6
    assert len({event.connection for event in events}) == 1
    assert events[-1].time == 1.0


def test_dropped_without_disconnect() -> None:
    events = told(doing(Open(), Connect("x"), Drop()))
    assert kinds(events) == ["Opened", "Connected", "Closed"]
    assert isinstance(events[-1], Closed)
    assert events[-1].by == "client"


def test_wrong_password_is_refused_and_its_hash_tells_guesses_apart() -> None:
    heard: list[Signal | None] = []
    guesses = [
        action
        for word in ("one", "two", "one")
        for action in (Open(), Connect("x", "admin", word), 1.0)
    ]
    events = told(doing(*guesses, heard=heard), rules=Rules(logins={"admin": "right"}))
    refused = [event for event in events if isinstance(event, Refused)]
    first, second, third = [event.credential for event in refused]
    assert first == third != second
    assert all(event.code == 5 for event in refused)
    assert heard.count(Lost("refused")) == 3
    assert "right" not in repr(events)
    assert "one" not in repr([event.credential for event in refused])


def test_strangers_are_refused_unless_anonymous() -> None:
    assert "Refused" in kinds(told(doing(Open(), Connect("x")), rules=Rules(anonymous=False)))
    assert "Connected" in kinds(told(doing(Open(), Connect("x"))))


def test_take_over_closes_the_old_connection_and_tells_its_script() -> None:
    heard: list[Signal | None] = []
    old = doing(Open(), Connect("x"), 50.0, heard=heard)
    events = told(old, doing(10.0, Open(), Connect("x"), 1.0))
    assert kinds(events) == ["Opened", "Connected", "Opened", "Connected", "Closed", "Closed"]
    closed = next(event for event in events if isinstance(event, Closed))
    assert (closed.connection, closed.time, closed.by) == (1, 10.0, "broker")
    assert heard[-1] == Lost("takeover")
    taken = [event for event in events if isinstance(event, Connected)][1]
    assert taken.connection == 2


def test_silence_of_one_and_a_half_keep_alives_ends_a_connection() -> None:
    heard: list[Signal | None] = []
    silent = doing(Open(), Connect("x", keep_alive=20), 10.0, Ping(), 500.0, heard=heard)
    closed = [event for event in told(silent) if isinstance(event, Closed)]
    assert [(event.time, event.by) for event in closed] == [(40.0, "broker")]
    assert heard[-1] == Lost("timeout")


def test_without_keep_alive_silence_lasts() -> None:
    events = told(doing(Open(), Connect("x", keep_alive=0), 900.0, Drop()))
    assert events[-1].time == 900.0


def test_one_who_vanished_is_given_up_later() -> None:
    events = told(doing(Open(), Connect("x", keep_alive=20), Vanish(), 100.0))
    assert kinds(events) == ["Opened", "Connected", "Closed"]
    assert events[-1].time == 30.0


def test_one_who_vanished_can_be_taken_over_once() -> None:
    events = told(doing(Open(), Connect("x", keep_alive=20), Vanish(), 5.0, Open(), Connect("x")))
    closed = [event for event in events if isinstance(event, Closed)]
    assert [(event.connection, event.time) for event in closed] == [(1, 5.0), (2, 95.0)]


@pytest.mark.parametrize(("limit", "closes"), [(None, 1000.0), (15.0, 15.0)])
def test_half_open_connections(limit: float | None, closes: float) -> None:
    events = told(doing(Open(), Send(b"\x10"), 2000.0), rules=Rules(connect_timeout=limit))
    assert kinds(events) == ["Opened", "Malformed", "Closed"]
    assert events[-1].time == closes
    assert isinstance(events[1], Malformed)
    assert events[1].reason == "truncated"


def test_a_broken_packet_ends_the_connection() -> None:
    heard: list[Signal | None] = []
    bad = Send(b"\xf0\x00", "reserved-type")
    events = told(doing(Open(), Connect("x"), bad, Publish("a", 1), heard=heard))
    assert kinds(events) == ["Opened", "Connected", "Malformed", "Closed"]
    assert heard[2:] == [Lost("malformed"), Lost("none")]


def test_an_empty_id_is_made_up_or_refused() -> None:
    made, refused = told(doing(Open(), Connect(""))), told(doing(Open(), Connect("", clean=False)))
    assert isinstance(made[1], Connected)
    assert made[1].id_was_empty
    assert made[1].client_id
    assert isinstance(refused[1], Refused)
    assert refused[1].code == 2


def test_a_restart_closes_all_and_is_down_for_a_while() -> None:
    heard: list[Signal | None] = []
    client = doing(Open(), Connect("x"), 50.0, Open(), 30.0, Open(), Connect("x"), heard=heard)
    events = told(client, doing(20.0, Restart(10.0)))
    assert heard[2] == Lost("restart")
    assert heard[3] == Lost("unreachable")
    assert kinds(events) == ["Opened", "Connected", "Closed", "Opened", "Connected", "Closed"]
    assert events[3].time == 50.0


def test_messages_wake_those_who_asked_once_each_and_not_their_sender() -> None:
    heard: list[Signal | None] = []
    ears = Subscribe(("a/#",), ("a/b",))
    listener = doing(
        Open(), Connect("l"), ears, 30.0, 30.0, 30.0, Publish("a/b", 1), 5.0, heard=heard
    )
    speaker = doing(
        5.0, Open(), Connect("s"), Publish("a/b", 1), Publish("a/c", 1), Publish("a/b", 1)
    )
    told(listener, speaker)
    assert heard[3:] == [Woken("a/b"), Woken("a/b"), None, None, None]


def test_a_goodbye_is_not_a_loss() -> None:
    events = told(doing(Open(), Connect("x"), Disconnect(), Publish("a", 1)))
    assert isinstance(events[-2], Disconnected)
    assert kinds(events).count("Published") == 0


def test_a_wait_that_is_no_float_is_a_mistake() -> None:
    with pytest.raises(TypeError, match="float"):
        told(doing(5))
