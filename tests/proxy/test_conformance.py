"""The same talks with a Mosquitto, with the proxy between and without: nothing may differ."""

import queue
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from live_broker import HOST, until
from mosquitto_broker import Mosquitto, needs_mosquitto
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions
from proxy_tools import WITHIN, Fronted, connect, dial, packet, publish, read, rest, text

from mqtt_ids.events import Closed, Connected, Disconnected, Malformed, Published
from mqtt_ids.sensors.proxy.options import Options

pytestmark = [pytest.mark.broker, needs_mosquitto]

WAYS = ("direct", "observe", "protect")
BIG = bytes(range(256)) * 4096  # 1 MB


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    folder = tmp_path_factory.mktemp("mosquitto")
    with Mosquitto(folder, "allow_anonymous true", "max_keepalive 600") as broker:
        yield broker


@pytest.fixture(params=WAYS)
def port(request: pytest.FixtureRequest, broker: Mosquitto) -> Iterator[int]:
    """Where to connect to."""
    if request.param == "direct":
        yield broker.port
        return
    reserved = (b"$ids/",) if request.param == "protect" else ()
    with Fronted(broker.port, Options(reserved=reserved)) as front:
        yield front.port
        front.empty()
        assert front.exceptions == []
        assert front.seen.of(Malformed) == []
        assert len(front.seen.of(Closed)) == front.seen.kinds().count("Opened")


def properties_of(kind: int) -> Properties:
    return Properties(kind)  # type: ignore[no-untyped-call]


class Client:
    """A paho client whose messages wait in a queue."""

    def __init__(self, port: int, version: int, client_id: str = "", **more: Any) -> None:  # noqa: ANN401
        self.got: queue.Queue[paho.MQTTMessage] = queue.Queue()
        self.acks: queue.Queue[tuple[int, Any]] = queue.Queue()
        self.connack: queue.Queue[tuple[Any, Any]] = queue.Queue()
        protocol = paho.MQTTv5 if version == 5 else paho.MQTTv311
        clean: dict[str, Any] = {} if version == 5 else {"clean_session": more.get("clean", True)}
        self.paho = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=protocol, **clean
        )
        self.paho.on_message = lambda _c, _u, message: self.got.put(message)
        self.paho.on_connect = lambda _c, _u, flags, code, _p: self.connack.put((flags, code))
        self.paho.on_subscribe = lambda _c, _u, mid, codes, _p: self.acks.put((mid, codes))
        self.paho.on_unsubscribe = lambda _c, _u, mid, codes, _p: self.acks.put((mid, codes))
        if "will" in more:
            self.paho.will_set(*more["will"])
        extra: dict[str, Any] = {}
        if version == 5 and not more.get("clean", True):
            extra = {"clean_start": False, "properties": properties_of(PacketTypes.CONNECT)}
            extra["properties"].SessionExpiryInterval = 60
        self.paho.connect(HOST, port, keepalive=more.get("keep_alive", 30), **extra)
        self.paho.loop_start()
        self.flags, self.code = self.connack.get(timeout=WITHIN)

    def subscribe(self, *args: Any, **more: Any) -> list[int]:  # noqa: ANN401
        self.paho.subscribe(*args, **more)
        return [code.value for code in self.acks.get(timeout=WITHIN)[1]]

    def send(self, *args: Any, **more: Any) -> None:  # noqa: ANN401
        self.paho.publish(*args, **more).wait_for_publish(WITHIN)

    def next(self) -> paho.MQTTMessage:
        return self.got.get(timeout=WITHIN)

    def leave(self) -> None:
        self.paho.disconnect()
        self.paho.loop_stop()

    def vanish(self) -> None:
        """Without a DISCONNECT."""
        sock = self.paho.socket()
        assert isinstance(sock, socket.socket)
        sock.shutdown(socket.SHUT_RDWR)  # which also wakes its thread
        self.paho.loop_stop()


versions = pytest.mark.parametrize("version", [4, 5])


@versions
def test_each_quality_of_service_both_ways(port: int, version: int) -> None:
    one = Client(port, version)
    assert one.code.value == 0
    assert one.subscribe("t/#", qos=2) == [2]
    for qos in (0, 1, 2):
        one.send("t/a", f"m{qos}", qos=qos)
        message = one.next()
        assert (message.payload, message.qos, message.retain) == (f"m{qos}".encode(), qos, False)
    one.paho.unsubscribe("t/#")
    one.acks.get(timeout=WITHIN)
    one.send("t/a", "unheard", qos=1)
    assert one.got.empty()
    one.leave()


@versions
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_payload_of_a_megabyte(port: int, version: int, qos: int) -> None:
    one = Client(port, version)
    one.subscribe("big", qos=2)
    for turn in range(2):
        one.send("big", BIG + bytes((turn,)), qos=qos)
        assert one.next().payload == BIG + bytes((turn,))
    one.leave()


@versions
def test_retained_messages(port: int, version: int) -> None:
    one = Client(port, version)
    one.send("kept/a", "old", qos=1, retain=True)
    two = Client(port, version)
    two.subscribe("kept/+")
    message = two.next()
    assert (message.payload, message.retain) == (b"old", True)
    one.send("kept/a", b"", qos=1, retain=True)
    one.leave()
    two.leave()


@versions
def test_a_will_is_published_for_who_vanishes_only(port: int, version: int) -> None:
    watcher = Client(port, version)
    watcher.subscribe("will/#")
    Client(port, version, "polite", will=("will/polite", "gone")).leave()
    Client(port, version, "rude", will=("will/rude", "gone", 1)).vanish()
    assert watcher.next().topic == "will/rude"
    assert watcher.got.empty()
    watcher.leave()


@versions
def test_a_session_waits_for_its_client(port: int, version: int) -> None:
    name = f"sleeper{version}{port}"
    first = Client(port, version, name, clean=False)
    assert not first.flags.session_present
    first.subscribe("s/#", qos=1)
    first.leave()
    other = Client(port, version)
    other.send("s/a", "while away", qos=1)
    other.leave()
    second = Client(port, version, name, clean=False)
    assert second.flags.session_present
    assert second.next().payload == b"while away"
    second.leave()


def test_properties_of_version_5(port: int) -> None:
    one = Client(port, 5)
    options = SubscribeOptions(qos=1, retainAsPublished=True)
    wanted = properties_of(PacketTypes.SUBSCRIBE)
    wanted.SubscriptionIdentifier = 77
    one.subscribe("p/a", options=options, properties=wanted)
    properties = properties_of(PacketTypes.PUBLISH)
    properties.TopicAlias = 3
    properties.ResponseTopic = "p/answer"
    properties.CorrelationData = b"\0\1"
    properties.ContentType = "text/plain"
    properties.UserProperty = [("k", "v"), ("k", "w")]
    properties.MessageExpiryInterval = 60
    one.send("p/a", "first", qos=1, properties=properties)
    alias = properties_of(PacketTypes.PUBLISH)
    alias.TopicAlias = 3
    one.send("", "second", qos=1, properties=alias)
    first, second = one.next(), one.next()
    got: Any = first.properties
    assert (got.ResponseTopic, got.CorrelationData, got.ContentType) == (
        "p/answer", b"\0\1", "text/plain",
    )  # fmt: skip
    assert got.UserProperty == [("k", "v"), ("k", "w")]
    assert got.SubscriptionIdentifier == [77]
    assert (second.topic, second.payload) == ("p/a", b"second")
    one.leave()


def test_the_broker_takes_an_id_over(port: int) -> None:
    old = dial(port)
    old.sendall(connect("same"))
    read(old, 4)
    new = dial(port)
    new.sendall(connect("same"))
    assert read(new, 4).hex() == "20020000"
    assert rest(old) == b""
    new.sendall(b"\xe0\0")
    assert rest(new) == b""


def test_the_brokers_keep_alive_holds(broker: Mosquitto) -> None:
    """All three ways at the same time, for it takes its time."""
    protect = Options(reserved=(b"$ids/",))
    with Fronted(broker.port) as one, Fronted(broker.port, protect) as two:
        talkers = [dial(port) for port in (broker.port, one.port, two.port)]
        for number, each in enumerate(talkers):
            each.settimeout(15)
            each.sendall(connect(f"dozer{number}", keep_alive=1))
            assert read(each, 4).hex() == "20020000"
        start = time.monotonic()
        for each in talkers:
            each.sendall(b"\xc0\0")
            assert read(each, 2) == b"\xd0\0"
        for each in talkers:
            assert rest(each) == b""
            assert 1.0 <= time.monotonic() - start < 12.0


def test_all_packets_one_byte_at_a_time(port: int) -> None:
    said = b"".join((
        connect("drip"),
        packet(0x82, b"\0\1" + text("d/#") + b"\2"),
        publish("d/a", b"zero"), publish("d/a", b"one", qos=1, number=2),
        publish("d/a", b"two", qos=2, number=3), packet(0x62, b"\0\3"), b"\xc0\0",
        packet(0xA2, b"\0\4" + text("d/#")),
    ))  # fmt: skip
    one = dial(port)
    for byte in said:
        one.send(bytes((byte,)))
    heard = b""
    while b"\xb0\x02\x00\x04" not in heard:
        more = one.recv(4096)
        assert more, heard
        heard += more
    parts = ["20020000", "9003000102", "40020002", "50020003", "70020003", "d000", "b0020004",
             publish("d/a", b"zero").hex()]  # fmt: skip
    assert [each for each in parts if bytes.fromhex(each) not in heard] == []
    one.send(b"\xe0\0")
    rest(one)


def test_a_burst_of_thousands_comes_through_in_order(port: int) -> None:
    reader, writer = dial(port), dial(port)
    for each, name in ((reader, "reader"), (writer, "writer")):
        each.sendall(connect(name))
        assert read(each, 4).hex() == "20020000"
    reader.sendall(packet(0x82, b"\0\1" + text("burst") + b"\0"))
    read(reader, 5)
    # Fewer than Mosquitto would drop for a slow reader.
    whole = b"".join(publish("burst", f"{n:06}".encode()) for n in range(900))
    writer.sendall(whole)
    assert read(reader, len(whole)) == whole
    for each in (reader, writer):
        each.sendall(b"\xe0\0")
        rest(each)


def test_what_is_told_is_what_was_said(broker: Mosquitto) -> None:
    with Fronted(broker.port) as front:
        one = Client(front.port, 5, "")
        one.subscribe("x/#")
        one.send("x/a", "1234", qos=1)
        one.leave()
        front.empty()
        (connected,) = front.seen.of(Connected)
        assert connected.version == 5
        assert connected.id_was_empty
        assert connected.client_id
        assert connected.client_id.startswith("auto-")
        assert front.seen.kinds() == [
            "Opened", "Connected", "Subscribed", "Published", "Disconnected", "Closed",
        ]  # fmt: skip
        assert [each.size for each in front.seen.of(Published)] == [4]


def test_a_broker_that_dies_takes_its_clients_along_and_is_told(tmp_path: Path) -> None:
    with Mosquitto(tmp_path, "allow_anonymous true") as mosquitto, Fronted(mosquitto.port) as front:
        one = dial(front.port)
        one.sendall(connect("c1"))
        read(one, 4)
        mosquitto.kill()
        assert rest(one) == b""
        front.empty()
        assert (front.seen.of(Closed)[0].by, front.told) == ("broker", [])
        two = dial(front.port)
        two.sendall(connect("c1"))
        assert rest(two).hex() == "20020003"
        mosquitto.start()
        three = dial(front.port)
        three.sendall(connect("c1"))
        assert read(three, 4).hex() == "20020000"
        until(lambda: len(front.told) == 2, WITHIN, failing=str(front.told))


def test_a_reserved_publish_at_quality_2_ends_well(broker: Mosquitto) -> None:
    with Fronted(broker.port, Options(reserved=(b"$ids/",))) as front:
        for version in (4, 5):
            one = Client(front.port, version)
            one.subscribe("ok", qos=2)
            for qos in (0, 1, 2):
                one.send("$ids/alerts", "forged", qos=qos)
            one.send("ok", "sound", qos=2)
            assert one.next().payload == b"sound"
            one.leave()
        front.empty()
        assert front.proxy.dropped == 6
        assert len(front.seen.of(Disconnected)) == 2
