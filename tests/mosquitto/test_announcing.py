"""Our device at a real Mosquitto: what is retained there, what a birth brings, what goes away."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from agent_link import Agent
from live_broker import until
from mosquitto_broker import Mosquitto, needs_mosquitto
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

pytestmark = [pytest.mark.broker, pytest.mark.timeout(60), needs_mosquitto]

WITHIN = 10.0


class Home:
    """What Home Assistant's own client sees: the newest of each discovery topic, and how many."""

    def __init__(self, port: int) -> None:
        self.configs: dict[str, bytes] = {}
        self.received = 0
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="home")
        self._client.on_message = self._take
        self._client.connect("127.0.0.1", port)
        self._client.subscribe("homeassistant/#", qos=1)
        self._client.loop_start()

    def _take(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        if message.topic.endswith("/config"):
            self.configs[message.topic] = bytes(message.payload)
            self.received += 1

    def says_online(self) -> None:
        self._client.publish("homeassistant/status", b"online").wait_for_publish(WITHIN)

    def known(self) -> int:
        return sum(map(bool, self.configs.values()))

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as broker:
        yield broker


def test_announced_again_on_a_birth_and_gone_when_withdrawn(broker: Mosquitto) -> None:
    with Agent(broker.url) as agent:
        until(lambda: agent.link.online and not agent.link.waiting, WITHIN, failing="not online")
        home = Home(broker.port)  # which comes later, and finds what is retained
        until(lambda: home.known() == 7, WITHIN, failing=f"{home.configs}")
        before = home.received
        home.says_online()
        until(lambda: home.received == before + 7, WITHIN, failing="no answer to the birth")
        agent.release()
        until(lambda: home.known() == 0, WITHIN, failing=f"{home.configs}")
        home.stop()
    late = Home(broker.port)
    assert not until(lambda: late.received, 0.5), "something is still retained"
    late.stop()


def test_another_form_takes_the_place_of_the_first(broker: Mosquitto) -> None:
    home = Home(broker.port)
    with Agent(broker.url):
        until(lambda: home.known() == 7, WITHIN, failing=f"{home.configs}")
    with Agent(broker.url, form="device"):
        until(lambda: home.known() == 1, WITHIN, failing=f"{home.configs}")
    with Agent(broker.url):
        until(lambda: home.known() == 7, WITHIN, failing=f"{home.configs}")
    home.stop()


def test_announced_anew_to_a_broker_that_has_forgotten(broker: Mosquitto) -> None:
    with Agent(broker.url) as agent:
        until(lambda: agent.link.online and not agent.link.waiting, WITHIN, failing="not online")
        broker.kill()
        broker.start()  # nothing was kept
        home = Home(broker.port)
        until(lambda: home.known() == 7, WITHIN, failing=f"{home.configs}")
        home.stop()
