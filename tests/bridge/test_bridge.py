"""The agent in front of a Mosquitto that tells nothing: what passes, is seen, said and done."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Self

import pytest
from bridge_tools import OPEN, Bridge, Ear
from live_broker import HOST, free_port, until
from live_tools import SCHEMA
from mosquitto_broker import needs_mosquitto
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from proxy_tools import connect, dial, publish, read, rest
from tls_relay import make_certificates

from mqtt_ids import control
from mqtt_ids.bans import HandleKind
from mqtt_ids.errors import ControlError

pytestmark = [pytest.mark.broker, pytest.mark.timeout(120), needs_mosquitto]

WITHIN = 15.0  # seconds
ACCEPTED = bytes.fromhex("20020000")
UNAVAILABLE = bytes.fromhex("20020003")
UNAVAILABLE_5 = bytes.fromhex("2003008800")
REFUSED = bytes.fromhex("20020005")
FLOODER = "127.0.0.66"
OURS = "127.0.0.67"


class Home(Client):
    """A client of a library, connected to `port` and subscribed to `filters`."""

    def __init__(
        self,
        port: int,
        name: str,
        *filters: str,
        protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5,
        transport: Literal["tcp", "websockets"] = "tcp",
    ) -> None:
        version = CallbackAPIVersion.VERSION2
        super().__init__(version, name, protocol=protocol, transport=transport)
        self.heard: list[tuple[str, bytes]] = []
        self._filters = [(each, 1) for each in filters]
        self._at = port
        self._ready = threading.Event()
        self.on_connect = self._connected
        self.on_subscribe = lambda *_: self._ready.set()
        self.on_message = lambda _c, _u, m: self.heard.append((m.topic, bytes(m.payload)))

    def _connected(self, *_: object) -> None:
        if self._filters:
            self.subscribe(self._filters)
        else:
            self._ready.set()

    def __enter__(self) -> Self:
        self.connect(HOST, self._at)
        self.loop_start()
        assert self._ready.wait(WITHIN)
        return self

    def __exit__(self, *_: object) -> None:
        self.disconnect()
        self.loop_stop()


def greeted(port: int, name: str, *, source: str = HOST, version: int = 4) -> bytes:
    """How the CONNECT of somebody at `source` is answered."""
    with socket.create_connection((HOST, port), WITHIN, source_address=(source, 0)) as one:
        one.settimeout(WITHIN)
        try:
            one.sendall(connect(name, version=version))
            return read(one, 5 if version == 5 else 4)
        except ConnectionError:
            return b""


class Gate:
    """A broker's listener that wants the PROXY protocol, version 1: lines that came, in order."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.target = 0
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                one, _ = self._listener.accept()
                head = b""
                while not head.endswith(b"\r\n") and (more := one.recv(1)):
                    head += more
                if not head.startswith(b"PROXY "):
                    one.close()
                    continue
                self.lines.append(head.decode())
                broker = socket.create_connection((HOST, self.target))
                for pair in ((one, broker), (broker, one)):
                    threading.Thread(target=_pump, args=pair, daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    with Bridge(tmp_path_factory.mktemp("bridge")) as bridge:
        yield bridge


@pytest.fixture
def ear(bridge: Bridge) -> Iterator[Ear]:
    with Ear(bridge.broker.port) as ear:
        yield ear


@pytest.mark.parametrize("protocol", [MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5])
def test_messages_pass(bridge: Bridge, protocol: MQTTProtocolVersion) -> None:
    name = protocol.name
    with (
        Home(bridge.port, f"ear-{name}", f"{name}/#", protocol=protocol) as listener,
        Home(bridge.port, f"mouth-{name}", protocol=protocol) as speaker,
    ):
        for qos in (0, 1, 2):
            speaker.publish(f"{name}/{qos}", b"x" * 2000, qos).wait_for_publish(WITHIN)
        until(lambda: len(listener.heard) == 3, WITHIN, failing=f"{listener.heard}")
        assert sorted(t for t, _ in listener.heard) == [f"{name}/{n}" for n in range(3)]


def test_the_broker_knows_that_we_watch_and_home_assistant_knows_us(bridge: Bridge) -> None:
    with Ear(bridge.broker.port, "$ids/#", "homeassistant/#") as ear:
        until(lambda: ear.on("$ids/summary"), WITHIN, failing="no summary")
        until(lambda: len(ear.heard) >= 9, WITHIN, failing=f"{ear.heard}")
    assert ear.status == [b"online"]
    assert json.loads(ear.on("$ids/summary")[0])["sensor"] == "proxy"
    assert sum(topic.endswith("/config") for topic, _, _ in ear.heard) == 7


def test_clients_are_known_by_their_own_addresses_and_we_are_none(bridge: Bridge) -> None:
    with socket.create_connection((HOST, bridge.port), source_address=(OURS, 0)) as one:
        one.sendall(connect("sensor", username="somebody"))
        assert read(one, 4) == ACCEPTED
        rows = {row["client_id"]: row for row in bridge.ask(control.Clients())}
        assert rows["sensor"]["address"] == OURS
        assert rows["sensor"]["connected"]
        assert not [name for name in rows if name.startswith("mqtt-ids-")]


def test_a_flood_is_told_with_its_client_and_its_true_address(bridge: Bridge, ear: Ear) -> None:
    with socket.create_connection((HOST, bridge.port), source_address=(FLOODER, 0)) as one:
        one.sendall(connect("flooder"))
        assert read(one, 4) == ACCEPTED
        end = time.monotonic() + WITHIN
        while not ear.alerts and time.monotonic() < end:
            one.sendall(publish("garden/humidity", b"x" * 50) * 50)
            time.sleep(0.05)
    until(lambda: ear.alerts, WITHIN, failing="no alert")
    alert = ear.alerts[0]
    SCHEMA.validate(alert)
    said = {key: alert[key] for key in ("attack", "client_id", "address", "sensor", "mode")}
    assert said == {
        "attack": "flood",
        "client_id": "flooder",
        "address": FLOODER,
        "sensor": "proxy",
        "mode": "observe",
    }
    assert alert["action"] == "none"


@pytest.mark.parametrize(
    ("kind", "value", "answer"),
    [("address", OURS, b""), ("client_id", "lamp", REFUSED), ("username", "bob", REFUSED)],
)
def test_a_ban_by_hand_cuts_and_keeps_out_until_it_is_lifted(
    bridge: Bridge, kind: HandleKind, value: str, answer: bytes
) -> None:
    def greet(one: socket.socket) -> bytes:
        with contextlib.suppress(ConnectionError):
            one.sendall(connect("lamp", username="bob"))
            return read(one, 4)
        return b""

    def come() -> socket.socket:
        return socket.create_connection((HOST, bridge.port), WITHIN, source_address=(OURS, 0))

    with come() as one, Home(bridge.port, "bystander") as bystander:
        assert greet(one) == ACCEPTED
        bridge.ask(control.Impose(kind=kind, value=value))
        assert rest(one) == b""
        with come() as again:
            assert greet(again) == answer
            assert rest(again) == b""
        assert bystander.is_connected()
    bridge.ask(control.Lift(kind=kind, value=value))
    with come() as once_more:
        assert greet(once_more) == ACCEPTED


def test_release_lets_everybody_in_and_takes_away_what_was_retained(
    bridge: Bridge, ear: Ear
) -> None:
    bridge.ask(control.Impose(kind="client_id", value="lamp"))
    bridge.ask(control.Impose(kind="address", value=OURS))
    with pytest.raises(ControlError, match="no IP address"):
        bridge.ask(control.Impose(kind="address", value="lamp"))
    assert len(bridge.status()["bans"]) == 2
    bridge.ask(control.Release())
    assert bridge.status()["bans"] == []
    assert greeted(bridge.port, "lamp", source=OURS) == ACCEPTED
    until(lambda: b"" in ear.on("$ids/status"), WITHIN, failing=f"{ear.heard}")


def test_who_says_that_we_are_gone_is_contradicted(bridge: Bridge, ear: Ear) -> None:
    with Home(bridge.port, "liar") as liar:  # in observe mode it may
        liar.publish("$ids/status", b"offline", 1).wait_for_publish(WITHIN)
    until(lambda: ear.on("$ids/status")[-2:] == [b"offline", b"online"], WITHIN,
          failing=f"{ear.on('$ids/status')}")  # fmt: skip
    assert "somebody else publishes on $ids/status" in bridge.told


def test_a_stop_ends_connections_and_says_offline(tmp_path: Path) -> None:
    with Bridge(tmp_path) as bridge, Ear(bridge.broker.port) as ear, dial(bridge.port) as one:
        one.sendall(connect("lamp"))
        assert read(one, 4) == ACCEPTED
        assert bridge.stop() == 0
        assert rest(one) == b""
        until(lambda: ear.status[-1:] == [b"offline"], WITHIN, failing=f"{ear.heard}")
        assert ear.status == [b"online", b"offline"]


def test_our_death_is_told_by_our_will_and_a_start_takes_it_back(tmp_path: Path) -> None:
    with Bridge(tmp_path) as bridge, Ear(bridge.broker.port) as ear:
        bridge.kill()
        until(lambda: ear.status == [b"online", b"offline"], WITHIN, failing=f"{ear.heard}")
        bridge.start()
        until(lambda: ear.status[-1] == b"online", WITHIN, failing=f"{ear.heard}")


def test_without_a_broker_clients_are_refused_until_it_is_there(tmp_path: Path) -> None:
    bridge = Bridge(tmp_path)
    with contextlib.ExitStack() as ends:
        ends.callback(bridge.kill)
        ends.callback(bridge.broker.kill)
        bridge.start()
        bridge.wait_for("listening on")
        for _ in range(3):
            assert greeted(bridge.port, "lamp") == UNAVAILABLE
        assert greeted(bridge.port, "lamp", version=5) == UNAVAILABLE_5
        bridge.broker.start()
        assert greeted(bridge.port, "lamp") == ACCEPTED
        bridge.wait_for(f"{bridge.broker.port} is back")
        bridge.wait_for("connected to")
        for what in ("cannot be reached", "is back"):
            assert bridge.told.count(f"the broker at {HOST}:{bridge.broker.port} {what}") == 1
        with Ear(bridge.broker.port) as ear:
            until(lambda: ear.status == [b"online"], WITHIN, failing=f"{ear.heard}")


def test_few_open_files_are_few_connections(tmp_path: Path) -> None:
    few = ("sh", "-c", 'ulimit -n 100; exec "$@"', "sh")
    with Bridge(tmp_path, before=few) as bridge:
        bridge.wait_for("100 open files are allowed: 18 connections at once, not the 5000")
        with contextlib.ExitStack() as ends:
            for number in range(18):
                one = ends.enter_context(dial(bridge.port))
                one.sendall(connect(f"lamp-{number}"))
                assert read(one, 4) == ACCEPTED
            assert greeted(bridge.port, "one-more") == b""
        until(lambda: greeted(bridge.port, "later") == ACCEPTED, WITHIN, failing="still full")
        assert bridge.status()["errors"] == 0


def test_tls_and_websocket_in_front_of_a_plain_broker(tmp_path: Path) -> None:
    make_certificates(tmp_path)
    secure, web = free_port(), free_port()
    inline = {
        "tls_listen": f"{HOST}:{secure}",
        "websocket_listen": f"{HOST}:{web}",
        "cert": str(tmp_path / "server.pem"),
        "key": str(tmp_path / "server.key"),
    }
    with Bridge(tmp_path, inline=inline) as bridge:
        over_tls = Home(secure, "tls", "a/#")
        over_tls.tls_set(str(tmp_path / "ca.pem"))
        with over_tls, Home(web, "web", "a/#", transport="websockets") as over_web:
            with Home(bridge.port, "plain") as plain:
                plain.publish("a/b", b"x", 1).wait_for_publish(WITHIN)
            wanted = [("a/b", b"x")]
            until(lambda: over_tls.heard == wanted == over_web.heard, WITHIN, failing="unheard")
        assert {row["client_id"] for row in bridge.ask(control.Clients())} >= {"tls", "web"}


def test_tls_to_the_broker(tmp_path: Path) -> None:
    make_certificates(tmp_path)
    keys = (f"certfile {tmp_path / 'server.pem'}", f"keyfile {tmp_path / 'server.key'}")
    bridge = Bridge(
        tmp_path,
        "allow_anonymous true",
        *keys,
        scheme="mqtts",
        tls={"ca": str(tmp_path / "ca.pem")},
    )
    with bridge, Home(bridge.port, "plain", "a/#") as plain:
        plain.publish("a/b", b"x", 1).wait_for_publish(WITHIN)
        until(lambda: plain.heard, WITHIN, failing="unheard")


def test_the_broker_is_told_who_comes_by_the_proxy_protocol(tmp_path: Path) -> None:
    gate = Gate()
    bridge = Bridge(tmp_path, inline={"proxy_protocol": "v1"}, through=gate.port)
    gate.target = bridge.broker.port
    with gate, bridge:
        assert greeted(bridge.port, "lamp", source=OURS) == ACCEPTED
        until(lambda: len(gate.lines) >= 2, WITHIN, failing=f"{gate.lines}")
    clients = [line.split()[2] for line in gate.lines]
    assert clients == [HOST, OURS]


def test_websocket_to_the_broker(tmp_path: Path) -> None:
    web = free_port()
    lines = (*OPEN, f"listener {web} {HOST}", "protocol websockets")
    with (
        Bridge(tmp_path, *lines, scheme="ws", through=web) as bridge,
        Home(bridge.port, "plain", "a/#") as plain,
    ):
        plain.publish("a/b", b"x", 1).wait_for_publish(WITHIN)
        until(lambda: plain.heard, WITHIN, failing="unheard")


def test_in_protect_mode_only_we_publish_on_our_topics(tmp_path: Path) -> None:
    with Bridge(tmp_path, mode="protect") as bridge, Ear(bridge.broker.port) as ear:
        with dial(bridge.port) as one:
            one.sendall(connect("liar", will="$ids/status"))
            assert read(one, 4) == REFUSED
        with Home(bridge.port, "poser") as poser:
            poser.publish("$ids/status", b"lie", 1).wait_for_publish(WITHIN)
        until(lambda: ear.alerts, WITHIN, failing="no alert")
        assert ear.on("$ids/status") == [b"online"]


@pytest.mark.parametrize("mode", ["observe", "protect"])
def test_in_protect_mode_nobody_bears_our_name(tmp_path: Path, mode: str) -> None:
    with Bridge(tmp_path, mode=mode) as bridge, Ear(bridge.broker.port) as ear:
        (node,) = tmp_path.rglob("node")
        with dial(bridge.port) as one:
            one.sendall(connect(f"mqtt-ids-{node.read_text('ascii').strip()}"))
            assert read(one, 4) == (REFUSED if mode == "protect" else ACCEPTED)
            if mode == "observe":
                until(lambda: b"offline" in ear.status, WITHIN, failing="we are still there")
        if mode == "protect":
            time.sleep(0.5)
            assert ear.status == [b"online"]
