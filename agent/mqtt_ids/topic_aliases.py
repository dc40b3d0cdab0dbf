"""The topic aliases of one direction of an MQTT 5 connection (section 3.3.2.3.4)."""

from typing import Final

from mqtt_ids.packet_fields import MalformedError

MAX_ALIASES: Final = 64  # aliases are 1..64; servers offer 10 (Mosquitto) and rarely more
MAX_TEXT: Final = 65_536  # characters of all topics together: room for one of the longest


class TopicAliases:
    """Numbers that stand for topics, in bounded memory: at most 64 topics, 65,536 characters."""

    __slots__ = ("_complete", "_text", "_topics")

    def __init__(self, *, complete: bool) -> None:
        """`complete` tells that the stream is seen from its start, with every alias's topic."""
        self._complete = complete
        self._topics: dict[int, str] = {}
        self._text = 0

    @property
    def held(self) -> int:
        """Characters of all topics together."""
        return self._text

    def resolve(self, topic: str, alias: int) -> str | None:
        """The topic that a PUBLISH with this alias is on; an empty `topic` looks it up.

        None for an alias that was set before a start in mid-stream. Raises
        MalformedError("topic-alias") for an alias unknown, out of range, or too much to keep.
        """
        if not 1 <= alias <= MAX_ALIASES:
            raise MalformedError("topic-alias", f"topic alias {alias} is not in 1..{MAX_ALIASES}")
        if topic:
            self._keep(topic, alias)
            return topic
        known = self._topics.get(alias)
        if known is None and self._complete:
            raise MalformedError("topic-alias", f"topic alias {alias} stands for nothing")
        return known

    def _keep(self, topic: str, alias: int) -> None:
        text = self._text - len(self._topics.get(alias, "")) + len(topic)
        if text > MAX_TEXT:
            raise MalformedError("topic-alias", "the topics of all aliases are too long")
        self._topics[alias] = topic
        self._text = text
