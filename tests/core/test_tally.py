"""What each event counts for, and the gauges of a host, by transcripts and by chaos."""

import random
from collections.abc import Iterable

import pytest
from core_tools import ROUTER, Pen, anything, chaos
from hypothesis import given

from mqtt_ids import events as ev
from mqtt_ids.connections import HALF_OPEN_AFTER, SILENT_AFTER
from mqtt_ids.counters import Client, Gauge, Host
from mqtt_ids.facts import FactKind
from mqtt_ids.tally import EXTREME_KEEP_ALIVE, FACTS_KEPT, SHORT_LIFE, Tally, is_wide
from mqtt_ids.topics import OWNED_AFTER

Counts = dict[str, float]


@pytest.fixture
def tally() -> Tally:
    return Tally(100)


@pytest.fixture
def pen() -> Pen:
    return Pen()


def told(tally: Tally, *events: ev.Event) -> None:
    for event in events:
        tally.count(event)


def join(tally: Tally, pen: Pen, client_id: str, address: str = ROUTER) -> int:
    """Someone who has been there for a while, and what that counted for is over."""
    connection, events = pen.joined(client_id, address)
    told(tally, *events)
    pen.wait(SHORT_LIFE)
    fold(tally)
    return connection


def fold(tally: Tally) -> None:
    for subjects in (tally.clients_to_fold, tally.hosts_to_fold):
        for subject in subjects:
            subject.counts = None
        subjects.clear()
    tally.facts.clear()


def named(table: type, counts: Iterable[float] | None) -> Counts:
    """Counts by name, without the zeros."""
    names = {place: name for name, place in vars(table).items() if isinstance(place, int)}
    del names[len(names) - 1]
    values = [0.0] * len(names) if counts is None else list(counts)
    return {names[place]: value for place, value in enumerate(values) if value}


def tries_of(tally: Tally) -> int:
    subject = tally.hosts.get(ROUTER)
    assert subject is not None
    return subject.gauges[Gauge.TRIES]


def client(tally: Tally, client_id: str) -> Counts:
    subject = tally.clients.get(client_id)
    assert subject is not None
    return named(Client, subject.counts)


def host(tally: Tally, address: str = ROUTER) -> Counts:
    subject = tally.hosts.get(address)
    assert subject is not None
    return named(Host, subject.counts)


def gauges(tally: Tally, address: str = ROUTER) -> Counts:
    subject = tally.hosts.get(address)
    assert subject is not None
    return named(Gauge, subject.gauges)


def kinds(tally: Tally) -> list[FactKind]:
    return [fact.kind for fact in tally.facts]


# --- transcripts: one kind of event each ---------------------------------------------------


def test_opened(tally: Tally, pen: Pen) -> None:
    told(tally, pen.opened(), pen.opened())
    assert host(tally) == {"OPENS": 2}
    assert gauges(tally) == {"CONNECTIONS": 2}
    assert len(tally.clients) == 0


def test_connected(tally: Tally, pen: Pen) -> None:
    told(tally, *pen.joined("c")[1])
    assert host(tally) == {"OPENS": 1, "CONNECTS": 1, "NEW_IDS": 1}
    assert client(tally, "c") == {"CONNECTS": 1}
    assert gauges(tally) == {"CONNECTIONS": 1}
    assert [newcomer.id for newcomer in tally.newcomers] == ["c"]


def test_connected_again_is_no_new_id(tally: Tally, pen: Pen) -> None:
    connection = join(tally, pen, "c")
    told(tally, pen.disconnected(connection), pen.closed(connection))
    fold(tally)
    told(tally, *pen.joined("c")[1])
    assert host(tally) == {"OPENS": 1, "CONNECTS": 1}
    assert [newcomer.id for newcomer in tally.newcomers] == ["c"]


def test_connected_with_an_empty_id(tally: Tally, pen: Pen) -> None:
    opened = pen.opened()
    told(tally, opened, pen.connected(opened.connection, "auto-1", id_was_empty=True))
    assert host(tally)["EMPTY_IDS"] == 1


@pytest.mark.parametrize(
    ("keep_alive", "extreme"),
    [
        (0, True),
        (1, False),
        (EXTREME_KEEP_ALIVE - 1, False),
        (EXTREME_KEEP_ALIVE, True),
        (65_535, True),
    ],
)
def test_connected_with_a_keep_alive(
    tally: Tally, pen: Pen, keep_alive: int, *, extreme: bool
) -> None:
    connection, events = pen.joined("c", keep_alive=keep_alive)
    told(tally, *events)
    assert host(tally).get("EXTREME", 0) == extreme
    assert gauges(tally).get("EXTREME", 0) == extreme
    told(tally, pen.closed(connection))
    assert gauges(tally) == {}


@pytest.mark.parametrize(
    ("code", "counter"),
    [(4, "GUESSES"), (5, "GUESSES"), (0x86, "GUESSES"), (0x87, "GUESSES"),
     (1, "REFUSED"), (2, "REFUSED"), (3, "REFUSED"), (0x85, "REFUSED")],
)  # fmt: skip
def test_refused_by_code(tally: Tally, pen: Pen, code: int, counter: str) -> None:
    opened = pen.opened()
    told(tally, opened, pen.refused(opened.connection, code=code, credential=7))
    assert host(tally) == {"OPENS": 1, counter: 1}
    assert len(tally.clients) == 0, "an id that was refused is a claim"


def test_refused_with_one_credential_again_and_again_is_a_stale_password(
    tally: Tally, pen: Pen
) -> None:
    for _ in range(5):
        opened = pen.opened()
        told(tally, opened, pen.refused(opened.connection, credential=7, client_id="cam"))
    assert host(tally) == {"OPENS": 5, "GUESSES": 1, "RETRIES": 4}
    assert kinds(tally) == [FactKind.STALE_PASSWORD], "once a fold leaves room for others"
    assert tally.facts[0].client_id == "cam"


def test_ever_new_credentials_are_guesses_and_unseen_ones_merely_refused(
    tally: Tally, pen: Pen
) -> None:
    for credential in (1, 2, 3, None, None):
        opened = pen.opened()
        told(tally, opened, pen.refused(opened.connection, credential=credential))
    assert host(tally) == {"OPENS": 5, "GUESSES": 3, "REFUSED": 2}
    assert kinds(tally) == []


# Credentials that a stranger tries in turn, and how many log-ins in a row that makes.
SERIES = {
    "one and the same": ((1, 1, 1, 1), 0),
    "another each time": ((1, 2, 3, 4), 4),
    "the second counts those before it": ((1, 1, 2), 3),
    "at most four of them": ((1, 1, 1, 1, 1, 1, 1, 2), 5),
    "each tried twice": ((1, 1, 2, 2, 3, 3), 6),
    "two devices by turns": ((1, 2, 1, 2, 1, 2), 0),
    "two devices, then a guesser": ((1, 2, 1, 3, 4, 5), 3),
}


@pytest.mark.parametrize(("credentials", "tries"), SERIES.values(), ids=SERIES)
def test_log_ins_in_a_row_of_a_stranger(
    tally: Tally, pen: Pen, credentials: tuple[int, ...], tries: int
) -> None:
    for credential in credentials:
        opened = pen.opened()
        told(tally, opened, pen.refused(opened.connection, credential=credential))
    assert tries_of(tally) == tries


def test_log_ins_that_lie_far_apart_are_not_in_a_row(tally: Tally, pen: Pen) -> None:
    for credential in (1, 2, 3):
        opened = pen.opened()
        told(tally, opened, pen.refused(opened.connection, credential=credential))
        pen.wait(61.0)
    assert tries_of(tally) == 0


def test_who_guessed_long_ago_is_not_blamed_for_opening_a_connection(
    tally: Tally, pen: Pen
) -> None:
    for credential in (1, 2, 3, 4):
        opened = pen.opened()
        told(tally, opened, pen.refused(opened.connection, credential=credential))
    assert tries_of(tally) == 4
    pen.wait(61.0)
    told(tally, pen.opened())
    assert tries_of(tally) == 0


@pytest.mark.parametrize("first", [True, False])
def test_who_was_let_in_is_no_stranger(tally: Tally, pen: Pen, *, first: bool) -> None:
    if first:
        join(tally, pen, "c")
    for credential in (1, 2, 3):
        opened = pen.opened()
        told(tally, opened, pen.refused(opened.connection, credential=credential))
    if not first:
        assert tries_of(tally) == 3
        join(tally, pen, "c")
    assert tries_of(tally) == 0


def test_published(tally: Tally, pen: Pen) -> None:
    connection = join(tally, pen, "c")
    told(
        tally,
        pen.published(connection, "home/t", 20),
        pen.published(connection, "home/t", 30, qos=1, retain=True),
        pen.published(connection, "home/u", 50, qos=2),
    )
    assert client(tally, "c") == {
        "PUBLISHES": 3, "BYTES": 100, "RETAINED": 1, "ACKNOWLEDGED": 2, "NEW_TOPICS": 2,
        "REPEATS": 1, "SPRAYED": 1,
    }  # fmt: skip
    assert host(tally) == {
        "PUBLISHES": 3, "BYTES": 100, "ACKNOWLEDGED": 2, "NEW_TOPICS": 2, "SPRAYED": 1,
    }  # fmt: skip


def test_what_is_sprayed_is_acknowledged_and_live_and_on_a_new_topic(
    tally: Tally, pen: Pen
) -> None:
    connection = join(tally, pen, "c")
    told(
        tally,
        pen.published(connection, "new, at QoS 0"),
        pen.published(connection, "new and retained", qos=1, retain=True),
        pen.published(connection, "sprayed", qos=1),
        pen.published(connection, "sprayed", qos=1),
    )
    assert client(tally, "c")["SPRAYED"] == 1
    assert kinds(tally) == []


@pytest.mark.parametrize("topic", ["$SYS/x", "a//b", "a/../b", "x" * 201, "$ids/alerts"])
def test_published_on_an_odd_topic(tally: Tally, pen: Pen, topic: str) -> None:
    connection = join(tally, pen, "c")
    told(tally, pen.published(connection, topic))
    assert client(tally, "c")["ODD_TOPICS"] == host(tally)["ODD_NAMES"] == 1


@pytest.mark.parametrize("topic", ["a/b", "x" * 200, "a$b", "a/./b"])
def test_published_on_a_plain_topic(tally: Tally, pen: Pen, topic: str) -> None:
    connection = join(tally, pen, "c")
    told(tally, pen.published(connection, topic))
    assert not {"ODD_TOPICS", "ODD_NAMES"} & (client(tally, "c") | host(tally)).keys()


@pytest.mark.parametrize(("client_id", "odd"), [("$", 1), ("a//b", 1), ("x" * 201, 1), ("cam", 0)])
def test_connected_with_an_odd_id(tally: Tally, pen: Pen, client_id: str, odd: int) -> None:
    _, events = pen.joined(client_id)
    told(tally, *events)
    assert host(tally).get("ODD_NAMES", 0) == odd


def test_published_on_the_detectors_own_topic_is_a_fact(tally: Tally, pen: Pen) -> None:
    connection = join(tally, pen, "c")
    told(tally, pen.published(connection, "$ids/alerts"), pen.published(connection, "ids/alerts"))
    assert kinds(tally) == [FactKind.IDS_TOPIC]
    assert (tally.facts[0].client_id, tally.facts[0].address) == ("c", ROUTER)
    assert "publishes on $ids/" in tally.facts[0].text


def test_a_will_on_the_detectors_own_topic_is_a_fact_accepted_or_not(
    tally: Tally, pen: Pen
) -> None:
    told(tally, *pen.joined("c", will_topic="$ids/status")[1])
    told(tally, *pen.joined("d", will_topic="home/d/status")[1])
    opened = pen.opened()
    told(tally, opened, pen.refused(opened.connection, client_id="e", will_topic="$ids/status"))
    assert kinds(tally) == [FactKind.IDS_TOPIC] * 2
    assert [fact.client_id for fact in tally.facts] == ["c", None], "a refused id is a claim"
    assert "GUESSES" not in host(tally), "it was refused for its will"


def settled_owner(tally: Tally, pen: Pen) -> int:
    """A thermometer that has had home/t to itself for long; its connection."""
    connection = join(tally, pen, "thermometer", "10.0.0.1")
    for _ in range(21):
        told(tally, pen.published(connection, "home/t"))
        pen.wait(OWNED_AFTER / 20)
    return connection


def test_published_on_anothers_topic_is_a_fact_once(tally: Tally, pen: Pen) -> None:
    settled_owner(tally, pen)
    spoofer = join(tally, pen, "spoofer", "10.0.0.66")
    told(tally, *(pen.published(spoofer, "home/t") for _ in range(3)))
    assert kinds(tally) == [FactKind.FOREIGN_TOPIC]
    assert client(tally, "spoofer")["FOREIGN_TOPICS"] == 1
    assert host(tally, "10.0.0.66")["FOREIGN_TOPICS"] == 1
    assert "21 messages" in tally.facts[0].text


def test_topics_that_were_always_shared_are_nobodys(tally: Tally, pen: Pen) -> None:
    one, two = join(tally, pen, "one", "10.0.0.1"), join(tally, pen, "two", "10.0.0.2")
    for _ in range(30):
        told(tally, pen.published(one, "home/t"), pen.published(two, "home/t"))
        pen.wait(60.0)
    three = join(tally, pen, "three", "10.0.0.3")
    told(tally, pen.published(three, "home/t"))
    assert kinds(tally) == []


def test_a_dead_owner_is_not_defended(tally: Tally, pen: Pen) -> None:
    settled_owner(tally, pen)
    pen.wait(OWNED_AFTER * 3)
    heir = join(tally, pen, "heir", "10.0.0.2")
    told(tally, pen.published(heir, "home/t"))
    assert kinds(tally) == []


def test_subscribed(tally: Tally, pen: Pen) -> None:
    connection = join(tally, pen, "c")
    told(tally, pen.subscribed(connection, "home/+", "home/t", "other"))
    assert client(tally, "c") == {"FILTERS": 3}
    assert host(tally) == {"FILTERS": 3}
    assert kinds(tally) == []


@pytest.mark.parametrize(
    "everything",
    ["#", "+/#", "$SYS/#", "/#", "+/+/#", "+", "+/+/+", "$SYS/+/#", "$share/g/#", "$share/g/+/#"],
)
def test_subscribed_to_everything_is_a_fact_the_first_time(
    tally: Tally, pen: Pen, everything: str
) -> None:
    connection = join(tally, pen, "c")
    told(tally, pen.subscribed(connection, everything, "home/t"))
    told(tally, pen.subscribed(connection, "#"))
    assert client(tally, "c") == {"FILTERS": 3, "WIDE_FILTERS": 2}
    assert host(tally) == {"FILTERS": 3, "WIDE_FILTERS": 2}
    assert kinds(tally) == [FactKind.FIRST_WIDE_FILTER]


@pytest.mark.parametrize("some", ["home/#", "+/+/status", "/", "", "$share/g/home/#", "$SYS/a/#"])
def test_subscribed_to_something_is_not_everything(some: str) -> None:
    assert not is_wide(some)


def test_unsubscribed_and_pinged(tally: Tally, pen: Pen) -> None:
    connection = join(tally, pen, "c")
    told(tally, pen.pinged(connection))
    told(
        tally,
        ev.Unsubscribed(
            time=pen.now, connection=connection, address=ROUTER, client_id="c", filters=("a",)
        ),
    )
    assert client(tally, "c") == {"PINGS": 1}
    assert host(tally) == {"PINGS": 1}


def test_malformed_after_connect_counts_for_client_and_host(tally: Tally, pen: Pen) -> None:
    connection = join(tally, pen, "c")
    told(tally, pen.malformed(connection))
    assert client(tally, "c") == host(tally) == {"MALFORMED": 1}


def test_malformed_before_connect_counts_for_the_host(tally: Tally, pen: Pen) -> None:
    opened = pen.opened()
    told(tally, opened, pen.malformed(opened.connection), pen.closed(opened.connection))
    assert host(tally) == {"OPENS": 1, "MALFORMED": 1}
    assert gauges(tally) == {}


def test_closed_after_goodbye(tally: Tally, pen: Pen) -> None:
    connection = join(tally, pen, "c")
    told(tally, pen.disconnected(connection), pen.closed(connection))
    assert client(tally, "c") == host(tally) == gauges(tally) == {}
    subject = tally.clients.get("c")
    assert subject is not None
    assert not subject.connected


def test_closed_without_goodbye(tally: Tally, pen: Pen) -> None:
    connection = join(tally, pen, "c")
    told(tally, pen.closed(connection))
    assert client(tally, "c") == host(tally) == {"ABRUPT": 1}


def test_closed_before_connect(tally: Tally, pen: Pen) -> None:
    opened = pen.opened()
    told(tally, opened, pen.closed(opened.connection))
    assert host(tally) == {"OPENS": 1, "EARLY": 1}


def test_closed_soon_after_connect(tally: Tally, pen: Pen) -> None:
    connection, events = pen.joined("c")
    told(tally, *events)
    pen.wait(SHORT_LIFE - 0.1)
    told(tally, pen.disconnected(connection), pen.closed(connection))
    assert host(tally)["SHORT"] == 1


# --- take-overs ----------------------------------------------------------------------------


def test_a_client_that_comes_back_from_the_same_address_takes_nothing_over(
    tally: Tally, pen: Pen
) -> None:
    old = join(tally, pen, "c")
    new = pen.opened()
    told(tally, new, pen.connected(new.connection, "c"), pen.closed(old))
    assert client(tally, "c") == {"CONNECTS": 1}
    assert "ABRUPT" not in host(tally)
    subject = tally.clients.get("c")
    assert subject is not None
    assert subject.connected, "by its new connection"


def test_a_fight_over_an_id_is_a_fact_at_the_third_turn(tally: Tally, pen: Pen) -> None:
    seen = []
    for turn in range(5):
        told(tally, *pen.joined("c", f"10.0.0.{1 + turn % 2}")[1])
        seen.append(len(tally.facts))
        pen.wait(10.0)
    assert seen == [0, 0, 0, 1, 2]
    assert client(tally, "c")["TAKEOVERS"] == 4
    assert "10.0.0.1 and 10.0.0.2" in tally.facts[0].text


def test_who_takes_back_its_own_id_is_not_the_intruder(tally: Tally, pen: Pen) -> None:
    home, evil = "10.0.0.1", "10.0.0.66"
    told(tally, pen.closed(join(tally, pen, "cam", home)))
    for turn in range(5):
        told(tally, *pen.joined("cam", home if turn % 2 else evil)[1])
        pen.wait(10.0)
    assert [fact.address for fact in tally.facts] == [evil, evil]


def test_a_client_that_moved_long_ago_is_at_home_where_it_lives(tally: Tally, pen: Pen) -> None:
    old, new, evil = "10.0.0.1", "10.0.0.2", "10.0.0.66"
    for address in (old, new):
        told(tally, pen.closed(join(tally, pen, "cam", address)))
    pen.wait(2 * 86_400.0)
    for turn in range(5):
        told(tally, *pen.joined("cam", new if turn % 2 else evil)[1])
        pen.wait(10.0)
    assert [fact.address for fact in tally.facts] == [evil, evil]


def test_a_phone_that_roams_now_and_then_fights_with_nobody(tally: Tally, pen: Pen) -> None:
    for turn in range(20):
        told(tally, *pen.joined("phone", f"10.0.0.{1 + turn % 2}")[1])
        pen.wait(200.0)
    assert kinds(tally) == []


# --- waiting -------------------------------------------------------------------------------


def test_a_connection_without_connect_becomes_half_open(tally: Tally, pen: Pen) -> None:
    opened = pen.opened()
    told(tally, opened)
    tally.connections.ripen(pen.now + HALF_OPEN_AFTER - 0.01)
    assert "HALF_OPEN" not in gauges(tally)
    tally.connections.ripen(pen.now + HALF_OPEN_AFTER)
    assert gauges(tally) == {"CONNECTIONS": 1, "HALF_OPEN": 1}
    assert [uneasy.address for uneasy in tally.connections.uneasy] == [ROUTER]
    told(tally, pen.connected(opened.connection, "late"))
    assert gauges(tally) == {"CONNECTIONS": 1}


@pytest.mark.parametrize("answer", ["refused", "malformed", "closed"])
def test_whatever_ends_the_wait_ends_being_half_open(tally: Tally, pen: Pen, answer: str) -> None:
    opened = pen.opened()
    told(tally, opened)
    tally.connections.ripen(5.0)
    told(tally, getattr(pen, answer)(opened.connection))
    assert "HALF_OPEN" not in gauges(tally)


def test_a_connection_that_says_nothing_after_connect_becomes_silent(
    tally: Tally, pen: Pen
) -> None:
    connection, events = pen.joined("c")
    told(tally, *events)
    tally.connections.ripen(pen.now + SILENT_AFTER - 0.01)
    assert "SILENT" not in gauges(tally)
    tally.connections.ripen(pen.now + SILENT_AFTER)
    assert gauges(tally) == {"CONNECTIONS": 1, "SILENT": 1}
    told(tally, pen.pinged(connection))
    assert gauges(tally) == {"CONNECTIONS": 1}
    tally.connections.ripen(pen.now + 1000.0)
    assert gauges(tally) == {"CONNECTIONS": 1}


def test_who_closed_in_time_ripens_never(tally: Tally, pen: Pen) -> None:
    told(tally, pen.opened(), pen.closed(1))
    connection, events = pen.joined("c")
    told(tally, *events, pen.closed(connection))
    tally.connections.ripen(1000.0)
    assert gauges(tally) == {}
    assert not tally.connections.uneasy


# --- events out of nowhere -----------------------------------------------------------------


def test_who_was_there_before_the_sensor_is_made_up(tally: Tally, pen: Pen) -> None:
    told(
        tally,
        ev.Published(time=1.0, connection=9, address=ROUTER, client_id="c", topic="t", size=5),
        ev.Closed(time=9.0, connection=9, address=ROUTER, client_id="c"),
    )
    assert client(tally, "c") == {"PUBLISHES": 1, "BYTES": 5, "NEW_TOPICS": 1, "ABRUPT": 1}
    assert host(tally) == {"PUBLISHES": 1, "BYTES": 5, "NEW_TOPICS": 1, "ABRUPT": 1}
    assert gauges(tally) == {}


def test_closing_what_is_unknown_changes_nothing(tally: Tally) -> None:
    told(
        tally,
        ev.Closed(time=1.0, connection=9, address=ROUTER),
        ev.Disconnected(time=1.0, connection=9, address=ROUTER),
    )
    assert len(tally.hosts) == len(tally.clients) == 0


def test_a_number_used_again_ends_the_old_connection(tally: Tally) -> None:
    told(
        tally,
        ev.Opened(time=1.0, connection=9, address="10.0.0.1"),
        ev.Connected(time=1.0, connection=9, address="10.0.0.1", client_id="c", keep_alive=0),
        ev.Opened(time=2.0, connection=9, address="10.0.0.2"),
    )
    assert gauges(tally, "10.0.0.1") == {}
    assert gauges(tally, "10.0.0.2") == {"CONNECTIONS": 1}
    subject = tally.clients.get("c")
    assert subject is not None
    assert not subject.connected


def test_a_second_connect_on_a_connection_moves_it_to_the_other_id(tally: Tally, pen: Pen) -> None:
    opened = pen.opened()
    number = opened.connection
    told(tally, opened, pen.connected(number, "one", keep_alive=0), pen.connected(number, "two"))
    connected = {subject.id for subject in tally.clients if subject.connected}
    assert connected == {"two"}
    assert gauges(tally) == {"CONNECTIONS": 1}
    told(tally, pen.closed(number))
    assert not any(subject.connected for subject in tally.clients)
    assert gauges(tally) == {}


def test_a_zombie_of_a_forgotten_client_counts_for_its_host_only(pen: Pen) -> None:
    tally = Tally(4)
    zombie = join(tally, pen, "victim", "10.0.0.1")
    new = join(tally, pen, "victim", "10.0.0.2")
    told(tally, pen.closed(new))
    for number in range(4):
        connection = join(tally, pen, f"c{number}", f"10.0.1.{number}")
        told(tally, pen.closed(connection))
    assert tally.clients.get("victim") is None
    fold(tally)
    told(tally, pen.published(zombie))
    assert [subject.tracked for subject in tally.clients_to_fold] == [False]
    assert host(tally, "10.0.0.1")["PUBLISHES"] == 1


# --- bounds --------------------------------------------------------------------------------


def test_facts_are_bounded_between_two_folds(tally: Tally, pen: Pen) -> None:
    connection = join(tally, pen, "c")
    for _ in range(FACTS_KEPT + 50):
        told(tally, pen.published(connection, "$ids/x"))
    assert len(tally.facts) == FACTS_KEPT
    assert tally.skipped == 50


def test_connections_are_bounded(pen: Pen) -> None:
    tally = Tally(10)
    for number in range(1000):
        told(tally, pen.opened(f"10.0.0.{number % 5}"))
    assert len(tally.connections) == 40
    assert tally.skipped == 960
    assert sum(subject.gauges[Gauge.CONNECTIONS] for subject in tally.hosts) == 40


def test_what_waits_to_ripen_is_bounded_by_what_is_open(pen: Pen) -> None:
    tally = Tally(100)
    for number in range(5000):
        connection, events = pen.joined(f"c{number}", f"10.0.0.{number % 50}")
        told(tally, *events, pen.closed(connection))
    assert not tally.connections._unanswered
    assert not tally.connections._unheard


# --- chaos ---------------------------------------------------------------------------------


def check(tally: Tally) -> None:
    """The gauges are exactly what the open connections say, and each belongs together."""
    wanted = {subject.address: [0] * Gauge.COUNT for subject in tally.hosts}
    for connection in tally.connections.by_number.values():
        gauge = wanted[connection.host.address]
        gauge[Gauge.CONNECTIONS] += 1
        gauge[Gauge.HALF_OPEN] += connection.half_open
        gauge[Gauge.EXTREME] += connection.extreme
        gauge[Gauge.SILENT] += connection.silent
        assert not (connection.half_open and connection.answered)
        assert not (connection.silent and connection.spoke)
    for each in tally.hosts:  # its tries are no connections, and are counted apart
        wanted[each.address][Gauge.TRIES] = each.gauges[Gauge.TRIES]
    assert {subject.address: subject.gauges for subject in tally.hosts} == wanted
    for subject in tally.clients:
        if subject.connection is not None:
            assert subject.connection in tally.connections.by_number.values()
            assert subject.connection.client is subject
    behind = dict.fromkeys(wanted, 0)
    for subject in tally.clients:
        behind[subject.host.address] = behind.get(subject.host.address, 0) + 1
    assert all(subject.clients == behind[subject.address] for subject in tally.hosts)


@given(chaos())
def test_gauges_hold_whatever_comes_and_end_at_zero(events: list[ev.AnyEvent]) -> None:
    tally = Tally(100)
    for event in events:
        tally.connections.ripen(event.time)
        tally.count(event)
        check(tally)
    end = events[-1].time + 100.0
    tally.connections.ripen(end)
    check(tally)
    for number in list(tally.connections.by_number):
        told(tally, ev.Closed(time=end, connection=number, address="10.0.0.1"))
    check(tally)
    held = slice(0, Gauge.TRIES)  # the others hold connections, and all of these are closed
    assert not any(any(subject.gauges[held]) for subject in tally.hosts)
    assert not any(subject.connected for subject in tally.clients)
    tally.connections.ripen(end + 1000.0)
    check(tally)


@given(chaos())
def test_counts_are_never_negative_and_each_subject_is_folded_once(
    events: list[ev.AnyEvent],
) -> None:
    tally = Tally(100)
    for event in events:
        tally.count(event)
    for subjects in (tally.clients_to_fold, tally.hosts_to_fold):
        assert len(set(map(id, subjects))) == len(subjects)
        assert all(min(subject.counts or [0.0]) >= 0.0 for subject in subjects)


@pytest.mark.parametrize("seed", range(20))
def test_few_places_and_many_names_stay_within_bounds(seed: int) -> None:
    rng = random.Random(seed)
    tally, number = Tally(8), 0
    for step in range(1000):
        number += rng.random() < 0.3
        now, connection = step / 3.0, number - rng.randrange(4)
        address, client_id = f"10.0.0.{rng.randrange(30)}", f"c{rng.randrange(30)}"
        tally.connections.ripen(now)
        tally.count(anything(rng, now, connection, address, client_id))
        assert len(tally.clients) <= 8
        assert len(tally.hosts) <= 8
        assert len(tally.connections) <= 32
