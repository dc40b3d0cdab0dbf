"""An engine that comes to see other things than before: nothing stays open by mistake."""

import asyncio
import json
from pathlib import Path

from mqtt_ids.events import SENSORS, Connected, Opened, Published
from mqtt_ids.hands.hands import Hands
from mqtt_ids.run import Engine
from mqtt_ids.settings import Settings
from mqtt_ids.sidecar.eyes import STEADY, View, open_eyes

HOST = "10.0.0.66"


def publish(topic: str, now: float) -> Published:
    return Published(time=now, connection=7, address=HOST, client_id="x", topic=topic, size=1)


def test_more_is_seen_at_once_and_less_only_when_it_stays_so() -> None:
    view = View()
    assert view.sees == SENSORS["log"]
    assert view.look(SENSORS["debug-log"], 1.0)
    assert not view.look(SENSORS["debug-log"], 2.0)
    assert not view.look(SENSORS["log"], 3.0)
    assert not view.look(SENSORS["debug-log"], 4.0)  # it was but a moment
    assert not view.look(SENSORS["log"], 5.0)
    assert not view.look(SENSORS["log"], 4.9 + STEADY)
    assert view.look(SENSORS["log"], 5.0 + STEADY)
    assert view.sees == SENSORS["log"]


def test_what_is_open_is_closed_when_the_detector_changes(tmp_path: Path) -> None:
    told: list[tuple[str, bytes]] = []
    now = 100.0
    engine = Engine(
        Settings.from_mapping({"state_dir": str(tmp_path / "state")}),
        sensor="mosquitto",
        sees=SENSORS["log"],
        actuator=Hands(publish=lambda _topic, _data: None, own_username=None),
        publish=lambda topic, data, _retain: told.append((topic, data)),
        clock=lambda: now,
        make_detector=open_eyes,
    )

    def alerts() -> list[dict[str, object]]:
        return [json.loads(data) for topic, data in told if topic == "$ids/alerts"]

    async def scene() -> None:
        nonlocal now
        await engine.start()
        engine.feed(Opened(time=now, connection=7, address=HOST))
        engine.feed(Connected(time=now, connection=7, address=HOST, client_id="x"))
        engine.feed(publish("$ids/alerts", now))
        now += 2.0
        engine.feed(publish("a", now))
        assert [(a["state"], a["attack"], a["severity"]) for a in alerts()] == [
            ("open", "spoofing", "high")
        ]
        engine.look_again(SENSORS["log"])  # nothing new
        assert len(alerts()) == 1
        engine.look_again(SENSORS["debug-log"])
        assert alerts()[-1]["state"] == "closed"
        assert alerts()[-1]["id"] == alerts()[0]["id"]
        assert not alerts()[-1]["active"]
        await engine.stop()

    asyncio.run(scene())
