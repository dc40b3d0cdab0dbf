"""Our device in Home Assistant: announced, announced again when it starts, and withdrawn."""

import random
from collections.abc import Callable, Mapping

from mqtt_ids.responders.discovery import Discovery
from mqtt_ids.responders.publish import Publish
from mqtt_ids.settings import Settings

__all__ = ["HomeAssistant"]

BIRTH = "homeassistant/status"  # where it says that it has started, unless configured otherwise
ONLINE = b"online"
SPREAD = (1.0, 5.0)  # seconds of delay, so that not all devices of a home answer at once


class HomeAssistant:
    """Publishes the discovery messages, retained. With discovery off it announces nothing.

    Subscribe to `filters` and hand what comes to `take`. `node` tells this installation from any
    other; it must survive restarts. `later(seconds, do)` calls back once.
    """

    def __init__(
        self,
        settings: Settings,
        publish: Publish,
        *,
        node: str,
        later: Callable[[float, Callable[[], None]], object],
        rng: random.Random,
    ) -> None:
        ours = settings.home_assistant
        self._on = ours.discovery
        self._discovery = Discovery(settings, node)
        # The birth topic follows the prefix by habit only: each is a setting of its own.
        self._births = frozenset((f"{ours.prefix}/status", BIRTH))
        self._left = frozenset(self._discovery.other_form())
        self.filters: tuple[str, ...] = tuple(sorted(self._births | self._left)) if self._on else ()
        self._publish = publish
        self._later = later
        self._rng = rng
        self._announced = False
        self._pending = False

    def announce(self) -> None:
        """Say what there is: at the start, and on each new connection.

        A broker that keeps nothing over its restart has forgotten what was retained.
        """
        if self._on:
            self._announced = True
            self._send(self._discovery.announcement())

    def take(self, topic: str, payload: bytes) -> bool:
        """Whether the message was for us: a birth, or what the other form has left at the broker.

        Both are answered with an announcement after a while, one for however many.
        """
        if topic not in self.filters:
            return False
        if topic in self._births:
            if payload == ONLINE:
                self._soon()
        elif payload:
            self._send({topic: b""})
            self._soon()
        return True

    def withdraw(self) -> None:
        """Take the device away, with discovery off in whichever form it may be there.

        It stays away until `announce`, whatever Home Assistant says.
        """
        self._announced = False
        topics = set(self._discovery.announcement()) | (set() if self._on else self._left)
        self._send(dict.fromkeys(sorted(topics), b""))

    def _soon(self) -> None:
        if self._announced and not self._pending:
            self._pending = True
            self._later(self._rng.uniform(*SPREAD), self._again)

    def _again(self) -> None:
        self._pending = False
        if self._announced:
            self.announce()

    def _send(self, messages: Mapping[str, bytes]) -> None:
        for topic, payload in messages.items():
            self._publish(topic, payload, True)  # noqa: FBT003 - the sensor's signature
