"""What a person accepted is calm: of this client, in this feature, up to this level."""

import math
from collections.abc import Callable

import pytest
from core_tools import Pen
from detector_tools import detector, watched
from hypothesis import given
from hypothesis import strategies as st

from mqtt_ids import events as ev
from mqtt_ids.acceptance import Acceptance
from mqtt_ids.accepted import MARGIN, Accepted, facts, levels, words
from mqtt_ids.alerts import Alert
from mqtt_ids.feature_table import FEATURES, NAMES
from mqtt_ids.models import open_model

CALM_FOR = 3000


class Home:
    """Four sensors that publish once a minute; `door` and `hall` may turn."""

    def __init__(self) -> None:
        self.pen = Pen()
        self.detector = detector(open_model("default"))
        self.numbers: dict[str, int] = {}
        for place, name in enumerate(("door", "hall", "bath", "roof")):
            number, events = self.pen.joined(name, f"192.168.1.{20 + place}")
            self.numbers[name] = number
            watched(self.detector, events)

    def live(self, seconds: int, *, turned: Callable[[], list[ev.Event]] = list) -> list[Alert]:
        """What is told while so much time passes, and `turned` happens every second."""
        began = self.pen.now
        events: list[ev.Event] = []
        for second in range(seconds):
            self.pen.wait(1.0)
            for place, (name, number) in enumerate(self.numbers.items()):
                if (second + 13 * place) % 60 == 0:
                    events.append(self.pen.published(number, f"home/{name}", 24))
            events += turned()
        return watched(self.detector, events, start=began, until=self.pen.now)

    def publishes(self, name: str, times: int) -> Callable[[], list[ev.Event]]:
        number, topic = self.numbers[name], f"home/{name}"
        return lambda: [self.pen.published(number, topic, 24) for _ in range(times)]

    def accept(self, alert: Alert) -> None:
        self.detector.accepted = Accepted([acceptance(alert)])


def acceptance(alert: Alert) -> Acceptance:
    observed = [(r.feature, r.observed) for r in alert.reasons if r.observed is not None]
    return Acceptance(
        incident=alert.id,
        attack=alert.attack,
        at=0.0,
        until=None,
        client_id=alert.client_id,
        address=alert.address,
        levels=levels(observed),
        facts=facts(reason.feature for reason in alert.reasons),
    )


def alarms(told: list[Alert]) -> list[tuple[str, str | None]]:
    return [(a.attack, a.client_id) for a in told if a.severity != "info" and a.state == "open"]


@pytest.fixture(scope="module")
def accepted() -> Home:
    """A home in which the door was found to publish twenty times a second, and that was fine."""
    home = Home()
    assert alarms(home.live(CALM_FOR)) == []
    told = home.live(120, turned=home.publishes("door", 20))
    assert {client for _, client in alarms(told)} == {"door"}
    last = [alert for alert in told if alert.reasons][-1]
    home.accept(last)
    home.live(180)
    return home


def test_what_was_accepted_is_calm(accepted: Home) -> None:
    assert alarms(accepted.live(300, turned=accepted.publishes("door", 20))) == []
    row = accepted.detector.watch.tally.clients.get("door")
    assert row is not None
    accepted.live(180)


def test_ten_times_as_much_was_not_accepted(accepted: Home) -> None:
    told = accepted.live(30, turned=accepted.publishes("door", 200))
    assert {client for _, client in alarms(told)} == {"door"}
    accepted.live(180)


def test_nor_is_it_of_another_client(accepted: Home) -> None:
    told = accepted.live(120, turned=accepted.publishes("hall", 20))
    assert {client for _, client in alarms(told)} == {"hall"}
    accepted.live(180)


def test_nor_is_anything_else_of_this_one(accepted: Home) -> None:
    number = accepted.numbers["door"]

    def sprays() -> list[ev.Event]:
        return [accepted.pen.malformed(number)]

    told = accepted.live(30, turned=sprays)
    assert ("malformed", "door") in alarms(told)
    accepted.live(180)


def test_a_fact_is_accepted_of_one_client() -> None:
    home = Home()
    home.live(60)

    def speaks(name: str) -> list[Alert]:
        number = home.numbers[name]
        said: list[list[ev.Event]] = [[home.pen.published(number, "$ids/alerts")]]
        return home.live(3, turned=lambda: said.pop() if said else [])

    (alert,) = (a for a in speaks("door") if a.attack == "spoofing")
    home.accept(alert)
    home.live(90)
    assert alarms(speaks("door")) == []
    assert alarms(speaks("hall")) == [("spoofing", "hall")]


@given(st.sampled_from(NAMES), st.floats(0.01, 1e6))
def test_levels_are_above_what_was_seen_and_only_for_what_is_alike(name: str, seen: float) -> None:
    wide = levels([(name, seen)])
    assert wide[name] >= MARGIN * seen * 0.999
    assert all(math.isfinite(level) and level > 0.0 for level in wide.values())
    counted = next(one for one in FEATURES if one.name == name)
    if counted.window is None:
        assert set(wide) == {name}


def test_a_feature_that_is_no_more_is_ignored() -> None:
    assert levels([("gone_with_an_old_model", 5.0)]) == {}
    assert not Accepted(
        [
            Acceptance(
                incident="i",
                attack="flood",
                at=0.0,
                until=None,
                client_id="c",
                address=None,
                levels={"gone_with_an_old_model": 5.0},
                facts=(),
            )
        ]
    )


def test_it_is_told_in_words() -> None:
    wide = levels([("publish_rate_10s", 20.0)])
    assert words(wide, ("takeover",)) == [
        "publishes 40 messages/s",
        "publishes 40 messages/s on one topic",
        "publishes 40 messages/s",
        "takeover",
    ]
