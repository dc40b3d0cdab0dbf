"""What is made of refused log-ins and of silence where no source shows passwords or packets."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from mqtt_ids.alerts import Alert
from mqtt_ids.events import SENSORS, AnyEvent, Closed, Connected, Opened, Refused
from mqtt_ids.settings import Settings
from mqtt_ids.sidecar.eyes import open_eyes
from mqtt_ids.sidecar.guesses import ENOUGH, HASTE, MOST, Guesses

AT = "192.0.2.9"
LOGS = ("debug-log", "log")


def refused(time: float, *, address: str = AT, code: int = 5, connection: int = 1) -> Refused:
    return Refused(time=time, connection=connection, address=address, port=1, code=code)


def numbers(guesses: Guesses, gap: float, count: int, address: str = AT) -> list[int | None]:
    return [guesses.numbered(refused(gap * n, address=address)).credential for n in range(count)]


def test_who_is_refused_faster_than_a_device_guesses_each_time() -> None:
    assert numbers(Guesses(), HASTE / ENOUGH, 8) == [0, 0, 0, 0, 1, 2, 3, 4]


def test_who_is_refused_as_slowly_as_a_device_tries_the_same_again() -> None:
    assert numbers(Guesses(), HASTE / (ENOUGH - 1) + 0.01, 100) == [0] * 100


def test_each_address_has_a_pace_of_its_own() -> None:
    guesses = Guesses()
    pairs = [
        guesses.numbered(refused(n * 1.1, address=f"192.0.2.{n % 2}")).credential for n in range(40)
    ]
    assert pairs == [0] * 40


@pytest.mark.parametrize("code", [1, 2, 3, 0x84])
def test_what_is_refused_for_something_else_is_no_guess(code: int) -> None:
    event = refused(0.0, code=code)
    assert Guesses().numbered(event) is event


def test_addresses_are_bounded() -> None:
    guesses = Guesses()
    for n in range(MOST + 100):
        guesses.numbered(refused(0.0, address=f"2001:db8::{n:x}"))
    assert len(guesses._series) == MOST


def told(sensor: str, events: Iterator[AnyEvent], seconds: int) -> list[Alert]:
    """All alerts about these events, in the eyes of such a source."""
    eyes = open_eyes(Settings(), SENSORS[sensor])
    alerts: list[Alert] = []
    event = next(events)
    for now in range(1, seconds):
        while event.time < now:
            eyes.feed(event)
            event = next(events)
        alerts += eyes.tick(float(now))
    return alerts


def tries(gap: float) -> Iterator[AnyEvent]:
    rng = random.Random(7)
    time, number = 0.0, 0
    while True:
        number += 1
        who: dict[str, Any] = {"time": time, "connection": number, "address": AT, "port": number}
        yield Opened(**who)
        yield refused(time, connection=number)
        yield Closed(**who, by="broker")
        time += gap * rng.uniform(0.9, 1.1)


@pytest.mark.parametrize("sensor", LOGS)
@pytest.mark.parametrize("gap", [0.2, 1.0, 1.5])
def test_guessing_is_told_in_time(sensor: str, gap: float) -> None:
    first = next(alert for alert in told(sensor, tries(gap), 30) if alert.severity != "info")
    assert (first.attack, first.address) == ("brute-force", AT)
    assert first.time <= 12.0
    assert not any("password" in reason.text for reason in first.reasons)


@pytest.mark.parametrize("sensor", LOGS)
@pytest.mark.parametrize("gap", [2.5, 30.0])
def test_a_device_with_an_old_password_is_a_note(sensor: str, gap: float) -> None:
    alerts = told(sensor, tries(gap), 200)
    assert {(alert.attack, alert.severity) for alert in alerts} == {("login-failing", "info")}
    assert "no log shows" in alerts[0].reasons[0].text


def test_many_behind_one_address_who_publish_unseen_are_calm() -> None:
    """As after the broker's restart, with what Debian's log shows by default."""

    def house() -> Iterator[AnyEvent]:
        for n in range(60):
            who: dict[str, Any] = {"time": 5.0 + n / 20, "connection": n, "address": AT, "port": n}
            yield Opened(**who)
            yield Connected(**who, client_id=f"container-{n}")
        while True:
            yield Closed(time=1e9, connection=1, address=AT)

    assert told("log", house(), 120) == []
