"""What one connection is subscribed to, and how it becomes what is wanted."""

from collections.abc import Sequence
from typing import Literal

from paho.mqtt.client import Client
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

__all__ = ["EVERYTHING", "Subscriptions", "Version"]

EVERYTHING = "#"
Version = Literal["3.1.1", "5"]


class Subscriptions:
    """Those of one connection, at QoS 0."""

    def __init__(self, version: Version) -> None:
        self._version = version
        self._held: frozenset[str] = frozenset()
        self._asked: dict[int, list[str]] = {}  # SUBSCRIBEs without an answer yet

    def become(self, filters: Sequence[str], client: Client) -> None:
        """Subscribe to what is new, unsubscribe from what is gone."""
        wanted = frozenset(filters)
        if wanted == self._held:
            return
        new, gone = sorted(wanted - self._held), sorted(self._held - wanted)
        self._held = wanted
        if new:
            _, number = self._subscribe(new, client)
            if number is not None:
                self._asked[number] = new
        if gone:
            client.unsubscribe(gone)

    def _subscribe(self, new: list[str], client: Client) -> tuple[int, int | None]:
        if self._version == "3.1.1":
            return client.subscribe([(each, 0) for each in new])
        return client.subscribe([(each, _options(each)) for each in new])

    def refused(self, number: int, codes: Sequence[ReasonCode]) -> list[str]:
        """Which of the filters of this SUBSCRIBE the broker did not grant."""
        pairs = zip(self._asked.pop(number, []), codes, strict=False)
        return [name for name, code in pairs if code.is_failure]


def _options(each: str) -> SubscribeOptions:
    """Of everything, what others publish from now on: not all that is kept, and nothing of ours."""
    if each != EVERYTHING:
        return SubscribeOptions(qos=0)
    stored = SubscribeOptions.RETAIN_DO_NOT_SEND
    return SubscribeOptions(qos=0, noLocal=True, retainHandling=stored)
