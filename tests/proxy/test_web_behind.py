"""A broker that is called by WebSocket, over TLS as well, and what is no such broker."""

import contextlib
import queue
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from live_broker import HOST, free_port, until
from mosquitto_broker import Mosquitto, needs_mosquitto
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from proxy_tools import WITHIN, Fronted, connect, dial, rest
from tls_relay import make_certificates

from mqtt_ids.events import Connected, Published
from mqtt_ids.sensors.proxy.options import Options

UNAVAILABLE = bytes.fromhex("20020003")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


def answers(port: int) -> bool:
    with contextlib.suppress(ConnectionRefusedError), dial(port):
        return True
    return False


@pytest.fixture(scope="module", params=[False, True], ids=["ws", "wss"])
def behind(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, certificates: Path
) -> Iterator[tuple[int, ssl.SSLContext | None]]:
    """The port of a Mosquitto for WebSocket; it needs a plain one beside."""
    tls, encrypted = None, []
    if request.param:
        encrypted += [f"certfile {certificates / 'server.pem'}"]
        encrypted += [f"keyfile {certificates / 'server.key'}"]
        tls = ssl.create_default_context(cafile=certificates / "ca.pem")
    for _ in range(3):  # it goes on without a port that somebody else has taken meanwhile
        port = free_port()
        lines = ["allow_anonymous true", f"listener {port} {HOST}", "protocol websockets"]
        with Mosquitto(tmp_path_factory.mktemp("m"), *lines, *encrypted):
            if until(lambda: answers(port), WITHIN / 2):  # noqa: B023 - asked at once
                yield port, tls
                return
    pytest.fail("no WebSocket")


@pytest.mark.broker
@needs_mosquitto
@pytest.mark.parametrize(
    ("protocol", "reserved"),
    [(paho.MQTTv311, ()), (paho.MQTTv5, (b"$ids/",))],
    ids=["3.1.1, observe", "5, protect"],
)
def test_paho_in_front_of_a_websocket(
    behind: tuple[int, ssl.SSLContext | None],
    protocol: MQTTProtocolVersion,
    reserved: tuple[bytes, ...],
) -> None:
    options = Options(reserved=reserved)
    with Fronted(behind[0], options, web="/mqtt", tls=behind[1]) as front:
        got: queue.Queue[bytes | bytearray] = queue.Queue()
        client = paho.Client(CallbackAPIVersion.VERSION2, "w", protocol=protocol)
        client.on_message = lambda _c, _u, message: got.put(message.payload)
        client.on_connect = lambda c, *_: c.subscribe("web/#", 2)
        client.on_subscribe = lambda *_: got.put(b"ready")
        client.connect(HOST, front.port)
        client.loop_start()
        assert got.get(timeout=WITHIN) == b"ready"
        for qos in (0, 1, 2):  # this broker reads 4 kB of a WebSocket in 0.1 s, without us as well
            client.publish("web/a", bytes(9_000), qos)
            assert got.get(timeout=WITHIN) == bytes(9_000)
        client.disconnect()
        client.loop_stop()
        front.empty()
        assert front.exceptions == []
        assert front.told == []
        assert front.proxy._faults.count == 0
        assert len(front.seen.of(Published)) == 3
        assert front.seen.of(Connected)[0].client_id == "w"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "404"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "no WebSocket there"),
        (bytes(100_000), "no WebSocket there"),
        (b"HTTP/1.1 200 OK\r\n", "cannot be reached"),
        (b"", "cannot be reached"),
    ],
)
def test_where_no_websocket_is_clients_are_told_so(answer: bytes, why: str) -> None:
    with socket.create_server((HOST, 0)) as listener:

        def serve() -> None:
            one, _ = listener.accept()
            one.recv(65_536)
            one.sendall(answer)
            one.close()

        threading.Thread(target=serve, daemon=True).start()
        with Fronted(listener.getsockname()[1], web="/mqtt") as front:
            one = dial(front.port)
            one.sendall(connect("c1"))
            assert rest(one) == UNAVAILABLE
            assert len(front.told) == 1
            assert why in front.told[0]
            front.empty()
            assert front.exceptions == []
            assert front.proxy._faults.count == 0


def test_a_websocket_that_never_answers_is_given_up() -> None:
    with socket.create_server((HOST, 0)) as listener:
        options = Options(broker_within=0.3)
        with Fronted(listener.getsockname()[1], options, web="/mqtt") as front:
            one = dial(front.port)
            one.sendall(connect("c1"))
            assert rest(one) == UNAVAILABLE
            front.empty()
            assert front.exceptions == []
