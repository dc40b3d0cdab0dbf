"""Facts as signs, and the two that show by waiting: the new and the silent."""

import pytest
from core_tools import Pen

from mqtt_ids.facts import Fact, FactKind
from mqtt_ids.habits import RHYTHM_GAPS
from mqtt_ids.notes import NEW_AFTER, Notes, sign
from mqtt_ids.tally import Tally


class Listener:
    """A tally and its notes, ticked once a second."""

    def __init__(self) -> None:
        self.tally, self.notes, self.pen = Tally(100), Notes(), Pen()
        self.facts: list[Fact] = []

    def join(self, client_id: str, *, keep_alive: int = 60) -> int:
        connection, events = self.pen.joined(client_id, keep_alive=keep_alive)
        for event in events:
            self.tally.count(event)
        return connection

    def wait(self, seconds: float) -> list[Fact]:
        """What is noted in the next `seconds`."""
        before = len(self.facts)
        for _ in range(int(seconds)):
            self.pen.wait(1.0)
            self.facts += self.notes.tick(self.tally, self.pen.now)
        return self.facts[before:]

    def publish(self, connection: int, times: int, every: float) -> None:
        for _ in range(times):
            self.wait(every)
            self.tally.count(self.pen.published(connection))

    def pour(self, connection: int, times: int, every: float) -> None:
        """Publish faster than once a second."""
        for _ in range(times):
            self.pen.wait(every)
            self.tally.count(self.pen.published(connection))


@pytest.mark.parametrize("kind", list(FactKind))
def test_every_fact_is_a_sign_and_certain(kind: FactKind) -> None:
    fact = Fact(kind=kind, time=7.0, address="10.0.0.1", client_id="c", username="u", text="does")
    told = sign(fact)
    assert (told.time, told.first_seen, told.confidence, told.score) == (7.0, 7.0, 1.0, None)
    assert (told.client_id, told.username, told.address) == ("c", "u", "10.0.0.1")
    assert told.clients == ("c",)
    assert [reason.text for reason in told.reasons] == ["does"]
    harmless = {FactKind.NEW_CLIENT, FactKind.SILENCE, FactKind.STALE_PASSWORD}
    assert (told.severity == "info") == (kind in harmless | {FactKind.FIRST_WIDE_FILTER})


def test_a_fact_about_nobody_in_particular_names_nobody() -> None:
    fact = Fact(kind=FactKind.IDS_TOPIC, time=7.0, address="10.0.0.1", client_id=None, text="does")
    assert (sign(fact).client_id, sign(fact).clients) == (None, ())
    assert sign(fact).whole_host


def test_who_is_there_when_the_watch_begins_is_no_news_and_who_comes_later_is() -> None:
    listener = Listener()
    listener.join("old")
    assert listener.wait(NEW_AFTER + 1) == []
    listener.join("new")
    (fact,) = listener.wait(2)
    assert (fact.kind, fact.client_id) == (FactKind.NEW_CLIENT, "new")
    assert listener.wait(100) == []


def test_a_steady_client_that_stops_is_silent_and_told_once() -> None:
    listener = Listener()
    connection = listener.join("sensor")
    listener.publish(connection, RHYTHM_GAPS + 5, every=30.0)
    assert listener.wait(89) == []
    (fact,) = listener.wait(30)
    assert (fact.kind, fact.client_id, fact.usual) == (FactKind.SILENCE, "sensor", 30.0)
    assert fact.observed is not None
    assert fact.observed > 90.0
    assert f"{fact.observed:.0f} s" in fact.text
    assert listener.wait(500) == []
    listener.publish(connection, 100, every=30.0)
    assert [again.kind for again in listener.wait(300)] == [FactKind.SILENCE]


def test_silence_is_longer_than_the_keep_alive() -> None:
    listener = Listener()
    connection = listener.join("sensor", keep_alive=600)
    listener.publish(connection, RHYTHM_GAPS + 5, every=10.0)
    assert listener.wait(890) == []
    assert len(listener.wait(30)) == 1


def test_who_publishes_when_it_likes_is_never_silent() -> None:
    listener = Listener()
    connection = listener.join("button")
    for number in range(40):
        listener.publish(connection, 1, every=1.0 if number % 2 else 60.0)
    assert listener.wait(2000) == []


def test_a_burst_is_no_rhythm() -> None:
    listener = Listener()
    connection = listener.join("controller", keep_alive=10)
    listener.pour(connection, 3 * RHYTHM_GAPS, every=0.02)
    assert listener.wait(2000) == []


def test_a_client_that_never_pauses_is_silent_too_when_it_stops() -> None:
    listener = Listener()
    connection = listener.join("meter", keep_alive=10)
    listener.pour(connection, 5 * RHYTHM_GAPS, every=0.3)
    assert [fact.kind for fact in listener.wait(60)] == [FactKind.SILENCE]


def test_who_has_no_rhythm_yet_is_never_silent() -> None:
    listener = Listener()
    connection = listener.join("sensor")
    listener.publish(connection, RHYTHM_GAPS - 1, every=10.0)
    assert listener.wait(2000) == []


def test_the_silent_that_are_forgotten_are_forgotten_here_too() -> None:
    listener = Listener()
    connection = listener.join("sensor")
    listener.publish(connection, RHYTHM_GAPS + 5, every=10.0)
    assert len(listener.wait(200)) == 1
    listener.tally.count(listener.pen.closed(connection))
    listener.tally.clients.remove("sensor")
    listener.wait(20)
    assert not listener.notes._silent
