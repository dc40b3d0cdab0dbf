"""A client that sends as fast as it can leaves the broker's memory bounded, and is told of."""

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_broker import Broker, until
from live_home import FAMILY, LISTENER, logins, password
from live_tools import Listener, Raw

from mqtt_ids.lab import wire
from mqtt_ids.lab.actions import Connect, Publish

pytestmark = [pytest.mark.broker, pytest.mark.slow]

log = logging.getLogger(__name__)

COUNT = 50_000
LOUD, LOUD_AT = "loud", "127.0.1.1"
EAR_AT = "127.0.0.11"
TOLD_WITHIN = 4.0  # seconds
SENT_WITHIN = 60.0  # seconds
# At most 2,200 messages wait in the broker (docs/amqtt.md): 2 MB, and the sockets' buffers. Without
# the plugin this flood makes the same broker grow by 37 MB.
MOST_GROWTH = 10.0  # MB
PACKET = wire.publish(Publish("garden/humidity", 64))


class Ear(threading.Thread):
    """A subscriber that counts the bytes that come."""

    def __init__(self, raw: Raw) -> None:
        super().__init__(daemon=True)
        self.heard = 0
        self._raw = raw

    def run(self) -> None:
        while more := len(self._raw.receive_some(SENT_WITHIN)):
            self.heard += more


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path, logins()) as broker:
        yield broker


def connected(broker: Broker, address: str, connect: Connect) -> Raw:
    raw = Raw(broker.port, address)
    raw.send(wire.connect(connect))
    assert raw.receive(4) == b"\x20\x02\x00\x00"
    return raw


def test_fifty_thousand_messages_at_once(broker: Broker) -> None:
    with (
        Listener(broker.port, (LISTENER, password(LISTENER))) as listener,
        connected(broker, EAR_AT, Connect("ear", FAMILY, password(FAMILY))) as ear_raw,
        connected(broker, LOUD_AT, Connect(LOUD, FAMILY, password(FAMILY), keep_alive=0)) as loud,
    ):
        ear_raw.send(wire.subscribe(("garden/#",), 0, 1))
        assert len(ear_raw.receive(5)) == 5
        ear = Ear(ear_raw)
        ear.start()
        time.sleep(3.0)  # what the first vectors allocate is not the flood's
        broker.forget_peak()
        before = broker.memory("VmRSS")
        began = time.monotonic()
        for _ in range(COUNT // 100):
            loud.send(PACKET * 100)
        whole = COUNT * len(PACKET)
        until(lambda: ear.heard == whole, SENT_WITHIN, failing="not every message arrives")
        took = time.monotonic() - began
        peak, after = broker.memory("VmHWM"), broker.memory("VmRSS")
        until(lambda: listener.alarms(LOUD_AT), TOLD_WITHIN)
        log.info(
            "%d messages in %.1f s: VmRSS %.1f MB before, %.1f MB after, peak %.1f MB (+%.1f MB)",
            COUNT, took, before, after, peak, peak - before,
        )  # fmt: skip
        alarms = listener.alarms(LOUD_AT)
        assert alarms, "it was never told"
        log.info("told after %.1f s as %s", alarms[0].at - began, alarms[0].alert["attack"])
        assert alarms[0].at - began <= TOLD_WITHIN
        assert alarms[-1].alert["attack"] == "flood", alarms
        assert peak - before <= MOST_GROWTH
    ear.join(10)
