"""What the agent is to Home Assistant: its link, its device, its alerts and summaries; no detector.

The wiring is the sidecar's; what is wired are the real parts.
"""

import asyncio
import random
import threading
import time
from typing import Any, Self

import msgspec

from mqtt_ids.alerts import Alert, Reason, encode, iso
from mqtt_ids.responders.home_assistant import HomeAssistant
from mqtt_ids.responders.publish import Learning, Publisher, Summary
from mqtt_ids.settings import Settings
from mqtt_ids.uplink.access import Access
from mqtt_ids.uplink.uplink import Pace, Received, State, Uplink

WITHIN = 20.0  # seconds

ALERT = Alert(
    id="01JD0000000000000000000001",
    state="open",
    active=True,
    severity="high",
    attack="flood",
    confidence=0.97,
    time=10.0,
    first_seen=9.5,
    client_id="porch-cam",
    address="192.168.1.40",
    clients=("porch-cam",),
    client_count=1,
    reasons=(
        Reason(
            feature="publish_rate_10s",
            observed=812.0,
            usual=0.9,
            unit="1/s",
            share=0.6,
            text="publishes 812 messages/s, usually 0.9",
        ),
    ),
    sensor="mosquitto",
)
SUMMARY = Summary(
    time="2026-11-23T10:00:00.0Z",
    mode="observe",
    sensor="mosquitto",
    learning=Learning(state="learning", learned=3, clients=12),
    clients=12,
    open_incidents=0,
    active=0,
    bans=0,
    lag=0.004,
    events=1000,
    skipped=0,
    errors=0,
    unwritten=0,
)


class Agent:
    """Runs in an event loop and a thread of its own."""

    def __init__(self, url: str, **home_assistant: object) -> None:
        self.settings = Settings.from_mapping({"home_assistant": home_assistant})
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self.home = HomeAssistant(
            self.settings,
            self._publish,
            node="a home",
            later=self._loop.call_later,
            rng=random.Random(1),
        )
        self.link = Uplink(
            Access.of(url),
            client_id="mqtt-ids",
            pace=Pace(first=0.1, most=0.5),
            filters=self.home.filters,
            status_topic=self.settings.topics.status,
            on_state=self._changed,
            on_message=self._take,
        )
        self._publisher = Publisher(self._publish, self.settings.topics)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.link.start(), self._loop).result(WITHIN)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self.link.stop(), self._loop).result(WITHIN)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WITHIN)
        self._loop.close()

    def _publish(self, topic: str, data: bytes, retain: bool) -> None:  # noqa: FBT001 - the responders' signature
        self.link.publish(topic, data, retain)

    def _changed(self, state: State) -> None:
        if state.name == "online":
            self.home.announce()

    def _take(self, message: Received) -> None:
        self.home.take(message.topic, message.payload)

    def alert(self, **changes: Any) -> None:  # noqa: ANN401 - fields of an alert
        """Publish ALERT with these changes."""
        self._publisher.alert(encode(msgspec.structs.replace(ALERT, **changes), time.time()))

    def summary(self, **changes: Any) -> None:  # noqa: ANN401 - fields of a summary
        """Publish SUMMARY with these changes."""
        summary = msgspec.structs.replace(SUMMARY, **{"time": iso(time.time()), **changes})
        self._publisher.summary(summary, (), time.monotonic())

    def release(self) -> None:
        """What the command `mqtt-ids release` clears."""
        self.home.withdraw()
        self._publisher.clear()
