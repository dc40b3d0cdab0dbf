"""Lines that belong together: what is held until the last of them has come."""

import re
from typing import Final

from mqtt_ids.sensors.mosquitto.lines import KEY
from mqtt_ids.sensors.mosquitto.links import Link
from mqtt_ids.sensors.mosquitto.records import Reading

MOST_FILTERS: Final = 1000

_FILTER: Final = re.compile(rb"(.*) \((?:QoS (\d{1,3})|denied)\)", re.DOTALL)


class Joining:
    """A connect line, whose will and CONNACK follow in a debug log."""

    def __init__(self, link: Link, readings: tuple[Reading, ...], since: float) -> None:
        self.link = link
        self.readings = readings
        self.since = since
        self.will_told = self.topic_follows = False
        self.will_topic: str | None = None

    def will(self, *, topic_follows: bool) -> None:
        """Whether it left a will, was told."""
        self.will_told, self.topic_follows = True, topic_follows

    def topic(self, text: bytes) -> None:
        """The will's topic was told."""
        self.topic_follows = False
        self.will_topic = text.decode("utf-8", "replace")

    def reading(self, name: bytes | None) -> Reading:
        """How to read the connect line, where the CONNACK names the client thus."""
        if name is not None:
            for each in self.readings:
                if each.name[:KEY] == name[:KEY]:
                    return each
        return self.readings[0]


class Asking:
    """A SUBSCRIBE or UNSUBSCRIBE, whose filters follow in a debug log."""

    def __init__(self, link: Link, name: bytes, since: float, *, subscribes: bool) -> None:
        self.link = link
        self.since = since
        self.subscribes = subscribes
        self.filters: list[str] = []
        self._name = name

    def filter(self, text: bytes) -> bytes | None:
        """A filter was told. The `M` line that follows it, which the client may have made up."""
        qos: bytes | None = None
        if self.subscribes:
            found = _FILTER.fullmatch(text)
            if found is not None:  # else it was cut
                text, qos = found.groups()
        if len(self.filters) < MOST_FILTERS:
            self.filters.append(text.decode("utf-8", "replace"))
        if not self.subscribes:
            return self._name + b" " + text
        return None if qos is None else self._name + b" " + qos + b" " + text
