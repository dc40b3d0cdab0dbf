"""The guard of one connection: keeps its publishes off reserved topics, and answers them itself."""

from collections.abc import Callable, Sequence
from typing import Final

from mqtt_ids.peer import Peer
from mqtt_ids.sensors.proxy.greetings import Refusal
from mqtt_ids.sensors.proxy.sieve import CannotSiftError, Framing, Sieve

MOST_ANSWERS: Final = 4_096  # bytes of answers that wait for the end of a packet of the broker


def objection(
    peer: Peer, reserved: tuple[bytes, ...], barred: Callable[[str | None, str | None], bool]
) -> Refusal | None:
    """Why the CONNECT that `peer` has claimed may not reach the broker."""
    connect = peer.connect
    if connect is None or barred(connect.client_id or None, peer.username):
        return "not-authorised"
    will = (connect.will_topic or "").encode()
    return "not-authorised" if reserved and will.startswith(reserved) else None


class Guard:
    """What passes to the broker, and what is said to the client between the broker's packets.

    `dropped` counts the packets that were taken out since it was last looked at.
    """

    __slots__ = ("_answers", "_framing", "_sieve", "dropped")

    def __init__(self, reserved: Sequence[bytes], version: int) -> None:
        """A topic is reserved that begins with one of `reserved`."""
        self.dropped = 0
        self._sieve = Sieve(reserved, version)
        self._framing = Framing()
        self._answers = b""

    @property
    def held(self) -> int:
        """Bytes held, of both directions."""
        return self._sieve.held + len(self._answers)

    def sift(self, data: bytes) -> bytes:
        """What passes of the client's next bytes. Raises CannotSiftError: it must be cut."""
        passes, dropped = self._sieve.feed(data)
        if dropped:
            self.dropped += len(dropped)
            self._answers += b"".join(each.answer(self._sieve.version) for each in dropped)
            if len(self._answers) > MOST_ANSWERS:
                raise CannotSiftError("too much that has to be answered")
        return passes

    def broker_said(self, data: bytes) -> None:
        """The broker's next bytes."""
        self._framing.feed(data)

    def answers(self) -> bytes:
        """What the client can be told now, which is between two packets of the broker."""
        if not (self._answers and self._framing.between_packets):
            return b""
        answers, self._answers = self._answers, b""
        return answers
