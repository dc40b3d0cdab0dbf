"""The same talks with an amqtt, with the proxy between and without: the same is answered.

It speaks MQTT 3.1.1, and does some things as no other broker does: so what it answers directly is
what it has to answer through the proxy.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator

import pytest
from amqtt_broker import PASSWORD, USER, Amqtt
from proxy_tools import Fronted, connect, dial, packet, publish, text

from mqtt_ids.decoder import Decoder
from mqtt_ids.events import Closed, Malformed
from mqtt_ids.packets import AckPacket, Packet, PacketType, PublishPacket
from mqtt_ids.sensors.proxy.options import Options

pytestmark = pytest.mark.broker

DISCONNECT, PING = b"\xe0\0", b"\xc0\0"
QUIET = 0.2  # seconds in which nothing more comes
BIG = bytes(range(256)) * 4096  # 1 MB
Said = list[str]
Talk = Callable[[int, str], list[Said]]


class Talker:
    """One client, which acknowledges what it is sent; what it was answered, as packets."""

    def __init__(self, port: int, client_id: str, *, clean: bool = True, will: str = "") -> None:
        self._socket = dial(port)
        self._decoder = Decoder(from_client=False)
        self.heard: Said = []
        greeting = bytearray(connect(client_id, will=will, username=USER, password=PASSWORD))
        greeting[9] = greeting[9] if clean else greeting[9] & ~2
        self.say(bytes(greeting), 1)

    def say(self, data: bytes, answers: int = 0, *, dripping: bool = False) -> None:
        """Send it, and hear at least so many packets."""
        for at in range(0, len(data), 1 if dripping else len(data)):
            self._socket.sendall(data[at : at + 1] if dripping else data)
        self.hear(answers)

    def hear(self, answers: int) -> None:
        goal = len(self.heard) + answers
        while len(self.heard) < goal and self._more():
            pass

    def _more(self) -> bool:
        try:
            data = self._socket.recv(1_000_000)
        except ConnectionResetError:
            data = b""
        for each in self._decoder.feed(data):
            self.heard.append(repr(each))
            self._acknowledge(each)
        if not data:
            self.heard.append("closed")
        return data != b""

    def _acknowledge(self, heard: Packet) -> None:
        first = 0
        if isinstance(heard, PublishPacket):
            first = (0, 0x40, 0x50)[heard.qos]
        elif isinstance(heard, AckPacket):
            first = {PacketType.PUBREC: 0x62, PacketType.PUBREL: 0x70}.get(heard.type, 0)
        if first:
            number = getattr(heard, "packet_id", None) or 0
            self._socket.sendall(bytes((first, 2)) + number.to_bytes(2, "big"))

    def rest(self) -> Said:
        """All that was heard, in any order: amqtt answers and delivers as it comes about."""
        self._socket.settimeout(QUIET)
        with contextlib.suppress(TimeoutError):
            while self._more():
                pass
        self._socket.close()
        return sorted(self.heard)

    def vanish(self) -> None:
        self._socket.close()


def subscribe(topic: str, qos: int) -> bytes:
    return packet(0x82, b"\0\1" + text(topic) + bytes((qos,)))


def all_packets(port: int, mark: str, *, dripping: bool) -> list[Said]:
    one, topic = Talker(port, f"all{mark}"), f"t/{mark}"
    one.say(subscribe(topic, 0), 1, dripping=dripping)
    said = publish(topic, b"0") + publish(topic, b"1", qos=1, number=2) + PING
    one.say(said + publish(topic, b"2", qos=2, number=3), 7, dripping=dripping)
    one.say(packet(0xA2, b"\0\4" + text(topic)), 1, dripping=dripping)
    one.say(DISCONNECT, dripping=dripping)
    return [one.rest()]


def qualities(port: int, mark: str) -> list[Said]:
    talkers, topic = [Talker(port, f"q{qos}{mark}") for qos in (0, 1, 2)], f"q/{mark}"
    for qos, each in enumerate(talkers):
        each.say(subscribe(topic, qos), 1)
    for qos in (0, 1, 2):
        talkers[0].say(publish(topic, b"x", qos=qos, number=9), 1 + qos)
    return [each.rest() for each in talkers]


def megabytes(port: int, mark: str) -> list[Said]:
    one, two, topic = Talker(port, f"big{mark}"), Talker(port, f"reader{mark}"), f"big/{mark}"
    two.say(subscribe(topic, 0), 1)
    for qos in (0, 1, 2):
        one.say(publish(topic, BIG, qos=qos, number=5), qos)
        two.hear(1)
    return [one.rest(), two.rest()]


def retained(port: int, mark: str) -> list[Said]:
    one, topic = Talker(port, f"keeper{mark}"), f"kept/{mark}"
    kept = bytearray(publish(topic, b"old", qos=1))
    kept[0] |= 1
    one.say(bytes(kept), 1)
    first = one.rest()  # it is kept a moment after it was acknowledged
    two = Talker(port, f"comer{mark}")
    two.say(subscribe(topic, 0), 2)
    return [first, two.rest()]


def wills(port: int, mark: str) -> list[Said]:
    """Of who vanishes: that of who says goodbye it publishes now and then as well."""
    watcher, topic = Talker(port, f"watcher{mark}"), f"will/{mark}"
    watcher.say(subscribe(f"{topic}/+", 0), 1)
    Talker(port, f"rude{mark}", will=f"{topic}/rude").vanish()
    watcher.hear(1)
    return [watcher.rest()]


def sessions(port: int, mark: str) -> list[Said]:
    first, topic = Talker(port, f"sleeper{mark}", clean=False), f"s/{mark}"
    first.say(subscribe(topic, 1) + DISCONNECT, 1)
    heard = [first.rest()]
    other = Talker(port, f"other{mark}")
    other.say(publish(topic, b"while away", qos=1), 1)
    second = Talker(port, f"sleeper{mark}", clean=False)
    return [*heard, second.rest(), other.rest()]


def takeover(port: int, mark: str) -> list[Said]:
    old, new = Talker(port, f"same{mark}"), Talker(port, f"same{mark}")
    new.say(PING, 1)
    return [old.rest(), new.rest()]


def wrong_packets(port: int, mark: str) -> list[Said]:
    """What it makes of a packet that only a broker may send, and of two that are none."""
    talkers = [Talker(port, f"wrong{number}{mark}") for number in range(3)]
    for each, data in zip(talkers, (b"\xd0\0", b"\x30\xff\xff\xff\xff\xff", b"\0\0"), strict=True):
        each.say(data)
    return [each.rest() for each in talkers]


TALKS: dict[str, Talk] = {
    "all_packets": functools.partial(all_packets, dripping=False),
    "one_byte_at_a_time": functools.partial(all_packets, dripping=True),
} | {
    talk.__name__: talk
    for talk in (qualities, megabytes, retained, wills, sessions, takeover, wrong_packets)
}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Amqtt]:
    with Amqtt(tmp_path_factory.mktemp("amqtt")) as broker:
        yield broker


@pytest.mark.parametrize("name", TALKS)
def test_a_talk_goes_as_without_us(broker: Amqtt, name: str) -> None:
    """One way after the other, for it minds a crowd; each with topics and names of its own."""

    def talk(port: int, mark: str) -> list[Said]:
        """What was heard but for that of other talks, for it tells everybody what it retains."""
        return [
            [each.replace(mark, "") for each in said if mark in each or "{" not in each]
            for said in TALKS[name](port, mark)
        ]

    direct = talk(broker.port, f"{{{name} 0}}")
    assert all(len(each) > 0 for each in direct)
    for number, reserved in enumerate(((), (b"$ids/",)), 1):
        if reserved and name == "wrong_packets" and direct[1][-1] != "closed":
            direct[1].append("closed")  # a length that no packet has: by us, where it goes on
        with Fronted(broker.port, Options(reserved=reserved)) as front:
            assert talk(front.port, f"{{{name} {number}}}") == direct
            front.empty()
            assert front.exceptions == []
            assert front.proxy._faults.count == 0
            assert front.seen.of(Malformed) == [] or name == "wrong_packets"
            assert len(front.seen.of(Closed)) == front.seen.kinds().count("Opened")
