"""amqtt with the plugin, stopped and started: normals and accepted decisions are still there.

A normal takes half an hour to learn: so the first start finds one that was learned in made-up time.
"""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from live_broker import HOST, Broker, until
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from mqtt_ids import control
from mqtt_ids import events as ev
from mqtt_ids.detecting import CLIENTS
from mqtt_ids.detector import Detector
from mqtt_ids.errors import ControlError
from mqtt_ids.events import SEES_ALL
from mqtt_ids.models import open_model
from mqtt_ids.snapshot import Snapshot, decode, encode

pytestmark = pytest.mark.broker

USER = "family"
FILE = f"normals-{SEES_ALL.value:x}.state"
IDS = ("door", "hall")
SLOWEST = 20.0  # seconds


def calm_hours() -> Iterable[ev.Event]:
    """An hour and a half of two sensors on the loopback address."""
    for number, name in enumerate(IDS):
        base: dict[str, Any] = {"time": 0.0, "connection": number, "address": HOST}
        yield ev.Connected(**base, client_id=name, username=USER)
    for second in range(0, 5400, 30):
        for number, name in enumerate(IDS):
            yield ev.Published(
                time=float(second),
                connection=number,
                address=HOST,
                client_id=name,
                topic=f"home/{name}/{second // 30 % 2}",
                size=24,
            )


def learned_before(folder: Path) -> None:
    watcher = Detector(open_model("default"), sees=SEES_ALL)
    now = 0.0
    for event in calm_hours():
        if event.time > now:
            now = event.time
            watcher.tick(now)
        watcher.feed(event)
    taken = watcher.memories[CLIENTS].take(now)
    folder.mkdir(mode=0o700)
    snapshot = Snapshot(wall=time.time() - 60.0, parts={CLIENTS: taken})
    (folder / FILE).write_bytes(encode(snapshot))


@pytest.fixture
def broker(tmp_path: Path) -> Broker:
    learned_before(tmp_path / "state")
    return Broker(tmp_path, {USER: "secret"}, mode="observe")


def publish(broker: Broker, client_id: str, topic: str) -> None:
    """Connect as this client, say one thing, and leave."""
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id)
    client.username_pw_set(USER, "secret")
    client.connect(HOST, broker.port, bind_address=HOST)
    client.loop_start()
    client.publish(topic, "x" * 24)
    time.sleep(0.5)  # one that is refused is never acknowledged
    client.disconnect()
    client.loop_stop()


def clients(broker: Broker) -> dict[str, dict[str, Any]]:
    return {one["client_id"]: one for one in broker.ask(control.Clients())}


def spoofers(broker: Broker) -> list[str]:
    told = broker.ask(control.Incidents())
    return [one["client_id"] for one in told if one["attack"] == "spoofing"]


def restart(broker: Broker) -> None:
    assert broker.stop() in {0, 1, 130}
    broker.start()


def test_normals_and_decisions_survive_a_restart(broker: Broker) -> None:
    with broker:
        known = clients(broker)
        assert set(known) == set(IDS)
        assert all(one["learned"] for one in known.values())
        words = known["door"]["normal_in_words"]
        assert words == "publishes 2 topics every 30 s, about 24 bytes, since 1 hour"

        publish(broker, "door", "$ids/alerts")
        until(lambda: spoofers(broker) == ["door"], SLOWEST, failing="it is not told")
        (told,) = broker.ask(control.Incidents())
        answer = broker.ask(control.Accept(told["id"], 3600.0))
        assert answer["stored"]
        assert broker.ask(control.Forget("hall"))["client_id"] == "hall"
        until(lambda: "hall" not in saved(broker), SLOWEST, failing="it is not forgotten for good")

        restart(broker)
        known = clients(broker)
        assert set(known) == {"door"}
        assert known["door"]["learned"]
        assert [one["incident"] for one in broker.ask(control.Accepted())] == [told["id"]]

        publish(broker, "door", "$ids/alerts")
        publish(broker, "hall", "$ids/alerts")
        until(lambda: spoofers(broker) == ["hall", "door"], SLOWEST, failing="hall is not told of")

        broker.ask(control.Accept(told["id"], undo=True))
        restart(broker)
        assert broker.ask(control.Accepted()) == []


def saved(broker: Broker) -> list[str]:
    keys: list[str] = decode((broker.state / FILE).read_bytes()).parts[CLIENTS].clients.keys
    return keys


def test_who_is_killed_takes_up_the_last_snapshot(broker: Broker) -> None:
    with broker:
        broker.__exit__()
        broker.start()
        assert all(one["learned"] for one in clients(broker).values())
        with pytest.raises(ControlError, match="there is no client 'nobody'"):
            broker.ask(control.Forget("nobody"))


def test_a_file_that_is_damaged_is_set_aside_in_one_line(broker: Broker) -> None:
    file = broker.state / FILE
    file.write_bytes(file.read_bytes()[:-1])
    with broker:
        assert clients(broker) == {}
        log = broker.log.read_text(encoding="utf-8")
        assert log.count("set aside as") == 1
        assert "Traceback" not in log
