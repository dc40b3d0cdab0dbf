"""With a hundred clients beside it, all outlets on, and after an attack, memory stays small."""

import logging
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from live_attacks import alarms, alerts
from live_broker import HOST, free_port, until
from live_home import dos, flood
from live_tools import Listener, Stage
from mosquitto_broker import Mosquitto, needs_mosquitto
from outlet_tools import scrape
from sidecar_tools import Agent

from mqtt_ids.lab.actions import Actor, Clock, Connect, Lost, Open, Publish, Script
from mqtt_ids.readers import HostPort

pytestmark = [pytest.mark.broker, pytest.mark.slow, needs_mosquitto]

log = logging.getLogger(__name__)

CLIENTS: Final = 100
MOST: Final = 90.0  # MB
LIVES: Final = 8.0  # seconds that they do so before the attacks
TOLD_WITHIN: Final = 10.0  # seconds
GOES_ON: Final = 5.0  # seconds that the attacks go on after the first is told
METRICS: Final = HostPort(HOST, free_port())
LOUD_AT, MANY_AT = "127.0.1.1", "127.0.1.3"


def sensor(number: int) -> Actor:
    """A client that publishes each two seconds, on one of three topics."""
    hello = Connect(f"sensor-{number}")
    topics = [f"house/{number}/{what}" for what in ("temperature", "humidity", "battery")]

    def script(_clock: Clock, rng: random.Random) -> Script:
        yield Open()
        yield hello
        while type((yield rng.uniform(1.5, 2.5))) is not Lost:
            yield Publish(rng.choice(topics), 40)

    address = f"127.0.{10 + number // 50}.{1 + number % 50}"
    return Actor(name=hello.client_id, address=address, script=script, seed=hello.client_id)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[tuple[Mosquitto, Agent]]:
    lines = ("allow_anonymous true", "log_dest topic")
    with (
        Mosquitto(tmp_path, *lines, file_log=True) as broker,
        Agent(
            tmp_path / "a",
            broker.url,
            log=broker.log,
            export={"file": str(tmp_path / "a" / "alerts.jsonl"), "format": "ocsf"},
            metrics=str(METRICS),
        ) as agent,
    ):
        yield broker, agent


def test_memory_with_a_hundred_clients_and_under_attack(agent: tuple[Mosquitto, Agent]) -> None:
    broker, ours = agent
    ours.ready()
    with Listener(broker.port, ("", "")) as ear, Stage(broker.port) as stage:
        stage.play(map(sensor, range(CLIENTS)))
        until(lambda: ours.status().get("clients", 0) >= CLIENTS, TOLD_WITHIN, failing="clients")
        time.sleep(LIVES)
        calm = ours.memory("VmRSS")
        began = time.monotonic()
        assert alarms(alerts(ear)) == []
        stage.play([*flood(LOUD_AT), *dos(MANY_AT)])
        until(lambda: alarms(alerts(ear), began), TOLD_WITHIN, failing="no alarm")
        assert scrape(METRICS)[0] == 200
        time.sleep(GOES_ON)
        after, peak = ours.memory("VmRSS"), ours.memory("VmHWM")
    log.info("%d clients: %.1f MB, after attacks %.1f MB, peak %.1f MB", CLIENTS, calm, after, peak)
    assert peak <= MOST
    assert ours.stop() == 0
