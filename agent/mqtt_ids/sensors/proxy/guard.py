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
    will = f"{connect.will_topic or ''}\0".encode()  # as the sieve has whole topics
    return "not-authorised" if reserved and will.startswith(reserved) else None


class Guard:
    """What passes to the broker, and what is said to the client between the broker's packets."""

    __slots__ = ("_answers", "_framing", "_sieve")

    def __init__(self, reserved: Sequence[bytes], version: int) -> None:
        """A topic is reserved that begins with one of `reserved`."""
        self._sieve = Sieve(reserved, version)
        self._framing = Framing()
        self._answers = b""

    @property
    def held(self) -> int:
        """Bytes held, of both directions."""
        return self._sieve.held + len(self._answers)

    @property
    def owes(self) -> bool:
        """Whether something is still to be said, and can be said now."""
        return bool(self._answers) and self._framing.between_packets

    @property
    def between_packets(self) -> bool:
        """Whether the broker's last byte ended a packet."""
        return self._framing.between_packets

    def sift(self, data: bytes) -> tuple[bytes, int]:
        """What passes of the client's next bytes, and how many packets were taken out.

        Raises CannotSiftError: it must be cut.
        """
        passes, dropped = self._sieve.feed(data)
        if self._sieve.lost:
            raise CannotSiftError("nobody can tell where a packet begins")
        if dropped:
            self._answers += b"".join(each.answer(self._sieve.version) for each in dropped)
            if len(self._answers) > MOST_ANSWERS:
                raise CannotSiftError("too much that has to be answered")
        return passes, len(dropped)

    def broker_said(self, data: bytes) -> None:
        """The broker's next bytes."""
        self._framing.feed(data)

    def answers(self) -> bytes:
        """What the client is to be told; ask `owes` before."""
        answers, self._answers = self._answers, b""
        return answers
