"""Our own connection to the broker, and what goes over it by itself.

That is the status with its will, our device in Home Assistant, and a word against whoever says that
we are gone.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from typing import Final

from mqtt_ids.responders.home_assistant import HomeAssistant
from mqtt_ids.service.node import node_of
from mqtt_ids.service.notices import Notices
from mqtt_ids.service.safely import Safely
from mqtt_ids.service.voice import Voice
from mqtt_ids.settings import Settings
from mqtt_ids.uplink.access import Access
from mqtt_ids.uplink.uplink import Received, State, Uplink

__all__ = ["Messenger"]

log = logging.getLogger(__name__)

CONTRADICT_EVERY: Final = 5.0  # seconds


class Messenger:
    """`turned` is told of each change of the connection, `take` gets what is for nobody else.

    Both are called in the event loop, and may raise: it is told, and nothing ends.
    """

    def __init__(
        self,
        settings: Settings,
        access: Access,
        notices: Notices,
        *,
        take: Callable[[Received], None],
        turned: Callable[[State], None] = lambda _state: None,
    ) -> None:
        node = node_of(settings.state_dir)
        topics = settings.topics
        self.client_id = f"mqtt-ids-{node}"
        self.own_topics = (topics.alerts, topics.status, topics.summary)
        self.uplink = Uplink(
            access,
            client_id=self.client_id,
            on_state=self._turn,
            on_message=self._receive,
            status_topic=topics.status,
        )
        self.voice = Voice(self.uplink.publish, log.warning, always=[(topics.status, b"online")])
        self._home = HomeAssistant(
            settings,
            self.voice.publish,
            node=node,
            later=lambda seconds, do: asyncio.get_running_loop().call_later(seconds, do),
            rng=random.Random(),  # noqa: S311 - to spread, not to hide
        )
        self.publish = self.voice.publish
        self.withdraw = self._home.withdraw
        self._status = topics.status
        self._notices = notices
        self._turned = turned
        self._take = take
        self._safely = Safely()
        self._contradicted = -CONTRADICT_EVERY

    def listen_to(self, filters: Sequence[str]) -> None:
        """Be subscribed to these from now on, and to our status and Home Assistant's."""
        ours = (self._status, *self._home.filters)
        self.uplink.listen_to(tuple(dict.fromkeys((*filters, *ours))))

    def _turn(self, state: State) -> None:
        """The connection to the broker has changed."""
        level = logging.INFO if state.name in {"online", "stopped"} else logging.WARNING
        log.log(level, state.text)
        self._notices.status(state.text)
        self._safely("the connection", lambda: self._turned(state))
        if state.name == "online":
            self._safely("announcing", self._home.announce)

    def _receive(self, message: Received) -> None:
        """What a subscription has brought."""
        self._safely("a message", lambda: self._hand_on(message))

    def _hand_on(self, message: Received) -> None:
        said = message.topic, message.payload
        gone = said == (self._status, b"offline") and not message.retain
        if gone and not self.voice.is_ours(*said):  # else we are stopping
            self._contradict(time.monotonic())
        if not self._home.take(*said):
            self._take(message)

    def _contradict(self, now: float) -> None:
        """A second agent that stops, or whoever poses as one, must not say that we are gone."""
        if self.uplink.online and now - self._contradicted >= CONTRADICT_EVERY:
            self._contradicted = now
            self.uplink.publish(self._status, b"online", retain=True)
