"""Who is tracked: bounded, and made-up ids never push out who is connected."""

from core_tools import ROUTER, Pen
from hypothesis import given
from hypothesis import strategies as st

from mqtt_ids.registry import Registry
from mqtt_ids.subjects import ClientSubject, HostSubject
from mqtt_ids.tally import Tally


def registry(limit: int) -> tuple[Registry[HostSubject], list[str]]:
    forgotten: list[str] = []
    hosts: Registry[HostSubject] = Registry(limit, lambda host: forgotten.append(host.address))
    return hosts, forgotten


def add(hosts: Registry[HostSubject], address: str) -> HostSubject | None:
    return hosts.add(address, lambda row: HostSubject(address, row, 0.0))


def test_the_longest_unseen_makes_room() -> None:
    hosts, forgotten = registry(3)
    for address in "abc":
        add(hosts, address)
    hosts.touch("a")
    add(hosts, "d")
    assert forgotten == ["b"]
    assert [host.address for host in hosts] == ["c", "a", "d"]


def test_who_is_connected_never_makes_room() -> None:
    hosts, forgotten = registry(3)
    for address in "abc":
        host = add(hosts, address)
        assert host is not None
        host.gauges[0] = 1
    assert add(hosts, "d") is None
    assert (forgotten, len(hosts)) == ([], 3)


def test_a_freed_row_is_used_again_and_only_once() -> None:
    hosts, _ = registry(10)
    for address in "abc":
        add(hosts, address)
    gone = hosts.remove("b")
    assert gone is not None
    assert not gone.tracked
    assert hosts.remove("b") is None
    rows = [host.row for host in (add(hosts, "d"), add(hosts, "e")) if host is not None]
    assert rows == [1, 3]


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=120))
def test_rows_are_unique_and_within_the_limit(steps: list[tuple[int, bool]]) -> None:
    hosts, forgotten = registry(8)
    added = 0
    for number, connected in steps:
        known = hosts.get(f"h{number}")
        if known is None:
            known = add(hosts, f"h{number}")
            added += known is not None
        if known is not None:
            known.gauges[0] = int(connected)
    rows = [host.row for host in hosts]
    assert len(set(rows)) == len(rows) == len(hosts) <= 8
    assert all(row < 8 for row in rows)
    assert added == len(hosts) + len(forgotten)


def test_every_has_each_row_once_in_nth_ticks() -> None:
    hosts, _ = registry(100)
    for number in range(37):
        add(hosts, f"h{number}")
    seen = [host.address for tick in range(10) for host in hosts.every(tick, 10)]
    assert sorted(seen) == sorted(f"h{number}" for number in range(37))


def crowd(tally: Tally, pen: Pen, count: int, address: str) -> None:
    """Made-up ids from one address, each on a connection that it closes at once."""
    for number in range(count):
        connection, events = pen.joined(f"made-up-{address}-{number}", address)
        for event in (*events, pen.closed(connection)):
            tally.count(event)
        tally.clients_to_fold.clear()
        tally.hosts_to_fold.clear()


def test_a_thousand_ids_of_one_host_cannot_push_out_the_calm() -> None:
    tally, pen = Tally(100), Pen()
    calm = [f"sensor-{number}" for number in range(60)]
    for number, name in enumerate(calm):
        connection, events = pen.joined(name, f"192.168.1.{number}")
        for event in (*events, pen.closed(connection)):
            tally.count(event)
    crowd(tally, pen, 1000, "10.0.0.66")
    assert all(tally.clients.get(name) for name in calm)
    assert len(tally.clients) == 60 + 25
    assert tally.skipped == 1000 - 25


def test_ids_from_many_hosts_cannot_push_out_the_connected() -> None:
    tally, pen = Tally(100), Pen()
    calm = [f"sensor-{number}" for number in range(60)]
    for number, name in enumerate(calm):
        for event in pen.joined(name, f"192.168.1.{number}")[1]:
            tally.count(event)
    for host in range(300):
        crowd(tally, pen, 5, f"10.0.{host}.66")
    assert all(tally.clients.get(name) for name in calm)
    assert all(tally.hosts.get(f"192.168.1.{number}") for number in range(60))
    assert (len(tally.clients), len(tally.hosts)) == (100, 100)


def test_who_was_seen_just_now_outlives_who_was_not() -> None:
    tally, pen = Tally(8), Pen()
    for name in ("old", "b", "c", "d"):
        connection, events = pen.joined(name, f"10.0.0.{name}")
        for event in (*events, pen.closed(connection)):
            tally.count(event)
    tally.clients_to_fold.clear()
    for client in tally.clients:
        client.counts = None  # as after a fold
    connection, events = pen.joined("old", "10.0.0.old")
    for event in (*events, pen.closed(connection)):
        tally.count(event)
    for number in range(5):
        crowd(tally, pen, 1, f"10.6.{number}.6")
    assert tally.clients.get("old") is not None
    assert tally.clients.get("b") is None


def test_a_quota_counts_the_clients_where_they_were_seen_last() -> None:
    tally, pen = Tally(100), Pen()
    for address in ("10.0.0.1", "10.0.0.2", "10.0.0.1", "10.0.0.2"):
        connection, events = pen.joined("roamer", address)
        for event in (*events, pen.closed(connection)):
            tally.count(event)
    counts = {host.address: host.clients for host in tally.hosts}
    assert counts == {"10.0.0.1": 0, "10.0.0.2": 1}


def test_a_tool_with_ever_new_ids_leaves_room_for_a_device_behind_its_address() -> None:
    tally, pen = Tally(100), Pen()
    for number in range(10):
        connection, events = pen.joined(f"sleeper-{number}", ROUTER)
        pen.wait(600.0)
        for event in (*events, pen.closed(connection)):
            tally.count(event)
    for number in range(100):
        pen.wait(60.0)
        connection, events = pen.joined(f"tool-{number}", ROUTER)
        for event in (*events, pen.closed(connection)):
            tally.count(event)
    for event in pen.joined("device", ROUTER)[1]:
        tally.count(event)
    assert tally.clients.get("device") is not None
    assert all(tally.clients.get(f"sleeper-{number}") for number in range(10))
    assert len(tally.clients) == 25


def test_a_credential_is_remembered_among_the_last_few() -> None:
    host = HostSubject(ROUTER, 0, 0.0)
    assert [host.tried(credential, 0.0) for credential in (1, 2, 1, 2, 3)] == [
        False, False, True, True, False,
    ]  # fmt: skip
    for credential in range(100, 104):
        assert not host.tried(credential, 0.0)
    assert not host.tried(1, 0.0), "long ago"


def test_a_rhythm_is_the_mean_interval_and_its_spread() -> None:
    client = ClientSubject("c", HostSubject(ROUTER, 0, 0.0), 0, 0.0)
    for number in range(200):
        client.keep_rhythm(30.0 * number + (number % 2))
    assert client.gaps == 199
    assert abs(client.gap - 30.0) < 0.5
    assert 0.5 < client.gap_spread < 1.5
