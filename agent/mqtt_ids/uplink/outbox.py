"""What waits to be sent to the broker: the newest of what is retained, the rest in order.

Put in by one thread and sent by another. A message stays here until the broker has it, so that
what was on its way when the connection broke is sent again: at least once at quality of service 1
or 2, and once for all that waited while there was no connection.
"""

import threading
from collections import deque
from dataclasses import dataclass, field

__all__ = ["Message", "Outbox"]

MOST = 1000  # messages that are not retained
MOST_RETAINED = 256  # topics
WINDOW = 20  # messages on their way; Mosquitto's own limit
TRIES = 10  # a message the connection broke over so often is what breaks it, and no attacker


@dataclass(slots=True)
class Message:
    """One message to send. `tries` says how often a connection broke while it was on its way."""

    topic: str
    payload: bytes = field(repr=False)
    retain: bool
    qos: int
    tries: int = 0


class Outbox:
    """Bounded; every method is safe from any thread and returns at once.

    `dropped` counts messages that made room for newer ones or that broke the connection.
    """

    def __init__(self, most: int = MOST) -> None:
        self.dropped = 0
        self._most = most
        self._lock = threading.Lock()
        self._retained: dict[str, Message] = {}  # by topic, the oldest first
        self._queue: deque[Message] = deque()
        self._on_its_way: dict[int, Message] = {}  # by packet identifier, in the order of sending

    def put(self, message: Message) -> None:
        """Keep it for sending. What is retained replaces what waits for the same topic."""
        with self._lock:
            if message.retain:
                self._retained.pop(message.topic, None)
                self._retained[message.topic] = message
                if len(self._retained) > MOST_RETAINED:
                    del self._retained[next(iter(self._retained))]
                    self.dropped += 1
                return
            self._queue.append(message)
            if len(self._queue) > self._most:
                self._queue.popleft()
                self.dropped += 1

    def take(self) -> Message | None:
        """The next to send, if one may be sent now; the caller says `sent` next."""
        with self._lock:
            head = next(iter(self._retained.values()), None)
            if head is None and self._queue:
                head = self._queue[0]
            if head is None or len(self._on_its_way) >= WINDOW:
                return None
            # One that a connection broke over goes alone, to show whether it is to blame.
            if self._on_its_way and (head.tries or next(iter(self._on_its_way.values())).tries):
                return None
            if head.retain:
                del self._retained[head.topic]
            else:
                self._queue.popleft()
            return head

    def sent(self, identifier: int, message: Message) -> None:
        """It is on its way under this packet identifier."""
        with self._lock:
            self._on_its_way[identifier] = message

    def arrived(self, identifier: int) -> Message | None:
        """The broker has it, or has refused it: nothing more to do. None if it was not ours."""
        with self._lock:
            return self._on_its_way.pop(identifier, None)

    def broken(self) -> None:
        """The connection is gone: what was on its way waits again, before all else."""
        with self._lock:
            again: dict[str, Message] = {}
            for message in self._on_its_way.values():
                message.tries += 1
                if message.retain and message.tries < TRIES and message.topic not in self._retained:
                    again[message.topic] = message
            self._retained = {**again, **self._retained}
            rest = [each for each in self._on_its_way.values() if not each.retain]
            self._queue.extendleft(each for each in reversed(rest) if each.tries < TRIES)
            self.dropped += sum(each.tries >= TRIES for each in self._on_its_way.values())
            self._on_its_way.clear()

    def waits_for(self, topic: str) -> bool:
        """Whether something retained waits to be sent on that topic."""
        with self._lock:
            return topic in self._retained

    def __len__(self) -> int:
        """How many wait or are on their way."""
        return len(self._queue) + len(self._retained) + len(self._on_its_way)
