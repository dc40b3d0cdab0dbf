"""Who owns a topic, and what a client has used: bounded, and hard to take from others."""

from hypothesis import given
from hypothesis import strategies as st

from mqtt_ids.topics import ALIVE_FOR, EXPIRES_AFTER, OWNED_AFTER, Owner, Sieve, Topics

HOUR = 3600.0


def used(topics: Topics, topic: str, now: float) -> None:
    """A publish by the owner, as the tally notes it."""
    owner = topics.owner(topic)
    assert owner is not None
    owner.last = now
    owner.count += 1


def test_the_first_who_publishes_owns() -> None:
    topics = Topics(100)
    topics.claim("t", "thermometer", "10.0.0.1", 5.0)
    owner = topics.owner("t")
    assert owner is not None
    assert (owner.client, owner.host) == ("thermometer", "10.0.0.1")
    assert (owner.since, owner.last, owner.count) == (5.0, 5.0, 1)
    assert topics.owner("u") is None


def test_an_owner_is_defended_when_settled_alive_and_alone() -> None:
    owner = Owner("c", "h", 0.0)
    owner.count, owner.last = 100, OWNED_AFTER - 1.0
    assert not owner.defended(OWNED_AFTER - 1.0), "too new"
    owner.last = OWNED_AFTER
    assert owner.defended(OWNED_AFTER)
    assert owner.defended(OWNED_AFTER + ALIVE_FOR)
    assert not owner.defended(OWNED_AFTER + ALIVE_FOR + 1.0), "long gone"
    owner.shared = True
    assert not owner.defended(OWNED_AFTER), "shared"


def test_an_owner_that_publishes_seldom_is_defended_longer() -> None:
    owner = Owner("c", "h", 0.0)
    owner.count, owner.last = 10, 10 * HOUR
    assert owner.defended(owner.last + 2.9 * HOUR)
    assert not owner.defended(owner.last + 3.1 * HOUR)


def test_a_host_owns_a_quarter_at_most() -> None:
    topics = Topics(1000)
    for number in range(2000):
        topics.claim(f"spray/{number}", "sprayer", "10.0.0.66", float(number))
    assert len(topics) == 250
    topics.claim("mine", "c", "10.0.0.1", 3000.0)
    assert topics.owner("mine") is not None


def test_a_small_broker_still_lets_a_host_own_some() -> None:
    topics = Topics(80)
    for number in range(100):
        topics.claim(f"t/{number}", "c", "10.0.0.1", 0.0)
    assert len(topics) == 64


def test_never_more_than_the_limit_and_what_was_much_used_stays() -> None:
    topics = Topics(1000)
    for number in range(40):
        topics.claim(f"calm/{number}", "c", f"10.0.1.{number}", 0.0)
        for second in range(20):
            used(topics, f"calm/{number}", float(second))
    for number in range(20_000):
        now = 20.0 + number / 100.0
        topics.claim(f"spray/{number}", f"a{number}", f"10.6.{number % 50}.6", now)
        assert len(topics) <= 1000
    assert all(topics.owner(f"calm/{number}") for number in range(40))


def test_a_quota_is_given_back_when_a_topic_is_forgotten() -> None:
    topics = Topics(256)
    for number in range(64):
        topics.claim(f"old/{number}", "c", "10.0.0.1", 0.0)
    topics.expire(EXPIRES_AFTER)
    assert len(topics) == 0
    for number in range(64):
        topics.claim(f"new/{number}", "c", "10.0.0.1", EXPIRES_AFTER)
    assert len(topics) == 64


def test_only_what_nobody_used_for_a_week_expires() -> None:
    topics = Topics(100)
    for name in ("a", "b", "c"):
        topics.claim(name, "c", "h", 0.0)
    used(topics, "b", 10.0)
    topics.expire(EXPIRES_AFTER - 1.0)
    assert len(topics) == 3
    topics.expire(EXPIRES_AFTER + 1.0)
    assert [name for name in "abc" if topics.owner(name)] == ["b"]


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 5)), max_size=300))
def test_quotas_always_add_up(claims: list[tuple[int, int]]) -> None:
    topics = Topics(70)
    for now, (topic, host) in enumerate(claims):
        if topics.owner(f"t{topic}") is None:
            topics.claim(f"t{topic}", "c", f"h{host}", float(now))
    assert sum(topics._per_host.values()) == len(topics) <= 70
    assert all(count > 0 for count in topics._per_host.values())


@given(st.lists(st.text(max_size=30), max_size=100))
def test_a_sieve_never_forgets(topics: list[str]) -> None:
    sieve = Sieve()
    for topic in topics:
        sieve.add(topic)
    assert not any(sieve.add(topic) for topic in topics)


def test_a_sieve_knows_the_new_from_the_old_for_a_device_of_many_topics() -> None:
    sieve = Sieve()
    new = sum(sieve.add(f"home/plug/{number}/power") for number in range(100))
    assert new >= 95


def test_a_sieve_takes_topics_that_are_no_proper_text() -> None:
    assert Sieve().add("broken \ud800 surrogate")
