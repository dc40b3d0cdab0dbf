"""What we publish, known again when it comes back to us."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from mqtt_ids.responders.publish import Publish

REMEMBERED: Final = 2048  # more than the link keeps while there is no broker, and sends at once
_DIGEST: Final = 16  # bytes

Sent = tuple[str, bytes]  # topic, digest of the payload


class Voice:
    """Passes on what is to be published, and remembers the last of it.

    `always` is what the link says by itself on each connection, however long ago the last was.
    """

    def __init__(
        self, publish: Publish, tell: Callable[[str], None], always: Iterable[tuple[str, bytes]]
    ) -> None:
        self._publish = publish
        self._tell = tell
        self._always = frozenset((topic, _digest(data)) for topic, data in always)
        self._sent: OrderedDict[Sent, None] = OrderedDict()
        self._told = False

    def publish(self, topic: str, data: bytes, retain: bool) -> None:  # noqa: FBT001 - the responders'
        """Send it, soon."""
        said = topic, _digest(data)
        self._sent[said] = None
        self._sent.move_to_end(said)
        if len(self._sent) > REMEMBERED:
            self._sent.popitem(last=False)
        self._publish(topic, data, retain)

    def is_ours(self, topic: str, data: bytes) -> bool:
        """Whether we have published this."""
        said = topic, _digest(data)
        return said in self._sent or said in self._always

    def somebody_else(self, topic: str) -> None:
        """On one of our topics there is something that we have not published: told once."""
        if self._told:
            return
        self._told = True
        self._tell(
            f"somebody else publishes on {topic}: a second agent (give it other topics), or"
            " somebody who poses as one (forbid it in the broker's access list)"
        )


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST).digest()
