"""MQTT over WebSocket in front of a Mosquitto that speaks plain MQTT."""

import queue
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from live_broker import HOST
from mosquitto_broker import Mosquitto, needs_mosquitto
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from proxy_tools import WITHIN, Fronted, connect, publish
from tls_relay import make_certificates
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as open_web

from mqtt_ids.events import Connected, Published
from mqtt_ids.sensors.proxy.certificates import server_context
from mqtt_ids.sensors.proxy.options import Options

pytestmark = [pytest.mark.broker, needs_mosquitto]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path_factory.mktemp("m"), "allow_anonymous true") as broker:
        yield broker


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("protocol", [paho.MQTTv311, paho.MQTTv5])
def test_paho_over_websocket(
    tmp_path: Path, broker: Mosquitto, protocol: MQTTProtocolVersion, *, encrypted: bool
) -> None:
    tls = None
    if encrypted:
        make_certificates(tmp_path)
        tls = server_context(tmp_path / "server.pem", tmp_path / "server.key")
    with Fronted(broker.port, front_web=True, front_tls=tls) as front:
        got: queue.Queue[bytes | bytearray] = queue.Queue()
        client = paho.Client(
            CallbackAPIVersion.VERSION2, "w", protocol=protocol, transport="websockets"
        )
        if encrypted:
            client.tls_set(str(tmp_path / "ca.pem"))
        client.on_message = lambda _c, _u, message: got.put(message.payload)
        client.on_connect = lambda c, *_: c.subscribe("web/#", 2)
        client.on_subscribe = lambda *_: got.put(b"ready")
        client.connect(HOST, front.port)
        client.loop_start()
        assert got.get(timeout=WITHIN) == b"ready"
        for qos in (0, 1, 2):
            client.publish("web/a", bytes(200_000), qos)
            assert got.get(timeout=WITHIN) == bytes(200_000)
        client.disconnect()
        client.loop_stop()
        front.empty()
        assert front.exceptions == []
        assert len(front.seen.of(Published)) == 3
        assert front.seen.of(Connected)[0].client_id == "w"


def test_packets_cut_across_frames_and_pings(broker: Mosquitto) -> None:
    with Fronted(broker.port, front_web=True) as front:
        with open_web(f"ws://{HOST}:{front.port}/mqtt", subprotocols=["mqtt"]) as web:  # type: ignore[list-item]
            assert web.subprotocol == "mqtt"
            said = connect("cut") + publish("a", qos=1)
            for at in range(0, len(said), 7):
                web.send(said[at : at + 7])
            assert web.ping().wait(WITHIN)
            heard = b""
            while len(heard) < 8:
                more = web.recv(WITHIN)
                assert isinstance(more, bytes)
                heard += more
            assert heard.hex() == "20020000" + "40020001"
        front.empty()
        assert front.exceptions == []


def test_what_is_no_websocket_or_not_binary_is_sent_away(broker: Mosquitto) -> None:
    with Fronted(broker.port, Options(connect_within=1.0), front_web=True) as front:
        with open_web(f"ws://{HOST}:{front.port}/") as web:
            web.send("text")
            with pytest.raises(ConnectionClosed):
                web.recv(WITHIN)
        front.empty()
        assert front.exceptions == []
        assert front.seen.of(Connected) == []
