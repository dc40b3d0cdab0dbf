"""What the lab's homes and attackers do, written as a capture, is what the sensor sees in it."""

import itertools
from typing import Any

import capture_tools as tools
import msgspec
import pytest

from mqtt_ids.events import AnyEvent, Connected, Refused
from mqtt_ids.lab import capture_writer as writer
from mqtt_ids.lab.draws import KINDS, draw_attack
from mqtt_ids.lab.homes import make_home, record
from mqtt_ids.sensors.capture.files import frames
from mqtt_ids.sensors.capture.sensor import Capture

START, SECONDS = 60.0, 150.0
MOST = 6000  # events


def attacked(kind: str, seed: int) -> list[AnyEvent]:
    home = make_home(seed, family="test" if seed % 2 else "train", size=5)
    attack = draw_attack(home, seed, kind=kind, start=START, duration=20.0)
    return list(itertools.islice(record(home, [attack], duration=SECONDS), MOST))


def seen(events: list[AnyEvent], *, link: int = writer.ETHERNET) -> list[AnyEvent]:
    stream = tools.pcapng(writer.frames_of(events, link=link))
    return list(Capture().read(frames(stream, "lab")))


def plain(events: list[AnyEvent]) -> list[dict[str, Any]]:
    """The events in the words that both share: numbers by first appearance, no times."""
    numbers: dict[int, int] = {}
    credentials: dict[int | None, int] = {}
    made_up: set[int] = set()
    told = []
    for event in events:
        fields = msgspec.to_builtins(event) | {"time": None}
        if isinstance(event, Connected) and event.id_was_empty:
            made_up.add(event.connection)
        if event.connection in made_up and event.client_id is not None:
            fields["client_id"] = "made up"
        if isinstance(event, Refused):
            fields["credential"] = credentials.setdefault(event.credential, len(credentials))
        fields["connection"] = numbers.setdefault(event.connection, len(numbers))
        told.append(fields)
    return told


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_the_sensor_sees_what_was_done(kind: str, seed: int) -> None:
    events = attacked(kind, seed)
    found = seen(events)
    assert plain(found) == plain(events)
    lag = found[0].time - events[0].time
    assert [one.time - lag for one in found] == pytest.approx(
        [one.time for one in events], abs=1e-5, rel=0
    )


@pytest.mark.parametrize("link", [link for link in writer.LINKS if link != writer.IPV6])
def test_every_link_layer_tells_the_same(link: int) -> None:
    events = tools.home_events(4, clients=6, seconds=120)
    assert plain(seen(events, link=link)) == plain(events)
