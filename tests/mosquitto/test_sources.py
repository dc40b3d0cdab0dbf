"""What the sidecar makes of its sources, line by line: told once, by whom, and how much of it."""

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mqtt_ids import events as ev
from mqtt_ids.accepted import Accepted
from mqtt_ids.alerts import Alert
from mqtt_ids.detecting import ClientView
from mqtt_ids.events import SENSORS, Sees
from mqtt_ids.policy import Neighbours
from mqtt_ids.service.node import node_of
from mqtt_ids.service.voice import REMEMBERED, Voice
from mqtt_ids.settings import Settings
from mqtt_ids.sidecar import tail as tail_module
from mqtt_ids.sidecar.crowd import CONNECTION, NOBODY, WithCrowd
from mqtt_ids.sidecar.eyes import STEADY, View, open_eyes
from mqtt_ids.sidecar.sources import HELD, LOG_TOPICS, SETTLED, UPTIME, Sources
from mqtt_ids.sidecar.tail import SHARE, Tail
from mqtt_ids.sidecar.thinning import KEPT, LOUD, Thinning
from mqtt_ids.standings import Standings
from mqtt_ids.uplink.outbox import MOST, MOST_RETAINED
from mqtt_ids.uplink.session import Received
from mqtt_ids.uplink.subscriptions import EVERYTHING

AGENT = "mqtt-ids-12345678"
ALERTS, STATUS = "$ids/alerts", "$ids/status"
STAMP = b"1795466419: "
LOG = SENSORS["log"]


class Ears:
    """Sources, what they told, and a clock of their own."""

    def __init__(
        self, *, file: bool = True, ours: Callable[[str, bytes], bool] | None = None
    ) -> None:
        self.events: list[ev.AnyEvent] = []
        self.others: list[str] = []
        self.now = 100.0
        self.sources = Sources(
            self.events.append,
            client_id=AGENT,
            own_topics=(ALERTS, STATUS),
            is_ours=ours or (lambda _topic, _data: False),
            somebody_else=self.others.append,
            follows_file=file,
        )

    def file(self, *lines: bytes, **more: Any) -> None:  # noqa: ANN401
        self.sources.lines(list(lines), self.now, **more)

    def topic(self, *lines: bytes) -> None:
        for line in lines:
            self.message(f"{LOG_TOPICS}N", line)

    def message(
        self, topic: str, payload: bytes = b"", *, retain: bool = False, by: tuple[str, ...] = ()
    ) -> None:
        properties = tuple(("$clientid", name) for name in by)
        received = Received(topic, payload, 0, retain, self.now, properties)
        self.sources.message(received, self.now)

    def wait(self, seconds: float) -> None:
        while seconds > 0:
            self.now += min(seconds, 1.0)
            seconds -= 1.0
            self.sources.pass_time(self.now)

    @property
    def told(self) -> list[tuple[str, str | None]]:
        return [(type(event).__name__, event.client_id) for event in self.events]

    def of(self, kind: type[ev.AnyEvent]) -> list[str | None]:
        return [event.client_id for event in self.events if isinstance(event, kind)]


def line(text: str) -> bytes:
    return STAMP + text.encode()


def joins(name: str, port: int) -> list[bytes]:
    """As a debug log tells it; the first two are in its topics as well."""
    return [
        line(f"New connection from 10.0.0.1:{port} on port 1883."),
        line(f"New client connected from 10.0.0.1:{port} as {name} (p2, c1, k60)."),
        line("No will message specified."),
        line(f"Sending CONNACK to {name} (0, 0)"),
    ]


def publish(name: str, topic: str = "a/b") -> bytes:
    return line(f"Received PUBLISH from {name} (d0, q0, r0, m0, '{topic}', ... (5 bytes))")


def leaves(name: str) -> bytes:
    return line(f"Client {name} closed its connection.")


def for_topics(lines: list[bytes]) -> list[bytes]:
    return [one for one in lines if b": New " in one or b": Client " in one]


def day(clients: int = 6) -> list[bytes]:
    """Each comes, publishes and leaves; two lines of one second are the same bytes."""
    told = []
    for number in range(clients):
        name = f"lamp-{number % 2}"
        told += [*joins(name, 40_000 + number), publish(name), publish(name), leaves(name)]
    return told


DAY = day()
TOPICS = for_topics(DAY)
COMINGS: tuple[type[ev.AnyEvent], ...] = (ev.Opened, ev.Connected, ev.Closed)
CAME = [("Opened", None), ("Connected", "lamp-0"), ("Closed", "lamp-0")]


# --- file and topics together --------------------------------------------------------------------


def alone(lines: list[bytes]) -> Ears:
    ears = Ears()
    ears.file(*lines)
    ears.wait(3.0)
    return ears


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9), st.floats(0.0, 1.5)), min_size=60))
def test_with_both_each_line_is_told_once_whichever_comes_first(
    steps: list[tuple[int, int, float]],
) -> None:
    """So many lines are written; so many of them come by the file before the topics bring all."""
    ears, rest = Ears(), list(DAY)
    for count, early, wait in steps:
        written, rest = rest[:count], rest[count:]
        ears.file(*written[:early])
        ears.wait(wait / 3)
        ears.topic(*for_topics(written))
        ears.wait(wait)
        ears.file(*written[early:])
    ears.wait(5.0)
    assert ears.told == alone(DAY).told
    assert ears.sources.has_debug_lines


def test_a_topic_that_comes_after_the_file_s_last_line_for_hours_is_told_no_second_time() -> None:
    ears = Ears()
    ears.file(*DAY)
    ears.topic(*TOPICS)
    ears.wait(10.0)
    assert ears.told == alone(DAY).told
    assert ears.sources.file_speaks


@settings(max_examples=150, deadline=None)
@given(
    at=st.integers(1, len(DAY) - 1),
    late=st.integers(0, 3),
    split=st.integers(0, len(DAY)),
    ahead=st.integers(0, 6),
)
def test_when_the_file_dies_the_topics_go_on_and_it_may_come_back(
    at: int, late: int, split: int, ahead: int
) -> None:
    """The file is dead from line `at` on, and comes back with all of it."""
    ears = Ears()
    before, after = DAY[:at], DAY[at:]
    ears.file(*before)
    arrived = len(for_topics(before)) - late  # the topics may be behind the file, too
    ears.topic(*TOPICS[: max(arrived, 0)])
    ears.wait(0.1)
    ears.topic(*TOPICS[max(arrived, 0) :])
    ears.wait(HELD + 1.0)
    assert not ears.sources.file_speaks
    assert [ears.of(kind) for kind in COMINGS] == [alone(DAY).of(kind) for kind in COMINGS]
    assert ears.of(ev.Published) == alone(before).of(ev.Published)
    # At the moment at which it comes back, somebody joins: it has the first lines of that already.
    new = [*joins("radio", 50_000), publish("radio"), leaves("radio")]
    gathered = [*after, *new[:ahead]]
    split = min(split, len(after) - 1)
    for share, behind in ((gathered[:split], 1), (gathered[split:], 0)):
        ears.file(*share, behind=behind)
    ears.topic(*for_topics(new))
    ears.wait(0.2)
    ears.file(*new[ahead:])
    ears.wait(HELD + 1.0)
    assert ears.of(ev.Connected) == [*alone(DAY).of(ev.Connected), "radio"]
    assert ears.of(ev.Closed) == [*alone(DAY).of(ev.Closed), "radio"]


def test_what_gathers_while_the_topics_are_read_is_not_told_again_however_much_it_is() -> None:
    ears = Ears()
    ears.file(*joins("lamp", 1))
    hour = [publish("lamp")] * 5000
    ears.topic(*for_topics(joins("radio", 2)))
    ears.wait(HELD + 1.0)
    assert not ears.sources.file_speaks
    told = len(ears.events)
    gathered = [*joins("radio", 2), *hour]
    for begin in range(0, len(gathered), 1000):
        rest = gathered[begin + 1000 :]
        ears.file(*gathered[begin : begin + 1000], behind=sum(map(len, rest)) + len(rest))
    assert len(ears.events) == told
    assert ears.sources.repeated == len(gathered)
    ears.file(publish("lamp"), publish("radio"))
    assert ears.told[told:] == [("Published", "lamp"), ("Published", "radio")]


def test_without_topics_a_file_that_is_silent_stays_the_one_that_is_read() -> None:
    ears = Ears()
    ears.wait(100.0)
    ears.file(*DAY)
    assert ears.sources.sees == SENSORS["debug-log"]
    assert ears.of(ev.Published) == alone(DAY).of(ev.Published)


def test_what_was_long_in_the_file_is_told_as_what_it_came_to() -> None:
    ears = Ears()
    ears.file(*joins("lamp", 1))
    told = len(ears.events)
    refused = line("Client <unknown> disconnected, not authorised.")
    hour = [publish("lamp"), leaves("lamp"), *DAY, refused, *joins("radio", 9), publish("radio")]
    ears.file(*hour[:20], old=True)
    ears.file(*hour[20:], old=True)
    assert len(ears.events) == told
    ears.file(publish("radio"))
    assert ears.told[told:] == [
        ("Closed", "lamp"),
        ("Opened", None),
        ("Connected", "radio"),
        ("Published", "radio"),
    ]


def test_what_it_came_to_is_told_soon_even_if_nothing_more_comes() -> None:
    ears = Ears()
    ears.file(*joins("lamp", 1), old=True)
    ears.wait(2.0)
    assert ears.told == [("Opened", None), ("Connected", "lamp")]


def test_the_file_s_packets_are_expected_once_it_is_read_again() -> None:
    ears = Ears()
    ears.topic(*for_topics(joins("lamp", 1)))
    ears.wait(HELD + 1.0)
    ears.file(*joins("lamp", 1))
    assert ears.sources.has_debug_lines
    ears.message("a/b", b"12345")  # of which the file is about to tell
    ears.file(publish("lamp"))
    assert ears.of(ev.Published) == ["lamp"]


HERE = ("10.0.0.1", 5)


def test_behind_a_proxy_we_are_known_by_our_id_alone_for_a_moment() -> None:
    ears = Ears()
    ears.sources.online(HERE, ears.now)
    ears.file(*joins(AGENT, 999), publish(AGENT, STATUS))
    assert ears.told == [("Opened", None), ("Closed", None)]
    ears.wait(SETTLED + 1.0)
    ears.file(publish(AGENT, ALERTS))
    assert len(ears.events) == 2
    ears.file(*joins(AGENT, 1000), publish(AGENT, ALERTS))  # somebody took our id
    assert ears.of(ev.Connected) == ears.of(ev.Published) == [AGENT]


def test_from_our_own_end_nothing_is_told_at_all() -> None:
    ears = Ears()
    ears.sources.online(HERE, ears.now)
    ears.file(*joins(AGENT, 5), publish(AGENT, STATUS), leaves(AGENT))
    ears.wait(SETTLED + 1.0)
    assert ears.events == []


def test_a_restart_that_only_the_uptime_tells_closes_everybody() -> None:
    ears = Ears(file=False)
    ears.sources.online(None, ears.now)
    ears.message(UPTIME, b"1000 seconds", retain=True)
    ears.topic(*for_topics(joins("lamp", 1)))
    ears.wait(5.0)
    ears.sources.away(AGENT)
    ears.wait(5.0)
    ears.sources.online(None, ears.now)
    ears.message(UPTIME, b"1010 seconds", retain=True)  # the network was lost, no more
    assert ears.of(ev.Closed) == []
    ears.message(UPTIME, b"3 seconds")  # nonsense: only the first counts
    ears.wait(5.0)
    ears.sources.away(AGENT)
    ears.wait(20.0)
    ears.sources.online(None, ears.now)
    ears.message(UPTIME, b"12 seconds", retain=True)
    assert ears.of(ev.Closed) == ["lamp"]


@pytest.mark.parametrize("text", [b"", b"soon", b"-1 seconds", b"9" * 400, b"\xff", b"1e3"])
def test_nonsense_for_an_uptime_is_left_alone(text: bytes) -> None:
    ears = Ears(file=False)
    ears.topic(*for_topics(joins("lamp", 1)))
    for _ in range(2):
        ears.sources.online(None, ears.now)
        ears.message(UPTIME, text, retain=True)
    assert ears.of(ev.Closed) == []


# --- what is seen, and what is asked for ---------------------------------------------------------


def test_everything_is_subscribed_to_only_where_the_log_does_not_tell_it() -> None:
    ears = Ears()
    assert EVERYTHING in ears.sources.filters
    assert ears.sources.sees == Sees(0)
    ears.file(*joins("lamp", 1))
    assert EVERYTHING not in ears.sources.filters
    ears.sources.file_is_gone()
    assert EVERYTHING in ears.sources.filters
    ears.topic(*for_topics(joins("radio", 2)))
    ears.wait(HELD + 1.0)
    assert EVERYTHING in ears.sources.filters
    assert ears.sources.sees == LOG


def test_topics_alone_show_what_a_log_without_debug_does() -> None:
    ears = Ears(file=False)
    ears.topic(*TOPICS)
    assert ears.sources.sees == LOG
    assert ears.told[:3] == CAME
    ears.sources.away(AGENT)
    assert ears.sources.sees == Sees(0)


def test_a_publish_by_nobody_known_is_the_crowd_s_and_never_twice() -> None:
    ears = Ears()
    ears.message("a/b", b"12345")
    ears.file(*joins("lamp", 1), publish("lamp"))
    ears.message("a/b", b"12345")  # which the log has told
    assert [(e.connection, e.size) for e in ears.events if isinstance(e, ev.Published)] == [
        (CONNECTION, 5),
        (1, 5),
    ]


def test_what_is_kept_and_the_broker_s_own_figures_are_nobody_s() -> None:
    ears = Ears(file=False)
    ears.message("a/b", b"1", retain=True)
    ears.message("$SYS/broker/load/messages/received/1min", b"1")
    assert ears.events == []


def test_what_we_publish_is_nobody_s_and_what_others_publish_there_is_told() -> None:
    ears = Ears(file=False, ours=lambda _topic, data: data == b"ours")
    ears.message("homeassistant/sensor/x/config", b"ours")
    ears.message(ALERTS, b"ours")
    assert (ears.events, ears.others) == ([], [])
    ears.message("homeassistant/sensor/x/config", b"forged")
    assert ears.others == []
    ears.message(ALERTS, b"forged")
    assert ears.others == [ALERTS]
    assert [event.topic for event in ears.events if isinstance(event, ev.Published)] == [
        "homeassistant/sensor/x/config",
        ALERTS,
    ]


# --- the broker's add-properties -----------------------------------------------------------------


def named() -> Ears:
    """Where the broker has told who publishes what we have published ourselves."""
    ears = Ears(file=False, ours=lambda _topic, data: data == b"ours")
    ears.message(STATUS, b"ours", by=(AGENT,))
    return ears


def test_the_last_name_is_the_broker_s_and_an_earlier_one_is_forged() -> None:
    ears = named()
    ears.topic(*for_topics(joins("lamp", 1)), *for_topics(joins("radio", 2)))
    ears.message("a/b", b"12345", by=("radio", "lamp"))
    (told,) = [event for event in ears.events if isinstance(event, ev.Published)]
    assert (told.client_id, told.address, told.size, told.topic) == ("lamp", "10.0.0.1", 5, "a/b")
    assert ears.sources.sees == LOG | Sees.PUBLISHES | Sees.SIZES


def test_our_own_name_is_left_out_only_where_the_broker_says_it() -> None:
    ears = named()
    ears.message("a/b", by=("lamp", AGENT))
    assert ears.events == []
    ears.message("a/b", by=(AGENT, "lamp"))
    assert ears.of(ev.Published) == ["lamp"]


def test_names_that_stop_are_no_longer_counted_on() -> None:
    ears = named()
    ears.message("a/b", by=("lamp",))
    assert ears.sources.sees == Sees.PUBLISHES | Sees.SIZES
    ears.wait(700.0)
    assert ears.sources.sees == Sees(0)


@given(st.lists(st.text(max_size=300), min_size=1, max_size=4))
def test_no_name_raises_and_each_is_bounded(names: list[str]) -> None:
    ears = named()
    ears.message("a/b", by=tuple(names))
    assert all(len(event.client_id or "") <= 256 for event in ears.events)


@pytest.mark.parametrize("proof", [(), ("evil",)], ids=["nothing", "another's"])
def test_where_the_broker_does_not_name_us_a_client_s_own_words_accuse_nobody(
    proof: tuple[str, ...],
) -> None:
    ears = Ears(file=False, ours=lambda _topic, data: data == b"ours")
    ears.topic(*for_topics(joins("lamp", 1)))
    if proof:
        ears.message(STATUS, b"ours", by=proof)
    ears.message("a/b", by=("lamp",))
    assert ears.of(ev.Published) == [NOBODY]
    assert ears.sources.sees == LOG


def test_who_repeats_our_words_under_our_name_proves_nothing_once_they_came_without() -> None:
    ears = named()
    ears.message(STATUS, b"ours")
    ears.message(STATUS, b"ours", by=(AGENT,))
    ears.message("a/b", by=("lamp",))
    assert ears.of(ev.Published) == [NOBODY]
    ears.sources.online(None, ears.now)
    ears.message(STATUS, b"ours", by=(AGENT,))
    ears.message("a/b", by=("lamp",))
    assert ears.of(ev.Published) == [NOBODY, "lamp"]


# --- what is left out under a flood --------------------------------------------------------------


def test_without_need_nothing_is_left_out() -> None:
    lines = [publish("flood")] * 500
    assert Thinning().thin(lines) is lines


def thinned(lines: list[bytes]) -> tuple[list[bytes], Thinning]:
    thinning = Thinning()
    thinning.active = True
    return thinning.thin(lines), thinning


def test_only_what_the_loud_publish_is_sampled_and_counted() -> None:
    calm = [*joins("lamp", 1), publish("lamp"), leaves("lamp")]
    loud = [publish(name) for name in ("flood", "gush") for _ in range(400)]
    passed_on = [line("Sending PUBLISH to lamp (d0, q0, r0, m0, 'a', ... (5 bytes))")] * 100
    kept, thinning = thinned([*loud[:300], *calm, *passed_on, *loud[300:]])
    assert [one for one in kept if one not in loud] == calm
    assert len(kept) - len(calm) == 800 // KEPT
    assert thinning.skipped == 800 - 800 // KEPT
    assert {publish("flood"), publish("gush")} < set(kept)


@pytest.mark.parametrize("stamp", [b"", STAMP, b"2026-11-23T20:42:02+0100: "])
def test_nobody_hides_behind_the_name_of_the_loud(stamp: bytes) -> None:
    def said(name: str, topic: str) -> bytes:
        return stamp + publish(name, topic)[len(STAMP) :]

    posing = "Received PUBLISH from flood (d0, q0, r0, m0, 'a', ... (5 bytes))"
    hidden = [said("evil", posing)] * LOUD
    hidden += [said("evil2", f"x: {posing}")] * LOUD
    hidden += [stamp + f"Client {posing} closed its connection.".encode()] * LOUD
    kept, _ = thinned([*[said("flood", "a")] * 200, *hidden])
    assert [one for one in kept if one != said("flood", "a")] == hidden


@given(st.lists(st.binary(max_size=200), max_size=50))
def test_no_lines_raise_and_none_is_made_up(lines: list[bytes]) -> None:
    kept, thinning = thinned(lines)
    assert len(kept) <= len(lines)
    assert set(kept) <= set(lines)
    assert thinning.skipped <= len(lines) - len(kept)


# --- with which eyes -----------------------------------------------------------------------------


def test_more_is_seen_at_once_and_less_only_when_it_stays_so() -> None:
    view = View()
    debug = SENSORS["debug-log"]
    assert not view.look(LOG, 0.0)
    assert view.look(debug, 1.0)
    assert not view.look(LOG, 2.0)
    assert not view.look(debug, 2.0 + STEADY)  # it was but a moment
    assert not view.look(LOG, 3.0 + STEADY)
    assert not view.look(Sees(0), 2.9 + 2 * STEADY)
    assert view.look(LOG, 3.0 + 2 * STEADY)
    assert view.sees == LOG


def test_what_is_seen_otherwise_and_not_merely_less_is_taken_at_once() -> None:
    view = View()
    assert view.look(Sees.PUBLISHES | Sees.SIZES, 0.0)


# --- the crowd -----------------------------------------------------------------------------------


def crowd_says(now: float, topic: str = "a/b", size: int = 5) -> ev.Published:
    return ev.Published(
        time=now, connection=CONNECTION, address=NOBODY, client_id=NOBODY, topic=topic, size=size
    )


class One:
    """Half of the pair: what it was fed, and the alerts that it is to tell."""

    def __init__(self) -> None:
        self.fed: list[ev.AnyEvent] = []
        self.alerts: list[Alert] = []
        self.skipped = 3
        self.accepted = Accepted()
        self.memories: dict[str, Any] = {}

    def feed(self, event: ev.AnyEvent) -> None:
        self.fed.append(event)

    def tick(self, now: float) -> list[Alert]:
        assert now > 0
        told, self.alerts = self.alerts, []
        return told

    end = tick

    def clients(self) -> list[ClientView]:
        return []

    def standings(self, most: int, now: float) -> Standings:
        assert most
        assert now
        return Standings(clients=0, connected=0, learned=0, oddest=[])

    def goes_on(self, incident_id: str) -> bool:
        return incident_id == "here"

    def neighbours(self, incident_id: str) -> Neighbours:
        assert incident_id
        return Neighbours()


def alert(**fields: Any) -> Alert:  # noqa: ANN401
    given_: dict[str, Any] = {
        "id": "01",
        "state": "open",
        "active": True,
        "severity": "high",
        "attack": "flood",
        "confidence": 0.9,
        "first_seen": 1.0,
        "time": 1.0,
        "client_id": NOBODY,
        "username": None,
        "address": NOBODY,
        "clients": (NOBODY,),
        "client_count": 1,
        "score": 1.0,
        "threshold": 0.1,
        "reasons": (),
    }
    names = set(Alert.__struct_fields__)
    return Alert(**{key: value for key, value in {**given_, **fields}.items() if key in names})


def test_the_crowd_s_alerts_name_nobody_and_its_notes_are_left_out() -> None:
    clients, crowd = One(), One()
    both = WithCrowd(clients, crowd)
    crowd.alerts = [alert(severity="info"), alert()]
    (told,) = both.tick(1.0)
    assert (told.client_id, told.username, told.address) == (None, None, None)
    assert (told.clients, told.client_count, told.active) == ((), 0, True)
    assert both.skipped == 6
    assert both.goes_on("here")


def test_an_alarm_of_either_is_one_of_both() -> None:
    clients, crowd = One(), One()
    both = WithCrowd(clients, crowd)
    crowd.alerts = [alert()]
    both.tick(1.0)
    clients.alerts = [alert(state="closed", active=False)]
    assert [one.active for one in both.tick(2.0)] == [True]  # the crowd's goes on
    crowd.alerts = [alert(state="closed", active=False)]
    assert [one.active for one in both.tick(3.0)] == [False]


def test_the_crowd_connects_once_before_it_speaks() -> None:
    clients, crowd = One(), One()
    both = WithCrowd(clients, crowd)
    lamp = ev.Opened(time=0.0, connection=1, address="10.0.0.1")
    for event in (lamp, crowd_says(1.0), crowd_says(2.0)):
        both.feed(event)
    assert clients.fed == [lamp]
    assert [type(event).__name__ for event in crowd.fed] == [
        "Opened",
        "Connected",
        "Published",
        "Published",
    ]


def test_a_flood_by_nobody_known_is_found_and_no_client_is_listed() -> None:
    eyes = open_eyes(Settings(), LOG)
    told = []
    for second in range(120):
        burst = 3000 if second >= 100 else 1
        for number in range(burst):
            eyes.feed(crowd_says(second + number / burst))
        told += eyes.tick(second + 1.0)
    assert [one.attack for one in told if one.state == "open"] == ["flood"]
    assert told[0].client_id is None
    assert eyes.clients() == []
    assert all(NOBODY not in reason.text for one in told for reason in one.reasons)


# --- what we say, and who we are -----------------------------------------------------------------


def test_what_we_have_published_is_known_again_even_all_that_waited_at_once() -> None:
    sent: list[str] = []
    voice = Voice(
        lambda topic, _data, _retain: sent.append(topic), sent.append, always=[(STATUS, b"online")]
    )
    waiting = MOST + MOST_RETAINED
    for number in range(waiting):
        voice.publish(ALERTS, b"%d" % number, False)  # noqa: FBT003
    assert all(voice.is_ours(ALERTS, b"%d" % number) for number in range(waiting))
    assert voice.is_ours(STATUS, b"online")
    assert not voice.is_ours(ALERTS, b"forged")
    assert not voice.is_ours(STATUS, b"offline")
    assert len(sent) == waiting


def test_what_is_said_again_is_remembered_from_then_on() -> None:
    voice = Voice(lambda *_: None, lambda _: None, always=[])
    for number in range(REMEMBERED + 10):
        voice.publish(STATUS, b"again", True)  # noqa: FBT003
        voice.publish(ALERTS, b"%d" % number, False)  # noqa: FBT003
    assert voice.is_ours(STATUS, b"again")
    assert not voice.is_ours(ALERTS, b"0")


def test_that_somebody_else_speaks_is_told_once() -> None:
    told: list[str] = []
    voice = Voice(lambda *_: None, told.append, always=[])
    for _ in range(3):
        voice.somebody_else(ALERTS)
    assert len(told) == 1
    assert ALERTS in told[0]


def test_the_node_is_kept_and_what_is_none_is_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    node = node_of(folder)
    assert node_of(folder) == node
    assert len(node) == 8
    assert folder.stat().st_mode & 0o777 == 0o700
    for wrong in (b"", b"\xff\xfe", b"../../..", b"0" * 9, b"ABCDEF01"):
        (folder / "node").write_bytes(wrong)
        again = node_of(folder)
        assert node_of(folder) == again != node


def test_a_folder_that_keeps_nothing_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    assert len(node_of(tmp_path / "file")) == 8
    assert len(caplog.records) == 1


# --- the file's lines in the event loop ----------------------------------------------------------


class Followed:
    """A tail of a file, and what it brought: line, whether it was old."""

    def __init__(self, path: Path) -> None:
        self.took: list[tuple[bytes, bool]] = []
        self.shares: list[int] = []
        self.behind: list[int] = []
        self.told: list[str] = []
        self.gone = 0
        self._came = asyncio.Event()
        self.tail = Tail(path, take=self._take, tell=self.told.append, gone=self._is_gone)

    def _take(self, lines: list[bytes], behind: int, *, old: bool) -> None:
        self.took += [(one, old) for one in lines]
        self.shares.append(len(lines))
        self.behind.append(behind)
        self._came.set()

    def _is_gone(self) -> None:
        self.gone += 1

    async def until(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.took) < count:
                await self._came.wait()
                self._came.clear()


def followed(path: Path, script: Callable[[Followed], Any]) -> Followed:
    one = Followed(path)

    async def run() -> None:
        task = asyncio.create_task(one.tail.run())
        try:
            await script(one)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    return one


def append(path: Path, *lines: bytes) -> None:
    with path.open("ab") as file:
        file.writelines(one + b"\n" for one in lines)


def test_lines_come_in_shares_that_know_what_is_behind_them(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.touch()
    lines = [b"%05d" % number for number in range(3 * SHARE + 1)]

    async def script(one: Followed) -> None:
        append(path, *lines)
        await one.until(len(lines))

    one = followed(path, script)
    assert one.took == [(each, False) for each in lines]
    assert max(one.shares) <= SHARE
    assert one.behind[-1] == 0
    assert one.behind == sorted(one.behind, reverse=True)
    assert one.told == []


def test_a_trouble_is_told_once_with_its_end_and_what_gathered_is_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail_module, "LASTING", 0.1)
    monkeypatch.setattr(tail_module, "LATE", 0.3)
    path = tmp_path / "log"
    path.symlink_to(tmp_path / "elsewhere")  # which is refused

    async def script(one: Followed) -> None:
        await asyncio.sleep(0.8)
        beside = tmp_path / "beside"
        append(beside, b"hour")
        beside.rename(path)
        await asyncio.sleep(0.3)
        append(path, b"new")
        await one.until(1)

    one = followed(path, script)
    assert [each for each, _ in one.took] == [b"new"]  # what it was the end of, was not ours
    assert [text for text in one.told if "symbolic link" in text] == one.told[:1]
    assert one.told[1:] == [f"log: {path} can be read"]
    assert one.gone == 1


def test_a_trouble_of_a_moment_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    path.touch()

    async def script(one: Followed) -> None:
        path.rename(tmp_path / "log.1")
        path.mkdir()
        await asyncio.sleep(0.3)
        path.rmdir()
        append(path, b"new")
        await one.until(1)

    one = followed(path, script)
    assert (one.took, one.told, one.gone) == ([(b"new", False)], [], 0)


def test_the_lag_is_how_long_the_rest_will_take(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.touch()
    lags: list[float] = []

    class Slow(Followed):
        def _take(self, lines: list[bytes], behind: int, *, old: bool) -> None:
            super()._take(lines, behind, old=old)
            threading.Event().wait(0.02)
            lags.append(self.tail.lag)

    one = Slow(path)

    async def run() -> None:
        task = asyncio.create_task(one.tail.run())
        append(path, *[b"x" * 1000] * 4000)
        await one.until(4000)
        await asyncio.sleep(0.1)
        lags.append(one.tail.lag)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    assert max(lags) > 0.02
    assert lags[-1] == 0.0
    assert os.stat(path).st_size == 4000 * 1001  # noqa: PTH116 - only read


def test_whoever_watches_looks_before_it_is_told_what_only_this_source_shows() -> None:
    """Or those who come in the first share of a log would be met by eyes that forget them."""
    order: list[str] = []
    sources = Sources(
        lambda event: order.append(type(event).__name__),
        client_id=AGENT,
        own_topics=(),
        is_ours=lambda _topic, _data: False,
        somebody_else=order.append,
        follows_file=True,
        look=lambda: order.append(f"sees {'packets' if sees() & Sees.PUBLISHES else 'less'}"),
    )

    def sees() -> Sees:
        return sources.sees

    sources.lines([*joins("lamp", 4000), publish("lamp")], 1.0)
    assert order == ["sees packets", "Opened", "Connected", "Published"]
    sources.lines([publish("lamp")], 2.0)
    assert order.count("sees packets") == 1


def test_lines_of_a_connection_of_ours_that_was_soon_gone_are_left_out_though_they_come_late() -> (
    None
):
    ears = Ears()
    ears.sources.online(("10.0.0.9", 1), ears.now)  # a proxy is between: the log has another end
    ears.sources.away(f"{AGENT}-abc")
    ears.file(*joins(AGENT, 5000), publish(AGENT), line(f"Client {AGENT} closed its connection."))
    ears.file(*joins("lamp", 5001))
    ears.sources.online(("10.0.0.9", 2), ears.now)
    ears.file(*joins(f"{AGENT}-abc", 5002), publish(f"{AGENT}-abc"))
    assert ears.of(ev.Connected) == ["lamp"]
    assert not ears.of(ev.Published)
