"""Packets by type: what the capture sensor counts is what tshark counts (`occurrence=a`)."""

import io
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import capture_tools as tools
import pytest

from mqtt_ids.lab import capture_writer as writer
from mqtt_ids.packets import PacketType
from mqtt_ids.sensors.capture.files import frames
from mqtt_ids.sensors.capture.sensor import Capture

T = PacketType
TSHARK = shutil.which("tshark")

# As tshark 4 counts them in the captures that MQTTSET_DIR names: numbers, and nothing of them.
RECORDED: dict[str, dict[PacketType, int]] = {
    "legitimate.pcap": {
        T.CONNECT: 7,
        T.CONNACK: 7,
        T.PUBLISH: 19_498,
        T.SUBSCRIBE: 5,
        T.SUBACK: 5,
        T.PINGREQ: 322,
        T.PINGRESP: 322,
    },
    "bruteforce.pcapng": {T.CONNECT: 889, T.CONNACK: 889},
    "dos.pcap": {T.CONNECT: 10, T.CONNACK: 10, T.PUBLISH: 3120, T.PUBACK: 3119},
    "flood.pcap": {T.CONNECT: 1, T.CONNACK: 1, T.PUBLISH: 39_452},
    "malformed.pcap": {
        T.CONNECT: 552,
        T.CONNACK: 552,
        T.PUBLISH: 2956,
        T.PUBACK: 26,
        T.PUBREC: 26,
        T.SUBSCRIBE: 56,
        T.SUBACK: 56,
    },
    "slowite.pcap": {T.CONNECT: 716, T.CONNACK: 716},
}


def by_us(stream: io.BufferedIOBase, name: str) -> Counter[int]:
    capture = Capture()
    for _ in capture.read(frames(stream, name)):  # type: ignore[arg-type]
        pass
    known = {kind: count for kind, count in capture.packets.items() if kind is not None}
    return Counter({int(kind): count for kind, count in known.items()})


def by_tshark(path: Path) -> Counter[int]:
    command = [TSHARK or "tshark", "-r", str(path), "-T", "fields", "-e", "mqtt.msgtype"]
    run = subprocess.run(
        [*command, "-E", "occurrence=a"], capture_output=True, text=True, check=True, timeout=120
    )
    return Counter(int(kind) for line in run.stdout.split() for kind in line.split(","))


@pytest.mark.parametrize("name", RECORDED)
def test_counts_of_mqttset(mqttset: Path, name: str) -> None:
    recorded = Counter({int(kind): count for kind, count in RECORDED[name].items()})
    with (mqttset / name).open("rb") as stream:
        assert by_us(stream, name) == recorded
    if TSHARK:
        assert by_tshark(mqttset / name) == recorded


@pytest.mark.skipif(TSHARK is None, reason="tshark is not installed")
@pytest.mark.parametrize("link", [writer.ETHERNET, writer.COOKED, writer.COOKED_2, writer.RAW])
def test_counts_of_a_home(tmp_path: Path, link: int) -> None:
    path = tmp_path / "home.pcapng"
    events = tools.home_events(5, clients=15, seconds=600, family="test")
    with path.open("wb") as stream:
        writer.write_pcapng(stream, writer.frames_of(events, link=link))
    with path.open("rb") as stream:
        counted = by_us(stream, path.name)
    assert counted[T.PUBLISH] > 0
    assert counted == by_tshark(path)
