"""Protect mode beside a Mosquitto with dynamic security: who is cut off, who is not, until when."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final, Self

import pytest
from hands_tools import OWN, PASSWORD, Guarded
from live_broker import HOST, until
from live_tools import Listener, Told
from mosquitto_broker import needs_mosquitto
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from sidecar_tools import Agent

from mqtt_ids import control

pytestmark = [pytest.mark.broker, needs_mosquitto, pytest.mark.timeout(120)]

WITHIN: Final = 15.0  # seconds
CUT_WITHIN: Final = 2.0  # seconds from the alert until the offender is off
SETTLED: Final = 7.0  # seconds; whoever comes with an attack is taken for a part of it
USERS: Final = ("cam", "family", "plug", "listener")
ROLE: Final = "home"


class Member:
    """A client of the home, by a user of the broker's, that publishes now and then."""

    def __init__(self, port: int, client_id: str, user: str, address: str) -> None:
        self.left: list[float] = []  # when its connection ended
        self._answered = threading.Event()  # its connection may be ended before anybody looks
        self._client = Client(CallbackAPIVersion.VERSION2, client_id, reconnect_on_failure=False)
        self._client.username_pw_set(user, PASSWORD)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._topic = f"home/{client_id}"
        self._port, self._address = port, address

    def __enter__(self) -> Self:
        self._client.connect(HOST, self._port, bind_address=self._address)
        self._client.loop_start()
        assert self._answered.wait(WITHIN), "no answer"
        return self

    def __exit__(self, *_: object) -> None:
        self._client.on_disconnect = None
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, *_: object) -> None:
        self._answered.set()

    def _on_disconnect(self, *_: object) -> None:
        self.left.append(time.monotonic())

    @property
    def is_in(self) -> bool:
        return self._client.is_connected()

    def publish(self, count: int = 1) -> None:
        for _ in range(count):
            self._client.publish(self._topic, b"21.5")

    def flood(self, seconds: float = 6.0) -> None:
        """About a thousand a second, until it is cut off."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.is_in:
            self.publish(50)
            time.sleep(0.05)


@pytest.fixture
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with Guarded(tmp_path_factory.mktemp("broker")) as broker:
        broker.add_own_user()
        broker.ctrl("createRole", ROLE)
        for kind in ("publishClientSend", "subscribePattern"):
            broker.ctrl("addRoleACL", ROLE, kind, "#", "allow")
        for user in USERS:
            broker.ctrl("createClient", user, "-p", PASSWORD)
            broker.ctrl("addClientRole", user, ROLE)
        yield broker


@pytest.fixture
def agent(broker: Guarded) -> Iterator[Agent]:
    url = f"mqtt://{OWN}@{HOST}:{broker.port}"
    made = Agent(
        broker.folder / "a",
        url,
        log=broker.log,
        env={"MQTT_IDS_PASSWORD": PASSWORD},
        mode="protect",
    )
    with made:
        made.ready()
        yield made


def alarm(ear: Listener, client_id: str) -> Told:
    """The first alert above info about this client in which something was decided."""

    def heard() -> list[Told]:
        return [
            one
            for one in ear.alerts()
            if one.alert["client_id"] == client_id and one.alert["severity"] != "info"
        ]

    until(heard, WITHIN, failing=f"no alert about {client_id}")
    return heard()[0]


def comes_in(port: int, client_id: str, user: str, address: str) -> bool:
    with Member(port, client_id, user, address) as again:
        return again.is_in


def test_an_offender_is_off_and_its_neighbours_stand(broker: Guarded, agent: Agent) -> None:
    port = broker.port
    with ExitStack() as stack:
        ear = stack.enter_context(Listener(port, ("listener", PASSWORD)))
        plug = stack.enter_context(Member(port, "plug", "plug", "127.0.3.2"))
        lamp = stack.enter_context(Member(port, "lamp", "family", "127.0.3.3"))
        phone = stack.enter_context(Member(port, "phone", "family", "127.0.3.4"))
        cam = stack.enter_context(Member(port, "cam", "cam", "127.0.3.5"))
        for each in (plug, lamp, phone, cam):
            each.publish()
        time.sleep(SETTLED)

        # A user of its own: off, and refused.
        cam.flood()
        told = alarm(ear, "cam")
        assert told.alert["attack"] == "flood"
        assert told.alert["action"] == "banned", told.alert["action_reason"]
        assert "user cam" in told.alert["action_reason"]
        until(lambda: cam.left, WITHIN, failing="the offender is still there")
        assert cam.left[0] - told.at <= CUT_WITHIN
        assert not comes_in(port, "cam-again", "cam", "127.0.3.6")

        # A user that is shared: left alone, with the reason.
        phone.flood()
        told = alarm(ear, "phone")
        assert told.alert["action"] == "none"
        assert "lamp" in told.alert["action_reason"]
        assert phone.is_in
        assert comes_in(port, "tablet", "family", "127.0.3.7")

        for calm in (plug, lamp):
            assert calm.is_in
            assert not calm.left
        assert agent.ask(control.Release()) == {"lifted": 1}
        until(lambda: comes_in(port, "cam", "cam", "127.0.3.5"), WITHIN, failing="still refused")


def test_a_stop_lets_in_and_the_next_start_keeps_out_again(broker: Guarded, agent: Agent) -> None:
    def refused() -> bool:
        return not comes_in(broker.port, "cam", "cam", "127.0.3.5")

    assert not refused()
    agent.ask(control.Impose("username", "cam", 600.0, "by hand"))
    until(refused, WITHIN, failing="the ban does nothing")
    assert agent.stop() == 0
    assert not refused()
    agent.start()
    agent.ready()
    until(refused, WITHIN, failing="the ban was forgotten")
    # Killed, nobody lets in; but whoever runs again does once the ban is over.
    agent.kill()
    assert refused()
    agent.start()
    agent.ready()
    agent.ask(control.Lift("username", "cam"))
    until(lambda: not refused(), WITHIN, failing="still refused")
