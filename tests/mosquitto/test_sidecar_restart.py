"""Beside Mosquitto: who was known before the agent was killed is known after it."""

from pathlib import Path

import pytest
from live_broker import HOST, until
from mosquitto_broker import Mosquitto, needs_mosquitto
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from sidecar_tools import WITHIN, Agent

from mqtt_ids import control
from mqtt_ids.errors import ControlError

pytestmark = [pytest.mark.broker, needs_mosquitto]


def visit(broker: Mosquitto, client_id: str) -> None:
    """Come, say something, and go."""
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id)
    client.connect(HOST, broker.port)
    client.loop_start()
    client.publish(f"home/{client_id}", "x").wait_for_publish(WITHIN)
    client.disconnect()
    client.loop_stop()


def known(agent: Agent) -> set[str]:
    try:
        return {one["client_id"] for one in agent.ask(control.Clients())}
    except ControlError:
        return set()


def snapshots(agent: Agent) -> set[str]:
    return {file.name for file in agent.state.glob("normals-*.state")}


def test_who_was_known_is_known_after_a_kill(tmp_path: Path) -> None:
    with (
        Mosquitto(tmp_path, "allow_anonymous true", "log_type all", file_log=True) as broker,
        Agent(tmp_path / "agent", broker.url, log=broker.log) as agent,
    ):
        agent.ready()
        visit(broker, "door")
        visit(broker, "hall")
        until(lambda: {"door", "hall"} <= known(agent), WITHIN, failing="it does not see them")
        agent.ask(control.Forget("hall"))
        until(lambda: snapshots(agent), WITHIN, failing="nothing is written")
        agent.kill()
        broker.log.write_bytes(b"")  # nothing to learn from what was before
        agent.start()
        until(lambda: "door" in known(agent), WITHIN, failing="the door is forgotten")
        assert "hall" not in known(agent)
        assert "set aside" not in agent.told
        assert "known from before" in agent.told_now
